# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the files for sysctl set at boot and at ``sysctl --system``, and which line has the last word.

The order is that of sysctl.d(5): files by their names, whatever directory they are in; of two files of one name that
of the first directory counts; ``/etc/sysctl.conf`` comes last, as procps has it. Must not know: which settings matter.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import Dict, Iterator, NamedTuple, Sequence, Tuple

from .._state import HOST, State, select

_DIRECTORIES = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
_LAST = "/etc/sysctl.conf"
PATHS = (*(f"{directory}/*.conf" for directory in _DIRECTORIES), _LAST)


class Line(NamedTuple):
    """A line that sets a name, which may be a shell pattern: ``net/ipv4/conf/*/rp_filter``."""

    place: str
    name: str
    value: str


def lines(live: State) -> Iterator[Line]:
    """All lines of all files that count, in the order in which they take effect."""
    files = {key.name: text for key, text in select(live, "file", HOST) if _directory(key.name) in _DIRECTORIES}
    by_name: Dict[str, str] = {}
    for path in sorted(files, key=lambda path: _DIRECTORIES.index(_directory(path))):
        by_name.setdefault(os.path.basename(path), path)
    texts = [(path, files[path]) for _name, path in sorted(by_name.items())]
    texts += [(key.name, text) for key, text in select(live, "file", HOST) if key.name == _LAST]
    for path, text in texts:
        for number, row in enumerate(str(text).splitlines(), 1):
            name, equals, value = row.strip().lstrip("-").partition("=")
            if equals and not row.lstrip().startswith(("#", ";")):
                yield Line(f"{path}:{number}", _canonical(name.strip()), "\t".join(value.split()))


def _directory(path: str) -> str:
    return os.path.dirname(path)


def _canonical(name: str) -> str:
    """``net.ipv4.conf.br-a/5.rp_filter`` as a path; with a slash first it is one already."""
    separators = [letter for letter in name if letter in "./"]
    return name if separators[:1] == ["/"] else name.translate(str.maketrans("./", "/."))


def last_word(found: Sequence[Line], names: Tuple[str, ...]) -> Line | None:
    """The line that decides about a setting.

    :param names: the setting's name and others that mean the same
    """
    deciding = [line for line in found if any(fnmatchcase(name, line.name) for name in names)]
    return deciding[-1] if deciding else None
