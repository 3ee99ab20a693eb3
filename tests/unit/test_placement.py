# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wanted rules go to their places, and those that were put out of order go back; nobody else's moves."""

from __future__ import annotations

from typing import List, Tuple

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils._layout.placement import at_the_end, place
from ansible_collections.hostnet.docker.plugins.module_utils._layout.policy import Placed
from ansible_collections.hostnet.docker.plugins.module_utils._rules import edits
from ansible_collections.hostnet.docker.plugins.module_utils._state import Key
from hypothesis import given, settings
from hypothesis import strategies as st

KEY = Key("chain", "ip/filter", "DOCKER")
# Two ports and a bridge's drop; two jumps in order; a rule and the one that is refused behind it.
PORTS = [Placed(KEY, "a1", "head", "a1"), Placed(KEY, "a2", "head", "a2"), Placed(KEY, "drop", "tail", "br", 1)]
JUMPS = [Placed(KEY, "second", "head", "base", 1), Placed(KEY, "first", "head", "base", 0)]


@pytest.mark.parametrize(
    "before, wanted, after",
    [
        ("a2 a1 drop", PORTS, "a2 a1 drop"),
        ("drop a2 a1", PORTS, "a2 a1 drop"),
        ("a2 drop a1", PORTS, "a1 a2 drop"),
        ("x drop y a2 a1 z", PORTS, "x y a2 a1 z drop"),
        ("a2 drop a1 drop", PORTS, "a1 a2 drop"),
        ("second x first", JUMPS, "first second x"),
        ("x first y second", JUMPS, "x first y second"),
        ("second x", JUMPS, "first second x"),
    ],
)
def test_places(before: str, wanted: List[Placed], after: str) -> None:
    assert place(before.split(), wanted, set()) == tuple(after.split())


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["a1", "a2", "drop", "first", "second", "x", "y", "z"]), max_size=12))
def test_laws(before: List[str]) -> None:
    """Once is enough; what is foreign keeps its order and number; what must stand behind another does."""
    wanted = [*PORTS, *JUMPS]
    after = place(before, wanted, set())
    assert place(after, wanted, set()) == after
    assert [rule for rule in after if rule in "xyz"] == [rule for rule in before if rule in "xyz"]
    assert sorted(rule for rule in after if rule not in "xyz") == ["a1", "a2", "drop", "first", "second"]
    assert after.index("first") < after.index("second") and after.index("drop") > max(map(after.index, ("a1", "a2")))


@pytest.mark.parametrize(
    "before, after",
    [
        ("jump x", "jump x k:1 k:2"),
        ("k:1 jump x k:2", "jump x k:2 k:1"),
        ("jump k:1 k:1 k:2 x k:3", "jump k:1 k:2 x"),
    ],
)
def test_what_belongs_to_the_end(before: str, after: str) -> None:
    assert at_the_end(before.split(), ["k:1", "k:2"], "k:", {"jump"}) == tuple(after.split())


_OWN: Tuple[str, str] = ("--comment hostnet-docker-a", "--comment hostnet-docker-b")


def test_others_do_not_move_for_marked_rules() -> None:
    """Two of ours change places with one of others', and not it with them."""
    steps = edits(["x", *_OWN, "y"], [*_OWN, "x", "y"])
    assert steps.deletions == [2, 1] and [rule for _index, rule in steps.insertions] == list(_OWN)
