# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints of a task: which come, which go, their files, links and guards. Must not know: rule texts, the kernel."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple, Union

from .._errors import OptionError
from .._model import Endpoint, Want
from .._state import HOST, NETNS_DIR, Key, select, short
from . import attachments, endpoints, files, gateways, sandboxes
from .attachments import Attachment
from .networks import Net
from .policy import Link
from .table import Table, known, policy_of

Namesakes = Dict[Union[int, None], List[Key]]


def apply_endpoints(table: Table) -> None:
    """Enter the endpoints of the task."""
    present = [want for want in table.task.endpoints if want.present]
    absent = [want for want in table.task.endpoints if not want.present]
    absent += _superseded(table, present, absent)
    namesakes = _namesakes(table) if absent else {}
    for want in absent:
        _drop_endpoint(table, want, namesakes)
    table.present = endpoints.wanted(present, table.nets, table.live, {item.veth for item in table.absent})
    table.inside = gateways.by_scope(table.present)
    for attachment in table.present:
        if attachment.net is not None:
            table.named.setdefault(attachment.name, []).append(attachment)
        sandboxes.apply_attachment(attachment, table.live, table.result.after)
        _rule_endpoint(table, attachment)
    gateways.apply_gateways(table)
    _files(table)
    _links(table)
    table.result.attachments = table.present


def _superseded(table: Table, present: Sequence[Want], absent: Sequence[Want]) -> List[Want]:
    """What makes room for an endpoint that gets another interface or another host end: its pair of before.

    :raises OptionError: that pair is somebody else's, in a namespace that this collection did not make
    """
    gone = {want.endpoint.veth for want in absent}
    found = []
    for want in present:
        item, scope = want.endpoint, _scope(want) or ""
        for there in table.there.get(scope, ()) if item.network_mode == "bridge" else ():
            is_same = (there.interface == item.interface, there.veth == item.veth)
            if there.veth in gone or not any(is_same) or all(is_same):
                continue
            if not attachments.is_marked(scope, table.live):
                hint = f"{there.interface} in {short(scope)} has the host end {there.veth}; name it to take it over"
                raise OptionError(f"{want.path}host_interface", item.veth, hint)
            former = item._replace(interface=there.interface, host_interface=there.veth)
            found.append(want._replace(item=former, present=False))
    return found


def _drop_endpoint(table: Table, want: Want, namesakes: Namesakes) -> None:
    item = want.endpoint
    scope = attachments.scope_of(item)
    if scope is None:
        return
    attachment = _live_attachment(table, item, scope)
    if attachment is not None:
        table.absent.append(attachment)
        sandboxes.drop_attachment(attachment, table.live, table.result.after)
        for ip in attachment.ips.values():
            table.rulings[ip.version].gone.add(str(ip.ip))
            table.result.stale_bindings += table.rules[ip.version].bindings(str(ip.ip))
    else:
        _drop_remains(table, scope)
    # The namespace goes with its last endpoint, and only if it is one that this collection made.
    others = [other for other in table.task.endpoints if other.present and _scope(other) == scope]
    if not others and attachments.is_owned(Endpoint(item.name, netns=item.netns), scope, table.live):
        _drop_namespace(table, scope, namesakes)


def _drop_remains(table: Table, scope: str) -> None:
    """The rules of an endpoint whose device is gone already (a run was killed); its hosts file tells the addresses."""
    texts = [_text(table, path) or "" for path in attachments.files_of(scope)[:2]]
    held = {str(ip.ip) for name in table.live_nets for _veth, ip in attachments.port_addresses(table.live, name)}
    for ip in set(files.own_addresses(*texts)) - held:
        ruling = table.rulings[6 if ":" in ip else 4]
        ruling.gone.add(ip)
        table.result.stale_bindings += table.rules[ruling.family].bindings(ip)


def _scope(want: Want) -> str | None:
    return attachments.scope_of(want.endpoint)


def _live_attachment(table: Table, item: Endpoint, scope: str) -> Attachment | None:
    """The endpoint as it is on the host, found by its host end."""
    link = table.live.get(Key("link", HOST, item.veth))
    if link is None or link["kind"] != "veth":
        return None
    peer = link["peer"]
    inside = (peer["netns"], peer["name"]) if peer else (f"nsid:{link['nsid']}", item.interface)
    if peer and peer["netns"] != scope and item.host_interface is None:
        return None
    ips = attachments.live_ips(table.live, *inside)
    return Attachment(item.name, inside[0], inside[1], item.veth, table.nets.get(link["master"] or ""), ips, item)


def _drop_namespace(table: Table, scope: str, namesakes: Namesakes) -> None:
    remaining = [
        attachment
        for attachment in table.there.get(scope, ())
        if attachment.veth not in {gone.veth for gone in table.absent if gone.scope == scope}
    ]
    if remaining:
        return
    # What else is in the namespace goes with it and has no undo; ours is named, so that it has.
    # A name without a namespace is what a run leaves that is killed in the middle.
    ours = {Key("netns", HOST, scope), Key("file", HOST, scope)}
    ours.update(Key("file", HOST, path) for path in attachments.files_of(scope))
    others = [key for key in namesakes.get(_inode(table, scope), ()) if key.name != scope]
    if not any(key in table.result.after for key in others):
        ours.add(Key("up", scope, "lo"))
        ours.update(Key("sysctl", scope, name) for name in attachments.sysctls("lo"))
    for key in ours:
        table.result.after.pop(key, None)


def _namesakes(table: Table) -> Namesakes:
    """The names of each namespace: that of an endpoint which another joined has two, and stays till both are gone."""
    found: Namesakes = {}
    for key, value in select(table.live, "netns", HOST):
        found.setdefault(value["inode"], []).append(key)
    return found


