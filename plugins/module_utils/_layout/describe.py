# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects in the words of the options, and the results of a run.

Must not know: Ansible, the kernel.
"""

from __future__ import annotations

import ipaddress
import itertools
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from .._state import HOST, Key, State, short
from . import forwarding
from .attachments import Attachment
from .networks import Net, Side
from .policy import Binding, Policy
from .spans import spans
from .table import Prediction

Words = Dict[str, Any]
EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


def results(prediction: Prediction, after: State, task_has: Mapping[str, bool]) -> Words:
    """The final objects of a run, in the vocabulary of its input."""
    words: Words = {}
    if task_has.get("bridges"):
        words["bridges"] = [bridge(net, after) for net in prediction.bridges]
    if task_has.get("endpoints"):
        words["endpoints"] = list(endpoints(prediction.attachments, after))
    if task_has.get("ports"):
        words["ports"] = [ports(name, net, bindings) for name, net, bindings in prediction.ports]
    if task_has.get("ip_forward"):
        words["ip_forward"] = forward(after)
    return words


def bridge(net: Net, state: State) -> Words:
    """A bridge as an item of ``bridges``."""
    link = state.get(Key("link", HOST, net.name), {})
    words: Words = {"name": net.name, "ipv6": 6 in net.sides, "userland_proxy": not net.hairpin}
    words.update(internal=net.internal, mtu=link.get("mtu"), mac_address=link.get("mac"))
    words.update(subnet_reason=net.subnet_reason, ipv4=None if 4 in net.sides or 6 not in net.sides else False)
    words.update(reserved_addresses=[str(ip) for side in net.sides.values() for ip in side.reserved] or None)
    for family, side in net.sides.items():
        words.update(_side(family, side))
    return {name: value for name, value in words.items() if value is not None}


def _side(family: int, side: Side) -> Words:
    six = family == 6
    words: Words = {
        "bip6" if six else "bip": _gateway(side),
        "fixed_cidr_v6" if six else "fixed_cidr": str(side.span) if side.span else None,
    }
    if side.gateway is None and side.via is None:
        words["fixed_cidr_v6" if six else "fixed_cidr"] = str(side.subnet)
    if side.via is not None:
        words["inhibit_ipv4"] = True
    policy = side.policy
    if policy is None:
        return {**words, "ip6tables" if six else "iptables": False}
    words.update({"gateway_mode_ipv6" if six else "gateway_mode_ipv4": _mode(side, policy)})
    words.update(clamp_mss=policy.clamp or None, **({"hardened": True} if policy.hardened else {}))
    words.update({"host_ipv6" if six else "host_ipv4": policy.snat})
    if not six:
        words.update(icc=policy.icc, ip_masq=policy.masq, allow_direct_routing=policy.direct)
        words.update(trusted_host_interfaces=list(policy.trusted) or None, bridge_accept_fwmark=policy.fwmark)
    return words


def _gateway(side: Side) -> str | None:
    if side.gateway is None and side.via is not None:
        return f"{side.via}/{side.subnet.prefixlen}"
    return str(side.gateway) if side.gateway else None


def _mode(side: Side, policy: Policy) -> str:
    return "isolated" if policy.internal and side.gateway is None and side.via is None else policy.mode


NETWORK_WORDS = ("bridge", "interface", "host_interface", "ipv4_address", "ipv6_address", "mac_address", "gw_priority")


def endpoints(items: Sequence[Attachment], state: State) -> Iterator[Words]:
    """Endpoints as items of ``endpoints``: one that lists its networks is one item."""
    for _name, group in itertools.groupby(items, lambda item: item.name):
        members = list(group)
        told = [endpoint(member, state) for member in members]
        is_listed = members[0].item is not None and members[0].item.is_listed
        yield listed(told) if is_listed else told[0]


def listed(told: Sequence[Words]) -> Words:
    """The items of one endpoint's networks as one item with ``networks``."""
    networks = [{name: words[name] for name in NETWORK_WORDS if name in words} for words in told]
    return {**{name: value for name, value in told[0].items() if name not in NETWORK_WORDS}, "networks": networks}


def each_network(words: Words) -> List[Words]:
    """An item of ``endpoints`` as one item for each network that it is on."""
    rest = {name: value for name, value in words.items() if name != "networks"}
    return [{**rest, **network} for network in words.get("networks") or [{}]]


def endpoint(item: Attachment, state: State) -> Words:
    """An endpoint as an item of ``endpoints``."""
    words: Words = {"name": item.name}
    if item.item is not None and item.item.network_mode != "bridge":
        words["network_mode"] = item.item.network_mode
    if item.scope is not None:
        words["netns"] = short(item.scope)
    if item.net is not None:
        link = state.get(Key("link", HOST, item.veth), {})
        peer = link.get("peer") or {}
        words.update(bridge=item.net.name, interface=item.interface, host_interface=item.veth)
        words.update(mac_address=peer.get("mac"), mtu=peer.get("mtu"))
        for family, ip in item.ips.items():
            words[f"ipv{family}_address"] = str(ip.ip)
        words.update(gw_priority=item.gw_priority or None)
    return {name: value for name, value in words.items() if value is not None}


