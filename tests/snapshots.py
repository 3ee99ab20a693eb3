# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole network configuration of a namespace as text, for byte-for-byte comparison.

Owns: what counts as configuration, and what is left out because it moves by itself (packet
counters, timers, numbers of live connections). Must not know: Ansible, the modules.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
from typing import Any, Dict, List

from traffic import inside, words_into

_COMMANDS = {
    "iptables": ["iptables-save"],
    "ip6tables": ["ip6tables-save"],
    "iptables-legacy": ["iptables-legacy-save"],
    "ip6tables-legacy": ["ip6tables-legacy-save"],
    "nft": ["nft", "-s", "list", "ruleset"],
    "link": ["ip", "-d", "-j", "link"],
    "address": ["ip", "-d", "-j", "address"],
    "route": ["ip", "-d", "-j", "route", "show", "table", "all"],
    "route6": ["ip", "-6", "-d", "-j", "route", "show", "table", "all"],
    "rule": ["ip", "-j", "rule"],
    "bridge": ["bridge", "-d", "-j", "link"],
}
_MOVING_SYSCTLS = ("nf_conntrack_count", "nf_conntrack_max", "nf_conntrack_buckets", "nf_conntrack_expect_max")
_MOVING_ATTRIBUTE = re.compile(r"_timer$|_life_time$|^(fdb_n_learned|expires|cache|num_[rt]x_queues)$")


def snapshot(ns: Any) -> Dict[str, str]:
    """Name of a part -> its text: rules of all families and tables, links, addresses, routes, sysctls.

    :param ns: a Host, the name of a namespace, or the path of one
    """
    environ = getattr(ns, "environ", None) or dict(os.environ)
    parts = {name: _printed(ns, command, environ) for name, command in _COMMANDS.items()}
    parts["sysctl"] = "".join(f"{name} = {value}\n" for name, value in sorted(inside(ns, sysctls).items()))
    return parts


def difference(before: Dict[str, str], after: Dict[str, str]) -> str:
    """A unified diff of two snapshots, empty where they are the same: ``assert not difference(a, b)``."""
    lines: List[str] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name, "").splitlines(), after.get(name, "").splitlines()
        lines += difflib.unified_diff(old, new, name, name, lineterm="", n=1)
    return "\n".join(lines)


def _printed(ns: Any, command: List[str], environ: Dict[str, str]) -> str:
    """A command's output in a form that only configuration changes; empty if there is no such program."""
    if not shutil.which(command[0], path=environ["PATH"]):
        return ""
    done = subprocess.run(
        [*words_into(ns), *command], env={**environ, "LC_ALL": "C"}, capture_output=True, text=True, check=True
    )
    if "-j" in command:
        return json.dumps(_steady(json.loads(done.stdout or "[]")), indent=1, sort_keys=True)
    text = re.sub(r" ?\[\d+:\d+\]", "", done.stdout)
    return "".join(line + "\n" for line in text.splitlines() if not line.startswith("#"))


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _steady(item) for name, item in value.items() if not _MOVING_ATTRIBUTE.search(name)}
    return [_steady(item) for item in value] if isinstance(value, list) else value


def sysctls(root: str = "/proc/sys/net") -> Dict[str, str]:
    """All readable settings below net of the calling thread's namespace."""
    found: Dict[str, str] = {}
    for directory, _directories, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            if name in _MOVING_SYSCTLS:
                continue
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    found[os.path.relpath(path, "/proc/sys")] = file.read().strip()
            except OSError:  # write-only, or unset like stable_secret
                continue
    return found