def _inode(table: Table, scope: str) -> int | None:
    return table.live.get(Key("netns", HOST, scope), {}).get("inode")


def _rule_endpoint(table: Table, attachment: Attachment) -> None:
    net, item = attachment.net, attachment.item
    if net is None or item is None:
        return
    before = attachments.live_ips(table.live, attachment.scope or "", attachment.interface)
    for family, ip in attachment.ips.items():
        policy = policy_of(net, family)
        ruling, rules = table.rulings[family], table.rules[family]
        old = before.get(family)
        moved = [b._replace(ip=str(ip.ip)) for b in rules.bindings(str(old.ip))] if old and old != ip else []
        if old and old != ip:
            ruling.gone.add(str(old.ip))
        if policy is None:
            ruling.gone.add(str(ip.ip))
        else:
            # What is published at an address that nobody had is not for whoever gets it.
            kept = rules.bindings(str(ip.ip)) if old == ip else []
            ruling.endpoints[str(ip.ip)] = (policy, moved or kept)
            ruling.gone.discard(str(ip.ip))  # of an endpoint that went in the same task
            table.result.stale_bindings += [] if old == ip else rules.bindings(str(ip.ip))


def _files(table: Table) -> None:
    """The files of each namespace that is ours, from all endpoints in it."""
    by_scope: Dict[str, List[Attachment]] = {}
    for attachment in table.present:
        if attachment.scope and attachment.is_owned:
            by_scope.setdefault(attachment.same_as or attachment.scope, []).append(attachment)
    host = files.resolver(_text(table, files.HOST_RESOLV_CONF), _text(table, files.RESOLVED_RESOLV_CONF))
    for shared, members in by_scope.items():
        texts = _texts(table, members, host) if _has_main(members) else _copies(table, shared)
        for scope in dict.fromkeys(member.scope for member in members):
            for path, text in zip(attachments.files_of(scope or ""), texts):
                table.result.after[Key("file", HOST, path)] = text


def _has_main(members: Sequence[Attachment]) -> bool:
    return any(member.same_as is None for member in members)


def _copies(table: Table, scope: str) -> List[str]:
    """The files of a namespace that is shared and not in the task, as they are."""
    return [_text(table, path) or "" for path in attachments.files_of(scope)]


def _text(table: Table, path: str) -> str | None:
    return table.live.get(Key("file", HOST, path))


def _texts(table: Table, members: Sequence[Attachment], host: files.Resolver) -> Tuple[str, str, str]:
    main = next((member for member in members if member.same_as is None), members[0])
    item = main.wanted
    hostname = item.hostname or item.name
    ips = [str(member.ips[family].ip) for member in members for family in sorted(member.ips)]
    extra = [(name, _host_gateway(table, address)) for name, address in item.etc_hosts]
    lines = [
        files.link_line(ip, alias, _hostname_of(table, target), target)
        for target, alias in item.links
        for ip in _ips_of(table, members, target)
    ]
    names = files.Names(item.dns_servers, item.dns_search_domains, item.dns_opts)
    has_ipv6 = any(6 in member.ips for member in members)
    return (
        files.hosts(ips, hostname, item.domainname, extra, lines),
        files.hostname(hostname),
        files.resolv_conf(host, names, has_ipv6),
    )


def _host_gateway(table: Table, address: str) -> str:
    """Docker's ``host-gateway``: the address of the default bridge."""
    if address != "host-gateway":
        return address
    net = table.nets.get("docker0")
    side = net.sides.get(4) if net else None
    if side is None or side.gateway is None:
        raise OptionError("etc_hosts", address, "there is no docker0 with an address; write the address itself")
    return str(side.gateway.ip)


def _ips_of(table: Table, clients: Sequence[Attachment], name: str) -> List[str]:
    """A link target's addresses on a network of the client's."""
    bridges = [client.net.name for client in clients if client.net is not None]
    for attachment in known(table, name):
        if attachment.net is not None and attachment.net.name in bridges:
            return [str(attachment.ips[family].ip) for family in sorted(attachment.ips)]
    where = " or ".join(bridges) or "no network"
    raise OptionError(f"{clients[0].path}links", name, f"there is no endpoint of this name on {where}; make it first")


def _hostname_of(table: Table, name: str) -> str:
    """A link target's host name: as the task has it, else as its file has it."""
    for attachment in table.named.get(name, ()):
        if attachment.item is not None and attachment.item.hostname:
            return attachment.item.hostname
    return (_text(table, attachments.files_of(f"{NETNS_DIR}/{name}")[1]) or name).strip()


def _links(table: Table) -> None:
    for attachment in table.present:
        item, net = attachment.item, attachment.net
        if item is None or net is None:
            continue
        for ip in attachment.ips.values():
            table.rulings[ip.version].clients.add(str(ip.ip))
        for target, _alias in item.links:
            near = [other for other in known(table, target) if other.net is not None and other.net.name == net.name]
            for other in near[:1]:
                _link(table, net, attachment, other)


def _link(table: Table, net: Net, client: Attachment, target: Attachment) -> None:
    """The rules of one link. What a target exposes is known from the task, else from the link as it is."""
    for family in client.ips:
        policy = policy_of(net, family)
        if policy is not None and family in target.ips:
            ends = (str(client.ips[family].ip), str(target.ips[family].ip))
            if target.item is None:
                live = dict.fromkeys(link for _item, link in table.rules[family].links())
                table.rulings[family].links += [(policy, link) for link in live if link[:2] == ends]
            else:
                exposed = target.item.exposed_ports
                table.rulings[family].links += [(policy, Link(*ends, proto, port)) for port, proto in exposed]
