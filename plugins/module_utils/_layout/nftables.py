# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker Engine 29's nftables rules as ``nft`` prints them. Must not know: the kernel, what is live.

Mirrors ``iptables.py`` function by function, with one difference to Docker's own layout: a published port
is no rule but an element of maps and sets that one rule each looks up, and so is the guard of an endpoint's own
address, which each packet passes: their cost does not depend on how many there are. Chains, hooks, priorities,
jump maps and comments are Docker's.
"""

from __future__ import annotations

import ipaddress
from typing import List, Sequence, Tuple

from .._model import UserRule
from .._rules import MARK
from .nft_names import (
    ADDRESS_PORTS,
    CLAMP_CHAIN,
    ENTRANCES,
    FAMILIES,
    GUARDED,
    LOOPBACKS,
    NETWORK_CHAINS,
    OPEN,
    OWN,
    PORTS,
    RESTRICTED,
    SOURCES,
    Element,
    chain,
    collection,
    mapping,
)
from .policy import LOOPBACK, Binding, Link, Placed, Policy

LOOKUP = "meta l4proto . th dport"


def base(family: int, hairpin: bool) -> List[Placed]:
    """The rules of the base chains; with hairpin also for what the host sends to its loopback."""
    into = "fib daddr type local counter jump nat-prerouting-and-output"
    loopback = LOOPBACK[4] if family == 4 else "::1"
    output = into if hairpin else f"{FAMILIES[family]} daddr != {loopback} {into}"
    rules = [
        ("filter-FORWARD", "oifname vmap @filter-forward-in-jumps", 1),
        ("filter-FORWARD", "iifname vmap @filter-forward-out-jumps", 2),
        ("nat-OUTPUT", output, 1),
        ("nat-POSTROUTING", "iifname vmap @nat-postrouting-out-jumps", 1),
        ("nat-POSTROUTING", "oifname vmap @nat-postrouting-in-jumps", 2),
        ("nat-PREROUTING", into, 1),
    ]
    placed = [Placed(chain(family, name), rule, "head", "base", rank) for name, rule, rank in rules]
    return placed + _lookups(family, "", "", 0) + _loopback_guard(family) + _endpoint_guard(family)


def _loopback_guard(family: int) -> List[Placed]:
    if family == 6:
        return []
    rule = f'iifname != "lo" ip daddr . {LOOKUP} @{LOOPBACKS} counter drop comment "DROP REMOTE LOOPBACK"'
    return [Placed(chain(4, "raw-PREROUTING"), rule, "head", "base", 1)]


def _endpoint_guard(family: int) -> List[Placed]:
    ip = FAMILIES[family]
    entered = f"{ip} daddr @{GUARDED} {ip} daddr . iifname != @{ENTRANCES}"
    rule = f'{entered} counter drop comment "DROP DIRECT ACCESS"'
    return [Placed(chain(family, "raw-PREROUTING"), rule, "head", "base", 3)]


def _lookups(family: int, condition: str, suffix: str, rank: int) -> List[Placed]:
    """A single host address is looked up before any address, so it wins whatever network it leads to."""
    ip, key = FAMILIES[family], chain(family, "nat-prerouting-and-output")
    head = condition + ("" if family == 4 else "ip6 saddr != fe80::/10 ")
    single = f'{head}dnat to {ip} daddr . {LOOKUP} map @{ADDRESS_PORTS}{suffix} comment "DNAT"'
    every = f'{head}dnat to {LOOKUP} map @{PORTS}{suffix} comment "DNAT"'
    return [Placed(key, single, "tail", "lookup", rank), Placed(key, every, "tail", "lookup", rank + 2)]


def jumps(policy: Policy) -> List[Element]:
    """The ways into a network's chains."""
    name = f'"{policy.bridge}"'
    return [
        Element(mapping(policy.family, f"{way}-jumps"), name, f"jump {way}__{policy.bridge}") for way in NETWORK_CHAINS
    ]


def network(policy: Policy) -> List[Placed]:
    """The rules of one network."""
    if policy.internal:
        return _internal(policy) + _hardening(policy)
    own = _reception(policy) + _departure(policy) + _translation(policy)
    return own + _clamping(policy) + _hardening(policy)


def _hardening(policy: Policy) -> List[Placed]:
    """What Docker's rules leave open (``hardened``): the host's loopback to endpoints that forge packets, and other
    networks' published ports to endpoints of an internal one, for they are let in before its own chain is asked."""
    br, rules = policy.bridge, []
    if policy.is_closed_to_loopback:
        rule = f'iifname "{br}" ip daddr {LOOPBACK[4]} counter drop comment "DROP LOOPBACK"'
        rules.append(Placed(chain(4, "raw-PREROUTING"), rule, "tail", br))
    if policy.hardened and policy.internal:
        rule = f'iifname "{br}" oifname != "{br}" counter drop comment "INTERNAL NETWORK EGRESS"'
        rules.append(Placed(chain(policy.family, "filter-FORWARD"), rule, "head", br))
    return rules


