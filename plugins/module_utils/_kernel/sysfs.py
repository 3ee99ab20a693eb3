# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a link's MAC was set or is the kernel's choice. Must not know: netlink, Docker, plans.

Netlink does not tell. Sysfs does, but /sys shows the namespace it was mounted in, which need not be
ours; so a second sysfs of our own namespace is opened, without mounting it anywhere.
"""

from __future__ import annotations

import contextlib
import os
from typing import Dict, Iterator, Mapping

from . import detached

_SET = 3  # NET_ADDR_SET


def set_macs(links: Mapping[str, str]) -> Dict[str, bool]:
    """For each interface of the calling thread's namespace: was its MAC set by someone.

    :param links: interface name -> its MAC as just read; a file that tells another is not ours
    :returns: interface name -> answer; False where the kernel does not say
    """
    if not links:
        return {}
    with _directory() as directory:
        return {name: _is_set(directory, name, mac) for name, mac in links.items()}


def _is_set(directory: int, name: str, mac: str) -> bool:
    if _read(directory, f"class/net/{name}/address") != mac:
        return False
    return _read(directory, f"class/net/{name}/addr_assign_type") == str(_SET)


def _read(directory: int, path: str) -> str:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory), encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


@contextlib.contextmanager
def _directory() -> Iterator[int]:
    """A sysfs as an open directory: one of our namespace, or /sys where the kernel refuses that."""
    try:
        handle = detached.root("sysfs")
    except OSError:
        handle = os.open("/sys", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)
