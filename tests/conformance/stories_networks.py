# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios about user networks, IPv6, network modes, names, and what goes when."""

from __future__ import annotations

import re
from pathlib import Path

import capture
from teller import ANY_ORDER, Teller, story


@story("17a-user-network")
def _17a_user_network(tell: Teller) -> None:
    tell.daemon()
    tell.same("00")
    tell.net("br-n1", bip="10.10.0.254/16", fixed_cidr="10.10.5.0/24")
    tell.same("01")
    tell.run("c1", "8080:80", bridge="br-n1")
    tell.run("c2", bridge="br-n1", ipv4_address="10.10.9.9", mac_address="02:00:00:00:00:09")
    tell.same("02", "c1", "c2")
    tell.rm("c1", "c2")
    tell.rmnet("br-n1")
    tell.same("03")


@story("17b-internal")
def _17b_internal(tell: Teller) -> None:
    tell.daemon()
    tell.net("br-n1", bip="10.10.0.1/24", internal=True)
    tell.same("00")
    tell.run("c1", "8080:80", bridge="br-n1")
    tell.run("c2", bridge="br-n1")
    tell.same("01", "c1", "c2")
    tell.net("br-n2", bip="10.11.0.1/24", internal=True, icc=False)
    tell.same("02")
    tell.rm("c1", "c2")
    tell.rmnet("br-n1", "br-n2")
    tell.same("03")


@story("17c-net-icc-false")
def _17c_net_icc_false(tell: Teller) -> None:
    tell.daemon()
    tell.net("br-n1", bip="10.10.0.1/24", icc=False)
    tell.same("00")
    tell.run("c1", "8080:80", bridge="br-n1")
    tell.run("c2", bridge="br-n1")
    tell.same("01", "c1", "c2")


@story("17d-net-masq-false")
def _17d_net_masq_false(tell: Teller) -> None:
    tell.daemon()
    tell.net("br-n1", bip="10.10.0.1/24", ip_masq=False)
    tell.run("c1", "8080:80", bridge="br-n1")
    tell.same("00", "c1")


@story("17e-gw-routed")
def _17e_gw_routed(tell: Teller) -> None:
    tell.daemon()
    tell.net("br-n1", bip="10.10.0.1/24", gateway_mode_ipv4="routed")
    tell.same("00")
    tell.run("c1", "8080:80", bridge="br-n1")
    tell.same("01", "c1")
    tell.net("br-n2", bip="10.12.0.1/24", ipv6=True, bip6="fd12::1/64", gateway_mode_ipv6="routed")
    tell.run("c2", "8081:80", bridge="br-n2")
    tell.same("02", "c2")


@story("17g-gw-isolated")
def _17g_gw_isolated(tell: Teller) -> None:
    tell.daemon()
    tell.net("br-n1", fixed_cidr="10.10.0.0/24", internal=True, gateway_mode_ipv4="isolated")
    tell.run("c1", bridge="br-n1")
    tell.same("00", "c1")


@story("18-two-user-networks")
def _18_two_user_networks(tell: Teller) -> None:
    tell.daemon()
    tell.net("br-n1", bip="10.10.0.1/24")
    tell.same("00")
    tell.net("br-n2", bip="10.11.0.1/24")
    tell.same("01")
    tell.run("c1", "8080:80", bridge="br-n1")
    tell.run("c2", "8081:80", bridge="br-n2")
    tell.same("02", "c1", "c2")
    tell.rm("c1", "c2")
    tell.same("03")
    tell.daemon()
    tell.same("04", chance=ANY_ORDER)
    tell.run("c1", "8080:80", bridge="br-n1")
    tell.run("c2", "8081:80", bridge="br-n2")
    tell.same("05", "c1", "c2", chance=ANY_ORDER)
    tell.rm("c1", "c2")
    tell.rmnet("br-n1")
    tell.same("06", chance=ANY_ORDER)


@story("19a-ipv6-default-bridge")
def _19a_ipv6_default_bridge(tell: Teller) -> None:
    tell.daemon(ipv6=True, fixed_cidr_v6="fd00:dead:beef::/64")
    tell.same("01")
    tell.run("c1", "8080:80")
    tell.run("c2")
    tell.same("02", "c1", "c2")
    tell.run("c3", "[::1]:8081:80", "[2001:db8:1::1]:8082:80")
    tell.same("03", "c3")


@story("19b-ipv6-no-cidr")
def _19b_ipv6_no_cidr(tell: Teller) -> None:
    """Docker's own pool is a hash of the daemon's id, so the one of the capture is given; ours is made the same way."""
    (address, length), *_others = [
        row[:2] for row in capture.addresses(tell.snapshots["00"]["ip -j addr"])["docker0"] if ":" in row[0]
    ]
    own = tell.host.run("docker_bridge", check=True, name="docker0", ipv6=True)["bridges"][0]["bip6"]
    assert re.fullmatch(r"fd[0-9a-f:]+::1/64", own) and re.fullmatch(r"fd[0-9a-f:]+::1/64", f"{address}/{length}")
    tell.daemon(ipv6=True, bip6=f"{address}/{length}")
    tell.run("c1", "8080:80")
    tell.same("00", "c1")


