# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How programs are run for code of the collection that a test calls itself, without Ansible."""

from __future__ import annotations

import subprocess
from typing import List, Tuple


def run_command(command: List[str], text: str) -> Tuple[int, str, str]:
    """See ``_commands.RunCommand``."""
    done = subprocess.run(
        command, input=text, capture_output=True, check=False, text=True, encoding="utf-8", errors="surrogateescape"
    )
    return done.returncode, done.stdout, done.stderr
