# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that the tests run on, and the proof that they left it alone.

Owns: what is recorded of the machine's own namespaces before the session leaves them, and the
comparison afterwards. Must not know: Ansible, the modules.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

import lab
import sandbox
from snapshots import difference, snapshot

BEFORE = pytest.StashKey[Dict[str, Any]]()
NOTHING: Dict[str, Any] = {"net": "", "mnt": "", "record": {}}
_DIRECTORIES = ("/run/netns", "/etc/netns", "/etc/sysctl.d")
_MANAGERS = ("/etc/NetworkManager", "/etc/firewalld", "/etc/systemd", "/var/lib/NetworkManager")
_PARTS = ("iptables", "ip6tables", "iptables-legacy", "ip6tables-legacy", "nft", "link", "address", "route", "route6")


def remember() -> Dict[str, Any]:
    """Record the calling process's own namespaces, and keep descriptors of them to come back.

    An ordinary user can neither change nor enter them once he is in a user namespace: there the
    record says so, and ``changes`` has nothing to compare.
    """
    if os.geteuid() != 0 or Path("/proc/self/uid_map").read_text(encoding="ascii").split()[2] == "1":
        return NOTHING
    handles = {kind: os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt")}
    # Workers reach the descriptors through the process that holds them.
    paths = {kind: f"/proc/{os.getpid()}/fd/{handle}" for kind, handle in handles.items()}
    return {**paths, "record": _record("/proc/self/ns/net")}


def changes(before: Dict[str, Any]) -> str:
    """A diff of the machine before the session and now; empty where it is as it was.

    Settings that the kernel added since (a module that was loaded brings its own) are no change.
    """
    if not before["record"]:
        return ""
    now = json.loads(_inside(before, lambda: print(json.dumps(_record("/proc/self/ns/net")))))
    known = {line.partition(" = ")[0] for line in before["record"]["sysctl"].splitlines()}
    kept = [line for line in now["sysctl"].splitlines() if line.partition(" = ")[0] in known]
    now["sysctl"] = "".join(f"{line}\n" for line in kept)
    return difference(before["record"], now)


@contextlib.contextmanager
def managers_in_memory() -> Iterator[None]:
    """What network managers read is empty meanwhile, and what is written there is gone afterwards."""
    with empty(*_MANAGERS):
        yield


@contextlib.contextmanager
def empty(*paths: str) -> Iterator[None]:
    """The directories are empty meanwhile, and what is written there is gone afterwards."""
    places = [path for path in paths if os.path.isdir(path)]
    for path in places:
        subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
    try:
        yield
    finally:
        for path in places:
            subprocess.run(["umount", "-l", path], check=True)


def _inside(before: Dict[str, Any], function: Any) -> str:
    def entered() -> None:
        for kind, flag in (("net", sandbox.CLONE_NEWNET), ("mnt", sandbox.CLONE_NEWNS)):
            handle = os.open(before[f"{kind}"], os.O_RDONLY)
            sandbox.setns(handle, flag)
        function()

    child = lab.forked(entered)
    assert child["status"] == 0, child["stderr"]
    return child["stdout"]


def _record(net: str) -> Dict[str, str]:
    parts = snapshot(net)
    return {**{name: parts[name] for name in (*_PARTS, "sysctl")}, "files": _files()}


def _files() -> str:
    found = []
    for directory in _DIRECTORIES:
        for path in sorted(Path(directory).rglob("*")):
            text = path.read_text(errors="replace") if path.is_file() and directory != "/run/netns" else ""
            found.append(f"{path}\n{text}")
    return "".join(found)
