# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules as texts: reading iptables-save's output, and the smallest way from one chain to another.

Must not know: Docker, processes. A rule is the text that iptables-save prints after ``-A CHAIN``.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from typing import Dict, List, NamedTuple, Sequence, Tuple, Union

from ._errors import Conflict, KernelError
from ._state import Key, State

TABLES = ("raw", "filter", "nat", "mangle")
BUILT_IN = {
    "raw": ("PREROUTING", "OUTPUT"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}
_COUNTERS = re.compile(r"^\[\d+:\d+\] (?=-A )")
_INCOMPATIBLE = re.compile(r"# Table [`'](\w+)' is incompatible")
MARK = "hostnet-docker-"  # how the comments begin by which some rules are known
MOVE_THEM = "move them to a table of another name"
OPAQUE = "opaque "  # begins a rule of nftables of which not all could be read


class Edits(NamedTuple):
    """Deletions of positions from the bottom up, then insertions at final positions from the top down."""

    deletions: List[int]
    insertions: List[Tuple[int, str]]


# Packets and bytes that rules have seen: a chain's by their numbers, a map's by the names of its elements.
Counts = Dict[Key, Dict[Union[int, str], Tuple[int, int]]]


def legible(text: str) -> str:
    """A text for people: what is none in it, such as a comment of somebody else's in another encoding, is replaced.

    Ansible and its callbacks refuse a result that cannot be encoded.
    """
    return text.encode(errors="surrogateescape").decode(errors="replace")


def parse_save(text: str, family: str, counts: Counts | None = None) -> State:
    """The chains and policies of one family.

    :param family: ``ip`` or ``ip6``
    :param counts: takes the rules' counters, where the text has them
    :raises Conflict: a table of ours holds what iptables cannot show
    :raises KernelError: the text ends inside a table
    """
    found: Dict[Key, List[str]] = {}
    state: State = {}
    scope = ""
    for row in text.split("\n"):
        line = _COUNTERS.sub("", row) if row.startswith("[") else row
        if line.startswith("-A "):
            name, _blank, rule = line[3:].partition(" ")
            rules = found.setdefault(Key("chain", scope, name), [])
            if counts is not None and line is not row:
                packets, _colon, size = row[1 : row.index("]")].partition(":")
                counts.setdefault(Key("chain", scope, name), {})[len(rules)] = (int(packets), int(size))
            rules.append(rule)
        elif line.startswith("*"):
            scope = f"{family}/{line[1:].strip()}"
        elif line.startswith(":"):
            name, _blank, policy = line[1:].partition(" ")
            found.setdefault(Key("chain", scope, name), [])
            if not policy.startswith("-"):
                state[Key("policy", scope, name)] = policy.split(" ")[0]
        elif line.startswith("#"):
            _check_compatible(line, family)
        elif line == "COMMIT":
            scope = ""
    if scope:
        raise KernelError(f"read {family} rules", text=f"the answer ends in the middle of table {scope}")
    state.update({key: tuple(rules) for key, rules in found.items()})
    return state


def _check_compatible(line: str, family: str) -> None:
    match = _INCOMPATIBLE.match(line)
    if match and match.group(1) in TABLES:
        raise Conflict(f"table {family}/{match.group(1)} holds nftables rules that iptables cannot show; {MOVE_THEM}")


def is_built_in(key: Key) -> bool:
    """Whether a chain is the table's own and so neither made nor deleted."""
    return key.name in BUILT_IN.get(key.scope.partition("/")[2], ())


def edits(before: Sequence[str], after: Sequence[str]) -> Edits:
    """The fewest deletions and insertions: every rule on both sides in the same order keeps its counters."""
    kept = _kept(before, after)
    old, new = {pair[0] for pair in kept}, {pair[1] for pair in kept}
    deletions = [index for index in range(len(before) - 1, -1, -1) if index not in old]
    return Edits(deletions, [(index, rule) for index, rule in enumerate(after) if index not in new])


def with_lost(now: Sequence[str], before: Sequence[str]) -> Tuple[str, ...]:
    """The rules of a chain with those that it has lost, each behind the one that it stood behind."""
    if not now:
        return tuple(before)
    lost, result, place = Counter(before) - Counter(now), list(now), 0
    for rule in before:
        if rule in result[place:]:
            place = result.index(rule, place) + 1
        elif lost[rule] > 0:
            result.insert(place, rule)
            place += 1
            lost[rule] -= 1
    return tuple(result)


def _kept(before: Sequence[str], after: Sequence[str]) -> List[Tuple[int, int]]:
    """The longest common run of rules as pairs of positions; the n-th of equal rules pairs with the n-th.

    Of rules that changed places, those with a mark of ours move and not the others.
    """
    places: Dict[str, List[int]] = {}
    for index in range(len(after) - 1, -1, -1):
        places.setdefault(after[index], []).append(index)
    pairs = [(index, places[rule].pop()) for index, rule in enumerate(before) if places.get(rule)]
    run = increasing(pairs)
    marked = {pair for pair in pairs if MARK in before[pair[0]]} if len(run) < len(pairs) else set()
    if not marked:
        return run
    run = increasing([pair for pair in pairs if pair not in marked])
    return sorted([*run, *_fitting(sorted(marked), run)])


def _fitting(pairs: Sequence[Tuple[int, int]], run: Sequence[Tuple[int, int]]) -> List[Tuple[int, int]]:
    """The longest part of the pairs that rises together with a run."""
    return increasing([pair for pair in pairs if all((pair < other) == (pair[1] < other[1]) for other in run)])


def increasing(pairs: Sequence[Tuple[int, int]]) -> List[Tuple[int, int]]:
    """The longest part of the pairs in which the second numbers increase as the first do."""
    tails: List[int] = []  # the smallest last number of a run of each length
    ends: List[int] = []  # which pair that is
    previous: List[int] = []
    for index, (_old, new) in enumerate(pairs):
        length = bisect_left(tails, new)
        previous.append(ends[length - 1] if length else -1)
        tails[length : length + 1] = [new]
        ends[length : length + 1] = [index]
    run: List[Tuple[int, int]] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        run.append(pairs[index])
        index = previous[index]
    return run[::-1]
