# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings under /proc/sys. Must not know: which settings matter, Docker.

A value is what the file holds, stripped, with single tabs between numbers. A namespace's settings are
read and written by a thread inside it, because /proc/sys/net shows the namespace of the thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
from itertools import groupby
from typing import Dict, Iterable, List, Sequence, Tuple

from .._commands import RunCommand
from .._errors import KernelError
from .._plan import Change
from .._state import HOST, Key, State
from . import detached, namespaces

_ROOT = "/proc/sys/"
_BRIDGE = "net/bridge/"
_FEW = 50
_LENGTH = 4096  # bytes; a setting is shorter
_PATH = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Settings:
    """The settings of the host and of its namespaces; ``close`` it.

    The kernel keeps what was opened below one /proc/sys in one list for all namespaces, and goes through it at
    each look-up: the thousandth namespace's settings take twenty times as long as the first one's. So namespaces
    are read and written through a /proc of this run's own, a fresh one after every few of them.
    """

    def __init__(self, run_command: RunCommand) -> None:
        self._run_command = run_command
        self._root: int | None = None
        self._visits = 0

    def close(self) -> None:
        """Let go of the /proc; another one is opened when needed."""
        if self._root is not None:
            os.close(self._root)
        self._root, self._visits = None, 0

    def read(self, items: Iterable[Tuple[str, str]]) -> State:
        """The settings (scope, name) that exist.

        :raises KernelError: a namespace cannot be entered
        """
        by_scope: Dict[str, List[str]] = {}
        for scope, name in items:
            by_scope.setdefault(scope, []).append(name)
        state: State = {}
        for scope, names in by_scope.items():
            for name, value in namespaces.in_namespace(scope, _read_all, self._below(scope), names).items():
                state[Key("sysctl", scope, name)] = value
        return state

    def apply(self, changes: Sequence[Change]) -> None:
        """Write settings; a deletion only says that the device goes, so there is nothing to write.

        :raises KernelError: with the kernel's errno
        """
        for scope, members in groupby(changes, lambda change: change.key.scope):
            namespaces.in_namespace(scope, _write_all, self._run_command, self._below(scope), list(members))

    def _below(self, scope: str) -> int | None:
        """The directory that names are looked up in; None for the /proc/sys that everybody sees."""
        if scope == HOST:
            return None
        if self._root is None or self._visits == _FEW:
            self.close()
            self._root = _fresh()
        self._visits += 1
        return self._root


def _fresh() -> int:
    """A /proc/sys of our own, or the one that is mounted where the kernel refuses that."""
    try:
        proc = detached.root("proc")
    except OSError:
        return os.open(_ROOT, _PATH)
    try:
        return os.open("sys", _PATH, dir_fd=proc)
    finally:
        os.close(proc)


def _opened(below: int | None, name: str, flags: int) -> int:
    return os.open(_ROOT + name if below is None else name, flags | os.O_CLOEXEC, dir_fd=below)


def _read_all(below: int | None, names: Iterable[str]) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for name in names:
        with contextlib.suppress(OSError):  # the kernel or the device has no such setting
            handle = _opened(below, name, os.O_RDONLY)
            try:
                found[name] = "\t".join(os.read(handle, _LENGTH).decode("ascii", "replace").split())
            finally:
                os.close(handle)
    return found


def _write_all(run_command: RunCommand, below: int | None, changes: Sequence[Change]) -> None:
    for change in changes:
        if change.after is not None:
            _write(run_command, below, change)


def _write(run_command: RunCommand, below: int | None, change: Change) -> None:
    try:
        _put(below, change.key.name, change.after)
    except OSError as error:
        if error.errno != errno.ENOENT or not change.key.name.startswith(_BRIDGE):
            raise KernelError(str(change), error.errno or 0) from error
        _load_br_netfilter(run_command, below, change)


def _put(below: int | None, name: str, value: str) -> None:
    handle = _opened(below, name, os.O_WRONLY)
    try:
        os.write(handle, f"{value}\n".encode("ascii"))
    finally:
        os.close(handle)


def _load_br_netfilter(run_command: RunCommand, below: int | None, change: Change) -> None:
    """dockerd loads the module too when its rules need bridged packets."""
    try:
        run_command(["modprobe", "br_netfilter"], "")
        _put(below, change.key.name, change.after)
    except OSError as error:
        text = "the kernel module br_netfilter is missing; install it (package of the kernel's modules) or load it"
        raise KernelError(str(change), error.errno or 0, text) from error
