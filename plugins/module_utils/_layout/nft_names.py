# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of Docker's nftables layout: table, chains, maps and sets, and what each holds.

Must not know: rule texts, the kernel, what is live. The chains, hooks and jump maps are Docker's; the maps
and sets of published ports and of endpoints are ours.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple

from .._state import Key
from .policy import Policy

TABLE = "docker-bridges"
FAMILIES = {4: "ip", 6: "ip6"}
FORWARD_HOOK = "type filter hook forward priority 0"
BASE_CHAINS = {
    "filter-FORWARD": FORWARD_HOOK,
    "nat-OUTPUT": "type nat hook output priority -100",
    "nat-POSTROUTING": "type nat hook postrouting priority 100",
    "nat-PREROUTING": "type nat hook prerouting priority -100",
    "nat-prerouting-and-output": "",
    "raw-PREROUTING": "type filter hook prerouting priority -300",
}
CLAMP_CHAIN, CLAMP_HOOK = "mangle-FORWARD", "type filter hook forward priority -150"
USER_CHAIN = "filter-user-rules"
NETWORK_CHAINS = ("filter-forward-in", "filter-forward-out", "nat-postrouting-in", "nat-postrouting-out")
_PORT = "inet_proto . inet_service"
_ADDRESS = {4: "ipv4_addr", 6: "ipv6_addr"}
PORTS, ADDRESS_PORTS = "nat-ports", "nat-address-ports"
OPEN, SOURCES, RESTRICTED = "filter-forward-in-ports", "filter-forward-in-sources", "filter-forward-in-restricted"
OWN, LOOPBACKS = "nat-postrouting-in-ports", "raw-loopback-ports"
GUARDED, ENTRANCES = "raw-endpoints", "raw-endpoint-interfaces"
PORT_RANGES, ADDRESS_PORT_RANGES = "nat-port-ranges", "nat-address-port-ranges"
OWN_RANGES, LOOPBACK_RANGES = "nat-postrouting-in-port-ranges", "raw-loopback-port-ranges"
_TRANSLATING = (PORTS, ADDRESS_PORTS, PORT_RANGES, ADDRESS_PORT_RANGES)
_INTERVALS = (SOURCES, PORT_RANGES, ADDRESS_PORT_RANGES, OWN_RANGES, LOOPBACK_RANGES)


class Element(NamedTuple):
    """An element of a map or set: ``tcp . 8080`` with ``172.17.0.2 . 80``; the value is empty in a set."""

    key: Key
    name: str
    value: str = ""


def scope(family: int) -> str:
    """``ip docker-bridges``."""
    return f"{FAMILIES[family]} {TABLE}"


def chain(family: int, name: str) -> Key:
    """The Key of a chain."""
    return Key("nft_chain", scope(family), name)


def mapping(family: int, name: str) -> Key:
    """The Key of a map."""
    return Key("nft_map", scope(family), name)


def collection(family: int, name: str) -> Key:
    """The Key of a set."""
    return Key("nft_set", scope(family), name)


def own_chains(family: int) -> Dict[Key, str]:
    """The chains that dockerd makes, whatever networks there are, with their hooks."""
    return {chain(family, name): hook for name, hook in BASE_CHAINS.items()}


def own_sets(family: int) -> Dict[Key, str]:
    """The maps and sets that are there whatever networks there are, with their types: Docker's jumps, our ports."""
    address = _ADDRESS[family]
    sets = {mapping(family, f"{name}-jumps"): "ifname : verdict" for name in NETWORK_CHAINS}
    sets.update(_translations(family, ""))
    sets[collection(family, OPEN)] = f"{address} . {_PORT}"
    sets[collection(family, SOURCES)] = f"{address} . {address} . {_PORT}"
    sets[collection(family, RESTRICTED)] = f"{address} . {_PORT}"
    sets[collection(family, OWN)] = f"{address} . {address} . {_PORT}"
    sets[collection(family, GUARDED)] = address
    sets[collection(family, ENTRANCES)] = f"{address} . ifname"
    if family == 4:
        sets[collection(family, LOOPBACKS)] = f"{address} . {_PORT}"
    return sets


def _translations(family: int, suffix: str) -> Dict[Key, str]:
    address = _ADDRESS[family]
    return {
        mapping(family, PORTS + suffix): f"{_PORT} : {address} . inet_service",
        mapping(family, ADDRESS_PORTS + suffix): f"{address} . {_PORT} : {address} . inet_service",
    }


def range_sets(family: int) -> Dict[Key, str]:
    """The maps and sets of ranges of ports, which are there only while there is a range."""
    address = _ADDRESS[family]
    sets = {
        mapping(family, PORT_RANGES): f"{_PORT} : {address}",
        mapping(family, ADDRESS_PORT_RANGES): f"{address} . {_PORT} : {address}",
        collection(family, OWN_RANGES): f"{address} . {address} . {_PORT}",
    }
    if family == 4:
        sets[collection(family, LOOPBACK_RANGES)] = f"{address} . {_PORT}"
    return sets


def network_sets(policy: Policy) -> Dict[Key, str]:
    """A network with userland proxy has maps of its own: its ports are not translated for itself."""
    has_own = policy.is_translated and not policy.hairpin
    return _translations(policy.family, f"__{policy.bridge}") if has_own else {}


def flags(key: Key) -> str:
    """The flags of a map or set."""
    return "interval" if key.name in _INTERVALS else ""


def counts(key: Key) -> bool:
    """Whether each element counts its packets: those of the maps that translate ports, of which a rule counts all."""
    return key.kind == "nft_map" and key.name.partition("__")[0] in _TRANSLATING


def network_chains(family: int, bridge: str) -> List[Key]:
    """The four chains of a network."""
    return [chain(family, f"{name}__{bridge}") for name in NETWORK_CHAINS]
