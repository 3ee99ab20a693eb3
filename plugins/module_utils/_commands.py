# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of the host: how they are run, and one run of a tool that reads or writes rules.

Must not know: which tool, who runs it.
"""

from __future__ import annotations

from typing import Callable, List, Tuple

from ._errors import HostnetError, KernelError

# The words of a command and its input -> its exit status, output and errors. It is handed down from whoever was
# started himself: AnsibleModule.run_command in modules. Bytes that are no text go in and out as surrogate escapes:
# comments of other people's rules are bytes of any kind, and they go back as they came. Errors are for people: what is
# no text in them is replaced. OSError: it cannot be started.
RunCommand = Callable[[List[str], str], Tuple[int, str, str]]


def run(
    run_command: RunCommand,
    command: List[str],
    text: str,
    what: str,
    failure: Callable[[str, str, str], HostnetError],
) -> str:
    """Give a program its input and return its output.

    :param what: what it is run for, in the words of an error
    :param failure: makes an error of ``what``, the program's words and its input
    :raises HostnetError: it cannot be started, or it failed
    """
    try:
        status, output, said = run_command(command, text)
    except OSError as error:
        raise KernelError(what, error.errno or 0) from error
    if status != 0:
        raise failure(what, said, text)
    return output


def at(text: str, number: str | None) -> str:
    """The line of the input that a program names by its number, as an addition to its words."""
    lines = text.splitlines()[int(number) - 1 : int(number)] if number else []
    return f" (at: {lines[0][:200]})" if lines else ""
