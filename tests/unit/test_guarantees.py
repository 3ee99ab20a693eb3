# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/guarantees.md cannot rot: every promise names its tests, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import List

import pytest

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "guarantees.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| promise")]
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_there_are_promises() -> None:
    assert len(ROWS) > 25 and "guarantees.md" in (TESTS.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("row", ROWS)
def test_every_promise_is_proven(row: str) -> None:
    promise, proof = (cell.strip() for cell in row.strip("|").split(" | "))
    assert promise.endswith("."), promise
    assert TEST.findall(proof), f"no test is named for: {promise}"
    assert re.sub(TEST, "", proof).strip(" ,") == "", "nothing but tests proves a promise"


@pytest.mark.parametrize(("file", "name"), sorted(set(TEST.findall(PAGE))))
def test_named_tests_exist(file: str, name: str) -> None:
    assert name in _names(TESTS / file), f"{file} has no {name}"


def _names(path: Path) -> List[str]:
    return [node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
