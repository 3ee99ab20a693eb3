# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Module runs in which chosen writes to the host fail, in which the process is killed after one, or somebody looks
at the host after each.

Owns: what counts as one write (a netlink request, a system call for a namespace, a setting, a file, one table of a
rule restore or of python-iptables, a transaction of nft), and how it is made to fail. Must not know: what a module
writes, and why.
"""

from __future__ import annotations

import errno
import functools
import importlib
import json
import os
import signal
import sys
from typing import Any, Callable, Dict, List, NamedTuple

import lab

INJECTED = "injected by the test"
_WRITE, _FAILED = "write: ", "failed: "
_KERNEL = f"{lab.COLLECTION}.plugins.module_utils._kernel"
_ERRORS = f"{lab.COLLECTION}.plugins.module_utils._errors"

Hit = Callable[[int], bool]
Look = Callable[[str], List[str]]


class Run(NamedTuple):
    """One run with faults.

    ``result`` is the module's, None if it was killed; ``writes`` names the writes that it got to in order,
    ``failed`` those that were made to fail or that it was killed after, or what who looked on found.
    """

    result: Dict[str, Any] | None
    writes: List[str]
    failed: List[str]

    @property
    def msg(self) -> str:
        """The module's error message, empty if there is none."""
        return str(self.result.get("msg", "")) if self.result and self.result.get("failed") else ""


def failing(host: lab.Host, options: Dict[str, Any], hit: Hit, error: int = errno.EIO) -> Run:
    """Run host_network; writes whose number (from 0) is hit fail with the error and have no effect."""
    return _run(host, options, lambda: _Failing(hit, error))


def killed(host: lab.Host, options: Dict[str, Any], number: int) -> Run:
    """Run host_network; right after the write of this number the process is killed."""
    return _run(host, options, lambda: _Killed(number))


def watched(host: lab.Host, options: Dict[str, Any], look: Look) -> Run:
    """Run host_network; after each write, of which it gets the name, ``look`` says what it finds wrong."""
    return _run(host, options, lambda: _Watched(look))


def _run(host: lab.Host, options: Dict[str, Any], faults: Callable[[], _Faults]) -> Run:
    def child() -> None:
        _install(faults())
        backend = {"firewall_backend": host.backend} if host.backend else {}
        host._in_child("host_network", False, False, {**backend, **options})

    done = lab.forked(child)
    lines = done["stderr"].splitlines()
    writes = [line[len(_WRITE) :] for line in lines if line.startswith(_WRITE)]
    failed = [line[len(_FAILED) :] for line in lines if line.startswith(_FAILED)]
    if done["status"] == -signal.SIGKILL:
        return Run(None, writes, failed)
    assert done["status"] in (0, 1), done["stderr"] + done["stdout"]
    return Run(json.loads(done["stdout"].strip().splitlines()[-1]), writes, failed)


class _Faults:
    """Counts the writes of this process; what happens to one is the subclasses' business."""

    def __init__(self) -> None:
        self.count = 0
        self.are_tools_down = False  # python-iptables failed: so do, once, the tools that take over from it

    def step(self, what: str, write: Callable[[], Any], error: Callable[[], Exception]) -> Any:
        """Carry out one write."""
        number, self.count = self.count, self.count + 1
        print(f"{_WRITE}{what}", file=sys.stderr)
        return self.happens(number, what, write, error)

    def happens(self, number: int, what: str, write: Callable[[], Any], error: Callable[[], Exception]) -> Any:
        raise NotImplementedError


class _Failing(_Faults):
    def __init__(self, hit: Hit, error: int) -> None:
        super().__init__()
        self.hit, self.errno = hit, error

    def happens(self, number: int, what: str, write: Callable[[], Any], error: Callable[[], Exception]) -> Any:
        if self.hit(number):
            print(f"{_FAILED}{what}", file=sys.stderr)
            raise error()
        return write()


