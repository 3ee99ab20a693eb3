# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real systemd on a host of the laboratory: its manager of a user's units, with processes, mounts and a branch of
control groups of its own.

Must not know: what the units do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Iterator

import lab

_PROGRAM = "/lib/systemd/systemd"
_NAMED = Path("/sys/fs/cgroup/systemd")  # on machines with the old control groups
_UNIFIED = Path("/sys/fs/cgroup")
# In fresh namespaces the branch that the process is in is the root: that alone is mounted.
_SCRIPT = """
umount -R /sys/fs/cgroup
if grep -q name=systemd: /proc/self/cgroup; then
    mount -t tmpfs none /sys/fs/cgroup && mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
else
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
"$@"  # not the first process, as which it would be the whole system's
exit $?
"""


class Manager:
    """The manager; unit files are put into ``units``.

    :ivar units: the directory of unit files
    """

    def __init__(self, directory: Path, environ: dict, process: subprocess.Popen) -> None:
        self.units = directory / "config" / "systemd" / "user"
        self._environ, self._process = environ, process

    def ctl(self, *words: str) -> str:
        """Run systemctl and return its output; a failure is an error with its words."""
        inside = ["nsenter", f"--target={self._manager()}", "--all", "--"]
        done = subprocess.run(
            [*inside, "systemctl", "--user", *words],
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"systemctl {words}: {done.stderr}{done.stdout}"
        return done.stdout

    def _manager(self) -> str:
        """The manager as this process numbers it: the child of the one that made its namespaces."""
        return Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[0]


@contextlib.contextmanager
def running(host: lab.Host, directory: Path) -> Iterator[Manager]:
    """systemd on the host. Skips for an ordinary user, and where control groups cannot be made."""
    lab.need_root()
    lab.need(_PROGRAM)
    environ = {
        **host.environ,
        "XDG_RUNTIME_DIR": str(directory / "run"),
        "XDG_CONFIG_HOME": str(directory / "config"),
        "SYSTEMD_LOG_TARGET": "console",
    }
    (directory / "run").mkdir()
    (directory / "config" / "systemd" / "user").mkdir(parents=True)
    Path("/run/systemd/system").mkdir(parents=True, exist_ok=True)  # the program starts on no other machine
    with _branch() as branch:
        words = [
            "nsenter",
            f"--net=/run/netns/{host.name}",
            "--",
            "unshare",
            "-m",
            "-C",
            "-p",
            "--kill-child",
            "--mount-proc",
        ]
        enter = f'echo 0 >{branch}/cgroup.procs && exec "$@"'
        command = [
            "sh",
            "-c",
            enter,
            "sh",
            *words,
            "sh",
            "-c",
            _SCRIPT,
            "sh",
            _PROGRAM,
            "--user",
            "--unit=basic.target",
        ]
        with open(directory / "log", "wb") as log:
            process = subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait_for(directory / "run" / "systemd" / "private", process, directory / "log")
            yield Manager(directory, environ, process)
        finally:
            process.kill()
            process.wait()
            shutil.rmtree("/run/systemd/system")


def _wait_for(socket: Path, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 30
    while not socket.exists():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


@contextlib.contextmanager
def _branch() -> Iterator[Path]:
    """A branch of the control groups, which is taken away again."""
    root = _NAMED if _NAMED.is_dir() else _UNIFIED
    path = root / f"hostnet-test-{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        lab.missing(f"no control groups of our own: {error}")
    try:
        yield path
    finally:
        deadline = time.monotonic() + 30
        while path.exists() and time.monotonic() < deadline:
            for directory, _names, _files in os.walk(path, topdown=False):
                with contextlib.suppress(OSError):  # its last process is not quite gone
                    os.rmdir(directory)
            time.sleep(0.1)
