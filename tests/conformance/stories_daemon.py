# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios about the daemon's options: docker0, its subnet, ports, links, forwarding."""

from __future__ import annotations

import capture
import lab
from teller import Teller, story


@story("01-default")
def _01_default(tell: Teller) -> None:
    tell.daemon()
    tell.same("01")


@story("02-one-container")
def _02_one_container(tell: Teller) -> None:
    tell.daemon()
    tell.same("00")
    tell.run("c1")
    tell.same("01", "c1")
    tell.rm("c1")
    tell.run("c1")
    tell.same("02", "c1")


@story("03-two-containers")
def _03_two_containers(tell: Teller) -> None:
    tell.daemon()
    tell.run("c1")
    tell.run("c2")
    tell.same("00", "c1", "c2")
    tell.run("c3")
    tell.same("01", "c3")


@story("04-publish")
def _04_publish(tell: Teller) -> None:
    tell.daemon()
    tell.same("00")
    tell.run("c1", "8080:80")
    tell.same("01", "c1")
    tell.run("c4", "8081:80", "8082:80")
    tell.same("02")
    tell.rm("c1", "c4")
    tell.same("03")


@story("05-publish-loopback")
def _05_publish_loopback(tell: Teller) -> None:
    tell.daemon()
    tell.same("00")
    tell.run("c1", "127.0.0.1:8080:80")
    tell.same("01")
    tell.run("c2", "192.0.2.1:8081:80")
    tell.same("02")
    tell.run("c3", "[::1]:8082:80")
    tell.same("03")
    tell.rm("c1", "c2", "c3")
    tell.same("04")


@story("06-publish-ephemeral")
def _06_publish_ephemeral(tell: Teller) -> None:
    tell.daemon()
    for name in ("c1", "c2", "c3"):
        tell.run(name, "80")
    tell.same("00")
    # A daemon goes on upward as long as it runs; nothing here remembers that, so those after c2 say what they got.
    tell.rm("c2")
    tell.run("c4", "32771:80")
    tell.rm("c1")
    tell.run("c1", "32772:80")
    tell.run("c5", "80/udp")
    tell.run("c6", "127.0.0.1::80")
    tell.run("c7", "32774:80", "32775:443", "32773:22")
    tell.run("c8", "9000-9010:80")
    tell.run("c9", "9000-9010:80")
    with lab.serve(tell.host, 9012):
        tell.run("c11", "9012-9014:80")
    tell.same("01", chance="PREROUTING|POSTROUTING")


@story("07-publish-range-udp-sctp")
def _07_publish_range_udp_sctp(tell: Teller) -> None:
    tell.daemon()
    tell.same("00")
    tell.run("c1", "8000-8003:80-83/tcp", "53:53/udp")
    tell.same("01")
    tell.same("02")  # the kernel that the capture was made on has no SCTP sockets, so the daemon failed
    tell.rm("c1")
    tell.same("03")


@story("07c-publish-sctp-routed")
def _07c_publish_sctp_routed(tell: Teller) -> None:
    tell.daemon()
    tell.net("br-n1", bip="10.10.0.1/24", gateway_mode_ipv4="routed")
    tell.run("c1", "0.0.0.0::9000/sctp", bridge="br-n1")
    tell.same("00", "c1")


_EXPOSED = ["443", "80", "53/udp", "9000"]


@story("08-publish-all")
def _08_publish_all(tell: Teller) -> None:
    tell.daemon()
    tell.run("c1", exposed_ports=_EXPOSED, publish_all_ports=True)
    tell.same("00")
    tell.run("c2", "8080:80", exposed_ports=_EXPOSED, publish_all_ports=True)
    tell.run("c3", exposed_ports=["7000-7002"])
    tell.same("01")


@story("09-icc-false")
def _09_icc_false(tell: Teller) -> None:
    tell.daemon(icc=False)
    tell.same("01")
    tell.run("c1")
    tell.run("c2", "8080:80")
    tell.same("02", "c1", "c2")


# The order of a link's rules is chance in Docker; what it leaks is gone here.
_LINKS = {"chance": "DOCKER"}
_LEAKED = r"-[sd] 172.17.0.2/32 .*-i docker0 -o docker0"


@story("10-icc-false-link")
def _10_icc_false_link(tell: Teller) -> None:
    tell.daemon(icc=False)
    tell.run("c1", exposed_ports=["80/tcp", "53/udp"])
    tell.run("c0", exposed_ports=["81"])
    tell.same("00", "c1", "c0")
    tell.run("c2", links=["c1:alias"])
    tell.same("01", "c2", **_LINKS)
    tell.run("c3", links=["c1", "c0:zero"])
    tell.same("02", "c3", **_LINKS)
    tell.rm("c3")
    tell.same("03", **_LINKS)
    tell.rm("c2")
    tell.same("04", **_LINKS)
    tell.run("c2", links=["c1:alias"])
    tell.same("05", "c2", **_LINKS)
    tell.rm("c1")
    tell.same("06", **_LINKS, leaked=_LEAKED)
    tell.rm("c2")
    tell.same("07", **_LINKS, leaked=_LEAKED)


@story("10c-link-target-restarted")
def _10c_link_target_restarted(tell: Teller) -> None:
    """Without the restart, after which Docker's rules lead to nobody."""
    tell.daemon(icc=False)
    tell.run("c1", exposed_ports=["80"])
    tell.run("c2", links=["c1:alias"])
    tell.same("00", "c2", **_LINKS)
    tell.rm("c2")
    tell.same("02", leaked=_LEAKED)
    tell.rm("c1")
    tell.same("03", leaked=_LEAKED)


