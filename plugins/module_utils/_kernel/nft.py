# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nftables by its own tool: ``nft -j`` to read our tables, one transaction to write. Must not know: Docker's rules.

What is sent are differences: rules by their handles, so that those which stay keep their counters, and the
elements that come or go. Either all of a transaction takes effect or nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Sequence, Set, Tuple

from .. import _commands
from .._commands import RunCommand
from .._errors import KernelError, LostRace
from .._plan import Change
from .._rules import OPAQUE, Counts, edits
from .._state import Key, State
from .wire import HEADER, NETFILTER, Wire, attribute, attributes

if TYPE_CHECKING:
    from .nft_json import Listing

KINDS = ("nft_chain", "nft_map", "nft_set", "nft_policy")
TABLE = "docker-bridges"
_SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")
_RACES = ("No such file or directory", "File exists", "does not exist", "Device or resource busy")
_FAMILIES = {"inet": 1, "ip": 2, "ip6": 10}
_NAMES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
_GET_TABLE, _GET_CHAIN = 0x0A01, 0x0A04  # subsystem nf_tables
_TABLE_NAME, _CHAIN_TABLE, _CHAIN_NAME = 1, 1, 3


def find() -> str | None:
    """The path of nft; None if it is not installed."""
    return shutil.which("nft", path=os.pathsep.join([os.environ.get("PATH", ""), *_SBIN]))


def families() -> List[str]:
    """The families of the kernel."""
    return ["ip", "ip6"] if os.path.isdir("/proc/sys/net/ipv6") else ["ip"]


def has_table(family: str, table: str = TABLE) -> bool:
    """Whether a table is there; asks the kernel, no process is started."""
    return _is_there(family, _GET_TABLE, attribute(_TABLE_NAME, _text(table)))


def has_chain(family: str, table: str, chain: str) -> bool:
    """Whether a chain is there; asks the kernel, no process is started."""
    return _is_there(family, _GET_CHAIN, attribute(_CHAIN_TABLE, _text(table)) + attribute(_CHAIN_NAME, _text(chain)))


def tables() -> List[Tuple[str, str]]:
    """Family and name of every table; asks the kernel, no process is started. None if the kernel has no nf_tables."""
    wire = Wire(NETFILTER)
    try:
        replies = wire.open().dump(_GET_TABLE, struct.pack("=BBH", 0, 0, 0))
    except OSError:
        return []
    finally:
        wire.close()
    found = []
    for reply in replies:
        family = _NAMES.get(reply.data[HEADER])
        name = attributes(reply.data, HEADER + 4).get(_TABLE_NAME, b"").rstrip(b"\0").decode(errors="replace")
        found += [(family, name)] if family and name else []
    return found


def _text(name: str) -> bytes:
    return name.encode() + b"\0"


def _is_there(family: str, kind: int, body: bytes) -> bool:
    wire = Wire(NETFILTER)
    try:
        wire.open()
        return bool(wire.ask(kind, struct.pack("=BBH", _FAMILIES[family], 0, 0) + body))
    except OSError:  # it is not there, or the kernel has no nf_tables
        return False
    finally:
        wire.close()


class Nft:
    """The store over the tool; it remembers what it read, by which it knows the rules' handles."""

    def __init__(self, run_command: RunCommand, path: str) -> None:
        self._run_command = run_command
        self._path = path
        self._read: State = {}
        self._handles: Dict[Key, List[int]] = {}

    def read(self, names: Iterable[str], counts: Counts | None = None) -> State:
        """Our tables of the families; none where there is none.

        :param counts: takes the counters of rules and elements
        :raises KernelError: the tool failed
        """
        self._read, self._handles = {}, {}
        for family in names:
            if not has_table(family):
                continue
            listing = self.listing(family, TABLE, counts)
            self._read.update(listing.state)
            self._handles.update(listing.handles)
        return dict(self._read)

    def listing(self, family: str, table: str, counts: Counts | None = None) -> Listing:
        """One table, whoever's it is.

        :raises KernelError: the tool failed
        """
        from . import nft_json  # hosts of iptables have no tables to read

        text = self._run(["-j", "-p", "list", "table", family, table], "", f"read table {family} {table}")
        try:
            return nft_json.parse(text, f"{family} {table}", counts)
        except ValueError as error:
            raise KernelError(f"read table {family} {table}", text=f"nft's answer is no listing: {error}") from error

    def apply(self, changes: Sequence[Change]) -> None:
        """Write everything in one transaction.

        :raises KernelError: nft's own words; nothing took effect
        """
        self._run(["-f", "-"], Script(self._read, self._handles, changes).text(), "write nftables rules")
        for change in changes:
            self._handles.pop(change.key, None)
            if change.after is None:
                self._read.pop(change.key, None)
            else:
                self._read[change.key] = change.after

    def _run(self, arguments: List[str], text: str, what: str) -> str:
        return _commands.run(self._run_command, [self._path, *arguments], text, what, failure)


