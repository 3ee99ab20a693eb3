# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Molecule scenarios, by the molecule that the requirements bring."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import lab

SCENARIOS = sorted(path.parent.name for path in (lab.ROOT / "molecule").glob("*/molecule.yml"))


@pytest.mark.slow("default")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(isolated: None, scenario: str, tmp_path: Path) -> None:
    """create, converge, idempotence, check, verify (with traffic), destroy; and no process is left."""
    program = Path(sys.executable).with_name("molecule")
    if not program.exists():
        lab.missing("molecule is not installed")
    _need_roots(scenario)
    environ = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    words = [str(program), "test", "--scenario-name", scenario]
    done = subprocess.run(words, cwd=lab.ROOT, env=environ, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert _left(str(tmp_path)) == []


def _need_roots(scenario: str) -> None:
    """Hosts with root file systems of their own need them, and root."""
    inventory = yaml.safe_load((lab.ROOT / "molecule" / scenario / "inventory" / "hosts.yml").read_text())
    for host in inventory["docker_hosts"]["hosts"].values():
        if "root" not in host:
            continue
        lab.need_root()
        if not (lab.ROOT / ".cache" / "roots" / host["root"]).exists():
            lab.missing(f"there is no root file system: make .cache/roots/{host['root']}")


def _left(home: str) -> list[str]:
    """Processes of a scenario that go on without it, by their words."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={home}\0" in (directory / "environ").read_text(errors="replace"):
                found.append((directory / "cmdline").read_text(errors="replace").replace("\0", " "))
        except OSError:  # it has ended meanwhile
            continue
    return found
