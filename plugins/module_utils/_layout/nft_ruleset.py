# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nftables rule set after a plan: live chains, maps and sets, less what is stale, plus what is wanted.

Must not know: devices, options, the kernel. Mirrors ``ruleset.py``; what is not Docker's stays where it is.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Sequence, Tuple

from .._rules import MARK
from .._state import Key, State, select
from . import marked, nft_ranges, nftables
from . import nft_names as names
from .nft_names import CLAMP_CHAIN, USER_CHAIN, Element, chain, scope
from .nft_reading import Rules, recognise
from .placement import Stale, at_the_end, by_chain, place
from .policy import Backend, Binding, Placed, Policy, Ruling, take_along

_USER_JUMP = f"jump {USER_CHAIN}"


def apply_ruling(ruling: Ruling, rules: Rules, live: State, after: State) -> None:
    """Enter the chains, maps and sets of one family into ``after``."""
    take_along(ruling, rules)
    wanted, elements = _wanted(ruling), _wanted_elements(ruling)
    stale = _stale(ruling, rules)
    stale.update((placed.key, placed.rule) for placed in nft_ranges.lookups(ruling.family))
    is_made = ruling.base == "make" or (ruling.base == "auto" and bool(wanted or elements))
    if is_made or ruling.base == "drop":
        for hairpin in (False, True):
            stale.update((placed.key, placed.rule) for placed in nftables.base(ruling.family, hairpin))
    if is_made:
        wanted = nftables.base(ruling.family, ruling.hairpin) + wanted
        _make(after, names.own_chains(ruling.family), names.own_sets(ruling.family))
    for policy in _policies(ruling):
        new = dict.fromkeys(names.network_chains(ruling.family, policy.bridge), "")
        _make(after, new, names.network_sets(policy))
    _enter_elements(ruling.family, elements, _stale_elements(ruling, rules), after)
    if _keep_ranges(ruling.family, after):
        wanted = wanted + nft_ranges.lookups(ruling.family)
    _place(wanted, stale, after)
    _drop_networks(ruling, after)
    _enter_marked(ruling, after)
    if ruling.base == "drop":
        _drop_base(ruling.family, after)
    _enter_policy(ruling.family, after)


def _policies(ruling: Ruling) -> List[Policy]:
    return [net.after for net in ruling.nets.values() if net.after]


def _make(after: State, chains: Dict[Key, str], sets: Dict[Key, str]) -> None:
    for key, hook in chains.items():
        after.setdefault(key, {"hook": hook, "rules": ()})
    for key, kind in sets.items():
        after.setdefault(key, {"type": kind, "flags": names.flags(key), "counts": names.counts(key), "elements": {}})


def _wanted(ruling: Ruling) -> List[Placed]:
    """In dockerd's order: networks, then links."""
    wanted: List[Placed] = []
    for policy in _policies(ruling):
        wanted += nftables.network(policy)
    for policy, item in ruling.links:
        # The network's own rules tell the place of the link's among them.
        wanted += nftables.network(policy) + nftables.link(policy, item)
    return wanted


def _wanted_elements(ruling: Ruling) -> List[Element]:
    elements = [element for policy in _policies(ruling) for element in nftables.jumps(policy)]
    for ip, (policy, bindings) in ruling.endpoints.items():
        elements += nftables.endpoint(policy, ip) + _port_elements(policy, bindings)
    return elements


def _port_elements(policy: Policy, bindings: Sequence[Binding]) -> List[Element]:
    """Ports one by one, and those in ranges; a port that is in a range too is let in by that."""
    ranged = [binding for binding in bindings if binding.compact and nft_ranges.is_interval(policy, binding)]
    elements = nft_ranges.port_ranges(policy, ranged)
    is_in_range = {(binding.protocol, binding.port) for binding in ranged}
    for binding in dict.fromkeys(bindings):
        if (binding.protocol, binding.port) not in is_in_range:
            elements += nftables.port(policy, binding)
        elif not (binding.compact and nft_ranges.is_interval(policy, binding)):
            elements += nftables.translated(policy, binding)
    return elements


def _keep_ranges(family: int, after: State) -> bool:
    """Whether there are ranges; the maps and sets of them go with the last."""
    own = [key for key in names.range_sets(family) if key in after]
    is_used = any(after[key]["elements"] for key in own)
    for key in own if not is_used else ():
        del after[key]
    return is_used


def _stale(ruling: Ruling, rules: Rules) -> Stale:
    """Docker's rules of everything that is touched; those that are wanted again stay."""
    stale: Stale = set()
    for name in ruling.nets:
        stale.update((item.key, item.rule) for item in rules.networks.get(name, ()))
    for ip in [*ruling.endpoints, *ruling.gone]:
        stale.update((item.key, item.rule) for item in rules.of_endpoint(ip))
    for item, link in rules.links():
        if link.client in ruling.clients or {link.client, link.target} & ruling.gone:
            stale.add((item.key, item.rule))
    return stale


def _stale_elements(ruling: Ruling, rules: Rules) -> List[Element]:
    stale: List[Element] = []
    for ip in [*ruling.endpoints, *ruling.gone]:
        stale += rules.elements.get(ip, ())
    for name, net in ruling.nets.items():
        if net.after is None:
            gone = Policy(bridge=name, family=ruling.family, subnet="")
            stale += nftables.jumps(gone)
    return stale


