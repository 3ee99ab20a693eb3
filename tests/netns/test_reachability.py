# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reaches whom over a host that the collection made, with real packets. The scene is drawn in ``reach.py``."""

from __future__ import annotations

from typing import Any, Dict

import pytest

import lab
import reach

# Who asks | for what | what is answered, and whom the server saw. IPv4, everything at its default.
TABLE = """
lan   | 192.0.2.1:8080   | open, from=192.0.2.254 | published, by the host's address
lan   | 172.17.0.2:80    | no answer              | published, by the endpoint's own address
lan   | 172.17.0.2:81    | no answer              | not published
lan   | 192.0.2.1:8081   | refused                | published on 127.0.0.1 only
lan   | 172.17.0.3:80    | no answer              | published on 127.0.0.1 only, by the endpoint's own address
lan   | 172.17.0.4:80    | no answer              | an endpoint that publishes nothing
lan   | 192.0.2.1:8082   | open, from=192.0.2.254 | published, second network
lan   | 10.10.0.2:80     | no answer              | second network, by the endpoint's own address
lan   | 10.10.0.3:80     | no answer              | second network, nothing published
lan   | 172.17.0.1:8080  | open, from=192.0.2.254 | published, by the bridge's address
host  | 127.0.0.1:8080   | open, from=172.17.0.1  | published, by the host's loopback
host  | 192.0.2.1:8080   | open, from=172.17.0.1  | published, by the host's own address
host  | 172.17.0.1:8080  | open, from=172.17.0.1  | published, by the bridge's address
host  | 127.0.0.1:8081   | open, from=172.17.0.1  | published on 127.0.0.1
host  | 192.0.2.1:8081   | refused                | published on 127.0.0.1 only
host  | 172.17.0.2:80    | open, from=172.17.0.1  | the endpoint's own address
host  | 172.17.0.2:81    | open, from=172.17.0.1  | the endpoint's own address, not published
web   | 192.0.2.1:8080   | open, from=172.17.0.1  | itself, by the host's address
web   | 172.17.0.1:8080  | open, from=172.17.0.1  | itself, by the bridge's address
cli   | 192.0.2.1:8080   | open, from=172.17.0.4  | a neighbour, by the host's address
cli   | 172.17.0.1:8080  | open, from=172.17.0.4  | a neighbour, by the bridge's address
cli   | 172.17.0.2:80    | open, from=172.17.0.4  | a neighbour
cli   | 172.17.0.2:81    | open, from=172.17.0.4  | a neighbour, not published
cli   | 192.0.2.1:8081   | refused                | a neighbour's port on 127.0.0.1
cli   | 192.0.2.1:8082   | open, from=10.10.0.1   | the other network's port, by the host's address
cli   | 10.10.0.2:80     | no answer              | the other network's endpoint
cli   | 10.10.0.2:81     | no answer              | the other network's endpoint, not published
other | 192.0.2.1:8080   | open, from=172.17.0.1  | docker0's port, by the host's address
other | 172.17.0.1:8080  | open, from=172.17.0.1  | docker0's port, by docker0's address
other | 172.17.0.2:80    | no answer              | docker0's endpoint
other | 172.17.0.2:81    | no answer              | docker0's endpoint, not published
other | 10.10.0.3:80     | open, from=10.10.0.2   | a neighbour
cli   | 192.0.2.254:90   | open, from=192.0.2.1   | the outside, masked as the host
cli   | 192.0.2.1:91     | open, from=172.17.0.4  | a server of the host
cli   | 172.17.0.1:91    | open, from=172.17.0.4  | a server of the host, by the bridge's address
lan   | [2001:db8:1::1]:8080 | refused            | an endpoint without IPv6 has no IPv6 port
host  | [::1]:8080       | refused                | nor by the host's loopback
lan   | 172.17.0.2       | no answer              | ping
host  | 172.17.0.2       | answer                 | ping
cli   | 172.17.0.2       | answer                 | ping a neighbour
cli   | 10.10.0.2        | no answer              | ping the other network
cli   | 172.17.0.1       | answer                 | ping the bridge
cli   | 192.0.2.254      | answer                 | ping the outside
"""

# What IPv6 adds, masked like IPv4. The kernel has no route_localnet for IPv6: [::1] is not to be had.
TABLE6 = """
lan   | [2001:db8:1::1]:8080   | open, from=2001:db8:1::fe    | published, by the host's address
lan   | [fd00:dead:beef::2]:80 | no answer                    | published, by the endpoint's own address
lan   | [fd00:dead:beef::2]:81 | no answer                    | not published
host  | [::1]:8080             | no answer                    | published, by the host's loopback
host  | [2001:db8:1::1]:8080   | open, from=fd00:dead:beef::1 | published, by the host's own address
host  | [fd00:dead:beef::2]:81 | open, from=fd00:dead:beef::1 | the endpoint's own address, not published
web   | [2001:db8:1::1]:8080   | open, from=fd00:dead:beef::1 | itself, by the host's address
cli   | [2001:db8:1::1]:8080   | open, from=fd00:dead:beef::4 | a neighbour, by the host's address
cli   | [fd00:dead:beef::2]:81 | open, from=fd00:dead:beef::4 | a neighbour, not published
cli   | [fd00:10::2]:80        | no answer                    | the other network's endpoint
cli   | [2001:db8:1::fe]:90    | open, from=2001:db8:1::1     | the outside, masked as the host
cli   | 2001:db8:1::fe         | answer                       | ping the outside
lan   | fd00:dead:beef::2      | no answer                    | ping
cli   | fd00:10::2             | no answer                    | ping the other network
"""


