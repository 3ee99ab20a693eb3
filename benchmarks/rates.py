# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New connections a second through the last of so many published ports, by layout of the rules.

Each layout has a host with endpoints and an outside. The ports are those of as many endpoints, at most of a thousand,
for a bridge takes no more. At each number of ports the last one is connected to for a while, of which the best slice
counts. On iptables our rules of single ports are Docker's own, so that one run stands for both.
Must not know: how it is shown.
"""

from __future__ import annotations

import ipaddress
import os
import subprocess
from pathlib import Path
from typing import Callable, Dict, Iterator, List

from . import programs
from .endpoints import BRIDGE
from .ports import FIRST, IP
from .sandboxes import Numbers

COUNTS = (1, 100, 1000, 10_000)
_MOST_ENDPOINTS = 1000  # a bridge has at most 1,023 ports
PLAIN, NFTABLES, IPTABLES, LINEAR = "plain routing", "nftables", "iptables, as Docker", "Docker's nftables"
_SLICES = 6  # of a quarter of a second, for each point; one for a first look
_HOST, _OUTSIDE = "192.0.2.1", "192.0.2.2"
_WAN = f"""
    ip netns add outside
    ip link add wan0 type veth peer name eth0 netns outside
    ip address add {_HOST}/24 dev wan0
    ip link set wan0 up
    ip -n outside address add {_OUTSIDE}/24 dev eth0
    ip -n outside link set eth0 up
    ip -n outside route add default via {_HOST}
"""
_ENDPOINT = f"""
    ip link add docker0 type bridge
    ip address add 172.17.0.1/16 dev docker0
    ip link set docker0 up
    ip netns add c0
    ip link add veth0 master docker0 type veth peer name eth0 netns c0
    ip link set veth0 up
    ip -n c0 address add {IP}/16 dev eth0
    ip -n c0 link set eth0 up
    ip -n c0 route add default via 172.17.0.1
"""


def counts(size: int) -> List[int]:
    """The numbers of ports up to a size."""
    return [count for count in COUNTS if count <= size]


def label(layout: str, count: int) -> str:
    """The name of one point among the numbers."""
    return f"{layout}, {count:,}"


def plain(size: int) -> Numbers:
    """Routing alone: the same devices, no rules."""
    _shell(_WAN + _ENDPOINT)
    return {PLAIN: _rate("c0", IP, 1, 1, size)}


def nftables(size: int) -> Numbers:
    """Ours on nftables: ports and guards are elements of maps and sets."""
    return _measured(NFTABLES, size, lambda count: _publish(count, "nftables"))


def iptables(size: int) -> Numbers:
    """Ours, and Docker's, on iptables: three rules a port, one an endpoint."""
    return _measured(IPTABLES, size, lambda count: _publish(count, "iptables"))


def linear(size: int) -> Numbers:
    """Docker's own layout on nftables: three rules a port, one an endpoint."""
    return _measured(LINEAR, size, _load_linear)


def _measured(layout: str, size: int, publish: Callable[[int], None]) -> Numbers:
    _shell(_WAN)
    found: Dict[str, float] = {}
    for count in counts(size):
        publish(count)
        last = count - 1
        found[label(layout, count)] = _rate(_name(last % _endpoints(count)), _HOST, FIRST + last, count, size)
    return found


def _endpoints(count: int) -> int:
    """How many endpoints so many ports are of."""
    return min(count, _MOST_ENDPOINTS)


def _name(endpoint: int) -> str:
    return f"c{endpoint}"


def _shell(script: str) -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    programs.run(["sh", "-e"], script)


def _publish(count: int, backend: str) -> None:
    endpoints = _endpoints(count)
    items = [
        {
            "name": _name(first),
            "published_ports": [f"{FIRST + port}:{1 + port}" for port in range(first, count, endpoints)],
        }
        for first in range(endpoints)
    ]
    bridges = [{"name": "docker0", **BRIDGE}]
    programs.module("host_network", True, bridges=bridges, endpoints=items, firewall_backend=backend)


def _load_linear(count: int) -> None:
    items = [{"name": _name(number)} for number in range(_endpoints(count))]
    bridges = [{"name": "docker0", **BRIDGE}]
    programs.module("host_network", None, bridges=bridges, endpoints=items, firewall_backend="nftables")
    programs.run(["nft", "-f", "-"], "\n".join(_linear(count)))


def _linear(count: int) -> Iterator[str]:
    """The rules of the chains that grow with the ports and endpoints, in Docker's order and words."""
    table, endpoints = "ip docker-bridges", _endpoints(count)
    inward, own = f"{table} filter-forward-in__docker0", f"{table} nat-postrouting-in__docker0"
    dnat, raw = f"{table} nat-prerouting-and-output", f"{table} raw-PREROUTING"
    yield from (f"flush chain {chain}" for chain in (dnat, inward, own, raw))
    yield f"add rule {inward} ct state established,related counter accept"
    yield f'add rule {inward} iifname "docker0" counter accept comment "ICC"'
    yield f'add rule {own} fib saddr type local counter masquerade comment "MASQUERADE FROM HOST"'
    for number in range(endpoints):
        guard = f'ip daddr {_address(number)} iifname != "docker0" counter drop comment "DROP DIRECT ACCESS"'
        yield f"add rule {raw} {guard}"
    for number in range(count):
        address, port = _address(number % endpoints), 1 + number
        yield f'add rule {dnat} tcp dport {FIRST + number} counter dnat to {address}:{port} comment "DNAT"'
        yield f"add rule {inward} ip daddr {address} tcp dport {port} counter accept"
        own_port = f"ip saddr {address} ip daddr {address} tcp dport {port}"
        yield f'add rule {own} {own_port} counter masquerade comment "MASQ TO OWN PORT"'
    yield f'add rule {inward} counter drop comment "UNPUBLISHED PORT DROP"'


def _address(endpoint: int) -> str:
    """The address that an endpoint got: one after the other."""
    return str(ipaddress.IPv4Address(IP) + endpoint)


def _rate(endpoint: str, address: str, port: int, listens: int, size: int) -> float:
    """Connections a second from outside to a port behind which an endpoint listens."""
    program = programs.compiled("connections.c")
    slices = _SLICES if size > COUNTS[1] else 1
    inside = ["ip", "netns", "exec"]
    server = subprocess.Popen([*inside, endpoint, program, "listen", str(listens)])
    try:
        _wait_for(endpoint, listens)
        done = programs.run([*inside, "outside", program, address, str(port), str(slices)])
    finally:
        server.kill()
        server.wait()
    return float(done.text)


def _wait_for(endpoint: str, port: int) -> None:
    """Until somebody listens in an endpoint."""
    script = f"until ss -Hltn 'sport = :{port}' | grep -q .; do sleep 0.05; done"
    programs.run(["timeout", "10", "ip", "netns", "exec", endpoint, "sh", "-c", script], PATH=os.environ["PATH"])
