# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports: every way to write them, which host port they get, who has it already, how they go."""

from __future__ import annotations

import contextlib
import re
import socket
from typing import Any, Dict, List, Tuple

import pytest

import lab

Options = Dict[str, Any]

# published_ports item -> host address (* is any), host port, protocol, container port of each translation in IPv4,
# and of each in IPv6.
# Ephemeral ones come first: they would keep the host port that the form before gave to the same container port.
FORMS: List[Tuple[Any, List[str], List[str]]] = [
    ("80", ["* 32768/tcp 80"], ["* 32768/tcp 80"]),
    ("80-81", ["* 32768/tcp 80", "* 32769/tcp 81"], ["* 32768/tcp 80", "* 32769/tcp 81"]),
    ("53/udp", ["* 32768/udp 53"], ["* 32768/udp 53"]),
    ("192.0.2.1::80", ["192.0.2.1 32768/tcp 80"], []),
    ("8080:80", ["* 8080/tcp 80"], ["* 8080/tcp 80"]),
    ("8080:80/udp", ["* 8080/udp 80"], ["* 8080/udp 80"]),
    ("8080:80/TCP", ["* 8080/tcp 80"], ["* 8080/tcp 80"]),
    ("8080:80/sctp", ["* 8080/sctp 80"], ["* 8080/sctp 80"]),
    ("0.0.0.0:8080:80", ["* 8080/tcp 80"], []),
    ("127.0.0.1:8080:80", ["127.0.0.1 8080/tcp 80"], []),
    ("192.0.2.1:8080:80", ["192.0.2.1 8080/tcp 80"], []),
    ("[::]:8080:80", [], ["* 8080/tcp 80"]),
    ("[2001:db8:1::1]:8080:80", [], ["2001:db8:1::1 8080/tcp 80"]),
    ("[::1]:8080:80/udp", [], ["::1 8080/udp 80"]),
    ("8000-8002:80-82", [f"* 800{n}/tcp 8{n}" for n in range(3)], [f"* 800{n}/tcp 8{n}" for n in range(3)]),
    ("8000-8002:80", ["* 8000/tcp 80"], ["* 8000/tcp 80"]),
    ("127.0.0.1:8000-8001:80-81/udp", ["127.0.0.1 8000/udp 80", "127.0.0.1 8001/udp 81"], []),
    ({"target": 80}, ["* 32768/tcp 80"], ["* 32768/tcp 80"]),
    ({"target": 80, "published": "8080"}, ["* 8080/tcp 80"], ["* 8080/tcp 80"]),
    (
        {"target": "80-81", "published": "8080-8081"},
        ["* 8080/tcp 80", "* 8081/tcp 81"],
        ["* 8080/tcp 80", "* 8081/tcp 81"],
    ),
    ({"target": 53, "published": 5353, "protocol": "udp", "host_ip": "127.0.0.1"}, ["127.0.0.1 5353/udp 53"], []),
    ({"target": 80, "published": "8080", "host_ip": "::", "mode": "host"}, [], ["* 8080/tcp 80"]),
]


def translations(host: lab.Host, family: str = "ip") -> List[str]:
    """The translations of one family in order: host address, host port, protocol, container port."""
    found = []
    for line in host.save(family).splitlines():
        match = re.fullmatch(_DNAT, line)
        if match:
            address, protocol, port, inside = match.groups()
            found.append(f"{address or '*'} {port}/{protocol} {inside}")
    return found


_DNAT = (
    r"-A DOCKER (?:! -s fe80::/10 )?(?:-d (\S+)/\d+ )?-p (\S+) -m \S+ --dport (\d+) -j DNAT --to-destination \S+:(\d+)"
)


def targets(host: lab.Host) -> Dict[str, str]:
    """Host port -> the endpoint's address and port that it leads to, of IPv4."""
    return dict(re.findall(r"--dport (\d+) -j DNAT --to-destination (\S+)", host.save()))


DUAL: Options = {
    "ip_forward": {"ipv6": True},
    "bridges": [{"name": "docker0", "ipv6": True, "bip6": "fd00:17::1/64"}],
    "endpoints": [{"name": "web"}, {"name": "db"}],
}


@pytest.fixture
def two(each_host: lab.Host) -> lab.Host:
    """docker0 with both families, and the endpoints web and db."""
    each_host.run("host_network", **DUAL)
    return each_host


