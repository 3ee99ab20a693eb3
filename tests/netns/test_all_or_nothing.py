# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run whose write fails leaves the host as it was, whichever write it is; where it cannot, it says what is left."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any, Dict, List

import pytest

import faults
import lab
import neighbours
import scenes

# What is there before, and the plan whose writes fail.
PLANS: Dict[str, Any] = {
    "made": ([], scenes.MADE),
    "changed": ([scenes.MADE], scenes.CHANGED),
    "gone": ([scenes.MADE], scenes.GONE),
}
# Kinds of writes that a plan must have for its test to say anything.
KINDS = {
    "made": {"netlink link", "netlink address", "netlink route", "namespace mount", "setting", "file replaced"},
    "changed": {"netlink link", "netlink address", "namespace umount2", "setting", "file replaced", "file removed"},
    "gone": {"netlink link", "namespace umount2", "namespace unlink", "setting", "file removed"},
}
# What each store writes at least.
RULES = {
    "nft": {"restore *raw", "restore *filter", "restore *nat"},
    "legacy": {"library *raw", "library *filter", "library *nat"},
    "nftables": {"nft transaction"},
}
# A built-in chain always has a policy; the others of these have no value that could change.
NEVER = {("create", "policy"), ("delete", "policy")}
NEVER |= {("update", kind) for kind in ("netns", "up", "address", "route", "nft_policy")}
_LATE = 30  # a write when rules are written and devices are half there
_CHANGE = r"((create|update|delete) \S+ .*|write (ip6?|nftables) rules.*)"
_FAILURE = rf"{_CHANGE}: (.*{faults.INJECTED}|{os.strerror(errno.EIO)})"


def prepared(host: lab.Host, plan: str) -> Dict[str, str]:
    """The host before the plan, with neighbours."""
    neighbours.settle(host)
    for options in PLANS[plan][0]:
        host.run("host_network", **options)
    return scenes.whole(host)


def chosen(writes: List[str], kind: str) -> List[int]:
    """The writes that fail: all of them on one host; on the others their own ones, and of each kind the first and the
    last of those that come after them, whose failure takes the rules back too."""
    if kind == "nft" or os.environ.get("HOSTNET_NIGHTLY"):
        return list(range(len(writes)))
    own = [number for number, write in enumerate(writes) if write.startswith(("library", "nft"))]
    later = {write: [n for n, other in enumerate(writes) if other == write and n > own[-1]] for write in set(writes)}
    return sorted({*own, *(number for numbers in later.values() for number in numbers[:1] + numbers[-1:])})


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
def test_each_write_fails_once(each_backend: lab.Host, plan: str) -> None:
    """The message names the change and says that nothing is left, and nothing is."""
    host, then = each_backend, PLANS[plan][1]
    kind = host.backend or host.firewall
    prepared(host, plan)
    writes = faults.failing(host, then, lambda _number: False).writes
    assert KINDS[plan] | RULES[kind] <= set(writes)
    lab.clear()
    host = lab.new_host(host.firewall, host.backend)
    before = prepared(host, plan)
    for number in chosen(writes, kind):
        run = faults.failing(host, then, lambda count, number=number: count == number)
        assert run.failed[:1] == [writes[number]]
        where = f"write {number} ({writes[number]}): {run.msg}"
        assert re.match(_FAILURE, run.msg), where
        assert run.msg.endswith(("the host is as it was", "nothing was changed")), where
        wrong = scenes.differs(before, lambda host=host: scenes.whole(host))
        assert not wrong, f"{where}\n{wrong}"
    assert host.run("host_network", **then)["changed"]
    assert not host.run("host_network", **then)["changed"]


def test_the_plans_have_every_kind_of_change(each_backend: lab.Host) -> None:
    host, found = each_backend, set()
    neighbours.settle(host)
    for options in (scenes.MADE, scenes.CHANGED, scenes.GONE):
        found |= {tuple(line.split()[:2]) for line in host.run("host_network", **options)["changes"]}
    rules = ("nft_chain", "nft_map", "nft_set", "nft_policy") if host.backend else ("chain", "policy")
    assert {kind for _verb, kind in found} == {*rules, "netns", "link", "up", "address", "route", "sysctl", "file"}
    assert {(verb, kind) for _verb, kind in found for verb in ("create", "update", "delete")} - found <= NEVER


