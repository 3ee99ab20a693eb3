# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files, names and links on a real host: nothing leaves its place, nothing is followed, whatever lies in the way."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Callable, Dict

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils._kernel import namespaces

import lab

WEB = {"bridges": [{"name": "docker0"}], "endpoints": [{"name": "web"}]}
FILES = ("hosts", "hostname", "resolv.conf")


def everything(*places: str) -> Dict[str, str]:
    """All files and links below some directories: what they are, their mode, what is in them."""
    found = {}
    for place in places:
        for path in [Path(place), *sorted(Path(place).rglob("*"))]:
            info = path.lstat()
            is_file = stat.S_ISREG(info.st_mode) and not str(path).startswith("/run/netns")
            content = os.readlink(path) if path.is_symlink() else path.read_text() if is_file else ""
            found[str(path)] = f"{stat.filemode(info.st_mode)} {info.st_ino} {content}"
    return found


def test_a_directory_that_leads_elsewhere(host: lab.Host) -> None:
    """/etc/netns/web is a link: what it leads to is neither written, nor read, nor removed."""
    Path("/etc/sysctl.d/elsewhere").mkdir()
    for name in FILES:
        Path("/etc/sysctl.d/elsewhere", name).write_text("the host's own\n", encoding="utf-8")
    Path("/etc/netns/web").symlink_to("/etc/sysctl.d/elsewhere")
    before, network = everything("/etc/netns", "/etc/sysctl.d"), lab.snapshot(host)
    for check in (True, False):
        message = host.run("host_network", check=check, fails=True, **WEB)["msg"]
        assert "something other than a plain directory" in message and "/etc/netns/web" in message
    host.run("host_network", purge=True, bridges=[], endpoints=[])
    assert everything("/etc/netns", "/etc/sysctl.d") == before
    assert not lab.difference(network, lab.snapshot(host))


@pytest.mark.parametrize("kind", ["link", "dangling", "directory", "pipe"])
@pytest.mark.parametrize("place", ["/etc/netns/web/resolv.conf", "/etc/sysctl.d/99-hostnet-docker.conf"])
def test_something_else_in_a_file_s_place(host: lab.Host, place: str, kind: str) -> None:
    target, path = Path("/etc/sysctl.d/target"), Path(place)
    path.parent.mkdir(exist_ok=True)
    target.write_text("", encoding="utf-8")
    make: Dict[str, Callable[[], None]] = {
        "link": lambda: path.symlink_to(target),
        "dangling": lambda: path.symlink_to("/etc/nowhere"),
        "directory": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }
    make[kind]()
    before, network = everything("/etc/netns", "/etc/sysctl.d"), lab.snapshot(host)
    for check in (True, False):
        message = host.run("host_network", check=check, fails=True, ip_forward={}, **WEB)["msg"]
        assert place in message and ("something other than a plain file" in message or "Is a directory" in message)
    assert everything("/etc/netns", "/etc/sysctl.d") == before
    assert not Path("/etc/nowhere").exists() and not lab.difference(network, lab.snapshot(host))


def test_a_file_of_somebody_else_is_kept(host: lab.Host) -> None:
    path = Path("/etc/sysctl.d/99-mine.conf")
    path.write_text("net.core.somaxconn = 9\n", encoding="utf-8")
    message = host.run("ip_forward", sysctl_file=str(path), fails=True)["msg"]
    assert "has other settings, which would be lost" in message
    assert path.read_text(encoding="utf-8") == "net.core.somaxconn = 9\n"
    host.run("ip_forward", sysctl_file=str(path), state="absent")
    assert path.read_text(encoding="utf-8") == "net.core.somaxconn = 9\n"


def test_a_link_among_the_namespaces(host: lab.Host) -> None:
    """Taking away a name that is a link takes away the link, and not the namespace that it leads to."""
    host.run("host_network", **WEB)
    inode = os.stat("/run/netns/web").st_ino
    for name, target in (("alias", "/run/netns/web"), ("nowhere", "/run/netns/gone"), ("file", "/etc/resolv.conf")):
        Path("/run/netns", name).symlink_to(target)
    assert host.run("host_network_info")["endpoints"]
    assert not host.run("host_network", **WEB)["changed"]
    for name in ("alias", "nowhere", "file"):
        namespaces.delete(f"/run/netns/{name}")
        assert not Path("/run/netns", name).is_symlink()
    assert os.stat("/run/netns/web").st_ino == inode and Path("/etc/resolv.conf").exists()
    with lab.serve("web", 80):
        assert lab.probe(host, "172.17.0.2", 80) == "open, from=172.17.0.1"
    host.run("host_network", purge=True, bridges=[], endpoints=[])
    assert not Path("/run/netns/web").exists()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes(host: lab.Host, umask: int) -> None:
    """Whatever the umask: readable by all, writable by root alone, directories too."""
    Path("/etc/netns").rmdir()
    old = os.umask(umask)
    try:
        host.run("host_network", ip_forward={}, **WEB)
    finally:
        os.umask(old)
    files = [*(f"/etc/netns/web/{name}" for name in FILES), "/etc/sysctl.d/99-hostnet-docker.conf"]
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in files} == {0o644}
    assert {stat.S_IMODE(os.stat(path).st_mode) for path in ("/etc/netns", "/etc/netns/web")} == {0o755}


