# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Links, addresses and routes of the host and of sandboxes. Must not know: Docker, Ansible, plans.

What is written is packed by pyroute2. The sockets are ``wire.py``'s (pyroute2's own start processes or event loops
for other namespaces); what is read, and the bulk of a big apply, is ``bulk.py``'s, which is faster than pyroute2.

Values, with the names of ``_state.py``'s kinds:

- link: ``{"kind": "bridge" | "veth" | ... | "", "index": int, "mac": str, "mac_set": bool, "mtu": int,
  "txqlen": int, "master": name | None, "hairpin": bool | None (no bridge port), "nsid": int | None,
  "peer_index": int | None, "peer": None}``. For a host veth whose other end was read in a sandbox,
  ``peer`` is ``{"netns": path, "name": str, "mac": str, "mtu": int, "txqlen": int, "index": int}``.
  In a wanted link None means: the kernel's choice; index, nsid, peer_index are not looked at.
- address: ``{"broadcast": str | None, "nodad": bool, "scope": "global" | "link" | "host"}``
- route: ``{"family": 4 | 6, "dst": cidr, "via": str | None, "dev": str | None, "scope": "global" | "link"
  | ..., "metric": int | None, "proto": int}``, named ``default via 172.17.0.1 dev eth0``, ``default6 via
  fd00::1 dev eth0``, ``10.0.0.0/8 dev eth1``: see ``messages.route_name``.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import struct
from collections import OrderedDict
from itertools import groupby
from typing import Any, Dict, Iterable, List, Sequence, Tuple

from .._errors import KernelError
from .._plan import Change
from .._state import HOST, Key, State, select
from . import bulk, devices, messages, namespaces, packing, sysfs
from .wire import ROUTE, Wire, attribute

_OPEN_WIRES = 8
_LINK, _ADDRESS, _ROUTE, _NSID = 16, 20, 24, 88  # RTM_NEW*; +1 deletes, +2 reads
_GET = 2
_NO_STATISTICS = 8  # RTEXT_FILTER_SKIP_STATS
_IFA_TARGET_NETNSID = 10
_NOT_ASSIGNED = 0xFFFFFFFF
_FEW = 50  # a run that writes more packs the rest by hand
_ENTER_GONE = (errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ESRCH)
_NUMBERS = {"link": _LINK, "address": _ADDRESS, "route": _ROUTE, "nsid": _NSID}


