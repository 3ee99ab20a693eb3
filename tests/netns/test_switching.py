# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From one firewall backend to the other in one run: all that was said is said again, nothing is left behind."""

from __future__ import annotations

import re
from typing import Any, Dict, List

import pytest

import lab

OTHER = {"iptables": "nftables", "nftables": "iptables"}
RICH: Dict[str, Any] = {
    "ip_forward": {"ipv6": True, "keep_forwarding": ["virbr0"]},
    "bridges": [
        {"name": "docker0", "ipv6": True},
        {"name": "quiet", "icc": False, "trusted_host_interfaces": ["lan"]},
        {"name": "routed", "gateway_mode_ipv4": "routed"},
        {"name": "inner", "internal": True},
    ],
    "endpoints": [
        {"name": "web", "published_ports": ["8080:80", "127.0.0.1:8081:81/udp", "192.0.2.1:8082:80"]},
        {"name": "cli", "published_ports": [{"target": 9, "published": 9, "allowed_sources": ["192.0.2.254"]}]},
        {"name": "db", "bridge": "quiet", "exposed_ports": ["5432"], "published_ports": ["5433:5432"]},
        {
            "name": "app",
            "bridge": "quiet",
            "hostname": "app1",
            "domainname": "corp.example",
            "dns_servers": ["192.0.2.53"],
            "dns_search_domains": ["corp.example"],
            "dns_opts": ["ndots:2"],
            "etc_hosts": {"printer": "192.0.2.9"},
            "links": ["db:sql"],
        },
        {"name": "open", "bridge": "routed", "published_ports": ["80"]},
        {"name": "shut", "bridge": "inner"},
    ],
    "user_rules": [
        {"name": "no-smtp", "action": "drop", "protocol": "tcp", "destination_port": "25", "in_interface": "docker0"},
        {"name": "known", "action": "accept", "source": "192.0.2.0/24", "ctstate": ["ESTABLISHED"]},
        {"name": "asked", "action": "reject", "protocol": "tcp", "host_port": 8082, "destination": "172.17.0.0/16"},
    ],
}


def rules(host: lab.Host) -> List[str]:
    """All rules of both backends; tables that are there and say nothing are left out, elements have no order."""
    native = [
        str(host.sh(f"nft -s list table {family} docker-bridges 2>/dev/null || true")) for family in ("ip", "ip6")
    ]
    elements = sorted(part.strip() for text in native for part in re.split(r"[\n,{}]", text))
    found, table = [], ""
    for row in (host.save() + host.save("ip6")).splitlines():
        table = row if row.startswith("*") else table
        if row.startswith("-A") or (row.startswith(":") and not row.endswith(" ACCEPT")):
            found.append(f"{table} {row}")
    return [*found, *elements]


@pytest.mark.parametrize("first", sorted(OTHER))
def test_there_and_back(host: lab.Host, first: str) -> None:
    """A run about one thing takes the whole host along; the way back leads to the same rules."""
    host.sh("iptables -N MINE && iptables -A INPUT -j MINE && nft add table inet mine && nft add chain inet mine c")
    host.run("host_network", firewall_backend=first, **RICH)
    there = rules(host)
    about_one = {"endpoint": "web", "published_ports": RICH["endpoints"][0]["published_ports"]}
    options = {"firewall_backend": OTHER[first], **about_one}
    check = host.run("port_publish", check=True, diff=True, **options)
    assert "\n".join(rules(host)) == "\n".join(there)
    assert host.run("port_publish", **options)["changes"] == check["changes"]
    assert host.run("host_network", firewall_backend=OTHER[first], **RICH)["changes"] == []
    assert host.run("host_network", **RICH)["changes"] == [], "auto stays with what the host has"
    left = host.save() + host.save("ip6") if first == "iptables" else host.sh("nft list tables")
    assert {"iptables": "DOCKER", "nftables": "docker-bridges"}[first] not in left
    assert "-A INPUT -j MINE" in host.save() and "inet mine" in host.sh("nft list tables")
    found = host.run("host_network_info")
    told = {name: found[name] for name in ("ip_forward", "bridges", "endpoints", "ports", "user_rules")}
    assert host.run("host_network", **told)["changes"] == []
    assert found["user_rules"] == RICH["user_rules"]
    app = next(item for item in found["endpoints"] if item["name"] == "app")
    assert RICH["endpoints"][3].items() <= app.items()
    host.run("port_publish", firewall_backend=first, **about_one)
    assert "\n".join(rules(host)) == "\n".join(there)


@pytest.mark.slow("iptables")
@pytest.mark.parametrize("first", sorted(OTHER))
def test_published_ports_stay_open(host: lab.Host, first: str) -> None:
    """Traffic after the switch is as before, and with the last bridge everything goes, whatever backend it is on."""
    lab.sh(host.lan, "ip route add 172.16.0.0/12 via 192.0.2.1")
    host.run("host_network", firewall_backend=first, **RICH)
    places = {
        (host.lan, "192.0.2.1", 8080): "open, from=192.0.2.254",
        (host.lan, "172.17.0.2", 80): "no answer",
        (host.lan, "192.0.2.1", 5433): "open, from=192.0.2.254",
        ("app", "172.18.0.2", 5432): "open, from=172.18.0.3",
        ("app", "172.18.0.2", 5434): "no answer",
    }
    with lab.serve("web", 80), lab.serve("db", 5432), lab.serve("db", 5434):
        assert {place: lab.probe(*place) for place in places} == places
        host.run("ip_forward", firewall_backend=OTHER[first], ipv6=True)
        assert {place: lab.probe(*place) for place in places} == places
    gone = {name: [{**item, "state": "absent"} for item in RICH[name]] for name in ("bridges", "endpoints")}
    for item in gone["endpoints"]:
        item.pop("published_ports", None)
    host.run(
        "host_network", firewall_backend=first, ip_forward={"state": "absent", "ipv6": True}, user_rules=[], **gone
    )
    assert [row for row in rules(host) if "DOCKER" in row or "docker" in row] == []
