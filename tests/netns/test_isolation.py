# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that a test does reaches the machine's own network and files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import lab
import machine


def test_machine_is_untouched(isolated: None, request: pytest.FixtureRequest) -> None:
    """Deliberately without a host: even what is done outside of one stays in the session's sandbox."""
    subprocess.run(["ip", "link", "add", "hostnet9", "type", "bridge"], check=True)
    subprocess.run([lab.need("iptables"), "-N", "HOSTNET-TEST"], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
    Path("/etc/sysctl.d/99-hostnet-test.conf").write_text("", encoding="ascii")
    subprocess.run(["ip", "netns", "add", "hostnet-test"], check=True)
    try:
        assert not machine.changes(request.config.stash[machine.BEFORE])
    finally:
        subprocess.run(["ip", "link", "delete", "hostnet9"], check=True)
        subprocess.run(["iptables", "-X", "HOSTNET-TEST"], check=True)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0", encoding="ascii")


def test_the_comparison_sees_a_change(request: pytest.FixtureRequest) -> None:
    before = request.config.stash[machine.BEFORE]
    if os.geteuid() != 0 or not before["record"]:
        pytest.skip("an ordinary user cannot come back from his user namespace, nor change anything outside")
    other = {**before, "record": {**before["record"], "files": "/etc/netns/gone\n"}}
    assert "/etc/netns/gone" in machine.changes(other)
