# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rule sets that Docker Engine's own tests expect, made by our options and dumped by the real tools."""

from __future__ import annotations

import re
from typing import Any, Callable, Dict, List, Tuple

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils import _plan
from ansible_collections.hostnet.docker.plugins.module_utils._kernel import libiptc, xtables
from ansible_collections.hostnet.docker.plugins.module_utils._layout import iptables, placement, policy, spans

import lab
from commands import run_command
from shared import folder, present

GOLDENS = folder("moby-goldens", "iptables")
TOOLS = {"iptables": "ip", "ip6tables": "ip6"}
pytestmark = present(GOLDENS)
on_both = pytest.mark.parametrize("each_host", ["nft", pytest.param("legacy", marks=pytest.mark.slow)], indirect=True)


def names() -> List[str]:
    """The combinations, without Windows' own."""
    found = {path.name.partition("__")[0] for path in GOLDENS.glob("*.golden")}
    return sorted(name for name in found if "wsl2mirrored" not in name)


def words(name: str) -> Dict[str, Any]:
    """``hairpin=true,icc=false`` as a dict of booleans and strings."""
    pairs = (item.partition("=") for item in name.split(",") if "=" in item)
    return {key: {"true": True, "false": False}.get(value, value) for key, _sign, value in pairs}


def chains(text: str) -> Dict[Tuple[str, str], List[str]]:
    """Rules by table and chain, less what the daemon adds above the driver (DOCKER-USER)."""
    found: Dict[Tuple[str, str], List[str]] = {}
    table = ""
    for line in re.sub(r" \[\d+:\d+\]", "", text).splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":") and "DOCKER-USER" not in line:
            found.setdefault((table, line[1:].split()[0]), [])
        elif line.startswith("-A") and "DOCKER-USER" not in line:
            chain, _space, rule = line[3:].partition(" ")
            found.setdefault((table, chain), []).append(rule)
    # A table that was never used need not be there: an empty built-in chain says nothing.
    return {key: rules for key, rules in found.items() if rules or key[1].startswith("DOCKER")}


def expected(name: str, tool: str) -> Dict[Tuple[str, str], List[str]]:
    return chains((GOLDENS / f"{name}__{tool}.golden").read_text())


def bridge(given: Dict[str, Any]) -> Dict[str, Any]:
    """The bridge of the Engine's tests in our words."""
    mode = given.get("gwm", "nat")
    item = {
        "name": "br-dummy",
        "bip": "192.168.0.1/24",
        "ipv6": True,
        "bip6": "fd49:efd7:54aa::ff/64",
        "userland_proxy": not given["hairpin"],
        "internal": given.get("internal", False),
        "icc": given.get("icc", True),
        "ip_masq": given.get("masq", True),
        "gateway_mode_ipv4": mode,
        "gateway_mode_ipv6": mode,
    }
    if given.get("snat"):
        item.update(host_ipv4="192.168.123.0", host_ipv6="fd34:d0d4:672f::123")
    return item


def endpoint(given: Dict[str, Any]) -> Dict[str, Any]:
    local = given.get("bindlh", False)
    ports = [f"{'127.0.0.1' if local else '0.0.0.0'}:8080:80", f"[{'::1' if local else '::'}]:8080:80"]
    return {
        "name": "dummy",
        "bridge": "br-dummy",
        "ipv4_address": "192.168.0.2",
        "ipv6_address": "fd49:efd7:54aa::1",
        "published_ports": ports,
    }


def combinations(is_routed: bool) -> List[str]:
    return [name for name in names() if name.startswith("hairpin") and ("gwm=routed" in name) == is_routed]


@pytest.fixture
def produced(record_property: Callable[[str, object], None], each_host: lab.Host) -> Callable[[str], None]:
    """Compare what a host has with both families' files of a combination; counted for the summary."""

    def compare(name: str) -> None:
        for tool, family in TOOLS.items():
            assert chains(each_host.save(family)) == expected(name, tool), f"{name}__{tool}"
        record_property(f"goldens {each_host.firewall}", len(TOOLS))

    return compare


