# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every value's grammar, with good texts, nearly good ones and nonsense: a canonical value, or one error that helps."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Callable, Dict, List, Tuple

from ansible_collections.hostnet.docker.plugins.module_utils import _values as values
from ansible_collections.hostnet.docker.plugins.module_utils._errors import OptionError
from ansible_collections.hostnet.docker.plugins.module_utils._portspec import PortSpec, port_specs
from hypothesis import strategies as st

from properties import anything, holds, json_values, leaves, near

NAMES = ["docker0", "br-0123456789ab", "eth0.100", "web", "a_b.c-d", "x" * 15]
IPV4 = ["172.17.0.2", "10.0.0.1", "0.0.0.0", "255.255.255.255", "127.0.0.1"]
IPV6 = ["fd00::1", "::", "::1", "fe80::1", "2001:db8:0:0:1:0:0:1", "FD00::00A", "::ffff:1.2.3.4", "::1.2.3.4"]
CIDRS = ["172.17.0.1/16", "10.0.0.0/8", "10.0.0.1/31", "10.0.0.255/24", "fd00::1/64", "::/0", "0.0.0.0/0", "fe80::1/64"]
PORTS = ["80", "1", "65535", "00080", "8000-8010", "80-80", "1-65535"]

# A value's function and texts that it takes.
GRAMMARS: Dict[str, Tuple[Callable[[str, str], Any], List[str]]] = {
    "interface_name": (values.interface_name, [*NAMES, "all", "lo", ".", ".."]),
    "bridge_name": (values.bridge_name, NAMES),
    "object_name": (values.object_name, [*NAMES, "web.1", "9"]),
    "reference": (values.reference, [*NAMES, "_x", "vm@1"]),
    "host_name": (values.host_name, ["web", "web1.example.org", "_srv._tcp.a", "a" * 63]),
    "mac": (values.mac, ["02:42:ac:11:00:02", "02-42-AC-11-00-02", "01:00:5e:00:00:01", "00:00:00:00:00:00"]),
    "address": (values.address, [*IPV4, *IPV6, "fe80::1%eth0"]),
    "loose_network": (values.loose_network, CIDRS),
    "subnet": (values.subnet, CIDRS),
    "interface_address": (values.interface_address, CIDRS),
    "gateway_address4": (lambda path, text: values.gateway_address(path, text, 4), CIDRS),
    "gateway_address6": (lambda path, text: values.gateway_address(path, text, 6), CIDRS),
    "one_network": (values.one_network, [*CIDRS, *IPV4, *IPV6]),
    "port": (values.port, PORTS),
    "port_range": (values.port_range, PORTS),
    "protocol": (values.protocol, ["tcp", "UDP", "sctp", "icmp"]),
    "mtu": (values.mtu, ["1500", "68", "65535", "67"]),
    "bridge_mtu": (values.bridge_mtu, ["1500", "auto"]),
    "rule_name": (values.rule_name, ["no-smtp", "a_1", "x" * 60]),
    "fwmark": (values.fwmark, ["1", "0x1/0xff", "0xffffffff", "7/0xffffffff", "0/0", "0b1/0o7"]),
    "network_mode": (values.network_mode, ["bridge", "none", "host", "container:web", "container:"]),
    "netns": (values.netns, ["web", "pid:4711", "/run/netns/web", "/proc/1/ns/net", "/run/docker/a", "/run/netns/"]),
    "absolute_path": (values.absolute_path, ["/etc/sysctl.d/a.conf", "/a", "/a/../b", "/a//b", "/"]),
    "nameserver": (values.nameserver, [*IPV4, *IPV6, "fe80::1%eth0"]),
    "search_domain": (values.search_domain, ["example.org", ".", "example.org.", ".."]),
    "word": (values.word, ["ndots:1", "edns0"]),
}  # fmt: skip
_ONLY_IN_FILES_AND_PATHS = ("word", "reference", "absolute_path", "netns")
_PRINTED = {tuple: lambda value: f"{value[0]}-{value[1]}"}


