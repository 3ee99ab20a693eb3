# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker Engine 29's iptables rules, in iptables-save spelling. Must not know: the kernel, what is live.

Each function gives the rules of one noun in the order in which dockerd makes them, with their places.
"""

from __future__ import annotations

import functools
from typing import List

from .._model import UserRule
from .._rules import MARK
from .._state import Key
from .policy import LOOPBACK, Link, Placed, Policy
from .spans import Span

FAMILIES = {4: "ip", 6: "ip6"}
# In dockerd's order; DOCKER-USER is the administrator's, it is made empty and never written to.
OWN_CHAINS = (
    ("nat", "DOCKER"),
    ("filter", "DOCKER"),
    ("filter", "DOCKER-FORWARD"),
    ("filter", "DOCKER-BRIDGE"),
    ("filter", "DOCKER-CT"),
    ("filter", "DOCKER-INTERNAL"),
    ("filter", "DOCKER-USER"),
)
USER_CHAIN = "DOCKER-USER"
BASE_CHAIN = "DOCKER"  # in table filter: its presence says that Docker's chains are there


@functools.cache
def chain(family: int, table: str, name: str) -> Key:
    """The Key of a chain: ``chain ip/nat DOCKER``."""
    return Key("chain", f"{FAMILIES[family]}/{table}", name)


def own_chains(family: int) -> List[Key]:
    """The chains that dockerd makes, whatever networks there are."""
    return [chain(family, table, name) for table, name in OWN_CHAINS]


def base(family: int, hairpin: bool) -> List[Placed]:
    """The jumps into Docker's chains; with hairpin also for what the host sends to its loopback."""
    local = "-m addrtype --dst-type LOCAL -j DOCKER"
    output = local if hairpin else f"! -d {LOOPBACK[family]} {local}"
    forward = chain(family, "filter", "DOCKER-FORWARD")
    return [
        Placed(chain(family, "nat", "PREROUTING"), local),
        Placed(chain(family, "nat", "OUTPUT"), output),
        Placed(chain(family, "filter", "FORWARD"), "-j DOCKER-FORWARD", "head", "base", 1),
        Placed(forward, "-j DOCKER-BRIDGE", "head", "base", 3),
        Placed(forward, "-j DOCKER-INTERNAL", "head", "base", 2),
        Placed(forward, "-j DOCKER-CT", "head", "base", 1),
        Placed(chain(family, "filter", "FORWARD"), f"-j {USER_CHAIN}", "head", "base", 0),
    ]


def network(policy: Policy) -> List[Placed]:
    """The rules of one network."""
    if policy.internal:
        return _internal(policy) + _hardening(policy)
    return _translation(policy) + _forwarding(policy) + _reception(policy) + _clamping(policy) + _hardening(policy)


def _hardening(policy: Policy) -> List[Placed]:
    """What Docker's rules leave open (``hardened``): the host's loopback to endpoints that forge packets, an internal
    network to those who forge a source of its own."""
    br, rules = policy.bridge, []
    if policy.is_closed_to_loopback:
        rule = f"-d {LOOPBACK[4]} -i {br} -j DROP"
        rules.append(Placed(chain(policy.family, "raw", "PREROUTING"), rule, "tail", br))
    if policy.hardened and policy.internal:
        rule = f"! -i {br} -o {br} -j DROP"
        rules.append(Placed(chain(policy.family, "filter", "DOCKER-INTERNAL"), rule, "head", br, 2))
    return rules


def _clamping(policy: Policy) -> List[Placed]:
    """TCP connections learn the path's MTU from their first packets (``clamp_mss``; Docker has no such option)."""
    key = chain(policy.family, "mangle", "FORWARD")
    clamp = "-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu"
    ways = [f"-i {policy.bridge}", f"-o {policy.bridge}"] if policy.clamp else []
    return [Placed(key, f"{way} {clamp}", "tail", policy.bridge) for way in ways]


