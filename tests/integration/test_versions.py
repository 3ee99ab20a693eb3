# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests marked ``versions`` again, with other releases of Ansible, the libraries and Python.

``make supplies`` makes what they run in: an environment for each file of ``tests/versions``.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Dict, List

import pytest

import lab

CACHE = lab.ROOT / ".cache"
FILES = sorted((lab.ROOT / "tests" / "versions").glob("*.txt"))
# A Debian whose Python is the one wanted, and what of the subset runs there: it has no ansible-playbook, no
# python-iptables, and an nft that is too old.
OTHER_PYTHONS = {"python3.9": ("bullseye", "-m 'versions and not playbook and not nftables' -k 'not library'")}
_PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]


def _files(folder: str) -> List[str]:
    """The files with such tests: others import what is not there."""
    found = (lab.ROOT / "tests" / folder).glob("test_*.py")
    return sorted(str(path) for path in found if "pytest.mark." + "versions" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("cell", [path.stem for path in FILES])
def test_versions(isolated: None, cell: str) -> None:
    """The whole subset passes there, and it is not empty."""
    if not (CACHE / "versions" / cell / ".made").exists():
        lab.missing("make supplies has not been run")
    words, environ = _elsewhere(cell) if cell in OTHER_PYTHONS else _here(cell)
    done = subprocess.run(
        words, cwd=lab.ROOT, env={**os.environ, **environ}, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-6000:] + done.stderr[-1000:]
    assert "skipped" not in done.stdout.splitlines()[-1], done.stdout[-3000:]


def _here(cell: str) -> tuple[List[str], Dict[str, str]]:
    """With this machine's Python."""
    python = CACHE / "versions" / cell / "bin" / "python"
    return [str(python), *_PYTEST, *_files("netns"), *_files("integration"), "-m", "versions"], {}


def _elsewhere(cell: str) -> tuple[List[str], Dict[str, str]]:
    """With the Python of a root file system, which sees the checkout at the same place."""
    if Path("/proc/self/uid_map").read_text().split()[2] == "1":
        pytest.skip("a root file system needs the machine's own root")
    suite, chosen = OTHER_PYTHONS[cell]
    root = CACHE / "roots" / suite
    if not root.exists():
        lab.missing("make supplies has not been run")
    script = f"cd {lab.ROOT} && exec python3 {' '.join(_PYTEST + _files('netns'))} {chosen}"
    environ = {"SHOW": str(lab.ROOT), "PYTHONPATH": str(CACHE / "versions" / cell), "PYTEST_ADDOPTS": ""}
    return [str(lab.ROOT / "tools" / "inroot.sh"), str(root), "sh", "-c", script], environ
