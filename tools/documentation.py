# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes DOCUMENTATION and RETURN of the modules, and the role's argument specs.

The words are docs/options.yml's, types and defaults those of ``_specs.py``: each is said in one place.
``documentation.py`` writes, ``documentation.py --check`` says what would change and fails if anything would.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Dict, Mapping, Tuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".build"))

from ansible_collections.hostnet.docker.plugins.module_utils import _specs  # noqa: E402

WORDS = yaml.safe_load((ROOT / "docs" / "options.yml").read_text(encoding="utf-8"))
VERSION = "0.1.0"

ITEMS: Dict[str, Tuple[_specs.Spec, Mapping[str, str]]] = {
    "bridge": (_specs.BRIDGE, WORDS["bridge"]),
    "endpoint": (_specs.ENDPOINT, WORDS["endpoint"]),
    "port": (_specs.PORT, {**WORDS["publish"], **WORDS["port"]}),
    "forwarding": (_specs.FORWARD, WORDS["forwarding"]),
    "user_rule": (_specs.USER_RULE, WORDS["user_rule"]),
    "endpoint_with_ports": (
        _specs.HOST["endpoints"]["options"],
        {**WORDS["endpoint"], **WORDS["publish"], "published_ports": WORDS["common"]["endpoint_ports"]},
    ),
}

MODULES: Dict[str, Dict[str, Any]] = {
    "docker_bridge": {
        "spec": _specs.one_or_many(_specs.BRIDGE, "bridges"),
        "items": {"": "bridge", "bridges": "bridge"},
        "results": ("changes", "firewall", "boots", "bridges"),
        "see": ("veth_endpoint", "port_publish", "host_network"),
    },
    "veth_endpoint": {
        "spec": _specs.one_or_many(_specs.ENDPOINT, "endpoints", required="name"),
        "items": {"": "endpoint", "endpoints": "endpoint"},
        "results": ("changes", "firewall", "boots", "endpoints"),
        "see": ("docker_bridge", "port_publish", "host_network"),
    },
    "port_publish": {
        "spec": _specs.one_or_many(_specs.PORT, "ports"),
        "items": {"": "port", "ports": "port"},
        "results": ("changes", "firewall", "boots", "ports", "squatters"),
        "see": ("veth_endpoint", "host_network"),
    },
    "ip_forward": {
        "spec": _specs.FORWARD,
        "items": {"": "forwarding"},
        "results": ("changes", "firewall", "boots", "ip_forward"),
        "see": ("host_network",),
    },
    "host_network": {
        "spec": _specs.HOST,
        "items": {
            "ip_forward": "forwarding",
            "bridges": "bridge",
            "endpoints": "endpoint_with_ports",
            "ports": "port",
            "user_rules": "user_rule",
        },
        "results": (
            "changes",
            "firewall",
            "boots",
            "confirm",
            "desired_state",
            "bridges",
            "endpoints",
            "ports",
            "squatters",
            "ip_forward",
        ),
        "see": ("host_network_info", "docker_bridge", "veth_endpoint", "port_publish", "ip_forward"),
    },
    "host_network_info": {
        "spec": _specs.INFO,
        "items": {},
        "results": (
            "firewall",
            "bridges",
            "endpoints",
            "ports",
            "ip_forward",
            "user_rules",
            "warnings",
            "interfaces",
            "rules",
            "exposure",
            "counters",
            "metrics",
        ),
        "see": ("host_network",),
    },
}


def option(name: str, spec: Mapping[str, Any], word: str, words: Mapping[str, str], nested: str) -> Dict[str, Any]:
    """One option's documentation."""
    found: Dict[str, Any] = {"description": [word.strip()]}
    for key in ("type", "elements", "required", "choices", "default", "aliases"):
        if key in spec and spec[key] is not None:
            found[key] = spec[key]
    if "options" in spec:
        kind = {key[len(name) + 1 :]: value for key, value in words.items() if key.startswith(f"{name}.")}
        found[nested] = options(spec["options"], kind, nested)
    return found


def options(spec: Mapping[str, Any], words: Mapping[str, str], nested: str) -> Dict[str, Any]:
    """The documentation of the options of one noun."""
    return {name: option(name, spec[name], words[name], words, nested) for name in spec}