def test_every_form(host: lab.Host) -> None:
    """Each is published in place of the one before, and described in words that find it again."""
    host.run("host_network", **DUAL)
    before = host.save(), host.save("ip6")
    for spec, four, six in FORMS:
        result = host.run("host_network", endpoints=[{"name": "web", "published_ports": [spec]}])
        assert (translations(host), translations(host, "ip6")) == (four, six), spec
        for words in ([spec], result["ports"][0]["published_ports"]):
            assert not host.run("port_publish", endpoint="web", published_ports=words)["changed"], (spec, words)
    host.run("port_publish", endpoint="web", published_ports=[FORMS[-1][0]], state="absent")
    assert (host.save(), host.save("ip6")) == before


def test_ephemeral_ports_stay(host: lab.Host) -> None:
    """The lowest of the kernel's range, past what is reserved or taken; once chosen, they stay."""
    host.sh("sysctl -qw net.ipv4.ip_local_port_range='40000 40004' net.ipv4.ip_local_reserved_ports=40001")
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}, {"name": "db"}])
    with lab.serve(host, 40002):
        host.run("port_publish", endpoint="web", published_ports=["90", "80"])
    assert targets(host) == {"40000": "172.17.0.2:80", "40003": "172.17.0.2:90"}
    host.run("port_publish", endpoint="db", published_ports=["80"])
    assert targets(host)["40002"] == "172.17.0.3:80"
    before = host.save()
    for endpoint, ports in (("web", ["80", "90"]), ("db", ["80"])):
        assert not host.run("port_publish", endpoint=endpoint, published_ports=ports)["changed"]
    assert host.save() == before
    host.run("port_publish", endpoint="db", published_ports=["80", "81"])
    assert targets(host)["40004"] == "172.17.0.3:81"
    message = host.run("port_publish", endpoint="db", published_ports=["80", "81", "82"], fails=True)["msg"]
    assert "published_ports: '82/tcp'" in message and "allocated; give another range" in message


def test_ephemeral_ports_leave_others_alone(host: lab.Host) -> None:
    """What an endpoint has, fixed or by chance, is not given to one that comes before it in the list."""
    host.sh("sysctl -qw net.ipv4.ip_local_port_range='40000 40004'")
    last = {"name": "z", "published_ports": ["40001:80", "81"]}
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[last])
    assert targets(host) == {"40001": "172.17.0.2:80", "40000": "172.17.0.2:81"}
    host.run("host_network", endpoints=[{"name": "a", "published_ports": ["90", "91"]}, last])
    own = {"40001": "172.17.0.2:80", "40000": "172.17.0.2:81"}
    assert targets(host) == {**own, "40002": "172.17.0.3:90", "40003": "172.17.0.3:91"}


def test_publish_all_ports(host: lab.Host) -> None:
    """Docker's -P: exposed ports that are not listed get ephemeral ones, the lowest container port first."""
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}])
    given: Options = {
        "endpoint": "web",
        "publish_all_ports": True,
        "exposed_ports": ["9000", "443", "80", "53/udp"],
        "published_ports": ["8443:443"],
    }
    host.run("port_publish", **given)
    assert translations(host) == ["* 8443/tcp 443", "* 32768/udp 53", "* 32768/tcp 80", "* 32769/tcp 9000"]
    assert not host.run("port_publish", **given)["changed"]
    whole = {"name": "web", **{name: value for name, value in given.items() if name != "endpoint"}}
    assert not host.run("host_network", endpoints=[whole])["changed"]


def test_two_host_ports_of_one(two: lab.Host) -> None:
    """One container port under two host ports: both lead to it, and each can go alone."""
    two.run("port_publish", endpoint="web", published_ports=["8080:80", "8081:80"])
    assert translations(two) == ["* 8080/tcp 80", "* 8081/tcp 80"]
    with lab.serve("web", 80):
        for port in (8080, 8081):
            assert lab.probe(two.lan, "192.0.2.1", port) == "open, from=192.0.2.254"
        two.run("port_publish", endpoint="web", published_ports=["8080:80"], state="absent")
        assert lab.probe(two.lan, "192.0.2.1", 8080) == "refused"
        assert lab.probe(two.lan, "192.0.2.1", 8081) == "open, from=192.0.2.254"


def test_what_does_not_conflict(two: lab.Host) -> None:
    """Another protocol, another host address, the other family: each is a port of its own."""
    two.run("port_publish", endpoint="web", published_ports=["127.0.0.1:8080:80", "9090:90/udp", "[::1]:8081:81"])
    two.run("port_publish", endpoint="db", published_ports=["192.0.2.1:8080:80", "9090:90", "0.0.0.0:8081:81"])
    assert len(translations(two)) == 5 and len(translations(two, "ip6")) == 3


