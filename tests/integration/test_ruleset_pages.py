# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/ruleset: what the pages show is what a real host shows after the page's own task."""

from __future__ import annotations

from pathlib import Path

import pytest

import lab
import ruleset_pages


@pytest.mark.parametrize("page", ruleset_pages.PAGES, ids=lambda page: page.stem)
def test_page_is_as_a_host_shows(host: lab.Host, page: Path) -> None:
    """If not, ``tools/ruleset_pages.py`` writes it anew."""
    assert ruleset_pages.renewed(page, host) == page.read_text(encoding="utf-8")


def test_every_rule_is_explained() -> None:
    for page in ruleset_pages.PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("\n| `") > 10 and "left alone" not in text, page.name
