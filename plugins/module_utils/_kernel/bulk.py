# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rtnetlink messages that come by the thousand, packed and unpacked by hand. Must not know: sockets, Docker.

pyroute2 takes a quarter of a millisecond to pack or unpack a message, longer than the kernel takes to answer,
and its import takes as long as the rest of a run that changes nothing. So what is read is unpacked here, and a
run with many writes packs here after its first ones. A test holds these bytes and values against pyroute2's.

The words are pyroute2's too (``IFLA_IFNAME``, nested ``{"attrs": [[name, value], ...]}``), so that whoever
speaks need not know who packs.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

from .wire import HEADER, attribute, places

_ADDRESS_LENGTH = {4: socket.AF_INET, 16: socket.AF_INET6}
_SETTINGS = 2  # IFLA_INET6_CONF
_DISABLE_IPV6 = 26  # its place among the settings of an interface, fixed by the kernel's interface


class Unknown(KeyError):
    """The request has something that is not packed here."""


class _Noun(NamedTuple):
    """The fixed part of a message (struct and names of its fields) and its attributes."""

    fixed: struct.Struct
    names: Tuple[str, ...]
    attributes: Dict[str, Tuple[int, Any]]


class _Type(NamedTuple):
    """One kind of value: both ways."""

    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]


def _pack_address(value: Any) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in value else socket.AF_INET, value)


def _unpack_address(data: bytes) -> str:
    family = _ADDRESS_LENGTH.get(len(data))
    return socket.inet_ntop(family, data) if family else ""


def _unpack_via(data: bytes) -> Dict[str, Any]:
    """A gateway of another family than the route: its family, then its address."""
    return {"family": _unpack_byte(data), "addr": _unpack_address(data[2:])}


def _unpack_ipv6(data: bytes) -> str | None:
    """``"0"`` or ``"1"``: the setting disable_ipv6, which stands among those of the families."""
    ipv6 = _part(data, socket.AF_INET6)
    settings = _part(ipv6, _SETTINGS)
    return str(_unpack_int(settings[4 * _DISABLE_IPV6 :])) if len(settings) > 4 * _DISABLE_IPV6 else None


def _part(data: bytes, kind: int) -> bytes:
    """One attribute of a row; nothing if it is not there."""
    place = places(data).get(kind)
    return data[place] if place else b""


def _unpack_int(data: bytes) -> int:
    return int.from_bytes(data[:4], sys.byteorder)


def _unpack_byte(data: bytes) -> int:
    return int.from_bytes(data[:1], sys.byteorder)


def _unpack_text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")


def _never(_value: Any) -> bytes:
    raise Unknown("it is only read")


_TEXT = _Type(lambda value: value.encode() + b"\0", _unpack_text)
_INT = _Type(lambda value: struct.pack("=I", value), _unpack_int)
_SIGNED = _Type(
    lambda value: struct.pack("=i", value), lambda data: int.from_bytes(data[:4], sys.byteorder, signed=True)
)
_BYTE = _Type(lambda value: struct.pack("=B", value), _unpack_byte)
_MAC = _Type(lambda value: bytes.fromhex(value.replace(":", "")), lambda data: data.hex(":"))
_ADDRESS = _Type(_pack_address, _unpack_address)
_VIA = _Type(_never, _unpack_via)
_IPV6 = _Type(_never, _unpack_ipv6)

