# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What README.md and docs/ show is true: playbooks run, commands run, links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

import lab
import playbook

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
# Run by tests of their own; CI runs `make test`, and the other targets of make are too big for a test.
ELSEWHERE = {"make demo": "test_demo.py", ".venv/bin/molecule test": "test_molecule.py"}


def blocks(language: str) -> List[Tuple[str, str]]:
    """(page, text) of every block of a language."""
    found = []
    for page in PAGES:
        if page.name == "workloads.md":  # see test_workloads.py
            continue
        for text in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            found.append((str(page.relative_to(ROOT)), text))
    return found


def commands(needs_graphviz: bool) -> List[Tuple[str, str]]:
    """(page, command) of every line that begins with a dollar sign; of those of the report, or of all others."""
    lines = [(page, line) for page, text in blocks("console") for line in text.splitlines()]
    found = [(page, line[2:].partition("   #")[0].strip()) for page, line in lines if line.startswith("$ ")]
    return [(page, command) for page, command in found if ("hostnet.docker.report" in command) == needs_graphviz]


# Those of docs/beyond and docs/ruleset are run by tests of their own, with what comes of them.
SHOWN = [(page, text) for page, text in blocks("yaml") if not page.startswith(("docs/beyond/", "docs/ruleset/"))]
# Plays of many tasks.
LONG = ("docs/how-to/iptables-false.md", "docs/how-to/take-over.md")


@pytest.mark.slow(*(page for page, _text in SHOWN if page not in LONG))
@pytest.mark.parametrize("page,text", SHOWN, ids=[page for page, _text in SHOWN])
def test_playbooks(host: lab.Host, page: str, text: str) -> None:
    """Every playbook shown runs on a host that has docker0 and an endpoint, twice with the same end."""
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}])
    assert playbook.run_file(host, text, []).status == 0
    again = playbook.run_file(host, text, [])
    assert again.status == 0 and again.recap("changed") == 0, again.text


def _named(found: List[Tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page,command", found, ids=[f"{page}: {command}" for page, command in found])


@_named(commands(needs_graphviz=False))
def test_commands(host: lab.Host, page: str, command: str, tmp_path: Path) -> None:
    if command in ELSEWHERE:
        assert Path(__file__).with_name(ELSEWHERE[command]).exists()
    elif command.startswith("make "):
        assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), re.M)
    elif command.startswith("ansible-galaxy"):
        _galaxy(command, tmp_path)
    else:
        host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}])
        host.sh(command)


@pytest.mark.slow()
@_named(commands(needs_graphviz=True))
def test_commands_of_the_report(host: lab.Host, page: str, command: str, tmp_path: Path) -> None:
    lab.need("dot")
    host.run("host_network", ip_forward={}, bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}])
    name, *arguments = shlex.split(command)[1:]
    run = playbook.run_fleet({host: {}}, name, arguments, directory=tmp_path)
    assert run.status == 0, run.text


def _galaxy(command: str, directory: Path) -> None:
    """Build, and install what was built, into a folder of the test's own."""
    program = str(Path(sys.executable).with_name("ansible-galaxy"))
    subprocess.run([program, "collection", "build", "--output-path", str(directory), str(ROOT)], check=True)
    built = directory / "hostnet-docker-0.1.0.tar.gz"
    assert built.exists()
    if " install " in command:
        words = [program, "collection", "install", str(built), "-p", str(directory / "collections"), "--offline"]
        # The checkout itself is on the path of the tests, and would count as installed.
        environ = {name: value for name, value in os.environ.items() if name != "ANSIBLE_COLLECTIONS_PATH"}
        subprocess.run(words, check=True, env=environ)
        installed = directory / "collections" / "ansible_collections" / "hostnet" / "docker"
        assert (installed / "plugins" / "modules" / "host_network.py").exists()


def test_the_playbook_of_the_readme_is_the_demos() -> None:
    first = next(text for page, text in blocks("yaml") if page == "README.md")
    assert first == (ROOT / "demo" / "playbook.yml").read_text()
