# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules that are known by their comment, read back: the administrator's own, and bridges whose forwarding is kept.

The inverse of ``user_rule`` and ``kept_forwarding`` of both layouts. Must not know: Docker's rules, the kernel.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from typing import Any, Dict, Iterable, Iterator, Match, Tuple

from .._model import UserRule
from .._rules import MARK
from .._state import State
from . import iptables, nft_names

_IPTABLES = (
    r"(?:-s (?P<source>\S+) )?(?:-d (?P<destination>\S+) )?(?:-i (?P<in>\S+) )?(?:-o (?P<out>\S+) )?"
    r"(?:-p (?P<protocol>\S+) )?(?:-m \S+ --dport (?P<ports>\S+) )?(?:-m conntrack --ctstate (?P<states>\S+) )?"
    rf"(?:-m conntrack --ctorigdstport (?P<host_port>\d+) )?-m comment --comment {MARK}(?P<name>\S+) "
    r"-j (?P<action>\w+).*"
)
_NFTABLES = (
    r'(?:ip6? saddr (?P<source>\S+) )?(?:ip6? daddr (?P<destination>\S+) )?(?:iifname "(?P<in>[^"]+)" )?'
    r'(?:oifname "(?P<out>[^"]+)" )?(?:meta l4proto (?P<protocol>\w+) )?(?:(?P<of_port>\w+) dport (?P<ports>[\d-]+) )?'
    r"(?:ct state (?P<states>\S+) )?(?:ct original proto-dst (?P<host_port>\d+) )?"
    rf'counter (?P<action>\w+) comment "{MARK}(?P<name>[^"]+)"'
)
_KEPT = rf'(?:-i|iifname) "?(?P<name>[^\s"]+)"? .*{MARK}keep\b.*'


def iptables_user_rules(live: State, family: int) -> Tuple[UserRule, ...]:
    """The administrator's rules in DOCKER-USER, in order."""
    return tuple(_read(live.get(iptables.chain(family, "filter", iptables.USER_CHAIN), ()), _IPTABLES))


def nftables_user_rules(live: State, family: int) -> Tuple[UserRule, ...]:
    """The administrator's rules in the chain of their own, in order."""
    return tuple(_read(_rules(live, family, nft_names.USER_CHAIN), _NFTABLES))


def iptables_kept(live: State, family: int) -> Tuple[str, ...]:
    """The foreign bridges whose forwarding is accepted at the end of FORWARD."""
    return _kept(live.get(iptables.chain(family, "filter", "FORWARD"), ()))


def nftables_kept(live: State, family: int) -> Tuple[str, ...]:
    """The foreign bridges whose forwarding is accepted at the end of the forward chain."""
    return _kept(_rules(live, family, "filter-FORWARD"))


def _rules(live: State, family: int, name: str) -> Tuple[str, ...]:
    rules: Tuple[str, ...] = live.get(nft_names.chain(family, name), {}).get("rules", ())
    return rules


def _kept(rules: Iterable[str]) -> Tuple[str, ...]:
    return tuple(dict.fromkeys(match["name"] for match in _matches(rules, _KEPT)))


def _matches(rules: Iterable[str], pattern: str) -> Iterator[Match[str]]:
    """The rules with a comment of ours that a pattern fits; on most hosts there are none, and nothing to compile."""
    return filter(None, (re.fullmatch(pattern, rule) for rule in rules if MARK in rule))


def _read(rules: Iterable[str], pattern: str) -> Iterator[UserRule]:
    for match in _matches(rules, pattern):
        with contextlib.suppress(ValueError):  # a mask or a port that is never ours
            yield _user_rule(match.groupdict())


def _user_rule(data: Dict[str, Any]) -> UserRule:
    ports = [int(port) for port in re.split("[:-]", data["ports"])] if data["ports"] else None
    return UserRule(
        name=data["name"],
        action=data["action"].lower(),
        source=ipaddress.ip_network(data["source"]) if data["source"] else None,
        destination=ipaddress.ip_network(data["destination"]) if data["destination"] else None,
        in_interface=data["in"],
        out_interface=data["out"],
        protocol=data["protocol"] or data.get("of_port"),
        destination_port=(ports[0], ports[-1]) if ports else None,
        host_port=int(data["host_port"]) if data["host_port"] else None,
        ctstate=tuple(data["states"].upper().split(",")) if data["states"] else (),
    )
