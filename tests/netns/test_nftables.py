# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Native nftables: Docker's tables, published ports as elements, real packets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import pytest

import lab

NFT = {"firewall_backend": "nftables"}
HOST: Dict[str, Any] = {
    **NFT,
    "ip_forward": {"ipv6": True},
    "bridges": [{"name": "docker0", "ipv6": True}, {"name": "back"}],
    "endpoints": [
        {"name": "web", "published_ports": ["8080:80", "127.0.0.1:8081:80"]},
        {"name": "cli"},
        {"name": "other", "bridge": "back"},
    ],
}


def test_reachability(host: lab.Host) -> None:
    """The rows of the reachability table that tell the layouts apart."""
    host.run("host_network", **HOST)
    assert host.save() == ""
    lab.sh(host.lan, "ip route add 172.16.0.0/12 via 192.0.2.1")
    wanted = {
        (host.lan, "192.0.2.1", 8080): "open, from=192.0.2.254",
        (host.lan, "172.17.0.2", 80): "no answer",
        (host.lan, "172.17.0.2", 81): "no answer",
        (host.lan, "192.0.2.1", 8081): "refused",
        (host, "127.0.0.1", 8080): "open, from=172.17.0.1",
        (host, "127.0.0.1", 8081): "open, from=172.17.0.1",
        ("web", "192.0.2.1", 8080): "open, from=172.17.0.1",
        ("cli", "192.0.2.1", 8080): "open, from=172.17.0.3",
        ("cli", "172.17.0.2", 81): "open, from=172.17.0.3",
        ("other", "172.17.0.2", 80): "no answer",
        ("other", "192.0.2.1", 8080): "open, from=172.17.0.1",
        # Last, for a new bridge takes a while until it has its IPv6 neighbours.
        (host.lan, "2001:db8:1::1", 8080): "open, from=2001:db8:1::fe",
    }
    with lab.serve("web", 80), lab.serve("web", 81):
        assert {place: lab.probe(*place) for place in wanted} == wanted
    with lab.serve(host.lan, 90):
        assert lab.probe("cli", "192.0.2.254", 90) == "open, from=192.0.2.1"


def test_check_then_run_then_nothing(host: lab.Host) -> None:
    check = host.run("host_network", check=True, diff=True, **HOST)
    assert host.sh("nft list ruleset") == ""
    assert any(
        section["after_header"] == "nft list ruleset" and "8080" in section["after"] for section in check["diff"]
    )
    assert host.run("host_network", **HOST)["changes"] == check["changes"]
    before = host.sh("nft -s list ruleset")
    assert host.run("host_network", **HOST)["changes"] == []
    assert host.sh("nft -s list ruleset") == before


@pytest.mark.versions
@pytest.mark.nftables
def test_described_and_fed_back(host: lab.Host) -> None:
    host.run("host_network", **HOST)
    found = host.run("host_network_info", **NFT)
    told = {name: found[name] for name in ("ip_forward", "bridges", "endpoints", "ports")}
    assert host.run("host_network", **told, **NFT)["changes"] == []


def test_one_more_port_is_an_element(host: lab.Host) -> None:
    """Rules stay, and what others have in tables of their own stays too."""
    host.sh("nft add table inet mine; nft add chain inet mine c; nft add rule inet mine c counter accept")
    host.run("host_network", **HOST)
    rules = [line for line in host.sh("nft -s list ruleset").splitlines() if "comment" in line]
    ports = [*HOST["endpoints"][0]["published_ports"], "9000:90"]
    result = host.run("port_publish", endpoint="web", published_ports=ports, **NFT)
    assert not any("nft_chain" in line for line in result["changes"])
    assert [line for line in host.sh("nft -s list ruleset").splitlines() if "comment" in line] == rules
    host.run("port_publish", endpoint="web", published_ports=["9000:90"], state="absent", **NFT)
    assert "9000" not in host.sh("nft list ruleset")


def test_one_more_endpoint_is_elements(host: lab.Host) -> None:
    """No rule for its guard: as with ports, a packet's way does not grow with the number of endpoints."""
    host.run("host_network", **HOST)
    changes = host.run("veth_endpoint", name="more", **NFT)["changes"]
    assert {line for line in changes if " nft_" in line} == {
        "update nft_set ip docker-bridges raw-endpoints (+1 -0 elements)",
        "update nft_set ip docker-bridges raw-endpoint-interfaces (+1 -0 elements)",
        "update nft_set ip6 docker-bridges raw-endpoints (+1 -0 elements)",
        "update nft_set ip6 docker-bridges raw-endpoint-interfaces (+1 -0 elements)",
    }


TRUSTING: Dict[str, Any] = {
    **NFT,
    "bridges": [{"name": "docker0", "trusted_host_interfaces": ["wan9"]}],
    "endpoints": [{"name": "web", "published_ports": ["8080:80"]}],
}
# Docker's rules for what TRUSTING has as elements.
DOCKERS = """
    flush set ip docker-bridges raw-endpoints
    flush set ip docker-bridges raw-endpoint-interfaces
    flush set ip docker-bridges filter-forward-in-ports
    flush set ip docker-bridges nat-postrouting-in-ports
    flush map ip docker-bridges nat-ports
    add rule ip docker-bridges raw-PREROUTING \
        ip daddr 172.17.0.2 iifname != { "docker0", "wan9" } counter drop comment "DROP DIRECT ACCESS"
    add rule ip docker-bridges nat-prerouting-and-output tcp dport 8080 counter dnat to 172.17.0.2:80 comment "DNAT"
    insert rule ip docker-bridges filter-forward-in__docker0 ip daddr 172.17.0.2 tcp dport 80 counter accept
    add rule ip docker-bridges nat-postrouting-in__docker0 \
        ip saddr 172.17.0.2 ip daddr 172.17.0.2 tcp dport 80 counter masquerade comment "MASQ TO OWN PORT"
"""


def test_what_docker_has_as_rules_is_known(host: lab.Host, tmp_path: Path) -> None:
    """It is described in the words of the options, and a run that names it makes elements of it."""
    host.run("host_network", **TRUSTING)
    wanted = host.sh("nft -s list ruleset")
    file = tmp_path / "dockers"
    file.write_text(DOCKERS)
    host.sh(["nft", "-f", str(file)])
    assert host.sh("nft -s list ruleset") != wanted
    found = host.run("host_network_info", **NFT)
    assert found["bridges"][0]["trusted_host_interfaces"] == ["wan9"]
    assert found["endpoints"][0]["published_ports"] == ["8080:80/tcp"]
    host.run("host_network", **TRUSTING)
    assert host.sh("nft -s list ruleset") == wanted


@pytest.mark.versions
@pytest.mark.nftables
def test_absent_leaves_nothing(host: lab.Host) -> None:
    host.sh("nft add table inet mine")
    host.run("host_network", **HOST)
    gone = {"state": "absent"}
    bridges = [{"name": item["name"], **gone} for item in HOST["bridges"]]
    endpoints = [{"name": item["name"], **gone} for item in HOST["endpoints"]]
    host.run("host_network", ip_forward=gone, bridges=bridges, endpoints=endpoints, **NFT)
    assert host.sh("nft list ruleset").split() == ["table", "inet", "mine", "{", "}"]
