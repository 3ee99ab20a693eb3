# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors a user can see. Owns: their wording pattern. Must not know: Ansible, the kernel.

Tool output and errno become one of these once, at the edge; only ``_run`` turns them into
``fail_json``. Every message says what, on which object, why and what to do.
"""

from __future__ import annotations

import os


class HostnetError(Exception):
    """Base of all errors with a message meant for the user."""


class OptionError(HostnetError):
    """An option's value cannot be used.

    :param path: the option as the user wrote it, such as ``endpoints[2].ipv4_address``
    :param value: the offending value
    :param hint: why, and the way out
    """

    def __init__(self, path: str, value: object, hint: str) -> None:
        super().__init__(f"{path}: {value!r}: {hint}")
        self.path, self.value, self.hint = path, value, hint


class PortTaken(OptionError):
    """A host port is published for another endpoint.

    :param place: the host address, port and protocol, as Docker prints them
    :param holder: the other endpoint's name, or its address where the name is not known
    """

    def __init__(self, path: str, value: object, place: str, holder: str) -> None:
        super().__init__(path, value, f"{place} is already allocated to endpoint {holder}; choose another port")
        self.place, self.holder = place, holder

    def named(self, holder: str) -> PortTaken:
        """The same error with the holder's name."""
        return PortTaken(self.path, self.value, self.place, holder)


class MissingTool(HostnetError):
    """A program the host needs is not installed."""

    def __init__(self, tool: str, hint: str) -> None:
        super().__init__(f"{tool} was not found on this host: {hint}")
        self.tool = tool


class MissingLibrary(HostnetError):
    """A Python library the host needs cannot be imported."""

    def __init__(self, library: str, reason: str, error: str = "") -> None:
        super().__init__(f"{library}: {reason}")
        self.library, self.reason, self.error = library, reason, error


class Conflict(HostnetError):
    """Something that is not ours stands where a wanted object would go."""


class KernelError(HostnetError):
    """The kernel, or a tool that speaks to it, refused a read or a write.

    :param what: the operation on its object, such as ``create link docker0``
    :param errno: the error number, 0 where the tool gave none
    :param text: the tool's or the kernel's own words
    """

    def __init__(self, what: str, errno: int = 0, text: str = "") -> None:
        reason = text or (os.strerror(errno) if errno else "unknown error")
        super().__init__(f"{what}: {reason}")
        self.what, self.errno, self.text = what, errno, text

    def within(self, what: str) -> KernelError:
        """The same error, said of the operation that failed for it."""
        return KernelError(what, self.errno, self.text if self.what == what else str(self))


class LostRace(KernelError):
    """What was read changed before the write: another program was faster."""
