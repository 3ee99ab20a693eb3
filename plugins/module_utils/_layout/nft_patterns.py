# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the rules of Docker's nftables layout are told apart by their texts. Must not know: what they are for.

Ours, and those that dockerd itself makes for a published port.
"""

from __future__ import annotations

import re
from typing import Dict, List, Pattern, Tuple

from .._state import Key
from .nft_names import CLAMP_CHAIN, OPEN, OWN, RESTRICTED, SOURCES
from .reading import Seen

_IP = r"ip6? daddr (?P<ip>[0-9a-f.:]+)"
_NET = r"(?P<subnet>[0-9a-f.:]+(?:/\d+)?)"
_PROTO = r"(?P<protocol>tcp|udp|sctp)"
_PORT = rf"{_PROTO} dport (?P<port>\d+)"
_TARGET = r"(?:masquerade|snat to (?P<snat>[0-9a-f.:]+))"
_LOOKUP = r"meta l4proto \. th dport"
_DNAT = r'(?:ip6 saddr != fe80::/10 )?dnat to (?:ip6? daddr \. )?meta l4proto \. th dport map @\S+ comment "DNAT"'

# chain (a network's without its bridge), kind of rule, its text
_PATTERNS: Tuple[Tuple[str, str, str], ...] = (
    ("filter-forward-in", "related", r"ct state established,related counter accept"),
    ("filter-forward-in", "icmp", r'(?:ip protocol icmp|meta l4proto ipv6-icmp) counter accept comment "ICMP"'),
    (
        "filter-forward-in",
        "mark",
        r"meta mark (?:& (?P<mask>0x[0-9a-f]+) == )?(?P<mark>0x[0-9a-f]+) counter accept comment \"ALLOW FW MARK\"",
    ),
    (
        "filter-forward-in",
        "link",
        rf"ip6? saddr (?P<client>[0-9a-f.:]+) {_IP} {_PORT} counter accept",
    ),
    (
        "filter-forward-in",
        "answer",
        rf"ip6? saddr (?P<ip>[0-9a-f.:]+) {_PROTO} sport (?P<port>\d+) ip6? daddr (?P<client>[0-9a-f.:]+) counter accept",  # noqa: E501
    ),
    ("filter-forward-in", "ingress", r'iifname != "\S+" counter drop comment "INTERNAL NETWORK INGRESS"'),
    (
        "filter-forward-in",
        "isolated",
        rf'ip6? saddr != {_NET} counter drop comment "INTERNAL NETWORK INGRESS"',
    ),
    ("filter-forward-in", "icc", r'(?:iifname "\S+" )?counter (?P<verdict>accept|drop) comment "ICC"'),
    ("filter-forward-in", "lookup", rf'.*{_LOOKUP} @{OPEN} counter accept comment "PUBLISHED PORT"'),
    ("filter-forward-in", "lookup", rf'.*{_LOOKUP} @{SOURCES} counter accept comment "ALLOWED SOURCE"'),
    ("filter-forward-in", "lookup", rf'.*{_LOOKUP} @{RESTRICTED} counter drop comment "OTHER SOURCE DROP"'),
    ("filter-forward-in", "accept", rf"{_IP} {_PORT} counter accept"),
    (
        "filter-forward-in",
        "verdict",
        r'counter (?:drop comment "UNPUBLISHED PORT DROP"|(?P<verdict>accept) comment "UNPROTECTED")',
    ),
    ("filter-forward-out", "related", r"ct state established,related counter accept"),
    ("filter-forward-out", "outgoing", r'counter accept comment "OUTGOING"'),
    ("filter-forward-out", "egress", r'oifname != "\S+" counter drop comment "INTERNAL NETWORK EGRESS"'),
    (
        "nat-postrouting-out",
        "masq",
        rf'oifname != "\S+" ip6? saddr {_NET} counter {_TARGET} comment "(?:MASQUERADE|SNAT)"',
    ),
    (
        "nat-postrouting-in",
        "local",
        rf'fib saddr type local counter {_TARGET} comment "(?:MASQUERADE|SNAT) FROM HOST"',
    ),
    ("nat-postrouting-in", "lookup", rf'.*{_LOOKUP} @{OWN} counter masquerade comment "MASQ TO OWN PORT"'),
    (
        "nat-postrouting-in",
        "self",
        rf'ip6? saddr \S+ {_IP} {_PORT} counter masquerade comment "MASQ TO OWN PORT"',
    ),
    ("nat-prerouting-and-output", "translation", rf'iifname != "(?P<bridge>\S+)" {_DNAT}'),
    (
        "nat-prerouting-and-output",
        "dnat",
        r'(?:iifname != "\S+" )?(?:ip6 saddr != fe80::/10 )?(?:ip6? daddr (?P<host_ip>[0-9a-f.:]+) )?'
        rf"{_PROTO} dport (?P<host_port>\d+) counter dnat to "
        r'\[?(?P<ip>[0-9a-f.:]+?)\]?:(?P<port>\d+) comment "DNAT"',
    ),
    (
        "raw-PREROUTING",
        "guard",
        rf'{_IP} iifname != (?:"(?P<bridge>[^"]+)"|\{{ (?P<names>"[^"]+"(?:, "[^"]+")*) \}}) counter drop comment "DROP DIRECT ACCESS"',  # noqa: E501
    ),
    (
        "raw-PREROUTING",
        "loopback",
        rf'iifname != "lo" ip daddr (?P<host_ip>127[0-9.]+) {_PROTO} dport (?P<host_port>\d+) counter drop '
        r'comment "DROP REMOTE LOOPBACK"',
    ),
    (
        "raw-PREROUTING",
        "localhost",
        r'iifname "(?P<bridge>\S+)" ip daddr 127\.0\.0\.0/8 counter drop comment "DROP LOOPBACK"',
    ),
    (
        "filter-FORWARD",
        "closed",
        r'iifname "(?P<bridge>\S+)" oifname != "(?P=bridge)" counter drop comment "INTERNAL NETWORK EGRESS"',
    ),
    (
        CLAMP_CHAIN,
        "clamp",
        r'[io]ifname "(?P<bridge>\S+)" tcp flags syn / syn,rst counter tcp option maxseg size set rt mtu',
    ),
)


def _compiled() -> Dict[str, List[Tuple[str, Pattern[str]]]]:
    table: Dict[str, List[Tuple[str, Pattern[str]]]] = {}
    for name, kind, text in _PATTERNS:
        table.setdefault(name, []).append((kind, re.compile(text)))
    return table


_TABLE = _compiled()


def seen(key: Key, name: str, rule: str) -> Seen | None:
    """The rule with its kind and what it says; None for a foreign one.

    :param name: the chain, a network's without its bridge
    """
    for kind, pattern in _TABLE.get(name, ()):
        match = pattern.fullmatch(rule)
        if match:
            return Seen(key, rule, kind, match.groupdict())
    return None
