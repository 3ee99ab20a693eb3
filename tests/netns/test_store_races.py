# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The iptables stores when somebody else is faster, when a write fails, when python-iptables does."""

from __future__ import annotations

import fcntl
import os
import threading
import time

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils import _plan, _undo
from ansible_collections.hostnet.docker.plugins.module_utils._errors import KernelError, LostRace
from ansible_collections.hostnet.docker.plugins.module_utils._kernel import libiptc, xtables
from ansible_collections.hostnet.docker.plugins.module_utils._plan import Change
from ansible_collections.hostnet.docker.plugins.module_utils._state import Key

from stores import FILTER_DOCKER, FORWARD, NAT, RAW, Site, new_site


@pytest.fixture(params=["nft", "legacy", "library"])
def site(isolated: None, request: pytest.FixtureRequest) -> Site:
    return new_site(request.param)


def test_a_chain_that_somebody_made_meanwhile_keeps_its_rules(site: Site) -> None:
    change = Change("create", FILTER_DOCKER, None, ("-j DROP",))
    site.host.sh("iptables -N DOCKER; iptables -A DOCKER -j ACCEPT")
    with pytest.raises(LostRace):
        site.apply([change])
    assert site.read()[FILTER_DOCKER] == ("-j ACCEPT",)


def test_a_rule_that_somebody_deleted_meanwhile(site: Site) -> None:
    site.converge({FORWARD: ("-i a -j DROP", "-i b -j DROP")})
    live = site.read()
    site.host.sh("iptables -D FORWARD -i a -j DROP")
    with pytest.raises(LostRace):
        site.apply(_plan.diff(live, {**live, FORWARD: ("-i c -j DROP", "-i b -j DROP")}))
    assert site.read()[FORWARD] == ("-i b -j DROP",)


def test_what_somebody_did_for_us_meanwhile_is_done(site: Site) -> None:
    site.converge({FORWARD: ("-i a -j DROP", "-i b -j DROP")})
    live = site.read()
    site.host.sh("iptables -D FORWARD -i a -j DROP")
    site.apply(_plan.diff(live, {**live, FORWARD: ("-i b -j DROP",)}))
    assert site.read()[FORWARD] == ("-i b -j DROP",)


def test_a_rule_that_somebody_added_meanwhile_stays(site: Site) -> None:
    """Also where rules go by number: the write is refused, and nothing of it is done."""
    rules = tuple(f"-i a{number} -j DROP" for number in range(400))
    site.converge({FORWARD: rules})
    live = site.read()
    site.host.sh("iptables -I FORWARD -i foreign -j ACCEPT")
    with pytest.raises(LostRace, match="changed since it was read"):
        site.apply(_plan.diff(live, {**live, FORWARD: rules[300:]}))
    with pytest.raises(LostRace, match="changed since it was read"):
        site.apply(_plan.diff(live, {**live, FORWARD: ()}))
    assert site.read()[FORWARD] == ("-i foreign -j ACCEPT", *rules)


def test_a_foreign_rule_added_meanwhile_survives_the_removal_of_ours(site: Site) -> None:
    site.converge({FORWARD: ("-i a -j DROP", "-i b -j DROP")})
    live = site.read()
    site.host.sh("iptables -I FORWARD -i foreign -j ACCEPT")
    site.apply_anyway(_plan.diff(live, {**live, FORWARD: ()}))
    assert site.read()[FORWARD] == ("-i foreign -j ACCEPT",)


def test_the_first_of_two_equal_rules_may_go(site: Site) -> None:
    site.converge({FORWARD: ("-i a -j DROP", "-i b -j DROP", "-i a -j DROP", "-i c -j DROP")})
    live = site.read()
    for after in (("-i b -j DROP", "-i a -j DROP", "-i c -j DROP"), ("-i b -j DROP", "-i c -j DROP")):
        site.apply_anyway(_plan.diff(live, {**live, FORWARD: after}))
        live = site.read()
        assert live[FORWARD] == after


