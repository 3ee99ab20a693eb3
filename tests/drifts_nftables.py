# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which somebody changes a declared host's nftables rules by hand, and what mends each.

Must not know: how drift is found, how it is mended.
"""

from __future__ import annotations

from typing import List

from drifts import Drift

_IN, _OUTWARD = "filter-forward-in__docker0", "nat-postrouting-out__docker0"


def _nft(kind: str, name: str, added: int, removed: int, family: str = "ip", verb: str = "update") -> str:
    what = "rules" if kind == "chain" else "elements"
    return f"{verb} nft_{kind} {family} docker-bridges {name} (+{added} -{removed} {what})"


def _element(verb: str, name: str, element: str, family: str = "ip") -> str:
    return f"nft '{verb} element {family} docker-bridges {name} {{ {element} }}'"


def _rule(verb: str, name: str, rule: str, family: str = "ip") -> str:
    return f"nft '{verb} rule {family} docker-bridges {name} {rule}'"


_UNPUBLISHED = 'counter drop comment "UNPUBLISHED PORT DROP"'
_OPEN = 'ip daddr . meta l4proto . th dport @filter-forward-in-ports counter accept comment "PUBLISHED PORT"'
_OFFICE_NFT = 'ip saddr 198.51.100.0/24 counter drop comment "hostnet-docker-office"'
_KEEP_NFT = 'iifname "virbr0" counter accept comment "hostnet-docker-keep"'

NFTABLES: List[Drift] = [
    Drift(
        "port-gone",
        _element("delete", "nat-ports", "tcp . 8080"),
        (_nft("map", "nat-ports", 1, 0),),
        "tcp . 8080 : 172.17.0.2 . 80",
    ),
    Drift(
        "port-leads-elsewhere",
        f"{_element('delete', 'nat-ports', 'tcp . 8080')}; "
        + _element("add", "nat-ports", "tcp . 8080 : 172.17.0.9 . 80"),
        (_nft("map", "nat-ports", 1, 1),),
        "172.17.0.9 . 80",
    ),
    Drift(
        "port-nobody-asked-for",
        _element("add", "nat-ports", "tcp . 9999 : 172.17.0.2 . 99"),
        (_nft("map", "nat-ports", 0, 1),),
        "tcp . 9999",
    ),
    Drift(
        "port-of-an-address-that-nobody-has",
        _element("add", "nat-ports", "tcp . 9999 : 172.17.0.44 . 99"),
        (_nft("map", "nat-ports", 0, 1),),
        "172.17.0.44",
    ),
    Drift(
        "accept-gone",
        _element("delete", "filter-forward-in-ports", "172.17.0.2 . tcp . 80"),
        (_nft("set", "filter-forward-in-ports", 1, 0),),
        "172.17.0.2 . tcp . 80",
    ),
    Drift(
        "accept-of-a-port-nobody-asked-for",
        _element("add", "filter-forward-in-ports", "172.17.0.2 . tcp . 99"),
        (_nft("set", "filter-forward-in-ports", 0, 1),),
        "172.17.0.2 . tcp . 99",
    ),
    Drift(
        "other-sources-let-in",
        _element("delete", "filter-forward-in-restricted", "172.17.0.2 . tcp . 443"),
        (_nft("set", "filter-forward-in-restricted", 1, 0),),
        "172.17.0.2 . tcp . 443",
    ),
    Drift(
        "allowed-source-other",
        "nft flush set ip docker-bridges filter-forward-in-sources; "
        + _element("add", "filter-forward-in-sources", "203.0.113.0/24 . 172.17.0.2 . tcp . 443"),
        (_nft("set", "filter-forward-in-sources", 1, 1),),
        "203.0.113.0/24",
    ),
    Drift(
        "way-to-the-bridge-gone",
        _element("delete", "filter-forward-in-jumps", '"docker0"'),
        (_nft("map", "filter-forward-in-jumps", 1, 0),),
        "docker0",
    ),
    Drift(
        "way-to-another-bridge",
        f"{_element('delete', 'filter-forward-in-jumps', 'docker0')}; "
        + _element("add", "filter-forward-in-jumps", "docker0 : jump filter-forward-in__br-n1"),
        (_nft("map", "filter-forward-in-jumps", 1, 1),),
        "jump filter-forward-in__br-n1",
    ),
    Drift(
        "own-port-not-masqueraded",
        _element("delete", "nat-postrouting-in-ports", "172.17.0.2 . 172.17.0.2 . tcp . 80"),
        (_nft("set", "nat-postrouting-in-ports", 1, 0),),
        "172.17.0.2 . 172.17.0.2 . tcp . 80",
    ),
    Drift(
        "guard-gone",
        _element("delete", "raw-endpoints", "172.17.0.2"),
        (_nft("set", "raw-endpoints", 1, 0),),
        "172.17.0.2",
    ),
    Drift(
        "guard-of-all-gone",
        "out ip raw-PREROUTING DIRECT",
        (_nft("chain", "raw-PREROUTING", 1, 0),),
        "DROP DIRECT ACCESS",
    ),
    Drift(
        "guard-lets-another-interface-pass",
        _element("add", "raw-endpoint-interfaces", '172.17.0.2 . "wan0"'),
        (_nft("set", "raw-endpoint-interfaces", 0, 1),),
        '172.17.0.2 . "wan0"',
    ),
    Drift(
        "guard-does-not-let-the-bridge-pass",
        _element("delete", "raw-endpoint-interfaces", '172.17.0.2 . "docker0"'),
        (_nft("set", "raw-endpoint-interfaces", 1, 0),),
        '172.17.0.2 . "docker0"',
    ),
    Drift(
        "guard-of-loopback-gone",
        "nft flush set ip docker-bridges raw-loopback-ports",
        (_nft("set", "raw-loopback-ports", 1, 0),),
        "127.0.0.1 . udp . 8081",
    ),
    Drift(
        "ipv6-guard-gone",
        _element("delete", "raw-endpoints", "fd00:17::2", "ip6"),
        (_nft("set", "raw-endpoints", 1, 0, "ip6"),),
        "fd00:17::2",
    ),
    Drift(
        "ipv6-port-gone",
        _element("delete", "nat-ports", "tcp . 8080", "ip6"),
        (_nft("map", "nat-ports", 1, 0, "ip6"),),
        "fd00:17::2 . 80",
    ),
    Drift("ipv6-chain-flushed", f"nft flush chain ip6 docker-bridges {_IN}", (_nft("chain", _IN, 6, 0, "ip6"),)),
    Drift("drop-gone", f"out ip {_IN} UNPUBLISHED", (_nft("chain", _IN, 1, 0),), _UNPUBLISHED),
    Drift(
        "drop-before-the-accepts",
        f"out ip {_IN} UNPUBLISHED; {_rule('insert', _IN, _UNPUBLISHED)}",
        (_nft("chain", _IN, 1, 1),),
        _UNPUBLISHED,
    ),
    Drift("accept-doubled", _rule("add", _IN, _OPEN), (_nft("chain", _IN, 0, 1),), _OPEN),
    Drift("replies-not-let-in", f"out ip {_IN} established", (_nft("chain", _IN, 1, 0),), "established"),
    Drift(
        "replies-let-in-last",
        f"out ip {_IN} established; {_rule('add', _IN, 'ct state established,related counter accept')}",
        (_nft("chain", _IN, 1, 1),),
        "established",
    ),
    Drift(
        "neighbours-let-in",
        "out ip filter-forward-in__br-n1 ICC; "
        + _rule("insert", "filter-forward-in__br-n1", 'iifname "br-n1" counter accept comment "ICC"'),
        (_nft("chain", "filter-forward-in__br-n1", 1, 1),),
        'iifname "br-n1" counter accept',
    ),
    Drift(
        "policy-accept",
        "nft 'add chain ip docker-bridges filter-FORWARD { policy accept; }'",
        ("create nft_policy ip docker-bridges filter-FORWARD: unset -> DROP",),
    ),
    Drift(
        "ipv6-policy-accept",
        "nft 'add chain ip6 docker-bridges filter-FORWARD { policy accept; }'",
        ("create nft_policy ip6 docker-bridges filter-FORWARD: unset -> DROP",),
    ),
    Drift("masquerading-gone", f"out ip {_OUTWARD} MASQUERADE", (_nft("chain", _OUTWARD, 1, 0),), "172.17.0.0/16"),
    Drift(
        "user-rule-gone",
        "out ip filter-user-rules office",
        (_nft("chain", "filter-user-rules", 1, 0),),
        "hostnet-docker-office",
    ),
    Drift(
        "user-rule-moved",
        f"out ip filter-user-rules office; {_rule('add', 'filter-user-rules', _OFFICE_NFT)}",
        (_nft("chain", "filter-user-rules", 1, 1),),
        "hostnet-docker-office",
    ),
    Drift(
        "jump-moved",
        f"out ip filter-FORWARD filter-user-rules; {_rule('add', 'filter-FORWARD', 'jump filter-user-rules')}",
        (_nft("chain", "filter-FORWARD", 1, 1),),
        "jump filter-user-rules",
    ),
    Drift("jump-gone", "out ip filter-FORWARD in-jumps", (_nft("chain", "filter-FORWARD", 1, 0),), "oifname vmap"),
    Drift(
        "kept-bridge-gone",
        "out ip filter-FORWARD hostnet-docker-keep",
        (_nft("chain", "filter-FORWARD", 1, 0),),
        "virbr0",
    ),
    Drift(
        "kept-bridge-before-all",
        f"out ip filter-FORWARD hostnet-docker-keep; {_rule('insert', 'filter-FORWARD', _KEEP_NFT)}",
        (_nft("chain", "filter-FORWARD", 1, 1),),
        "virbr0",
    ),
    Drift(
        "segment-size-not-clamped",
        "nft delete chain ip docker-bridges mangle-FORWARD",
        (_nft("chain", "mangle-FORWARD", 2, 0, verb="create"),),
        "maxseg",
    ),
    Drift("nat-jump-gone", "out ip nat-OUTPUT nat-prerouting", (_nft("chain", "nat-OUTPUT", 1, 0),)),
    Drift(
        "lookups-out-of-order",
        "out ip nat-prerouting-and-output daddr; "
        + _rule(
            "add",
            "nat-prerouting-and-output",
            'dnat ip to ip daddr . meta l4proto . th dport map @nat-address-ports comment "DNAT"',
        ),
        (_nft("chain", "nat-prerouting-and-output", 1, 1),),
        "@nat-address-ports",
    ),
]
