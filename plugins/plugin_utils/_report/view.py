# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the modules returned to what the report says of a host. Must not know: HTML, graphviz, Ansible."""

from __future__ import annotations

import difflib
import ipaddress
from typing import AbstractSet, Any, Dict, Iterable, Iterator, List, Tuple

from ...module_utils._model import gateway_order
from .model import Chain, Endpoint, Host, Network, Port, Table, Words
from .reach import reach, traffic

# The verdicts, from the worst.
DRIFTED, UNKNOWN, UNDECLARED, CLEAN = "drifted", "unknown", "not declared", "as declared"


def hosts(found: Iterable[Words]) -> List[Host]:
    """The hosts of a report, those that need a look first.

    :param found: of each host its ``name``, and where there are any ``info`` (what host_network_info returned),
        ``changes`` and ``diff`` (what a comparison with the declared state returned), ``failure`` (why not)
    """
    order = (DRIFTED, UNKNOWN, CLEAN, UNDECLARED)
    views = [_host(number, item) for number, item in enumerate(found)]
    return sorted(views, key=lambda host: (order.index(host.verdict), host.name))


def _host(number: int, item: Words) -> Host:
    info, changes = item.get("info") or {}, item.get("changes")
    return Host(
        name=str(item["name"]),
        anchor=f"host-{number}",
        verdict=_verdict(item),
        failure=str(item.get("failure") or ""),
        firewall=str(info.get("firewall", "")),
        forwarding=_forwarding(info),
        interfaces=list(info.get("interfaces", ())),
        networks=_networks(info),
        reaches=[reach(entry) for entry in info.get("exposure") or ()],
        traffic=[traffic(entry) for entry in info.get("counters") or ()],
        tables=_tables(info.get("rules", ())),
        warnings=[str(line) for line in info.get("warnings") or ()],
        changes=[str(line) for line in changes or ()],
        diffs=[_diff(part) for part in item.get("diff") or ()],
        is_read=bool(info),
    )


def _verdict(item: Words) -> str:
    if item.get("failure"):
        return UNKNOWN
    if item.get("changes") in (None, ""):  # ansible-core before 2.19 makes text of none
        return UNDECLARED
    return DRIFTED if item["changes"] else CLEAN


def _forwarding(info: Words) -> str:
    words = info.get("ip_forward") or {}
    families = [label for key, label in (("ipv4", "IPv4"), ("ipv6", "IPv6")) if words.get(key)]
    return " and ".join(families) or "off"


def _networks(info: Words) -> List[Network]:
    internal = {bridge["name"] for bridge in info.get("bridges", ()) if bridge.get("internal")}
    endpoints = [_endpoint(item) for words in info.get("endpoints", ()) for item in _each_network(words, internal)]
    endpoints += [_nameless(item) for item in info.get("ports", ())]
    return [
        _network(bridge, tuple(item for item in endpoints if item.bridge == bridge["name"]))
        for bridge in info.get("bridges", ())
    ]


def _each_network(words: Words, internal: AbstractSet[str]) -> List[Words]:
    """An endpoint as one item for each of its networks; the gateway network's, which is the first, has the ports."""

    networks = sorted(
        words.get("networks", ()),
        key=lambda item: gateway_order(item["bridge"] in internal, item.get("gw_priority", 0), item["bridge"]),
    )
    bare = {"name": words["name"], "netns": words.get("netns")}
    return [{**(bare if index else words), **network} for index, network in enumerate(networks)] or [words]


def _endpoint(item: Words) -> Endpoint:
    addresses = tuple(str(item[key]) for key in ("ipv4_address", "ipv6_address") if item.get(key))
    name = str(item["name"])
    ports = tuple(port(spec) for spec in item.get("published_ports") or ())
    return Endpoint(name, str(item.get("netns") or name), str(item.get("bridge", "")), addresses, ports)


