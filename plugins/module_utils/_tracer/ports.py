# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports before and after translation. Must not know: rules, packets."""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple, Union

from .space import PORTS, joined, marks, runs, span

Run = Tuple[int, int]  # first and last port
Count = Tuple[int, int]  # packets and bytes


class Ports:
    """From the port that a client asked for to the one that the packet has now.

    ``kept`` is the mask of ports that are still the same, ``moved`` has the runs of those that became another.
    ``counted`` has for each rule that translated its counter, and a run of ports asked for.
    """

    def __init__(self, kept: int = PORTS) -> None:
        self.kept = kept
        self.moved: Dict[int, List[Run]] = {}
        self.counted: List[Tuple[Union[Count, None], Run]] = []
        self._now: Union[Dict[int, int], None] = None

    def asked(self, mask: int) -> int:
        """The ports asked for of those that are now in a mask."""
        found = mask & self.kept
        if self.moved and not mask & mask - 1:  # one port, of which a rule of the many speaks
            return found | joined(self.moved.get(mask.bit_length() - 1, ()))
        bits = marks(mask)
        return found | joined(
            run for port, asked in self.moved.items() if bits[port >> 3] >> (port & 7) & 1 for run in asked
        )

    def now(self, asked: int) -> int:
        """The port that a packet has which asked for one."""
        if self._now is None:
            self._now = {port: now for now, runs in self.moved.items() for run in runs for port in _each(run)}
        return self._now.get(asked, asked)


def _each(run: Run) -> range:
    return range(run[0], run[1] + 1)


def cut(asked: Sequence[Run], mask: int, bits: bytes = b"") -> List[Run]:
    """The runs of ports that are in a mask, of which ``bits`` are the bytes."""
    bits = bits or marks(mask)
    found: List[Run] = []
    for low, high in asked:
        if low == high:
            found += [(low, high)] if bits[low >> 3] >> (low & 7) & 1 else []
        else:
            found += runs(mask & span(low, high))
    return found
