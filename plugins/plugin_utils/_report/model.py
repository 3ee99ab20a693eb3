# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the report says of a host, as values. Must not know: where they come from, HTML, graphviz, Ansible."""

from __future__ import annotations

import ipaddress
from typing import Any, List, Mapping, NamedTuple, Tuple

from .reach import Reach, Traffic

Words = Mapping[str, Any]


class Port(NamedTuple):
    """A published port. ``host`` is empty where the endpoint is reached by its own address (mode routed)."""

    ip: str
    host: str
    target: str
    protocol: str
    sources: Tuple[str, ...] | None = None

    @property
    def is_local(self) -> bool:
        """Whether only the host itself reaches it."""
        return bool(self.ip) and ipaddress.ip_address(self.ip).is_loopback

    @property
    def asked(self) -> str:
        """What clients ask for: ``8080``, ``127.0.0.1:8080``; empty without translation."""
        ip = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"{ip}:{self.host}" if self.ip and self.host else self.host

    @property
    def text(self) -> str:
        """``8080 → 80/tcp``, or ``80/tcp`` without translation."""
        return f"{self.asked} → {self.target}/{self.protocol}" if self.host else f"{self.target}/{self.protocol}"

    @property
    def who(self) -> str:
        """Who may reach it, in words."""
        if self.is_local:
            return "the host only"
        if self.sources is None:
            return "everybody"
        return ", ".join(self.sources) or "nobody"


class Endpoint(NamedTuple):
    """An endpoint on one network; ``sandbox`` is its namespace, which it may share with others."""

    name: str
    sandbox: str
    bridge: str
    addresses: Tuple[str, ...]
    ports: Tuple[Port, ...]


class Network(NamedTuple):
    """A bridge. ``entry`` says what other networks may reach: ``nothing``, ``published ports``, ``everything``."""

    name: str
    subnets: Tuple[str, ...]
    gateways: Tuple[str, ...]
    way_out: str
    entry: str
    traits: Tuple[str, ...]
    is_internal: bool
    endpoints: Tuple[Endpoint, ...]

    @property
    def ports(self) -> List[Port]:
        """What its endpoints publish."""
        return [port for endpoint in self.endpoints for port in endpoint.ports]


class Chain(NamedTuple):
    """The rules of one chain, or the elements of one map or set."""

    name: str
    rules: List[Words]


class Table(NamedTuple):
    """The rules of one table of one family."""

    backend: str
    family: str
    name: str
    chains: List[Chain]

    @property
    def size(self) -> int:
        """How many rules it has."""
        return sum(len(chain.rules) for chain in self.chains)

    @property
    def foreign(self) -> int:
        """How many of them are not Docker's and not the administrator's."""
        return sum(is_foreign(rule) for chain in self.chains for rule in chain.rules)


class Host(NamedTuple):
    """All that the page shows of a host."""

    name: str
    anchor: str
    verdict: str
    failure: str
    firewall: str
    forwarding: str
    interfaces: List[Words]
    networks: List[Network]
    reaches: List[Reach]
    traffic: List[Traffic]
    tables: List[Table]
    warnings: List[str]
    changes: List[str]
    diffs: List[Tuple[str, List[Tuple[str, str]]]]
    is_read: bool

    @property
    def endpoints(self) -> List[Endpoint]:
        """The endpoints of all networks."""
        return [endpoint for network in self.networks for endpoint in network.endpoints]

    @property
    def ports(self) -> List[Tuple[Endpoint, Port]]:
        """All published ports, each with its endpoint."""
        return [(endpoint, port) for endpoint in self.endpoints for port in endpoint.ports]

    @property
    def exposed(self) -> int:
        """How many ports somebody outside can reach, a port of both families once."""
        return len({(item.port, item.target.rpartition(" (")[0] or item.target) for item in self.reaches})


def is_foreign(rule: Words) -> bool:
    """Whether a rule is neither of Docker's layout nor the administrator's."""
    return rule["owner"] not in ("docker", "administrator")