def _parsed(name: str, text: str) -> Any:
    """The canonical value; None if the text was refused as it should be."""
    try:
        return GRAMMARS[name][0]("here", text)
    except OptionError as error:
        assert error.path == "here" and error.hint and "\n" not in str(error), str(error)
        return None


@holds(
    8000,
    # The zone of a nameserver ended the line of resolv.conf and began another.
    examples=[
        {"drawn": ("nameserver", "fe80::1%e\nnameserver 6.6.6.6")},
        {"drawn": ("nameserver", " 10.0.0.1\n")},
        # What comes after /run/netns/ was not looked at: other directories, and files outside of a namespace's own.
        {"drawn": ("netns", "/run/netns/.")},
        {"drawn": ("netns", "/run/netns/a/b")},
        {"drawn": ("netns", "/run/netns//etc")},
        # These were a traceback, for no path may have them.
        {"drawn": ("netns", "/run/a\0b")},
        {"drawn": ("netns", "/run/a\ud800b")},
        {"drawn": ("netns", "pid:\u00b2")},
        # Settings of all interfaces; a prefix of other interfaces' names to nft.
        {"drawn": ("interface_name", "all")},
        {"drawn": ("interface_name", "eth*")},
        {"drawn": ("bridge_name", "a;b")},
        # Printed otherwise by iptables-save, and so written again by every run.
        {"drawn": ("address", "::ffff:192.0.2.1")},
        {"drawn": ("address", "::1.2.3.4")},
        {"drawn": ("fwmark", "0/0")},
        {"drawn": ("subnet", "10.0.0.1/0")},
        {"drawn": ("subnet", "fe80::1/64")},
    ],
    drawn=st.sampled_from(sorted(GRAMMARS)).flatmap(
        lambda name: st.tuples(st.just(name), near(GRAMMARS[name][1]) | anything)
    ),
)
def test_a_value_is_canonical_or_refused(drawn: Tuple[str, str]) -> None:
    """What comes through can stand in a rule, a path or a line of a file, and is what its own text means."""
    name, text = drawn
    value = _parsed(name, text)
    if value is None:
        return
    printed = _PRINTED.get(type(value), str)(value)
    assert re.fullmatch(r"[!-~]+", printed)
    assert not set("\"'\\") & set(printed) or name in _ONLY_IN_FILES_AND_PATHS
    assert _parsed(name, printed) == value


def test_what_went_wrong_once_is_refused() -> None:
    refused = [
        ("nameserver", "fe80::1%e\nnameserver 6.6.6.6"),
        ("netns", "/run/netns/."),
        ("netns", "/run/netns/a/b"),
        ("netns", "/run/netns//etc"),
        ("netns", "/run/a\0b"),
        ("netns", "pid:\u00b2"),
        ("interface_name", "all"),
        ("interface_name", "eth*"),
        ("bridge_name", "a;b"),
        ("address", "::ffff:192.0.2.1"),
        ("address", "::1.2.3.4"),
        ("fwmark", "0/0"),
        ("subnet", "10.0.0.1/0"),
        ("subnet", "fe80::1/64"),
    ]
    assert [(name, text) for name, text in refused if _parsed(name, text) is not None] == []
    assert _parsed("nameserver", " 10.0.0.1\n") == "10.0.0.1"
    for name, (_parse, good) in GRAMMARS.items():
        assert any(_parsed(name, text) is not None for text in good), name


_protocols = st.sampled_from(["", "/tcp", "/udp", "/sctp", "/TCP"])
_number = st.integers(1, 65535)
_hosts = st.sampled_from(["", "127.0.0.1", "0.0.0.0", "192.0.2.1", "[::1]", "[::]", "[fd00::1]"])


