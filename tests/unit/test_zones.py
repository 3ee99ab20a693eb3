# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""firewalld's zones: what busctl prints, and when an interface comes and goes beside the rules."""

from __future__ import annotations

from ansible_collections.hostnet.docker.plugins.module_utils._kernel import firewalld
from ansible_collections.hostnet.docker.plugins.module_utils._plan import diff
from ansible_collections.hostnet.docker.plugins.module_utils._state import HOST, Key
from hypothesis import given
from hypothesis import strategies as st

SETTINGS = (
    'a{sv} 6 "description" s "of \\"ours\\"" "target" s "ACCEPT" "masquerade" b false "egress_zones" as 2 "docker" "x" '
    '"ports" a(ss) 2 "80" "tcp" "90" "udp" "priority" i -1\n'
)
CHAIN, LINK = Key("chain", "ip6/filter", "DOCKER"), Key("link", HOST, "docker0")
OTHERS = {
    CHAIN: ("-j DROP",),
    Key("nft_chain", "ip docker-bridges", "x"): {"rules": ("drop",)},
    LINK: {"kind": "bridge"},
}
ZONED = {
    Key("firewalld", HOST, name): "docker" for name in ("interface docker0", "policy docker-forwarding", "zone docker")
}


def test_settings() -> None:
    wanted = {"description": 'of "ours"', "target": "ACCEPT", "egress_zones": ("docker", "x")}
    assert firewalld.parsed(SETTINGS) == wanted


def test_bindings() -> None:
    answer = (
        'a{sa{sas}} 2 "docker" 1 "interfaces" 2 "docker0" "br-a" "home" 2 "interfaces" 0 "sources" 1 "10.0.0.0/8"\n'
    )
    assert [tuple(binding) for binding in firewalld.bindings(answer)] == [
        ("docker", "interfaces", "docker0"),
        ("docker", "interfaces", "br-a"),
        ("home", "sources", "10.0.0.0/8"),
    ]
    assert firewalld.bindings("a{sa{sas}} 0\n") == []


@given(st.integers(0, len(SETTINGS) - 2), st.text(max_size=5))
def test_odd_answers_are_no_crash(size: int, text: str) -> None:
    """What ``read`` expects of an answer that is cut off, or none of firewalld's."""
    for answer in (SETTINGS[:size] + text, text):
        try:
            firewalld.parsed(answer)
            firewalld.bindings(answer)
        except (ValueError, StopIteration):
            continue


def test_order() -> None:
    """What firewalld no longer drops is in the hands of the rules: they stand before, and as long as, it lets pass."""
    comes = [str(change) for change in diff({}, {**ZONED, **OTHERS})]
    assert comes[:2] == ["create firewalld zone docker", "create firewalld policy docker-forwarding"]
    rules = [place for place, text in enumerate(comes) if "chain" in text]
    assert max(rules) < comes.index("create firewalld interface docker0")
    goes = [str(change) for change in diff({**ZONED, **OTHERS}, {})]
    rules = [place for place, text in enumerate(goes) if "chain" in text]
    assert goes.index("delete firewalld interface docker0") < min(rules)
    assert goes[-2:] == ["delete firewalld policy docker-forwarding", "delete firewalld zone docker"]
