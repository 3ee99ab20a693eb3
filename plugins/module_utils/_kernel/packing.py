# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests as bytes: packed by pyroute2, of which this is the only importer. Must not know: sockets, Docker.

Nothing is imported before the first write: a run that changes nothing does without.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any, Dict, List, NamedTuple, Tuple

from .._errors import MissingLibrary
from . import bulk
from .wire import HEADER

_OLDEST = (0, 7, 2)
_WAY_OUT = "install the package python3-pyroute2 of the system, or: pip install 'pyroute2>=0.7.2'"


class Library(NamedTuple):
    """The message classes of pyroute2, by the noun they speak of."""

    link: Any
    address: Any
    route: Any
    nsid: Any


@functools.cache
def library() -> Library:
    """Import pyroute2, once.

    :raises MissingLibrary: it is missing, too old, or does not load
    """
    _load("pyroute2")
    rtnl = "pyroute2.netlink.rtnl"
    names = ("ifinfmsg", "ifaddrmsg", "rtmsg", "nsidmsg")
    return Library(*(getattr(_load(f"{rtnl}.{name}"), name) for name in names))


def check() -> None:
    """Look for pyroute2 without importing it: a run that only reads does without.

    :raises MissingLibrary: it is missing
    """
    try:
        is_there = importlib.util.find_spec("pyroute2") is not None
    except Exception:  # whatever hides it, the import then says
        is_there = False
    if not is_there:
        _load("pyroute2")


def _load(name: str) -> Any:
    try:
        import importlib

        import pyroute2

        module = importlib.import_module(name)
    except Exception as error:  # an old release on a new Python fails with more than ImportError
        raise MissingLibrary("pyroute2", f"it cannot be loaded ({error}); {_WAY_OUT}", repr(error)) from error
    release = _release(pyroute2)
    if release and _numbers(release) < _OLDEST:
        raise MissingLibrary("pyroute2", f"release {release} is too old, 0.7.2 is the oldest that works; {_WAY_OUT}")
    return module


def _release(pyroute2: Any) -> str:
    """Its release, such as ``0.7.2``, or nothing where neither it nor its package says one.

    In Debian 12 it calls itself ``unknown``, and only what is installed with it knows better.
    """
    own = str(getattr(pyroute2, "__version__", ""))
    if own[:1].isdigit():
        return own
    from importlib import metadata

    try:
        return metadata.version("pyroute2")
    except metadata.PackageNotFoundError:
        return ""


def _numbers(version: str) -> Tuple[int, ...]:
    """The leading numbers of a version: ``0.9.7.post1`` -> (0, 9, 7)."""
    parts = version.split(".")[:3]
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in parts)


def packed(noun: str, fields: Dict[str, Any], attributes: List[List[Any]]) -> bytes:
    """The request without its header, which is the wire's."""
    message = getattr(library(), noun)()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = attributes
    message.encode()
    return bytes(message.data[HEADER:])


def packed_fast(noun: str, fields: Dict[str, Any], attributes: List[List[Any]]) -> bytes:
    """The same by hand, as far as ``bulk.py`` knows the words."""
    try:
        return bulk.packed(noun, fields, attributes)
    except bulk.Unknown:
        return packed(noun, fields, attributes)