@pytest.mark.parametrize("is_refused_first", [True, False])
def test_the_way_back_from_a_write_that_was_done_in_part(site: Site, is_refused_first: bool) -> None:
    """A write commits table by table: raw may stand when nat is refused. What others did since stays."""
    first = Change("create", Key("chain", RAW, "PREROUTING"), None, ("-i a -j DROP",))
    refused = Change("create", Key("chain", NAT, "POSTROUTING"), None, ("-j MASQUERADE --to-ports 1",))
    changes = [refused, first] if is_refused_first else [first, refused]
    before = site.read()
    with pytest.raises(KernelError, match="write ip rules"):
        site.apply(changes)
    site.host.sh("iptables -A FORWARD -i foreign -j ACCEPT")
    writer = _plan.Store(("chain", "policy"), site.apply)
    count, left = _undo.roll_back(changes, site.read, [writer])
    assert count <= 1 and left == []
    now = site.read()
    assert now[FORWARD] == ("-i foreign -j ACCEPT",)
    # Tables that were touched are there now, with what comes with a table.
    assert {key: value for key, value in now.items() if key != FORWARD and value not in ((), "ACCEPT")} == before


def test_a_chain_in_use_is_not_deleted(site: Site) -> None:
    site.converge({FILTER_DOCKER: ("-j DROP",)})
    live = site.read()
    site.host.sh("iptables -A FORWARD -j DOCKER")
    after = {key: value for key, value in live.items() if key != FILTER_DOCKER}
    with pytest.raises(KernelError):
        site.apply(_plan.diff(live, after))
    assert site.read()[FILTER_DOCKER] == ("-j DROP",)


def test_the_other_iptables_is_waited_for(site: Site) -> None:
    """Whoever holds the lock of the old iptables writes first."""
    handle = os.open("/run/xtables.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    timer = threading.Timer(0.5, os.close, [handle])
    timer.start()
    start = time.monotonic()
    site.converge({FORWARD: ("-i a -j DROP",)})
    waited = time.monotonic() - start
    timer.join()
    assert (waited > 0.4) == (site.host.firewall == "legacy")


def test_a_lock_that_is_never_released(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    if site.host.firewall == "nft":
        return  # it takes none
    monkeypatch.setattr(libiptc, "_LOCK_WAIT", 1)
    monkeypatch.setattr(xtables, "_LOCK_WAIT", 1)
    handle = os.open("/run/xtables.lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(KernelError, match="lock"):
        site.converge({FORWARD: ("-i a -j DROP",)})
    os.close(handle)


@pytest.fixture
def library(isolated: None) -> Site:
    return new_site("library")


@pytest.mark.parametrize(
    "rule",
    [
        '-m comment --comment "two words" -j ACCEPT',
        "-p tcp -m multiport --dports 80,81 -m limit --limit 5/min -j LOG --log-prefix x",
    ],
)
def test_the_tools_write_what_the_library_cannot_say(library: Site, rule: str) -> None:
    live = library.read()
    library.apply_anyway(_plan.diff(live, {FORWARD: (rule,)}))
    assert library.read()[FORWARD][0].startswith(rule)


@pytest.mark.parametrize("step", ["_write_table", "_write_chain", "_entry"])
def test_the_tools_take_over_when_the_library_ends_the_process(
    library: Site, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its C code calls exit() where it does not know what to do."""
    monkeypatch.setattr(libiptc, "probe", lambda: None)
    monkeypatch.setattr(libiptc, step, lambda *_words: os._exit(2))
    note = library.apply_anyway([Change("create", FORWARD, None, ("-i a -j DROP",))])
    assert "ended the process" in note
    assert library.read()[FORWARD] == ("-i a -j DROP",)


def test_a_library_that_misunderstands_is_not_used(library: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert library.inside(libiptc.probe) is None
    monkeypatch.setattr(libiptc, "_PROBE", ("-p udp -m udp --dport domain -j ACCEPT",))
    assert "became" in library.inside(libiptc.probe)
