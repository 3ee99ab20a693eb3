# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet tracer: each step of a packet's way, and that it does not guess."""

from __future__ import annotations

import json

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils._kernel import nft_json
from ansible_collections.hostnet.docker.plugins.module_utils._rules import parse_save

import tracer as reading
from tracer import Packet, Site, Tracer, Way

SAVE = """\
*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 8081 -j DROP
-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
-A DOCKER -d 127.0.0.1/32 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.2:81
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:SKIP - [0:0]
-A INPUT -p tcp -m tcp --dport 20:22 -j ACCEPT
-A FORWARD -s 203.0.113.0/24 -m limit --limit 5/min -j DROP
-A FORWARD -j SKIP
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 -j ACCEPT
-A FORWARD -i eth+ -o eth9 -m mark --mark 0x1/0xff -j ACCEPT
-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A SKIP -m comment --comment "two words" -j RETURN
-A SKIP -j DROP
COMMIT
"""
ROUTES = [("0.0.0.0/0", "eth0"), ("172.17.0.0/16", "docker0"), ("10.9.0.0/16", "eth9")]
LAN = "192.0.2.254"


def tracer(save: str, is_forwarding: bool = True) -> Tracer:
    site = Site(("192.0.2.1", "172.17.0.1"), tuple(ROUTES), is_forwarding)
    return reading.of_rules(parse_save(save, "ip"), 4, site)


def ends(packet: Packet, save: str = SAVE, is_forwarding: bool = True) -> str:
    return told(tracer(save, is_forwarding).way(packet))


def told(way: Way) -> str:
    masked = " masked" if way.is_masked else ""
    end = f"{way.packet.target}:{way.packet.port} by {way.packet.out}" if way.end == "forwarded" else way.where
    return f"{way.end} {end}{masked}".strip()


@pytest.mark.parametrize(
    ("packet", "end"),
    [
        (Packet(LAN, "192.0.2.1", 8080), "forwarded 172.17.0.2:80 by docker0"),
        (Packet(LAN, "192.0.2.1", 22), "host"),
        (Packet(LAN, "192.0.2.1", 23), "dropped filter INPUT"),
        (Packet(LAN, "192.0.2.1", 8080, "udp"), "dropped filter INPUT"),
        (Packet(LAN, "172.17.0.2", 80), "dropped raw PREROUTING"),
        (Packet(LAN, "172.17.0.3", 80), "dropped filter FORWARD"),
        (Packet(LAN, "127.0.0.1", 8081), "dropped raw PREROUTING"),
        (Packet("192.0.2.1", "192.0.2.1", 8080, into=""), "forwarded 172.17.0.2:80 by docker0"),
        (Packet("127.0.0.1", "127.0.0.1", 8081, into=""), "host"),
        (Packet("172.17.0.2", "192.0.2.254", 80, into="docker0"), "forwarded 192.0.2.254:80 by eth0 masked"),
        (Packet("172.17.0.2", "192.0.2.1", 8080, into="docker0"), "dropped filter INPUT"),
        (Packet(LAN, "10.9.0.1", 80, mark=0x301), "forwarded 10.9.0.1:80 by eth9"),
        (Packet(LAN, "10.9.0.1", 80), "dropped filter FORWARD"),
    ],
)
def test_ways(packet: Packet, end: str) -> None:
    # Chain SKIP drops what the comment's RETURN does not send back, which is nothing.
    assert ends(packet) == end


def test_a_host_that_does_not_forward() -> None:
    assert ends(Packet(LAN, "192.0.2.1", 8080), is_forwarding=False) == "lost"


def test_nothing_is_guessed() -> None:
    """What is not understood leads both ways, and neither is certain."""
    limited = tracer(SAVE).ways(Packet("203.0.113.1", "172.17.0.2", 80, into="docker0"))
    assert {(way.end, way.is_certain) for way in limited} == {("dropped", False), ("forwarded", False)}
    queued = tracer(SAVE.replace("--dport 20:22 -j ACCEPT", "--dport 20:22 -j NFQUEUE")).ways(
        Packet(LAN, "192.0.2.1", 22)
    )
    assert {(way.end, way.is_certain) for way in queued} == {("host", False), ("dropped", False)}
    with pytest.raises(ValueError, match="not certain"):
        tracer(SAVE).way(Packet("203.0.113.1", "172.17.0.2", 80, into="docker0"))


