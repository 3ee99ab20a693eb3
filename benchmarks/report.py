# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as tables (Markdown). Must not know: how they came about."""

from __future__ import annotations

import os
import platform
import statistics
from typing import Dict, List, Sequence

from .rows import MEASUREMENTS, Result
from .sandboxes import Numbers

# Measured with a clock around each step of a run; kept here because the page is written anew each time.
_WHERE = """## Where the time goes

200 endpoints with nothing to change take 0.23 s on a quiet machine: 0.08 s are Python and Ansible's own files, 0.02 s
ours, 0.02 s Ansible's look at the options and at the answer, 0.05 s the links, addresses and routes of 200 namespaces,
0.02 s their settings and files, 0.01 s both families' rules, 0.02 s the prediction. 1,000 ports with nothing to change
take 0.21 s: the same 0.1 s, 0.035 s for both families' rules (iptables-save alone: 0.025 s), 0.03 s the prediction.

Of these 0.23 s, 0.17 s are Python's and 0.06 s the kernel's; of the first apply's 0.55 s, 0.22 s and 0.30 s. So their
ratio is over 0.4 since the first apply needs less of Python. It also varies most: some minutes later the same run took
0.31 to 0.4 s on the same machine, most of it Python, while a bare loop took as long as before. Why is not known.
"""
_BEGIN, _END = "<!-- written by make bench -->", "<!-- to here -->"


def table(results: Sequence[Result], sizes: Dict[str, int]) -> str:
    """The rows as a table: median, the lowest and highest round, the most that it should be."""
    lines = ["| what | median | rounds | at most | |", "|---|---:|---:|---:|---|"]
    for result in results:
        row = result.row
        title = row.title.format(size=f"{sizes[row.measurement]:,}")
        is_met = result.median <= row.most
        verdict = "met" if is_met else f"**missed** by {result.median / row.most - 1:.0%}"
        lines.append(f"| {title} | {result.median:.2f} | {_spread(result.values)} | {row.most:g} | {verdict} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}" if len(values) > 1 else ""


def seconds(rounds: Dict[str, List[Numbers]], sizes: Dict[str, int]) -> str:
    """The numbers behind the ratios."""
    lines = ["| measurement | run | seconds, median | rounds |", "|---|---|---:|---:|"]
    for name, members in rounds.items():
        for label in members[0]:
            values = [numbers[label] for numbers in members]
            median = f"{statistics.median(values):.3f}"
            lines.append(f"| {name}, {sizes[name]:,} | {label} | {median} | {_spread(values)} |")
    return "\n".join(lines) + "\n"


def page(results: Sequence[Result], rounds: Dict[str, List[Numbers]], sizes: Dict[str, int]) -> str:
    """docs/benchmark.md."""
    machine = f"Linux {platform.release()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    return (
        "# Benchmark\n\n"
        f"Written by `make bench` ({machine}). Each number is taken on a host of its own, a network namespace that "
        "is gone afterwards; we and the bare tools take turns in one run. A ratio is that of one round. What leaves "
        "the host as it was is run five times in a round, the middle one counts. A bare run is one of `ip_forward` "
        "that changes nothing: Python, the imports, the argument specs.\n\n"
        f"{table(results, sizes)}\n{seconds(rounds, sizes)}\n{_WHERE}"
    )


def readme(text: str, results: Sequence[Result], sizes: Dict[str, int]) -> str:
    """The README with the table between two marks."""
    head, _mark, rest = text.partition(_BEGIN)
    _old, _mark, tail = rest.partition(_END)
    return f"{head}{_BEGIN}\n{table(results, sizes)}{_END}{tail}"


def all_sizes(is_quick: bool) -> Dict[str, int]:
    """The size of each measurement."""
    return {name: item.quick if is_quick else item.size for name, item in MEASUREMENTS.items()}
