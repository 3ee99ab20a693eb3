# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How one change of a link, its up state, an address or a route is written. Must not know: Docker, sockets.

A write that fails may be half done: the way back starts from what is read again. Errors are OSError with the kernel's
errno; ``rtnl.py`` turns them into the user's.
"""

from __future__ import annotations

import errno
import os
from typing import Any, Callable, Dict, List, Protocol, Sequence, Set, Tuple

from .._plan import Change
from .._state import HOST, Key
from .messages import IFF_UP, MAIN_TABLE, NODAD, SCOPES
from .wire import CREATE, EXCLUSIVE

Attributes = List[List[Any]]
Fields = Dict[str, Any]

NEW, DELETE = 0, 1

_NUMBERS = {name: number for number, name in SCOPES.items()}
_FAMILIES = {4: 2, 6: 10}
_UNICAST = 1
_BOOT = 3  # the protocol of a route that no daemon claims, as Docker's
_ANY_SCOPE, _ANY_PROTOCOL = 255, 0

# What a missing object answers to its deletion.
GONE = {
    "link": (errno.ENODEV,),
    "up": (errno.ENODEV,),
    "address": (errno.ENODEV, errno.EADDRNOTAVAIL),
    "route": (errno.ENODEV, errno.ESRCH),
}

_SETTINGS = (("mac", "IFLA_ADDRESS"), ("mtu", "IFLA_MTU"), ("txqlen", "IFLA_TXQLEN"))


class Speaker(Protocol):
    """What this file needs of a netlink conversation."""

    def speak(self, scope: str, verb: int, noun: str, fields: Fields, attributes: Attributes, flags: int = 0) -> Any:
        """Send one request into the scope's namespace; OSError if the kernel refuses."""

    def index(self, scope: str, name: str) -> int:
        """The index of an interface; OSError ENODEV if there is none."""


Writer = Callable[[Speaker, Change], None]
Step = Tuple[Key, Attributes]  # the object, what to write


def write(net: Speaker, change: Change) -> None:
    """Carry out one change of the kinds link, up, address, route."""
    _WRITERS[(change.key.kind, change.action)](net, change)


def _create_link(net: Speaker, change: Change) -> None:
    key, value = change.key, change.after
    master = _master(net, key.scope, value["master"]) if value.get("master") else []
    if value["kind"] == "veth":
        _add_veth(net, key, value, master)
    else:
        _add_link(net, key, value["kind"], [*_settings(value, ("mac", "txqlen")), *master])
    # A bridge's MTU counts as chosen, and not as its ports' business, only if it is set afterwards.
    _set(net, key, [] if value["kind"] == "veth" else _settings(value, ("mtu",)))
    _set(net, key, _hairpin(value.get("hairpin")) if value.get("hairpin") else [])


def _add_link(net: Speaker, key: Key, kind: str, settings: Attributes, data: Any = None) -> None:
    info: Attributes = [["IFLA_INFO_KIND", kind]]
    if data is not None:
        info.append(["IFLA_INFO_DATA", {"attrs": data}])
    attributes = [["IFLA_IFNAME", key.name], *settings, ["IFLA_LINKINFO", {"attrs": info}]]
    net.speak(key.scope, NEW, "link", {}, attributes, CREATE | EXCLUSIVE)


def _add_veth(net: Speaker, key: Key, value: Dict[str, Any], master: Attributes) -> None:
    """Both ends in one message, the far one straight inside its namespace: it never shows up outside."""
    peer = value.get("peer")
    if peer is None:
        raise OSError(errno.EINVAL, "the other end was in a namespace without a name, it cannot be made again")
    far = [["IFLA_IFNAME", peer["name"]], *_settings(peer, ("mac", "mtu", "txqlen"))]
    near = [*_settings(value, ("mac", "mtu", "txqlen")), *master]
    if peer["netns"] == HOST:
        _add_link(net, key, "veth", near, [["VETH_INFO_PEER", {"attrs": far}]])
        return
    handle = os.open(peer["netns"], os.O_RDONLY | os.O_CLOEXEC)
    try:
        far.append(["IFLA_NET_NS_FD", handle])
        _add_link(net, key, "veth", near, [["VETH_INFO_PEER", {"attrs": far}]])
    finally:
        os.close(handle)


