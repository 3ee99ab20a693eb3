# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside a daemon: which ones manage rules, and what may be written then. A process of its name is enough.

With a real daemon: ``tests/conformance/test_docker_engine.py``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import lab
from daemons import dockerd

OTHER = {"name": "other", "bip": "10.9.0.1/24"}


def test_rules_of_a_daemon(host: lab.Host) -> None:
    """Docker's chains are the daemon's; reading, check mode, devices and DOCKER-USER are not its business."""
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}])
    with dockerd(host):
        assert host.run("host_network_info")["bridges"]
        assert host.run("docker_bridge", check=True, **OTHER)["changed"]
        before = lab.snapshot(host)
        refused = host.run("docker_bridge", fails=True, **OTHER)["msg"]
        assert '"iptables": false' in refused and "dockerd (pid" in refused
        assert lab.difference(before, lab.snapshot(host)) == ""
        assert not host.run("docker_bridge", name="docker0")["changed"]
        assert host.run("docker_bridge", **OTHER, iptables=False, ip6tables=False)["changed"]
        rule = {"name": "no-telnet", "action": "drop", "protocol": "tcp", "host_port": 23}
        assert host.run("host_network", user_rules=[rule])["changed"]
    assert host.run("docker_bridge", **OTHER)["changed"]


@pytest.mark.parametrize("way", ["flag", "flag-0", "file", "elsewhere"])
def test_a_daemon_without_rules(host: lab.Host, way: str) -> None:
    """A daemon that leaves the rules alone, or is in another network namespace, stands in nobody's way."""
    config = Path("/run/daemon.json")
    config.write_text(json.dumps({"iptables": False}))
    flags = {"flag": ["--iptables=false"], "flag-0": ["--iptables=0"], "file": ["--config-file", str(config)]}
    place = lab.Host(host.lan) if way == "elsewhere" else host
    with dockerd(place, *flags.get(way, [])):
        assert host.run("docker_bridge", **OTHER)["changed"]
