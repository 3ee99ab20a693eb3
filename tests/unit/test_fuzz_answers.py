# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of tools, kernel and files: odd, cut off, somebody else's. What is not understood is an error for people."""

from __future__ import annotations

import json
import os
import struct
import time
from pathlib import Path
from typing import Any, List

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils import _restore
from ansible_collections.hostnet.docker.plugins.module_utils._errors import HostnetError
from ansible_collections.hostnet.docker.plugins.module_utils._kernel import (
    bulk,
    conntrack,
    messages,
    nft,
    nft_json,
    processes,
    wire,
)
from ansible_collections.hostnet.docker.plugins.module_utils._layout import (
    files,
    forwarding,
    marked,
    nft_ruleset,
    reading,
    ruleset,
)
from ansible_collections.hostnet.docker.plugins.module_utils._model import Forwarding, Want
from ansible_collections.hostnet.docker.plugins.module_utils._rules import parse_save
from ansible_collections.hostnet.docker.plugins.module_utils._state import HOST, Key, State
from hypothesis import strategies as st

from commands import run_command
from properties import anything, holds, json_values, near

SCOPE = "ip docker-bridges"
RULES = [
    "-d 172.17.0.2/32 ! -i docker0 -j DROP",
    "-d 127.0.0.1/32 ! -i lo -p tcp -m tcp --dport 8081 -j DROP",
    "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE",
    "-s 10.0.0.1/255.0.255.0 ! -o docker0 -j MASQUERADE",
    "-o docker0 -m addrtype --src-type LOCAL -j MASQUERADE",
    "! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
    "-p tcp -m tcp --dport 8000:8010 -j DNAT --to-destination 172.17.0.2:80-90/8000",
    "-p tcp -m tcp --dport 8000:010 -j DNAT --to-destination 172.17.0.2:90-80/8000",
    "-d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT",
    "! -d 10.9.0.0/24 -i br9 -j DROP",
    "-s 1.2.3.4/32 -p tcp -m tcp --dport 1:99999 -m comment --comment hostnet-docker-a -j DROP",
    "-s 10.0.0.1/255.0.255.0 -m comment --comment hostnet-docker-b -j DROP",
    "-i virbr0 -m comment --comment hostnet-docker-keep -j ACCEPT",
    "-i docker0 -j ACCEPT",
    "-o docker0 -j DOCKER",
    "! -i docker0 -o docker0 -j DROP",
]
CHAINS = [("raw", "PREROUTING"), ("nat", "DOCKER"), ("nat", "POSTROUTING"), ("filter", "DOCKER"), ("filter", "FORWARD")]
CHAINS += [("filter", f"DOCKER-{name}") for name in ("USER", "FORWARD", "CT", "BRIDGE", "INTERNAL")]
SAVE = "".join(
    [f"*{table}\n:{chain} - [0:0]\n" + "".join(f"-A {chain} {rule}\n" for rule in RULES[:4]) + "COMMIT\n"
     for table, chain in CHAINS]
)  # fmt: skip


@holds(
    1500,
    examples=[{"text": ":\n-A \n*\n[\n[0:0] \n#\n"}, {"text": "*filter\n:X"}, {"text": SAVE + "\udcff"}],
    text=near([SAVE, "*nat\n:A - [0:0]\nCOMMIT\n", "# Table `nat' is incompatible, use 'nft' tool.\n"])
    | st.integers(0, len(SAVE)).map(lambda size: SAVE[:size]),
)
def test_a_rule_listing(text: str) -> None:
    try:
        state = parse_save(text, "ip")
    except HostnetError as error:
        assert "\n" not in str(error)
        return
    assert all(isinstance(value, (str, tuple)) for value in state.values())
    look_at(state)


def look_at(state: State) -> None:
    """Read every noun out of a rule set, whatever it has."""
    for family in (4, 6):
        rules = reading.recognise(state, family)
        read_out(rules)
        marked.iptables_user_rules(state, family)
        marked.iptables_kept(state, family)


def read_out(rules: Any) -> None:
    for name in rules.names:
        rules.policy(name, None, False)
        rules.policy(name, "172.17.0.0/16", True)
    bindings = list(rules.all_bindings())
    assert all(1 <= binding.port <= 65535 for binding in bindings)
    rules.links()


