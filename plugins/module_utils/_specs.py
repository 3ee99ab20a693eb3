# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The argument specs, in pieces that merge: the options' one place. Must not know: what is done with them.

Documentation and the role's specs are written from these by ``tools/documentation.py``.
"""

from __future__ import annotations

from typing import Any, Dict

from ._model import AVOID_ROUTES, GATEWAY_MODES, SYSCTL_FILE
from ._values import PROTOCOLS

Spec = Dict[str, Dict[str, Any]]

_STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}

BACKEND: Spec = {"firewall_backend": {"type": "str", "choices": ["auto", "iptables", "nftables"], "default": "auto"}}
PURGE: Spec = {"purge": {"type": "bool", "default": False}, "ignore": {"type": "list", "elements": "str"}}
INFO: Spec = {
    **{name: {"type": "bool", "default": True} for name in ("warnings", "exposure", "counters", "metrics")},
    "rules": {"type": "bool", "default": False},
}
LOCK: Spec = {"lock_timeout": {"type": "int", "default": 60}}

BRIDGE: Spec = {
    "name": {"type": "str", "aliases": ["bridge"], "default": "docker0"},
    "bip": {"type": "str"},
    "bip6": {"type": "str"},
    "fixed_cidr": {"type": "str"},
    "fixed_cidr_v6": {"type": "str"},
    "default_address_pools": {
        "type": "list",
        "elements": "dict",
        "options": {"base": {"type": "str", "required": True}, "size": {"type": "int", "required": True}},
    },
    "mtu": {"type": "str"},
    "clamp_mss": {"type": "bool", "default": False},
    "hardened": {"type": "bool", "default": False},
    "exclude_subnets": {"type": "list", "elements": "str"},
    "avoid_routes": {"type": "str", "choices": list(AVOID_ROUTES), "default": "on_link"},
    "icc": {"type": "bool", "aliases": ["enable_icc"], "default": True},
    "ip_masq": {"type": "bool", "aliases": ["enable_ip_masquerade"], "default": True},
    "internal": {"type": "bool", "default": False},
    "ipv4": {"type": "bool", "aliases": ["enable_ipv4"], "default": True},
    "ipv6": {"type": "bool", "aliases": ["enable_ipv6"], "default": False},
    "inhibit_ipv4": {"type": "bool", "default": False},
    "reserved_addresses": {"type": "list", "elements": "str"},
    "gateway_mode_ipv4": {"type": "str", "choices": list(GATEWAY_MODES), "default": "nat"},
    "gateway_mode_ipv6": {"type": "str", "choices": list(GATEWAY_MODES), "default": "nat"},
    "host_ipv4": {"type": "str"},
    "host_ipv6": {"type": "str"},
    "trusted_host_interfaces": {"type": "list", "elements": "str"},
    "allow_direct_routing": {"type": "bool", "default": False},
    "bridge_accept_fwmark": {"type": "str"},
    "userland_proxy": {"type": "bool", "default": False},
    "iptables": {"type": "bool", "default": True},
    "ip6tables": {"type": "bool", "default": True},
    "mac_address": {"type": "str"},
    "create": {"type": "bool", "default": True},
    "state": _STATE,
}

NETWORK: Spec = {
    "bridge": {"type": "str", "default": "docker0"},
    "interface": {"type": "str"},
    "host_interface": {"type": "str"},
    "ipv4_address": {"type": "str"},
    "ipv6_address": {"type": "str"},
    "mac_address": {"type": "str"},
    "gw_priority": {"type": "int", "default": 0},
}

ENDPOINT: Spec = {
    "name": {"type": "str"},
    "bridge": {"type": "str", "default": "docker0"},
    "network_mode": {"type": "str", "default": "bridge"},
    "netns": {"type": "str"},
    "interface": {"type": "str", "default": "eth0"},
    "host_interface": {"type": "str"},
    "ipv4_address": {"type": "str"},
    "ipv6_address": {"type": "str"},
    "mac_address": {"type": "str"},
    "networks": {"type": "list", "elements": "dict", "options": NETWORK},
    "mtu": {"type": "int"},
    "default_gateway": {"type": "str"},
    "hostname": {"type": "str"},
    "domainname": {"type": "str"},
    "dns_servers": {"type": "list", "elements": "str"},
    "dns_search_domains": {"type": "list", "elements": "str"},
    "dns_opts": {"type": "list", "elements": "str"},
    "etc_hosts": {"type": "dict"},
    "links": {"type": "list", "elements": "str"},
    "exposed_ports": {"type": "list", "elements": "str"},
    "state": _STATE,
}

PUBLISH: Spec = {
    "published_ports": {"type": "list", "elements": "raw", "aliases": ["ports_published"]},
    "publish_all_ports": {"type": "bool", "default": False},
    "default_host_ip": {"type": "str"},
    "allowed_sources": {"type": "list", "elements": "str"},
    "reserve_ports": {"type": "bool", "default": False},
    "compact_ranges": {"type": "bool", "default": False},
}

PORT: Spec = {
    "endpoint": {"type": "str"},
    "container_ip": {"type": "str"},
    "bridge": {"type": "str"},
    **PUBLISH,
    "exposed_ports": {"type": "list", "elements": "str"},
    "state": _STATE,
}

FORWARD: Spec = {
    "ipv4": {"type": "bool", "default": True},
    "ipv6": {"type": "bool"},
    "forward_policy": {"type": "str", "choices": ["auto", "drop", "accept", "keep"], "default": "auto"},
    "persist": {"type": "bool", "default": True},
    "sysctl_file": {"type": "path", "default": SYSCTL_FILE},
    "keep_forwarding": {"type": "list", "elements": "str"},
    "state": _STATE,
}

USER_RULE: Spec = {
    "name": {"type": "str", "required": True},
    "action": {"type": "str", "choices": ["accept", "drop", "reject", "return"], "required": True},
    "source": {"type": "str"},
    "destination": {"type": "str"},
    "in_interface": {"type": "str"},
    "out_interface": {"type": "str"},
    "protocol": {"type": "str", "choices": list(PROTOCOLS)},
    "destination_port": {"type": "str"},
    "host_port": {"type": "int"},
    "ctstate": {"type": "list", "elements": "str", "choices": ["NEW", "ESTABLISHED", "RELATED", "INVALID"]},
}

HOST: Spec = {
    "user_rules": {"type": "list", "elements": "dict", "options": USER_RULE},
    "ip_forward": {"type": "dict", "options": FORWARD},
    "bridges": {"type": "list", "elements": "dict", "options": BRIDGE},
    "endpoints": {
        "type": "list",
        "elements": "dict",
        "options": {**ENDPOINT, **PUBLISH, "name": {"type": "str", "required": True}},
    },
    "ports": {"type": "list", "elements": "dict", "options": PORT},
    "confirm_timeout": {"type": "int", "default": 0},
    **PURGE,
}


def one_or_many(item: Spec, plural: str, required: str | None = None) -> Spec:
    """A module's spec: the options of one item at top level, or the list ``plural`` of the same suboptions."""
    suboptions = {name: {**spec, "required": True} if name == required else spec for name, spec in item.items()}
    return {**item, plural: {"type": "list", "elements": "dict", "options": suboptions}, **PURGE}
