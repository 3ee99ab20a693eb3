# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``nft -j`` tells of a table, as a State and in nft's own words. Must not know: Docker, processes.

A map or a set with elements that have no words becomes ``opaque``: it is kept, never written.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Tuple, Union

from .._rules import OPAQUE, Counts
from .._state import Key, State
from .nft_words import Unknown, listed, protocol, quoted, rule_text, value_text, verdict

Json = Any


class Listing(NamedTuple):
    """A table: its objects, and the handles of each chain's rules, in order."""

    state: State
    handles: Dict[Key, List[int]]


def parse(text: str, scope: str, counts: Counts | None = None) -> Listing:
    """The chains, maps and sets of one table.

    :param text: what ``nft -j`` printed
    :param scope: ``ip docker-bridges``
    :param counts: takes the counters of rules and elements
    :raises ValueError: that is no listing
    """
    try:
        return _listing(json.loads(text)["nftables"], scope, counts)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _listing(entries: Json, scope: str, counts: Counts | None) -> Listing:
    state: State = {}
    rules: Dict[Key, List[str]] = {}
    handles: Dict[Key, List[int]] = {}
    for entry in entries:
        ((kind, value),) = entry.items()
        if kind in ("chain", "map", "set") and not isinstance(value["name"], str):
            raise TypeError(f"the name of a {kind} is no text")
        if kind == "chain":
            key = Key("nft_chain", scope, value["name"])
            state[key] = {"hook": _hook(value), "rules": ()}
            if value.get("policy") == "drop":
                state[Key("nft_policy", scope, value["name"])] = "DROP"
        elif kind in ("map", "set"):
            key = Key(f"nft_{kind}", scope, value["name"])
            state[key] = _known_collection(value)
            if counts is not None and not state[key]["type"].startswith(OPAQUE):
                counts[key] = _element_counts(value)
        elif kind == "rule":
            key = Key("nft_chain", scope, value["chain"])
            count = _count(value["expr"])
            if counts is not None and count:
                counts.setdefault(key, {})[len(rules.get(key, ()))] = count
            rules.setdefault(key, []).append(rule_text(value))
            handles.setdefault(key, []).append(value["handle"])
    for key, texts in rules.items():
        state[key] = {**state[key], "rules": tuple(texts)}
    return Listing(state, handles)


def _count(statements: Iterable[Json]) -> Tuple[int, int] | None:
    """Packets and bytes of a rule's or an element's own counter."""
    for entry in statements:
        value = entry.get("counter") if isinstance(entry, dict) else None
        if isinstance(value, dict):
            return value["packets"], value["bytes"]
    return None


def _element_counts(value: Json) -> Dict[Union[int, str], Tuple[int, int]]:
    name = _namer(listed(value["type"]))
    found: Dict[Union[int, str], Tuple[int, int]] = {}
    for entry in value.get("elem", ()):
        element = entry[0] if "map" in value else entry
        count = _count([element["elem"]]) if isinstance(element, dict) and "elem" in element else None
        if count:
            found[name(element)] = count
    return found


def _hook(value: Json) -> str:
    if "hook" not in value:
        return ""
    devices = ", ".join(quoted(name) for name in listed(value.get("dev", [])))
    device = (
        f" devices = {{ {devices} }}" if isinstance(value.get("dev"), list) else f" device {devices}" if devices else ""
    )
    return f"type {value['type']} hook {value['hook']}{device} priority {value['prio']}"


def _known_collection(value: Json) -> Dict[str, Any]:
    """A map or set; one with elements that have no words here is somebody else's, it is kept and never written."""
    try:
        return _collection(value)
    except (Unknown, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return {"type": OPAQUE + json.dumps(value, sort_keys=True), "flags": "", "elements": {}}


def _collection(value: Json) -> Dict[str, Any]:
    types = listed(value["type"])
    kind = " . ".join(str(item) for item in types)
    # nft 1.1 tells a concatenation as a list, those before it as one text.
    targets = " . ".join(map(str, listed(value["map"]))).split(" . ") if "map" in value else []
    if targets:
        kind += f" : {' . '.join(targets)}"
    flags = ",".join(listed(value.get("flags", [])))
    elements = _elements(value.get("elem", ()), types, targets)
    counts = any("counter" in statement for statement in value.get("stmt", ()))
    return {"type": kind, "flags": flags, "counts": counts, "elements": elements}


def _elements(entries: Iterable[Json], types: List[str], targets: List[str]) -> Dict[str, str]:
    name, target = _namer(types), _namer(targets)
    if targets == ["verdict"]:
        return {name(entry[0]): verdict(entry[1]) for entry in entries}
    if targets:
        return {name(entry[0]): target(entry[1]) for entry in entries}
    return {name(entry): "" for entry in entries}


def _namer(types: List[str]) -> Callable[[Json], str]:
    """How elements of these types are written; there may be ten thousands of them, so nothing is asked twice."""
    writers = [_WRITERS.get(kind, value_text) for kind in types]

    def name(entry: Json) -> str:
        if isinstance(entry, dict) and "elem" in entry:
            entry = entry["elem"]["val"]
        parts = entry["concat"] if isinstance(entry, dict) and "concat" in entry else [entry]
        return " . ".join([write(part) for write, part in zip(writers, parts)])

    return name


def _address(part: Json) -> str:
    return part if isinstance(part, str) else value_text(part)


def _number(part: Json) -> str:
    return str(part) if isinstance(part, int) else value_text(part)


_WRITERS: Dict[str, Callable[[Json], str]] = {
    "inet_proto": protocol,
    "inet_service": _number,
    "ipv4_addr": _address,
    "ipv6_addr": _address,
    "ifname": quoted,
}
