# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports of one endpoint, by us and by iptables' own tools. Must not know: how it is shown."""

from __future__ import annotations

from typing import Iterable, Iterator, List, Tuple

from . import programs
from .endpoints import BRIDGE
from .sandboxes import Numbers

FIRST = 10_000
IP = "172.17.0.2"
Rule = Tuple[str, str, str]  # table, chain, text


def _host() -> None:
    programs.module("docker_bridge", True, **BRIDGE)
    programs.module("veth_endpoint", True, name="web")


def published(size: int) -> List[str]:
    """So many ports, one by one, in the words of the options."""
    return [f"{FIRST + number}:{1 + number}" for number in range(size)]


def _rules(number: int) -> Iterator[Rule]:
    """Docker's rules of one port, without userland proxy."""
    host, port = FIRST + number, 1 + number
    yield "nat", "DOCKER", f"-p tcp -m tcp --dport {host} -j DNAT --to-destination {IP}:{port}"
    yield "nat", "POSTROUTING", f"-s {IP}/32 -d {IP}/32 -p tcp -m tcp --dport {port} -j MASQUERADE"
    yield "filter", "DOCKER", f"-d {IP}/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport {port} -j ACCEPT"


def _script(rules: Iterable[Rule]) -> str:
    rows = {table: [f"*{table}"] for table in ("filter", "nat")}
    for table, chain, text in rules:
        rows[table].append(f"-A {chain} {text}")
    return "".join("\n".join([*members, "COMMIT", ""]) for members in rows.values())


def ours(size: int) -> Numbers:
    """One task for all ports; the same again; one port more."""
    _host()
    ports = published(size)
    first = programs.module("port_publish", True, endpoint="web", published_ports=ports)
    again = programs.usual(lambda: programs.module("port_publish", False, endpoint="web", published_ports=ports))
    more = programs.module("port_publish", True, endpoint="web", published_ports=[*ports, "9000:60000"])
    return {"ours": first.seconds, "nothing to change": again, "one more port": more.seconds}


def restore(size: int) -> Numbers:
    """One ``iptables-save`` before, one ``iptables-restore`` of the same rules, and one save of what came of it."""
    _host()
    script = _script(rule for number in range(size) for rule in _rules(number))
    before = programs.usual(_saved)
    restored = programs.run(["iptables-restore", "--noflush", "--wait"], script).seconds
    return {"save": before, "restore": restored, "save of all": programs.usual(_saved)}


def _saved() -> programs.Done:
    return programs.run(["iptables-save"])


def bare(_size: int) -> Numbers:
    """A run of ours that changes nothing: what every run costs."""
    programs.module("ip_forward", True, persist=False)
    return {"bare": programs.usual(lambda: programs.module("ip_forward", False, persist=False))}