def test_connections_outlive_a_run_that_is_undone(each_backend: lab.Host) -> None:
    """What is forgotten of a port that moves is forgotten when all is done, and not before."""
    lab.need("conntrack")
    host = each_backend
    host.run("host_network", **scenes.MADE)
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "192.0.2.1", 8080).startswith("open")
    count = len(faults.failing(host, scenes.CHANGED, lambda number: number == 0).writes)
    assert count and _tracked(host)
    run = faults.failing(host, scenes.CHANGED, lambda number: number == _LATE)
    assert run.msg.endswith("as it was") and _tracked(host)
    host.run("host_network", **scenes.CHANGED)
    assert not _tracked(host)


def test_a_connection_that_ends_meanwhile(host: lab.Host) -> None:
    """It cannot be forgotten any more; the others are all the same."""
    lab.need("conntrack")
    host.run("host_network", **scenes.MADE)
    with lab.serve("web", 80):
        for _number in range(3):
            assert lab.probe(host.lan, "192.0.2.1", 8080).startswith("open")
    assert len(_tracked(host).splitlines()) == 3

    def child() -> None:
        from ansible_collections.hostnet.docker.plugins.module_utils._kernel import conntrack

        original, refused = conntrack.Wire.ask, []  # type: Any, List[int]

        def ask(wire: Any, kind: int, *words: Any) -> Any:
            if kind == conntrack._DELETE and not refused:
                refused.append(kind)
                raise OSError(errno.ENOENT, faults.INJECTED)
            return original(wire, kind, *words)

        conntrack.Wire.ask = ask  # type: ignore[method-assign]
        host._in_child("host_network", False, False, scenes.CHANGED)

    assert lab.forked(child)["status"] == 0
    assert len(_tracked(host).splitlines()) == 1


def _tracked(host: lab.Host) -> str:
    return host.sh("conntrack -L -p tcp --orig-port-dst 8080")


@pytest.mark.slow
def test_one_that_waits_for_a_confirmation_too(each_backend: lab.Host) -> None:
    """A run that fails leaves nobody waiting; where it cannot be undone, the one who waits tries once more."""
    host, options = each_backend, {**scenes.CHANGED, "confirm_timeout": 1}
    before, session = prepared(host, "changed"), os.getsid(0)
    run = faults.failing(host, options, lambda number: number == _LATE)
    assert run.msg.endswith("as it was")
    assert host.run("host_network").get("confirm") is None
    run = faults.failing(host, options, lambda number: number >= _LATE and os.getsid(0) == session)
    assert "undoing failed too" in run.msg
    _goes_back(host, before)
    assert faults.killed(host, options, _LATE).failed
    _goes_back(host, before)


def _goes_back(host: lab.Host, before: Dict[str, str]) -> None:
    """The host undoes by itself what was not confirmed, also when the run that would have said so is no more."""
    wrong = scenes.differs(before, lambda: scenes.whole(host), 60)
    assert not wrong, wrong


