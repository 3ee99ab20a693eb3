# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Docker Engine on the host: on top of our network, and beside it with rules of its own."""

from __future__ import annotations

import json
import re
from typing import Any, Dict

import pytest

import capture
import engine
import lab

pytestmark = pytest.mark.slow()

HOW_TO = lab.ROOT / "docs" / "how-to" / "iptables-false.md"


def _handed_over() -> Dict[str, Any]:
    """The daemon.json of the how-to, to the letter."""
    found = re.search(r"```json\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.S)
    assert found
    return json.loads(found.group(1))


def test_engine_on_our_bridge(host: lab.Host) -> None:
    """A container of a daemon that leaves the rules to us is published and reached, and reaches the outside."""
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}])
    rules = capture.rules(host.save())
    with engine.running(host, _handed_over()) as docker:
        web = docker.run("web")
        assert capture.rules(host.save()) == rules, "the daemon wrote rules"
        port = {"container_ip": web.address, "bridge": "docker0", "published_ports": ["8080:80"]}
        assert host.run("port_publish", **port)["changed"]
        assert not host.run("port_publish", **port)["changed"]
        _check_traffic(host, web)
        host.run("port_publish", state="absent", **port)
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "refused"
        assert capture.rules(host.save()) == rules


def _check_traffic(host: lab.Host, web: engine.Container) -> None:
    answer = "open, from=web\n"
    assert lab.probe(host.lan, "192.0.2.1", 8080) == answer
    assert lab.probe(host, "127.0.0.1", 8080) == answer
    assert lab.probe(host, "192.0.2.1", 8080) == answer
    assert lab.probe(web.ns, "192.0.2.1", 8080) == answer, "the container's own published port"
    with lab.serve(host.lan, 90):
        assert lab.probe(web.ns, "192.0.2.254", 90) == "open, from=192.0.2.1", "masqueraded"
    lab.sh(host.lan, f"ip route add {web.address} via 192.0.2.1")
    assert lab.probe(host.lan, web.address, 81) == "no answer", "a port that is not published"


def test_engine_is_described(host: lab.Host) -> None:
    """Its containers are endpoints in the description, and the description fed back changes nothing."""
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}])
    with engine.running(host, _handed_over()) as docker:
        web = docker.run("web")
        host.run("port_publish", container_ip=web.address, bridge="docker0", published_ports=["8080:80"])
        words = host.run("host_network_info")
        assert web.address in json.dumps(words["endpoints"])
        told = {name: words[name] for name in ("ip_forward", "bridges", "endpoints", "ports")}
        assert host.run("host_network", check=True, **told)["changes"] == []
        assert host.run("host_network", **told)["changes"] == []
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=web\n"


def test_beside_an_engine_with_rules(host: lab.Host) -> None:
    """A daemon that manages iptables: reading and check mode work, a write is refused with the way out."""
    with engine.running(host, {"userland-proxy": False}) as docker:
        docker.run("web", published=8080)
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=web\n"
        before = host.save() + host.save("ip6") + host.sh("ip -br link")
        assert [bridge["name"] for bridge in host.run("host_network_info")["bridges"]] == ["docker0"]
        wanted = {"bridges": [{"name": "docker0"}, {"name": "other", "bip": "10.9.0.1/24"}]}
        assert host.run("host_network", check=True, diff=True, **wanted)["changed"]
        refused = host.run("host_network", fails=True, **wanted)["msg"]
        assert '"iptables": false' in refused and "dockerd" in refused
        assert host.save() + host.save("ip6") + host.sh("ip -br link") == before
