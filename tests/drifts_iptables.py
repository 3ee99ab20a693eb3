# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways in which somebody changes a declared host's iptables rules by hand, and what mends each.

Must not know: how drift is found, how it is mended.
"""

from __future__ import annotations

from typing import List

from drifts import Drift

_FILTER, _NAT = "ip/filter", "ip/nat"
_INTO = "-d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp"
_DROP = "! -i docker0 -o docker0 -j DROP"
_OFFICE = "-s 198.51.100.0/24 -m comment --comment hostnet-docker-office -j DROP"
_KEEP = "-i virbr0 -m comment --comment hostnet-docker-keep -j ACCEPT"
_DNAT = "-p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80"
_LOCAL = "-m addrtype --dst-type LOCAL -j DOCKER"


def _chain(chain: str, added: int, removed: int, verb: str = "update") -> str:
    return f"{verb} chain {chain} (+{added} -{removed} rules)"


def _moved(chain: str, rule: str, how: str, table: str = "") -> str:
    return f"iptables {table} -D {chain} {rule}; iptables {table} {how} {chain} {rule}"


IPTABLES: List[Drift] = [
    Drift("port-gone", f"iptables -t nat -D DOCKER {_DNAT}", (_chain(f"{_NAT} DOCKER", 1, 0),), _DNAT),
    Drift("port-doubled", f"iptables -t nat -A DOCKER {_DNAT}", (_chain(f"{_NAT} DOCKER", 0, 1),), _DNAT),
    Drift(
        "port-leads-elsewhere",
        f"iptables -t nat -R DOCKER 1 {_DNAT.replace('0.2:', '0.9:')}",
        (_chain(f"{_NAT} DOCKER", 1, 1),),
        "172.17.0.9:80",
    ),
    Drift(
        "port-of-an-address-that-nobody-has",
        "iptables -t nat -A DOCKER -p tcp --dport 9999 -j DNAT --to-destination 172.17.0.44:99",
        (_chain(f"{_NAT} DOCKER", 0, 1),),
        "172.17.0.44:99",
    ),
    Drift("accept-doubled", f"iptables -A DOCKER {_INTO} --dport 80 -j ACCEPT", (_chain(f"{_FILTER} DOCKER", 0, 1),)),
    Drift(
        "accept-behind-the-drop",
        _moved("DOCKER", f"{_INTO} --dport 80 -j ACCEPT", "-A"),
        (_chain(f"{_FILTER} DOCKER", 1, 1),),
        f"{_INTO} --dport 80 -j ACCEPT",
    ),
    Drift(
        "accept-of-a-port-nobody-asked-for",
        f"iptables -I DOCKER {_INTO} --dport 99 -j ACCEPT",
        (_chain(f"{_FILTER} DOCKER", 0, 1),),
        "--dport 99",
    ),
    Drift("drop-before-the-accepts", _moved("DOCKER", _DROP, "-I"), (_chain(f"{_FILTER} DOCKER", 1, 1),), _DROP),
    Drift("drop-gone", f"iptables -D DOCKER {_DROP}", (_chain(f"{_FILTER} DOCKER", 1, 0),), _DROP),
    Drift(
        "drop-became-accept",
        f"iptables -D DOCKER {_DROP}; iptables -A DOCKER {_DROP.replace('DROP', 'ACCEPT')}",
        (_chain(f"{_FILTER} DOCKER", 1, 1),),
        _DROP.replace("DROP", "ACCEPT"),
    ),
    Drift(
        "other-sources-let-in",
        f"iptables -D DOCKER {_INTO} --dport 443 -j DROP",
        (_chain(f"{_FILTER} DOCKER", 1, 0),),
        "--dport 443 -j DROP",
    ),
    Drift(
        "allowed-source-behind-its-drop",
        _moved("DOCKER", f"{_INTO} --dport 443 -j DROP", "-I"),
        (_chain(f"{_FILTER} DOCKER", 1, 1),),
        "--dport 443 -j DROP",
    ),
    Drift(
        "allowed-source-other",
        f"iptables -D DOCKER -s 192.0.2.0/24 {_INTO} --dport 443 -j ACCEPT; "
        f"iptables -I DOCKER -s 203.0.113.0/24 {_INTO} --dport 443 -j ACCEPT",
        (_chain(f"{_FILTER} DOCKER", 1, 1),),
        "-s 203.0.113.0/24",
    ),
    Drift(
        "guard-gone",
        "iptables -t raw -D PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP",
        (_chain("ip/raw PREROUTING", 1, 0),),
        "-d 172.17.0.2/32 ! -i docker0 -j DROP",
    ),
    Drift(
        "guard-of-loopback-gone",
        "iptables -t raw -D PREROUTING -d 127.0.0.1/32 ! -i lo -p udp --dport 8081 -j DROP",
        (_chain("ip/raw PREROUTING", 1, 0),),
        "-d 127.0.0.1/32 ! -i lo",
    ),
    Drift("ipv6-guard-gone", "ip6tables -t raw -F PREROUTING", (_chain("ip6/raw PREROUTING", 1, 0),), "fd00:17::2/128"),
    Drift(
        "ipv6-port-gone",
        "ip6tables -t nat -D DOCKER ! -s fe80::/10 -p tcp --dport 8080 -j DNAT --to-destination [fd00:17::2]:80",
        (_chain("ip6/nat DOCKER", 1, 0),),
        "[fd00:17::2]:80",
    ),
    Drift(
        "masquerading-gone",
        "iptables -t nat -D POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
        (_chain(f"{_NAT} POSTROUTING", 1, 0),),
        "-s 172.17.0.0/16 ! -o docker0",
    ),
    Drift(
        "own-port-not-masqueraded",
        "iptables -t nat -D POSTROUTING -s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp --dport 80 -j MASQUERADE",
        (_chain(f"{_NAT} POSTROUTING", 1, 0),),
        "-s 172.17.0.2/32 -d 172.17.0.2/32",
    ),
    Drift("policy-accept", "iptables -P FORWARD ACCEPT", (f"update policy {_FILTER} FORWARD: ACCEPT -> DROP",)),
    Drift("ipv6-policy-accept", "ip6tables -P FORWARD ACCEPT", ("update policy ip6/filter FORWARD: ACCEPT -> DROP",)),
    Drift("jump-gone", "iptables -D FORWARD -j DOCKER-FORWARD", (_chain(f"{_FILTER} FORWARD", 1, 0),)),
    Drift("jump-doubled", "iptables -A FORWARD -j DOCKER-USER", (_chain(f"{_FILTER} FORWARD", 0, 1),)),
    Drift("jump-moved", _moved("FORWARD", "-j DOCKER-USER", "-A"), (_chain(f"{_FILTER} FORWARD", 1, 1),)),
    Drift("nat-jump-gone", f"iptables -t nat -D OUTPUT {_LOCAL}", (_chain(f"{_NAT} OUTPUT", 1, 0),), _LOCAL),
    Drift(
        "replies-not-let-in",
        "iptables -D DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        (_chain(f"{_FILTER} DOCKER-CT", 1, 0),),
        "-o docker0 -m conntrack",
    ),
    Drift(
        "replies-let-in-last",
        _moved("DOCKER-FORWARD", "-j DOCKER-CT", "-A"),
        (_chain(f"{_FILTER} DOCKER-FORWARD", 1, 1),),
    ),
    Drift(
        "neighbours-let-in",
        "iptables -R DOCKER-FORWARD 5 -i br-n1 -o br-n1 -j ACCEPT",
        (_chain(f"{_FILTER} DOCKER-FORWARD", 1, 1),),
        "-i br-n1 -o br-n1 -j ACCEPT",
    ),
    Drift(
        "chain-missing",
        "iptables -D DOCKER-FORWARD -j DOCKER-BRIDGE; iptables -F DOCKER-BRIDGE; iptables -X DOCKER-BRIDGE",
        (_chain(f"{_FILTER} DOCKER-FORWARD", 1, 0), _chain(f"{_FILTER} DOCKER-BRIDGE", 2, 0, "create")),
    ),
    Drift(
        "user-rule-gone",
        f"iptables -D DOCKER-USER {_OFFICE}",
        (_chain(f"{_FILTER} DOCKER-USER", 1, 0),),
        "hostnet-docker-office",
    ),
    Drift(
        "user-rule-moved",
        _moved("DOCKER-USER", _OFFICE, "-A"),
        (_chain(f"{_FILTER} DOCKER-USER", 1, 1),),
        "hostnet-docker-office",
    ),
    Drift(
        "user-rule-edited",
        f"iptables -R DOCKER-USER 1 {_OFFICE.replace('198.51.100.0/24', '198.51.0.0/16')}",
        (_chain(f"{_FILTER} DOCKER-USER", 1, 1),),
        "198.51.0.0/16",
    ),
    Drift("kept-bridge-gone", f"iptables -D FORWARD {_KEEP}", (_chain(f"{_FILTER} FORWARD", 1, 0),), "-i virbr0"),
    Drift("kept-bridge-before-all", _moved("FORWARD", _KEEP, "-I"), (_chain(f"{_FILTER} FORWARD", 1, 1),), "-i virbr0"),
    Drift(
        "segment-size-not-clamped",
        "iptables -t mangle -F FORWARD",
        (_chain("ip/mangle FORWARD", 2, 0),),
        "--clamp-mss-to-pmtu",
    ),
    Drift(
        "table-flushed",
        "iptables -t nat -F DOCKER; iptables -t nat -F PREROUTING; iptables -t nat -F OUTPUT",
        (_chain(f"{_NAT} PREROUTING", 1, 0), _chain(f"{_NAT} OUTPUT", 1, 0), _chain(f"{_NAT} DOCKER", 4, 0)),
    ),
]
