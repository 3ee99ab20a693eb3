# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is reachable from outside, by the live rules of one family. Must not know: how rules are written, Docker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple, Union

from .conditions import is_in
from .site import is_loopback
from .space import EVERY, PORTS, Box, Region, Space, add, marks, merged, ports_of, runs, within, without
from .tracer import End, Trace, Tracer
from .walk import Count, Flow, Ports, Run, counted, cut

Item = Dict[str, Any]
ANY = {4: "0.0.0.0", 6: "::"}


class Listener(NamedTuple):
    """A socket of the host: ``address`` empty takes every address, ``interface`` empty every interface."""

    protocol: str
    address: str
    port: int
    holder: str
    interface: str = ""


@dataclass(frozen=True)
class Outside:
    """What is looked at: ``interfaces`` by which somebody outside comes in, the ``endpoints``' names by address, the
    host's own listeners, the protocols; ``unread`` are interfaces behind which rules decide that could not be read,
    ``*`` for all."""

    interfaces: Tuple[str, ...]
    endpoints: Mapping[str, Union[str, None]]
    listeners: Sequence[Listener] = ()
    protocols: Tuple[str, ...] = ("tcp", "udp")
    unread: FrozenSet[str] = frozenset()


class _Found(NamedTuple):
    """A run of ports of some addresses that are reached alike."""

    protocol: str
    ports: Run
    flow: Flow
    places: Tuple[Box, ...]
    is_certain: bool
    packets: Union[int, None]
    listener: Union[Listener, None] = None


def exposure(tracer: Tracer, outside: Outside) -> List[Item]:
    """Every port of every address that somebody outside may reach, with who that is and where it leads.

    The items are those of ``host_network_info``'s result ``exposure``.
    """
    space = tracer.space(outside.interfaces)
    who = _Who(tracer, space)
    own = [address for address in tracer.site.addresses if not is_loopback(address) and not _is_on_link(address)]
    by_item: Dict[Tuple[Any, ...], List[str]] = {}
    for addresses in alike(tracer, own, outside.endpoints):
        for protocol in outside.protocols:
            for found in _reached(tracer, space, outside, protocol, addresses[0]):
                by_item.setdefault(_key(found, who, outside), []).extend(_addresses(found, addresses))
    items = [item for key, named in by_item.items() for item in _items(key, named, own, tracer.family)]
    return sorted(items, key=lambda item: (item["protocol"], _first(item["port"]), item["address"], item["sources"]))


def is_of(address: str, family: int) -> bool:
    """Whether an address is of a family."""
    return (":" in address) == (family == 6)


def _is_on_link(address: str) -> bool:
    """Whether an address holds on one link only, where every interface has one: nobody further away has it."""
    return is_in(address, ("fe80::/10", "169.254.0.0/16"))


def alike(tracer: Tracer, own: Sequence[str], endpoints: Iterable[str]) -> Iterator[List[str]]:
    """All addresses that may lead in; those of the host that no rule tells apart are traced as one."""
    named = {net for base in tracer.bases for net in base.targets}
    nets = sorted(net for net in named if "/" in net or "-" in net)
    groups: Dict[Tuple[Any, ...], List[str]] = {}
    for address in own:
        mentioned = address if address in named or f"{address}/{_LENGTH[tracer.family]}" in named else ""
        groups.setdefault((mentioned, *(net for net in nets if is_in(address, [net]))), []).append(address)
    yield from groups.values()
    others = [*endpoints, *named_alone(tracer)]
    for address in dict.fromkeys(others):
        if is_of(address, tracer.family) and not tracer.site.is_local(address):
            yield [address]


_LENGTH = {4: 32, 6: 128}


def named_alone(tracer: Tracer) -> Iterator[str]:
    """Single addresses that rules of translation name: others may send packets for them here."""
    for base in tracer.bases:
        if base.is_nat and base.hook == "prerouting":
            for net in base.targets:
                address, _slash, length = net.partition("/")
                if length in ("", str(_LENGTH[tracer.family])) and "-" not in address:
                    yield address


