# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which order tables of rules are written, so that nothing is open on the way that is closed at both ends.

A table is written at a time, and the run may end between two. Rules come in the order raw, filter, nat: what drops
stands before what translates. They go in the order nat, raw, filter: what is translated no more needs no guard; and
filter, whose chains tell that the others' rules were Docker's, goes last. Must not know: Docker, how rules are written.
"""

from __future__ import annotations

from typing import Any, Sequence, Tuple

from ._rules import edits
from ._state import Key

_COMES = {"raw": 0, "filter": 1, "nat": 2, "mangle": 3}
_GOES = {"nat": 2, "mangle": 3, "raw": 4, "filter": 5}
_LAST = 6


def rank(key: Key, before: Any, after: Any) -> int:
    """The place of one chain's or policy's change among those of its family."""
    order = _COMES if _closes(key, before, after) else _GOES
    return order.get(key.scope.partition("/")[2], _LAST)


def _closes(key: Key, before: Any, after: Any) -> bool:
    """Whether a change brings a chain, rules, or a policy that drops."""
    if key.kind == "policy":
        return bool(after == "DROP")
    if before is None or after is None:
        return after is not None
    return bool(set(after) - set(before)) or len(after) >= len(before)


def halfway(key: Key, before: Any, after: Any) -> Tuple[str, ...] | None:
    """Where a chain of table raw stops on its way: the new rules have come, the old ones are still there.

    None if it only gains or only loses rules, or is of another table.
    """
    if key.kind != "chain" or not key.scope.endswith("/raw") or not before or not after:
        return None
    middle = _united(before, after)
    return None if middle in (tuple(before), tuple(after)) else middle


def _united(before: Sequence[str], after: Sequence[str]) -> Tuple[str, ...]:
    """The rules of both, in the order of both; a new rule comes before the old one that it takes the place of."""
    steps = edits(before, after)
    gone, new = set(steps.deletions), dict(steps.insertions)
    result = []
    place = 0
    for index, rule in enumerate(after):
        while index not in new and place in gone:
            result.append(before[place])
            place += 1
        result.append(rule)
        place += index not in new
    return (*result, *before[place:])
