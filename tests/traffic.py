# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic between namespaces: servers, probes, pings. Sockets in threads, no process per probe.

Must not know: Ansible, the modules.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import select
import socket
import struct
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

import sandbox

_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class Inner(NamedTuple):
    """A namespace whose name only a host knows that has a mount namespace of its own.

    :ivar mounts: the file of that mount namespace
    """

    mounts: str
    name: str


def words_into(ns: Any) -> List[str]:
    """The beginning of a command line that runs the rest of it in a namespace."""
    host = ["nsenter", f"--mount={ns.mounts}", "--"] if isinstance(ns, Inner) else []
    return [*host, "nsenter", f"--net={path_of(ns)}", "--"]


def path_of(ns: Any) -> str:
    """The file of a namespace: of a Host, of a name below /run/netns, or an absolute path as it is."""
    return os.path.join("/run/netns", getattr(ns, "name", ns))


def inside(ns: Any, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a thread that entered the namespace; return or raise what it does."""
    outcome: Dict[str, Any] = {}

    def entered() -> None:
        try:
            if isinstance(ns, Inner):
                sandbox.own_directories()
                _enter(ns.mounts, sandbox.CLONE_NEWNS)
            _enter(path_of(ns), sandbox.CLONE_NEWNET)
            outcome["result"] = function(*args)
        except BaseException as error:  # raised again below, in the caller's thread
            outcome["error"] = error

    thread = threading.Thread(target=entered, name=f"in {path_of(ns)}")
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def _enter(path: str, kind: int) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sandbox.setns(handle, kind)
    finally:
        os.close(handle)


@contextlib.contextmanager
def serve(ns: Any, port: int, address: str | None = None, proto: str = "tcp") -> Iterator[None]:
    """A server in the namespace that answers every client with the address it sees him at.

    :param address: the address to listen on; None: all, IPv4 and IPv6
    :param proto: ``tcp`` or ``udp``
    :raises OSError: the port is taken, or the address is not there
    """
    listener = inside(ns, _listen, port, address, proto)
    stop, stopped = os.pipe()
    answer = _answer_tcp if proto == "tcp" else _answer_udp
    thread = threading.Thread(target=_serve, args=(listener, stop, answer), daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(stopped)
        thread.join()
        os.close(stop)
        listener.close()


def _listen(port: int, address: str | None, proto: str) -> socket.socket:
    family = _family(address or "::")
    sock = socket.socket(family, _KINDS[proto])
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1 if address else 0)
        sock.bind((address or "::", port))
        if proto == "tcp":
            sock.listen(16)
    except BaseException:
        sock.close()
        raise
    return sock


def _serve(listener: socket.socket, stop: int, answer: Callable[[socket.socket], None]) -> None:
    """Answer until the other end of ``stop`` is closed."""
    while stop not in select.select([listener.fileno(), stop], [], [])[0]:
        with contextlib.suppress(OSError):  # a client that has gone
            answer(listener)


def _answer_tcp(listener: socket.socket) -> None:
    client, (address, *_rest) = listener.accept()
    with client:
        client.settimeout(1)
        client.sendall(_plain(address).encode())


def _answer_udp(listener: socket.socket) -> None:
    client = listener.recvfrom(64)[1]
    listener.sendto(_plain(client[0]).encode(), client)


def _plain(address: str) -> str:
    """An IPv4 address seen through an IPv6 socket in its own spelling."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def probe(ns: Any, address: str, port: int, proto: str = "tcp", timeout: float = 3.0, source: str | None = None) -> str:
    """What a client in the namespace gets from ``address``:``port``.

    :param source: the client's address, where it has several
    :returns: ``open, from=A`` where A is the client's address as a ``serve`` server sees it (``open``
        alone if the server says nothing), ``refused``, or ``no answer``, which includes "unreachable"
    """
    return inside(ns, _probe, address, port, proto, timeout, source)


def _probe(address: str, port: int, proto: str, timeout: float, source: str | None) -> str:
    with socket.socket(_family(address), _KINDS[proto]) as sock:
        sock.settimeout(timeout)
        if source:
            sock.bind((source, 0))
        try:
            sock.connect((address, port))
            if proto == "udp":
                sock.send(b"who am I?")
            seen = _reply(sock, proto)
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            if isinstance(error, socket.timeout) or error.errno in _UNREACHABLE:
                return "no answer"
            raise
    return f"open, from={seen}" if seen else "open"


_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EPERM, errno.EACCES, errno.EADDRNOTAVAIL)


def _reply(sock: socket.socket, proto: str) -> str:
    """A TCP server that accepts and stays silent is open all the same; UDP has nothing but the answer."""
    try:
        return sock.recv(64).decode("ascii", "replace")
    except socket.timeout:
        if proto == "udp":
            raise
        return ""


def ping(ns: Any, address: str, timeout: float = 3.0) -> bool:
    """Whether an echo request sent in the namespace is answered within ``timeout`` seconds."""
    return inside(ns, _ping, address, timeout)


def _ping(address: str, timeout: float) -> bool:
    family = _family(address)
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    request, reply = (8, 0) if family == socket.AF_INET else (128, 129)
    ident = struct.pack("!HH", threading.get_native_id() & 0xFFFF, 1)
    packet = struct.pack("!BBH", request, 0, 0) + ident
    if family == socket.AF_INET:  # the kernel sums up ICMPv6 itself
        packet = struct.pack("!BBH", request, 0, _checksum(packet)) + ident
    try:
        with socket.socket(family, socket.SOCK_RAW, protocol) as sock:
            sock.connect((address, 0))
            sock.send(packet)
            return _echoed(sock, bytes([reply]), ident, time.monotonic() + timeout)
    except OSError as error:
        if error.errno in _UNREACHABLE:
            return False
        raise


def _echoed(sock: socket.socket, reply: bytes, ident: bytes, deadline: float) -> bool:
    """Whether our reply comes in before the deadline; a raw socket sees those of others too."""
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            data = sock.recv(256)
        except socket.timeout:
            return False
        if sock.family == socket.AF_INET:
            data = data[(data[0] & 0x0F) * 4 :]
        if data[:1] == reply and data[4:8] == ident:
            return True
    return False


def _checksum(data: bytes) -> int:
    """The Internet checksum of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
