# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What host_network_info says of reachable ports is what a scan from outside finds, port by port."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from prometheus_client import parser

import lab
import scan

SIX = {"ipv6": True, "bip6": "fd00:17::1/64"}
PLAIN = ["8080:80", "8080:80/udp"]
ADDRESSES = ["192.0.2.1", "172.17.0.1", "172.17.0.2", "172.17.0.3"]
ADDRESSES6 = ["2001:db8:1::1", "fd00:17::1", "fd00:17::2"]


def _case(backend: str, published: Any = None, bridge: Any = None, endpoint: Any = None, **more: Any) -> Dict[str, Any]:
    """A host: options of its bridge and of the endpoint web, ``before`` and ``after`` are commands of others."""
    web = {"name": "web", "published_ports": PLAIN if published is None else published, **(endpoint or {})}
    return {"backend": backend, "bridge": bridge or {}, "web": web, **more}


ADMIN = """
iptables -t nat -A PREROUTING -d 192.0.2.1 -p tcp --dport 8082 -j DNAT --to-destination 172.17.0.2:81
iptables -I FORWARD -d 172.17.0.2 -p tcp --dport 81 -m comment --comment "the admin's" -j ACCEPT
iptables -I DOCKER-USER -s 192.0.2.77 -p udp -m udp --dport 80 -j DROP
iptables -t nat -A PREROUTING -p tcp -m tcp --dport 8081 -j REDIRECT --to-ports 91
iptables -A INPUT -s 192.0.2.77 -p tcp -m multiport --dports 90:92,100 -j REJECT
"""
TABLE = """
nft -f - <<'END'
table inet admin {
  set friends { type ipv4_addr; flags interval; elements = { 192.0.2.128/25, 10.0.0.1-10.0.0.9 } }
  chain input {
    type filter hook input priority 10; policy drop;
    ct state vmap { established : accept, related : accept, invalid : drop }
    iifname "lo" accept
    icmp type echo-request accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
    ip saddr @friends tcp dport { 22, 91-92 } log prefix "let in " accept
    ip saddr != @friends udp dport 92 accept
  }
  chain forward {
    type filter hook forward priority -10;
    iifname vmap { "eth0" : jump outside, "lo" : accept }
  }
  chain outside {
    ip saddr 192.0.2.77 udp dport 80 drop
    ip6 saddr 2001:db8:1::77 reject
  }
  chain divert { type nat hook prerouting priority -110; tcp dport 8082 dnat ip to 172.17.0.2:80; }
}
END
"""
UFW = """
iptables-restore --noflush <<'END'
*filter
:INPUT DROP [0:0]
:ufw-before-input - [0:0]
:ufw-not-local - [0:0]
:ufw-user-input - [0:0]
:ufw-skip-to-policy - [0:0]
-A INPUT -j ufw-before-input
-A INPUT -j ufw-user-input
-A INPUT -j ufw-skip-to-policy
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW] "
-A ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j LOG
-A ufw-not-local -j DROP
-A ufw-user-input -s 192.0.2.254/32 -p tcp -m tcp --dport 91 -j ACCEPT
-A ufw-user-input -p udp -m udp --dport 92 -j ACCEPT
-A ufw-skip-to-policy -m limit --limit 3/min -j LOG
-A ufw-skip-to-policy -j DROP
COMMIT
END
"""
FIREWALLD = """
nft -f - <<'END'
table inet firewalld {
  chain mangle_PREROUTING {
    type filter hook prerouting priority mangle + 10;
    meta nfproto ipv6 fib saddr . mark . iif oif missing drop
  }
  chain filter_INPUT {
    type filter hook input priority filter + 10;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_INPUT_ZONES
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD {
    type filter hook forward priority filter + 10;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    oifname "docker0" goto filter_FWD_docker
    reject with icmpx admin-prohibited
  }
  chain filter_FWD_docker { tcp dport 80 accept
    return
  }
  chain filter_INPUT_ZONES { iifname "eth0" goto filter_IN_public
    goto filter_IN_public
  }
  chain filter_IN_public { jump filter_IN_public_allow
    meta l4proto { icmp, ipv6-icmp } accept
  }
  chain filter_IN_public_allow { tcp dport 91 accept
  }
}
END
"""
OTHER_VARIANT = """
iptables-legacy -A INPUT -s 192.0.2.77 -p tcp --dport 91 -j DROP
iptables-legacy -A FORWARD -s 192.0.2.254 -d 172.17.0.2 -p tcp --dport 80 -j DROP
"""
MARKED = """
iptables -t mangle -A PREROUTING -s 192.0.2.77 -j MARK --set-xmark 0x5/0xff
iptables -I DOCKER-USER -m mark --mark 0x5/0xff -j DROP
iptables -t raw -A PREROUTING -s 192.0.2.77 -p tcp --dport 8081 -j NOTRACK
"""
ONE = [{"target": 80, "published": 8080, "allowed_sources": ["192.0.2.77", "2001:db8:1::77"]}, "8081:81"]
DROP = [
    {"name": "not-you", "source": "192.0.2.77", "protocol": "tcp", "host_port": 8080, "action": "drop"},
    {"name": "no-81", "protocol": "udp", "destination_port": "81-90", "action": "reject"},
]
DIRECT = {"gateway_mode_ipv4": "routed", "gateway_mode_ipv6": "routed"}
HOSTS = {
    "plain-nft": _case("nft"),
    "plain-legacy": _case("legacy"),
    "plain-nftables": _case("nftables"),
    "loopback": _case("nft", ["127.0.0.1:8080:80", "8081:81"]),
    "loopback-nftables": _case("nftables", ["127.0.0.1:8080:80"]),
    "one-address": _case("nft", ["192.0.2.1:8080:80", "172.17.0.1:8081:81/udp"]),
    "one-address-nftables": _case("nftables", ["192.0.2.1:8080:80"]),
    "sources": _case("nft", ONE, SIX),
    "sources-nftables": _case("nftables", ONE, SIX),
    "sources-unprotected": _case("legacy", ONE, {**SIX, "gateway_mode_ipv4": "nat-unprotected"}),
    "internal": _case("legacy", bridge={"internal": True}),
    "isolated": _case("nftables", [], {"internal": True, "gateway_mode_ipv4": "isolated"}),
    "routed": _case("nft", ["80", "81/udp"], {**SIX, **DIRECT}),
    "routed-nftables": _case("nftables", ["80", "81/udp"], {**SIX, **DIRECT}),
    "unprotected": _case("legacy", bridge={"gateway_mode_ipv4": "nat-unprotected"}),
    "unprotected-nftables": _case("nftables", bridge={"gateway_mode_ipv4": "nat-unprotected"}),
    "icc": _case("nft", bridge={"icc": False}),
    "proxy": _case("nft", bridge={"userland_proxy": True, **SIX}),
    "proxy-nftables": _case("nftables", bridge={"userland_proxy": True}),
    "ipv6-legacy": _case("legacy", bridge=SIX),
    "range": _case("nft", ["8080-8082:80-82"]),
    "compact": _case("nft", ["8080-8082:80-82", "80-82:80-82/udp"], endpoint={"compact_ranges": True}),
    "compact-nftables": _case("nftables", ["80-82:80-82"], endpoint={"compact_ranges": True}),
    "direct": _case("nft", bridge={"allow_direct_routing": True, **SIX}),
    "trusted": _case("nftables", bridge={"trusted_host_interfaces": ["eth0"]}),
    "user-rules": _case("nft", [*PLAIN, "8081:81/udp"], user_rules=DROP),
    "user-rules-nftables": _case("nftables", [*PLAIN, "8081:81/udp"], user_rules=DROP),
    "no-forwarding": _case("nft", after="sysctl -qw net.ipv4.ip_forward=0"),
    "no-masquerade": _case("nft", bridge={"ip_masq": False, "allow_direct_routing": True}),
    "admin-iptables": _case("nft", after=ADMIN),
    "admin-iptables-legacy": _case("legacy", after=ADMIN),
    "admin-table": _case("nft", bridge=SIX, after=TABLE),
    "admin-table-nftables": _case("nftables", bridge=SIX, after=TABLE),
    "ufw": _case("nft", before=UFW),
    "ufw-legacy": _case("legacy", before=UFW),
    "firewalld": _case("nftables", ["8080:80", "8081:81"], {**SIX, "allow_direct_routing": True}, after=FIREWALLD),
    "other-variant": _case("nft", after=OTHER_VARIANT),
    "marked": _case("nft", [*PLAIN, "8081:81"], after=MARKED),
}


