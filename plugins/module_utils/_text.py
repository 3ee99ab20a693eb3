# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""State and changes as text: ``--diff`` in the words of iptables-save and ip, ``changes`` one line each.

Must not know: Ansible, the kernel, Docker.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Sequence, Set, Tuple

from ._plan import Change
from ._rules import edits, legible
from ._state import HOST, Key, State, short

Section = Dict[str, str]


def lines(changes: Iterable[Change]) -> List[str]:
    """One line a change, in the order of execution."""
    return [_line(change) for change in changes]


def _line(change: Change) -> str:
    key, before, after = change.key, change.before, change.after
    if key.kind in ("chain", "nft_chain"):
        steps = edits(_rules(before), _rules(after))
        return f"{change} (+{len(steps.insertions)} -{len(steps.deletions)} rules)"
    if key.kind in ("nft_map", "nft_set"):
        old, new = _elements(before), _elements(after)
        return f"{change} (+{len(new - old)} -{len(old - new)} elements)"
    if key.kind in ("sysctl", "policy", "nft_policy") and after is not None:
        return f"{change}: {before if before is not None else 'unset'} -> {after}".replace("\t", " ")
    if key.kind == "link" and change.action == "update":
        names = [name for name in after if after[name] != before.get(name)]
        return f"{change} ({', '.join(names)})"
    return str(change)


def _rules(value: Any) -> Sequence[str]:
    """A chain's rules, of either backend; none if it is not there."""
    rules: Sequence[str] = value["rules"] if isinstance(value, dict) else value
    return rules or ()


def _elements(value: Any) -> Set[Tuple[str, str]]:
    """A map's or set's elements; none if it is not there."""
    return set(value["elements"].items()) if value is not None else set()


def diff(changes: Sequence[Change], live: State, after: State) -> List[Section]:
    """The sections that ``--diff`` shows: devices of each namespace, sysctls, rules of each family, each file."""
    sections = _device_sections(changes)
    sections += _section("sysctl", [change for change in changes if change.key.kind == "sysctl"], _setting)
    sections += _section("firewalld", [change for change in changes if change.key.kind == "firewalld"], _zoned)
    sections += _rule_sections(changes, live, after)
    for change in changes:
        if change.key.kind == "file":
            sides = ("" if change.before is None else change.before, "" if change.after is None else change.after)
            sections.append(_made(change.key.name, *sides))
    return sections


def _made(header: str, before: str, after: str) -> Section:
    return {"before_header": header, "after_header": header, "before": legible(before), "after": legible(after)}


def _section(header: str, changes: Sequence[Change], show: Any) -> List[Section]:
    if not changes:
        return []
    before = [show(change.key, change.before) for change in changes if change.before is not None]
    after = [show(change.key, change.after) for change in changes if change.after is not None]
    return [_made(header, _text(before), _text(after))]


def _text(rows: Iterable[str]) -> str:
    # A replaced link stands twice in a plan, but is one line of each side.
    return "".join(f"{row}\n" for row in dict.fromkeys(rows))


def _device_sections(changes: Sequence[Change]) -> List[Section]:
    by_scope: Dict[str, List[Change]] = {}
    for change in changes:
        if change.key.kind in ("netns", "link", "up", "address", "route"):
            by_scope.setdefault(change.key.scope, []).append(change)
    sections: List[Section] = []
    for scope, members in by_scope.items():
        header = "ip (host)" if scope == HOST else f"ip -n {short(scope)}"
        sections += _section(header, members, _device)
    return sections


def _device(key: Key, value: Any) -> str:
    if key.kind == "netns":
        return f"netns {short(key.name)}"
    if key.kind == "up":
        return f"link {key.name} up"
    if key.kind == "address":
        return _address(key.name, value)
    if key.kind == "route":
        metric = f" metric {value['metric']}" if value.get("metric") else ""
        return f"route {key.name.replace('default6', 'default')}{metric}"
    return _link(key.name, value)


def _address(name: str, value: Dict[str, Any]) -> str:
    device, _space, cidr = name.partition(" ")
    family = "inet6" if ":" in cidr else "inet"
    broadcast = f" brd {value['broadcast']}" if value.get("broadcast") else ""
    return f"{family} {cidr}{broadcast} dev {device}{' nodad' if value.get('nodad') else ''}"


