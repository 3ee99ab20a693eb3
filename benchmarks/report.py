# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as a table (Markdown) and as a plot (SVG). Must not know: how they came about."""

from __future__ import annotations

import math
import os
import platform
import statistics
from pathlib import Path
from typing import Dict, List, Sequence, Tuple
from xml.sax.saxutils import escape

from . import rates
from .rows import MEASUREMENTS, Result
from .sandboxes import Numbers

# The bars of the plot: measurement, its title, the labels of its numbers; the first is ours.
_BARS: Sequence[Tuple[str, str, Sequence[str]]] = (
    ("endpoints", "{size} endpoints", ("ours", "nothing to change", "raw netlink", "ip -batch")),
    ("ports", "{size} published ports", ("ours", "nothing to change", "save and restore")),
    ("nft", "{size} ports on nftables", ("ours", "nothing to change", "nft -f")),
    ("processes", "{size} ports on and off", ("ours", "a process a rule")),
    ("plugins", "{size} endpoints with a port", ("ours", "CNI bridge and portmap", "netavark")),
    ("rules", "{size} rules", ("ours", "ansible.builtin.iptables")),
)
_BEGIN, _END = "<!-- written by make bench -->", "<!-- to here -->"
_LEFT, _LINE, _DECADE = 370, 21, 85  # pixels: of the titles, of a bar, of ten times as many seconds
_OURS, _OTHERS = "#1f6feb", "#9aa4b2"


def table(results: Sequence[Result], sizes: Dict[str, int]) -> str:
    """The rows as a table: median, the lowest and highest round, goal."""
    lines = ["| what | median | rounds | goal | |", "|---|---:|---:|---:|---|"]
    for result in results:
        row, unit = result.row, result.row.unit
        spread = f"{min(result.values):.2f} to {max(result.values):.2f}" if len(result.values) > 1 else ""
        title = row.title.format(size=f"{sizes[row.measurement]:,}")
        goal, verdict = _judged(result)
        lines.append(f"| {title} | {result.median:.2f}{unit} | {spread} | {goal} | {verdict} |")
    return "\n".join(lines) + "\n"


def _judged(result: Result) -> Tuple[str, str]:
    """The goal of a row, and whether it is met or by how much it is missed."""
    goal, value = result.row.goal, result.median
    if goal is None:
        return "", ""
    words = f"{'at most' if goal.sign == '<=' else 'at least'} {goal.bound:g}{result.row.unit}"
    return words, "met" if goal.is_met(value) else f"**missed** by {abs(value / goal.bound - 1):.0%}"


def seconds(rounds: Dict[str, List[Numbers]], sizes: Dict[str, int]) -> str:
    """The numbers behind the ratios."""
    lines = ["| measurement | run | seconds, median | rounds |", "|---|---|---:|---:|"]
    for name, members in rounds.items():
        for label in (label for label in members[0] if label != "memory" and name != "rates"):
            values = [numbers[label] for numbers in members]
            spread = f"{min(values):.2f} to {max(values):.2f}" if len(values) > 1 else ""
            lines.append(f"| {name}, {sizes[name]:,} | {label} | {statistics.median(values):.3f} | {spread} |")
    return "\n".join(lines) + "\n"


def connections(rounds: Dict[str, List[Numbers]], sizes: Dict[str, int]) -> str:
    """New connections a second through the last of so many ports, as parts of what routing alone lets through."""
    members = rounds.get("rates", [])
    if not members:
        return ""
    layouts = (rates.NFTABLES, rates.IPTABLES, rates.LINEAR)
    lines = [f"| ports | {' | '.join(layouts)} |", f"|---:|{'---:|' * len(layouts)}"]
    for count in rates.counts(sizes["rates"]):
        labels = [rates.label(layout, count) for layout in layouts]
        parts = [statistics.median(numbers[label] / numbers[rates.PLAIN] for numbers in members) for label in labels]
        lines.append(f"| {count:,} | {' | '.join(f'{part:.3f}' for part in parts)} |")
    plain = statistics.median(numbers[rates.PLAIN] for numbers in members)
    head = f"New TCP connections a second through the last of so many ports; 1 is routing alone, here {plain:,.0f}.\n\n"
    return head + "\n".join(lines) + "\n"


def page(results: Sequence[Result], rounds: Dict[str, List[Numbers]], sizes: Dict[str, int]) -> str:
    """docs/benchmark.md."""
    machine = f"Linux {platform.release()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    return (
        "# Benchmark\n\n"
        f"Written by `make bench` ({machine}). Each number is taken on a host of its own, a network namespace that "
        "is gone afterwards; us and the peers take turns in one run. A ratio is that of one round. Where the time "
        "goes, and why a goal is missed: [notes](benchmark-notes.md).\n\n"
        "![Seconds, ours and the peers'](benchmark.svg)\n\n"
        f"{table(results, sizes)}\n{connections(rounds, sizes)}\n{seconds(rounds, sizes)}"
    )


def readme(text: str, results: Sequence[Result], sizes: Dict[str, int]) -> str:
    """The README with its few rows of the table between two marks."""
    head, _mark, rest = text.partition(_BEGIN)
    _old, _mark, tail = rest.partition(_END)
    rows = table([result for result in results if result.row.is_in_readme], sizes)
    return f"{head}{_BEGIN}\n{rows}{_END}{tail}"


def plot(rounds: Dict[str, List[Numbers]], sizes: Dict[str, int], path: Path) -> None:
    """docs/benchmark.svg: seconds on a logarithmic scale, ours beside the peers'."""
    bars = _bars(rounds, sizes)
    height = _LINE * len(bars) + 30
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="800" height="{height}" fill="white"/>',
        *(_bar(number, *row) for number, row in enumerate(bars)),
        f'<text x="{_LEFT}" y="{height - 8}" fill="#555">seconds, logarithmic; blue: hostnet.docker</text>',
        "</svg>\n",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _bar(number: int, title: str, value: float, is_ours: bool) -> str:
    """One line of the plot; the scale begins at a hundredth of a second."""
    top, length = _LINE * number + 6, max(2.0, _DECADE * math.log10(value / 0.01))
    return (
        f'<text x="{_LEFT - 8}" y="{top + 12}" text-anchor="end">{escape(title)}</text>'
        f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="15" fill="{_OURS if is_ours else _OTHERS}"/>'
        f'<text x="{_LEFT + length + 6:.1f}" y="{top + 12}">{value:.2f} s</text>'
    )


def _bars(rounds: Dict[str, List[Numbers]], sizes: Dict[str, int]) -> List[Tuple[str, float, bool]]:
    """Title, seconds, whether it is ours."""
    found = []
    for name, title, labels in _BARS:
        for label in (label for label in labels if name in rounds and label in rounds[name][0]):
            value = statistics.median(numbers[label] for numbers in rounds[name])
            is_ours = label in ("ours", "nothing to change")
            text = f"{title.format(size=f'{sizes[name]:,}')}: {'first apply' if label == 'ours' else label}"
            found.append((text, value, is_ours))
    return found


def all_sizes(is_quick: bool) -> Dict[str, int]:
    """The size of each measurement."""
    return {name: item.quick if is_quick else item.size for name, item in MEASUREMENTS.items()}
