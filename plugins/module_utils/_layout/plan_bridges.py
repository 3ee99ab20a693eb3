# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridges of a task: which come, which go, what that asks of the rules. Must not know: rule texts, the kernel."""

from __future__ import annotations

from typing import Any, FrozenSet, List

from .._errors import OptionError
from .._model import Want
from .._state import HOST, Key, State, select
from . import attachments, networks, orphans
from .addresses import Taken
from .networks import Net
from .policy import NetRuling, Policy
from .table import Table


def apply_bridges(table: Table) -> None:
    """Enter the bridges of the task."""
    present = [want for want in table.task.bridges if want.present]
    for want in table.task.bridges:
        if not want.present:
            _drop_bridge(table, want)
    # Fixed subnets first: a pool subnet must not be one that a later item names.
    fixed = [want for want in present if _subnets_given(want)]
    taken: List[Taken] = [(net, _name(want)) for want in fixed for net in _subnets_given(want)]
    taken += _without_address(table)
    for want in present:
        others = [(net, name) for net, name in taken if name != _name(want)]
        net = networks.wanted_net(want, _without_dropped(table), table.rules, others)
        table.wanted_nets[net.name] = table.nets[net.name] = net
        taken += [(side.subnet, net.name) for side in net.sides.values()]
    for net in table.wanted_nets.values():
        networks.apply_net(net, table.live, table.result.after)
        _rule_net(table, net)
        _warn_of_left_behind(table, net)
        for veth in _endpoints_of(table, net):
            key = Key("link", HOST, veth)
            table.result.after[key] = {**table.live[key], "hairpin": net.hairpin}
        table.result.bridges.append(net)
    _base(table)


def _name(want: Want) -> str:
    return want.bridge.name


def _subnets_given(want: Want) -> List[Any]:
    item = want.bridge
    given = [item.bip.network if item.bip else item.fixed_cidr, item.bip6.network if item.bip6 else item.fixed_cidr_v6]
    return [net for net in given if net is not None]


def _without_address(table: Table) -> List[Taken]:
    """The subnets of live bridges that only rules tell of, for they have no address."""
    named = {_name(want) for want in table.task.bridges}
    live = [net for net in table.live_nets.values() if net.name not in named]
    return [(side.subnet, net.name) for net in live for side in net.sides.values() if side.gateway is None]


def _without_dropped(table: Table) -> State:
    """The live state less what absent items free: a bridge may take the subnet of one that goes."""
    gone = {_name(want) for want in table.task.bridges if not want.present}
    if not gone:
        return table.live
    return {
        key: value
        for key, value in table.live.items()
        if not (key.scope == HOST and key.kind == "address" and key.name.split(" ")[0] in gone)
        and not (key.kind == "route" and value["dev"] in gone)
    }


def _drop_bridge(table: Table, want: Want) -> None:
    item = want.bridge
    link = table.live.get(Key("link", HOST, item.name))
    if link is not None and link["kind"] != "bridge":
        raise OptionError(f"{want.path}name", item.name, "not a bridge but another kind of link; it is left alone")
    leaving = {_veth(other) for other in table.task.endpoints if not other.present}
    ports_left = [
        key.name
        for key, value in select(table.live, "link", HOST)
        if value["master"] == item.name and key.name not in leaving
    ]
    if ports_left and item.create:
        names = ", ".join(attachments.shown(table.live, ports_left)[:5])
        hint = f"network has active endpoints ({names}); remove them first, or in the same task"
        raise OptionError(f"{want.path}name", item.name, hint)
    table.nets.pop(item.name, None)
    if item.create:
        networks.drop_net(item.name, table.result.after)
    before = table.live_nets.get(item.name)
    for family, ruling in table.rulings.items():
        side = before.sides.get(family) if before else None
        rules = table.rules[family]
        subnets = frozenset([str(side.subnet)]) if side else orphans.subnets(rules, item.name)
        if link is None:
            ruling.gone.update(orphans.addresses(rules, item.name))
        if item.name in rules.names:
            ruling.nets[item.name] = NetRuling(side.policy if side else None, None, subnets)


