# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's page from made-up hosts: names of all kinds, every form of port, what is said of isolation."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from typing import Any, Dict, List, Tuple

import pytest
from ansible_collections.hostnet.docker.plugins.plugin_utils._report import drawing, page, topology, view

import lab

NASTY = '<script>alert("x")</script>&\\N\\"\'{{ 7*7 }}{% raw %}\n\x01→ü' + "w" * 80
EMPTY = ("meta", "br", "hr", "path", "polygon", "polyline", "ellipse")


def _host(name: str = "host", text: str = "web") -> Dict[str, Any]:
    """A host all of whose names are one text."""
    rule = {"backend": text, "family": "ip", "table": text, "chain": text, "rule": text, "packets": 1234567}
    reach = {"protocol": text, "address": text, "port": 80, "interfaces": [text], "sources": [text], "endpoint": text}
    reach.update(container_address=text, container_port=80, packets=0, certain=False)
    endpoint = {"name": text, "bridge": text, "published_ports": ["8080:80/tcp"]}
    return {
        "name": name,
        "info": {
            "firewall": text,
            "ip_forward": {"ipv4": True},
            "interfaces": [
                {"name": text, "addresses": [text], "gateways": [text]},
                {"name": "wg0", "addresses": [], "gateways": []},
            ],
            "bridges": [{"name": text, "bip": "172.17.0.1/16"}, {"name": "br1", "internal": True}],
            "endpoints": [{**endpoint, "netns": "/run/x", "ipv4_address": "172.17.0.2"}],
            "ports": [{"container_ip": "172.17.0.9", "bridge": text, "published_ports": ["81:81/udp"]}],
            "rules": [{**rule, "bytes": None, "owner": "unknown", "purpose": text}],
            "exposure": [reach, {**reach, "container_address": None, "holder": text, "packets": None}],
            "counters": [{**reach, "host_address": text, "host_port": 80, "bytes": 1}],
            "warnings": [text],
        },
        "changes": [text],
        "diff": [{"before_header": text, "before": "a\n", "after_header": text, "after": f"{text}\n"}],
    }  # fmt: skip


class _Elements(HTMLParser):
    """Elements that are opened and closed, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: List[str] = []
        self.seen: List[Tuple[str, Dict[str, Any]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in EMPTY or self.get_starttag_text().endswith("/>"):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert tag in EMPTY or self.open.pop() == tag, (tag, self.open)

    def handle_data(self, data: str) -> None:
        self.text += data


def _parsed(text: str) -> _Elements:
    found = _Elements()
    found.feed(text)
    assert found.open == []
    return found


@pytest.fixture
def _dot() -> None:
    lab.need("dot")


@pytest.mark.slow
def test_names_of_all_kinds_are_text(_dot: None) -> None:
    text = page.render([_host(NASTY, NASTY), {"name": NASTY, "failure": NASTY}], NASTY, NASTY)
    found = _parsed(text)
    assert {tag for tag, _attributes in found.seen} & {"script", "img", "iframe", "a:script"} == set()
    assert not [name for _tag, attributes in found.seen for name in attributes if name.startswith("on")]
    assert found.text.count("<script>alert") >= 20 and "{{ 7*7 }}" in found.text


@pytest.mark.slow
def test_an_empty_host_and_no_host(_dot: None) -> None:
    _parsed(page.render([{"name": "a", "info": {"bridges": []}}], "Title", ""))
    assert "0" in _parsed(page.render([], "Title", "")).text


@pytest.mark.slow
def test_pictures_have_no_colours_of_their_own(_dot: None) -> None:
    """All are the page's, so that light and dark are."""
    picture = drawing.svg(topology.graph(view.hosts([_host()])[0]), "label")
    assert set(re.findall(r'(?:fill|stroke)="([^"]+)"', picture)) <= {"none", "transparent"}
    used = {name.partition("-")[2] for names in re.findall(r'class="([^"]+)"', picture) for name in names.split()}
    assert {"ink", "muted", "card", "good", "bad"} <= used <= set(drawing.PAINTS)
    style = (page._HERE / "page.css").read_text()
    assert all(f".fill-{name} {{" in style and f".stroke-{name} {{" in style for name in drawing.PAINTS)


@pytest.mark.slow
def test_many_endpoints_are_one_table(_dot: None) -> None:
    many = _host()
    many["info"]["endpoints"] = [{"name": f"e{number}", "bridge": "web"} for number in range(topology.MOST_NODES)]
    graph = topology.graph(view.hosts([many])[0])  # and the nameless one, so there are too many
    assert "endpoints0 [" in graph and "endpoint0_0" not in graph
    many["info"]["endpoints"].pop()
    assert "endpoint0_0" in topology.graph(view.hosts([many])[0])


