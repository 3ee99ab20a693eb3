# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A port scan from outside, and what a list of exposed ports says of the same questions.

Owns: servers on every port that is asked for, two clients outside, the comparison. Must not know: rules, modules.
"""

from __future__ import annotations

import contextlib
import ipaddress
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Sequence

import lab

PORTS = (80, 81, 82, 91, 92, 93, 8080, 8081, 8082)
CLIENTS = {4: ("192.0.2.254", "192.0.2.77"), 6: ("2001:db8:1::fe", "2001:db8:1::77")}
_INNER = ("172.17.0.0/16", "fd00:17::/64")
# What the host itself listens on: everywhere, at one address, on its loopback.
_OWN = ((91, None, "tcp"), (92, "192.0.2.1", "tcp"), (92, "192.0.2.1", "udp"), (93, "127.0.0.1", "tcp"))


class Question(NamedTuple):
    """Whether a client gets an answer from a port."""

    client: str
    protocol: str
    address: str
    port: int


@contextlib.contextmanager
def answering(host: lab.Host, endpoints: Iterable[str]) -> Iterator[None]:
    """Servers on every port of the endpoints, some on the host, and clients that know the way to both."""
    lab.sh(host.lan, "ip address add 192.0.2.77/24 dev eth0; ip address add 2001:db8:1::77/64 dev eth0 nodad")
    for net, via in zip(_INNER, ("192.0.2.1", "2001:db8:1::1")):
        lab.sh(host.lan, f"ip route replace {net} via {via}")
    with contextlib.ExitStack() as stack:
        for name in endpoints:
            for port in PORTS:
                for protocol in ("tcp", "udp"):
                    stack.enter_context(lab.serve(name, port, proto=protocol))
        for port, address, protocol in _OWN:
            stack.enter_context(lab.serve(host, port, address, protocol))
        yield


def questions(addresses: Sequence[str]) -> List[Question]:
    """Every client to every port of the addresses."""
    return [
        Question(client, protocol, address, port)
        for address in addresses
        for client in CLIENTS[ipaddress.ip_address(address).version]
        for protocol in ("tcp", "udp")
        for port in PORTS
    ]


def wrong(
    host: lab.Host, exposure: Sequence[Dict[str, Any]], own: Sequence[str], asked: Sequence[Question]
) -> List[str]:
    """The questions of which the list says otherwise than the scan, as lines to read; uncertain items say nothing.

    :param own: the host's own addresses
    """
    told = {question: _told(exposure, own, question) for question in asked}
    sure = [question for question in asked if told[question] is not None]
    first = _scan(host, sure, 0.3)
    doubtful = [question for question in sure if first[question] != told[question]]
    again = _scan(host, doubtful, 2.0)  # a slow machine is no closed port
    return [
        f"{question}: {'reached' if again[question] else 'not reached'}, but told otherwise"
        for question in doubtful
        if again[question] != told[question]
    ]


def _scan(host: lab.Host, asked: Sequence[Question], timeout: float) -> Dict[Question, bool]:
    def ask(question: Question) -> bool:
        place = (question.address, question.port, question.protocol)
        return lab.probe(host.lan, *place, timeout=timeout, source=question.client).startswith("open")

    with ThreadPoolExecutor(48) as pool:
        return dict(zip(asked, pool.map(ask, asked)))


def _told(exposure: Sequence[Dict[str, Any]], own: Sequence[str], question: Question) -> bool | None:
    """Whether a question is answered by what the list says; None if it is not certain."""
    found = [item for item in exposure if _is_about(item, own, question)]
    if any(item["certain"] for item in found):
        return True
    return None if found else False


def _is_about(item: Dict[str, Any], own: Sequence[str], question: Question) -> bool:
    low, _dash, high = str(item["port"]).partition("-")
    client = ipaddress.ip_address(question.client)
    anywhere = {4: "0.0.0.0", 6: "::"}[client.version]
    is_there = item["address"] == question.address or (item["address"] == anywhere and question.address in own)
    is_who = any(client in ipaddress.ip_network(source) for source in item["sources"]) and "eth0" in item["interfaces"]
    is_port = int(low) <= question.port <= int(high or low)
    return item["protocol"] == question.protocol and is_there and is_who and is_port
