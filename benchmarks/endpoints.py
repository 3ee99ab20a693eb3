# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints: namespace, veth pair, address, route, guard, settings and files, by us and by others.

Must not know: how it is shown.
"""

from __future__ import annotations

from . import programs
from .sandboxes import Numbers

BRIDGE = {"bip": "172.17.0.1/16"}


def ours(size: int) -> Numbers:
    """One task for all endpoints, then the same task again."""
    programs.module("docker_bridge", True, **BRIDGE)
    endpoints = [{"name": f"c{number}"} for number in range(size)]
    first = programs.module("veth_endpoint", True, endpoints=endpoints)
    again = programs.usual(lambda: programs.module("veth_endpoint", False, endpoints=endpoints))
    return {"ours": first.seconds, "nothing to change": again}


def ip_batch(size: int) -> Numbers:
    """``ip -batch``: two for the host, one for each namespace."""
    programs.module("docker_bridge", True, **BRIDGE)
    host = [f"netns add c{number}" for number in range(size)]
    host += [_veth(number) for number in range(size)]
    up = [f"link set veth{number} up" for number in range(size)]
    seconds = programs.run(["ip", "-batch", "-"], "\n".join(host)).seconds
    for number in range(size):
        seconds += programs.run(["ip", "-n", f"c{number}", "-batch", "-"], _inside(number)).seconds
    return {"ip -batch": seconds + programs.run(["ip", "-batch", "-"], "\n".join(up)).seconds}


def _veth(number: int) -> str:
    return f"link add veth{number} txqueuelen 0 master docker0 type veth peer name eth0 netns c{number}"


def _inside(number: int) -> str:
    high, low = divmod(number + 2, 256)
    return (
        f"link set lo up\naddress add 172.17.{high}.{low}/16 broadcast 172.17.255.255 dev eth0\n"
        "link set eth0 up\nroute add default via 172.17.0.1\n"
    )
