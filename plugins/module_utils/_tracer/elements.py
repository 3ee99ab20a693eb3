# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nftables rules compare: fields of a packet with values, sets and maps. Must not know: rules, Docker."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple, Union

from .conditions import ports_mask
from .site import Site
from .space import PORTS, Box, Space, bounds, joined, merged, number
from .walk import Action, Branch, Condition, Count, Flow, Rule, Run, fitting


class Field(NamedTuple):
    """A part of a packet: ``kind`` is ``interface``, ``source``, ``port`` or ``asked``, of which a set of packets has
    many; or ``value``, of which it has the one that ``value`` tells.

    ``family`` and ``protocol`` are those of the packets that have it, 0 and empty for all.
    """

    kind: str
    value: Callable[[Flow, Site], str | None] = lambda _flow, _site: ""
    family: int = 0
    protocol: str = ""

    def is_of(self, flow: Flow) -> bool:
        """Whether packets have it."""
        return self.family in (0, flow.family) and self.protocol in ("", flow.protocol)


VERDICTS = {"accept": "accept", "drop": "drop", "return": "return", "reject": "drop", "masquerade": "masquerade"}


class _Group(NamedTuple):
    """Elements that lead to the same: by which interface, from which source, to which verdict or address."""

    interface: str
    source: str
    asked: str
    value: str


class _Members:
    """The ports of a group's elements."""

    def __init__(self) -> None:
        self.asked: List[Run] = []
        self._mask: int | None = None
        self.moved: Dict[int, List[Run]] = {}
        self.counted: List[Tuple[Count | None, Run]] = []

    @property
    def mask(self) -> int:
        """All their ports."""
        if self._mask is None:
            self._mask = joined(self.asked)
        return self._mask


class Elements:
    """The elements of a set or map, compared with fields.

    :param is_map: the values are addresses to translate to, with or without a port
    :param counts: the elements' own counters
    """

    def __init__(
        self,
        fields: Sequence[Field],
        elements: Mapping[str, str],
        is_map: bool = False,
        counts: Mapping[Any, Union[Count, None]] | None = None,
    ) -> None:
        self._fields, self._is_map, self._counts = fields, is_map, counts or {}
        self._exact: Dict[Tuple[str, ...], List[Tuple[List[str], str, str]]] = {}
        self._loose: List[Tuple[List[str], str, str]] = []
        self._groups: Dict[Tuple[str, ...], Dict[_Group, _Members]] = {}
        for name, value in elements.items():
            self._sort(name.replace('"', "").split(" . "), value, name)

    def _sort(self, parts: List[str], value: str, name: str) -> None:
        if len(parts) != len(self._fields):
            return
        own = tuple(part for part, field in zip(parts, self._fields) if field.kind == "value")
        if any(sign in part for part in own for sign in ("/", "-", "*", "0x")):
            self._loose.append((parts, value, name))
        else:
            self._exact.setdefault(own, []).append((parts, value, name))

    def found(self, flow: Flow, space: Space, site: Site) -> List[Tuple[Box, str, Action]] | None:
        """The packets that the elements fit, and what they lead to; None if nobody knows."""
        if not all(field.is_of(flow) for field in self._fields):
            return []
        values = [field.value(flow, site) for field in self._fields if field.kind == "value"]
        if None in values:
            return None
        groups = self._grouped(tuple(str(value) for value in values))
        return [(_box(group, members, flow, space), group.value, _action(members)) for group, members in groups.items()]

    def _grouped(self, own: Tuple[str, ...]) -> Dict[_Group, _Members]:
        if own not in self._groups:
            groups: Dict[_Group, _Members] = {}
            for parts, value, name in [*self._exact.get(own, ()), *self._fitting(own)]:
                told = dict(zip((field.kind for field in self._fields), parts))
                _join(groups, told, value, self._is_map, self._counts.get(name))
            self._groups[own] = groups
        return self._groups[own]

    def _fitting(self, own: Tuple[str, ...]) -> List[Tuple[List[str], str, str]]:
        found = []
        for parts, value, name in self._loose:
            texts = [part for part, field in zip(parts, self._fields) if field.kind == "value"]
            if all(fits(part, text) for part, text in zip(own, texts)):
                found.append((parts, value, name))
        return found


def _join(
    groups: Dict[_Group, _Members], parts: Mapping[str, str], value: str, is_map: bool, count: Count | None
) -> None:
    address, _dot, port = value.partition(" . ") if is_map else (value, "", "")
    group = _Group(parts.get("interface", ""), parts.get("source", ""), parts.get("asked", ""), address)
    members = groups.setdefault(group, _Members())
    run = _run(parts["port"]) if "port" in parts else (1, 65535)
    members.asked.append(run)
    if is_map:
        members.counted.append((count, run))
        if port:
            members.moved.setdefault(int(port), []).append(run)


def _run(text: str) -> Run:
    low, _dash, high = text.partition("-")
    return int(low), int(high or low)


def _box(group: _Group, members: _Members, flow: Flow, space: Space) -> Box:
    box = Box(ports=flow.ports.asked(members.mask) & (ports_mask([group.asked]) if group.asked else PORTS))
    if group.interface:
        box = box._replace(interfaces=space.interface(group.interface))
    return box._replace(sources=space.sources.mask(group.source)) if group.source else box


def _action(members: _Members) -> Action:
    return Action("dnat", ports=members.moved or None, counted=members.counted)


def outside(boxes: Sequence[Box]) -> List[Box]:
    """The packets that are in none of the boxes."""
    found = [Box()]
    for box in merged(boxes):
        rest = [Box(interfaces=~box.interfaces), Box(sources=~box.sources), Box(ports=~box.ports)]
        found = [both for both in (one.both(part) for one in found for part in rest) if both]
    return found


@lru_cache(maxsize=4096)
def fits(part: str, text: str) -> bool:
    """Whether a value is ``text``, or in the net, the range or the names that it stands for."""
    if text.endswith("*"):
        return part.startswith(text[:-1])
    if part == text:
        return True
    try:
        if "." in text or ":" in text:
            family, low, high = bounds(text)
            return bool(part) and family == (6 if ":" in part else 4) and low <= number(part) <= high
        first, dash, last = text.partition("-")
        return int(first, 0) <= int(part, 0) <= int(last if dash else first, 0)
    except ValueError:  # a name
        return False


class Deed(NamedTuple):
    """What a rule does: one thing, or what elements say: where to (``is_nat``), or a verdict, or neither."""

    action: Action
    elements: Union[Elements, None] = None
    is_nat: bool = False


def looking_up(conditions: Sequence[Condition], deed: Deed) -> Rule:
    """A rule that does with packets what the elements say that they fit."""

    def rule(flow: Flow, space: Space, site: Site) -> Sequence[Branch]:
        boxes, is_sure = fitting(conditions, flow, space, site)
        if not boxes or deed.elements is None:
            return ()
        found = deed.elements.found(flow, space, site)
        if found is None:
            return [(boxes, Action("unknown"), False)]
        branches: List[Branch] = []
        for box, value, action in found:
            hit = [both for both in (box.both(one) for one in boxes) if both]
            branches.append((hit, _told(deed, value, action), is_sure))
        return branches

    return rule


def _told(deed: Deed, value: str, action: Action) -> Action:
    if deed.is_nat:
        return action._replace(address=value)
    if deed.action.verb != "unknown":
        return deed.action._replace(counted=action.counted)
    verb, _space, chain = value.partition(" ")
    return Action(VERDICTS.get(verb, verb), chain)
