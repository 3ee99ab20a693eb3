# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be done: one error that names the option, its value and the way out; nothing changed; no traceback."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import pytest

import lab
import sandbox

Options = Dict[str, Any]
# Options, how the message begins (option and value), what its hint says.
Case = Tuple[Options, str, str]

HOST: Options = {
    "ip_forward": {},
    "bridges": [{"name": "docker0"}, {"name": "br-n1", "bip": "10.10.0.1/24", "fixed_cidr": "10.10.0.0/29"}],
    "endpoints": [
        {"name": "web", "ipv4_address": "172.17.0.2", "published_ports": ["8080:80", "127.0.0.1:8081:81"]},
        {"name": "db", "bridge": "br-n1"},
    ],
}

BRIDGES: List[Case] = [
    ({"name": "a-name-of-16byte"}, "name: 'a-name-of-16byte'", "1 to 15 bytes; choose a shorter one"),
    ({"name": "br/0"}, "name: 'br/0'", "without spaces, quotes"),
    ({"name": "a;b"}, "name: 'a;b'", "a bridge's name has letters, digits"),
    ({"name": "all"}, "name: 'all'", "those of all interfaces"),
    ({"bip": "10.1.0.1/0"}, "bip: '10.1.0.1/0'", "give a subnet"),
    ({"host_ipv6": "::ffff:10.0.0.1"}, "host_ipv6: '::ffff:10.0.0.1'", "write the IPv4 address itself"),
    ({"bridge_accept_fwmark": "1/0"}, "bridge_accept_fwmark: '1/0'", "marks every packet"),
    ({"trusted_host_interfaces": ["eth*"]}, "trusted_host_interfaces[0]: 'eth*'", "or '*'"),
    ({"name": "-br0"}, "name: '-br0'", "means something else to iptables"),
    ({"name": "eth0"}, "name: 'eth0'", "a link of kind veth has this name; remove it or choose another name"),
    ({"name": "eth0", "state": "absent"}, "name: 'eth0'", "not a bridge but another kind of link; it is left alone"),
    ({"name": "br-no", "create": False}, "name: 'br-no'", "the bridge must be there; make it first"),
    ({"name": "docker0", "state": "absent"}, "name: 'docker0'", "active endpoints (web); remove them first"),
    ({"name": "br1", "bip": "10.10.0.129/25"}, "bip: '10.10.0.129/25'", "overlaps 10.10.0.0/24 of br-n1; choose"),
    ({"name": "br1", "bip": "192.0.2.9/24"}, "bip: '192.0.2.9/24'", "overlaps 192.0.2.0/24 of eth0; choose"),
    ({"name": "br1", "fixed_cidr": "10.10.0.0/16"}, "fixed_cidr: '10.10.0.0/16'", "overlaps 10.10.0.0/24 of br-n1"),
    ({"bip": "10.1.0.0/24"}, "bip: '10.1.0.0/24'", "the network's own address; use a host address such as 10.1.0.1"),
    ({"bip": "10.1.0.255/24"}, "bip: '10.1.0.255/24'", "the broadcast address; use a host address such as 10.1.0.1"),
    ({"bip": "10.1.0.1"}, "bip: '10.1.0.1'", "the prefix length is missing; write it as in 172.17.0.1/16"),
    ({"bip": "10.1.0.256/24"}, "bip: '10.1.0.256/24'", "not an address with a prefix length such as 172.17.0.1/16"),
    ({"bip": "fd00::1/64"}, "bip: 'fd00::1/64'", "takes an IPv4 address"),
    ({"bip": "127.0.0.1/8"}, "bip: '127.0.0.1/8'", "cannot be a bridge's; use a private unicast address"),
    ({"bip": "10.1.0.1/24", "fixed_cidr": "10.2.0.0/25"}, "fixed_cidr: '10.2.0.0/25'", "not inside 10.1.0.0/24"),
    ({"bip6": "fd00::1/64"}, "bip6: 'fd00::1/64'", "it needs ipv6: true"),
    ({"fixed_cidr_v6": "fd00::/64"}, "fixed_cidr_v6: 'fd00::/64'", "it needs ipv6: true"),
    ({"ipv6": True, "bip6": "10.0.0.1/8"}, "bip6: '10.0.0.1/8'", "takes an IPv6 address"),
    ({"gateway_mode_ipv4": "isolated"}, "gateway_mode_ipv4: 'isolated'", "needs internal: true"),
    ({"gateway_mode_ipv6": "isolated"}, "gateway_mode_ipv6: 'isolated'", "needs internal: true"),
    ({"gateway_mode_ipv4": "open"}, "value of gateway_mode_ipv4 must be one of", "got: open"),
    ({"mtu": "67"}, "mtu: '67'", "from 68 to 65535"),
    ({"mtu": "big"}, "mtu: 'big'", "from 68 to 65535"),
    ({"mac_address": "01:00:5e:00:00:01"}, "mac_address: '01:00:5e:00:00:01'", "clear the lowest bit"),
    ({"mac_address": "02:42"}, "mac_address: '02:42'", "six hex pairs such as 02:42:ac:11:00:02"),
    ({"host_ipv4": "fd00::1"}, "host_ipv4: 'fd00::1'", "takes an IPv4 address"),
    ({"host_ipv6": "10.0.0.1"}, "host_ipv6: '10.0.0.1'", "takes an IPv6 address"),
    ({"bridge_accept_fwmark": "0x1ffffffff"}, "bridge_accept_fwmark: '0x1ffffffff'", "write a 32-bit mark"),
    ({"trusted_host_interfaces": ["eth0", "a b"]}, "trusted_host_interfaces[1]: 'a b'", "without spaces"),
    ({"exclude_subnets": ["10.0.0.0/33"]}, "exclude_subnets[0]: '10.0.0.0/33'", "not an address with a prefix length"),
    (
        {"name": "br1", "default_address_pools": [{"base": "10.0.0.0/16", "size": 8}]},
        "default_address_pools[0].size: 8",
        "a prefix length from 16 to 32",
    ),
    (
        {"name": "br1", "default_address_pools": [{"base": "10.10.0.0/24", "size": 25}]},
        "default_address_pools: 'br1'",
        "fully subnetted; give bip or default_address_pools",
    ),
    ({"bridges": [{"name": "b1"}, {"name": "b1"}]}, "bridges[1].name: 'b1'", "listed already as bridges[0].name"),
    (
        {"bridges": [{"name": "b1", "bip": "10.1.0.1/16"}, {"name": "b2", "bip": "10.1.2.1/24"}]},
        "bridges[0].bip: '10.1.0.1/16'",
        "overlaps 10.1.2.0/24 of b2",
    ),
    ({"purge": True}, "purge: True", "purge needs the list bridges"),
    ({"bip": "10.1.0.1/24", "bridges": []}, "bip: '10.1.0.1/24'", "give it in the items of bridges"),
    ({"lock_timeout": "soon"}, "argument 'lock_timeout' is of type", "soon"),
]