class _Killed(_Faults):
    errno = 0

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number, self.process = number, os.getpid()  # one that waits for a confirmation is left alone

    def happens(self, number: int, what: str, write: Callable[[], Any], error: Callable[[], Exception]) -> Any:
        result = write()
        if number == self.number and os.getpid() == self.process:
            print(f"{_FAILED}{what}", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        return result


class _Watched(_Faults):
    errno = 0

    def __init__(self, look: Look) -> None:
        super().__init__()
        self.look = look

    def happens(self, number: int, what: str, write: Callable[[], Any], error: Callable[[], Exception]) -> Any:
        result = write()
        for found in self.look(what):
            print(f"{_FAILED}after write {number} ({what}): {found}", file=sys.stderr)
        return result


def _install(faults: Any) -> None:
    """Put the faults between this process and the kernel; the process is one of its own, nothing is undone."""
    _netlink(faults)
    _namespaces(faults)
    _settings_and_files(faults)
    _restores(faults)
    _library(faults)
    _transactions(faults)


def _module(name: str) -> Any:
    return importlib.import_module(f"{_KERNEL}.{name}")


def _system_error(faults: Any) -> Callable[[], Exception]:
    return lambda: OSError(faults.errno, INJECTED)


def _user_error(faults: Any, what: str) -> Callable[[], Exception]:
    errors = importlib.import_module(_ERRORS)
    return lambda: errors.KernelError(what, faults.errno, INJECTED)


def _netlink(faults: Any) -> None:
    rtnl = _module("rtnl")
    original = rtnl.Netlink.speak

    def speak(net: Any, scope: str, verb: int, noun: str, *words: Any, **more: Any) -> Any:
        def write() -> Any:
            return original(net, scope, verb, noun, *words, **more)

        if verb == rtnl._GET:
            return write()
        return faults.step(f"netlink {noun}", write, _system_error(faults))

    rtnl.Netlink.speak = speak


def _namespaces(faults: Any) -> None:
    namespaces = _module("namespaces")
    call, make_name, unlink = namespaces._call, namespaces._make_name, namespaces._unlink

    def called(what: str, function: Any, *args: Any) -> Any:
        def write() -> Any:
            return call(what, function, *args)

        if function is namespaces._libc.setns:
            return write()
        return faults.step(f"namespace {function.__name__}", write, _user_error(faults, what))

    namespaces._call = called
    namespaces._make_name = lambda what, path: faults.step(
        "namespace name", lambda: make_name(what, path), _user_error(faults, what)
    )
    namespaces._unlink = lambda what, path: faults.step(
        "namespace unlink", lambda: unlink(what, path), _user_error(faults, what)
    )


def _settings_and_files(faults: Any) -> None:
    sysctl, files = _module("sysctl"), _module("files")
    for owner, name, what in (
        (sysctl, "_put", "setting"),
        (files.os, "replace", "file replaced"),
        (files, "_remove", "file removed"),
    ):
        setattr(owner, name, _wrapped(faults, getattr(owner, name), what))


def _wrapped(faults: Any, function: Any, what: str) -> Any:
    return lambda *words: faults.step(what, lambda: function(*words), _system_error(faults))


def _restores(faults: Any) -> None:
    """A restore commits table by table: one that fails half-way has written the tables before."""
    xtables = _module("xtables")
    original = xtables.Xtables._run

    def run(store: Any, command: List[str], text: str, what: str) -> str:
        if not text:
            return str(original(store, command, text, what))
        error = _user_error(faults, what)
        if faults.are_tools_down:
            faults.are_tools_down = False
            raise error()
        for part in text.split("COMMIT\n")[:-1]:
            write = functools.partial(original, store, command, f"{part}COMMIT\n", what)
            faults.step(f"restore {part.partition(chr(10))[0]}", write, error)
        return ""

    xtables.Xtables._run = run


def _library(faults: Any) -> None:
    """python-iptables writes in a child of its own: here one child a table, so that the count is this process's."""
    libiptc = _module("libiptc")
    in_child, write_family = libiptc._in_child, libiptc._write_family

    def counted(function: Any, *args: Any) -> str:
        if function is not write_family:
            return str(in_child(function, *args))
        family, changes = args
        for scope, members in libiptc.by_table(changes):
            error = _table_written(faults, scope, lambda members=list(members): in_child(write_family, family, members))
            if error:
                return error
        return ""

    libiptc._in_child = counted


def _table_written(faults: Any, scope: str, write: Callable[[], str]) -> str:
    """One table by python-iptables; if that fails, so do the tools that take over."""
    try:
        return str(faults.step(f"library *{scope.partition('/')[2]}", write, lambda: RuntimeError(INJECTED)))
    except RuntimeError as failure:
        faults.are_tools_down = True
        return str(failure)


def _transactions(faults: Any) -> None:
    nft = _module("nft")
    original = nft.Nft._run

    def run(store: Any, arguments: List[str], text: str, what: str) -> str:
        write = functools.partial(original, store, arguments, text, what)
        return str(faults.step("nft transaction", write, _user_error(faults, what)) if text else write())

    nft.Nft._run = run