def ports(name: str, net: Net, bindings: Sequence[Binding]) -> Words:
    """What one endpoint publishes, as an item of ``ports``."""
    if _is_address(name) and all(binding.ip == name for binding in bindings):
        return {"container_ip": name, "bridge": net.name, **published(bindings, {name})}
    families = {str(side.subnet) for side in net.sides.values()}
    return {"endpoint": name, **published(bindings, families)}


def published(bindings: Sequence[Binding], families: Any) -> Words:
    """Bindings in the words of an endpoint; see ``specs``."""
    words: Words = {"published_ports": specs(bindings, families)}
    if any(binding.compact for binding in bindings) and any(span.size > 1 for span in spans(bindings)):
        words["compact_ranges"] = True
    return words


def _is_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def specs(bindings: Sequence[Binding], families: Any) -> List[Any]:
    """Bindings as items of ``published_ports``: ``8080:80/tcp`` for both families where the endpoint has both,
    compose's long form where only some may reach the port."""
    has_both = len({":" in ip for ip in families}) == 2
    grouped: Dict[Tuple[Any, ...], List[Binding]] = {}
    for span in spans(bindings):
        first = span.first
        asked = span.asked("-") if first.host_port else ""
        grouped.setdefault((first.protocol, span.answering("-"), first.host_ip, asked), []).append(first)
    found: List[Any] = []
    for (protocol, port, host_ip, host_port), members in grouped.items():
        bound = host_ip
        if host_ip is None and has_both and len(members) == 1:
            bound = "::" if ":" in members[0].ip else "0.0.0.0"
        sources = _sources(members)
        if sources is None:
            found.append(_spec(protocol, port, bound, host_port))
        else:
            item = {"target": _number(port), "protocol": protocol, "published": _number(host_port), "host_ip": bound}
            found.append({**{key: value for key, value in item.items() if value}, "allowed_sources": sources})
    return found


def _sources(members: Sequence[Binding]) -> List[str] | None:
    """The allowed sources of one port in both families; None is everybody."""
    if all(binding.sources is None for binding in members):
        return None
    found: List[str] = []
    for binding in members:
        found += [EVERYWHERE[6 if ":" in binding.ip else 4]] if binding.sources is None else binding.sources
    return found


def _number(ports: str) -> Any:
    """A single port is a number in compose's long form, a range is text."""
    return int(ports) if ports.isdigit() else ports


def _spec(protocol: str, port: str, host_ip: str | None, host_port: str) -> str:
    if host_ip is None and not host_port:
        return f"{port}/{protocol}"
    bound = "" if host_ip is None else f"[{host_ip}]:" if ":" in host_ip else f"{host_ip}:"
    return f"{bound}{host_port}:{port}/{protocol}"


def forward(state: State) -> Words:
    """The host's forwarding as ``ip_forward`` takes it; what is off is left alone."""
    return {"ipv4": forwarding.is_on(state, 4), "ipv6": forwarding.is_on(state, 6)}


_BRIDGE_CHOICES = ("bip", "bip6", "mac_address")
_ENDPOINT_CHOICES = ("ipv4_address", "ipv6_address", "mac_address")


def desired_state(params: Mapping[str, Any], result: Words) -> Words:
    """The options of a ``host_network`` run with all that it chose: on an empty host they lead to the same state.

    :param params: the options, all of them with a value
    :param result: the run's final objects
    """
    state = {name: params[name] for name in params if not name.startswith("_")}
    state["bridges"] = _chosen(params.get("bridges"), result.get("bridges"), _BRIDGE_CHOICES)
    endpoints = _chosen(params.get("endpoints"), result.get("endpoints"), _ENDPOINT_CHOICES)
    published = {item["endpoint"]: item["published_ports"] for item in result.get("ports", ()) if "endpoint" in item}
    for item in endpoints or ():
        if item["name"] in published and (item.get("published_ports") is not None or item["publish_all_ports"]):
            item.update(published_ports=published[item["name"]], publish_all_ports=False)
    return {**state, "endpoints": endpoints}


def _chosen(given: Sequence[Words] | None, found: Sequence[Words] | None, names: Sequence[str]) -> List[Words] | None:
    if given is None:
        return None
    by_name = {item["name"]: item for item in found or ()}
    chosen = []
    for item in given:
        there = by_name.get(item["name"], {})
        words = {**item, **{name: there[name] for name in names if name in there}}
        if item.get("networks") and "networks" in there:
            words["networks"] = [
                {**network, **{name: found[name] for name in names if name in found}}
                for network, found in zip(item["networks"], there["networks"])
            ]
        chosen.append(words)
    return chosen
