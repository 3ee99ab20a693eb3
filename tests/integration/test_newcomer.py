# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A newcomer's five minutes: the built archive alone, installed where nothing else is, and the README's playbook."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Dict, List

import pytest
import yaml

import lab
import playbook

BIN = Path(sys.executable).parent
MODULES = sorted(path.stem for path in (lab.ROOT / "plugins" / "modules").glob("*.py"))
DOCUMENTED = [
    *(["-t", "module", f"hostnet.docker.{name}"] for name in MODULES),
    ["-t", "role", "hostnet.docker.docker_host"],
    ["-t", "connection", "hostnet.docker.netns"],
]
LARGEST = 1_000_000  # bytes of the archive


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory in which the archive was built and installed."""
    home = tmp_path_factory.mktemp("home")
    _run(home, ["ansible-galaxy", "collection", "build", "--output-path", str(home), str(lab.ROOT)])
    (archive,) = home.glob("hostnet-docker-*.tar.gz")
    _run(home, ["ansible-galaxy", "collection", "install", "--offline", str(archive)])
    return home


def _environ(home: Path) -> Dict[str, str]:
    """One that does not see the checkout: collections are those of the home directory."""
    return {**os.environ, "HOME": str(home), "ANSIBLE_COLLECTIONS_PATH": str(home / ".ansible" / "collections")}


def _run(home: Path, command: List[str]) -> str:
    words = [str(BIN / command[0]), *command[1:]]
    done = subprocess.run(words, env=_environ(home), cwd=home, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_playbook_of_the_readme(host: lab.Host, home: Path) -> None:
    text = re.search(r"^```yaml\n(.*?)^```", (lab.ROOT / "README.md").read_text(), re.M | re.S)
    assert text and len(text.group(1).splitlines()) <= 11
    environ = _environ(home)
    first = playbook.run_file(host, text.group(1), ["-v"], environ)
    assert first.status == 0 and first.recap("changed") == 1, first.text
    with lab.serve("web", 80):
        assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"
    assert playbook.run_file(host, text.group(1), [], environ).recap("changed") == 0
    drift = playbook.run_file(host, "hostnet.docker.drift", [], environ)
    assert drift.status == 0 and "hostnet_drift" in drift.text, drift.text


@pytest.mark.slow()
def test_report(host: lab.Host, home: Path) -> None:
    """A host, drawn by the installed collection."""
    lab.need("dot")
    host.run("host_network", bridges=[{"name": "docker0"}], endpoints=[{"name": "web"}])
    report = playbook.run_fleet({host: {}}, "hostnet.docker.report", [], _environ(home), directory=home)
    assert report.status == 0, report.text
    page = (home / "hostnet-report.html").read_text(encoding="utf-8")
    pictures = re.findall(r"<svg\b.*?</svg>", page, re.S)
    assert any(">web<" in picture for picture in pictures), page


@pytest.mark.parametrize("words", DOCUMENTED, ids=lambda words: words[-1])
def test_documentation(home: Path, words: List[str]) -> None:
    text = _run(home, ["ansible-doc", *words])
    assert words[-1] in text and "EXAMPLES" in text or words[1] != "module"
    assert str(home / ".ansible") in text, "it is the installed one that is shown"


def test_archive(home: Path) -> None:
    """Small, without what only a checkout needs, and no link of its README leads out of it."""
    (archive,) = home.glob("hostnet-docker-*.tar.gz")
    assert archive.stat().st_size < LARGEST
    with tarfile.open(archive) as built:
        names = set(built.getnames())
    # The settings of the linters stay in, for Galaxy lints what it imports.
    settings = {".ansible-lint", ".ansible-lint-ignore", ".yamllint"}
    assert {name for name in names if name.startswith((".", "benchmarks"))} == settings
    assert not [name for name in names if "__pycache__" in name]
    assert {"plugins/filter/report_page.py", "plugins/plugin_utils/_report/page.html.j2"} <= names
    for target in re.findall(r"\]\(([^)#:]+)\)", (lab.ROOT / "README.md").read_text()):
        assert target in names, target


@pytest.mark.slow()
def test_system_packages(home: Path) -> None:
    """An execution environment with the installed collection gets what the collection needs of the system."""
    found = yaml.safe_load(_run(home, ["ansible-builder", "introspect", str(home / ".ansible" / "collections")]))
    packages = [line.partition("#")[0].strip() for line in found["system"]]
    assert packages == ["graphviz [platform:dpkg]", "graphviz [platform:rpm]"] and not found["python"]
