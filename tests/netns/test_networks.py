# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints on several networks, and what a network's own words do to the endpoints on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

import lab
import scenes

NETS = [
    {"name": "zz", "bip": "10.2.0.1/24"},
    {"name": "aa", "bip": "10.1.0.1/24"},
    {"name": "int", "bip": "10.3.0.1/24", "internal": True},
]


def _addresses(name: str) -> Dict[str, str]:
    """Interface -> its IPv4 address."""
    found = json.loads(lab.sh(name, "ip -4 -j addr"))
    return {item["ifname"]: item["addr_info"][0]["local"] for item in found if item["ifname"] != "lo"}


def _route(name: str) -> str:
    return lab.sh(name, "ip route show default").strip()


def _web(*networks: Any, **words: Any) -> List[Dict[str, Any]]:
    listed = [{"bridge": item} if isinstance(item, str) else item for item in networks]
    return [{"name": "web", "networks": listed, "published_ports": ["8080:80"], **words}]


def _converged(host: lab.Host, **task: Any) -> Dict[str, Any]:
    """The result of a run that was foreseen in full and leaves nothing to do."""
    foreseen = host.run("host_network", check=True, **task)["changes"]
    result = host.run("host_network", **task)
    assert result["changes"] == foreseen
    assert not host.run("host_network", **task)["changed"]
    return result


def test_networks_of_an_endpoint(each_host: lab.Host) -> None:
    """The default route and the ports are on the gateway network: not internal, then by name."""
    host = each_host
    result = _converged(host, ip_forward={}, bridges=NETS, endpoints=_web("int", "zz", "aa"))
    assert _addresses("web") == {"eth0": "10.3.0.2", "eth1": "10.2.0.2", "eth2": "10.1.0.2"}
    assert _route("web") == "default via 10.1.0.1 dev eth2"
    assert "--to-destination 10.1.0.2:80" in host.save() and "10.2.0.2:80" not in host.save()
    told = [item["ipv4_address"] for item in result["endpoints"][0]["networks"]]
    assert told == ["10.3.0.2", "10.2.0.2", "10.1.0.2"]
    hosts = Path("/etc/netns/web/hosts").read_text()
    assert [line.split()[0] for line in hosts.splitlines() if line.endswith("web")] == told
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
    assert host.run("port_publish", endpoint="web", published_ports=["8080:80"])["changes"] == []


def test_priority_of_the_gateway(host: lab.Host) -> None:
    """``gw_priority`` goes before the names; a later task that says nothing of it leaves the ports where they are."""
    first = {"bridge": "zz", "gw_priority": 1}
    _converged(host, ip_forward={}, bridges=NETS, endpoints=_web(first, "aa", "int"))
    assert _route("web") == "default via 10.2.0.1 dev eth0"
    host.run("port_publish", endpoint="web", published_ports=["8080:80", "8081:81"])
    assert "--to-destination 10.2.0.2:81" in host.save() and "10.1.0.2:" not in host.save()
    _converged(host, bridges=NETS, endpoints=_web("zz", "aa", "int"))
    assert _route("web") == "default via 10.1.0.1 dev eth1"
    assert "--to-destination 10.1.0.2:80" in host.save() and "10.2.0.2:80" not in host.save()


def test_connect_and_disconnect(host: lab.Host) -> None:
    """The list is all that the endpoint is on, in either form; what it leaves goes with all that belonged to it."""
    _converged(host, ip_forward={}, bridges=NETS, endpoints=_web("zz", "int"))
    before = scenes.whole(host)
    _converged(host, endpoints=_web("zz", "int", "aa"))
    assert _route("web") == "default via 10.1.0.1 dev eth2"
    _converged(host, endpoints=_web("zz", "int"))
    assert scenes.differs(before, lambda: scenes.whole(host)) == ""
    _converged(host, endpoints=[{"name": "web", "bridge": "zz"}])
    assert _addresses("web") == {"eth0": "10.2.0.2"} and "10.3.0.2" not in host.save()
    _converged(host, endpoints=_web("zz", "int"))
    _converged(host, endpoints=[{"name": "web", "network_mode": "none"}])
    assert _addresses("web") == {} and "10.2.0.2" not in host.save()


