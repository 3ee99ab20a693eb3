# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/beyond: each page's playbooks run, and leave the host as the page says, line by line.

What Ansible itself prints is in blocks of the language ``output``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, List

import pytest

import lab
import machine
import playbook

pytestmark = pytest.mark.slow()

DIRECTORY = Path(__file__).resolve().parents[2] / "docs" / "beyond"
PAGES = sorted(page for page in DIRECTORY.glob("*.md") if "```yaml" in page.read_text(encoding="utf-8"))
# What a line of a page may be a line of.
COMMANDS = (
    "iptables-save; ip6tables-save",
    "nft -s list ruleset",
    "ip -4 -br address; ip -o link | sed 's/^[0-9]*: //; s/@.*: /: /'",
    "sysctl net.ipv4.ip_local_reserved_ports",
    "cat /run/hostnet.prom",
    "ls -d /run/hostnet-docker /etc/NetworkManager/conf.d/* /etc/systemd/network/*",
)


def _blocks(page: Path, language: str) -> List[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def prepared(isolated: None) -> Iterator[lab.Host]:
    """A host that has docker0 and an endpoint, and no network manager's files."""
    with machine.managers_in_memory():
        yield lab.new_host()


def _check(host: lab.Host, page: Path, language: str) -> None:
    found = {" ".join(line.split()) for command in COMMANDS for line in host.sh(command, check=False).splitlines()}
    shown = [" ".join(line.split()) for text in _blocks(page, language) for line in text.splitlines()]
    assert [line for line in shown if line not in found] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(prepared: lab.Host, page: Path) -> None:
    """Twice with the same end; with iptables and, where the page shows them, the rules of nftables."""
    host = prepared
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}])
    for text in _blocks(page, "yaml"):
        assert playbook.run_file(host, text, []).status == 0
        again = playbook.run_file(host, text, [])
        assert again.status == 0 and again.recap("changed") == 0, again.text
        for shown in _blocks(page, "output"):
            assert " ".join(shown.split()) in again.flat, again.text
    _check(host, page, "text")
    for _text in _blocks(page, "nft"):
        run = playbook.run_file(host, _blocks(page, "yaml")[0], [], docker_host_firewall_backend="nftables")
        assert run.status == 0, run.text
        _check(host, page, "nft")
