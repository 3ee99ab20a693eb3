# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Laws of every prediction, whatever the task and whatever is there: made once is made, others' rules stay."""

from __future__ import annotations

from typing import Any, Dict, List

from ansible_collections.hostnet.docker.plugins.module_utils import _options, _plan, _specs, _text, _undo
from ansible_collections.hostnet.docker.plugins.module_utils._errors import OptionError
from ansible_collections.hostnet.docker.plugins.module_utils._layout import (
    describe,
    describe_host,
    nft_ruleset,
    ruleset,
)
from ansible_collections.hostnet.docker.plugins.module_utils._layout.policy import Backend
from ansible_collections.hostnet.docker.plugins.module_utils._layout.predict import predict
from ansible_collections.hostnet.docker.plugins.module_utils._layout.table import Prediction
from ansible_collections.hostnet.docker.plugins.module_utils._model import Task
from ansible_collections.hostnet.docker.plugins.module_utils._state import Key, State
from hypothesis import strategies as st

import synthetic
from grammar import Options, checked
from properties import holds

BACKENDS: Dict[str, Backend] = {"iptables": ruleset.BACKEND, "nftables": nft_ruleset.BACKEND}


def _some(**values: Any) -> Any:
    """Some of the options, each with one of its values."""
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(some) for name, some in values.items()})


_bridge_options = _some(
    icc=[False], ip_masq=[False], internal=[True], userland_proxy=[True], allow_direct_routing=[True], clamp_mss=[True],
    hardened=[True],
    gateway_mode_ipv4=["routed", "nat-unprotected", "nat"], gateway_mode_ipv6=["routed"], host_ipv4=["192.0.2.1"],
    trusted_host_interfaces=[["eth0"], ["eth0", "eth1"]], bridge_accept_fwmark=["0x1", "1/255"], mtu=["1400", "auto"],
    iptables=[False], ip6tables=[False], inhibit_ipv4=[True], reserved_addresses=[["172.17.0.2"], ["172.18.0.3"]],
)  # fmt: skip
_six = st.sampled_from(
    [{}, {"ipv6": True}, {"ipv6": True, "bip6": "fd00:9::1/64"}, {"ipv6": True, "ipv4": False, "inhibit_ipv4": False}]
)
_several = st.sampled_from(
    [
        {},
        {"networks": [{"bridge": "br-n1", "gw_priority": 1}, {"bridge": "docker0"}]},
        {"networks": [{"bridge": "docker0", "interface": "net0"}, {"bridge": "br-n1", "host_interface": "v1"}]},
    ]
)
_publish = st.lists(
    st.sampled_from(
        ["8080:80", "80", "127.0.0.1:8081:81/udp", "8000-8003:90-93", "[::1]:70:70", "192.0.2.1:53:53/udp"]
    ),
    max_size=3,
    unique=True,
)
_endpoint_options = _some(
    hostname=["www", "a.b"], dns_servers=[["10.0.0.1"], []], etc_hosts=[{"db": "10.0.0.9"}], mtu=[1300],
    network_mode=["none"], allowed_sources=[["10.0.0.0/8"], ["0.0.0.0/0", "fd00::/8"]], compact_ranges=[True],
    exposed_ports=[["80", "53/udp"]], publish_all_ports=[True], reserve_ports=[True], domainname=["x.y"],
    mac_address=["02:00:00:00:00:0a"],
)  # fmt: skip
_user_rules = st.lists(
    st.builds(
        lambda name, options: {"name": name, "action": "drop", **options},
        st.sampled_from(["a", "b"]),
        _some(source=["10.0.0.0/8", "fd00::/8", "::/0"], in_interface=["eth0"], ctstate=[["NEW"]])
        | st.just({"protocol": "tcp", "destination_port": "80-90"}),
    ),
    max_size=2,
    unique_by=lambda rule: rule["name"],
)


