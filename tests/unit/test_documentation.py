# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation says what the specs say, and every option has its words."""

from __future__ import annotations

import yaml

import documentation


def test_files_are_as_generated() -> None:
    """``tools/documentation.py`` has nothing to write."""
    stale = [path.name for path, text in documentation.files().items() if path.read_text(encoding="utf-8") != text]
    assert stale == []


def test_no_words_without_an_option() -> None:
    """Words of options that are no more would go on unread."""
    for kind in ("bridge", "endpoint", "forwarding", "user_rule"):
        spec, words = documentation.ITEMS[kind]
        assert {name.partition(".")[0] for name in words} == set(spec), kind
    port = documentation.ITEMS["port"][0]
    assert set(documentation.WORDS["port"]) | set(documentation.WORDS["publish"]) == set(port)


def test_every_module_is_documented() -> None:
    modules = {path.stem for path in (documentation.ROOT / "plugins" / "modules").glob("*.py")}
    assert modules == set(documentation.MODULES)
    group = yaml.safe_load((documentation.ROOT / "meta" / "runtime.yml").read_text())
    assert group["requires_ansible"] == ">=2.17.0"
