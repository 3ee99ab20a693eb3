# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that a real systemd boots, is set up by the role, and is booted again: its network is what it was."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, Dict

import pytest

import booted
import lab
import scenes

VARIABLES: Dict[str, Any] = {
    "docker_host_bridges": [
        {"name": "docker0", "ipv6": True, "fixed_cidr_v6": "fd00:17::/64"},
        {"name": "back", "internal": True},
    ],
    "docker_host_endpoints": [
        {"name": "web", "published_ports": ["8080:80", "443"]},
        {"name": "db", "bridge": "back"},
    ],
    "docker_host_user_rules": [{"name": "office", "source": "198.51.100.0/24", "action": "drop"}],
}
_PROGRAM = (sys.executable, "/usr/local/lib/hostnet-docker/hostnet-docker.pyz")
# A service that needs the network notes what it finds when it starts.
_NEEDY = """\
[Unit]
Wants=network-online.target
After=network-online.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'PATH=$PATH:/usr/sbin:/sbin; nft list ruleset >/var/found; ip netns >>/var/found'
[Install]
WantedBy=multi-user.target
"""


def _state(machine: booted.Machine) -> Dict[str, str]:
    """The machine's network and that of its endpoints, the files of both."""
    parts = {f"host {name}": text for name, text in scenes.part(machine.host).items()}
    for name in ("web", "db"):
        parts.update({f"{name} {part}": text for part, text in scenes.part(machine.netns(name)).items()})
    return {**parts, **booted.files(machine, "/etc/netns", "/etc/sysctl.d", "/etc/hostnet-docker")}


def _is_reached(machine: booted.Machine) -> None:
    """Real packets: the published port from outside and from the host, IPv6 too; nothing else."""
    host, web = machine.host, machine.netns("web")
    with lab.serve(web, 80), lab.serve(web, 81):
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
        assert lab.probe(host, "127.0.0.1", 8080).startswith("open")
        assert _comes(host.lan, "2001:db8:1::1", 8080) == "open, from=2001:db8:1::fe"
        lab.sh(host.lan, "ip route add 172.17.0.0/16 via 192.0.2.1")
        assert lab.probe(host.lan, "172.17.0.2", 80) == "no answer"
    with lab.serve(host.lan, 90):
        assert lab.probe(web, "192.0.2.254", 90) == "open, from=192.0.2.1"
        assert lab.probe(machine.netns("db"), "192.0.2.254", 90) != "open, from=192.0.2.1"


def _comes(*place: Any) -> str:
    """What a probe finds when the bridge has found its IPv6 neighbours, which takes a moment after it came up."""
    deadline = time.monotonic() + 30
    while lab.probe(*place) == "no answer" and time.monotonic() < deadline:
        time.sleep(0.2)
    return str(lab.probe(*place))


@pytest.mark.slow()
@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_the_same_after_a_boot(isolated: None, backend: str, tmp_path: Path) -> None:
    variables = {**VARIABLES, "docker_host_firewall_backend": backend}
    with booted.disk(tmp_path) as disk:
        (disk.root / "etc/systemd/system/needy.service").write_text(_NEEDY)
        with disk.boot(lab.new_host()) as machine:
            run = machine.play("hostnet.docker.converge", **variables)
            assert run.status == 0, run.text
            machine.sh("systemctl", "enable", "needy")
            before = _state(machine)
            _is_reached(machine)
        lab.clear()
        with disk.boot(lab.new_host()) as machine:
            wrong = scenes.differs(before, lambda: _state(machine))
            assert not wrong, wrong
            found = machine.file("/var/found").read_text()
            assert "8080" in found and "web" in found
            assert machine.sh("systemctl", "is-active", "hostnet-docker").strip() == "active"
            _is_reached(machine)
            assert machine.sh(*_PROGRAM, "--check", "/etc/hostnet-docker/host.json") == ""