ENDPOINTS: List[Case] = [
    ({}, "name: None", "an endpoint needs a name"),
    ({"name": "-web"}, "name: '-web'", "begins with a letter or digit"),
    ({"name": "new", "bridge": "br-no"}, "bridge: 'br-no'", "no such bridge; make it first (bridges: br-n1, docker0)"),
    ({"name": "new", "network_mode": "macvlan"}, "network_mode: 'macvlan'", "one of bridge, none, host,"),
    ({"name": "new", "netns": "pid:self"}, "netns: 'pid:self'", "write pid: and a process id, as in pid:4711"),
    ({"name": "new", "netns": "pid:999999999"}, "netns: 'pid:999999999'", "no such network namespace to join"),
    ({"name": "new", "netns": "/run/nowhere"}, "netns: '/run/nowhere'", "no such network namespace to join"),
    ({"name": "new", "netns": "/run/../x"}, "netns: '/run/../x'", "without '..'"),
    ({"name": "new", "netns": "/run/netns/a/b"}, "netns: 'a/b'", "begins with a letter or digit"),
    ({"name": "new", "netns": "/run/a\0b"}, "netns: '/run/a\\x00b'", "in printable ASCII"),
    ({"name": "new", "dns_servers": ["fe80::1%e\nx"]}, "dns_servers[0]: 'e\\nx'", "without spaces"),
    ({"name": "new", "interface": "lo"}, "interface: 'lo'", "choose another name"),
    ({"name": "new", "host_interface": "docker0"}, "host_interface: 'docker0'", "a link of kind bridge"),
    ({"name": "new", "interface": "eth/0"}, "interface: 'eth/0'", "without spaces, quotes"),
    ({"name": "new", "host_interface": "br-n1"}, "host_interface: 'br-n1'", "choose another host_interface"),
    ({"name": "new", "ipv4_address": "10.9.0.2"}, "ipv4_address: '10.9.0.2'", "not in 172.17.0.0/16"),
    ({"name": "new", "ipv4_address": "172.17.0.2"}, "ipv4_address: '172.17.0.2'", "in use by the endpoint at "),
    ({"name": "new", "ipv4_address": "172.17.0.1"}, "ipv4_address: '172.17.0.1'", "in use by bridge docker0; "),
    ({"name": "new", "ipv4_address": "172.17.255.255"}, "ipv4_address: '172.17.255.255'", "reserved in 172.17.0.0/16"),
    ({"name": "new", "ipv4_address": "172.17.0.9/16"}, "ipv4_address: '172.17.0.9/16'", "without a prefix length"),
    ({"name": "new", "ipv6_address": "172.17.0.9"}, "ipv6_address: '172.17.0.9'", "takes an IPv6 address"),
    ({"name": "new", "ipv6_address": "fd00::2"}, "ipv6_address: 'fd00::2'", "has no IPv6; set ipv6: true"),
    ({"name": "new", "default_gateway": "10.9.0.1"}, "default_gateway: '10.9.0.1'", "not in 172.17.0.0/16"),
    ({"name": "new", "mac_address": "zz"}, "mac_address: 'zz'", "write six hex pairs"),
    ({"name": "new", "mtu": 10}, "mtu: 10", "from 68 to 65535"),
    ({"name": "new", "hostname": "a_b!"}, "hostname: 'a_b!'", "not a valid host name"),
    ({"name": "new", "domainname": "-x"}, "domainname: '-x'", "not a valid host name"),
    ({"name": "new", "dns_servers": ["1.2.3"]}, "dns_servers[0]: '1.2.3'", "not an IP address"),
    ({"name": "new", "dns_search_domains": ["a b"]}, "dns_search_domains[0]: 'a b'", "not a valid host name"),
    ({"name": "new", "dns_opts": ["a b"]}, "dns_opts[0]: 'a b'", "one word of printable ASCII"),
    ({"name": "new", "etc_hosts": {"db": "here"}}, "etc_hosts.db: 'here'", "not an IP address"),
    ({"name": "new", "links": ["no:such"]}, "links: 'no'", "no endpoint of this name on docker0; make it first"),
    ({"name": "new", "links": ["db"]}, "links: 'db'", "no endpoint of this name on docker0; make it first"),
    ({"name": "new", "links": ["web:a b"]}, "links[0]: 'a b'", "not a valid host name"),
    ({"name": "new", "exposed_ports": ["70000"]}, "exposed_ports[0]: '70000'", "a number from 1 to 65535"),
    (
        {"name": "new", "network_mode": "none", "ipv4_address": "172.17.0.9"},
        "ipv4_address: '172.17.0.9'",
        "conflicts with network_mode: none",
    ),
    ({"endpoints": [{"name": "a"}, {"name": "a"}]}, "endpoints[1].name: 'a'", "listed already as endpoints[0].name"),
    (
        {"endpoints": [{"name": "a"}, {"name": "b", "netns": "a"}]},
        "endpoints[1].interface: 'eth0'",
        "endpoint a has it already in a; choose another name",
    ),
    (
        {"endpoints": [{"name": "a", "host_interface": "v1"}, {"name": "b", "host_interface": "v1"}]},
        "endpoints[1].host_interface: 'v1'",
        "endpoint a has it already",
    ),
    (
        {"endpoints": [{"name": "a", "ipv4_address": "172.17.0.9"}, {"name": "b", "ipv4_address": "172.17.0.9"}]},
        "endpoints[1].ipv4_address: '172.17.0.9'",
        "in use by endpoint a",
    ),
    ({"endpoints": [{}]}, "missing required arguments: name", "endpoints"),
]

