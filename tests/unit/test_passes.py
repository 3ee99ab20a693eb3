# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which rules are written, and what is made again because something else takes it along."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils import _passes, _plan
from ansible_collections.hostnet.docker.plugins.module_utils._state import HOST, Key, State
from hypothesis import given
from hypothesis import strategies as st

rules = st.lists(st.sampled_from([f"-d 10.0.0.{number}/32 -j DROP" for number in range(8)]), max_size=9)
RAW = Key("chain", "ip/raw", "PREROUTING")


def tables(before: State, after: State) -> List[str]:
    """The tables in the order in which they are written, each as often as it is."""
    found: List[str] = []
    for change in _plan.diff(before, after):
        if found[-1:] != [change.key.scope]:
            found.append(change.key.scope)
    return found


def state(*rows: str) -> State:
    """``raw a b`` is the chain X of table raw with the rules a and b."""
    return {Key("chain", f"ip/{row.split()[0]}", "X"): tuple(row.split()[1:]) for row in rows}


ORDERS: Dict[str, Any] = {
    "rules come": ((), ("mangle a", "nat a", "filter a", "raw a"), ["raw", "filter", "nat", "mangle"]),
    "rules go": (("mangle a", "nat a", "filter a", "raw a"), (), ["nat", "mangle", "raw", "filter"]),
    "others come": (
        ("nat a", "filter a", "raw a"),
        ("nat b", "filter b", "raw b"),
        ["raw", "filter", "nat", "raw"],
    ),
    "one of two goes": (("nat a b", "filter a b", "raw a b"), ("nat b", "filter b", "raw b"), ["nat", "raw", "filter"]),
    "they change places": (("filter a b", "raw a b"), ("filter b a", "raw b a"), ["raw", "filter", "raw"]),
}


@pytest.mark.parametrize("name", ORDERS)
def test_order_of_tables(name: str) -> None:
    before, after, order = ORDERS[name]
    assert tables(state(*before), state(*after)) == [f"ip/{table}" for table in order]


def test_a_policy_that_drops_comes_first_and_goes_last() -> None:
    policy = Key("policy", "ip/filter", "FORWARD")
    closed, opened = {**state("nat a"), policy: "DROP"}, {**state("nat"), policy: "ACCEPT"}
    assert tables(opened, closed) == ["ip/filter", "ip/nat"]
    assert tables(closed, opened) == ["ip/nat", "ip/filter"]


def test_families_do_not_mix() -> None:
    """Each family's rules are one write."""
    after = {Key("chain", f"{family}/{table}", "X"): ("a",) for table in ("nat", "raw") for family in ("ip6", "ip")}
    assert tables({}, after) == ["ip/raw", "ip/nat", "ip6/raw", "ip6/nat"]


@given(rules, rules)
def test_halfway_both_guard(before: List[str], after: List[str]) -> None:
    middle = _passes.halfway(RAW, tuple(before), tuple(after))
    if middle is None:
        return
    assert _is_part(before, middle) and _is_part(after, middle)
    assert len(middle) <= len(before) + len(after)


def _is_part(rules: List[str], whole: Tuple[str, ...]) -> bool:
    rest = iter(whole)
    return all(rule in rest for rule in rules)


@given(rules, rules)
def test_a_plan_leads_to_its_end(before: List[str], after: List[str]) -> None:
    """And its way back to its beginning."""
    plan = _plan.diff({RAW: tuple(before)}, {RAW: tuple(after)})
    for changes, start, end in ((plan, before, after), ([change.undo() for change in reversed(plan)], after, before)):
        now = tuple(start)
        for change in changes:
            assert change.before == now
            now = change.after
        assert now == tuple(end)


ROUTE = {"family": 4, "dst": "0.0.0.0/0", "via": "172.17.0.1", "dev": "eth0", "proto": 3}
CONNECTED = {"family": 4, "dst": "172.17.0.0/16", "via": None, "dev": "eth0", "proto": 2}
WEB = "/run/netns/web"


def routed(*addresses: str) -> State:
    found: State = {Key("address", WEB, f"eth0 {address}"): {"broadcast": None} for address in addresses}
    found[Key("route", WEB, "default via 172.17.0.1 dev eth0")] = ROUTE
    found[Key("route", WEB, "172.17.0.0/16 dev eth0")] = CONNECTED
    return found


@pytest.mark.parametrize(
    ("before", "after", "is_swept"),
    [
        (("172.17.0.2/16",), ("172.17.0.3/16",), True),
        (("172.17.0.2/16", "fd00::2/64"), ("172.17.0.3/16", "fd00::2/64"), True),
        (("172.17.0.2/16", "10.0.0.1/8"), ("10.0.0.1/8",), False),
        (("172.17.0.2/16", "fd00::2/64"), ("172.17.0.2/16",), False),
        (("172.17.0.2/16",), ("172.17.0.2/16", "172.17.0.3/16"), False),
    ],
)
def test_routes_go_with_the_last_address(before: Tuple[str, ...], after: Tuple[str, ...], is_swept: bool) -> None:
    changes = [str(change) for change in _plan.diff(routed(*before), routed(*after)) if change.key.kind == "route"]
    name = "route web default via 172.17.0.1 dev eth0"
    assert changes == ([f"delete {name}", f"create {name}"] if is_swept else [])


def test_an_address_that_changes_takes_its_routes_along() -> None:
    before = routed("172.17.0.2/16")
    after = {**before, Key("address", WEB, "eth0 172.17.0.2/16"): {"broadcast": "172.17.255.255"}}
    assert [change.action for change in _plan.diff(before, after)] == ["delete", "update", "create"]


def test_forwarding_is_the_last_to_come_and_the_first_to_go() -> None:
    off, on = ({Key("sysctl", HOST, "net/ipv4/ip_forward"): value} for value in "01")
    there = {**state("raw a"), Key("link", HOST, "docker0"): {"kind": "bridge"}}
    assert [str(change.key) for change in _plan.diff(off, {**on, **there})][-1] == "sysctl host net.ipv4.ip_forward"
    assert [str(change.key) for change in _plan.diff({**on, **there}, off)][0] == "sysctl host net.ipv4.ip_forward"
