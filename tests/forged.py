# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets that no honest host sends: any source, any target, straight onto a wire; and who hears them.

UDP, so that one packet is enough: it got in if the one that listens has it. Must not know: which packets may.

    with forged.ears([("web", 80, "::")]) as ears:
        liar = forged.Packet(host.lan, (host, "eth0"), "127.0.0.1", "172.17.0.2", 80)
        assert ears.got_in({"a liar": liar}, is_expected=False) == []
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import select
import socket
import struct
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Sequence, Tuple

from traffic import _checksum, inside

Ear = Tuple[Any, int, str]  # namespace, port, the address that it listens on
_numbers = itertools.count(1)
_TYPES = {4: 0x0800, 6: 0x86DD}
_LONG, _SHORT = 3.0, 0.3  # seconds to wait for what shall come, and for what shall not


class Packet(NamedTuple):
    """A datagram, and where it is put onto a wire: by which namespace's ``eth0``, to whose link address."""

    sender: Any
    to: Tuple[Any, str]
    source: str
    target: str
    port: int


def send(packet: Packet) -> bytes:
    """Send a packet from a source port of its own; returns what it carries."""
    number = next(_numbers)
    word = f"forged {number:06}".encode()
    mac = inside(packet.to[0], _mac, packet.to[1])
    inside(packet.sender, _put, _datagram(packet, 20000 + number, word), mac)
    return word


def _mac(device: str) -> bytes:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock:
        sock.bind((device, 0))
        return bytes(sock.getsockname()[4])


def _put(data: bytes, mac: bytes) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as sock:
        sock.sendto(data, ("eth0", _TYPES[data[0] >> 4], 0, 0, mac))


def _datagram(packet: Packet, source_port: int, payload: bytes) -> bytes:
    ends = [ipaddress.ip_address(packet.source), ipaddress.ip_address(packet.target)]
    length = 8 + len(payload)
    pseudo = ends[0].packed + ends[1].packed + struct.pack("!II", length, socket.IPPROTO_UDP)
    head = struct.pack("!HHH", source_port, packet.port, length)
    whole = pseudo + head + b"\0\0" + payload
    body = head + struct.pack("!H", _checksum(whole + b"\0" * (len(whole) % 2)) or 0xFFFF) + payload
    if ends[0].version == 6:
        return struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_UDP, 64) + ends[0].packed + ends[1].packed + body
    fixed = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 0, 0, 64, socket.IPPROTO_UDP, 0)
    checksum = _checksum(fixed + ends[0].packed + ends[1].packed)
    return fixed[:10] + struct.pack("!H", checksum) + ends[0].packed + ends[1].packed + body


def _say(target: str, port: int, word: bytes) -> None:
    with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(word, (target, port))


class Ears:
    """Everybody who listens."""

    def __init__(self, sockets: Dict[socket.socket, Ear]) -> None:
        self._sockets = sockets

    def got_in(self, doors: Dict[str, Packet], is_expected: bool) -> List[str]:
        """Send a packet through each door at the same time; returns the names of those that anybody heard.

        :param is_expected: all are expected to get in, so it is worth waiting for them
        """
        words = {send(packet): name for name, packet in doors.items()}
        return self._hear(words, _LONG if is_expected else _SHORT)

    def reached(self, ns: Any, target: str, port: int) -> bool:
        """Whether an honest datagram from a namespace is heard by anybody."""
        word = f"honest {next(_numbers)}".encode()
        inside(ns, _say, target, port, word)
        return bool(self._hear({word: "honest"}, _LONG))

    def _hear(self, words: Dict[bytes, str], seconds: float) -> List[str]:
        heard: List[str] = []
        end = time.monotonic() + seconds
        while len(heard) < len(words) and (left := end - time.monotonic()) > 0:
            for sock in select.select(list(self._sockets), [], [], left)[0]:
                word = sock.recv(64)
                heard += [words[word]] if word in words else []
        return sorted(heard)


@contextlib.contextmanager
def ears(places: Sequence[Ear]) -> Iterator[Ears]:
    """Listen in namespaces."""
    with contextlib.ExitStack() as stack:
        yield Ears({stack.enter_context(inside(place[0], _ear, *place[1:])): place for place in places})


def _ear(port: int, address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind((address, port))
    return sock
