# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of packets as bits: by which interface they come in, from which sources, to which port.

A mask has one bit for each interface, for each stretch of source addresses that the rules do not tell apart, or for
each port; ``EVERY`` has all bits. So ten thousand rules of one port each take ten thousand short operations, and who
may send to a port is known exactly. Must not know: rules, a packet's way.
"""

from __future__ import annotations

import ipaddress
import socket
from bisect import bisect_left
from functools import cache
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple

EVERY = -1
PORTS = (1 << 65536) - 2  # 1 to 65535
_BITS = {4: 32, 6: 128}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class Box(NamedTuple):
    """The packets that come in by any of the interfaces, from any of the sources, to any of the ports asked for."""

    interfaces: int = EVERY
    sources: int = EVERY
    ports: int = EVERY

    def both(self, other: Box) -> Box:
        """What is in both."""
        return Box(self.interfaces & other.interfaces, self.sources & other.sources, self.ports & other.ports)

    def __bool__(self) -> bool:
        return bool(self.interfaces and self.sources and self.ports)


def merged(boxes: Sequence[Box]) -> List[Box]:
    """The same packets in fewer boxes: those that differ in one way only are one."""
    found = list(boxes)
    for name in ("sources", "ports", "interfaces"):
        groups: Dict[Box, int] = {}
        for box in found:
            rest = box._replace(**{name: 0})
            groups[rest] = groups.get(rest, 0) | getattr(box, name)
        found = [rest._replace(**{name: mask}) for rest, mask in groups.items()]
    return found


# Masks of interfaces and sources -> mask of ports. No packet is in it twice.
Region = Dict[Tuple[int, int], int]


def add(region: Region, more: Region) -> None:
    """Put ``more`` into a region."""
    for place, ports in more.items():
        region[place] = region.get(place, 0) | ports


def within(region: Region, box: Box) -> Region:
    """The packets of a region that are in a box."""
    found: Region = {}
    for (interfaces, sources), ports in region.items():
        place, hit = (interfaces & box.interfaces, sources & box.sources), ports & box.ports
        if place[0] and place[1] and hit:
            found[place] = found.get(place, 0) | hit
    return found


def without(region: Region, box: Box) -> Region:
    """The packets of a region that are not in a box; what is cut off first are ports, so that the rest stays whole."""
    found: Region = {}
    for (interfaces, sources), ports in region.items():
        hit, inside = ports & box.ports, interfaces & box.interfaces
        if not (hit and inside and sources & box.sources):
            add(found, {(interfaces, sources): ports})
            continue
        rest = {
            (interfaces, sources): ports ^ hit,
            (interfaces & ~box.interfaces, sources): hit if interfaces != inside else 0,
            (inside, sources & ~box.sources): hit,
        }
        add(found, {place: left for place, left in rest.items() if left and place[0] and place[1]})
    return found


def ports_of(region: Region) -> int:
    """All ports of a region."""
    mask = 0
    for ports in region.values():
        mask |= ports
    return mask


def span(low: int, high: int) -> int:
    """The mask of the bits from one to another, both included."""
    return (1 << high + 1) - (1 << low)


def marks(mask: int) -> bytes:
    """The bits of a mask of ports by eights, where looking up one of them is cheap."""
    return (mask & PORTS).to_bytes(8192, "little")


def joined(spans: Iterable[Tuple[int, int]]) -> int:
    """The mask of many runs of bits, of which most are single."""
    marks = bytearray(8193)
    mask = 0
    for low, high in spans:
        if low == high:
            marks[low >> 3] |= 1 << (low & 7)
        else:
            mask |= span(low, high)
    return mask | int.from_bytes(marks, "little")


def runs(mask: int) -> Iterator[Tuple[int, int]]:
    """First and last of each run of bits."""
    text = bin(mask)[:1:-1]
    start = text.find("1")
    while start >= 0:
        end = text.find("0", start)
        yield start, (end if end >= 0 else len(text)) - 1
        start = text.find("1", end) if end >= 0 else -1


@cache
def number(address: str) -> int:
    """An address as a number. ValueError if it is none."""
    family = 6 if ":" in address else 4
    try:
        return int.from_bytes(socket.inet_pton(_FAMILIES[family], address), "big")
    except OSError as error:
        raise ValueError(address) from error


@cache
def bounds(text: str) -> Tuple[int, int, int]:
    """Family, first and last address of ``192.0.2.0/24``, ``192.0.2.1-192.0.2.9`` or an address. ValueError if none."""
    family = 6 if ":" in text else 4
    low, dash, high = text.partition("-")
    if dash:
        return family, number(low), number(high)
    address, slash, length = text.partition("/")
    if slash and not length.isdigit():  # 255.255.0.0
        length = str(ipaddress.ip_network(f"0.0.0.0/{length}").prefixlen)
    free = (1 << _BITS[family] - int(length or _BITS[family])) - 1
    first = number(address) & ~free
    return family, first, first | free


class Sources:
    """The source addresses of one family, cut at every bound that the rules name."""

    def __init__(self, family: int, named: Iterable[str]) -> None:
        self.family = family
        cuts = {0, 1 << _BITS[family]}
        for text in named:
            version, low, high = bounds(text)
            if version == family:
                cuts.update((low, high + 1))
        self._cuts = sorted(cuts)
        self._masks: Dict[str, int] = {}
        self.whole = (1 << len(self._cuts) - 1) - 1

    def mask(self, text: str) -> int:
        """The mask of ``192.0.2.0/24``, a range or an address, whose bounds were among those named."""
        if text not in self._masks:
            version, low, high = bounds(text)
            first, behind = bisect_left(self._cuts, low), bisect_left(self._cuts, high + 1)
            self._masks[text] = (1 << behind) - (1 << first) if version == self.family else 0
        return self._masks[text]

    def of(self, address: str) -> int:
        """The mask of the stretch that has an address."""
        return 1 << bisect_left(self._cuts, number(address) + 1) - 1

    def where(self, test: Callable[[str], bool]) -> int:
        """The mask of the stretches whose first address passes a test."""
        firsts = (str(_address(self.family, cut)) for cut in self._cuts[:-1])
        return sum(1 << index for index, first in enumerate(firsts) if test(first))

    def networks(self, mask: int, rest: int) -> List[str]:
        """CIDRs of a mask; ``rest`` are sources that do not matter, included where that is shorter."""
        if (mask | rest) == self.whole:
            return [{4: "0.0.0.0/0", 6: "::/0"}[self.family]]
        return min(self._networks(mask), self._networks(mask | rest), key=len)

    def _networks(self, mask: int) -> List[str]:
        found: List[str] = []
        for first, last in runs(mask):
            ends = (_address(self.family, self._cuts[first]), _address(self.family, self._cuts[last + 1] - 1))
            found += [str(net) for net in ipaddress.summarize_address_range(*ends)]  # type: ignore[type-var]
        return found


def _address(family: int, value: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.IPv4Address(value) if family == 4 else ipaddress.IPv6Address(value)


class Space:
    """What the bits of a walk stand for."""

    def __init__(self, interfaces: Sequence[str], sources: Sources) -> None:
        self.interfaces, self.sources = tuple(interfaces), sources
        self._masks: Dict[str, int] = {}

    def interface(self, pattern: str) -> int:
        """The mask of a name, or of all names that begin so: ``eth+`` or ``eth*``."""
        if pattern not in self._masks:
            head = pattern[:-1] if pattern[-1:] in ("+", "*") else None
            fits = [name == pattern if head is None else name.startswith(head) for name in self.interfaces]
            self._masks[pattern] = sum(1 << index for index, fit in enumerate(fits) if fit)
        return self._masks[pattern]

    def names(self, mask: int) -> List[str]:
        """The interfaces of a mask."""
        return [name for index, name in enumerate(self.interfaces) if mask >> index & 1]
