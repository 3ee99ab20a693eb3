# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wanted endpoints: the namespace, the interface and the addresses that each gets. Must not know: rules, the kernel."""

from __future__ import annotations

import ipaddress
from typing import Container, Dict, Iterable, List, Mapping, Sequence, Tuple

from .._errors import OptionError
from .._model import Endpoint, Want
from .._state import HOST, NETNS_DIR, Key, State, short
from .._values import Address, Interface
from . import addresses
from .attachments import Attachment, is_owned, joined_scope, live_ips, port_addresses, scope_of
from .networks import Net, Side, gateway_of


def wanted(wants: Sequence[Want], nets: Mapping[str, Net], live: State, gone: Container[str]) -> List[Attachment]:
    """The wanted endpoints with their addresses chosen: given ones, those they have, the lowest free.

    :param nets: every network an endpoint may name, wanted or live
    :param gone: host ends that go in the same task, and leave their addresses
    :raises OptionError: an address does not fit or is taken, a bridge is not there
    """
    plain = _with_shared([_plain(want, nets, live) for want in wants], live)
    _check_names(plain)
    taken = _taken(plain, live, gone)
    result = [_addressed(attachment, taken, live, is_fixed=True) for attachment in plain]
    result = [_addressed(attachment, taken, live, is_fixed=False) for attachment in result]
    starts: Dict[Tuple[str, int], Address] = {}
    return [_with_free(attachment, taken, starts) for attachment in result]


def _plain(want: Want, nets: Mapping[str, Net], live: State) -> Attachment:
    item = want.endpoint
    scope = scope_of(item)
    if scope is None:
        return Attachment(item.name, None, item=item, path=want.path)
    if not scope.startswith(f"{NETNS_DIR}/") and Key("netns", HOST, scope) not in live:
        raise OptionError(f"{want.path}netns", item.netns, "there is no such network namespace to join")
    owned = is_owned(item, scope, live)
    if item.network_mode == "none":
        return Attachment(item.name, scope, item=item, path=want.path, is_owned=owned)
    if item.network_mode.startswith("container:"):
        other = joined_scope(item)
        return Attachment(item.name, scope, item=item, path=want.path, is_owned=owned, same_as=other)
    net = nets.get(item.bridge)
    if net is None:
        known = ", ".join(sorted(nets)) or "none"
        raise OptionError(
            f"{want.path}bridge", item.bridge, f"there is no such bridge; make it first (bridges: {known})"
        )
    _check_link(want, item, nets, live)
    place = (item.name, scope, item.interface, item.veth, net)
    return Attachment(*place, item=item, path=want.path, is_owned=owned, gw_priority=item.gw_priority)


def _check_link(want: Want, item: Endpoint, nets: Mapping[str, Net], live: State) -> None:
    link = live.get(Key("link", HOST, item.veth))
    kind = "bridge" if item.veth in nets else (link["kind"] or "physical") if link is not None else "veth"
    if kind != "veth":
        hint = f"a link of kind {kind} has this name; remove it or choose another host_interface"
        raise OptionError(f"{want.path}host_interface", item.veth, hint)
    if link is None:
        return
    peer = link["peer"]
    # A namespace that the task names was read, so that an end in another one is somebody else's.
    if not peer or _inode(live, peer["netns"]) != _inode(live, scope_of(item) or ""):
        holder = short(peer["netns"]) if peer else "another namespace"
        hint = f"this is the host end of {holder}; remove that endpoint or choose another host_interface"
        raise OptionError(f"{want.path}host_interface", item.veth, hint)


def _inode(live: State, scope: str) -> int | None:
    return live.get(Key("netns", HOST, scope), {}).get("inode")


def _check_names(attachments: Iterable[Attachment]) -> None:
    """Two endpoints cannot share a host interface, nor one interface of one namespace."""
    seen: Dict[Tuple[str, str], str] = {}
    for attachment in attachments:
        if attachment.net is None:
            continue
        places = (
            ("host_interface", HOST, attachment.veth),
            ("interface", attachment.scope or "", attachment.interface),
        )
        for option, scope, name in places:
            if (scope, name) in seen:
                hint = f"endpoint {seen[(scope, name)]} has it already{'' if scope == HOST else ' in ' + short(scope)}"
                raise OptionError(f"{attachment.path}{option}", name, f"{hint}; choose another name")
            seen[(scope, name)] = attachment.name


def _with_shared(attachments: Sequence[Attachment], live: State) -> List[Attachment]:
    """Endpoints of ``container:NAME`` share the namespace that NAME has, or gets by the same task, at first hand."""
    by_name = {attachment.name: attachment for attachment in attachments}
    result = []
    for attachment in attachments:
        other, passed = attachment, {attachment.name}
        while other.same_as is not None and short(other.same_as) in by_name:
            other = by_name[short(other.same_as)]
            if other.name in passed:
                raise _nobody_to_join(attachment)
            passed.add(other.name)
        source = other.same_as or other.scope
        if attachment.same_as is None:
            result.append(attachment)
        elif other.same_as is None or Key("netns", HOST, source or "") in live:
            result.append(attachment._replace(same_as=source))
        else:
            raise _nobody_to_join(attachment)
    return result


