# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back some time later: what others did meanwhile stays, at its place."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils._plan import diff
from ansible_collections.hostnet.docker.plugins.module_utils._state import Key
from ansible_collections.hostnet.docker.plugins.module_utils._undo import undone

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
