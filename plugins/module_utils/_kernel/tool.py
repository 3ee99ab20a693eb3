# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of a program that reads or writes rules. Must not know: which one."""

from __future__ import annotations

import os
import subprocess
from typing import Callable, List

from .._errors import HostnetError, KernelError

_FOREIGN = "surrogateescape"  # comments of other people's rules are bytes of any kind, and they go back as they came


def run(command: List[str], text: str, what: str, failure: Callable[[str, str, str], HostnetError]) -> str:
    """Give a program its input and return its output.

    :param what: what it is run for, in the words of an error
    :param failure: makes an error of ``what``, the program's words and its input
    :raises HostnetError: it cannot be started, or it failed
    """
    try:
        process = subprocess.run(
            command,
            input=text.encode(errors=_FOREIGN),
            capture_output=True,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise KernelError(what, error.errno or 0) from error
    if process.returncode != 0:
        raise failure(what, process.stderr.decode(errors="replace"), text)
    return process.stdout.decode(errors=_FOREIGN)


def at(text: str, number: str | None) -> str:
    """The line of the input that a program names by its number, as an addition to its words."""
    lines = text.splitlines()[int(number) - 1 : int(number)] if number else []
    return f" (at: {lines[0][:200]})" if lines else ""