@st.composite
def tasks(draw: Any) -> Options:
    """Options of host_network for one or two bridges and up to three endpoints."""
    names = draw(st.sampled_from([["docker0"], ["docker0", "br-n1"], ["br-n1"]]))
    bridges = [
        {"name": name, **draw(_bridge_options), **draw(_six if name == "docker0" else st.just({}))} for name in names
    ]
    endpoints = [
        {
            "name": name,
            "published_ports": draw(_publish),
            **draw(_endpoint_options),
            **(draw(_several) or {"bridge": draw(st.sampled_from(names))}),
        }
        for name in draw(st.lists(st.sampled_from(["web", "db", "app"]), max_size=3, unique=True))
    ]
    task: Options = {"bridges": bridges, "endpoints": endpoints, "purge": draw(st.booleans())}
    if draw(st.booleans()):
        task["ip_forward"] = draw(_some(ipv6=[True], forward_policy=["drop", "accept"], keep_forwarding=[["virbr0"]]))
    if draw(st.booleans()):
        task["user_rules"] = draw(_user_rules)
    return task


def told(options: Options) -> Task:
    given = checked(_specs.HOST, options)
    assert given is not None, options
    return _options.host_task(given)


def predicted(backend: Backend, task: Task, live: State) -> Prediction:
    prediction = predict(task, live, backend, (4, 6))
    assert not prediction.unread
    changes = _plan.diff(live, prediction.after)
    _text.lines(changes)
    _text.diff(changes, live, prediction.after)
    describe.results(prediction, prediction.after, dict.fromkeys(("bridges", "endpoints", "ports", "ip_forward"), True))
    # Where nobody else did anything since, the way back leads to where it began.
    assert _undo.undone(prediction.after, changes) == live
    return prediction


_foreign = st.lists(st.tuples(st.sampled_from(synthetic.CHAINS), st.sampled_from(synthetic.FOREIGN)), max_size=6)


@holds(
    600,
    name=st.sampled_from(sorted(BACKENDS)),
    first=tasks(),
    then=tasks(),
    foreign=_foreign,
    more=_foreign,
)
def test_made_once_is_made_and_others_rules_stay(
    name: str, first: Options, then: Options, foreign: Any, more: Any
) -> None:
    backend = BACKENDS[name]
    live = synthetic.host(foreign)
    for options, added in ((first, ()), (then, more), ({"purge": True, "bridges": [], "endpoints": []}, ())):
        live = synthetic.with_foreign(live, added)
        try:
            after = predicted(backend, told(options), live).after
        except OptionError as error:
            assert error.hint and "\n" not in str(error)
            continue
        assert synthetic.foreign_of(after) == synthetic.foreign_of(live)
        live = synthetic.settled(after)
        again = predicted(backend, told(options), live)
        assert [str(change) for change in _plan.diff(live, again.after)] == []
        describe_host.host(live, backend)
    # A bridge without rules is not known as Docker's.
    if all(bridge.get("iptables", True) for options in (first, then) for bridge in options["bridges"]):
        assert leftovers(live) == []


def leftovers(state: State) -> List[str]:
    """What is left of us when everything was purged, but for chains that others use and what forwarding put there."""
    left = []
    for key, value in state.items():
        if key.kind in ("link", "netns") and key.name != "eth0":
            left.append(str(key))
        if key.kind == "file" and key.name.startswith("/etc/netns"):
            left.append(str(key))
        if key.kind == "chain" and any(
            "docker0 -j DROP" in rule or "--comment hostnet-docker-a" in rule for rule in value
        ):
            left += [f"{key} {rule}" for rule in value if "docker0 -j DROP" in rule]
        if key.kind in ("nft_map", "nft_set") and value["elements"]:
            left.append(str(key))
    return left


def test_the_laws_see_a_foreign_rule_that_moves() -> None:
    """The check of politeness can fail."""
    live = synthetic.host(
        [(("filter", "FORWARD"), synthetic.FOREIGN[0]), (("filter", "FORWARD"), synthetic.FOREIGN[1])]
    )
    key = Key("chain", "ip/filter", "FORWARD")
    assert synthetic.foreign_of({**live, key: live[key][::-1]}) != synthetic.foreign_of(live)
    assert synthetic.foreign_of({**live, key: live[key][1:]}) != synthetic.foreign_of(live)
