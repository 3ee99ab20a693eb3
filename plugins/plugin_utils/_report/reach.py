# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report says of ports that can be reached and of their traffic. Must not know: HTML, Ansible."""

from __future__ import annotations

from typing import Any, Mapping, NamedTuple, Tuple

Words = Mapping[str, Any]


class Reach(NamedTuple):
    """A port that somebody outside can reach, as ``exposure`` of host_network_info tells it."""

    port: str
    address: str
    sources: Tuple[str, ...]
    interfaces: Tuple[str, ...]
    target: str
    packets: int | None
    is_certain: bool

    @property
    def who(self) -> str:
        """From which addresses, in words."""
        everybody = {"0.0.0.0/0", "::/0"} & set(self.sources)
        return "everybody" if everybody else ", ".join(self.sources)


class Traffic(NamedTuple):
    """What a published port has seen, as ``counters`` of host_network_info tells it."""

    port: str
    target: str
    packets: int | None
    bytes: int | None


def reach(entry: Words) -> Reach:
    """An entry of ``exposure``."""
    target = _target(entry) if entry.get("container_address") else str(entry.get("holder") or "the host")
    return Reach(
        port=f"{entry['port']}/{entry['protocol']}",
        address=_everywhere(entry["address"]),
        sources=tuple(str(source) for source in entry["sources"]),
        interfaces=tuple(str(name) for name in entry["interfaces"]),
        target=target,
        packets=entry.get("packets"),
        is_certain=bool(entry.get("certain", True)),
    )


def traffic(entry: Words) -> Traffic:
    """An entry of ``counters``."""
    asked = entry.get("host_address")
    place = f"{entry['host_port']}/{entry['protocol']} of {_everywhere(asked)}" if asked else None
    own = f"{entry['container_port']}/{entry['protocol']} of its own address"
    return Traffic(place or own, _target(entry), entry.get("packets"), entry.get("bytes"))


def _everywhere(address: Any) -> str:
    words = {"0.0.0.0": "all IPv4 addresses", "::": "all IPv6 addresses"}
    return words.get(str(address), str(address))


def _target(entry: Words) -> str:
    """The endpoint's name with its address and port; without a name they alone."""
    address, port = str(entry["container_address"]), entry["container_port"]
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return f"{entry['endpoint']} ({place})" if entry.get("endpoint") else place
