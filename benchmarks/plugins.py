# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints with a published port each: ours in one task, and by the plugins of container engines, a run each.

The engines' plugins get the namespaces made; what they keep is in /run, which is the measurement's own.
Must not know: how it is shown.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import Any, Dict, List

from . import programs
from .sandboxes import Numbers

_CNI = "/usr/lib/cni"
_NETAVARK = "/usr/lib/podman/netavark"
_FIRST = 10_000
_VERSION = "0.4.0"


def ours(size: int) -> Numbers:
    """One task for all."""
    endpoints = [{"name": f"c{number}", "published_ports": [f"{_FIRST + number}:80"]} for number in range(size)]
    options = {"bridges": [{"name": "docker0", "bip": "172.17.0.1/16"}], "endpoints": endpoints}
    return {"ours": programs.module("host_network", True, **options).seconds}


def cni(size: int) -> Numbers:
    """CNI: the plugin bridge, then portmap, for each; none where they are not installed."""
    if not os.path.exists(f"{_CNI}/portmap"):
        return {}
    return {"CNI bridge and portmap": _namespaces(size) + sum(_cni(number) for number in range(size))}


def _cni(number: int) -> float:
    name = f"c{number}"
    environ = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": name,
        "CNI_NETNS": f"/run/netns/{name}",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": _CNI,
    }
    ipam = {
        "type": "host-local",
        "subnet": "172.17.0.0/16",
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/cni",
    }
    network: Dict[str, Any] = {"cniVersion": _VERSION, "name": "bench"}
    bridge = {"type": "bridge", "bridge": "docker0", "isGateway": True, "ipMasq": True, "hairpinMode": True}
    first = programs.run([f"{_CNI}/bridge"], json.dumps({**network, **bridge, "ipam": ipam}), **environ)
    mapping = {"hostPort": _FIRST + number, "containerPort": 80, "protocol": "tcp"}
    portmap = {"type": "portmap", "runtimeConfig": {"portMappings": [mapping]}, "prevResult": json.loads(first.text)}
    return first.seconds + programs.run([f"{_CNI}/portmap"], json.dumps({**network, **portmap}), **environ).seconds


def netavark(size: int) -> Numbers:
    """netavark, once for each; none where it is not installed."""
    program = shutil.which("netavark") or _NETAVARK
    if not os.path.exists(program):
        return {}
    return {"netavark": _namespaces(size) + sum(_netavark(program, number) for number in range(size))}


def _netavark(program: str, number: int) -> float:
    name, network = f"c{number}", "podman"
    mapping = {"host_ip": "", "host_port": _FIRST + number, "container_port": 80, "protocol": "tcp", "range": 1}
    info = {
        "name": network,
        "id": "0" * 64,
        "driver": "bridge",
        "network_interface": "podman0",
        "subnets": [{"subnet": "172.17.0.0/16", "gateway": "172.17.0.1"}],
        "ipv6_enabled": False,
        "internal": False,
        "dns_enabled": False,
        "ipam_options": {"driver": "host-local"},
    }
    high, low = divmod(number + 2, 256)
    options = {
        "container_id": name,
        "container_name": name,
        "port_mappings": [mapping],
        "networks": {network: {"interface_name": "eth0", "static_ips": [f"172.17.{high}.{low}"]}},
        "network_info": {network: info},
    }
    command = [program, "--config", "/run/netavark", "setup", f"/run/netns/{name}"]
    # Its other driver would ask the machine's D-Bus for firewalld.
    return programs.run(command, json.dumps(options), NETAVARK_FW="iptables").seconds


def _namespaces(size: int) -> float:
    """Make the namespaces that the engines' plugins expect: seconds."""
    script: List[str] = [f"netns add c{number}" for number in range(size)]
    os.makedirs("/run/netavark", exist_ok=True)
    return programs.run(["ip", "-batch", "-"], "\n".join(script)).seconds
