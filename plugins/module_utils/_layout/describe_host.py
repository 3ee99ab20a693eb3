# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A live host as ``host_network`` would be told to make it. Must not know: Ansible, the kernel."""

from __future__ import annotations

import ipaddress
import itertools
from typing import Dict, Iterator, List, Mapping, Sequence

from .._model import Forwarding, UserRule, default_host_interface
from .._state import HOST, Indexed, Key, State, select, short
from . import attachments, files, networks
from .attachments import Attachment, live_attachments
from .describe import EVERYWHERE, Words, bridge, endpoint, forward, listed, ports, published
from .networks import Net
from .policy import Backend, Binding, Rules


def host(live: State, backend: Backend) -> Words:
    """A live host in the words of ``host_network``: fed back in, it changes nothing."""
    live = Indexed(live)
    rules = {family: backend.recognise(live, family) for family in (4, 6)}
    nets = _docker_nets(live, rules)
    # A namespace without any name cannot be told to host_network; its ports can, by address.
    named = [item for item in live_attachments(live, nets) if item.ips and (item.scope or "").startswith("/")]
    words: Words = {"ip_forward": _live_forward(live, backend), "user_rules": _live_user_rules(live, backend)}
    words["bridges"] = [_live_bridge(net, live, rules, backend) for net in nets.values()]
    named = list(_by_namespace(named, live))
    told = list(zip(named, _all_names(named, live, rules)))
    words["endpoints"] = [
        _of_namespace([{**_live_endpoint(item, live, rules), **names} for item, names in group])
        for _scope, group in itertools.groupby(told, lambda pair: pair[0].scope)
    ]
    words["endpoints"] += _bare(named, live)
    words["ports"] = _other_ports(named, nets, rules)
    words["interfaces"] = _interfaces(live, nets)
    return words


def _by_namespace(named: Sequence[Attachment], live: State) -> Iterator[Attachment]:
    """The endpoints with those of one namespace together, the one that bears its name first, then by interface."""
    by_scope: Dict[str, List[Attachment]] = {}
    for item in named:
        by_scope.setdefault(item.scope or "", []).append(item)
    for scope, members in by_scope.items():
        members = attachments.with_priorities(members, live)
        first = default_host_interface(short(scope))
        yield from sorted(members, key=lambda item: (item.veth != first, len(item.interface), item.interface))


def _of_namespace(told: List[Words]) -> Words:
    """The endpoint of one namespace, from what is told of each of its networks; default host ends are left out."""
    words = _several(told) if len(told) > 1 else told[0]
    for index, network in enumerate(words.get("networks", [words])):
        own = default_host_interface(words["name"], network["interface"] if index else None)
        if network["host_interface"] == own:
            del network["host_interface"]
    return words


def _several(told: List[Words]) -> Words:
    words = listed(told)
    words["name"] = words.pop("netns", words["name"])
    for name in ("published_ports", "exposed_ports", "links"):
        values = [value for item in told for value in item.get(name, ())]
        words.update({name: values} if values else {})
    gateways = [item["default_gateway"] for item in told if "default_gateway" in item]
    return {**words, **({"default_gateway": gateways[0]} if gateways else {})}


def _interfaces(live: State, nets: Mapping[str, Net]) -> List[Words]:
    """The host's own interfaces: what has an address and belongs to no network."""
    addresses: Dict[str, List[str]] = {}
    for key, value in select(live, "address", HOST):
        name, _blank, address = key.name.partition(" ")
        if value["scope"] == "global" and name not in nets:
            addresses.setdefault(name, []).append(address)
    gateways: Dict[str, List[str]] = {}
    for _key, value in select(live, "route", HOST):
        if value["dst"] in ("0.0.0.0/0", "::/0"):
            gateways.setdefault(value["dev"], []).append(value["via"] or value["dev"])
    names = dict.fromkeys([*addresses, *gateways])
    return [
        {"name": name, "addresses": addresses.get(name, []), "gateways": gateways.get(name, [])}
        for name in names
        if name
    ]


def _docker_nets(live: State, rules: Mapping[int, Rules]) -> Dict[str, Net]:
    names = {name for family in rules for name in rules[family].names}
    found = {}
    for key, value in select(live, "link", HOST):
        if value["kind"] == "bridge" and (key.name in names or key.name == "docker0"):
            net = networks.live_net(live, rules, key.name)
            if net is not None and net.sides:
                found[key.name] = net
    return found


def _live_bridge(net: Net, live: State, rules: Mapping[int, Rules], backend: Backend) -> Words:
    words = bridge(net, live)
    words["iptables"] = net.name in rules[4].names if 4 in net.sides else backend.has_base(live, 4)
    words["ip6tables"] = net.name in rules[6].names if 6 in net.sides else backend.has_base(live, 6)
    words.pop("mac_address", None)
    return words


def _live_endpoint(item: Attachment, live: State, rules: Mapping[int, Rules]) -> Words:
    words = endpoint(item, live)
    if words.get("netns") == item.name:
        del words["netns"]
    bindings = [found for ip in item.ips.values() for found in rules[ip.version].bindings(str(ip.ip))]
    words.update(published(bindings, {str(ip.ip) for ip in item.ips.values()}))
    words.pop("mtu", None)
    words.update(_live_gateway(item, live))
    return words


