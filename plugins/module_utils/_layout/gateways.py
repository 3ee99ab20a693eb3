# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints on several networks: which one gets the default route and the ports. Must not know: rule texts, the kernel.

Docker calls it the gateway network: not an internal one if there is another, then the first by name.
"""

from __future__ import annotations

from typing import Dict, List, Sequence

from . import sandboxes
from .attachments import Attachment, gateway_order
from .policy import Binding
from .table import Table, known, policy_of


def apply_gateways(table: Table) -> None:
    """Enter the default routes of all namespaces that the task touches, and put their ports where those lead."""
    scopes = dict.fromkeys(item.scope for item in [*table.present, *table.absent] if item.scope)
    found = {scope: members(table, scope) for scope in scopes}
    touched = [member for scope in scopes for member in found[scope]]
    sandboxes.routes(touched, table.live, table.result.after)
    for scope in scopes:
        _move_ports(table, found[scope])


def members(table: Table, scope: str) -> List[Attachment]:
    """The endpoints in one namespace as the plan leaves them: the task's and those on the host's Docker networks."""
    own = [item for item in table.inside.get(scope, ()) if item.net is not None]
    taken = {item.veth for item in [*own, *table.absent]}
    others = []
    for item in table.there.get(scope, ()):
        net = table.nets.get(item.net.name) if item.net else None
        if net is not None and item.veth not in taken and _is_dockers(table, net.name):
            others.append(item._replace(net=net))
    return sorted([*own, *others], key=gateway_order)


def _is_dockers(table: Table, name: str) -> bool:
    return name in table.wanted_nets or any(name in rules.names for rules in table.rules.values())


def of_endpoint(table: Table, name: str) -> List[Attachment]:
    """All networks of the endpoint of one name, the gateway network first."""
    found = known(table, name)
    scopes = dict.fromkeys(item.scope for item in found if item.scope)
    return [member for scope in scopes for member in members(table, scope)] or found


def _move_ports(table: Table, found: Sequence[Attachment]) -> None:
    """What is published on an endpoint's other networks goes to its gateway network."""
    if len(found) < 2:
        return
    gateway = found[0]
    for family, interface in gateway.ips.items():
        policy, ip = policy_of(gateway.network, family), str(interface.ip)
        if policy is None or gateway.network.internal:
            continue
        moved: List[Binding] = []
        for other in found[1:]:
            moved += [binding._replace(ip=ip) for binding in _given_up(table, other, family)]
        if moved:
            table.rulings[family].endpoints[ip] = (policy, [*_bindings(table, family, ip), *moved])


def _given_up(table: Table, other: Attachment, family: int) -> List[Binding]:
    """Take all that an endpoint publishes on one network away from there."""
    policy = policy_of(other.network, family)
    if policy is None or family not in other.ips:
        return []
    ip = str(other.ips[family].ip)
    bindings = _bindings(table, family, ip)
    if bindings:
        table.rulings[family].endpoints[ip] = (policy, [])
        table.result.stale_bindings += bindings
    return bindings


def _bindings(table: Table, family: int, ip: str) -> List[Binding]:
    entry = table.rulings[family].endpoints.get(ip)
    return list(entry[1]) if entry else table.rules[family].bindings(ip)


def by_scope(items: Sequence[Attachment]) -> Dict[str, List[Attachment]]:
    """Endpoints by the namespace that they are in."""
    found: Dict[str, List[Attachment]] = {}
    for item in items:
        if item.scope:
            found.setdefault(item.scope, []).append(item)
    return found
