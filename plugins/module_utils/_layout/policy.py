# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's nouns as a firewall needs them: Policy, Binding, Link, Placed. Must not know: rule texts, the kernel.

Both layouts (iptables, nftables) take these and nothing else.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Protocol,
    Sequence,
    Set,
    Tuple,
    Union,
)

from .._model import Bridge, UserRule
from .._state import Key, State

LOOPBACK = {4: "127.0.0.0/8", 6: "::1/128"}


class Policy(NamedTuple):
    """What the rules of one bridge depend on, in one family."""

    bridge: str
    family: int
    subnet: str
    mode: str = "nat"
    icc: bool = True
    masq: bool = True
    internal: bool = False
    hairpin: bool = False
    snat: Union[str, None] = None
    trusted: Tuple[str, ...] = ()
    direct: bool = False
    fwmark: Union[str, None] = None
    clamp: bool = False
    hardened: bool = False

    @property
    def is_guarded(self) -> bool:
        """Whether an endpoint's own address is closed to all but its bridge."""
        return self.mode == "nat" and not self.internal and not self.direct

    @property
    def is_closed_to_loopback(self) -> bool:
        """Whether what endpoints send to the host's loopback is dropped: without userland proxy it is routed."""
        return self.hardened and self.hairpin and self.family == 4

    @property
    def is_translated(self) -> bool:
        """Whether published ports are reached through a host port."""
        return self.mode in ("nat", "nat-unprotected") and not self.internal


class Binding(NamedTuple):
    """A published port: ``host_ip`` None is every address of the family, ``host_port`` None is no translation.

    ``sources`` are the CIDRs of its family that may reach it; None is everybody, empty is nobody. ``compact`` says
    that it shares a rule with its neighbours.
    """

    protocol: str
    host_ip: Union[str, None]
    host_port: Union[int, None]
    ip: str
    port: int
    sources: Union[Tuple[str, ...], None] = None
    compact: bool = False

    @property
    def place(self) -> Binding:
        """The binding without who may reach it and by which rule: two of the same place are the same port."""
        return self if self.sources is None and not self.compact else self._replace(sources=None, compact=False)

    @property
    def is_loopback(self) -> bool:
        """Whether the host address is one of 127.0.0.0/8 (Docker guards only those from outside)."""
        return self.host_ip is not None and ipaddress.ip_address(self.host_ip) in ipaddress.ip_network(LOOPBACK[4])

    @property
    def host(self) -> str:
        """``0.0.0.0:8080`` as Docker prints it; ``[::]:8080`` for IPv6."""
        ip = self.host_ip or ("::" if ":" in self.ip else "0.0.0.0")
        return f"[{ip}]:{self.host_port}" if ":" in ip else f"{ip}:{self.host_port}"

    @property
    def label(self) -> str:
        """``8080/tcp``: what a pattern of ``ignore`` is compared with."""
        return f"{self.host_port or self.port}/{self.protocol}"

    def __str__(self) -> str:
        target = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"{self.host}->{target}:{self.port}/{self.protocol}"


def fitted(policy: Policy, bindings: Sequence[Binding]) -> List[Binding]:
    """What can be published under a policy: without translation there are no host ports."""
    if policy.is_translated or policy.internal:
        return list(bindings)
    return list(dict.fromkeys(binding._replace(host_ip=None, host_port=None) for binding in bindings))


class Link(NamedTuple):
    """A legacy link: the client may reach one exposed port of the target although icc is off."""

    client: str
    target: str
    protocol: str
    port: int


class Placed(NamedTuple):
    """A rule and its place: at the ``head`` or ``tail`` of its chain, in order of rank within its group."""

    key: Key
    rule: str
    where: str = "tail"
    group: str = ""
    rank: int = 0


def policy(bridge: Bridge, family: int, subnet: object) -> Policy:
    """The policy that a wanted bridge has in one family."""
    snat = bridge.host_ipv4 if family == 4 else bridge.host_ipv6
    return Policy(
        bridge=bridge.name,
        family=family,
        subnet=str(subnet),
        mode=bridge.gateway_mode_ipv4 if family == 4 else bridge.gateway_mode_ipv6,
        icc=bridge.icc,
        masq=bridge.ip_masq,
        internal=bridge.internal,
        hairpin=not bridge.userland_proxy,
        snat=str(snat) if snat else None,
        trusted=bridge.trusted_host_interfaces,
        direct=bridge.allow_direct_routing,
        fwmark=bridge.bridge_accept_fwmark,
        clamp=bridge.clamp_mss,
        hardened=bridge.hardened,
    )


