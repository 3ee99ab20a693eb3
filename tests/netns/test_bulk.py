# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is packed and unpacked by hand is what pyroute2 packs and unpacks. Must not know: why it is done by hand."""

from __future__ import annotations

import importlib
from typing import Any, Dict, List

import pytest

import lab

pytestmark = [pytest.mark.versions, pytest.mark.usefixtures("isolated")]

_FAR = [["IFLA_IFNAME", "eth0"], ["IFLA_ADDRESS", "02:42:ac:11:00:02"], ["IFLA_MTU", 1400], ["IFLA_TXQLEN", 0]]
_VETH = {"attrs": [["VETH_INFO_PEER", {"attrs": [*_FAR, ["IFLA_NET_NS_FD", 7]]}]]}
_PORT = {"attrs": [["IFLA_BRPORT_MODE", 1]]}
REQUESTS: List[Any] = [
    ("link", {}, [["IFLA_EXT_MASK", 8]]),
    ("link", {}, [["IFLA_IFNAME", "docker0"], ["IFLA_EXT_MASK", 8]]),
    ("link", {"flags": 1, "change": 1}, [["IFLA_IFNAME", "lo"]]),
    ("link", {}, [["IFLA_IFNAME", "veth1"], ["IFLA_MASTER", 300]]),
    ("link", {}, [["IFLA_IFNAME", "veth1"], ["IFLA_GROUP", 0xFFFFFFFF]]),
    (
        "link",
        {},
        [
            ["IFLA_IFNAME", "veth0123456"],
            ["IFLA_ADDRESS", "02:42:0a:0b:0c:0d"],
            ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "veth"], ["IFLA_INFO_DATA", _VETH]]}],
        ],
    ),
    (
        "link",
        {},
        [
            ["IFLA_IFNAME", "veth1"],
            ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_SLAVE_KIND", "bridge"], ["IFLA_INFO_SLAVE_DATA", _PORT]]}],
        ],
    ),
    (
        "address",
        {"family": 2, "prefixlen": 16, "index": 9, "scope": 0},
        [
            ["IFA_LOCAL", "172.17.0.2"],
            ["IFA_ADDRESS", "172.17.0.2"],
            ["IFA_LABEL", "eth0"],
            ["IFA_BROADCAST", "172.17.255.255"],
        ],
    ),
    (
        "address",
        {"family": 10, "prefixlen": 64, "index": 9, "scope": 253, "flags": 2},
        [["IFA_LOCAL", "fe80::1"], ["IFA_ADDRESS", "fe80::1"]],
    ),
    (
        "route",
        {"family": 2, "dst_len": 0, "table": 254, "type": 1, "scope": 0, "proto": 3},
        [["RTA_GATEWAY", "172.17.0.1"], ["RTA_OIF", 9]],
    ),
    (
        "route",
        {"family": 10, "dst_len": 64, "table": 254, "type": 1, "scope": 255, "proto": 0},
        [["RTA_DST", "fd00:1::"], ["RTA_GATEWAY", "fe80::1"], ["RTA_OIF", 9], ["RTA_PRIORITY", 1024]],
    ),
    ("nsid", {}, [["NETNSA_FD", 5]]),
    ("nsid", {}, [["NETNSA_NSID", 5]]),
]
_READ = {
    "link": ("IFLA_IFNAME", "IFLA_ADDRESS", "IFLA_MTU", "IFLA_TXQLEN", "IFLA_MASTER", "IFLA_LINK", "IFLA_LINK_NETNSID"),
    "address": ("IFA_ADDRESS", "IFA_LOCAL", "IFA_LABEL", "IFA_BROADCAST", "IFA_FLAGS"),
    "route": ("RTA_DST", "RTA_OIF", "RTA_GATEWAY", "RTA_PRIORITY", "RTA_TABLE"),
}
_FIELDS = {
    "link": ("index", "flags"),
    "address": ("family", "prefixlen", "flags", "scope", "index"),
    "route": ("family", "dst_len", "table", "proto", "scope", "type", "flags"),
}


