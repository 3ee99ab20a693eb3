# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forget tracked connections. Must not know: why.

A hand-packed ctnetlink conversation: pyroute2's conntrack support differs between the releases that are
supported, and all that is needed is to dump, compare four fields and send a tuple back.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from typing import Any, Dict, Iterable, Set, Tuple

from .wire import HEADER, NETFILTER, Wire, attribute, attributes

_GET, _DELETE = 0x0101, 0x0102  # subsystem ctnetlink
_START = HEADER + 4
_TUPLE_ORIG, _TUPLE_REPLY = 1, 2
_IP, _PROTO = 1, 2
_NUMBER, _DST_PORT = 1, 3
_SRC_V4, _SRC_V6 = 1, 3
_PROTOCOLS = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP, "sctp": 132}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NESTED = 0x8000

Wanted = Set[Tuple[int, int, str]]


def flush(entries: Iterable[Dict[str, Any]]) -> int:
    """Delete the connections that were made to a published port.

    :param entries: ``{"family": 4 | 6, "proto": "tcp" | "udp" | "sctp", "port": the port that clients
        asked for, "target": the address that answers}``
    :returns: how many were deleted; 0 where the kernel tracks nothing or forbids it
    """
    by_family: Dict[int, Wanted] = {}
    for entry in entries:
        place = (_PROTOCOLS[entry["proto"]], entry["port"], entry["target"])
        by_family.setdefault(entry["family"], set()).add(place)
    return sum(_flush(family, wanted) for family, wanted in by_family.items())


def _flush(family: int, wanted: Wanted) -> int:
    wire = Wire(NETFILTER)
    header = struct.pack("=BBH", _FAMILIES[family], 0, 0)
    count = 0
    try:
        wire.open()
        for reply in wire.dump(_GET, header):
            fields = attributes(reply.data, _START)
            if _described(fields) in wanted:
                count += _delete(wire, header + attribute(_TUPLE_ORIG | _NESTED, fields[_TUPLE_ORIG]))
    except OSError:  # connections are not tracked
        return count
    finally:
        wire.close()
    return count


def _delete(wire: Wire, body: bytes) -> int:
    """Forget one connection; 0 if it ended by itself meanwhile, which is no reason to keep the others."""
    try:
        wire.ask(_DELETE, body)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return 0
    return 1


def _described(fields: Dict[int, bytes]) -> Tuple[int, int, str]:
    """Protocol, the port that the client asked for, the address that answers; zeros where it does not say."""
    asked = _inner(fields, _TUPLE_ORIG, _PROTO)
    answering = _inner(fields, _TUPLE_REPLY, _IP)
    source = answering.get(_SRC_V4) or answering.get(_SRC_V6) or b""
    address = str(ipaddress.ip_address(source)) if len(source) in (4, 16) else ""
    return _number(asked.get(_NUMBER, b"")[:1]), _number(asked.get(_DST_PORT, b"")[:2]), address


def _inner(fields: Dict[int, bytes], outer: int, inner: int) -> Dict[int, bytes]:
    return attributes(attributes(fields.get(outer, b"")).get(inner, b""))


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
