# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures of real daemons as values: what a snapshot says of rules, devices, sysctls and containers.

The form is described in the captures' own FACTS.md; the same functions read our hosts, so that both
sides of a comparison are normalised alike.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, List, Tuple

Sections = Dict[str, str]


def snapshots(scenario: Path) -> Dict[str, Sections]:
    """Snapshot -> section -> text; a section that a snapshot leaves out is as it was in the one before."""
    found: Dict[str, Sections] = {}
    names = _bridge_names(scenario)
    last: Sections = {}
    for path in sorted(scenario.glob("[0-9]*.txt")):
        text = path.read_text()
        for old, new in names.items():
            text = text.replace(old, new)
        parts = re.split(r"^=== (.*)$", text, flags=re.M)[1:]
        last = {**last, **dict(zip(parts[::2], parts[1::2]))}
        found[path.name[:2]] = last
    return found


def _bridge_names(scenario: Path) -> Dict[str, str]:
    """The daemon's own bridge names as br-n1, br-n2 in the order of their making."""
    numbers: Dict[str, int] = {}
    for path in sorted(scenario.glob("[0-9]*.txt")):
        for index, name in re.findall(r'"ifindex":(\d+),"ifname":"(br-[0-9a-f]{12})"', path.read_text()):
            numbers[name] = int(index)
    return {name: f"br-n{place}" for place, name in enumerate(sorted(numbers, key=lambda name: numbers[name]), 1)}


def rules(text: str) -> Dict[Tuple[str, str], Any]:
    """(table, chain) -> rules, (table, ``policy NAME``) -> policy. Empty built-in chains say nothing."""
    found: Dict[Tuple[str, str], Any] = {}
    table = ""
    for line in re.sub(r" ?\[\d+:\d+\]", "", text).splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            name, policy = line[1:].split()
            found[(table, name)] = []
            if policy == "DROP":
                found[(table, f"policy {name}")] = policy
        elif line.startswith("-A"):
            name, _space, rule = line[3:].partition(" ")
            found[(table, name)].append(rule)
    return {key: value for key, value in found.items() if value or key[1].startswith("DOCKER")}


def json_lines(text: str) -> List[Dict[str, Any]]:
    """The objects of a section of JSON lines, or of a tool's JSON array."""
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


_BRIDGE_DATA = (
    "stp_state",
    "vlan_filtering",
    "mcast_snooping",
    "forward_delay",
    "ageing_time",
    "hello_time",
    "max_age",
)


def bridges(text: str) -> Dict[str, Dict[str, Any]]:
    """Bridge -> the attributes of its device that Docker could set."""
    found = {}
    for item in json_lines(text):
        info = item.get("linkinfo", {})
        if info.get("info_kind") == "bridge":
            data = info.get("info_data", {})
            found[item["ifname"]] = {
                "up": "UP" in item["flags"],
                "mtu": item["mtu"],
                "qdisc": item["qdisc"],
                "txqlen": item.get("txqlen", 0),
                **{name: data.get(name) for name in _BRIDGE_DATA},
            }
    return found


def veths(text: str) -> List[Tuple[Any, ...]]:
    """The ports of bridges: bridge, MTU, queue, up; their names and MACs are chance."""
    found = []
    for item in json_lines(text):
        if item.get("linkinfo", {}).get("info_kind") == "veth" and item.get("master"):
            up = "UP" in item["flags"]
            found.append((item["master"], item["mtu"], item["qdisc"], item.get("txqlen", 0), up))
    return sorted(found)


_PORT = (
    "hairpin",
    "guard",
    "fastleave",
    "learning",
    "flood",
    "mcast_flood",
    "bcast_flood",
    "isolated",
    "priority",
    "cost",
)


def ports(text: str) -> List[Tuple[Any, ...]]:
    """Bridge ports by ``bridge -d -j link``."""
    return sorted(
        (item["master"], *(item.get(name) for name in _PORT)) for item in json_lines(text) if "master" in item
    )


def addresses(text: str) -> Dict[str, List[Tuple[Any, ...]]]:
    """Device -> its addresses, without what the kernel makes from the MAC."""
    found: Dict[str, List[Tuple[Any, ...]]] = {}
    for item in json_lines(text):
        rows = [
            (info["local"], info["prefixlen"], info.get("broadcast"), info["scope"], bool(info.get("nodad")))
            for info in item["addr_info"]
            if info["scope"] != "link"
        ]
        if rows and item["ifname"] != "lo":
            found[item["ifname"]] = sorted(rows)
    return found


def routes(text: str) -> List[Tuple[Any, ...]]:
    """Routes, without those to link-local addresses."""
    return sorted(
        (item["dst"], item.get("gateway") or "", item["dev"], item.get("metric") or 0, item.get("scope") or "")
        for item in json_lines(text)
        if not item["dst"].startswith(("fe80", "ff00"))
    )


def sysctls(text: str) -> Dict[str, str]:
    """``sysctl changes``: name below net/ -> the value after."""
    found = {}
    for line in text.splitlines():
        match = re.match(r"(\S+): (?:.* -> (.*)|new = (.*?)(?: \(default.*)?)$", line)
        if match:
            value = match.group(2) if match.group(2) is not None else match.group(3)
            found[match.group(1)] = " ".join(value.split())
    return found


def container(text: str) -> Sections:
    """The parts of a ``container NAME`` section."""
    parts = re.split(r"^## (.*)$", text, flags=re.M)[1:]
    return {title: body.strip("\n") for title, body in zip(parts[::2], parts[1::2])}
