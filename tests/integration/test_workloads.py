# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/how-to/workloads.md to the letter: a service, a machine and a process in endpoints, reached from outside."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Iterator

import pytest

import booted
import lab
import machine

pytestmark = pytest.mark.slow()
PAGE = (lab.ROOT / "docs" / "how-to" / "workloads.md").read_text(encoding="utf-8")
MACHINE = Path("/var/lib/machines/web")
_LIMIT = 60  # seconds until a workload counts as not starting
_WORKER = """\
[Service]
PrivateNetwork=yes
ExecStart=/usr/bin/python3 -m http.server 80
"""


def _block(language: str) -> str:
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)
    return str(text)


def _answers(host: lab.Host, port: int) -> bool:
    """Whether somebody on the LAN gets an answer, as soon as the workload is up."""
    deadline = time.monotonic() + _LIMIT
    while not lab.probe(host.lan, "192.0.2.1", port).startswith("open"):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def test_a_service_and_a_process(isolated: None, tmp_path: Path) -> None:
    """The service is there again after a boot; the process is joined by its number."""
    web = {"name": "web", "published_ports": ["8080:80"], "etc_hosts": {"db": "10.0.0.9"}}
    variables = {"docker_host_endpoints": [web]}
    with booted.disk(tmp_path) as disk:
        units = disk.root / "etc/systemd/system"
        (units / "site.service").write_text(_block("ini"))
        (units / "worker.service").write_text(_WORKER)
        with disk.boot(lab.new_host()) as server:
            assert server.play("hostnet.docker.converge", **variables).status == 0
            server.sh("systemctl", "enable", "--now", "site")
            assert _answers(server.host, 8080)
            pid = server.sh("systemctl", "show", "--property=MainPID", "--value", "site").strip()
            inside = server.sh("cat", f"/proc/{pid}/root/etc/hosts", f"/proc/{pid}/root/etc/resolv.conf")
            assert "10.0.0.9\tdb" in inside and "nameserver" in inside
            assert server.sh("stat", "--format=%u", f"/proc/{pid}").strip() != "0"
        lab.clear()
        with disk.boot(lab.new_host()) as server:
            assert _answers(server.host, 8080)
            server.sh("systemctl", "start", "worker")
            book = server.file("/root/worker.yml")
            book.write_text(_block("yaml"))
            for status in ("changed=1", "changed=0"):
                run = server.play("/root/worker.yml")
                assert run.status == 0 and status in run.text, run.text
            assert _answers(server.host, 8081)


def test_a_machine(host: lab.Host) -> None:
    lab.need_root()
    lab.need("systemd-nspawn")
    root = lab.ROOT / ".cache" / "roots" / "bookworm"
    if not root.exists():
        lab.missing("there is no root file system: make .cache/roots/bookworm")
    web = {"name": "web", "published_ports": ["8080:80"]}
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[web])
    command = shlex.split(_block("console").removeprefix("$ "))
    with _layered(root, MACHINE):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            assert _answers(host, 8080)
        finally:
            process.terminate()
            process.wait(_LIMIT)


@contextlib.contextmanager
def _layered(root: Path, place: Path) -> Iterator[None]:
    """A root file system at another place, under a layer of memory."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with machine.empty(str(place.parent)):
        for name in (place.name, "layer", "work"):
            (place.parent / name).mkdir()
        layers = f"lowerdir={root},upperdir={place.parent}/layer,workdir={place.parent}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(place)], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)
