# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every pytest process leaves the machine's network and files behind before the first test.

Owns: the isolation of the session and the fixtures. Must not know: what the modules do.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List

TESTS = Path(__file__).resolve().parent
for _directory in (TESTS.parent / ".build", TESTS.parent / "tools", TESTS / "conformance", TESTS):
    if str(_directory) not in sys.path:
        sys.path.insert(0, str(_directory))

import pytest  # noqa: E402

import lab  # noqa: E402
import machine  # noqa: E402
import sandbox  # noqa: E402

# Here and not in pyproject.toml: ansible-test brings its own configuration of pytest.
MARKERS = (
    "slow(but): not part of `make test`, except for the parameters named; run by `make slow`",
    "fuzz: a property with counted examples, see tests/properties.py",
    "versions: run once more with each of the releases of tests/versions",
    "playbook: of those, what needs ansible-playbook",
    "nftables: of those, what needs the host's nft",
)
_refused = ""


def pytest_configure(config: pytest.Config) -> None:
    """Isolate this process: the controller first, each xdist worker once more for itself."""
    global _refused
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    os.environ["PATH"] += ":/usr/sbin:/sbin"  # an ordinary user's has no iptables and no ip
    # Who is root in a user namespace keeps his own name, by which pytest finds its directory in /tmp.
    os.environ.setdefault("LOGNAME", getpass.getuser())
    _importable()
    worker = getattr(config, "workerinput", None)
    try:
        if not worker:
            sandbox.own_processes()
            sandbox.with_init()
        config.stash[machine.BEFORE] = worker["hostnet_machine"] if worker else machine.remember()
        sandbox.enter()
    except (sandbox.NoSandbox, OSError) as error:
        config.stash.setdefault(machine.BEFORE, machine.NOTHING)
        _refused = f"no namespaces of our own: {error}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run what is marked slow, and nothing else")


def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """Leave out the slow tests, or all others."""
    if any("::" in argument for argument in config.args):  # somebody asked for these
        return
    groups: Dict[bool, List[pytest.Item]] = {True: [], False: []}
    for item in items:
        groups[_is_slow(item)].append(item)
    wanted = config.getoption("--slow")
    config.hook.pytest_deselected(items=groups[not wanted])
    items[:] = groups[wanted]


def _is_slow(item: pytest.Item) -> bool:
    mark = item.get_closest_marker("slow")
    parameters = getattr(getattr(item, "callspec", None), "id", "")
    return mark is not None and parameters not in mark.args


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: tell a worker what the machine looked like before the session."""
    node.workerinput["hostnet_machine"] = node.config.stash[machine.BEFORE]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """The last word of the session: the machine is as it was."""
    if hasattr(session.config, "workerinput") or _refused:
        return
    changed = machine.changes(session.config.stash[machine.BEFORE])
    if changed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nTHE MACHINE'S OWN NETWORK WAS CHANGED DURING THE TESTS:\n{changed}", file=sys.stderr)


def _importable() -> None:
    """Make the checkout importable as ansible_collections.hostnet.docker, and child processes find it too."""
    link = lab.BUILD / "ansible_collections" / "hostnet" / "docker"
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(os.path.relpath(lab.ROOT, link.parent))
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(lab.BUILD)


@pytest.fixture(scope="session")
def preloaded() -> None:
    """Import once what every forked module run would import again."""
    if _refused:
        lab.missing(_refused)
    lab.rehearse()
    with contextlib.suppress(Exception):  # python-iptables is optional, and its import can raise anything
        import iptc  # noqa: F401
    try:
        import pyroute2  # noqa: F401
    except ImportError:
        lab.missing("pyroute2 is not installed")


@pytest.fixture
def isolated(preloaded: None) -> Iterator[None]:
    """Namespaces may be made: all of them, and all files in /etc/netns and /etc/sysctl.d, are removed afterwards."""
    lab.clear()
    yield
    lab.clear()


@pytest.fixture
def host(isolated: None) -> lab.Host:
    """A fresh host with iptables-nft."""
    return lab.new_host()


@pytest.fixture
def legacy_host(isolated: None) -> lab.Host:
    """A fresh host with iptables-legacy."""
    return lab.new_host("legacy")


@pytest.fixture(params=["nft", "legacy"])
def each_host(isolated: None, request: pytest.FixtureRequest) -> lab.Host:
    """The test runs twice: on a host with iptables-nft and on one with iptables-legacy."""
    return lab.new_host(request.param)


@pytest.fixture(params=["nft", "legacy", "nftables"])
def each_backend(isolated: None, request: pytest.FixtureRequest) -> lab.Host:
    """The test runs three times: with both kinds of iptables, and with native nftables."""
    return lab.new_host("nft", "nftables") if request.param == "nftables" else lab.new_host(request.param)
