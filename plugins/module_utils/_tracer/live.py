# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A live host as the tracer sees it. Must not know: how it is read, Docker."""

from __future__ import annotations

from typing import Collection, Dict, List, Sequence, Tuple

from .._rules import Counts
from .._state import HOST, Key, State, select
from . import iptables, nftables
from .exposure import Listener
from .site import Site
from .tracer import Tracer

FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
RuleSet = Tuple[State, Counts]


def tracer(live: State, family: int, rule_sets: Sequence[RuleSet]) -> Tracer:
    """The tracer of one family, without the rules that do no more than change a packet's source."""
    bases = []
    for rules, counts in rule_sets:
        bases += iptables.bases(rules, family, counts, with_sources=False)
        bases += nftables.bases(rules, family, counts, with_sources=False)
    return Tracer(family, site(live, family), tuple(bases))


def site(live: State, family: int) -> Site:
    """The host's own addresses, its routes by interfaces that are up, whether it forwards."""
    found: Dict[str, List[str]] = {}
    for key, _value in select(live, "address", HOST):
        name, _space, cidr = key.name.partition(" ")
        address = cidr.partition("/")[0]
        if (":" in address) == (family == 6):
            found.setdefault(name, []).append(address)
    routes = [value for _key, value in select(live, "route", HOST) if value["family"] == family]
    localnet = [name for name in found if _is_on(live, f"net/ipv4/conf/{name}/route_localnet")]
    if _is_on(live, "net/ipv4/conf/all/route_localnet"):
        localnet = list(found)
    return Site(
        addresses=tuple(dict.fromkeys(address for addresses in found.values() for address in addresses)),
        routes=tuple((value["dst"], value["dev"]) for value in routes if Key("up", HOST, value["dev"] or "") in live),
        is_forwarding=_is_on(live, FORWARDING[family]),
        localnet=tuple(localnet) if family == 4 else (),
        firsts=tuple((name, addresses[0]) for name, addresses in found.items()),
    )


def _is_on(live: State, sysctl: str) -> bool:
    return str(live.get(Key("sysctl", HOST, sysctl), "0")) != "0"


def uplinks(live: State, inner: Collection[str]) -> List[str]:
    """The interfaces by which somebody outside comes in: all that are up, less the ``inner`` ones, and those that only
    carry the packets of another."""
    found = []
    for key, value in select(live, "link", HOST):
        is_inner = key.name in inner or key.name == "lo" or value["kind"] == "dummy" or value["master"]
        if not is_inner and Key("up", HOST, key.name) in live:
            found.append(key.name)
    return found


def listeners(live: State, family: int) -> List[Listener]:
    """The sockets of the host that take packets of a family."""
    names = {value["index"]: key.name for key, value in select(live, "link", HOST)}
    found = []
    for key, value in select(live, "socket", HOST):
        protocol, _space, place = key.name.partition(" ")
        address, _colon, port = place.rpartition(":")
        address = address.strip("[]")
        own = 6 if ":" in address else 4
        if port != "0" and (own == family or (address == "::" and value["takes_both"])):
            bound = "" if address in ("0.0.0.0", "::") else address
            found.append(Listener(protocol, bound, int(port), value["holder"], names.get(value["device"], "")))
    return found


def protocols(rule_sets: Sequence[RuleSet]) -> Tuple[str, ...]:
    """TCP, UDP, and SCTP where any rule names it."""
    for rules, _counts in rule_sets:
        for key, value in rules.items():
            if key.kind in ("chain", "nft_chain"):
                texts = value if key.kind == "chain" else value["rules"]
            else:
                texts = value["elements"] if key.kind in ("nft_map", "nft_set") else ()
            if any("sctp" in text for text in texts):
                return ("tcp", "udp", "sctp")
    return ("tcp", "udp")