def _link(name: str, value: Dict[str, Any]) -> str:
    words = [f"link {name} type {value['kind']}"]
    words += [f"{word} {value[key]}" for word, key in _LINK_WORDS if value.get(key) is not None]
    words += ["hairpin on"] if value.get("hairpin") else []
    peer = value.get("peer")
    if peer:
        ends = [f"{word} {peer[key]}" for word, key in _LINK_WORDS if peer.get(key) is not None]
        words.append(f"peer {peer['name']} netns {short(peer['netns'])} {' '.join(ends)}".rstrip())
    return " ".join(words)


_LINK_WORDS = (("address", "mac"), ("mtu", "mtu"), ("txqueuelen", "txqlen"), ("master", "master"))


def _setting(key: Key, value: str) -> str:
    where = "" if key.scope == HOST else f" (in {short(key.scope)})"
    spaced = value.replace("\t", " ")
    return f"{key.name.replace('/', '.')} = {spaced}{where}"


def _zoned(key: Key, value: Any) -> str:
    """``zone docker target=ACCEPT``, ``interface docker0 zone=docker``."""
    if isinstance(value, str):
        return f"{key.name} zone={value}"
    words = [f"{name}={text if isinstance(text, str) else ','.join(text)}" for name, text in value.items()]
    return " ".join([key.name, *(word for word in words if not word.startswith("description="))])


def _rule_sections(changes: Sequence[Change], live: State, after: State) -> List[Section]:
    """The touched chains of each family, in iptables-save's form."""
    sections = []
    for family, header in (("ip", "iptables-save"), ("ip6", "ip6tables-save")):
        touched = [c.key for c in changes if c.key.kind in ("chain", "policy") and c.key.scope.startswith(f"{family}/")]
        if touched:
            sections.append(_made(header, _tables(touched, live), _tables(touched, after)))
    nft = [change for change in changes if change.key.kind.startswith("nft_")]
    return sections + ([_made("nft list ruleset", _objects(nft, live), _objects(nft, after))] if nft else [])


def _objects(changes: Sequence[Change], state: State) -> str:
    """The touched chains, maps and sets, each value on a line of its own."""
    rows: List[str] = []
    for key in dict.fromkeys(change.key for change in changes):
        if key in state:
            rows.append(f"{key.kind[len('nft_') :]} {key.scope} {key.name} {{")
            rows += [f"    {text}" for text in _values(state[key])]
            rows.append("}")
    return _plain(rows)


def _values(value: Any) -> List[str]:
    """A chain's rules, a map's or set's elements, or the value as it is."""
    if isinstance(value, dict):
        return [text for item in value.values() for text in _values(item)] if "elements" in value else _pairs(value)
    if isinstance(value, (tuple, list, set, frozenset)):
        return sorted(map(str, value)) if isinstance(value, (set, frozenset)) else [str(item) for item in value]
    return [str(value)]


def _pairs(value: Dict[str, Any]) -> List[str]:
    return [f"{name} : {text}" if text else str(name) for name, text in value.items()]


def _plain(rows: Iterable[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


def _tables(touched: Sequence[Key], state: State) -> str:
    by_table: Dict[str, List[str]] = {}
    for key in touched:
        names = by_table.setdefault(key.scope.partition("/")[2], [])
        if key.name not in names:
            names.append(key.name)
    scope = touched[0].scope.partition("/")[0]
    return "".join(_table(f"{scope}/{table}", sorted(names), state) for table, names in sorted(by_table.items()))


def _table(scope: str, names: Sequence[str], state: State) -> str:
    known = [name for name in names if Key("chain", scope, name) in state or Key("policy", scope, name) in state]
    if not known:
        return ""
    rows: List[str] = [f"*{scope.partition('/')[2]}"]
    rows += [f":{name} {state.get(Key('policy', scope, name), '-')}" for name in known]
    for name in known:
        rows += [f"-A {name} {rule}" for rule in state.get(Key("chain", scope, name), ())]
    return "\n".join([*rows, "COMMIT", ""])
