# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole plays through ``ansible-playbook``, on hosts that are namespaces. Must not know: how it is shown.

The seconds are those of the tasks, from the log: from the first one's start to the play's end.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from datetime import datetime
from pathlib import Path
from typing import List

from . import programs
from .sandboxes import Numbers

_DIRECTORY = Path("/run/benchmark")
_CONFIG = "[defaults]\nforks = 10\nnocolor = true\n[connection]\npipelining = true\n"
_PING = "- ansible.builtin.ping:\n"
_ROLE = "- ansible.builtin.include_role:\n    name: hostnet.docker.docker_host\n"
_MARKS = re.compile(r"^(\S+ \S+) p=\d+ .*\| (?:TASK \[|PLAY RECAP)", re.MULTILINE)


def role(_size: int) -> Numbers:
    """The whole role with its default variables, its packages included, on a host that is as it wants it."""
    hosts = _hosts(1)
    _play(hosts, _ROLE)
    return {"ping": _play(hosts, _PING), "role": _play(hosts, _ROLE)}


def _hosts(count: int) -> List[str]:
    names = [f"host{number}" for number in range(count)]
    for name in names:
        subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    return names


def _play(hosts: List[str], tasks: str) -> float:
    """Seconds for a play of these tasks (YAML)."""
    _DIRECTORY.mkdir(exist_ok=True)
    variables = {
        "ansible_connection": "hostnet.docker.netns",
        "ansible_python_interpreter": sys.executable,
        "ansible_remote_tmp": "/run/ansible",
    }
    inventory = {"all": {"hosts": {name: {"ansible_netns": name} for name in hosts}, "vars": variables}}
    head = "- hosts: all\n  gather_facts: false\n  tasks:"
    body = "\n" + textwrap.indent(textwrap.dedent(tasks).strip() + "\n", "    ")
    log = _DIRECTORY / "log"
    log.unlink(missing_ok=True)
    _DIRECTORY.joinpath("inventory.json").write_text(json.dumps(inventory))
    _DIRECTORY.joinpath("play.yml").write_text(head + body)
    _DIRECTORY.joinpath("ansible.cfg").write_text(_CONFIG)
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    programs.run(
        [program, "-i", str(_DIRECTORY / "inventory.json"), str(_DIRECTORY / "play.yml")],
        ANSIBLE_CONFIG=str(_DIRECTORY / "ansible.cfg"),
        ANSIBLE_COLLECTIONS_PATH=str(programs.ROOT / ".build"),
        ANSIBLE_LOG_PATH=str(log),
        LC_ALL="C.UTF-8",
    )
    return _seconds(log.read_text(encoding="utf-8"))


def _seconds(log: str) -> float:
    """From the first task to the recap, by the log's time stamps (``2025-01-31 12:00:00,123 ...``)."""
    times = [datetime.strptime(match, "%Y-%m-%d %H:%M:%S,%f") for match in _MARKS.findall(log)]
    return (times[-1] - times[0]).total_seconds()
