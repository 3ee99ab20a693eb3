# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which subnet and which address Docker would take. Must not know: rules, the kernel, Ansible."""

from __future__ import annotations

import ipaddress
import re
from typing import Container, Iterable, Iterator, List, Sequence, Set, Tuple, cast

from .._model import DEFAULT_POOLS
from .._state import HOST, State, select
from .._values import Address, Network

_MOST_REASONS = 40
Pool = Tuple[Network, int]
Taken = Tuple[Network, str]  # a subnet and the device that it is on


def default_pools() -> List[Pool]:
    """dockerd's IPv4 pools in its order."""
    return [(ipaddress.ip_network(base), size) for base, size in DEFAULT_POOLS]


def sorted_pools(pools: Iterable[Pool], family: int) -> List[Pool]:
    """Given pools of one family; Docker Engine 29 sorts them by address."""
    return sorted(pool for pool in pools if pool[0].version == family)


def free_subnet(pools: Sequence[Pool], taken: Sequence[Taken], nameservers: Sequence[Address]) -> Network | None:
    """The first subnet of the pools that overlaps nothing taken and holds no nameserver of the host."""
    for base, size in pools:
        near = [net for net, _device in taken if net.version == base.version and net.overlaps(base)]
        near += [cast(Network, ipaddress.ip_network(server)) for server in nameservers if server in base]
        found = _first_free(base, size, near)
        if found is not None:
            return found
    return None


def _first_free(base: Network, size: int, near: Sequence[Network]) -> Network | None:
    """What is in the way is stepped over as a whole: an IPv6 pool has more subnets than anybody can try."""
    step = 1 << (base.max_prefixlen - size)
    start, end = int(base.network_address), int(base.broadcast_address)
    while size >= base.prefixlen and start <= end:
        candidate = _subnet(base, start, size)
        ends = [int(net.broadcast_address) for net in near if net.overlaps(candidate)]
        if not ends:
            return candidate
        start = max(start + step, (max(ends) + step) // step * step)
    return None


def _subnet(like: Network, start: int, size: int) -> Network:
    kind = ipaddress.IPv4Network if like.version == 4 else ipaddress.IPv6Network
    return cast(Network, kind((start, size)))


def _subnets(base: Network, size: int) -> Iterator[Network]:
    return base.subnets(new_prefix=size) if size >= base.prefixlen else iter(())


def taken_subnets(live: State, but: str) -> List[Taken]:
    """Subnets in use on the host: on-link routes and addresses of every device except ``but``.

    A route via a gateway does not count, as with Docker.
    """
    found: List[Taken] = []
    for key, _value in select(live, "address", HOST):
        device, _space, cidr = key.name.partition(" ")
        found.append((ipaddress.ip_interface(cidr).network, device))
    for _key, value in select(live, "route", HOST):
        if value["via"] is None and value["dst"] not in ("0.0.0.0/0", "::/0"):
            found.append((ipaddress.ip_network(value["dst"]), value["dev"] or ""))
    return [(net, device) for net, device in found if device != but and not net.is_link_local and not net.is_loopback]


def routed_subnets(live: State, but: str) -> List[Taken]:
    """Subnets that the host reaches via a gateway, which Docker does not look at."""
    return [
        (ipaddress.ip_network(value["dst"]), value["dev"] or "")
        for _key, value in select(live, "route", HOST)
        if value["via"] is not None and value["dst"] not in ("0.0.0.0/0", "::/0") and value["dev"] != but
    ]


def passed_over(
    pools: Sequence[Pool], chosen: Network, taken: Sequence[Taken], servers: Sequence[Address]
) -> List[str]:
    """Why each subnet before the chosen one was not taken: ``172.17.0.0/16 overlaps 172.17.5.0/24 of eth0``."""
    reasons: List[str] = []
    for base, size in pools:
        for candidate in _subnets(base, size):
            if candidate == chosen or len(reasons) >= _MOST_REASONS:
                return reasons
            overlap = overlapping(candidate, taken)
            server = next((ip for ip in servers if ip in candidate), None)
            why = f"overlaps {overlap[0]} of {overlap[1]}" if overlap else f"holds the nameserver {server}"
            reasons.append(f"{candidate} {why}")
    return reasons


def overlapping(subnet: Network, taken: Sequence[Taken]) -> Taken | None:
    """What a subnet overlaps first, if anything."""
    for net, device in taken:
        if net.version == subnet.version and net.overlaps(subnet):
            return net, device
    return None


def nameservers(resolv_conf: str) -> List[Address]:
    """The nameservers of a resolv.conf; what is no address is left out, as resolvers do."""
    found = []
    for text in re.findall(r"^\s*nameserver\s+(\S+)", resolv_conf, re.M):
        try:
            found.append(ipaddress.ip_address(text.partition("%")[0]))
        except ValueError:
            continue
    return found


def free_address(
    subnet: Network, span: Network | None, taken: Container[Address], start: Address | None = None
) -> Address | None:
    """The lowest free address of the subnet, or of ``span`` (``fixed_cidr``) inside it; None if all are taken.

    :param start: none below this one is free

    The network's own and the broadcast address are never taken, except in a /31, /32, /127 or /128.
    """
    pool = span or subnet
    reserved = _reserved(subnet)
    for number in range(int(start or pool.network_address), int(pool.broadcast_address) + 1):
        candidate = _like(subnet, number)
        if candidate not in taken and candidate not in reserved:
            return candidate
    return None


def first_address(subnet: Network) -> Address:
    """The address that Docker gives a bridge in a subnet."""
    return cast(Address, free_address(subnet, None, set()))


def _reserved(subnet: Network) -> Set[Address]:
    if subnet.prefixlen >= subnet.max_prefixlen - 1:
        return set()
    return {subnet.network_address, subnet.broadcast_address} if subnet.version == 4 else {subnet.network_address}


def _like(subnet: Network, number: int) -> Address:
    return ipaddress.IPv4Address(number) if subnet.version == 4 else ipaddress.IPv6Address(number)
