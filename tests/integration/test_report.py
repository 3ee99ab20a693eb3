# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbook report under the real ansible-playbook; its page in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict

import pytest

import browser
import lab
import playbook

pytestmark = pytest.mark.slow()

REPORT = "hostnet.docker.report"
BRIDGES = [{"name": "docker0"}, {"name": "br-db", "internal": True}]
ENDPOINTS = [
    {"name": "web", "published_ports": ["8080:80", "127.0.0.1:9000:9000"]},
    {"name": "db", "bridge": "br-db"},
]
STATE = "ip -br link; ip -br -4 address; ip route; ls /run/netns /etc/netns /etc/sysctl.d; sysctl net.ipv4.ip_forward"


@pytest.fixture(autouse=True)
def _programs() -> None:
    lab.need("dot")


def _declared() -> Dict[str, Any]:
    return {"docker_host_bridges": BRIDGES, "docker_host_endpoints": ENDPOINTS, "docker_host_ip_forward": {}}


def _artifact(run: playbook.Run) -> Dict[str, Any]:
    text = run.text.partition("RUN: ")[2]
    found: Dict[str, Any] = json.JSONDecoder().raw_decode(text)[0]["hostnet_report"]
    return found


def _check_alone(text: str) -> None:
    """A page that needs nothing beside itself and can do nothing."""
    assert not re.findall(r'(?:src|href)="(?!#)', text)
    assert not re.findall(r"<(?:script|link|img|iframe|object|embed)\b|url\(|@import", text)
    assert "default-src 'none'" in text


def _check_widths(found: Dict[int, Dict[str, Any]], least_letters: float) -> None:
    for width, item in found.items():
        assert item["needs"] == width and item["wide"] == [], item
        assert item["requests"] == []
        assert item["letters"] >= least_letters, item


def test_one_host(host: lab.Host, tmp_path: Path) -> None:
    """Without a variable for the page it is written where the playbook is started; the host stays as it is."""
    host.run("host_network", bridges=BRIDGES, endpoints=ENDPOINTS, ip_forward={})
    before = host.rules() + host.sh(STATE)
    run = playbook.run_fleet({host: {}}, REPORT, ["--check"], directory=tmp_path)
    assert run.status == 0 and run.recap("changed") == 0, run.text
    assert host.rules() + host.sh(STATE) == before
    page = tmp_path / "hostnet-report.html"
    text = page.read_text(encoding="utf-8")
    _check_alone(text)
    for words in (
        "not declared",
        "8080 → 80/tcp",
        "127.0.0.1:9000",
        "172.17.0.0/16",
        "no way out",
        "eth0",
        "192.0.2.254",
    ):
        assert words in text
    assert "Reachable from outside" in text and "8080/tcp of all IPv4 addresses" in text
    assert "leads port 8080/tcp of the host to web (172.17.0.2) port 80" in text
    assert _artifact(run) == {
        "page": str(page),
        "drifted": [],
        "clean": [],
        "undeclared": [host.name],
        "unknown": [],
        "networks": 2,
        "endpoints": 2,
        "published_ports": 2,
        "exposed_ports": 1,
    }
    light, dark = (browser.measured(page, [browser.PHONE, browser.SCREEN], is_dark) for is_dark in (False, True))
    _check_widths(light, 8)
    for colour in ("paper", "ink", "picture_paper", "picture_ink"):
        day, night = light[browser.SCREEN][colour], dark[browser.SCREEN][colour]
        assert _is_bright(day) != _is_bright(night), colour
    printed = browser.printed(page)
    assert printed.content.startswith(b"%PDF") and printed.console == []


def _is_bright(colour: str) -> bool:
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) > 3 * 128


def test_a_fleet(isolated: None, tmp_path: Path) -> None:
    """One host as declared, one that drifted, one that is not there: all on the page, the last one fails the run."""
    good, bad, gone = (lab.new_host() for _number in range(3))
    made = playbook.run_fleet({host: _declared() for host in (good, bad)}, "hostnet.docker.converge", [])
    assert made.status == 0, made.text
    bad.sh("iptables -t nat -D DOCKER -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80")
    hosts = {host: _declared() for host in (good, bad, gone)}
    hosts[gone]["ansible_netns"] = "not-there"
    page = tmp_path / "fleet.html"
    before = bad.rules()
    arguments = ["-e", f"docker_host_report={page}", "-e", "docker_host_report_title='<i>Web & <b>friends</b></i>'"]
    run = playbook.run_fleet(hosts, REPORT, arguments)
    assert run.status == 2 and f"{gone.name} could not be read: unreachable" in run.flat
    assert bad.rules() == before
    found = _artifact(run)
    assert (found["clean"], found["drifted"], found["unknown"]) == ([good.name], [bad.name], [gone.name])
    text = page.read_text(encoding="utf-8")
    _check_alone(text)
    assert "&lt;i&gt;Web &amp; &lt;b&gt;friends" in text and "<i>Web" not in text
    assert text.index('id="host-1"') < text.index('id="host-0"')  # what drifted comes first
    assert '<span class="add">+-A DOCKER -p tcp -m tcp --dport 8080 -j DNAT' in text
    assert "update chain ip/nat DOCKER (+1 -0 rules)" in text
    _check_widths(browser.measured(page, [browser.PHONE, browser.SCREEN]), 8)


def test_two_hundred_endpoints(host: lab.Host, tmp_path: Path) -> None:
    """They are drawn as tables, whose letters stay legible."""
    many = [{"name": f"web{number}", "published_ports": [f"{8000 + number}:80"]} for number in range(160)]
    many += [{"name": f"job{number}", "bridge": "br-db"} for number in range(40)]
    host.run("host_network", bridges=BRIDGES, endpoints=many, ip_forward={})
    page = tmp_path / "page.html"
    run = playbook.run_file(host, REPORT, [], docker_host_report=str(page))
    assert run.status == 0, run.text
    assert (_artifact(run)["endpoints"], _artifact(run)["exposed_ports"]) == (200, 160)
    text = page.read_text(encoding="utf-8")
    picture = text[text.index("<svg") : text.index("</svg>")]
    assert "160 published ports" in picture and all(f">{item['name']}<" in picture for item in many)
    _check_widths(browser.measured(page, [browser.PHONE, browser.SCREEN]), 8)


def test_without_graphviz(host: lab.Host, tmp_path: Path) -> None:
    """It says what is missing, on which machine, and what to install."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "nsenter", "ip", "iptables-save", "ip6tables-save", "nft"):
        (programs / name).symlink_to(lab.need(name))
    run = playbook.run_fleet({host: {}}, REPORT, [], {"PATH": str(programs)})
    assert run.status != 0 and "not installed on the control node" in run.flat and "package graphviz" in run.flat
