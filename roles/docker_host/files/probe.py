# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print as JSON which packages, by Debian's names, the host lacks. Argument: the firewall backend."""

# Runs on the target with the interpreter of its modules: the standard library only, Python >= 3.9.

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys


def find(program: str) -> str | None:
    """The path of a program; modules look in the system directories too."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def lacks(library: str) -> bool:
    """Whether the interpreter has no such library; nothing is imported."""
    return importlib.util.find_spec(library) is None


def is_legacy(iptables: str) -> bool:
    """Whether this iptables writes the old tables; only there python-iptables is of use."""
    return "legacy" in os.path.basename(os.path.realpath(iptables))


def missing(backend: str) -> list[str]:
    """The packages that the backend needs and the host does not have."""
    wanted = ["python3-pyroute2"] if lacks("pyroute2") else []
    iptables, nft = find("iptables"), find("nft")
    if backend == "nftables":
        return wanted if nft else [*wanted, "nftables"]
    if not iptables:
        return wanted if nft and backend == "auto" else [*wanted, "iptables"]
    if is_legacy(iptables) and lacks("iptc"):
        wanted.append("python3-iptables")
    return wanted


if __name__ == "__main__":
    print(json.dumps(missing(sys.argv[1])))
