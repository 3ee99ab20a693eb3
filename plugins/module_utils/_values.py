# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Canonical values: addresses, prefixes, MACs, names, port specs. Must not know: Ansible, the kernel, Docker's layout.

Each function takes the option's path and the raw value, and returns the canonical form or raises
OptionError with the way out. Whoever holds a value from here need not check it again.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import Any, Iterable, List, Tuple, Union

from ._errors import OptionError

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]

PROTOCOLS = ("tcp", "udp", "sctp")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_HOSTNAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\Z")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_DIGITS = re.compile(r"[0-9]{1,5}\Z")
_BRIDGE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*\Z")
_NAMED = "/run/netns/"
_PATH = re.compile(r"/[!-~]+\Z")


def interface_name(path: str, value: str) -> str:
    """A network interface's name as the kernel takes it: 1 to 15 bytes, no slash, colon or white space."""
    if not value or len(value.encode("utf-8", "replace")) > 15:
        raise OptionError(path, value, "an interface name has 1 to 15 bytes; choose a shorter one")
    if value in (".", "..") or not re.match(r"[!-~]+\Z", value) or re.search(r"[/:%*\"'\\]", value):
        hint = "an interface name is printable ASCII without spaces, quotes, '/', ':', '%' or '*'"
        raise OptionError(path, value, hint)
    if value in ("all", "default"):
        raise OptionError(path, value, "the kernel's settings of this name are those of all interfaces; choose another")
    if value.startswith(("-", "!", "+")) or value.endswith("+"):
        raise OptionError(path, value, "a leading '-', '!' or '+' or a final '+' means something else to iptables")
    return value


def bridge_name(path: str, value: str) -> str:
    """An interface's name that can also be a part of the names of nftables chains."""
    name = interface_name(path, value)
    if not _BRIDGE_NAME.match(name):
        raise OptionError(path, value, "a bridge's name has letters, digits, '_', '.' and '-'")
    return name


def object_name(path: str, value: str) -> str:
    """A name as Docker takes it for a container: a letter or digit, then letters, digits, ``_ . -``."""
    if not isinstance(value, str) or not _NAME.match(value) or len(value) > 200:
        raise OptionError(
            path, value, "a name begins with a letter or digit and goes on with letters, digits, _ . or -"
        )
    return value


def host_name(path: str, value: str) -> str:
    """A host name or domain name, at most 253 characters."""
    if not _HOSTNAME.match(value) or len(value) > 253:
        raise OptionError(path, value, "not a valid host name; use letters, digits, '-' and '.'")
    return value


def mac(path: str, value: str) -> str:
    """A unicast MAC address as six hex pairs, lower case, with colons."""
    text = str(value).strip().lower().replace("-", ":")
    if not _MAC.match(text):
        raise OptionError(path, value, "not a MAC address; write six hex pairs such as 02:42:ac:11:00:02")
    if int(text[:2], 16) & 1 or text == "00:00:00:00:00:00":
        raise OptionError(
            path, value, "a multicast or zero address cannot be an interface's; clear the lowest bit of the first byte"
        )
    return text


def address(path: str, value: str, family: int | None = None) -> Address:
    """A bare IP address, of the given family (4, 6) where one is given."""
    try:
        parsed = ipaddress.ip_address(str(value).strip())
    except ValueError:
        raise OptionError(path, value, "not an IP address (without a prefix length)") from None
    if family and parsed.version != family:
        raise OptionError(path, value, f"this option takes an IPv{family} address")
    if getattr(parsed, "scope_id", None):
        raise OptionError(path, value, "write the address without a zone ('%...')")
    _check_plain(path, value, parsed)
    return parsed


def _check_plain(path: str, value: object, parsed: Address) -> None:
    """IPv4 written as IPv6 is another packet's address than it looks like, and each tool prints it otherwise."""
    if parsed.version == 6 and int(parsed) >> 32 in (0, 0xFFFF) and int(parsed) >> 16:
        raise OptionError(path, value, "an IPv4 address in IPv6's form; write the IPv4 address itself")


def loose_network(path: str, value: str, family: int | None = None) -> Network:
    """A subnet in CIDR form; host bits are dropped, as Docker does for ``fixed-cidr``."""
    return interface_address(path, value, family).network


@functools.cache
def parsed_interface(text: str) -> Interface:
    """An address with prefix length as the kernel gave it; asked for again and again, it is parsed once."""
    return ipaddress.ip_interface(text)


