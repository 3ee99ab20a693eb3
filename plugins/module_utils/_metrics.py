# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exposure and counters as text for Prometheus' textfile collector. Must not know: where they come from."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

_Sample = Tuple[Mapping[str, Any], int]
_EXPOSED = ("protocol", "address", "port", "endpoint", "container_address", "container_port")
_PUBLISHED = ("endpoint", "protocol", "host_address", "host_port", "container_address", "container_port")


def text(exposure: Sequence[Mapping[str, Any]], counters: Sequence[Mapping[str, Any]]) -> str:
    """The metrics in Prometheus' exposition format; a label without a value is empty."""
    rows = _metric(
        "hostnet_exposed_port",
        "gauge",
        "A port that somebody outside can reach, by the live rules.",
        _labelled(exposure, ("holder", "certain"), _EXPOSED, "", 1),
    )
    for name, key, what in (
        ("packets", "packets", "New connections to"),
        ("bytes", "bytes", "Bytes of new connections to"),
    ):
        rows += _metric(
            f"hostnet_published_port_{name}_total",
            "counter",
            f"{what} a published port, as its rule has counted them.",
            _labelled(counters, (), _PUBLISHED, key, 0),
        )
    return "".join(f"{row}\n" for row in rows)


def _labelled(
    items: Iterable[Mapping[str, Any]], extra: Sequence[str], names: Sequence[str], key: str, value: int
) -> List[_Sample]:
    """One sample for each set of labels; those that differ in something else are one."""
    found: Dict[Tuple[str, ...], _Sample] = {}
    for item in items:
        count = item[key] if key else value
        if count is not None:
            # The number of a process would make a new series of every restart.
            labels = {name: _text(item[name]).partition(" (pid ")[0] for name in (*names, *extra)}
            found[tuple(labels.values())] = (labels, count)
    return list(found.values())


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _metric(name: str, kind: str, what: str, samples: Sequence[_Sample]) -> List[str]:
    rows = [f"# HELP {name} {what}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        told = ",".join(f'{label}="{_escaped(str(text))}"' for label, text in labels.items())
        rows.append(f"{name}{{{told}}} {value}")
    return rows


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
