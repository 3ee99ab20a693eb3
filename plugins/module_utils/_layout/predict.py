# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prediction: wants and live in, ``after`` and the final objects out. Must not know: Ansible, the kernel.

One pass in Docker's order: forwarding, bridges, endpoints, ports, rules; nothing is entered twice.
"""

from __future__ import annotations

from typing import Sequence, Set

from .._model import Task
from .._state import HOST, Indexed, State, select
from . import connections, forwarding, networks, orphans, plan_bridges, plan_endpoints, plan_ports, purge, zones
from .policy import Backend, Ruling
from .table import Prediction, Table, there


def predict(task: Task, live: State, backend: Backend, filtered: Sequence[int]) -> Prediction:
    """The state that a task leads to from a live state.

    :param filtered: the families whose rules were read and can be written
    :raises OptionError: the wants do not fit together or to the host
    """
    live = Indexed(live)
    table = Table(task, live, backend, {family: backend.recognise(live, family) for family in (4, 6)}, tuple(filtered))
    table.result = Prediction(backend.start(live))
    table.rulings = {family: Ruling(family) for family in (4, 6)}
    _live_nets(table)
    task = purge.completed(task, live, table.rules, table.live_nets)
    table.task = connections.completed(task, table.there, table.rules)
    if table.task.forwarding is not None:
        table.result.warnings += forwarding.apply_forwarding(
            table.task.forwarding, live, table.result.after, backend, table.filtered, _ruled(table), _has_ipv6(table)
        )
        for ruling in table.rulings.values():
            ruling.keep = forwarding.kept(table.task.forwarding)
    plan_bridges.apply_bridges(table)
    zones.apply_zones(table)
    plan_endpoints.apply_endpoints(table)
    orphans.sweep(table)
    plan_ports.apply_ports(table)
    for family in table.filtered:
        backend.apply_ruling(table.rulings[family], table.rules[family], live, table.result.after)
    return table.result


def _has_ipv6(table: Table) -> bool:
    """Whether a bridge has IPv6: one that is wanted, or one that is there and stays; when forwarding goes, any that is
    there. Where no devices were read, the bridges are those with IPv6 rules."""
    wanted = {want.bridge.name: want.present and want.bridge.ipv6 for want in table.task.bridges}
    there = {name for name, net in table.live_nets.items() if 6 in net.sides} | set(table.rules[6].names)
    is_going = table.task.forwarding is not None and not table.task.forwarding.present
    return any(wanted.values()) or bool(there if is_going else there - set(wanted))


def _ruled(table: Table) -> Set[int]:
    """The families in which a bridge has rules, and those without a bridge that could have any."""
    wanted = [want.bridge for want in table.task.bridges if want.present]
    others = set(table.live_nets) - {want.bridge.name for want in table.task.bridges}
    ruled = {
        4: {bridge.name: bridge.iptables for bridge in wanted if bridge.ipv4},
        6: {bridge.name: bridge.ip6tables for bridge in wanted if bridge.ipv6},
    }
    for family, bridges in ruled.items():
        names = {name for name in others if family in table.live_nets[name].sides}
        bridges.update((name, name in table.rules[family].names) for name in names)
    return {family for family, bridges in ruled.items() if any(bridges.values()) or not bridges}


def _live_nets(table: Table) -> None:
    names = [key.name for key, value in select(table.live, "link", HOST) if value["kind"] == "bridge"]
    for name in names:
        net = networks.live_net(table.live, table.rules, name)
        if net is not None:
            table.live_nets[name] = net
    table.nets = dict(table.live_nets)
    table.there = there(table.live, table.live_nets)
