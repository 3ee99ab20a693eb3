# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``purge`` adds to a task: an absent want for all that is there in its scope and not listed.

Must not know: how things are taken away, the kernel.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import List, Mapping, Set, Tuple

from .._model import Bridge, Endpoint, Publish, Task, Want, default_host_interface
from .._state import HOST, NETNS_DIR, NETNS_FILES, State, select, short
from .._values import address
from . import attachments, orphans
from .networks import Net
from .policy import Rules


def completed(task: Task, live: State, rules: Mapping[int, Rules], nets: Mapping[str, Net]) -> Task:
    """The task with everything that purge takes away written out."""
    if "endpoints" in task.purge:
        task = task._replace(endpoints=(*task.endpoints, *_endpoints(task, live, nets)))
    if "bridges" in task.purge:
        task = task._replace(bridges=(*task.bridges, *_bridges(task, live, rules, nets)))
    if "ports" in task.purge:
        listed = (_whole(want, task.ignore) for want in task.ports)
        task = task._replace(ports=(*listed, *_ports(task, live, rules, nets)))
    return task


def _bridges(task: Task, live: State, rules: Mapping[int, Rules], nets: Mapping[str, Net]) -> List[Want]:
    """Bridges with Docker's rules, and rules without their bridge; a bridge without them is someone else's."""
    listed = {want.item.name for want in task.bridges if isinstance(want.item, Bridge)}
    docker = {name for family in rules for name in rules[family].names}
    return [
        Want(Bridge(name), "purge: bridges.", False)
        for name in sorted((docker & set(nets) | orphans.bridges(live, rules)) - listed)
        if not _is_ignored(task, name)
    ]


def _endpoints(task: Task, live: State, nets: Mapping[str, Net]) -> List[Want]:
    """Endpoints in named namespaces that bear this collection's marks: the host end's name, or the files."""
    listed: Set[Tuple[str, str]] = set()
    for want in task.endpoints:
        listed.add((attachments.scope_of(want.endpoint) or "", want.endpoint.interface))
    found = []
    for item in attachments.live_attachments(live, nets):
        scope = item.scope or ""
        if _is_ignored(task, item.name, item.veth):
            continue
        if (
            scope.startswith(f"{NETNS_DIR}/")
            and (scope, item.interface) not in listed
            and _is_ours(item.veth, scope, live)
        ):
            gone = Endpoint(item.name, netns=short(scope), interface=item.interface, host_interface=item.veth)
            found.append(Want(gone, "purge: endpoints.", False))
    return found + [Want(Endpoint(name), "purge: endpoints.", False) for name in _bare(task, live)]


def _bare(task: Task, live: State) -> List[str]:
    """Names of ours without an endpoint: of network mode none, or left by a run that was killed."""
    listed = {attachments.scope_of(want.endpoint) for want in task.endpoints}
    inhabited = {key.scope for key, _value in select(live, "link") if key.name != "lo"}
    inhabited |= {value["peer"]["netns"] for _key, value in select(live, "link", HOST) if value["peer"]}
    paths = [key.name for key, _value in select(live, "file", HOST)]
    named = {f"{NETNS_DIR}/{path.split('/')[3]}" for path in paths if path.startswith(f"{NETNS_FILES}/")}
    marked = {scope for scope in named if attachments.is_marked(scope, live)}
    marked |= {path for path in paths if path.startswith(f"{NETNS_DIR}/")}
    return [short(path) for path in sorted(marked - listed - inhabited) if not _is_ignored(task, short(path))]


def _is_ignored(task: Task, *names: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in task.ignore)


def _is_ours(veth: str, scope: str, live: State) -> bool:
    return attachments.is_marked(scope, live) or veth == default_host_interface(short(scope))


def _whole(want: Want, ignore: Tuple[str, ...]) -> Want:
    return want._replace(item=want.publish._replace(whole=True, ignore=ignore)) if want.present else want


def _ports(task: Task, live: State, rules: Mapping[int, Rules], nets: Mapping[str, Net]) -> List[Want]:
    """Everything published at addresses that no item of the task is about."""
    listed = {want.item.endpoint for want in task.ports if isinstance(want.item, Publish)}
    ips = {str(want.item.container_ip) for want in task.ports if isinstance(want.item, Publish)}
    for item in attachments.live_attachments(live, nets):
        names = {item.name, short(item.scope or "")}
        if names & listed or item.veth in {default_host_interface(name or "") for name in listed}:
            ips.update(str(ip.ip) for ip in item.ips.values())
    found = []
    for family in rules:
        for ip in dict.fromkeys(binding.ip for binding in rules[family].all_bindings()):
            bridge = next((net.name for net in nets.values() if _is_on(net, family, ip)), None)
            if bridge and ip not in ips:
                publish = Publish(container_ip=address("purge", ip), bridge=bridge, ignore=task.ignore)
                found.append(Want(publish, f"purge: ports {ip}.", False))
    return found


def _is_on(net: Net, family: int, ip: str) -> bool:
    side = net.sides.get(family)
    return side is not None and address("purge", ip) in side.subnet
