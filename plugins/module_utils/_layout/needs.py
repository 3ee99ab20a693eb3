# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be read for a task, beyond the host's own devices and rules. Must not know: how it is read."""

from __future__ import annotations

from typing import FrozenSet, List, NamedTuple, Sequence, Set, Tuple

from .._model import Bridge, Endpoint, Forwarding, Publish, Task, Want, default_host_interface
from .._state import HOST, NETNS_DIR, Key, State, select, short
from . import attachments, files, forwarding, networks, sandboxes, subnets


class Needs(NamedTuple):
    """``sandboxes``: paths to enter. ``ports``: host ends whose namespaces are asked for their addresses.
    ``sysctls``: (scope, name). ``files``: paths. ``directories``: those that may be the machine's own. ``sockets``:
    (protocol, port) whose holders are named, None where no listener is asked for."""

    sandboxes: Tuple[str, ...] = ()
    ports: Tuple[str, ...] = ()
    sysctls: Tuple[Tuple[str, str], ...] = ()
    files: Tuple[str, ...] = ()
    directories: Tuple[str, ...] = ()
    sockets: FrozenSet[Tuple[str, int]] | None = None


def needs_devices(task: Task) -> bool:
    """Whether the task is about more than forwarding: only then netlink is spoken at all.

    The administrator's rules bring Docker's chains along, and those depend on the bridges that are there.
    """
    return bool(task.bridges or task.endpoints or task.ports or task.purge or task.user_rules)


def joined(task: Task) -> List[str]:
    """Namespaces that are joined by process or path, which no listing of names shows."""
    scopes = [attachments.scope_of(want.item) for want in task.endpoints if isinstance(want.item, Endpoint)]
    return [scope for scope in dict.fromkeys(scopes) if scope and not scope.startswith(f"{NETNS_DIR}/")]


def needs(task: Task, live: State) -> Needs:
    """What to read for a task, given the host's devices.

    :param live: the host's namespaces, links, addresses and routes
    """
    bridges = [key.name for key, value in select(live, "link", HOST) if value["kind"] == "bridge"]
    items = [want.item for want in task.endpoints if isinstance(want.item, Endpoint)]
    scopes = _scopes(task, items, live)
    return Needs(
        sandboxes=tuple(scopes),
        ports=tuple(_ports(task, items, live)),
        sysctls=(*_host_sysctls(task, bridges), *_sandbox_sysctls(task, items, scopes)),
        files=tuple(_files(task, items, scopes)),
        directories=_directories(task),
        sockets=_sockets(task) if task.ports else None,
    )


def everything(live: State, sandboxes: Sequence[str]) -> Needs:
    """What to read for a description of the whole host."""
    bridges = [key.name for key, value in select(live, "link", HOST) if value["kind"] == "bridge"]
    ports = [key.name for key, value in select(live, "link", HOST) if value["kind"] == "veth" and value["master"]]
    names = [name for bridge in bridges for name in networks.sysctls(bridge)]
    names += [name for family in (4, 6) for name in forwarding.SYSCTLS[family]]
    named = [key.name for key, _value in select(live, "netns", HOST) if key.name.startswith(f"{NETNS_DIR}/")]
    files = [path for scope in named for path in attachments.files_of(scope)]
    sysctls = tuple((HOST, name) for name in names)
    return Needs(tuple(_owners_first(sandboxes, live)), tuple(ports), sysctls, (Forwarding().sysctl_file, *files))


def _scopes(task: Task, items: Sequence[Endpoint], live: State) -> List[str]:
    wanted = [attachments.own_scope(item) for item in items if attachments.joined_scope(item) is None]
    wanted += [attachments.own_scope(item) for item in items if attachments.joined_scope(item) is not None]
    wanted += [f"{NETNS_DIR}/{want.item.endpoint}" for want in task.ports if isinstance(want.item, Publish)]
    wanted += [f"{NETNS_DIR}/{name}" for item in items for name, _alias in item.links]
    if "endpoints" in task.purge or "ports" in task.purge or _gives_back(task):
        wanted += [key.name for key, _value in select(live, "netns")]
    return _owners_first(
        [scope for scope in dict.fromkeys(wanted) if scope and Key("netns", HOST, scope) in live], live
    )


def _owners_first(scopes: Sequence[str], live: State) -> List[str]:
    """Of a namespace with several names, the one comes first by which its link belongs to an endpoint."""
    return sorted(scopes, key=lambda scope: Key("link", HOST, default_host_interface(short(scope))) not in live)


