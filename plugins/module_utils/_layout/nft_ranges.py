# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ranges of published ports as intervals of maps and sets, and the rules that look them up (``compact_ranges``).

Beside ``nftables.py``, which has the ports one by one. Must not know: the kernel, what is live.
"""

from __future__ import annotations

from typing import List, Sequence

from .nft_names import (
    ADDRESS_PORT_RANGES,
    FAMILIES,
    LOOPBACK_RANGES,
    OWN_RANGES,
    PORT_RANGES,
    Element,
    chain,
    collection,
    mapping,
)
from .nftables import LOOKUP, sources
from .policy import Binding, Placed, Policy
from .spans import Span, container_spans, spans


def lookups(family: int) -> List[Placed]:
    """The rules that look ranges of ports up; in the base chains, whatever networks have some."""
    ip, key = FAMILIES[family], chain(family, "nat-prerouting-and-output")
    head = "" if family == 4 else "ip6 saddr != fe80::/10 "
    single = f'{head}dnat to {ip} daddr . {LOOKUP} map @{ADDRESS_PORT_RANGES} comment "DNAT"'
    every = f'{head}dnat to {LOOKUP} map @{PORT_RANGES} comment "DNAT"'
    own = f'{ip} saddr . {ip} daddr . {LOOKUP} @{OWN_RANGES} counter masquerade comment "MASQ TO OWN PORT"'
    rules = [
        Placed(key, single, "tail", "lookup", 4),
        Placed(key, every, "tail", "lookup", 5),
        Placed(chain(family, "nat-POSTROUTING"), own, "head", "base", 0),
    ]
    if family == 4:
        guard = f'iifname != "lo" ip daddr . {LOOKUP} @{LOOPBACK_RANGES} counter drop comment "DROP REMOTE LOOPBACK"'
        rules.append(Placed(chain(4, "raw-PREROUTING"), guard, "head", "base", 2))
    return rules


def is_interval(policy: Policy, binding: Binding) -> bool:
    """Whether a port can be part of a range: a map tells the address and cannot count ports."""
    is_restricted = policy.mode == "nat-unprotected" and binding.sources is not None
    return policy.hairpin and binding.host_port in (None, binding.port) and not is_restricted


def port_ranges(policy: Policy, bindings: Sequence[Binding]) -> List[Element]:
    """The elements of ranges of published ports."""
    if policy.internal:
        return []
    elements = [element for span in spans(bindings) for element in _translated_range(policy.family, span)]
    for span in container_spans(bindings):
        place = f"{span.first.ip} . {span.first.protocol} . {span.answering('-')}"
        if policy.is_translated:
            own = collection(policy.family, OWN_RANGES)
            elements.append(Element(own, f"{span.first.ip} . {place}"))
        # One set of intervals is enough: everybody is a source like others.
        everybody = ("0.0.0.0/0" if policy.family == 4 else "::/0",)
        elements += sources(policy.family, everybody if span.first.sources is None else span.first.sources, place)
    return elements


def _translated_range(family: int, span: Span) -> List[Element]:
    first = span.first
    asked = f"{first.protocol} . {span.asked('-')}"
    if first.host_port is None:
        return []
    if first.host_ip is None:
        return [Element(mapping(family, PORT_RANGES), asked, first.ip)]
    asked = f"{first.host_ip} . {asked}"
    guard = [Element(collection(4, LOOPBACK_RANGES), asked)] if family == 4 and first.is_loopback else []
    return [Element(mapping(family, ADDRESS_PORT_RANGES), asked, first.ip), *guard]
