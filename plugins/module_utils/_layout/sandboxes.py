# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an endpoint puts into its namespace and onto its bridge: device, addresses, sysctls, routes.

Must not know: how addresses are chosen, rules, the kernel.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Dict, List, Sequence, Tuple

from .._errors import OptionError
from .._model import stable_mac
from .._state import HOST, Key, State, select
from .._values import Address
from .attachments import NAMESPACE_SYSCTLS, Attachment, gateway_order, live_ips
from .networks import address_value, gateway_of, has_ipv6_settings
from .subnets import seed

_ALL_GROUPS = "net/ipv4/ping_group_range"
GROUP_MAP = "/proc/self/gid_map"
_KERNEL = 2  # the protocol of routes that the kernel makes with an address


def apply_attachment(attachment: Attachment, live: State, after: State) -> None:
    """Enter an endpoint's namespace, device, addresses and sysctls into ``after``; routes are ``routes``'."""
    scope = attachment.scope
    if scope is None:
        return
    if Key("netns", HOST, scope) not in live:
        same = {"same_as": attachment.same_as} if attachment.same_as else {}
        after.setdefault(Key("netns", HOST, scope), {"inode": None, **same})
    if attachment.same_as:
        return
    if attachment.is_owned:
        after[Key("up", scope, "lo")] = "up"
        for name, value in NAMESPACE_SYSCTLS.items():
            if name != _ALL_GROUPS or _is_whole(live):
                after[Key("sysctl", scope, name)] = value
    if attachment.net is not None:
        _enter_device(attachment, scope, live, after)


def _is_whole(live: State) -> bool:
    """Whether all group ids exist here; in a user namespace of few ids a range over all of them is refused."""
    return str(live.get(Key("file", HOST, GROUP_MAP), "")).split() == ["0", "0", "4294967295"]


def _enter_device(attachment: Attachment, scope: str, live: State, after: State) -> None:
    key = Key("link", HOST, attachment.veth)
    after[key] = _device(attachment, scope, live.get(key), seed(live))
    after[Key("up", HOST, attachment.veth)] = "up"
    after[Key("up", scope, attachment.interface)] = "up"
    for family, interface in live_ips(live, scope, attachment.interface).items():
        if attachment.ips.get(family) != interface:
            after.pop(Key("address", scope, f"{attachment.interface} {interface}"), None)
    for interface in attachment.ips.values():
        address = Key("address", scope, f"{attachment.interface} {interface}")
        after[address] = live.get(address) or address_value(interface)
    name = Key("sysctl", scope, f"net/ipv6/conf/{attachment.interface}/disable_ipv6")
    if has_ipv6_settings(live, after[key]["peer"]["mtu"]):
        after[name] = "0" if 6 in attachment.ips else "1"


def _device(attachment: Attachment, scope: str, before: Dict[str, Any] | None, machine: str) -> Dict[str, Any]:
    item, net = attachment.wanted, attachment.network
    mtu = item.mtu or net.mtu
    peer = (before or {}).get("peer")
    if peer is None or (peer["netns"], peer["name"]) != (scope, attachment.interface):
        far = item.mac_address or stable_mac(machine, "endpoint", item.name, attachment.interface)
        near = {"kind": "veth", "mac": stable_mac(machine, "host", item.name, attachment.veth), "mtu": mtu, "txqlen": 0}
        ends = {"netns": scope, "name": attachment.interface, "mac": far, "mtu": mtu, "txqlen": 0}
        return {**near, "master": net.name, "hairpin": net.hairpin, "peer": ends}
    # An MTU that was asked for is kept up, the kernel's own choice is not.
    asked = item.mtu or (net.mtu if net.bridge is not None and net.bridge.mtu else None)
    far_end = {"mac": item.mac_address, "mtu": asked}
    inside = {**peer, **{name: value for name, value in far_end.items() if value is not None}}
    outside = {"master": net.name, "hairpin": net.hairpin, **({"mtu": asked} if asked else {})}
    return {**(before or {}), **outside, "peer": inside}


def routes(attachments: Sequence[Attachment], live: State, after: State) -> None:
    """Enter the default route of each namespace: through the gateway network of its endpoints."""
    by_scope: Dict[str, List[Attachment]] = {}
    for attachment in attachments:
        if attachment.net is not None and attachment.scope is not None:
            by_scope.setdefault(attachment.scope, []).append(attachment)
    for scope, members in by_scope.items():
        for family in (4, 6):
            _route(scope, family, sorted(members, key=gateway_order), live, after)


def _route(scope: str, family: int, members: Sequence[Attachment], live: State, after: State) -> None:
    default = "default" if family == 4 else "default6"
    ours = {member.interface for member in members}
    there = [key for key, value in select(live, "route", scope) if key.name.split(" ")[0] == default]
    present = [key for key in there if key in after]  # an endpoint that goes has taken its own along
    if any(live[key]["dev"] not in ours for key in present):
        return  # the namespace routes elsewhere, that is not ours to change
    wanted_route = next(filter(None, (_default(member, family, live) for member in members)), None)
    for key in present:
        if wanted_route is None or key.name != wanted_route[0]:
            after.pop(key, None)
    if wanted_route is not None:
        key = Key("route", scope, wanted_route[0])
        after[key] = live.get(key) or wanted_route[1]


def _default(member: Attachment, family: int, live: State) -> Tuple[str, Dict[str, Any]] | None:
    net = member.network
    side = net.sides.get(family)
    if side is None or net.internal or family not in member.ips:
        return None
    given = member.item.default_gateway if member.item else _live_via(member, family, live)
    via = given if given is not None and given.version == family else gateway_of(side)
    if via is None:
        return None
    if via not in side.subnet:
        raise OptionError(f"{member.path}default_gateway", str(via), f"not in {side.subnet}, the endpoint's subnet")
    name = f"{'default' if family == 4 else 'default6'} via {via} dev {member.interface}"
    dst = "0.0.0.0/0" if family == 4 else "::/0"
    metric = None if family == 4 else 1024
    return name, {
        "family": family,
        "dst": dst,
        "via": str(via),
        "dev": member.interface,
        "scope": "global",
        "metric": metric,
        "proto": 3,
    }


def _live_via(member: Attachment, family: int, live: State) -> Address | None:
    """Where the default route of an endpoint that the task does not speak of leads, if it goes through it."""
    for _key, value in select(live, "route", member.scope):
        is_default = value["dst"] in ("0.0.0.0/0", "::/0") and value["dev"] == member.interface
        if is_default and value["family"] == family and value["via"]:
            return ipaddress.ip_address(value["via"])
    return None


def drop_attachment(attachment: Attachment, live: State, after: State) -> None:
    """Take an endpoint's device and what hangs on it out of ``after``; its namespace stays.

    What the kernel makes and takes away by itself is left out: connected routes, link-local addresses.
    """
    scope, interface = attachment.scope, attachment.interface
    gone = [Key("link", HOST, attachment.veth), Key("up", HOST, attachment.veth)]
    if scope is not None:
        gone += [Key("up", scope, interface), Key("sysctl", scope, f"net/ipv6/conf/{interface}/disable_ipv6")]
        for key, value in select(live, "address", scope):
            if key.name.split(" ")[0] == interface and value["scope"] != "link":
                gone.append(key)
        gone += [
            key for key, value in select(live, "route", scope) if value["dev"] == interface and not _is_kernels(value)
        ]
    for key in gone:
        after.pop(key, None)


def _is_kernels(route: Dict[str, Any]) -> bool:
    return bool(route["proto"] == _KERNEL)
