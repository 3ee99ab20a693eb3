# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An iptables store on a throw-away host, and the rules that its tests write and find there.

Must not know: what a store must do (``netns/test_stores.py``, ``netns/test_store_races.py``).
"""

from __future__ import annotations

import os
import re
from typing import Any, Callable, Dict, List, Sequence, Tuple

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils import _plan
from ansible_collections.hostnet.docker.plugins.module_utils._kernel import libiptc, xtables
from ansible_collections.hostnet.docker.plugins.module_utils._plan import Change
from ansible_collections.hostnet.docker.plugins.module_utils._state import Key, State

import lab
from commands import run_command

FILTER, NAT, RAW, MANGLE = "ip/filter", "ip/nat", "ip/raw", "ip/mangle"
FORWARD, DOCKER, FILTER_DOCKER = (
    Key("chain", FILTER, "FORWARD"), Key("chain", NAT, "DOCKER"), Key("chain", FILTER, "DOCKER")
)  # fmt: skip
BOTH = ("ip", "ip6")

# Rules of every kind that the collection writes, in iptables-save's own spelling.
WRITTEN: Dict[Tuple[str, str], Tuple[str, ...]] = {
    ("ip/raw", "PREROUTING"): (
        "-d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 8080 -j DROP",
        "-d 172.17.0.2/32 -i eth1 -j ACCEPT",
        "-d 172.17.0.2/32 ! -i docker0 -j DROP",
    ),
    ("ip/filter", "DOCKER"): (
        "-d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
        "-s 192.0.2.0/24 -d 172.17.0.2/32 ! -i docker0 -o docker0 -p udp -m udp --dport 53 -j ACCEPT",
        "-d 172.17.0.2/32 ! -i docker0 -o docker0 -p sctp -m sctp --dport 9 -j ACCEPT",
        "-d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 8000:8010 -j ACCEPT",
        "-s 172.17.0.3/32 -d 172.17.0.2/32 -i docker0 -o docker0 -p tcp -m tcp --sport 80 -j ACCEPT",
        "-o docker0 -p icmp -j ACCEPT",
        "! -i docker0 -o docker0 -j DROP",
    ),
    ("ip/filter", "DOCKER-USER"): (
        "-s 192.0.2.7/32 -m conntrack --ctstate INVALID,NEW -m comment --comment hostnet-docker-a -j DROP",
        "-p tcp -m conntrack --ctorigdstport 80 -m comment --comment hostnet-docker-b -j RETURN",
        "-m comment --comment hostnet-docker-c -j REJECT --reject-with icmp-port-unreachable",
    ),
    ("ip/filter", "DOCKER-INTERNAL"): (
        "! -s 10.9.0.0/24 -o br9 -j DROP",
        "! -d 10.9.0.0/24 -i br9 -j DROP",
    ),
    ("ip/filter", "FORWARD"): (
        "-j DOCKER-USER",
        "-m mark --mark 0x1/0xff -j ACCEPT",
        "-o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-i docker0 ! -o docker0 -j ACCEPT",
    ),
    ("ip/nat", "DOCKER"): (
        "! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
        "-d 192.0.2.1/32 -p udp -m udp --dport 53 -j DNAT --to-destination 172.17.0.2:53",
        "-p sctp -m sctp --dport 9 -j DNAT --to-destination 172.17.0.2:9",
    ),
    ("ip/nat", "OUTPUT"): ("! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",),
    ("ip/nat", "POSTROUTING"): (
        "-o docker0 -m addrtype --src-type LOCAL -j MASQUERADE",
        "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
        "-s 10.9.0.0/24 ! -o br9 -j SNAT --to-source 192.0.2.1",
        "-s 172.17.0.2/32 -d 172.17.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE",
    ),
    ("ip/mangle", "FORWARD"): ("-o docker0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",),
    ("ip6/raw", "PREROUTING"): ("-d fd00::2/128 ! -i docker0 -j DROP",),
    ("ip6/filter", "DOCKER"): (
        "-d fd00::2/128 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
        "-o docker0 -p ipv6-icmp -j ACCEPT",
        "-m comment --comment hostnet-docker-c -j REJECT --reject-with icmp6-port-unreachable",
    ),
    ("ip6/nat", "DOCKER"): (
        "! -s fe80::/10 ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00::2]:80",
    ),
    ("ip6/nat", "OUTPUT"): ("! -d ::1/128 -m addrtype --dst-type LOCAL -j DOCKER",),
    ("ip6/nat", "POSTROUTING"): (
        "-s fd00::/64 ! -o docker0 -j MASQUERADE",
        "-s fd01::/64 ! -o br9 -j SNAT --to-source 2001:db8:1::1",
    ),
    ("ip6/mangle", "FORWARD"): ("-i docker0 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",),
}

# Rules of other people, as they typed them.
FOREIGN = """\
iptables -P INPUT DROP
iptables -A INPUT -i lo -j ACCEPT
iptables -A INPUT -p tcp -m multiport --dports 22,80,8000:8010 -m comment --comment 'two "words" [1:2]' -j ACCEPT
iptables -A INPUT -m limit --limit 5/min --limit-burst 7 -j LOG --log-prefix 'drop: ' --log-level 4
iptables -A INPUT -m state --state NEW -p tcp --syn -m recent --set --name ssh
iptables -A INPUT -p icmp --icmp-type echo-request -j REJECT
iptables -A INPUT
iptables -A FORWARD -s 10.1.0.0/16 ! -d 10.2.0.1 -m mac --mac-source 02:00:00:00:00:01 -j ACCEPT
iptables -N f2b-sshd
iptables -A f2b-sshd -m statistic --mode random --probability 0.5 -j RETURN
iptables -A FORWARD -m iprange --src-range 10.0.0.1-10.0.0.9 -g f2b-sshd
iptables -t mangle -A PREROUTING -p udp ! --dport 53 -j MARK --set-xmark 0x2/0xff
iptables -t mangle -A POSTROUTING -j TTL --ttl-set 64
iptables -t nat -A PREROUTING -p tcp --dport 99 -j REDIRECT --to-ports 98
iptables -t nat -A POSTROUTING -s 10.3.0.0/16 -j MASQUERADE --random
ip6tables -A INPUT -p ipv6-icmp --icmpv6-type router-advertisement -m hl --hl-eq 255 -j ACCEPT
ip6tables -A FORWARD ! -s fe80::/10 -p udp --sport 1:1023 -j DROP
"""


class Site:
    """A host and the kind of its store."""

    def __init__(self, host: lab.Host, kind: str) -> None:
        self.host, self.kind = host, kind

    def store(self) -> Any:
        """The store under test, made on the host."""
        tools = xtables.find(run_command)
        assert tools is not None
        assert tools.variant == self.host.firewall
        store = xtables.Xtables(tools)
        return libiptc.Libiptc(store) if self.kind == "library" else store

    def why_not(self) -> str | None:
        """Why python-iptables is no use here; None if it is."""
        reason: str | None = self.inside(libiptc.probe)
        return reason

    def read(self) -> State:
        return self.inside(lambda: self.store().read(BOTH))

    def apply(self, changes: Sequence[Change]) -> None:
        """Write; the python-iptables store must not have left it to the tools."""
        assert not self.apply_anyway(changes)

    def apply_anyway(self, changes: Sequence[Change]) -> str:
        """Write, and return why the tools did it where the library should have."""
        store = self.inside(self.store)
        self.inside(lambda: store.apply(changes))
        return str(getattr(store, "note", ""))

    def converge(self, wanted: State) -> List[Change]:
        """Write what differs from ``wanted``, all the rest stays; returns the changes."""
        live = self.read()
        changes = _plan.diff(live, {**live, **wanted})
        self.apply(changes)
        return changes

    def counted(self) -> str:
        """Both families' rules with their counters; a policy's are left out, the kernel itself sends packets."""
        text = self.host.sh("iptables-save -c; ip6tables-save -c")
        text = re.sub(r"^(:.*) \[\d+:\d+\]$", r"\1", text, flags=re.MULTILINE)
        return "".join(f"{line}\n" for line in text.splitlines() if not line.startswith("#"))

    def inside(self, function: Callable[[], Any]) -> Any:
        """Call a function where PATH and namespace are the host's."""
        before = os.environ["PATH"]
        os.environ["PATH"] = self.host.environ["PATH"]
        try:
            return lab.inside(self.host, function)
        finally:
            os.environ["PATH"] = before


# From this release of iptables on, python-iptables understands some of its matches no more.
FIRST_BROKEN = (1, 8, 11)


def new_site(kind: str) -> Site:
    """A host and the store of one kind.

    :param kind: ``nft`` and ``legacy`` are save and restore of the two variants, ``library`` is python-iptables
    """
    if kind == "library" and not libiptc.is_installed():
        lab.missing("python-iptables is not installed")
    site = Site(lab.new_host("nft" if kind == "nft" else "legacy"), kind)
    reason = site.why_not() if kind == "library" else None
    if reason:
        version = tuple(map(int, re.findall(r"\d+", site.host.sh("iptables -V"))[:3]))
        assert version >= FIRST_BROKEN, reason
        pytest.skip(f"python-iptables is no use with this iptables, the tools take its place: {reason}")
    return site


def wanted() -> State:
    state: State = {Key("chain", scope, name): rules for (scope, name), rules in WRITTEN.items()}
    state[Key("policy", FILTER, "FORWARD")] = "DROP"
    return state
