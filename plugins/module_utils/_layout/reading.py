# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's rules in a live rule set, told apart by their texts. Must not know: what is wanted, the kernel.

``recognise`` is the inverse of ``iptables.py``: a rule that this file does not know is foreign and stays.
"""

from __future__ import annotations

import abc
from typing import Any, Container, Dict, Iterable, Iterator, List, NamedTuple, Set, Tuple

from .._state import Key, State
from . import patterns
from .iptables import chain
from .policy import Binding, Link, Policy
from .spans import Span, expanded

_NETWORK_KINDS = frozenset(
    (
        "drop",
        "icmp",
        "related",
        "jump",
        "out",
        "icc",
        "egress",
        "ingress",
        "masq",
        "local",
        "clamp",
        "closed",
        "localhost",
    )
)


class Seen(NamedTuple):
    """One rule of Docker's: its place, text, kind, and what it says (named groups of the kind's pattern)."""

    key: Key
    rule: str
    kind: str
    data: Dict[str, Any]


class Recognised(abc.ABC):
    """What the rules of one family are for, on any backend: by bridge, by endpoint address, by loopback port."""

    def __init__(self, family: int) -> None:
        self.family = family
        self.networks: Dict[str, List[Seen]] = {}
        self.endpoints: Dict[str, List[Seen]] = {}
        self.loopbacks: Dict[Tuple[str, str, int], Seen] = {}
        self._bindings: Dict[str, List[Binding]] = {}

    @property
    def names(self) -> Set[str]:
        """The bridges that have rules."""
        return set(self.networks)

    def is_hairpin(self, bridge: str) -> bool:
        """Whether a bridge's rules are those without userland proxy."""
        return any(item.kind == "local" for item in self.networks.get(bridge, ()))

    def bindings(self, ip: str) -> List[Binding]:
        """What an endpoint publishes: its translations, and accepted ports that have none (mode routed)."""
        if ip not in self._bindings:
            self._bindings[ip] = self._bindings_of(ip)
        return list(self._bindings[ip])

    def all_bindings(self) -> Iterator[Binding]:
        """What is published on the host, endpoint by endpoint."""
        for ip in self.endpoints:
            yield from self.bindings(ip)

    @abc.abstractmethod
    def _bindings_of(self, ip: str) -> List[Binding]:
        """What ``bindings`` keeps, as the backend's rules tell it."""


class Rules(Recognised):
    """All of Docker's rules of one family, by bridge and by endpoint address."""

    def __init__(self, family: int, seen: Iterable[Seen]) -> None:
        super().__init__(family)
        self.marks: List[Seen] = []
        for item in seen:
            self._file(item)

    def _file(self, item: Seen) -> None:
        if item.kind in _NETWORK_KINDS:
            self.networks.setdefault(item.data["bridge"], []).append(item)
        elif item.kind == "mark":
            self.marks.append(item)
        elif item.kind == "loopback":
            self.loopbacks[(item.data["protocol"], item.data["host_ip"], expanded(item.data["host_port"])[0])] = item
        else:
            self.endpoints.setdefault(item.data["ip"], []).append(item)

    def of_endpoint(self, ip: str) -> List[Seen]:
        """Every rule that is one endpoint's own: guard, ports, the loopback guards of its ports."""
        own = self.endpoints.get(ip, [])
        remote = [self.loopbacks.get((b.protocol, b.host_ip or "", b.host_port or 0)) for b in self.bindings(ip)]
        return [item for item in own if item.kind != "link"] + [item for item in remote if item]

    def _bindings_of(self, ip: str) -> List[Binding]:
        own = self.endpoints.get(ip, [])
        found = [binding for item in own if item.kind == "dnat" for binding in _bindings(item)]
        translated = {(binding.protocol, binding.port) for binding in found}
        filters = [item for item in own if item.kind == "accept"]
        others = [item for item in reversed(filters) if not _is_about(item, translated)]
        open_ports = dict.fromkeys(binding for item in others for binding in _bindings(item))
        found += [binding for binding in open_ports if (binding.protocol, binding.port) not in translated]
        return _with_sources(found, filters) if any(_is_restricted(item) for item in filters) else found

    def policy(self, bridge: str, subnet: str | None, is_hairpin: bool) -> Policy | None:
        """The policy that a bridge's live rules express; None if it has no rules in this family.

        :param subnet: the subnet of the bridge's own address, None if it has none
        :param is_hairpin: the bridge routes loopback addresses, as without userland proxy
        """
        return _policy(self, bridge, subnet, is_hairpin)

    def links(self) -> List[Tuple[Seen, Link]]:
        """All link rules with the link that each is a half of."""
        found = []
        for items in self.endpoints.values():
            for item in items:
                if item.kind == "link":
                    ends = (item.data["client"], item.data["ip"])
                    client, target = ends if item.data["side"] == "d" else ends[::-1]
                    found.append((item, Link(client, target, item.data["protocol"], int(item.data["port"]))))
        return found


