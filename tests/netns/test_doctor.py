# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doctor: each finding on a host made that way, gone when its own way out is taken, and none on a sound host."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

import lab
import machine
from daemons import dockerd

OPTIONS: Dict[str, Any] = {
    "ip_forward": {},
    "bridges": [{"name": "docker0"}],
    "endpoints": [{"name": "web", "published_ports": ["8080:80"]}],
}
OVERLAY = "none -o lowerdir=/usr/lib,upperdir=/run/over/up,workdir=/run/over/work"


def findings(host: lab.Host, **options: Any) -> List[str]:
    """What the doctor says."""
    return lab.warnings(host.run("host_network_info", **options))


def one(host: lab.Host) -> str:
    """The only finding."""
    found = findings(host)
    assert len(found) == 1, found
    return found[0]


def test_a_sound_host(each_backend: lab.Host) -> None:
    each_backend.run("host_network", **OPTIONS)
    assert findings(each_backend) == []


def test_both_variants(each_host: lab.Host) -> None:
    """Counted are the rules of the variant that the host does not use; its tables alone are no rules."""
    host = each_host
    host.run("host_network", **OPTIONS)
    own, other = ("nft", "legacy") if host.firewall == "nft" else ("legacy", "nft")
    host.sh(f"iptables-{other}-save")
    assert findings(host) == []
    host.sh(f"iptables-{other} -A INPUT -p tcp --dport 23 -j DROP; ip6tables-{other} -t nat -A PREROUTING -j RETURN")
    found = one(host)
    assert f"this host's is iptables-{own}" in found
    assert f"iptables-{other} has rules too, by table: ip/filter (1), ip6/nat (1)" in found
    assert findings(host, warnings=False) == []
    host.sh(f"iptables-{other} -F; ip6tables-{other} -t nat -F")
    assert findings(host) == []


def test_rules_in_both_backends(host: lab.Host) -> None:
    """Two runs that do not know of each other: the way out is a run that does."""
    host.run("host_network", **OPTIONS)
    host.sh("nft add table ip docker-bridges; nft add chain ip docker-bridges filter-FORWARD")
    assert "in iptables and in nftables" in one(host)
    host.run("host_network", firewall_backend="iptables", **OPTIONS)
    assert findings(host) == []


@contextlib.contextmanager
def _kernel(modules: Dict[str, List[str]], release: str) -> Iterator[None]:
    """A host whose kernel's lists of modules and whose distribution are these."""
    for name in ("up", "work"):
        Path("/run/over", name).mkdir(parents=True, exist_ok=True)
    subprocess.run(f"mount -t overlay {OVERLAY} /usr/lib", shell=True, check=True)
    os_release = Path("/etc/os-release")
    target = os.readlink(os_release) if os_release.is_symlink() else None
    try:
        directory = Path("/lib/modules", os.uname().release)
        directory.mkdir(parents=True, exist_ok=True)
        for file, rows in modules.items():
            (directory / file).write_text("".join(f"{row}\n" for row in rows))
        os_release.unlink()
        os_release.write_text(release)
        yield
    finally:
        os_release.unlink()
        if target:
            os_release.symlink_to(target)
        subprocess.run(["umount", "-l", "/usr/lib"], check=True)


@pytest.mark.parametrize(
    "release,package",
    [
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\n', "kernel-modules-extra-"),
        ("ID=ubuntu\nID_LIKE=debian\n", "linux-modules-"),
        ("ID=debian\n", "linux-image-"),
        ("ID=gentoo\n", "the package of the kernel's modules"),
    ],
    ids=["rhel", "ubuntu", "debian", "other"],
)
def test_missing_modules(host: lab.Host, release: str, package: str) -> None:
    """Red Hat's kernel without its package of extras, and others: some modules built in, some to be loaded."""
    host.run("host_network", **OPTIONS)
    built_in = [
        "kernel/net/netfilter/nf_tables.ko",
        "kernel/net/bridge/bridge.ko",
        "kernel/net/netfilter/nft_compat.ko",
    ]
    there = ["veth", "br_netfilter", "xt_conntrack", "xt_comment", "xt_nat", "ipt_MASQUERADE"]
    rows = [f"kernel/net/{name}.ko.xz: kernel/net/x_tables.ko.xz" for name in there]
    with _kernel({"modules.builtin": built_in, "modules.dep": rows}, release):
        found = one(host)
        assert "has no module xt_addrtype, needed for match addrtype" in found and package in found
    with _kernel({"modules.builtin": built_in, "modules.dep": [*rows, "kernel/xt_addrtype.ko.zst:"]}, release):
        assert findings(host) == []