def _settings(value: Dict[str, Any], wanted: Sequence[str]) -> Attributes:
    """The settings of a new link; what is not given is left to the kernel, but for the queue: Docker has none."""
    given = {"txqlen": 0, **{name: value.get(name) for name in wanted if value.get(name) is not None}}
    return [[attribute, given[name]] for name, attribute in _SETTINGS if name in wanted and name in given]


def _update_link(net: Speaker, change: Change) -> None:
    """Write what differs, step by step."""
    for key, wanted in _steps(net, change):
        _set(net, key, wanted)


def _steps(net: Speaker, change: Change) -> List[Step]:
    key, before, after = change.key, change.before, change.after
    if before["kind"] != after["kind"]:
        raise OSError(errno.EEXIST, f"the link is of the kind {before['kind'] or 'physical'!r}, not {after['kind']!r}")
    steps = _setting_steps(key, before, after)
    is_moved = before.get("master") != after.get("master")
    if is_moved:
        steps.append((key, _master(net, key.scope, after.get("master"))))
    # Another bridge starts its port afresh, so the attribute is written again.
    if after.get("hairpin") is not None and (is_moved or before.get("hairpin") != after["hairpin"]):
        steps.append((key, _hairpin(after["hairpin"])))
    return steps + _peer_steps(before.get("peer"), after.get("peer"))


def _setting_steps(key: Key, before: Dict[str, Any], after: Dict[str, Any]) -> List[Step]:
    """One step for each setting that differs. A MAC that is to be set is written even if it is the same:
    only then does the kernel leave it alone."""
    steps: List[Step] = []
    for name, attribute in _SETTINGS:
        is_pinned = name == "mac" and bool(after.get("mac_set")) and not before.get("mac_set")
        if after.get(name) is not None and (after[name] != before.get(name) or is_pinned):
            steps.append((key, [[attribute, after[name]]]))
    return steps


def _peer_steps(before: Dict[str, Any] | None, after: Dict[str, Any] | None) -> List[Step]:
    if after is None or before == after:
        return []
    if before is None or (before["netns"], before["name"]) != (after["netns"], after["name"]):
        raise OSError(errno.EEXIST, f"its other end is not {after['name']} in {after['netns']}")
    return _setting_steps(Key("link", before["netns"], before["name"]), before, after)


def _master(net: Speaker, scope: str, name: str | None) -> Attributes:
    return [["IFLA_MASTER", net.index(scope, name) if name else 0]]


def _hairpin(value: bool | None) -> Attributes:
    """The attribute of a bridge port, none for None; the kernel takes it only from a link that is a port."""
    if value is None:
        return []
    data = {"attrs": [["IFLA_BRPORT_MODE", int(value)]]}
    return [["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_SLAVE_KIND", "bridge"], ["IFLA_INFO_SLAVE_DATA", data]]}]]


def _set(net: Speaker, key: Key, attributes: Attributes) -> None:
    """Change an existing link; nothing to change asks nothing."""
    if attributes:
        net.speak(key.scope, NEW, "link", {}, [["IFLA_IFNAME", key.name], *attributes])


def _delete_link(net: Speaker, change: Change) -> None:
    net.speak(change.key.scope, DELETE, "link", {}, [["IFLA_IFNAME", change.key.name]])


def _create_up(net: Speaker, change: Change) -> None:
    _flags(net, change.key, IFF_UP)


def _delete_up(net: Speaker, change: Change) -> None:
    _flags(net, change.key, 0)


def is_link_deletion(change: Change) -> bool:
    """Whether a change takes a link of the host away."""
    return change.action == "delete" and change.key.kind == "link" and change.key.scope == HOST


def own(changes: Sequence[Change]) -> List[Change]:
    """The changes, less deletions that a later deletion of their link carries out: those need no request."""
    ends: Set[Tuple[str, str]] = set()
    found: List[Change] = []
    for change in reversed(changes):
        if is_link_deletion(change):
            peer = change.before.get("peer")
            ends.add((HOST, change.key.name))
            ends.update([(peer["netns"], peer["name"])] if peer else [])
        elif change.action == "delete" and (change.key.scope, _device_of(change)) in ends:
            continue
        found.append(change)
    return found[::-1]