def recognise(live: State, family: int) -> Rules:
    """Docker's rules of one family."""
    return Rules(family, _seen(live, family))


def _seen(live: State, family: int) -> Iterator[Seen]:
    for table, name in patterns.CHAINS:
        key = chain(family, table, name)
        for rule in live.get(key, ()):
            item = _first(key, patterns.of_chain(table, name), rule)
            if item is not None:
                yield item


def seen(key: Key, rule: str) -> Seen | None:
    """One rule with its kind and what it says; None for a foreign one."""
    return _first(key, patterns.of_chain(key.scope.partition("/")[2], key.name), rule)


def _first(key: Key, known: Iterable[Tuple[str, str]], rule: str) -> Seen | None:
    for kind, text in known:
        match = patterns.compiled(text).fullmatch(rule)
        if match:
            return Seen(key, rule, kind, match.groupdict())
    return None


def _bindings(item: Seen) -> List[Binding]:
    """The ports that a rule is about: one, or a run of them."""
    data = item.data
    ports = expanded(data["port"])
    host_port = expanded(data["host_port"])[0] if data.get("host_port") else None
    first = Binding(data["protocol"], data.get("host_ip"), host_port, data["ip"], ports[0])
    return [first] if len(ports) == 1 else Span(first, len(ports)).bindings()


def _is_about(item: Seen, ports: Container[Tuple[str, int]]) -> bool:
    """Whether a rule is about one port, and one of these."""
    port = item.data["port"]
    return port.isdigit() and (item.data["protocol"], int(port)) in ports


def _is_restricted(item: Seen) -> bool:
    return item.data["source"] is not None or item.data["verdict"] == "DROP"


def _with_sources(bindings: List[Binding], filters: List[Seen]) -> List[Binding]:
    """The bindings with who may reach them, by the rules that let their container ports pass."""
    restricted: Dict[Tuple[str, int], Set[str]] = {}
    for item in filters:
        for port in expanded(item.data["port"]) if _is_restricted(item) else ():
            sources = restricted.setdefault((item.data["protocol"], port), set())
            sources.update([item.data["source"]] if item.data["source"] else [])
    return [
        binding._replace(sources=tuple(sorted(restricted[(binding.protocol, binding.port)])))
        if (binding.protocol, binding.port) in restricted
        else binding
        for binding in bindings
    ]


def _policy(rules: Rules, bridge: str, subnet: str | None, is_hairpin: bool) -> Policy | None:
    by_kind = {item.kind: item for item in rules.networks.get(bridge, ())}
    internal = by_kind.get("egress") or by_kind.get("ingress")
    if not internal and "drop" not in by_kind and "jump" not in by_kind:
        return None
    told = internal or by_kind.get("masq")
    subnet = subnet or (told.data["subnet"] if told else None)
    nat = by_kind.get("masq") or by_kind.get("local")
    is_isolated = "icc" in by_kind and by_kind["icc"].data["verdict"] == "DROP"
    return Policy(
        bridge=bridge,
        family=rules.family,
        subnet=subnet or "",
        mode=_mode(by_kind),
        icc=not is_isolated,
        masq="masq" in by_kind or (bool(internal) or "icmp" in by_kind),
        internal=bool(internal),
        hairpin=is_hairpin or "local" in by_kind,
        snat=nat.data["snat"] if nat else None,
        trusted=_trusted(rules, bridge),
        direct=_is_direct(rules, bridge, by_kind),
        clamp="clamp" in by_kind,
        hardened="closed" in by_kind or "localhost" in by_kind,
        fwmark=rules.marks[0].data["fwmark"] if rules.marks and not internal else None,
    )


def _mode(by_kind: Dict[str, Seen]) -> str:
    if "icmp" in by_kind:
        return "routed"
    drop = by_kind.get("drop")
    return "nat-unprotected" if drop and drop.data["verdict"] == "ACCEPT" else "nat"


def _guards(rules: Rules, bridge: str) -> List[str]:
    """The guarded endpoint addresses of a bridge."""
    found = []
    for ip, items in rules.endpoints.items():
        if any(item.kind == "guard" and item.data["bridge"] == bridge for item in items):
            found.append(ip)
    return found


def _trusted(rules: Rules, bridge: str) -> Tuple[str, ...]:
    for ip in _guards(rules, bridge):
        names = [item.data["interface"] for item in rules.endpoints[ip] if item.kind == "trusted"]
        return tuple(names)
    return ()


def _is_direct(rules: Rules, bridge: str, by_kind: Dict[str, Seen]) -> bool:
    """Direct routing shows only by what is missing: ports are open, but no endpoint has a guard."""
    accepted = [
        ip
        for ip, items in rules.endpoints.items()
        if any(item.kind == "accept" and item.data["bridge"] == bridge for item in items)
    ]
    return bool(accepted) and _mode(by_kind) == "nat" and not _guards(rules, bridge)
