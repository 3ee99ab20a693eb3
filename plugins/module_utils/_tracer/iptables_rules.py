# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of one iptables rule. Must not know: chains, tables, Docker."""

from __future__ import annotations

import re
import shlex
from typing import Callable, Dict, Iterator, List, Sequence, Tuple, cast

from . import conditions as ask
from .elements import Deed, Elements, Field, looking_up
from .ports import Count
from .walk import Action, Condition, Rule, rule_of

PASSING = (
    *("LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "TTL", "HL", "TOS", "DSCP", "ECN", "CHECKSUM", "CLASSIFY", "TCPMSS"),
    *("TCPOPTSTRIP", "CONNMARK", "CONNSECMARK", "SECMARK", "SET", "TEE", "RATEEST", "IDLETIMER", "LED", "CT", ""),
)
_VERBS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "RETURN": "return", "MASQUERADE": "masquerade"}

# Rules that differ in one port, and where it leads to, which there may be ten thousands of.
OF_ONE_PORT = re.compile(
    r"(?P<head>[^\"]*-p (?P<protocol>\S+) -m (?P=protocol)) --dport (?P<port>\d+) -j "
    r"(?P<verb>ACCEPT|DROP|DNAT)(?: --to-destination (?P<target>[0-9.]+:\d+|\[[0-9a-f:]+\]:\d+))?"
)


def rule_of_many(texts: Sequence[str], counts: Sequence[Count | None]) -> Rule:
    """Rules that are alike as one that looks the port up; of two for one port the first one holds."""
    elements: Dict[str, str] = {}
    counted: Dict[str, Count | None] = {}
    for text, count in zip(texts, counts):
        match = cast("re.Match[str]", OF_ONE_PORT.fullmatch(text))
        address, _colon, port = (match["target"] or "").rpartition(":")
        if match["port"] not in elements:
            elements[match["port"]] = f"{address.strip('[]')} . {port}"
            counted[match["port"]] = count
    looked_up = Elements([Field("port")], elements, True, counted)
    verb = Action(_VERBS.get(match["verb"], "dnat"))
    return looking_up(_conditions(match["head"].split()), Deed(verb, looked_up, verb.verb == "dnat"))


def rule_of_text(text: str, chains: Dict[str, Tuple[str, ...]], count: Count | None) -> Rule:
    """A rule in iptables-save's words, and its counter."""
    try:
        words = shlex.split(text) if '"' in text or "\\" in text else text.split()
    except ValueError:
        return rule_of([ask.unknown], Action("unknown"))
    matches, target = _split(words)
    action = _action(target, chains)
    if action.verb == "pass":
        return lambda _flow, _space, _site: ()
    is_counted = "--dport" in matches or "--dports" in matches
    return rule_of(_conditions(matches), action._replace(counter=count if is_counted else None))


def _split(words: List[str]) -> Tuple[List[str], List[str]]:
    """The matches of a rule, and its target with the target's own words."""
    for index, word in enumerate(words):
        if word in ("-j", "-g"):
            return words[:index], words[index:]
    return words, []


def _action(words: List[str], chains: Dict[str, Tuple[str, ...]]) -> Action:
    name = words[1] if words else ""
    if name in chains:
        return Action("goto" if words[0] == "-g" else "jump", name)
    if name in _VERBS:
        return Action(_VERBS[name])
    if name == "SNAT":
        return Action("masquerade")
    if name in ("DNAT", "REDIRECT"):
        return _translation(words)
    if name == "MARK":
        return Action("mark", mark=_new_mark(words))
    if name == "NOTRACK" or (name == "CT" and "--notrack" in words):
        return Action("notrack")
    return Action("pass" if name in PASSING else "unknown")


def _new_mark(words: List[str]) -> Tuple[int, int] | None:
    """``--set-xmark value/mask``: what stays, and what is turned over."""
    if "--set-xmark" not in words:
        return None
    value, _slash, mask = words[words.index("--set-xmark") + 1].partition("/")
    return 0xFFFFFFFF & ~int(mask or "0xffffffff", 0), int(value, 0)


def _translation(words: List[str]) -> Action:
    if "--to-destination" in words:
        address, ports = _place(words[words.index("--to-destination") + 1])
        action = Action("dnat", address=address)
    elif words[1] == "REDIRECT":
        action, ports = Action("redirect"), words[words.index("--to-ports") + 1] if "--to-ports" in words else ""
    else:
        return Action("unknown")
    span, slash, first = ports.partition("/")
    low, dash, high = span.partition("-")
    if not dash:
        return action._replace(port=int(low or 0))
    if not slash:  # the kernel takes the one or the other
        return action._replace(port=int(low), is_sure=False)
    count = int(high) - int(low) + 1
    return action._replace(ports={int(low) + step: [(int(first) + step,) * 2] for step in range(count)})


