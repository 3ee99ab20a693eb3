# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules' EXAMPLES, each block run in order on one host, as ansible-doc shows them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Dict

import pytest
import yaml

import lab
import playbook

MODULES = Path(__file__).resolve().parents[2] / "plugins" / "modules"


def examples(name: str) -> Any:
    """The tasks of a module's EXAMPLES."""
    for node in ast.parse((MODULES / f"{name}.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "EXAMPLES":
            return yaml.safe_load(ast.literal_eval(node.value))
    raise AssertionError(f"{name} has no EXAMPLES")


@pytest.mark.parametrize("name", sorted(path.stem for path in MODULES.glob("*.py")))
def test_examples(host: lab.Host, name: str) -> None:
    tasks = examples(name)
    done = playbook.run(host, yaml.safe_dump(tasks))
    assert done.status == 0, done.text
    assert done.recap("failed") == 0


@pytest.mark.parametrize("name", ["docker_bridge", "veth_endpoint", "port_publish", "host_network"])
def test_examples_are_idempotent(host: lab.Host, name: str) -> None:
    """Each task alone, run twice in a row, changes nothing the second time."""
    for task in examples(name):
        module = next(key for key in task if key.startswith("hostnet.docker."))
        options: Dict[str, Any] = task[module] or {}
        host.run(module.rpartition(".")[2], **options)
        assert not host.run(module.rpartition(".")[2], **options)["changed"], task["name"]
