# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's pages agree, and a small run of it measures and prints. Must not know: any time it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import lab

ROOT = Path(__file__).resolve().parents[2]


def test_the_readme_shows_rows_of_the_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Fast\n")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    page = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8").splitlines()
    assert len(rows) >= 5
    assert not set(rows) - set(page)


@pytest.mark.slow()
def test_a_small_run(tmp_path: Path) -> None:
    for tool in ("iptables-save", "ip"):
        lab.need(tool)
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "benchmark.md").read_text(encoding="utf-8")
    for words in ("100 ports, first apply", "20 endpoints, first apply / ip -batch", "one ping task", "| bare |"):
        assert words in page