def _place(text: str) -> Tuple[str, str]:
    """``172.17.0.2:80``, ``[fd00::2]:80-89/8000``, or an address alone; of a range of addresses the first."""
    if text.startswith("[") or text.count(":") == 1:
        address, _colon, ports = text.rpartition(":")
        return address.strip("[]").partition("-")[0], ports
    return text.partition("-")[0], ""


def _conditions(words: List[str]) -> List[Condition]:
    """The tests of a rule's matches; a match that is not known is one whose answer nobody knows."""
    found: List[Condition] = []
    module, is_negated, rest = "", False, iter(words)
    for word in rest:
        if word == "!":
            is_negated = True
        elif word == "-m":
            module = next(rest, "")
            found += [_bare(module, words)] if module in _BARE else []
        elif word.startswith("-"):
            found.append(_condition(f"{module} {word}" if module in _OWN_WORDS else word, rest, is_negated))
            is_negated = False
    return found


# Matches that may have no words of their own and yet do not fit every packet; those whose words mean something else.
_BARE = ("socket", "eui64", "rt", "ipv6header", "rpfilter")
_OWN_WORDS = ("connmark", "sctp", "dccp", "rpfilter")


def _bare(module: str, words: Sequence[str]) -> Condition:
    return ask.has_way_back("--invert" in words) if module == "rpfilter" and "--loose" not in words else ask.unknown


def _condition(word: str, rest: Iterator[str], is_negated: bool) -> Condition:
    known = _KNOWN.get(word)
    if known is None:
        return ask.unknown
    try:
        return known(rest, is_negated)
    except ValueError:  # in words that are not understood
        return ask.unknown


Reader = Callable[[Iterator[str], bool], Condition]


def _listed(make: Callable[[Sequence[str], bool], Condition]) -> Reader:
    return lambda rest, is_negated: make(next(rest).split(","), is_negated)


def _ports(make: Callable[[int, bool], Condition]) -> Reader:
    return lambda rest, is_negated: make(ask.ports_mask(next(rest).split(",")), is_negated)


def _protocol(rest: Iterator[str], is_negated: bool) -> Condition:
    name = next(rest)
    return ask.protocol([_NUMBERS.get(name, name)], is_negated)


def _mark(rest: Iterator[str], is_negated: bool) -> Condition:
    value, _slash, mask = next(rest).partition("/")
    return ask.mark(int(value, 0), int(mask or "0xffffffff", 0), is_negated)


def _flags(rest: Iterator[str], is_negated: bool) -> Condition:
    mask, wanted = next(rest).split(","), next(rest).split(",")
    return ask.new_connection(mask, [name for name in wanted if name != "NONE"], is_negated)


def _anything(rest: Iterator[str], _is_negated: bool) -> Condition:
    """A remark: it asks nothing."""
    next(rest)
    return ask.known(lambda _flow, _site: True)


def _nothing(_rest: Iterator[str], _is_negated: bool) -> Condition:
    """A word that another one has taken along."""
    return ask.known(lambda _flow, _site: True)


def _one_of(*names: str) -> Reader:
    """What is the same for every first packet of a connection to one host."""

    def read(rest: Iterator[str], is_negated: bool) -> Condition:
        answer = next(rest) in names
        return ask.known(lambda _flow, _site: answer, is_negated)

    return read


_NUMBERS = {"6": "tcp", "17": "udp", "132": "sctp"}
_KNOWN: Dict[str, Reader] = {
    "-s": _listed(ask.sources),
    "--src-range": _listed(ask.sources),
    "-d": _listed(ask.targets),
    "--dst-range": _listed(ask.targets),
    "--ctorigdst": _listed(ask.asked_targets),
    "-i": _listed(ask.interface),
    "-o": _listed(ask.out_interface),
    "-p": _protocol,
    "--comment": _anything,
    "--ctdir": _one_of("ORIGINAL"),
    "--pkt-type": _one_of("unicast"),
    "rpfilter --invert": _nothing,
    "rpfilter --validmark": _nothing,
    "sctp --dport": _ports(ask.ports),
    "sctp --sport": _ports(ask.client_ports),
    "--dport": _ports(ask.ports),
    "--dports": _ports(ask.ports),
    "--sport": _ports(ask.client_ports),
    "--sports": _ports(ask.client_ports),
    "--ctorigdstport": _ports(ask.asked_ports),
    "--ctstate": _listed(ask.states),
    "--state": _listed(ask.states),
    "--mark": _mark,
    "--tcp-flags": _flags,
    "--dst-type": _listed(ask.target_kind),
    "--src-type": _listed(ask.source_kind),
}
