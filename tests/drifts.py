# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host as declared, the ways in which somebody changes it by hand, and the changes that mend each.

Must not know: how drift is found, how it is mended.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Tuple

DECLARED: Dict[str, Any] = {
    "purge": True,
    "ip_forward": {"ipv6": True, "forward_policy": "drop", "keep_forwarding": ["virbr0"]},
    "user_rules": [
        {"name": "office", "source": "198.51.100.0/24", "action": "drop"},
        {"name": "vpn", "source": "192.0.2.77", "action": "accept"},
    ],
    "bridges": [
        {
            "name": "docker0",
            "bip": "172.17.0.1/16",
            "ipv6": True,
            "bip6": "fd00:17::1/64",
            "mac_address": "02:42:00:00:00:01",
            "mtu": 1450,
        },
        {"name": "br-n1", "bip": "10.10.0.1/24", "mac_address": "02:42:00:00:00:02", "icc": False, "clamp_mss": True},
    ],
    "endpoints": [
        {
            "name": "web",
            "mac_address": "02:42:ac:11:00:02",
            "hostname": "www",
            "published_ports": [
                "8080:80",
                "127.0.0.1:8081:81/udp",
                {"target": 443, "published": "8443", "allowed_sources": ["192.0.2.0/24"]},
            ],
        },
        {
            "name": "db",
            "bridge": "br-n1",
            "ipv4_address": "10.10.0.5",
            "mac_address": "02:42:0a:0a:00:05",
            "published_ports": ["192.0.2.1:40000:5432"],
            "reserve_ports": True,
        },
    ],
}
# What others have in the same chains, and what nobody may touch.
FOREIGN = """\
iptables -A FORWARD -s 203.0.113.0/24 -j REJECT
iptables -A DOCKER-USER -s 203.0.113.0/24 -j DROP
iptables -t nat -A POSTROUTING -s 203.0.113.0/24 -j MASQUERADE
iptables -t raw -A PREROUTING -s 203.0.113.0/24 -j DROP
"""
# ``out FAMILY CHAIN WORDS``: the first rule of a chain that has the words goes.
_OUT = """\
out() {
    handle=$(nft -a list chain "$1" docker-bridges "$2" | grep -F -- "$3" | sed 's/.*# handle //' | head -n 1)
    nft delete rule "$1" docker-bridges "$2" handle "$handle"
}
"""
PRELUDE = f"set -e\n{_OUT}"
WEB, DB = "veth4b5e57f", "veth7bdc25d"  # the host ends, named after the endpoints


class Drift(NamedTuple):
    """``by_hand``: what somebody does, as lines of shell. ``changes``: what mends it, as a run tells it.

    ``shows``: words of ``--diff``, where a change names a chain and not the rule. ``differs``: parts of the host, by
    the beginning of their names, that need not be again what they were.
    """

    name: str
    by_hand: str
    changes: Tuple[str, ...]
    shows: str = ""
    differs: Tuple[str, ...] = ()


_INSIDE_WEB = (
    "create sysctl web net.ipv6.conf.eth0.disable_ipv6: unset -> 0",
    "create address web eth0 172.17.0.2/16",
    "create address web eth0 fd00:17::2/64",
    "create up web eth0",
    "create route web default via 172.17.0.1 dev eth0",
    "create route web default6 via fd00:17::1 dev eth0",
)
_V4_ROUTE, _V6_ROUTE = _INSIDE_WEB[-2:]
_OF_WEB = ("link web", "address web")

