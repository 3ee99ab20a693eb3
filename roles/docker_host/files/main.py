# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program's ``__main__``: started by systemd, without Ansible, it runs the host's tools itself."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import List, Tuple

from hostnet_docker._restore import main

_FOREIGN = "surrogateescape"


def run_command(command: List[str], text: str) -> Tuple[int, str, str]:
    """See ``_commands.RunCommand``."""
    done = subprocess.run(
        command,
        input=text.encode(errors=_FOREIGN),
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    return done.returncode, done.stdout.decode(errors=_FOREIGN), done.stderr.decode(errors="replace")


sys.exit(main(run_command, sys.argv[1:]))
