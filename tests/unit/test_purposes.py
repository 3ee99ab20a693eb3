# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every rule that the layouts make has a purpose that names what it is about; nobody else's is explained."""

from __future__ import annotations

import itertools
from typing import Iterator, List

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils._layout import (
    iptables,
    nft_patterns,
    nft_ranges,
    nftables,
    patterns,
    purposes,
    sentences,
)
from ansible_collections.hostnet.docker.plugins.module_utils._layout.policy import Binding, Link, Placed, Policy
from ansible_collections.hostnet.docker.plugins.module_utils._layout.purposes import Counted
from ansible_collections.hostnet.docker.plugins.module_utils._layout.spans import Span

IP = {4: "172.17.0.2", 6: "fd00::2"}
CLIENT = {4: "172.17.0.3", 6: "fd00::3"}
SUBNET = {4: "172.17.0.0/16", 6: "fd00::/64"}
LOOPBACK = {4: "127.0.0.1", 6: "::1"}


def policies() -> Iterator[Policy]:
    plain = [
        {"hairpin": True, "clamp": True},
        {"icc": False, "trusted": ("eth1",), "fwmark": "0x1/0xff"},
        {"mode": "nat-unprotected", "hairpin": True},
        {"mode": "routed"},
        {"internal": True},
        {"internal": True, "icc": False, "mode": "isolated"},
    ]
    for family, options in itertools.product((4, 6), plain):
        yield Policy(bridge="docker0", family=family, subnet=SUBNET[family], **options)  # type: ignore[arg-type]
        snat = "192.0.2.1" if family == 4 else "2001:db8::1"
        yield Policy(bridge="docker0", family=family, subnet=SUBNET[family], snat=snat, **options)  # type: ignore[arg-type]


def bindings(policy: Policy) -> List[Span]:
    ip, source = IP[policy.family], SUBNET[policy.family]
    first = Binding("tcp", None, 8080, ip, 80)
    return [
        Span(first),
        Span(first._replace(host_ip=LOOPBACK[policy.family])),
        Span(first._replace(sources=(source,))),
        Span(first._replace(compact=True), 5),
        Span(first._replace(compact=True, port=8080), 5),
    ]


def by_iptables(policy: Policy) -> Iterator[Placed]:
    yield from iptables.base(policy.family, policy.hairpin)
    yield from iptables.network(policy)
    yield from iptables.endpoint(policy, IP[policy.family])
    yield from iptables.link(policy, Link(CLIENT[policy.family], IP[policy.family], "tcp", 80))
    for span in bindings(policy):
        yield from iptables.port(policy, span)


def by_nftables(policy: Policy) -> Iterator[Placed]:
    yield from nftables.base(policy.family, policy.hairpin)
    yield from nft_ranges.lookups(policy.family)
    yield from nftables.network(policy)
    yield from nftables.link(policy, Link(CLIENT[policy.family], IP[policy.family], "tcp", 80))


def elements(policy: Policy) -> Iterator[Counted]:
    found = [*nftables.jumps(policy), *nft_ranges.port_ranges(policy, bindings(policy)[4].bindings())]
    for span in bindings(policy):
        found += nftables.port(policy, span.first)
    found += nftables.endpoint(policy, IP[policy.family])
    for item in found:
        text = f"{item.name} : {item.value}" if item.value else item.name
        yield Counted("nftables", {4: "ip", 6: "ip6"}[policy.family], "docker-bridges", item.key.name, text)


def as_read(placed: Placed, backend: str) -> Counted:
    scope = placed.key.scope.replace("/", " ").split()
    return Counted(backend, scope[0], scope[1], placed.key.name, placed.rule, 0, 0)


def every_rule() -> Iterator[Counted]:
    for policy in policies():
        yield from (as_read(placed, "iptables") for placed in by_iptables(policy))
        yield from (as_read(placed, "nftables") for placed in by_nftables(policy))
        yield from elements(policy)


