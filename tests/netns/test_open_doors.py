# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The known open doors of this field, tried with forged packets on a host whose policy of FORWARD is ACCEPT.

Each is closed; and each would let the same packet in, were it not for its guard: that is taken away by hand, and comes
back with the next run. What honest hosts reach is in ``test_reachability.py``.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple

import pytest

import forged
import lab
from forged import Packet

LAN, LAN6 = "192.0.2.254", "2001:db8:1::fe"


def task(**options: Any) -> Dict[str, Any]:
    """Two networks of both families and an internal one; ports for everybody and for the host's loopback."""

    def bridge(name: str, number: int, **more: Any) -> Dict[str, Any]:
        net = {"docker0": "172.17.0"}.get(name, f"10.{number}.0")
        return {"name": name, "bip": f"{net}.1/24", "ipv6": True, "bip6": f"fd00:{number}::1/64", **more, **options}

    return {
        "ip_forward": {"ipv6": True, "forward_policy": "accept"},
        "bridges": [bridge("docker0", 17), bridge("br-n1", 10), bridge("br-in", 20, internal=True)],
        "endpoints": [
            {"name": "web", "published_ports": ["8080:80/udp", "127.0.0.1:8081:81/udp"]},
            {"name": "cli"},
            {"name": "other", "bridge": "br-n1", "published_ports": ["8082:80/udp"]},
            {"name": "inner", "bridge": "br-in"},
        ],
    }


class Doors:
    """The doors of one host by name, and who listens behind them."""

    def __init__(self, host: lab.Host) -> None:
        self.host = host

    def lan(self, source: str, target: str, port: int) -> Packet:
        """From outside, by the uplink."""
        return Packet(self.host.lan, (self.host, "eth0"), source, target, port)

    def endpoint(self, name: str, source: str, target: str, port: int) -> Packet:
        """From an endpoint, by its bridge."""
        bridge = {"other": "br-n1", "inner": "br-in"}.get(name, "docker0")
        return Packet(name, (self.host, bridge), source, target, port)

    def ears(self) -> List[forged.Ear]:
        inside = [
            ("web", 80),
            ("web", 81),
            ("web", 99),
            ("other", 80),
            ("other", 99),
            ("inner", 99),
            (self.host.lan, 90),
        ]
        own = [(self.host, 5353, "127.0.0.1"), (self.host, 5355, "::")]
        return [*((ns, port, "::") for ns, port in inside), *own]


@pytest.fixture
def doors(each_backend: lab.Host) -> Doors:
    each_backend.run("host_network", **task())
    return Doors(each_backend)


@pytest.fixture
def heard(doors: Doors) -> Iterator[forged.Ears]:
    for ns, target in _NEIGHBOURS:  # their link addresses are known from now on
        assert any(lab.ping(ns, target) for _try in range(10))
    with forged.ears(doors.ears()) as ears:
        # Everybody hears what is let in: published ports, and the outside.
        warm = {"4": doors.lan(LAN, "192.0.2.1", 8080), "6": doors.lan(LAN6, "2001:db8:1::1", 8080)}
        warm["other"] = doors.endpoint("cli", "172.17.0.3", "192.0.2.1", 8082)
        warm["lan"] = doors.endpoint("cli", "172.17.0.3", LAN, 90)
        warm["lan6"] = doors.endpoint("cli", "fd00:17::3", LAN6, 90)
        opened(ears, warm)
        yield ears


_NEIGHBOURS = [
    ("web", "172.17.0.1"),
    ("web", "fd00:17::1"),
    ("other", "10.10.0.1"),
    ("other", "fd00:10::1"),
    ("inner", "10.20.0.1"),
    ("inner", "fd00:20::1"),
    ("cli", LAN),
    ("cli", LAN6),
]


class Guard(NamedTuple):
    """How a guard is taken away by hand: with iptables (``{}`` is iptables or ip6tables), and with nft (ip or ip6)."""

    iptables: str
    nft: str


RAW = Guard("{} -t raw -F PREROUTING", "nft flush chain {} docker-bridges raw-PREROUTING")
UNPUBLISHED = Guard("{} -F DOCKER", "nft flush chain {} docker-bridges filter-forward-in__BR")
LOOPBACK = Guard(
    "{} -t raw -D PREROUTING -d 127.0.0.1/32 ! -i lo -p udp -m udp --dport 8081 -j DROP",
    "nft flush set {} docker-bridges raw-loopback-ports",
)
INTERNAL = Guard(
    "{} -F DOCKER-INTERNAL",
    "nft flush chain {0} docker-bridges filter-forward-in__br-in; "
    "nft flush chain {0} docker-bridges filter-forward-out__br-in",
)


def take_away(host: lab.Host, guard: Guard, family: int = 4, bridge: str = "docker0") -> None:
    names = {4: "ip", 6: "ip6"} if host.backend == "nftables" else {4: "iptables", 6: "ip6tables"}
    line = guard.nft if host.backend == "nftables" else guard.iptables
    host.sh(line.format(names[family]).replace("BR", bridge))


def closed(heard: forged.Ears, doors: Dict[str, Packet]) -> None:
    assert heard.got_in(doors, is_expected=False) == []


def opened(heard: forged.Ears, doors: Dict[str, Packet]) -> None:
    assert heard.got_in(doors, is_expected=True) == sorted(doors)


def put_back(doors: Doors, heard: forged.Ears, tried: Dict[str, Packet]) -> None:
    """One run mends what was taken away, and the doors are closed again."""
    assert doors.host.run("host_network", **task())["changed"]
    closed(heard, tried)


