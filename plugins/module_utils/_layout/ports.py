# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host port each published port gets, and what stands in its way. Must not know: rule texts, the kernel."""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple

from .._errors import OptionError, PortTaken
from .._model import Publish
from .._portspec import PortSpec
from .._state import HOST, State, select
from .networks import Net
from .policy import Binding

_PROTOCOL_ORDER = {"tcp": 0, "udp": 1, "sctp": 2}
DEFAULT_RANGE = (32768, 60999)


class Target(NamedTuple):
    """Where ports of one endpoint lead: its address in each family, on its gateway network."""

    name: str
    net: Net
    ips: Mapping[int, str]


class Host:
    """The host's ports during one plan: who has which, and which may be chosen.

    :param bindings: what is published and stays
    :param span: ``ip_local_port_range``
    :param reserved: ``ip_local_reserved_ports``
    :ivar squatters: processes that listen on ports which are published, with the ports, for people
    """

    def __init__(self, live: State, bindings: Iterable[Tuple[Binding, str]], span: Tuple[int, int], reserved: Set[int]):
        self._span, self._reserved = span, reserved
        self._holders: Dict[Tuple[str, int], List[Tuple[Binding, str]]] = {}
        self._listeners = _listeners(live)
        self.squatters: List[str] = []
        self._lowest: Dict[Tuple[Tuple[str, str | None, int], ...], int] = {}
        for binding, holder in bindings:
            self.take(binding, holder)

    def take(self, binding: Binding, holder: str) -> None:
        """Note a binding as published."""
        if binding.host_port:
            place = (binding.protocol, binding.host_port)
            self._holders.setdefault(place, []).append((binding.place, holder))

    def holder(self, binding: Binding) -> str | None:
        """The endpoint that has the binding's host port on an overlapping address, unless it is the same port."""
        for other, holder in self._holders.get((binding.protocol, binding.host_port or 0), ()):
            is_near = None in (other.host_ip, binding.host_ip) or other.host_ip == binding.host_ip
            if is_near and _family(other) == _family(binding) and other != binding.place:
                return holder
        return None

    def listener(self, binding: Binding) -> str | None:
        """The process that listens on the binding's host port; None if none does."""
        for family, host_ip, process in self._listeners.get((binding.protocol, binding.host_port or 0), ()):
            # A wildcard IPv6 socket takes the IPv4 port too, unless it is an IPv6-only one.
            is_near = family == _family(binding) or (family == 6 and host_ip is None)
            if is_near and (None in (host_ip, binding.host_ip) or host_ip == binding.host_ip):
                return process or "a process"
        return None

    def note_squatters(self, bindings: Sequence[Binding], name: str) -> None:
        """Look for processes on ports that an endpoint has; Docker's own proxy belongs there."""
        for binding in bindings:
            holder = self.listener(binding)
            if holder and not holder.startswith("docker-proxy "):
                self.squatters.append(f"{binding.host}/{binding.protocol} of endpoint {name}: {holder} listens there")

    def is_free(self, bindings: Sequence[Binding]) -> bool:
        """Whether all of these could be published."""
        return not any(self.holder(binding) or self.listener(binding) for binding in bindings)

    def candidates(self, bindings: Sequence[Binding]) -> Iterator[int]:
        """Ephemeral ports for what is published so, the lowest first; what was not free before in this plan is not
        tried again."""
        low, high = self._span
        place = tuple((binding.protocol, binding.host_ip, _family(binding)) for binding in bindings)
        for port in range(self._lowest.get(place, low), high + 1):
            if port not in self._reserved:
                self._lowest[place] = port
                yield port


def _family(binding: Binding) -> int:
    return 6 if ":" in binding.ip else 4


