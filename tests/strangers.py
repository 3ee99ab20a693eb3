# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real programs that have rules of their own on a host: ufw, firewalld, libvirt, Podman's netavark.

Each is a context manager that has the program set up its rules and yields a function: what of that network works now,
by real packets. Files that the programs write stay in memory. Must not know: what the modules do.
"""

from __future__ import annotations

import contextlib
import glob
import json
import subprocess
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import daemons
import lab
import machine

Works = Callable[[], Dict[str, bool]]
_NETAVARK = "/usr/lib/podman/netavark"
_POD = {
    "container_id": "c1",
    "container_name": "c1",
    "networks": {"podman": {"static_ips": ["10.88.0.5"], "interface_name": "eth0"}},
    "port_mappings": [{"host_ip": "", "container_port": 80, "host_port": 9080, "range": 1, "protocol": "tcp"}],
    "network_info": {
        "podman": {
            "name": "podman",
            "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
            "driver": "bridge",
            "network_interface": "podman0",
            "subnets": [{"subnet": "10.88.0.0/16", "gateway": "10.88.0.1"}],
            "ipv6_enabled": False,
            "internal": False,
            "dns_enabled": False,
            "ipam_options": {"driver": "host-local"},
        }
    },
}
_NETWORK = """\
<network>
  <name>default</name>
  <forward mode='nat'/>
  <bridge name='virbr0' stp='off' delay='0'/>
  <mac address='52:54:00:00:00:01'/>
  <ip address='192.168.122.1' netmask='255.255.255.0'/>
</network>
"""
_GUEST = """\
ip netns add vm
ip netns exec vm sysctl -qw net.ipv6.conf.default.accept_dad=0
ip link add vnet0 index 201 type veth peer name ens3 index 202 netns vm
ip link set vnet0 master virbr0 up
ip -n vm addr add 192.168.122.5/24 dev ens3
ip -n vm link set ens3 up
ip -n vm route add default via 192.168.122.1
"""


def _opens(ns: object, address: str, port: int) -> bool:
    return lab.probe(ns, address, port).startswith("open")


@contextlib.contextmanager
def _in_memory(*paths: str) -> Iterator[None]:
    """What is written there is gone afterwards; what was there is there meanwhile."""
    with contextlib.ExitStack() as stack:
        for path in paths:
            if Path(path).is_dir():
                kept = subprocess.run(["tar", "-C", path, "-c", "."], capture_output=True, check=True).stdout
                subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
                stack.callback(subprocess.run, ["umount", "-l", path], check=True)
                subprocess.run(["tar", "-C", path, "-x"], input=kept, check=True)
        yield


@contextlib.contextmanager
def ufw(host: lab.Host, _directory: Path) -> Iterator[Works]:
    """ufw, which lets in port 22 and, to docker0, what comes by eth0."""
    lab.need_root()
    lab.need("ufw")
    with _in_memory("/etc/ufw", "/lib/ufw"):
        host.sh("ufw --force enable; ufw allow 22/tcp; ufw route allow in on eth0 out on docker0")

        def works() -> Dict[str, bool]:
            with lab.serve(host, 22), lab.serve(host, 23):
                return {f"port {port}": _opens(host.lan, "192.0.2.1", port) for port in (22, 23)}

        yield works


@contextlib.contextmanager
def firewalld(host: lab.Host, directory: Path, backend: str = "nftables") -> Iterator[Works]:
    """firewalld on a bus of its own, which programs of the host find; every interface is in zone public."""
    lab.need_root()
    for program in ("firewall-cmd", "busctl"):
        lab.need(program)
    command = [lab.need("firewalld"), "--nofork", "--nopid"]
    with machine.managers_in_memory(), daemons.bus(host, directory) as environ:
        host.environ.update(environ)
        Path("/etc/firewalld/firewalld.conf").write_text(f"FirewallBackend={backend}\n")
        with daemons.running(host, command, {}) as process:
            daemons.until(lambda: host.sh("firewall-cmd --state", check=False).strip() == "running", process)

            def works() -> Dict[str, bool]:
                with lab.serve(host, 22), lab.serve(host, 8888):
                    return {f"port {port}": _opens(host.lan, "192.0.2.1", port) for port in (22, 8888)}

            yield works


@contextlib.contextmanager
def podman(host: lab.Host, directory: Path) -> Iterator[Works]:
    """What Podman calls for a container with a published port: its network, without the container."""
    lab.need_root()
    program, options = lab.need(_NETAVARK), directory / "pod.json"
    options.write_text(json.dumps(_POD))
    host.sh(f"ip netns add pod && {program} --file {options} setup /run/netns/pod")

    def works() -> Dict[str, bool]:
        with lab.serve("pod", 80), lab.serve(host.lan, 90):
            return {"in": _opens(host.lan, "192.0.2.1", 9080), "out": _opens("pod", "192.0.2.254", 90)}

    yield works


@contextlib.contextmanager
def libvirt(host: lab.Host, directory: Path) -> Iterator[Works]:
    """libvirtd with its network driver alone, its default network, and a guest's cable on virbr0."""
    lab.need_root()
    for program in ("libvirtd", "virsh", "dnsmasq"):
        lab.need(program)
    drivers, network = directory / "drivers", directory / "network.xml"
    drivers.mkdir()
    for path in glob.glob("/usr/lib*/*/libvirt/connection-driver/libvirt_driver_network.so"):
        (drivers / Path(path).name).symlink_to(path)
    network.write_text(_NETWORK)
    command: List[str] = ["libvirtd", "--pid-file", str(directory / "libvirtd.pid")]
    environ, virsh = {"LIBVIRT_DRIVER_DIR": str(drivers)}, "virsh -c network:///system"
    with contextlib.ExitStack() as stack:
        stack.enter_context(_in_memory("/etc/libvirt", "/var/log"))
        stack.enter_context(machine.empty("/var/lib", "/var/cache"))
        process = stack.enter_context(daemons.running(host, command, environ))
        daemons.until(lambda: host.sh(f"{virsh} net-list", check=False), process)
        host.sh(f"{virsh} net-create {network}")
        stack.callback(host.sh, f"{virsh} net-destroy default")  # and with it its dnsmasq
        host.sh(_GUEST)

        def works() -> Dict[str, bool]:
            with lab.serve("vm", 80), lab.serve(host.lan, 90):
                return {"host": _opens(host, "192.168.122.5", 80), "out": _opens("vm", "192.0.2.254", 90)}

        yield works
