# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of others, of which only a description of the host tells. Must not know: what rules mean.

A kernel obeys every table that there is: both variants of iptables, and each table of nftables. What is there is
asked from the kernel; a tool is started only where there is something to read.
"""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Sequence, Set, Tuple

from .._commands import RunCommand
from .._errors import HostnetError
from .._rules import Counts
from .._state import State
from . import nft, xtables

_COMPATIBLE = ("raw", "mangle", "nat", "filter", "security")  # what iptables-nft calls its tables
_FAMILIES = ("ip", "ip6")


class Others(NamedTuple):
    """Rule sets that are in force beside the one that was read, with their counters, and what could not be read."""

    states: List[Tuple[State, Counts]]
    unread: List[str]


def read(run_command: RunCommand, own: Sequence[str]) -> Others:
    """All rules that are in force beside those of our own stores.

    :param own: which have been read: ``iptables-nft``, ``iptables-legacy``, ``nftables``
    """
    found = Others([], [])
    if "iptables-legacy" not in own:
        families = [family for family in _FAMILIES if xtables.legacy_tables(family)]
        _variant(run_command, "legacy", families, found)
    tables = set(nft.tables())
    compatible = {table for table in tables if table[0] in _FAMILIES and table[1] in _COMPATIBLE}
    if "iptables-nft" not in own:
        families = [family for family in _FAMILIES if any(table[0] == family for table in compatible)]
        if _is_shown(run_command, families, found):
            tables -= compatible
    else:
        tables -= compatible
    if "nftables" in own:
        tables -= {(family, nft.TABLE) for family in _FAMILIES}
    _native(run_command, tables, found)
    return found


def _is_shown(run_command: RunCommand, families: Sequence[str], found: Others) -> bool:
    """Whether the tables that iptables-nft uses are such that it can show them; else they are read as any other."""
    before = len(found.unread)
    _variant(run_command, "nft", families, found)
    is_shown = len(found.unread) == before
    del found.unread[before:]
    return is_shown


def _variant(run_command: RunCommand, variant: str, families: Sequence[str], found: Others) -> None:
    if not families:
        return
    tools = xtables.find(run_command, variant)
    unread = [
        f"{family} tables of iptables-{variant}" for family in families if not tools or family not in tools.families
    ]
    if tools and not unread:
        store = xtables.Xtables(tools)
        unread = _tried(lambda counts: store.read(families, counts), f"tables of iptables-{variant}", found)
    found.unread.extend(unread)


def _native(run_command: RunCommand, tables: Set[Tuple[str, str]], found: Others) -> None:
    path = nft.find()
    for family, table in sorted(tables):
        if family == "arp":
            continue
        store = nft.Nft(run_command, path) if path and family != "bridge" else None
        if store is None:
            found.unread.append(f"{family} {table}")
        else:
            found.unread.extend(_tried(_lister(store, family, table), f"{family} {table}", found))


def _lister(store: nft.Nft, family: str, table: str) -> Callable[[Counts], State]:
    return lambda counts: store.listing(family, table, counts).state


def _tried(read_it: Callable[[Counts], State], what: str, found: Others) -> List[str]:
    """Read a rule set into ``found``; the name of one that cannot be read, which is no reason to tell nothing."""
    counts: Counts = {}
    try:
        found.states.append((read_it(counts), counts))
    except HostnetError:
        return [what]
    return []
