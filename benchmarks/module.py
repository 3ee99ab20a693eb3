# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a module of the collection, or of ansible-core, as Ansible does on a target: a process of its own.

``python -m benchmarks.module NAME``, with the options as JSON on the standard input.
Must not know: what is measured.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

COLLECTION = "ansible_collections.hostnet.docker.plugins.modules"


def main() -> None:
    """Feed the module its options as ansible-core 2.17 to 2.19 do, and call it."""
    from ansible.module_utils import basic

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / ".build"))
    options = {"_ansible_remote_tmp": "/run/ansible", "_ansible_keep_remote_files": False, **json.load(sys.stdin)}
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode()
    basic._ANSIBLE_PROFILE = "legacy"  # read by 2.19 and later only
    name = sys.argv[1]
    importlib.import_module(name if "." in name else f"{COLLECTION}.{name}").main()


if __name__ == "__main__":
    main()
