# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where packets would go: live rules and routes, evaluated without sending anything.

Owns: netfilter's way of a new connection's first packet through its hooks. Must not know: how rules are written,
Docker.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from .site import Site, is_loopback
from .space import EVERY, Box, Region, Sources, Space, add, within, without
from .walk import Action, Chain, Decided, Flow, Parts, Ports, Walk, translated

# Local addresses, and those of one network, are sources of which nobody outside is.
_NOBODY = {4: ("127.0.0.0/8", "224.0.0.0/4"), 6: ("::1", "fe80::/10", "ff00::/8")}


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection; ``into`` is the interface that it comes in by, empty for the host's own."""

    source: str
    target: str
    port: int
    protocol: str = "tcp"
    into: str = "eth0"
    out: str = ""
    mark: int = 0

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.target else 4


class Way(NamedTuple):
    """What becomes of a packet: ``dropped``, ``lost`` (no way), ``host`` or ``forwarded``, with the packet at its end.

    ``where`` names the chain that dropped it, ``is_masked`` says whether its source was translated.
    """

    end: str
    packet: Packet
    where: str = ""
    is_masked: bool = False
    is_certain: bool = True


class BaseChain(NamedTuple):
    """A chain that the kernel calls: where, in which order, and its rules with those of the chains that they name.

    ``devices`` are the interfaces that it is for, none for all. ``sources`` and ``targets`` are the addresses that the
    table's rules name.
    """

    hook: str
    priority: int
    is_nat: bool
    label: str
    policy: str
    name: str
    chains: Mapping[str, Chain]
    devices: Tuple[str, ...] = ()
    sources: Tuple[str, ...] = ()
    targets: Tuple[str, ...] = ()


class End(NamedTuple):
    """Where packets end; ``where`` names the chain that dropped them."""

    end: str
    flow: Flow
    where: str = ""


class Trace(NamedTuple):
    """Where packets may end: those that are in several ends are those of which it is not certain.

    ``accepted`` are the rules that let packets in which nobody translated.
    """

    ends: Dict[End, Region]
    accepted: Decided


@dataclass(frozen=True)
class Tracer:
    """One family of one host. ``is_whole`` False: the host has rules that could not be read."""

    family: int
    site: Site
    bases: Tuple[BaseChain, ...]
    is_whole: bool = True
    _known: Dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def ways(self, packet: Packet) -> List[Way]:
        """What may become of a packet; more than one way if something on it is not understood."""
        space = self.space((packet.into,))
        start = Flow(packet.protocol, packet.target, packet.target, client=_CLIENT, mark=packet.mark, ports=Ports())
        region = {(1, space.sources.of(packet.source)): 1 << packet.port}
        found = dict.fromkeys(_way(packet, end) for end in self.trace(start, region, space, not packet.into).ends)
        return [way._replace(is_certain=len(found) == 1) for way in found]

    def way(self, packet: Packet) -> Way:
        """What becomes of a packet, where that is certain.

        :raises ValueError: it is not
        """
        found = self.ways(packet)
        if len(found) != 1:
            raise ValueError(f"not certain: {found}")
        return found[0]

    def space(self, interfaces: Sequence[str]) -> Space:
        """The sets of packets that come in by these interfaces."""
        sources = self._known.get("sources")
        if sources is None:
            named = [source for base in self.bases for source in base.sources]
            nets = [net for net, _name in self.site.routes]
            named += [*nets, *self.site.addresses, *_NOBODY[self.family]]
            sources = self._known["sources"] = Sources(self.family, named)
        return Space(interfaces, sources)

    def nobody(self, space: Space) -> int:
        """The sources from which nobody sends by these interfaces: the host's own, and those that are elsewhere."""
        elsewhere = [net for net, name in self.site.routes if name not in space.interfaces]
        mask = 0
        for text in (*self.site.addresses, *_NOBODY[self.family], *elsewhere):
            mask |= space.sources.mask(text)
        return mask if mask != space.sources.whole else 0

    def trace(self, flow: Flow, region: Region, space: Space, is_own: bool = False) -> Trace:
        """Where the packets of a region may end; ``is_own``: those that the host itself sends."""
        passage = _Passage(self.site, self.bases, space)
        arrived = passage.through("output" if is_own else "prerouting", [(flow, region)])
        for there, packets in arrived:
            passage.onward(there, packets, is_own)
        return Trace(passage.found, passage.accepted)


_CLIENT = 40000  # nobody's service