PORTS: List[Case] = [
    ({"published_ports": ["80"]}, "endpoint: None", "give endpoint, or container_ip with bridge, and not both"),
    ({"endpoint": "a b"}, "endpoint: 'a b'", "one word of printable ASCII"),
    ({"endpoint": "no"}, "endpoint: 'no'", "make it with veth_endpoint first (endpoints: db, web)"),
    ({"container_ip": "172.17.0.9"}, "container_ip: '172.17.0.9'", "it needs bridge"),
    ({"container_ip": "10.0.0.9", "bridge": "docker0"}, "container_ip: '10.0.0.9'", "not on docker0 (172.17.0.0/16)"),
    ({"container_ip": "172.17.0.9", "bridge": "br-no"}, "bridge: 'br-no'", "no such bridge (bridges: br-n1, docker0)"),
    ({"endpoint": "web", "default_host_ip": "here"}, "default_host_ip: 'here'", "not an IP address"),
    ({"endpoint": "web", "allowed_sources": []}, "allowed_sources: []", "give at least one CIDR"),
    ({"endpoint": "web", "allowed_sources": ["x"]}, "allowed_sources[0]: 'x/32'", "not an address with a prefix"),
    ({"endpoint": "web", "exposed_ports": ["80/icmp"]}, "exposed_ports[0]: 'icmp'", "one of tcp, udp, sctp"),
    ({"purge": True}, "purge: True", "purge needs the list ports"),
]