def _live_gateway(item: Attachment, live: State) -> Words:
    """The default gateway, where it is another than the bridge."""
    for key, value in select(live, "route", item.scope):
        side = item.network.sides.get(value["family"])
        is_own = key.name.startswith("default") and value["dev"] == item.interface and side is not None and value["via"]
        if is_own and side is not None and value["via"] != str(networks.gateway_of(side)):
            return {"default_gateway": value["via"]}
    return {}


def _all_names(named: Sequence[Attachment], live: State, rules: Mapping[int, Rules]) -> Iterator[Words]:
    """For each endpoint what its files and links say; of several in one namespace the first one tells of the files."""
    by_ip = {str(ip.ip): item for item in named for ip in item.ips.values()}
    links = dict.fromkeys(link for side in rules.values() for _item, link in side.links())
    exposed: Dict[str, List[str]] = {}
    for link in links:
        if link.target in by_ip:
            exposed.setdefault(by_ip[link.target].veth, []).append(f"{link.port}/{link.protocol}")
    seen = set()
    for item in named:
        words: Words = {}
        if item.scope not in seen and attachments.is_marked(item.scope or "", live):
            words = _names(item, live, by_ip)
        seen.add(item.scope)
        ports_ = {"exposed_ports": sorted(set(exposed[item.veth]))} if item.veth in exposed else {}
        yield {**words, **ports_}


def _bare(named: Sequence[Attachment], live: State) -> List[Words]:
    """Namespaces of ours without an interface of their own: another name of an endpoint's, or on no network."""
    inhabited = {value["peer"]["netns"] for _key, value in select(live, "link", HOST) if value["peer"]}
    by_inode = {live[Key("netns", HOST, item.scope or "")]["inode"]: short(item.scope or "") for item in named}
    found = []
    for key, value in select(live, "netns", HOST):
        if key.name in inhabited or not attachments.is_marked(key.name, live):
            continue
        item = Attachment(short(key.name), key.name)
        if value["inode"] in by_inode:
            found.append({"name": item.name, "network_mode": f"container:{by_inode[value['inode']]}"})
        else:
            found.append({"name": item.name, "network_mode": "none", **_names(item, live, {})})
    return found


def _names(item: Attachment, live: State, by_ip: Mapping[str, Attachment]) -> Words:
    """Host name, resolver, and further names of one namespace, as its files have them."""
    texts = {
        path.rpartition("/")[2]: str(live.get(Key("file", HOST, path), ""))
        for path in attachments.files_of(item.scope or "")
    }
    same = [ip for ip, other in by_ip.items() if other.scope == item.scope]
    told = files.told(texts["hosts"], texts["hostname"], texts["resolv.conf"], same)
    words: Words = {
        "hostname": None if told.hostname == item.name else told.hostname,
        "domainname": told.domainname,
        "dns_servers": told.names.servers,
        "dns_search_domains": told.names.search,
        "dns_opts": told.names.options,
    }
    links, extra = [], {}
    for address, names in told.lines:
        target = by_ip.get(address)
        if target is not None and target.net == item.net and names[-1] == target.name:
            links.append(f"{target.name}:{names[0]}")
        else:
            extra.update(dict.fromkeys(names, address))
    words.update(links=list(dict.fromkeys(links)) or None, etc_hosts=extra or None)
    return {name: value for name, value in words.items() if value is not None}


def _other_ports(named: Sequence[Attachment], nets: Mapping[str, Net], rules: Mapping[int, Rules]) -> List[Words]:
    known = {str(ip.ip) for item in named for ip in item.ips.values()}
    found = []
    for family in rules:
        by_ip: Dict[str, List[Binding]] = {}
        for binding in rules[family].all_bindings():
            if binding.ip not in known:
                by_ip.setdefault(binding.ip, []).append(binding)
        for ip, bindings in by_ip.items():
            for net in nets.values():
                side = net.sides.get(family)
                if side is not None and ipaddress.ip_address(ip) in side.subnet:
                    found.append(ports(ip, net, bindings))
    return found


def _live_forward(live: State, backend: Backend) -> Words:
    memory = Key("file", HOST, Forwarding().sysctl_file) in live
    kept = list(dict.fromkeys([*backend.kept(live, 4), *backend.kept(live, 6)]))
    return {**forward(live), "forward_policy": "keep", "persist": memory, "keep_forwarding": kept}


def _live_user_rules(live: State, backend: Backend) -> List[Words]:
    """The administrator's rules; one without an address that is of one family alone is for any source of it."""
    by_family = {family: backend.user_rules(live, family) for family in (4, 6)}
    found = []
    for rule in dict.fromkeys([*by_family[4], *by_family[6]]):
        families = [family for family in by_family if rule in by_family[family]]
        is_plain = rule.source is None and rule.destination is None
        any_source = EVERYWHERE[families[0]] if is_plain and len(families) == 1 else None
        found.append(_user_rule(rule, any_source))
    return found


def _user_rule(rule: UserRule, any_source: str | None) -> Words:
    words = {name: value for name, value in rule._asdict().items() if value}
    words.update({name: str(words[name]) for name in ("source", "destination") if name in words})
    if any_source is not None:
        words["source"] = any_source
    if rule.destination_port:
        low, high = rule.destination_port
        words["destination_port"] = str(low) if low == high else f"{low}-{high}"
    return {**words, **({"ctstate": list(rule.ctstate)} if rule.ctstate else {})}
