# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings inside namespaces are the namespaces' own, through a /proc of the run's and through the mounted one."""

from __future__ import annotations

import errno
import json
from typing import Any, Dict

import pytest

import lab

ENDPOINTS = [{"name": name} for name in ("a", "b", "c")]


def _run(host: lab.Host, is_refused: bool) -> Dict[str, Any]:
    """Three endpoints, with a fresh /proc for each visit, or where the kernel makes none."""

    def child() -> None:
        from ansible_collections.hostnet.docker.plugins.module_utils._kernel import detached, sysctl

        def refused(_kind: str) -> int:
            raise OSError(errno.EPERM, "refused by the test")

        sysctl._FEW = 1
        if is_refused:
            detached.root = refused
        host._in_child("veth_endpoint", False, False, {"endpoints": ENDPOINTS})

    done = lab.forked(child)
    assert done["status"] == 0, done["stdout"] + done["stderr"]
    result: Dict[str, Any] = json.loads(done["stdout"].strip().splitlines()[-1])
    return result


@pytest.mark.parametrize("is_refused", [False, True])
def test_settings_of_each_namespace(host: lab.Host, is_refused: bool) -> None:
    host.run("docker_bridge", name="docker0")
    assert _run(host, is_refused)["changed"]
    path = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    assert [lab.sh(name, f"cat {path}") for name in "abc"] == ["0\n"] * 3
    assert lab.sh(host, f"cat {path}") == "1024\n"
    assert not _run(host, is_refused)["changed"]
    lab.sh("b", f"echo 7 > {path}")
    changes = _run(host, is_refused)["changes"]
    assert [change for change in changes if "port_start" in change] and len(changes) == 1
    assert lab.sh("b", f"cat {path}") == "0\n"
