# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo`` as root and as an ordinary user, and what make says to one who lacks packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List

import pytest

import lab

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def _check(command: List[str], environ: Dict[str, str] | None = None, cwd: Path = lab.ROOT) -> None:
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("Hello from an endpoint", "--to-destination 172.17.0.2:80", "changed=0", "Done in"):
        assert words in done.stdout
    assert len(done.stdout.splitlines()) < 120


def test_demo(isolated: None) -> None:
    before = lab.snapshot("/proc/self/ns/net")
    _check([sys.executable, "demo/demo.py"])
    assert not lab.difference(before, lab.snapshot("/proc/self/ns/net"))
    assert not Path("/run/demo").exists()


@pytest.fixture
def readable() -> Iterator[Path]:
    """Copies of the tree and bind mounts of Python and its libraries, for a user who sees no home but his own."""
    if subprocess.run([*NOBODY, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("there is only one user in this user namespace, and it is an ordinary one: test_demo is this test")
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        top.chmod(0o755)
        for name in ("demo", "meta", "playbooks", "plugins", "roles", "tools", "galaxy.yml"):
            source = lab.ROOT / name
            shutil.copytree(source, top / "tree" / name) if source.is_dir() else shutil.copy(source, top / "tree")
        link = top / "tree/.build/ansible_collections/hostnet/docker"
        link.parent.mkdir(parents=True)
        link.symlink_to("../../..")
        mounts = {"python": sys.base_prefix, "libraries": sysconfig.get_path("purelib")}
        for name, source in mounts.items():
            (top / name).mkdir()
            subprocess.run(["mount", "--rbind", source, str(top / name)], check=True)
        yield top
        for name in mounts:
            subprocess.run(["umount", "-l", str(top / name)], check=True)


def test_demo_as_an_ordinary_user(isolated: None, readable: Path) -> None:
    python = readable / "python" / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if sys.base_prefix == "/usr":
        python = Path(os.path.realpath(sys.executable))
    environ = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(readable / "libraries"),
        "LD_LIBRARY_PATH": str(readable / "python" / "lib"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if subprocess.run([*NOBODY, "unshare", "-Un", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("this kernel lets no ordinary user make user namespaces")
    _check([*NOBODY, str(python), "demo/demo.py"], environ, readable / "tree")


def test_setup_names_what_an_ordinary_user_lacks() -> None:
    user = NOBODY if os.geteuid() == 0 else []
    script = (lab.ROOT / "tools" / "setup.sh").read_text()
    done = subprocess.run(
        [*user, "sh", "-s", "demo", "/no/such/python"],
        input=script,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    if "setpriv" in done.stderr:
        pytest.skip("there is only one user in this user namespace")
    assert done.returncode == 1
    assert "apt-get install python3 python3-venv" in done.stderr


def test_pytest_comes_last() -> None:
    command = ["make", "-n", "--no-print-directory", "test"]
    done = subprocess.run(command, cwd=lab.ROOT, capture_output=True, text=True, check=True)
    assert "-m pytest" in done.stdout.strip().splitlines()[-1]