class Script:
    """A transaction: the input of ``nft -f`` that makes the changes and touches nothing else.

    :param read: the tables as they are
    :param handles: of the rules of chains that are as they were read
    """

    def __init__(self, read: State, handles: Dict[Key, List[int]], changes: Sequence[Change]) -> None:
        self._read, self._handles, self._changes = read, handles, changes

    def text(self) -> str:
        """The commands, in an order in which nothing is used before it is made nor taken away while in use."""
        emptied = self._emptied()
        rows = [f"delete table {scope}" for scope in sorted(emptied)]
        changes = [change for change in self._changes if change.key.scope not in emptied]
        rows += [f"add table {scope}" for scope in dict.fromkeys(change.key.scope for change in changes)]
        chains = [change for change in changes if change.key.kind == "nft_chain"]
        sets = [change for change in changes if change.key.kind in ("nft_map", "nft_set")]
        rows += [row for change in chains for row in self._rules_out(change)]
        rows += [row for change in sets for row in _elements_out(change)]
        rows += [f"delete {_named(change.key)}" for change in [*sets, *chains] if change.after is None]
        policies = {change.key: change.after for change in changes if change.key.kind == "nft_policy"}
        rows += [_chain(change, policies) for change in chains if change.before is None]
        rows += [row for key, value in policies.items() for row in self._policy(key, value)]
        rows += [_set(change) for change in sets if change.before is None]
        rows += [row for change in sets for row in _elements_in(change)]
        rows += [row for change in chains for row in self._rules_in(change)]
        return "\n".join([*rows, ""])

    def _emptied(self) -> Set[str]:
        """The tables of which nothing is left: a table goes as a whole."""
        left = dict.fromkeys(self._read, True)
        for change in self._changes:
            left[change.key] = change.after is not None
        touched = {change.key.scope for change in self._changes if change.after is None}
        return touched - {key.scope for key, is_left in left.items() if is_left}

    def _policy(self, key: Key, value: str | None) -> List[str]:
        chain = key._replace(kind="nft_chain")
        is_going = any(change.key == chain and change.after is None for change in self._changes)
        return [] if is_going else [f"add {_named(chain)} {{ policy {(value or 'ACCEPT').lower()}; }}"]

    def _rules_out(self, change: Change) -> List[str]:
        before = change.before["rules"] if change.before else ()
        if not before:
            return []
        name, handles = _place(change.key), self._known(change)
        if change.after is None or handles is None:
            return [f"flush chain {name}"]
        gone = edits(before, change.after["rules"]).deletions
        if len(gone) == len(before):
            return [f"flush chain {name}"]
        return [f"delete rule {name} handle {handles[index]}" for index in gone]

    def _rules_in(self, change: Change) -> List[str]:
        """New rules, each before the rule that stays and follows it, else at the end."""
        if change.after is None:
            return []
        before, after = (change.before["rules"] if change.before else ()), change.after["rules"]
        handles, name = self._known(change), _place(change.key)
        if handles is None:
            return [f"add rule {name} {_writable(rule)}" for rule in after]
        steps = edits(before, after)
        gone, new = set(steps.deletions), dict(steps.insertions)
        staying = iter([handle for index, handle in enumerate(handles) if index not in gone])
        rows: List[str] = []
        waiting: List[str] = []
        for index in range(len(after)):
            if index in new:
                waiting.append(_writable(new[index]))
                continue
            handle = next(staying)
            rows += [f"insert rule {name} handle {handle} {rule}" for rule in waiting]
            waiting = []
        return rows + [f"add rule {name} {rule}" for rule in waiting]

    def _known(self, change: Change) -> List[int] | None:
        """The handles of the rules that are there; None if it is not certain which those are."""
        if change.before is None:
            return None
        if self._read.get(change.key, {}).get("rules") != change.before["rules"]:
            return None
        handles = self._handles.get(change.key, [])
        return handles if len(handles) == len(change.before["rules"]) else None


def _place(key: Key) -> str:
    name = key.name if re.fullmatch(r"[A-Za-z][\w./-]*", key.name) else f'"{key.name}"'
    return f"{key.scope} {name}"


def _named(key: Key) -> str:
    return f"{key.kind[len('nft_') :]} {_place(key)}"


def _chain(change: Change, policies: Dict[Key, Any]) -> str:
    hook = change.after["hook"]
    policy = policies.get(change.key._replace(kind="nft_policy")) or "ACCEPT"
    return f"add {_named(change.key)}" + (f" {{ {hook}; policy {policy.lower()}; }}" if hook else "")


def _set(change: Change) -> str:
    value = change.after
    flags = f"flags {value['flags']}; " if value["flags"] else ""
    counter = "counter; " if value["counts"] else ""
    return f"add {_named(change.key)} {{ type {value['type']}; {flags}{counter}}}"


def _elements(value: Any) -> Dict[str, str]:
    return value["elements"] if value else {}


def _elements_out(change: Change) -> List[str]:
    before, after = _elements(change.before), _elements(change.after)
    if change.after is None:
        return [f"flush {_named(change.key)}"] if before else []
    return _command("delete", change.key, {name: text for name, text in before.items() if after.get(name) != text})


def _elements_in(change: Change) -> List[str]:
    before, after = _elements(change.before), _elements(change.after)
    return _command("add", change.key, {name: text for name, text in after.items() if before.get(name) != text})


def _command(verb: str, key: Key, elements: Dict[str, str]) -> List[str]:
    """One command for all elements; a single name that others sort by makes the text the same for the same change."""
    if not elements:
        return []
    items = [f"{name} : {value}" if value else name for name, value in elements.items()]
    return [f"{verb} element {_place(key)} {{ {', '.join(items)} }}"]


def _writable(rule: str) -> str:
    if rule.startswith(OPAQUE):
        raise KernelError("write nftables rules", text="a foreign rule in Docker's table would have to be made anew")
    return rule


def failure(what: str, stderr: str, text: str = "") -> KernelError:
    """The tool's words as an error: its first useful line, and the line of the input that it names."""
    said = next((row for row in stderr.splitlines() if "Error:" in row), stderr.strip().partition("\n")[0])
    named = re.match(r"\S*?:(\d+):", said)
    reason = said.partition("Error: ")[2] or said or "failed without a word"
    kind = LostRace if any(word in stderr for word in _RACES) else KernelError
    return kind(what, text=reason + _commands.at(text, named and named.group(1)))
