# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks: what a wanted bridge becomes (subnets, addresses, device), and what a live one is.

Must not know: rule texts, endpoints, ports, the kernel.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Tuple, Union, cast

from .._errors import OptionError
from .._model import AUTO, Bridge, Want, stable_mac
from .._state import HOST, Key, State, select
from .._values import Address, Interface, Network, parsed_interface
from . import addresses
from .addresses import Taken
from .policy import Policy, Rules, policy
from .subnets import Choice, from_pool, in_use, seed

FORWARD = "net/ipv4/ip_forward"
IPV6_LEAST_MTU = 1280
NETFILTER = {4: "net/bridge/bridge-nf-call-iptables", 6: "net/bridge/bridge-nf-call-ip6tables"}


class Side(NamedTuple):
    """One family of a network. ``gateway`` None: the bridge has no address; ``policy`` None: it has no rules.

    ``via`` is where the endpoints' default route leads all the same, ``reserved`` what no endpoint gets by itself.
    """

    family: int
    subnet: Network
    gateway: Union[Interface, None] = None
    span: Union[Network, None] = None
    policy: Union[Policy, None] = None
    via: Union[Address, None] = None
    reserved: Tuple[Address, ...] = ()


class Net(NamedTuple):
    """A network, wanted or live."""

    name: str
    sides: Mapping[int, Side] = {}
    mtu: Union[int, None] = None
    hairpin: bool = True
    internal: bool = False
    bridge: Union[Bridge, None] = None
    subnet_reason: Union[str, None] = None


def sysctls(name: str) -> List[str]:
    """The host sysctls of one bridge that are read and may be written."""
    return [
        f"net/ipv6/conf/{name}/accept_ra",
        f"net/ipv6/conf/{name}/disable_ipv6",
        f"net/ipv4/conf/{name}/route_localnet",
    ]


def own_addresses(live: State, name: str) -> Iterator[Tuple[Key, Interface]]:
    """The global addresses of a host device."""
    for key, value in select(live, "address", HOST):
        device, _space, cidr = key.name.partition(" ")
        if device == name and value["scope"] == "global":
            yield key, parsed_interface(cidr)


def _primary(live: State, name: str, family: int) -> Interface | None:
    return next((cidr for _key, cidr in own_addresses(live, name) if cidr.version == family), None)


def live_net(live: State, rules: Mapping[int, Rules], name: str) -> Net | None:
    """A bridge as it is on the host; None if there is none of that name."""
    link = live.get(Key("link", HOST, name))
    if link is None or link["kind"] != "bridge":
        return None
    hairpin = is_hairpin(live, rules, name)
    sides = {}
    for family in (4, 6):
        gateway = _primary(live, name, family)
        found = rules[family].policy(name, str(gateway.network) if gateway else None, hairpin)
        subnet = gateway.network if gateway else ipaddress.ip_network(found.subnet) if found and found.subnet else None
        if subnet:
            sides[family] = Side(family, subnet, gateway, None, found, _live_via(subnet, gateway, found))
    internal = any(side.policy and side.policy.internal for side in sides.values())
    return Net(name, sides, link["mtu"], hairpin, internal)


def _live_via(subnet: Network, gateway: Interface | None, rules: Policy | None) -> Address | None:
    """Where endpoints route through on a live bridge without an address: ``inhibit_ipv4`` leaves Docker's choice."""
    is_inhibited = gateway is None and subnet.version == 4 and rules is not None and not rules.internal
    return addresses.first_address(subnet) if is_inhibited else None


def is_hairpin(live: State, rules: Mapping[int, Rules], name: str) -> bool:
    """Whether a live bridge is one without userland proxy."""
    return (
        any(rules[family].is_hairpin(name) for family in rules)
        or live.get(Key("sysctl", HOST, f"net/ipv4/conf/{name}/route_localnet")) == "1"
    )


def wanted_net(want: Want, live: State, rules: Mapping[int, Rules], others: List[Taken]) -> Net:
    """The network that a wanted bridge becomes.

    :param others: subnets of the task's other bridges
    :raises OptionError: the wants do not fit together or to the host
    """
    bridge = want.bridge
    _check(want, bridge, live)
    before = live_net(live, rules, bridge.name)
    taken = addresses.taken_subnets(live, bridge.name) + others
    choice = Choice(live, taken, others)
    sides = {4: _side4(want, bridge, before, choice)} if bridge.ipv4 else {}
    if bridge.ipv6:
        sides[6] = _side6(want, bridge, before, choice)
    asked = _uplink_mtu(live, bridge.name) if bridge.mtu == AUTO else bridge.mtu
    _check_reserved(want, bridge, sides)
    mtu = (int(asked) if asked else None) or (before.mtu if before else None)
    return Net(bridge.name, sides, mtu, not bridge.userland_proxy, bridge.internal, bridge, choice.reason)


