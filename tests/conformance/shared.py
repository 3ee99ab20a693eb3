# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the reference material lies: captures of real daemons, the Engine's own expected rule sets.

It is not part of the repository: ``HOSTNET_SHARED`` names its folder, by default ``shared`` beside the checkout.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("HOSTNET_SHARED", ROOT.parent / "shared"))


def folder(*names: str) -> Path:
    """A folder of the reference material; it may be missing, see ``present``."""
    return SHARED.joinpath(*names)


def present(path: Path) -> pytest.MarkDecorator:
    """Skips where the material is not there, as on a machine that has the checkout alone."""
    return pytest.mark.skipif(not path.is_dir(), reason=f"no reference material in {path} (see HOSTNET_SHARED)")