def _nobody_to_join(attachment: Attachment) -> OptionError:
    mode = attachment.wanted.network_mode
    hint = f"there is no endpoint {mode.partition(':')[2]} to join; make it first, or in the same task"
    return OptionError(f"{attachment.path}network_mode", mode, hint)


Taken = Dict[str, Dict[Address, str]]


def _taken(plain: Sequence[Attachment], live: State, gone: Container[str]) -> Taken:
    """Bridge -> address -> who has it: gateways, what is reserved, and all ports of the bridge but the wanted
    endpoints' own."""
    own = {attachment.veth for attachment in plain if attachment.net}
    taken: Taken = {}
    for attachment in plain:
        net = attachment.net
        if net is not None and net.name not in taken:
            taken[net.name] = _reserved(net)
            for veth, ip in port_addresses(live, net.name):
                if veth not in own and veth not in gone:
                    taken[net.name].setdefault(ip.ip, f"the endpoint at {veth}")
    for attachment in plain:
        gateway = attachment.item.default_gateway if attachment.item else None
        if gateway is not None and attachment.net is not None:
            taken[attachment.net.name].setdefault(gateway, f"the default_gateway of endpoint {attachment.name}")
    return taken


def _reserved(net: Net) -> Dict[Address, str]:
    found: Dict[Address, str] = {}
    for side in net.sides.values():
        gateway = gateway_of(side)
        if gateway is not None:
            found[gateway] = f"bridge {net.name}"
        found.update(dict.fromkeys(side.reserved, f"reserved_addresses of bridge {net.name}"))
    return found


def _addressed(attachment: Attachment, taken: Taken, live: State, is_fixed: bool) -> Attachment:
    """Fill in the given addresses, or keep those that the endpoint has and that still fit."""
    net, item = attachment.net, attachment.item
    if net is None or item is None:
        return attachment
    ips = dict(attachment.ips)
    given = {4: item.ipv4_address, 6: item.ipv6_address}
    present = {} if is_fixed else live_ips(live, attachment.scope or "", attachment.interface)
    for family, side in net.sides.items():
        address = given[family]
        if is_fixed and address is not None:
            _check_given(attachment, side, address, taken[net.name])
            ips[family] = _interface(address, side)
        elif not is_fixed and family not in ips and _is_kept(present.get(family), side, taken[net.name]):
            ips[family] = present[family]
    for interface in ips.values():
        taken[net.name].setdefault(interface.ip, f"endpoint {attachment.name}")
    if is_fixed and item.ipv6_address is not None and 6 not in net.sides:
        hint = f"bridge {net.name} has no IPv6; set ipv6: true there"
        raise OptionError(f"{attachment.path}ipv6_address", str(item.ipv6_address), hint)
    return attachment._replace(ips=ips)


def _is_kept(present: Interface | None, side: Side, taken: Mapping[Address, str]) -> bool:
    return present is not None and present.network == side.subnet and present.ip not in taken


def _interface(address: Address, side: Side) -> Interface:
    return ipaddress.ip_interface(f"{address}/{side.subnet.prefixlen}")


def _check_given(attachment: Attachment, side: Side, address: Address, taken: Mapping[Address, str]) -> None:
    path = f"{attachment.path}ipv{side.family}_address"
    if address not in side.subnet:
        raise OptionError(path, str(address), f"not in {side.subnet}, the subnet of {attachment.net.name}")  # type: ignore
    is_network = side.subnet.prefixlen < side.subnet.max_prefixlen - 1 and address == side.subnet.network_address
    is_broadcast = side.family == 4 and side.subnet.prefixlen < 31 and address == side.subnet.broadcast_address
    if is_network or is_broadcast:
        raise OptionError(path, str(address), f"reserved in {side.subnet}; choose a host address")
    holder = taken.get(address)
    if holder is not None and holder != f"endpoint {attachment.name}":
        raise OptionError(path, str(address), f"in use by {holder}; choose another or leave the option out")


def _with_free(attachment: Attachment, taken: Taken, starts: Dict[Tuple[str, int], Address]) -> Attachment:
    """Fill in the lowest free address of each family that still has none.

    :param starts: bridge and family -> the address below which nothing is free any more
    """
    net = attachment.net
    if net is None:
        return attachment
    ips = dict(attachment.ips)
    for family, side in net.sides.items():
        if family in ips:
            continue
        free = addresses.free_address(side.subnet, side.span, taken[net.name], starts.get((net.name, family)))
        if free is None:
            hint = f"no free address in {side.span or side.subnet}; remove endpoints or use a larger subnet"
            raise OptionError(f"{attachment.path}bridge", net.name, hint)
        taken[net.name][free] = f"endpoint {attachment.name}"
        starts[(net.name, family)] = free
        ips[family] = _interface(free, side)
    return attachment._replace(ips=ips)
