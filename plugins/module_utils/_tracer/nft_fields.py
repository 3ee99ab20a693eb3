# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the words of nftables expressions stand for in a packet. Must not know: rules, sets."""

from __future__ import annotations

from typing import Dict, Tuple

from .elements import Field
from .site import Site
from .walk import Flow


def _addresses(side: str) -> Dict[Tuple[str, ...], Field]:
    if side == "saddr":
        return {(ip, "saddr"): Field("source", family=family) for ip, family in (("ip", 4), ("ip6", 6))}
    return {
        (ip, "daddr"): Field("value", lambda flow, _site: flow.target, family) for ip, family in (("ip", 4), ("ip6", 6))
    }


def _client(flow: Flow, _site: Site) -> str | None:
    return str(flow.client) if flow.client else None


def _port_fields() -> Dict[Tuple[str, ...], Field]:
    found: Dict[Tuple[str, ...], Field] = {("th", "dport"): Field("port"), ("th", "sport"): Field("value", _client)}
    for name in ("tcp", "udp", "sctp"):
        found[name, "dport"] = Field("port", protocol=name)
        found[name, "sport"] = Field("value", _client, protocol=name)
    return found


def _elsewhere(*names: str) -> Dict[Tuple[str, ...], Field]:
    """Parts that packets of other protocols have."""
    return {(name, part): Field("value", protocol=name) for name in names for part in ("type", "code")}


# What a word pair or triple stands for in a packet.
FIELDS: Dict[Tuple[str, ...], Field] = {
    ("iifname",): Field("interface"),
    ("meta", "iif"): Field("interface"),
    ("oifname",): Field("value", lambda flow, _site: flow.out),
    ("meta", "oif"): Field("value", lambda flow, _site: flow.out),
    **_addresses("saddr"),
    **_addresses("daddr"),
    **_port_fields(),
    **_elsewhere("icmp", "icmpv6"),
    ("ip", "protocol"): Field("value", lambda flow, _site: flow.protocol, 4),
    ("ip6", "nexthdr"): Field("value", lambda flow, _site: flow.protocol, 6),
    ("meta", "l4proto"): Field("value", lambda flow, _site: flow.protocol),
    ("meta", "nfproto"): Field("value", lambda flow, _site: f"ipv{flow.family}"),
    ("meta", "protocol"): Field("value", lambda flow, _site: {4: "ip", 6: "ip6"}[flow.family]),
    ("meta", "pkttype"): Field("value", lambda _flow, _site: "host"),
    ("meta", "mark"): Field("value", lambda flow, _site: None if flow.mark is None else str(flow.mark)),
    ("ct", "state"): Field("value", lambda flow, _site: flow.state.lower()),
    ("ct", "status"): Field("value", lambda flow, _site: "dnat" if flow.is_translated else "none"),
    ("ct", "direction"): Field("value", lambda _flow, _site: "original"),
    ("ct", "protocol"): Field("value", lambda flow, _site: flow.protocol),
    ("ct", "original", "protocol"): Field("value", lambda flow, _site: flow.protocol),
    ("ct", "original", "proto-dst"): Field("asked"),
    ("ct", "original", "ip", "daddr"): Field("value", lambda flow, _site: flow.asked, 4),
    ("ct", "original", "ip6", "daddr"): Field("value", lambda flow, _site: flow.asked, 6),
    ("fib", "daddr", "type"): Field("value", lambda flow, site: "local" if site.is_local(flow.target) else "unicast"),
}
LONGEST = max(map(len, FIELDS))
