# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Key and State, the one type of ``live`` and ``after``. Must not know: Ansible, Docker, the kernel.

A State maps Key to a value; a value is replaced, never mutated. What has no key is not managed.

======== ================= ============================= ==================================================
kind     scope             name                          value
======== ================= ============================= ==================================================
netns    host              path of the namespace         ``{"inode": int}``; wanted: ``{"inode": None}``,
                                                         or ``{"inode": None, "same_as": path}``
link     host              interface name                dict: see ``_kernel/rtnl.py``
up       host or a path    interface name                ``"up"`` (no key: the link is down)
address  host, path, nsid  ``docker0 172.17.0.1/16``     ``{"broadcast": str | None, "nodad": bool}``
route    host or a path    ``default dev eth0``          ``{"family": 4 | 6, "via": str | None, ...}``
sysctl   host or a path    ``net/ipv4/ip_forward``       str
file     host              absolute path                 str, the whole content
chain    ``ip/nat``        ``DOCKER``                    tuple of rules in iptables-save spelling
policy   ``ip/filter``     ``FORWARD``                   ``"ACCEPT"`` | ``"DROP"``
nft_*    ``ip docker-...`` name of the object        see ``_layout/nft_names.py``
firewalld host             ``zone docker``, ``policy p`` dict of texts and tuples of texts
firewalld host             ``interface docker0``         str, its zone
firewalld host             ``state``                     ``"running"``, or why it does not answer (read only)
machine  host              path of a directory           True: it is another network namespace's (read only)
socket   host              ``tcp 0.0.0.0:80``            str, the holder (read only)
======== ================= ============================= ==================================================

A scope is ``host``, the path of a network namespace (``/run/netns/web``), ``nsid:N`` for a
namespace known only by the id the kernel gave it, or ``family/table`` for rules.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Tuple

HOST = "host"
NETNS_DIR = "/run/netns"
NETNS_FILES = "/etc/netns"  # below it the files that take the place of the host's in a namespace


class Key(NamedTuple):
    """Name of one managed object; prints as ``link host docker0`` or ``chain ip/nat DOCKER``."""

    kind: str
    scope: str
    name: str

    def __str__(self) -> str:
        name = self.name.replace("/", ".") if self.kind == "sysctl" else self.name
        if self.kind in ("file", "netns", "firewalld"):
            return f"{self.kind} {name}"
        return f"{self.kind} {short(self.scope)} {name}"


State = Dict[Key, Any]


def short(scope: str) -> str:
    """A scope as shown to people: a namespace by its name, anything else unchanged."""
    return scope[len(NETNS_DIR) + 1 :] if scope.startswith(NETNS_DIR + "/") else scope


class Indexed(Dict[Key, Any]):
    """A State that is only read from now on: ``select`` answers from an index instead of going through all."""

    _kinds: Dict[str, List[Key]] | None = None
    _scopes: Dict[str, Dict[str, List[Key]]] | None = None

    def keys_of(self, kind: str, scope: str | None) -> List[Key]:
        """The keys of one kind, of one scope where given, in order."""
        if self._kinds is None or self._scopes is None:
            self._kinds, self._scopes = _sorted(self, 0), {}
        if scope is None:
            return self._kinds.get(kind, [])
        if kind not in self._scopes:
            self._scopes[kind] = _sorted(self._kinds.get(kind, ()), 1)
        return self._scopes[kind].get(scope, [])


def _sorted(keys: Iterable[Key], place: int) -> Dict[str, List[Key]]:
    """Keys by one of their parts, in order."""
    found: Dict[str, List[Key]] = {}
    for key in keys:
        found.setdefault(key[place], []).append(key)
    return found


def select(state: State, kind: str, scope: str | None = None) -> Iterator[Tuple[Key, Any]]:
    """The entries of one kind, of one scope where given, in the state's order."""
    if isinstance(state, Indexed):
        for key in state.keys_of(kind, scope):
            yield key, state[key]
        return
    for key, value in state.items():
        if key.kind == kind and (scope is None or key.scope == scope):
            yield key, value