@holds(
    1500,
    # Foreign rules that bear our comment, or look like Docker's but for a mask or a port that Docker never writes.
    examples=[{"texts": [rule]} for rule in RULES],
    texts=st.lists(near(RULES), min_size=1, max_size=4),
)
def test_rules_like_docker_s(texts: List[str]) -> None:
    for table, name in CHAINS:
        look_at({Key("chain", f"ip/{table}", name): tuple(texts)})


_ELEMENTS: List[Any] = [
    {"prefix": {"addr": "10.0.0.0", "len": 8}},
    {"range": [1, 9]},
    {"|": ["syn", "ack"]},
    {"elem": {"val": "1.2.3.4", "timeout": 9}},
    {"concat": ["tcp", 80]},
    {"jump": {"target": "x"}},
    None,
]
_EXPRESSIONS: List[Any] = [
    {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "docker0"}},
    {"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, "syn"]}, "right": "syn"}},
    {"counter": {"packets": 0, "bytes": 0}}, {"xt": None}, {"drop": None}, {"jump": {}}, {"accept": 1}, {},
    {"dnat": {"addr": "1.2.3.4", "port": 80}}, {"masquerade": None}, {"reject": {"type": "icmp"}}, {"vmap": {}},
    {"mangle": {"key": {}, "value": {}}}, [], "counter",
]  # fmt: skip
_piece = st.sampled_from(_ELEMENTS + _EXPRESSIONS) | json_values
_object = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["filter-FORWARD", "nat-ports", "x"]) | json_values,
        "chain": st.sampled_from(["filter-FORWARD", "x"]) | json_values,
        "handle": st.integers(0, 9),
        "type": st.sampled_from(["ipv4_addr", ["inet_proto", "inet_service"], "ifname", "tcp_flag"]) | json_values,
        "map": st.sampled_from(["verdict", "ipv4_addr . inet_service"]) | json_values,
        "elem": st.lists(_piece | st.lists(_piece, min_size=2, max_size=2), max_size=3) | json_values,
        "expr": st.lists(_piece, max_size=3) | json_values,
        "hook": st.just("forward"),
        "prio": st.just(0),
        "policy": st.just("drop"),
        "comment": anything,
    },
)
_listing = st.lists(
    st.dictionaries(st.sampled_from(["chain", "map", "set", "rule", "metainfo", "flowtable"]), _object, max_size=1),
    max_size=4,
)
_FLAGS = {"set": {"name": "theirs", "type": "tcp_flag", "elem": [{"|": ["syn", "ack"]}]}}
_BASE = {"chain": {"name": "x"}}


@holds(
    1500,
    # A set of somebody else's in Docker's table, whose elements have no words here, was a traceback.
    examples=[
        {"text": json.dumps({"nftables": [_FLAGS]})},
        {"text": "[" * 100_000},
        {"text": '{"nftables": [[]]}'},
        {"text": '{"nftables": [{"map": {"name": null}}]}'},
        # A map of one of our names and of another type was taken for ours.
        {"text": '{"nftables": [{"map": {"name": "nat-ports", "type": "ipv4_addr", "elem": ["10.0.0.1"]}}]}'},
    ],
    text=_listing.map(lambda entries: json.dumps({"nftables": entries}))
    | _listing.map(lambda entries: json.dumps({"nftables": entries})[:-9])
    | json_values.map(json.dumps),
)
def test_a_listing_of_nft(text: str) -> None:
    try:
        state = nft_json.parse(text, SCOPE).state
    except ValueError:
        return
    for family in (4, 6):
        read_out(nft_ruleset.BACKEND.recognise(state, family))
        nft_ruleset.BACKEND.user_rules(state, family)
        nft_ruleset.BACKEND.kept(state, family)


@pytest.mark.parametrize("target", ["ipv4_addr . inet_service", ["ipv4_addr", "inet_service"]])
def test_a_map_as_each_release_of_nft_tells_it(target: Any) -> None:
    element = [{"concat": ["tcp", 8080]}, {"concat": ["172.17.0.2", 80]}]
    told = {"name": "nat-ports", "type": ["inet_proto", "inet_service"], "map": target, "elem": [element]}
    state = nft_json.parse(json.dumps({"nftables": [{"map": told}]}), SCOPE).state
    found = state[Key("nft_map", SCOPE, "nat-ports")]
    assert found["type"] == "inet_proto . inet_service : ipv4_addr . inet_service"
    assert found["elements"] == {"tcp . 8080": "172.17.0.2 . 80"}


