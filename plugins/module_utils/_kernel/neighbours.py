# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forget which hardware address an address had (ARP, NDP). Must not know: why."""

from __future__ import annotations

import contextlib
import ipaddress
import struct
from typing import Collection

from .wire import HEADER, ROUTE, Wire, attribute, attributes

_DELETE, _GET = 29, 30  # RTM_*NEIGH
_FIXED = struct.Struct("=BxxxiHBB")  # family, interface, state, flags, type
_DESTINATION = 1  # NDA_DST


def forget(addresses: Collection[str]) -> int:
    """Delete the host's neighbour entries of addresses, so that it asks who has them.

    :returns: how many were deleted; 0 where the kernel forbids it
    """
    wire = Wire(ROUTE)
    count = 0
    with contextlib.suppress(OSError), contextlib.closing(wire):
        wire.open()
        for reply in wire.dump(_GET, _FIXED.pack(0, 0, 0, 0, 0)):
            family, interface, _state, _flags, _type = _FIXED.unpack_from(reply.data, HEADER)
            target = attributes(reply.data, HEADER + _FIXED.size).get(_DESTINATION, b"")
            if len(target) in (4, 16) and str(ipaddress.ip_address(target)) in addresses:
                with contextlib.suppress(FileNotFoundError):
                    wire.ask(_DELETE, _FIXED.pack(family, interface, 0, 0, 0) + attribute(_DESTINATION, target))
                    count += 1
    return count
