# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many examples the properties are tried with, and that each of them really is."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import List

import pytest
from hypothesis import strategies as st

from properties import holds

TESTS = Path(__file__).resolve().parents[1]
LEAST = 20_000


def numbers() -> List[int]:
    """What every ``@holds(N, ...)`` of the tests says; a test of its own keeps it."""
    found = []
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for call in getattr(node, "decorator_list", ()):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "holds":
                    found.append(ast.literal_eval(call.args[0]))
    return found


def test_there_are_enough_examples() -> None:
    assert sum(numbers()) >= LEAST


def test_a_property_with_too_few_examples_fails() -> None:
    """Nothing else can be drawn of two values: the count notices."""
    tried = holds(9, value=st.booleans())(lambda value: None)
    with pytest.raises(AssertionError, match="only 2 examples"):
        tried()
