# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's pages agree, and a small run of it measures, prints and draws. Must not know: any time it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import List
from xml.etree import ElementTree

import lab

ROOT = Path(__file__).resolve().parents[2]
PEERS = ("/usr/lib/cni/portmap", "/usr/lib/podman/netavark")


def _section(name: str) -> List[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"## {name}\n")[2].partition("\n## ")[0]
    return [line for line in text.splitlines() if line.startswith("| ")]


def test_the_readme_shows_rows_of_the_page() -> None:
    rows = _section("Fast")
    page = (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8").splitlines()
    assert len(rows) >= 5
    assert not set(rows) - set(page)


def test_a_small_run(tmp_path: Path) -> None:
    for tool in ("cc", "nft", "iptables-save", "ip", "ss"):
        lab.need(tool)
    command = [sys.executable, "-m", "benchmarks", "--quick", "--rounds", "1", "--output", str(tmp_path)]
    command += ["endpoints", "nft", "rates", "plugins"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "benchmark.md").read_text(encoding="utf-8")
    for words in ("raw netlink", "ip -batch", "nft -f", "| 100 | ", "routing alone"):
        assert words in page
    for path, label in zip(PEERS, ("CNI bridge and portmap", "netavark")):
        assert (label in page) == os.path.exists(path)
    assert "100 endpoints: raw netlink" in "".join(ElementTree.parse(tmp_path / "benchmark.svg").getroot().itertext())