def test_every_rule_of_the_layouts_is_explained() -> None:
    rules = list(dict.fromkeys(every_rule()))
    assert len(rules) > 200
    for item in rules:
        found = purposes.purpose(item, {})
        assert found.owner == "docker", item
        # What the rule says of an endpoint or of a network, the sentence says too.
        for word in ("docker0", IP[4], IP[6], "192.0.2.1", "2001:db8::1", "eth1"):
            if word in item.rule.split("/")[0].split(" ! ")[0].replace('"', " ").split() and "jump" not in item.rule:
                assert word in found.text, (item, found)


def test_every_pattern_has_a_sentence() -> None:
    """Also those of rules that only a daemon makes."""
    for known, templates in ((patterns.PATTERNS, sentences.IPTABLES), (nft_patterns._PATTERNS, sentences.NFTABLES)):
        kinds = {item[-2] for item in known}
        assert kinds <= {name.partition(" ")[0] for name in templates}


def test_endpoints_are_named() -> None:
    item = Counted(
        "iptables", "ip", "nat", "DOCKER", "-p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80"
    )
    assert purposes.purpose(item, {"172.17.0.2": "web"}).text == (
        "leads port 8080/tcp of the host to web (172.17.0.2) port 80"
    )


INCUS = '-s 10.1.0.0/24 -m comment --comment "generated for Incus network incusbr0" -j MASQUERADE'
FOREIGN = [
    ("iptables", "filter", "ufw-before-forward", "-j ACCEPT", "ufw"),
    ("iptables", "filter", "FORWARD", "-j ufw-before-forward", "ufw"),
    ("iptables", "filter", "FORWARD", "-j LIBVIRT_FWX", "libvirt"),
    ("iptables", "nat", "PREROUTING", "-m comment --comment portals -j KUBE-SERVICES", "Kubernetes"),
    ("iptables", "nat", "POSTROUTING", "-s 10.88.0.0/16 -j NETAVARK-1D8721804F16F", "podman (netavark)"),
    ("iptables", "nat", "POSTROUTING", INCUS, "Incus"),
    ("iptables", "filter", "DOCKER-ISOLATION-STAGE-2", "-o docker0 -j DROP", "an older Docker Engine"),
    ("nftables", "firewalld", "filter_FORWARD", "ct state established,related accept", "firewalld"),
    ("nftables", "libvirt_network", "forward", "counter jump guest_cross", "libvirt"),
    ("nftables", "netavark", "INPUT", "tcp dport 53 accept", "podman (netavark)"),
    ("iptables", "filter", "DOCKER", "-p tcp -m tcp --dport 80 -j ACCEPT", "unknown"),
    ("iptables", "filter", "DOCKER", "! -i docker0 -o br-web -j DROP", "unknown"),
    ("iptables", "filter", "FORWARD", "-o docker0 -j DOCKER", "unknown"),
    ("iptables", "nat", "POSTROUTING", "-s 172.17.0.0/16 -j MASQUERADE", "unknown"),
    ("nftables", "docker-bridges", "filter-forward-in__docker0", "tcp dport 22 accept", "unknown"),
    ("nftables", "mine", "nat-ports", "tcp . 8080 : 172.17.0.2 . 80", "unknown"),
]  # fmt: skip


@pytest.mark.parametrize("backend,table,chain,rule,owner", FOREIGN)
def test_what_is_not_dockers_is_not_explained(backend: str, table: str, chain: str, rule: str, owner: str) -> None:
    found = purposes.purpose(Counted(backend, "ip", table, chain, rule), {})
    assert found.owner == owner and "left alone" in found.text


def test_the_administrators_own() -> None:
    named = Counted("iptables", "ip", "filter", "DOCKER-USER", "-m comment --comment hostnet-docker-a -j DROP")
    assert purposes.purpose(named, {}) == (
        "administrator",
        "the administrator's own rule a, before anything of Docker's",
    )
    assert purposes.purpose(named._replace(rule="-s 10.0.0.0/8 -j DROP"), {}).owner == "administrator"
    kept = named._replace(chain="FORWARD", rule="-o virbr0 -m comment --comment hostnet-docker-keep -j ACCEPT")
    assert "goes to virbr0" in purposes.purpose(kept, {}).text
