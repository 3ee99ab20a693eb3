# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host from nothing to everything and back, by plans that have every kind of change; and how a host is compared.

Must not know: how a plan is carried out, what goes wrong meanwhile.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Dict

import lab
import neighbours

Options = Dict[str, Any]

_SIX = {"ipv6": True, "bip6": "fd00:17::1/64"}
_DB = {"name": "db", "bridge": "br-n1", "ipv4_address": "10.10.0.5", "mac_address": "02:42:0a:0a:00:05"}

# Forwarding, a network of both families and one without, two endpoints, ports, files, the administrator's rules.
MADE: Options = {
    "ip_forward": {"ipv6": True, "keep_forwarding": ["virbr0"]},
    "user_rules": [{"name": "office", "source": "198.51.100.0/24", "action": "drop"}],
    "bridges": [
        {"name": "docker0", "mac_address": "02:42:00:00:00:01", **_SIX},
        {"name": "br-n1", "bip": "10.10.0.1/24", "mac_address": "02:42:00:00:00:02", "icc": False},
    ],
    "endpoints": [
        {
            "name": "web",
            "mac_address": "02:42:ac:11:00:02",
            "hostname": "www",
            "published_ports": ["8080:80", "127.0.0.1:8081:81/udp"],
        },
        {**_DB, "published_ports": ["192.0.2.1:5432:5432"]},
    ],
}

# Everything that can be changed is, one endpoint goes, one comes.
CHANGED: Options = {
    "purge": True,
    "ip_forward": {"ipv6": True, "forward_policy": "drop", "keep_forwarding": []},
    "user_rules": [{"name": "vpn", "source": "198.51.100.7", "action": "accept"}],
    "bridges": [
        {
            "name": "docker0",
            "mac_address": "02:42:00:00:00:0a",
            "mtu": 1400,
            "icc": False,
            "userland_proxy": True,
            **_SIX,
        },
        {
            "name": "br-n1",
            "bip": "10.10.0.254/24",
            "mac_address": "02:42:00:00:00:02",
            "gateway_mode_ipv4": "routed",
            "clamp_mss": True,
        },
    ],
    "endpoints": [
        {
            "name": "web",
            "mac_address": "02:42:ac:11:00:09",
            "ipv4_address": "172.17.0.9",
            "hostname": "web2",
            "mtu": 1400,
            "published_ports": ["8080:80", "8443:443"],
        },
        {"name": "app", "mac_address": "02:42:ac:11:00:07", "published_ports": ["40000:90"], "reserve_ports": True},
    ],
}

GONE: Options = {
    "purge": True,
    "ip_forward": {"ipv6": True, "state": "absent"},
    "user_rules": [],
    "bridges": [],
    "endpoints": [],
}

# The kernel's own numbers and addresses, which another run cannot give again.
_NUMBERS = ("ifindex", "link_index", "link_netnsid", "iflink", "link")


def whole(host: lab.Host) -> Dict[str, str]:
    """Everything of a host and of the endpoints on it, less the numbers that the kernel counts up by itself."""
    parts = neighbours.everything(host)
    for name in sorted(path.name for path in Path("/run/netns").iterdir()):
        if name not in (host.name, host.lan, "vm"):
            parts.update({f"{name} {piece}": text for piece, text in part(name).items()})
    return {name: _comparable(text) for name, text in parts.items()}


def differs(before: Dict[str, str], now: Callable[[], Dict[str, str]], seconds: float = 5) -> str:
    """What differs from a state before, once the kernel is done with what a run left to it: a bridge and its IPv6
    addresses come up to a second after the last port of it did.

    :param now: reads the state
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            wrong = lab.difference(before, now())
        except (OSError, subprocess.CalledProcessError) as error:  # a namespace went while it was looked at, or before
            wrong = str(error)
        if not wrong or time.monotonic() > deadline:
            return wrong
        time.sleep(0.3)


def part(ns: Any) -> Dict[str, str]:
    """The network configuration of one namespace, less what ``whole`` leaves out."""
    return {name: _comparable(neighbours.settled(text)) for name, text in lab.snapshot(ns).items()}


def _comparable(text: str) -> str:
    if text.startswith("table "):  # nft lists tables, and a table's chains, in the order in which they were made
        tables = re.split(r"^(?=table )", text, flags=re.MULTILINE)
        return "".join(sorted(_sorted_chains(table) for table in tables))
    return _unnumbered(text) if text.startswith("[") else text


def _sorted_chains(table: str) -> str:
    chains = re.findall(r"^\tchain .*?^\t\}\n", table, flags=re.MULTILINE | re.DOTALL)
    return table.partition("\n")[0] + "\n" + "".join(sorted(chains))


def _unnumbered(text: str) -> str:
    items = sorted(_without(json.loads(text)), key=lambda item: json.dumps(item, sort_keys=True))
    return json.dumps(items, indent=1, sort_keys=True)


def _without(item: Any) -> Any:
    if isinstance(item, dict):
        return {name: _without(value) for name, value in item.items() if name not in _NUMBERS}
    return [_without(part) for part in item if not _is_automatic(part)] if isinstance(item, list) else item


def _is_automatic(item: Any) -> bool:
    """What IPv6 does by itself: a link-local address or route, which comes up to a second after the link, and the
    anycast route of a subnet whose address forwards. A race in the kernel (an address that is added as forwarding
    is switched on) counts that route twice, and one that was counted twice does not come back with its address."""
    if not isinstance(item, dict):
        return False
    return item.get("type") == "anycast" or str(item.get("local", item.get("dst", ""))).startswith(("fe80:", "ff00:"))
