# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The iptables stores on a real kernel: one suite, passed by each of them."""

from __future__ import annotations

import re
import time
from typing import Callable, List

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils import _plan
from ansible_collections.hostnet.docker.plugins.module_utils._errors import Conflict
from ansible_collections.hostnet.docker.plugins.module_utils._kernel import firewall
from ansible_collections.hostnet.docker.plugins.module_utils._state import Key, State

import lab
from commands import run_command
from stores import BOTH, DOCKER, FILTER, FOREIGN, FORWARD, WRITTEN, Site, new_site, wanted


@pytest.fixture(params=["nft", "legacy", "library"])
def site(isolated: None, request: pytest.FixtureRequest) -> Site:
    return new_site(request.param)


@pytest.mark.versions
def test_written_rules_are_read_as_they_were_written(site: Site) -> None:
    """So the second run has nothing to do."""
    done = site.converge(wanted())
    assert {change.key for change in done} == set(wanted())
    live = site.read()
    assert {key: live[key] for key in wanted()} == wanted()
    assert site.converge(wanted()) == []


def test_the_way_back(site: Site) -> None:
    empty = site.read()
    site.converge(wanted())
    full = site.read()
    site.apply(_plan.diff(full, empty))
    left = {key: value for key, value in site.read().items() if value not in ((), "ACCEPT")}
    assert left == {}
    assert not [key for key in site.read() if key.name.startswith("DOCKER")]


def test_reading_loads_no_table(site: Site) -> None:
    assert site.read() == {}
    assert site.host.sh("cat /proc/net/ip_tables_names /proc/net/ip6_tables_names || true") == ""
    assert site.counted() == ""


def test_foreign_rules_and_counters_stay(site: Site) -> None:
    site.host.sh(FOREIGN)
    with lab.serve(site.host, 80):
        lab.probe(site.host, "127.0.0.1", 80)
    before = site.counted()
    assert re.search(r"^\[[1-9]\d*:\d+\] -A INPUT -i lo", before, re.MULTILINE)
    original = site.read()
    site.converge(_merged(original))
    assert _without(site.counted()) == _without(before)
    site.apply(_plan.diff(site.read(), {**original, Key("policy", FILTER, "FORWARD"): "ACCEPT"}))
    assert _loaded(site.counted(), original) == before


def _merged(live: State) -> State:
    """Our rules around the foreign ones: some before them, some behind."""
    state = wanted()
    for key in wanted():
        if key.kind == "chain":
            ours, theirs = state[key], live.get(key, ())
            state[key] = (*ours[:1], *theirs, *ours[1:])
    return state


def _without(text: str) -> List[str]:
    """The foreign lines, without tables and chains that stand there for us."""
    ours = {f"-A {name} {rule}" for (_scope, name), rules in WRITTEN.items() for rule in rules}
    lines = [re.sub(r"^\[0:0\] ", "", line) for line in text.splitlines()]
    return [line for line in lines if line not in ours and not re.match(r"[*:]|COMMIT", line)]


def _loaded(text: str, live: State) -> str:
    """The tables that were there before; a table that was loaded once stays, empty."""
    tables = {key.scope for key in live}
    parts = re.findall(r"\*.*?COMMIT\n", text, re.DOTALL)
    family, kept, seen = "ip", "", set()
    for part in parts:
        table = part.split("\n")[0][1:]
        family = "ip6" if table in seen else family
        seen.add(table)
        kept += part if f"{family}/{table}" in tables else ""
    return kept


def test_comments_of_other_people_may_be_any_bytes(site: Site) -> None:
    command = ["iptables", "-A", "FORWARD", "-m", "comment", "--comment", b"caf\xe9 \xe2\x80\xa8", "-j", "ACCEPT"]
    site.host.sh(command)  # type: ignore[arg-type]
    before = site.read()[FORWARD]
    assert len(before) == 1
    site.converge({FORWARD: ("-i a -j DROP", *before)})
    assert site.read()[FORWARD] == ("-i a -j DROP", *before)


@pytest.mark.parametrize("rule", ["ct state new accept", "meta random 5"])
def test_rules_that_iptables_cannot_show(isolated: None, rule: str) -> None:
    """It says so in the one case, and breaks off in the other."""
    site = Site(lab.new_host(), "nft")
    site.host.sh("iptables -A FORWARD -j ACCEPT; nft add rule ip filter FORWARD " + rule)
    with pytest.raises(Conflict, match="ip.* holds nftables rules that iptables cannot show; move them"):
        site.read()


TEN_THOUSAND = tuple(
    f"! -i docker0 -p tcp -m tcp --dport {number + 10_000} -j DNAT --to-destination 172.17.{number // 250}.2:80"
    for number in range(10_000)
)


@pytest.mark.slow
def test_ten_thousand_rules(site: Site, record_property: Callable[[str, object], None]) -> None:
    """One more, one less and all away; what each takes stands in the test's report."""
    steps = {
        "all": TEN_THOUSAND,
        "one more": (*TEN_THOUSAND, TEN_THOUSAND[0].replace("10000", "9999")),
        "one less": (*TEN_THOUSAND[:5000], *TEN_THOUSAND[5001:]),
        "1,000 less": (*TEN_THOUSAND[:4000], *TEN_THOUSAND[5000:]),
        "none": (),
    }
    for name, rules in steps.items():
        live, start = site.read(), time.perf_counter()
        site.apply(_plan.diff(live, {**live, DOCKER: rules}))
        record_property(f"{site.kind}: {name}", round(time.perf_counter() - start, 3))
        start = time.perf_counter()
        assert site.read()[DOCKER] == rules
        record_property(f"{site.kind}: {name}, read", round(time.perf_counter() - start, 3))


@pytest.mark.versions
def test_the_store_that_is_chosen(site: Site) -> None:
    """The host's own variant, through the library where that is there."""
    if site.kind == "legacy":
        return
    choice = site.inside(lambda: firewall.choose(run_command, "auto", "DOCKER")[0])
    assert choice.layout == "iptables"
    assert choice.families == BOTH
    assert choice.name() == ("iptables-nft" if site.kind == "nft" else "iptables-legacy (python-iptables)")
