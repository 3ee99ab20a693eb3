# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iptables by its own tools: ``*-save`` to read, one ``*-restore --noflush`` a family to write.

The store of iptables-nft hosts, and of iptables-legacy hosts without python-iptables. Must not know: Docker.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections import Counter
from itertools import groupby
from typing import Dict, Iterable, Iterator, List, NamedTuple, Sequence, Tuple

from .. import _commands
from .._commands import RunCommand
from .._errors import Conflict, HostnetError, KernelError, LostRace
from .._plan import Change
from .._rules import MOVE_THEM, Counts, Edits, edits, is_built_in, parse_save
from .._state import Key, State
from . import nft

_PREFIX = {"ip": "iptables", "ip6": "ip6tables"}
_LOCK_WAIT = 30  # seconds to wait for another iptables process
_SBIN = ("/usr/sbin", "/sbin", "/usr/local/sbin")
# A rule that is deleted by its text is the right one even if the chain changed since it was read, but the tool
# compares it with the chain's rules one by one: at the end of 10,000 rules, 50 take 1.2 s on iptables-nft and 1,000
# take 11 s, by number 0.2 s. So up to this many comparisons (0.1 s) it is the text, beyond it the number.
_COMPARISONS = 50_000
_POSITION = re.compile(r"^-(D \S+ \d+$|I \S+ \d+ |F )", re.MULTILINE)
_UNREADABLE = "Parsing nftables rule failed"
_NO_RIGHT = ("Permission denied", "Operation not permitted", "must be root")
_RACES = (
    "File exists",
    "No such file",
    "does a matching rule exist",
    "Index of",
    "doesn't exist",
    "does not exist",
    "Bad rule",
    "Chain already",
    "Directory not empty",
    "Resource temporarily unavailable",
)


class Tools(NamedTuple):
    """The tools of one variant. ``families`` are those that have tools and a kernel that knows them."""

    run_command: RunCommand
    directory: str
    variant: str
    families: Tuple[str, ...]
    infix: str = ""

    def path(self, family: str, verb: str) -> str:
        """``/usr/sbin/iptables-save``, or ``/usr/sbin/iptables-legacy-save``."""
        return os.path.join(self.directory, f"{_PREFIX[family]}{self.infix}-{verb}")


def find(run_command: RunCommand, variant: str = "") -> Tools | None:
    """The host's iptables: where it is and which variant it is; None if there is none.

    :param variant: ``nft`` or ``legacy``: the tools of this variant, whichever is the host's
    """
    search = os.pathsep.join([os.environ.get("PATH", ""), *_SBIN])
    infix = f"-{variant}" if variant else ""
    path = shutil.which(f"iptables{infix}-save", path=search)
    if path is None:
        return None
    directory = os.path.dirname(path)
    found = ["ip"]
    if os.path.exists(os.path.join(directory, f"ip6tables{infix}-save")) and os.path.isdir("/proc/sys/net/ipv6"):
        found.append("ip6")
    return Tools(run_command, directory, variant or _variant(run_command, path), tuple(found), infix)


def _variant(run_command: RunCommand, path: str) -> str:
    """``nft`` or ``legacy``, by the name of the program behind the links; asked only where that does not tell."""
    name = os.path.basename(os.path.realpath(path))
    for variant in ("nft", "legacy"):
        if variant in name:
            return variant
    _status, answer, _said = run_command([path, "--version"], "")
    return "nft" if "nf_tables" in answer else "legacy"


def has_chain(tools: Tools, chain: str) -> bool:
    """Whether table filter of any family has a chain. Of the kernel's nf_tables it is asked, without a process."""
    if tools.variant == "nft":
        return any(nft.has_chain(family, "filter", chain) for family in tools.families)
    return any(f"\n:{chain} " in _legacy_filter(tools, family) for family in tools.families)


def legacy_tables(family: str) -> List[str]:
    """The legacy tables that somebody has used; asks the kernel, no process is started."""
    try:
        with open(f"/proc/net/{family}_tables_names", encoding="ascii") as names:
            return names.read().split()
    except OSError:
        return []


def _legacy_filter(tools: Tools, family: str) -> str:
    """The legacy table filter as text; a table that nobody has used is not read, that would create it."""
    if "filter" not in legacy_tables(family):
        return ""
    return tools.run_command([tools.path(family, "save"), "-t", "filter"], "")[1]