def _reached(tracer: Tracer, space: Space, outside: Outside, protocol: str, target: str) -> Iterator[_Found]:
    """What packets to one address reach."""
    somebody = space.sources.whole & ~tracer.nobody(space)
    everybody = {((1 << len(space.interfaces)) - 1, somebody): PORTS}
    flow = Flow(protocol, target, target, ports=Ports())
    trace = tracer.trace(flow, everybody, space)
    doubtful = _doubtful(trace)
    for end, region in trace.ends.items():
        if end.end == "forwarded" and _is_reached(end.flow, outside):
            parts = _parts(trace, end, region)
        elif end.end == "host":
            parts = _heard(trace, end, region, space, outside.listeners)
        else:
            continue
        is_read = not outside.unread & {"*", end.flow.out} and end.flow.is_sure
        for counted_runs, reaching, listener in parts:
            shared = _Shared(reaching, doubtful if is_read else None)
            for count, run in counted_runs:
                for (piece, is_certain), boxes in shared.pieces(run).items():
                    places, packets = shared.places(boxes), count[0] if count else None
                    yield _Found(protocol, piece, end.flow, places, is_certain, packets, listener)


def _is_reached(flow: Flow, outside: Outside) -> bool:
    """Whether packets that are forwarded reach something of this host's: what is only passed on does not count, nor do
    packets for an endpoint that the host sends elsewhere, because its bridge has no address."""
    if flow.target in outside.endpoints:
        return flow.out not in outside.interfaces
    return flow.is_translated


def _doubtful(trace: Trace) -> Region:
    """The packets of which it is not certain where they end: they are in several ends."""
    seen: Region = {}
    doubtful: Region = {}
    for region in trace.ends.values():
        for (interfaces, sources), ports in region.items():
            add(doubtful, within(seen, Box(interfaces, sources, ports)))
        add(seen, region)
    return doubtful


# Runs of ports with their rules' counters, the packets that come to them, and who hears them.
Part = Tuple[Sequence[Tuple[Union[Count, None], Run]], Region, Union[Listener, None]]


def _parts(trace: Trace, end: End, region: Region) -> Iterator[Part]:
    """The ports of packets, each with the rule that counts it."""
    if end.flow.is_translated:
        yield end.flow.ports.counted, region, None
        return
    rest = region
    for flow, action, accepted in trace.accepted:
        if (flow.target, flow.out) != (end.flow.target, end.flow.out):
            continue
        for (interfaces, sources), ports in accepted.items():
            box = Box(interfaces, sources, ports)
            hit = within(rest, box)
            if hit:
                yield counted(action, ports_of(hit)), hit, None
                rest = without(rest, box)
    yield [(None, run) for run in dict.fromkeys(run for ports in rest.values() for run in runs(ports))], rest, None


def _heard(trace: Trace, end: End, region: Region, space: Space, listeners: Iterable[Listener]) -> Iterator[Part]:
    """The ports of the host itself that somebody listens on."""
    for listener in listeners:
        if listener.protocol != end.flow.protocol:
            continue
        box = Box(ports=end.flow.ports.asked(1 << listener.port))
        if listener.interface:
            box = box._replace(interfaces=space.interface(listener.interface))
        hit = within(region, box)
        if hit and (not end.flow.is_translated or listener.address in ("", end.flow.target)):
            yield from ((ports, part, listener) for ports, part, _nobody in _parts(trace, end, hit))


