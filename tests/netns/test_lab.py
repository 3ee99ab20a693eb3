# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory itself: what it builds, and that its probes tell the truth."""

from __future__ import annotations

import os
import socket
import sys
import time
import types
from typing import Callable

import pytest

import lab


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable], str]:
    """Makes a module of a function that is given an AnsibleModule; returns the module's name."""

    def make(body: Callable) -> str:
        from ansible.module_utils.basic import AnsibleModule

        def main() -> None:
            spec = {"name": {"type": "str"}, "ports": {"type": "list", "elements": "int"}}
            body(AnsibleModule(spec, supports_check_mode=True))

        code = types.ModuleType("fake")
        vars(code)["main"] = main
        monkeypatch.setitem(sys.modules, f"{lab.COLLECTION}.plugins.modules.fake", code)
        return "fake"

    return make


def test_host_as_documented(host: lab.Host) -> None:
    assert "192.0.2.1/24" in host.sh("ip address show eth0")
    assert "default via 192.0.2.254" in host.sh("ip route")
    assert "default via 2001:db8:1::fe" in host.sh("ip -6 route")
    assert host.sh("cat /proc/sys/net/ipv4/ip_forward") == "0\n"
    assert host.sh("cat /etc/resolv.conf") == lab.RESOLV_CONF
    assert host.save() == host.save("ip6") == ""


def test_ping(host: lab.Host) -> None:
    for address in ("192.0.2.1", "2001:db8:1::1", "127.0.0.1"):
        assert lab.ping(host, address)
    assert lab.ping(host.lan, "192.0.2.1")
    assert lab.ping(host.lan, "2001:db8:1::1")
    assert not lab.ping(host.lan, "192.0.2.77", timeout=0.2)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize(("server", "client"), [("192.0.2.1", "192.0.2.254"), ("2001:db8:1::1", "2001:db8:1::fe")])
def test_probe(host: lab.Host, proto: str, server: str, client: str) -> None:
    with lab.serve(host, 5000, proto=proto):
        assert lab.probe(host.lan, server, 5000, proto) == f"open, from={client}"
    with lab.serve(host, 5000, server, proto):
        assert lab.probe(host.lan, server, 5000, proto) == f"open, from={client}"
    assert lab.probe(host.lan, server, 5000, proto) == "refused"


def test_probe_of_a_firewall(each_host: lab.Host) -> None:
    each_host.sh("iptables -A INPUT -p tcp -j DROP")
    assert each_host.save().splitlines()[-2] == "-A INPUT -p tcp -j DROP"
    with lab.serve(each_host, 5000):
        assert lab.probe(each_host.lan, "192.0.2.1", 5000, timeout=0.2) == "no answer"


def test_variants_are_what_they_say(each_host: lab.Host) -> None:
    words = {"nft": "nf_tables", "legacy": "legacy"}
    assert words[each_host.firewall] in each_host.sh("iptables --version")


def test_snapshot_shows_changes_only(host: lab.Host) -> None:
    before = lab.snapshot(host)
    lab.ping(host.lan, "192.0.2.1")
    assert not lab.difference(before, lab.snapshot(host))
    host.sh("ip link add br9 type bridge; iptables -t nat -A POSTROUTING -j MASQUERADE")
    shown = lab.difference(before, lab.snapshot(host))
    assert "br9" in shown and "MASQUERADE" in shown


def test_run_is_a_real_module_run_on_the_host(host: lab.Host, module: Callable) -> None:
    def body(ansible) -> None:
        links = [name for _index, name in socket.if_nameindex()]
        ansible.exit_json(params=ansible.params, check=ansible.check_mode, diff_mode=ansible._diff, links=links)

    result = host.run(module(body), check=True, name="docker0", ports=[80])
    assert result["params"] == {"name": "docker0", "ports": [80]}
    assert (result["check"], result["diff_mode"], result["links"]) == (True, False, ["lo", "eth0"])


def test_run_finds_the_tools_of_the_host(legacy_host: lab.Host, module: Callable) -> None:
    name = module(lambda ansible: ansible.exit_json(found=ansible.get_bin_path("iptables")))
    assert os.path.realpath(legacy_host.run(name)["found"]).endswith("xtables-legacy-multi")


def test_run_tells_failure_from_success(host: lab.Host, module: Callable) -> None:
    failing = module(lambda ansible: ansible.fail_json(msg="no such bridge"))
    assert host.run(failing, fails=True)["msg"] == "no such bridge"
    with pytest.raises(lab.ModuleFailed, match="no such bridge"):
        host.run(failing)
    with pytest.raises(lab.ModuleFailed, match="did not fail"):
        host.run(module(lambda ansible: ansible.exit_json()), fails=True)
    assert host.run(failing, fails=True, surprise=1)["msg"].startswith("Unsupported parameters")


@pytest.mark.parametrize("body", [lambda ansible: 1 // 0, lambda ansible: print("chatter"), lambda ansible: None])
def test_a_crash_is_never_a_failure(host: lab.Host, module: Callable, body: Callable) -> None:
    for fails in (True, False):
        with pytest.raises(lab.ModuleCrashed):
            host.run(module(body), fails=fails)


def test_run_is_quick(host: lab.Host, module: Callable) -> None:
    name = module(lambda ansible: ansible.exit_json())
    start = time.perf_counter()
    for _attempt in range(5):
        host.run(name)
    assert (time.perf_counter() - start) / 5 < 0.2
