# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role says about its variables what the modules say about their options."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any, Dict

import jsonschema
import pytest
import yaml
from ansible_collections.hostnet.docker.plugins.module_utils import _specs as options

ROLE = Path(__file__).resolve().parents[2] / "roles" / "docker_host"
SPEC = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
# What the role decides itself.
OWN = {"docker_host_ip_forward": {"persist": {"default"}}}


@pytest.mark.parametrize(
    ("variable", "module"),
    [
        ("docker_host_bridges", options.BRIDGE),
        ("docker_host_endpoints", {**options.ENDPOINT, **options.PUBLISH}),
        ("docker_host_ip_forward", options.FORWARD),
        ("docker_host_user_rules", options.USER_RULE),
    ],
)
def test_suboptions_are_those_of_the_module(variable: str, module: Dict[str, Any]) -> None:
    said = _shape(SPEC[variable]["options"])
    wanted = _shape(module)
    if variable == "docker_host_endpoints":
        wanted["name"]["required"] = True
    for name, left_out in OWN.get(variable, {}).items():
        for word in left_out:
            wanted[name].pop(word)
    assert said == wanted


def test_every_variable_has_its_default() -> None:
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    assert set(defaults) == set(SPEC)
    for name, spec in SPEC.items():
        if "default" in spec:
            assert defaults[name] == spec["default"], name


def test_file_is_as_ansible_lint_wants_it_but_for_aliases() -> None:
    """Its schema does not know them, so that .ansible-lint-ignore takes this file out of its sight."""
    schema = json.loads((resources.files("ansiblelint") / "schemas" / "role-arg-spec.json").read_text())
    schema["$defs"]["option"]["properties"]["aliases"] = {"type": "array", "items": {"type": "string"}}
    jsonschema.validate(yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text()), schema)


def _shape(spec: Dict[str, Any]) -> Dict[str, Any]:
    """The spec without words: types, choices, defaults."""
    found = {}
    for name, option in spec.items():
        found[name] = {word: value for word, value in option.items() if word not in ("description", "options")}
        if "options" in option:
            found[name]["options"] = _shape(option["options"])
    return found
