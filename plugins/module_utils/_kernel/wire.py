# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A netlink conversation: requests, dumps, acknowledgements, errors. Must not know: what is said.

A plain socket that belongs to the network namespace of the thread that opens it. It starts no
process, no thread and no event loop, so a thousand namespaces cost a thousand file descriptors
at most, and it is the same under every release of the library that packs the messages.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

ROUTE, NETFILTER = 0, 12
CREATE, EXCLUSIVE, REPLACE = 0x400, 0x200, 0x100
HEADER = 16

_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_INTERRUPTED = 0x10
_ERROR, _DONE = 2, 3
_SOL_NETLINK = 270
_CAP_ACK, _EXT_ACK, _STRICT_CHECK = 10, 11, 12
_ACK_TEXT = 1
_ACK_HAS_TEXT = 0x200
_BUFFER = 1 << 17
_NESTED_BITS = 0xC000
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_TRIES = 5


class Reply(NamedTuple):
    """One message of the kernel: its type and all its bytes, header included."""

    kind: int
    flags: int
    data: bytes


class Wire:
    """A netlink socket; ``open`` it in the namespace it shall speak to."""

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._socket: socket.socket | None = None
        self._sequence = 0
        self.strict = False

    def open(self) -> Wire:
        """Open the socket in the calling thread's namespace.

        :raises OSError: the kernel has no such protocol or forbids it
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, self._protocol)
        self._socket.bind((0, 0))
        self._option(_CAP_ACK)
        self._option(_EXT_ACK)
        self.strict = self._option(_STRICT_CHECK)
        return self

    def close(self) -> None:
        """Close the socket; a wire that was never opened may be closed as well."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, kind: int, body: bytes, flags: int = 0) -> List[Reply]:
        """Send one request, wait until the kernel has carried it out, return what it answered.

        :param flags: ``CREATE``, ``EXCLUSIVE``, ``REPLACE``
        :raises OSError: errno and, where it gave one, the kernel's own text
        """
        return self._talk(kind, _REQUEST | _ACK | flags, body)

    def dump(self, kind: int, body: bytes) -> List[Reply]:
        """Ask for a whole table. A table that changed meanwhile is read again, one that is not there yet is empty.

        :raises OSError: errno and, where it gave one, the kernel's own text
        """
        for _attempt in range(_TRIES):
            try:
                replies = self._talk(kind, _REQUEST | _DUMP, body)
            except FileNotFoundError:  # a routing table is made with its first route
                return []
            if not any(reply.flags & _INTERRUPTED for reply in replies):
                break
        return replies

    def ask_each(self, kind: int, bodies: Sequence[bytes]) -> List[Reply | None]:
        """Send questions that have one answer each, in one go; None is the answer to one that the kernel refuses.

        :param bodies: not more than the socket's buffer has room for the answers of
        :raises OSError: the conversation broke off
        """
        first = self._sequence + 1
        requests = [self._request(kind, _REQUEST, body) for body in bodies]
        found: Dict[int, Reply] = {}
        if requests:
            self._opened().send(b"".join(requests))
        while len(found) < len(requests):
            for reply, sequence in _messages(self._opened().recv(_BUFFER)):
                if sequence >= first:
                    found[sequence] = reply
        replies = [found[first + number] for number in range(len(requests))]
        return [None if reply.kind == _ERROR else reply for reply in replies]

    def _option(self, name: int) -> bool:
        """Switch a socket option on; old kernels lack some, the answer says whether it is on."""
        try:
            self._opened().setsockopt(_SOL_NETLINK, name, 1)
        except OSError:
            return False
        return True

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise OSError(errno.EBADF, "the wire is not open")
        return self._socket

    def _talk(self, kind: int, flags: int, body: bytes) -> List[Reply]:
        opened = self._opened()
        opened.send(self._request(kind, flags, body))
        replies: List[Reply] = []
        while not self._hear(opened.recv(_BUFFER), replies):
            pass
        return replies

    def _request(self, kind: int, flags: int, body: bytes) -> bytes:
        self._sequence += 1
        return _HEADER.pack(HEADER + len(body), kind, flags, self._sequence, 0) + body + bytes(-len(body) % 4)

    def _hear(self, data: bytes, replies: List[Reply]) -> bool:
        """Collect the replies of one datagram; true when the answer is complete."""
        for reply, sequence in _messages(data):
            if sequence != self._sequence:  # the rest of an answer that was given up
                continue
            if reply.kind in (_ERROR, _DONE):
                _raise_failure(reply)
                return True
            replies.append(reply)
        return False


def attribute(kind: int, payload: bytes) -> bytes:
    """Pack one attribute (type, length, value), padded as the kernel expects."""
    return _ATTRIBUTE.pack(4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


class _Layout(NamedTuple):
    """Where the attributes of a row are: type without its flag bits -> place. ``headers`` are the bits of all types
    and lengths, ``mask`` tells which bits those are."""

    places: Dict[int, slice]
    mask: int
    headers: int


_layouts: Dict[Tuple[int, int], _Layout] = {}


def places(data: bytes, start: int = 0) -> Dict[int, slice]:
    """Where the attributes of a row are: type without its flag bits -> place.

    A link has some sixty attributes, and thousands of links have them at the same places: those of the last row of
    this length hold if all its types and lengths are found again.
    """
    shape = (len(data), start)
    layout = _layouts.get(shape)
    if layout is None or int.from_bytes(data, "little") & layout.mask != layout.headers:
        layout = _layouts[shape] = _layout(data, start)
    return layout.places


def _layout(data: bytes, start: int) -> _Layout:
    found: Dict[int, slice] = {}
    mask = 0
    while start + 4 <= len(data):
        mask |= 0xFFFFFFFF << 8 * start
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if not 4 <= length <= len(data) - start:
            break
        found[kind & ~_NESTED_BITS] = slice(start + 4, start + length)
        start += (length + 3) & ~3
    return _Layout(found, mask, int.from_bytes(data, "little") & mask)


def attributes(data: bytes, start: int = 0) -> Dict[int, bytes]:
    """Unpack a row of attributes: type without its flag bits -> value."""
    return {kind: data[place] for kind, place in places(data, start).items()}


def _messages(data: bytes) -> Iterator[Tuple[Reply, int]]:
    start = 0
    while start + HEADER <= len(data):
        length, kind, flags, sequence, _port = _HEADER.unpack_from(data, start)
        if not HEADER <= length <= len(data) - start:
            raise OSError(errno.EBADMSG, "the kernel's answer is cut off")
        yield Reply(kind, flags, data[start : start + length]), sequence
        start += (length + 3) & ~3


def _raise_failure(reply: Reply) -> None:
    """Raise what an acknowledgement or the end of a dump says, if it is a failure."""
    code = struct.unpack_from("=i", reply.data, HEADER)[0] if len(reply.data) >= HEADER + 4 else 0
    if code < 0:
        raise OSError(-code, _text(reply) or os.strerror(-code))


def _text(reply: Reply) -> str:
    """The kernel's own words; the header of the request stands between the code and them."""
    start = HEADER + 4 + (HEADER if reply.kind == _ERROR else 0)
    if not reply.flags & _ACK_HAS_TEXT:
        return ""
    return attributes(reply.data, start).get(_ACK_TEXT, b"").rstrip(b"\0").decode("utf-8", "replace")