# Devices, addresses, routes, settings and files: the same on every backend.
DEVICES: List[Drift] = [
    Drift(
        "bridge-down",
        "ip link set docker0 down",
        ("create address host docker0 fd00:17::1/64", "create up host docker0"),
    ),
    Drift("bridge-mtu", "ip link set docker0 mtu 1400", ("update link host docker0 (mtu)",)),
    Drift("bridge-mac", "ip link set docker0 address 02:42:00:00:00:77", ("update link host docker0 (mac)",)),
    Drift(
        "bridge-address-gone",
        "ip addr del 172.17.0.1/16 dev docker0",
        ("create address host docker0 172.17.0.1/16",),
    ),
    Drift(
        "bridge-address-other",
        "ip addr del 172.17.0.1/16 dev docker0; ip addr add 172.17.0.9/16 brd + dev docker0",
        ("delete address host docker0 172.17.0.9/16", "create address host docker0 172.17.0.1/16"),
    ),
    Drift(
        "bridge-prefix-other",
        "ip addr add 172.17.0.1/24 brd + dev docker0; ip addr del 172.17.0.1/16 dev docker0",
        ("delete address host docker0 172.17.0.1/24", "create address host docker0 172.17.0.1/16"),
    ),
    Drift(
        "bridge-ipv6-address-gone",
        "ip addr del fd00:17::1/64 dev docker0",
        ("create address host docker0 fd00:17::1/64",),
    ),
    Drift(
        "bridge-gone",
        "ip link del br-n1",
        (
            "create link host br-n1",
            f"update link host {DB} (master, hairpin)",
            "create sysctl host net.ipv6.conf.br-n1.accept_ra: unset -> 0",
            "create sysctl host net.ipv4.conf.br-n1.route_localnet: unset -> 1",
            "create address host br-n1 10.10.0.1/24",
            "create up host br-n1",
        ),
    ),
    Drift("veth-down", f"ip link set {WEB} down", (f"create up host {WEB}",)),
    Drift("veth-mtu", f"ip link set {WEB} mtu 1400", (f"update link host {WEB} (mtu)",)),
    Drift(
        "hairpin-flipped", f"ip link set {WEB} type bridge_slave hairpin off", (f"update link host {WEB} (hairpin)",)
    ),
    Drift("veth-off-the-bridge", f"ip link set {WEB} nomaster", (f"update link host {WEB} (master, hairpin)",)),
    Drift("veth-on-another-bridge", f"ip link set {WEB} master br-n1", (f"update link host {WEB} (master, hairpin)",)),
    Drift("veth-gone", f"ip link del {WEB}", (f"create link host {WEB}", *_INSIDE_WEB, f"create up host {WEB}")),
    Drift(
        "inside-down",
        "ip -n web link set eth0 down",
        ("create address web eth0 fd00:17::2/64", "create up web eth0", _V4_ROUTE, _V6_ROUTE),
    ),
    Drift("inside-loopback-down", "ip -n web link set lo down", ("create up web lo",)),
    Drift("inside-mac", "ip -n web link set eth0 address 02:42:ac:11:00:77", (f"update link host {WEB} (peer)",)),
    Drift("inside-mtu", "ip -n web link set eth0 mtu 1400", (f"update link host {WEB} (peer)",)),
    Drift(
        "inside-address-gone",
        "ip -n web addr del 172.17.0.2/16 dev eth0",
        ("create address web eth0 172.17.0.2/16", _V4_ROUTE),
    ),
    Drift(
        "inside-ipv6-address-gone",
        "ip -n web addr del fd00:17::2/64 dev eth0",
        ("create address web eth0 fd00:17::2/64",),
    ),
    Drift("route-gone", "ip -n web route del default", (_V4_ROUTE,)),
    Drift(
        "route-elsewhere",
        "ip -n web route replace default via 172.17.0.77",
        ("delete route web default via 172.17.0.77 dev eth0", _V4_ROUTE),
    ),
    Drift("ipv6-route-gone", "ip -n web -6 route del default", (_V6_ROUTE,)),
    Drift(
        "namespace-gone",
        "umount /run/netns/db; rm /run/netns/db",
        (
            "create netns /run/netns/db",
            f"create link host {DB}",
            "create sysctl db net.ipv4.ip_unprivileged_port_start: unset -> 0",
            "create sysctl db net.ipv4.ping_group_range: unset -> 0 2147483647",
            "create sysctl db net.ipv6.conf.eth0.disable_ipv6: unset -> 1",
            "create address db eth0 10.10.0.5/24",
            "create up db lo",
            "create up db eth0",
            "create route db default via 10.10.0.1 dev eth0",
            f"create up host {DB}",
        ),
    ),
    Drift("forwarding-off", "sysctl -qw net.ipv4.ip_forward=0", ("update sysctl host net.ipv4.ip_forward: 0 -> 1",)),
    Drift(
        "ipv6-forwarding-off",
        "sysctl -qw net.ipv6.conf.all.forwarding=0",
        (
            "update sysctl host net.ipv6.conf.default.forwarding: 0 -> 1",
            "update sysctl host net.ipv6.conf.all.forwarding: 0 -> 1",
        ),
    ),
    Drift(
        "route-localnet-off",
        "sysctl -qw net.ipv4.conf.docker0.route_localnet=0",
        ("update sysctl host net.ipv4.conf.docker0.route_localnet: 0 -> 1",),
    ),
    Drift(
        "router-advertisements-on",
        "sysctl -qw net.ipv6.conf.docker0.accept_ra=2",
        ("update sysctl host net.ipv6.conf.docker0.accept_ra: 2 -> 0",),
    ),
    Drift(
        "bridge-ipv6-off",
        "sysctl -qw net.ipv6.conf.docker0.disable_ipv6=1",
        (
            "update sysctl host net.ipv6.conf.docker0.disable_ipv6: 1 -> 0",
            "create address host docker0 fd00:17::1/64",
        ),
    ),
    Drift(
        "inside-ipv6-off",
        "ip netns exec web sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1",
        (
            "update sysctl web net.ipv6.conf.eth0.disable_ipv6: 1 -> 0",
            "create address web eth0 fd00:17::2/64",
            _V6_ROUTE,
        ),
    ),
    Drift(
        "privileged-ports",
        "ip netns exec web sysctl -qw net.ipv4.ip_unprivileged_port_start=1024",
        ("update sysctl web net.ipv4.ip_unprivileged_port_start: 1024 -> 0",),
    ),
    Drift(
        "reserved-ports",
        "sysctl -qw net.ipv4.ip_local_reserved_ports=",
        ("update sysctl host net.ipv4.ip_local_reserved_ports:  -> 40000",),
    ),
    Drift(
        "hosts-edited",
        "echo 10.0.0.1 else >>/etc/netns/web/hosts",
        ("update file /etc/netns/web/hosts",),
        "10.0.0.1 else",
    ),
    Drift("hostname-edited", "echo other >/etc/netns/web/hostname", ("update file /etc/netns/web/hostname",), "other"),
    Drift("resolv-conf-gone", "rm /etc/netns/web/resolv.conf", ("create file /etc/netns/web/resolv.conf",)),
    Drift(
        "sysctl-file-edited",
        "sed -i 's/ip_forward = 1/ip_forward = 0/' /etc/sysctl.d/99-hostnet-docker.conf",
        ("update file /etc/sysctl.d/99-hostnet-docker.conf",),
        "net.ipv4.ip_forward = 0",
    ),
    Drift(
        "sysctl-file-gone",
        "rm /etc/sysctl.d/99-hostnet-docker.conf",
        ("create file /etc/sysctl.d/99-hostnet-docker.conf",),
        # It remembered what was there before it, which nobody knows any more.
        differs=("file /etc/sysctl.d",),
    ),
]
