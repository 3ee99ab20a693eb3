# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces: enter, create, name, delete, list. Must not know: netlink, Docker, plans.

A namespace is entered by a thread of its own, because the kernel keeps the network namespace per
thread: the calling thread never leaves its own, no process is started, and a thread that fails
takes nothing with it. Work in many namespaces is done by one ``travelling`` thread, since starting a
thread takes ten times as long as entering. Works for root of an unprivileged user namespace as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import stat
import threading
from typing import Any, Callable, Container, Dict, List

from .._errors import KernelError
from .._state import HOST, NETNS_DIR

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 0x100000
_MNT_DETACH, _NO_FOLLOW = 2, 8
_MODE = 0o444
_EINVAL, _ENOENT, _EEXIST, _ENOTDIR = 22, 2, 17, 20

_libc = ctypes.CDLL(None, use_errno=True)
# ``home``: a travelling thread's way back; ``has_directory``: /run/netns was made, or looked at, by this thread.
_journey = threading.local()


def in_namespace(path: str, function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function(*args)`` inside the network namespace at ``path`` and return its result.

    :param path: a file that names a network namespace, or ``host`` for the caller's own
    :raises KernelError: the namespace cannot be entered; whatever the function raises is raised again
    """

    def entered() -> Any:
        _enter(path)
        return function(*args)

    if hasattr(_journey, "home"):
        if path == HOST:
            _call("return to the own network namespace", _libc.setns, _journey.home, _CLONE_NEWNET)
            return function(*args)
        return entered()
    return function(*args) if path == HOST else _in_thread(entered)


def travelling(function: Callable[..., Any], *args: Any) -> Any:
    """Call ``function(*args)`` in one thread that ``in_namespace`` and ``create`` take from namespace to namespace.

    Whatever it starts or opens without ``in_namespace`` belongs to the namespace visited last.

    :raises KernelError: the caller's own namespace cannot be opened
    """

    def started() -> Any:
        try:
            _journey.home = os.open(_own_namespace(), os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise KernelError("open the own network namespace", error.errno or 0) from error
        try:
            return function(*args)
        finally:
            os.close(_journey.home)

    return _in_thread(started)


def create(path: str) -> None:
    """Make a namespace and give it the name ``path``, as ``ip netns add`` does.

    :raises KernelError: EEXIST if the name is taken, else what the kernel said; nothing is left behind
    """
    what = f"create netns {path}"
    _make_name(what, path)

    def unshared() -> None:
        _call(what, _libc.unshare, _CLONE_NEWNET)
        _mount(what, _own_namespace(), path, _MS_BIND)

    try:
        # A travelling thread may be left in the new namespace, another may not.
        unshared() if hasattr(_journey, "home") else _in_thread(unshared)
    except BaseException:
        _unlink(what, path)
        raise


def attach(path: str, same_as: str) -> None:
    """Give the namespace at ``same_as`` the second name ``path``.

    :raises KernelError: EEXIST if the name is taken, ENOENT if there is no such namespace
    """
    what = f"create netns {path}"
    _make_name(what, path)
    try:
        _bind(what, same_as, path)
    except BaseException:
        _unlink(what, path)
        raise


def delete(path: str) -> None:
    """Take the name away; the namespace ends with its last user. No such name is success."""
    what = f"delete netns {path}"
    try:
        # A symbolic link goes itself, and not what it leads to.
        _call(what, _libc.umount2, os.fsencode(path), _MNT_DETACH | _NO_FOLLOW)
    except KernelError as error:
        # EINVAL: no mount point, such as a file that was left by a run that was killed half-way.
        if error.errno not in (_EINVAL, _ENOENT):
            raise
    _unlink(what, path)


class Kept:
    """Names given and taken away such that the way back leads to the same namespace: its processes, its settings.

    A namespace that lost its name lives until ``close``.
    """

    def __init__(self) -> None:
        self._handles: Dict[str, int] = {}

    def create(self, path: str) -> None:
        """Make a namespace, or give the one its name back that had it; see ``create``."""
        handle = self._handles.pop(path, None)
        if handle is None:
            create(path)
            return
        try:
            attach(path, f"/proc/self/fd/{handle}")
        finally:
            os.close(handle)

    def delete(self, path: str) -> None:
        """Take the name away; see ``delete``. If that fails half-way, the name is as it was."""
        with contextlib.suppress(OSError):  # no such name, or too many of them: then it cannot come back
            self._handles.setdefault(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        try:
            delete(path)
        except KernelError:
            self._put_back(path)
            raise

    def _put_back(self, path: str) -> None:
        handle = self._handles.pop(path, None)
        if handle is None:
            return
        with contextlib.suppress(OSError, KernelError):
            if os.stat(path).st_ino != os.fstat(handle).st_ino:
                _bind(f"create netns {path}", f"/proc/self/fd/{handle}", path)
        os.close(handle)

    def close(self) -> None:
        """Let go of what was taken away."""
        while self._handles:
            os.close(self._handles.popitem()[1])


def listing() -> Dict[str, int]:
    """The named namespaces below /run/netns: path -> inode, which is the namespace's identity.

    A symbolic link to one is a name as well.
    """
    found: Dict[str, int] = {}
    for path in _names():
        try:
            info = os.stat(path)
        except OSError:  # taken away since the directory was read
            continue
        if info.st_dev == _device():
            found[path] = info.st_ino
    return found


def leftovers(listed: Container[str]) -> List[str]:
    """Names without a namespace, as a run leaves them that is killed between the two: our empty files.

    :param listed: the names that have one, which are not looked at again
    """
    return [path for path in _names() if path not in listed and _is_leftover(path)]


def _is_leftover(path: str) -> bool:
    try:
        info = os.lstat(path)
        is_namespace = info.st_dev == _device()
    except OSError:
        return False
    return info.st_mode == stat.S_IFREG | _MODE and info.st_size == 0 and not is_namespace


def _names() -> List[str]:
    try:
        return sorted(os.path.join(NETNS_DIR, name) for name in os.listdir(NETNS_DIR))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise KernelError(f"read {NETNS_DIR}", error.errno or 0) from error


def _in_thread(function: Callable[[], Any]) -> Any:
    """Call the function in a fresh thread; return its result or raise its exception."""
    outcome: Dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = function()
        except BaseException as error:  # raised again below, in the caller's thread
            outcome["error"] = error

    thread = threading.Thread(target=run, name="netns")
    thread.start()
    thread.join()
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]


def _enter(path: str) -> None:
    what = f"enter netns {path}"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(what, error.errno or 0) from error
    try:
        _call(what, _libc.setns, handle, _CLONE_NEWNET)
    finally:
        os.close(handle)


def _own_namespace() -> str:
    """The file of the calling thread's own namespace; ``/proc/self`` alone means the first thread."""
    return "/proc/thread-self/ns/net" if _knows_threads() else f"/proc/self/task/{threading.get_native_id()}/ns/net"


@functools.cache
def _knows_threads() -> bool:
    return os.path.exists("/proc/thread-self")


@functools.cache
def _device() -> int:
    """The device that the kernel's files of namespaces are on."""
    return os.stat(_own_namespace()).st_dev


def _make_name(what: str, path: str) -> None:
    """Make the empty file that a namespace is mounted on."""
    if os.path.dirname(path) == NETNS_DIR and not hasattr(_journey, "has_directory"):
        _make_directory(what)
        _journey.has_directory = True
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            os.fchmod(handle, _MODE)  # whatever the umask: by its mode a name is known as ours
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno == _EEXIST and _is_leftover(path):
            return
        raise KernelError(what, error.errno or 0, _in_the_way(path, error.errno)) from error


def _in_the_way(path: str, errno: int | None) -> str:
    """The way out for the one case that reading does not show: a name without a namespace."""
    if errno == _EEXIST and path not in listing():
        return f"the file {path} is in the way and is no network namespace; remove it: ip netns delete {path}"
    return ""


def _make_directory(what: str) -> None:
    """Make /run/netns, a shared mount point, so that other mount namespaces see the names too."""
    try:
        os.makedirs(NETNS_DIR, mode=0o755, exist_ok=True)
    except OSError as error:
        raise KernelError(what, error.errno or 0) from error
    try:
        _mount(what, "none", NETNS_DIR, _MS_SHARED)
    except KernelError as error:
        if error.errno != _EINVAL:  # EINVAL: no mount point yet
            raise
        _mount(what, NETNS_DIR, NETNS_DIR, _MS_BIND | _MS_REC)
        _mount(what, "none", NETNS_DIR, _MS_SHARED)


def _bind(what: str, source: str, target: str) -> None:
    """Mount a namespace on a name; any other file as the source is refused."""
    try:
        info = os.stat(source)
        is_namespace = stat.S_ISREG(info.st_mode) and info.st_dev == _device()
    except OSError as error:
        raise KernelError(what, error.errno or 0, f"{source}: {os.strerror(error.errno or 0)}") from error
    if not is_namespace:
        raise KernelError(what, _EINVAL, f"{source} is no network namespace")
    _mount(what, source, target, _MS_BIND)


def _mount(what: str, source: str, target: str, flags: int) -> None:
    _call(what, _libc.mount, os.fsencode(source), os.fsencode(target), b"none", ctypes.c_ulong(flags), None)


def _unlink(what: str, path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        if error.errno not in (_ENOENT, _ENOTDIR):
            raise KernelError(what, error.errno or 0) from error


def _call(what: str, function: Callable[..., int], *args: Any) -> None:
    """Call into libc; errno becomes a KernelError."""
    if function(*args) != 0:
        raise KernelError(what, ctypes.get_errno())