def _internal(policy: Policy) -> List[Placed]:
    """Nothing in from elsewhere, nothing out to elsewhere."""
    br, net = policy.bridge, policy.subnet
    internal = chain(policy.family, "filter", "DOCKER-INTERNAL")
    others_in, others_out = ("", "") if policy.family == 4 else (f"! -i {br} ", f" ! -o {br}")
    verdict = "ACCEPT" if policy.icc else "DROP"
    return [
        Placed(internal, f"! -d {net} -i {br}{others_out} -j DROP", "head", br, 1),
        Placed(internal, f"! -s {net} {others_in}-o {br} -j DROP", "head", br, 0),
        Placed(chain(policy.family, "filter", "DOCKER-FORWARD"), f"-i {br} -o {br} -j {verdict}", "tail", br),
    ]


def _translation(policy: Policy) -> List[Placed]:
    """Source translation of what leaves the network, and of what the host itself sends into it."""
    br, key = policy.bridge, chain(policy.family, "nat", "POSTROUTING")
    target = f"SNAT --to-source {policy.snat}" if policy.snat else "MASQUERADE"
    rules = []
    if policy.masq and policy.mode != "routed":
        rules.append(Placed(key, f"-s {policy.subnet} ! -o {br} -j {target}", "head", br, 1))
    if policy.hairpin:
        rules.append(Placed(key, f"-o {br} -m addrtype --src-type LOCAL -j {target}", "head", br, 0))
    return rules


def _forwarding(policy: Policy) -> List[Placed]:
    br, key = policy.bridge, chain(policy.family, "filter", "DOCKER-FORWARD")
    rules = []
    if policy.fwmark:
        rules.append(Placed(key, f"-m mark --mark {policy.fwmark} -j ACCEPT", "head", "mark"))
    if policy.icc:
        return rules + [Placed(key, f"-i {br} -j ACCEPT", "tail", br)]
    return rules + [
        Placed(key, f"-i {br} -o {br} -j DROP", "tail", br, 0),
        Placed(key, f"-i {br} ! -o {br} -j ACCEPT", "tail", br, 1),
    ]


def _reception(policy: Policy) -> List[Placed]:
    """What may come in from outside the bridge: replies, and what passes chain DOCKER."""
    br, docker = policy.bridge, chain(policy.family, "filter", "DOCKER")
    rules = []
    if policy.mode == "routed":
        icmp = "icmp" if policy.family == 4 else "ipv6-icmp"
        rules.append(Placed(docker, f"-o {br} -p {icmp} -j ACCEPT", "tail", br, 0))
    verdict = "ACCEPT" if policy.mode == "nat-unprotected" else "DROP"
    related = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    return rules + [
        Placed(docker, f"! -i {br} -o {br} -j {verdict}", "tail", br, 1),
        Placed(chain(policy.family, "filter", "DOCKER-CT"), f"-o {br} {related}", "tail", br),
        Placed(chain(policy.family, "filter", "DOCKER-BRIDGE"), f"-o {br} -j DOCKER", "tail", br),
    ]


def host(ip: str) -> str:
    """An address as iptables-save prints it: ``172.17.0.2/32``."""
    return f"{ip}/128" if ":" in ip else f"{ip}/32"


def endpoint(policy: Policy, ip: str) -> List[Placed]:
    """The guard of an endpoint's own address (Docker 28 and later), behind what trusted interfaces may do."""
    if not policy.is_guarded:
        return []
    key, address = chain(policy.family, "raw", "PREROUTING"), host(ip)
    rules = [Placed(key, f"-d {address} -i {name} -j ACCEPT", "tail", ip, 0) for name in policy.trusted]
    return rules + [Placed(key, f"-d {address} ! -i {policy.bridge} -j DROP", "tail", ip, 1)]


def port(policy: Policy, span: Span) -> List[Placed]:
    """The rules of one published port, or of a run of them. Docker gives one without a host port no translation."""
    if policy.internal:
        return []
    rules = _translated(policy, span) if span.first.host_port else []
    if policy.mode == "nat-unprotected" and span.first.sources is None:
        return rules
    return rules + _accepted(policy, span)


def _accepted(policy: Policy, span: Span) -> List[Placed]:
    """Who may reach the container's port: everybody, or each allowed source and then nobody else."""
    br, key, binding = policy.bridge, chain(policy.family, "filter", "DOCKER"), span.first
    proto = f"-p {binding.protocol} -m {binding.protocol}"
    port = f"-d {host(binding.ip)} ! -i {br} -o {br} {proto} --dport {span.answering()}"
    if binding.sources is None:
        return [Placed(key, f"{port} -j ACCEPT", "head", port)]
    allowed = [f"-s {source} {port} -j ACCEPT" for source in reversed(binding.sources)]
    # Where the bridge's own verdict is DROP too, this one says that nobody else is meant, if nobody is allowed at all.
    drop = Placed(key, f"{port} -j DROP", "head", port, 1)
    return [drop, *(Placed(key, rule, "head", port, 0) for rule in allowed)]


