# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which firewall store a host gets. Must not know: rules, plans.

The host's own variant is used, whatever it is: rules in the other variant would be a second rule set
that nobody looks at. python-iptables speaks to the legacy tables only.
"""

from __future__ import annotations

from typing import Callable, Iterable, NamedTuple, Sequence, Tuple, Union

from .._commands import RunCommand
from .._errors import MissingTool
from .._plan import Change
from .._rules import Counts
from .._state import State
from . import nft, xtables

_INSTALL = "install the package iptables (or nftables, with firewall_backend: nftables)"


class Choice(NamedTuple):
    """A store. ``name`` tells what wrote, and why, where that was not the first choice; ``store`` is which rules it
    reads: ``iptables-nft``, ``iptables-legacy`` or ``nftables``."""

    layout: str
    store: str
    name: Callable[[], str]
    families: Tuple[str, ...]
    read: Callable[[Iterable[str], Union[Counts, None]], State]
    apply: Callable[[Sequence[Change]], None]
    kinds: Tuple[str, ...] = ("chain", "policy")


def choose(run_command: RunCommand, backend: str, chain: str) -> Tuple[Choice, Choice | None]:
    """The store for ``firewall_backend``, and that of the other layout if the host has rules in it.

    :param backend: ``iptables``, ``nftables``, or ``auto``: iptables, as dockerd, unless there is none or the host's
        rules are native nftables already
    :param chain: a chain of table filter that says that there are rules for iptables
    :raises MissingTool: the host has none of the kind
    """
    tools = xtables.find(run_command)
    has_tables = nft.find() is not None and any(nft.has_table(family) for family in nft.families())
    if backend == "auto":
        is_native = tools is None or (has_tables and not xtables.has_chain(tools, chain))
        backend = "nftables" if is_native and nft.find() else "iptables"
    if backend == "iptables":
        return _iptables(tools), _nftables(run_command) if has_tables else None
    is_former = tools is not None and xtables.has_chain(tools, chain)
    return _nftables(run_command), _iptables(tools) if is_former else None


def _iptables(tools: xtables.Tools | None) -> Choice:
    if tools is None:
        raise MissingTool("iptables", _INSTALL)
    if tools.variant == "legacy":
        return _legacy(tools)
    store = xtables.Xtables(tools)
    return Choice("iptables", "iptables-nft", lambda: "iptables-nft", tools.families, store.read, store.apply)


def _nftables(run_command: RunCommand) -> Choice:
    path = nft.find()
    if path is None:
        raise MissingTool("nft", "install the package nftables, or use firewall_backend: iptables")
    store = nft.Nft(run_command, path)
    return Choice("nftables", "nftables", lambda: "nftables", tuple(nft.families()), store.read, store.apply, nft.KINDS)


def _legacy(tools: xtables.Tools) -> Choice:
    from . import libiptc

    store = libiptc.Libiptc(xtables.Xtables(tools))
    return Choice("iptables", "iptables-legacy", store.label, tools.families, store.read, store.apply)