@pytest.mark.parametrize(
    ("first", "second", "place"),
    [
        ("8080:80", "8080:80", "0.0.0.0:8080/tcp"),
        ("8080:80", "127.0.0.1:8080:80", "127.0.0.1:8080/tcp"),
        ("127.0.0.1:8080:80", "8080:80", "0.0.0.0:8080/tcp"),
        ("192.0.2.1:8080:80", "0.0.0.0:8080:81", "0.0.0.0:8080/tcp"),
        ("[::1]:8080:80", "[::]:8080:80", "[::]:8080/tcp"),
        ("8000-8010:80-90/udp", "8005:53/udp", "0.0.0.0:8005/udp"),
    ],
)
def test_conflicts_between_endpoints(host: lab.Host, first: str, second: str, place: str) -> None:
    bridge = {"name": "docker0", "ipv6": True, "bip6": "fd00:17::1/64"}
    host.run("host_network", bridges=[bridge], endpoints=[{"name": "web", "published_ports": [first]}, {"name": "db"}])
    before = host.save(), host.save("ip6")
    message = host.run("port_publish", endpoint="db", published_ports=[second], fails=True)["msg"]
    assert f"{place} is already allocated to endpoint web; choose another port" in message
    assert (host.save(), host.save("ip6")) == before


@pytest.mark.parametrize(
    ("address", "spec", "is_free"),
    [
        (None, "8080:80", False),
        (None, "127.0.0.1:8080:80", False),
        ("127.0.0.1", "8080:80", False),
        ("127.0.0.1", "192.0.2.1:8080:80", True),
        ("127.0.0.1", "127.0.0.1:8080:80/udp", True),
        ("::1", "8080:80", True),
    ],
)
def test_conflicts_with_processes(host: lab.Host, address: Any, spec: str, is_free: bool) -> None:
    """A listening process is named; a range passes its port over; a port that is published already stays."""
    host.run("host_network", bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}])
    with lab.serve(host, 8080, address):
        if is_free:
            assert host.run("port_publish", endpoint="web", published_ports=[spec])["changed"]
            return
        message = host.run("port_publish", endpoint="web", published_ports=[spec], fails=True)["msg"]
        assert re.search(r":8080/tcp is in use by \S+ \(pid \d+\); stop it or choose another host port", message)
        host.run("port_publish", endpoint="web", published_ports=["8080-8081:80"])
    assert targets(host) == {"8081": "172.17.0.2:80"}
    host.run("port_publish", endpoint="web", published_ports=[spec])
    with lab.serve(host, 8080, address):
        assert not host.run("port_publish", endpoint="web", published_ports=[spec])["changed"]


def test_items_of_one_endpoint_add_up(two: lab.Host) -> None:
    """Also with purge, and in the next run, and where one of them calls the endpoint by its address."""
    items: List[Options] = [
        {"endpoint": "web", "published_ports": ["8080:80"]},
        {"endpoint": "db", "published_ports": ["80"]},
        {"endpoint": "web", "published_ports": ["8081:81", "82"]},
    ]
    two.run("port_publish", ports=[{"endpoint": "web", "published_ports": ["9999:99"]}])
    result = two.run("port_publish", ports=items, purge=True)
    wanted = ["* 8080/tcp 80", "* 8081/tcp 81", "* 32769/tcp 82", "* 32768/tcp 80"]
    assert sorted(translations(two)) == sorted(wanted)
    assert [item["endpoint"] for item in result["ports"]] == ["web", "db"]
    for purge in (True, False):
        assert not two.run("port_publish", ports=items, purge=purge)["changed"]
    again = ["0.0.0.0:8080:80", "0.0.0.0:8081:81", "0.0.0.0:32769:82"]
    by_address = {"container_ip": "172.17.0.2", "bridge": "docker0", "published_ports": again}
    assert not two.run("port_publish", **by_address)["changed"]


def test_the_list_is_the_whole(two: lab.Host) -> None:
    """A shorter list closes what it leaves out, an empty one closes all; without one, and elsewhere, ports stay."""
    two.run("port_publish", endpoint="web", published_ports=["53:53", "53:53/udp", "8080:80"])
    two.run("port_publish", endpoint="db", published_ports=["9090:90"])
    result = two.run("port_publish", endpoint="web", published_ports=["53:53/tcp"])
    assert result["changed"] and result["ports"][0]["published_ports"] == ["53:53/tcp"]
    assert translations(two) == ["* 53/tcp 53", "* 9090/tcp 90"]
    assert not two.run("port_publish", endpoint="web")["changed"]
    two.run("port_publish", endpoint="web", published_ports=[])
    assert translations(two) == ["* 9090/tcp 90"] and "--dport 53" not in two.save()


