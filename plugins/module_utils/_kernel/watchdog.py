# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that stays behind and acts unless somebody comes back in time. Must not know: what it does then.

It listens on a socket of the host's network namespace; whoever connects holds it off. Start, hold off and act
happen under the lock of runs, so that they cannot meet.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import syslog
from typing import Callable, Iterator, NoReturn

from .._errors import HostnetError, KernelError
from . import lock

_DIRECTORY = "/run/hostnet-docker"  # root's own: nobody else may hold it off
_TRIES = 2  # another program may write the same things at the same moment


def _path() -> str:
    return f"{_DIRECTORY}/{os.stat('/proc/thread-self/ns/net').st_ino}.socket"


def start(seconds: float, act: Callable[[], None]) -> None:
    """Leave a process behind that calls ``act`` as soon as this run and further ``seconds`` are over.

    All that ``act`` needs must be imported: the files that it came from may be gone by then.

    :raises KernelError: there can be none
    """
    path = _path()
    listener = socket.socket(socket.AF_UNIX)
    try:
        os.makedirs(_DIRECTORY, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # of one that was killed
            os.unlink(path)
        listener.bind(path)
        listener.listen()
        child = os.fork()
    except OSError as error:
        raise KernelError("leave a process behind that waits for the confirmation", error.errno or 0) from error
    if child == 0:
        _be_child(listener, path, seconds, act)
    listener.close()
    os.waitpid(child, 0)


def hold_off() -> bool:
    """Tell the process that waits here that it need not act.

    :returns: whether there was one
    """
    path = _path()
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:  # there is none, or it was killed
            return False
    os.unlink(path)
    return True


def _be_child(listener: socket.socket, path: str, seconds: float, act: Callable[[], None]) -> NoReturn:
    """The process between: the one that waits is nobody's child, of another session, and holds nothing open."""
    try:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if os.fork() == 0:
            with _alone(listener):
                _wait(listener, path, seconds, act)
    finally:
        os._exit(0)


@contextlib.contextmanager
def _alone(listener: socket.socket) -> Iterator[None]:
    """Without what the run has open: its lock, its sockets, the connection that it answers to."""
    os.chdir("/")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for handle in (0, 1, 2):
        os.dup2(nowhere, handle)
    kept = listener.fileno()
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    try:
        yield
    except BaseException as problem:
        _say(f"the change was not confirmed, and it could not be undone: {problem}")


def _wait(listener: socket.socket, path: str, seconds: float, act: Callable[[], None]) -> None:
    with lock.held(math.inf):
        pass  # the run is over
    if _is_held_off(listener, seconds):
        return
    with lock.held(math.inf):
        # Somebody may have come while we waited for the lock.
        if _is_held_off(listener, 0):
            return
        os.unlink(path)
        _act(act)
    _say(f"the change was not confirmed within {seconds:g} seconds and was undone")


def _is_held_off(listener: socket.socket, seconds: float) -> bool:
    listener.settimeout(seconds)
    try:
        listener.accept()
    except (BlockingIOError, socket.timeout):
        return False
    return True


def _act(act: Callable[[], None]) -> None:
    for number in range(1, _TRIES + 1):
        try:
            act()
            return
        except HostnetError:
            if number == _TRIES:
                raise


def _say(text: str) -> None:
    syslog.openlog("hostnet-docker", syslog.LOG_PID)
    syslog.syslog(syslog.LOG_WARNING, text)
