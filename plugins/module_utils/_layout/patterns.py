# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The texts of Docker's rules, as iptables-save prints them, with what each says as named groups.

Must not know: what is made of it.
"""

from __future__ import annotations

import functools
import re
from typing import List, Pattern, Tuple

_BR = r"(?P<bridge>[^\s!]+)"
_PROTO = r"-p (?P<protocol>tcp|udp|sctp) -m (?:tcp|udp|sctp)"
_IP = r"(?P<ip>[0-9a-f.:]+)/(?:32|128)"
_NET = r"(?P<subnet>[0-9a-f.:]+/\d+)"  # any other mask than a prefix length is somebody else's
_PORTS = r"(?P<port>\d+(?::\d+)?)"
_DNAT = (
    r"(?:! -s fe80::/10 )?(?:-d (?P<host_ip>[0-9a-f.:]+)/(?:32|128) )?(?:! -i (?P<bridge>\S+) )?"
    rf"{_PROTO} --dport "
)
_TARGET = r"(?:MASQUERADE|SNAT --to-source (?P<snat>[0-9a-f.:]+))"

# table, chain, kind of rule, its text; the kinds with a bridge alone are the network's.
PATTERNS: Tuple[Tuple[str, str, str, str], ...] = (
    (
        "filter",
        "DOCKER",
        "accept",
        rf"(?:-s (?P<source>[0-9a-f.:]+/\d+) )?-d {_IP} ! -i {_BR} -o (?P=bridge) {_PROTO} --dport {_PORTS} "
        r"-j (?P<verdict>ACCEPT|DROP)",
    ),
    ("filter", "DOCKER", "drop", rf"! -i {_BR} -o (?P=bridge) -j (?P<verdict>DROP|ACCEPT)"),
    ("filter", "DOCKER", "icmp", rf"-o {_BR} -p (?:icmp|ipv6-icmp) -j ACCEPT"),
    (
        "filter",
        "DOCKER",
        "link",
        rf"-s (?P<client>[0-9a-f.:]+)/(?:32|128) -d {_IP} -i {_BR} -o (?P=bridge) {_PROTO} "
        r"--(?P<side>[ds])port (?P<port>\d+) -j ACCEPT",
    ),
    ("filter", "DOCKER-CT", "related", rf"-o {_BR} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
    ("filter", "DOCKER-BRIDGE", "jump", rf"-o {_BR} -j DOCKER"),
    ("filter", "DOCKER-FORWARD", "mark", r"-m mark --mark (?P<fwmark>\S+) -j ACCEPT"),
    ("filter", "DOCKER-FORWARD", "out", rf"-i {_BR} -j ACCEPT"),
    ("filter", "DOCKER-FORWARD", "icc", rf"-i {_BR} -o (?P=bridge) -j (?P<verdict>DROP|ACCEPT)"),
    ("filter", "DOCKER-FORWARD", "out", rf"-i {_BR} ! -o (?P=bridge) -j ACCEPT"),
    ("filter", "DOCKER-INTERNAL", "egress", rf"! -d {_NET} -i {_BR}(?: ! -o (?P=bridge))? -j DROP"),
    ("filter", "DOCKER-INTERNAL", "ingress", rf"! -s {_NET} (?:! -i \S+ )?-o (?P<bridge>\S+) -j DROP"),
    ("filter", "DOCKER-INTERNAL", "closed", rf"! -i {_BR} -o (?P=bridge) -j DROP"),
    (
        "mangle",
        "FORWARD",
        "clamp",
        r"-[io] (?P<bridge>\S+) -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    ),
    ("nat", "POSTROUTING", "self", rf"-s {_IP} -d (?P=ip)/(?:32|128) {_PROTO} --dport {_PORTS} -j MASQUERADE"),
    ("nat", "POSTROUTING", "masq", rf"-s {_NET} ! -o {_BR} -j {_TARGET}"),
    ("nat", "POSTROUTING", "local", rf"-o {_BR} -m addrtype --src-type LOCAL -j {_TARGET}"),
    (
        "nat",
        "DOCKER",
        "dnat",
        rf"{_DNAT}(?P<host_port>\d+) -j DNAT --to-destination \[?(?P<ip>[0-9a-f.:]+?)\]?:(?P<port>\d+)",
    ),
    # A run of ports: counted from the first, or each to its own number.
    (
        "nat",
        "DOCKER",
        "dnat",
        rf"{_DNAT}(?P<host_port>(?P<base>\d+):\d+) -j DNAT --to-destination "
        r"\[?(?P<ip>[0-9a-f.:]+?)\]?:(?P<port>\d+-\d+)/(?P=base)",
    ),
    ("nat", "DOCKER", "dnat", rf"{_DNAT}(?P<host_port>(?P<port>\d+:\d+)) -j DNAT --to-destination (?P<ip>[0-9a-f.:]+)"),
    ("raw", "PREROUTING", "localhost", rf"-d 127\.0\.0\.0/8 -i {_BR} -j DROP"),
    ("raw", "PREROUTING", "guard", rf"-d {_IP} ! -i {_BR} -j DROP"),
    ("raw", "PREROUTING", "trusted", rf"-d {_IP} -i (?P<interface>[^\s!]+) -j ACCEPT"),
    (
        "raw",
        "PREROUTING",
        "loopback",
        rf"-d (?P<host_ip>127[0-9.]+)/32 ! -i lo {_PROTO} --dport (?P<host_port>\d+(?::\d+)?) -j DROP",
    ),
)
CHAINS = tuple(dict.fromkeys((table, name) for table, name, _kind, _text in PATTERNS))


@functools.cache
def of_chain(table: str, name: str) -> List[Tuple[str, str]]:
    """The kinds of rules of a chain, each with its text for ``compiled``."""
    return [(kind, text) for where, chain_, kind, text in PATTERNS if (where, chain_) == (table, name)]


@functools.cache
def compiled(text: str) -> Pattern[str]:
    """A pattern, compiled when a rule is first held against it: all take as long as a small task runs."""
    return re.compile(text)
