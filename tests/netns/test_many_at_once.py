# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eight runs on one host at the same time, while other programs write rules and links as fast as they can."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List

import lab
import scenes

_RUNS = 8
# A rule that stays, at alternating ends of a chain of Docker's and of a built-in one; one that comes and goes; a link.
_NOISE = """\
number=0
while [ -e {flag} ] && [ $number -lt 200 ]; do
    number=$((number + 1))
    iptables -w -A FORWARD -s 203.0.113.$number -j DROP || exit 1
    iptables -w -I {chain} -s 198.51.100.$number -j DROP || exit 1
    iptables -w -t nat -I POSTROUTING -s 203.0.113.255 -j RETURN || exit 1
    ip link add noise$number type bridge || exit 1
    ip addr add 198.18.$number.1/24 dev noise$number || exit 1
    iptables -w -t nat -D POSTROUTING -s 203.0.113.255 -j RETURN || exit 1
    ip link del noise$number || exit 1
done
echo $number
"""
_NFT_NOISE = """\
nft 'add table ip docker-bridges; add chain ip docker-bridges filter-FORWARD'
number=0
while [ -e {flag} ] && [ $number -lt 200 ]; do
    number=$((number + 1))
    nft add rule ip docker-bridges filter-FORWARD ip saddr 203.0.113.$number drop || exit 1
    nft insert rule ip docker-bridges filter-FORWARD ip saddr 198.51.100.$number drop || exit 1
    ip link add noise$number type bridge || exit 1
    ip addr add 198.18.$number.1/24 dev noise$number || exit 1
    ip link del noise$number || exit 1
done
echo $number
"""


def _items(number: int) -> Dict[str, Any]:
    """What one of the runs is about: a bridge, an endpoint and a port that no other has."""
    return {
        "bridges": [{"name": f"br{number}", "bip": f"10.20.{number}.1/24"}],
        "endpoints": [
            {"name": f"e{number}", "bridge": f"br{number}", "published_ports": [f"{9000 + number}:80"]},
        ],
    }


_ALL = {
    "ip_forward": {},
    **{kind: [item for number in range(_RUNS) for item in _items(number)[kind]] for kind in ("bridges", "endpoints")},
}


@contextlib.contextmanager
def noise(host: lab.Host, tmp_path: Path) -> Iterator[List[int]]:
    """Other programs at work meanwhile; the list is filled with the number of their rounds at the end."""
    flag = tmp_path / "flag"
    flag.touch()
    script = (_NFT_NOISE if host.backend else _NOISE).format(flag=flag, chain="FORWARD")
    words = ["nsenter", f"--net=/run/netns/{host.name}", "--", "sh", "-c", script]
    process = subprocess.Popen(words, env=host.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    rounds: List[int] = []
    try:
        yield rounds
    finally:
        flag.unlink()
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    rounds.append(int(out))


def intact(host: lab.Host, rounds: int) -> None:
    """The others' rules are all there, once, in their order; no rule of ours is there twice."""
    rules = host.sh("nft list chain ip docker-bridges filter-FORWARD") if host.backend else host.save()
    for net, numbers in (("203.0.113", range(1, rounds + 1)), ("198.51.100", range(rounds, 0, -1))):
        assert re.findall(rf"{re.escape(net)}\.(\d+)(?:/32)? (?:counter |-j )?(?:drop|DROP)", rules) == list(
            map(str, numbers)
        )
    for family in ("ip", "ip6"):
        table = ""
        seen: Counter[str] = Counter()
        for line in host.save(family).splitlines():
            table = line if line.startswith("*") else table
            seen[f"{table} {line}"] += line.startswith("-A")
        assert [line for line, count in seen.items() if count > 1] == []


def succeeded(results: List[Dict[str, Any]]) -> int:
    """How many of the runs changed something; none failed."""
    assert [result["msg"] for result in results if result.get("failed")] == []
    return sum(result["changed"] for result in results)


def test_different_items(each_backend: lab.Host, tmp_path: Path) -> None:
    host = each_backend
    with noise(host, tmp_path) as rounds:
        results = host.run_together([("host_network", _items(number)) for number in range(_RUNS)])
        assert succeeded(results) == _RUNS
        gone = [("veth_endpoint", {"name": f"e{number}", "state": "absent"}) for number in range(_RUNS // 2)]
        more = [
            (
                "port_publish",
                {"endpoint": f"e{number}", "published_ports": [f"{9000 + number}:80", f"{9100 + number}:90"]},
            )
            for number in range(_RUNS // 2, _RUNS)
        ]
        assert succeeded(host.run_together([*gone, *more])) == _RUNS
        assert succeeded(host.run_together([("host_network", _items(number)) for number in range(_RUNS)])) == _RUNS
    assert rounds[0] > 3
    intact(host, rounds[0])
    assert host.run("host_network", check=True, purge=True, **_ALL)["changes"] == host.run("ip_forward")["changes"]
    with lab.serve("e7", 80):
        assert lab.probe(host.lan, "192.0.2.1", 9007) == "open, from=192.0.2.254"


def test_the_same_items(each_backend: lab.Host, tmp_path: Path) -> None:
    """One run does it all, the others find it done."""
    host = each_backend
    with noise(host, tmp_path) as rounds:
        assert succeeded(host.run_together([("host_network", _ALL)] * _RUNS)) == 1
        assert succeeded(host.run_together([("host_network", _items(0))] * _RUNS)) == 0
    intact(host, rounds[0])
    assert not host.run("host_network", check=True, purge=True, **_ALL)["changed"]


def test_a_lock_that_is_not_released(host: lab.Host) -> None:
    """The only error of a run that comes at the wrong time says what to do, and the host is as it was."""
    host.run("host_network", **_items(0))
    before = scenes.whole(host)
    path = f"/run/lock/hostnet-docker-{os.stat(f'/run/netns/{host.name}').st_ino}.lock"
    handle = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        results = host.run_together(
            [("host_network", {**_items(number), "lock_timeout": 1}) for number in range(_RUNS)]
        )
    finally:
        os.close(handle)
    messages = {result["msg"] for result in results}
    assert messages == {f"lock {path}: another run holds it; wait for its end, or give a longer lock_timeout"}
    assert not lab.difference(before, scenes.whole(host))
    assert succeeded(host.run_together([("host_network", _items(number)) for number in range(_RUNS)])) == _RUNS - 1