def _veth(want: Want) -> str:
    return want.endpoint.veth


def _rule_net(table: Table, net: Net) -> None:
    before = table.live_nets.get(net.name)
    for family, ruling in table.rulings.items():
        old = before.sides.get(family) if before else None
        new = net.sides.get(family)
        policy = new.policy if new else None
        if policy and family not in table.filtered:
            continue
        subnets = frozenset(str(side.subnet) for side in (old, new) if side)
        if policy or net.name in table.rules[family].names:
            ips = _unguarded(table, net, family, old.policy if old else None)
            ruling.nets[net.name] = NetRuling(old.policy if old else None, policy, subnets, ips)


def _unguarded(table: Table, net: Net, family: int, before: Policy | None) -> FrozenSet[str]:
    """The addresses of a live bridge's endpoints, where a new policy guards what the old one may have left open."""
    policy = net.sides[family].policy if family in net.sides else None
    if policy is None or policy == before or not policy.is_guarded:
        return frozenset()
    veths = set(_endpoints_of(table, net))
    found = [(veth, ip) for veth, ip in attachments.port_addresses(table.live, net.name) if veth in veths]
    table.result.unread += sorted(veths - {veth for veth, _ip in found})
    return frozenset(str(ip.ip) for _veth, ip in found if ip.version == family)


def _warn_of_left_behind(table: Table, net: Net) -> None:
    """Say which endpoints keep addresses of a subnet that their bridge leaves: the task does not name them."""
    before = table.live_nets.get(net.name)
    stays = [side.subnet for side in net.sides.values()]
    left = [side.subnet for side in before.sides.values() if side.subnet not in stays] if before else []
    if not left:
        return
    veths = set(_endpoints_of(table, net)) - {_veth(want) for want in table.task.endpoints}
    found = [item for item in attachments.port_addresses(table.live, net.name) if item[0] in veths]
    table.result.unread += sorted(veths - {veth for veth, _ip in found})
    kept = {veth: ip for veth, ip in found if any(ip.ip in subnet for subnet in left)}
    if kept:
        names = attachments.shown(table.live, kept)
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        table.result.warnings.append(
            f"bridge {net.name}: endpoints keep addresses of {', '.join(map(str, left))} and are cut off: "
            f"{', '.join(names[:5])}{more}; name them in host_network or veth_endpoint to give them new ones"
        )


def _endpoints_of(table: Table, net: Net) -> List[str]:
    """The host ends on a live bridge: all of a bridge that is Docker's, else those that this collection named."""
    is_dockers = any(net.name in rules.names for rules in table.rules.values())
    is_all = is_dockers and net.bridge is not None and net.bridge.create
    ports = [
        key.name
        for key, value in select(table.live, "link", HOST)
        if value["kind"] == "veth" and value["master"] == net.name
    ]
    own = {} if is_all or not ports else attachments.named_veths(table.live)
    return [veth for veth in ports if is_all or veth in own]


def _base(table: Table) -> None:
    """What becomes of Docker's chains: IPv6 has them for any network, IPv6 or not, unless ip6tables is off."""
    gone = {_name(want) for want in table.task.bridges if not want.present}
    there = {name for rules in table.rules.values() for name in rules.names}
    remaining = there - gone - set(table.wanted_nets)
    hairpin = any(net.hairpin for net in table.wanted_nets.values())
    hairpin |= any(table.live_nets[name].hairpin for name in remaining if name in table.live_nets)
    bridges = [net.bridge for net in table.wanted_nets.values() if net.bridge]
    is_ruled = {4: any(bridge.iptables for bridge in bridges), 6: any(bridge.ip6tables for bridge in bridges)}
    is_last = bool(gone & (there | set(table.live_nets))) and not remaining
    for family, ruling in table.rulings.items():
        ruling.hairpin = hairpin
        if table.task.user_rules is not None:
            ruling.user_rules = table.task.user_rules
        has_rules = any(family in rule.families for rule in table.task.user_rules or ())
        if has_rules or is_ruled[family]:
            ruling.base = "make"
        elif is_last and table.backend.has_base(table.live, family):
            ruling.base = "drop"
