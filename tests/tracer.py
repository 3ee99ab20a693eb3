# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packet tracer on what the real tools print of a host: ``ip``, ``iptables-save``, ``nft``."""

from __future__ import annotations

import json
import shutil
from typing import Any, Dict, List

from ansible_collections.hostnet.docker.plugins.module_utils._kernel import nft_json
from ansible_collections.hostnet.docker.plugins.module_utils._rules import parse_save
from ansible_collections.hostnet.docker.plugins.module_utils._state import State
from ansible_collections.hostnet.docker.plugins.module_utils._tracer import iptables, nftables
from ansible_collections.hostnet.docker.plugins.module_utils._tracer.site import Site
from ansible_collections.hostnet.docker.plugins.module_utils._tracer.tracer import Packet, Tracer, Way

import lab

__all__ = ["Packet", "Site", "Tracer", "Way", "of_rules", "read"]

_FAMILIES = {4: "ip", 6: "ip6"}
_FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


def of_rules(rules: State, family: int, site: Site) -> Tracer:
    """The tracer of a rule set on a site."""
    return Tracer(family, site, tuple(iptables.bases(rules, family, {}) + nftables.bases(rules, family, {})))


def rules(host: lab.Host, family: int) -> State:
    """All rules that the host's tools show: iptables in the host's variant, and the native tables of Docker's name."""
    state: State = parse_save(host.save(_FAMILIES[family]), _FAMILIES[family])
    scope = f"{_FAMILIES[family]} docker-bridges"
    if shutil.which("nft") and scope in host.sh("nft list tables"):
        state.update(nft_json.parse(host.sh(f"nft -j list table {scope}"), scope).state)
    return state


def site(host: lab.Host, family: int) -> Site:
    """The host's own addresses, its routes by interfaces that are up, whether it forwards."""
    links: List[Dict[str, Any]] = json.loads(host.sh(f"ip -{family} -j address"))
    addresses = tuple(item["local"] for link in links for item in link["addr_info"])
    up = {link["ifname"] for link in json.loads(host.sh("ip -j link")) if "UP" in link["flags"]}
    everything = {4: "0.0.0.0/0", 6: "::/0"}[family]
    routes = tuple(
        (everything if route["dst"] == "default" else route["dst"], route["dev"])
        for route in json.loads(host.sh(f"ip -{family} -j route show table main"))
        if route.get("dev") in up
    )
    return Site(addresses, routes, host.sh(f"sysctl -n {_FORWARDING[family]}").strip() == "1")


def read(host: lab.Host, family: int) -> Tracer:
    """The tracer of a host as it is now."""
    return of_rules(rules(host, family), family, site(host, family))