def test_foreign_objects_in_docker_s_table_are_kept_and_never_written() -> None:
    rule = {"rule": {"chain": "x", "handle": 3, "expr": [{"xt": None}]}}
    state = nft_json.parse(json.dumps({"nftables": [_FLAGS, _BASE, rule]}), SCOPE).state
    assert state[Key("nft_set", SCOPE, "theirs")]["type"].startswith(nft_json.OPAQUE)
    (text,) = state[Key("nft_chain", SCOPE, "x")]["rules"]
    with pytest.raises(HostnetError, match="a foreign rule"):
        nft._writable(text)


def attributes(*pairs: Any) -> bytes:
    return b"".join(wire.attribute(kind, data) for kind, data in pairs)


def _message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", wire.HEADER + len(body), kind, 0, 1, 0) + body


_IFINFO = struct.pack("=BxHiII", 0, 1, 7, 1, 0)
_LINK = _IFINFO + attributes(
    (3, b"eth0\0"), (1, bytes(6)), (4, struct.pack("=I", 1500)), (10, struct.pack("=I", 7)),
    (18, attributes((1, b"veth\0"), (4, b"bridge\0"), (5, attributes((4, b"\1"))))), (26, attributes((10, b"x" * 9))),
)  # fmt: skip
_ADDRESS = struct.pack("=BBBBI", 2, 24, 0, 0, 7) + attributes(
    (2, bytes(4)), (1, bytes(4)), (3, b"eth0\0"), (4, bytes(4))
)
_ROUTE = struct.pack("=BBBBBBBBI", 2, 24, 0, 0, 254, 3, 0, 1, 0) + attributes(
    (1, bytes(4)), (4, struct.pack("=I", 7)), (5, bytes(4)), (18, b"\2\0" + bytes(4)), (6, b"\1\0\0\0")
)
_SAMPLES = {"link": _message(16, _LINK), "address": _message(20, _ADDRESS), "route": _message(24, _ROUTE)}
_spoil = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4)


def _spoiled(data: bytes, changes: List[Any], size: int, start: int) -> bytes:
    changed = bytearray(data)
    for place, byte in changes:
        changed[start + place % (len(data) - start)] = byte
    return bytes(changed[: max(start, size % (len(data) + 1))] if size < 200 else changed)


@holds(
    3000,
    # An address without an address, a gateway without a byte, a message shorter than its fixed part.
    examples=[
        {"noun": "address", "changes": [(10, 9)], "size": 400},
        {"noun": "route", "changes": [], "size": 30},
        {"noun": "link", "changes": [], "size": 18},
    ],
    noun=st.sampled_from(sorted(_SAMPLES)),
    changes=_spoil,
    size=st.integers(0, 400),
)
def test_a_message_of_the_kernel(noun: str, changes: List[Any], size: int) -> None:
    data = _spoiled(_SAMPLES[noun], changes, size, wire.HEADER)
    try:
        found = [bulk.message(noun, data)]
    except OSError as error:
        assert "cut off" in str(error)
        return
    if noun == "link":
        names = messages.names(found)
        state = messages.links(found, HOST, names)
        for link in found:
            messages.without_ipv6(link)
        messages.joined(state, {})
    elif noun == "address":
        state = messages.addresses(found, HOST, messages.labels(found))
    else:
        state = messages.routes(found, HOST, {7: "eth0"})
    assert all(isinstance(key.name, str) and "None" not in key.name for key in state)


@holds(1500, changes=_spoil, size=st.integers(0, 400), count=st.integers(0, 3))
def test_a_datagram_of_the_kernel(changes: List[Any], size: int, count: int) -> None:
    """Whole messages, or an error that says that the answer is cut off; no half message is taken for a whole one."""
    data = _spoiled(_SAMPLES["link"] * count + _message(3, bytes(4)), changes, size, 0)
    try:
        replies = list(wire._messages(data))
    except OSError as error:
        assert "cut off" in str(error)
        return
    assert all(len(reply.data) >= wire.HEADER for reply, _sequence in replies)
    for reply, _sequence in replies:
        try:
            wire._raise_failure(reply)
        except OSError as error:
            assert error.errno


_TUPLE = attributes((1, attributes((1, bytes(4)))), (2, attributes((1, b"\6"), (3, b"\0\x50"))))
_CONNECTION = attributes((1, _TUPLE), (2, _TUPLE))


@holds(
    500, examples=[{"changes": [], "size": size} for size in (0, 4, 9, 20)], changes=_spoil, size=st.integers(0, 400)
)
def test_a_tracked_connection(changes: List[Any], size: int) -> None:
    described = conntrack._described(wire.attributes(_spoiled(_CONNECTION, changes, size, 0)))
    assert len(described) == 3