def _check_reserved(want: Want, bridge: Bridge, sides: Mapping[int, Side]) -> None:
    for index, address in enumerate(bridge.reserved_addresses):
        path, side = f"{want.path}reserved_addresses[{index}]", sides.get(address.version)
        if side is None or address not in side.subnet:
            where = side.subnet if side else f"the bridge, which has no IPv{address.version}"
            raise OptionError(path, str(address), f"not in {where}; an address of the subnet can be reserved")
        if address == gateway_of(side):
            raise OptionError(path, str(address), "the address of the bridge itself, which no endpoint gets anyway")


def _uplink_mtu(live: State, name: str) -> int | None:
    """The MTU of the interface that the default route leaves by; without one the kernel's choice."""
    for key, value in select(live, "route", HOST):
        if key.name.startswith("default") and value["dev"] not in (None, name):
            return int(live[Key("link", HOST, value["dev"])]["mtu"])
    return None


def _check(want: Want, bridge: Bridge, live: State) -> None:
    path = f"{want.path}name"
    link = live.get(Key("link", HOST, bridge.name))
    if link is not None and link["kind"] != "bridge":
        kind = link["kind"] or "physical"
        raise OptionError(path, bridge.name, f"a link of kind {kind} has this name; remove it or choose another name")
    if link is None and not bridge.create:
        raise OptionError(path, bridge.name, "with create: false the bridge must be there; make it first")


def _side4(want: Want, bridge: Bridge, before: Net | None, choice: Choice) -> Side:
    option, gateway, subnet = _given(bridge.bip, bridge.fixed_cidr, "", before.sides.get(4) if before else None)
    if subnet is None:
        option, subnet = "", from_pool(want, bridge, choice, 4)
    return _side(want, bridge, 4, option, gateway, subnet, in_use(bridge, choice))


def _side6(want: Want, bridge: Bridge, before: Net | None, choice: Choice) -> Side:
    suffix = ("6", "_v6")
    option, gateway, subnet = _given(bridge.bip6, bridge.fixed_cidr_v6, suffix, before.sides.get(6) if before else None)
    if subnet is None:
        option, subnet = "", from_pool(want, bridge, choice, 6)
    return _side(want, bridge, 6, option, gateway, subnet, in_use(bridge, choice))


def _given(
    bip: Interface | None, span: Network | None, suffix: Any, before: Side | None
) -> Tuple[str, Interface | None, Network | None]:
    """Option, gateway and subnet from what the user gave, else from what the bridge has."""
    suffixes = suffix or ("", "")
    if bip is not None:
        return f"bip{suffixes[0]}", bip, bip.network
    if before is not None and (span is None or _contains(before.subnet, span)):
        return "", before.gateway, before.subnet
    return f"fixed_cidr{suffixes[1]}", None, span


def _contains(subnet: Network, span: Network) -> bool:
    return span.version == subnet.version and span.subnet_of(subnet)  # type: ignore[arg-type]


def _side(
    want: Want, bridge: Bridge, family: int, option: str, gateway: Interface | None, subnet: Network, taken: List[Taken]
) -> Side:
    span = bridge.fixed_cidr if family == 4 else bridge.fixed_cidr_v6
    span_option = "fixed_cidr" if family == 4 else "fixed_cidr_v6"
    if span is not None and not _contains(subnet, span):
        raise OptionError(f"{want.path}{span_option}", str(span), f"not inside the bridge's subnet {subnet}")
    overlap = addresses.overlapping(subnet, taken)
    if overlap and option:
        hint = f"overlaps {overlap[0]} of {overlap[1]}; choose another subnet, or give avoid_routes: none"
        raise OptionError(f"{want.path}{option}", str(gateway or subnet), hint)
    rules = policy(bridge, family, subnet)
    if gateway is None:
        gateway = ipaddress.ip_interface(f"{addresses.first_address(subnet)}/{subnet.prefixlen}")
    is_filtered = bridge.iptables if family == 4 else bridge.ip6tables
    is_inhibited = family == 4 and bridge.inhibit_ipv4
    own = None if rules.mode == "isolated" or is_inhibited else gateway
    via = gateway.ip if is_inhibited and rules.mode != "isolated" else None
    reserved = tuple(address for address in bridge.reserved_addresses if address.version == family)
    span = span if span != subnet else None
    return Side(family, subnet, own, span, rules if is_filtered else None, via, reserved)