@pytest.mark.slow("nft-gone")
@pytest.mark.parametrize("plan", PLANS)
def test_undoing_fails_too(each_backend: lab.Host, plan: str) -> None:
    """All writes from one on fail: the message lists what is left; the next run ends what was begun."""
    host = each_backend
    prepared(host, plan)
    count = len(faults.failing(host, PLANS[plan][1], lambda _number: False).writes)
    for number in (1, count // 2, count - 4):
        lab.clear()
        host = lab.new_host(host.firewall, host.backend)
        prepared(host, plan)
        planned = host.run("host_network", check=True, **PLANS[plan][1])["changes"]
        run = faults.failing(host, PLANS[plan][1], lambda at, number=number: at >= number)
        assert re.match(_FAILURE, run.msg), run.msg
        listed = run.msg.partition("undoing failed too, these changes are left: ")[2].split("); ")
        assert {words.partition(" (")[0] for words in listed} <= {
            re.sub(r" \(\+.*|: .*| \([a-z_, ]+\)$", "", line) for line in planned
        }
        assert host.run("host_network", **PLANS[plan][1])["changed"]
        assert not host.run("host_network", **PLANS[plan][1])["changed"]


@pytest.mark.parametrize("error", [errno.EEXIST, errno.ENOENT, errno.ENODEV])
def test_a_lost_race_is_run_again(host: lab.Host, error: int) -> None:
    """Somebody else was faster once: the run looks again, plans again, and gets there."""
    prepared(host, "made")
    run = faults.failing(host, scenes.MADE, lambda number: number == 20, error)
    assert run.failed and not run.msg
    assert not host.run("host_network", **scenes.MADE)["changed"]


def test_a_namespace_that_comes_back_is_the_same(host: lab.Host) -> None:
    """What lives in it is still there when the removal failed after the name was gone."""
    prepared(host, "gone")
    writes = faults.failing(host, scenes.GONE, lambda _number: False).writes
    late = [number for number, write in enumerate(writes) if write.startswith("namespace") or "file" in write]
    lab.clear()
    host = lab.new_host()
    prepared(host, "gone")
    inodes = [os.stat(f"/run/netns/{name}").st_ino for name in ("db", "web")]
    with lab.serve("web", 80):
        for number in (*late[:5], late[-1]):
            run = faults.failing(host, scenes.GONE, lambda at, number=number: at == number)
            assert run.failed and run.msg.endswith("as it was")
            assert [os.stat(f"/run/netns/{name}").st_ino for name in ("db", "web")] == inodes
            assert lab.probe(host, "172.17.0.2", 80) == "open, from=172.17.0.1"


def test_an_error_that_nobody_foresaw_is_undone_too(host: lab.Host) -> None:
    before = prepared(host, "made")

    def child() -> None:
        from ansible_collections.hostnet.docker.plugins.module_utils._kernel import files

        replace = files._replace
        # Not the file that comes before all else: something shall be there to undo.
        files._replace = lambda path, text: 1 / 0 if path.startswith("/etc/netns/") else replace(path, text)
        host._in_child("host_network", False, False, scenes.MADE)

    done = lab.forked(child)
    assert "ZeroDivisionError" in done["stdout"] and "the host is as it was" in done["stdout"]
    assert not lab.difference(before, scenes.whole(host))


def test_an_interrupted_run_is_undone(host: lab.Host) -> None:
    before = prepared(host, "made")

    def child() -> None:
        from ansible_collections.hostnet.docker.plugins.module_utils._kernel import files

        def interrupt(*_words: Any) -> None:
            raise KeyboardInterrupt

        files._replace = interrupt  # type: ignore[assignment]
        host._in_child("host_network", False, False, scenes.MADE)

    assert lab.forked(child)["status"] != 0
    assert not lab.difference(before, scenes.whole(host))


@pytest.mark.parametrize("what", ["link add docker0 type veth peer name theirs", "netns add web"])
def test_what_somebody_makes_meanwhile_stays(host: lab.Host, what: str) -> None:
    """It comes between our look and our write, under a name of ours: it is not taken back with what we made."""

    def child() -> None:
        from ansible_collections.hostnet.docker.plugins.module_utils import _pipeline

        original, made = _pipeline._plan.apply, []  # type: Any, List[str]

        def apply(*words: Any) -> None:
            if not made:
                made.append(what)
                os.system(f"ip {what}")
            original(*words)

        _pipeline._plan.apply = apply
        options = {"bridges": [{"name": "docker0"}], "endpoints": [{"name": "web"}]}
        host._in_child("host_network", False, False, options)

    lab.forked(child)
    if what.startswith("link"):
        assert "docker0@theirs" in host.sh("ip link show docker0") and not Path("/run/netns/web").exists()
    else:
        # Looked at again, it is a namespace to join, whose files are not ours.
        assert "eth0" in lab.sh("web", "ip link") and not Path("/etc/netns/web").exists()