def _nameless(item: Words) -> Endpoint:
    """Ports of an address whose namespace has no name."""
    ip = str(item.get("container_ip", ""))
    return Endpoint(ip, ip, str(item.get("bridge", "")), (), tuple(port(spec) for spec in item["published_ports"]))


def port(spec: Any) -> Port:
    """An item of ``published_ports``, as host_network_info tells it."""
    if isinstance(spec, str):
        text, _slash, protocol = spec.partition("/")
        head, _colon, target = text.rpartition(":")
        ip, _colon, host = head.rpartition(":")
        return Port(ip.strip("[]"), host, target, protocol or "tcp")
    sources = spec.get("allowed_sources")
    allowed = None if sources is None else tuple(str(source) for source in sources)
    ip, host = str(spec.get("host_ip") or ""), str(spec.get("published") or "")
    return Port(ip, host, str(spec["target"]), str(spec.get("protocol") or "tcp"), allowed)


def _network(bridge: Words, endpoints: Tuple[Endpoint, ...]) -> Network:
    own = [ipaddress.ip_interface(str(bridge[key])) for key in ("bip", "bip6") if bridge.get(key)]
    return Network(
        name=str(bridge["name"]),
        subnets=tuple(str(item.network) for item in own),
        gateways=tuple(str(item.ip) for item in own),
        way_out=_way_out(bridge),
        entry=_entry(bridge),
        traits=tuple(_traits(bridge)),
        is_internal=bool(bridge.get("internal")),
        endpoints=endpoints,
    )


def _way_out(bridge: Words) -> str:
    if bridge.get("internal"):
        return "none"
    if (
        not bridge.get("iptables", True)
        or bridge.get("gateway_mode_ipv4") == "routed"
        or not bridge.get("ip_masq", True)
    ):
        return "routed"
    return f"SNAT {bridge['host_ipv4']}" if bridge.get("host_ipv4") else "masquerade"


def _entry(bridge: Words) -> str:
    """What other networks may reach by the endpoints' own addresses."""
    mode = bridge.get("gateway_mode_ipv4", "nat")
    if not bridge.get("iptables", True) or (mode == "nat-unprotected" and not bridge.get("internal")):
        return "everything"
    if bridge.get("internal") or not (mode == "routed" or bridge.get("allow_direct_routing")):
        return "nothing"
    return "published ports"


def _traits(bridge: Words) -> Iterator[str]:
    """What is not Docker's default."""
    if bridge.get("internal"):
        yield "internal"
    if not bridge.get("icc", True):
        yield "icc off"
    for family in ("ipv4", "ipv6"):
        mode = bridge.get(f"gateway_mode_{family}", "nat")
        if mode != "nat" and not (family == "ipv6" and not bridge.get("ipv6")):
            yield mode if family == "ipv4" else f"{mode} (IPv6)"
    if not bridge.get("iptables", True):
        yield "no rules"
    if bridge.get("userland_proxy"):
        yield "userland proxy"


def _tables(rules: Iterable[Words]) -> List[Table]:
    found: Dict[Tuple[str, str, str], Dict[str, List[Words]]] = {}
    for rule in rules:
        chains = found.setdefault((rule["backend"], rule["family"], rule["table"]), {})
        chains.setdefault(rule["chain"], []).append(rule)
    return [Table(*key, [Chain(*item) for item in chains.items()]) for key, chains in found.items()]


def _diff(part: Words) -> Tuple[str, List[Tuple[str, str]]]:
    """The heading of one part of a diff, and its lines, each with what it is: ``add``, ``del``, ``at``, ``same``."""
    texts = [str(part.get(side) or "").splitlines() for side in ("before", "after")]
    kinds = {"+": "add", "-": "del", "@": "at"}
    lines = list(difflib.unified_diff(texts[0], texts[1], n=2, lineterm=""))[2:]
    return str(part.get("after_header") or part.get("before_header") or ""), [
        (kinds.get(line[:1], "same"), line) for line in lines
    ]