def test_absent_and_purge(host: lab.Host) -> None:
    """An endpoint goes with all its networks, so that these may go in the same task."""
    empty = {"bridges": [], "endpoints": [], "purge": True}
    for away in ({"endpoints": [{"name": "web", "state": "absent"}]}, {"endpoints": [], "purge": True}):
        _converged(host, bridges=NETS, endpoints=_web("zz", "aa", "int"))
        _converged(host, **away)
        assert "veth" not in host.sh("ip -br link") and not Path("/run/netns/web").exists()
    _converged(host, bridges=NETS, endpoints=_web("zz", "aa", "int"))
    _converged(host, **empty)
    assert "zz" not in host.sh("ip -br link") and "10.2.0.2" not in host.save()


def test_described_and_fed_back(host: lab.Host) -> None:
    """One endpoint with its networks, also where a daemon named the host ends."""
    first = {"bridge": "zz", "gw_priority": 7, "ipv4_address": "10.2.0.9"}
    host.run("host_network", ip_forward={}, bridges=NETS, endpoints=_web(first, "aa", {"bridge": "int"}))
    words = host.run("host_network_info")
    (web,) = words["endpoints"]
    assert [(item["bridge"], item["interface"]) for item in web["networks"]] == [
        ("zz", "eth0"),
        ("aa", "eth1"),
        ("int", "eth2"),
    ]
    assert web["networks"][0]["gw_priority"] == 1 and "host_interface" not in str(web)
    told = {name: words[name] for name in ("ip_forward", "bridges", "endpoints", "ports")}
    assert host.run("host_network", purge=True, **told)["changes"] == []
    name = json.loads(host.sh("ip -j link show master aa"))[0]["ifname"]
    host.sh(f"ip link set {name} down; ip link set {name} name veth0dd5; ip link set veth0dd5 up")
    words = host.run("host_network_info")
    assert words["endpoints"][0]["networks"][1]["host_interface"] == "veth0dd5"
    told = {name: words[name] for name in ("ip_forward", "bridges", "endpoints", "ports")}
    assert host.run("host_network", purge=True, **told)["changes"] == []


def test_gateway_of_each_family(host: lab.Host) -> None:
    """Where the network with priority has no IPv6, another one has IPv6's default route, and both are described."""
    dual = {"name": "aa", "bip": "10.1.0.1/24", "ipv6": True, "bip6": "fd00:1::1/64"}
    nets = [dual, {"name": "zz", "bip": "10.2.0.1/24"}]
    host.run("host_network", ip_forward={}, bridges=nets, endpoints=_web("aa", {"bridge": "zz", "gw_priority": 1}))
    assert _route("web") == "default via 10.2.0.1 dev eth1"
    assert "default via fd00:1::1 dev eth0" in lab.sh("web", "ip -6 route")
    words = host.run("host_network_info")
    told = {name: words[name] for name in ("ip_forward", "bridges", "endpoints", "ports")}
    assert host.run("host_network", purge=True, **told)["changes"] == []
    assert not host.run("port_publish", endpoint="web", published_ports=["8080:80"])["changed"]
    assert _route("web") == "default via 10.2.0.1 dev eth1"


@pytest.mark.parametrize(
    "words, said",
    [
        ({"networks": []}, "networks: []: give at least one network, or network_mode: none"),
        ({"networks": [{}], "bridge": "zz"}, "bridge: 'zz': give it in the items of networks"),
        ({"networks": [{"bridge": "zz"}, {"bridge": "zz"}]}, "networks[1].bridge: 'zz': listed already as"),
        ({"networks": [{"bridge": "zz", "ipv4_address": "10.9.0.1"}]}, "networks[0].ipv4_address: '10.9.0.1': not in"),
        ({"networks": [{"bridge": "zz"}], "network_mode": "none"}, "conflicts with network_mode: none"),
        ({"networks": [{"bridge": "zz", "interface": "lo"}]}, "networks[0].interface: 'lo'"),
    ],
)
def test_networks_that_cannot_be(host: lab.Host, words: Dict[str, Any], said: str) -> None:
    host.run("docker_bridge", bridges=NETS)
    before = lab.snapshot(host)
    assert said in host.run("veth_endpoint", fails=True, name="web", **words)["msg"]
    assert lab.difference(before, lab.snapshot(host)) == ""


def test_reserved_addresses(host: lab.Host) -> None:
    """Docker's aux addresses: nobody gets them, neither by itself nor by asking."""
    net = {"name": "docker0", "reserved_addresses": ["172.17.0.2", "172.17.0.4"]}
    names = [{"name": name} for name in ("a", "b")]
    result = _converged(host, bridges=[net], endpoints=names)
    assert [item["ipv4_address"] for item in result["endpoints"]] == ["172.17.0.3", "172.17.0.5"]
    assert result["bridges"][0]["reserved_addresses"] == net["reserved_addresses"]
    asks = [{"name": "c", "ipv4_address": "172.17.0.4"}]
    said = host.run("host_network", fails=True, bridges=[net], endpoints=asks)["msg"]
    assert "in use by reserved_addresses of bridge docker0" in said


