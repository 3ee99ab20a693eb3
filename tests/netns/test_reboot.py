# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a reboot: the program that the unit runs brings the same state back on an empty host, without Ansible."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict

import pyroute2
import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.hostnet.docker.plugins.module_utils import _specs
from ansible_collections.hostnet.docker.plugins.module_utils._layout.describe import desired_state

import lab

ROLE = Path(__file__).resolve().parents[2] / "roles" / "docker_host"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The packed program, as the role installs it."""
    target = tmp_path / "hostnet-docker.pyz"
    subprocess.run([sys.executable, str(ROLE / "files" / "bundle.py"), str(target)], check=True)
    return target


OPTIONS: Dict[str, Any] = {
    "ip_forward": {"ipv6": True, "persist": False},
    "bridges": [{"name": "docker0", "ipv6": True, "icc": False}, {"name": "back", "internal": True}],
    "endpoints": [
        {"name": "web", "published_ports": ["8080:80", "443"], "publish_all_ports": False},
        {"name": "db", "bridge": "back"},
    ],
}


def _kept(result: Dict[str, Any], **options: Any) -> str:
    """What the role notes of a run for the boot."""
    validator = ArgumentSpecValidator({**_specs.HOST, **_specs.BACKEND, **_specs.LOCK})
    return json.dumps(desired_state(validator.validate(options).validated_parameters, result))


def _state(host: lab.Host) -> Dict[str, Any]:
    """Rules, addresses and devices; indexes and link-local addresses are chance."""
    addresses = host.sh("ip -br addr")
    web = lab.sh("web", "ip -br addr; ip -4 route; ip -6 route show default")
    return {
        "rules": [host.save("ip"), host.save("ip6")],
        "addresses": re.sub(r"fe80:\S+|@if\d+", "", addresses),
        "web": re.sub(r"fe80:\S+|@if\d+", "", web),
        "files": Path("/etc/netns/web/hosts").read_text(),
    }


def test_same_state_on_an_empty_host(host: lab.Host, program: Path, tmp_path: Path) -> None:
    result = host.run("host_network", **OPTIONS)
    kept = tmp_path / "host.json"
    kept.write_text(_kept(result, **OPTIONS))
    before = _state(host)
    lab.clear()
    other = lab.new_host()
    # The first free pool would be another one now.
    other.sh("ip addr add 172.17.5.1/24 dev lo")
    other.sh("ip addr del 172.17.5.1/24 dev lo")
    command = ["env", f"PYTHONPATH={Path(pyroute2.__file__).parents[1]}", sys.executable, str(program), str(kept)]
    assert "create link host docker0" in other.sh(command)
    assert _state(other) == before
    assert other.sh(command) == ""


def test_the_policy_that_a_run_set(host: lab.Host, program: Path, tmp_path: Path) -> None:
    """sysctl switches forwarding on before the program runs, by our file: the policy is still the one that we set."""
    command = ["env", f"PYTHONPATH={Path(pyroute2.__file__).parents[1]}", sys.executable, str(program)]
    kept = tmp_path / "host.json"
    options = {**OPTIONS, "ip_forward": {"ipv6": True}}
    result = host.run("host_network", **options)
    kept.write_text(_kept(result, **options))
    before, file = _state(host), Path("/etc/sysctl.d/99-hostnet-docker.conf").read_text()
    lab.clear()
    other = lab.new_host()
    Path("/etc/sysctl.d/99-hostnet-docker.conf").write_text(file)
    other.sh("sysctl -qp /etc/sysctl.d/99-hostnet-docker.conf")
    assert "policy ip6/filter FORWARD" in other.sh([*command, str(kept)])
    assert _state(other) == before and ":FORWARD DROP" in other.save()
    assert Path("/etc/sysctl.d/99-hostnet-docker.conf").read_text() == file


def test_the_program_needs_no_ansible(program: Path) -> None:
    with zipfile.ZipFile(program) as bundle:
        names = bundle.namelist()
        assert not any("ansible.module_utils" in bundle.read(name).decode() for name in names)
    assert "hostnet_docker/_restore.py" in names


def test_errors_are_one_line(host: lab.Host, program: Path, tmp_path: Path) -> None:
    kept = tmp_path / "host.json"
    kept.write_text("{")
    done = subprocess.run([sys.executable, str(program), str(kept)], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stderr.startswith("hostnet-docker: ") and "Traceback" not in done.stderr
    assert subprocess.run([sys.executable, str(program)], capture_output=True, check=False).returncode == 2


def test_packing_is_reproducible(program: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pyz"
    subprocess.run([sys.executable, str(ROLE / "files" / "bundle.py"), str(again)], check=True)
    assert again.read_bytes() == program.read_bytes()
