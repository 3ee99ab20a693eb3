# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports of an address on a bridge (``container_ip``): whose guard is it when the last one is taken back?"""

from __future__ import annotations

import lab

PORT = {"container_ip": "172.17.0.2", "bridge": "docker0", "published_ports": ["8080:80", "8081:81"]}


def test_address_of_someone_else(host: lab.Host) -> None:
    """The guard came with the first port and goes with the last one."""
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}])
    host.run("port_publish", **PORT)
    host.run("port_publish", **{**PORT, "published_ports": ["8080:80"]}, state="absent")
    assert "-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP" in host.save()
    host.run("port_publish", **{**PORT, "published_ports": []}, state="absent")
    assert "172.17.0.2" not in host.save()


def test_address_of_an_endpoint(host: lab.Host) -> None:
    """The endpoint keeps its guard."""
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}])
    before = host.save()
    host.run("port_publish", **PORT)
    host.run("port_publish", **PORT, state="absent")
    assert host.save() == before
    host.run("port_publish", **PORT)
    host.run("port_publish", ports=[], purge=True)
    assert host.save() == before
