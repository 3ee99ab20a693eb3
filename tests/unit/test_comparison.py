# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The README's comparison is that of docs/beyond/comparison.md, where each of our cells names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Dict, List

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "beyond" / "comparison.md"


def _rows(text: str) -> Dict[str, List[str]]:
    """What a row is about -> its five cells; only rows of the comparison have so many."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 6 and cells[0]:
            found[cells[0]] = cells[1:]
    return found


ROWS = _rows(PAGE.read_text(encoding="utf-8"))


def test_the_readme_says_the_same() -> None:
    shown = _rows((ROOT / "README.md").read_text(encoding="utf-8"))
    assert shown == {about: [re.split(r"[;,] ", cell)[0] for cell in cells] for about, cells in ROWS.items()}


@pytest.mark.parametrize("about", ROWS)
def test_each_row_is_shown(about: str) -> None:
    assert all(re.match(r"(yes|no|partly)\b", cell) for cell in ROWS[about])
    assert all(";" in cell for cell in ROWS[about] if cell.startswith("partly"))
    named = re.search(r"`([\w/]+\.py)::(\w+)`", ROWS[about][-1])
    if ROWS[about][-1].startswith("yes"):
        assert named, "no test is named"
        tree = ast.parse((ROOT / "tests" / named.group(1)).read_text(encoding="utf-8"))
        assert named.group(2) in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