def _way(packet: Packet, end: End) -> Way:
    flow = end.flow
    now = replace(
        packet,
        target=flow.target,
        port=flow.ports.now(packet.port),
        out=flow.out,
        mark=flow.mark or 0,
    )
    return Way(end.end, now, end.where, flow.is_masked)


def _is_settled(base: BaseChain, flow: Flow) -> bool:
    """Whether a connection is translated already, by an earlier chain that said so, or never."""
    is_first = base.hook in ("prerouting", "output")
    return flow.state != "NEW" or (flow.is_translated if is_first else flow.is_masked)


class _Passage:
    """Sets of packets on their way through the hooks."""

    def __init__(self, site: Site, bases: Sequence[BaseChain], space: Space) -> None:
        self._site, self._space = site, space
        self._bases = sorted(bases, key=lambda base: base.priority)
        self.found: Dict[End, Region] = {}
        self.accepted: Decided = []

    def end(self, end: End, region: Region) -> None:
        """Note where packets end."""
        if region:
            add(self.found.setdefault(end, {}), region)

    def onward(self, flow: Flow, region: Region, is_own: bool) -> None:
        """From the routing decision to the end."""
        if self._site.is_local(flow.target):
            region = self._on_loopback(flow, region) if is_loopback(flow.target) and not is_own else region
            for here, packets in [(flow, region)] if is_own else self.through("input", [(flow, region)]):
                self.end(End("host", here), packets)
            return
        out = self._site.route(flow.target)
        flow = replace(flow, out=out)
        if not out or not (is_own or self._site.is_forwarding):
            self.end(End("lost", flow), region)
            return
        passed = [(flow, region)] if is_own else self.through("forward", [(flow, region)])
        for here, packets in self.through("postrouting", passed):
            self.end(End("forwarded", here), packets)

    def _on_loopback(self, flow: Flow, region: Region) -> Region:
        """Of packets for the loopback only those that come in by an interface which takes them."""
        mask = 0
        for name in ("lo", *self._site.localnet):
            mask |= self._space.interface(name)
        lost = without(region, Box(interfaces=mask))
        if lost:
            self.end(End("lost", flow), lost)
        return within(region, Box(interfaces=mask))

    def through(self, hook: str, parts: Parts) -> Parts:
        """The packets that pass a hook; those that end there are found."""
        hooks = ("ingress", "prerouting") if hook == "prerouting" else (hook,)
        for name in hooks:
            for base in self._bases:
                if base.hook == name:
                    parts = self._past(base, parts)
        return parts

    def _past(self, base: BaseChain, parts: Parts) -> Parts:
        onward: Dict[Flow, Region] = {}
        for flow, region in parts:
            if base.is_nat and _is_settled(base, flow):
                add(onward.setdefault(flow, {}), region)
                continue
            box = Box(interfaces=self._devices(base))
            beside = without(region, box) if base.devices else {}
            if beside:
                add(onward.setdefault(flow, {}), beside)
            inside = within(region, box)
            if inside:
                self._decide(base, flow, inside, onward)
        return [(flow, region) for flow, region in onward.items() if region]

    def _devices(self, base: BaseChain) -> int:
        if not base.devices:
            return EVERY
        mask = 0
        for name in base.devices:
            mask |= self._space.interface(name)
        return mask

    def _decide(self, base: BaseChain, flow: Flow, region: Region, onward: Dict[Flow, Region]) -> None:
        walk = Walk(base.chains, self._space, self._site)
        leaving = walk.through(base.name, flow, region)
        decided = walk.decided + [(here, Action(base.policy), packets) for here, packets in leaving]
        sent: Decided = []
        for here, action, packets in decided:
            if action.verb == "drop":
                self.end(End("dropped", here, base.label), packets)
            elif action.verb == "redirect":
                sent += self._redirected(here, action, packets)
            elif action.verb == "dnat":
                sent.append((here, action, packets))
            else:
                if base.hook in ("forward", "input") and (action.counter or action.counted) and not here.is_translated:
                    self.accepted.append((here, action, packets))
                there = replace(here, is_masked=True) if action.verb == "masquerade" else here
                add(onward.setdefault(there, {}), packets)
        for there, packets in translated(sent):
            add(onward.setdefault(there, {}), packets)

    def _redirected(self, flow: Flow, action: Action, region: Region) -> Decided:
        """To the host itself: to the first address of the interface that a packet came in by."""
        found: Decided = []
        for name in self._space.interfaces:
            packets = within(region, Box(interfaces=self._space.interface(name)))
            address = self._site.first(name) if name else {4: "127.0.0.1", 6: "::1"}[flow.family]
            if packets and address:
                found.append((flow, action._replace(verb="dnat", address=address), packets))
        return found
