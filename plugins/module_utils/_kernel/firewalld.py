# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""firewalld of this network namespace: one zone, one policy, and the interfaces of all zones, over its D-Bus interface.

Zones and policies are permanent and take effect with a reload, interfaces belong to what runs. A reload takes away
what iptables wrote, whoever wrote it, and what is in zones for now: both are put back. busctl speaks to the bus, for
every host with systemd has it. Must not know: what the zone and the policy are for.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from itertools import groupby
from typing import Any, Dict, List, NamedTuple, Sequence

from .._commands import RunCommand
from .._errors import KernelError, LostRace
from .._plan import Change, diff
from .._rules import with_lost
from .._state import HOST, Key, State
from . import xtables

KIND = "firewalld"
STATE = Key(KIND, HOST, "state")
# The chains that firewalld itself makes with FirewallBackend=iptables.
_OWN_CHAINS = re.compile(r"(IN|OUT|FWD[IO]?|PRE|POST|INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING)_")
_NAME = "org.fedoraproject.FirewallD1"
_PATH = "/org/fedoraproject/FirewallD1"
_CONFIG = "config"
_PERMANENT = {"zone": ("addZone2", "getZoneByName"), "policy": ("addPolicy", "getPolicyByName")}
_RUNNING = {"zone": "getZoneSettings2", "policy": "getPolicySettings"}
_MISSING = ("INVALID_ZONE", "INVALID_POLICY")
_RACES = ("ALREADY_ENABLED", "UNKNOWN_INTERFACE", "ZONE_ALREADY_SET", "ZONE_CONFLICT", "NAME_CONFLICT", *_MISSING)
_PLAIN = "sbyinu"


class Binding(NamedTuple):
    """What is in a zone: ``kind`` is ``interfaces`` or ``sources``."""

    zone: str
    kind: str
    name: str


def bindings(answer: str) -> List[Binding]:
    """What getActiveZones says: ``a{sa{sas}} 1 "docker" 1 "interfaces" 1 "docker0"``."""
    words = iter(shlex.split(answer)[1:])
    found = []
    for _zone in range(int(next(words))):
        zone = next(words)
        for _kind in range(int(next(words))):
            kind = next(words)
            found += [Binding(zone, kind, next(words)) for _name in range(int(next(words)))]
    return found


def parsed(answer: str) -> Dict[str, Any]:
    """A dictionary as busctl prints it: ``a{sv} 2 "target" s "ACCEPT" "egress_zones" as 1 "docker"``."""
    words = iter(shlex.split(answer)[1:])
    found: Dict[str, Any] = {}
    for _entry in range(int(next(words))):
        name, kind = next(words), next(words)
        if kind in _PLAIN:
            value: Any = next(words)
        else:
            width = sum(letter in _PLAIN for letter in kind)
            value = tuple([next(words) for _word in range(int(next(words)) * width)])
        if kind in ("s", "as"):
            found[name] = value
    return found


class Bus:
    """The conversation with firewalld.

    :param run_command: how busctl is run
    """

    def __init__(self, run_command: RunCommand) -> None:
        self._run_command = run_command

    def read(self, zone: str, policy: str) -> State:
        """The zone and the policy, as far as they are there, and the zone of every interface.

        ``STATE`` is ``running``, or why it does not answer.
        """
        state: State = {STATE: "running"}
        try:
            found = bindings(self._call("zone", "getActiveZones"))
            interfaces = [binding for binding in found if binding.kind == "interfaces"]
            state.update({Key(KIND, HOST, f"interface {binding.name}"): binding.zone for binding in interfaces})
            for kind, name in (("zone", zone), ("policy", policy)):
                settings = self._settings(kind, name)
                if settings is not None:
                    state[Key(KIND, HOST, f"{kind} {name}")] = settings
        except KernelError as error:
            return {STATE: error.text}
        except (ValueError, StopIteration):
            return {STATE: "its answer cannot be read"}
        return state

    def apply(self, changes: Sequence[Change]) -> None:
        """Make the changes; after those of zones and policies firewalld is reloaded.

        :raises LostRace: firewalld's state is not the one that was read
        :raises KernelError: firewalld's own words, or those of the bus
        """
        for is_definition, members in groupby(changes, lambda change: not change.key.name.startswith("interface ")):
            for change in members:
                self._write(change)
            if is_definition:
                self._reload()

    def _settings(self, kind: str, name: str) -> Dict[str, Any] | None:
        """The texts and lists of texts of what runs; None if there is none of the name."""
        try:
            return parsed(self._call(kind, _RUNNING[kind], "s", name))
        except LostRace:
            return None

    def _write(self, change: Change) -> None:
        kind, _space, name = change.key.name.partition(" ")
        if kind == "interface":
            verb, zone = ("removeInterface", change.before) if change.after is None else ("addInterface", change.after)
            self._call("zone", verb, "ss", zone, name)
        elif change.after is None:
            path = shlex.split(self._call(_CONFIG, _PERMANENT[kind][1], "s", name))[1]
            self._call(f"{_CONFIG}.{kind}", "remove", path=path)
        else:
            self._call(_CONFIG, _PERMANENT[kind][0], "sa{sv}", name, *_dictionary(change.after))

    def _reload(self) -> None:
        """Reload, and put back what that took away: what is in zones for now, and all that iptables wrote."""
        tools = xtables.find(self._run_command)
        store = xtables.Xtables(tools) if tools else None
        rules = store.read(tools.families) if store and tools else {}
        bound = bindings(self._call("zone", "getActiveZones"))
        try:
            self._call("", "reload")
            self._bind(bound)
        finally:
            if store and tools:
                now = store.read(tools.families)
                store.apply(diff(now, _restored(rules, now)))

    def _bind(self, bound: Sequence[Binding]) -> None:
        there = bindings(self._call("zone", "getActiveZones"))
        for binding in bound:
            if binding not in there:
                verb = "addInterface" if binding.kind == "interfaces" else "addSource"
                with contextlib.suppress(LostRace):  # its zone went with the reload, or somebody was faster
                    self._call("zone", verb, "ss", binding.zone, binding.name)

    def _call(self, interface: str, method: str, signature: str = "", *arguments: str, path: str = "") -> str:
        """Call a method and return what busctl prints.

        :param interface: its last part, such as ``zone``
        """
        part = _CONFIG if interface.startswith(_CONFIG) else ""
        place = path or (f"{_PATH}/{part}" if part else _PATH)
        name = f"{_NAME}.{interface}" if interface else _NAME
        command = ["busctl", "--auto-start=no", "call", _NAME, place, name, method]
        command += [signature, *arguments] if signature else []
        try:
            status, output, said = self._run_command(command, "")
        except OSError as error:
            raise KernelError(
                f"firewalld: {method}", error.errno or 0, f"busctl: {os.strerror(error.errno or 0)}"
            ) from error
        if status == 0:
            return output
        said = said.strip().partition("Call failed: ")[2] or said.strip()
        kind = LostRace if said.startswith(_RACES) else KernelError
        raise kind(f"firewalld: {method} {' '.join(arguments[:2])}".rstrip(), text=said)


def _dictionary(settings: Dict[str, Any]) -> List[str]:
    words = [str(len(settings))]
    for name, value in settings.items():
        words += [name, "s", value] if isinstance(value, str) else [name, "as", str(len(value)), *value]
    return words


def _restored(before: State, now: State) -> State:
    """The rules after a reload with those that it took away."""
    state = dict(now)
    for key, value in before.items():
        if key.kind == "policy":
            state[key] = value
        elif not _OWN_CHAINS.match(key.name):
            state[key] = with_lost(now.get(key, ()), value)
    return state
