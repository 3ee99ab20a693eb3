# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back, from wherever the host is: what others did meanwhile stays, at its place."""

from __future__ import annotations

from typing import Any, Collection, Sequence

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils._errors import KernelError
from ansible_collections.hostnet.docker.plugins.module_utils._plan import Change, Store, apply, diff
from ansible_collections.hostnet.docker.plugins.module_utils._state import HOST, Key, State
from ansible_collections.hostnet.docker.plugins.module_utils._undo import roll_back, undone

CHAIN, LINK = Key("chain", "ip/nat", "DOCKER"), Key("link", "host", "docker0")


def _ruled(*rules: str) -> Any:
    return {"hook": "", "rules": rules}


def _filled(**elements: str) -> Any:
    return {"type": "a : b", "flags": "", "elements": elements}


@pytest.mark.parametrize(
    "before,after,live,wanted",
    [
        pytest.param(("a", "b"), ("a", "c"), ("a", "c"), ("a", "b"), id="nobody else was there"),
        pytest.param(("a", "b"), ("a", "c"), ("a", "b"), ("a", "b"), id="it never happened"),
        pytest.param(("a", "b"), ("a", "c"), ("x", "a", "y", "c"), ("x", "a", "y", "b"), id="strangers stay"),
        pytest.param(("a",), ("a", "c"), ("a", "c", "x"), ("a", "x"), id="behind one that goes"),
        pytest.param(("a", "b"), ("a",), ("a", "b"), ("a", "b"), id="somebody put it back"),
        pytest.param((), ("a", "a"), ("a", "a", "a"), ("a",), id="one more of the same"),
        pytest.param(None, ("a",), ("a",), None, id="a chain that was made goes"),
        pytest.param(None, ("a",), ("x", "a"), ("x",), id="unless somebody uses it"),
        pytest.param(("a",), None, None, ("a",), id="a chain that went comes back"),
        pytest.param(("a",), None, ("x",), ("x",), id="unless somebody made another"),
        pytest.param(_ruled("a"), _ruled("b"), _ruled("b", "x"), _ruled("x", "a"), id="nftables rules"),
        pytest.param(_filled(a="1"), _filled(b="2"), _filled(b="2", x="3"), _filled(a="1", x="3"), id="elements"),
        pytest.param(None, _filled(b="2"), _filled(), None, id="an emptied set that was made"),
        pytest.param({"mtu": 1}, {"mtu": 2}, {"mtu": 3}, {"mtu": 1}, id="anything else is as before"),
        pytest.param(None, {"inode": None}, {"inode": 7}, None, id="a namespace, whose number the kernel gave"),
    ],
)
def test_one_key(before: Any, after: Any, live: Any, wanted: Any) -> None:
    def state(value: Any) -> Any:
        return {LINK: {"kind": "bridge"}, **({} if value is None else {CHAIN: value})}

    changes = diff(state(before), state(after))
    assert undone(state(live), changes) == state(wanted)


class Host:
    """A host that refuses to change some keys; ``knots`` are refused as long as another key is there."""

    def __init__(self, state: State, refused: Collection[Key] = (), knots: Any = None) -> None:
        self.state, self.refused, self.knots = dict(state), refused, knots or {}

    def read(self) -> State:
        return dict(self.state)

    def write(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.key in self.refused or self.knots.get(change.key) in self.state:
                raise KernelError(str(change), text="refused")
            self.state.update({change.key: change.after})
            if change.after is None:
                del self.state[change.key]

    @property
    def stores(self) -> Sequence[Store]:
        return [Store(("sysctl",), self.write)]


A, B, C = (Key("sysctl", HOST, name) for name in "abc")
BEFORE: State = {A: "0", B: "0"}
AFTER: State = {A: "1", C: "1"}


@pytest.mark.parametrize("count", range(4))
def test_the_way_back_from_each_place(count: int) -> None:
    """However far an apply came, and whatever else somebody set since."""
    changes, host = diff(BEFORE, AFTER), Host(BEFORE)
    host.write(changes[:count])
    foreign = Key("sysctl", HOST, "foreign")
    host.state[foreign] = "7"
    assert roll_back(changes, host.read, host.stores) == (min(count, len(changes)), [])
    assert host.state == {**BEFORE, foreign: "7"}


def test_what_is_left_has_its_reason() -> None:
    changes, host = diff(BEFORE, AFTER), Host(BEFORE)
    host.write(changes)
    host.refused = {C}
    count, left = roll_back(changes, host.read, host.stores)
    assert count == 2 and left == [f"create {C} (delete {C}: refused)"]
    assert host.state == {**BEFORE, C: "1"}


def test_one_refusal_is_not_the_last_word() -> None:
    """What could not go because of another one goes when that is gone."""
    changes, host = diff(BEFORE, AFTER), Host(BEFORE)
    host.write(changes)
    host.knots = {A: C, B: C}
    assert roll_back(changes, host.read, host.stores) == (3, [])
    assert host.state == BEFORE


def test_a_host_that_cannot_be_read() -> None:
    changes, host = diff(BEFORE, AFTER), Host(BEFORE)

    def read() -> State:
        raise KernelError("read", text="refused")

    assert roll_back(changes, read, host.stores) == (0, [f"{change} (read: refused)" for change in changes])


def test_an_apply_stops_at_what_is_refused() -> None:
    changes, host = diff(BEFORE, AFTER), Host(BEFORE, refused={A})
    with pytest.raises(KernelError, match="refused"):
        apply(changes, host.stores, [])
    assert host.state[A] == "0"
