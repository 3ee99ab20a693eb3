# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private place for demos and tests: network and mount namespaces of the calling process's own.

Owns: how a process leaves the machine's network, files and processes behind. Inside, ``lo`` is up, /run is
empty, and new or changed entries directly in /etc, in /etc/netns and in /etc/sysctl.d stay in
memory. Works for root, and for an ordinary user where the kernel lets him make user namespaces.
Must not know: Ansible, the collection.

As a program: ``python3 tools/sandbox.py COMMAND [ARGUMENT ...]`` runs a command inside.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
import sys

_CLONE_FS, _CLONE_NEWPID, _PR_SET_PDEATHSIG = 0x200, 0x20000000, 1
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MNT_DETACH = 2
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_NO_RIGHT = (errno.EPERM, errno.ENOSPC, errno.EINVAL, errno.EACCES)
_OWN = ("netns", "sysctl.d")  # directories of /etc that are private copies

_libc = ctypes.CDLL(None, use_errno=True)


class NoSandbox(Exception):
    """The kernel refuses; the message says what to do."""


def enter() -> None:
    """Move the calling thread, and all it starts from now on, into fresh namespaces.

    :raises NoSandbox: neither root's rights nor unprivileged user namespaces are to be had
    """
    try:
        _unshare(CLONE_NEWNET | CLONE_NEWNS)
    except OSError:
        _as_user(CLONE_NEWNET | CLONE_NEWNS)
    _mount("none", "/", 0, _MS_REC | _MS_PRIVATE)
    _private_etc()
    loopback_up()


def own_processes() -> None:
    """Go on as the first process of a process namespace, with a /proc of its own; the caller waits and ends as it does.

    What is read of a machine's first process is then read of this one. To be called before ``enter``, and before there
    are threads: only the calling one goes on.

    :raises NoSandbox: neither root's rights nor unprivileged user namespaces are to be had
    """
    try:
        _unshare(_CLONE_NEWPID | CLONE_NEWNS)
    except OSError:
        _as_user(_CLONE_NEWPID | CLONE_NEWNS)
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os._exit(status if status >= 0 else 128 - status)
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
    _mount("none", "/", 0, _MS_REC | _MS_PRIVATE)
    _mount("proc", "/proc", "proc", 0)


def with_init() -> None:
    """Leave the place of the first process to one that does nothing but wait: what is read of it is not of the caller,
    who goes on as its child and may move elsewhere."""
    child = os.fork()
    if not child:
        return
    ended = status = -1
    while ended != child:  # others are processes that were left behind
        ended, status = os.wait()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def setns(handle: int, kind: int) -> None:
    """Enter the namespace behind a descriptor (``os.setns`` for Pythons before 3.12).

    :param kind: CLONE_NEWNET, CLONE_NEWNS or 0 for any
    :raises OSError: with the kernel's errno
    """
    _check(_libc.setns(handle, kind), "setns")


def own_directories() -> None:
    """Give the calling thread a root and a working directory of its own, without which it cannot enter another mount
    namespace than the rest of its process."""
    _unshare(_CLONE_FS)


def loopback_up() -> None:
    """Bring up ``lo`` of the current network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(sock, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _as_user(flags: int) -> None:
    """Namespaces with a user namespace in which the caller is root."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        _unshare(CLONE_NEWUSER | flags)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    except OSError as error:
        if error.errno not in _NO_RIGHT:
            raise
        raise NoSandbox(
            f"this user may not make user namespaces ({error.strerror}): run as root, or allow them "
            "(sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu, "
            "sysctl kernel.unprivileged_userns_clone=1 on older Debian)"
        ) from error


def _private_etc() -> None:
    """Empty /run, and an /etc of its own whose entries are the machine's.

    A mount point must exist before something is mounted on it, and making /etc/netns would be a
    write to the machine; so /etc is put together anew in memory and mounted as a whole.
    """
    machine = os.open("/etc", os.O_PATH | os.O_DIRECTORY)
    resolver = _text("/etc/resolv.conf")
    _mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
    for directory in ("/run/netns", "/run/lock", "/run/etc"):
        os.mkdir(directory)
    _mount("tmpfs", "/run/etc", "tmpfs", 0, "mode=755")
    for name in os.listdir(f"/proc/self/fd/{machine}"):
        _take_over(f"/proc/self/fd/{machine}/{name}", f"/run/etc/{name}")
    for name in _OWN:
        os.makedirs(f"/run/etc/{name}", exist_ok=True)
    _write("/run/etc/resolv.conf", resolver)
    _mount("/run/etc", "/etc", 0, _MS_BIND | _MS_REC)
    os.close(machine)
    _check(_libc.umount2(b"/run/etc", _MNT_DETACH), "umount /run/etc")
    os.rmdir("/run/etc")


def _take_over(source: str, target: str) -> None:
    """Show one entry of the machine's /etc in the new one; what cannot be shown is left out."""
    name = os.path.basename(target)
    if name in _OWN or name == "resolv.conf":
        return
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(source, target, 0, _MS_BIND | _MS_REC)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def _mount(source: str, target: str, kind: str | int, flags: int, options: str = "") -> None:
    name = kind.encode() if isinstance(kind, str) else None
    result = _libc.mount(source.encode(), target.encode(), name, ctypes.c_ulong(flags), options.encode())
    _check(result, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def main() -> None:
    """Run the command of the command line inside."""
    if len(sys.argv) < 2:
        sys.exit("usage: sandbox.py COMMAND [ARGUMENT ...]")
    try:
        own_processes()
        enter()
    except NoSandbox as error:
        sys.exit(f"sandbox: {error}")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
