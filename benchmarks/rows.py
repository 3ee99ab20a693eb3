# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured and what is made of it: the measurements by name, the rows of the table.

Must not know: how it is measured, how it is shown.
"""

from __future__ import annotations

import statistics
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

from . import endpoints, plays, ports
from .sandboxes import Numbers

Run = Callable[[int], Numbers]


class Measurement(NamedTuple):
    """Runs that are made side by side, each on a host of its own; ``quick`` is the size for a first look."""

    size: int
    quick: int
    runs: Tuple[Run, ...]


class Row(NamedTuple):
    """One line of the table: its value from the numbers of one round, and the most that it should be."""

    measurement: str
    title: str
    most: float
    value: Callable[[Numbers], float]


class Result(NamedTuple):
    """A row with its values, one a round."""

    row: Row
    values: List[float]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)


MEASUREMENTS: Dict[str, Measurement] = {
    "ports": Measurement(1000, 100, (ports.ours, ports.restore, ports.bare)),
    "endpoints": Measurement(200, 20, (endpoints.ours, endpoints.ip_batch)),
    "role": Measurement(1, 1, (plays.role,)),
}


def _ratio(above: str, *below: str) -> Callable[[Numbers], float]:
    """One number over the sum of others."""
    return lambda numbers: numbers[above] / sum(numbers[label] for label in below)


ROWS: Sequence[Row] = (
    Row(
        "ports",
        "{size} ports, first apply / (bare run + iptables-save + iptables-restore)",
        1.5,
        _ratio("ours", "bare", "save", "restore"),
    ),
    Row(
        "ports",
        "{size} ports, nothing to change / (bare run + iptables-save)",
        1.4,
        _ratio("nothing to change", "bare", "save of all"),
    ),
    Row(
        "ports",
        "one more port on {size} / nothing to change",
        1.25,
        _ratio("one more port", "nothing to change"),
    ),
    Row("endpoints", "{size} endpoints, first apply / ip -batch", 1.0, _ratio("ours", "ip -batch")),
    Row("endpoints", "{size} endpoints, nothing to change / first apply", 0.4, _ratio("nothing to change", "ours")),
    Row("role", "the whole role, nothing to change / one ping task", 5, _ratio("role", "ping")),
)


def results(name: str, rounds: Sequence[Numbers]) -> List[Result]:
    """The rows of a measurement with the values of its rounds."""
    return [Result(row, [row.value(numbers) for numbers in rounds]) for row in ROWS if row.measurement == name]