def item_options(kind: str, spec: Any = None, prefix: str = "", nested: str = "suboptions") -> Dict[str, Any]:
    """The options of one noun; ``prefix`` is the option that they are suboptions of, as ``bridges[].``."""
    own, words = ITEMS[kind]

    def absolute(match: re.Match[str]) -> str:
        return f"O({prefix}{match.group(1)}" if match.group(1) in own else match.group(0)

    named = {name: re.sub(r"O\((\w+)", absolute, text) for name, text in words.items()}
    return options(spec or own, named, nested)


def module_options(module: Mapping[str, Any]) -> Dict[str, Any]:
    spec, kinds = {**module["spec"], **_specs.BACKEND}, module["items"]
    if module["spec"] is not _specs.INFO:
        spec.update(_specs.LOCK)
    own = set(ITEMS[kinds[""]][0]) if "" in kinds else set()
    found = item_options(kinds[""]) if "" in kinds else {}
    for name in spec:
        if name in own:
            continue
        here = f"{name}_here" if "" in kinds and f"{name}_here" in WORDS["common"] else name
        plain = {key: value for key, value in spec[name].items() if key != "options"}
        found[name] = option(name, plain, WORDS["common"][here], {}, "suboptions")
        if name in kinds:
            found[name]["suboptions"] = item_options(kinds[name], spec[name]["options"], _prefix(name, spec[name]))
    return found


def _prefix(name: str, spec: Mapping[str, Any]) -> str:
    return f"{name}[]." if spec["type"] == "list" else f"{name}."


def documentation(name: str) -> Dict[str, Any]:
    module, words = MODULES[name], WORDS["modules"][name]
    return {
        "module": name,
        "short_description": words["short"],
        "version_added": VERSION,
        "description": words["description"],
        "author": ["hostnet.docker contributors (@hostnet)"],
        "requirements": [
            "pyroute2 >= 0.7.2 on the host",
            "iptables or nftables on the host",
            "python-iptables >= 1.0.1 on hosts with iptables-legacy (optional)",
        ],
        "extends_documentation_fragment": ["hostnet.docker.attributes" + (".info" if name.endswith("_info") else "")],
        "options": module_options(module),
        "seealso": [{"module": f"hostnet.docker.{other}"} for other in module["see"]],
    }


class _Dumper(yaml.SafeDumper):
    """Lists indented as yamllint wants them, folded text, no anchors."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _folded(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = ">" if len(text) > 80 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _folded)


def dumped(data: Any) -> str:
    """YAML in the order given."""
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=84, allow_unicode=True)
    return re.sub(r"^( *(?:- |\S+: ))>$", r"\1>-", text, flags=re.M)


def with_documentation(name: str, source: str) -> str:
    """A module's source with its DOCUMENTATION and RETURN replaced."""
    results = {key: WORDS["results"][key] for key in MODULES[name]["results"]}
    blocks = {"DOCUMENTATION": documentation(name), "RETURN": results}
    for block, data in blocks.items():
        text = f'{block} = r"""\n{dumped(data)}"""\n'
        pattern = re.compile(rf'^{block} = r"""\n.*?^"""\n', re.M | re.S)
        if not pattern.search(source):
            raise SystemExit(f"{name}.py has no {block} block")
        source = text.join(pattern.split(source, maxsplit=1))
    return source


def with_role_options(source: str) -> str:
    """The role's argument specs with the suboptions of its variables replaced."""
    spec = yaml.safe_load(source)
    variables = spec["argument_specs"]["main"]["options"]
    kinds = {
        "bridges": "bridge",
        "endpoints": "endpoint_with_ports",
        "ip_forward": "forwarding",
        "user_rules": "user_rule",
    }
    for name, kind in kinds.items():
        if f"docker_host_{name}" in variables:
            variable = variables[f"docker_host_{name}"]
            variable["options"] = item_options(kind, None, _prefix(f"docker_host_{name}", variable), "options")
    forward = variables["docker_host_ip_forward"]["options"]
    forward["persist"].pop("default", None)  # it has a variable of its own
    return "---\n" + dumped(spec)


def files() -> Dict[Path, str]:
    """Each file as it should be."""
    found = {}
    for name in MODULES:
        path = ROOT / "plugins" / "modules" / f"{name}.py"
        found[path] = with_documentation(name, path.read_text(encoding="utf-8"))
    path = ROOT / "roles" / "docker_host" / "meta" / "argument_specs.yml"
    found[path] = with_role_options(path.read_text(encoding="utf-8"))
    return found


def main(arguments: list) -> int:
    stale = {path: text for path, text in files().items() if path.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} is not as docs/options.yml and _specs.py say; run tools/documentation.py")
        else:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
