# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options beyond Docker: who may reach a port, which subnets are taken, what an MTU follows."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from pathlib import Path
from typing import List, Tuple

import pytest

import lab

WEB = {"name": "web", "ipv4_address": "172.17.0.2"}


def _docker0(host: lab.Host, **options: object) -> None:
    host.run("host_network", ip_forward={"ipv6": True}, bridges=[{"name": "docker0", "ipv6": True, **options}])


@pytest.mark.slow("nft")
def test_allowed_sources(each_backend: lab.Host) -> None:
    """The one source gets through and the others do not, by the host's address and by the endpoint's own."""
    host = each_backend
    _docker0(host, bip6="fd00:17::1/64")
    host.run("docker_bridge", name="other", bip="10.9.0.1/24")
    host.run("veth_endpoint", endpoints=[WEB, {"name": "stranger", "bridge": "other"}])
    lab.sh(host.lan, "ip addr add 192.0.2.77/24 dev eth0; ip route add 172.17.0.0/16 via 192.0.2.1")
    ports = ["8080:80", {"target": 81, "published": "8081", "allowed_sources": ["192.0.2.77", "2001:db8:1::/64"]}]
    given = {"endpoint": "web", "published_ports": ports, "allowed_sources": ["192.0.2.0/25"]}
    result = host.run("port_publish", **given)
    assert not host.run("port_publish", **given)["changed"]
    assert result["ports"][0]["published_ports"][0]["allowed_sources"] == ["192.0.2.0/25"]
    with lab.serve("web", 80), lab.serve("web", 81):
        assert lab.probe(host.lan, "192.0.2.1", 8081, source="192.0.2.77").startswith("open")
        assert lab.probe(host.lan, "192.0.2.1", 8081) == "no answer"
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "no answer"
        assert lab.probe(host.lan, "192.0.2.1", 8080, source="192.0.2.77").startswith("open")
        assert lab.probe(host.lan, "172.17.0.2", 81, source="192.0.2.77") == "no answer"
        assert lab.probe("stranger", "192.0.2.1", 8081) == "no answer"
        assert lab.probe(host.lan, "2001:db8:1::1", 8081).startswith("open")
        assert lab.probe(host.lan, "2001:db8:1::1", 8080) == "no answer"
        assert lab.probe(host, "127.0.0.1", 8081).startswith("open")
    host.run("port_publish", endpoint="web", published_ports=["8080:80", "8081:81"])
    assert "192.0.2.0/25" not in host.rules() and "192.0.2.77" not in host.rules()


@pytest.mark.slow("nft")
def test_allowed_sources_without_guard(each_backend: lab.Host) -> None:
    """In mode nat-unprotected the bridge lets everybody in, so the port has a DROP of its own."""
    host = each_backend
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0", "gateway_mode_ipv4": "nat-unprotected"}])
    given = {"published_ports": ["8080:80"], "allowed_sources": ["192.0.2.77/32"]}
    host.run("host_network", endpoints=[{**WEB, **given}])
    assert not host.run("host_network", endpoints=[{**WEB, **given}])["changed"]
    lab.sh(host.lan, "ip addr add 192.0.2.77/24 dev eth0")
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "no answer"
        assert lab.probe(host.lan, "192.0.2.1", 8080, source="192.0.2.77").startswith("open")


def test_subnets_to_avoid(host: lab.Host) -> None:
    """Excluded subnets and, if asked for, routes via a gateway are passed over, and the result says why."""
    host.sh("ip route add 172.18.0.0/16 via 192.0.2.254")
    options = {"exclude_subnets": ["172.17.0.0/16"], "avoid_routes": "all"}
    result = host.run("docker_bridge", name="docker0", **options)["bridges"][0]
    assert result["bip"] == "172.19.0.1/16"
    assert "172.17.0.0/16 overlaps 172.17.0.0/16 of exclude_subnets" in result["subnet_reason"]
    assert "172.18.0.0/16 overlaps 172.18.0.0/16 of eth0" in result["subnet_reason"]
    assert not host.run("docker_bridge", name="docker0", **options)["changed"]


def test_a_given_pool_is_obeyed(host: lab.Host) -> None:
    """A route as wide as the whole pool is no reason to refuse it; two bridges never get the same subnet."""
    host.sh("ip route add 10.0.0.0/8 dev eth0")
    given = {"default_address_pools": [{"base": "10.66.0.0/16", "size": 24}]}
    result = host.run("docker_bridge", name="docker0", **given)["bridges"][0]
    assert result["bip"] == "10.66.0.1/24"
    assert "although it overlaps 10.0.0.0/8 of eth0" in result["subnet_reason"]
    assert not host.run("docker_bridge", name="docker0", **given)["changed"]
    assert host.run("docker_bridge", name="other", **given)["bridges"][0]["bip"] == "10.66.1.1/24"
    assert "avoid_routes: none" in host.run("docker_bridge", name="lab", bip="10.77.0.1/24", fails=True)["msg"]
    host.run("docker_bridge", name="lab", bip="10.77.0.1/24", avoid_routes="none")
    assert "10.77.0.1/24" in host.sh("ip -4 address show lab")


