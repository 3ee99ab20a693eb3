# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of each object: predicted, made, found again, taken away; and what stands beside it is left alone."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any, Dict, List

import pytest

import lab
import neighbours
from stores import Site

Options = Dict[str, Any]

BRIDGE = {"name": "docker0", "ipv6": True, "bip6": "fd00:17::1/64", "trusted_host_interfaces": ["eth7"]}
WEB = {"name": "web", "hostname": "web1", "etc_hosts": {"db": "192.0.2.9"}}
PORTS = ["8080:80", "127.0.0.1:8081:81/udp", "192.0.2.1:9000-9001:90-91"]
OTHER = {"name": "br-n1", "bip": "10.10.0.1/24", "icc": False}
WHOLE: Options = {
    "ip_forward": {"ipv6": True},
    "bridges": [BRIDGE, OTHER],
    "endpoints": [{**WEB, "published_ports": PORTS}, {"name": "other", "bridge": "br-n1", "published_ports": ["80"]}],
}
GONE: Options = {
    "ip_forward": {"ipv6": True, "state": "absent"},
    "bridges": [{"name": name, "state": "absent"} for name in ("docker0", "br-n1")],
    "endpoints": [{"name": "web", "state": "absent"}, {"name": "other", "bridge": "br-n1", "state": "absent"}],
}

# Module -> what must be there, what it makes, what takes that away.
LIVES: Dict[str, Any] = {
    "ip_forward": ({}, {"ipv6": True, "keep_forwarding": ["virbr0"]}, {"state": "absent"}),
    "docker_bridge": ({}, BRIDGE, {"name": "docker0", "state": "absent"}),
    # The first port of a bridge gives it its link-local address, which the kernel does not take back.
    "veth_endpoint": ({"bridges": [BRIDGE], "endpoints": [{"name": "first"}]}, WEB, {"name": "web", "state": "absent"}),
    "port_publish": (
        {"bridges": [BRIDGE], "endpoints": [WEB]},
        {"endpoint": "web", "published_ports": PORTS},
        {"endpoint": "web", "published_ports": PORTS, "state": "absent"},
    ),
    "host_network": ({}, WHOLE, GONE),
}
# The one that has all of it is run with other versions too.
_MARKS = {"host_network": [pytest.mark.versions]}
# Switching forwarding on is one write to the kernel, which then changes these by itself.
FORWARDING = r"/(ip_forward|forwarding|accept_redirects) = |:FORWARD (ACCEPT|DROP)"


@pytest.fixture
def inhabited(each_host: lab.Host) -> lab.Host:
    """A host with neighbours: foreign rules in every chain that Docker uses, a foreign bridge, settings, files."""
    neighbours.settle(each_host)
    return each_host


def predicted(host: lab.Host, module: str, options: Options) -> Options:
    """Run a module in check mode, which writes nothing, then in earnest, which does just what was said."""
    before = neighbours.everything(host)
    said = _told(host.run(module, check=True, diff=True, **options))
    assert not lab.difference(before, neighbours.everything(host))
    done = _told(host.run(module, diff=True, **options))
    assert done == said
    return done


def _told(result: Options) -> Options:
    return {name: value for name, value in result.items() if name != "invocation"}


def unchanged(host: lab.Host, module: str, options: Options) -> None:
    """The same run again, in check mode and in earnest."""
    before = neighbours.everything(host)
    for check in (True, False):
        result = host.run(module, check=check, diff=True, **options)
        assert (result["changed"], result["changes"], result["diff"]) == (False, [], [])
    assert not lab.difference(before, neighbours.everything(host))


@pytest.mark.parametrize("module", [pytest.param(name, marks=_MARKS.get(name, [])) for name in LIVES])
def test_life(inhabited: lab.Host, module: str) -> None:
    host = inhabited
    needs, given, gone = LIVES[module]
    alone = neighbours.everything(host)
    if needs:
        host.run("host_network", **needs)
    before = neighbours.everything(host)
    assert predicted(host, module, given)["changed"]
    may_differ = FORWARDING if "ip_forward" in (module, *given) else "$^"
    assert not neighbours.untouched(alone, neighbours.everything(host), may_differ)
    unchanged(host, module, given)
    assert predicted(host, module, gone)["changed"]
    assert not lab.difference(before, neighbours.everything(host))
    unchanged(host, module, gone)


@pytest.mark.parametrize("form", ["purge", "absent"])
def test_host_without_neighbours(each_host: lab.Host, form: str) -> None:
    """From an empty host and back; what is left are tables without rules, whose policies are ACCEPT."""
    host = each_host
    before = neighbours.everything(host)
    host.run("host_network", **WHOLE)
    if form == "absent":
        host.run("host_network", **GONE)
    else:
        listed = {"bridges": [], "endpoints": [], "ports": [], "ip_forward": {"state": "absent"}}
        predicted(host, "host_network", {"purge": True, **listed})
    assert not lab.difference(before, neighbours.everything(host))


