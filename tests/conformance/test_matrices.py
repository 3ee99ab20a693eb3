# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reachability that was measured beside real daemons, measured beside our hosts, row by row."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest

import lab
import reach
from shared import folder, present

CAPTURES = folder("docker-reference")
pytestmark = present(CAPTURES)

# Where a daemon's proxy processes answered. Nothing of ours stays running, so with the rules of a default daemon
# (userland_proxy: true) nobody answers there; without (our default) the kernel does for IPv4, and shows the true
# client where the proxy showed the gateway. [::1] cannot be had from rules at all.
LOOPBACK = {("host", "127.0.0.1:8080"): "refused", ("host", "127.0.0.1:8081"): "refused"}
HAIRPIN = {
    (source, f"{address}:8080"): "refused" for source in ("web", "cli") for address in ("192.0.2.1", "172.17.0.1")
}
NO_IPV6 = {("lan", "[2001:db8:1::1]:8080"): "refused", ("host", "[::1]:8080"): "refused"}
HAIRPIN6 = {(source, "[2001:db8:1::1]:8080"): "refused" for source in ("web", "cli")}
NO_RULES = {
    (source, f"{address}:{port}"): "refused"
    for source, address, port in [
        ("lan", "192.0.2.1", 8080),
        ("lan", "192.0.2.1", 8082),
        ("lan", "172.17.0.1", 8080),
        ("host", "192.0.2.1", 8080),
        ("host", "172.17.0.1", 8080),
        ("cli", "192.0.2.1", 8082),
        ("other", "192.0.2.1", 8080),
        ("other", "172.17.0.1", 8080),
    ]
}
TRUE_CLIENT = {
    ("host", "192.0.2.1:8080"): "open, from=172.17.0.1",
    ("cli", "192.0.2.1:8080"): "open, from=172.17.0.4",
    ("cli", "172.17.0.1:8080"): "open, from=172.17.0.4",
}
TRUE_CLIENT6 = {
    ("host", "[2001:db8:1::1]:8080"): "open, from=fd00:dead:beef::1",
    ("cli", "[2001:db8:1::1]:8080"): "open, from=fd00:dead:beef::4",
    ("host", "[::1]:8080"): "no answer",
}

WITH = {"userland_proxy": True}
Scenario = Tuple[str, Dict[str, Any], Dict[reach.Row, str]]
SCENARIOS: List[Scenario] = [
    ("30-reach-default", WITH, {**LOOPBACK, **HAIRPIN, **NO_IPV6}),
    ("30-reach-default", {}, {**TRUE_CLIENT, **NO_IPV6}),
    ("30b-reach-no-userland-proxy", {}, {}),
    ("30d-reach-iptables-false", {**WITH, "iptables": False}, {**LOOPBACK, **HAIRPIN, **NO_IPV6, **NO_RULES}),
    ("30e-reach-forward-accept", WITH, {**LOOPBACK, **HAIRPIN, **NO_IPV6}),
    ("30e-reach-forward-accept", {}, {**TRUE_CLIENT, **NO_IPV6}),
    (
        "31-reach-ipv6",
        {**WITH, "ipv6": True},
        {**LOOPBACK, **HAIRPIN, **HAIRPIN6, ("host", "[::1]:8080"): "refused"},
    ),
    ("31-reach-ipv6", {"ipv6": True}, {**TRUE_CLIENT, **TRUE_CLIENT6}),
]
FORWARDING_BEFORE = ("30d-reach-iptables-false", "30e-reach-forward-accept")


def matrix(backend: str, scenario: str) -> Dict[reach.Row, str]:
    """Who asks for what, and what was answered beside a daemon with this backend."""
    rows: Dict[reach.Row, str] = {}
    for line in (CAPTURES / f"29.7.2-{backend}" / scenario / "matrix.txt").read_text().splitlines()[1:]:
        source, target, _what, result = (part.strip() for part in line.split("|"))
        rows[(source, target)] = result
    return rows


@pytest.mark.parametrize("backend", ["iptables", "nftables"])
@pytest.mark.parametrize(
    ("scenario", "options", "differs"),
    SCENARIOS,
    ids=[f"{name}{'' if options.get('userland_proxy') else ', kernel only'}" for name, options, _rows in SCENARIOS],
)
def test_matrix(
    host: lab.Host, backend: str, scenario: str, options: Dict[str, Any], differs: Dict[reach.Row, str]
) -> None:
    theirs = matrix(backend, scenario)
    assert not [row for row, result in differs.items() if theirs[row] == result], "a difference that is none"
    if scenario in FORWARDING_BEFORE:
        host.sh("sysctl -qw net.ipv4.ip_forward=1")
    host.run("host_network", firewall_backend=backend, **reach.task(**options))
    with reach.servers(host):
        ours = reach.answers(host, theirs)
    assert reach.wrong(ours, {**theirs, **differs}) == []