def _listeners(live: State) -> Dict[Tuple[str, int], List[Tuple[int, str | None, str]]]:
    found: Dict[Tuple[str, int], List[Tuple[int, str | None, str]]] = {}
    for key, value in select(live, "socket", HOST):
        protocol, _space, place = key.name.partition(" ")
        ip, _colon, port = place.rpartition(":")
        ip = ip.strip("[]")
        family = 6 if ":" in ip else 4
        wildcard = ip in ("0.0.0.0", "::", "*")
        found.setdefault((protocol, int(port)), []).append((family, None if wildcard else ip, value["holder"]))
    return found


def joined(ports: Sequence[int]) -> str:
    """Sorted ports as the kernel writes a list: ``8080,9000-9010``."""
    runs: List[List[int]] = []
    for port in ports:
        if runs and port == runs[-1][1] + 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def ordered(specs: Iterable[PortSpec]) -> List[PortSpec]:
    """Docker 29's order: fixed host ports before ranges and ephemeral ones, lowest container port first."""

    def order(spec: PortSpec) -> Tuple[bool, int, int, int]:
        is_fixed = spec.host_ports is not None and spec.host_ports[0] == spec.host_ports[1]
        first = spec.host_ports[0] if spec.host_ports else 0
        return (not is_fixed, spec.container_port, _PROTOCOL_ORDER[spec.protocol], first)

    return sorted(specs, key=order)


def specs_of(publish: Publish) -> List[PortSpec]:
    """The port specs of one want: listed ones and, with ``publish_all_ports``, the other exposed ports."""
    listed = {(spec.container_port, spec.protocol) for spec in publish.ports}
    exposed = [
        PortSpec(proto, port, None, None)
        for port, proto in dict.fromkeys(publish.exposed_ports)
        if publish.publish_all_ports and (port, proto) not in listed
    ]
    return ordered([*dict.fromkeys(publish.ports), *exposed])


class Binder:
    """What the specs of one item come to, each asked for once for each host port."""

    def __init__(self, target: Target, publish: Publish) -> None:
        self._publish = publish
        default = publish.default_host_ip
        self._default = None if default in (None, "", "0.0.0.0") else default
        self._sides = [(family, ip, _mode(target, family) != "routed") for family, ip in sorted(target.ips.items())]
        self._made: Dict[Tuple[PortSpec, int | None], List[Binding]] = {}

    def bindings(self, spec: PortSpec, host_port: int | None) -> List[Binding]:
        """One spec as bindings: without a host address one for each family that the endpoint has."""
        if (spec, host_port) not in self._made:
            self._made[spec, host_port] = self._bindings(spec, host_port)
        return self._made[spec, host_port]

    def _bindings(self, spec: PortSpec, host_port: int | None) -> List[Binding]:
        host_ip = self._default if spec.host_ip is None else spec.host_ip
        families = (4, 6) if host_ip is None else (6,) if ":" in host_ip else (4,)
        bound = None if host_ip in (None, "0.0.0.0", "::") else host_ip
        sources = self._publish.allowed_sources if spec.sources is None else spec.sources
        is_compact = spec.in_range and self._publish.compact_ranges
        result = []
        for family, own, is_translated in self._sides:
            if family in families:
                asked = (bound, host_port) if is_translated else (None, None)
                allowed = _of_family(sources, family)
                result.append(Binding(spec.protocol, *asked, own, spec.container_port, allowed, is_compact))
        return result


def _of_family(sources: Sequence[str], family: int) -> Tuple[str, ...] | None:
    """The allowed sources of one family; None is everybody, which a prefix of length 0 says too."""
    if not sources:
        return None
    own = sorted(source for source in sources if (":" in source) == (family == 6))
    return None if any(source.endswith("/0") for source in own) else tuple(own)


def _mode(target: Target, family: int) -> str:
    side = target.net.sides.get(family)
    return side.policy.mode if side and side.policy else "nat"


