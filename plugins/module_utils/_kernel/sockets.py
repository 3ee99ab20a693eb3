# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports processes listen on, asked from the kernel by sock_diag. Must not know: which ports matter.

The request is packed by hand: pyroute2's DiagSocket changes its start and its decoding between the
releases that are supported, and one fixed structure of 56 bytes each way is all that is needed.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import struct
from typing import Collection, Dict, Iterator, List, NamedTuple, Set, Tuple

from .._state import HOST, Key, State
from . import processes
from .wire import HEADER, Wire, attributes

_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_TCP_LISTEN, _CLOSE = 10, 7  # an unconnected UDP socket is in state CLOSE
_PROTOCOLS = {"tcp": (socket.IPPROTO_TCP, _TCP_LISTEN), "udp": (socket.IPPROTO_UDP, _CLOSE)}
_REQUEST = struct.Struct("=BBBBI")
_SOCKET_ID = 48
_DEVICE, _INODE, _ATTRIBUTES = HEADER + 40, HEADER + 68, HEADER + 72
_V6ONLY = 11


class _Socket(NamedTuple):
    """``device`` is the index of the interface that it is bound to, 0 for all."""

    address: str
    port: int
    inode: int
    device: int
    takes_both: bool


def listening(wanted: Collection[Tuple[str, int]] | None) -> State:
    """All listening TCP and bound UDP sockets of this namespace, both families.

    The values are ``{"holder": str, "device": int, "takes_both": bool}``: the process, the index of the interface that
    the socket is bound to (0 for all), and whether an IPv6 socket takes IPv4 too.

    :param wanted: (protocol, port) whose processes are looked up; the others' holder stays empty. None: all
    """
    found: Dict[Key, _Socket] = {}
    for protocol, (number, state) in _PROTOCOLS.items():
        for family in (socket.AF_INET, socket.AF_INET6):
            for item in _dump(family, number, state):
                found[Key("socket", HOST, f"{protocol} {item.address}:{item.port}")] = item
    asked = {item.inode for key, item in found.items() if wanted is None or _place(key) in wanted}
    holders = _holders(asked) if asked else {}
    return {
        key: {"holder": holders.get(item.inode, ""), "device": item.device, "takes_both": item.takes_both}
        for key, item in found.items()
    }


def _place(key: Key) -> Tuple[str, int]:
    protocol, _space, address = key.name.partition(" ")
    return protocol, int(address.rpartition(":")[2])


def _dump(family: int, protocol: int, state: int) -> Iterator[_Socket]:
    """The sockets; none where the kernel cannot tell."""
    body = _REQUEST.pack(family, protocol, 0, 0, 1 << state) + bytes(_SOCKET_ID)
    wire = Wire(_SOCK_DIAG)
    try:
        replies = wire.open().dump(_SOCK_DIAG_BY_FAMILY, body)
    except OSError:
        return
    finally:
        wire.close()
    for reply in replies:
        if reply.kind == _SOCK_DIAG_BY_FAMILY and len(reply.data) >= _INODE + 4:
            yield _socket(reply.data, family)


def _socket(data: bytes, family: int) -> _Socket:
    port = struct.unpack_from("!H", data, HEADER + 4)[0]
    length = 4 if family == socket.AF_INET else 16
    address = ipaddress.ip_address(data[HEADER + 8 : HEADER + 8 + length])
    text = f"[{address}]" if family == socket.AF_INET6 else str(address)
    takes_both = family == socket.AF_INET6 and attributes(data, _ATTRIBUTES).get(_V6ONLY, b"\0")[0] == 0
    inode, device = struct.unpack_from("=I", data, _INODE)[0], struct.unpack_from("=I", data, _DEVICE)[0]
    return _Socket(text, port, inode, device, takes_both)


def _holders(inodes: Set[int]) -> Dict[int, str]:
    """Socket inode -> ``nginx (pid 12)``."""
    found: Dict[int, str] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for inode in _sockets_of(pid):
            if inode in inodes:
                found.setdefault(inode, f"{processes.name_of(pid) or 'a process'} (pid {pid})")
        if len(found) == len(inodes):
            break
    return found


def _sockets_of(pid: str) -> List[int]:
    directory = f"/proc/{pid}/fd"
    try:
        links = [os.readlink(f"{directory}/{name}") for name in os.listdir(directory)]
    except OSError:  # the process ended, or is not ours to see
        return []
    return [int(match.group(1)) for match in (re.match(r"socket:\[(\d+)\]", link) for link in links) if match]
