# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever somebody changes by hand, a run in check mode names it, and a run mends it by the smallest change."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any, Dict, Iterator, List, Tuple

import pytest

import drifts
import lab
import scenes
from drifts import DECLARED, DEVICES, Drift
from drifts_iptables import IPTABLES
from drifts_nftables import NFTABLES

# What the old iptables has of its own is how rules are moved and taken out.
_LEGACY = re.compile("doubled|behind|before|moved|missing|policy|edited|sources")
_BACKENDS: Dict[str, List[Drift]] = {
    "nft": [*DEVICES, *IPTABLES],
    "legacy": [drift for drift in IPTABLES if _LEGACY.search(drift.name)],
    "nftables": [*DEVICES, *NFTABLES],
}


def _marks(kind: str, drift: Drift) -> List[pytest.MarkDecorator]:
    """Devices are the same on either backend: with the second one they are for the slow tests."""
    return [pytest.mark.slow] if kind == "nftables" and drift in DEVICES else []


CASES = [
    pytest.param(kind, drift, id=f"{kind}-{drift.name}", marks=_marks(kind, drift))
    for kind, cases in _BACKENDS.items()
    for drift in cases
]


class Declared:
    """A host in the declared state; it is made anew only after a test that did not leave it so."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._is_clean = False

    def fresh(self) -> Tuple[lab.Host, Dict[str, str]]:
        """The host and all of its state, for one test."""
        if not self._is_clean:
            lab.clear()
            self.host = lab.new_host("nft", "nftables") if self.kind == "nftables" else lab.new_host(self.kind)
            if self.kind != "nftables":
                self.host.sh(drifts.FOREIGN)
            self.host.run("host_network", **DECLARED)
            self.before = scenes.whole(self.host)
        self._is_clean = False
        return self.host, self.before

    def is_as_before(self, differs: Tuple[str, ...] = ()) -> None:
        """The end of a test: the host is in the declared state, byte for byte."""
        assert not self.host.run("host_network", check=True, **DECLARED)["changed"]

        def compared(state: Dict[str, str]) -> Dict[str, str]:
            return {name: _sorted_rules(text) for name, text in state.items() if not name.startswith(differs or "-")}

        wrong = scenes.differs(compared(self.before), lambda: compared(scenes.whole(self.host)))
        assert not wrong, wrong
        self._is_clean = not differs


@pytest.fixture(scope="module")
def declared(preloaded: None, request: pytest.FixtureRequest) -> Iterator[Declared]:
    lab.clear()
    yield Declared(request.param)
    lab.clear()


def _sorted_rules(text: str) -> str:
    """Neighbouring rules that do not depend on each other in the order of their texts: a port that comes back stands
    at an end of its chain, as with dockerd, whatever other ports there are. The rules of one port keep their order,
    and what leads to another chain or speaks of a whole bridge stays in its place among them."""
    rows: List[str] = []
    for kind, members in groupby(text.splitlines(), _kind_of):
        lines = list(members)
        rows += lines if kind == "other" else sorted(lines, key=_port_of)
    return "\n".join(rows)


def _kind_of(line: str) -> str:
    if not re.match(r"-A |\t\t(?!type )", line) or re.search(r"-j DOCKER|jump|map|@", line):
        return "other"
    if re.search(r"dport|(-d|daddr) [0-9a-f.:]+(/32|/128)? ", line):
        return "endpoint"
    return "drop" if re.search(r"DROP|REJECT|\bdrop\b|\breject\b", line) else "accept"


def _port_of(line: str) -> str:
    """What a rule is about: an endpoint's port, else all that it says."""
    found = re.search(r"(?:-d|daddr) (\S+).*(tcp|udp).*dport (\d+)", line)
    return " ".join(found.groups()) if found else line


def _shown(result: Dict[str, Any]) -> str:
    """The lines that ``--diff`` shows as gone, new or in another place."""
    rows: List[str] = []
    for section in result["diff"]:
        before, after = section["before"].splitlines(), section["after"].splitlines()
        for row in {*before, *after}:
            rows += [row] if before.count(row) != after.count(row) else []
        rows += [row for row, other in zip(before, after) if row != other]
    return "\n".join(rows)


