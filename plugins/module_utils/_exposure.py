# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be reached on a live host: ``exposure``, ``counters`` and ``metrics`` of a description.

Must not know: how the host is read, how packets are traced.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Collection, Dict, List, Mapping, NamedTuple, Sequence, Union

from . import _metrics
from ._layout.attachments import port_addresses
from ._state import HOST, State, select
from ._tracer import counters, exposure, live
from ._tracer.exposure import Outside

Words = Dict[str, Any]
RESULTS = ("exposure", "counters", "metrics")


class Sight(NamedTuple):
    """What is looked at: the host with its listeners, all rules that are in force with their counters, and the names
    of rules that could not be read."""

    state: State
    rule_sets: Sequence[live.RuleSet]
    unread: Sequence[str] = ()


def sysctls(state: State) -> List[str]:
    """What must be read beside what every description needs."""
    names = [key.name for key, _value in select(state, "link", HOST)]
    return [f"net/ipv4/conf/{name}/route_localnet" for name in ("all", *names)]


def told(sight: Sight, words: Words, wanted: Collection[str]) -> Words:
    """The results that are wanted.

    :param words: the description of the host
    """
    bridges = [bridge["name"] for bridge in words["bridges"]]
    endpoints = _endpoints(sight.state, words)
    protocols = live.protocols(sight.rule_sets)
    found: Dict[str, List[Words]] = {"exposure": [], "counters": []}
    for family in (4, 6):
        tracer = live.tracer(sight.state, family, sight.rule_sets)
        outside = Outside(
            interfaces=tuple(live.uplinks(sight.state, bridges)),
            endpoints=endpoints,
            listeners=live.listeners(sight.state, family),
            protocols=protocols,
            unread=frozenset(_behind(sight)),
        )
        if {"exposure", "metrics"} & set(wanted):
            found["exposure"] += exposure.exposure(tracer, outside)
        if {"counters", "metrics"} & set(wanted):
            found["counters"] += counters.counters(tracer, outside)
    results: Words = {name: found[name] for name in found if name in wanted}
    if "metrics" in wanted:
        results["metrics"] = _metrics.text(found["exposure"], found["counters"])
    return results


def _endpoints(state: State, words: Words) -> Dict[str, Union[str, None]]:
    """The name of each address behind a bridge; None where the endpoint has no name."""
    names: Mapping[str, str] = {
        item[key]: item["name"]
        for item in words["endpoints"]
        for key in ("ipv4_address", "ipv6_address")
        if key in item
    }
    found: Dict[str, Union[str, None]] = dict(names)
    for bridge in words["bridges"]:
        for _veth, address in port_addresses(state, bridge["name"]):
            found.setdefault(str(address.ip), None)
    for item in words["ports"]:
        found.setdefault(str(ipaddress.ip_address(item["container_ip"])), None)
    return found


def _behind(sight: Sight) -> List[str]:
    """The interfaces behind which rules decide that could not be read; an asterisk for all."""
    if any(not name.startswith("bridge ") for name in sight.unread):
        return ["*"]
    bridges = [key.name for key, value in select(sight.state, "link", HOST) if value["kind"] == "bridge"]
    return bridges if sight.unread else []