def test_files_are_replaced_as_a_whole(host: lab.Host) -> None:
    """Who has the old file open goes on reading the old text; there is no moment with half of the new one."""
    host.run("host_network", **WEB)
    path = Path("/etc/netns/web/hosts")
    with path.open(encoding="utf-8") as old:
        text, inode = path.read_text(encoding="utf-8"), path.stat().st_ino
        host.run("host_network", bridges=[{"name": "docker0"}], endpoints=[{"name": "web", "hostname": "other"}])
        assert old.read() == text
    assert path.stat().st_ino != inode and "other" in path.read_text(encoding="utf-8")
    assert sorted(entry.name for entry in path.parent.iterdir()) == sorted(FILES)


NAMES = [
    "../web",
    "/web",
    "..",
    ".",
    "-rf",
    "--help",
    "a/b",
    "a\nb",
    "a\0b",
    "a b",
    "$(touch${IFS}x)",
    "`id`",
    ";id",
    "a|b",
    "",
    "é",
]


def test_names_that_lead_out_or_mean_something(host: lab.Host) -> None:
    """No name of an endpoint leaves /run/netns and /etc/netns, or is an option or a command of anything."""
    before, network = everything("/run/netns", "/etc/netns"), lab.snapshot(host)
    for name in NAMES:
        options = {"bridges": [{"name": "docker0"}], "endpoints": [{"name": name}]}
        assert "endpoints[0].name" in host.run("host_network", fails=True, **options)["msg"], name
    for name in NAMES[:4]:
        gone = {"bridges": [{"name": "docker0"}], "endpoints": [{"name": name, "state": "absent"}]}
        assert "endpoints[0].name" in host.run("host_network", fails=True, **gone)["msg"], name
        for option, given in (("netns", f"/run/netns/{name}"), ("network_mode", f"container:{name}")):
            options = {"bridges": [{"name": "docker0"}], "endpoints": [{"name": "web", option: given}]}
            assert f"endpoints[0].{option}" in host.run("host_network", fails=True, **options)["msg"], name
    assert everything("/run/netns", "/etc/netns") == before
    assert not lab.difference(network, lab.snapshot(host))


def test_names_with_words_of_shells(each_backend: lab.Host) -> None:
    """An interface's name may have them: it arrives as one argument everywhere, and nobody runs it."""
    host, odd = each_backend, "$(id);`x`|{a}#&"
    options = {
        "ip_forward": {"keep_forwarding": [odd]},
        "bridges": [{"name": "br-a_b.c", "trusted_host_interfaces": [odd]}],
        "endpoints": [
            {"name": "web", "bridge": "br-a_b.c", "interface": odd, "host_interface": odd, "published_ports": ["80:80"]}
        ],
        "user_rules": [{"name": "r", "action": "drop", "in_interface": odd, "source": "203.0.113.0/24"}],
    }
    assert host.run("host_network", **options)["changed"]
    assert not host.run("host_network", **options)["changed"]
    assert (
        odd in host.rules() and f": {odd}@" in host.sh(["ip", "link"]) and f": {odd}@" in lab.sh("web", ["ip", "link"])
    )
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "192.0.2.1", 80) == "open, from=192.0.2.254"
    host.run("host_network", purge=True, bridges=[], endpoints=[], user_rules=[], ip_forward={"state": "absent"})
    assert odd not in host.rules()


def test_bytes_that_are_no_text(each_backend: lab.Host) -> None:
    """Foreign comments and files may be of any encoding: read, shown in a diff, and kept as they were."""
    host = each_backend
    host.run("host_network", ip_forward={}, **WEB)
    resolv = b"# caf\xe9\nnameserver 192.0.2.53\nsortlist \xff\n"
    Path("/etc/resolv.conf").write_bytes(resolv)
    comment = b"caf\xe9 \xff"
    if host.backend == "nftables":
        command = [
            b"nft",
            b'add rule ip docker-bridges filter-FORWARD ip saddr 203.0.113.9 counter drop comment "' + comment + b'"',
        ]
    else:
        command = b"iptables -I FORWARD -s 203.0.113.9 -m comment --comment".split() + [comment, b"-j", b"DROP"]
    subprocess.run([b"nsenter", f"--net=/run/netns/{host.name}".encode(), *command], env=host.environ, check=True)
    again = {
        "bridges": [{"name": "docker0", "icc": False}],
        "endpoints": [{"name": "db", "published_ports": ["90:90"]}],
    }
    for options in (again, WEB):
        assert host.run("host_network", diff=True, **options)["diff"]
    listing = ["nft", "list", "ruleset"] if host.backend == "nftables" else ["iptables-save"]
    command = ["nsenter", f"--net=/run/netns/{host.name}", *listing]
    done = subprocess.run(command, env=host.environ, capture_output=True, check=True)
    assert done.stdout.count(comment) == 1 and Path("/etc/resolv.conf").read_bytes() == resolv
    assert b"\xff" in Path("/etc/netns/db/resolv.conf").read_bytes()
    assert host.run("host_network_info")["endpoints"]
