# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's unit under a real systemd: rules come back after those who flush them, and after a flush by hand."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import jinja2
import pytest
from ansible_collections.hostnet.docker.plugins.module_utils._layout.describe import desired_state

import daemons
import lab
import machine
import playbook
import strangers
import systemd

pytestmark = pytest.mark.slow()

ROLE = Path(__file__).resolve().parents[2] / "roles" / "docker_host"
OPTIONS: Dict[str, Any] = {
    "ip_forward": {},
    "bridges": [{"name": "docker0"}],
    "endpoints": [{"name": "web", "published_ports": ["8080:80"], "publish_all_ports": False}],
}
# What a host's own firewall does, in the place of a program that is not installed: it takes all rules away.
_FLUSHER = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=nft flush ruleset
ExecReload=nft flush ruleset
"""


def _pack(directory: Path, result: Dict[str, Any]) -> None:
    """The program and the state, as the role installs them."""
    state = desired_state(result["invocation"]["module_args"], result)
    (directory / "host.json").write_text(json.dumps(state))
    command = [sys.executable, str(ROLE / "files" / "bundle.py"), str(directory / "hostnet-docker.pyz")]
    subprocess.run(command, check=True)


def _install(units: Path, directory: Path) -> None:
    """The unit as the role installs it, and Debian's own of nftables."""
    (units / "hostnet-docker.service").write_text(_rendered("hostnet-docker.service", directory))
    (units / "netfilter-persistent.service").write_text(_FLUSHER)
    shutil.copy("/lib/systemd/system/nftables.service", units)
    # The manager of a user's units cannot give it a view of the files of its own.
    (units / "nftables.service.d").mkdir()
    (units / "nftables.service.d" / "view.conf").write_text("[Service]\nProtectSystem=no\nProtectHome=no\n")


def _rendered(name: str, directory: Path) -> str:
    """A unit as the role writes it."""
    template = jinja2.Template((ROLE / "templates" / f"{name}.j2").read_text(), trim_blocks=True)
    return template.render(
        docker_host_restore_unit=True,
        __docker_host_python=sys.executable,
        __docker_host_program=directory / "hostnet-docker.pyz",
        __docker_host_state_file=directory / "host.json",
    )


def _rules(host: lab.Host) -> str:
    """Our rules: the table of the host's own firewall comes and goes."""
    return host.sh("nft -s list table ip docker-bridges", check=False) if host.backend == "nftables" else host.save()


def _comes_back(host: lab.Host, rules: str) -> bool:
    deadline = time.monotonic() + 60
    while _rules(host) != rules:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _settle(manager: systemd.Manager) -> None:
    """Wait for the unit's end: the rules are there before, and what is flushed meanwhile it does not see."""
    deadline = time.monotonic() + 60
    while manager.ctl("show", "--property=ActiveState", "hostnet-docker").strip() != "ActiveState=active":
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
def test_rules_come_back(isolated: None, backend: str, tmp_path: Path) -> None:
    host = lab.new_host("nft", backend)
    result = host.run("host_network", **OPTIONS)
    with systemd.running(host, tmp_path) as manager:
        _pack(tmp_path, result)
        _install(manager.units, tmp_path)
        manager.ctl("daemon-reload")
        manager.ctl("enable", "hostnet-docker")
        manager.ctl("start", "nftables", "netfilter-persistent", "hostnet-docker")
        own = _rules(host)
        assert "8080" in own
        for verb in ("restart", "reload"):
            for flusher in ("nftables", "netfilter-persistent"):
                _settle(manager)
                manager.ctl(verb, flusher)
                assert _comes_back(host, own), f"{verb} {flusher}\n{_rules(host)}"
        _settle(manager)
        manager.ctl("stop", "nftables")
        assert "8080" not in _rules(host)
        manager.ctl("start", "nftables")
        assert _comes_back(host, own)
        host.sh("nft flush ruleset")
        manager.ctl("restart", "hostnet-docker")
        assert _comes_back(host, own)
        with lab.serve("web", 80):
            assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"


def test_rules_come_back_when_firewalld_reloads(host: lab.Host, tmp_path: Path) -> None:
    """The real firewalld flushes what iptables wrote and its zones; the unit's command hears of it, both are back."""
    unit = _rendered("hostnet-docker-firewalld.service", tmp_path)
    listener = shlex.split(next(line for line in unit.splitlines() if line.startswith("ExecStart="))[10:])
    with strangers.firewalld(host, tmp_path):
        _pack(tmp_path, host.run("host_network", **OPTIONS))
        host.sh("firewall-cmd --reload")
        assert "8080" not in host.save()
        host.run("host_network", **OPTIONS)
        own = host.save()
        with daemons.running(host, listener, {}) as process:
            daemons.until(lambda: "Monitoring" in daemons.log_of(listener).read_text(), process)
            host.sh("firewall-cmd --reload")
            assert _comes_back(host, own), host.save()
            daemons.until(lambda: "docker0" in host.sh("firewall-cmd --zone=docker --list-interfaces"), process)


def test_units_come_and_go(host: lab.Host) -> None:
    """The role's files, with a systemctl that only makes links, as where no systemd runs."""
    lab.need("systemctl")
    done = host.run("host_network", **OPTIONS)
    result = {"desired_state": desired_state(done["invocation"]["module_args"], done)}
    tasks = """
    - ansible.builtin.include_role:
        name: hostnet.docker.docker_host
        tasks_from: persist
        apply:
          environment:
            SYSTEMD_OFFLINE: "1"
      vars:
        __docker_host_program: /run/hostnet/lib/hostnet-docker.pyz
        __docker_host_state_file: /run/hostnet/etc/host.json
    """
    units = Path("/etc/systemd/system")
    with machine.managers_in_memory():
        units.mkdir()

        def installed(**variables: Any) -> List[str]:
            run = playbook.run(host, tasks, docker_host_result=result, **variables)
            assert run.status == 0, run.text
            changed.append(run.recap("changed"))
            return sorted(str(path.relative_to(units)) for path in units.rglob("*.service"))

        changed: List[int] = []
        plain = ["hostnet-docker.service", "multi-user.target.wants/hostnet-docker.service"]
        tied = installed(docker_host_restore_unit=True)
        assert {"nftables.service.wants/hostnet-docker.service", "hostnet-docker-firewalld.service"} <= set(tied)
        assert "firewalld.service.wants/hostnet-docker-firewalld.service" in tied
        assert installed(docker_host_restore_unit=True) == tied and changed[-1] == 0
        assert installed() == plain
        assert installed(docker_host_state="absent") == []
