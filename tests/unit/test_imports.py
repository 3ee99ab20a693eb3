# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The arrows of the architecture: who may import whom. Read from the source text, nothing is imported."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator, List, Set

import pytest

ROOT = Path(__file__).resolve().parents[2]
UTILS = ROOT / "plugins" / "module_utils"

# The first part of a path below module_utils -> what it may import from the collection.
BASE = {"_commands", "_state", "_errors", "_values", "_portspec", "_model", "_rules", "_plan"}
ARROWS = {
    "_errors": set(),
    "_commands": {"_errors"},
    "_state": {"_errors"},
    "_values": {"_errors", "_state"},
    "_portspec": {"_errors", "_values"},
    "_model": {"_errors", "_state", "_values", "_portspec"},
    "_specs": {"_model", "_values"},
    "_rules": {"_errors", "_state"},
    "_passes": {"_rules", "_state"},
    "_plan": {"_errors", "_state", "_passes"},
    "_undo": {"_errors", "_plan", "_rules", "_state"},
    "_text": {"_errors", "_state", "_plan", "_rules"},
    "_options_endpoints": {*BASE, "_specs"} - {"_commands", "_plan"},
    "_options": {*BASE, "_specs", "_options_endpoints"} - {"_commands", "_plan"},
    "_layout": {"_model", "_portspec", "_rules", "_state", "_values", "_errors", "_layout"},
    "_kernel": {"_commands", "_rules", "_state", "_errors", "_plan", "_kernel"},
    "_tracer": {"_rules", "_state", "_tracer"},
    "_metrics": set(),
    "_exposure": {"_layout", "_metrics", "_state", "_tracer"},
    "_pipeline": {*BASE, "_undo", "_layout", "_kernel"},
    "_description": {*BASE, "_pipeline", "_exposure", "_layout", "_kernel"},
    "_run": {*BASE, "_text", "_specs", "_layout", "_pipeline"},
    "_restore": {*BASE, "_options", "_pipeline", "_text"},
}
# Libraries that are not in Python itself -> the one file that may import them.
THIRD_PARTY = {"pyroute2": "_kernel/packing.py", "iptc": "_kernel/libiptc.py"}
FILES = sorted(UTILS.rglob("*.py"))


def _id(path: Path) -> str:
    return str(path.relative_to(UTILS))


def _part(path: Path) -> str:
    """``_layout`` for _layout/files.py, ``_state`` for _state.py."""
    return path.relative_to(UTILS).parts[0].partition(".")[0]


def _names(path: Path) -> Iterator[List[str]]:
    """Absolute dotted names of everything a file of module_utils imports, relative ones resolved."""
    package = ["module_utils", *path.relative_to(UTILS).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            head = package[: len(package) - node.level + 1] if node.level else []
            head = head + (node.module.split(".") if node.module else [])
            yield from ([*head, alias.name] for alias in node.names)


def _own_parts(path: Path) -> Set[str]:
    found = set()
    for name in _names(path):
        if name[0] == "ansible_collections":
            pytest.fail(f"{path}: import from the collection with dots, not by its full name: {'.'.join(name)}")
        if name[0] == "module_utils":
            found.add(name[1])
    return found


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_arrows(path: Path) -> None:
    part = _part(path)
    assert part in ARROWS, f"{_id(path)} has no place in the architecture; give it one in this test"
    stray = _own_parts(path) - ARROWS[part] - {part}
    assert not stray, f"{_id(path)} must not know {', '.join(sorted(stray))}"


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_libraries(path: Path) -> None:
    roots = {name[0] for name in _names(path)}
    for library, owner in THIRD_PARTY.items():
        assert library not in roots or _id(path) == owner, f"only {owner} imports {library}"
    assert "ansible" not in roots or _part(path) == "_run", "only _run and the modules know Ansible"


@pytest.mark.parametrize("path", FILES, ids=_id)
def test_libraries_are_imported_late(path: Path) -> None:
    """A module must start, and say what is missing, on a host without the libraries."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        assert not {name.partition(".")[0] for name in names} & set(THIRD_PARTY)


def test_init_files_are_empty() -> None:
    for path in (ROOT / "plugins").rglob("__init__.py"):
        assert path.read_text(encoding="utf-8") == "", f"{path} must be empty"