def _placed(policy: Policy, way: str, rules: List[Tuple[int, str]]) -> List[Placed]:
    key = chain(policy.family, f"{way}__{policy.bridge}")
    return [Placed(key, rule, "tail", policy.bridge, rank) for rank, rule in rules]


_RELATED = "ct state established,related counter accept"


def _internal(policy: Policy) -> List[Placed]:
    """Nothing in from elsewhere, nothing out to elsewhere."""
    br, verdict = policy.bridge, "accept" if policy.icc else "drop"
    incoming = [
        (0, _RELATED),
        (1, f'iifname != "{br}" counter drop comment "INTERNAL NETWORK INGRESS"'),
        (4, f'counter {verdict} comment "ICC"'),
    ]
    if policy.mode == "isolated":  # the bridge has no address, so that only this tells the subnet
        other = f'{FAMILIES[policy.family]} saddr != {policy.subnet} counter drop comment "INTERNAL NETWORK INGRESS"'
        incoming.insert(2, (2, other))
    outgoing = [(0, _RELATED), (1, f'oifname != "{br}" counter drop comment "INTERNAL NETWORK EGRESS"')]
    return _placed(policy, "filter-forward-in", incoming) + _placed(policy, "filter-forward-out", outgoing)


def _reception(policy: Policy) -> List[Placed]:
    """What may come in: replies, neighbours, published ports."""
    ip = FAMILIES[policy.family]
    rules = [(0, _RELATED)]
    if policy.mode == "routed":
        icmp = "ip protocol icmp" if policy.family == 4 else "meta l4proto ipv6-icmp"
        rules.append((1, f'{icmp} counter accept comment "ICMP"'))
    if policy.fwmark:
        rules.append((2, f'{mark(policy.fwmark)} counter accept comment "ALLOW FW MARK"'))
    verdict = "accept" if policy.icc else "drop"
    rules.append((4, f'iifname "{policy.bridge}" counter {verdict} comment "ICC"'))
    if policy.mode != "nat-unprotected":
        rules.append((5, f'{ip} daddr . {LOOKUP} @{OPEN} counter accept comment "PUBLISHED PORT"'))
    allowed = f"{ip} saddr . {ip} daddr . {LOOKUP} @{SOURCES}"
    rules.append((6, f'{allowed} counter accept comment "ALLOWED SOURCE"'))
    rules.append((7, f'{ip} daddr . {LOOKUP} @{RESTRICTED} counter drop comment "OTHER SOURCE DROP"'))
    is_open = policy.mode == "nat-unprotected"
    rules.append(
        (8, 'counter accept comment "UNPROTECTED"' if is_open else 'counter drop comment "UNPUBLISHED PORT DROP"')
    )
    return _placed(policy, "filter-forward-in", rules)


def mark(fwmark: str) -> str:
    """A packet mark ``0x1`` or ``0x1/0xff`` as a match."""
    value, _slash, mask = fwmark.partition("/")
    return f"meta mark & {mask} == {value}" if mask else f"meta mark {value}"


def _departure(policy: Policy) -> List[Placed]:
    return _placed(policy, "filter-forward-out", [(0, _RELATED), (1, 'counter accept comment "OUTGOING"')])


def _translation(policy: Policy) -> List[Placed]:
    """Source translation of what leaves the network and of what the host itself sends into it; its ports' maps."""
    ip, br, rules = FAMILIES[policy.family], policy.bridge, []  # type: Tuple[str, str, List[Placed]]
    target, word = (f"snat to {policy.snat}", "SNAT") if policy.snat else ("masquerade", "MASQUERADE")
    if policy.masq and policy.mode != "routed":
        leaving = f'oifname != "{br}" {ip} saddr {policy.subnet} counter {target} comment "{word}"'
        rules += _placed(policy, "nat-postrouting-out", [(0, leaving)])
    if policy.hairpin:
        rules += _placed(
            policy,
            "nat-postrouting-in",
            [(0, f'fib saddr type local counter {target} comment "{word} FROM HOST"')],
        )
    if policy.is_translated and policy.hairpin:
        own = f"{ip} saddr . {ip} daddr . {LOOKUP} @{OWN}"
        rules += _placed(policy, "nat-postrouting-in", [(1, f'{own} counter masquerade comment "MASQ TO OWN PORT"')])
    if policy.is_translated and not policy.hairpin:
        rules += _lookups(policy.family, f'iifname != "{br}" ', f"__{br}", 1)
    return rules


