# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host ends whose other end is in a namespace that the kernel takes down. Must not know: Docker, plans.

A namespace ends with its last user, and its links go some time later: mostly within a tenth of a second, on a busy
host within seconds. Till then a host end looks like that of a living namespace without a name, with two differences.
The kernel finds no namespace by the id that the link tells, and later the link tells -1 for it.
"""

from __future__ import annotations

import errno
import time
from typing import Any, Callable, Dict, Iterable

from .._state import HOST, Key, State, select

_GET = 2
_NO_STATISTICS = 8  # RTEXT_FILTER_SKIP_STATS
_PATIENCE = 5.0  # seconds
_STEP = 0.01

Links = Dict[str, Dict[str, Any]]


def hidden(state: State, names: Iterable[str]) -> Links:
    """Those of the host's links whose other end is in a namespace that was not read: name -> value."""
    links = {name: state.get(Key("link", HOST, name)) for name in names}
    return {name: value for name, value in links.items() if value and not value["peer"] and value["nsid"] is not None}


def silent(state: State, names: Iterable[str]) -> Links:
    """Those that are hidden and behind which no address was found: an address is a sign of life."""
    links = hidden(state, names)
    if not links:
        return {}
    heard = {key.scope for key, _value in select(state, "address")}
    return {name: value for name, value in links.items() if f"nsid:{value['nsid']}" not in heard}


def is_dying(speaker: Any, link: Dict[str, Any]) -> bool:
    """Whether the namespace at a link's other end has no users any more.

    Kernels before 5.0 do not look namespaces up by their ids, and refuse it in other words.
    """
    if link["nsid"] < 0:
        return True
    try:
        speaker.speak(HOST, _GET, "nsid", {}, [["NETNSA_NSID", link["nsid"]]])
    except OSError as error:
        return error.errno == errno.ENOENT
    return False


def are_there(speaker: Any, links: Links) -> bool:
    """Whether one of the host's links is still there."""
    return any(_is_there(speaker, link["index"]) for link in links.values())


def _is_there(speaker: Any, index: int) -> bool:
    try:
        speaker.speak(HOST, _GET, "link", {"index": index}, [["IFLA_EXT_MASK", _NO_STATISTICS]])
    except OSError:
        return False
    return True


class Patience:
    """How long one conversation waits at most, however often it does; it begins with the first time."""

    def __init__(self, seconds: float = _PATIENCE) -> None:
        self._seconds = seconds
        self._end: float | None = None

    def outlasts(self, is_over: Callable[[], bool]) -> bool:
        """Wait until it is over, and tell whether that came in time."""
        if self._end is None:
            self._end = time.monotonic() + self._seconds
        while time.monotonic() < self._end:
            if is_over():
                return True
            time.sleep(_STEP)
        return False