def interface_address(path: str, value: str, family: int | None = None) -> Interface:
    """An address with its prefix length, such as ``172.17.0.1/16``."""
    text = str(value).strip()
    try:
        parsed = ipaddress.ip_interface(text)
    except ValueError:
        raise OptionError(path, value, "not an address with a prefix length such as 172.17.0.1/16") from None
    if "/" not in text:
        raise OptionError(path, value, "the prefix length is missing; write it as in 172.17.0.1/16")
    if family and parsed.version != family:
        raise OptionError(path, value, f"this option takes an IPv{family} address with a prefix length")
    if getattr(parsed.ip, "scope_id", None):
        raise OptionError(path, value, "write the address without a zone ('%...')")
    _check_plain(path, value, parsed.ip)
    return parsed


def subnet(path: str, value: str, family: int | None = None) -> Network:
    """A bridge's subnet or pool: host bits are dropped; the whole of a family's addresses is none."""
    parsed = loose_network(path, value, family)
    if parsed.prefixlen == 0:
        raise OptionError(path, value, "these are all addresses there are; give a subnet of them")
    if parsed.version == 6 and parsed.is_link_local:
        raise OptionError(path, value, "link-local addresses are the kernel's own; use another subnet")
    return parsed


def gateway_address(path: str, value: str, family: int) -> Interface:
    """A bridge's own address with prefix: usable by a host, not the network's or broadcast address."""
    parsed = interface_address(path, value, family)
    net = subnet(path, value, family)
    if parsed.ip.is_unspecified or parsed.ip.is_multicast or parsed.ip.is_loopback:
        raise OptionError(path, value, "this address cannot be a bridge's; use a private unicast address")
    if net.prefixlen < net.max_prefixlen - 1 and parsed.ip == net.network_address and family == 4:
        raise OptionError(path, value, f"this is the network's own address; use a host address such as {net[1]}")
    if family == 4 and net.prefixlen < 31 and parsed.ip == net.broadcast_address:
        raise OptionError(path, value, f"this is the broadcast address; use a host address such as {net[1]}")
    return parsed


def port(path: str, value: Any) -> int:
    """A port number from 1 to 65535."""
    text = str(value)
    if not _DIGITS.match(text) or not 1 <= int(text) <= 65535:
        raise OptionError(path, value, "a port is a number from 1 to 65535")
    return int(text)


def port_range(path: str, value: Any) -> Tuple[int, int]:
    """``80`` or ``8000-8010`` as an inclusive range."""
    low, dash, high = str(value).partition("-")
    first = port(path, low)
    last = port(path, high) if dash else first
    if last < first:
        raise OptionError(path, value, "the range ends before it begins")
    return first, last


def protocol(path: str, value: str) -> str:
    """tcp, udp or sctp."""
    text = str(value).lower()
    if text not in PROTOCOLS:
        raise OptionError(path, value, "the protocol is one of tcp, udp, sctp")
    return text


def exposed_ports(path: str, values: Iterable[Any]) -> List[Tuple[int, str]]:
    """``EXPOSE`` items (``80``, ``53/udp``, ``7000-7002``) as (port, protocol) pairs."""
    pairs: List[Tuple[int, str]] = []
    for index, value in enumerate(values or ()):
        here = f"{path}[{index}]"
        text, slash, proto = str(value).strip().partition("/")
        low, high = port_range(here, text)
        pairs += [(number, protocol(here, proto) if slash else "tcp") for number in range(low, high + 1)]
    return pairs


def mtu(path: str, value: Any) -> int:
    """An MTU in bytes: 68 (the least of IPv4) to 65535."""
    if not _DIGITS.match(str(value)) or not 68 <= int(value) <= 65535:
        raise OptionError(path, value, "an MTU is a number of bytes from 68 to 65535")
    return int(value)


def seconds(path: str, value: Any) -> int:
    """A time to wait: 1 to 3600 seconds; 0 is none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 3600:
        raise OptionError(path, value, "give the seconds to wait, 1 to 3600, or 0 for not at all")
    return value


def bridge_mtu(path: str, value: Any) -> Union[int, str]:
    """An MTU, or ``auto``: that of the default route's interface."""
    return "auto" if value == "auto" else mtu(path, value)


def networks(path: str, items: Iterable[Any]) -> Tuple[Network, ...]:
    """A list of subnets in CIDR form; a bare address is a subnet of itself."""
    return tuple(loose_network(f"{path}[{index}]", _with_length(str(item))) for index, item in enumerate(items or ()))


def one_network(path: str, value: Any) -> Network:
    """A subnet in CIDR form, or one address."""
    return loose_network(path, _with_length(str(value).strip()))


def _with_length(text: str) -> str:
    return text if "/" in text else f"{text}/{128 if ':' in text else 32}"


