# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that matter to the host's network: a Docker daemon, the holders of unnamed namespaces.

Must not know: rules, plans. Everything is read from /proc; what another user hides is not seen.
"""

from __future__ import annotations

import json
import os
from typing import Collection, Dict, List, Set, Tuple

from . import nft

_DAEMONS = ("dockerd", "dockerd-current")
_DEFAULT_CONFIG = "/etc/docker/daemon.json"
_NAMED = ("/run/netns", "/run/docker/netns")


def running_dockerd() -> str | None:
    """``dockerd (pid 12)`` if a Docker daemon in this network namespace manages iptables; else None."""
    own = _namespace("self")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        words = _command(pid)
        is_daemon = bool(words) and os.path.basename(words[0]) in _DAEMONS and _namespace(pid) == own
        if is_daemon and _is_roots(pid) and _manages(pid, words):
            return f"dockerd (pid {pid})"
    return None


def has_firewalld() -> bool:
    """Whether a firewalld has its rules in this network namespace; the kernel is asked, no process is started."""
    if not os.path.isdir("/etc/firewalld"):
        return False
    # The second one with FirewallBackend=iptables.
    return nft.has_table("inet", "firewalld") or nft.has_chain("ip", "filter", "INPUT_ZONES")


def running(names: Collection[str]) -> Set[str]:
    """Those of the names, as the kernel keeps them (15 bytes), that processes of this network namespace have."""
    own = _namespace("self")
    found = {name_of(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if _namespace(pid) == own}
    return found & set(names)


def name_of(pid: str) -> str:
    """The name of a process as one word of a message, for it may call itself what it likes; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return "".join(char if char.isprintable() else "?" for char in file.read().strip())
    except OSError:
        return ""


def _is_roots(pid: str) -> bool:
    """Whether a process is root's: anybody can call his own dockerd, and none of theirs can write rules."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return any(line.split()[2:3] == ["0"] for line in file if line.startswith("Uid:"))
    except OSError:
        return False


def _manages(pid: str, words: List[str]) -> bool:
    """Whether its command line or daemon.json leaves iptables on, as it is by default."""
    for word in words:
        if word.startswith("--iptables="):
            return word.partition("=")[2].lower() not in ("false", "0", "f")
    return _config(pid, words).get("iptables", True) is not False


def _config(pid: str, words: List[str]) -> Dict[str, object]:
    path = _DEFAULT_CONFIG
    for index, word in enumerate(words):
        if word.startswith("--config-file="):
            path = word.partition("=")[2]
        elif word == "--config-file" and index + 1 < len(words):
            path = words[index + 1]
    try:
        with open(f"/proc/{pid}/root{path}", encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def _command(pid: str) -> List[str]:
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\0").split("\0")
    except OSError:
        return []


def _namespace(pid: str) -> int:
    return _inode(f"/proc/{pid}/ns/net")


def _inode(path: str) -> int:
    """0 for what is not there, or no more: a process that ended, a link that leads nowhere."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def namespaces() -> List[str]:
    """Namespaces without a name of ``ip netns``: those a Docker daemon names, and one process of each other."""
    known = {_namespace("self"), 0}
    found: List[str] = []
    for directory in _NAMED:
        for path in _entries(directory):
            inode = _inode(path)
            if inode not in known and directory != _NAMED[0]:
                found.append(path)
            known.add(inode)
    for pid in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        if _namespace(pid) not in known:
            known.add(_namespace(pid))
            found.append(f"/proc/{pid}/ns/net")
    return found


def _entries(directory: str) -> List[str]:
    try:
        return [os.path.join(directory, name) for name in sorted(os.listdir(directory))]
    except OSError:
        return []


def boots() -> bool:
    """Whether this is a machine that systemd boots, and not a namespace of one: only there a unit is of use."""
    return _namespace("self") == _namespace("1") and os.path.isdir("/run/systemd/system")


def is_machines(directory: str) -> bool:
    """Whether a directory is the one that the machine's first process sees, from a network namespace that is another
    one's. Where that process lets nobody look, its mounts tell; where they cannot be seen, it counts as the machine's.
    """
    if _namespace("self") == _namespace("1"):
        return False
    while not os.path.isdir(directory):  # where it would be made
        directory = os.path.dirname(directory)
    try:
        return os.path.samefile(directory, f"/proc/1/root{directory}")
    except FileNotFoundError:
        return False
    except OSError:
        return _place("self", directory) == _place("1", directory)


def _place(pid: str, directory: str) -> Tuple[str, str] | None:
    """What a process has mounted there: the device, and the path on it; None where that cannot be seen."""
    path, found = os.path.realpath(directory), None
    try:
        with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            for device, root, point in (line.split()[2:5] for line in file):
                if point == "/" or path == point or path.startswith(f"{point}/"):
                    found = (device, os.path.normpath(f"{root}/{path[len(point.rstrip('/')) :]}"))
    except OSError:
        return None
    return found
