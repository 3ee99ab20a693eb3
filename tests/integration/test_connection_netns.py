# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection plugin hostnet.docker.netns under the real ansible."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import lab
import playbook


@pytest.mark.versions
@pytest.mark.playbook
def test_modules_run_inside_and_files_are_the_control_nodes(host: lab.Host, tmp_path: Path) -> None:
    run = playbook.run(
        host,
        f"""
        - ansible.builtin.ping:
        - ansible.builtin.command: ip -o link show eth0
          register: link
        - ansible.builtin.command: readlink /proc/self/ns/net /proc/self/ns/mnt
          register: spaces
        - ansible.builtin.copy: {{content: "{{{{ spaces.stdout }}}}", dest: {tmp_path}/spaces}}
        - ansible.builtin.fetch: {{src: {tmp_path}/spaces, dest: {tmp_path}/fetched, flat: true}}
        - ansible.builtin.assert:
            that: "'eth0' in link.stdout"
        """,
    )
    assert run.status == 0, run.text
    own = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in ("net", "mnt")]
    net, mnt = (tmp_path / "fetched").read_text().split()
    assert net != own[0] and mnt == own[1]
    assert net in host.sh("readlink /proc/self/ns/net")


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
    run = playbook.run(host, tasks)
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
    run = playbook.run(host, "- ansible.builtin.ping:", {"HOME": str(tmp_path)}, ansible_netns=name)
    assert run.status != 0 and words in run.flat
    assert not (tmp_path / "injected").exists()


def test_a_name_with_shell_words_is_a_name(host: lab.Host, tmp_path: Path) -> None:
    odd = "it's $(odd); name"
    subprocess.run(["ip", "netns", "add", odd], check=True)
    run = playbook.run(host, "- ansible.builtin.raw: readlink /proc/self/ns/net", ansible_netns=odd)
    assert run.status == 0, run.text


def test_file_that_is_no_namespace(host: lab.Host) -> None:
    Path("/run/netns/stale").touch()
    run = playbook.run(host, "- ansible.builtin.ping:", ansible_netns="stale")
    assert run.status != 0 and "remove it with: ip netns delete stale" in run.flat


def test_no_nsenter(host: lab.Host) -> None:
    run = playbook.run(host, "- ansible.builtin.ping:", ansible_netns_nsenter="no-such-program")
    assert run.status != 0 and "install the package util-linux" in run.flat