# One item of published_ports: what the message says of it, and the hint.
PUBLISHED: List[Tuple[Any, str, str]] = [
    (1342, "1342", 'quote it: YAML reads 22:22 as the number 1342; write "22:22"'),
    (80, "80", "quote it"),
    (True, "True", "quote it"),
    ("0:80", "'0:80'", "'0': a port is a number from 1 to 65535"),
    ("65536:80", "'65536:80'", "'65536': a port is a number from 1 to 65535"),
    ("8080:http", "'8080:http'", "'http': a port is a number from 1 to 65535"),
    ("8080:80/icmp", "'8080:80/icmp'", "'icmp': the protocol is one of tcp, udp, sctp"),
    ("9000-9010-9020:80", "'9000-9010-9020:80'", "'9010-9020': a port is a number"),
    ("8000-8010:80-89", "'8000-8010:80-89'", "unequal lengths"),
    ("8010-8000:80", "'8010-8000:80'", "'8010-8000': the range ends before it begins"),
    (":80", "':80'", 'the host port is missing; write "80" for an ephemeral one'),
    (":8080:80", "':8080:80'", "the bind address is missing"),
    ("::1:8080:80", "'::1:8080:80'", 'put an IPv6 bind address in brackets: "[::1]:8080:80"'),
    ("[::1]:80", "'[::1]:80'", 'write an IPv6 bind address as "[::1]:8080:80"'),
    ("1.2.3:8080:80", "'1.2.3:8080:80'", "'1.2.3': not an IP address"),
    ({"published": "8080"}, "{'published': '8080'}", "'target', the container port, is missing"),
    ({"target": 80, "publish": 80}, "{'target': 80, 'publish': 80}", "unknown key 'publish'; known: target, published"),
    ({"target": 80, "allowed_sources": []}, "[]", "give at least one CIDR"),
    ([80], "[80]", 'write it as docker run -p takes it, such as "8080:80"'),
    ("8080:81", "'8080:81/tcp'", "0.0.0.0:8080/tcp is already allocated to endpoint web; choose another port"),
    ("192.0.2.1:8080:80", "'192.0.2.1:8080:80/tcp'", "is already allocated to endpoint web"),
    ("8081:81", "'8081:81/tcp'", "0.0.0.0:8081/tcp is already allocated to endpoint web"),
    ("8080-8081:80", "'8080-8081:80/tcp'", "all host ports of the range are allocated; give another range"),
    ("9090:80", "'9090:80/tcp'", "0.0.0.0:9090/tcp is in use by "),
    ("192.0.2.1:9090:80", "'192.0.2.1:9090:80/tcp'", "stop it or choose another host port"),
    ("9053:53/udp", "'9053:53/udp'", "0.0.0.0:9053/udp is in use by "),
]

FORWARDING: List[Case] = [
    ({"sysctl_file": "here.conf"}, "sysctl_file: 'here.conf'", "give an absolute path that ends in .conf"),
    ({"sysctl_file": "/etc/sysctl.d/*.conf"}, "sysctl_file: '/etc/sysctl.d/*.conf'", "and wildcards"),
    ({"sysctl_file": "/etc/../a.conf"}, "sysctl_file: '/etc/../a.conf'", "without '..'"),
    ({"sysctl_file": "/etc/nsswitch.conf"}, "sysctl_file: '/etc/nsswitch.conf'", "has other settings"),
    ({"sysctl_file": "/etc/sysctl.d/x"}, "sysctl_file: '/etc/sysctl.d/x'", "ends in .conf"),
    ({"keep_forwarding": ["virbr0", "a b"]}, "keep_forwarding[1]: 'a b'", "without spaces"),
    ({"forward_policy": "reject"}, "value of forward_policy must be one of", "got: reject"),
]

