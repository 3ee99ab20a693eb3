# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many packets the published ports have seen, by the live rules of one family. Must not know: Docker."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Iterator, List, Set, Tuple, Union

from .exposure import ANY, Item, Outside, alike, is_of, named_alone, ports_text
from .site import is_loopback
from .space import PORTS, ports_of
from .tracer import Tracer
from .walk import Count, Flow, Ports, Run, counted

_Place = Tuple[str, str, Run, Run]  # protocol, target, ports asked for, ports of the target


def counters(tracer: Tracer, outside: Outside) -> List[Item]:
    """The packets and bytes of every port that is published, whoever may reach it.

    The items are those of ``host_network_info``'s result ``counters``.
    """
    translating = replace(
        tracer, bases=tuple(base for base in tracer.bases if base.is_nat and base.hook == "prerouting")
    )
    own = [address for address in tracer.site.addresses if not address.startswith("fe80:")]
    own += [address for address in named_alone(translating) if is_loopback(address) and address not in own]
    found: Dict[Tuple[_Place, Union[Count, None]], List[str]] = {}
    for addresses in alike(translating, own, ()):
        for protocol in outside.protocols:
            for place, count in _translated(translating, outside, protocol, addresses[0]):
                found.setdefault((place, count), []).extend(addresses)
    items = []
    everywhere = {address for address in own if not is_loopback(address)}
    for (place, count), addresses in found.items():
        named = [ANY[tracer.family]] if everywhere and set(addresses) >= everywhere else addresses
        items += [_item(address, place, count, outside) for address in named]
    return items + list(_direct(tracer, outside, {(place[0], place[1], place[3]) for place, _count in found}))


def _translated(
    tracer: Tracer, outside: Outside, protocol: str, target: str
) -> Iterator[Tuple[_Place, Union[Count, None]]]:
    """The translations of one address that lead to endpoints."""
    space = tracer.space(("",))
    flow = Flow(protocol, target, target, ports=Ports())
    for end in tracer.trace(flow, {(1, space.sources.whole): PORTS}, space).ends:
        if end.flow.is_translated and end.flow.target in outside.endpoints:
            ports = end.flow.ports
            for count, run in ports.counted:
                yield (protocol, end.flow.target, run, (ports.now(run[0]), ports.now(run[1]))), count


def _direct(tracer: Tracer, outside: Outside, translated: Set[Tuple[str, str, Run]]) -> Iterator[Item]:
    """The ports that are open at an endpoint's own address and have no translation."""
    space = tracer.space(("",))
    for target in outside.endpoints:
        for protocol in outside.protocols if is_of(target, tracer.family) else ():
            flow = Flow(protocol, target, target, ports=Ports())
            sums: Dict[Run, Count] = {}
            for _flow, action, region in tracer.trace(flow, {(1, space.sources.whole): PORTS}, space).accepted:
                for count, run in counted(action, ports_of(region)):
                    before, more = sums.get(run, (0, 0)), count or (0, 0)
                    sums[run] = (before[0] + more[0], before[1] + more[1])
            for run, total in sums.items():
                if (protocol, target, run) not in translated:
                    yield _item(None, (protocol, target, run, run), total, outside)


def _item(address: Any, place: _Place, count: Union[Count, None], outside: Outside) -> Item:
    protocol, target, asked, now = place
    return {
        "endpoint": outside.endpoints.get(target),
        "protocol": protocol,
        "host_address": address,
        "host_port": ports_text(asked) if address else None,
        "container_address": target,
        "container_port": ports_text(now),
        "packets": count[0] if count else None,
        "bytes": count[1] if count else None,
    }
