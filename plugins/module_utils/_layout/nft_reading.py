# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's nftables rules and our elements in a live rule set. Must not know: what is wanted, the kernel.

The inverse of ``nftables.py``. What dockerd itself made as rules, ports and guards, is understood too; what this
file does not know is foreign and stays.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Dict, Iterator, List, Set, Tuple

from .._state import Key, State, select
from .nft_names import (
    ADDRESS_PORT_RANGES,
    ADDRESS_PORTS,
    ENTRANCES,
    GUARDED,
    LOOPBACK_RANGES,
    LOOPBACKS,
    NETWORK_CHAINS,
    OPEN,
    OWN,
    OWN_RANGES,
    PORT_RANGES,
    PORTS,
    RESTRICTED,
    SOURCES,
    Element,
    scope,
)
from .nft_patterns import seen
from .policy import Binding, Link, Policy
from .reading import Recognised, Seen
from .spans import Span, expanded

_OF_ENDPOINT = frozenset(("link", "answer", "accept", "self", "dnat", "guard"))
_PROTOCOLS = {"tcp": 0, "udp": 1, "sctp": 2}


Place = Tuple[str, int]  # protocol and port of an endpoint


class Rules(Recognised):
    """Docker's rules of one family, by bridge and by endpoint address; what they publish, as elements or rules.

    ``networks`` has every bridge with chains of its own, ``endpoints`` every address with anything of its own.
    """

    def __init__(self, family: int) -> None:
        super().__init__(family)
        self.elements: Dict[str, List[Element]] = {}

    def policy(self, bridge: str, subnet: str | None, is_hairpin: bool) -> Policy | None:
        """The policy that a bridge's live rules express; None if it has no rules in this family.

        :param subnet: the subnet of the bridge's own address, None if it has none
        :param is_hairpin: the bridge routes loopback addresses, as without userland proxy
        """
        return _policy(self, bridge, subnet, is_hairpin)

    def of_endpoint(self, ip: str) -> List[Seen]:
        """Every rule that is one endpoint's own, as dockerd makes them: its guard and its ports."""
        own = [item for item in self.endpoints.get(ip, ()) if item.kind not in ("link", "answer")]
        asked = [item.data for item in own if item.kind == "dnat"]
        remote = [self.loopbacks.get((d["protocol"], d["host_ip"] or "", int(d["host_port"]))) for d in asked]
        return own + [item for item in remote if item]

    def _bindings_of(self, ip: str) -> List[Binding]:
        found, open_ports, sources, ranged = _published(self.elements.get(ip, ()))
        for item in self.endpoints.get(ip, ()):
            if item.kind == "dnat":
                data = item.data
                asked = (data["protocol"], data["host_ip"], int(data["host_port"]))
                found.append(Binding(*asked, ip, int(data["port"])))
            elif item.kind == "accept":
                open_ports.append((item.data["protocol"], int(item.data["port"])))
        translated = {(binding.protocol, binding.port) for binding in found}
        places = dict.fromkeys([*open_ports, *sources])
        for place in places:
            if place not in translated:
                found.append(Binding(place[0], None, None, ip, place[1], None, place in ranged))
        allowed = {place: _allowed(names) for place, names in sources.items()}
        found = [_restricted(binding, allowed) for binding in found]
        return sorted(dict.fromkeys(found), key=_order)

    def links(self) -> List[Tuple[Seen, Link]]:
        """All link rules with the link that each is a half of."""
        return [
            (item, Link(item.data["client"], item.data["ip"], item.data["protocol"], int(item.data["port"])))
            for items in self.endpoints.values()
            for item in items
            if item.kind in ("link", "answer")
        ]


def _allowed(names: List[str]) -> Tuple[str, ...] | None:
    """The sources of a port; None is everybody."""
    return None if any(name.endswith("/0") for name in names) else tuple(sorted(names))


