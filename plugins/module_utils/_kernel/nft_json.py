# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ``nft -j`` tells of a table, as a State and in nft's own words. Must not know: Docker, processes.

The releases of nft print one rule in different words; their JSON says the same, so the words are made here.
A rule with an expression that this file does not know becomes ``opaque`` text: it is kept, never written.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Tuple, Union

from .._rules import OPAQUE, Counts
from .._state import Key, State

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}
_PLAIN_META = ("iifname", "oifname")
Json = Any


class Listing(NamedTuple):
    """A table: its objects, and the handles of each chain's rules, in order."""

    state: State
    handles: Dict[Key, List[int]]


class _Unknown(Exception):
    """An expression that has no words here."""


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
    name = _namer(_listed(value["type"]))
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
    devices = ", ".join(_quoted(name) for name in _listed(value.get("dev", [])))
    device = (
        f" devices = {{ {devices} }}" if isinstance(value.get("dev"), list) else f" device {devices}" if devices else ""
    )
    return f"type {value['type']} hook {value['hook']}{device} priority {value['prio']}"


def _known_collection(value: Json) -> Dict[str, Any]:
    """A map or set; one with elements that have no words here is somebody else's, it is kept and never written."""
    try:
        return _collection(value)
    except (_Unknown, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return {"type": OPAQUE + json.dumps(value, sort_keys=True), "flags": "", "elements": {}}


def _collection(value: Json) -> Dict[str, Any]:
    types = _listed(value["type"])
    kind = " . ".join(str(item) for item in types)
    # nft 1.1 tells a concatenation as a list, those before it as one text.
    targets = " . ".join(map(str, _listed(value["map"]))).split(" . ") if "map" in value else []
    if targets:
        kind += f" : {' . '.join(targets)}"
    flags = ",".join(_listed(value.get("flags", [])))
    elements = _elements(value.get("elem", ()), types, targets)
    counts = any("counter" in statement for statement in value.get("stmt", ()))
    return {"type": kind, "flags": flags, "counts": counts, "elements": elements}


def _elements(entries: Iterable[Json], types: List[str], targets: List[str]) -> Dict[str, str]:
    name, target = _namer(types), _namer(targets)
    if targets == ["verdict"]:
        return {name(entry[0]): _verdict(entry[1]) for entry in entries}
    if targets:
        return {name(entry[0]): target(entry[1]) for entry in entries}
    return {name(entry): "" for entry in entries}


def _namer(types: List[str]) -> Callable[[Json], str]:
    """How elements of these types are written; there may be ten thousands of them, so nothing is asked twice."""
    writers = [_WRITERS.get(kind, _value) for kind in types]

    def name(entry: Json) -> str:
        if isinstance(entry, dict) and "elem" in entry:
            entry = entry["elem"]["val"]
        parts = entry["concat"] if isinstance(entry, dict) and "concat" in entry else [entry]
        return " . ".join([write(part) for write, part in zip(writers, parts)])

    return name


def _address(part: Json) -> str:
    return part if isinstance(part, str) else _value(part)


def _number(part: Json) -> str:
    return str(part) if isinstance(part, int) else _value(part)


def _protocol(part: Json) -> str:
    return _PROTOCOLS.get(part, str(part)) if isinstance(part, int) else _value(part)


def _quoted(part: Json) -> str:
    return f'"{part}"'


_WRITERS: Dict[str, Callable[[Json], str]] = {
    "inet_proto": _protocol,
    "inet_service": _number,
    "ipv4_addr": _address,
    "ipv6_addr": _address,
    "ifname": _quoted,
}


def _listed(value: Json) -> List[Any]:
    return value if isinstance(value, list) else [value]


def rule_text(rule: Json) -> str:
    """One rule in words, its comment last; of an opaque one all words that are known, and all that was told."""
    words = []
    for entry in rule["expr"]:
        if isinstance(entry, str):  # a chain without a name has no JSON
            words.append(f"?{entry.partition(' ')[0]}")
            continue
        try:
            words.append(_statement(entry))
        except (_Unknown, AttributeError, IndexError, KeyError, TypeError, ValueError):
            words.append(f"?{next(iter(entry), '')}")
    if any(word.startswith("?") for word in words):
        return f"{OPAQUE}{' '.join(words)} # {json.dumps([rule['expr'], rule.get('comment')], sort_keys=True)}"
    comment = [f'comment "{rule["comment"]}"'] if "comment" in rule else []
    return " ".join([*words, *comment])


def _statement(entry: Json) -> str:
    ((kind, value),) = entry.items()
    if kind in _STATEMENTS:
        return _STATEMENTS[kind](value)
    return _verdict(entry)


def _verdict(entry: Json) -> str:
    ((kind, value),) = entry.items()
    if kind in ("accept", "drop", "return", "continue") and value is None:
        return str(kind)
    if kind in ("jump", "goto"):
        return f"{kind} {value['target']}"
    raise _Unknown(kind)


def _match(value: Json) -> str:
    left, right, op = value["left"], value["right"], value["op"]
    if "&" in left:
        return _masked(left["&"], right, op)
    sign = {"==": "", "in": "", "!=": "!= "}[op]
    return f"{_expression(left)} {sign}{_right(left, right)}"


def _masked(parts: Json, right: Json, op: str) -> str:
    """``tcp flags syn / syn,rst`` and ``meta mark & 0xff == 0x1``."""
    left, mask = parts
    if op != "==":
        raise _Unknown(op)
    if left == {"payload": {"protocol": "tcp", "field": "flags"}}:
        names = mask["|"] if isinstance(mask, dict) else _listed(mask)
        return f"tcp flags {','.join(_listed(right))} / {','.join(names)}"
    return f"{_expression(left)} & {mask:#x} == {right:#x}"


def _right(left: Json, right: Json) -> str:
    kind, value = next(iter(left.items()))
    key = value.get("key") or value.get("field") if isinstance(value, dict) else ""
    if isinstance(right, str) and right.startswith("@"):
        return right
    if isinstance(right, bool):
        return "exists" if right else "missing"
    if kind == "meta" and key == "mark":
        return f"{right:#x}"
    if key in _PLAIN_META:
        write: Callable[[Json], str] = _quoted
    elif key in ("l4proto", "protocol"):
        write = _protocol
    else:
        write = _value
    if isinstance(right, dict) and "set" in right:
        items = [write(item) for item in right["set"]]
        # nft lists names in the order of their bytes as a number, which is none that we could write.
        return "{ " + ", ".join(sorted(items) if write is _quoted else items) + " }"
    return ",".join(write(item) for item in right) if isinstance(right, list) else write(right)


def _value(value: Json) -> str:
    if isinstance(value, (str, int)):
        return str(value)
    if "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if "range" in value:
        low, high = value["range"]
        return f"{low}-{high}"
    raise _Unknown(str(value))


def _expression(value: Json) -> str:
    ((kind, body),) = value.items()
    if kind == "payload":
        return f"{body['protocol']} {body['field']}"
    if kind == "meta":
        return body["key"] if body["key"] in _PLAIN_META else f"meta {body['key']}"
    if kind == "ct":
        return " ".join(["ct", *([body["dir"]] if "dir" in body else []), body["key"]])
    if kind == "fib":
        return f"fib {' . '.join(_listed(body['flags']))} {body['result']}"
    if kind == "concat":
        return " . ".join(_expression(part) for part in body)
    raise _Unknown(kind)


def _lookup(value: Json) -> str:
    return f"{_expression(value['key'])} vmap {_verdicts(value['key'], value['data'])}"


def _named(data: Json) -> str:
    if not isinstance(data, str):
        raise _Unknown("anonymous map")
    return data


def _verdicts(key: Json, data: Json) -> str:
    """A map by its name, or its verdicts in braces."""
    if isinstance(data, str):
        return data
    members = [f"{_right(key, name)} : {_verdict(verdict)}" for name, verdict in data["set"]]
    return "{ " + ", ".join(members) + " }"


def _nat(verb: str) -> Callable[[Json], str]:
    def words(value: Json) -> str:
        if value is None:
            return verb
        if set(value) - {"family", "addr", "port"} or not isinstance(value.get("addr"), (str, dict)):
            raise _Unknown(verb)
        address = value["addr"]
        if isinstance(address, dict):
            return f"{verb} to {_expression(address['map']['key'])} map {_named(address['map']['data'])}"
        if "port" not in value:
            return f"{verb} to {address}"
        return f"{verb} to {f'[{address}]' if ':' in address else address}:{_value(value['port'])}"

    return words


def _redirect(value: Json) -> str:
    return "redirect" if value is None else f"redirect to :{_value(value['port'])}"


def _reject(value: Json) -> str:
    if value is None or value.get("expr") == "port-unreachable":
        return "reject"
    return f"reject with {value['type']}" + (f" {value['expr']}" if "expr" in value else "")


def _mangle(value: Json) -> str:
    if value["key"] == {"meta": {"key": "mark"}}:
        return f"meta mark set {value['value']:#x}"
    option, source = value["key"]["tcp option"], value["value"]["rt"]
    return f"tcp option {option['name']} {option['field']} set rt {source['key']}"


_STATEMENTS: Dict[str, Callable[[Json], str]] = {
    "match": _match,
    "counter": lambda _value: "counter",
    "vmap": _lookup,
    "dnat": _nat("dnat"),
    "snat": _nat("snat"),
    "masquerade": _nat("masquerade"),
    "redirect": _redirect,
    "reject": _reject,
    "mangle": _mangle,
}
