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


def _host(backend: str = "iptables") -> None:
    programs.module("docker_bridge", True, firewall_backend=backend, **BRIDGE)
    programs.module("veth_endpoint", True, name="web", firewall_backend=backend)


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
    return _published_by("iptables", size)


def nft_ours(size: int) -> Numbers:
    """The same on nftables."""
    return _published_by("nftables", size)


def _published_by(backend: str, size: int) -> Numbers:
    _host(backend)
    words = {"endpoint": "web", "published_ports": published(size), "firewall_backend": backend}
    first = programs.module("port_publish", True, **words)
    again = programs.module("port_publish", False, **words)
    more = programs.module("port_publish", True, **{**words, "published_ports": ["9000:60000"]})
    return {
        "ours": first.seconds,
        "nothing to change": again.seconds,
        "one more port": more.seconds,
        "memory": max(first.megabytes, again.megabytes, more.megabytes),
    }


def nft_bare(size: int) -> Numbers:
    """One ``nft -f`` of the same elements."""
    _host("nftables")
    ports = [(FIRST + number, 1 + number) for number in range(size)]
    elements = {
        "nat-ports": ", ".join(f"tcp . {host} : {IP} . {port}" for host, port in ports),
        "filter-forward-in-ports": ", ".join(f"{IP} . tcp . {port}" for _host, port in ports),
        "nat-postrouting-in-ports": ", ".join(f"{IP} . {IP} . tcp . {port}" for _host, port in ports),
    }
    script = [f"add element ip docker-bridges {name} {{ {members} }}\n" for name, members in elements.items()]
    return {"nft -f": programs.run(["nft", "-f", "-"], "".join(script)).seconds}


def restore(size: int) -> Numbers:
    """One ``iptables-save`` and one ``iptables-restore`` of the same rules, then a save of what came of it."""
    _host()
    script = _script(rule for number in range(size) for rule in _rules(number))
    seconds = programs.run(["iptables-save"]).seconds
    seconds += programs.run(["iptables-restore", "--noflush", "--wait"], script).seconds
    return {"save and restore": seconds, "iptables-save": programs.run(["iptables-save"]).seconds}


def bare(_size: int) -> Numbers:
    """A module that does nothing: ansible-core's ping."""
    return {"bare module": programs.module(programs.PING, data="pong").seconds}


def tenth(size: int) -> Numbers:
    """A tenth of the ports."""
    return {"a tenth": ours(size // 10)["ours"]}


def on_and_off(size: int) -> Numbers:
    """All ports on and off again, a task each."""
    _host()
    ports = published(size)
    on = programs.module("port_publish", True, endpoint="web", published_ports=ports)
    off = programs.module("port_publish", True, endpoint="web", published_ports=ports, state="absent")
    return {"ours": on.seconds + off.seconds}


def processes(size: int) -> Numbers:
    """One process a rule, as dockerd does it: look for it, then append it; to take it away the same."""
    _host()
    rows = [rule for number in range(size) for rule in _rules(number)]
    on = "".join(_call(rule, "C") + " 2>/dev/null || " + _call(rule, "A") + "\n" for rule in rows)
    off = "".join(_call(rule, "C") + " && " + _call(rule, "D") + "\n" for rule in rows)
    return {"a process a rule": programs.run(["sh", "-e"], on).seconds + programs.run(["sh", "-e"], off).seconds}


def _call(rule: Rule, verb: str) -> str:
    table, chain, text = rule
    return f"iptables --wait -t {table} -{verb} {chain} {text}"