def _restricted(binding: Binding, allowed: Dict[Place, Any]) -> Binding:
    """A range says who may reach it in any case: nobody, where nothing is said."""
    nothing_said = () if binding.compact else None
    return binding._replace(sources=allowed.get((binding.protocol, binding.port), nothing_said))


def _order(binding: Binding) -> Tuple[int, int, int, str]:
    """Sets have no order; this is the one in which dockerd publishes."""
    return (binding.port, _PROTOCOLS.get(binding.protocol, 3), binding.host_port or 0, binding.host_ip or "")


def recognise(live: State, family: int) -> Rules:
    """Docker's rules of one family."""
    rules = Rules(family)
    for key, value in select(live, "nft_chain", scope(family)):
        name, _sign, bridge = key.name.partition("__")
        if bridge and name in NETWORK_CHAINS:
            rules.networks.setdefault(bridge, [])
        for rule in value["rules"]:
            item = seen(key, name, rule)
            if item is not None:
                _file(rules, item, bridge)
    for kind in ("nft_map", "nft_set"):
        for key, value in select(live, kind, scope(family)):
            _file_elements(rules, key, value["elements"])
    return rules


def _file(rules: Rules, item: Seen, bridge: str) -> None:
    if item.kind in _OF_ENDPOINT:
        rules.endpoints.setdefault(item.data["ip"], []).append(item)
    elif item.kind == "loopback":
        rules.loopbacks[(item.data["protocol"], item.data["host_ip"], int(item.data["host_port"]))] = item
    else:
        rules.networks.setdefault(bridge or item.data["bridge"], []).append(item)


# Where an element names the endpoint: in its value, or as which part of its name, counted from the end.
_ADDRESS_PART = {PORTS: 0, ADDRESS_PORTS: 0, OPEN: -3, SOURCES: -3, RESTRICTED: -3, OWN: -3, GUARDED: -1, ENTRANCES: -2}
_ADDRESS_PART.update({PORT_RANGES: 0, ADDRESS_PORT_RANGES: 0, OWN_RANGES: -3})


_WITH_PORT = (PORTS, ADDRESS_PORTS)
_TARGET = re.compile(r"\S+ \. [0-9]+")


def _file_elements(rules: Rules, key: Key, elements: Dict[str, str]) -> None:
    part = _ADDRESS_PART.get(key.name.partition("__")[0])
    loopbacks = key.name in (LOOPBACKS, LOOPBACK_RANGES)
    if part is None and not loopbacks:
        return
    if loopbacks:
        owners = dict(_all_translations(rules))
    length = 1 if key.name in (GUARDED, ENTRANCES) else 2
    for name, value in elements.items():
        parts = name.split(" . ")
        if loopbacks:
            ip = owners.get(name)
        elif len(parts) < max(length, -(part or 0)) or (key.name in _WITH_PORT and not _TARGET.fullmatch(value)):
            continue  # somebody else's map of one of our names
        else:
            ip = parts[part] if part else value.partition(" ")[0]
        if ip is not None:
            rules.endpoints.setdefault(ip, [])
            rules.elements.setdefault(ip, []).append(Element(key, name, value))


def _all_translations(rules: Rules) -> Iterator[Tuple[str, str]]:
    for ip, elements in rules.elements.items():
        for element in elements:
            if element.key.name.startswith((ADDRESS_PORTS, ADDRESS_PORT_RANGES)):
                yield element.name, ip


