# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenarios about which subnet a bridge gets, and which address an endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, List, Tuple

import capture
from teller import ANY_ORDER, Teller, story

_ROUTES: List[Tuple[str, str, str]] = [
    ("ip route add 172.17.0.0/16 via 192.0.2.254", "ip route del 172.17.0.0/16 via 192.0.2.254", "00"),
    ("ip route add 172.17.0.0/16 dev eth0", "ip route del 172.17.0.0/16 dev eth0", "01"),
    ("ip addr add 172.17.5.1/24 dev eth0", "ip addr del 172.17.5.1/24 dev eth0", "02"),
    ("ip route add 172.16.0.0/12 dev eth0", "ip route del 172.16.0.0/12 dev eth0", "03"),
]


@story("24-subnets")
def _24_subnets(tell: Teller) -> None:
    for make, undo, number in _ROUTES:
        tell.host.sh(make)
        tell.daemon()
        own = capture.addresses(tell.host.sh("ip -j addr"))["docker0"]
        assert own == capture.addresses(tell.snapshots[number]["ip -j addr"])["docker0"], make
        tell.rmnet("docker0")
        tell.host.sh(undo)
    Path("/etc/resolv.conf").write_text("nameserver 172.17.3.3\n")
    tell.daemon()
    own = capture.addresses(tell.host.sh("ip -j addr"))["docker0"]
    assert own == capture.addresses(tell.snapshots["04"]["ip -j addr"])["docker0"]


@story("24c-default-address-pool")
def _24c_default_address_pool(tell: Teller) -> None:
    pools = [{"base": "10.200.0.0/16", "size": 24}, {"base": "10.100.0.0/16", "size": 24}]
    tell.daemon(default_address_pools=pools)
    tell.net("br-n1", default_address_pools=pools)
    tell.net("br-n2", default_address_pools=pools)
    own = capture.addresses(tell.host.sh("ip -j addr"))
    theirs = capture.addresses(tell.snapshots["00"]["ip -j addr"])
    assert own == {name: theirs[name] for name in own}


@story("25-ipam")
def _25_ipam(tell: Teller) -> None:
    def address(name: str, **options: Any) -> str:
        return tell.run(name, **options)["endpoints"][-1]["ipv4_address"]

    tell.daemon()
    assert [address(name) for name in ("c1", "c2", "c3")] == ["172.17.0.2", "172.17.0.3", "172.17.0.4"]
    tell.same("00", "c1", "c2", "c3")
    tell.rm("c2")
    assert [address("c4"), address("c5")] == ["172.17.0.3", "172.17.0.5"]
    tell.rm("c1")
    assert [address("c6"), address("c1")] == ["172.17.0.2", "172.17.0.6"]
    tell.rm("c1", "c3", "c4", "c5", "c6")
    assert address("c7") == "172.17.0.2"
    assert address("c8", mac_address="02:11:22:33:44:55") == "172.17.0.3"
    assert address("c8", mac_address="02:11:22:33:44:55") == "172.17.0.3"
    assert address("c9") == "172.17.0.4"
    _user_networks(tell, address)
    tell.rm("c7", "c8", "c9", "t1", "t3", "t4", "t5", "t8", "r1", "r2", "p1")
    assert address("d1") == "172.17.0.2"
    tell.same("01", chance=ANY_ORDER)


def _user_networks(tell: Teller, address: Callable[..., str]) -> None:
    tell.net("br-n1", bip="10.10.0.1/29")
    numbers = range(1, 6)
    assert [address(f"t{n}", bridge="br-n1") for n in numbers] == [f"10.10.0.{n + 1}" for n in numbers]
    failed = tell.host.run("veth_endpoint", fails=True, name="t6", bridge="br-n1")
    assert "no free address in 10.10.0.0/29" in failed["msg"]
    tell.rm("t2")
    assert address("t8", bridge="br-n1", ipv4_address="10.10.0.3") == "10.10.0.3"
    tell.net("br-n2", bip="10.11.0.128/24", fixed_cidr="10.11.0.128/25")
    assert [address("r1", bridge="br-n2"), address("r2", bridge="br-n2")] == ["10.11.0.129", "10.11.0.130"]
    tell.net("br-n3", bip="10.12.0.0/31")
    assert address("p1", bridge="br-n3") == "10.12.0.1"
