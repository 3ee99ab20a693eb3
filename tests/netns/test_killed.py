# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After each write of a run nothing is open that is closed at both ends; a run that is killed there is ended by the
next one."""

from __future__ import annotations

import os
import re
from itertools import groupby
from typing import Any, Dict, List

import pytest

import faults
import lab
import neighbours
import scenes
import tracer
from tracer import Packet

LAN, LAN6 = "192.0.2.254", "2001:db8:1::fe"
_HOST = [("192.0.2.1", port, protocol) for port in (8080, 8081, 8443, 40000, 5432, 80) for protocol in ("tcp", "udp")]
_LOOPBACK = [("127.0.0.1", port, protocol) for port in (8080, 8081) for protocol in ("tcp", "udp")]
_DIRECT = [(f"172.17.0.{last}", port, "tcp") for last in (2, 9) for port in (80, 81, 443, 90)]
_DIRECT += [("172.17.0.2", 81, "udp"), ("10.10.0.5", 5432, "tcp"), ("10.10.0.5", 22, "tcp")]
_SIX = [("2001:db8:1::1", port, "tcp") for port in (8080, 8443, 40000)]
_SIX += [(f"fd00:17::{last}", port, "tcp") for last in (2, 3) for port in (80, 81, 443, 90)]
# Strangers from outside, and each network's endpoints at the other network.
PACKETS = [
    *(Packet(LAN, *target) for target in [*_HOST, *_LOOPBACK, *_DIRECT]),
    *(Packet(LAN6, *target) for target in _SIX),
    *(
        Packet("172.17.0.2", *target, into="docker0")
        for target in (("10.10.0.5", 5432, "tcp"), ("10.10.0.5", 22, "tcp"))
    ),
    *(Packet("10.10.0.5", *target, into="br-n1") for target in (("172.17.0.2", 80, "tcp"), ("172.17.0.2", 81, "udp"))),
    Packet("10.10.0.5", "10.10.0.6", 80, into="br-n1"),
]
# The way to what is there before, and the plan that is killed.
PLANS: Dict[str, Any] = {
    "made": ([scenes.GONE], scenes.MADE),
    "changed": ([scenes.GONE, scenes.MADE], scenes.CHANGED),
    "gone": ([scenes.MADE], scenes.GONE),
}
# Nothing but its translation tells whose it is, and that goes first: it closes a port, and may stay behind.
_RESIDUE = (
    r"-d 127\.0\.0\.1/32 ! -i lo -p udp -m udp --dport 8081 -j DROP|ip daddr 127.0.0.1 udp dport 8081 counter drop"
)
_MANY = 15  # writes that each plan has at least
_FEW = 3  # of a row of equal writes, without HOSTNET_NIGHTLY


def reached(host: lab.Host) -> Dict[Packet, str]:
    """Where each packet gets in; those that do not are left out."""
    found = {}
    tracers = {family: tracer.read(host, family) for family in (4, 6)}
    for packet in PACKETS:
        way = tracers[packet.family].way(packet)
        if way.end == "forwarded" and way.packet.out not in ("eth0", "virbr0"):
            found[packet] = f"{way.packet.target}:{way.packet.port} by {way.packet.out}"
    return found


def forwarding_on(host: lab.Host) -> None:
    """The dangerous case: the host forwards already, and its FORWARD policy is ACCEPT."""
    host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.forwarding=1")


def lead_back(host: lab.Host, tasks: List[Dict[str, Any]]) -> None:
    """From wherever the host is to where the plan begins; a host that removes the last of it stops forwarding.

    Purge cannot know whose a reserved port is.
    """
    forwarding_on(host)
    host.sh("sysctl -qw net.ipv4.ip_local_reserved_ports=")
    for options in tasks:
        host.run("host_network", **options)
        forwarding_on(host)


def without_residue(parts: Dict[str, str]) -> Dict[str, str]:
    return {name: re.sub(rf"^.*({_RESIDUE})\n", "", text, flags=re.MULTILINE) for name, text in parts.items()}


def chosen(writes: List[str], kind: str) -> List[int]:
    """The writes to die after: of long rows of equal ones the first and the last; of all on a long night."""
    numbers: List[int] = []
    place = 0
    for write, row in groupby(writes):
        length = len(list(row))
        some = {0, length - 1} if length > _FEW else set(range(length))
        every = set(range(length)) if os.environ.get("HOSTNET_NIGHTLY") else some
        is_wanted = kind == "nft" or write.startswith(("library", "nft"))
        numbers += [place + number for number in sorted(every)] if is_wanted else []
        place += length
    return numbers


def ajar(host: lab.Host, start: Dict[Packet, str], end: Dict[Packet, str]) -> List[str]:
    """The packets that get in now, and neither before the run nor after it, with their ways."""
    found = reached(host).items()
    return [f"{packet}: {way}" for packet, way in found if way not in (start.get(packet), end.get(packet))]


@pytest.mark.slow("nft-made")
@pytest.mark.parametrize("plan", PLANS)
def test_nothing_is_open_on_the_way(each_backend: lab.Host, plan: str) -> None:
    """Every prefix of the plan is traced. On a host with the old iptables, the writes of rules are what is other."""
    host, (back, then) = each_backend, PLANS[plan]
    neighbours.settle(host)
    lead_back(host, back)
    start = reached(host)
    host.run("host_network", **then)
    end = reached(host)
    lead_back(host, back)
    assert reached(host) == start

    def look(write: str) -> List[str]:
        return ajar(host, start, end) if host.firewall == "nft" or write.startswith("library") else []

    run = faults.watched(host, then, look)
    assert not run.msg and run.failed == []
    assert len(run.writes) > _MANY and reached(host) == end


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
def test_killed_after_each_write(each_backend: lab.Host, plan: str) -> None:
    host, (back, then) = each_backend, PLANS[plan]
    neighbours.settle(host)
    lead_back(host, back)
    start = reached(host)
    writes = faults.failing(host, then, lambda _number: False).writes
    end, finished = reached(host), without_residue(scenes.whole(host))
    for number in chosen(writes, host.firewall):
        lead_back(host, back)
        run = faults.killed(host, then, number)
        assert (run.result, run.failed) == (None, [writes[number]])
        where = f"killed after write {number} ({writes[number]})"
        assert ajar(host, start, end) == [], where
        host.run("host_network", **then)
        wrong = scenes.differs(finished, lambda: without_residue(scenes.whole(host)))
        assert not wrong, f"{where}: {wrong}"


def test_the_packets_tell_the_difference(host: lab.Host) -> None:
    """Without the rules that guard them, the endpoints would be reached: the packets do test something."""
    forwarding_on(host)
    host.run("host_network", **scenes.MADE)
    closed = reached(host)
    host.sh("iptables -t raw -F; iptables -F DOCKER; ip6tables -t raw -F; ip6tables -F DOCKER")
    opened = reached(host)
    assert len(closed) >= 3 and len(opened) > len(closed) + 10
