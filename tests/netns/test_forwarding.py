# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forwarding, on and off: when it is set, what goes with it, and whose files are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest

import lab

FILE = Path("/etc/sysctl.d/99-hostnet-docker.conf")
SIX = {"name": "docker0", "ipv6": True, "bip6": "fd00:17::1/64"}


def _state(host: lab.Host) -> Dict[str, Any]:
    """Forwarding of both families, by /proc, and the policies of chain FORWARD, by iptables-save."""
    paths = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/forwarding")
    policies = [
        line.split()[1] for family in ("ip", "ip6") for line in host.save(family).splitlines() if ":FORW" in line
    ]
    return {"on": host.sh("cat " + " ".join(f"/proc/sys/{path}" for path in paths)).split(), "policies": policies}


def test_on_and_off(host: lab.Host) -> None:
    assert host.run("ip_forward")["changed"]
    assert _state(host) == {"on": ["1", "0", "0"], "policies": ["DROP"]}
    assert FILE.read_text().endswith("net.ipv4.ip_forward = 1\n")
    assert not host.run("ip_forward")["changed"]
    predicted = host.run("ip_forward", check=True, state="absent")["changes"]
    assert host.run("ip_forward", state="absent")["changes"] == predicted != []
    assert _state(host) == {"on": ["0", "0", "0"], "policies": ["ACCEPT"]} and not FILE.exists()
    assert not host.run("ip_forward", state="absent")["changed"]


def test_off_means_off(host: lab.Host) -> None:
    """Also where forwarding was on before, which left the policy alone."""
    host.sh("sysctl -qw net.ipv4.ip_forward=1")
    host.run("ip_forward", persist=False)
    assert _state(host)["policies"] in ([], ["ACCEPT"])
    host.run("ip_forward", state="absent")
    assert _state(host)["on"] == ["0", "0", "0"]
    host.run("ip_forward")
    assert host.run("ip_forward", ipv4=False)["changed"] and _state(host)["on"][0] == "0" and not FILE.exists()


def test_a_firewalls_policy_stays(host: lab.Host) -> None:
    """Its DROP is older than our file, which remembers it; and where nothing is ours, nothing is touched."""
    host.sh("iptables -P FORWARD DROP")
    assert not host.run("ip_forward", state="absent")["changed"]
    host.run("ip_forward")
    host.run("ip_forward", state="absent")
    assert _state(host) == {"on": ["0", "0", "0"], "policies": ["DROP"]}


def test_ipv6_follows_the_bridges(host: lab.Host) -> None:
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}])
    assert _state(host)["on"] == ["1", "0", "0"]
    host.run("host_network", ip_forward={}, bridges=[SIX])
    assert _state(host) == {"on": ["1", "1", "1"], "policies": ["DROP", "DROP"]}
    assert not host.run("ip_forward")["changed"]
    host.run("host_network", ip_forward={"ipv6": False})
    assert _state(host)["on"] == ["1", "0", "0"]
    host.run("host_network", ip_forward={})
    gone = [{"name": "docker0", "state": "absent"}]
    host.run("host_network", ip_forward={"state": "absent"}, bridges=gone)
    assert _state(host) == {"on": ["0", "0", "0"], "policies": ["ACCEPT", "ACCEPT"]}


@pytest.mark.parametrize("folder", ["/usr/lib", "/usr/lib/hostnet-docker-test"])
def test_the_machines_own_directory_is_not_written(host: lab.Host, folder: str) -> None:
    """A network namespace has the machine's files, unless it came with a mount namespace."""
    file = Path(folder, "hostnet-docker-test.conf")
    result = host.run("ip_forward", sysctl_file=str(file))
    assert result["changed"] and not file.exists() and _state(host)["on"][0] == "1"
    assert any(str(file) in text and "persist: false" in text for text in lab.warnings(result))
    again = host.run("ip_forward", sysctl_file=str(file), persist=False)
    assert not again["changed"] and not lab.warnings(again)
