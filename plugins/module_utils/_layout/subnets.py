# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which subnet a bridge gets from its pools, and why not another. Must not know: rules, devices, the kernel."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Iterator, List, Tuple, Union

from .._errors import OptionError
from .._model import Bridge, Want, ula_pool
from .._state import HOST, Key, State, select
from .._values import Interface, Network
from . import addresses
from .addresses import Taken
from .files import HOST_RESOLV_CONF

MACHINE_ID = "/etc/machine-id"


def seed(live: State) -> str:
    """What tells this host from others: the machine id, which names that shall be stable are made from."""
    return str(live.get(Key("file", HOST, MACHINE_ID), "")).strip()


@dataclass
class Choice:
    """What a choice of a subnet looks at, and what came of it: ``reason`` tells what was passed over and why."""

    live: State
    taken: List[Taken]
    others: List[Taken]
    reason: Union[str, None] = None


def from_pool(want: Want, bridge: Bridge, choice: Choice, family: int) -> Network:
    """The first free subnet of the bridge's pools.

    :raises OptionError: there is none
    """
    live = choice.live
    given = addresses.sorted_pools(bridge.default_address_pools, family)
    own = addresses.default_pools() if family == 4 else [ula_pool(seed(live))]
    taken = _avoided(bridge, choice)
    servers = addresses.nameservers(str(live.get(Key("file", HOST, HOST_RESOLV_CONF), "")))
    subnet = addresses.free_subnet(given or own, taken, servers)
    if subnet is None and given:
        # Who gives pools knows his routes: a VPN's may be as wide as all of them.
        subnet = addresses.free_subnet(given, _avoided(bridge._replace(avoid_routes="none"), choice), servers)
    if subnet is None:
        option = "bip" if family == 4 else "bip6"
        hint = f"all predefined address pools have been fully subnetted; give {option} or default_address_pools"
        raise OptionError(f"{want.path}default_address_pools", bridge.name, hint)
    passed = addresses.passed_over(given or own, subnet, taken, servers)
    overlap = addresses.overlapping(subnet, taken)
    free = f"{subnet} is the first free subnet"
    if overlap:
        free = f"{subnet} is of the pools that were given, although it overlaps {overlap[0]} of {overlap[1]}"
    choice.reason = "; ".join(filter(None, [choice.reason, free, *passed]))
    return subnet


def _avoided(bridge: Bridge, choice: Choice) -> List[Taken]:
    """What a pool subnet must not overlap, by ``avoid_routes`` and ``exclude_subnets``."""
    excluded = [(net, "exclude_subnets") for net in bridge.exclude_subnets]
    routed = addresses.routed_subnets(choice.live, bridge.name) if bridge.avoid_routes == "all" else []
    return [*in_use(bridge, choice), *routed, *excluded]


def in_use(bridge: Bridge, choice: Choice) -> List[Taken]:
    """What no subnet of the bridge may overlap, given or chosen: with ``avoid_routes: none`` only addresses."""
    if bridge.avoid_routes != "none":
        return choice.taken
    own = {interface.network for _device, interface in _all_addresses(choice.live, bridge.name)}
    return [*choice.others, *((net, "an address of this host") for net in own)]


def _all_addresses(live: State, but: str) -> Iterator[Tuple[str, Interface]]:
    """Device and address of everything on the host: two subnets of one host can never be the same."""
    for key, value in select(live, "address", HOST):
        device, _space, cidr = key.name.partition(" ")
        if device != but and value["scope"] == "global":
            yield device, ipaddress.ip_interface(cidr)