def made(case: Dict[str, Any]) -> lab.Host:
    """The host of a case."""
    backend = case["backend"]
    host = lab.new_host("nft", "nftables") if backend == "nftables" else lab.new_host(backend)
    host.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")
    host.sh(case.get("before", "true"))
    options = {"ip_forward": {"ipv6": True}, "bridges": [{"name": "docker0", "bip": "172.17.0.1/16", **case["bridge"]}]}
    options["endpoints"] = [
        {"ipv4_address": "172.17.0.2", **case["web"]},
        {"name": "cli", "ipv4_address": "172.17.0.3"},
    ]
    if "user_rules" in case:
        options["user_rules"] = case["user_rules"]
    host.run("host_network", **options)
    host.sh(case.get("after", "true"))
    return host


def _own(host: lab.Host) -> List[str]:
    return [line.split()[3].partition("/")[0] for line in host.sh("ip -o address show scope global").splitlines()]


@pytest.mark.parametrize("name", HOSTS)
def test_a_scan_agrees(isolated: None, name: str) -> None:
    """Two clients ask every port of every address, by TCP and UDP."""
    case = HOSTS[name]
    host = made(case)
    asked = scan.questions([*ADDRESSES, *(ADDRESSES6 if "bip6" in case["bridge"] else ADDRESSES6[:1])])
    with scan.answering(host, ("web", "cli")):
        exposure = host.run("host_network_info", counters=False, metrics=False)["exposure"]
        assert [item for item in exposure if not item["certain"]] == []
        assert scan.wrong(host, exposure, _own(host), asked) == []


