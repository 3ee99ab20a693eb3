# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs and modules, run and timed: seconds from start to end of the process, and its memory.

Must not know: what is measured.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PING = "ansible.modules.ping"
_FEW = 5


class Done(NamedTuple):
    """A process that ended well: seconds it took, the most memory it had (MB), what it printed."""

    seconds: float
    megabytes: float
    text: str


def run(command: List[str], text: str = "", **environ: str) -> Done:
    """Run a program with a text as its standard input.

    :raises RuntimeError: its exit status is not 0
    """
    given, out = os.memfd_create("stdin"), os.memfd_create("stdout")
    with open(given, "r+b") as stdin, open(out, "r+b") as stdout:
        stdin.write(text.encode())
        stdin.seek(0)
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=subprocess.STDOUT, cwd=ROOT, env={**_environ(), **environ}
        )
        _pid, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        stdout.seek(0)
        said = stdout.read().decode(errors="replace")
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)[:200]}: exit status {process.returncode}\n{said[-2000:]}")
    return Done(seconds, usage.ru_maxrss / 1024, said)


def _environ() -> Dict[str, str]:
    """Compiled Python may be kept: else each run would compile what the run before has compiled."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def module(which: str, changes: bool | None = None, /, **options: Any) -> Done:
    """Run a module of the collection (``port_publish``) or of ansible-core (``PING``).

    :param changes: what it must say of itself, None for a module that does not tell
    :raises RuntimeError: it failed, or did not change what it should
    """
    done = run([sys.executable, "-m", "benchmarks.module", which], json.dumps(options))
    result: Dict[str, Any] = json.loads(done.text.strip().splitlines()[0])
    if changes is not None and result.get("changed") is not changes:
        raise RuntimeError(f"{which}: changed is {result.get('changed')}, not {changes}: {result.get('changes')}")
    return done


def usual(once: Callable[[], Done]) -> float:
    """The seconds that something usually takes which leaves the host as it was: the middle one of a few runs."""
    return statistics.median(once().seconds for _run in range(_FEW))