@pytest.mark.parametrize(
    "path,line",
    [
        ("/etc/sysctl.conf", "net.ipv4.ip_forward = 0"),
        ("/etc/sysctl.d/99-zz-hardening.conf", "-net/ipv4/conf/all/forwarding=0"),
        ("/etc/sysctl.d/99-zz-bridge.conf", "net.bridge.bridge-nf-call-iptables=0"),
        ("/etc/sysctl.d/99-zz-localnet.conf", "net.ipv4.conf.*.route_localnet = 0"),
    ],
)
def test_overriding_files(host: lab.Host, path: str, line: str) -> None:
    """The line is named; one that is overridden itself, or is a comment, is none."""
    Path("/etc/sysctl.d/10-early.conf").write_text("net.ipv4.ip_forward = 0\n")
    host.run("host_network", **OPTIONS)
    assert findings(host) == []
    before = Path(path).read_text() if Path(path).exists() else None
    Path(path).write_text(f"# net.ipv4.ip_forward = 0\n; net.ipv4.ip_forward = 0\n\n{line}\n")
    found = one(host)
    assert found.startswith(f"{path}:4 sets ") and "overrides net." in found
    Path(path).unlink() if before is None else Path(path).write_text(before)
    assert findings(host) == []


def test_a_daemon(host: lab.Host) -> None:
    host.run("host_network", **OPTIONS)
    with dockerd(host):
        found = one(host)
        assert "dockerd (pid " in found and '"iptables": false' in found
    with dockerd(host, "--iptables=false"):
        assert findings(host) == []


def test_forwarding_that_was_switched_off(host: lab.Host) -> None:
    host.run("host_network", **OPTIONS)
    host.sh("sysctl -w net.ipv4.ip_forward=0")
    assert "net.ipv4.ip_forward is 0 although bridge docker0 needs it" in one(host)
    host.run("host_network", ip_forward={"ipv4": True})
    assert findings(host) == []


def test_foreign_bridges(each_backend: lab.Host) -> None:
    """A virtual machine's bridge under policy DROP; one without guests, and one that is let pass, are none."""
    host = each_backend
    host.run("host_network", **{**OPTIONS, "ip_forward": {"forward_policy": "drop"}})
    host.sh("ip link add virbr0 type bridge; ip link add virbr1 type bridge")
    assert findings(host) == []
    host.sh("ip link add vnet0 type veth peer name vnet1; ip link set vnet0 master virbr0")
    found = one(host)
    assert "is DROP and nothing accepts bridge virbr0: its guests' IPv4 is cut off, also among themselves" in found
    host.run("ip_forward", keep_forwarding=["virbr0"], forward_policy="drop")
    assert findings(host) == []


def test_foreign_bridges_with_rules_of_their_own(each_host: lab.Host) -> None:
    """libvirt's rules accept its bridge: nothing is cut off."""
    host = each_host
    host.run("host_network", **{**OPTIONS, "ip_forward": {"forward_policy": "drop"}})
    host.sh(
        "ip link add virbr0 type bridge; ip link add vnet0 type veth peer name vnet1; ip link set vnet0 master virbr0"
    )
    assert "virbr0" in one(host)
    host.sh("iptables -N LIBVIRT_FWO; iptables -A LIBVIRT_FWO -s 192.168.122.0/24 -i virbr0 -j ACCEPT")
    assert findings(host) == []


def test_a_squatter(host: lab.Host) -> None:
    host.run("host_network", **OPTIONS)
    with lab.serve(host, 8080, "192.0.2.1"):
        found = one(host)
    assert "published port 0.0.0.0:8080/tcp of endpoint web: " in found and f"(pid {os.getpid()})" in found
    assert findings(host) == []


def test_docker_user_is_not_first(each_host: lab.Host) -> None:
    """Only of interest where DOCKER-USER says anything."""
    host = each_host
    host.run("host_network", **OPTIONS)
    host.sh("iptables -I FORWARD -i eth0 -j ACCEPT")
    assert findings(host) == []
    host.sh("iptables -A DOCKER-USER -s 203.0.113.0/24 -j DROP")
    assert "chain ip/filter FORWARD decides before DOCKER-USER" in one(host) and "-i eth0 -j ACCEPT" in one(host)
    host.sh("iptables -D FORWARD -j DOCKER-USER")
    assert "no packet comes there" in one(host)
    host.run("host_network", **OPTIONS)
    assert findings(host) == []


def test_strict_forward_ports(host: lab.Host) -> None:
    """Only where a firewalld has its table in this namespace: its file alone does nothing."""
    host.run("host_network", **OPTIONS)
    Path("/etc/firewalld").mkdir(exist_ok=True)  # in the sandbox's own /etc
    with machine.managers_in_memory():
        Path("/etc/firewalld/firewalld.conf").write_text("#StrictForwardPorts=yes\nStrictForwardPorts=yes\n")
        assert findings(host) == []
        host.sh("nft add table inet firewalld")
        assert "StrictForwardPorts is on in /etc/firewalld/firewalld.conf" in one(host)
        Path("/etc/firewalld/firewalld.conf").write_text("StrictForwardPorts=no\n")
        assert findings(host) == []
