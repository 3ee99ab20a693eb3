# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces that were deleted a moment ago: the kernel still shows their host ends, and a run waits for their end."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import subprocess
import time
from typing import Any, Callable, Dict, Iterator

import pytest

import drifts
import lab

_KERNEL = f"{lab.COLLECTION}.plugins.module_utils._kernel"
BRIDGE = {"name": "docker0"}
WEB: Dict[str, Any] = {"name": "web", "published_ports": ["8080:80"]}
DB: Dict[str, Any] = {"name": "db", "ipv4_address": "172.17.0.9"}
STATE: Dict[str, Any] = {"ip_forward": {}, "bridges": [BRIDGE], "endpoints": [WEB, DB]}
# A namespace with this link goes first: what the kernel has to do after it took its links away keeps others waiting.
_FIRST = "first"
_MAKE_FIRST = f"ip netns add {_FIRST}; ip link add {_FIRST} type veth peer name eth0 netns {_FIRST}"


@pytest.fixture
def declared(each_backend: lab.Host) -> lab.Host:
    each_backend.run("host_network", **STATE)
    each_backend.sh(_MAKE_FIRST)
    return each_backend


def _at_the_moment(host: lab.Host, module: str, check: bool = False, **options: Any) -> Dict[str, Any]:
    """Run a module; db's namespace is deleted right before the host is read, and its host end is still there."""

    def child() -> None:
        rtnl, namespaces = (importlib.import_module(f"{_KERNEL}.{part}") for part in ("rtnl", "namespaces"))
        delete = functools.partial(_delete, rtnl.Netlink, namespaces.delete)
        rtnl.Netlink.read_host = _first_time(rtnl.Netlink.read_host, delete)
        host._in_child(module, check, False, host._with_backend(options))

    done = lab.forked(child)
    assert done["status"] in (0, 1), done["stderr"] + done["stdout"]
    result = json.loads(done["stdout"].strip().splitlines()[-1])
    assert not result.get("failed"), result["msg"]
    return dict(result)


def _first_time(function: Callable[..., Any], before: Callable[[], None]) -> Callable[..., Any]:
    todo = [before]

    def called(*args: Any) -> Any:
        while todo:
            todo.pop()()
        return function(*args)

    return called


def _delete(netlink: Any, delete: Callable[[str], None]) -> None:
    delete(f"/run/netns/{_FIRST}")
    with netlink() as net:
        while _is_there(net):
            time.sleep(0.001)
    delete("/run/netns/db")


def _is_there(net: Any) -> bool:
    try:
        return bool(net.index("host", _FIRST)) and not net._indexes.clear()
    except OSError:
        return False


def test_an_endpoint_comes_back(declared: lab.Host) -> None:
    foreseen = _at_the_moment(declared, "host_network", check=True, **STATE)["changes"]
    assert "create netns /run/netns/db" in foreseen and f"create link host {drifts.DB}" in foreseen
    assert declared.run("host_network", **STATE)["changes"] == foreseen
    assert not declared.run("host_network", **STATE)["changed"]


def test_it_comes_back_by_the_same_run(declared: lab.Host) -> None:
    result = _at_the_moment(declared, "veth_endpoint", **DB)
    assert f"create link host {drifts.DB}" in result["changes"]
    assert lab.probe(declared.name, "172.17.0.9", 80) == "refused"


def test_an_endpoint_goes(declared: lab.Host) -> None:
    """Its host end is not among what the run has to take away, its rules are."""
    gone = {"endpoints": [WEB, {**DB, "state": "absent"}], "purge": True}
    foreseen = _at_the_moment(declared, "host_network", check=True, **{**STATE, **gone})["changes"]
    assert "delete file /etc/netns/db/hosts" in foreseen and not [line for line in foreseen if drifts.DB in line]
    declared.run("host_network", **{**STATE, **gone})
    assert "172.17.0.9" not in declared.rules()


def test_a_port_of_one_that_is_gone(declared: lab.Host) -> None:
    """It is refused as for an endpoint that never was."""
    wanted = {"endpoint": "db", "published_ports": ["9000:90"]}
    with pytest.raises(AssertionError) as during:
        _at_the_moment(declared, "port_publish", **wanted)
    assert str(during.value).startswith(declared.run("port_publish", fails=True, **wanted)["msg"])


@pytest.mark.parametrize("options", [{"name": "docker0", "state": "absent"}, {"bridges": [], "purge": True}])
def test_a_bridge_whose_last_endpoint_is_gone(declared: lab.Host, options: Dict[str, Any]) -> None:
    declared.run("veth_endpoint", name="web", state="absent")
    assert "delete link host docker0" in _at_the_moment(declared, "docker_bridge", **options)["changes"]


def test_it_is_not_told(declared: lab.Host) -> None:
    told = _at_the_moment(declared, "host_network_info")
    assert [item["name"] for item in told["endpoints"]] == ["web"]


@pytest.mark.parametrize("guest", [False, True])
def test_purge_of_its_rules(each_backend: lab.Host, guest: bool) -> None:
    """Also on a bridge that the task has no endpoint on, and beside an endpoint of somebody else; all at once."""
    second = {"name": "br-n1", "bip": "10.10.0.1/24"}
    state = {**STATE, "bridges": [BRIDGE, second], "purge": True}
    db = {"name": "db", "bridge": "br-n1", "published_ports": ["9000:90"]}
    each_backend.run("host_network", **{**state, "endpoints": [WEB, db]})
    each_backend.sh(_MAKE_FIRST)
    if guest:
        each_backend.sh("ip netns add guest; ip link add vguest type veth peer name eth9 netns guest")
        each_backend.sh("ip link set vguest master br-n1 up; ip -n guest addr add 10.10.0.77/24 dev eth9")
    _at_the_moment(each_backend, "host_network", **{**state, "endpoints": [WEB]})
    assert "10.10.0.2" not in each_backend.rules()


@contextlib.contextmanager
def _unnamed(host: lab.Host, name: str) -> Iterator[None]:
    """Take away a namespace's name, as a container engine's have none; a process keeps it alive."""
    with subprocess.Popen(["ip", "netns", "exec", name, "sleep", "1000"]) as process:
        try:
            while lab.path_of(name) and not host.sh(f"ip netns pids {name}").strip():
                time.sleep(0.01)
            host.sh(f"umount /run/netns/{name}; rm /run/netns/{name}")
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("before", ["", "ip addr flush dev eth0; ip link set lo down"], ids=["addresses", "silent"])
def test_one_that_lives_is_not_waited_for(host: lab.Host, before: str) -> None:
    """Whatever it has inside, a namespace without a name is another one's, and that is told at once."""
    host.run("host_network", **STATE)
    lab.sh("db", before or "true")
    with _unnamed(host, "db"):
        start = time.monotonic()
        said = host.run("host_network", fails=True, **STATE)["msg"]
        assert time.monotonic() - start < 2
    assert f"host_interface: '{drifts.DB}': this is the host end of another namespace; remove that endpoint" in said
