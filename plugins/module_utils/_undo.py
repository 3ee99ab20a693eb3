# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back from changes that were made some time ago, past what others did since. Must not know: the kernel.

A rollback right after a failure undoes change by change (``_plan.py``). This one compares three states: before,
after, and what is there now.
"""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

from ._plan import Change
from ._state import Key, State

_PARTS = ("rules", "elements")  # the values of nftables objects are made of these


def undone(live: State, changes: Sequence[Change]) -> State:
    """The state without the changes: what others added since stays."""
    ends: Dict[Key, Tuple[Any, Any]] = {}
    for change in changes:
        ends[change.key] = (ends[change.key][0] if change.key in ends else change.before, change.after)
    state = dict(live)
    for key, (before, after) in ends.items():
        value = _merged(live.get(key), before, after)
        if value is None:
            state.pop(key, None)
        else:
            state[key] = value
    return state


def _merged(live: Any, before: Any, after: Any) -> Any:
    if live == after or live is None:
        return before
    if after is None:
        return live  # somebody made it anew
    if isinstance(live, tuple):
        rules = _rules(live, before or (), after)
        return rules if rules or before is not None else None
    if isinstance(live, dict) and any(part in live for part in _PARTS):
        return _object(live, before, after)
    return before


def _object(live: Dict[str, Any], before: Any, after: Dict[str, Any]) -> Any:
    """An nftables chain, map or set."""
    value = dict(before or live)
    if "rules" in live:
        value["rules"] = _rules(live["rules"], before["rules"] if before else (), after["rules"])
    else:
        others = {name: text for name, text in live["elements"].items() if name not in after["elements"]}
        value["elements"] = {**(before["elements"] if before else {}), **others}
    return value if before or any(value.get(part) for part in _PARTS) else None


def _rules(live: Sequence[str], before: Sequence[str], after: Sequence[str]) -> Tuple[str, ...]:
    """The rules as before, and those that came since, each behind the one that it stands behind now."""
    result, ours = list(before), list(after)
    last: List[str] = []  # the neighbours above, nearest last
    for rule in live:
        if rule in ours:
            ours.remove(rule)
        elif rule not in before or rule in after:
            places = [result.index(other) for other in reversed(last) if other in result]
            result.insert(places[0] + 1 if places else 0, rule)
        last.append(rule)
    return tuple(result)