@pytest.mark.parametrize("declared, drift", CASES, indirect=["declared"])
def test_what_is_changed_by_hand(declared: Declared, drift: Drift) -> None:
    host, _before = declared.fresh()
    host.sh(drifts.PRELUDE + drift.by_hand)
    found = host.run("host_network", check=True, diff=True, **DECLARED)
    assert tuple(found["changes"]) == drift.changes
    assert drift.shows in _shown(found)
    assert host.run("host_network", **DECLARED)["changes"] == found["changes"]
    declared.is_as_before(drift.differs)


# More than one declares: what purge takes away, and by which change that is seen.
STRAYS: Dict[str, Tuple[str, Dict[str, Any], str]] = {
    "endpoint": ("veth_endpoint", {"name": "stray"}, "delete netns /run/netns/stray"),
    "endpoint-without-network": (
        "veth_endpoint",
        {"name": "stray", "network_mode": "none"},
        "delete netns /run/netns/stray",
    ),
    "bridge": ("docker_bridge", {"name": "br-stray", "bip": "10.77.0.1/24"}, "delete link host br-stray"),
    "port": (
        "port_publish",
        {"endpoint": "web", "published_ports": [*DECLARED["endpoints"][0]["published_ports"], "9999:99"]},
        r"update (nft_map|chain) \S+ .*\(\+0 -1",
    ),
}


@pytest.mark.parametrize("declared", ["nft", "nftables"], indirect=True)
@pytest.mark.parametrize("stray", STRAYS)
def test_what_nobody_declared(declared: Declared, stray: str) -> None:
    host, _before = declared.fresh()
    module, options, mended = STRAYS[stray]
    host.run(module, **options)
    changes = host.run("host_network", check=True, **DECLARED)["changes"]
    assert any(re.match(mended, line) for line in changes)
    # Nothing but deletions, of things that no declared one is part of; rules and elements only go.
    assert all(
        re.match(r"delete |update (chain|nft_\w+) .*\(\+0 -\d+ (rules|elements)\)$", line) for line in changes
    ), changes
    assert host.run("host_network", **DECLARED)["changes"] == changes
    declared.is_as_before()


OTHERS = {
    "nft": "iptables -I FORWARD -s 203.0.113.9 -j DROP; iptables -A DOCKER -s 203.0.113.9 -j DROP",
    "nftables": "nft insert rule ip docker-bridges raw-PREROUTING ip saddr 203.0.113.9 drop",
}


@pytest.mark.parametrize("declared", OTHERS, indirect=True)
def test_what_is_not_ours_is_no_drift(declared: Declared) -> None:
    """A rule at the head of a chain of ours, a link, an address, a setting of others: not named, not touched."""
    host, _before = declared.fresh()
    host.sh(OTHERS[declared.kind])
    host.sh("ip link add vpn0 type bridge; ip addr add 10.99.0.1/24 dev vpn0; ip addr add 10.98.0.1/24 dev docker0")
    host.sh("sysctl -qw net.ipv4.conf.docker0.rp_filter=2; ip netns add other")
    before = scenes.whole(host)
    assert not host.run("host_network", check=True, **DECLARED)["changed"]
    assert not host.run("host_network", **DECLARED)["changed"]
    assert not lab.difference(before, scenes.whole(host))


def test_a_foreign_rule_stays_where_user_rules_move(each_backend: lab.Host) -> None:
    """The administrator's rules go back to the head; what somebody put before them keeps its packet counter."""
    host = each_backend
    host.run("host_network", **DECLARED)
    if host.backend:
        host.sh(
            "nft insert rule ip docker-bridges filter-user-rules ip saddr 203.0.113.9 counter packets 7 bytes 420 drop"
        )
    else:
        host.sh("iptables -I DOCKER-USER -s 203.0.113.9 -j DROP -c 7 420")
    changes = host.run("host_network", **DECLARED)["changes"]
    assert len(changes) == 1 and changes[0].endswith("(+2 -2 rules)")
    rules = host.sh(
        "nft list chain ip docker-bridges filter-user-rules" if host.backend else "iptables -vS DOCKER-USER"
    )
    assert re.search(r"office.*vpn.*203\.0\.113\.9.*\b7\b.*420", rules, re.DOTALL), rules
