# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor: what on a host breaks, or will break, Docker's networking, and the way out.

Each finding says what is wrong, on which object, and what to do. Facts come as a State, among them those of
``_kernel/diagnosis.py``. Must not know: how facts are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, FrozenSet, Iterator, List, Mapping, Tuple

from .._state import HOST, Key, State, select
from . import forwarding, networks, sysctl_files
from .describe import Words, each_network
from .doctor_modules import OS_RELEASE, missing_modules
from .iptables import FAMILIES, USER_CHAIN
from .policy import Backend, Rules
from .ports import Host as Ports

FIREWALLD_CONF = "/etc/firewalld/firewalld.conf"
FILES = (*sysctl_files.PATHS, FIREWALLD_CONF, OS_RELEASE)
SYSCTLS = tuple((HOST, name) for name in networks.NETFILTER.values())
_JUMP = f"-j {USER_CHAIN}"


@dataclass
class Case:
    """A host: its state with the facts, its bridges, the names of endpoints by address.

    ``is_in_both``: Docker's rules are in iptables and in nftables. ``variant`` is ``iptables-nft`` and the like.
    """

    live: State
    backend: Backend
    variant: str
    words: Mapping[str, Any]
    is_in_both: bool = False
    rules: Dict[int, Rules] = field(default_factory=dict)

    @property
    def bridges(self) -> List[str]:
        """Docker's bridges."""
        return [str(item["name"]) for item in self.words["bridges"]]

    def sysctl(self, name: str) -> str | None:
        """A setting of the host."""
        return self.live.get(Key("sysctl", HOST, name))

    def fact(self, kind: str, name: str) -> Any:
        """A fact of ``_kernel/diagnosis.py``; None if there is nothing to say."""
        return self.live.get(Key(kind, HOST, name))


def sockets(live: State, backend: Backend) -> FrozenSet[Tuple[str, int]]:
    """The published ports, whose listeners shall be named."""
    bindings = [binding for family in (4, 6) for binding in backend.recognise(live, family).all_bindings()]
    return frozenset((binding.protocol, binding.host_port) for binding in bindings if binding.host_port)


def devices(live: State, words: Mapping[str, Any]) -> List[str]:
    """The bridges and the host ends on them, which no network manager should hold."""
    bridges = [str(item["name"]) for item in words["bridges"]]
    ends = [key.name for key, value in select(live, "link", HOST) if value["master"] in bridges]
    return [*bridges, *ends]


def findings(case: Case) -> List[str]:
    """What is wrong, in no more than one line each."""
    case.rules = {family: case.backend.recognise(case.live, family) for family in (4, 6)}
    return [text for look in _LOOKS for text in look(case)]


def _both_variants(case: Case) -> Iterator[str]:
    own = case.variant.partition(" ")[0]
    for key, counts in select(case.live, "variant", HOST):
        tables = ", ".join(f"{name} ({'?' if count < 0 else count})" for name, count in counts.items())
        yield (
            f"both iptables variants are in use: this host's is {own}, and {key.name} has rules too, by table: {tables}"
            f"; packets must pass both. Move what shall stay, flush the other ({key.name} -F, -t nat -F, ...), and "
            "choose one with update-alternatives --config iptables"
        )


def _both_backends(case: Case) -> Iterator[str]:
    if case.is_in_both:
        yield (
            "Docker's rules are in iptables and in nftables: an earlier change of the backend was cut off; run "
            "host_network with the firewall_backend that shall stay, which takes all of them along"
        )


def _strict_ports(case: Case) -> Iterator[str]:
    text = str(case.live.get(Key("file", HOST, FIREWALLD_CONF), ""))
    if case.fact("daemon", "firewalld") and re.search(
        r"^\s*StrictForwardPorts\s*=\s*(yes|true)\s*$", text, re.M | re.I
    ):
        yield (
            f"firewalld drops what others published: StrictForwardPorts is on in {FIREWALLD_CONF}; set it to no and "
            "run firewall-cmd --reload, or open each port in firewalld: firewall-cmd --add-forward-port="
            "port=8080:proto=tcp:toport=80:toaddr=172.17.0.2"
        )


def _modules(case: Case) -> Iterator[str]:
    yield from missing_modules(case.live, case.variant)


def _overrides(case: Case) -> Iterator[str]:
    """Files for sysctl that set another value than the one that our network lives by."""
    found = list(sysctl_files.lines(case.live))
    for name, aliases in _settings(case):
        value, line = case.sysctl(name), sysctl_files.last_word(found, (name, *aliases))
        if line is not None and value is not None and line.value != value:
            yield (
                f"{line.place} sets {_dotted(line.name)} = {line.value}, and so overrides {_dotted(name)} = {value} at "
                f"the next boot or sysctl --system; take the line out, or set {value} in a file that comes later than "
                f"{line.place.rpartition(':')[0]}"
            )


def _dotted(name: str) -> str:
    return name.translate(str.maketrans("./", "/."))


