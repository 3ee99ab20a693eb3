# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that a host runs at boot: the desired state from a file, by the same code and without Ansible.

``roles/docker_host/files/bundle.py`` packs it with all it imports into one file.
"""

from __future__ import annotations

import json
import sys
from typing import List

from . import _options, _pipeline, _text
from ._commands import RunCommand
from ._errors import HostnetError
from ._model import Task


def main(run_command: RunCommand, arguments: List[str]) -> int:
    """Bring the host into the state that the file says; ``--check`` only tells what that would take.

    :param run_command: how programs are run
    :param arguments: the path of a JSON file of ``host_network``'s options, all of them with a value
    :returns: the exit status: 0 done, 1 it failed, 2 wrong usage
    """
    paths = [argument for argument in arguments if not argument.startswith("-")]
    if len(paths) != 1:
        sys.stderr.write("usage: hostnet-docker.pyz [--check] FILE\n")
        return 2
    try:
        with open(paths[0], encoding="utf-8") as file:
            params = json.load(file)
        task = _as_left(_options.host_task(params))
        timeout, backend = params["lock_timeout"], params["firewall_backend"]
        outcome = _pipeline.converge(run_command, task, backend, timeout, "--check" in arguments)
    except (HostnetError, OSError) as error:
        sys.stderr.write(f"hostnet-docker: {error}\n")
        return 1
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"not a file of host_network's options: {type(error).__name__}: {error}"
        sys.stderr.write(f"hostnet-docker: {paths[0]}: {reason}; run the role again\n")
        return 1
    for line in [*_text.lines(outcome.changes), *(f"warning: {text}" for text in outcome.prediction.warnings)]:
        sys.stdout.write(f"{line}\n")
    return 0


def _as_left(task: Task) -> Task:
    """The task as one that ran before. What is restored was confirmed long ago, and this run is no sign that anybody
    reaches the host."""
    want = task.forwarding
    if want is not None:
        want = want._replace(item=want.forward._replace(at_boot=True))
    return task._replace(confirm_timeout=None, forwarding=want)
