# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Says at the end of a session how many of the Engine's own rule files were produced."""

from __future__ import annotations

from typing import Any, Dict

from shared import folder


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """One line for each store."""
    produced: Dict[str, int] = {}
    for report in terminalreporter.getreports("passed"):
        for name, count in report.user_properties if report.when == "call" else ():
            if name.startswith("goldens "):
                produced[name] = produced.get(name, 0) + count
    for name, count in sorted(produced.items()):
        kind = "nftables" if name == "goldens nftables" else "iptables"
        files = [path for path in folder("moby-goldens", kind).glob("*.golden") if "wsl2mirrored" not in path.name]
        terminalreporter.write_line(f"Engine's own rule files produced, {name[8:]}: {count} of {len(files)}")
