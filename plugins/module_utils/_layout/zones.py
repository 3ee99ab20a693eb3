# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's zone and policy of firewalld: a bridge goes into zone ``docker``, to which everybody may forward.

What a packet meets there is Docker's own rules' business, on either backend. Must not know: the kernel, the bus.
"""

from __future__ import annotations

from typing import Any, Dict

from .._model import Task
from .._state import HOST, Key, State, select
from .table import Table

ZONE, POLICY = "docker", "docker-forwarding"
_MARK = "(hostnet.docker)"
_DEFINITIONS: Dict[Key, Dict[str, Any]] = {
    Key("firewalld", HOST, f"zone {ZONE}"): {
        "description": f"bridges of Docker's networking {_MARK}",
        "target": "ACCEPT",
    },
    Key("firewalld", HOST, f"policy {POLICY}"): {
        "description": f"forwarding to Docker's bridges {_MARK}",
        "target": "ACCEPT",
        "ingress_zones": ("ANY",),
        "egress_zones": (ZONE,),
    },
}
_STATE = Key("firewalld", HOST, "state")


def are_needed(task: Task) -> bool:
    """Whether a task is about what is in zones."""
    return bool(task.bridges) or "bridges" in task.purge


def interface(name: str) -> Key:
    """The Key of an interface, whose value is its zone."""
    return Key("firewalld", HOST, f"interface {name}")


def apply_zones(table: Table) -> None:
    """Enter the bridges of the task, where a firewalld runs."""
    state = table.live.get(_STATE)
    if state is None:
        return
    if state != "running":
        table.result.warnings.append(
            f"firewalld has rules in this network and does not answer ({state}), so no bridge was put into its zone "
            f"{ZONE}; what it filters stays as it is"
        )
        return
    after = table.result.after
    gone = {want.bridge.name for want in table.task.bridges if not want.present}
    gone |= {net.name for net in table.wanted_nets.values() if not _is_ruled(net.sides.values())}
    for name in gone:
        if after.get(interface(name)) == ZONE:
            del after[interface(name)]
    for name in table.wanted_nets:
        if name not in gone:
            _enter(table, name)
    _define(after, bool(gone))


def _is_ruled(sides: Any) -> bool:
    """As dockerd, which does not speak to firewalld with ``iptables`` off."""
    return any(side.policy is not None for side in sides)


def _enter(table: Table, name: str) -> None:
    zone = table.result.after.setdefault(interface(name), ZONE)
    if zone != ZONE:
        table.result.warnings.append(
            f"bridge {name} is in firewalld's zone {zone}, where somebody else put it, and stays there; Docker has its "
            f"bridges in zone {ZONE}: firewall-cmd --zone={zone} --remove-interface={name}, and run this again"
        )


def _define(after: State, is_leaving: bool) -> None:
    """Zone and policy come with the first bridge; ours go with the last one."""
    members = [key for key, zone in select(after, "firewalld") if key.name.startswith("interface ") and zone == ZONE]
    for key, settings in _DEFINITIONS.items():
        if members:
            after.setdefault(key, settings)
        elif is_leaving and _MARK in after.get(key, {}).get("description", ""):
            del after[key]
