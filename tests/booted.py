# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines that a real systemd boots: this machine's own root file system under a layer of memory, in systemd-nspawn.

A disk outlives its boots, the kernel's network does not: each boot is in a network namespace of its own, which is a
host of the laboratory. Must not know: what is installed on it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

import lab
import playbook

_LIMIT = 60  # seconds for a boot, and for its end
# The same wire every time: its ends have MAC addresses by chance otherwise.
_WIRE = "link set eth0 address 02:00:00:00:00:{:02x}\n"
# nspawn does not know that the namespace is the machine's alone, and would keep its settings from it.
_WRITABLE = {**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}


class Machine:
    """A machine that is up.

    :ivar host: the host of the laboratory whose network namespace is the machine's
    """

    def __init__(self, disk: Path, host: lab.Host, init: int) -> None:
        self.host, self._disk, self._init = host, disk, init

    def sh(self, *words: str, check: bool = True) -> str:
        """Run a command on the machine and return its output; a failure is an error with its words."""
        command = ["nsenter", f"--target={self._init}", "--all", "--", *words]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
        )
        if check:
            assert done.returncode == 0, f"{words}: {done.stderr}{done.stdout}"
        return done.stdout

    def play(self, book: str, **variables: Any) -> playbook.Run:
        """Run a playbook on the machine and for it, with a connection that is none; one of the collection or a file."""
        facts = {"ansible_python_interpreter": sys.executable, "docker_host_packages": False, **variables}
        enter = ["nsenter", f"--target={self._init}", "--all", "--"]
        return playbook.on_itself(enter, book, facts)

    def netns(self, name: str) -> str:
        """The path of one of the machine's own namespaces, for the tools of the laboratory."""
        return f"/proc/{self._init}/root/run/netns/{name}"

    def file(self, path: str) -> Path:
        """A file of the machine's, as seen from here."""
        return self._disk / path.lstrip("/")


class Disk:
    """A root file system that machines are booted from, one after the other."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextlib.contextmanager
    def boot(self, host: lab.Host) -> Iterator[Machine]:
        """Boot the machine into a host's network namespace, and shut it down at the end as an administrator does."""
        for number, name in enumerate((host.name, host.lan)):
            subprocess.run(["ip", "-n", name, "-batch", "-"], input=_WIRE.format(number), text=True, check=True)
        with open(self.root.parent / "console", "wb") as console:
            process = subprocess.Popen(
                _nspawn(self.root, host), env=_WRITABLE, stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        try:
            init = _init_of(process, self.root.parent / "console")
            machine = Machine(self.root, host, init)
            _until_up(machine)
            yield machine
            machine.sh("systemctl", "poweroff")
            process.wait(_LIMIT)
        finally:
            process.kill()  # nspawn's end is the machine's
            process.wait()


@contextlib.contextmanager
def disk(directory: Path) -> Iterator[Disk]:
    """A disk; what the machine's own root starts beside the system is not started. Skips for an ordinary user."""
    lab.need_root()
    lab.need("systemd-nspawn")
    subprocess.run(["mount", "-t", "tmpfs", "none", str(directory)], check=True)
    for name in ("machine", "layer", "work", "root"):
        (directory / name).mkdir()
    layers = f"lowerdir={directory}/machine,upperdir={directory}/layer,workdir={directory}/work"
    subprocess.run(["mount", "--bind", "/", str(directory / "machine")], check=True)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(directory / "root")], check=True)
    try:
        for link in (directory / "root" / "etc" / "systemd" / "system").glob("*.target.wants/*"):
            link.unlink()
        yield Disk(directory / "root")
    finally:
        for path in (directory / "root", directory / "machine", directory):
            subprocess.run(["umount", "-l", str(path)], check=True)


def _nspawn(root: Path, host: lab.Host) -> List[str]:
    """The checkout and its Python may be on file systems of their own: they are shown as they are."""
    shown = {str(lab.ROOT.resolve()), str(Path(sys.prefix).resolve()), str(Path(sys.base_prefix).resolve())}
    shown = {path for path in shown if not path.startswith("/usr")}
    return [
        "systemd-nspawn",
        "--quiet",
        f"--directory={root}",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--capability=CAP_NET_ADMIN",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=pipe",
        f"--machine=hostnet-{os.getpid()}",
        f"--network-namespace-path=/run/netns/{host.name}",
        *(f"--bind-ro={path}" for path in sorted(shown)),
        "systemd.unit=multi-user.target",
    ]


def _init_of(process: subprocess.Popen, console: Path) -> int:
    """The machine's first process: nspawn's child."""
    deadline = time.monotonic() + _LIMIT
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while True:
        if process.poll() is not None:
            text = console.read_text(errors="replace")
            if "cgroup" in text:
                lab.missing(f"no control groups of our own: {text}")
            pytest.fail(f"systemd-nspawn ended: {text}")
        for child in children.read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        assert time.monotonic() < deadline, console.read_text(errors="replace")
        time.sleep(0.1)


def _until_up(machine: Machine) -> None:
    """Wait until all units of the boot are started; one that failed is the test's business."""
    deadline = time.monotonic() + _LIMIT
    while machine.sh("systemctl", "is-system-running", check=False).strip() not in ("running", "degraded"):
        assert time.monotonic() < deadline, machine.sh("systemctl", "list-jobs", check=False)
        time.sleep(0.2)


def files(machine: Machine, *directories: str) -> Dict[str, str]:
    """The text files below directories of the machine's."""
    found = [path for name in directories for path in sorted(machine.file(name).rglob("*")) if path.is_file()]
    return {f"file {path}": path.read_text(encoding="utf-8") for path in found}
