# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""iptables-legacy written through python-iptables (libiptc): one commit a table, no iptables process.

The only importer of ``iptc``. Must not know: Docker, plans.

Rules are read with ``iptables-legacy-save``: reading 10,000 rules through the library takes 2.2 s against
0.01 s, and it shows foreign rules in a form of its own. Each family is written by a forked child: the
library keeps one table of extensions a process, and after IPv4 it finds none of IPv6's.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, Sequence, Tuple

from .._errors import KernelError
from .._plan import Change
from .._rules import Counts, edits, is_built_in
from .._state import State
from .xtables import Xtables, by_table, has_doubles, missing, read_again

_LOCK = "/run/xtables.lock"
_LOCK_WAIT = 30  # seconds to wait for another iptables
_PAUSE = 0.05
# Each kind of match and target that Docker's rules have: what a library must be able to express.
_PROBE = (
    "! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j RETURN",
    "-o docker0 -m addrtype --src-type LOCAL -j MASQUERADE",
    "-o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "! -i docker0 -p udp -m udp --dport 53 -j DNAT --to-destination 172.17.0.2:53",
    "-m mark --mark 0x1/0xff -j ACCEPT",
)
_FIELDS = {"-s": "src", "-d": "dst", "-i": "in_interface", "-o": "out_interface", "-p": "protocol"}

_BARE = ("--clamp-mss-to-pmtu",)  # options without a value
_WORDS = {"--tcp-flags": 2}  # options with more than one
_PROTOCOLS = {"ipv6-icmp": "icmpv6"}  # the library's own word


def is_installed() -> bool:
    """Whether python-iptables is there at all; whether it works is asked when it is needed."""
    return importlib.util.find_spec("iptc") is not None


def probe() -> str | None:
    """Why the library cannot be used here, None if it can. No table is touched."""
    try:
        import iptc  # noqa: F401  (once for all children)
    except Exception as error:  # its import looks for the C libraries and raises whatever that brings
        return f"python-iptables does not load: {error}"
    return _in_child(_try_all) or None


class Libiptc:
    """The store of iptables-legacy hosts; it falls back to the save/restore tools where the library fails.

    :ivar note: why the tools were used, empty if the library was
    """

    def __init__(self, tools: Xtables) -> None:
        self._tools = tools
        self._is_probed = False
        self.note = "" if is_installed() else "python-iptables is not installed"

    def read(self, families: Iterable[str], counts: Counts | None = None) -> State:
        """All chains and policies of the families; see ``xtables.Xtables.read``."""
        return self._tools.read(families, counts)

    def apply(self, changes: Sequence[Change]) -> None:
        """Write chains and policies. What the library does not manage, the tools write, and ``label`` says so.

        :raises KernelError: the tool's own words; some of the changes may have taken effect
        """
        if not self.note and not self._is_probed:
            self.note = probe() or ""
            self._is_probed = True
        if self.note:
            self._tools.apply(changes)
            return
        for family in ("ip", "ip6"):
            members = [change for change in changes if change.key.scope.startswith(f"{family}/")]
            if members:
                self._write(family, members)

    def label(self) -> str:
        """The store's name as shown to people."""
        if self.note:
            return f"iptables-legacy (save/restore; {self.note})"
        return "iptables-legacy (python-iptables)"

    def _write(self, family: str, changes: List[Change]) -> None:
        with _locked():
            error = _in_child(_write_family, family, changes)
        if not error:
            return
        failure = KernelError(f"write {family} rules", text=error)
        rest = missing(read_again(self._tools, family, failure), changes)
        if rest:
            self._tools.apply(rest)
            self.note = f"python-iptables failed: {error}"


