# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the tables of docs/ruleset: the rules that a page's playbook leaves on a host, and what each is for.

A page is written by hand down to MARK; what follows is what host_network_info tells of a throw-away host on which the
playbook's task was run. ``ruleset_pages.py`` writes, ``ruleset_pages.py --check`` fails if anything would change.
"""

from __future__ import annotations

import os
import re
import sys
from itertools import groupby
from pathlib import Path
from typing import Any, Dict, Iterator, List

import yaml

ROOT = Path(__file__).resolve().parent.parent
for _directory in (ROOT / ".build", ROOT / "tests", ROOT / "tools"):
    if str(_directory) not in sys.path:
        sys.path.insert(0, str(_directory))

import lab  # noqa: E402
import sandbox  # noqa: E402

PAGES = sorted((ROOT / "docs" / "ruleset").glob("*.md"))
MARK = "<!-- Written by tools/ruleset_pages.py from the rules of a real host. -->\n"
_FAMILIES = {"ip": "IPv4", "ip6": "IPv6"}
# In the order in which a packet meets them; the tools print tables in orders of their own.
_TABLES = ("raw", "mangle", "nat", "filter", "docker-bridges")


def renewed(page: Path, host: lab.Host) -> str:
    """A page as it should be.

    :param host: a fresh host, which is changed
    """
    text = page.read_text(encoding="utf-8")
    head, mark, _tables = text.partition(MARK)
    if not mark:
        raise SystemExit(f"{page.name} has no line {MARK.strip()}")
    options = _options(head)
    host.run("host_network", **options)
    backend = options.get("firewall_backend", "auto")
    return (
        head + MARK + "".join(_tables_of(host.run("host_network_info", rules=True, firewall_backend=backend)["rules"]))
    )


def _options(text: str) -> Dict[str, Any]:
    """The options of the task that a page shows."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```", text, re.M | re.S)
    (play,) = yaml.safe_load(block)
    (task,) = play["tasks"]
    options: Dict[str, Any] = task["hostnet.docker.host_network"]
    return options


def _tables_of(rules: List[Dict[str, Any]]) -> Iterator[str]:
    ordered = sorted(rules, key=lambda rule: (rule["family"], _TABLES.index(rule["table"])))
    for (family, table), members in groupby(ordered, lambda rule: (rule["family"], rule["table"])):
        yield f"\n## {_FAMILIES[family]}, table {table}\n"
        chains: Dict[str, List[Dict[str, Any]]] = {}
        for rule in members:
            chains.setdefault(rule["chain"], []).append(rule)
        for chain, own in chains.items():
            yield f"\n### {chain}\n\n| rule | what it is for |\n|---|---|\n"
            yield from (f"| {_code(rule['rule'])} | {rule['purpose']} |\n" for rule in own)


def _code(rule: str) -> str:
    escaped = rule.replace("|", "\\|")
    return f"`{escaped}`"


def main(arguments: List[str]) -> int:
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    sandbox.enter()
    stale = False
    for page in PAGES:
        text = renewed(page, lab.new_host())
        lab.clear()
        if text == page.read_text(encoding="utf-8"):
            continue
        stale = True
        if "--check" in arguments:
            print(f"{page.relative_to(ROOT)} is not what a real host shows; run tools/ruleset_pages.py")
        else:
            page.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