def test_ports_that_stay_are_not_given_away(two: lab.Host) -> None:
    """A host port is free for another endpoint as soon as the task says that it leaves this one."""
    two.run("port_publish", endpoint="db", published_ports=["8080:80", "32768:90"])
    web: Options = {"endpoint": "web", "published_ports": ["8080:80", "80"]}
    assert "already allocated to endpoint db" in two.run("port_publish", ports=[web], fails=True)["msg"]
    two.run("port_publish", ports=[{"endpoint": "db", "published_ports": ["8081:81", "32768:90"]}, web])
    assert targets(two) == {
        "8080": "172.17.0.2:80",
        "8081": "172.17.0.3:81",
        "32768": "172.17.0.3:90",
        "32769": "172.17.0.2:80",
    }


def test_host_ports_change_hands_in_one_task(two: lab.Host) -> None:
    def swapped(first: str, second: str) -> Options:
        pairs = (("web", first), ("db", second))
        return {"endpoints": [{"name": name, "published_ports": [f"{port}:80"]} for name, port in pairs]}

    two.run("host_network", **swapped("8080", "8081"))
    two.run("host_network", **swapped("8081", "8080"))
    assert targets(two) == {"8081": "172.17.0.2:80", "8080": "172.17.0.3:80"}
    assert not two.run("host_network", **swapped("8081", "8080"))["changed"]


def test_taking_back(two: lab.Host) -> None:
    """Listed ports, or all of the endpoint's; what is not published is no error; the others stay."""
    two.run("port_publish", endpoint="web", published_ports=["8080:80", "8081:81", "127.0.0.1:8082:82", "83"])
    two.run("port_publish", endpoint="db", published_ports=["9090:90"])
    gone: Options = {"endpoint": "web", "state": "absent"}
    two.run("port_publish", published_ports=["8081:81", "83"], **gone)
    assert translations(two) == ["* 8080/tcp 80", "127.0.0.1 8082/tcp 82", "* 9090/tcp 90"]
    for ports in (["8081:81"], ["8080:81"], ["8080:80/udp"]):
        assert not two.run("port_publish", published_ports=ports, **gone)["changed"]
    two.run("port_publish", **gone)
    assert translations(two) == ["* 9090/tcp 90"] and "--dport 8082" not in two.save()
    assert not two.run("port_publish", endpoint="nobody", state="absent")["changed"]
    two.run("host_network", endpoints=[{"name": "db", "published_ports": []}])
    assert translations(two) == translations(two, "ip6") == []


@pytest.mark.parametrize("family", [4, 6])
def test_connections_follow_a_port_that_moves(two: lab.Host, family: int) -> None:
    """A client that goes on sending from the same port is answered by the endpoint that has the port now."""
    place = ("192.0.2.1", 5353) if family == 4 else ("2001:db8:1::1", 5353)
    two.run("port_publish", endpoint="web", published_ports=["5353:53/udp"])
    client = lab.inside(two.lan, _client, place)
    try:
        with lab.serve("web", 53, proto="udp"), lab.serve("db", 53, proto="udp"):
            assert _ask(client)
            assert _tracked(two, family, "web")
            two.run("port_publish", endpoint="web", published_ports=["5353:53/udp"], state="absent")
            assert not _tracked(two, family, "web")
            two.run("port_publish", endpoint="db", published_ports=["5353:53/udp"])
            assert _ask(client)
            assert _tracked(two, family, "db")
    finally:
        client.close()


def _client(place: Tuple[str, int]) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in place[0] else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(1)
    sock.connect(place)
    return sock


def _ask(client: socket.socket) -> bytes:
    """The answer; what is sent before a neighbour is known may be lost."""
    for _attempt in range(4):
        client.send(b"who am I?")
        with contextlib.suppress(OSError):
            return client.recv(64)
    return b""


def _tracked(host: lab.Host, family: int, name: str) -> bool:
    """Whether the host tracks a connection to port 5353 that the endpoint answers."""
    lab.need("conntrack")
    ip = {("web", 4): "172.17.0.2", ("db", 4): "172.17.0.3", ("web", 6): "fd00:17::2", ("db", 6): "fd00:17::3"}
    listed = host.sh(f"conntrack -L -f ipv{family} -p udp --orig-port-dst 5353 2>/dev/null", check=False)
    return f"src={ip[(name, family)]} " in listed