def rows(table: str) -> Dict[reach.Row, str]:
    cells = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    return {(source, target): answer for source, target, answer, _what in cells}


def differing(table: str, changes: str) -> Dict[reach.Row, str]:
    """The table's rows with some that are answered otherwise, or that the table does not have."""
    return {**rows(table), **rows(changes)}


def check(host: lab.Host, wanted: Dict[reach.Row, str]) -> None:
    with reach.servers(host):
        assert reach.wrong(reach.answers(host, wanted), wanted) == []


def test_ipv4(each_host: lab.Host) -> None:
    each_host.run("host_network", **reach.task())
    check(each_host, rows(TABLE))


def test_ipv6(each_host: lab.Host) -> None:
    each_host.run("host_network", **reach.task(ipv6=True))
    without = {row: answer for row, answer in rows(TABLE).items() if not row[1].startswith("[")}
    check(each_host, {**without, **rows(TABLE6)})


ICC_OFF = """
cli   | 172.17.0.2:80   | no answer             | a neighbour
cli   | 172.17.0.2:81   | no answer             | a neighbour, not published
cli   | 172.17.0.2      | no answer             | ping a neighbour
other | 10.10.0.3:80    | no answer             | a neighbour
"""
DIRECT = """
lan   | 172.17.0.2:80   | open, from=192.0.2.254 | published, by the endpoint's own address
lan   | 172.17.0.3:80   | open, from=192.0.2.254 | published on 127.0.0.1 only, by the endpoint's own address
lan   | 10.10.0.2:80    | open, from=192.0.2.254 | second network, by the endpoint's own address
cli   | 10.10.0.2:80    | open, from=10.10.0.1   | the other network's endpoint
other | 172.17.0.2:80   | open, from=172.17.0.1  | docker0's endpoint
"""
ROUTED = """
lan   | 172.17.0.2:80   | open, from=192.0.2.254 | published, by the endpoint's own address, which is the only way
lan   | 172.17.0.2      | answer                 | ping
lan   | 192.0.2.1:8080  | refused                | no translation
lan   | 172.17.0.2:81   | no answer              | not published
cli   | 192.0.2.254:90  | open, from=172.17.0.4  | the outside sees the endpoint itself
"""
UNPROTECTED = """
lan   | 172.17.0.2:81   | open, from=192.0.2.254 | not published
lan   | 172.17.0.4:80   | open, from=192.0.2.254 | an endpoint that publishes nothing
lan   | 192.0.2.1:8080  | open, from=192.0.2.254 | published, by the host's address
lan   | 172.17.0.2      | answer                 | ping
"""
# As with Docker: an answer to an address that was not masked is direct access, which is closed.
UNMASKED = """
cli   | 192.0.2.254:90  | no answer              | the outside
lan   | 192.0.2.1:8080  | open, from=192.0.2.254 | published, by the host's address
"""
UNMASKED_DIRECT = """
cli   | 192.0.2.254:90  | open, from=172.17.0.4  | the outside sees the endpoint itself
lan   | 172.17.0.4:80   | no answer              | an endpoint that publishes nothing
"""
TRUSTED = """
lan   | 172.17.0.2:80   | open, from=192.0.2.254 | published, by the endpoint's own address
lan   | 172.17.0.2:81   | no answer              | not published
"""
SNAT = """
cli   | 192.0.2.254:90  | open, from=192.0.2.7   | the outside, masked as the given address
"""


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"icc": False}, ICC_OFF),
        ({"allow_direct_routing": True}, DIRECT),
        ({"gateway_mode_ipv4": "routed"}, ROUTED),
        ({"gateway_mode_ipv4": "nat-unprotected"}, UNPROTECTED),
        ({"ip_masq": False}, UNMASKED),
        ({"ip_masq": False, "allow_direct_routing": True}, UNMASKED_DIRECT),
        ({"trusted_host_interfaces": ["eth0"]}, TRUSTED),
        ({"host_ipv4": "192.0.2.7"}, SNAT),
    ],
    ids=["icc", "direct-routing", "routed", "nat-unprotected", "ip-masq", "ip-masq-direct", "trusted", "host-ipv4"],
)
def test_options(host: lab.Host, options: Dict[str, Any], changes: str) -> None:
    """What an option opens and closes; what it is not about stays as it is."""
    host.sh("ip address add 192.0.2.7/32 dev eth0")
    host.run("host_network", **reach.task(**options))
    check(host, rows(changes))


def test_internal(host: lab.Host) -> None:
    """Nothing in, nothing out; neighbours and the host itself reach one another."""
    host.run("host_network", **reach.task(internal=True))
    check(
        host,
        rows(
            """
lan   | 192.0.2.1:8080  | refused               | an internal network publishes nothing
lan   | 172.17.0.2:80   | no answer             | by the endpoint's own address
cli   | 192.0.2.254:90  | no answer             | the outside
cli   | 10.10.0.2:80    | no answer             | the other network
cli   | 172.17.0.2:81   | open, from=172.17.0.4 | a neighbour
host  | 172.17.0.2:81   | open, from=172.17.0.1 | the host
"""
        ),
    )


def test_no_forwarding_by_others(host: lab.Host) -> None:
    """Forwarding was on before and the policy is ACCEPT: Docker leaves that, and its own rules close all the same."""
    host.sh("sysctl -qw net.ipv4.ip_forward=1")
    host.run("host_network", **reach.task())
    assert ":FORWARD ACCEPT" in host.save()
    check(host, rows(TABLE))
