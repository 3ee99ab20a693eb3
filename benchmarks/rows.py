# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is measured and what is made of it: the measurements by name, the rows of the table.

Must not know: how it is measured, how it is shown.
"""

from __future__ import annotations

import contextlib
import statistics
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

from . import endpoints, plays, plugins, ports, rates
from .sandboxes import Numbers

Run = Callable[[int], Numbers]


class Measurement(NamedTuple):
    """Runs that are made side by side, each on a host of its own; ``quick`` is the size for a first look.

    ``slow`` runs take minutes: they are made once.
    """

    size: int
    quick: int
    runs: Tuple[Run, ...]
    slow: Tuple[Run, ...] = ()


class Goal(NamedTuple):
    """A bound of a row's value: ``<=`` or ``>=``."""

    sign: str
    bound: float

    def is_met(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return value <= self.bound if self.sign == "<=" else value >= self.bound


class Row(NamedTuple):
    """One line of the table: its value from the numbers of one round; ``is_in_readme`` are the README's few."""

    measurement: str
    title: str
    goal: Goal | None
    value: Callable[[Numbers], float]
    unit: str = "x"
    is_in_readme: bool = False


class Result(NamedTuple):
    """A row with its values, one a round."""

    row: Row
    values: List[float]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)


MEASUREMENTS: Dict[str, Measurement] = {
    "endpoints": Measurement(1000, 100, (endpoints.ours, endpoints.raw, endpoints.ip_batch, endpoints.tenth)),
    "ports": Measurement(10_000, 1000, (ports.ours, ports.restore, ports.bare, ports.tenth)),
    "nft": Measurement(10_000, 1000, (ports.nft_ours, ports.nft_bare)),
    "rates": Measurement(10_000, 100, (rates.plain, rates.nftables, rates.iptables, rates.linear)),
    "processes": Measurement(1000, 100, (ports.on_and_off,), (ports.processes,)),
    "plugins": Measurement(50, 5, (plugins.ours, plugins.cni, plugins.netavark)),
    "rules": Measurement(100, 30, (plays.rules,), (plays.loop,)),
    "role": Measurement(1, 1, (plays.role,)),
    "fifty": Measurement(50, 10, (plays.fifty,)),
}


def _over(above: str, below: str) -> Callable[[Numbers], float]:
    return lambda numbers: numbers[above] / numbers[below]


def _beyond_bare(numbers: Numbers) -> float:
    return (numbers["nothing to change"] - numbers["bare module"]) / numbers["iptables-save"]


def _last(above: str, below: str) -> Callable[[Numbers], float]:
    """The rate of one layout over another's, both through the last of all ports."""

    def value(numbers: Numbers) -> float:
        most = max(count for count in rates.COUNTS if rates.label(above, count) in numbers)
        return numbers[rates.label(above, most)] / numbers[rates.label(below, most)]

    return value


def _last_over_only(numbers: Numbers) -> float:
    most = max(count for count in rates.COUNTS if rates.label(rates.NFTABLES, count) in numbers)
    return numbers[rates.label(rates.NFTABLES, most)] / numbers[rates.label(rates.NFTABLES, 1)]


ROWS: Sequence[Row] = (
    Row(
        "endpoints",
        "{size} endpoints, first apply / raw netlink",
        Goal("<=", 1.5),
        _over("ours", "raw netlink"),
        is_in_readme=True,
    ),
    Row("endpoints", "{size} endpoints, ip -batch / first apply", Goal(">=", 2.5), _over("ip -batch", "ours")),
    Row(
        "endpoints",
        "{size} endpoints, nothing to change / first apply",
        Goal("<=", 0.25),
        _over("nothing to change", "ours"),
    ),
    Row("endpoints", "{size} endpoints / a tenth of them, first apply", Goal("<=", 15), _over("ours", "a tenth")),
    Row(
        "ports",
        "{size} ports, first apply / one iptables-save and one iptables-restore",
        Goal("<=", 3),
        _over("ours", "save and restore"),
        is_in_readme=True,
    ),
    Row("ports", "{size} ports, nothing to change, less a bare module / iptables-save", Goal("<=", 3), _beyond_bare),
    Row(
        "ports",
        "one more port on {size} / nothing to change",
        Goal("<=", 1.5),
        _over("one more port", "nothing to change"),
    ),
    Row("ports", "{size} ports / a tenth of them, first apply", Goal("<=", 12), _over("ours", "a tenth")),
    Row("ports", "memory at {size} ports", Goal("<=", 150), lambda numbers: numbers["memory"], " MB"),
    Row(
        "nft",
        "{size} ports on nftables, first apply / nft -f of the same elements",
        Goal("<=", 3),
        _over("ours", "nft -f"),
    ),
    Row(
        "nft",
        "one more port on {size} on nftables / nothing to change",
        Goal("<=", 1.5),
        _over("one more port", "nothing to change"),
    ),
    Row("rates", "connections a second, last of {size} ports / only port, nftables", Goal(">=", 0.9), _last_over_only),
    Row(
        "rates",
        "connections a second, last of {size} ports, nftables / Docker's iptables rules",
        Goal(">=", 15),
        _last(rates.NFTABLES, rates.IPTABLES),
        is_in_readme=True,
    ),
    Row(
        "rates",
        "connections a second, last of {size} ports, nftables / Docker's nftables rules",
        None,
        _last(rates.NFTABLES, rates.LINEAR),
    ),
    Row(
        "processes",
        "{size} ports on and off, a process a rule / ours",
        Goal(">=", 50),
        _over("a process a rule", "ours"),
        is_in_readme=True,
    ),
    Row(
        "plugins",
        "{size} endpoints with a port each, CNI's bridge and portmap / one task",
        None,
        _over("CNI bridge and portmap", "ours"),
    ),
    Row("plugins", "{size} endpoints with a port each, netavark / one task", None, _over("netavark", "ours")),
    Row(
        "rules",
        "{size} rules, ansible.builtin.iptables in a loop / one task",
        Goal(">=", 30),
        _over("ansible.builtin.iptables", "ours"),
        is_in_readme=True,
    ),
    Row(
        "role",
        "whole role, nothing to change / one ping task",
        Goal("<=", 4),
        _over("role", "ping"),
        is_in_readme=True,
    ),
    Row("fifty", "{size} hosts in one play, role / ping, for one host", Goal("<=", 4), _over("role", "ping")),
)


def results(name: str, rounds: Sequence[Numbers]) -> List[Result]:
    """The rows of a measurement with the values of its rounds; a peer that is not installed has none."""
    found = []
    for row in (row for row in ROWS if row.measurement == name):
        with contextlib.suppress(KeyError):
            found.append(Result(row, [row.value(numbers) for numbers in rounds]))
    return found
