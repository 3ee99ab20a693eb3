# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The captures of Docker Engine 29.7.2, made again by our options and compared part by part.

Each scenario is told in Docker's words, see ``teller.py``; what cannot be told is in ``docs/docker-parity.md``
with its reason.
"""

from __future__ import annotations

import pytest

import lab
import stories_addresses
import stories_daemon
import stories_networks
from shared import present
from teller import CAPTURES, STORIES, Teller

pytestmark = present(CAPTURES)
# Imported for the stories that they add to STORIES.
TOLD_IN = (stories_addresses, stories_daemon, stories_networks)


@pytest.mark.parametrize("name", sorted(STORIES))
def test_capture(host: lab.Host, name: str) -> None:
    STORIES[name](Teller(host, CAPTURES / name))
