# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small text files: read whole, replaced atomically. Must not know: what is in them, Docker.

Symbolic links are followed for reading (``/etc/resolv.conf`` often is one) and never written through. A namespace's
directory below /etc/netns that is a link is not ours: its files are not there, and writing one is refused.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import stat
from typing import Iterable, List, Sequence, Tuple

from .._errors import Conflict, KernelError
from .._plan import Change
from .._state import HOST, Key, State

_MODE = 0o644
_DIRECTORY_MODE = 0o755
_ENCODING = ("utf-8", "surrogateescape")
_CHUNK = 1 << 16
_OWN_DIRECTORIES = "/etc/netns/"
_BLOCKED = "something other than a plain {} is there; remove it, or leave it to others"


def read(paths: Iterable[str]) -> State:
    """The files that exist, with their whole content; a path may have ``*`` for any name.

    :raises KernelError: a file is there and cannot be read
    """
    state: State = {}
    # Of thousands of files there are three in each directory.
    is_led_away = functools.lru_cache(maxsize=1)(_is_no_directory)
    for path in dict.fromkeys(name for pattern in paths for name in _named(pattern)):
        if path.startswith(_OWN_DIRECTORIES) and is_led_away(os.path.dirname(path)):
            continue
        try:
            state[Key("file", HOST, path)] = _text(path)
        except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no path has such characters
            continue
        except OSError as error:
            raise KernelError(f"read file {path}", error.errno or 0) from error
    return state


def _text(path: str) -> str:
    """By system calls alone: Python's own file objects take twice as long, and a host may have thousands."""
    # Without waiting: a pipe in a file's place has nobody at its other end.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(handle, _CHUNK), b"")).decode(*_ENCODING)
    finally:
        os.close(handle)


def _named(path: str) -> List[str]:
    return sorted(glob.glob(path)) if "*" in path else [path]


def _is_led_away(path: str) -> bool:
    """Whether the directory of a namespace's file is a symbolic link or anything else that is no directory."""
    return path.startswith(_OWN_DIRECTORIES) and _is_no_directory(os.path.dirname(path))


def _is_no_directory(path: str) -> bool:
    try:
        return not stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def check(changes: Iterable[Change]) -> None:
    """Look whether the files could be written, in check mode too.

    :raises Conflict: something other than a regular file, or than a directory of a namespace's own, is in the way
    """
    for change in changes:
        if _is_led_away(change.key.name):
            raise Conflict(f"{change.key}: {_BLOCKED.format('directory')}: {os.path.dirname(change.key.name)}")
        with contextlib.suppress(OSError):
            if not stat.S_ISREG(os.lstat(change.key.name).st_mode):
                raise Conflict(f"{change.key}: {_BLOCKED.format('file')}")


def apply(changes: Sequence[Change]) -> None:
    """Write or remove files, each as a whole.

    :raises Conflict: something other than a regular file is in the way
    :raises KernelError: with the system's errno; the file is as it was
    """
    for change in changes:
        check([change])
        try:
            if change.after is None:
                _remove(change.key.name)
            else:
                _replace(change.key.name, change.after)
        except OSError as error:
            raise KernelError(str(change), error.errno or 0) from error


def _replace(path: str, text: str) -> None:
    directory = os.path.dirname(path)
    temporary = f"{directory}/.hostnet-{os.urandom(6).hex()}"
    handle, is_new = _created(temporary)
    try:
        try:
            data = text.encode(*_ENCODING)
            while data:
                data = data[os.write(handle, data) :]
            os.fchmod(handle, _MODE)
        finally:
            os.close(handle)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
            if is_new:
                os.rmdir(directory)
        raise


def _make_directories(directory: str) -> None:
    """Make a directory and those above it; nobody else may write into them, whatever the umask."""
    if os.path.isdir(directory):
        return
    _make_directories(os.path.dirname(directory))
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, _DIRECTORY_MODE)
        os.chmod(directory, _DIRECTORY_MODE)


def _created(path: str) -> Tuple[int, bool]:
    """A new file, and whether its directory was made for it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600), False
    except FileNotFoundError:
        _make_directories(os.path.dirname(path))
        return os.open(path, flags, 0o600), True


def _remove(path: str) -> None:
    """Remove a file, and the directory of a namespace's files with its last one."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    directory = os.path.dirname(path)
    if directory.startswith(_OWN_DIRECTORIES):
        with contextlib.suppress(OSError):  # it is not empty
            os.rmdir(directory)
