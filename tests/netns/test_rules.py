# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""host_network_info with rules: every rule of a real host, what it is for, and how many packets it has seen."""

from __future__ import annotations

from typing import Any, Dict, List

import lab

HOST = {
    "ip_forward": {"ipv6": True},
    "bridges": [{"name": "docker0"}, {"name": "br-db", "internal": True, "ipv6": True, "bip6": "fd00:db::1/64"}],
    "endpoints": [
        {"name": "web", "published_ports": ["8080:80", "127.0.0.1:8081:81"]},
        {"name": "db", "bridge": "br-db"},
    ],
    "user_rules": [{"name": "no-smtp", "action": "drop", "protocol": "tcp", "destination_port": "25"}],
}
FOREIGN = """\
table inet libvirt_network {
  chain forward {
    type filter hook forward priority 0; policy accept;
    oifname "virbr0" counter packets 7 bytes 420 accept
  }
}
"""


def _rules(host: lab.Host) -> List[Dict[str, Any]]:
    found: List[Dict[str, Any]] = host.run("host_network_info", rules=True)["rules"]
    return found


def test_every_rule_of_ours_is_explained(each_backend: lab.Host) -> None:
    """And none of it is taken for another's, on a host that has nothing else."""
    each_backend.run("host_network", **HOST)
    rules = _rules(each_backend)
    assert {item["family"] for item in rules} == {"ip", "ip6"}
    assert {item["owner"] for item in rules} == {"docker", "administrator"}
    said = " ".join(item["purpose"] for item in rules)
    for word in ("no-smtp", "web (172.17.0.2) port 80", "br-db", "internal", "8081", "masquerades what leaves 172.17"):
        assert word in said
    assert "rules" not in each_backend.run("host_network_info")


def test_packets_are_counted(each_backend: lab.Host) -> None:
    host = each_backend
    host.run("host_network", **HOST)
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
    counted = {item["purpose"]: item["packets"] for item in _rules(host) if item["family"] == "ip"}
    asked = "looks for a published port in what arrives for an address of the host"
    assert counted[asked] == 1  # the first packet of the connection
    used = [text for text, packets in counted.items() if packets and "published" in text and "enter docker0" in text]
    assert used
    assert [packets for text, packets in counted.items() if "by its own address from anywhere but" in text] == [0]


def test_rules_of_others_are_named_as_theirs(host: lab.Host, tmp_path: Any) -> None:
    """Tables of nft itself, chains of iptables, and a rule in the middle of ours."""
    host.run("host_network", **HOST)
    path = tmp_path / "foreign.nft"
    path.write_text(FOREIGN)
    host.sh(["nft", "-f", str(path)])
    host.sh("iptables -N ufw-user-forward && iptables -A FORWARD -j ufw-user-forward")
    host.sh("iptables -I DOCKER 1 -p tcp --dport 9 -j ACCEPT")
    others = {item["rule"]: item for item in _rules(host) if item["owner"] not in ("docker", "administrator")}
    assert {rule: item["owner"] for rule, item in others.items()} == {
        'oifname "virbr0" counter accept': "libvirt",
        "-j ufw-user-forward": "ufw",
        "-p tcp -m tcp --dport 9 -j ACCEPT": "unknown",
    }
    virbr0 = others['oifname "virbr0" counter accept']
    assert (virbr0["backend"], virbr0["family"], virbr0["packets"], virbr0["bytes"]) == ("nftables", "inet", 7, 420)


def test_interfaces_are_the_hosts_own(host: lab.Host) -> None:
    """No bridge of ours, no endpoint's end, no loopback."""
    host.run("host_network", **HOST)
    assert host.run("host_network_info")["interfaces"] == [
        {
            "name": "eth0",
            "addresses": ["192.0.2.1/24", "2001:db8:1::1/64"],
            "gateways": ["192.0.2.254", "2001:db8:1::fe"],
        }
    ]


def test_a_comment_that_is_no_text(host: lab.Host) -> None:
    """It is shown with a replacement character, in the diff too, and stays the bytes that it is."""
    host.run("host_network", **HOST)
    words = b"caf\xe9"
    host.sh(["iptables", "-A", "FORWARD", "-m", "comment", "--comment", words, "-j", "ACCEPT"])  # type: ignore[list-item]
    assert [item["chain"] for item in _rules(host) if "caf\ufffd" in item["rule"]] == ["FORWARD"]
    gone = host.run("host_network", diff=True, purge=True, bridges=[], endpoints=[], user_rules=[])
    assert any("caf\ufffd" in section["after"] for section in gone["diff"])
    assert host.sh(r"iptables-save | LC_ALL=C grep -c $(printf 'caf\351')").strip() == "1"
