# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One nftables rule, word by word. Must not know: chains, tables, Docker."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

from .._rules import OPAQUE
from . import conditions as ask
from .elements import VERDICTS, Deed, Elements, Field, looking_up, outside
from .nft_fields import FIELDS, LONGEST
from .site import Site
from .space import Space, merged
from .walk import Action, Answer, Condition, Count, Flow, Rule, rule_of

_WORDS = re.compile(r'"[^"]*"|[{}]|[^\s{},]+|,')
# Statements that have no words here, and neither end a packet's way nor ask anything.
_PASSING = ("?log", "?counter", "?ct helper", "?comment", "?dup", "?flow", "?set")
# What may end a packet's way in a manner of its own; as words, and as statements that have no words here.
_STRANGE = {f"{mark}{name}" for mark in ("", "?") for name in ("dnat", "snat", "queue", "redirect", "tproxy", "map")}
_STRANGE |= {"?jump", "?goto"}


class Unknown(Exception):
    """A part of a rule that is not understood."""


class Reader:
    """One rule's text.

    :param sets: name -> value and counters of the table's sets and maps
    :param count: the rule's own counter
    """

    def __init__(self, text: str, sets: Mapping[str, Tuple[Any, Any]], count: Union[Count, None]) -> None:
        self._sets, self._count = sets, count
        told = text[len(OPAQUE) :].partition(" # [")[0] if text.startswith(OPAQUE) else text
        self._words: List[str] = _WORDS.findall(told)
        self._place = 0
        self._conditions: List[Condition] = []
        self._deed = Deed(Action("pass"))

    def rule(self) -> Rule:
        """The rule as a function of packets."""
        while self._place < len(self._words):
            start = self._place
            try:
                self._part()
            except (Unknown, ValueError):
                self._conditions.append(ask.unknown)
                self._deed = _last_words(self._words[start:])
                break
        conditions, deed = self._conditions, self._deed
        if deed.elements is None and deed.action.verb == "pass":
            return lambda _flow, _space, _site: ()
        # What counts the packets of a whole set tells nothing of its ports.
        is_counted = "dport" in self._words and not any(word.startswith("@") for word in self._words)
        action = deed.action._replace(counter=self._count if is_counted else None)
        return looking_up(conditions, deed._replace(action=action)) if deed.elements else rule_of(conditions, action)

    def _next(self) -> str:
        if self._place >= len(self._words):
            raise Unknown
        self._place += 1
        return self._words[self._place - 1]

    def _is_next(self, *words: str) -> bool:
        return tuple(self._words[self._place : self._place + len(words)]) == words

    def _part(self) -> None:
        word = self._next()
        if word == "comment":
            self._place += 1
        elif word.startswith("?") and word not in _STRANGE:
            self._statement(word)
        elif word in VERDICTS:
            self._verdict(word)
        elif word in ("jump", "goto"):
            self._deed = Deed(Action(word, self._next()))
        elif word in ("snat", "dnat", "redirect"):
            self._deed = self._translation(word)
        elif word in ("queue", "tproxy") or word in _STRANGE:
            self._deed = Deed(Action("unknown"))
        elif word not in ("counter", "continue"):
            self._place -= 1
            self._match()

    def _statement(self, word: str) -> None:
        """One that has no words here."""
        if word == "?reject":
            self._deed = Deed(Action("drop"))
        elif word == "?mangle":
            self._deed = Deed(Action("mark"))
        elif word == "?notrack":
            self._deed = Deed(Action("notrack"))
        elif word not in _PASSING:
            self._conditions.append(ask.unknown)

    def _verdict(self, word: str) -> None:
        if self._is_next("with"):
            self._place += 3
        self._deed = Deed(Action(VERDICTS[word]))

    def _translation(self, verb: str) -> Deed:
        if not self._is_next("to"):
            return Deed(Action(verb if verb == "redirect" else "unknown"))
        self._place += 1
        if verb == "snat":
            self._place = len(self._words)
            return Deed(Action("masquerade"))
        if self._is_expression():
            fields = self._fields()
            if self._next() != "map":
                raise Unknown
            return Deed(Action("dnat"), self._elements(self._next(), fields, True), True)
        return Deed(_translated(verb, self._next()))

    def _is_expression(self) -> bool:
        rest = tuple(self._words[self._place : self._place + LONGEST])
        return any(rest[:length] in FIELDS for length in range(1, LONGEST + 1))

    def _fields(self) -> List[Field]:
        """An expression, or several with dots between."""
        found: List[Field] = []
        while True:
            rest = tuple(self._words[self._place : self._place + LONGEST])
            length = next((size for size in range(LONGEST, 0, -1) if rest[:size] in FIELDS), 0)
            if not length:
                raise Unknown
            found.append(FIELDS[rest[:length]])
            self._place += length
            if not self._is_next("."):
                return found
            self._place += 1

    def _match(self) -> None:
        if self._words[self._place] == "fib":
            special = self._reverse_path()
            if special:
                self._conditions.append(special)
                return
        if self._is_next("tcp", "flags"):
            self._conditions.append(self._flags())
            return
        if self._is_next("meta", "mark", "set"):
            self._place += 3
            self._deed = Deed(Action("mark", mark=(0, int(self._next(), 0))))
            return
        is_mark = self._is_next("meta", "mark")
        fields, word = self._fields(), self._next()
        if word == "vmap":
            self._deed = Deed(Action("unknown"), self._elements(self._next(), fields))
        elif word == "&":
            self._conditions.append(self._masked(is_mark))
        else:
            is_negated = word == "!="
            elements = self._elements(self._next() if is_negated else word, fields)
            self._conditions.append(_condition(elements, fields, is_negated))

    def _masked(self, is_mark: bool) -> Condition:
        mask, sign, value = self._next(), self._next(), self._next()
        if not is_mark or sign != "==":
            raise Unknown
        return ask.mark(int(value, 0), int(mask, 0))

    def _reverse_path(self) -> Union[Condition, None]:
        """``fib saddr . iif oif missing``, and the kind of a source."""
        if self._is_next("fib", "saddr", "type"):
            self._place += 3
            return ask.source_kind([self._next()])
        for words in (("fib", "saddr", ".", "iif", "oif"), ("fib", "saddr", ".", "mark", ".", "iif", "oif")):
            if self._is_next(*words):
                self._place += len(words)
                return ask.has_way_back(self._next() == "missing")
        return None

    def _flags(self) -> Condition:
        """``tcp flags syn / syn,rst``."""
        self._place += 2
        wanted = self._listed()
        if self._next() != "/":
            raise Unknown
        return ask.new_connection(self._listed(), wanted)

    def _listed(self) -> List[str]:
        found = [self._next()]
        while self._is_next(","):
            self._place += 1
            found.append(self._next())
        return found

    def _elements(self, word: str, fields: Sequence[Field], is_map: bool = False) -> Elements:
        """A named set or map, a set in braces, or one value or list of values."""
        if word.startswith("@"):
            if word[1:] not in self._sets:
                raise Unknown
            value, counts = self._sets[word[1:]]
            return Elements(fields, value["elements"], is_map, counts)
        if word != "{":
            self._place -= 1
            return Elements(fields, dict.fromkeys(self._listed(), ""))
        found: Dict[str, str] = {}
        while not self._is_next("}"):
            name, value = self._element()
            found[name] = value
        self._place += 1
        return Elements(fields, found, is_map)

    def _element(self) -> Tuple[str, str]:
        """``80``, ``tcp . 80``, or ``80 : jump web``, of a set in braces."""
        words: List[str] = []
        while not (self._is_next(",") or self._is_next("}")):
            words.append(self._next())
        self._place += self._is_next(",")
        name, _colon, value = " ".join(words).partition(" : ")
        return name, value


