# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host as one thing: what is read of it, and the stores that write it. Must not know: what is wanted.

One netlink conversation, one rule dump a family, one pass over files and sysctls.
"""

from __future__ import annotations

import os
from itertools import groupby
from typing import Any, Collection, Dict, Iterable, List, Sequence, Tuple

from .._commands import RunCommand
from .._plan import Change, Store
from .._rules import Counts
from .._state import HOST, Key, State, select
from . import dying, files, firewall, namespaces, processes, sockets, sysctl

NETLINK_KINDS = ("netns", "link", "up", "address", "route")


class Host:
    """The host whose network namespace this process is in; use it as a context manager.

    :param run_command: how programs are run
    """

    def __init__(self, run_command: RunCommand) -> None:
        self.run_command = run_command
        self._netlink: Any = None
        self._settings = sysctl.Settings(run_command)
        self._patience = dying.Patience()
        self.firewall: firewall.Choice | None = None
        self.former: firewall.Choice | None = None

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_details: object) -> None:
        self._settings.close()
        if self._netlink is not None:
            self._netlink.close()

    def choose_firewall(self, backend: str, chain: str) -> None:
        """Find the host's own firewall; ``former`` is the one that its rules, known by a chain, shall go from.

        :raises MissingTool: there is none
        """
        self.firewall, self.former = firewall.choose(self.run_command, backend, chain)

    def read_devices(self, joined: Iterable[str]) -> State:
        """The host's namespaces, links, addresses, routes; ``joined`` are further namespaces by path.

        :raises MissingLibrary: pyroute2 is missing
        """
        state: State = self._speaker().read_host()
        for path in joined:
            try:
                state[Key("netns", HOST, path)] = {"inode": os.stat(path).st_ino}
            except OSError:  # it is not there, which the prediction says in the user's words
                continue
        return state

    def read_rules(self, counts: Counts | None = None) -> State:
        """All chains and policies of both families.

        :param counts: takes the rules' counters
        """
        state: State = {}
        for choice in self.choices():
            state.update(choice.read(choice.families, counts))
        return state

    def choices(self) -> List[firewall.Choice]:
        """The firewalls whose rules are read: the host's own, and the former one."""
        return [choice for choice in (self.firewall, self.former) if choice is not None]

    def read_inside(self, sandboxes: Iterable[str], ports: Collection[str], state: State) -> State:
        """``state`` with what is inside of namespaces.

        :param sandboxes: paths of namespaces to read whole
        :param ports: host ends whose far namespaces are asked for addresses, where they are not in sandboxes
        """
        result = {**state, **namespaces.travelling(self._read_sandboxes, sandboxes)}
        return self.read_behind(ports, self._speaker().join_peers(result))

    def read_behind(self, ports: Collection[str], state: State) -> State:
        """``state`` with the addresses behind those of the host ends whose namespaces were not read."""
        hidden = {value["nsid"] for value in dying.hidden(state, ports).values()}
        return {**state, **self._speaker().read_peer_addresses(sorted(hidden))}

    def outlived(self, ports: Collection[str], state: State) -> bool:
        """Whether some of the host ends in ``state`` were those of dying namespaces: they are gone now, read again."""
        speaker = self._speaker()
        links = {name: value for name, value in dying.silent(state, ports).items() if dying.is_dying(speaker, value)}
        if not links or not self._patience.outlasts(lambda: not dying.are_there(speaker, links)):
            return False
        speaker.close()  # by now a name may lead to another namespace
        return True

    def _read_sandboxes(self, sandboxes: Iterable[str]) -> State:
        state: State = {}
        for path in sandboxes:
            state.update(self._speaker().read_sandbox(path))
        return state

    def sandboxes_of(self, state: State, paths: Iterable[str]) -> List[str]:
        """Those of the paths that a veth port of the host leads to."""
        wanted = {value["nsid"] for _key, value in select(state, "link", HOST) if value["nsid"] is not None}
        nsids: Dict[str, int] = self._speaker().nsids(paths)
        return [path for path, nsid in nsids.items() if nsid in wanted]

    def read_settings(self, sysctls: Iterable[Tuple[str, str]], paths: Iterable[str]) -> State:
        """Sysctls (scope, name) and files."""
        known = {item: self._known(*item) for item in sysctls}
        state: State = {Key("sysctl", *item): value for item, value in known.items() if value is not None}
        unknown = [item for item, value in known.items() if value is None]
        state.update(namespaces.travelling(self._settings.read, unknown))
        state.update(files.read(paths))
        return state

    def _known(self, scope: str, name: str) -> str | None:
        """The setting of a sandbox's interface that was read together with its link: opening a file takes longer."""
        head, _slash, interface = name.removesuffix("/disable_ipv6").rpartition("/")
        is_known = scope != HOST and head == "net/ipv6/conf" and name.endswith("/disable_ipv6")
        return self._speaker().without_ipv6(scope, interface) if is_known else None

    def read_machines(self, directories: Iterable[str]) -> State:
        """Those of the directories that are the machine's own, where this network namespace is not the machine's."""
        return {Key("machine", HOST, path): True for path in directories if processes.is_machines(path)}

    def read_listeners(self, wanted: Collection[Tuple[str, int]] | None) -> State:
        """Listening sockets; the processes behind the wanted (protocol, port) are named, None names all."""
        return sockets.listening(wanted)

    def read_firewalld(self, zone: str, policy: str) -> State:
        """What firewalld has of a zone, a policy and interfaces; nothing where none runs."""
        if not processes.has_firewalld():
            return {}
        from . import firewalld

        return firewalld.Bus(self.run_command).read(zone, policy)

    def check_writers(self, changes: Sequence[Change]) -> None:
        """Load what the changes are written with, in check mode too: nothing may be half done for want of it.

        :raises MissingLibrary: pyroute2 is missing, too old, or does not load
        :raises Conflict: something that is no file is in a file's place
        """
        files.check(change for change in changes if change.key.kind == "file")
        if any(change.key.kind in NETLINK_KINDS for change in changes):
            from . import packing

            packing.library()

    def stores(self) -> List[Store]:
        """The writers, for ``_plan.apply``."""
        stores = [
            Store(("firewalld",), self._apply_firewalld),
            Store(("sysctl", *NETLINK_KINDS), self._apply_devices),
            Store(("file",), files.apply),
        ]
        return stores + [Store(choice.kinds, choice.apply) for choice in self.choices()]

    def _apply_devices(self, changes: Sequence[Change]) -> None:
        """Devices and settings by turns, as the plan has them: each namespace is entered once, by one thread."""
        namespaces.travelling(self._write_in_turn, changes)

    def _write_in_turn(self, changes: Sequence[Change]) -> None:
        for is_setting, members in groupby(changes, lambda change: change.key.kind == "sysctl"):
            apply = self._settings.apply if is_setting else self._speaker().apply
            apply(list(members))

    def _apply_firewalld(self, changes: Sequence[Change]) -> None:
        from . import firewalld

        firewalld.Bus(self.run_command).apply(changes)

    def _speaker(self) -> Any:
        if self._netlink is None:
            from .rtnl import Netlink

            self._netlink = Netlink()
        return self._netlink


def is_root() -> bool:
    """Whether this process may change networks at all, also as root of a user namespace."""
    return os.geteuid() == 0


def families(names: Sequence[str]) -> Tuple[int, ...]:
    """``ip``, ``ip6`` as 4, 6."""
    return tuple({"ip": 4, "ip6": 6}[name] for name in names)
