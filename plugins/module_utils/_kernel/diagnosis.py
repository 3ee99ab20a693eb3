# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of a host's network, as facts: other programs, modules, rules of the other iptables.

Must not know: what is wrong with them. A tool is only asked where what it would tell of is there.

========= ============================= ==========================================================================
kind      name                          value
========= ============================= ==========================================================================
module    ``br_netfilter``              ``True`` if the kernel has it or can load it; no key: nobody knows
variant   ``iptables-legacy``           rules by table, ``{"ip/filter": 3}``; -1: they cannot be counted
manager   ``NetworkManager``            the devices that it has not been told to leave alone, with their states
daemon    ``firewalld``, ``dockerd``    the process
kernel    ``release``                   as ``uname -r``
========= ============================= ==========================================================================
"""

from __future__ import annotations

import os
import shutil
import socket
from typing import Dict, Iterable, List, Sequence

from .._commands import RunCommand
from .._state import HOST, Key, State
from . import nft, processes, xtables

_LINKS = "/run/systemd/netif/links"
_TABLES = ("filter", "nat", "mangle", "raw")
_PATIENCE = "10"  # seconds that NetworkManager has for its answer


def read(run_command: RunCommand, modules: Iterable[str], devices: Sequence[str]) -> State:
    """The facts.

    :param modules: kernel modules that are asked for
    :param devices: devices that no network manager should hold
    """
    state: State = {Key("kernel", HOST, "release"): os.uname().release}
    state.update({Key("module", HOST, name): found for name, found in _modules(modules).items()})
    state.update(_other_variant(run_command))
    running = processes.running(("NetworkManager", "systemd-network"))
    if "NetworkManager" in running:
        state[Key("manager", HOST, "NetworkManager")] = _network_manager(run_command, devices)
    if "systemd-network" in running:
        state[Key("manager", HOST, "systemd-networkd")] = _networkd(devices)
    daemons = {"firewalld": processes.has_firewalld() and "firewalld", "dockerd": processes.running_dockerd()}
    state.update({Key("daemon", HOST, name): process for name, process in daemons.items() if process})
    return state


def _modules(names: Iterable[str]) -> Dict[str, bool]:
    """Whether modules are there, where the kernel's lists of them can be read."""
    directory = f"/lib/modules/{os.uname().release}"
    known = set()
    for file in ("modules.dep", "modules.builtin"):
        try:
            with open(f"{directory}/{file}", encoding="utf-8", errors="replace") as rows:
                known |= {os.path.basename(row.partition(":")[0].strip()).partition(".ko")[0] for row in rows}
        except OSError:
            return {}
    plain = {name.replace("-", "_") for name in known}
    return {name: name in plain or os.path.isdir(f"/sys/module/{name}") for name in names}


def _other_variant(run_command: RunCommand) -> State:
    """The rules of the iptables that the host does not use."""
    tools = xtables.find(run_command)
    if tools is None:
        return {}
    other, read_tables = ("legacy", xtables.legacy_tables) if tools.variant == "nft" else ("nft", _nft_tables)
    found = {family: tables for family in ("ip", "ip6") for tables in [read_tables(family)] if tables}
    counts = _counted(tools, other, found)
    return {Key("variant", HOST, f"iptables-{other}"): counts} if counts else {}


def _nft_tables(family: str) -> List[str]:
    return [table for table in _TABLES if nft.has_table(family, table)]


def _counted(tools: xtables.Tools, variant: str, found: Dict[str, List[str]]) -> Dict[str, int]:
    counts: Dict[str, int] = {}
    for family, tables in found.items():
        program = _program(tools.directory, variant, family)
        for table in tables:
            counts[f"{family}/{table}"] = _rules(tools.run_command, [program, "-t", table]) if program else -1
    return {table: count for table, count in counts.items() if count}


def _program(directory: str, variant: str, family: str) -> str | None:
    name = {"ip": "iptables", "ip6": "ip6tables"}[family]
    return shutil.which(f"{name}-{variant}-save", path=os.pathsep.join([directory, "/usr/sbin", "/sbin"]))


def _rules(run_command: RunCommand, command: List[str]) -> int:
    status, output, _said = run_command(command, "")
    return -1 if status else sum(row.startswith("-A ") for row in output.splitlines())


def _network_manager(run_command: RunCommand, devices: Sequence[str]) -> Dict[str, str]:
    command = ["timeout", _PATIENCE, "nmcli", "-t", "-f", "DEVICE,STATE", "device"]
    try:
        _status, output, _said = run_command(command, "")
    except OSError:
        return {}
    states = dict(row.replace("\\:", ":").rpartition(":")[::2] for row in output.splitlines())
    return {name: states[name] for name in devices if states.get(name, "unmanaged") != "unmanaged"}


def _networkd(devices: Sequence[str]) -> Dict[str, str]:
    found = {}
    for name in devices:
        try:
            with open(f"{_LINKS}/{socket.if_nametoindex(name)}", encoding="utf-8", errors="replace") as file:
                words = dict(row.rstrip().partition("=")[::2] for row in file)
        except OSError:  # the device is gone, or networkd has not seen it yet
            continue
        if words.get("ADMIN_STATE", "unmanaged") != "unmanaged":
            found[name] = words["ADMIN_STATE"]
    return found