def _kernel(name: str) -> Any:
    return importlib.import_module(f"{lab.COLLECTION}.plugins.module_utils._kernel.{name}")


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: f"{request[0]} {request[2][-1][0]}")
def test_packed_alike(request_: Any) -> None:
    noun, fields, attributes = request_
    assert _kernel("bulk").packed(noun, fields, attributes) == _kernel("packing").packed(noun, fields, attributes)


@pytest.mark.parametrize("words", [{"flags": 1, "nonsense": 2}, [["IFLA_NONSENSE", 1]]])
def test_unknown_words_are_left_to_pyroute2(words: Any) -> None:
    bulk = _kernel("bulk")
    fields, attributes = (words, []) if isinstance(words, dict) else ({}, words)
    with pytest.raises(bulk.Unknown):
        bulk.packed("link", fields, attributes)


@pytest.mark.parametrize("noun", _READ)
def test_unpacked_alike(host: lab.Host, noun: str) -> None:
    host.run("docker_bridge", name="docker0", ipv6=True, bip6="fd00:1::1/64")
    host.run("veth_endpoint", name="web")
    host.sh("ip route add 10.1.0.0/16 via 192.0.2.254 metric 5; ip -6 route add fd00:9::/64 via 2001:db8:1::fe")
    replies = lab.inside(host, _dump, noun)
    assert len(replies) >= 3
    for reply in replies:
        theirs = getattr(_kernel("packing").library(), noun)(reply.data)
        theirs.decode()
        ours = _kernel("bulk").message(noun, reply.data)
        assert {name: ours[name] for name in _FIELDS[noun]} == {name: theirs[name] for name in _FIELDS[noun]}
        wanted = {name: theirs.get_attr(name) for name in _READ[noun]}
        assert {name: ours.get_attr(name) for name in _READ[noun]} == wanted
        if noun == "link":
            assert _bridge_port(ours) == _bridge_port(theirs)


def _bridge_port(message: Any) -> List[Any]:
    info = message.get_attr("IFLA_LINKINFO")
    names: Dict[str, Any] = {name: info and info.get_attr(name) for name in ("IFLA_INFO_KIND", "IFLA_INFO_SLAVE_KIND")}
    is_port = names["IFLA_INFO_SLAVE_KIND"] == "bridge"
    return [*names.values(), is_port and info.get_attr("IFLA_INFO_SLAVE_DATA").get_attr("IFLA_BRPORT_MODE")]


def _dump(noun: str) -> Any:
    wire, bulk, rtnl = _kernel("wire"), _kernel("bulk"), _kernel("rtnl")
    handle = wire.Wire(wire.ROUTE).open()
    try:
        return handle.dump(rtnl._NUMBERS[noun] + 2, bulk.packed(noun, {}, []))
    finally:
        handle.close()


def test_disable_ipv6_is_what_the_file_says(host: lab.Host) -> None:
    host.run("docker_bridge", name="docker0")
    host.run("veth_endpoint", name="web")
    rtnl = _kernel("rtnl")
    with rtnl.Netlink() as net:
        net.read_sandbox("/run/netns/web")
        assert net.without_ipv6("/run/netns/web", "eth0") == "1"
        assert net.without_ipv6("/run/netns/web", "lo") == "0"
        assert net.without_ipv6("/run/netns/web", "eth9") is None
    assert lab.sh("web", "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6") == "1\n"


def test_rows_of_one_length_need_not_be_alike() -> None:
    """Where the attributes are is remembered by length; it is looked at anew where a type or length differs."""
    wire = _kernel("wire")
    one, other = wire.attribute(1, b"12345678") + wire.attribute(2, b"1234"), wire.attribute(3, b"1" * 16)
    same = wire.attribute(1, b"\x08\0\x02\x005678") + wire.attribute(2, b"\0\0\0\0")
    assert len(one) == len(other) == len(same)
    for _turn in range(2):
        assert wire.attributes(one) == {1: b"12345678", 2: b"1234"}
        assert wire.attributes(same) == {1: b"\x08\0\x02\x005678", 2: b"\0\0\0\0"}
        assert wire.attributes(other) == {3: b"1" * 16}