class Xtables:
    """The store over the tools."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def read(self, families: Iterable[str], counts: Counts | None = None) -> State:
        """All chains and policies of the families.

        :param counts: takes the rules' counters
        :raises KernelError: the tool failed
        """
        state: State = {}
        extra = [] if counts is None else ["-c"]
        for family in families:
            text = self._run([self._tools.path(family, "save"), *extra], "", f"read {family} rules")
            state.update(parse_save(text, family, counts))
        return state

    def apply(self, changes: Sequence[Change]) -> None:
        """Write chains and policies, one restore a family.

        :raises KernelError: the tool's own words; some of the changes may have taken effect
        """
        by_family: Dict[str, List[Change]] = {}
        for change in changes:
            by_family.setdefault(change.key.scope.partition("/")[0], []).append(change)
        for family, members in by_family.items():
            self._restore(family, members)

    def _restore(self, family: str, changes: List[Change]) -> None:
        command = [self._tools.path(family, "restore"), "--noflush", "--wait", str(_LOCK_WAIT)]
        text = script(changes)
        if _POSITION.search(text):
            self._check_unchanged(family, changes)
        try:
            self._run(command, text, f"write {family} rules")
        except HostnetError as error:
            # A restore commits table by table: see what of it is there, and why the rest is not.
            live = read_again(self, family, error)
            rest = missing(live, changes)
            if rest:
                raise _judged(error, live, rest) from None

    def _check_unchanged(self, family: str, changes: Sequence[Change]) -> None:
        """Positions mean what they meant when the chains were read.

        :raises LostRace: a chain changed since
        """
        moved = _moved(self.read([family]), changes)
        if moved:
            raise LostRace(f"write {family} rules", text=moved)

    def _run(self, command: List[str], text: str, what: str) -> str:
        return _commands.run(self._tools.run_command, command, text, what, failure)


def read_again(store: Xtables, family: str, error: HostnetError) -> State:
    """The rules after a write that failed.

    :raises HostnetError: that failure, if they cannot be read
    """
    try:
        return store.read([family])
    except HostnetError:
        raise error from None


def missing(live: State, changes: Sequence[Change]) -> List[Change]:
    """Those of the changes that did not take effect.

    :param live: what was read after a write that failed
    """
    reached: Dict[Key, int] = {}
    for number, change in enumerate(changes):
        if live.get(change.key) == change.after and change.after != change.before:
            reached[change.key] = number
    return [change for number, change in enumerate(changes) if number > reached.get(change.key, -1)]


def _moved(live: State, changes: Sequence[Change]) -> str:
    """Which chain is no more what it was when it was read; empty if all are."""
    first = {change.key: change for change in reversed(changes)}
    for change in first.values():
        if change.key.kind == "chain" and live.get(change.key) != change.before:
            return f"{change.key} changed since it was read"
    return ""


def _judged(error: HostnetError, live: State, rest: Sequence[Change]) -> HostnetError:
    """A failed write as what it is: iptables-legacy does not say whether the rule or the chain was another."""
    if not isinstance(error, KernelError):
        return error
    moved = _moved(live, rest)
    what = f"{error.what} ({', '.join(str(change) for change in rest[:3])}{', ...' if rest[3:] else ''})"
    return LostRace(what, text=f"{moved} ({error.text})") if moved else type(error)(what, error.errno, error.text)


def script(changes: Sequence[Change]) -> str:
    """The input of iptables-restore that makes the changes, in their order, and touches nothing else."""
    return "".join(_table(scope.partition("/")[2], list(members)) for scope, members in by_table(changes))


def by_table(changes: Sequence[Change]) -> Iterator[Tuple[str, Iterator[Change]]]:
    """Scope and changes of what is written at a time: neighbours of one table."""
    return groupby(changes, lambda change: change.key.scope)


def _table(table: str, changes: Sequence[Change]) -> str:
    chains = [change for change in changes if change.key.kind == "chain"]
    rows = [f"*{table}"]
    for change in changes:
        if change.key.kind == "policy":
            rows.append(f":{change.key.name} {change.after or 'ACCEPT'} [0:0]")
    # Not declared with a colon: that would flush a chain which somebody made since we looked.
    rows += [f"-N {change.key.name}" for change in chains if change.before is None and not is_built_in(change.key)]
    gone = [change for change in chains if change.after is None and not is_built_in(change.key)]
    for change in chains:
        rows += _chain(change.key, change.before or (), change.after or ())
    rows += [f"-X {change.key.name}" for change in gone]
    return "\n".join([*rows, "COMMIT", ""])


def _chain(key: Key, before: Sequence[str], after: Sequence[str]) -> List[str]:
    steps = edits(before, after)
    return _deletions(key.name, before, steps) + _insertions(key.name, len(before), steps)


def _deletions(name: str, before: Sequence[str], steps: Edits) -> List[str]:
    if len(steps.deletions) * len(before) <= _COMPARISONS and not has_doubles(before, steps.deletions):
        return [f"-D {name} {before[index]}" for index in steps.deletions]
    if len(steps.deletions) == len(before):
        return [f"-F {name}"]
    return [f"-D {name} {index + 1}" for index in steps.deletions]


def has_doubles(before: Sequence[str], deletions: Sequence[int]) -> bool:
    """Whether a rule to delete stands in the chain twice: the text would find the first, whichever is meant."""
    count = Counter(before) if deletions else {}
    return any(count[before[index]] > 1 for index in deletions)


def _insertions(name: str, length: int, steps: Edits) -> List[str]:
    """Rules at the head without numbers, last first, and rules at the end appended: both take no search."""
    kept = length - len(steps.deletions)
    final = kept + len(steps.insertions)
    head = [rule for number, (index, rule) in enumerate(steps.insertions) if index == number and kept]
    tail_start = final
    positions = {index for index, _rule in steps.insertions}
    while tail_start - 1 in positions and tail_start - 1 >= len(head):
        tail_start -= 1
    rows = [f"-I {name} {rule}" for rule in reversed(head)]
    for index, rule in steps.insertions[len(head) :]:
        rows.append(f"-A {name} {rule}" if index >= tail_start else f"-I {name} {index + 1} {rule}")
    return rows


def failure(what: str, stderr: str, text: str = "") -> HostnetError:
    """The tool's words as an error: its first useful line, and the line of the input that it names."""
    if _UNREADABLE in stderr:
        return Conflict(f"{what}: a table holds nftables rules that iptables cannot show; {MOVE_THEM}")
    rows = [row.strip() for row in stderr.splitlines() if row.strip()]
    useful = [
        row for row in rows if not re.match(r"(Try|Error occurred at|Warning|iptables-restore v\S+ \(\S+\):$)", row)
    ]
    said = (useful or rows or ["failed without a word"])[0]
    named = re.search(r"line:? (\d+)", stderr)
    said += _commands.at(text, named and named.group(1))
    kind = LostRace if any(word in stderr for word in _RACES) else KernelError
    return kind(what, errno.EPERM if any(word in stderr for word in _NO_RIGHT) else 0, said)
