# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack the collection's code into one program for the host. Argument: the file to write.

Runs on the control node. The same code gives the same bytes, so that the copy to the host is idempotent.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CODE = HERE.parents[2] / "plugins" / "module_utils"
PACKAGE = "hostnet_docker"  # by this name main.py imports it
LEFT_OUT = {"_run.py"}  # it alone needs Ansible
EPOCH = (1980, 1, 1, 0, 0, 0)


def pack(target: Path) -> None:
    """Write the program."""
    with target.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
            put(bundle, "__main__.py", (HERE / "main.py").read_text(encoding="utf-8"))
            put(bundle, f"{PACKAGE}/__init__.py", "")
            for path in sorted(CODE.rglob("*.py")):
                if path.name not in LEFT_OUT:
                    put(bundle, f"{PACKAGE}/{path.relative_to(CODE)}", path.read_text(encoding="utf-8"))


def put(bundle: zipfile.ZipFile, name: str, text: str) -> None:
    """One file, with a time that is always the same."""
    bundle.writestr(zipfile.ZipInfo(name, EPOCH), text, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
