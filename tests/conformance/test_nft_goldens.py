# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The native nftables that Docker Engine's own tests expect, and ours: equal to the letter but for ports and guards.

Docker has some rules a port and one an endpoint, we have elements of maps and sets: that both do the same with every
packet of a table is shown by the packet tracer, which also compares them with the iptables layout of the same options.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils._kernel import nft_json

import lab
import tracer
from shared import folder, present
from test_goldens import bridge, endpoint, words
from tracer import Packet, Site, Tracer

GOLDENS = folder("moby-goldens", "nftables")
NFT = {"firewall_backend": "nftables"}
FAMILIES = {"ip": 4, "ip6": 6}
pytestmark = [pytest.mark.slow, present(GOLDENS)]

SITES = {
    4: Site(
        ("192.0.2.1", "192.168.0.1", "10.10.0.1", "127.0.0.1"),
        (("0.0.0.0/0", "eth0"), ("192.168.0.0/24", "br-dummy"), ("10.10.0.0/24", "br-other")),
    ),
    6: Site(
        ("2001:db8:1::1", "fd49:efd7:54aa::ff", "fd00:10::1", "::1"),
        (("::/0", "eth0"), ("fd49:efd7:54aa::/64", "br-dummy"), ("fd00:10::/64", "br-other")),
    ),
}
OWN = {4: "192.168.0.2", 6: "fd49:efd7:54aa::1"}
# Who sends: from outside, the host itself, the endpoint, its neighbour, another network; and a liar from outside.
SOURCES = {
    4: [
        ("192.0.2.254", "eth0"),
        ("192.0.2.1", ""),
        ("127.0.0.1", ""),
        ("192.168.0.2", "br-dummy"),
        ("192.168.0.3", "br-dummy"),
        ("10.10.0.5", "br-other"),
        ("192.168.0.3", "eth0"),
    ],
    6: [
        ("2001:db8:1::fe", "eth0"),
        ("2001:db8:1::1", ""),
        ("::1", ""),
        ("fd49:efd7:54aa::1", "br-dummy"),
        ("fd49:efd7:54aa::3", "br-dummy"),
        ("fd00:10::5", "br-other"),
        ("fe80::1", "eth0"),
    ],
}
TARGETS = {
    4: ["192.0.2.1", "127.0.0.1", "192.168.0.1", "192.168.0.2", "192.168.0.3", "10.10.0.5", "192.0.2.254"],
    6: [*SITES[6].addresses[:2], "::1", "fd49:efd7:54aa::1", "fd49:efd7:54aa::3", "fd00:10::5", "2001:db8:1::fe"],
}


def packets(family: int) -> List[Packet]:
    """Everybody to everybody, at the published port, the container's, and others."""
    return [
        Packet(source, target, port, protocol, into)
        for source, into in SOURCES[family]
        for target in TARGETS[family]
        for port, protocol in ((8080, "tcp"), (80, "tcp"), (81, "tcp"), (8080, "udp"), (80, "udp"))
    ]


def truth(rules: Dict[Any, Any], family: int) -> Dict[Packet, Any]:
    """What becomes of each packet: its end, where it arrives, whether its source is translated."""
    of_rules: Tracer = tracer.of_rules(rules, family, SITES[family])
    ways = {packet: of_rules.way(packet) for packet in packets(family)}
    return {
        packet: (way.end, way.packet.target, way.packet.port, way.is_masked and way.end == "forwarded")
        for packet, way in ways.items()
    }


def names() -> List[str]:
    """The combinations, without Windows' own."""
    found = {path.name.partition("__")[0] for path in GOLDENS.glob("*.golden")}
    return sorted(name for name in found if "wsl2mirrored" not in name)


OF_ENDPOINTS = re.compile(
    r".*comment \"(DNAT|DROP DIRECT ACCESS|DROP REMOTE LOOPBACK|MASQ TO OWN PORT)\"|"
    r"ip6? daddr \S+ \w+ dport \d+ counter accept"
)
LOOKUPS = re.compile(
    r".*@(nat|filter-forward-in|raw-loopback|nat-postrouting-in)-(address-)?(ports|sources|restricted)\b.*"
)


def in_numbers(text: str) -> str:
    """Which hooks' priorities have a name depends on the release of nft."""
    return text.replace("priority dstnat;", "priority -100;")


def shape(text: str) -> Dict[str, List[str]]:
    """The chains and jump maps with their lines, less what is about ports and single endpoints."""
    found: Dict[str, List[str]] = {}
    block = ""
    for row in in_numbers(text).splitlines()[1:]:
        line = re.sub(r" packets \d+ bytes \d+", "", row.strip())
        if line.endswith("{") and not line.startswith("elements"):
            block = line
            found[block] = []
        elif line and line != "}" and not OF_ENDPOINTS.fullmatch(line) and not LOOKUPS.fullmatch(line):
            found[block].append(line)
    is_dockers = re.compile(r"chain .*|map \S+-jumps .*")
    return {name: lines for name, lines in found.items() if is_dockers.fullmatch(name)}


