# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where wanted rules go among those that are there. Must not know: what the rules mean, the kernel.

Rules that stay keep their places and so their packet counters; foreign rules are never moved. Of wanted rules that
somebody put out of order the fewest are moved.
"""

from __future__ import annotations

from typing import AbstractSet, Dict, Iterable, Iterator, List, Sequence, Set, Tuple

from .._rules import increasing
from .._state import Key
from .policy import Placed

Ranks = Dict[str, Tuple[str, int]]  # of each wanted rule its group, and its place there
Stale = Set[Tuple[Key, str]]  # the chains and texts of rules that go if they are not wanted


def by_chain(wanted: Iterable[Placed], stale: Stale) -> Iterator[Tuple[Key, Sequence[Placed], AbstractSet[str]]]:
    """Each chain that is concerned, with its wanted rules and its stale ones."""
    coming: Dict[Key, List[Placed]] = {}
    for placed in wanted:
        coming.setdefault(placed.key, []).append(placed)
    going: Dict[Key, Set[str]] = {}
    for key, rule in stale:
        going.setdefault(key, set()).add(rule)
    for key in dict.fromkeys([*coming, *going]):
        yield key, coming.get(key, ()), going.get(key, set())


def place(rules: Sequence[str], wanted: Sequence[Placed], stale: AbstractSet[str]) -> Tuple[str, ...]:
    """A chain's rules after stale ones went and missing wanted ones came.

    A wanted rule goes to its end of the chain, as dockerd's ``-I`` and ``-A`` do, but never across a
    rule of its own group with a lower or higher rank.
    """
    rank_of = {placed.rule: (placed.group, placed.rank) for placed in wanted}
    kept = _in_order(_kept(rules, rank_of, stale), wanted, rank_of)
    present = set(kept)
    missing = [placed for placed in wanted if placed.rule not in present]
    groups = {rank_of[rule][0] for rule in kept if rule in rank_of}
    # Most rules are alone in their group: those only pile up at an end, in time independent of the chain.
    head: List[str] = []
    tail: List[str] = []
    for placed in _once(missing):
        if placed.group in groups:
            kept, head, tail = head[::-1] + kept + tail, [], []
            kept.insert(_position(kept, placed, rank_of), placed.rule)
        elif placed.where == "head":
            head.append(placed.rule)
        else:
            tail.append(placed.rule)
        groups.add(placed.group)
    return tuple(head[::-1] + kept + tail)


def at_the_end(rules: Sequence[str], wanted: Sequence[str], mark: str, ahead: AbstractSet[str]) -> Tuple[str, ...]:
    """A chain's rules with the wanted ones, known by their mark, behind those that must be ahead of them."""
    start = max((index for index, rule in enumerate(rules) if rule in ahead), default=-1)
    kept: List[str] = []
    for index, rule in enumerate(rules):
        if mark not in rule or (rule in wanted and rule not in kept and index > start):
            kept.append(rule)
    return (*kept, *(rule for rule in wanted if rule not in kept))


def _kept(rules: Sequence[str], wanted: Ranks, stale: AbstractSet[str]) -> List[str]:
    """What stays, in order. A wanted rule stays once; foreign rules stay as often as they are there."""
    seen: Set[str] = set()
    result = []
    for rule in rules:
        if rule in wanted:
            if rule not in seen:
                result.append(rule)
            seen.add(rule)
        elif rule not in stale:
            result.append(rule)
    return result


def _in_order(kept: List[str], wanted: Sequence[Placed], rank_of: Ranks) -> List[str]:
    """What stays, less wanted rules that are out of order: dockerd's ``-I`` never comes to stand behind its ``-A``."""
    is_tail = {placed.rule: int(placed.where == "tail") for placed in wanted}
    ours = [index for index, rule in enumerate(kept) if rule in rank_of]
    moved = _misplaced([(index, is_tail[kept[index]]) for index in ours])
    groups: Dict[str, List[Tuple[int, int]]] = {}
    for index in ours:
        if index not in moved:
            group, rank = rank_of[kept[index]]
            groups.setdefault(group, []).append((index, rank))
    for members in groups.values():
        if len(members) > 1:
            moved |= _misplaced(members)
    return [rule for index, rule in enumerate(kept) if index not in moved] if moved else kept


def _misplaced(members: Sequence[Tuple[int, int]]) -> Set[int]:
    """Of positions with their ranks the fewest that must go for the ranks to rise; of equal choices the last ones."""
    ranks = [rank for _index, rank in members]
    if ranks == sorted(ranks):
        return set()
    # From the end, so that of two rules the first one stays; equal ranks rise with their positions.
    size = len(ranks)
    rising = increasing([(place, place - rank * size) for place, rank in enumerate(reversed(ranks))])
    staying = {size - 1 - place for place, _rank in rising}
    return {index for place, (index, _rank) in enumerate(members) if place not in staying}


def _once(missing: Sequence[Placed]) -> List[Placed]:
    return list({placed.rule: placed for placed in missing}.values())


def _position(rules: List[str], placed: Placed, rank_of: Ranks) -> int:
    first, last = 0, len(rules)
    for index, rule in enumerate(rules):
        group, rank = rank_of.get(rule, (None, 0))
        if group == placed.group and rank < placed.rank:
            first = index + 1
        elif group == placed.group and rank > placed.rank:
            last = min(last, index)
    return first if placed.where == "head" else max(first, last)