def test_default_gateway_is_reserved(host: lab.Host) -> None:
    host.run("docker_bridge")
    items = [{"name": "a", "default_gateway": "172.17.0.2"}, {"name": "b"}]
    told = host.run("veth_endpoint", endpoints=items)["endpoints"]
    assert [item["ipv4_address"] for item in told] == ["172.17.0.3", "172.17.0.4"]


def test_inhibited_ipv4(host: lab.Host) -> None:
    """The bridge has no address, somebody else on it has: endpoints route through that one."""
    net = {"name": "br-n1", "bip": "10.10.0.1/24", "inhibit_ipv4": True}
    _converged(host, ip_forward={}, bridges=[net], endpoints=[{"name": "web", "bridge": "br-n1"}])
    assert "inet " not in host.sh("ip addr show br-n1")
    assert _route("web") == "default via 10.10.0.1 dev eth0" and _addresses("web") == {"eth0": "10.10.0.2"}
    assert "-s 10.10.0.0/24 ! -o br-n1 -j MASQUERADE" in host.save()
    words = host.run("host_network_info")
    assert words["bridges"][0]["inhibit_ipv4"] and words["bridges"][0]["bip"] == "10.10.0.1/24"
    told = {name: words[name] for name in ("ip_forward", "bridges", "endpoints", "ports")}
    assert host.run("host_network", purge=True, **told)["changes"] == []
    assert not host.run("veth_endpoint", name="web", bridge="br-n1")["changed"]
    # Its subnet is taken, although no address tells of it.
    pool = [{"base": "10.10.0.0/16", "size": 24}]
    assert host.run("docker_bridge", name="br-n2", default_address_pools=pool)["bridges"][0]["bip"] == "10.10.1.1/24"
    _converged(host, bridges=[{**net, "inhibit_ipv4": False}])
    assert "inet 10.10.0.1/24" in host.sh("ip addr show br-n1")


def test_network_of_ipv6_alone(host: lab.Host) -> None:
    net = {"name": "br-n1", "ipv4": False, "ipv6": True, "bip6": "fd00:6::1/64"}
    web = {"name": "web", "bridge": "br-n1", "published_ports": ["8080:80"]}
    _converged(host, ip_forward={}, bridges=[net], endpoints=[web])
    assert "inet " not in host.sh("ip addr show br-n1") and _addresses("web") == {}
    assert "br-n1" not in host.save() and "--to-destination [fd00:6::2]:80" in host.save("ip6")
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "2001:db8:1::1", 8080) == "open, from=2001:db8:1::fe"
    words = host.run("host_network_info")
    assert words["bridges"][0]["ipv4"] is False
    told = {name: words[name] for name in ("ip_forward", "bridges", "endpoints", "ports")}
    assert host.run("host_network", purge=True, **told)["changes"] == []


@pytest.mark.parametrize(
    "words, said",
    [
        ({"ipv4": False}, "ipv4: False: IPv4 or IPv6 must be on"),
        ({"ipv4": False, "ipv6": True, "bip": "10.0.0.1/24"}, "bip: '10.0.0.1/24': it needs ipv4: true"),
        ({"ipv4": False, "ipv6": True, "inhibit_ipv4": True}, "inhibit_ipv4: 'True': it needs ipv4: true"),
        ({"inhibit_ipv4": True, "create": False}, "inhibit_ipv4: True: conflicts with create: false"),
        ({"reserved_addresses": ["10.9.0.1"]}, "reserved_addresses[0]: '10.9.0.1': not in 172.17.0.0/16"),
        ({"reserved_addresses": ["fd00::9"]}, "reserved_addresses[0]: 'fd00::9': not in the bridge, which has no IPv6"),
        (
            {"reserved_addresses": ["172.17.0.1"]},
            "reserved_addresses[0]: '172.17.0.1': the address of the bridge itself",
        ),
        ({"reserved_addresses": ["x"]}, "reserved_addresses[0]: 'x'"),
    ],
)
def test_bridges_that_cannot_be(host: lab.Host, words: Dict[str, Any], said: str) -> None:
    assert said in host.run("docker_bridge", fails=True, **words)["msg"]
    assert "docker0" not in host.sh("ip -br link")