class NetRuling(NamedTuple):
    """A touched bridge: its policy before and after (None: no rules), its subnets, live and wanted, and the addresses
    of live endpoints that need rules now although there may be none that tell of them."""

    before: Union[Policy, None]
    after: Union[Policy, None]
    subnets: FrozenSet[str]
    ips: FrozenSet[str] = frozenset()


@dataclass
class Ruling:
    """What the rules of one family shall say.

    ``endpoints``: address -> its policy and what it publishes. ``gone``: addresses that lose their rules.
    ``clients``: addresses that have the ``links`` given and no others. ``base``: what becomes of Docker's
    chains and jumps: made if there are rules (``auto``), made in any case (``make``), taken away (``drop``).
    ``user_rules``, ``keep``: the administrator's rules and the foreign bridges that are let pass, all of them;
    None leaves them alone. ``hairpin``: any bridge of the host is one without userland proxy.
    """

    family: int
    nets: Dict[str, NetRuling] = field(default_factory=dict)
    endpoints: Dict[str, Tuple[Policy, Sequence[Binding]]] = field(default_factory=dict)
    gone: Set[str] = field(default_factory=set)
    links: List[Tuple[Policy, Link]] = field(default_factory=list)
    clients: Set[str] = field(default_factory=set)
    base: str = "auto"
    hairpin: bool = False
    user_rules: Union[Tuple[UserRule, ...], None] = None
    keep: Union[Tuple[str, ...], None] = None


class Rules(Protocol):
    """Docker's rules of one family as found on the host, whatever the backend."""

    @property
    def networks(self) -> Mapping[str, Sequence[Any]]:
        """Rules by bridge."""

    @property
    def endpoints(self) -> Mapping[str, Sequence[Any]]:
        """Rules by endpoint address."""

    @property
    def names(self) -> Set[str]:
        """The bridges that have rules."""

    def is_hairpin(self, bridge: str) -> bool:
        """Whether a bridge's rules are those without userland proxy."""

    def policy(self, bridge: str, subnet: Union[str, None], is_hairpin: bool) -> Union[Policy, None]:
        """The policy that a bridge's rules express; None if it has none."""

    def bindings(self, ip: str) -> List[Binding]:
        """What an endpoint publishes."""

    def all_bindings(self) -> Iterator[Binding]:
        """What is published on the host."""

    def links(self) -> Sequence[Tuple[Any, Link]]:
        """All link rules, each with the link that it is a part of."""


class Backend(NamedTuple):
    """A firewall layout: how Docker's rules are found, and how a ruling becomes a state.

    ``forward_policy`` tells the Key of the FORWARD policy of a family; ``user_rules`` and ``kept`` what a live state
    says of the administrator's rules and of foreign bridges that are let pass; ``auto_policy`` is the policy that a
    daemon sets which has switched forwarding on itself; ``start`` gives the state that a prediction begins with.
    ``is_compact`` says whether a port can share a rule with its neighbours.
    """

    name: str
    recognise: Callable[[State, int], Rules]
    apply_ruling: Callable[[Ruling, Rules, State, State], None]
    has_base: Callable[[State, int], bool]
    forward_policy: Callable[[int], Key]
    user_rules: Callable[[State, int], Tuple[UserRule, ...]]
    kept: Callable[[State, int], Tuple[str, ...]]
    auto_policy: Union[str, None] = "DROP"
    start: Callable[[State], State] = dict
    is_compact: Callable[[Policy, Binding], bool] = lambda _policy, _binding: True


def take_along(ruling: Ruling, rules: Rules) -> None:
    """A bridge whose policy changes takes its other endpoints along: what they publish is laid anew."""
    for net in ruling.nets.values():
        if net.before == net.after:
            continue
        for ip in _others(ruling, rules, net):
            if net.after is None:
                ruling.gone.add(ip)
            else:
                ruling.endpoints[ip] = (net.after, rules.bindings(ip))
    for ip, (policy, bindings) in ruling.endpoints.items():
        ruling.endpoints[ip] = (policy, fitted(policy, bindings))


def _others(ruling: Ruling, rules: Rules, net: NetRuling) -> List[str]:
    subnets = [ipaddress.ip_network(subnet) for subnet in net.subnets]
    named = ruling.gone.union(ruling.endpoints)
    found = dict.fromkeys([*rules.endpoints, *sorted(net.ips)])
    return [ip for ip in found if ip not in named and _is_in(ip, subnets)]


def _is_in(ip: str, subnets: Iterable[object]) -> bool:
    return any(ipaddress.ip_address(ip) in subnet for subnet in subnets)  # type: ignore[operator]
