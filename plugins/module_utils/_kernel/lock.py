# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock for one run at a time on one host. Must not know: what a run does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import Iterator

from .._errors import KernelError

_DIRECTORY = "/run/lock"
_PAUSE = 0.05  # seconds between two tries


@contextlib.contextmanager
def held(timeout: float) -> Iterator[None]:
    """Hold the lock of this network namespace; a host's sandboxes have locks of their own.

    :param timeout: seconds to wait for another run
    :raises KernelError: another run did not end in time
    """
    inode = os.stat("/proc/thread-self/ns/net").st_ino
    path = f"{_directory()}/hostnet-docker-{inode}.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise KernelError(f"lock {path}", error.errno or 0) from error
    try:
        _take(handle, path, time.monotonic() + timeout)
        yield
    finally:
        os.close(handle)


def _directory() -> str:
    return _DIRECTORY if os.path.isdir(_DIRECTORY) else "/run"


def _take(handle: int, path: str, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                text = "another run holds it; wait for its end, or give a longer lock_timeout"
                raise KernelError(f"lock {path}", text=text) from None
            time.sleep(_PAUSE)