_JUMP = {"jump": {"target": "to-docker0"}}
NATIVE = {
    "chain": [
        {"name": "pre", "type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept"},
        {"name": "fwd", "type": "filter", "hook": "forward", "prio": 0, "policy": "accept"},
        {"name": "in", "type": "filter", "hook": "input", "prio": 0, "policy": "drop"},
        {"name": "to-docker0"},
    ],
    "map": [
        {
            "name": "jumps",
            "type": "ifname",
            "map": "verdict",
            "elem": [["docker0", {"jump": {"target": "to-docker0"}}]],
        },
        {
            "name": "ports",
            "type": ["inet_proto", "inet_service"],
            "map": "ipv4_addr . inet_service",
            "elem": [[{"concat": ["tcp", 8080]}, {"concat": ["172.17.0.2", 80]}]],
        },
    ],
    "set": [
        {
            "name": "sources",
            "type": "ipv4_addr",
            "flags": ["interval"],
            "elem": [{"prefix": {"addr": "192.0.2.128", "len": 25}}],
        },
    ],
}


def native(*rules: tuple) -> Tracer:
    """A table of nftables: rules are (chain, expressions)."""
    entries = [{kind: {"family": "ip", **value}} for kind, values in NATIVE.items() for value in values]
    entries += [{"rule": {"chain": chain, "handle": 1, "expr": expr}} for chain, expr in rules]
    state = nft_json.parse(json.dumps({"nftables": entries}), "ip t").state
    site = Site(("192.0.2.1", "172.17.0.1"), tuple(ROUTES), True)
    return reading.of_rules(state, 4, site)


def _match(protocol: str, field: str, right: object, op: str = "==") -> dict:
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


_PLACE = {"concat": [{"meta": {"key": "l4proto"}}, {"payload": {"protocol": "th", "field": "dport"}}]}
RULES = (
    ("pre", [{"dnat": {"family": "ip", "addr": {"map": {"key": _PLACE, "data": "@ports"}}}}]),
    ("fwd", [{"vmap": {"key": {"meta": {"key": "oifname"}}, "data": "@jumps"}}]),
    ("to-docker0", [_match("ip", "saddr", "@sources"), {"counter": None}, {"accept": None}]),
    ("to-docker0", [_match("tcp", "dport", {"set": [22, {"range": [90, 99]}]}), {"accept": None}]),
    ("to-docker0", [{"drop": None}]),
    ("in", [_match("tcp", "dport", 22), {"limit": {"rate": 5, "per": "minute"}}, {"accept": None}]),
)


@pytest.mark.parametrize(
    ("packet", "end"),
    [
        (Packet(LAN, "192.0.2.1", 8080), "forwarded 172.17.0.2:80 by docker0"),
        (Packet("192.0.2.9", "192.0.2.1", 8080), "dropped ip t fwd"),
        (Packet("192.0.2.9", "172.17.0.9", 95), "forwarded 172.17.0.9:95 by docker0"),
        (Packet("192.0.2.9", "172.17.0.9", 89), "dropped ip t fwd"),
        (Packet(LAN, "192.0.2.1", 8080, "udp"), "dropped ip t in"),
        (Packet(LAN, "10.9.0.1", 80), "forwarded 10.9.0.1:80 by eth9"),
    ],
)
def test_native_ways(packet: Packet, end: str) -> None:
    assert told(native(*RULES).way(packet)) == end


def test_native_expressions_that_nobody_knows() -> None:
    ways = native(*RULES).ways(Packet(LAN, "192.0.2.1", 22))
    assert {(way.end, way.is_certain) for way in ways} == {("host", False), ("dropped", False)}