def test_without_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(drawing.NotDrawn, match="install the package graphviz"):
        page.render([_host()], "Title", "")


NET = ["10.0.0.0/8"]
PORTS = [
    ("8080:80/tcp", ("", "8080", "80", "tcp", None), "8080 → 80/tcp", "everybody"),
    ("127.0.0.1:8080:80/udp", ("127.0.0.1", "8080", "80", "udp", None), "127.0.0.1:8080 → 80/udp", "the host only"),
    ("[::1]:8080:80/tcp", ("::1", "8080", "80", "tcp", None), "[::1]:8080 → 80/tcp", "the host only"),
    ("8000-8010:8000-8010/tcp", ("", "8000-8010", "8000-8010", "tcp", None), "8000-8010 → 8000-8010/tcp", "everybody"),
    ("25/tcp", ("", "", "25", "tcp", None), "25/tcp", "everybody"),
    ({"target": 80, "published": 81, "allowed_sources": NET}, ("", "81", "80", "tcp", (*NET,)), "81 → 80/tcp", NET[0]),
    ({"target": 80, "allowed_sources": []}, ("", "", "80", "tcp", ()), "80/tcp", "nobody"),
]  # fmt: skip


@pytest.mark.parametrize("spec,parts,text,who", PORTS, ids=[text for _spec, _parts, text, _who in PORTS])
def test_ports(spec: Any, parts: Tuple[Any, ...], text: str, who: str) -> None:
    port = view.port(spec)
    assert (tuple(port), port.text, port.who) == (parts, text, who)


NETWORKS = [
    ({}, "nothing", "masquerade", ()),
    ({"internal": True, "gateway_mode_ipv4": "isolated"}, "nothing", "none", ("internal", "isolated")),
    ({"gateway_mode_ipv4": "routed", "icc": False}, "published ports", "routed", ("icc off", "routed")),
    ({"allow_direct_routing": True}, "published ports", "masquerade", ()),
    ({"gateway_mode_ipv4": "nat-unprotected"}, "everything", "masquerade", ("nat-unprotected",)),
    ({"iptables": False}, "everything", "routed", ("no rules",)),
    ({"host_ipv4": "192.0.2.1"}, "nothing", "SNAT 192.0.2.1", ()),
]


@pytest.mark.parametrize("options,entry,way_out,traits", NETWORKS)
def test_what_is_said_of_a_network(options: Dict[str, Any], entry: str, way_out: str, traits: Tuple[str, ...]) -> None:
    host = view.hosts([{"name": "h", "info": {"bridges": [{"name": "br", "bip": "10.1.0.1/24", **options}]}}])[0]
    network = host.networks[0]
    assert (network.entry, network.way_out, network.traits) == (entry, way_out, traits)
    assert (network.subnets, network.gateways) == (("10.1.0.0/24",), ("10.1.0.1",))


REACH = {"protocol": "tcp", "interfaces": ["eth0"], "endpoint": "web", "container_port": 80, "port": 8080}


def test_what_is_reachable() -> None:
    """A port of both families is one port; a process of the host is another."""
    four = {**REACH, "address": "0.0.0.0", "sources": ["0.0.0.0/0"], "container_address": "172.17.0.2"}
    six = {**REACH, "address": "::", "sources": ["fd00::/8"], "container_address": "fd00::2", "certain": False}
    process = {**four, "port": 22, "container_address": None, "endpoint": None, "holder": "sshd (pid 7)"}
    host = view.hosts([{"name": "h", "info": {"bridges": [], "exposure": [four, six, process]}}])[0]
    assert [reach.who for reach in host.reaches] == ["everybody", "fd00::/8", "everybody"]
    assert [reach.target for reach in host.reaches] == ["web (172.17.0.2:80)", "web ([fd00::2]:80)", "sshd (pid 7)"]
    assert [reach.is_certain for reach in host.reaches] == [True, False, True]
    assert host.exposed == 2


def test_summary() -> None:
    hosts = [
        {"name": "a", "info": {"bridges": []}, "changes": []},
        {"name": "b", "info": {"bridges": []}, "changes": ["x"]},
        {"name": "c", "info": {"bridges": []}, "changes": None},
        {"name": "d", "failure": "unreachable"},
    ]
    found = page.summary(hosts)
    assert [found[key] for key in ("clean", "drifted", "undeclared", "unknown")] == [["a"], ["b"], ["c"], ["d"]]
    assert [host.name for host in view.hosts(hosts)] == ["b", "d", "a", "c"]
