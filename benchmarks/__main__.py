# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: ``python -m benchmarks [--quick] [--rounds N] [MEASUREMENT ...]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Dict, List

from . import report
from .rows import MEASUREMENTS, Measurement, results
from .sandboxes import Numbers, measured

README = Path(__file__).resolve().parent.parent / "README.md"
DOCS = README.parent / "docs"


def main() -> None:
    """Measure, print, and after a whole run write docs/benchmark.md and the README's rows."""
    options = _options()
    sizes = report.all_sizes(options.quick)
    rounds: Dict[str, List[Numbers]] = {}
    for name in options.measurements or MEASUREMENTS:
        rounds[name] = _rounds(name, MEASUREMENTS[name], sizes[name], options.rounds)
    found = [result for name, members in rounds.items() for result in results(name, members)]
    print(report.table(found, sizes))
    print(report.seconds(rounds, sizes))
    is_whole = not (options.quick or options.measurements)
    if options.output or is_whole:
        directory = options.output or DOCS
        directory.mkdir(parents=True, exist_ok=True)
        directory.joinpath("benchmark.md").write_text(report.page(found, rounds, sizes), encoding="utf-8")
    if is_whole and not options.output:
        README.write_text(report.readme(README.read_text(encoding="utf-8"), found, sizes), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("measurements", nargs="*", choices=[[], *MEASUREMENTS], metavar="MEASUREMENT",
                        help=f"one or more of: {', '.join(MEASUREMENTS)}; all by default")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, for a first look")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: 5)")
    parser.add_argument("--output", type=Path, help="write the page into this directory")
    return parser.parse_args()


def _rounds(name: str, item: Measurement, size: int, count: int) -> List[Numbers]:
    """The rounds of one measurement."""
    rounds = []
    for number in range(count):
        numbers: Numbers = {}
        # Each round begins with another, so that nobody always has the machine as the one before left it.
        turn = number % len(item.runs)
        for run in (*item.runs[turn:], *item.runs[:turn]):
            numbers.update(_told(name, run.__name__, measured(run, size)))
        rounds.append(numbers)
    return rounds


def _told(name: str, run: str, numbers: Numbers) -> Numbers:
    said = ", ".join(f"{label} {value:.3f}" for label, value in numbers.items())
    print(f"{name}/{run}: {said}", file=sys.stderr, flush=True)
    return numbers


if __name__ == "__main__":
    main()
