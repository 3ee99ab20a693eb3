# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``confirm_timeout``: the host undoes a change by itself unless another run comes in time."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict

import pytest

import lab
import scenes

# They wait for time to pass.
pytestmark = pytest.mark.slow

BEFORE: Dict[str, Any] = {
    "ip_forward": {},
    "bridges": [{"name": "docker0"}],
    "endpoints": [{"name": "web", "published_ports": ["8080:80"]}],
}
RULES = [{"name": "vpn", "source": "192.0.2.77", "action": "accept"}]


def until(what: Callable[[], bool], seconds: float = 30) -> bool:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_undone_unless_confirmed(each_backend: lab.Host) -> None:
    """Devices, files, settings and rules are as before; what others added meanwhile stays."""
    host = each_backend
    host.run("host_network", **scenes.MADE)
    before = scenes.whole(host)
    result = host.run("host_network", **{**scenes.CHANGED, "confirm_timeout": 2, "user_rules": RULES})
    assert result["confirm"] == "pending" and result["changed"]
    assert until(lambda: "192.0.2.77" not in host.rules())
    host.run("host_network", check=True)  # waits for the lock, so the other one is done
    wrong = lab.difference(before, scenes.whole(host))
    assert not wrong, wrong
    assert host.run("host_network").get("confirm") is None


def test_confirmed(host: lab.Host) -> None:
    """In check mode nothing is, nor by another module: only host_network's own run says that somebody is back."""
    assert host.run("host_network", confirm_timeout=10, **BEFORE)["confirm"] == "pending"
    assert host.run("host_network", check=True).get("confirm") is None
    host.run("port_publish", endpoint="web", published_ports=["8080:80", "9090:90"])
    again = host.run("host_network")
    assert again["confirm"] == "confirmed" and not again["changed"]
    time.sleep(11)
    assert "8080" in host.rules() and "9090" in host.rules()
    # A run that changes nothing leaves nothing to wait for.
    assert host.run("host_network", confirm_timeout=2, bridges=BEFORE["bridges"]).get("confirm") is None


def test_what_others_did_meanwhile_stays(each_backend: lab.Host) -> None:
    host = each_backend
    host.run("host_network", **BEFORE)
    host.run("host_network", confirm_timeout=6, endpoints=[{"name": "web", "published_ports": ["9090:90"]}])
    if host.backend == "nftables":
        host.sh("nft add rule ip docker-bridges filter-FORWARD ip saddr 198.51.100.1 drop")
    else:
        host.sh("iptables -t nat -I DOCKER -s 198.51.100.1 -j RETURN; iptables -A DOCKER-USER -s 198.51.100.1 -j DROP")
    assert until(lambda: "9090" not in host.rules())
    host.run("host_network", check=True)
    assert "8080" in host.rules() and "198.51.100.1" in host.rules()


def test_a_run_that_fails_leaves_nobody_waiting(host: lab.Host) -> None:
    host.sh("ip link add back type veth peer name far")
    host.run("host_network", confirm_timeout=1, bridges=[{"name": "docker0"}, {"name": "back"}], fails=True)
    assert host.run("host_network").get("confirm") is None


@pytest.mark.parametrize("value", [-1, 3601])
def test_bad_timeouts(host: lab.Host, value: int) -> None:
    result = host.run("host_network", confirm_timeout=value, bridges=[{"name": "docker0"}], fails=True)
    assert "confirm_timeout" in result["msg"] and "1 to 3600" in result["msg"]
