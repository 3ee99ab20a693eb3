# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nftables rules as the tracer walks them. Must not know: Docker, how rules are read, a packet's way."""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple

from .._rules import OPAQUE, Counts
from .._state import Key, State, select
from .nft_rules import Reader
from .space import bounds
from .tracer import BaseChain
from .walk import Chain, Count, Reading, Rule

_FAMILIES = {4: ("ip", "inet", "netdev"), 6: ("ip6", "inet", "netdev")}
_HOOK = re.compile(r"type (?P<type>\w+) hook (?P<hook>\w+) (?:devices? (?P<devices>.*) )?priority (?P<priority>-?\d+)")
_ONLY_TARGET = re.compile(r"ip6? daddr ([0-9a-f:][0-9a-f.:]*) ")
_HARMLESS = re.compile(r"\b(?:accept|masquerade|snat|return|jump|goto|continue)\b")
_DECIDING = re.compile(r"\?|\b(?:drop|reject|dnat|redirect|queue|tproxy|notrack|mark set)\b")
_ADDRESS = re.compile(r"(?<![\w.:])(?:[0-9]+\.[0-9.]+|[0-9a-f]*:[0-9a-f:.]*)(?:[/-][0-9a-f.:]+)?(?![\w.:])")


def bases(live: State, family: int, counts: Counts, with_sources: bool = True) -> List[BaseChain]:
    """The base chains of all tables of one family.

    :param counts: the counters of rules and elements
    :param with_sources: also those that do no more than change a packet's source
    """
    scopes = dict.fromkeys(key.scope for key, _value in select(live, "nft_chain"))
    own = [scope for scope in scopes if scope.partition(" ")[0] in _FAMILIES[family]]
    return [base for scope in own for base in _bases_of(live, scope, counts, with_sources)]


def _bases_of(live: State, scope: str, counts: Counts, with_sources: bool) -> List[BaseChain]:
    sets = {
        key.name: (value, counts.get(key, {}))
        for kind in ("nft_map", "nft_set")
        for key, value in select(live, kind, scope)
    }
    texts = {key.name: value for key, value in select(live, "nft_chain", scope)}
    chains = {
        name: _chain(value["rules"], sets, counts.get(Key("nft_chain", scope, name), {}))
        for name, value in texts.items()
    }
    named = tuple(_addresses(texts, sets))
    found = []
    for name, value in texts.items():
        hook = _HOOK.match(value["hook"])
        policy = str(live.get(Key("nft_policy", scope, name), "ACCEPT")).lower()
        if hook and (with_sources or policy != "accept" or _matters(name, texts, sets)):
            base = BaseChain(
                hook["hook"], int(hook["priority"]), hook["type"] == "nat", f"{scope} {name}", policy, name, chains
            )
            found.append(
                base._replace(
                    devices=tuple(re.findall(r'"([^"]*)"', hook["devices"] or "")), sources=named, targets=named
                )
            )
    return found


def _chain(rules: Tuple[str, ...], sets: Mapping[str, Any], counts: Mapping[Any, Count]) -> Chain:
    def read(places: Sequence[int]) -> Rule:
        return Reader(rules[places[0]], sets, counts.get(places[0])).rule()

    return Chain(rules, Reading(read, _ONLY_TARGET))


def _matters(name: str, texts: Mapping[str, Any], sets: Mapping[str, Any]) -> bool:
    """Whether a chain, or one that it leads to, can end a packet's way, or send or mark it otherwise."""
    waiting, seen = [name], {name}
    while waiting:
        words = [_told(text) for text in texts.get(waiting.pop(), {"rules": ()})["rules"]]
        words += [verdict for text in words for verdict in _verdicts(text, sets)]
        if any(_DECIDING.search(text) for text in words):
            return True
        for text in words:
            onward = re.findall(r"(?:jump|goto) (\S+?),?(?=\s|$)", text)
            waiting += [chain for chain in onward if chain not in seen]
            seen.update(onward)
    return False


def _told(text: str) -> str:
    """A rule without what was told beside its words."""
    return re.sub(r'comment "[^"]*"', "", text[len(OPAQUE) :].partition(" # [")[0] if text.startswith(OPAQUE) else text)


def _verdicts(text: str, sets: Mapping[str, Any]) -> Iterator[str]:
    for name in re.findall(r"vmap @(\S+)", text):
        if name in sets:
            yield from sets[name][0]["elements"].values()


def _addresses(texts: Mapping[str, Any], sets: Mapping[str, Any]) -> Iterator[str]:
    """Every address and net that rules name, themselves or by a set: what is compared may be a source or a target."""
    rules = [_told(text) for value in texts.values() for text in value["rules"] if "addr " in text]
    found: Dict[str, None] = {}
    for text in rules:
        found.update(dict.fromkeys(_ADDRESS.findall(text)))
    used = {name for text in rules for name in re.findall(r"@([^\s,]+)", text)}
    for name in used & set(sets):
        for element in sets[name][0]["elements"]:
            found.update(dict.fromkeys(part for part in element.split(" . ") if "." in part or ":" in part))
    for text in found:
        try:
            bounds(text)
        except ValueError:
            continue
        yield text