def _in_child(function: Callable[..., None], *args: Any) -> str:
    """Call a function in a forked child and return its error, empty if there was none."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        _be_child(sender, function, args)
    os.close(sender)
    with open(receiver, encoding="utf-8", errors="replace") as pipe:
        text = pipe.read()
    status = os.waitpid(child, 0)[1]
    return text or ("python-iptables ended the process that it ran in" if status else "")


def _be_child(sender: int, function: Callable[..., None], args: Tuple[Any, ...]) -> None:
    """The child's whole life; it leaves without the parent's clean-up."""
    error = ""
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 1)  # the C libraries print their complaints into the module's answer
        os.dup2(nowhere, 2)
        function(*args)
    except BaseException as problem:  # the library raises more than its own errors
        error = f"{type(problem).__name__}: {problem}"
    with open(sender, "w", encoding="utf-8", errors="replace") as pipe:
        pipe.write(error)
    os._exit(0)


def _try_all() -> None:
    """Build one rule of each kind, and read back what the C libraries understood.

    :raises ValueError: it is not what was said
    """
    import iptc

    for text in _PROBE:
        rule = _entry(iptc.Rule(), text)
        rule.final_check()
        for part in (*rule.matches, rule.target):
            for values in part.get_all_parameters().values():
                if not set(values) <= set(text.split(" ")):
                    raise ValueError(f"{text!r} became {values!r}")


def _write_family(family: str, changes: Sequence[Change]) -> None:
    """Tables are built before the first is committed: what the library cannot say stops it in time.

    Only a table that is written twice must be committed in between.
    """
    import iptc

    kind, rule = (iptc.Table, iptc.Rule) if family == "ip" else (iptc.Table6, iptc.Rule6)
    built: Dict[str, Any] = {}
    for scope, members in by_table(changes):
        if scope in built:
            _commit(built)
        table = kind(scope.partition("/")[2], autocommit=False)
        table.refresh()
        _write_table(table, iptc.Chain, rule, list(members))
        built[scope] = table
    _commit(built)


def _commit(built: Dict[str, Any]) -> None:
    for table in built.values():
        table.commit()
    built.clear()


def _write_table(table: Any, chain: Any, rule: Any, changes: Sequence[Change]) -> None:
    chains = [change for change in changes if change.key.kind == "chain"]
    for change in chains:
        if change.before is None and not is_built_in(change.key):
            table.create_chain(change.key.name)
    for change in changes:
        if change.key.kind == "policy":
            table.set_policy(change.key.name, change.after or "ACCEPT")
    for change in chains:
        _check_length(table, change)
        _write_chain(table, chain(table, change.key.name), rule, change)
    for change in chains:
        if change.after is None and not is_built_in(change.key):
            table.delete_chain(change.key.name)


def _check_length(table: Any, change: Change) -> None:
    """Positions mean what they meant when the chain was read; nobody else writes while the lock is held.

    :raises ValueError: there are more or fewer rules now
    """
    length, entry = 0, table.first_rule(change.key.name)
    while entry:
        length, entry = length + 1, table.next_rule(entry)
    if length != len(change.before or ()):
        raise ValueError(f"{change.key} changed since it was read")


def _write_chain(table: Any, chain: Any, rule: Any, change: Change) -> None:
    before, after = change.before or (), change.after or ()
    if before and not after:
        table.flush_entries(change.key.name)
        return
    steps = edits(before, after)
    if has_doubles(before, steps.deletions):
        raise ValueError(f"{change.key} has a rule twice")
    for index in steps.deletions:
        chain.delete_rule(_entry(rule(), before[index]))
    length = len(before) - len(steps.deletions)
    for index, text in steps.insertions:
        entry = _entry(rule(), text)
        if index == length:
            chain.append_rule(entry)
        else:
            chain.insert_rule(entry, index)
        length += 1


def _entry(rule: Any, text: str) -> Any:
    """A rule in iptables-save spelling as the library's object.

    :raises ValueError: a word that Docker's rules do not have
    """
    if '"' in text:
        raise ValueError(f"a quoted word in the rule {text!r}")
    words = iter(text.split(" "))
    holder: Any = None
    negation = ""
    for word in words:
        if word == "!":
            negation = "!"
            continue
        value = "" if word in _BARE else " ".join(next(words) for _word in range(_WORDS.get(word, 1)))
        if word in _FIELDS:
            setattr(rule, _FIELDS[word], negation + _PROTOCOLS.get(value, value))
        elif word == "-m":
            holder = rule.create_match(value)
        elif word == "-j":
            holder = rule.create_target(value)
        elif word.startswith("--") and holder is not None:
            holder.set_parameter(word[2:], value.split(" ") if word in _WORDS else f"{negation} {value}".strip())
        else:
            raise ValueError(f"{word!r} in the rule {text!r}")
        negation = ""
    return rule


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Hold the lock that the iptables tools hold; the library takes none.

    :raises KernelError: another iptables did not end in time
    """
    handle = os.open(os.environ.get("XTABLES_LOCKFILE", _LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_WAIT
    try:
        while not _try_lock(handle):
            if time.monotonic() > deadline:
                raise KernelError(f"lock {_LOCK}", text="another iptables holds it; wait for its end")
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
