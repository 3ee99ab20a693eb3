# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One measurement, one process, one host: forked, moved into fresh namespaces, and gone with all it made.

Must not know: what is measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Callable, Dict

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

import sandbox  # noqa: E402

_SLABS = "/proc/slabinfo"
_PATIENCE = 60  # seconds to wait for the kernel to take namespaces down

Numbers = Dict[str, float]


def measured(function: Callable[[int], Numbers], size: int) -> Numbers:
    """Call a function on a host of its own and return its numbers.

    :raises RuntimeError: it failed; its words are printed
    """
    before = _namespaces()
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        _be_child(function, size, sender)
    os.close(sender)
    with open(receiver, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    _wait_until(before)
    if not text:
        raise RuntimeError(f"{function.__name__} failed")
    return {label: float(value) for label, value in json.loads(text).items()}


def _be_child(function: Callable[[int], Numbers], size: int, sender: int) -> None:
    status = 1
    try:
        sandbox.enter()
        os.mkdir("/run/ansible")
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        numbers = function(size)
        with open(sender, "w", encoding="utf-8") as pipe:
            json.dump(numbers, pipe)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _namespaces() -> int:
    """About how many network namespaces the kernel has; 0 where it does not tell."""
    try:
        with open(_SLABS, encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("net_namespace ")), 0)
    except OSError:
        return 0


def _wait_until(before: int) -> None:
    """The kernel takes namespaces down after their last user is gone, for seconds: that is not the next one's time."""
    end = time.monotonic() + _PATIENCE
    time.sleep(1)
    while _namespaces() > before + 20 and time.monotonic() < end:
        time.sleep(0.2)