def sources(path: str, items: Any) -> Tuple[str, ...]:
    """CIDRs that may reach a port, in canonical form and order; an empty list is refused, it would mean nobody."""
    if not isinstance(items, (list, tuple)) or not items:
        raise OptionError(path, items, "give at least one CIDR, or leave the option out to let everybody in")
    return tuple(str(net) for net in dict.fromkeys(networks(path, items)))


def rule_name(path: str, value: Any) -> str:
    """A user rule's name: letters, digits, ``_`` and ``-``, at most 60; the kernel keeps it in a comment."""
    if not re.match(r"[A-Za-z0-9_-]{1,60}\Z", str(value)):
        raise OptionError(path, value, "a rule's name has letters, digits, _ and -, at most 60")
    return str(value)


def fwmark(path: str, value: str) -> str:
    """A packet mark ``MARK`` or ``MARK/MASK`` as iptables-save prints it: ``0x1``, ``0x1/0xff``."""
    mark, slash, mask = str(value).partition("/")
    try:
        numbers = [int(part, 0) for part in ([mark, mask] if slash else [mark])]
    except ValueError:
        numbers = [-1]
    if not all(0 <= number <= 0xFFFFFFFF for number in numbers):
        raise OptionError(path, value, "write a 32-bit mark, or mark and mask as in 0x1/0xff")
    if numbers[1:] == [0]:
        raise OptionError(path, value, "a mask of 0 marks every packet; write it as in 0x1/0xff")
    if numbers[1:] == [0xFFFFFFFF]:
        numbers = numbers[:1]
    return "/".join(hex(number) for number in numbers)


def network_mode(path: str, value: str) -> str:
    """bridge, none, host or container:NAME."""
    kind, colon, name = value.partition(":")
    if colon and kind == "container":
        return f"container:{object_name(path, name)}"
    if value not in ("bridge", "none", "host"):
        raise OptionError(path, value, "one of bridge, none, host, container:NAME")
    return value


def netns(path: str, value: str) -> str:
    """A network namespace: a name below /run/netns, ``pid:N``, or an absolute path."""
    if value.startswith("pid:"):
        if not re.match(r"[0-9]{1,10}\Z", value[4:]):
            raise OptionError(path, value, "write pid: and a process id, as in pid:4711")
        return value
    if value.startswith("/"):
        absolute_path(path, value)
        return object_name(path, value[len(_NAMED) :]) if value.startswith(_NAMED) else value
    return object_name(path, value)


def absolute_path(path: str, value: str) -> str:
    """An absolute path of printable ASCII as the kernel would print it: no ``..``, no empty parts, no wildcards."""
    parts = value.split("/")[1:]
    if not _PATH.match(value) or {"", ".", ".."} & set(parts) or set("*?[") & set(value):
        hint = "write the absolute path of a file in printable ASCII, without '..', '.', '//' and wildcards"
        raise OptionError(path, value, hint)
    return value


def reference(path: str, value: str) -> str:
    """The name of an endpoint that is there, whoever made it: one word of printable ASCII without slashes."""
    if not re.match(r"[!-.0-~]{1,255}\Z", value):
        raise OptionError(path, value, "the name of an endpoint is one word of printable ASCII without '/'")
    return value


def nameserver(path: str, value: Any) -> str:
    """A nameserver's address, an IPv6 one possibly with its zone."""
    text, zone, interface = str(value).strip().partition("%")
    parsed = address(path, text)
    if zone and parsed.version == 4:
        raise OptionError(path, value, "only an IPv6 address has a zone ('%...')")
    return f"{parsed}%{interface_name(path, interface)}" if zone else str(parsed)


def search_domain(path: str, value: str) -> str:
    """A search domain; ``.`` alone empties the list."""
    return value if value == "." else host_name(path, value.rstrip("."))


def word(path: str, value: str) -> str:
    """One word of an options line."""
    if not re.match(r"[!-~]+\Z", value):
        raise OptionError(path, value, "one word of printable ASCII without spaces")
    return value


def etc_hosts(path: str, value: Any) -> Tuple[Tuple[str, str], ...]:
    """Extra hosts entries: name to address, or to ``host-gateway``, the address of docker0."""
    found = []
    for name, ip in value.items():
        here = f"{path}.{name}" if _HOSTNAME.match(name) else path
        text = str(ip).strip("[]")
        found.append((host_name(here, str(name)), text if text == "host-gateway" else str(address(here, text))))
    return tuple(found)


def links(path: str, items: Iterable[str]) -> Tuple[Tuple[str, str], ...]:
    """Legacy links ``name`` or ``name:alias`` as (name, alias) pairs."""
    found = []
    for index, item in enumerate(items):
        name, _colon, alias = item.partition(":")
        here = f"{path}[{index}]"
        found.append((object_name(here, name), host_name(here, alias or name)))
    return tuple(found)
