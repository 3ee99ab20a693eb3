# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The truth about ports, on every backend: who holds one, who squats on one, which connections go with one."""

from __future__ import annotations

import os
import re
import socket
from typing import Dict, Set

import lab

WEB = {"name": "web", "ipv4_address": "172.17.0.2", "ipv6_address": "fd00:17::2"}
DB = {"name": "db", "ipv4_address": "172.17.0.3", "ipv6_address": "fd00:17::3"}
BRIDGES = [{"name": "docker0", "ipv6": True, "bip6": "fd00:17::1/64"}]


def _two(host: lab.Host) -> None:
    host.run("host_network", ip_forward={"ipv6": True}, bridges=BRIDGES, endpoints=[WEB, DB])


def test_holders_are_named(each_backend: lab.Host) -> None:
    """The endpoint by its name, the process by its name and number."""
    host = each_backend
    _two(host)
    host.run("port_publish", endpoint="web", published_ports=["8080:80"])
    taken = host.run("port_publish", endpoint="db", published_ports=["8080:80"], fails=True)["msg"]
    assert "0.0.0.0:8080/tcp is already allocated to endpoint web; choose another port" in taken
    with lab.serve(host, 9090):
        message = host.run("port_publish", endpoint="db", published_ports=["9090:80"], fails=True)["msg"]
    found = re.search(r"0\.0\.0\.0:9090/tcp is in use by (\S+) \(pid (\d+)\); stop it", message)
    assert found and int(found.group(2)) == os.getpid(), message


def test_squatters(each_backend: lab.Host) -> None:
    """Who came later is no conflict, for the packets go past him; but he is told of, in check mode too."""
    host = each_backend
    _two(host)
    given = {"endpoint": "web", "published_ports": ["8080:80", "8081:81", "127.0.0.1:8082:82"]}
    assert "squatters" not in host.run("port_publish", **given)
    with lab.serve(host, 8080, "192.0.2.1"), lab.serve(host, 8082, "192.0.2.1"), lab.serve("web", 80):
        result = host.run("port_publish", check=True, **given)
        assert not result["changed"]
        assert [re.sub(r"\S+ \(pid \d+\)", "WHO", line) for line in result["squatters"]] == [
            "0.0.0.0:8080/tcp of endpoint web: WHO listens there"
        ]
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
    assert "squatters" not in host.run("port_publish", **given)


def test_only_the_port_s_own_connections_go(each_backend: lab.Host) -> None:
    """Told apart by the port that the client asked for and the endpoint that answers, in both families.

    The endpoint's own port is the same for all of them, as is one host port on two addresses.
    """
    host = each_backend
    _two(host)
    host.sh("ip addr add 192.0.2.2/24 dev eth0")
    ports = ["192.0.2.1:5353:53/udp", "5354:53/udp", "[2001:db8:1::1]:5353:53/udp"]
    host.run("port_publish", endpoint="web", published_ports=ports)
    host.run("port_publish", endpoint="db", published_ports=["192.0.2.2:5353:53/udp"])
    places = [("192.0.2.1", 5353), ("192.0.2.2", 5353), ("192.0.2.1", 5354), ("2001:db8:1::1", 5353)]
    before = {place: _connected(host, place) for place in places}
    gone = ["192.0.2.1:5353:53/udp", "[2001:db8:1::1]:5353:53/udp"]
    host.run("port_publish", endpoint="web", published_ports=gone, state="absent")
    there = _numbers(host)
    assert {place: number in there for place, number in before.items()} == {
        ("192.0.2.1", 5353): False,
        ("192.0.2.2", 5353): True,
        ("192.0.2.1", 5354): True,
        ("2001:db8:1::1", 5353): False,
    }


def _connected(host: lab.Host, place: tuple) -> str:
    """Send something, and return the number by which the host tracks it."""
    before = _numbers(host)

    def send() -> None:
        family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(b"anybody?", place)

    lab.inside(host.lan, send)
    deadline = 50
    while not (new := _numbers(host) - before):
        deadline -= 1
        assert deadline, f"nothing of {place} is tracked"
    return new.pop()


def _numbers(host: lab.Host) -> Set[str]:
    lab.need("conntrack")
    listed: Dict[str, str] = {
        f: host.sh(f"conntrack -L -f {f} -p udp -o id 2>/dev/null", check=False) for f in FAMILIES
    }
    return {number for text in listed.values() for number in re.findall(r"dport=53\d\d .*\bid=(\d+)", text)}


FAMILIES = ("ipv4", "ipv6")
