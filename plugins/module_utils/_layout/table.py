# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The working table of a prediction: what is wanted, what is there, what comes of it. Must not know: the kernel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Tuple

from .._model import Task, default_host_interface
from .._state import NETNS_DIR, State
from . import attachments
from .attachments import Attachment
from .networks import Net
from .policy import Backend, Binding, Policy, Rules, Ruling


@dataclass
class Prediction:
    """What a run leads to: the state, the objects it is about, what the user should know.

    ``squatters`` are processes on published ports, which no change of ours takes away.
    ``unread`` are host ends whose far addresses matter and were not read: read them and predict again.
    """

    after: State
    bridges: List[Net] = field(default_factory=list)
    attachments: List[Attachment] = field(default_factory=list)
    ports: List[Tuple[str, Net, List[Binding]]] = field(default_factory=list)
    stale_bindings: List[Binding] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)
    squatters: List[str] = field(default_factory=list)
    unread: List[str] = field(default_factory=list)


@dataclass
class Table:
    """The working table of one prediction."""

    task: Task
    live: State
    backend: Backend
    rules: Dict[int, Rules]
    filtered: Tuple[int, ...]
    nets: Dict[str, Net] = field(default_factory=dict)
    wanted_nets: Dict[str, Net] = field(default_factory=dict)
    live_nets: Dict[str, Net] = field(default_factory=dict)
    there: Dict[str, List[Attachment]] = field(default_factory=dict)
    named: Dict[str, List[Attachment]] = field(default_factory=dict)
    present: List[Attachment] = field(default_factory=list)
    inside: Dict[str, List[Attachment]] = field(default_factory=dict)
    absent: List[Attachment] = field(default_factory=list)
    rulings: Dict[int, Ruling] = field(default_factory=dict)
    result: Prediction = field(default_factory=lambda: Prediction({}))


def there(live: State, nets: Dict[str, Net]) -> Dict[str, List[Attachment]]:
    """The endpoints that are on the host, by namespace and by host end."""
    by_scope: Dict[str, List[Attachment]] = {}
    for attachment in attachments.live_attachments(live, nets):
        by_scope.setdefault(attachment.scope or "", []).append(attachment)
    found = {scope: attachments.with_priorities(members, live) for scope, members in by_scope.items()}
    for members in list(found.values()):
        for attachment in members:
            found.setdefault(attachment.veth, []).append(attachment)
    return found


def policy_of(net: Net, family: int) -> Policy | None:
    """The rules' policy of a network in one family; None if it has no rules there."""
    side = net.sides.get(family)
    return side.policy if side else None


def known(table: Table, name: str) -> List[Attachment]:
    """The endpoints of one name: the task's own, else those of the host; the gateway network's first."""
    found = table.named.get(name) or _on_host(table, name)
    return sorted(found, key=attachments.gateway_order)


def _on_host(table: Table, name: str) -> List[Attachment]:
    """By the namespace's name, or by the host end's; on the networks as this plan makes them."""
    gone = {item.veth for item in table.absent}
    found = []
    for place in (f"{NETNS_DIR}/{name}", name, default_host_interface(name)):
        for item in table.there.get(place, ()):
            net = table.nets.get(item.net.name) if item.net else None
            if item.veth not in gone and net is not None:
                found.append(item._replace(net=net))
    return list({item.veth: item for item in found}.values())
