# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The iptables rules after a plan: live rules, less what is stale, plus what is wanted, each in its place.

Must not know: devices, options, the kernel. What is stale is judged by texts that only Docker's rules
have, on the bridges and endpoint addresses that the plan touches; everything else stays where it is.
"""

from __future__ import annotations

from typing import Iterator, List, Sequence, Tuple

from .._rules import MARK
from .._state import Key, State, select
from . import iptables, marked
from .iptables import FAMILIES, OWN_CHAINS, USER_CHAIN, chain
from .placement import Stale, at_the_end, by_chain, place
from .policy import Backend, Placed, Ruling, take_along
from .reading import Rules, recognise
from .spans import spans


def apply_ruling(ruling: Ruling, rules: Rules, live: State, after: State) -> None:
    """Enter the chains of one family into ``after``."""
    take_along(ruling, rules)
    wanted = _wanted(ruling)
    stale = _stale(ruling, rules)
    is_made = ruling.base == "make" or (ruling.base == "auto" and bool(wanted))
    if is_made or ruling.base == "drop":
        for hairpin in (False, True):
            stale.update((placed.key, placed.rule) for placed in iptables.base(ruling.family, hairpin))
    if is_made:
        wanted = iptables.base(ruling.family, ruling.hairpin) + wanted
        for key in iptables.own_chains(ruling.family):
            after.setdefault(key, ())
    _place(wanted, stale, live, after)
    _enter_marked(ruling, live, after)
    if ruling.base == "drop":
        _drop_chains(ruling.family, live, after)


def _wanted(ruling: Ruling) -> List[Placed]:
    """In dockerd's order: networks, then endpoint by endpoint its guard and its ports, then links."""
    wanted: List[Placed] = []
    for net in ruling.nets.values():
        wanted += iptables.network(net.after) if net.after else []
    for ip, (policy, bindings) in ruling.endpoints.items():
        wanted += iptables.endpoint(policy, ip)
        for span in spans(bindings):
            wanted += iptables.port(policy, span)
    for policy, item in ruling.links:
        wanted += iptables.link(policy, item)
    return wanted


def _stale(ruling: Ruling, rules: Rules) -> Stale:
    """Docker's rules of everything that is touched; those that are wanted again stay."""
    stale: Stale = set()
    for name, net in ruling.nets.items():
        for item in rules.networks.get(name, ()):
            if item.data.get("subnet") is None or item.data["subnet"] in net.subnets:
                stale.add((item.key, item.rule))
    for ip in [*ruling.endpoints, *ruling.gone]:
        stale.update((item.key, item.rule) for item in rules.of_endpoint(ip))
    for item, link in rules.links():
        if link.client in ruling.clients or {link.client, link.target} & ruling.gone:
            stale.add((item.key, item.rule))
    return stale | set(_stale_marks(ruling, rules))


def _stale_marks(ruling: Ruling, rules: Rules) -> Iterator[Tuple[Key, str]]:
    """A mark's rule names no bridge: it is stale only if no bridge is left that it could be for."""
    if ruling.nets and not set(rules.networks) - set(ruling.nets):
        for item in rules.marks:
            yield item.key, item.rule


def _place(wanted: Sequence[Placed], stale: Stale, live: State, after: State) -> None:
    for key, coming, going in by_chain(wanted, stale):
        before = live.get(key, ())
        rules = place(before, coming, going)
        if rules != before or coming:
            after[key] = rules


def _enter_marked(ruling: Ruling, live: State, after: State) -> None:
    """The rules that are known by their comment: the administrator's at the head, kept bridges at the end."""
    if ruling.user_rules is not None:
        own = [iptables.user_rule(rule, ruling.family) for rule in ruling.user_rules if ruling.family in rule.families]
        key = chain(ruling.family, "filter", USER_CHAIN)
        others = [rule for rule in after.get(key, ()) if f"--comment {MARK}" not in rule]
        if own or key in after:
            after[key] = (*own, *others)
    if ruling.keep is not None:
        key = chain(ruling.family, "filter", "FORWARD")
        kept = [rule for name in ruling.keep for rule in iptables.kept_forwarding(name)]
        jumps = {placed.rule for placed in iptables.base(ruling.family, ruling.hairpin) if placed.key == key}
        rules = at_the_end(after.get(key, ()), kept, f"--comment {MARK}keep ", jumps)
        if rules != after.get(key, ()):
            after[key] = rules


def _drop_chains(family: int, live: State, after: State) -> None:
    """Take away Docker's chains that are empty now; the administrator's DOCKER-USER stays if it says anything."""
    keep_user = [rule for rule in after.get(chain(family, "filter", USER_CHAIN), ()) if rule != "-j RETURN"]
    if keep_user:
        user_jump = chain(family, "filter", "FORWARD"), f"-j {USER_CHAIN}"
        after[user_jump[0]] = _with_jump(live[user_jump[0]], after[user_jump[0]], user_jump[1])
    for table, name in OWN_CHAINS:
        key = chain(family, table, name)
        is_empty = not keep_user if name == USER_CHAIN else not after.get(key)
        if is_empty and not _is_used(key, after):
            after.pop(key, None)


def _is_used(chain_key: Key, state: State) -> bool:
    """Whether a rule of someone else's still jumps to the chain."""
    words = (f"-j {chain_key.name}", f"-g {chain_key.name}")
    others = (rules for key, rules in select(state, "chain", chain_key.scope))
    return any(rule.endswith(words) for rules in others for rule in rules)


def _with_jump(before: Tuple[str, ...], rules: Tuple[str, ...], jump: str) -> Tuple[str, ...]:
    """The chain with a jump that was taken away put back where it was."""
    if jump not in before:
        return rules
    following = [rule for rule in before[before.index(jump) + 1 :] if rule in rules]
    position = rules.index(following[0]) if following else len(rules)
    return (*rules[:position], jump, *rules[position:])


def forward_policy(family: int) -> Key:
    """The Key of the policy of chain FORWARD."""
    return Key("policy", f"{FAMILIES[family]}/filter", "FORWARD")


def has_chains(live: State, family: int) -> bool:
    """Whether the host has chains of Docker's in one family."""
    own = set(iptables.own_chains(family))
    return any(key in own for key, _value in select(live, "chain"))


BACKEND = Backend(
    "iptables",
    recognise,
    apply_ruling,  # type: ignore[arg-type]
    has_chains,
    forward_policy,
    marked.iptables_user_rules,
    marked.iptables_kept,
)
