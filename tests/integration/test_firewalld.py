# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside the real firewalld, on a bus of its own: zone and policy for Docker's bridges, reloads, real traffic."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

import lab
import neighbours
from strangers import firewalld

pytestmark = pytest.mark.slow()

OPTIONS: Dict[str, Any] = {
    "ip_forward": {},
    "bridges": [{"name": "docker0"}],
    "endpoints": [{"name": "web", "published_ports": ["8080:80"]}],
}
FOREIGN = "FORWARD -s 203.0.113.0/24 -j DROP"


@pytest.fixture(params=["iptables", "legacy", "nftables", "iptables of both"])
def walled(isolated: None, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[lab.Host]:
    """A host with a running firewalld, and with rules that somebody wrote with iptables."""
    backend = request.param.partition(" ")[0]
    host = lab.new_host("legacy") if backend == "legacy" else lab.new_host("nft", backend)
    with firewalld(host, tmp_path, "iptables" if "both" in request.param else "nftables"):
        host.sh(f"iptables -A {FOREIGN}")
        yield host


def _works(host: lab.Host) -> List[bool]:
    """Whether a published port answers the LAN, an endpoint the LAN, and the zone public drops what it shall."""
    with lab.serve("web", 80), lab.serve(host.lan, 90), lab.serve(host, 8888):
        return [
            lab.probe(host.lan, "192.0.2.1", 8080).startswith("open"),
            lab.probe("web", "192.0.2.254", 90).startswith("open"),
            not lab.probe(host.lan, "192.0.2.1", 8888).startswith("open"),
        ]


def _zones(host: lab.Host) -> str:
    return host.sh("firewall-cmd --get-active-zones")


def _rules(host: lab.Host) -> str:
    return host.sh("nft -s list table inet firewalld", check=False) + neighbours.settled(host.save())


def test_bridges_are_in_docker_s_zone(walled: lab.Host) -> None:
    """Told before, made, found again, lost with a reload, back after one run, gone with the last bridge."""
    host = walled
    told = host.run("host_network", check=True, diff=True, **OPTIONS)
    zones = [line for line in told["changes"] if "firewalld" in line]
    assert zones == [
        "create firewalld zone docker",
        "create firewalld policy docker-forwarding",
        "create firewalld interface docker0",
    ]
    shown = next(part for part in told["diff"] if part["after_header"] == "firewalld")
    assert shown["before"] == "" and "interface docker0 zone=docker" in shown["after"]
    assert "docker" not in host.sh("firewall-cmd --get-zones").split()

    assert host.run("host_network", **OPTIONS)["changes"] == told["changes"]
    assert not host.run("host_network", **OPTIONS)["changed"]
    assert f"-A {FOREIGN}" in host.save(), "a rule of somebody else went with the reload"
    assert "docker\n  interfaces: docker0\n" in _zones(host)
    info = host.sh("firewall-cmd --info-zone=docker; firewall-cmd --info-policy=docker-forwarding")
    assert "target: ACCEPT" in info and "ingress-zones: ANY" in info and "egress-zones: docker" in info
    assert _works(host) == [True, True, True]

    host.sh("firewall-cmd --reload")
    assert "docker0" not in _zones(host)
    assert False in _works(host)[:2]
    assert "create firewalld interface docker0" in host.run("host_network", **OPTIONS)["changes"]
    assert _works(host) == [True, True, True]
    assert not host.run("host_network", **OPTIONS)["changed"]

    bridges = [{"name": "docker0", "state": "absent"}, {"name": "other"}]
    gone = [{"name": "web", "state": "absent"}]
    host.run("host_network", bridges=bridges, endpoints=gone)
    assert "docker\n  interfaces: other\n" in _zones(host)
    host.run("docker_bridge", name="other", state="absent")
    assert "docker" not in host.sh("firewall-cmd --get-zones; firewall-cmd --get-policies").split()
    assert "docker" not in host.sh("nft -s list ruleset").replace("docker-bridges", "")


def test_policies_survive_the_reload(host: lab.Host, tmp_path: Path) -> None:
    """With FirewallBackend=iptables a reload sets them to ACCEPT."""
    with firewalld(host, tmp_path, "iptables"):
        host.sh("iptables -P FORWARD DROP")
        host.sh("firewall-cmd --reload")
        assert ":FORWARD ACCEPT" in host.save()
        host.sh("iptables -P FORWARD DROP")
        assert "create firewalld zone docker" in host.run("docker_bridge", name="docker0")["changes"]
        assert ":FORWARD DROP" in host.save()


def test_a_failure_undoes_zone_and_policy(walled: lab.Host) -> None:
    """The last step fails, and firewalld is as it was, the rules of others too."""
    host = walled
    before = _rules(host)

    def child() -> None:
        from ansible_collections.hostnet.docker.plugins.module_utils._kernel import sysctl

        put = sysctl._put

        def refusing(below: Any, name: str, value: str) -> None:
            if (name, value) == ("net/ipv4/ip_forward", "1"):
                raise OSError(errno.EIO, "refused")
            put(below, name, value)

        sysctl._put = refusing  # type: ignore[assignment]
        host._in_child("host_network", False, False, {"firewall_backend": host.backend or "auto", **OPTIONS})

    message = lab.forked(child)["stdout"]
    assert "net.ipv4.ip_forward" in message and "undone, the host is as it was" in message, message
    assert "docker" not in host.sh("firewall-cmd --get-zones").split()
    assert _rules(host) == before
    assert not list(Path("/etc/firewalld").rglob("*.xml"))


def test_what_others_made_stays(host: lab.Host, tmp_path: Path) -> None:
    """A zone of Docker's own making, a bridge that somebody put elsewhere, a firewalld that does not answer."""
    with firewalld(host, tmp_path):
        host.sh(
            "firewall-cmd --permanent --new-zone=docker; firewall-cmd --permanent --zone=docker --set-target=ACCEPT"
        )
        host.sh("firewall-cmd --reload; firewall-cmd --zone=trusted --add-interface=br-ours")
        result = host.run("docker_bridge", bridges=[{"name": "docker0"}, {"name": "br-ours"}])
        assert "create firewalld zone docker" not in result["changes"]
        assert "bridge br-ours is in firewalld's zone trusted" in str(result["warnings"])
        host.run("docker_bridge", bridges=[{"name": "docker0", "iptables": False}])
        assert "docker0" not in _zones(host) and "trusted\n  interfaces: br-ours\n" in _zones(host)
        host.run("docker_bridge", purge=True, bridges=[])
        assert "docker" in host.sh("firewall-cmd --get-zones").split()
        host.environ["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/nowhere"
        result = host.run("docker_bridge", name="docker0")
        assert "does not answer (Failed to connect" in str(result["warnings"])