def apply_net(net: Net, live: State, after: State) -> None:
    """Enter the device of a wanted network into ``after``."""
    bridge = cast(Bridge, net.bridge)
    key = Key("link", HOST, net.name)
    before = live.get(key)
    after[key] = _device(net, bridge, before, seed(live))
    after[Key("up", HOST, net.name)] = "up"
    for family in (4, 6):
        _enter_addresses(net, family, live, after)
    _enter_sysctls(net, bridge, live, after)


def _device(net: Net, bridge: Bridge, before: Dict[str, Any] | None, machine: str) -> Dict[str, Any]:
    if before is None:
        mac = bridge.mac_address or stable_mac(machine, "bridge", bridge.name)
        device = {"kind": "bridge", "mac": mac, "mac_set": True, "mtu": net.mtu, "txqlen": 0}
        return {**device, "master": None, "hairpin": None, "peer": None}
    given = {"mtu": net.mtu if bridge.mtu else None, "mac": bridge.mac_address}
    return {**before, **{name: value for name, value in given.items() if value is not None}}


def _enter_addresses(net: Net, family: int, live: State, after: State) -> None:
    side = net.sides.get(family)
    gateway = side.gateway if side else None
    primary = _primary(live, net.name, family)
    is_ours = net.bridge is not None and net.bridge.create
    if primary is not None and primary != gateway and (is_ours or gateway is not None):
        after.pop(Key("address", HOST, f"{net.name} {primary}"), None)
    if gateway is not None:
        key = Key("address", HOST, f"{net.name} {gateway}")
        after[key] = live.get(key) or address_value(gateway)


def address_value(interface: Interface) -> Dict[str, Any]:
    """An address as Docker sets it: with its broadcast address, IPv6 without duplicate detection."""
    net = interface.network
    has_broadcast = interface.version == 4 and net.prefixlen < 31
    broadcast = str(net.broadcast_address) if has_broadcast else None
    return {"broadcast": broadcast, "nodad": interface.version == 6, "scope": "global"}


def has_ipv6_settings(live: State, mtu: int | None) -> bool:
    """Whether a device has IPv6 settings: the kernel knows IPv6, which it switches off where the MTU is too small."""
    return Key("sysctl", HOST, "net/ipv6/conf/default/accept_ra") in live and (mtu or IPV6_LEAST_MTU) >= IPV6_LEAST_MTU


def _enter_sysctls(net: Net, bridge: Bridge, live: State, after: State) -> None:
    def put(name: str, value: str) -> None:
        after[Key("sysctl", HOST, name)] = value

    has_ipv6 = has_ipv6_settings(live, net.mtu)
    if has_ipv6:
        put(f"net/ipv6/conf/{net.name}/accept_ra", "0")
    if has_ipv6 and 6 in net.sides:
        put(f"net/ipv6/conf/{net.name}/disable_ipv6", "1" if bridge.gateway_mode_ipv6 == "isolated" else "0")
    route_localnet = f"net/ipv4/conf/{net.name}/route_localnet"
    if net.hairpin or live.get(Key("sysctl", HOST, route_localnet)) == "1":
        put(route_localnet, "1" if net.hairpin else "0")
    # Neighbours' traffic passes the rules only with this; dockerd sets it where its rules need that.
    is_forwarding = after.get(Key("sysctl", HOST, FORWARD)) == "1"
    for family, name in NETFILTER.items():
        side = net.sides.get(family)
        if side and side.policy and is_forwarding and (net.hairpin or not bridge.icc):
            put(name, "1")


def drop_net(name: str, after: State) -> None:
    """Take a bridge's device and all that hangs on it out of ``after``."""
    for key in [key for key in after if _is_of(key, name)]:
        if key.kind != "address" or after[key]["scope"] != "link":  # those come and go with the device
            del after[key]


def _is_of(key: Key, name: str) -> bool:
    if key.kind in ("link", "up"):
        return key.scope == HOST and key.name == name
    if key.kind == "address":
        return key.scope == HOST and key.name.partition(" ")[0] == name
    return key.kind == "sysctl" and key.scope == HOST and key.name in sysctls(name)


def gateway_of(side: Side) -> Address | None:
    """The address that endpoints route through; an isolated network has none."""
    return side.gateway.ip if side.gateway else side.via
