# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rule that ``nft -j`` tells, in nft's own words. Must not know: tables, Docker, processes.

The releases of nft print one rule in different words; their JSON says the same, so the words are made here.
A rule with an expression that this file does not know becomes ``opaque`` text: it is kept, never written.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List

from .._rules import OPAQUE

_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "ipv6-icmp", 132: "sctp"}
_PLAIN_META = ("iifname", "oifname")
Json = Any


class Unknown(Exception):
    """An expression that has no words here."""


def listed(value: Json) -> List[Any]:
    """A list, also of what is told alone."""
    return value if isinstance(value, list) else [value]


def protocol(part: Json) -> str:
    """A protocol's name, or its number."""
    return _PROTOCOLS.get(part, str(part)) if isinstance(part, int) else value_text(part)


def quoted(part: Json) -> str:
    """A name in quotation marks."""
    return f'"{part}"'


def rule_text(rule: Json) -> str:
    """One rule in words, its comment last; of an opaque one all words that are known, and all that was told."""
    words = []
    for entry in rule["expr"]:
        if isinstance(entry, str):  # a chain without a name has no JSON
            words.append(f"?{entry.partition(' ')[0]}")
            continue
        try:
            words.append(_statement(entry))
        except (Unknown, AttributeError, IndexError, KeyError, TypeError, ValueError):
            words.append(f"?{next(iter(entry), '')}")
    if any(word.startswith("?") for word in words):
        return f"{OPAQUE}{' '.join(words)} # {json.dumps([rule['expr'], rule.get('comment')], sort_keys=True)}"
    comment = [f'comment "{rule["comment"]}"'] if "comment" in rule else []
    return " ".join([*words, *comment])


def _statement(entry: Json) -> str:
    ((kind, value),) = entry.items()
    if kind in _STATEMENTS:
        return _STATEMENTS[kind](value)
    return verdict(entry)


def verdict(entry: Json) -> str:
    """What becomes of a packet: a verdict, or a chain to go on in."""
    ((kind, value),) = entry.items()
    if kind in ("accept", "drop", "return", "continue") and value is None:
        return str(kind)
    if kind in ("jump", "goto"):
        return f"{kind} {value['target']}"
    raise Unknown(kind)


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
        raise Unknown(op)
    if left == {"payload": {"protocol": "tcp", "field": "flags"}}:
        names = mask["|"] if isinstance(mask, dict) else listed(mask)
        return f"tcp flags {','.join(listed(right))} / {','.join(names)}"
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
        write: Callable[[Json], str] = quoted
    elif key in ("l4proto", "protocol"):
        write = protocol
    else:
        write = value_text
    if isinstance(right, dict) and "set" in right:
        items = [write(item) for item in right["set"]]
        # nft lists names in the order of their bytes as a number, which is none that we could write.
        return "{ " + ", ".join(sorted(items) if write is quoted else items) + " }"
    return ",".join(write(item) for item in right) if isinstance(right, list) else write(right)


def value_text(value: Json) -> str:
    """An address, a number, a prefix or a range."""
    if isinstance(value, (str, int)):
        return str(value)
    if "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if "range" in value:
        low, high = value["range"]
        return f"{low}-{high}"
    raise Unknown(str(value))


def _expression(value: Json) -> str:
    ((kind, body),) = value.items()
    if kind == "payload":
        return f"{body['protocol']} {body['field']}"
    if kind == "meta":
        return body["key"] if body["key"] in _PLAIN_META else f"meta {body['key']}"
    if kind == "ct":
        return " ".join(["ct", *([body["dir"]] if "dir" in body else []), body["key"]])
    if kind == "fib":
        return f"fib {' . '.join(listed(body['flags']))} {body['result']}"
    if kind == "concat":
        return " . ".join(_expression(part) for part in body)
    raise Unknown(kind)


def _lookup(value: Json) -> str:
    return f"{_expression(value['key'])} vmap {_verdicts(value['key'], value['data'])}"


def _named(data: Json) -> str:
    if not isinstance(data, str):
        raise Unknown("anonymous map")
    return data


def _verdicts(key: Json, data: Json) -> str:
    """A map by its name, or its verdicts in braces."""
    if isinstance(data, str):
        return data
    members = [f"{_right(key, name)} : {verdict(entry)}" for name, entry in data["set"]]
    return "{ " + ", ".join(members) + " }"


def _nat(verb: str) -> Callable[[Json], str]:
    def words(value: Json) -> str:
        if value is None:
            return verb
        if set(value) - {"family", "addr", "port"} or not isinstance(value.get("addr"), (str, dict)):
            raise Unknown(verb)
        address = value["addr"]
        if isinstance(address, dict):
            return f"{verb} to {_expression(address['map']['key'])} map {_named(address['map']['data'])}"
        if "port" not in value:
            return f"{verb} to {address}"
        return f"{verb} to {f'[{address}]' if ':' in address else address}:{value_text(value['port'])}"

    return words


def _redirect(value: Json) -> str:
    return "redirect" if value is None else f"redirect to :{value_text(value['port'])}"


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
