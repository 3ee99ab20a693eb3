# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role and the playbooks under the real ansible-playbook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Dict, List

import pytest

import drifts
import lab
import playbook
import scenes
from drifts_iptables import IPTABLES
from drifts_nftables import NFTABLES

CONVERGE, DRIFT = "hostnet.docker.converge", "hostnet.docker.drift"
WEB = [{"name": "web", "published_ports": ["8080:80"]}]


def test_no_variables_is_a_fresh_docker_install(each_host: lab.Host) -> None:
    run = playbook.run_file(each_host, CONVERGE, [])
    assert run.status == 0, run.text
    assert "172.17.0.1/16" in each_host.sh("ip -4 address show docker0")
    assert each_host.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding") == "1\n0\n"
    assert "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE" in each_host.save()
    assert playbook.run_file(each_host, CONVERGE, []).recap("changed") == 0


def test_packages_that_are_there_are_not_looked_for(host: lab.Host) -> None:
    run = playbook.run_file(host, CONVERGE, ["--check"], docker_host_packages=True)
    assert run.status == 0, run.text
    assert re.search(r"Install what the host lacks\] \*+\nskipping", run.text)


def test_packages_that_are_missing_are_named(host: lab.Host, tmp_path: Path) -> None:
    """In check mode, which installs nothing: pyroute2 is hidden from the host's Python."""
    tmp_path.joinpath("pyroute2.py").write_text("raise ImportError('hidden')\n")
    play = f"- hosts: all\n  gather_facts: false\n  environment: {{PYTHONPATH: {tmp_path}}}\n"
    play += "  roles: [{role: hostnet.docker.docker_host, docker_host_packages: true}]\n"
    run = playbook.run_file(host, play, ["--check"])
    assert "failed=0" in run.text and "Ask the host for its Python" in run.text
    run = playbook.run_file(host, play.replace("packages: true", "packages: false"), ["--check"])
    assert run.status != 0 and "pyroute2" in run.flat


@pytest.mark.versions
@pytest.mark.playbook
def test_life_of_an_endpoint(host: lab.Host) -> None:
    before = host.save()
    run = playbook.run_file(host, CONVERGE, [], docker_host_endpoints=WEB)
    assert run.status == 0, run.text
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
    assert playbook.run_file(host, CONVERGE, [], docker_host_endpoints=WEB).recap("changed") == 0

    gone = {"docker_host_endpoints": WEB, "docker_host_state": "absent"}
    assert playbook.run_file(host, CONVERGE, [], **gone).status == 0
    assert "docker0" not in host.sh("ip link") and "web" not in host.sh("ip netns")
    assert _rules(host.save()) == _rules(before)
    assert playbook.run_file(host, CONVERGE, [], **gone).recap("changed") == 0


def test_ipv6_of_a_bridge_turns_ipv6_forwarding_on(host: lab.Host) -> None:
    bridges = [{"name": "docker0", "enable_ipv6": True, "fixed_cidr_v6": "2001:db8:5::/64"}]
    run = playbook.run_file(host, CONVERGE, [], docker_host_bridges=bridges)
    assert run.status == 0, run.text
    assert host.sh("cat /proc/sys/net/ipv6/conf/all/forwarding") == "1\n"


def test_options_are_checked(host: lab.Host) -> None:
    run = playbook.run_file(host, CONVERGE, [], docker_host_bridges=[{"name": "docker0", "subnet": "10.0.0.0/8"}])
    assert run.status != 0 and "subnet" in run.flat
    assert "docker0" not in host.sh("ip link")


def test_drift_reports_and_never_writes(host: lab.Host) -> None:
    before = lab.snapshot(host)
    for arguments in ([], ["--check"]):
        run = playbook.run_file(host, DRIFT, arguments)
        assert run.status == 2, run.text
        artifact = _artifact(run)
        assert artifact["drifted"] == [host.name] and not artifact["clean"] + artifact["unknown"]
        assert len(artifact["changes"][host.name]) == 21 and artifact["changes"][host.name][-1].endswith(" more")
        assert "create link host docker0" in run.flat
        assert f"{host.name} is not as declared" in run.flat
    assert not lab.difference(before, lab.snapshot(host))