# Module -> what purge is run with, and what is to be left of the host then.
PURGES = {
    "docker_bridge": {"bridges": [BRIDGE]},
    "veth_endpoint": {"endpoints": [WEB]},
    "port_publish": {"ports": [{"endpoint": "web", "published_ports": PORTS}]},
    "host_network": {"bridges": [BRIDGE], "endpoints": [{**WEB, "published_ports": PORTS}]},
}


@pytest.mark.parametrize("module", PURGES)
def test_purge(inhabited: lab.Host, module: str) -> None:
    """What is not listed goes, as far as it is Docker's and in the module's scope; neighbours stay."""
    host = inhabited
    alone = neighbours.everything(host)
    wanted = {**WHOLE, "endpoints": WHOLE["endpoints"][:1]}
    host.run("host_network", **{**wanted, "bridges": [BRIDGE]})
    slim = neighbours.everything(host)
    host.run("host_network", **WHOLE)
    if module == "docker_bridge":  # a bridge with endpoints is not purged
        host.run("veth_endpoint", name="other", bridge="br-n1", state="absent")
    if module == "veth_endpoint":
        host.run("docker_bridge", **OTHER)
    predicted(host, module, {"purge": True, **PURGES[module]})
    unchanged(host, module, {"purge": True, **PURGES[module]})
    assert not neighbours.untouched(alone, neighbours.everything(host), FORWARDING)
    if module in ("veth_endpoint", "port_publish"):
        gone = [{"name": "other", "bridge": "br-n1", "state": "absent"}]
        host.run("host_network", endpoints=gone, bridges=[{"name": "br-n1", "state": "absent"}])
    assert not lab.difference(slim, neighbours.everything(host))


COUNT = 100
HUNDRED: Dict[str, Any] = {
    "docker_bridge": ("bridges", [{"name": f"br-{n}", "bip": f"10.{n}.0.1/24"} for n in range(COUNT)]),
    "veth_endpoint": ("endpoints", [{"name": f"web{n}"} for n in range(COUNT)]),
    "port_publish": ("ports", [{"endpoint": f"web{n}", "published_ports": ["80"]} for n in range(COUNT)]),
}
NEEDS: Dict[str, Options] = {
    "docker_bridge": {},
    "veth_endpoint": {"bridges": [{"name": "docker0"}]},
    "port_publish": {"bridges": [{"name": "docker0"}], "endpoints": [{"name": f"web{n}"} for n in range(COUNT)]},
}


@pytest.mark.slow
@pytest.mark.parametrize("module", HUNDRED)
def test_hundred_in_one(isolated: None, module: str) -> None:
    """A list of a hundred leads to the same host as a hundred runs with one item each."""
    plural, items = HUNDRED[module]
    states = []
    for tasks in ([{plural: items}], items):
        lab.clear()
        host = lab.new_host()
        host.sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")
        host.run("host_network", **NEEDS[module])
        for task in tasks:
            host.run(module, **task)
        states.append({name: _anonymous(text, host.name) for name, text in neighbours.everything(host).items()})
    assert not lab.difference(*states)


def _anonymous(text: str, name: str) -> str:
    """Without the host's own name and MACs, which differ from host to host, and the order that follows from them."""
    text = re.sub(rf"\b{name}\b", "host", text)
    text = re.sub(r"\b([0-9a-f]{1,2}:){5}[0-9a-f]{1,2}\b|fe80::[0-9a-f:]*[0-9a-f]", "MAC", text)
    if text.startswith("["):
        return "\n".join(sorted(json.dumps(item, sort_keys=True) for item in json.loads(text)))
    return text


@pytest.mark.parametrize("module", HUNDRED)
def test_one_read_and_one_write(each_host: lab.Host, module: str) -> None:
    """However long the list, each family's rules are read once and written once, and no other process runs."""
    host = each_host
    by_library = host.firewall == "legacy" and Site(host, "library").why_not() is None
    host.sh("iptables-save; ip6tables-save")
    if NEEDS[module]:
        host.run("host_network", **NEEDS[module])
    plural, items = HUNDRED[module]
    families = ("ip", "ip6") if module == "docker_bridge" else ("ip",)  # the endpoints have IPv4 only
    reads = ["iptables-save", "ip6tables-save"]
    writes = [] if by_library else [f"{family}tables-restore" for family in families]
    assert _processes(host, module, {plural: items}) == reads + writes
    assert _processes(host, module, {plural: items}) == reads


def _processes(host: lab.Host, module: str, options: Options) -> List[str]:
    """The names of the programs that a module run starts."""

    def watched() -> None:
        sys.addaudithook(_note)
        host._in_child(module, False, False, options)

    done = lab.forked(watched)
    assert done["status"] == 0, done
    return [line[8:] for line in done["stderr"].splitlines() if line.startswith("started ")]


def _note(event: str, args: Any) -> None:
    if event in ("subprocess.Popen", "os.exec"):  # the first is all that this collection starts programs by
        print("started", os.fsdecode(args[0]).rpartition("/")[2], file=sys.stderr)