@holds(2500, ip=_hosts, host=st.none() | st.tuples(_number, _number), container=_number, protocol=_protocols)
def test_docker_s_grammar_of_one_port(ip: str, host: Tuple[int, int] | None, container: int, protocol: str) -> None:
    """``[IP:][HOST[-HOST]:]CONTAINER[/PROTOCOL]`` says what it says, and its print says the same."""
    low, high = sorted(host) if host else (0, 0)
    published = "" if host is None else str(low) if low == high else f"{low}-{high}"
    front = f"{ip}:{published}:" if ip else f"{published}:" if published else ""
    (spec,) = port_specs("here", f"{front}{container}{protocol}")
    wanted = PortSpec(protocol[1:].lower() or "tcp", container, ip.strip("[]") or None, (low, high) if host else None)
    assert spec == wanted
    assert port_specs("here", str(spec)) == [spec]
    long = {"target": container, "published": published or None, "host_ip": ip, "protocol": protocol[1:] or None}
    assert port_specs("here", long) == [spec]


@holds(500, host=_number, container=_number, length=st.integers(0, 30), other=st.integers(0, 30))
def test_ranges_go_pair_by_pair(host: int, container: int, length: int, other: int) -> None:
    text = f"{host}-{host + other}:{container}-{container + length}"
    is_valid = max(host + other, container + length) <= 65535 and (length == other or length == 0)
    try:
        specs = port_specs("here", text)
    except OptionError:
        assert not is_valid
        return
    assert is_valid
    places = [(spec.container_port, spec.host_ports) for spec in specs]
    fixed = [(container + number, (host + number, host + number)) for number in range(length + 1)]
    assert places == (fixed if length else [(container, (host, host + other))])


SPECS = ["8080:80", "127.0.0.1:8080:80/udp", "192.0.2.1::80", "80", "8000-8010:80-90", "[::1]:8080:80", "8000-8010:80"]


@holds(
    2500,
    examples=[{"item": {"target": 80, "host_ip": ["1.1.1.1"]}}, {"item": 80.5}, {"item": {"target": {}}}],
    item=near(SPECS) | near(SPECS) | json_values | st.fixed_dictionaries(
        {"target": near(PORTS) | json_values},
        optional={
            "published": near(PORTS) | json_values, "host_ip": near(IPV4 + IPV6) | json_values,
            "protocol": near(["tcp"]) | json_values, "allowed_sources": st.lists(near(CIDRS), max_size=2) | json_values,
        },
    ),
)  # fmt: skip
def test_an_odd_port_is_a_spec_or_refused(item: Any) -> None:
    try:
        specs = port_specs("here", item)
    except OptionError as error:
        assert error.path.startswith("here") and error.hint and "\n" not in str(error)
        return
    few = [*specs[:2], specs[-1]]
    for spec in few:
        assert 1 <= spec.container_port <= 65535
        assert port_specs("here", str(spec)) == [spec._replace(sources=None, in_range=False)]
    for texts in leaves(few).values():
        assert all(re.fullmatch(r"[0-9a-z.:/]+", text) for text in texts)


@holds(500, size=st.integers(20, 64), base=st.integers(8, 40), holes=st.lists(st.integers(0, 2**20), max_size=4))
def test_a_free_subnet_is_found_in_any_pool(size: int, base: int, holes: List[int]) -> None:
    """Also in one with more subnets than anybody can try, most of which are taken."""
    from ansible_collections.hostnet.docker.plugins.module_utils._layout import addresses

    pool = ipaddress.IPv6Network(("fd00::", base))
    size = max(size, base)
    half = next(iter(pool.subnets(prefixlen_diff=1)))
    taken = [(half, "eth0"), *((ipaddress.IPv6Network((int(pool[0]) + hole, 128)), "lo") for hole in holes)]
    found = addresses.free_subnet([(pool, size)], taken, [])
    if size == base:
        assert found is None
    else:
        assert found == next(
            iter(ipaddress.IPv6Network((int(half.broadcast_address) + 1, size)).subnets(new_prefix=size))
        )
