# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back from changes, wherever the host is: read again, three states compared (before, after, and what is there
now), and the difference written. Right after a failure, or some time later, past what others did since.

Must not know: the kernel.
"""

from __future__ import annotations

import errno
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

from ._errors import HostnetError
from ._plan import Change, Store, apply, diff
from ._rules import is_built_in
from ._state import Key, State

_PARTS = ("rules", "elements")  # the values of nftables objects are made of these


def roll_back(changes: Sequence[Change], read: Callable[[], State], stores: Iterable[Store]) -> Tuple[int, List[str]]:
    """Take back what there is of the changes.

    :param read: the host as it is now, at least where the changes are
    :returns: how many changes that took, and those that are left, each with the reason
    """
    writers = list(stores)
    try:
        way = _way_back(read(), changes)
        count = len(way)
        while way:
            reasons = _refusals(way, writers)
            if not reasons:
                break
            # Each change was tried by itself: one refusal says nothing of the others, which may help it.
            rest = _way_back(read(), changes)
            if len(rest) >= len(way):
                return count - len(rest), [f"{change.undo()} ({_reason(change, reasons)})" for change in rest]
            way = rest
    except Exception as error:  # it cannot be read
        return 0, [f"{change} ({error})" for change in changes]
    return count, []


def attempted(changes: Sequence[Change], failure: HostnetError) -> List[Change]:
    """Those of the changes that may have taken effect: up to the one that the failure names, if it names one.

    What was to be made and was there already is somebody else's: it is none of ours to take back.
    """
    named = [number for number, change in enumerate(changes) if str(change) == getattr(failure, "what", "")]
    is_theirs = bool(named) and getattr(failure, "errno", 0) == errno.EEXIST
    return list(changes[: named[-1] + 1 - is_theirs] if named else changes)


def _way_back(now: State, changes: Sequence[Change]) -> List[Change]:
    return diff(now, undone(now, changes))


def _refusals(way: Sequence[Change], stores: Sequence[Store]) -> Dict[Key, Exception]:
    """Write all changes in one go; if that fails one by one, and tell which are refused."""
    try:
        apply(way, stores, [])
        return {}
    except Exception as error:  # each change's own reason is asked for below
        reasons: Dict[Key, Exception] = {way[0].key: error}
    for change in way:
        try:
            apply([change], stores, [])
        except Exception as error:
            reasons[change.key] = error
    return reasons


def _reason(change: Change, reasons: Dict[Key, Exception]) -> Exception:
    """Why a change is left: for its own reason, or because another one is."""
    return reasons.get(change.key) or next(iter(reasons.values()))


def undone(live: State, changes: Sequence[Change]) -> State:
    """The state without the changes: what others added since stays."""
    ends: Dict[Key, Tuple[Any, Any]] = {}
    for change in changes:
        ends[change.key] = (ends[change.key][0] if change.key in ends else change.before, change.after)
    state = dict(live)
    for key, (before, after) in ends.items():
        value = _merged(live.get(key), before, after)
        if value is not None:
            state[key] = value
        elif key in live and not _is_nothing(key, live[key]):
            del state[key]
    return state


def _is_nothing(key: Key, value: Any) -> bool:
    """Whether this is what comes with a table: a built-in chain without rules, a policy that accepts."""
    return (key.kind == "policy" and value == "ACCEPT") or (value == () and is_built_in(key))


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
