# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Docker's options do where no capture shows it: one test an option, its words in ``docs/docker-parity.md``."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

import lab

GUARD = "-A PREROUTING -d 172.17.0.2/32"


def _routes(name: str) -> List[str]:
    return [line.strip() for line in lab.sh(name, "ip route show default").splitlines()]


def _link(ns: Any, name: str) -> Dict[str, Any]:
    return json.loads(lab.sh(ns, f"ip -d -j link show {name}"))[0]


def test_trusted_host_interfaces(each_host: lab.Host) -> None:
    """Their packets pass the guard of each endpoint; everybody else's do not."""
    bridge = {"name": "docker0", "trusted_host_interfaces": ["eth0", "wg0"]}
    each_host.run("host_network", ip_forward={}, bridges=[bridge], endpoints=[{"name": "web"}])
    guards = [line for line in each_host.save().splitlines() if line.startswith(GUARD)]
    assert guards == [f"{GUARD} -i eth0 -j ACCEPT", f"{GUARD} -i wg0 -j ACCEPT", f"{GUARD} ! -i docker0 -j DROP"]
    assert not each_host.run("veth_endpoint", name="web")["changed"]


def test_bridge_accept_fwmark(each_host: lab.Host) -> None:
    """A marked packet passes before anything else of Docker's."""
    host = each_host
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0", "bridge_accept_fwmark": "0x1/0x3"}])
    forward = [line for line in host.save().splitlines() if line.startswith("-A DOCKER-FORWARD")]
    assert forward[0] == "-A DOCKER-FORWARD -m mark --mark 0x1/0x3 -j ACCEPT"
    host.run("veth_endpoint", name="web")
    lab.sh(host.lan, "ip route add 172.17.0.0/16 via 192.0.2.1")
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "172.17.0.2", 80) == "no answer"
        host.sh("iptables -t raw -F PREROUTING; iptables -t mangle -A PREROUTING -i eth0 -j MARK --set-mark 1")
        assert lab.probe(host.lan, "172.17.0.2", 80).startswith("open")


def test_default_gateway(host: lab.Host) -> None:
    """The endpoint's default route; the bridge keeps its own address."""
    host.run("docker_bridge", name="docker0")
    host.run("veth_endpoint", name="web", default_gateway="172.17.0.99")
    assert _routes("web") == ["default via 172.17.0.99 dev eth0"]
    assert "172.17.0.1/16" in host.sh("ip addr show docker0")


def test_names_of_interfaces(host: lab.Host) -> None:
    """Both ends are called as asked; the host end's own name is Docker's pattern otherwise."""
    host.run("docker_bridge", name="docker0")
    host.run("veth_endpoint", endpoints=[{"name": "a", "interface": "net0", "host_interface": "web-a"}, {"name": "b"}])
    assert _link("a", "net0")["ifname"] == "net0" and _link(host, "web-a")["master"] == "docker0"
    ports = [item["ifname"] for item in json.loads(host.sh("bridge -j link"))]
    (other,) = [name for name in ports if name != "web-a"]
    assert other.startswith("veth") and len(other) == 11 and int(other[4:], 16) >= 0


def test_mac_addresses(host: lab.Host) -> None:
    host.run("docker_bridge", name="docker0", mac_address="02:00:00:00:00:01")
    host.run("veth_endpoint", name="web", mac_address="02:00:00:00:00:09", mtu=1400)
    assert _link(host, "docker0")["address"] == "02:00:00:00:00:01"
    inside = _link("web", "eth0")
    assert (inside["address"], inside["mtu"]) == ("02:00:00:00:00:09", 1400)


def test_ipv6_address(host: lab.Host) -> None:
    host.run("docker_bridge", name="docker0", ipv6=True, bip6="fd00::1/64")
    host.run("veth_endpoint", name="web", ipv4_address="172.17.0.77", ipv6_address="fd00::77")
    addresses = lab.sh("web", "ip addr show eth0")
    assert "172.17.0.77/16" in addresses and "fd00::77/64" in addresses


