# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's rules whose bridge or endpoint is no more: a run was killed, or a link was deleted by hand.

Must not know: rule texts, the kernel.
"""

from __future__ import annotations

import ipaddress
from fnmatch import fnmatchcase
from typing import FrozenSet, Mapping, Set

from .._model import Publish
from .._state import HOST, Key, State, select
from . import attachments
from .networks import Net
from .policy import Rules
from .table import Table


def bridges(live: State, rules: Mapping[int, Rules]) -> Set[str]:
    """Names that have a network's rules of Docker's and no link."""
    return {
        name
        for side in rules.values()
        for name in side.names
        if Key("link", HOST, name) not in live and side.policy(name, None, False) is not None
    }


def subnets(rules: Rules, bridge: str) -> FrozenSet[str]:
    """The subnets that a bridge's rules name."""
    found = (item.data.get("subnet") for item in rules.networks.get(bridge, ()))
    return frozenset(subnet for subnet in found if subnet)


def addresses(rules: Rules, bridge: str) -> Set[str]:
    """The endpoint addresses that rules name together with a bridge."""
    return {ip for ip, items in rules.endpoints.items() if any(item.data.get("bridge") == bridge for item in items)}


def sweep(table: Table) -> None:
    """Purge takes the rules and ports of addresses that no endpoint has any more, on networks whose endpoints are
    all known."""
    if "endpoints" not in table.task.purge:
        return
    for net in table.nets.values():
        held = list(attachments.port_addresses(table.live, net.name))
        ports = {key.name for key, value in select(table.live, "link", HOST) if value["master"] == net.name}
        if ports <= {veth for veth, _ip in held}:
            _sweep(table, net, {str(ip.ip) for _veth, ip in held} | _asked(table))


def _asked(table: Table) -> Set[str]:
    """The addresses that the task publishes ports of, whether or not anybody has them."""
    items = (want.item for want in table.task.ports if want.present)
    return {str(item.container_ip) for item in items if isinstance(item, Publish) and item.container_ip}


def _sweep(table: Table, net: Net, held: Set[str]) -> None:
    for family, rules in table.rules.items():
        ruling = table.rulings[family]
        wanted = {str(item.ips[family].ip) for item in table.present if family in item.ips}
        for ip in (addresses(rules, net.name) | _on(net, family, rules)) - held - wanted:
            bindings = rules.bindings(ip)
            if not any(fnmatchcase(item.label, pattern) for item in bindings for pattern in table.task.ignore):
                ruling.endpoints.pop(ip, None)
                ruling.gone.add(ip)
                table.result.stale_bindings += bindings


def _on(net: Net, family: int, rules: Rules) -> Set[str]:
    """The addresses of a network's subnet that have rules."""
    side = net.sides.get(family)
    return {ip for ip in rules.endpoints if side is not None and ipaddress.ip_address(ip) in side.subnet}