def _translated(policy: Policy, span: Span) -> List[Placed]:
    family, br, binding = policy.family, policy.bridge, span.first
    ip = host(binding.ip)
    proto = f"-p {binding.protocol} -m {binding.protocol}"
    bound = f"-d {host(binding.host_ip)} " if binding.host_ip else ""
    rules = []
    if family == 4 and binding.is_loopback:
        remote = f"{bound}! -i lo {proto} --dport {span.asked()} -j DROP"
        rules.append(Placed(chain(family, "raw", "PREROUTING"), remote, "tail", remote))
    linklocal = "" if family == 4 else "! -s fe80::/10 "
    inside = "" if policy.hairpin else f"! -i {br} "
    dnat = f"{linklocal}{bound}{inside}{proto} --dport {span.asked()} -j DNAT --to-destination {_target(span)}"
    rules.append(Placed(chain(family, "nat", "DOCKER"), dnat, "tail", dnat))
    if policy.hairpin:
        own = f"-s {ip} -d {ip} {proto} --dport {span.answering()} -j MASQUERADE"
        rules.append(Placed(chain(family, "nat", "POSTROUTING"), own, "tail", own))
    return rules


def _target(span: Span) -> str:
    """Where a translation leads; the ports of a run are counted from the first, where they are others at all."""
    ip = span.first.ip
    if span.size > 1 and not span.is_shifted:
        return ip
    counted = f"/{span.first.host_port}" if span.size > 1 else ""
    return f"[{ip}]:{span.answering('-')}{counted}" if ":" in ip else f"{ip}:{span.answering('-')}{counted}"


def link(policy: Policy, item: Link) -> List[Placed]:
    """The two rules of a legacy link; with icc on Docker makes none."""
    if policy.icc or policy.internal:
        return []
    br, key = policy.bridge, chain(policy.family, "filter", "DOCKER")
    client, target = host(item.client), host(item.target)
    proto = f"-p {item.protocol} -m {item.protocol}"
    there = f"-s {client} -d {target} -i {br} -o {br} {proto} --dport {item.port} -j ACCEPT"
    back = f"-s {target} -d {client} -i {br} -o {br} {proto} --sport {item.port} -j ACCEPT"
    return [Placed(key, there, "tail", there), Placed(key, back, "tail", back)]


_REJECT = {4: "REJECT --reject-with icmp-port-unreachable", 6: "REJECT --reject-with icmp6-port-unreachable"}


def user_rule(rule: UserRule, family: int) -> str:
    """One of the administrator's own rules, for the head of DOCKER-USER."""
    words = []
    for option, value in (("-s", rule.source), ("-d", rule.destination)):
        if value is not None and value.prefixlen:
            words.append(f"{option} {value}")
    words += [f"-i {rule.in_interface}"] if rule.in_interface else []
    words += [f"-o {rule.out_interface}"] if rule.out_interface else []
    words += [f"-p {rule.protocol}"] if rule.protocol else []
    if rule.destination_port:
        low, high = rule.destination_port
        words.append(f"-m {rule.protocol} --dport {low if low == high else f'{low}:{high}'}")
    if rule.ctstate:
        words.append(f"-m conntrack --ctstate {','.join(state for state in _STATES if state in rule.ctstate)}")
    if rule.host_port:
        words.append(f"-m conntrack --ctorigdstport {rule.host_port}")
    action = _REJECT[family] if rule.action == "reject" else rule.action.upper()
    return " ".join([*words, f"-m comment --comment {MARK}{rule.name}", f"-j {action}"])


_STATES = ("INVALID", "NEW", "RELATED", "ESTABLISHED")  # in iptables-save's order


def kept_forwarding(name: str) -> List[str]:
    """The rules for the end of FORWARD that let a foreign bridge's traffic pass."""
    return [f"{way} {name} -m comment --comment {MARK}keep -j ACCEPT" for way in ("-i", "-o")]