def _settings(case: Case) -> Iterator[Tuple[str, Tuple[str, ...]]]:
    """The settings that are on for our network's sake, with other names that set them too."""
    if not case.bridges:
        return
    if forwarding.is_on(case.live, 4):
        yield "net/ipv4/ip_forward", ("net/ipv4/conf/all/forwarding",)
    if forwarding.is_on(case.live, 6) and any(item.get("ipv6") for item in case.words["bridges"]):
        yield from ((name, ()) for name in forwarding.SYSCTLS[6])
    for name in networks.NETFILTER.values():
        if case.sysctl(name) == "1":
            yield name, ()
    for bridge in case.bridges:
        name = f"net/ipv4/conf/{bridge}/route_localnet"
        if case.sysctl(name) == "1":
            yield name, ()


def _managers(case: Case) -> Iterator[str]:
    for key, held in select(case.live, "manager", HOST):
        if held:
            shown = ", ".join(f"{name} ({state})" for name, state in list(held.items())[:5])
            yield (
                f"{key.name} holds devices of this network: {shown}{', ...' if len(held) > 5 else ''}; it may take "
                "their addresses away. docker_host_network_managers: true of the role tells it to leave them alone"
            )


def _daemon(case: Case) -> Iterator[str]:
    daemon = case.fact("daemon", "dockerd")
    if daemon:
        yield (
            f"{daemon} manages the same chains, and rebuilds them at its start: this collection does not write them as "
            'long as it does; set "iptables": false in its daemon.json and restart it to hand them over'
        )


def _forwarding_off(case: Case) -> Iterator[str]:
    for family, option in ((4, "bip"), (6, "bip6")):
        routed = [item["name"] for item in case.words["bridges"] if item.get(option) and not item.get("internal")]
        if routed and not forwarding.is_on(case.live, family):
            name = forwarding.SYSCTLS[family][-1]
            yield (
                f"{_dotted(name)} is {case.sysctl(name)} although bridge {routed[0]} needs it: endpoints reach nothing "
                f"outside, and nobody their ports; give ip_forward: {{ipv{family}: true}}"
            )


def _foreign_bridges(case: Case) -> Iterator[str]:
    """Bridges of others, with guests on them, that a policy DROP cuts off and nothing lets pass."""
    masters = {value["master"] for _key, value in select(case.live, "link", HOST)}
    foreign = [
        key.name
        for key, value in select(case.live, "link", HOST)
        if value["kind"] == "bridge" and key.name in masters and key.name not in case.bridges
    ]
    for family in (4, 6):
        policy = case.backend.forward_policy(family)
        is_filtered = case.sysctl(networks.NETFILTER[family]) == "1"
        for name in foreign:
            if case.live.get(policy) == "DROP" and not _is_let_pass(case, family, name):
                among = ", also among themselves (bridge-nf-call is on)" if is_filtered else ""
                yield (
                    f"{policy} is DROP and nothing accepts bridge {name}: its guests' IPv{family} is cut off{among}; "
                    f"give ip_forward: {{keep_forwarding: [{name}]}}, or set forward_policy: accept"
                )


def _is_let_pass(case: Case, family: int, name: str) -> bool:
    if name in case.backend.kept(case.live, family):
        return True
    accepts = re.compile(rf"(?:^| )-[io] {re.escape(name)}(?: .*)?-j ACCEPT")
    chains = select(case.live, "chain", f"{FAMILIES[family]}/filter")
    return any(accepts.search(rule) for _key, rules in chains for rule in rules)


def _squatters(case: Case) -> Iterator[str]:
    names = {item.get(f"ipv{family}_address"): item["name"] for item in _networks(case) for family in (4, 6)}
    ports = Ports(case.live, [], (1, 0), set())
    for rules in case.rules.values():
        for binding in rules.all_bindings():
            if binding.host_port:
                ports.note_squatters([binding], str(names.get(binding.ip, binding.ip)))
    for text in dict.fromkeys(ports.squatters):
        yield f"published port {text}, and gets none of the port's packets; stop it, or publish another port"


def _networks(case: Case) -> List[Words]:
    return [network for item in case.words["endpoints"] for network in each_network(item)]


def _user_chain(case: Case) -> Iterator[str]:
    """The administrator's own rules are of use only if nothing decides before them."""
    for scope in ("ip/filter", "ip6/filter"):
        own = [rule for rule in case.live.get(Key("chain", scope, USER_CHAIN), ()) if rule != "-j RETURN"]
        forward = case.live.get(Key("chain", scope, "FORWARD"), ())
        if not own or forward[:1] == (_JUMP,):
            continue
        if _JUMP not in forward:
            yield f"chain {scope} {USER_CHAIN} has rules, but no packet comes there; a run of host_network adds a jump"
        else:
            yield (
                f"chain {scope} FORWARD decides before {USER_CHAIN}, whose rules do not hold for what it accepts: its "
                f"first rule is {forward[0]}; move that, or remove the jump (iptables -D FORWARD {_JUMP}) and have a "
                "run of host_network put it first"
            )


_LOOKS = (
    _both_variants,
    _both_backends,
    _strict_ports,
    _modules,
    _overrides,
    _managers,
    _daemon,
    _forwarding_off,
    _foreign_bridges,
    _squatters,
    _user_chain,
)