def test_mtu_follows_the_uplink(each_backend: lab.Host) -> None:
    host = each_backend
    host.sh("ip link set eth0 mtu 1400")
    host.run("host_network", bridges=[{"name": "docker0", "mtu": "auto"}], endpoints=[WEB])
    assert "mtu 1400" in host.sh("ip link show docker0")
    assert "mtu 1400" in lab.sh("web", "ip link show eth0")
    host.sh("ip link set eth0 mtu 1380")
    host.run("host_network", bridges=[{"name": "docker0", "mtu": "auto"}], endpoints=[WEB])
    assert "mtu 1380" in lab.sh("web", "ip link show eth0")


def test_purge_leaves_what_is_ignored(each_backend: lab.Host) -> None:
    host = each_backend
    host.run(
        "host_network", bridges=[{"name": "docker0"}], endpoints=[{**WEB, "published_ports": ["8080:80", "8081:81"]}]
    )
    host.run("docker_bridge", name="keep0")
    host.run("docker_bridge", name="stray0")
    listed = {"bridges": [{"name": "docker0"}], "endpoints": [{**WEB, "published_ports": ["8080:80"]}], "ports": []}
    host.run("host_network", purge=True, ignore=["keep*", "8081/tcp"], **listed)
    links = host.sh("ip -br link")
    assert "keep0" in links and "stray0" not in links
    assert "8081" in host.rules()


RULES = [
    {"name": "vpn", "source": "192.0.2.77", "action": "accept"},
    {"name": "no-9000", "protocol": "tcp", "host_port": 9000, "in_interface": "eth0", "action": "drop"},
    {"name": "web-only", "protocol": "tcp", "destination_port": "443", "ctstate": ["NEW"], "action": "reject"},
]


def _user_rules(host: lab.Host) -> List[str]:
    """The administrator's rules in their order, others as they are."""
    if host.backend == "nftables":
        listed = host.sh("nft -s list chain ip docker-bridges filter-user-rules", check=False)
        rows = [line.strip() for line in listed.splitlines()[2:-2]]
    else:
        rows = [line for line in host.save().splitlines() if line.startswith("-A DOCKER-USER")]
    return [re.sub(r".*hostnet-docker-([\w-]+).*", r"\1", row) for row in rows]


@pytest.mark.slow("nft")
def test_user_rules(each_backend: lab.Host) -> None:
    """The administrator's rules stand first and in order, whatever other tools put before them."""
    host = each_backend
    web = {**WEB, "published_ports": ["9000:80"]}
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[web])
    result = host.run("host_network", user_rules=RULES)
    assert not host.run("host_network", user_rules=RULES)["changed"], result
    assert _user_rules(host) == ["vpn", "no-9000", "web-only"]
    lab.sh(host.lan, "ip addr add 192.0.2.77/24 dev eth0")
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "192.0.2.1", 9000) == "no answer"
        assert lab.probe(host.lan, "192.0.2.1", 9000, source="192.0.2.77") == "open, from=192.0.2.77"
    if host.backend == "nftables":
        host.sh("nft insert rule ip docker-bridges filter-user-rules ip saddr 198.51.100.1 drop")
    else:
        host.sh("iptables -I DOCKER-USER -s 198.51.100.1 -j DROP")
    assert "198.51.100.1" in _user_rules(host)[0]
    assert host.run("host_network", user_rules=RULES, check=True)["changed"]
    host.run("host_network", user_rules=RULES)
    assert _user_rules(host)[:3] == ["vpn", "no-9000", "web-only"] and "198.51.100.1" in _user_rules(host)[3]
    assert host.run("host_network", user_rules=[RULES[1], RULES[0], RULES[2]])["changed"]
    assert len(host.run("host_network", user_rules=RULES, check=True)["changes"]) == 1
    host.run("host_network", user_rules=[])
    assert len(_user_rules(host)) == 1