def test_a_port_of_the_host_s_loopback(doors: Doors, heard: forged.Ears) -> None:
    """Bridges route packets to 127.0.0.1 (route_localnet): from outside and from neighbours they are dropped."""
    tried = {
        "from outside": doors.lan(LAN, "127.0.0.1", 8081),
        "from a neighbour": doors.endpoint("cli", "172.17.0.3", "127.0.0.1", 8081),
        "from another network": doors.endpoint("other", "10.10.0.2", "127.0.0.1", 8081),
    }
    closed(heard, tried)
    take_away(doors.host, LOOPBACK)
    opened(heard, tried)
    put_back(doors, heard, tried)


def test_what_the_uplink_must_not_route(doors: Doors, heard: forged.Ears) -> None:
    """Only bridges route loopback addresses: on the uplink the kernel drops them, as targets and as sources."""
    tried = {
        "a service of the loopback": doors.lan(LAN, "127.0.0.1", 5353),
        "a source of the loopback": doors.lan("127.0.0.1", "192.0.2.1", 5355),
    }
    closed(heard, tried)
    doors.host.sh("sysctl -qw net.ipv4.conf.eth0.route_localnet=1 net.ipv4.conf.eth0.accept_local=1")
    opened(heard, tried)
    doors.host.sh("sysctl -qw net.ipv4.conf.eth0.route_localnet=0 net.ipv4.conf.eth0.accept_local=0")
    closed(heard, tried)


@pytest.mark.parametrize("family", [4, 6])
def test_direct_routing(doors: Doors, heard: forged.Ears, family: int) -> None:
    """An endpoint's own address, whatever the source: published ports, others, and another network's endpoints."""
    lan, web, cli, other = {
        4: (LAN, "172.17.0.2", "172.17.0.3", "10.10.0.2"),
        6: (LAN6, "fd00:17::2", "fd00:17::3", "fd00:10::2"),
    }[family]
    published = {
        "published": doors.lan(lan, web, 80),
        "published, with a neighbour's source": doors.lan(cli, web, 80),
        "published, on another network": doors.endpoint("cli", cli, other, 80),
    }
    others = {
        "not published": doors.lan(lan, web, 99),
        "with a neighbour's source": doors.lan(cli, web, 99),
        "on another network": doors.endpoint("cli", cli, other, 99),
        "on another network, with a source there": doors.endpoint(
            "cli", {4: "10.10.0.9", 6: "fd00:10::9"}[family], other, 99
        ),
        "from an internal network": doors.endpoint("inner", {4: "10.20.0.2", 6: "fd00:20::2"}[family], web, 99),
    }
    closed(heard, {**published, **others})
    take_away(doors.host, RAW, family)
    opened(heard, published)
    closed(heard, others)  # there is a second guard
    for bridge in ("docker0", "br-n1"):
        take_away(doors.host, UNPUBLISHED, family, bridge)
    take_away(doors.host, INTERNAL, family)
    opened(heard, others)
    put_back(doors, heard, {**published, **others})


@pytest.mark.parametrize("family", [4, 6])
def test_an_internal_network(doors: Doors, heard: forged.Ears, family: int) -> None:
    """Nothing in and nothing out, neither with a source of another network nor to one."""
    lan, cli, inner, web = {
        4: (LAN, "172.17.0.3", "10.20.0.2", "172.17.0.2"),
        6: (LAN6, "fd00:17::3", "fd00:20::2", "fd00:17::2"),
    }[family]
    tried = {
        "from outside": doors.lan(lan, inner, 99),
        "from another network": doors.endpoint("cli", cli, inner, 99),
        "to the outside": doors.endpoint("inner", inner, lan, 90),
        "to the outside, with a source of another network": doors.endpoint("inner", web, lan, 90),
    }
    closed(heard, tried)
    take_away(doors.host, INTERNAL, family)
    opened(heard, tried)
    put_back(doors, heard, tried)


def test_doors_that_docker_leaves_open(doors: Doors, heard: forged.Ears) -> None:
    """``hardened`` closes them; without it the same packets get in, as with Docker's own rules."""
    host = doors.host
    tried = {
        "loopback": doors.endpoint("cli", "172.17.0.3", "127.0.0.1", 5353),
        "loopback, from an internal network": doors.endpoint("inner", "10.20.0.2", "127.0.0.1", 5353),
    }
    if host.backend == "nftables":
        tried["a port of another network"] = doors.endpoint("inner", "10.20.0.2", "192.0.2.1", 8080)
        tried["a port of another network, IPv6"] = doors.endpoint("inner", "fd00:20::2", "2001:db8:1::1", 8080)
    else:
        tried["internal, with a source of its own"] = doors.lan("10.20.0.9", "10.20.0.2", 99)
        tried["internal, from another network"] = doors.endpoint("cli", "10.20.0.9", "10.20.0.2", 99)
    opened(heard, tried)
    before = host.rules()
    assert host.run("host_network", **task(hardened=True))["changed"]
    closed(heard, tried)
    assert not host.run("host_network", **task(hardened=True))["changed"]
    words = host.run("host_network_info")
    assert all(bridge["hardened"] for bridge in words["bridges"])
    # The host itself reaches the ports of its loopback as before.
    assert heard.reached(host, "127.0.0.1", 8081)
    assert host.run("host_network", **task())["changed"]
    assert host.rules() == before
    opened(heard, tried)