def _clamping(policy: Policy) -> List[Placed]:
    """TCP connections learn the path's MTU from their first packets (``clamp_mss``; Docker has no such option)."""
    clamp = "tcp flags syn / syn,rst counter tcp option maxseg size set rt mtu"
    ways = ("iifname", "oifname") if policy.clamp else ()
    key = chain(policy.family, CLAMP_CHAIN)
    return [Placed(key, f'{way} "{policy.bridge}" {clamp}', "tail", policy.bridge) for way in ways]


def endpoint(policy: Policy, ip: str) -> List[Element]:
    """The guard of an endpoint's own address, which its bridge and trusted interfaces may pass."""
    if not policy.is_guarded:
        return []
    entrances = [f'{ip} . "{name}"' for name in sorted({policy.bridge, *policy.trusted})]
    own = [Element(collection(policy.family, ENTRANCES), entrance) for entrance in entrances]
    return [Element(collection(policy.family, GUARDED), ip), *own]


def port(policy: Policy, binding: Binding) -> List[Element]:
    """The elements of one published port. Docker gives one without a host port no translation."""
    if policy.internal:
        return []
    return translated(policy, binding) + _accepted(policy, binding)


def _accepted(policy: Policy, binding: Binding) -> List[Element]:
    """Who may reach the container's port: everybody, or the allowed sources and nobody else."""
    family, place = policy.family, f"{binding.ip} . {binding.protocol} . {binding.port}"
    if binding.sources is None:
        is_open = policy.mode == "nat-unprotected"
        return [] if is_open else [Element(collection(family, OPEN), place)]
    return [Element(collection(family, RESTRICTED), place), *sources(family, binding.sources, place)]


def sources(family: int, allowed: Sequence[str], place: str) -> List[Element]:
    """The elements that let sources reach a place: ``172.17.0.2 . tcp . 80``."""
    found = []
    for source in ipaddress.collapse_addresses(ipaddress.ip_network(item) for item in allowed):  # type: ignore[type-var]
        whole = str(source.network_address) if source.prefixlen == source.max_prefixlen else str(source)
        found.append(Element(collection(family, SOURCES), f"{whole} . {place}"))
    return found


def translated(policy: Policy, binding: Binding) -> List[Element]:
    """The elements by which the host's port leads to the endpoint's."""
    family = policy.family
    if not binding.host_port:
        return []
    suffix = "" if policy.hairpin else f"__{policy.bridge}"
    asked = f"{binding.protocol} . {binding.host_port}"
    target = f"{binding.ip} . {binding.port}"
    if binding.host_ip is None:
        elements = [Element(mapping(family, PORTS + suffix), asked, target)]
    else:
        asked = f"{binding.host_ip} . {asked}"
        elements = [Element(mapping(family, ADDRESS_PORTS + suffix), asked, target)]
    if family == 4 and binding.is_loopback:
        elements.append(Element(collection(4, LOOPBACKS), asked))
    if policy.hairpin:
        own = f"{binding.ip} . {binding.ip} . {binding.protocol} . {binding.port}"
        elements.append(Element(collection(family, OWN), own))
    return elements


def link(policy: Policy, item: Link) -> List[Placed]:
    """The two rules of a legacy link, before the neighbours are dropped; with icc on Docker makes none."""
    if policy.icc or policy.internal:
        return []
    ip = FAMILIES[policy.family]
    there = f"{ip} saddr {item.client} {ip} daddr {item.target} {item.protocol} dport {item.port} counter accept"
    back = f"{ip} saddr {item.target} {item.protocol} sport {item.port} {ip} daddr {item.client} counter accept"
    return _placed(policy, "filter-forward-in", [(3, there), (3, back)])


_STATES = ("invalid", "established", "related", "new")  # in nft's order


def user_rule(rule: UserRule, family: int) -> str:
    """One of the administrator's own rules."""
    ip, words = FAMILIES[family], []
    for side, value in (("saddr", rule.source), ("daddr", rule.destination)):
        if value is not None and value.prefixlen:
            whole = value.network_address if value.prefixlen == value.max_prefixlen else value
            words.append(f"{ip} {side} {whole}")
    words += [f'iifname "{rule.in_interface}"'] if rule.in_interface else []
    words += [f'oifname "{rule.out_interface}"'] if rule.out_interface else []
    if rule.destination_port:
        low, high = rule.destination_port
        words.append(f"{rule.protocol} dport {low if low == high else f'{low}-{high}'}")
    elif rule.protocol:
        words.append(f"meta l4proto {rule.protocol}")
    states = [state for state in _STATES if state.upper() in rule.ctstate]
    words += [f"ct state {','.join(states)}"] if states else []
    words += [f"ct original proto-dst {rule.host_port}"] if rule.host_port else []
    return " ".join([*words, f'counter {rule.action} comment "{MARK}{rule.name}"'])


def kept_forwarding(name: str) -> List[str]:
    """The rules for the end of the forward chain that let a foreign bridge's traffic pass."""
    return [f'{way} "{name}" counter accept comment "{MARK}keep"' for way in ("iifname", "oifname")]