UNKNOWN = {
    "limit": "iptables -I DOCKER-USER -p tcp -m limit --limit 1/hour -j DROP",
    "ipset": "iptables -I DOCKER-USER -p tcp -m recent --name seen --rcheck -j DROP",
    "anonymous": "nft 'table ip t { chain c { type filter hook forward priority 1; jump { tcp dport 80 drop; }; }; }'",
    "bridge": "nft 'table bridge t { chain c { type filter hook output priority 0; ip protocol tcp drop; }; }'",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_cannot_be_known_is_not_certain(host: lab.Host, name: str) -> None:
    """Ports that such rules are about are told as uncertain, others are not."""
    host.run(
        "host_network",
        ip_forward={},
        bridges=[{"name": "docker0"}],
        endpoints=[{"name": "web", "published_ports": PLAIN}],
    )
    before = host.run("host_network_info")["exposure"]
    assert [item["certain"] for item in before] == [True, True]
    host.sh(UNKNOWN[name])
    after = {item["protocol"]: item["certain"] for item in host.run("host_network_info")["exposure"]}
    assert after == {"tcp": False, "udp": name in ("limit", "ipset")}


def test_counters(each_backend: lab.Host) -> None:
    """Each published port's connections are counted, those of another port are not."""
    host = each_backend
    published = ["8080:80", "127.0.0.1:8081:81", "8082:82/udp"]
    host.run(
        "host_network",
        ip_forward={},
        bridges=[{"name": "docker0"}],
        endpoints=[{"name": "web", "published_ports": published}],
    )
    with lab.serve("web", 80):
        for _time in range(3):
            assert lab.probe(host.lan, "192.0.2.1", 8080).startswith("open")
    result = host.run("host_network_info")
    found = {(item["host_address"], item["host_port"]): item for item in result["counters"]}
    assert {place: item["packets"] for place, item in found.items()} == {
        ("0.0.0.0", 8080): 3,
        ("127.0.0.1", 8081): 0,
        ("0.0.0.0", 8082): 0,
    }
    assert found["0.0.0.0", 8080]["bytes"] == 180 and found["0.0.0.0", 8082]["protocol"] == "udp"
    assert [item["packets"] for item in result["exposure"]] == [3, 0]
    before = result["counters"]
    assert before == host.run("host_network_info")["counters"]


def test_metrics(host: lab.Host) -> None:
    """A Prometheus server reads the text, and finds in it what the lists say."""
    web = {"name": "web", "published_ports": ["8080:80"], "allowed_sources": ["192.0.2.0/25", "203.0.113.9"]}
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[web])
    with lab.serve(host, 91):
        result = host.run("host_network_info")
    families = {family.name: family for family in parser.text_string_to_metric_families(result["metrics"])}
    exposed = {sample.labels["port"]: sample for sample in families["hostnet_exposed_port"].samples}
    assert set(exposed) == {"8080", "91"} and exposed["8080"].value == 1
    assert exposed["8080"].labels["endpoint"] == "web" and exposed["91"].labels["holder"].startswith("py")
    packets = families["hostnet_published_port_packets"]
    assert packets.type == "counter" and packets.samples[0].labels["host_port"] == "8080"


def test_only_what_is_asked_for(host: lab.Host) -> None:
    """Nothing more is read, and nothing more is told; what is told by default can be fed back."""
    off = {"exposure": False, "counters": False, "metrics": False}
    host.run(
        "host_network",
        ip_forward={},
        bridges=[{"name": "docker0"}],
        endpoints=[{"name": "web", "published_ports": PLAIN}],
    )
    everything = host.run("host_network_info")
    assert set(everything) - set(host.run("host_network_info", **off)) == set(off)
    words = {name: everything[name] for name in ("ip_forward", "bridges", "endpoints", "ports")}
    assert host.run("host_network", check=True, **words)["changes"] == []
