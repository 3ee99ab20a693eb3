# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iptables rules as the tracer walks them. Must not know: Docker, how rules are read, a packet's way."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from .._rules import Counts
from .._state import Key, State, select
from .iptables_rules import OF_ONE_PORT, PASSING, rule_of_many, rule_of_text
from .ports import Count
from .space import bounds
from .tracer import BaseChain
from .walk import Chain, Reading, Rule

_PRIORITIES = {"raw": -300, "mangle": -150, "filter": 0, "security": 50}
_NAT = {"PREROUTING": -100, "OUTPUT": -100, "INPUT": 100, "POSTROUTING": 100}
_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
_FAMILIES = {4: "ip", 6: "ip6"}
_HARMLESS = {"ACCEPT", "RETURN", "MASQUERADE", "SNAT"} | set(PASSING)
_ONLY_TARGET = re.compile(r"(?:(?:! )?-s \S+ )?-d ([0-9a-f.:]+)/(?:32|128) ")
_SOURCE = re.compile(r"-s (\S+)|--src-range (\S+)|--ctorigsrc (\S+)")
_TARGET = re.compile(r"-d (\S+)|--dst-range (\S+)|--ctorigdst (\S+)")
_VERB = re.compile(r"(?:^|\s)-[jg] (\S+)")


def bases(live: State, family: int, counts: Counts, with_sources: bool = True) -> List[BaseChain]:
    """The built-in chains of one family.

    :param counts: the counters of the rules
    :param with_sources: also those that do no more than change a packet's source
    """
    found = []
    for table in ("raw", "mangle", "nat", "filter", "security"):
        scope = f"{_FAMILIES[family]}/{table}"
        texts = {key.name: value for key, value in select(live, "chain", scope)}
        policies = {key.name: str(value) for key, value in select(live, "policy", scope)}
        chains = {
            name: _chain(rules, texts, counts.get(Key("chain", scope, name), {})) for name, rules in texts.items()
        }
        for name in _HOOKS:
            if name in texts and (with_sources or _matters(name, texts, policies)):
                found.append(_base(scope, name, texts, policies.get(name, "ACCEPT"), chains))
    return found


def _base(scope: str, name: str, texts: Dict[str, Tuple[str, ...]], policy: str, chains: Dict[str, Chain]) -> BaseChain:
    table = scope.partition("/")[2]
    whole = "\n".join(text for rules in texts.values() for text in rules)
    return BaseChain(
        hook=name.lower(),
        priority=_NAT[name] if table == "nat" else _PRIORITIES[table],
        is_nat=table == "nat",
        label=f"{table} {name}",
        policy=policy.lower(),
        name=name,
        chains=chains,
        sources=tuple(_named(_SOURCE, whole)),
        targets=tuple(_named(_TARGET, whole)),
    )


def _named(pattern: re.Pattern[str], text: str) -> Iterator[str]:
    """The addresses and nets that rules name; what is none is no bound."""
    for found in dict.fromkeys(match.group(match.lastindex or 0) for match in pattern.finditer(text)):
        for part in found.split(","):
            try:
                bounds(part)
            except ValueError:
                continue
            yield part


def _matters(name: str, texts: Dict[str, Tuple[str, ...]], policies: Dict[str, str]) -> bool:
    """Whether a built-in chain can end a packet's way, or send or mark it otherwise."""
    if policies.get(name, "ACCEPT") != "ACCEPT":
        return True
    waiting, seen = [name], set()
    while waiting:
        chain = waiting.pop()
        seen.add(chain)
        verbs = {verb for text in texts[chain] for verb in _VERB.findall(text)}
        if any(verb not in texts and verb not in _HARMLESS for verb in verbs) or any(verb == "CT" for verb in verbs):
            return True
        waiting += [verb for verb in verbs if verb in texts and verb not in seen]
    return False


def _likeness(text: str) -> str:
    match = OF_ONE_PORT.fullmatch(text)
    return f"{match['head']} {match['verb']}" if match else ""


def _chain(rules: Sequence[str], texts: Dict[str, Tuple[str, ...]], counts: Mapping[Any, Count]) -> Chain:
    def read(places: Sequence[int]) -> Rule:
        if len(places) == 1:
            return rule_of_text(rules[places[0]], texts, counts.get(places[0]))
        return rule_of_many([rules[place] for place in places], [counts.get(place) for place in places])

    return Chain(rules, Reading(read, _ONLY_TARGET, _likeness))