class Netlink:
    """A conversation with the kernel about the host's and any sandbox's devices.

    Opens a socket when one is first needed; ``close`` it, or use it as a context manager.
    """

    def __init__(self) -> None:
        self._wires: OrderedDict[str, Wire] = OrderedDict()
        self._names = namespaces.Kept()
        self._indexes: Dict[Tuple[str, str], int] = {}
        self._inside: Dict[Tuple[str, str], Any] = {}
        self._written = 0

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all sockets; they are opened again when needed."""
        for wire in self._wires.values():
            wire.close()
        self._wires.clear()
        self._indexes.clear()
        self._names.close()

    def read_host(self) -> State:
        """The named namespaces, names that are only files, and the host's links, addresses and routes.

        :raises KernelError: the kernel refuses a dump
        :raises MissingLibrary: pyroute2 is missing, and so nothing could be written
        """
        packing.check()
        # A host that is read again may be another one than it was.
        self._inside.clear()
        self._indexes.clear()
        named = namespaces.listing()
        state: State = {Key("netns", HOST, path): {"inode": inode} for path, inode in named.items()}
        state.update({Key("file", HOST, path): "" for path in namespaces.leftovers(named)})
        state.update(self._read(HOST))
        bridges = {key.name: value["mac"] for key, value in select(state, "link") if value["kind"] == "bridge"}
        for name, is_set in sysfs.set_macs(bridges).items():
            state[Key("link", HOST, name)]["mac_set"] = is_set
        return state

    def read_sandbox(self, path: str) -> State:
        """Links, addresses and routes of the namespace at ``path``, their scope; KernelError if there is none."""
        return self._read(path)

    def without_ipv6(self, scope: str, interface: str) -> str | None:
        """``"0"`` or ``"1"``: the setting disable_ipv6 as it was read together with the link; None if it has none."""
        message = self._inside.get((scope, interface))
        return None if message is None else messages.without_ipv6(message)

    def join_peers(self, state: State) -> State:
        """Fill in ``peer`` of the host's veths from the sandboxes in the state, whose own keys go away."""
        scopes = [key.scope for key, _value in select(state, "link") if key.scope.startswith("/")]
        return messages.joined(state, self.nsids(dict.fromkeys(scopes)))

    def nsids(self, paths: Iterable[str]) -> Dict[str, int]:
        """The ids by which the host's namespace knows others: path -> id; those it does not know are left out."""
        waiting = list(paths)
        found: Dict[str, int] = {}
        for start in range(0, len(waiting), _FEW):
            found.update(self._nsids(waiting[start : start + _FEW]))
        return found

    def read_peer_addresses(self, nsids: Iterable[int]) -> State:
        """Addresses inside namespaces that only have an id; scope ``nsid:5``.

        A namespace that is gone or hidden has none. An interface with IPv6 alone has no name, it is called ``if2``.
        """
        state: State = {}
        for nsid in nsids:
            found = self._target_addresses(nsid)
            state.update(messages.addresses(found, f"nsid:{nsid}", messages.labels(found)))
        return state

    def apply(self, changes: Sequence[Change]) -> None:
        """Write changes of the kinds netns, link, up, address, route in the order given.

        :raises KernelError: with the kernel's errno; what the failed change did may be half done
        """
        for is_deletion, members in groupby(devices.own(changes), devices.is_link_deletion):
            if is_deletion:
                self._delete_links(list(members))
                continue
            for change in members:
                self._write_one(change)

    def _delete_links(self, links: List[Change]) -> None:
        """Delete links; each deletion waits for all processors, so that several go together, as one group of links."""
        if len(links) == 1:
            self._write_one(links[0])
        else:
            self._delete_group(links)

    def _delete_group(self, links: Sequence[Change]) -> None:
        group = struct.unpack("=I", os.urandom(4))[0] | 1
        moved: List[Change] = []
        try:
            for change in links:
                devices.set_group(self, change.key, group)
                moved.append(change)
            devices.delete_group(self, group)
        except OSError as error:
            for change in moved:
                with contextlib.suppress(OSError):
                    devices.set_group(self, change.key, 0)
            failed = links[min(len(moved), len(links) - 1)]
            raise KernelError(str(failed), error.errno or 0, error.strerror or "") from error
        self._indexes.clear()

    def _write_one(self, change: Change) -> None:
        try:
            self._write(change)
        except KernelError as error:  # a namespace could not be made or entered
            if change.action != "delete" or error.errno not in _ENTER_GONE:
                raise error.within(str(change)) from error
        except OSError as error:
            if change.action != "delete" or error.errno not in devices.GONE[change.key.kind]:
                raise KernelError(str(change), error.errno or 0, error.strerror or "") from error

    def speak(
        self,
        scope: str,
        verb: int,
        noun: str,
        fields: Dict[str, Any],
        attributes: List[List[Any]],
        flags: int = 0,
    ) -> List[Any]:
        """Send one request into a namespace and return its answer. OSError if the kernel refuses."""
        is_bulk = verb == _GET or self._written >= _FEW
        self._written += verb != _GET
        body = packing.packed_fast(noun, fields, attributes) if is_bulk else packing.packed(noun, fields, attributes)
        replies = self._wire(scope).ask(_NUMBERS[noun] + verb, body, flags)
        return [bulk.message(noun, reply.data) for reply in replies]

    def index(self, scope: str, name: str) -> int:
        """The index of an interface. OSError ENODEV if there is none."""
        if (scope, name) not in self._indexes:
            answer = self.speak(scope, _GET, "link", {}, [["IFLA_IFNAME", name], ["IFLA_EXT_MASK", _NO_STATISTICS]])
            if not answer:
                raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
            self._indexes[(scope, name)] = answer[0]["index"]
        return self._indexes[(scope, name)]

    def _write(self, change: Change) -> None:
        if change.key.kind == "link":
            self._forget_index(change)
        if change.key.kind == "netns":
            self._write_netns(change)
        else:
            devices.write(self, change)

    def _forget_index(self, change: Change) -> None:
        """A link that is written may get another index, and so may its other end."""
        peer = (change.after or change.before).get("peer") or {}
        self._indexes.pop((change.key.scope, change.key.name), None)
        self._indexes.pop((peer.get("netns", ""), peer.get("name", "")), None)

    def _write_netns(self, change: Change) -> None:
        path = change.key.name
        if change.action == "delete":
            self._forget(path)
            self._names.delete(path)
        elif change.action == "create" and change.after.get("same_as"):
            namespaces.attach(path, change.after["same_as"])
        elif change.action == "create":
            self._names.create(path)

    def _wire(self, scope: str) -> Wire:
        """The socket into a namespace; the few used last stay open."""
        if scope not in self._wires:
            self._wires[scope] = namespaces.in_namespace(scope, Wire(ROUTE).open)
            sandboxes = [name for name in self._wires if name != HOST]
            if len(sandboxes) > _OPEN_WIRES:
                self._forget(sandboxes[0])
        self._wires.move_to_end(scope)
        return self._wires[scope]

    def _forget(self, scope: str) -> None:
        """Close a namespace's socket: an open one would keep the namespace alive."""
        if scope in self._wires:
            self._wires.pop(scope).close()
        self._indexes = {place: index for place, index in self._indexes.items() if place[0] != scope}

    def _read(self, scope: str) -> State:
        links = self._dump(scope, "link")
        name_of = messages.names(links)
        state = messages.links(links, scope, name_of)
        by_name = {name_of[link["index"]]: link for link in links if link["index"] in name_of}
        if scope != HOST:
            self._inside.update({(scope, name): link for name, link in by_name.items()})
        state.update(messages.addresses(self._dump(scope, "address"), scope, name_of))
        # The main table has IPv6 routes only where an interface speaks it, and an endpoint's seldom does.
        has_ipv6 = any(messages.without_ipv6(link) == "0" for name, link in by_name.items() if name != "lo")
        families = [socket.AF_INET, *([socket.AF_INET6] if has_ipv6 else [])]
        state.update(messages.routes(self._routes(scope, families), scope, name_of))
        return state

    def _routes(self, scope: str, families: Sequence[int]) -> List[Any]:
        """Where the kernel filters, it is asked for one table only; it does so for one family at a time."""
        if not self._wire(scope).strict:
            return self._dump(scope, "route")
        return [route for family in families for route in self._dump(scope, "route", family)]

    def _dump(self, scope: str, noun: str, family: int | None = None) -> List[Any]:
        wire = self._wire(scope)
        try:
            replies = wire.dump(_NUMBERS[noun] + _GET, _question(noun, family))
            return [bulk.message(noun, reply.data) for reply in replies]
        except OSError as error:
            raise KernelError(f"read {noun} of {scope}", error.errno or 0, error.strerror or "") from error

    def _nsids(self, paths: Sequence[str]) -> Dict[str, int]:
        with contextlib.ExitStack() as stack:
            handles: Dict[str, int] = {}
            for path in paths:
                with contextlib.suppress(OSError):  # it is gone
                    handles[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    stack.callback(os.close, handles[path])
            bodies = [bulk.packed("nsid", {}, [["NETNSA_FD", handle]]) for handle in handles.values()]
            replies = self._wire(HOST).ask_each(_NSID + _GET, bodies)
        found = {path: bulk.message("nsid", reply.data) for path, reply in zip(handles, replies) if reply is not None}
        nsids = {path: message.get_attr("NETNSA_NSID") for path, message in found.items()}
        return {path: nsid for path, nsid in nsids.items() if nsid not in (None, -1, _NOT_ASSIGNED)}

    def _target_addresses(self, nsid: int) -> List[Any]:
        wire = self._wire(HOST)
        if not wire.strict:  # an old kernel would answer with the host's own addresses
            return []
        body = bulk.packed("address", {}, []) + attribute(_IFA_TARGET_NETNSID, struct.pack("=i", nsid))
        try:
            return [bulk.message("address", reply.data) for reply in wire.dump(_ADDRESS + _GET, body)]
        except OSError:
            return []


@functools.cache
def _question(noun: str, family: int | None) -> bytes:
    """The request for all that there is of a noun, the same in each namespace; a family's routes are those of its
    main table."""
    if family is not None:
        fields = {"family": family, "table": messages.MAIN_TABLE}
        return packing.packed_fast(noun, fields, [["RTA_TABLE", messages.MAIN_TABLE]])
    return packing.packed_fast(noun, {}, [["IFLA_EXT_MASK", _NO_STATISTICS]] if noun == "link" else [])