@on_both
@pytest.mark.parametrize("name", combinations(is_routed=False))
def test_golden(each_host: lab.Host, produced: Callable[[str], None], name: str) -> None:
    """One combination, both families, by our options."""
    given = words(name)
    each_host.run("host_network", bridges=[bridge(given)], endpoints=[endpoint(given)])
    produced(name)


@on_both
@pytest.mark.parametrize("name", combinations(is_routed=True))
def test_golden_routed(each_host: lab.Host, produced: Callable[[str], None], name: str) -> None:
    """In mode routed the daemon ignores the host port, and so do our options. Its driver's own test gives the driver
    one all the same: the two rules of the translation are left out of the first comparison, and in the second our
    layout is given one too."""
    given = words(name)
    each_host.run("host_network", bridges=[bridge(given)], endpoints=[endpoint(given)])
    for tool, family in TOOLS.items():
        assert chains(each_host.save(family)) == untranslated(expected(name, tool)), f"{name}__{tool}"
    lab.clear()
    other = lab.new_host(each_host.firewall)
    lab.inside(other.name, drive, given, other.firewall)
    each_host.name = other.name
    produced(name)


def drive(given: Dict[str, Any], firewall: str) -> None:
    """Write what the layout says of a combination through the host's own store, as the driver's test does."""
    local = given["bindlh"]
    sides = {4: ("192.168.0.0/24", "192.168.0.2", "127.0.0.1"), 6: ("fd49:efd7:54aa::/64", "fd49:efd7:54aa::1", "::1")}
    state: Dict[Any, Tuple[str, ...]] = {}
    for family, (subnet, ip, loopback) in sides.items():
        said = policy.Policy(
            "br-dummy", family, subnet, "routed", given["icc"], given["masq"], hairpin=given["hairpin"],
            snat={4: "192.168.123.0", 6: "fd34:d0d4:672f::123"}[family] if given["snat"] else None,
        )  # fmt: skip
        binding = policy.Binding("tcp", loopback if local else None, 8080, ip, 80)
        wanted = iptables.base(family, given["hairpin"]) + iptables.network(said)
        wanted += iptables.endpoint(said, ip) + iptables.port(said, spans.Span(binding))
        state.update(dict.fromkeys(iptables.own_chains(family), ()))
        for key in {placed.key for placed in wanted}:
            state[key] = placement.place((), [placed for placed in wanted if placed.key == key], set())
    tools = xtables.Tools(run_command, str(lab.legacy_tools()), "legacy", ("ip", "ip6"))
    store = xtables.Xtables(xtables.find(run_command)) if firewall == "nft" else libiptc.Libiptc(xtables.Xtables(tools))
    changes = [_plan.Change("create", key, None, rules) for key, rules in state.items()]
    store.apply(changes)


def untranslated(wanted: Dict[Tuple[str, str], List[str]]) -> Dict[Tuple[str, str], List[str]]:
    """The rules without those of the published port's translation."""
    own = re.compile(r".*-j DNAT .*|-s (\S+) -d \1 .* -j MASQUERADE|-d 127\.0\.0\.1/32 ! -i lo .* -j DROP")
    kept = {key: [rule for rule in rules if not own.fullmatch(rule)] for key, rules in wanted.items()}
    return {key: rules for key, rules in kept.items() if rules or key[1].startswith("DOCKER")}


@on_both
@pytest.mark.parametrize("hairpin", [False, True])
def test_cleaned(each_host: lab.Host, produced: Callable[[str], None], hairpin: bool) -> None:
    """The network gone while another one stays: nothing of it is left, Docker's chains are."""
    given = {"hairpin": hairpin}
    each_host.run("host_network", bridges=[bridge(given)], endpoints=[endpoint(given)])
    gone = {"state": "absent"}
    each_host.run("veth_endpoint", name="dummy", bridge="br-dummy", **gone)
    each_host.run("docker_bridge", **{**bridge(given), "iptables": False, "ip6tables": False})
    produced(f"cleaned,hairpin={'true' if hairpin else 'false'}")


@on_both
def test_switched_off(each_host: lab.Host, produced: Callable[[str], None]) -> None:
    """``no__``: a family whose firewall is switched off has no rules at all."""
    each_host.run("docker_bridge", **{**bridge({"hairpin": True}), "iptables": False, "ip6tables": False})
    produced("no")