def _gives_back(task: Task) -> bool:
    """Whether ports are taken back by address: an endpoint that has the address keeps its guard."""
    return any(isinstance(want.item, Publish) and want.item.container_ip and not want.present for want in task.ports)


def _ports(task: Task, items: Sequence[Endpoint], live: State) -> List[str]:
    """All ports of the endpoints' bridges (who has which address) and of bridges that go (who is still there), and the
    host ends that ports name."""
    bridges = {item.bridge for item in items} | _leaving(task, live)
    names = {want.item.endpoint or "" for want in task.ports if isinstance(want.item, Publish)}
    veths = names | {default_host_interface(name) for name in names}
    veths |= {item.veth for item in items}
    is_all = not {"ports", "endpoints"}.isdisjoint(task.purge)
    return [
        key.name
        for key, value in select(live, "link", HOST)
        if value["kind"] == "veth" and (value["master"] in bridges or key.name in veths or (is_all and value["master"]))
    ]


def _leaving(task: Task, live: State) -> Set[str]:
    """The bridges that the task takes away, or may."""
    listed = {want.item.name: want.present for want in task.bridges if isinstance(want.item, Bridge)}
    purged = select(live, "link", HOST) if "bridges" in task.purge else ()
    found = {key.name for key, value in purged if value["kind"] == "bridge" and key.name not in listed}
    return found | {name for name, is_present in listed.items() if not is_present}


def _host_sysctls(task: Task, bridges: Sequence[str]) -> List[Tuple[str, str]]:
    names = [name for family in (4, 6) for name in forwarding.SYSCTLS[family]]
    if needs_devices(task):
        wanted = [want.item.name for want in task.bridges if isinstance(want.item, Bridge)]
        for bridge in dict.fromkeys([*bridges, *wanted]):
            names += networks.sysctls(bridge)
        names += ["net/ipv6/conf/default/accept_ra", *networks.NETFILTER.values()]
    if task.ports:
        names += ["net/ipv4/ip_local_port_range", "net/ipv4/ip_local_reserved_ports"]
    return [(HOST, name) for name in names]


def _sandbox_sysctls(task: Task, items: Sequence[Endpoint], scopes: Sequence[str]) -> List[Tuple[str, str]]:
    found = []
    there = set(scopes)
    for item in items:
        scope = attachments.scope_of(item)
        if scope in there:
            found += [(scope, name) for name in attachments.sysctls(item.interface)]
    # What purge takes away comes back as it was if the run fails; of all that must be read only if it may come later,
    # for the namespaces themselves are the last to go.
    names = attachments.sysctls("eth0")
    named = {scope for scope, _name in found}
    for scope in scopes:
        if scope not in named:
            found += [(scope, name) for name in (names if task.confirm_timeout else names[-1:])]
    return list(dict.fromkeys(found))  # type: ignore[arg-type]


def _files(task: Task, items: Sequence[Endpoint], scopes: Sequence[str]) -> List[str]:
    paths: List[str] = []
    if needs_devices(task):
        paths += [subnets.MACHINE_ID, sandboxes.GROUP_MAP, files.HOST_RESOLV_CONF, files.RESOLVED_RESOLV_CONF]
    named = [*(attachments.own_scope(item) for item in items), *scopes]
    named += [attachments.joined_scope(item) or "" for item in items]
    for scope in dict.fromkeys(named):
        if scope.startswith(f"{NETNS_DIR}/"):
            paths += attachments.files_of(scope)
    if "endpoints" in task.purge:
        paths += attachments.files_of("*")
    if task.forwarding is not None:
        paths.append(task.forwarding.forward.sysctl_file)
    return paths


def _directories(task: Task) -> Tuple[str, ...]:
    return (forwarding.directory_of(task.forwarding.forward.sysctl_file),) if task.forwarding is not None else ()


def _sockets(task: Task) -> FrozenSet[Tuple[str, int]]:
    found: Set[Tuple[str, int]] = set()
    for want in _present(task.ports):
        for spec in want.publish.ports:
            low, high = spec.host_ports or (1, 0)
            found.update((spec.protocol, port) for port in range(low, high + 1))
    return frozenset(found)


def _present(wants: Sequence[Want]) -> List[Want]:
    return [want for want in wants if want.present]
