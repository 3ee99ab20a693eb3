# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties that hold for whatever comes in: how many examples try each, and how odd text is made of good text.

Owns: the counting and the profile. ``HOSTNET_FUZZ`` multiplies the examples and draws them anew (``make fuzz``);
without it they are the same in every run. Must not know: what is tried.
"""

from __future__ import annotations

import functools
import os
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

TIMES = int(os.environ.get("HOSTNET_FUZZ", "1"))
Check = Callable[..., None]

# What means something to a shell, to iptables-restore, nft, hosts files, paths or numbers; what is no ASCII or no text.
PIECES = (
    "\0", "\n", "\r", "\t", " ", "-", "--", "/", "..", ".", "../", "%", "'", '"', "\\", ";", "$(id)", "`id`", "|", "&",
    "*", "?", "[", "]", "{", "}", "(", ")", "<", ">", "+", "!", "#", "~", ",", ":", "::", "=", "@", "^", "_", "0", "00",
    "-1", "65536", "0x", "1e9", "99999999999", "é", "\u0663", "\u2028", "\x85", "\xa0", "\ud800", "\U0001f433",
    "a" * 300,
)  # fmt: skip
anything = st.text(max_size=40) | st.sampled_from(PIECES)
_edits = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ird"), st.sampled_from(PIECES)), max_size=3)


def holds(number: int, examples: Sequence[Mapping[str, Any]] = (), **drawn: Any) -> Callable[[Check], Check]:
    """Make a test of a check: it is called with at least ``number`` drawn sets of arguments, else the test fails.

    ``unit/test_examples.py`` adds the numbers up.

    :param examples: sets of arguments that are tried in any case: what went wrong once
    """

    def decorate(check: Check) -> Check:
        calls: List[int] = []

        def counted(**values: Any) -> None:
            calls.append(1)
            check(**values)

        counted.__name__ = check.__name__
        tried = given(**drawn)(counted)
        for values in examples:
            tried = example(**values)(tried)
        tried = settings(
            max_examples=number * TIMES,
            deadline=None,
            database=None,
            derandomize=TIMES == 1,
            suppress_health_check=list(HealthCheck),
        )(tried)

        @pytest.mark.fuzz
        def test() -> None:
            tried()
            assert len(calls) >= number, f"only {len(calls)} examples"

        functools.update_wrapper(test, check, assigned=("__module__", "__name__", "__qualname__", "__doc__"))
        del test.__wrapped__  # type: ignore[attr-defined]  # its arguments would be looked for among the fixtures
        return test

    return decorate


def near(good: Sequence[str]) -> st.SearchStrategy[str]:
    """Good texts, and the same with up to three pieces put in, put in place of something, or taken out."""
    return st.builds(_edited, st.sampled_from(list(good)), _edits)


def _edited(text: str, edits: Sequence[Tuple[int, str, str]]) -> str:
    for place, verb, piece in edits:
        place %= len(text) + 1
        if verb == "i":
            text = text[:place] + piece + text[place:]
        else:
            text = text[:place] + (piece if verb == "r" else "") + text[place + 1 :]
    return text


def cut(data: Any) -> st.SearchStrategy[Any]:
    """A text or bytes, ended anywhere."""
    return st.integers(0, len(data)).map(lambda size: data[:size])


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | anything,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=5,
)


def leaves(value: Any) -> Dict[str, List[Any]]:
    """Every text that a value is made of, by the name of the field that it is in."""
    found: Dict[str, List[Any]] = {}
    _collect(value, "", found)
    return found


def _collect(value: Any, name: str, found: Dict[str, List[Any]]) -> None:
    if isinstance(value, str):
        found.setdefault(name, []).append(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            _collect(key, name, found)
            _collect(item, name, found)
    elif hasattr(value, "_fields"):
        for field in value._fields:
            _collect(getattr(value, field), field, found)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            _collect(item, name, found)
    elif hasattr(value, "__dataclass_fields__"):
        for field in value.__dataclass_fields__:
            _collect(getattr(value, field), field, found)
