# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of published ports that one rule or one element expresses (``compact_ranges``).

A binding stays one port everywhere else; only layouts see runs. Must not know: rule texts, the kernel.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, NamedTuple, Tuple

from .policy import Binding


class Span(NamedTuple):
    """Ports that follow one another on both sides: the first of them, and how many there are."""

    first: Binding
    size: int = 1

    def asked(self, dash: str = ":") -> str:
        """The host's ports: ``8000``, or ``8000:8010``."""
        return _joined(self.first.host_port or 0, self.size, dash)

    def answering(self, dash: str = ":") -> str:
        """The endpoint's ports."""
        return _joined(self.first.port, self.size, dash)

    @property
    def is_shifted(self) -> bool:
        """Whether the host's ports and the endpoint's are different ones."""
        return self.first.host_port not in (None, self.first.port)

    def bindings(self) -> List[Binding]:
        """The ports one by one."""
        return [_nth(self.first, number) for number in range(self.size)]


def _joined(low: int, size: int, dash: str) -> str:
    return str(low) if size == 1 else f"{low}{dash}{low + size - 1}"


def _nth(first: Binding, number: int) -> Binding:
    host_port = first.host_port + number if first.host_port else None
    return first._replace(host_port=host_port, port=first.port + number, compact=True)


def spans(bindings: Iterable[Binding]) -> List[Span]:
    """All bindings in their order, neighbours that are to be one rule as one, where the first of them stands."""
    alike: Dict[Tuple[Any, ...], List[Binding]] = {}
    for binding in bindings:
        alike.setdefault(_likeness(binding), []).append(binding)
    return [span for members in alike.values() for span in _runs(members)]


def _likeness(binding: Binding) -> Tuple[Any, ...]:
    """What is the same for all ports of a run; what is no part of one is like nothing else."""
    if not binding.compact:
        return binding
    shift = binding.host_port - binding.port if binding.host_port else None
    return (binding.protocol, binding.host_ip, binding.ip, binding.sources, shift)


def _runs(members: List[Binding]) -> List[Span]:
    if len(members) == 1:  # which is most of them
        return [Span(members[0])]
    found: List[Span] = []
    for binding in sorted(members, key=lambda item: item.port):
        if found and binding.port == found[-1].first.port + found[-1].size:
            found[-1] = found[-1]._replace(size=found[-1].size + 1)
        else:
            found.append(Span(binding))
    return found


def container_spans(bindings: Iterable[Binding]) -> List[Span]:
    """The runs of the endpoint's own ports, however many host ports lead to each."""
    return spans(dict.fromkeys(binding._replace(host_ip=None, host_port=None) for binding in bindings))


def expanded(text: str) -> range:
    """The ports that ``8000``, ``8000:8010`` or ``8000-8010`` names."""
    if text.isdigit():
        return range(int(text), int(text) + 1)
    low, _dash, high = text.replace("-", ":").partition(":")
    return range(int(low), max(int(low), int(high or low)) + 1)
