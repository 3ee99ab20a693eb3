# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rule may ask of packets, in whatever words. Must not know: how rules are written.

Each function makes a condition; ``is_negated`` turns it round.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Callable, Iterable, List, Sequence

from .site import Site
from .space import PORTS, Box, Space, bounds, number, span
from .walk import Answer, Condition, Flow

_EPHEMERAL = (32768, 60999)  # the ports that clients have, unless they choose others


def known(test: Callable[[Flow, Site], bool | None], is_negated: bool = False) -> Condition:
    """Something that is the same for all packets of a flow."""

    def condition(flow: Flow, _space: Space, site: Site) -> Answer:
        answer = test(flow, site)
        return answer if answer is None else answer != is_negated

    return condition


def unknown(_flow: Flow, _space: Space, _site: Site) -> Answer:
    """What is not understood."""
    return None


def interface(patterns: Sequence[str], is_negated: bool = False) -> Condition:
    """The incoming interface: names, or beginnings of names with a plus or an asterisk."""

    def condition(_flow: Flow, space: Space, _site: Site) -> Answer:
        mask = 0
        for pattern in patterns:
            mask |= space.interface(pattern)
        return Box(interfaces=~mask if is_negated else mask)

    return condition


def out_interface(patterns: Sequence[str], is_negated: bool = False) -> Condition:
    """The outgoing interface."""
    return known(lambda flow, _site: any(_is_named(flow.out, pattern) for pattern in patterns), is_negated)


def _is_named(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern[-1:] in ("+", "*") else name == pattern


def sources(nets: Sequence[str], is_negated: bool = False) -> Condition:
    """The source address: addresses, CIDRs, ranges."""

    def condition(_flow: Flow, space: Space, _site: Site) -> Answer:
        mask = 0
        for net in nets:
            mask |= space.sources.mask(net)
        return Box(sources=space.sources.whole & ~mask if is_negated else mask)

    return condition


def targets(nets: Sequence[str], is_negated: bool = False) -> Condition:
    """The target address as it is now."""
    return known(lambda flow, _site: is_in(flow.target, nets), is_negated)


def asked_targets(nets: Sequence[str], is_negated: bool = False) -> Condition:
    """The target address that the client asked for."""
    return known(lambda flow, _site: is_in(flow.asked, nets), is_negated)


@lru_cache(maxsize=4096)
def _is_within(address: str, net: str) -> bool:
    family, low, high = bounds(net)
    return family == (6 if ":" in address else 4) and low <= number(address) <= high


def is_in(address: str, nets: Iterable[str]) -> bool:
    """Whether an address is in any of the nets."""
    return any(_is_within(address, net) for net in nets)


def protocol(names: Sequence[str], is_negated: bool = False) -> Condition:
    """The transport protocol."""
    return known(lambda flow, _site: flow.protocol in names or "all" in names, is_negated)


def ports_mask(spans: Iterable[str]) -> int:
    """The mask of ``80``, ``90:99`` or ``90-99``. ValueError if it is none."""
    mask = 0
    for text in spans:
        low, _sign, high = text.replace(":", "-").partition("-")
        if "-" in text.replace(":", "-"):
            mask |= span(int(low or 0), int(high or 65535))
        else:
            mask |= 1 << int(low)
    return mask & PORTS


def ports(mask: int, is_negated: bool = False) -> Condition:
    """The target port as it is now."""
    mask = PORTS & ~mask if is_negated else mask
    return lambda flow, _space, _site: Box(ports=flow.ports.asked(mask))


def asked_ports(mask: int, is_negated: bool = False) -> Condition:
    """The target port that the client asked for."""
    box = Box(ports=PORTS & ~mask if is_negated else mask)
    return lambda _flow, _space, _site: box


def client_ports(mask: int, is_negated: bool = False) -> Condition:
    """The source port. A client takes one of the ephemeral ports, or another if it likes."""
    mask = PORTS & ~mask if is_negated else mask

    def test(flow: Flow, _site: Site) -> bool | None:
        if flow.client:
            return bool(mask >> flow.client & 1)
        return True if mask & span(*_EPHEMERAL) == span(*_EPHEMERAL) else None

    return known(test)


def states(names: Iterable[str], is_negated: bool = False) -> Condition:
    """The state of a connection's first packet; DNAT and SNAT are states too."""
    wanted = {name.upper() for name in names}

    def test(flow: Flow, _site: Site) -> bool:
        here = {flow.state, *(["DNAT"] if flow.is_translated else []), *(["SNAT"] if flow.is_masked else [])}
        return bool(wanted & here)

    return known(test, is_negated)


def mark(value: int, mask: int, is_negated: bool = False) -> Condition:
    """The packet's mark."""
    return known(lambda flow, _site: None if flow.mark is None else flow.mark & mask == value, is_negated)


def target_kind(kinds: Iterable[str], is_negated: bool = False) -> Condition:
    """Whether the target is an address of the host (LOCAL) or another's (UNICAST)."""
    wanted = {kind.upper() for kind in kinds}
    return known(lambda flow, site: ("LOCAL" if site.is_local(flow.target) else "UNICAST") in wanted, is_negated)


def source_kind(kinds: Iterable[str], is_negated: bool = False) -> Condition:
    """Whether the source is an address of the host or another's."""
    wanted = {kind.upper() for kind in kinds}

    def condition(flow: Flow, space: Space, site: Site) -> Answer:
        loopback = "127.0.0.0/8" if flow.family == 4 else "::1"
        local = 0
        for address in (loopback, *site.addresses):
            local |= space.sources.mask(address)
        mask = (local if "LOCAL" in wanted else 0) | (space.sources.whole & ~local if "UNICAST" in wanted else 0)
        return Box(sources=space.sources.whole & ~mask if is_negated else mask)

    return condition


def has_way_back(is_negated: bool = False) -> Condition:
    """Whether the way back to the source leads out of the interface that a packet came in by."""

    def condition(_flow: Flow, space: Space, site: Site) -> Answer:
        found: List[Box] = []
        for name in space.interfaces:
            mask = space.sources.where(lambda address, name=name: site.route(address) == name)  # type: ignore[misc]
            mask = space.sources.whole & ~mask if is_negated else mask
            found.append(Box(interfaces=space.interface(name), sources=mask))
        return [box for box in found if box] or False

    return condition


def new_connection(mask: Iterable[str], wanted: Iterable[str], is_negated: bool = False) -> Condition:
    """TCP flags, of which a connection's first packet has SYN alone."""
    answer = ({"SYN"} & {name.upper() for name in mask}) == {name.upper() for name in wanted}
    return known(lambda flow, _site: flow.protocol == "tcp" and answer != is_negated)
