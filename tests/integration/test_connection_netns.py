# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection plugin hostnet.docker.netns under the real ansible: a host with names and files of its own."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Dict

import pytest

import lab
import playbook

NETNS = "hostnet.docker.netns"
# Two hosts on one control node, which agree in every name.
WEB = """
- hosts: all
  gather_facts: false
  tasks:
    - hostnet.docker.host_network:
        ip_forward: {}
        bridges: [{name: docker0}]
        endpoints: [{name: web, published_ports: ["8080:80"]}]
"""


def _run(host: lab.Host, tasks: str, environ: Dict[str, str] | None = None, **variables: Any) -> playbook.Run:
    """Run tasks on the host by the connection, from outside of it."""
    return playbook.run(host, tasks, environ, **{"ansible_connection": NETNS, **variables})


@pytest.mark.versions
@pytest.mark.playbook
def test_modules_run_inside_and_files_are_the_control_nodes(host: lab.Host, tmp_path: Path) -> None:
    run = _run(
        host,
        f"""
        - ansible.builtin.ping:
        - ansible.builtin.command: ip -o link show eth0
          register: link
        - ansible.builtin.command: readlink /proc/self/ns/net /proc/self/ns/mnt
          register: spaces
        - ansible.builtin.copy: {{content: "{{{{ spaces.stdout }}}}", dest: {tmp_path}/spaces}}
        - ansible.builtin.fetch: {{src: {tmp_path}/spaces, dest: {tmp_path}/fetched, flat: true}}
        - ansible.builtin.command: ls /sys/class/net
          register: devices
        - ansible.builtin.assert:
            that: ["'eth0' in link.stdout", "'eth0' in devices.stdout_lines"]
        """,
    )
    assert run.status == 0, run.text
    own = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("net", "mnt")]
    net, mnt = (tmp_path / "fetched").read_text().split()
    assert net != own[0] and mnt != own[1]
    assert net in host.sh("readlink /proc/self/ns/net")


@pytest.mark.slow("/etc/netns")
@pytest.mark.parametrize("place", ["/run", "/etc/netns", "/etc/sysctl.d"])
def test_files_of_the_hosts_own(host: lab.Host, place: str, tmp_path: Path) -> None:
    """What goes there and comes from there is the host's, with pipelining and without, and lasts."""
    theirs = Path(place, "note")
    theirs.write_text("the control node's")
    tasks = f"""
        - ansible.builtin.stat: {{path: {theirs}}}
          register: before
        - ansible.builtin.copy: {{content: "the host's", dest: {theirs}}}
        - ansible.builtin.fetch: {{src: {theirs}, dest: {tmp_path}/fetched, flat: true}}
        - ansible.builtin.assert: {{that: not before.stat.exists}}
        """
    run = _run(host, tasks, {"ANSIBLE_PIPELINING": "0"}, ansible_remote_tmp="/run/ansible")
    assert run.status == 0, run.text
    assert theirs.read_text() == "the control node's" and (tmp_path / "fetched").read_text() == "the host's"
    assert _run(host, f"- ansible.builtin.command: grep -q host {theirs}").status == 0
    theirs.unlink()


def test_two_hosts_with_one_endpoint_name(isolated: None) -> None:
    first, second = lab.new_host(), lab.new_host()
    for _again in range(2):
        run = playbook.run_fleet({first: {}, second: {}}, WEB, [])
        assert run.status == 0, run.text
    assert len(re.findall(r"changed=0 ", run.text)) == 2
    assert not Path("/run/netns/web").exists() and not Path("/etc/netns/web").exists()
    with lab.serve(first.inner("web"), 80):
        assert lab.probe(first.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
        assert lab.probe(first, "127.0.0.1", 8080) == "open, from=172.17.0.1"
        assert lab.probe(second.lan, "192.0.2.1", 8080) == "refused"
    with lab.serve(second.inner("web"), 80):
        assert lab.probe(second.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"


def test_a_later_namespace_of_the_same_name_is_another_host(host: lab.Host) -> None:
    """Nothing of the former one is found, and nothing of it is kept."""
    subprocess.run(["ip", "netns", "add", "lab"], check=True)
    assert _run(host, "- ansible.builtin.command: touch /run/mine", ansible_netns="lab").status == 0
    assert _run(host, "- ansible.builtin.command: ls /run/mine", ansible_netns="lab").status == 0
    for command in (["delete", "lab"], ["add", "lab"], ["add", "third"]):
        subprocess.run(["ip", "netns", *command], check=True)
    assert _run(host, "- ansible.builtin.command: ls /run/mine", ansible_netns="lab").status != 0
    subprocess.run(["ip", "netns", "delete", "lab"], check=True)
    assert _run(host, "- ansible.builtin.ping:", ansible_netns="third").status == 0
    assert sorted(path.name for path in lab.KEPT.iterdir()) == [".third", "third"]


def test_a_control_node_without_these_directories_gets_none(host: lab.Host) -> None:
    """Then all of the host's /etc is a copy in memory."""
    Path("/etc/netns").rmdir()
    try:
        run = _run(host, "- ansible.builtin.command: touch /etc/netns/there /etc/there")
        assert run.status == 0, run.text
        assert not Path("/etc/netns").exists() and not Path("/etc/there").exists()
    finally:
        Path("/etc/netns").mkdir()


def test_become(host: lab.Host) -> None:
    tried = subprocess.run(["su", "nobody", "-s", "/bin/sh", "-c", "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        lab.missing("su to nobody does not work here")
    tasks = """
        - ansible.builtin.raw: id -un; ip -o link show eth0
          become: true
          become_user: nobody
          become_method: ansible.builtin.su
          vars: {ansible_become_flags: "-s /bin/sh"}
          register: who
        - ansible.builtin.assert:
            that: "who.stdout_lines[0] == 'nobody' and 'eth0' in who.stdout"
        """
    run = _run(host, tasks)
    assert run.status == 0, run.text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone", "create it with: ip netns add gone"),
        ("../../etc", "is no name of a network namespace"),
        (".hidden", "is no name of a network namespace"),
        ("a;cd;touch injected", "No such file or directory"),
    ],
)
def test_bad_names(host: lab.Host, name: str, words: str, tmp_path: Path) -> None:
    run = _run(host, "- ansible.builtin.ping:", {"HOME": str(tmp_path)}, ansible_netns=name)
    assert run.status != 0 and words in run.flat
    assert not (tmp_path / "injected").exists()


def test_a_name_with_shell_words_is_a_name(host: lab.Host, tmp_path: Path) -> None:
    odd = "it's $(odd); name"
    subprocess.run(["ip", "netns", "add", odd], check=True)
    run = _run(host, "- ansible.builtin.raw: readlink /proc/self/ns/net", ansible_netns=odd)
    assert run.status == 0, run.text


def test_file_that_is_no_namespace(host: lab.Host) -> None:
    Path("/run/netns/stale").touch()
    run = _run(host, "- ansible.builtin.ping:", ansible_netns="stale")
    assert run.status != 0 and "remove it with: ip netns delete stale" in run.flat


def test_no_nsenter(host: lab.Host) -> None:
    run = _run(host, "- ansible.builtin.ping:", ansible_netns_nsenter="no-such-program")
    assert run.status != 0 and "install the package util-linux" in run.flat
