# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change, diff, order, apply. Must not know: Ansible, Docker, how the kernel is written.

Order is safety: what carries traffic goes first when it is deleted and last when it is created,
so rules that drop stand before anything they protect comes up, and every prefix of a plan is closed.
"""

from __future__ import annotations

from typing import Any, Callable, Collection, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from . import _passes
from ._errors import HostnetError, KernelError
from ._state import HOST, NETNS_FILES, Key, State

# Phases of an apply. Deletes take traffic away, so they come before the firewall changes;
# creates come after it, and forwarding is switched on when all rules stand. A namespace's files come before it
# and go after it: they are what tells that it is ours, should the run be killed meanwhile.
_NATIVE = ("nft_chain", "nft_policy", "nft_map", "nft_set")
_RULES = dict.fromkeys(("chain", "policy", *_NATIVE), 5)
_DELETE = {**_RULES, "route": 0, "up": 1, "address": 2, "link": 3, "sysctl": 4, "netns": 12, "file": 13}
_CREATE = {**_RULES, "netns": 6, "link": 7, "sysctl": 8, "address": 9, "up": 10, "route": 11, "file": 12}
_MEMORY = 4  # a file that remembers how things were comes before they change
_FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/forwarding")
_FORWARDING_PHASE = 14
_KERNELS_OWN = 2  # the protocol of the routes that come and go with an address
_INTERFACE = 2  # of firewalld's three kinds
_INSIDE_PHASE = 8  # all writes into one namespace follow one another: it is entered once


class Change(NamedTuple):
    """One write: ``action`` is create, update or delete; a missing side is None."""

    action: str
    key: Key
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.action} {self.key}"

    def undo(self) -> Change:
        """The way back."""
        action = {"create": "delete", "delete": "create", "update": "update"}[self.action]
        return Change(action, self.key, self.after, self.before)


class Store(NamedTuple):
    """A writer: the kinds it takes and a function that writes changes in their order."""

    kinds: Tuple[str, ...]
    apply: Callable[[Sequence[Change]], None]


class ApplyError(HostnetError):
    """An apply that failed. ``undone`` counts the changes that were taken back, ``left`` names those that are left."""

    def __init__(self, failure: HostnetError, undone: int, left: Sequence[str]) -> None:
        self.failure, self.undone, self.left = failure, undone, list(left)
        if left:
            tail = "undoing failed too, these changes are left: " + "; ".join(left)
        elif undone:
            tail = f"the {undone} changes made before it were undone, the host is as it was"
        else:
            tail = "nothing was changed"
        super().__init__(f"{failure}; {tail}")


def diff(before: State, after: State) -> List[Change]:
    """The changes that lead from one state to the other, in safe order."""
    changes = [Change("delete", key, before[key], None) for key in before if key not in after]
    for key, value in after.items():
        if key not in before:
            changes.append(Change("create", key, None, value))
        elif before[key] is not value and before[key] != value:
            changes += _updates(key, before[key], value)
    changes += _swept_along(before, after, changes)
    changes = _with_made_anew(before, after, changes)
    native = _native_place(changes)
    return sorted(changes, key=lambda change: _order(change, native))


def _updates(key: Key, before: Any, after: Any) -> List[Change]:
    """One change, or two where it would be open on the way, or where a pair of interfaces is another one."""
    if key.kind == "link" and _ends(before) != _ends(after):
        return [Change("delete", key, before, None), Change("create", key, None, after)]
    middle = _passes.halfway(key, before, after)
    if middle is None:
        return [Change("update", key, before, after)]
    return [Change("update", key, before, middle), Change("update", key, middle, after)]


def _ends(link: Dict[str, Any]) -> Tuple[Any, ...]:
    """Where the other end of a veth is and what it is called."""
    peer = link.get("peer") or {}
    return peer.get("netns"), peer.get("name")


def _swept_along(before: State, after: State, changes: Sequence[Change]) -> List[Change]:
    """Routes that shall stay, but that go with the last IPv4 address of their device: they are made again."""
    touched = {change.key for change in changes if change.key.kind == "address" and change.before is not None}
    bare = {_place(key) for key in touched if ":" not in key.name}
    if not bare:
        return []
    bare -= {_place(key) for key in before if key.kind == "address" and ":" not in key.name and key not in touched}
    swept = [
        (key, value)
        for key, value in before.items()
        if key.kind == "route" and key in after and _goes(value) and (key.scope, value["dev"]) in bare
    ]
    return [
        change
        for key, value in swept
        if before[key] == after[key]
        for change in (Change("delete", key, value, None), Change("create", key, None, value))
    ]


def _with_made_anew(before: State, after: State, changes: List[Change]) -> List[Change]:
    """The changes, where interfaces go and come again under their names: what is on them goes and comes along."""
    links = [change for change in changes if change.key.kind == "link"]
    gone = {end for change in links if change.action == "delete" for end in _both_ends(change.key, change.before)}
    anew = {end for change in links if change.action == "create" for end in _both_ends(change.key, change.after)} & gone
    if not anew:
        return changes
    going = [Change("delete", key, value, None) for key, value in before.items() if _is_on(key, value, anew)]
    coming = [Change("create", key, None, value) for key, value in after.items() if _is_on(key, value, anew)]
    others = [c for c in changes if not _is_on(c.key, c.before if c.after is None else c.after, anew)]
    return [*others, *going, *coming]


def _both_ends(key: Key, link: Dict[str, Any]) -> List[Tuple[Any, ...]]:
    return [(key.scope, key.name), _ends(link)]


def _is_on(key: Key, value: Any, places: Collection[Tuple[Any, ...]]) -> bool:
    """Whether something is on one of the interfaces, and not the kernel's own doing."""
    if key.kind == "address":
        return _place(key) in places and value["scope"] != "link"
    if key.kind == "route":
        return (key.scope, value["dev"]) in places and value.get("proto") != _KERNELS_OWN
    if key.kind == "sysctl":
        return any((key.scope, word) in places for word in key.name.split("/")[3:4])
    return key.kind == "up" and (key.scope, key.name) in places