@pytest.mark.slow("nft")
def test_keep_forwarding(each_backend: lab.Host) -> None:
    """A foreign bridge forwards although the policy drops, and stops to when it is no longer named."""
    host = each_backend
    host.sh("ip link add virbr0 type bridge; ip addr add 10.5.0.1/24 dev virbr0; ip link set virbr0 up")
    host.sh("ip netns add vm; ip link add vnet0 master virbr0 up type veth peer name eth0 netns vm")
    lab.sh("vm", "ip addr add 10.5.0.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.5.0.1")
    lab.sh(host.lan, "ip route add 10.5.0.0/24 via 192.0.2.1")
    given = {"forward_policy": "drop", "keep_forwarding": ["virbr0"]}
    with lab.serve("vm", 80):
        host.run("ip_forward", forward_policy="drop")
        assert lab.probe(host.lan, "10.5.0.2", 80) == "no answer"
        host.run("ip_forward", **given)
        assert lab.probe(host.lan, "10.5.0.2", 80) == "open, from=192.0.2.254"
    assert not host.run("ip_forward", **given)["changed"]
    assert not host.run("ip_forward", forward_policy="drop")["changed"]
    host.run("ip_forward", forward_policy="drop", keep_forwarding=[])
    assert "virbr0" not in host.rules()


def _clamps(host: lab.Host) -> int:
    return host.rules().count("--clamp-mss-to-pmtu") + host.rules().count("tcp option maxseg size set rt mtu")


def test_clamp_mss(each_backend: lab.Host) -> None:
    host = each_backend
    host.run("docker_bridge", name="docker0", clamp_mss=True)
    assert not host.run("docker_bridge", name="docker0", clamp_mss=True)["changed"]
    assert _clamps(host) == 2
    host.run("veth_endpoint", name="web")
    assert _clamps(host) == 2
    host.run("docker_bridge", name="docker0")
    assert _clamps(host) == 0


_SIZE = 200_000


def _download(host: lab.Host, place: Tuple[str, int]) -> int:
    """How many bytes of the endpoint's answer get to a client outside before nothing comes for two seconds."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            listener.accept()[0].sendall(bytes(_SIZE))

    def read() -> int:
        count = 0
        with socket.create_connection(place, timeout=2) as client, contextlib.suppress(TimeoutError):
            while data := client.recv(65536):
                count += len(data)
                if count == _SIZE:
                    break
        return count

    def listen() -> socket.socket:
        return socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)

    listener = lab.inside("web", listen)
    with listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        count = lab.inside(host.lan, read)
    return int(count)


@pytest.mark.slow("nft")
def test_a_large_transfer_over_a_narrow_uplink(each_backend: lab.Host) -> None:
    """The uplink takes 1400 bytes, both ends 1500, and the messages that would tell the sender are dropped."""
    host = each_backend
    host.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0; ip link set eth0 mtu 1400")
    _docker0(host, bip6="fd00:17::1/64")
    host.run("veth_endpoint", **WEB)
    host.run("port_publish", endpoint="web", published_ports=["8080:80"])
    lab.sh(
        "web", "iptables -A INPUT -p icmp -j DROP; ip6tables -A INPUT -p icmpv6 --icmpv6-type packet-too-big -j DROP"
    )
    places = [("192.0.2.1", 8080), ("2001:db8:1::1", 8080)]
    assert all(_download(host, place) < _SIZE for place in places)
    _docker0(host, bip6="fd00:17::1/64", clamp_mss=True)
    assert [_download(host, place) for place in places] == [_SIZE, _SIZE]


def test_reserved_ports(each_backend: lab.Host) -> None:
    """Published ports of the ephemeral range are reserved, and given back when they are taken back."""
    host = each_backend
    host.sh("sysctl -qw net.ipv4.ip_local_reserved_ports=35000")
    host.run("host_network", bridges=[{"name": "docker0"}], endpoints=[WEB])
    given = {"endpoint": "web", "published_ports": ["8080:80", "40000-40002:90-92"], "reserve_ports": True}
    host.run("port_publish", **given)
    read = ["cat", "/proc/sys/net/ipv4/ip_local_reserved_ports"]
    assert host.sh(read).strip() == "35000,40000-40002"
    assert not host.run("port_publish", **given)["changed"]
    host.run("port_publish", endpoint="web", published_ports=["40001:91"], reserve_ports=True, state="absent")
    assert host.sh(read).strip() == "35000,40000,40002"


def test_bridges_are_filtered_only_where_that_is_needed(host: lab.Host) -> None:
    """The switch is for all bridges of the host, also those of virtual machines."""
    path = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not lab.inside(host, path.exists):
        pytest.skip("the kernel has no br_netfilter")
    host.sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0")
    plain = {"name": "docker0", "userland_proxy": True}
    needed = [{**plain, "icc": False}, {**plain, "userland_proxy": False}]
    host.run("host_network", ip_forward={}, bridges=[plain])
    assert lab.inside(host, path.read_text) == "0\n"
    for bridge in needed:
        host.sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0")
        result = host.run("host_network", ip_forward={}, bridges=[bridge])
        assert "update sysctl host net.bridge.bridge-nf-call-iptables: 0 -> 1" in result["changes"]