def _place(wanted: Sequence[Placed], stale: Stale, after: State) -> None:
    for key, coming, going in by_chain(wanted, stale):
        if key.name == CLAMP_CHAIN and coming:
            _make(after, {key: names.CLAMP_HOOK}, {})
        if key in after:
            _enter_rules(key, place(after[key]["rules"], coming, going), after)
        if key.name == CLAMP_CHAIN and not after[key]["rules"]:
            del after[key]


def _enter_rules(key: Key, rules: Tuple[str, ...], after: State) -> None:
    if rules != after[key]["rules"]:
        after[key] = {**after[key], "rules": rules}


def _enter_elements(family: int, wanted: Iterable[Element], stale: Iterable[Element], after: State) -> None:
    touched: Dict[Key, Dict[str, str]] = {}

    def elements(key: Key) -> Dict[str, str]:
        if key not in after:
            _make(after, {}, names.range_sets(family))
        if key not in touched:
            touched[key] = dict(after[key]["elements"])
        return touched[key]

    for element in stale:
        if element.key in after:
            elements(element.key).pop(element.name, None)
    for element in wanted:
        elements(element.key)[element.name] = element.value
    for key, new in touched.items():
        if new != after[key]["elements"]:
            after[key] = {**after[key], "elements": new}


def _drop_networks(ruling: Ruling, after: State) -> None:
    """Take away the chains of networks that go, and the maps of those that need none any more."""
    for name, net in ruling.nets.items():
        if net.after is None:
            for key in names.network_chains(ruling.family, name):
                after.pop(key, None)
        own = names.network_sets(net.after) if net.after else {}
        for key in names.network_sets(Policy(bridge=name, family=ruling.family, subnet="")):
            if key not in own:
                after.pop(key, None)


def _enter_marked(ruling: Ruling, after: State) -> None:
    """The rules that are known by their comment: the administrator's at the head, kept bridges at the end."""
    forward, family = chain(ruling.family, "filter-FORWARD"), ruling.family
    if ruling.user_rules is not None:
        own = tuple(nftables.user_rule(rule, family) for rule in ruling.user_rules if family in rule.families)
        _enter_user_rules(family, own, after)
    if ruling.keep is not None:
        kept = [rule for name in ruling.keep for rule in nftables.kept_forwarding(name)]
        if kept:
            _make(after, {forward: names.FORWARD_HOOK}, {})
        if forward in after:
            jumps = {placed.rule for placed in nftables.base(family, ruling.hairpin) if placed.key == forward}
            rules = at_the_end(after[forward]["rules"], kept, f'"{MARK}keep"', jumps | {_USER_JUMP})
            _enter_rules(forward, rules, after)


def _enter_user_rules(family: int, own: Tuple[str, ...], after: State) -> None:
    """A chain of their own, so that ``return`` goes on to Docker's rules."""
    forward, key = chain(family, "filter-FORWARD"), chain(family, USER_CHAIN)
    before: Tuple[str, ...] = after[key]["rules"] if key in after else ()
    rules = (*own, *(rule for rule in before if f'comment "{MARK}' not in rule))
    if rules:
        _make(after, {forward: names.FORWARD_HOOK, key: ""}, {})
        _enter_rules(key, rules, after)
    elif key in after:
        del after[key]
    if forward in after:
        others = tuple(rule for rule in after[forward]["rules"] if rule != _USER_JUMP)
        _enter_rules(forward, (_USER_JUMP, *others) if rules else others, after)


def _drop_base(family: int, after: State) -> None:
    """Take away Docker's chains, maps and sets, but for chains in which there is something of someone else's."""
    for key in names.own_chains(family):
        if key in after and not after[key]["rules"] and not _is_used(key, after):
            del after[key]
    for key in names.own_sets(family):
        if not _is_used(key, after):
            after.pop(key, None)


def _is_used(key: Key, after: State) -> bool:
    """Whether a rule that is left jumps to the chain or looks into the map or set."""
    words = (f"jump {key.name} ", f"goto {key.name} ", f"@{key.name} ")
    chains: Iterable[Any] = (value for _key, value in select(after, "nft_chain", key.scope))
    return any(word in f"{rule} " for value in chains for rule in value["rules"] for word in words)


def _enter_policy(family: int, after: State) -> None:
    """The forward chain's policy is accept, which has no key; drop needs the chain, whatever networks there are."""
    policy, forward = forward_policy(family), chain(family, "filter-FORWARD")
    if after.get(policy) == "DROP":
        _make(after, {forward: names.FORWARD_HOOK}, {})
        return
    after.pop(policy, None)
    is_alone = chain(family, "nat-PREROUTING") not in after
    if is_alone and forward in after and not after[forward]["rules"]:
        del after[forward]


def forward_policy(family: int) -> Key:
    """The Key of the policy of the forward chain."""
    return Key("nft_policy", scope(family), "filter-FORWARD")


def has_base(live: State, family: int) -> bool:
    """Whether the host has chains of Docker's in one family."""
    return chain(family, "nat-PREROUTING") in live


BACKEND = Backend(
    "nftables",
    recognise,
    apply_ruling,  # type: ignore[arg-type]
    has_base,
    forward_policy,
    marked.nftables_user_rules,
    marked.nftables_kept,
    None,
    is_compact=nft_ranges.is_interval,
)