def test_two_networks(host: lab.Host) -> None:
    """The default route and the ports follow the gateway network: not internal first, then by name."""
    nets = [{"name": "zz", "bip": "10.2.0.1/24"}, {"name": "int", "bip": "10.3.0.1/24", "internal": True}]
    on_zz = {"name": "web", "bridge": "zz", "published_ports": ["8080:80"]}
    on_int = {"name": "web-int", "netns": "web", "bridge": "int", "interface": "eth1"}
    host.run("host_network", ip_forward={}, bridges=nets, endpoints=[on_zz, on_int])
    assert _routes("web") == ["default via 10.2.0.1 dev eth0"]
    assert "--to-destination 10.2.0.2:80" in host.save()
    nets.append({"name": "aa", "bip": "10.1.0.1/24"})
    on_aa = {"name": "web-aa", "netns": "web", "bridge": "aa", "interface": "eth2"}
    host.run("host_network", bridges=nets, endpoints=[on_zz, on_int, on_aa])
    assert _routes("web") == ["default via 10.1.0.1 dev eth2"]


def test_default_host_ip(each_host: lab.Host) -> None:
    """daemon.json's ``ip``: ports without a host address of their own are bound to it, and IPv6 is not."""
    each_host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}])
    ports = ["8080:80", "127.0.0.1:8081:81"]
    each_host.run("port_publish", endpoint="web", published_ports=ports, default_host_ip="192.0.2.1")
    rules = each_host.save()
    assert "-d 192.0.2.1/32 -p tcp -m tcp --dport 8080 -j DNAT" in rules
    assert "-d 127.0.0.1/32 -p tcp -m tcp --dport 8081 -j DNAT" in rules


@pytest.fixture
def stranger(host: lab.Host) -> Iterator[int]:
    """A process in a network namespace of its own that has no name; its number."""
    process = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    try:
        own = Path("/proc/self/ns/net").stat().st_ino
        while Path(f"/proc/{process.pid}/ns/net").stat().st_ino == own:
            time.sleep(0.005)
        yield process.pid
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("way", ["pid:{}", "/proc/{}/ns/net"])
def test_namespace_of_a_process(host: lab.Host, stranger: int, way: str) -> None:
    """A namespace that is there is joined; it keeps its files and stays when the endpoint goes."""
    host.run("docker_bridge", name="docker0")
    item = {"name": "web", "netns": way.format(stranger)}
    assert host.run("veth_endpoint", **item)["changed"]
    assert not host.run("veth_endpoint", **item)["changed"]
    assert _link(f"/proc/{stranger}/ns/net", "eth0")["ifname"] == "eth0"
    assert not Path("/etc/netns/web").exists()
    host.run("veth_endpoint", state="absent", **item)
    assert "eth0" not in lab.sh(f"/proc/{stranger}/ns/net", "ip -br link")
    assert "veth" not in host.sh("bridge link")


def test_forwarding_over_a_reboot(host: lab.Host) -> None:
    """Docker switches forwarding on at each start; here a file for sysctl does."""
    file = Path("/etc/sysctl.d/50-test.conf")
    host.run("ip_forward", ipv6=True, sysctl_file=str(file))
    assert "net.ipv4.ip_forward = 1" in file.read_text() and "net.ipv6.conf.all.forwarding = 1" in file.read_text()
    host.run("ip_forward", state="absent", sysctl_file=str(file))
    assert not file.exists()
    assert host.sh("sysctl -n net.ipv4.ip_forward").strip() == "0"


@pytest.mark.parametrize("backend", ["auto", "iptables"])
def test_firewall_backend(each_host: lab.Host, backend: str) -> None:
    """Both mean the host's own iptables, as with dockerd; the result says which that is."""
    result = each_host.run("docker_bridge", name="docker0", firewall_backend=backend)
    assert result["firewall"].startswith("iptables-" if each_host.firewall == "nft" else "iptables")
    assert "-A DOCKER-BRIDGE -o docker0 -j DOCKER" in each_host.save()