@pytest.mark.versions
@pytest.mark.playbook
def test_no_drift(host: lab.Host) -> None:
    assert playbook.run_file(host, CONVERGE, []).status == 0
    run = playbook.run_file(host, DRIFT, [])
    assert run.status == 0, run.text
    artifact = _artifact(run)
    assert artifact.pop("checked_at") and set(artifact.pop("counts").values()) == {0}
    assert artifact == {"drifted": [], "clean": [host.name], "unknown": [], "changes": {}}
    host.sh("iptables -t nat -F POSTROUTING")
    assert playbook.run_file(host, DRIFT, []).status == 2


# They take away what others change.
_SWEEPING = {"bridge-gone", "veth-gone", "veth-down", "inside-down", "namespace-gone", "table-flushed", "bridge-down"}


def _unlike(made: List[drifts.Drift]) -> List[drifts.Drift]:
    """Of ways to change a host those that come first for each object, so that none hides another."""
    found: Dict[str, drifts.Drift] = {}
    for drift in made:
        objects = {_object(line).partition(" ")[2] for line in drift.changes}
        if drift.name not in _SWEEPING and not objects & set(found):
            found.update(dict.fromkeys(objects, drift))
    return list(dict.fromkeys(found.values()))


@pytest.mark.slow("nft")
@pytest.mark.parametrize("backend", ["nft", "nftables"])
def test_a_host_changed_in_thirty_ways(isolated: None, backend: str) -> None:
    """The drift playbook names what each of them did, and converging ends them all."""
    host = lab.new_host("nft", "nftables" if backend == "nftables" else None)
    rules = NFTABLES if backend == "nftables" else IPTABLES
    made = _unlike([*drifts.DEVICES, *rules])
    declared = {f"docker_host_{name}": value for name, value in drifts.DECLARED.items()}
    declared["docker_host_firewall_backend"] = host.backend or "auto"
    assert playbook.run_file(host, CONVERGE, [], **declared).status == 0
    before = scenes.whole(host)
    for drift in made:
        host.sh(drifts.PRELUDE + drift.by_hand)
    run = playbook.run_file(host, DRIFT, [], **declared)
    assert run.status == 2 and len(made) >= 30
    assert [line for drift in made for line in drift.changes if _object(line) not in run.flat] == []
    assert playbook.run_file(host, CONVERGE, [], **declared).recap("changed") == 1
    assert playbook.run_file(host, DRIFT, [], **declared).status == 0
    wrong = scenes.differs(_unordered(before), lambda: _unordered(scenes.whole(host)))
    assert not wrong, wrong


def _object(line: str) -> str:
    """What a change is about, without how much of it and from what to what."""
    return re.sub(r" \(.*\)$|:.* -> .*$", "", line)


def _unordered(parts: Dict[str, str]) -> Dict[str, str]:
    """The lines of a host's state; rules that came back stand elsewhere in their chains."""
    return {name: "\n".join(sorted(text.splitlines())) for name, text in parts.items()}


def test_a_squatter_is_drift(host: lab.Host) -> None:
    """Converging neither mends nor minds it."""
    assert playbook.run_file(host, CONVERGE, [], docker_host_endpoints=WEB).status == 0
    with lab.serve(host, 8080, "192.0.2.1"):
        run = playbook.run_file(host, DRIFT, [], docker_host_endpoints=WEB)
        assert run.status == 2 and "8080/tcp of endpoint web: " in run.flat, run.text
        assert playbook.run_file(host, CONVERGE, [], docker_host_endpoints=WEB).recap("changed") == 0
    assert playbook.run_file(host, DRIFT, [], docker_host_endpoints=WEB).status == 0


def test_drift_of_a_host_that_cannot_be_compared(host: lab.Host) -> None:
    run = playbook.run_file(host, DRIFT, [], docker_host_bridges=[{"name": "no/name"}])
    assert run.status == 2 and "could not be compared" in run.flat
    assert _artifact(run)["unknown"] == [host.name]


def _artifact(run: playbook.Run) -> dict:
    found = re.search(r"RUN: (\{.*\})", run.flat)
    assert found, run.text
    return json.loads(found.group(1))["hostnet_drift"]


def _rules(saved: str) -> list:
    return [line for line in saved.splitlines() if line.startswith("-A")]