_IFINFO = (struct.Struct("=BxHiII"), ("family", "type", "index", "flags", "change"))
_BARE = (struct.Struct(""), ())
_SLAVE = _Noun(*_BARE, {"IFLA_BRPORT_MODE": (4, _BYTE)})
_PEER_ATTRIBUTES = {
    "IFLA_ADDRESS": (1, _MAC),
    "IFLA_IFNAME": (3, _TEXT),
    "IFLA_MTU": (4, _INT),
    "IFLA_TXQLEN": (13, _INT),
    "IFLA_NET_NS_FD": (28, _INT),
}
_VETH = _Noun(*_BARE, {"VETH_INFO_PEER": (1, _Noun(*_IFINFO, _PEER_ATTRIBUTES))})
_INFO = _Noun(
    *_BARE,
    {
        "IFLA_INFO_KIND": (1, _TEXT),
        "IFLA_INFO_DATA": (2, _VETH),
        "IFLA_INFO_SLAVE_KIND": (4, _TEXT),
        "IFLA_INFO_SLAVE_DATA": (5, _SLAVE),
    },
)
_LINK = {
    **_PEER_ATTRIBUTES,
    "IFLA_LINK": (5, _INT),
    "IFLA_MASTER": (10, _INT),
    "IFLA_LINKINFO": (18, _INFO),
    "IFLA_GROUP": (27, _INT),
    "IFLA_AF_SPEC": (26, _IPV6),
    "IFLA_EXT_MASK": (29, _INT),
    "IFLA_LINK_NETNSID": (37, _SIGNED),
}
_NOUNS = {
    "link": _Noun(*_IFINFO, _LINK),
    "address": _Noun(
        struct.Struct("=BBBBI"),
        ("family", "prefixlen", "flags", "scope", "index"),
        {
            "IFA_ADDRESS": (1, _ADDRESS),
            "IFA_LOCAL": (2, _ADDRESS),
            "IFA_LABEL": (3, _TEXT),
            "IFA_BROADCAST": (4, _ADDRESS),
            "IFA_FLAGS": (8, _INT),
        },
    ),
    "route": _Noun(
        struct.Struct("=BBBBBBBBI"),
        ("family", "dst_len", "src_len", "tos", "table", "proto", "scope", "type", "flags"),
        {
            "RTA_DST": (1, _ADDRESS),
            "RTA_OIF": (4, _INT),
            "RTA_GATEWAY": (5, _ADDRESS),
            "RTA_PRIORITY": (6, _INT),
            "RTA_TABLE": (15, _INT),
            "RTA_VIA": (18, _VIA),
        },
    ),
    "nsid": _Noun(struct.Struct("=Bxxx"), ("family",), {"NETNSA_NSID": (1, _SIGNED), "NETNSA_FD": (3, _INT)}),
}


class Message:
    """A message that was read; asked for fields by index and for attributes by ``get_attr``, as one of pyroute2's."""

    __slots__ = ("_data", "_fields", "_known", "_nested", "_places")

    def __init__(self, noun: _Noun, data: bytes, start: int) -> None:
        self._fields = dict(zip(noun.names, noun.fixed.unpack_from(data, start)))
        self._data = data
        self._places = places(data, start + noun.fixed.size)
        self._known = noun.attributes
        self._nested: Dict[int, Message] = {}

    def __getitem__(self, name: str) -> int:
        return self._fields[name]

    def get_attr(self, name: str) -> Any:
        """The value of an attribute; None where the kernel did not send it."""
        number, kind = self._known[name]
        place = self._places.get(number)
        if place is None:
            return None
        if isinstance(kind, _Type):
            return kind.unpack(self._data[place])
        if number not in self._nested:
            self._nested[number] = Message(kind, self._data[place], 0)
        return self._nested[number]


def message(noun: str, data: bytes) -> Message:
    """Unpack a reply, header included.

    :raises OSError: it is shorter than any message of its kind
    """
    try:
        return Message(_NOUNS[noun], data, HEADER)
    except struct.error as error:
        raise OSError(errno.EBADMSG, "the kernel's answer is cut off") from error


def packed(noun: str, fields: Dict[str, Any], attrs: List[List[Any]]) -> bytes:
    """The request without its header.

    :raises Unknown: it has a field or an attribute that is not packed here
    """
    return _packed(_NOUNS[noun], fields, attrs)


def _packed(noun: _Noun, fields: Dict[str, Any], attrs: List[List[Any]]) -> bytes:
    if not fields.keys() <= set(noun.names):
        raise Unknown(*fields)
    parts = [noun.fixed.pack(*(fields.get(name, 0) for name in noun.names))]
    for name, value in attrs:
        number, kind = noun.attributes.get(name) or (0, _NOTHING)
        data = kind.pack(value) if isinstance(kind, _Type) else _packed(kind, {}, value["attrs"])
        parts.append(attribute(number, data))
    return b"".join(parts)


_NOTHING = _Type(_never, _never)