WHOLE: List[Case] = [
    ({"bridges": [{"bip": "x"}]}, "bridges[0].bip: 'x'", "not an address with a prefix length"),
    (
        {"endpoints": [{"name": "a", "network_mode": "container:web", "published_ports": ["80"]}]},
        "endpoints[0].published_ports: ['80']",
        "publish them at the container that is joined",
    ),
    (
        {"endpoints": [{"name": "a", "published_ports": ["7000:80"]}, {"name": "b", "published_ports": ["7000:80"]}]},
        "endpoints[1].published_ports: '7000:80/tcp'",
        "already allocated to endpoint a",
    ),
    ({"ports": [{"endpoint": "no"}]}, "ports[0].endpoint: 'no'", "there is no such endpoint"),
    ({"ip_forward": True}, "ip_forward: True", "has options of its own; write ip_forward: {ipv4: ...}"),
    ({"lock_timeout": 10**400}, "lock_timeout: 1000", "1 to 3600"),
    ({"ip_forward": {"sysctl_file": "x"}}, "ip_forward.sysctl_file: 'x'", "give an absolute path"),
    (
        {"user_rules": [{"name": "a b", "action": "drop"}]},
        "user_rules[0].name: 'a b'",
        "letters, digits, _ and -, at most 60",
    ),
    (
        {"user_rules": [{"name": "a", "action": "drop", "host_port": 80}]},
        "user_rules[0].protocol: None",
        "a port needs a protocol",
    ),
    (
        {"user_rules": [{"name": "a", "action": "drop", "source": "10.0.0.0/8", "destination": "fd00::/8"}]},
        "user_rules[0].destination: 'fd00::/8'",
        "different families",
    ),
    ({"user_rules": [{"name": "a", "action": "log"}]}, "value of action must be one of", "found in user_rules"),
]


@pytest.fixture
def settled(host: lab.Host) -> Any:
    """A host with two bridges, two endpoints, published ports, and processes that listen."""
    host.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")  # addresses hold at once, also in a snapshot
    host.run("host_network", **HOST)
    with lab.serve(host, 9090), lab.serve(host, 9053, proto="udp"):
        yield host


def refused(host: lab.Host, module: str, cases: List[Case]) -> None:
    """Each case fails as it should, in check mode too, and all together change nothing."""
    before = lab.snapshot(host)
    wrong = []
    for number, (options, start, hint) in enumerate(cases):
        message = host.run(module, check=number % 2 == 0, fails=True, **options)["msg"]
        if start not in message or hint not in message or "\n" in message:
            wrong.append(f"{options}: {message!r} instead of {start!r} … {hint!r}")
    assert not wrong, "\n".join(wrong)
    assert not lab.difference(before, lab.snapshot(host))


