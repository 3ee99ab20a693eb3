# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that no kernel has: what is on it before, and what it would read like after a prediction came true.

Must not know: what is predicted.
"""

from __future__ import annotations

import itertools
from typing import Any, Dict, List, Sequence, Tuple

from ansible_collections.hostnet.docker.plugins.module_utils._rules import BUILT_IN
from ansible_collections.hostnet.docker.plugins.module_utils._state import HOST, Key, State

ETH0 = {
    "kind": "", "index": 2, "mac": "02:00:00:00:00:01", "mac_set": False, "mtu": 1500, "txqlen": 1000, "master": None,
    "hairpin": None, "nsid": None, "peer_index": None, "peer": None,
}  # fmt: skip
_SETTINGS = {
    "net/ipv4/ip_forward": "0", "net/ipv6/conf/all/forwarding": "0", "net/ipv6/conf/default/forwarding": "0",
    "net/ipv6/conf/default/accept_ra": "1", "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0", "net/ipv4/ip_local_port_range": "32768\t60999",
}  # fmt: skip
_FILES = {
    "/etc/resolv.conf": "nameserver 192.0.2.53\n",
    "/etc/machine-id": "0" * 32,
    "/proc/self/gid_map": "0 0 4294967295",
}
# Rules of other people: not one of them is Docker's or ours, though some look like it.
FOREIGN = [
    "-s 203.0.113.0/24 -j DROP", "-i virbr0 -j ACCEPT", "-o docker0 -j LOG", "-d 172.17.0.2/32 -j ACCEPT", "-j RETURN",
    "-i docker0 -o eth0 -p tcp -m tcp --dport 25 -j REJECT --reject-with icmp-port-unreachable", "",
    '-m comment --comment "two words -j DOCKER" -j ACCEPT', "-p tcp -m tcp --dport 80 -j DOCKERS",
    "-s 172.17.0.0/16 ! -o docker0 -p tcp -j MASQUERADE", "-s 10.0.0.1/255.0.255.0 ! -o docker0 -j MASQUERADE",
]  # fmt: skip
CHAINS = [
    ("raw", "PREROUTING"), ("filter", "FORWARD"), ("filter", "INPUT"), ("nat", "PREROUTING"), ("nat", "POSTROUTING"),
    ("nat", "OUTPUT"), ("filter", "THEIRS"), ("mangle", "FORWARD"),
]  # fmt: skip
Foreign = Sequence[Tuple[Tuple[str, str], str]]


def host(foreign: Foreign = (), has_iptables: bool = True) -> State:
    """A host with eth0, a default route, and rules of others."""
    state: State = {
        Key("link", HOST, "eth0"): ETH0,
        Key("up", HOST, "eth0"): "up",
        Key("address", HOST, "eth0 192.0.2.1/24"): {"broadcast": "192.0.2.255", "nodad": False, "scope": "global"},
        Key("address", HOST, "eth0 2001:db8:1::1/64"): {"broadcast": None, "nodad": False, "scope": "global"},
        Key("route", HOST, "default via 192.0.2.254 dev eth0"): {
            "family": 4, "dst": "0.0.0.0/0", "via": "192.0.2.254", "dev": "eth0", "scope": "global", "metric": None,
            "proto": 3,
        },
    }  # fmt: skip
    state.update({Key("sysctl", HOST, name): value for name, value in _SETTINGS.items()})
    state.update({Key("file", HOST, name): text for name, text in _FILES.items()})
    if has_iptables:
        for family, (table, chains) in itertools.product(("ip", "ip6"), BUILT_IN.items()):
            state.update({Key("chain", f"{family}/{table}", name): () for name in chains})
            state.update({Key("policy", f"{family}/{table}", name): "ACCEPT" for name in chains})
    return with_foreign(state, foreign)


def with_foreign(state: State, foreign: Foreign) -> State:
    """The state with rules of others, each at the end, the middle or the head of its chain by turns."""
    result = dict(state)
    for number, ((table, name), rule) in enumerate(foreign):
        key = Key("chain", f"ip/{table}", name)
        rules = result.get(key, ())
        place = (len(rules), len(rules) // 2, 0)[number % 3]
        result[key] = (*rules[:place], rule, *rules[place:])
    return result


def foreign_of(state: State) -> Dict[Key, List[str]]:
    """The rules of others in each chain, in order."""
    found = {key: [rule for rule in value if rule in FOREIGN] for key, value in state.items() if key.kind == "chain"}
    return {key: rules for key, rules in found.items() if rules}


def settled(after: State) -> State:
    """What the kernel would tell once a prediction has come true: its own numbers, and both ends of each pair."""
    numbers = itertools.count(100)
    state: State = {}
    for key, value in after.items():
        state[key] = value
        if key.kind == "netns" and value["inode"] is None:
            state[key] = {"inode": next(numbers)}
        elif key.kind == "link":
            state[key] = _link(value, numbers)
    for key, value in after.items():
        if key.kind == "netns" and value.get("same_as"):
            state[key] = state.get(Key("netns", HOST, value["same_as"]), state[key])
    return state


def _link(value: Dict[str, Any], numbers: Any) -> Dict[str, Any]:
    known = {**ETH0, "mac_set": True, "hairpin": None, **value}
    if value.get("index") is None:
        known.update(index=next(numbers), mtu=value.get("mtu") or 1500)
    peer = value.get("peer")
    if peer and "index" not in peer:
        known.update(nsid=next(numbers), peer_index=2, peer={**peer, "mtu": peer["mtu"] or 1500, "index": 2})
    if value.get("kind") == "veth" and known["hairpin"] is None:
        known["hairpin"] = False
    return known
