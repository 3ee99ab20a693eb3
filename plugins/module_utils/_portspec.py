# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Port specs: every form of ``docker run -p`` and compose's long form. Must not know: Ansible, the kernel, rules."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Tuple

from ._errors import OptionError
from ._values import address, port_range, protocol, sources

_LONG_FORM = {"target", "published", "host_ip", "protocol", "allowed_sources", "mode", "name", "app_protocol"}


class PortSpec(NamedTuple):
    """One item of ``docker run -p`` for one container port.

    ``host_ports`` is the inclusive range to choose from; None is an ephemeral port.
    ``host_ip`` None is every address of both families. ``sources`` are the CIDRs that may reach
    the port; None is what the publish as a whole says, empty is everybody. ``in_range`` says that the item
    was a range of which this is one port.
    """

    protocol: str
    container_port: int
    host_ip: str | None
    host_ports: Tuple[int, int] | None
    sources: Tuple[str, ...] | None = None
    in_range: bool = False

    def __str__(self) -> str:
        ip = "" if self.host_ip is None else f"[{self.host_ip}]:" if ":" in self.host_ip else f"{self.host_ip}:"
        if self.host_ports is None:
            host = ":" if ip else ""
        else:
            low, high = self.host_ports
            host = f"{low}:" if low == high else f"{low}-{high}:"
        return f"{ip}{host}{self.container_port}/{self.protocol}"


def port_specs(path: str, value: Any) -> List[PortSpec]:
    """One ``published_ports`` item, ``-p`` string or compose's long form, as one spec a container port.

    A range over a range of equal length is one fixed pair each; a range over one container port is a choice.
    """
    if isinstance(value, (bool, int)):
        raise OptionError(path, value, 'quote it: YAML reads 22:22 as the number 1342; write "22:22"')
    if isinstance(value, dict):
        return _long_form(path, value)
    if not isinstance(value, str):
        raise OptionError(path, value, 'write it as docker run -p takes it, such as "8080:80"')
    text, slash, proto = value.strip().partition("/")
    host_ip, host, container = _split(path, value, text)
    try:
        return _expand(path, value, protocol(path, proto) if slash else "tcp", host_ip, host, container)
    except OptionError as error:
        if error.value == value:
            raise
        # The part that is wrong, and the item that it is in, which the user will look for.
        raise OptionError(path, value, f"{error.value!r}: {error.hint}") from None


def _split(path: str, value: str, text: str) -> Tuple[str, str, str]:
    """``IP:HOST:CONTAINER`` with its optional parts; IPv6 in brackets."""
    if text.startswith("["):
        ip, bracket, rest = text[1:].partition("]")
        parts = rest[1:].split(":") if rest.startswith(":") else []
        if not bracket or len(parts) != 2:
            raise OptionError(path, value, 'write an IPv6 bind address as "[::1]:8080:80"')
        return ip, parts[0], parts[1]
    parts = text.split(":")
    if len(parts) > 3:
        raise OptionError(path, value, 'too many colons; put an IPv6 bind address in brackets: "[::1]:8080:80"')
    if len(parts) == 2 and not parts[0]:
        raise OptionError(path, value, 'the host port is missing; write "80" for an ephemeral one')
    if len(parts) == 3 and not parts[0]:
        raise OptionError(path, value, "the bind address is missing; leave out the first colon")
    return ("", "", parts[0]) if len(parts) == 1 else ("", *parts) if len(parts) == 2 else tuple(parts)  # type: ignore


def _long_form(path: str, item: dict) -> List[PortSpec]:
    """compose's long syntax: ``target`` is required, ``published``, ``host_ip`` and ``protocol`` are not."""
    if item.get("target") in (None, ""):
        raise OptionError(path, item, "'target', the container port, is missing")
    unknown = sorted(set(item) - _LONG_FORM)
    if unknown:
        raise OptionError(
            path, item, f"unknown key {unknown[0]!r}; known: target, published, host_ip, protocol, allowed_sources"
        )
    published = "" if item.get("published") is None else str(item["published"])
    proto = protocol(f"{path}.protocol", item.get("protocol") or "tcp")
    host_ip = str(item.get("host_ip") or "").strip("[]")
    specs = _expand(path, item, proto, host_ip, published, str(item["target"]))
    if item.get("allowed_sources") is None:
        return specs
    allowed = sources(f"{path}.allowed_sources", item["allowed_sources"])
    return [spec._replace(sources=allowed) for spec in specs]


def _expand(path: str, value: Any, proto: str, host_ip: str, host: str, container: str) -> List[PortSpec]:
    ip = str(address(path, host_ip)) if host_ip else None
    first, last = port_range(path, container)
    targets = range(first, last + 1)
    if not host:
        return [PortSpec(proto, target, ip, None, None, len(targets) > 1) for target in targets]
    low, high = port_range(path, host)
    if len(targets) == 1:
        return [PortSpec(proto, first, ip, (low, high))]
    if high - low != last - first:
        raise OptionError(path, value, "the host range and the container range have unequal lengths")
    pairs = zip(range(low, high + 1), targets)
    return [PortSpec(proto, target, ip, (asked, asked), None, True) for asked, target in pairs]