@pytest.mark.parametrize(
    ("module", "cases"),
    [
        ("docker_bridge", BRIDGES),
        ("veth_endpoint", ENDPOINTS),
        ("port_publish", PORTS),
        ("ip_forward", FORWARDING),
        ("host_network", WHOLE),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_options(settled: lab.Host, module: str, cases: List[Case]) -> None:
    refused(settled, module, cases)


def test_bad_ports(settled: lab.Host) -> None:
    """As an item of its own, and as the second of an endpoint that is in a list."""
    first = [({"endpoint": "db", "published_ports": [spec]}, f": {said}: ", hint) for spec, said, hint in PUBLISHED]
    refused(settled, "port_publish", first)


@pytest.fixture
def before_it_runs(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Lets a test spoil the process that a module runs in: called in the child, on the host, before the module."""

    def spoil(function: Callable[[], None]) -> None:
        load = lab.load

        def spoiled(name: str) -> Any:
            module = load(name)
            function()
            return module

        monkeypatch.setattr(lab, "load", spoiled)

    return spoil


def _hide_iptables() -> None:
    """Empty the directories that system tools are in, for this process alone."""
    sandbox._unshare(sandbox.CLONE_NEWNS)
    for directory in ("/usr/sbin", "/sbin", "/usr/local/sbin"):
        if Path(directory).is_dir():
            sandbox._mount("none", directory, "tmpfs", 0)
    os.environ["PATH"] = "/nowhere"


def _hide_pyroute2() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyroute2"]:
        del sys.modules[name]
    sys.modules["pyroute2"] = None  # type: ignore[assignment]


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def _drop_net_admin() -> None:
    """Stay root without the right to change networks, also in programs that are started."""
    libc, net_admin = ctypes.CDLL(None, use_errno=True), 12
    assert libc.prctl(24, net_admin, 0, 0, 0) == 0  # PR_CAPBSET_DROP
    header = struct.pack("=Ii", 0x20080522, 0)
    rights = bytearray(24)  # two times effective, permitted, inheritable
    assert libc.capget(header, (ctypes.c_char * 24).from_buffer(rights)) == 0
    words = [word & ~(1 << net_admin) if index < 3 else word for index, word in enumerate(struct.unpack("=6I", rights))]
    assert libc.capset(header, struct.pack("=6I", *words)) == 0


@pytest.mark.parametrize(
    ("spoil", "what", "way_out"),
    [
        (_hide_iptables, "iptables was not found on this host", "install the package iptables"),
        (_hide_pyroute2, "pyroute2", "install the package python3-pyroute2"),
        (_become_nobody, "not permitted", "run the task with become: true"),
        (_drop_net_admin, "Permission denied", "run the task with become: true"),
    ],
    ids=["iptables", "pyroute2", "nobody", "no-capability"],
)
def test_host_that_lacks_something(
    host: lab.Host, before_it_runs: Callable, spoil: Callable[[], None], what: str, way_out: str
) -> None:
    runs: Dict[str, Options] = {
        "docker_bridge": {"name": "br-n1"},
        "veth_endpoint": {"name": "db"},
        "port_publish": {"endpoint": "web", "published_ports": ["8082:80"]},
        "host_network": {"bridges": [{"name": "br-n1"}]},
    }
    host.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")
    host.run("host_network", bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}])
    before = lab.snapshot(host)
    before_it_runs(spoil)
    for module, options in runs.items():
        message = host.run(module, fails=True, **options)["msg"]
        assert what in message and way_out in message and "Traceback" not in message, module
    assert not lab.difference(before, lab.snapshot(host))


@pytest.mark.parametrize("spoil", [_hide_iptables, _become_nobody, _drop_net_admin])
def test_forwarding_on_a_host_that_lacks_something(
    host: lab.Host, before_it_runs: Callable, spoil: Callable[[], None]
) -> None:
    before = lab.snapshot(host)
    before_it_runs(spoil)
    host.run("ip_forward", fails=True)
    assert not lab.difference(before, lab.snapshot(host))
    assert not list(Path("/etc/sysctl.d").iterdir())


def test_forwarding_needs_no_pyroute2(host: lab.Host, before_it_runs: Callable) -> None:
    before_it_runs(_hide_pyroute2)
    assert host.run("ip_forward")["changed"]


def test_description_of_a_host_that_lacks_something(host: lab.Host, before_it_runs: Callable) -> None:
    before_it_runs(_become_nobody)
    assert "become: true" in host.run("host_network_info", fails=True)["msg"]


def test_a_tool_that_ends_before_it_has_read_all(host: lab.Host, tmp_path: Path) -> None:
    """Its own words are told, however much it was given, and also if they are no text."""
    host.run("host_network", bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}])
    for name in ("iptables-save", "ip6tables-save", "ip6tables-restore"):
        (tmp_path / name).symlink_to(lab.need(name))
    program = tmp_path / "iptables-restore"
    words = r"iptables-restore: line 1 failed: \377 out of memory\n"
    program.write_text(f"#!/bin/sh\nprintf '{words}' >&2\nexit 4\n", encoding="utf-8")
    program.chmod(0o755)
    there = lab.Host(host.name, tools=tmp_path)
    ports = [f"{port}:{port}" for port in range(10_000, 12_000)]
    said = there.run("port_publish", fails=True, endpoint="web", published_ports=ports)["msg"]
    assert "\ufffd out of memory" in said and said.endswith("nothing was changed"), said