def choose(
    specs: Sequence[PortSpec], binder: Binder, name: str, path: str, host: Host, live: Sequence[Binding]
) -> List[Binding]:
    """The bindings of one endpoint's specs; what is published already keeps its host port.

    :param name: the endpoint's
    :param live: what the endpoint publishes now
    :raises OptionError: a host port is taken, or none is free
    """
    own: Dict[Tuple[str, int], List[Binding]] = {}
    for binding in live:
        own.setdefault((binding.protocol, binding.port), []).append(binding.place)
    chosen: Dict[Binding, Binding] = {}
    for spec in specs:
        kept = [item for item in own.get((spec.protocol, spec.container_port), ()) if item not in chosen]
        bindings = _choose(spec, binder, name, path, host, kept)
        for binding in bindings:
            if binding.place not in chosen:
                host.take(binding, name)
        chosen.update((binding.place, binding) for binding in bindings)
    return list(chosen.values())


def check_sources(bindings: Sequence[Binding], path: str) -> None:
    """The packet filter sees the container's port: two host ports of one cannot differ in who may reach them."""
    seen: Dict[Tuple[str, str, int], Binding] = {}
    for binding in bindings:
        place = (binding.ip, binding.protocol, binding.port)
        first = seen.setdefault(place, binding)
        if first.sources != binding.sources:
            hint = f"{first.host} leads to the same container port and has other allowed_sources; give both the same"
            raise OptionError(path, binding.host, hint)


def _choose(spec: PortSpec, binder: Binder, name: str, path: str, host: Host, live: Sequence[Binding]) -> List[Binding]:
    def at(port: int | None) -> List[Binding]:
        return binder.bindings(spec, port)

    low, high = spec.host_ports or (1, 0)  # ephemeral: any port tells whether it is translated
    if not any(binding.host_port for binding in at(low)):
        return at(None)
    for kept in live:
        bindings = at(kept.host_port) if kept.host_port else []
        if _matches(spec, kept, bindings) and not any(host.holder(binding) for binding in bindings):
            host.note_squatters(bindings, name)
            return bindings
    if low == high:
        return _fixed(spec, at(low), path, host, live)
    candidates = range(low, high + 1) if spec.host_ports else host.candidates(at(low))
    for port in candidates:
        if host.is_free(at(port)):
            return at(port)
    raise OptionError(path, str(spec), "all host ports of the range are allocated; give another range")


def _matches(spec: PortSpec, binding: Binding, wanted: Sequence[Binding]) -> bool:
    is_in = spec.host_ports is None or spec.host_ports[0] <= (binding.host_port or 0) <= spec.host_ports[1]
    return is_in and any(binding.place == other.place for other in wanted)


def _fixed(spec: PortSpec, bindings: List[Binding], path: str, host: Host, live: Sequence[Binding]) -> List[Binding]:
    for binding in bindings:
        holder = host.holder(binding)
        if holder:
            raise PortTaken(path, str(spec), f"{binding.host}/{binding.protocol}", holder)
        listener = None if binding.place in live else host.listener(binding)
        if listener:
            hint = f"{binding.host}/{binding.protocol} is in use by {listener}; stop it or choose another host port"
            raise OptionError(path, str(spec), hint)
    return bindings


class Cover:
    """Which live bindings a list of specs describes, in time independent of the list's length."""

    def __init__(self, specs: Sequence[PortSpec], binder: Binder) -> None:
        self._binder = binder
        self._specs: Dict[Tuple[str, int], List[PortSpec]] = {}
        for spec in specs:
            self._specs.setdefault((spec.protocol, spec.container_port), []).append(spec)

    def __contains__(self, binding: Binding) -> bool:
        near = self._specs.get((binding.protocol, binding.port), ())
        return any(self._is(spec, binding) for spec in near)

    def _is(self, spec: PortSpec, binding: Binding) -> bool:
        wanted = self._binder.bindings(spec, binding.host_port)
        if binding.host_port is None:
            return any(binding.place == other.place for other in wanted)
        return _matches(spec, binding, wanted)
