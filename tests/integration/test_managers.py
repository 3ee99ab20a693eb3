# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``docker_host_network_managers``: the real NetworkManager, systemd-networkd and udev leave our devices alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Dict, Iterator

import pytest

import daemons
import lab
import machine
import playbook

pytestmark = pytest.mark.slow()

CONVERGE = "hostnet.docker.converge"
DROP_INS = [
    Path("/etc/NetworkManager/conf.d/90-hostnet-docker.conf"),
    Path("/etc/systemd/network/05-hostnet-docker.network"),
    Path("/etc/systemd/network/05-hostnet-docker.link"),
]


@pytest.fixture
def managed(host: lab.Host) -> Iterator[lab.Host]:
    """A host whose managers' directories are empty and in memory, and whose /sys shows its own devices."""
    lab.need_root()
    with machine.managers_in_memory():
        yield host


def _converge(host: lab.Host, **variables: object) -> playbook.Run:
    endpoints = [{"name": "web", "host_interface": "uplink0"}]
    bridges = [{"name": "docker0"}, {"name": "lab7"}]
    given = {"docker_host_endpoints": endpoints, "docker_host_bridges": bridges, **variables}
    run = playbook.run_file(host, CONVERGE, [], **given)
    assert run.status == 0, run.text
    return run


def test_files(managed: lab.Host) -> None:
    _converge(managed, docker_host_network_managers=True)
    names = "docker0 br-* veth* lab7 uplink0"
    assert f"\nName={names}\n" in DROP_INS[1].read_text() and f"\nOriginalName={names}\n" in DROP_INS[2].read_text()
    assert _converge(managed, docker_host_network_managers=True).recap("changed") == 0
    _converge(managed, docker_host_network_managers=False)
    assert not any(path.exists() for path in DROP_INS)


def _index(host: lab.Host, name: str) -> str:
    return host.sh(f"ip -o link show {name}").partition(":")[0]


def _doctor(host: lab.Host) -> str:
    return str(host.run("host_network_info").get("warnings", ""))


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "untold"])
def test_networkd(managed: lab.Host, is_told: bool) -> None:
    """A file that takes every device is there too: ours comes first. Without ours the doctor names what is held."""
    program = lab.need("/lib/systemd/systemd-networkd")
    _converge(managed, docker_host_network_managers=is_told)
    Path("/etc/systemd/network").mkdir(parents=True, exist_ok=True)
    Path("/etc/systemd/network/80-all.network").write_text("[Match]\nName=*\n\n[Network]\nDHCP=ipv4\n")
    links = Path("/run/systemd/netif/links")
    links.mkdir(parents=True, exist_ok=True)
    (links.parent / "leases").mkdir(exist_ok=True)
    for path in (links.parent, links, links.parent / "leases"):
        shutil.chown(path, "systemd-network")  # which the program becomes

    def state(name: str) -> str:
        path = links / _index(managed, name)
        return path.read_text() if path.exists() else ""

    with daemons.running(managed, [program], {"SYSTEMD_LOG_TARGET": "console"}) as process:
        daemons.until(lambda: "80-all.network" in state("eth0") and "=pending" not in state("lab7"), process)
        for name in ("docker0", "lab7", "uplink0"):
            assert ("ADMIN_STATE=unmanaged" in state(name)) == is_told, state(name)
        assert ("systemd-networkd holds devices of this network: docker0 (" in _doctor(managed)) != is_told


def test_udev(managed: lab.Host) -> None:
    """udev's own rule for these devices is ours, and not the one that gives them another MAC address."""
    program = lab.need("udevadm")
    _converge(managed, docker_host_network_managers=True)
    link = {"docker0": DROP_INS[2], "uplink0": DROP_INS[2], "eth0": Path("/lib/systemd/network/99-default.link")}
    for name, path in link.items():
        script = f"mount -t sysfs none /sys && {program} test-builtin net_setup_link /sys/class/net/{name} 2>&1"
        words = ["nsenter", f"--net=/run/netns/{managed.name}", "--", "unshare", "--mount", "sh", "-c", script]
        text = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout
        assert path.name in text, text


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "untold"])
def test_network_manager(managed: lab.Host, tmp_path: Path, is_told: bool) -> None:
    """On a bus of its own; what it says of each device is unmanaged, while it takes the host's uplink."""
    for program in ("NetworkManager", "nmcli", "dbus-daemon"):
        lab.need(program)
    _converge(managed, docker_host_network_managers=is_told)
    Path("/etc/NetworkManager/NetworkManager.conf").write_text("[main]\nplugins=keyfile\n")

    def states() -> Dict[str, str]:
        words = ["nmcli", "-t", "-f", "DEVICE,STATE", "device"]
        done = subprocess.run(
            words, env={**os.environ, **environ, "LC_ALL": "C"}, capture_output=True, text=True, check=False
        )
        return dict(line.split(":", 1) for line in done.stdout.splitlines())

    command = ["NetworkManager", "--no-daemon", "--log-level=WARN"]
    with daemons.bus(managed, tmp_path) as environ, daemons.running(managed, command, environ) as manager:
        daemons.until(lambda: "eth0" in states() and "docker0" in states(), manager)
        found = states()
        assert ({found[name] for name in ("docker0", "lab7", "uplink0")} == {"unmanaged"}) == is_told, found
        assert found["eth0"] != "unmanaged", found
        managed.environ.update(environ)
        assert ("NetworkManager holds devices of this network: docker0 (" in _doctor(managed)) != is_told