@story("19d-ipv6-user-network")
def _19d_ipv6_user_network(tell: Teller) -> None:
    tell.daemon()
    tell.net("br-n1", bip="10.10.0.1/24", ipv6=True, bip6="fd00:10::1/64")
    tell.same("00")
    tell.run("c1", "8080:80", bridge="br-n1")
    tell.run("c2", "[::1]:8081:80", bridge="br-n1")
    tell.same("01", "c1", "c2")
    # Its subnet is a hash of the daemon's id.
    tell.net("br-n2", ipv6=True, bip6="fda8:577a:ec44::1/64")
    tell.run("c3", bridge="br-n2")
    tell.same("02", "c3")
    tell.net("br-n3", ipv4=False, ipv6=True, bip6="fd00:20::1/64")
    tell.run("c4", "8082:80", bridge="br-n3")
    tell.same("03", "c4")
    tell.net("br-n4", bip="10.13.0.1/24", ipv6=True, bip6="fd00:30::1/64", internal=True)
    tell.run("c5", bridge="br-n4")
    tell.same("04", "c5")
    tell.net("br-n5", bip="10.14.0.1/24", ipv6=True, bip6="fd00:40::1/64", icc=False)
    tell.same("05")


@story("20-net-modes")
def _20_net_modes(tell: Teller) -> None:
    tell.daemon()
    tell.run("c1", "8080:80", hostname="web1")
    tell.run("c2", network_mode="container:c1")
    tell.run("c3", network_mode="host")
    tell.run("c4", network_mode="none")
    tell.same("00", "c1", "c4")
    assert Path("/etc/netns/c2/hosts").read_text() == Path("/etc/netns/c1/hosts").read_text()


@story("21-dns-hostname")
def _21_dns_hostname(tell: Teller) -> None:
    tell.daemon()
    tell.run("c0")
    tell.run(
        "c1",
        dns_servers=["198.51.100.7", "2001:db8::7"],
        dns_search_domains=["a.example", "b.example"],
        dns_opts=["ndots:3", "rotate"],
    )
    tell.run("c2", hostname="web1", domainname="corp.example")
    hosts = {"db": "10.1.2.3", "gw": "host-gateway", "v6": "2001:db8::9"}
    tell.run("c3", hostname="web1.corp.example", etc_hosts=hosts)
    tell.same("00", "c0", "c1", "c2", "c3", links=False, rules=False)


_STUB = "# local stub\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n"
_MIXED = (
    "nameserver 127.0.0.1\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver 2001:db8:1::53\n"
    "options ndots:2\nsortlist 10.0.0.0\n"
)


@story("21b-dns-host-loopback-resolver")
def _21b_dns_host_loopback_resolver(tell: Teller) -> None:
    """The daemon's --dns and --dns-search are each endpoint's here, --host-gateway-ip is the address itself."""
    Path("/etc/resolv.conf").write_text(_STUB)
    tell.daemon()
    tell.run("c1")
    tell.net("br-n1", bip="10.10.0.1/24")
    tell.run("c2", bridge="br-n1")
    tell.same("00", "c1", "c2")
    tell.rm("c1", "c2")
    Path("/etc/resolv.conf").write_text(_MIXED)
    tell.run("c3")
    tell.run("c4", bridge="br-n1")
    tell.same("01", "c3", "c4", chance=ANY_ORDER)
    tell.rm("c3", "c4")
    Path("/etc/resolv.conf").write_text("")
    dns = {"dns_servers": ["198.51.100.99"], "dns_search_domains": ["daemon.example"], "dns_opts": ["timeout:1"]}
    tell.run("c5", **dns)
    tell.run("c6", etc_hosts={"gw": "192.0.2.1"}, **dns)
    tell.same("02", "c5", "c6", chance=ANY_ORDER)


@story("22-stop-rm")
def _22_stop_rm(tell: Teller) -> None:
    """A container that stops, is killed or removed is absent; a paused one has all it had."""
    tell.daemon()
    tell.same("00")
    tell.net("br-n1", bip="10.10.0.1/24")
    tell.run("c1", "8080:80")
    tell.run("c2", "127.0.0.1:8081:80", bridge="br-n1")
    tell.same("01", "c1", "c2")
    tell.rm("c1")
    tell.same("02")
    tell.run("c1", "8080:80")
    tell.same("03", "c1")
    tell.same("04")
    tell.rm("c1")
    tell.same("05")
    tell.same("06")
    tell.rm("c2")
    tell.same("07")
    tell.rmnet("br-n1")
    tell.same("08")


@story("22c-daemon-killed-with-containers")
def _22c_daemon_killed_with_containers(tell: Teller) -> None:
    """There is no daemon to kill: what it leaves running stays, and what its next start clears is absent."""
    tell.daemon()
    tell.run("c1", "8080:80")
    tell.same("00", "c1")
    tell.same("01")
    tell.rm("c1")
    tell.same("02")


@story("22d-live-restore")
def _22d_live_restore(tell: Teller) -> None:
    """The daemon's stop and start change nothing, nor does a second run."""
    tell.daemon()
    tell.run("c1", "8080:80")
    tell.same("00", "c1")
    tell.same("01")
    assert not tell.run("c1", "8080:80")["changed"]
    tell.same("02")
