# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/versions.md says what the files of ``tests/versions`` and the scenario ``distros`` do."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import List

import pytest

import lab

PAGE = (lab.ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
FILES = sorted((lab.ROOT / "tests" / "versions").glob("*.txt"))


def cells(name: str) -> List[str]:
    """The row of the table that begins with a name."""
    row = re.search(rf"^\| [^|]*`{re.escape(name)}` \|(.*)\|$", PAGE, re.M)
    assert row, f"{name} is not in the table"
    return [cell.strip() for cell in row.group(1).split("|")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_releases_are_those_of_the_file(path: Path) -> None:
    core, _python, pyroute2, iptables, _tools = cells(f"tests/versions/{path.name}")
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([\d.]+?)(?:\.\*)?$", path.read_text(), re.M))
    assert pyroute2 == pinned["pyroute2"]
    assert iptables == pinned.get("python-iptables", "none")
    assert pinned.get("ansible-core", "newest") == core.partition(",")[0]


def test_each_file_and_host_has_its_row() -> None:
    hosts = re.findall(r"^    (debian\d+):", (lab.ROOT / "molecule/distros/inventory/hosts.yml").read_text(), re.M)
    assert hosts and set(re.findall(r"host `(\w+)`", PAGE)) == set(hosts)
    assert set(re.findall(r"`tests/versions/(\S+)`", PAGE)) == {path.name for path in FILES}


# What runs on hosts.
ON_HOSTS = [*(lab.ROOT / "plugins").rglob("*.py"), lab.ROOT / "roles/docker_host/files/probe.py"]


@pytest.mark.parametrize("path", ON_HOSTS, ids=lambda path: str(path.relative_to(lab.ROOT)))
def test_syntax_is_that_of_the_oldest_python(path: Path) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
