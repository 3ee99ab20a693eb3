# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What beside rules decides where a packet goes: addresses, routes, forwarding. Must not know: rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Tuple

from .space import bounds, number


def is_loopback(address: str) -> bool:
    """Whether it is one of 127.0.0.0/8, or ::1."""
    return address == "::1" or address.startswith("127.")


@dataclass(frozen=True)
class Site:
    """One family of a host: its own addresses, its routes (destination, interface), whether it forwards.

    ``localnet`` are the interfaces that take packets for 127.0.0.0/8 (sysctl route_localnet), ``firsts`` the first
    address of each interface.
    """

    addresses: Tuple[str, ...]
    routes: Tuple[Tuple[str, str], ...]
    is_forwarding: bool = True
    localnet: Tuple[str, ...] = ()
    firsts: Tuple[Tuple[str, str], ...] = ()
    _found: Dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def is_local(self, address: str) -> bool:
        """Whether the host itself has an address."""
        return address in self.addresses or is_loopback(address)

    def route(self, address: str) -> str:
        """The interface of the longest prefix that has the address; empty if there is none."""
        if address not in self._found:
            self._found[address] = self._route(address)
        return self._found[address]

    def _route(self, address: str) -> str:
        family, value = 6 if ":" in address else 4, number(address)
        fitting: List[Tuple[int, str]] = []
        for net, name in self.routes:
            version, low, high = bounds(net)
            if version == family and low <= value <= high:
                fitting.append((low - high, name))
        return max(fitting, key=lambda item: item[0])[1] if fitting else ""

    def first(self, interface: str) -> str:
        """What a redirection by an incoming interface leads to; empty if it has no address."""
        return dict(self.firsts).get(interface, "")
