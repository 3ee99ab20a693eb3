# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""File systems of the kernel's, opened without mounting them anywhere. Must not know: what is read there."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432  # the same numbers on every architecture but alpha
_CLOSE_ON_EXEC = 1
_CONFIG_CREATE = 6


def root(kind: str) -> int:
    """A fresh instance of a file system (``sysfs``, ``proc``) as an open directory; it is gone when that is closed.

    :raises OSError: the kernel refuses, or is older than 5.2
    """
    context = _syscall(_FSOPEN, kind.encode(), ctypes.c_uint(_CLOSE_ON_EXEC))
    try:
        _syscall(_FSCONFIG, context, ctypes.c_uint(_CONFIG_CREATE), None, None, 0)
        return _syscall(_FSMOUNT, context, ctypes.c_uint(_CLOSE_ON_EXEC), ctypes.c_uint(0))
    finally:
        os.close(context)


def _syscall(number: int, *args: object) -> int:
    result = _libc.syscall(ctypes.c_long(number), *args)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return int(result)
