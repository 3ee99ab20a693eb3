# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reaches whom: two networks with endpoints and published ports, servers everywhere, a probe for each question.

Owns: the scene and how a question is asked and answered. Must not know: which answers are right.

    web    docker0  172.17.0.2  8080:80, serves 81 too      other  br-n1  10.10.0.2  8082:80, serves 81 too
    lo     docker0  172.17.0.3  127.0.0.1:8081:80           unpub  br-n1  10.10.0.3  nothing published
    cli    docker0  172.17.0.4  nothing published           lan    the outside, with routes to both networks
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, Iterator, List, Tuple

import lab

Row = Tuple[str, str]  # who asks, and for what: 192.0.2.1:8080, [fd00::2]:80, or an address that is pinged

_SERVERS = [("web", 80), ("web", 81), ("lo", 80), ("cli", 80), ("other", 80), ("other", 81), ("unpub", 80)]
_ROUTES = ("172.17.0.0/16 via 192.0.2.1", "10.10.0.0/24 via 192.0.2.1")
_ROUTES6 = ("fd00:dead:beef::/64 via 2001:db8:1::1", "fd00:10::/64 via 2001:db8:1::1")


def task(ipv6: bool = False, **options: Any) -> Dict[str, Any]:
    """The options of host_network that make the scene.

    :param options: further options of both bridges
    """
    six = [{"ipv6": True, "bip6": f"{net}::1/64"} if ipv6 else {} for net in ("fd00:dead:beef", "fd00:10")]
    return {
        "ip_forward": {"ipv6": ipv6},
        "bridges": [
            {"name": "docker0", "bip": "172.17.0.1/16", **six[0], **options},
            {"name": "br-n1", "bip": "10.10.0.1/24", **six[1], **options},
        ],
        "endpoints": [
            {"name": "web", "published_ports": ["8080:80"]},
            {"name": "lo", "published_ports": ["127.0.0.1:8081:80"]},
            {"name": "cli"},
            {"name": "other", "bridge": "br-n1", "published_ports": ["8082:80"]},
            {"name": "unpub", "bridge": "br-n1"},
        ],
    }


@contextlib.contextmanager
def servers(host: lab.Host) -> Iterator[None]:
    """Everybody serves, and the outside knows the way to the networks."""
    for route in _ROUTES:
        lab.sh(host.lan, f"ip route replace {route}")
    if "fd00:10::1" in host.sh("ip -6 address show br-n1"):
        for route in _ROUTES6:
            lab.sh(host.lan, f"ip -6 route replace {route}")
    with contextlib.ExitStack() as stack:
        for name, port in [*_SERVERS, (host.lan, 90), (host, 91)]:
            stack.enter_context(lab.serve(name, port))
        yield


def answers(host: lab.Host, rows: Iterable[Row]) -> Dict[Row, str]:
    """What each question is answered: ``open, from=A`` (A is whom the server saw), ``refused``, ``no answer``;
    of a ping ``answer`` or ``no answer``. All are asked at the same time."""
    questions = list(rows)
    with ThreadPoolExecutor(len(questions)) as pool:
        return dict(zip(questions, pool.map(lambda row: _ask(host, *row), questions)))


def _ask(host: lab.Host, source: str, target: str) -> str:
    place = {"host": host, "lan": host.lan}.get(source, source)
    address, colon, port = target.rpartition(":")
    if not colon or (target.count(":") > 1 and not target.startswith("[")):
        return "answer" if lab.ping(place, target, timeout=3) else "no answer"
    return lab.probe(place, address.strip("[]"), int(port), timeout=3)


def wrong(answered: Dict[Row, str], wanted: Dict[Row, str]) -> List[str]:
    """The questions that were answered otherwise than wanted, as lines to read."""
    return [
        f"{source} -> {target}: {answered.get((source, target))} in place of {answer}"
        for (source, target), answer in wanted.items()
        if answered.get((source, target)) != answer
    ]
