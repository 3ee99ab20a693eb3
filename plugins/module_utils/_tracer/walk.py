# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How packets go through chains of rules: all of them at once, as sets.

A rule of which a part is not understood is no guess: the packets that it may fit go both ways. Must not know: how
rules are written, hooks, Docker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

from .ports import Count, Ports, Run, cut
from .site import Site
from .space import Box, Region, Space, add, marks, ports_of, within, without


@dataclass(frozen=True)
class Flow:
    """What the packets of a set have in common. ``mark`` None: nobody knows it, as some rule set it.

    ``client`` is the client's port, 0 for any. ``state`` is NEW or UNTRACKED. ``is_sure`` says whether the translation
    is the one that the kernel makes.
    """

    protocol: str
    target: str
    asked: str
    client: int = 0
    out: str = ""
    mark: Union[int, None] = 0
    state: str = "NEW"
    is_translated: bool = False
    is_masked: bool = False
    is_sure: bool = True
    ports: Ports = field(default_factory=Ports)

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.target else 4


class Action(NamedTuple):
    """What a rule does with a packet that it fits: ``accept``, ``drop``, ``return``, ``pass``, ``jump`` and ``goto``
    a chain, ``dnat`` to an address and ports, ``redirect`` to the host itself, ``masquerade``, ``mark``, ``notrack``,
    or what nobody knows: ``unknown``.

    ``port`` is the port translated to, 0 for the same; or ``ports`` has the runs of ports that become another.
    ``mark`` is what stays of the mark and what is turned over in it, None if nobody knows. ``counter`` is the one of
    a rule that is about ports; ``counted`` are those of a map's elements, each with its ports.
    """

    verb: str
    chain: str = ""
    address: str = ""
    port: int = 0
    ports: Union[Mapping[int, Sequence[Run]], None] = None
    mark: Union[Tuple[int, int], None] = None
    is_sure: bool = True
    counter: Union[Count, None] = None
    counted: Sequence[Tuple[Union[Count, None], Run]] = ()


# What a condition says of a flow: yes, no, nobody knows (None), or which packets.
Answer = Union[bool, None, Box, Sequence[Box]]
Condition = Callable[[Flow, Space, Site], Answer]
# Which packets go which way, and whether all of them do.
Branch = Tuple[Sequence[Box], Action, bool]
Rule = Callable[[Flow, Space, Site], Sequence[Branch]]


def fitting(conditions: Sequence[Condition], flow: Flow, space: Space, site: Site) -> Tuple[List[Box], bool]:
    """The packets that all conditions may fit, and whether they do."""
    boxes, is_sure = [Box()], True
    for condition in conditions:
        answer = condition(flow, space, site)
        if answer is True:
            continue
        if answer is False:
            return [], True
        if answer is None:
            is_sure = False
            continue
        parts = [answer] if isinstance(answer, Box) else answer
        boxes = [both for both in (box.both(part) for box in boxes for part in parts) if both]
        if not boxes:
            return [], True
    return boxes, is_sure


def rule_of(conditions: Sequence[Condition], action: Action) -> Rule:
    """A rule that does one thing with all packets that it fits."""

    def rule(flow: Flow, space: Space, site: Site) -> Sequence[Branch]:
        boxes, is_sure = fitting(conditions, flow, space, site)
        return [(boxes, action, is_sure)] if boxes else ()

    return rule


class Reading(NamedTuple):
    """How the rules of a chain are read.

    ``read`` makes one rule of those with the numbers given, which are alike. ``only_target`` finds the one address that
    a rule is for, ``likeness`` what rules have in common that differ in their ports and where those lead; empty for
    a rule that is like no other.
    """

    read: Callable[[Sequence[int]], Rule]
    only_target: re.Pattern[str]
    likeness: Callable[[str], str] = lambda _text: ""


class Chain:
    """The rules of a chain. They are read when a packet first needs them; those for one target alone, by an index."""

    def __init__(self, texts: Sequence[str], reading: Reading) -> None:
        self._texts, self._reading = texts, reading
        self._rules: Dict[Tuple[int, int], Rule] = {}
        self._general: Union[List[int], None] = None
        self._special: Dict[str, List[int]] = {}
        self._shared: Union[List[Rule], None] = None

    def rules(self, target: str) -> List[Rule]:
        """The rules that may fit packets to a target, in order."""
        if self._general is None:
            self._general = self._sorted()
        special = self._special.get(target)
        if special:
            return self._read(sorted(self._general + special))
        if self._shared is None:
            self._shared = self._read(self._general)
        return self._shared

    def _sorted(self) -> List[int]:
        general = []
        for place, text in enumerate(self._texts):
            match = self._reading.only_target.match(text)
            if match:
                self._special.setdefault(match.group(1), []).append(place)
            else:
                general.append(place)
        return general

    def _read(self, places: Sequence[int]) -> List[Rule]:
        """The rules with these numbers; neighbours that are alike are one."""
        found, start = [], 0
        for end in range(1, len(places) + 1):
            kind = self._reading.likeness(self._texts[places[start]]) if end < len(places) else ""
            if not kind or kind != self._reading.likeness(self._texts[places[end]]):
                found.append(self._rule(places[start:end]))
                start = end
        return found

    def _rule(self, places: Sequence[int]) -> Rule:
        name = (places[0], places[-1])
        if name not in self._rules:
            self._rules[name] = self._reading.read(places)
        return self._rules[name]


