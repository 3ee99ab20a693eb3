# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells scenarios of a real daemon in its own words (``daemon``, ``net``, ``run``, ``rm``) and compares the host.

Owns: what is compared of a snapshot, and what of it is chance. Must not know: any scenario.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Dict, List

import capture
import lab
from shared import folder

CAPTURES = folder("docker-reference", "29.7.2-iptables")

Story = Callable[["Teller"], None]
STORIES: Dict[str, Story] = {}

# After a restart of the daemon networks come in an order of chance.
ANY_ORDER = "DOCKER.*|POSTROUTING|PREROUTING"


def story(name: str) -> Callable[[Story], Story]:
    """Register the story of one scenario."""

    def keep(function: Story) -> Story:
        STORIES[name] = function
        return function

    return keep


class Teller:
    """Does on a host what a scenario's commands did, and compares at its snapshots."""

    def __init__(self, host: lab.Host, scenario: Path) -> None:
        self.host = host
        self.snapshots = capture.snapshots(scenario)
        self.defaults: Dict[str, Any] = {"userland_proxy": True}
        self.endpoints: Dict[str, Dict[str, Any]] = {}
        self.nets: Dict[str, Dict[str, Any]] = {}
        self.before = _all_sysctls(host)

    def daemon(self, forward: Any = None, **options: Any) -> None:
        """dockerd: forwarding and docker0."""
        self.defaults.update({name: options[name] for name in ("userland_proxy", "iptables") if name in options})
        has_ipv6 = options.get("ipv6", False)
        if forward is None:
            forward = {"ipv4": True, "ipv6": has_ipv6, "persist": False}
        bridge = {"name": "docker0", **self.defaults, **options}
        self.nets[bridge["name"]] = bridge
        self.host.run("host_network", bridges=[bridge], **({"ip_forward": forward} if forward else {}))

    def net(self, name: str, **options: Any) -> None:
        """docker network create."""
        if options.get("ipv6"):
            self.host.run("ip_forward", ipv6=True, persist=False)
        self.nets[name] = {"name": name, **self.defaults, **options}
        self.host.run("docker_bridge", **self.nets[name])

    def rmnet(self, *names: str) -> None:
        """docker network rm."""
        self.host.run("docker_bridge", bridges=[{"name": name, "state": "absent"} for name in names])

    def run(self, name: str, *ports: str, **options: Any) -> Dict[str, Any]:
        """docker run. The bridge is told along: what the kernel does not keep, such as fixed_cidr, is known then."""
        nets = [self.nets[options.get("bridge", "docker0")]] if options.get("network_mode") != "none" else []
        published = {"published_ports": list(ports)} if ports else {}
        self.endpoints[name] = {"name": name, "hostname": f"h-{name}", **options}
        targets = [self.endpoints[link.partition(":")[0]] for link in options.get("links", ())]
        items = [*targets, {**self.endpoints[name], **published}]
        return self.host.run("host_network", bridges=nets, endpoints=items)

    def rm(self, *names: str) -> None:
        """docker rm -f."""
        gone = [
            {"name": name, "bridge": self.endpoints[name].get("bridge", "docker0"), "state": "absent"} for name in names
        ]
        self.host.run("veth_endpoint", endpoints=gone)

    def same(
        self, number: str, *containers: str, rules: bool = True, links: bool = True, chance: str = "", leaked: str = ""
    ) -> None:
        """Compare with a snapshot.

        :param containers: those whose insides are compared too
        :param chance: pattern of the chains whose order is Docker's chance
        :param leaked: pattern of the rules that Docker forgot to take away
        """
        wanted = self.snapshots[number]
        if rules:
            for section, family in (("iptables-save", "ip"), ("ip6tables-save", "ip6")):
                theirs = _without(capture.rules(wanted.get(section, "")), leaked)
                assert _ordered(capture.rules(self.host.save(family)), chance) == _ordered(theirs, chance), section
        if links:
            self._same_devices(wanted)
        for name in containers:
            self._same_container(name, capture.container(wanted[f"container {name}"]))

    def _same_devices(self, wanted: capture.Sections) -> None:
        links = self.host.sh("ip -d -j link")
        theirs = wanted["ip -d -j link"]
        assert capture.bridges(links) == _with_attributes(capture.bridges(theirs), capture.bridges(links))
        assert capture.veths(links) == capture.veths(theirs)
        own = capture.addresses(self.host.sh("ip -j addr"))
        assert own == capture.addresses(wanted["ip -j addr"])
        assert capture.routes(_routes(self.host)) == capture.routes(wanted["ip -j route"])
        if "bridge -d -j link" in wanted:
            assert capture.ports(self.host.sh("bridge -d -j link")) == capture.ports(wanted["bridge -d -j link"])
        self._same_sysctls(capture.sysctls(wanted.get("sysctl changes", "")))

    def _same_sysctls(self, wanted: Dict[str, str]) -> None:
        own = {name: value for name, value in _all_sysctls(self.host).items() if self.before.get(name) != value}
        for name, value in wanted.items():
            if _is_settled(name):
                assert own.get(name, value) == value, name
        docker = {name: value for name, value in own.items() if name in self.before and _is_settled(name)}
        assert {name for name in docker if name not in wanted} == set()

    def _same_container(self, name: str, wanted: capture.Sections) -> None:
        own = [line for line in lab.sh(name, "ip -4 route").splitlines() if line.strip()]
        assert [line.strip() for line in own] == [line.strip() for line in wanted["ip -4 route"].splitlines()]
        defaults = [line.strip() for line in lab.sh(name, "ip -6 route").splitlines() if not line.startswith("fe80")]
        theirs = [line.strip() for line in wanted["ip -6 route"].splitlines() if not line.startswith("fe80")]
        assert _unordered(defaults) == _unordered(theirs)
        assert capture.addresses(lab.sh(name, "ip -j addr")) == capture.addresses(wanted["ip -j addr"])
        for setting, value in capture.sysctls(wanted["sysctls that differ from a new network namespace"]).items():
            path = f"/proc/sys/net/{setting}"
            assert " ".join(lab.sh(name, ["cat", path]).split()) == value, setting
        for file in ("hosts", "hostname", "resolv.conf"):
            self._same_file(name, file, wanted)

    def _same_file(self, name: str, file: str, wanted: capture.Sections) -> None:
        theirs = wanted.get(f"/etc/{file}")
        if theirs is None or "127.0.0.11" in theirs:  # the daemon's own resolver is not to be had
            return
        own = Path("/etc/netns", name, file).read_text().strip("\n")
        for identity, hostname in self._identities(name, wanted).items():
            theirs = theirs.replace(identity, hostname)
        assert own == theirs

    def _identities(self, name: str, wanted: capture.Sections) -> Dict[str, str]:
        """Docker's host names by chance, of a container and of those it is linked to, as they are called here."""
        links = [link.partition(":") for link in self.endpoints[name].get("links", ())]
        found = {}
        for target, _colon, alias in links:
            match = re.search(rf"\t{alias or target} ([0-9a-f]{{12}})", wanted["/etc/hosts"])
            assert match
            found[match.group(1)] = self.endpoints[target]["hostname"]
        own = wanted["/etc/hostname"].strip()
        return {**found, own: self.endpoints[name]["hostname"]} if re.fullmatch(r"[0-9a-f]{12}", own) else found


