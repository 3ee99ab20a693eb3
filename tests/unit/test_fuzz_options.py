# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option of every module with whatever a user may write: a task of canonical values, or one error that helps."""

from __future__ import annotations

import ast
import importlib
import os
import re
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils import _options, _specs
from ansible_collections.hostnet.docker.plugins.module_utils._errors import OptionError
from ansible_collections.hostnet.docker.plugins.module_utils._layout import attachments, needs
from ansible_collections.hostnet.docker.plugins.module_utils._model import Task
from hypothesis import strategies as st

from grammar import Options, checked, item, value
from properties import holds, leaves

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
MODULES: Dict[str, _specs.Spec] = {
    "docker_bridge": _specs.one_or_many(_specs.BRIDGE, "bridges"),
    "veth_endpoint": _specs.one_or_many(_specs.ENDPOINT, "endpoints", required="name"),
    "port_publish": _specs.one_or_many(_specs.PORT, "ports"),
    "ip_forward": _specs.FORWARD,
    "host_network": _specs.HOST,
}
# Options whose texts never come near a rule, a path or a file: patterns are only matched with.
_PATTERNS = ("ignore", "path")
# Texts that stand in files or are opened, and so may have quotes.
_QUOTES = ("dns_opts", "netns", "sysctl_file", "endpoint")


def task_of(module: str, params: Options) -> Task | None:
    """The task that a module makes of its options; None if they are refused as they should be."""
    given = checked(MODULES[module], params)
    if given is None:
        return None
    try:
        task: Task = _to_task(module)(given)
    except OptionError as error:
        check_words(module, error)
        return None
    return task


def _to_task(module: str) -> Callable[[Options], Task]:
    if module == "host_network":
        return _options.host_task
    found = importlib.import_module(f"ansible_collections.hostnet.docker.plugins.modules.{module}")
    to_task: Callable[[Options], Task] = found.to_task
    return to_task


def check_words(module: str, error: OptionError) -> None:
    """One line that names the option as it was written, the value, and the way out."""
    words = str(error)
    assert "\n" not in words and repr(error.value) in words and len(error.hint) > 10, words
    name = re.match(r"\w+", error.path)
    assert name and name.group() in MODULES[module], words


def check_is_safe(task: Task) -> None:
    """Nothing in a task can end a word, a line, a rule or a directory."""
    for name, texts in leaves(task).items():
        for text in texts if name not in _PATTERNS else ():
            assert re.fullmatch(r"[!-~]+", text), (name, text)
            assert not set("\"'\\") & set(text) or name in _QUOTES, (name, text)
    for want in task.endpoints:
        scope = attachments.scope_of(want.endpoint)
        assert scope is None or os.path.normpath(scope) == scope
        if scope and scope.startswith("/run/netns/"):
            assert scope.count("/") == 3
            for path in attachments.files_of(scope):
                assert os.path.normpath(path) == path and path.startswith("/etc/netns/") and path.count("/") == 4
    needs.joined(task)
    needs.needs(task, {})


_modules = st.sampled_from(sorted(MODULES))
_one = _modules.flatmap(lambda name: st.tuples(st.just(name), item(MODULES[name])))


@holds(
    600,
    examples=[
        # These were a traceback: no file system, no encoding and no clock takes them.
        {"drawn": ("port_publish", {"endpoint": "\ud800"})},
        {"drawn": ("veth_endpoint", {"name": "web", "netns": "/run/a\0b"})},
        {"drawn": ("ip_forward", {"sysctl_file": "/etc/a\0.conf"})},
        # These were done: files that are not ours, lines that nobody asked for, a rule that is made anew by each run.
        {"drawn": ("ip_forward", {"sysctl_file": "/etc/sysctl.d/*.conf"})},
        {"drawn": ("veth_endpoint", {"name": "web", "dns_servers": ["fe80::1%e\nsearch evil.example"]})},
        {"drawn": ("veth_endpoint", {"name": "web", "etc_hosts": {"a\n6.6.6.6 b": "1.2.3.4"}})},
        {"drawn": ("docker_bridge", {"trusted_host_interfaces": ["eth0", "eth0"]})},
    ],
    drawn=_one,
)
def test_options_become_a_task_or_an_error(drawn: Tuple[str, Options]) -> None:
    task = task_of(*drawn)
    if task is not None:
        check_is_safe(task)


def _cases() -> Any:
    """Each option alone, beside a name: module, option, where it stands."""
    found = []
    for module, spec in MODULES.items():
        for name, entry in spec.items():
            found.append((module, "", name, entry))
            for inner, inner_entry in entry.get("options", {}).items():
                found.append((module, name, inner, inner_entry))
    return found


def _with(module: str, outer: str, name: str, given: Any) -> Options:
    if not outer:
        return {**({"name": "web"} if "name" in MODULES[module] else {}), name: given}
    entry = MODULES[module][outer]
    base = {key: "drop" if key == "action" else "web" for key, spec in entry["options"].items() if spec.get("required")}
    inner = {**base, name: given}
    return {outer: [inner] if entry["type"] == "list" else inner}


_each = st.sampled_from(_cases()).flatmap(
    lambda case: st.tuples(st.just(case[:3]), value(case[2], case[3])).map(lambda pair: (*pair[0], pair[1]))
)


@holds(1200, drawn=_each)
def test_each_option_alone(drawn: Tuple[str, str, str, Any]) -> None:
    module, outer, name, given = drawn
    params = _with(module, outer, name, given)
    task = task_of(module, params)
    if task is not None:
        check_is_safe(task)


FORBIDDEN = {"system", "popen", "spawnl", "spawnv", "execl", "execv", "getoutput", "getstatusoutput", "eval", "exec"}


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: path.stem)
def test_no_text_reaches_a_shell(path: Path) -> None:
    """Programs are started with lists of arguments, by the few files that may start one; what
    a module needs is run by Ansible."""
    starters = {"drawing.py", "netns.py"}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert name not in FORBIDDEN, f"line {node.lineno}: {name}"
            assert not any(keyword.arg == "shell" for keyword in node.keywords), f"line {node.lineno}: shell"
            if name in ("run", "Popen", "call", "check_output", "check_call") and ast.unparse(node.func).startswith(
                "sub"
            ):
                assert path.name in starters and not isinstance(node.args[0], (ast.Constant, ast.JoinedStr)), (
                    node.lineno
                )
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert "subprocess" not in names or path.name in starters, f"line {node.lineno}: subprocess"


def test_no_task_of_the_role_or_a_playbook_is_a_line_for_a_shell() -> None:
    words = re.compile(r"^\s*(?:- )?(?:ansible\.builtin\.)?(?:shell|raw|script):", re.M)
    found = [path for folder in ("roles", "playbooks") for path in (PLUGINS.parent / folder).rglob("*.yml")]
    assert len(found) > 5 and not [path for path in found if words.search(path.read_text(encoding="utf-8"))]
