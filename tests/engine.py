# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Docker Engine on a host of the laboratory, with containers from an image made on the spot.

Owns: how the daemon is started and asked, and what it leaves behind. It runs in the host's network
namespace and in mount and pid namespaces of its own, with its own containerd, all its data in memory;
nothing is fetched. Must not know: the modules, Ansible.

    with engine.running(host, {"iptables": False}) as docker:
        web = docker.run("web")
        assert lab.probe(host, web.address, 80) == "open, from=web\\n"
"""

from __future__ import annotations

import contextlib
import http.client
import io
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple

import lab

PORT = 80  # where a container answers with its name
_IMAGE = "hostnet"
_PATIENCE = 60.0  # seconds until a daemon counts as not starting, or not stopping
_numbers = itertools.count(1)

# What dockerd and containerd use outside of the directories they are given, hidden from the machine.
_HIDDEN = ("/etc/docker", "/opt", "/run/containerd", "/run/docker")
_CGROUPS = Path("/sys/fs/cgroup")
_START = """\
for directory in {hidden}; do mkdir -p "$directory" && mount -t tmpfs tmpfs "$directory" || exit 1; done
exec dockerd "$@"
"""


class Container(NamedTuple):
    """A running container.

    :ivar address: its IPv4 address
    :ivar ns: its network namespace, as the laboratory's ``ns`` parameters take it
    """

    name: str
    address: str
    ns: str


class Docker:
    """A running daemon, spoken to by its API."""

    def __init__(self, root: Path, process: subprocess.Popen[bytes]) -> None:
        self.root, self.process = root, process

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request of the API and its answer.

        :param body: bytes as they are, or a value for JSON
        :raises AssertionError: the daemon refused, in its own words
        """
        connection = _Connection(self.root / "docker.sock")
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = "application/x-tar" if isinstance(body, bytes) else "application/json"
        with contextlib.closing(connection):
            connection.request(method, path, data, {"Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        if answer.status >= 400:
            raise AssertionError(f"{method} {path}: {answer.status} {text}")
        return json.loads(text) if text.startswith(("{", "[")) and method != "POST" else text

    def run(self, name: str, published: int | None = None) -> Container:
        """``docker run -d [-p]``, and wait until the container answers connections to ``PORT`` with its name.

        :param published: the host port that the daemon itself publishes it at
        """
        port = f"{PORT}/tcp"
        wanted: Dict[str, Any] = {"Image": _IMAGE, "StopSignal": "KILL", "ExposedPorts": {port: {}}}
        wanted["Cmd"] = ["nc", "-ll", "-p", str(PORT), "-e", "echo", name]
        if published is not None:
            wanted["HostConfig"] = {"PortBindings": {port: [{"HostPort": str(published)}]}}
        self.ask("POST", f"/containers/create?name={name}", wanted)
        self.ask("POST", f"/containers/{name}/start")
        network = self.ask("GET", f"/containers/{name}/json")["NetworkSettings"]
        # The daemon's mount namespace has the file of the container's namespace.
        ns = f"/proc/{self.process.pid}/root{network['SandboxKey']}"
        address = network.get("IPAddress") or network["Networks"]["bridge"]["IPAddress"]  # before 29, and since
        deadline = time.monotonic() + _PATIENCE
        while lab.probe(ns, "127.0.0.1", PORT) == "refused" and time.monotonic() < deadline:
            time.sleep(0.02)
        return Container(name, address, ns)

    def rm(self, name: str) -> None:
        """``docker rm -f``."""
        self.ask("DELETE", f"/containers/{name}?force=true")


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=_PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@contextlib.contextmanager
def running(host: lab.Host, config: Dict[str, Any]) -> Iterator[Docker]:
    """A Docker daemon on the host, as an administrator's ``daemon.json`` configures it.

    Skips where the programs are missing (fails in CI), and for an ordinary user: the Engine needs real root.

    :param config: the content of ``daemon.json``
    """
    lab.need_root()
    for program in ("dockerd", "containerd", "runc", "busybox"):
        lab.need(program)
    root = Path(f"/run/engine{os.getpid()}-{next(_numbers)}")
    root.mkdir()
    (root / "daemon.json").write_text(json.dumps(config))
    with open(root / "log", "wb") as log:
        process = subprocess.Popen(_command(host, root), env=host.environ, stdout=log, stderr=log)
    docker = Docker(root, process)
    try:
        _wait(docker)
        docker.ask("POST", f"/images/create?fromSrc=-&repo={_IMAGE}", _image())
        yield docker
    finally:
        _stop(docker)


def _command(host: lab.Host, root: Path) -> list[str]:
    place = ["nsenter", f"--net={lab.NETNS / host.name}", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
    daemon = {
        "config-file": root / "daemon.json",
        "data-root": root / "data",
        "exec-root": root / "exec",
        "pidfile": root / "pid",
        "host": f"unix://{root / 'docker.sock'}",
        "storage-driver": "vfs",
        "cgroup-parent": f"/{root.name}",
    }
    script = _START.format(hidden=" ".join(_HIDDEN))
    return [*place, "--mount-proc", "sh", "-c", script, "dockerd", *(f"--{name}={daemon[name]}" for name in daemon)]


def _wait(docker: Docker) -> None:
    deadline = time.monotonic() + _PATIENCE
    while docker.process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            docker.ask("GET", "/_ping")
            return
        time.sleep(0.05)
    tail = (docker.root / "log").read_text(errors="replace").splitlines()[-8:]
    raise AssertionError("dockerd did not start:\n" + "\n".join(tail))


def _stop(docker: Docker) -> None:
    """The daemon is the first process of its pid namespace: when it ends, all of its processes do."""
    children = Path(f"/proc/{docker.process.pid}/task/{docker.process.pid}/children")
    with contextlib.suppress(OSError):
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGTERM)
    try:
        docker.process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        docker.process.kill()
        docker.process.wait()
    for directory in [*_CGROUPS.glob(f"{docker.root.name}"), *_CGROUPS.glob(f"*/{docker.root.name}")]:
        _remove_cgroup(directory)
    shutil.rmtree(docker.root, ignore_errors=True)


def _remove_cgroup(directory: Path) -> None:
    """A control group and those below; its files are the kernel's and go with it."""
    for inner, _directories, _files in os.walk(directory, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(inner)


def _image() -> bytes:
    """A tar of a root file system that has a static busybox and nothing else."""
    busybox = shutil.which("busybox")
    assert busybox
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(os.path.realpath(busybox), "bin/busybox")
        for name in ("nc", "echo", "sh"):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname, link.mode = tarfile.SYMTYPE, "busybox", 0o777
            tar.addfile(link)
    return buffer.getvalue()