def _translated(verb: str, text: str) -> Action:
    """``172.17.0.2:80``, ``[fd00::2]:80``, ``:80``, or an address alone."""
    address, ports = (text, "") if "[" not in text and text.count(":") != 1 else text.rpartition(":")[::2]
    low, dash, _high = ports.partition("-")
    return Action(verb, address=address.strip("[]"), port=int(low or 0), is_sure=not dash)


def _condition(elements: Elements, fields: Sequence[Field], is_negated: bool) -> Condition:
    def condition(flow: Flow, space: Space, site: Site) -> Answer:
        # A rule about TCP ports is about TCP, also where it names the ports that it is not about.
        if not all(field.is_of(flow) for field in fields):
            return False
        found = elements.found(flow, space, site)
        if found is None:
            return None
        boxes = merged([box for box, _value, _action in found])
        return outside(boxes) if is_negated else boxes

    return condition


def _last_words(words: Sequence[str]) -> Deed:
    """What a rule does of which a part is not understood is known by its last words, whether it does it is not."""
    for index, word in enumerate(words):
        if word in ("jump", "goto") and index + 1 < len(words):
            return Deed(Action(word, words[index + 1]))
        if word in VERDICTS:
            return Deed(Action(VERDICTS[word]))
    return Deed(Action("unknown" if _STRANGE & set(words) or "vmap" in words else "pass"))