def _published(elements: Any) -> Tuple[List[Binding], List[Place], Dict[Place, List[str]], Set[Place]]:
    """An endpoint's translations, its ports open to all, the sources of others, and which of these are in ranges."""
    found: List[Binding] = []
    ranged: Set[Place] = set()
    open_ports: List[Place] = []
    sources: Dict[Place, List[str]] = {}
    for element in elements:
        if element.key.name in (GUARDED, ENTRANCES):
            continue
        parts = element.name.split(" . ")
        name, proto, ports = element.key.name.partition("__")[0], parts[-2], expanded(parts[-1])
        host_ip = parts[0] if name in (ADDRESS_PORTS, ADDRESS_PORT_RANGES) else None
        if name in (PORTS, ADDRESS_PORTS):
            ip, _dot, port = element.value.partition(" . ")
            found.append(Binding(proto, host_ip, ports[0], ip, int(port)))
        elif name in (PORT_RANGES, ADDRESS_PORT_RANGES):
            found += Span(Binding(proto, host_ip, ports[0], element.value, ports[0]), len(ports)).bindings()
        elif name == OPEN:
            open_ports.append((proto, ports[0]))
        elif name in (SOURCES, RESTRICTED):
            source = [str(ipaddress.ip_network(parts[0]))] if name == SOURCES else []
            for port in ports:
                sources.setdefault((proto, port), []).extend(source)
            ranged.update((proto, port) for port in ports if len(ports) > 1)
    return found, open_ports, sources, ranged


def _policy(rules: Rules, bridge: str, subnet: str | None, is_hairpin: bool) -> Policy | None:
    by_kind = {item.kind: item for item in rules.networks.get(bridge, ())}
    is_internal = "ingress" in by_kind
    if not is_internal and "verdict" not in by_kind:
        return None
    nat = by_kind.get("masq") or by_kind.get("local")
    named = by_kind.get("isolated") or by_kind.get("masq")
    mode = _mode(by_kind)
    subnet = subnet or (named.data["subnet"] if named else "")
    guards = _guards(rules, bridge)
    return Policy(
        bridge=bridge,
        family=rules.family,
        subnet=subnet,
        mode=mode,
        icc="icc" not in by_kind or by_kind["icc"].data["verdict"] == "accept",
        masq="masq" in by_kind or is_internal or mode == "routed",
        internal=is_internal,
        hairpin=is_hairpin or "local" in by_kind,
        snat=nat.data["snat"] if nat else None,
        trusted=tuple(name for name in (guards[0] if guards else ()) if name != bridge),
        direct=mode == "nat" and not is_internal and not guards and _is_open(rules, subnet),
        fwmark=_fwmark(by_kind.get("mark")),
        clamp="clamp" in by_kind,
        hardened="closed" in by_kind or "localhost" in by_kind,
    )


def _mode(by_kind: Dict[str, Seen]) -> str:
    if "icmp" in by_kind:
        return "routed"
    if "isolated" in by_kind:
        return "isolated"
    verdict = by_kind.get("verdict")
    return "nat-unprotected" if verdict and verdict.data["verdict"] else "nat"


def _fwmark(item: Seen | None) -> str | None:
    if item is None:
        return None
    return f"{item.data['mark']}/{item.data['mask']}" if item.data["mask"] else str(item.data["mark"])


def _guards(rules: Rules, bridge: str) -> List[List[str]]:
    """For each guarded endpoint of a bridge the interfaces that may reach it."""
    found = []
    for ip, items in rules.endpoints.items():
        own = [name for item in rules.elements.get(ip, ()) if item.key.name == ENTRANCES for name in _quoted(item.name)]
        guards = [own, *(_quoted(item.rule.partition(" counter ")[0]) for item in items if item.kind == "guard")]
        found += [names for names in guards if bridge in names]
    return found


def _quoted(text: str) -> List[str]:
    """The names of interfaces in a rule or an element."""
    return re.findall(r'"([^"]+)"', text)


def _is_open(rules: Rules, subnet: str) -> bool:
    """Whether any endpoint of a subnet has an open port: with direct routing that shows, but no guard."""
    net = ipaddress.ip_network(subnet) if subnet else None
    for ip, items in rules.endpoints.items():
        if net is not None and ipaddress.ip_address(ip) in net:
            own = rules.elements.get(ip, ())
            if any(item.kind == "accept" for item in items) or any(
                e.key.name in (OPEN, SOURCES, RESTRICTED) for e in own
            ):
                return True
    return False