def _device_of(change: Change) -> str:
    if change.key.kind == "route":
        return change.before.get("dev") or ""
    return change.key.name.partition(" ")[0] if change.key.kind in ("up", "address") else ""


def set_group(net: Speaker, key: Key, group: int) -> None:
    """Move a link into a group; one that is gone already is no error."""
    try:
        _set(net, key, [["IFLA_GROUP", group]])
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def delete_group(net: Speaker, group: int) -> None:
    """Delete all links of a group; an empty group is no error."""
    try:
        net.speak(HOST, DELETE, "link", {}, [["IFLA_GROUP", group]])
    except OSError as error:
        if error.errno not in (errno.ENODEV, errno.ESRCH):
            raise


def _flags(net: Speaker, key: Key, flags: int) -> None:
    net.speak(key.scope, NEW, "link", {"flags": flags, "change": IFF_UP}, [["IFLA_IFNAME", key.name]])


def _create_address(net: Speaker, change: Change) -> None:
    _address(net, change.key, change.after, NEW, CREATE | EXCLUSIVE)


def _delete_address(net: Speaker, change: Change) -> None:
    _address(net, change.key, change.before, DELETE)


def _address(net: Speaker, key: Key, value: Dict[str, Any], verb: int, flags: int = 0) -> None:
    name, _space, interface = key.name.partition(" ")
    address, _slash, length = interface.partition("/")
    family = 6 if ":" in address else 4
    fields = {
        "family": _FAMILIES[family],
        "prefixlen": int(length),
        "index": net.index(key.scope, name),
        "scope": _NUMBERS[value.get("scope", "global")],
    }
    attributes: Attributes = [["IFA_LOCAL", address], ["IFA_ADDRESS", address]]
    if family == 6 and value.get("nodad"):
        fields["flags"] = NODAD
    if family == 4:
        attributes.append(["IFA_LABEL", name])
        attributes += [["IFA_BROADCAST", value["broadcast"]]] if value.get("broadcast") else []
    net.speak(key.scope, verb, "address", fields, attributes, flags)


def _create_route(net: Speaker, change: Change) -> None:
    value = change.after
    scope = value.get("scope") or ("global" if value.get("via") or value["family"] == 6 else "link")
    # None is no answer here: a route without a known maker is Docker's own kind.
    proto = _BOOT if value.get("proto") is None else value["proto"]
    _route(net, change.key, value, NEW, {"scope": _NUMBERS[scope], "proto": proto}, CREATE | EXCLUSIVE)


def _delete_route(net: Speaker, change: Change) -> None:
    _route(net, change.key, change.before, DELETE, {"scope": _ANY_SCOPE, "proto": _ANY_PROTOCOL})


def _route(net: Speaker, key: Key, value: Dict[str, Any], verb: int, extra: Fields, flags: int = 0) -> None:
    destination, _slash, length = value["dst"].partition("/")
    fields = {"family": _FAMILIES[value["family"]], "dst_len": int(length), "table": MAIN_TABLE, "type": _UNICAST}
    attributes: Attributes = [["RTA_DST", destination]] if int(length) else []
    if value.get("via"):
        attributes.append(["RTA_GATEWAY", value["via"]])
    if value.get("dev"):
        attributes.append(["RTA_OIF", net.index(key.scope, value["dev"])])
    if value.get("metric") is not None:
        attributes.append(["RTA_PRIORITY", value["metric"]])
    net.speak(key.scope, verb, "route", {**fields, **extra}, attributes, flags)


def _replace(delete: Writer, create: Writer) -> Writer:
    """An update as delete and create."""

    def update(net: Speaker, change: Change) -> None:
        delete(net, change)
        create(net, change)

    return update


_WRITERS: Dict[Tuple[str, str], Writer] = {
    ("link", "create"): _create_link,
    ("link", "update"): _update_link,
    ("link", "delete"): _delete_link,
    ("up", "create"): _create_up,
    ("up", "delete"): _delete_up,
    ("address", "create"): _create_address,
    ("address", "update"): _replace(_delete_address, _create_address),
    ("address", "delete"): _delete_address,
    ("route", "create"): _create_route,
    ("route", "update"): _replace(_delete_route, _create_route),
    ("route", "delete"): _delete_route,
}