def _place(key: Key) -> Tuple[str, str]:
    """The scope and the device of an address."""
    return key.scope, key.name.partition(" ")[0]


def _goes(route: Dict[str, Any]) -> bool:
    """Whether a route is one of IPv4, and not one that the kernel makes again with the address."""
    return route["family"] == 4 and route.get("proto") != _KERNELS_OWN


def _native_place(changes: Sequence[Change]) -> str:
    """Where native nftables stands among the families of iptables: on a host that goes from one to the other,
    the rules that come stand before those that go."""
    comes = any(change.action == "create" and change.key.kind in _NATIVE for change in changes)
    return "" if comes else "~"


def _order(change: Change, native: str) -> Tuple[int, str, int]:
    """Sort key: phase, then namespace by namespace or family by family, then the phase inside."""
    kind, scope, name = change.key
    if kind == "firewalld":
        return _firewalld_place(name, change.action == "delete")
    if kind == "sysctl" and scope == HOST and name in _FORWARDING:
        # Forwarding goes on when everything stands, and off before anything is taken away.
        return (-1 if _turns_off(change) else _FORWARDING_PHASE, "", 0)
    phase = (_DELETE if change.action == "delete" else _CREATE)[kind]
    if kind == "file" and change.action != "delete":
        phase = _CREATE["netns"] if name.startswith(f"{NETNS_FILES}/") else _MEMORY
    if kind == "netns" and change.action == "create" and change.after.get("same_as"):
        return (phase, "", 2)  # a second name, of a namespace that may be made just before
    if scope.startswith("/") and phase >= _INSIDE_PHASE:
        return (_INSIDE_PHASE, scope, phase)
    if kind in ("chain", "policy"):
        return (phase, scope.partition("/")[0], _passes.rank(change.key, change.before, change.after))
    if kind in _NATIVE:
        return (phase, native, 0 if change.action == "delete" else 1)
    return (phase, "", 0 if change.action == "delete" or kind == "file" or _is_new_bridge(change) else 1)


def _is_new_bridge(change: Change) -> bool:
    """A bridge that was deleted by hand stands again before those that were its ports are put back."""
    return change.key.kind == "link" and change.action == "create" and change.after["kind"] == "bridge"


def _firewalld_place(name: str, is_deleted: bool) -> Tuple[int, str, int]:
    """A zone comes before its policy and its interfaces, and goes after them. An interface, of which firewalld drops
    nothing, comes when all rules stand, and leaves before they go."""
    rank = ("zone", "policy", "interface").index(name.partition(" ")[0])
    if rank == _INTERFACE:
        return (_DELETE["sysctl"], "", 0) if is_deleted else (_CREATE["chain"], "~~", 0)
    return (_DELETE["chain"], "~~", -rank) if is_deleted else (_DELETE["sysctl"], "~", rank)


def _turns_off(change: Change) -> bool:
    return change.after in (None, "0")


def apply(changes: Sequence[Change], stores: Iterable[Store], begun: List[Change]) -> None:
    """Write the changes, in their order.

    :param begun: gets the changes that a store was given, of which some may be written when one fails
    :raises HostnetError: one could not be written; some of the others are. ``_undo.roll_back`` leads back
    """
    route = {kind: store for store in stores for kind in store.kinds}
    for store, batch in _batches(changes, route):
        begun += batch
        store.apply(batch)


def _batches(changes: Sequence[Change], route: Dict[str, Store]) -> Iterable[Tuple[Store, List[Change]]]:
    """Neighbouring changes of one store together: a store's batch is one conversation."""
    batch: List[Change] = []
    for change in changes:
        if batch and route[change.key.kind] is not route[batch[0].key.kind]:
            yield route[batch[0].key.kind], batch
            batch = []
        if change.key.kind not in route:
            raise KernelError(str(change), text="no writer takes this kind of object")
        batch.append(change)
    if batch:
        yield route[batch[0].key.kind], batch