def _ordered(rules: Dict[Any, Any], chance: str) -> Dict[Any, Any]:
    """The chains of a pattern sorted; the empty pattern is none."""
    return {key: sorted(value) if chance and re.fullmatch(chance, key[1]) else value for key, value in rules.items()}


def _without(rules: Dict[Any, Any], pattern: str) -> Dict[Any, Any]:
    if not pattern:
        return rules
    return {
        key: value if isinstance(value, str) else [rule for rule in value if not re.search(pattern, rule)]
        for key, value in rules.items()
    }


def _with_attributes(wanted: Dict[str, Any], own: Dict[str, Any]) -> Dict[str, Any]:
    """Later snapshots leave attributes out that the first had."""
    return {
        name: {key: own[name][key] if name in own and value is None else value for key, value in attributes.items()}
        for name, attributes in wanted.items()
    }


def _routes(host: lab.Host) -> str:
    return host.sh("ip -j -4 route; ip -j -6 route").replace("][", ",").replace("]\n[", ",")


def _unordered(lines: List[str]) -> List[str]:
    return sorted(re.sub(r" pref medium| proto kernel", "", line) for line in lines)


def _all_sysctls(host: lab.Host) -> Dict[str, str]:
    text = host.sh(
        "cd /proc/sys/net && grep -rs . ipv4/ip_forward ipv4/conf ipv6/conf bridge 2>/dev/null || true",
    )
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: " ".join(value.split()) for name, _colon, value in pairs}


def _is_settled(name: str) -> bool:
    """Host ends have chance names, and secrets are chance altogether."""
    return "veth" not in name and "stable_secret" not in name
