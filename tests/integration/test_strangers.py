# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Beside ufw, firewalld, libvirt and Podman, the real programs, and an administrator's own rules: all of it is kept, in
order, and goes on to work through every kind of run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Dict

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils import _rules

import lab
import neighbours
import strangers

pytestmark = pytest.mark.slow()

# What the administrator has in chains that Docker shares with him, above and below what Docker puts there.
_ADMIN = """\
for iptables in iptables ip6tables; do
  $iptables -N DOCKER-USER
  $iptables -A FORWARD -j DOCKER-USER
  $iptables -A DOCKER-USER -i eth7 -p tcp --dport 25 -j DROP
  $iptables -A DOCKER-USER -i eth7 -m limit --limit 5/min -j RETURN
  $iptables -I FORWARD -i eth7 -m comment --comment "-j DOCKER" -j REJECT
  $iptables -A FORWARD -o eth7 -j DROP
  $iptables -t nat -I POSTROUTING -o eth7 -j MASQUERADE
  $iptables -t nat -A POSTROUTING -o eth8 -j MASQUERADE
done
"""
_WEB = {"name": "web", "published_ports": ["8080:80"]}
_BRIDGES = [{"name": "docker0"}, {"name": "br-n1", "ipv6": True, "bip6": "fd00:17::1/64"}]
# In this order on one host.
STEPS: Dict[str, Dict[str, Any]] = {
    "apply": {"bridges": _BRIDGES, "endpoints": [_WEB]},
    "change": {"bridges": [{"name": "docker0", "icc": False, "clamp_mss": True}], "endpoints": [_WEB]},
    "to nftables": {"bridges": _BRIDGES, "endpoints": [_WEB], "firewall_backend": "nftables"},
    "to iptables": {"bridges": _BRIDGES, "endpoints": [_WEB], "firewall_backend": "iptables"},
    "purge": {"bridges": [{"name": "docker0"}], "endpoints": [], "ports": [], "purge": True},
    "absent": {"bridges": [{"name": "docker0", "state": "absent"}], "endpoints": []},
}
# Neighbours' traffic passes the rules.
_OURS = r"/(forwarding|accept_redirects) = |bridge-nf-call"


def _told(host: lab.Host) -> Dict[str, str]:
    """All of the host with each chain as a part; not nft's listing of the same rules, in which a reload of firewalld
    moves its table."""
    parts = {
        name: text for name, text in neighbours.everything(host).items() if not re.search(" (nft|ip6?tables)$", name)
    }
    for family in ("ip", "ip6"):
        for key, value in _rules.parse_save(host.save(family), family).items():
            if key.kind == "policy" and value != "ACCEPT":
                parts[str(key)] = f"policy {key.name} {value}\n"
            elif key.kind == "chain" and (value or not _rules.is_built_in(key)):
                parts[str(key)] = "".join(f"{rule}\n" for rule in value)
    return parts


@pytest.mark.parametrize("name", ["ufw", "firewalld", "libvirt", "podman"])
def test_others_are_kept(host: lab.Host, name: str, tmp_path: Path) -> None:
    """After each step nothing of theirs is gone, moved or doubled, and at the end nothing is there that was not."""
    host.sh("sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.default.accept_dad=0")
    # On from the first step: the kernel has an anycast route for each subnet then.
    host.sh("sysctl -w net.ipv6.conf.default.forwarding=1 net.ipv6.conf.all.forwarding=1")
    with getattr(strangers, name)(host, tmp_path) as works:
        host.sh(_ADMIN)
        before, working = _told(host), works()
        assert True in working.values() and (False in working.values()) == (name in ("ufw", "firewalld")), working
        for step, options in STEPS.items():
            host.run("host_network", ip_forward={"forward_policy": "keep", "persist": False}, **options)
            # The policy of FORWARD goes along with Docker's rules to the other backend, and comes back with them.
            may_differ = f"{_OURS}|^policy FORWARD" if step == "to nftables" else _OURS
            assert not neighbours.untouched(before, _told(host), may_differ), step
            assert works() == working, step
            if options["endpoints"]:
                with lab.serve("web", 80):
                    assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254", step
        assert not neighbours.untouched(_told(host), before, _OURS)