Parts = List[Tuple[Flow, Region]]
Decided = List[Tuple[Flow, Action, Region]]


class Walk:
    """One set of packets on its way through the chains of a table."""

    def __init__(self, chains: Mapping[str, Chain], space: Space, site: Site) -> None:
        self._chains, self._space, self._site = chains, space, site
        self.decided: Decided = []

    def through(self, name: str, flow: Flow, region: Region) -> Parts:
        """The packets that leave a chain undecided; what others are decided for is in ``decided``."""
        leaving: Parts = []
        live: Dict[Flow, Region] = {flow: region}
        chain = self._chains.get(name)
        for rule in chain.rules(flow.target) if chain else ():
            onward: Dict[Flow, Region] = {}
            for here, packets in live.items():
                rest = packets
                for boxes, action, is_sure in rule(here, self._space, self._site):
                    for box in boxes:
                        hit = within(packets, box)
                        if hit:
                            rest = without(rest, box) if is_sure else rest
                            leaving += self._act(action, here, hit, onward)
                if rest:
                    add(onward.setdefault(here, {}), rest)
            live = onward
            if not live:
                break
        return leaving + list(live.items())

    def _act(self, action: Action, flow: Flow, hit: Region, onward: Dict[Flow, Region]) -> Parts:
        """Do what a rule says with the packets that it fits; those are returned that leave the chain."""
        verb = action.verb
        if verb == "jump":
            for back, region in self.through(action.chain, flow, hit):
                add(onward.setdefault(back, {}), region)
        elif verb == "goto":
            return self.through(action.chain, flow, hit)
        elif verb == "return":
            return [(flow, hit)]
        elif verb in ("pass", "mark", "notrack"):
            add(onward.setdefault(_marked(flow, action), {}), hit)
        elif verb == "unknown":
            self.decided += [(flow, Action("accept"), hit), (flow, Action("drop"), hit)]
            add(onward.setdefault(flow, {}), hit)
        else:
            self.decided.append((flow, action, hit))
        return []


def _marked(flow: Flow, action: Action) -> Flow:
    values = dict(vars(flow))
    if action.verb == "mark":
        kept, turned = action.mark or (0, 0)
        values["mark"] = None if flow.mark is None or action.mark is None else flow.mark & kept ^ turned
    elif action.verb == "notrack":
        values["state"] = "UNTRACKED"
    else:
        return flow
    return Flow(**values)


def translated(decided: Decided) -> List[Tuple[Flow, Region]]:
    """What packets that are sent elsewhere become: one flow for each new target, whatever the number of rules."""
    groups: Dict[Tuple[Flow, str, bool], List[Tuple[Ports, Region]]] = {}
    for flow, action, region in decided:
        members = groups.setdefault((flow, action.address or flow.target, action.is_sure), [])
        mask = ports_of(region)
        if not members or ports_of(members[-1][1]) & mask:  # else two rules would lead one port to two ports
            members.append((Ports(0), {}))
        ports, whole = members[-1]
        _translate(ports, action, mask)
        add(whole, region)
    return [
        (_onto(flow, target, is_sure, ports), region)
        for (flow, target, is_sure), members in groups.items()
        for ports, region in members
    ]


def _translate(ports: Ports, action: Action, mask: int) -> None:
    asked = [] if action.counted else cut([(1, 65535)], mask)
    ports.counted += counted(action, mask)
    if action.ports is not None:
        bits = marks(mask)
        for port, whole in action.ports.items():
            ports.moved.setdefault(port, []).extend(cut(whole, mask, bits))
    elif action.port:
        ports.moved.setdefault(action.port, []).extend(asked)
    else:
        ports.kept |= mask


def counted(action: Action, mask: int) -> List[Tuple[Union[Count, None], Run]]:
    """The runs of ports of a mask, each with the counter of the rule that is about them."""
    bits = marks(mask)
    whole = action.counted or [(action.counter, (1, 65535))]
    return [(count, run) for count, ports in whole for run in cut([ports], mask, bits)]


def _onto(flow: Flow, target: str, is_sure: bool, ports: Ports) -> Flow:
    values = {**vars(flow), "target": target, "is_translated": True, "ports": ports}
    return Flow(**{**values, "is_sure": flow.is_sure and is_sure})
