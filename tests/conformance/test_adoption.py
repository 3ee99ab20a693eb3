# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adoption: a host as a real daemon left it is described in our words, and the words change nothing there.

The daemon's state is put back from a capture by ``ip`` and ``iptables-restore``, not by our modules.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List

import pytest

import capture
import lab
from shared import folder, present

CAPTURES = folder("docker-reference", "29.7.2-iptables")
pytestmark = present(CAPTURES)

# Scenario, snapshot, and the containers that run in it.
HOSTS = [
    ("01-default", "01"),
    ("04-publish", "02"),
    ("05-publish-loopback", "02"),
    ("08-publish-all", "01"),
    ("09-icc-false", "02"),
    ("11-no-userland-proxy", "04"),
    ("12-bip-mtu-fixedcidr", "02"),
    ("15b-ip-masq-false", "00"),
    ("17a-user-network", "02"),
    ("17b-internal", "02"),
    ("17d-net-masq-false", "00"),
    ("17e-gw-routed", "02"),
    ("18-two-user-networks", "02"),
    ("19a-ipv6-default-bridge", "03"),
    ("19d-ipv6-user-network", "01"),
    ("26b-allow-direct-routing", "00"),
]


def replay(host: lab.Host, wanted: capture.Sections) -> None:
    """Put a snapshot's state on a host: bridges, containers with random host ends, sysctls, rules."""
    links = capture.json_lines(wanted["ip -d -j link"])
    addresses = capture.addresses(wanted["ip -j addr"])
    hairpin = {item["ifname"]: item["hairpin"] for item in capture.json_lines(wanted.get("bridge -d -j link", ""))}
    # Without a search for duplicates, so that no address is tentative when the comparison begins.
    host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.default.accept_dad=0")
    for item in links:
        if item.get("linkinfo", {}).get("info_kind") == "bridge":
            _bridge(host, item, addresses.get(item["ifname"], []))
    containers = {title[10:]: text for title, text in wanted.items() if title.startswith("container ")}
    for item in links:
        if item.get("master"):
            _container(host, item, hairpin[item["ifname"]], containers)
    for name, value in capture.sysctls(wanted.get("sysctl changes", "")).items():
        if "/veth" not in name:
            host.sh(f"[ ! -e /proc/sys/net/{name} ] || echo {value} > /proc/sys/net/{name}")
    for tool, section in (("iptables-restore", "iptables-save"), ("ip6tables-restore", "ip6tables-save")):
        host.sh(f"{tool} <<'END'\n{wanted[section]}\nEND\n")


def _bridge(host: lab.Host, item: Dict[str, Any], addresses: List[Any]) -> None:
    name = item["ifname"]
    host.sh(f"ip link add {name} address {item['address']} txqueuelen 0 type bridge")
    host.sh(f"ip link set {name} mtu {item['mtu']}")
    for address, length, broadcast, _scope, _nodad in addresses:
        extra = f"brd {broadcast}" if broadcast else "nodad" if ":" in address else ""
        host.sh(f"ip addr add {address}/{length} {extra} dev {name}")
    host.sh(f"ip link set {name} up")


def _container(host: lab.Host, item: Dict[str, Any], hairpin: bool, containers: Dict[str, str]) -> None:
    """The container whose eth0 names this host end by its index, in a namespace of the container's name."""
    for name, text in containers.items():
        inside = capture.container(text)
        for link in capture.json_lines(inside.get("ip -d -j link", "")):
            if link["ifname"] != "eth0" or link.get("link_index") != item["ifindex"]:
                continue
            host.sh(f"ip netns add {name}")
            lab.sh(name, "sysctl -qw net.ipv6.conf.default.accept_dad=0")
            pair = f"ip link add {item['ifname']} mtu {item['mtu']} type veth peer name eth0 mtu {item['mtu']}"
            host.sh(f"{pair} address {link['address']} netns {name}")
            host.sh(f"ip link set {item['ifname']} master {item['master']} up")
            host.sh(f"bridge link set dev {item['ifname']} hairpin {'on' if hairpin else 'off'}")
            _inside(name, inside)


def _inside(name: str, inside: capture.Sections) -> None:
    lab.sh(name, "ip link set lo up")
    for setting, value in capture.sysctls(inside["sysctls that differ from a new network namespace"]).items():
        lab.sh(name, f"printf '%s' '{value}' > /proc/sys/net/{setting}")
    for address, length, broadcast, _scope, _nodad in capture.addresses(inside["ip -j addr"]).get("eth0", []):
        extra = f"brd {broadcast}" if broadcast else "nodad" if ":" in address else ""
        lab.sh(name, f"ip addr add {address}/{length} {extra} dev eth0")
    lab.sh(name, "ip link set eth0 up")
    for family in ("-4", "-6"):
        for line in inside[f"ip {family} route"].splitlines():
            if line.startswith("default"):
                lab.sh(name, f"ip {family} route add {line.replace('pref medium', '')}")


def told(words: Dict[str, Any]) -> Dict[str, Any]:
    """A description as the options of host_network."""
    return {name: words[name] for name in ("ip_forward", "bridges", "endpoints", "ports")}


@pytest.mark.parametrize("scenario,number", HOSTS, ids=[scenario for scenario, _number in HOSTS])
def test_description_changes_nothing(host: lab.Host, scenario: str, number: str) -> None:
    wanted = capture.snapshots(CAPTURES / scenario)[number]
    replay(host, wanted)
    words = host.run("host_network_info")
    before = lab.snapshot(host)
    result = host.run("host_network", check=True, **told(words))
    assert result["changes"] == []
    assert host.run("host_network", **told(words))["changes"] == []
    assert lab.difference(before, lab.snapshot(host)) == ""


@pytest.mark.parametrize("scenario,number", HOSTS, ids=[scenario for scenario, _number in HOSTS])
def test_description_makes_the_same_rules(host: lab.Host, scenario: str, number: str) -> None:
    """The words of one host, applied to an empty one."""
    wanted = capture.snapshots(CAPTURES / scenario)[number]
    replay(host, wanted)
    words = told(host.run("host_network_info"))
    rules = [_sets(capture.rules(host.save(family))) for family in ("ip", "ip6")]
    lab.clear()
    other = lab.new_host()
    other.run("host_network", **json.loads(json.dumps(words)))
    assert [_sets(capture.rules(other.save(family))) for family in ("ip", "ip6")] == rules


def _sets(rules: Dict[Any, Any]) -> Dict[Any, Any]:
    """Rules without the policy (a description keeps the policy) and without the order of independent networks."""
    kept = {key: value for key, value in rules.items() if not key[1].startswith("policy")}
    return {key: sorted(value, key=lambda rule: re.sub(r"\s+", " ", rule)) for key, value in kept.items()}
