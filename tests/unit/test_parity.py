# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/docker-parity.md cannot rot: every test it names exists, every option and every capture has its row."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, Iterator, Mapping, Set

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils import _specs

from shared import folder, present
from test_captures import STORIES

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "docker-parity.md").read_text(encoding="utf-8")
CAPTURES = folder("docker-reference", "29.7.2-iptables")
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)(?:\[([^]]+)\])?`", PAGE)


def _functions(path: Path) -> Set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("file", sorted({file for file, _name, _case in NAMED}))
def test_named_tests_exist(file: str) -> None:
    there = _functions(TESTS / file)
    for named, name, case in NAMED:
        if named == file:
            assert name in there, f"{file} has no {name}"
            assert not case or case in STORIES, f"there is no story {case}"


def test_every_row_has_its_proof_or_its_reason() -> None:
    for line in PAGE.splitlines():
        if line.startswith("| ") and not line.startswith("|---"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            assert all(cells), line
            if cells[1] == "none":
                assert ".py::" not in cells[2], f"a test proves what is not there: {line}"
            elif len(cells) == 3 and not cells[2].startswith("proven by"):
                assert ".py::" in cells[2], f"neither a test nor a reason: {line}"


def _options(spec: Mapping[str, Any]) -> Iterator[str]:
    """The names of a spec and of its suboptions."""
    for name, item in spec.items():
        yield name
        yield from _options(item.get("options", {}))


def test_every_option_is_there() -> None:
    words = {word for code in re.findall(r"`([^`]+)`", PAGE) for word in re.findall(r"^[a-z0-9_]+", code)}
    words |= {"base", "size"}  # the two parts of a pool are in no other words than the pools
    specs = (_specs.HOST, _specs.BACKEND, _specs.LOCK)
    assert {name for spec in specs for name in _options(spec)} - words == set()


@present(CAPTURES)
def test_every_capture_is_told_or_has_its_reason() -> None:
    untold = set(re.findall(r"^\| (\d\w*-[\w-]+) \|", PAGE, re.M))
    measured = set(re.findall(r"\b(3\d\w?-reach-[\w-]+)", PAGE))
    folders = {path.name for path in CAPTURES.iterdir() if path.is_dir()}
    assert folders - set(STORIES) == untold | measured
    assert not untold & set(STORIES)
    text = (TESTS / "conformance" / "test_matrices.py").read_text(encoding="utf-8")
    assert not {name for name in measured if f'"{name}"' not in text}