@story("11-no-userland-proxy")
def _11_no_userland_proxy(tell: Teller) -> None:
    tell.daemon(userland_proxy=False)
    tell.same("01")
    tell.run("c1", "8080:80")
    tell.same("02")
    tell.run("c2", "127.0.0.1:8081:80")
    tell.same("03")
    tell.net("br-n1")
    tell.run("c3", "8082:80", bridge="br-n1")
    tell.same("04", "c3")
    tell.rm("c1", "c2", "c3")
    tell.rmnet("br-n1")
    tell.same("05")


@story("12-bip-mtu-fixedcidr")
def _12_bip_mtu_fixedcidr(tell: Teller) -> None:
    tell.daemon(bip="192.168.55.1/24", mtu=1400, fixed_cidr="192.168.55.64/26")
    tell.same("00")
    tell.run("c1")
    tell.run("c2")
    tell.same("01", "c1", "c2")
    tell.net("br-n1")
    tell.run("c3", bridge="br-n1")
    tell.same("02")


@story("12b-fixed-cidr-alone")
def _12b_fixed_cidr_alone(tell: Teller) -> None:
    tell.daemon(fixed_cidr="10.20.0.0/16")
    tell.run("c1")
    tell.same("00", "c1")


@story("12e-mtu-9000")
def _12e_mtu_9000(tell: Teller) -> None:
    tell.daemon(mtu=9000)
    tell.same("00")
    tell.run("c1")
    tell.same("01", "c1")


def _foreign_bridge(tell: Teller, name: str, address: str = "") -> None:
    tell.host.sh(f"ip link add {name} type bridge && ip link set {name} up")
    if address:
        tell.host.sh(f"ip addr add {address} dev {name}")


@story("13-custom-bridge")
def _13_custom_bridge(tell: Teller) -> None:
    _foreign_bridge(tell, "br-custom", "10.99.0.1/24")
    tell.daemon(name="br-custom", create=False)
    tell.same("01")
    tell.run("c1", "8080:80", bridge="br-custom")
    tell.same("02", "c1")


@story("13b-custom-bridge-no-address")
def _13b_custom_bridge_no_address(tell: Teller) -> None:
    _foreign_bridge(tell, "br-custom")
    tell.daemon(name="br-custom", create=False)
    tell.same("00")


@story("13c-custom-bridge-missing")
def _13c_custom_bridge_missing(tell: Teller) -> None:
    """An error, as in Docker, but before the chains are made."""
    before = lab.snapshot(tell.host)
    failed = tell.host.run("host_network", fails=True, ip_forward={}, bridges=[{"name": "br-missing", "create": False}])
    assert "br-missing" in failed["msg"]
    assert lab.difference(before, lab.snapshot(tell.host)) == ""
    tell.same("00", rules=False)


@story("13d-bridge-none")
def _13d_bridge_none(tell: Teller) -> None:
    """No docker0: the list of bridges has user networks only. The chains come with the first of them."""
    tell.daemon(name="br-n1")
    tell.run("c1", network_mode="none")
    tell.run("c2", "8080:80", bridge="br-n1")
    tell.same("01", "c2")


@story("15-iptables-false")
def _15_iptables_false(tell: Teller) -> None:
    tell.daemon(iptables=False)
    tell.same("01", links=False)
    tell.daemon(iptables=False, ip6tables=False)
    tell.same("03", rules=False)
    assert capture.rules(tell.host.save()) == {}
    tell.run("c1")
    tell.same("02", rules=False, links=False)


@story("15b-ip-masq-false")
def _15b_ip_masq_false(tell: Teller) -> None:
    tell.daemon(ip_masq=False)
    tell.run("c1", "8080:80")
    tell.same("00", "c1")


@story("16-ip-forward-false")
def _16_ip_forward_false(tell: Teller) -> None:
    tell.daemon(forward=False)
    tell.same("01")
    tell.run("c1", "8080:80")
    tell.same("02", "c1")


@story("23-forward-policy")
def _23_forward_policy(tell: Teller) -> None:
    tell.daemon()
    tell.same("01")
    tell.host.sh("iptables -P FORWARD ACCEPT; ip6tables -P FORWARD ACCEPT")
    tell.daemon()
    tell.same("02")
    tell.host.sh("sysctl -qw net.ipv4.ip_forward=0")
    tell.daemon()
    tell.same("03", links=False)
    tell.host.sh("iptables -P FORWARD ACCEPT; sysctl -qw net.ipv4.ip_forward=0")
    tell.daemon(forward={"forward_policy": "keep", "persist": False})
    tell.same("04", links=False)


@story("23b-forward-1-at-first-start")
def _23b_forward_1_at_first_start(tell: Teller) -> None:
    tell.host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.forwarding=1")
    tell.daemon()
    tell.same("00", links=False)


@story("26b-allow-direct-routing")
def _26b_allow_direct_routing(tell: Teller) -> None:
    tell.daemon(allow_direct_routing=True)
    tell.run("c1", "8080:80")
    tell.same("00", "c1")


@story("26d-default-network-opt")
def _26d_default_network_opt(tell: Teller) -> None:
    tell.daemon()
    tell.net("br-n1", bip="10.10.0.1/24", mtu=1234)
    tell.run("c1", bridge="br-n1")
    tell.run("c2")
    tell.same("00", "c1", "c2")
