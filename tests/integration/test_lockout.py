# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``docker_host_confirm_timeout`` over a real ssh connection: a change that cuts it off is undone by the host."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import lab
import sshd

pytestmark = pytest.mark.slow()

CONVERGE = "hostnet.docker.converge"


def test_a_change_that_locks_out_is_undone(host: lab.Host, tmp_path: Path) -> None:
    """The bridge's subnet is the controller's: the host's answers go into the bridge from then on."""
    before = host.save()
    with sshd.controller(host, tmp_path, "198.51.100.7") as controller:
        assert controller.gets_through()
        bridges = [{"name": "docker0", "bip": "198.51.100.1/24"}]
        run = controller.play(CONVERGE, docker_host_bridges=bridges, docker_host_confirm_timeout=25)
        assert run.status == 4 and "UNREACHABLE" in run.text, run.text
        assert "198.51.100.1/24" in host.sh("ip -4 address show docker0")
        assert not controller.gets_through()
        deadline = time.monotonic() + 60
        while "docker0" in host.sh("ip -br link"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert controller.gets_through()
    rules = [line for line in host.save().splitlines() if line.startswith("-A")]
    assert rules == [line for line in before.splitlines() if line.startswith("-A")]


def test_a_change_that_does_not_is_confirmed(host: lab.Host, tmp_path: Path) -> None:
    with sshd.controller(host, tmp_path, "198.51.100.7") as controller:
        run = controller.play(CONVERGE, docker_host_confirm_timeout=60)
        assert run.status == 0 and run.recap("changed") == 1, run.text
        # The connection that made the change, and the one that confirmed it.
        assert (tmp_path / "sshd.log").read_text().count("Accepted publickey") == 2
        assert not list(Path("/run/hostnet-docker").iterdir())
        again = controller.play(CONVERGE, docker_host_confirm_timeout=60)
        assert again.recap("changed") == 0 and "Hang up" not in again.text, again.text