RESOLV = "# c\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nsearch a b\noptions ndots:5\nsortlist 1.2.3.4\n"
HOSTS = "127.0.0.1\tlocalhost\n172.17.0.2\tweb.example web\n172.17.0.3\tdb 0123456789ab db\n"
FORWARDING = "# Forwarding, switched on by hostnet.docker as Docker Engine does at its start.\n"
FORWARDING += "# before: policy ip/filter FORWARD = DROP\nnet.ipv4.ip_forward = 1\n"


@holds(1000, resolv=near([RESOLV]), hosts=near([HOSTS]), name=near(["web\n"]), has_ipv6=st.booleans())
def test_files_of_hosts_and_endpoints(resolv: str, hosts: str, name: str, has_ipv6: bool) -> None:
    """What is made of an odd resolv.conf is a good one; what is read of an odd hosts file are words."""
    base = files.resolver(resolv, None)
    text = files.resolv_conf(base, files.Names(), has_ipv6)
    assert "nameserver " in text and text.endswith("\n")
    again = files.resolver(text, None)
    files.resolv_conf(again, files.Names(), has_ipv6)
    files.told(hosts, name, text, ["172.17.0.2"])
    files.own_addresses(hosts, name)


@holds(
    500,
    # A policy that is none was written to the host.
    examples=[{"text": FORWARDING.replace("DROP", "NONE [0:0]")}],
    text=near([FORWARDING]),
)
def test_the_file_that_remembers_forwarding(text: str) -> None:
    """Only what it can have said is put back; nothing but settings and policies that were read."""
    file = Key("file", HOST, "/etc/sysctl.d/99-hostnet-docker.conf")
    live = {file: text, Key("sysctl", HOST, "net/ipv4/ip_forward"): "1", Key("policy", "ip/filter", "FORWARD"): "DROP"}
    after = dict(live)
    want = Want(Forwarding(), "", False)
    forwarding.apply_forwarding(want, live, after, ruleset.BACKEND, filtered=(4, 6), ruled=(4, 6), has_ipv6=False)
    assert set(after) <= set(live)
    assert all(value in ("0", "1", "ACCEPT", "DROP", text) for value in after.values())


@holds(300, words=near(["dockerd\0--iptables=false", "dockerd\0--config-file=/etc/x.json", "dockerd\0--config-file"]))
def test_the_command_line_of_a_daemon(words: str) -> None:
    processes._manages("self", words.split("\0"))


@holds(300, text=near(["32768\t60999", "8080,9000-9010", "1-", "-1", "9-1", "\u00b2", "a b"]))
def test_settings_of_ports(text: str) -> None:
    from ansible_collections.hostnet.docker.plugins.module_utils._layout import plan_ports

    live = {
        Key("sysctl", HOST, "net/ipv4/ip_local_port_range"): text,
        Key("sysctl", HOST, "net/ipv4/ip_local_reserved_ports"): text,
    }
    (low, high), reserved = plan_ports._port_range(live)
    assert low >= 0 and high >= 0 and min(reserved, default=0) >= 0


def test_a_process_may_call_itself_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line break in its name does not make two lines of a message."""
    Path("/proc/self/comm").write_bytes(b"a\nb\x1b[31m")
    try:
        assert "\n" not in processes.name_of("self") and "\x1b" not in processes.name_of("self")
    finally:
        Path("/proc/self/comm").write_bytes(b"pytest")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "nonsense", '{"lock_timeout": "x"}', '{"bridges": [1]}', "[" * 100_000]
)
def test_a_desired_state_that_is_none(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "state.json"
    path.write_text(text, encoding="utf-8")
    assert _restore.main(run_command, [str(path)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and str(path) in said and "run the role again" in said


def test_a_daemon_of_somebody_who_is_not_root_is_none(tmp_path: Path) -> None:
    """Else anybody could keep the administrator from his rules by a process of that name."""
    if os.geteuid() != 0:
        pytest.skip("needs another user")
    child = os.fork()
    if child == 0:
        os.setgid(65534)
        os.setuid(65534)
        os.execv("/bin/sleep", ["dockerd", "20"])
    try:
        for _try in range(200):
            if processes._command(str(child))[:1] == ["dockerd"]:
                break
            time.sleep(0.05)
        assert processes._command(str(child))[:1] == ["dockerd"]
        assert processes.running_dockerd() is None
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