@pytest.fixture
def produced(record_property: Callable[[str, object], None], host: lab.Host, tmp_path: Path) -> Callable[[str], None]:
    """Compare what a host has with both families' files of a combination; counted for the summary."""

    def compare(name: str) -> None:
        for family, version in FAMILIES.items():
            golden = untranslated(name, (GOLDENS / f"{name}__{family}.golden").read_text())
            scope = f"{family} docker-bridges"
            listing = f"nft -j list table {scope}"
            assert shape(host.sh(f"nft list table {scope}")) == shape(golden), f"{name}__{family}"
            ours = nft_json.parse(host.sh(listing), scope).state
            file = tmp_path / family
            file.write_text(in_numbers(golden))
            host.sh(f"nft delete table {scope}; nft -f {file}")
            theirs = nft_json.parse(host.sh(listing), scope).state
            assert differences(ours, theirs, version) == {}, f"{name}__{family}"
        record_property("goldens nftables", len(FAMILIES))

    return compare


def untranslated(name: str, text: str) -> str:
    """In mode routed the daemon ignores the host port, and so do our options; its driver's own test gives it one."""
    if "gwm=routed" not in name:
        return text
    own = re.compile(r".*comment \"(DNAT|DROP REMOTE LOOPBACK|MASQ TO OWN PORT)\"$")
    return "".join(f"{row}\n" for row in text.splitlines() if not own.fullmatch(row))


def differences(ours: Dict[Any, Any], theirs: Dict[Any, Any], family: int) -> Dict[Packet, Any]:
    """The packets that fare otherwise."""
    wanted, found = truth(theirs, family), truth(ours, family)
    return {packet: (found[packet], wanted[packet]) for packet in wanted if found[packet] != wanted[packet]}


COMBINATIONS = [name for name in names() if name.startswith("hairpin")]


@pytest.mark.parametrize("name", COMBINATIONS)
def test_golden(host: lab.Host, produced: Callable[[str], None], name: str) -> None:
    """One combination, both families, by our options."""
    given = words(name)
    host.run("host_network", bridges=[bridge(given)], endpoints=[endpoint(given)], **NFT)
    produced(name)


@pytest.mark.parametrize("hairpin", [False, True])
def test_cleaned(host: lab.Host, produced: Callable[[str], None], hairpin: bool) -> None:
    """The network gone while another one stays: nothing of it is left, Docker's chains are."""
    given = {"hairpin": hairpin}
    host.run("host_network", bridges=[bridge(given)], endpoints=[endpoint(given)], **NFT)
    host.run("veth_endpoint", name="dummy", bridge="br-dummy", state="absent", **NFT)
    host.run("docker_bridge", **{**bridge(given), "iptables": False, "ip6tables": False}, **NFT)
    produced(f"cleaned,hairpin={'true' if hairpin else 'false'}")


# What a stranger sends with a neighbour's address: Docker's iptables translate by the source, its nftables by where the
# packet came in, so the backends differ on it as Docker's own do.
SPOOFED = ("192.168.0.3", "eth0")


@pytest.mark.parametrize("name", COMBINATIONS)
def test_same_as_iptables(host: lab.Host, name: str) -> None:
    """Every packet fares on both layouts alike, as far as Docker's own layouts do."""
    given = words(name)
    task = {"bridges": [bridge(given)], "endpoints": [endpoint(given)]}
    host.run("host_network", **task, **NFT)
    native = {version: tracer.rules(host, version) for version in FAMILIES.values()}
    host.run("host_network", **task, firewall_backend="iptables")
    for version in FAMILIES.values():
        found = differences(native[version], tracer.rules(host, version), version)
        assert {p: d for p, d in found.items() if (p.source, p.into) != SPOOFED} == {}


def test_a_difference_is_seen(host: lab.Host, tmp_path: Path) -> None:
    """Two combinations of which only one translates, and of which only one lets the outside in, are not alike."""
    found, file = [], tmp_path / "rules"
    for start in ("hairpin=false,internal=false", "hairpin=false,internal=true"):
        name = next(name for name in COMBINATIONS if name.startswith(start))
        file.write_text(in_numbers((GOLDENS / f"{name}__ip.golden").read_text()))
        host.sh(f"nft delete table ip docker-bridges 2>/dev/null; nft -f {file}")
        found.append(tracer.rules(host, 4))
    assert {packet.into for packet in differences(found[0], found[1], 4)} >= {"eth0", "br-dummy"}
