# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``compact_ranges``: a range of published ports is one rule, or one interval of a map."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

import lab

BRIDGES = [{"name": "docker0", "ipv6": True, "bip6": "fd00:17::1/64"}]
WEB: Dict[str, Any] = {"name": "web", "ipv4_address": "172.17.0.2", "ipv6_address": "fd00:17::2"}
TEN_THOUSAND = "8000-17999:8000-17999"


def _converge(host: lab.Host, ports: List[Any], **options: Any) -> Dict[str, Any]:
    """The host with docker0, web and its ports; run twice, the second time with nothing to do."""
    endpoint = {**WEB, "published_ports": ports, "compact_ranges": True, **options}
    wanted = {"ip_forward": {"ipv6": True}, "bridges": BRIDGES, "endpoints": [endpoint]}
    # Else a new bridge takes a while until it has its IPv6 neighbours.
    host.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")
    first = host.run("host_network", **wanted)
    again = host.run("host_network", **wanted)
    assert again["changes"] == []
    assert again["ports"] == first["ports"]
    return first


def test_ten_thousand_ports(each_backend: lab.Host) -> None:
    """One rule of each kind a family; the first and the last port answer, their neighbours do not."""
    host = each_backend
    result = _converge(host, [TEN_THOUSAND, "7999:80"])
    ports = {"endpoint": "web", "published_ports": ["7999:80/tcp", f"{TEN_THOUSAND}/tcp"], "compact_ranges": True}
    assert result["ports"] == [ports]
    assert len([line for line in host.rules().splitlines() if "17999" in line]) == 6
    places = [("192.0.2.1", 8000), ("192.0.2.1", 17999), ("2001:db8:1::1", 8000), ("2001:db8:1::1", 17999)]
    with lab.serve("web", 8000), lab.serve("web", 17999), lab.serve("web", 7998), lab.serve("web", 18000):
        assert {place: lab.probe(host.lan, *place)[:4] for place in places} == dict.fromkeys(places, "open")
        assert lab.probe(host, "127.0.0.1", 8000) == "open, from=172.17.0.1"
        assert lab.probe("web", "192.0.2.1", 8000) == "open, from=172.17.0.1"
        assert lab.probe(host.lan, "192.0.2.1", 7998) == "refused"
        assert lab.probe(host.lan, "192.0.2.1", 18000) == "refused"
    told = host.run("host_network_info")
    fed = {name: told[name] for name in ("ip_forward", "bridges", "endpoints", "ports")}
    assert host.run("host_network", **fed)["changes"] == []


def test_shifted(each_backend: lab.Host) -> None:
    """Counted from the first port; nftables has no such map, so there it is an element a port, and said."""
    host = each_backend
    result = _converge(host, ["8000-8099:100-199/udp"])
    is_one = host.backend != "nftables"
    assert result["ports"][0].get("compact_ranges", False) == is_one
    assert ("100 ports from" in str(result.get("warnings"))) != is_one
    assert ("172.17.0.2:100-199/8000" in host.rules()) == is_one
    with lab.serve("web", 142, proto="udp"):
        assert lab.probe(host.lan, "192.0.2.1", 8042, "udp").startswith("open")
        assert lab.probe(host.lan, "2001:db8:1::1", 8042, "udp").startswith("open")
        assert lab.probe(host.lan, "192.0.2.1", 8043, "udp") == "refused"


def test_part_of_a_range(each_backend: lab.Host) -> None:
    """A port in the middle is taken back and given again; two ranges share ports of the endpoint."""
    host = each_backend
    _converge(host, ["8000-8009:8000-8009", "127.0.0.1:9000-9009:9000-9009", "127.0.0.2:9005-9014:9005-9014"])
    assert "9000-9009" in host.rules().replace(":", "-")
    with lab.serve("web", 8004), lab.serve("web", 8005), lab.serve("web", 9007):
        host.run("port_publish", endpoint="web", published_ports=["8004:8004"], state="absent")
        assert lab.probe(host.lan, "192.0.2.1", 8004) == "refused"
        assert lab.probe(host.lan, "192.0.2.1", 8005).startswith("open")
        assert lab.probe(host, "127.0.0.1", 9007).startswith("open")
        assert lab.probe(host, "127.0.0.2", 9007).startswith("open")
    info = host.run("host_network_info")["endpoints"][0]["published_ports"]
    assert "8000-8003:8000-8003/tcp" in info and "8005-8009:8005-8009/tcp" in info
    _converge(host, ["8000-8009:8000-8009"])
    _converge(host, ["8000-8009:8000-8009"], compact_ranges=False)
    assert "8004" in host.rules()
    _converge(host, [])
    assert "800" not in host.rules() and "ranges" not in host.rules()


@pytest.mark.slow("nftables")
def test_range_with_allowed_sources(each_backend: lab.Host) -> None:
    host = each_backend
    item = {"target": "8000-8009", "published": "8000-8009", "allowed_sources": ["192.0.2.77"]}
    result = _converge(host, [item, {"target": 8003, "published": 9003, "allowed_sources": ["192.0.2.77"]}])
    assert result["ports"][0]["published_ports"][0]["allowed_sources"] == ["192.0.2.77/32"]
    lab.sh(host.lan, "ip addr add 192.0.2.77/24 dev eth0")
    with lab.serve("web", 8003):
        for port in (8003, 9003):
            assert lab.probe(host.lan, "192.0.2.1", port) == "no answer"
            assert lab.probe(host.lan, "192.0.2.1", port, source="192.0.2.77").startswith("open")
        assert lab.probe(host.lan, "2001:db8:1::1", 8003) == "no answer"


def test_drift_of_a_range(each_backend: lab.Host) -> None:
    """A range that somebody narrowed is seen and mended by that one rule."""
    host = each_backend
    wanted = {"bridges": BRIDGES, "endpoints": [{**WEB, "published_ports": ["8000-8009:8000-8009"]}]}
    wanted["endpoints"][0]["compact_ranges"] = True
    host.run("host_network", **wanted)
    before = host.rules()
    if host.backend == "nftables":
        host.sh("nft delete element ip docker-bridges nat-port-ranges '{ tcp . 8000-8009 : 172.17.0.2 }'")
        host.sh("nft add element ip docker-bridges nat-port-ranges '{ tcp . 8000-8008 : 172.17.0.2 }'")
    else:
        rule = "DOCKER -p tcp -m tcp --dport {} -j DNAT --to-destination 172.17.0.2"
        host.sh(f"iptables -t nat -D {rule.format('8000:8009')}")
        host.sh(f"iptables -t nat -A {rule.format('8000:8008')}")
    assert len(host.run("host_network", check=True, **wanted)["changes"]) == 1
    host.run("host_network", **wanted)
    assert host.rules() == before


def test_conflicts_with_a_range(each_backend: lab.Host) -> None:
    """The one port of the range that is taken is named."""
    host = each_backend
    _converge(host, ["8000-8009:8000-8009"])
    host.run("veth_endpoint", name="other")
    result = host.run("port_publish", endpoint="other", published_ports=["8005:80"], fails=True)
    assert "8005/tcp" in result["msg"] and "web" in result["msg"]