class _Shared:
    """What is the same for most ports of a region: who comes to them, and whether that is certain."""

    def __init__(self, region: Region, doubtful: Region | None) -> None:
        self._parts: List[Tuple[bool, Box, bytes]] = []
        self._merged: Dict[Tuple[int, ...], Tuple[Box, ...]] = {}
        for is_certain, part in _by_certainty(region, doubtful):
            self._parts += [(is_certain, Box(*place, ports), marks(ports)) for place, ports in part.items()]

    def pieces(self, run: Run) -> Dict[Tuple[Run, bool], List[Box]]:
        """A run of ports in pieces that are reached by the same packets."""
        found: Dict[Tuple[Run, bool], List[Box]] = {}
        for is_certain, box, bits in self._parts:
            for piece in cut([run], box.ports, bits):
                found.setdefault((piece, is_certain), []).append(box)
        return found

    def places(self, boxes: Sequence[Box]) -> Tuple[Box, ...]:
        """From where packets come, whatever their port."""
        name = tuple(id(box) for box in boxes)  # the masks of their ports are long to compare
        if name not in self._merged:
            self._merged[name] = tuple(merged([box._replace(ports=EVERY) for box in boxes]))
        return self._merged[name]


def _by_certainty(region: Region, doubtful: Region | None) -> Iterator[Tuple[bool, Region]]:
    """The packets of which it is certain that they come, and the others; ``doubtful`` None: all are such."""
    if not doubtful:
        yield doubtful is not None, region
        return
    certain, rest = region, {}  # type: Tuple[Region, Region]
    for (interfaces, sources), ports in doubtful.items():
        box = Box(interfaces, sources, ports)
        add(rest, within(certain, box))
        certain = without(certain, box)
    yield True, certain
    yield False, rest


def _addresses(found: _Found, addresses: Sequence[str]) -> List[str]:
    """The addresses of a group at which a port is reached: those that its listener has."""
    bound = found.listener.address if found.listener and not found.flow.is_translated else ""
    return [address for address in addresses if bound in ("", address)]


class _Who:
    """Interfaces and sources in words; most ports have the same."""

    def __init__(self, tracer: Tracer, space: Space) -> None:
        self._space, self._nobody = space, tracer.nobody(space)
        self._told: Dict[Tuple[Box, ...], Tuple[Any, ...]] = {}

    def told(self, places: Tuple[Box, ...]) -> Tuple[Any, ...]:
        """Names of interfaces and CIDRs, for each place."""
        if places not in self._told:
            self._told[places] = tuple(
                (
                    tuple(self._space.names(box.interfaces)),
                    tuple(self._space.sources.networks(box.sources, self._nobody)),
                )
                for box in places
            )
        return self._told[places]


def _key(found: _Found, who: _Who, outside: Outside) -> Tuple[Any, ...]:
    """An item but for its address."""
    flow, listener = found.flow, found.listener
    where: Tuple[Any, ...] = (None, None, None, listener.holder or None if listener else None)
    if listener is None:
        where = (outside.endpoints.get(flow.target), flow.target, ports_text(_now(flow, found.ports)), None)
    return (found.protocol, ports_text(found.ports), where, found.packets, found.is_certain, who.told(found.places))


def _now(flow: Flow, asked: Run) -> Run:
    return flow.ports.now(asked[0]), flow.ports.now(asked[1])


def ports_text(run: Run) -> int | str:
    """A port is a number, a run of them is text: ``8000-8099``."""
    return run[0] if run[0] == run[1] else f"{run[0]}-{run[1]}"


def _first(port: int | str) -> int:
    return int(str(port).partition("-")[0])


def _items(key: Tuple[Any, ...], named: Sequence[str], own: Sequence[str], family: int) -> Iterator[Item]:
    """The items of what is reached alike; an address of the host's stands for all of them where that is so."""
    protocol, port, (endpoint, container, container_port, holder), packets, is_certain, who = key
    if own and set(named) >= set(own):
        named = [ANY[family], *(address for address in named if address not in own)]
    for address in dict.fromkeys(named):
        for interfaces, sources in who:
            yield {
                "protocol": protocol,
                "address": address,
                "port": port,
                "interfaces": list(interfaces),
                "sources": list(sources),
                "endpoint": endpoint,
                "container_address": container,
                "container_port": container_port,
                "holder": holder,
                "packets": packets,
                "certain": is_certain,
            }
