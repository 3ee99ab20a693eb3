# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forwarding: the host's sysctls, the FORWARD policy, the file that keeps them. Must not know: bridges, the kernel."""

from __future__ import annotations

import re
from typing import Container, Dict, List, Tuple

from .._errors import OptionError
from .._model import Forwarding, Want
from .._state import HOST, Key, State
from .policy import Backend

SYSCTLS: Dict[int, Tuple[str, ...]] = {
    4: ("net/ipv4/ip_forward",),
    6: ("net/ipv6/conf/default/forwarding", "net/ipv6/conf/all/forwarding"),
}
_HEADER = "# Forwarding, switched on by hostnet.docker as Docker Engine does at its start.\n"
_MEMORY = "# before: "


def is_on(state: State, family: int) -> bool:
    """Whether the host forwards in this family (IPv6: by both of its sysctls, as Docker judges)."""
    return all(state.get(Key("sysctl", HOST, name)) == "1" for name in SYSCTLS[family])


def apply_forwarding(want: Want, live: State, after: State, backend: Backend, filtered: Container[int]) -> None:
    """Enter forwarding into ``after``; absent puts back what the file remembers, and only that.

    :param filtered: the families whose rules can be written
    """
    item = want.forward
    file = Key("file", HOST, item.sysctl_file)
    if not want.present:
        _restore(file, live, after)
        return
    memory = _memory(str(live.get(file, "")))
    if item.persist:
        _check_file(want, str(live.get(file, "")))
    for family in _families(item):
        policy = backend.forward_policy(family)
        # At boot it is sysctl that switches forwarding on, by the file of the run that did so first.
        is_turned_on = not is_on(live, family) or (item.at_boot and str(policy) in memory)
        _switch_on(family, live, after, memory)
        on_auto = backend.auto_policy if is_turned_on else None
        target = {"drop": "DROP", "accept": "ACCEPT", "auto": on_auto}.get(item.forward_policy)
        if target is not None and family in filtered:
            memory.setdefault(str(policy), live.get(policy, "ACCEPT"))
            after[policy] = target
    if item.persist and _families(item):
        after[file] = _text(_families(item), memory)
    elif file in live and memory:
        del after[file]


def _check_file(want: Want, text: str) -> None:
    """A file that somebody else wrote is his; one that is empty or cut off is nobody's."""
    if not text.startswith(_HEADER) and not _HEADER.startswith(text):
        hint = "this file has other settings, which would be lost; give a file of its own, or persist: false"
        raise OptionError(f"{want.path}sysctl_file", want.forward.sysctl_file, hint)


def kept(want: Want) -> Tuple[str, ...] | None:
    """The foreign bridges whose forwarding is accepted; None leaves those that are there alone."""
    return want.forward.keep_forwarding if want.present else ()


def _families(item: Forwarding) -> List[int]:
    return [family for family, is_wanted in ((4, item.ipv4), (6, item.ipv6)) if is_wanted]


def _switch_on(family: int, live: State, after: State, memory: Dict[str, str]) -> None:
    for name in SYSCTLS[family]:
        key = Key("sysctl", HOST, name)
        if key in live:
            memory.setdefault(name, live[key])
            after[key] = "1"


def _text(families: List[int], memory: Dict[str, str]) -> str:
    lines = [f"{_MEMORY}{name} = {value}\n" for name, value in memory.items()]
    names = [name for family in families for name in SYSCTLS[family]]
    return _HEADER + "".join(lines) + "".join(f"{name.replace('/', '.')} = 1\n" for name in names)


def _memory(text: str) -> Dict[str, str]:
    """What the file remembers of the time before: name -> value; nothing if the file is not ours."""
    if not text.startswith(_HEADER):
        return {}
    return dict(re.findall(rf"^{_MEMORY}(.+?) = ([01]|ACCEPT|DROP)$", text, re.M))


def _restore(file: Key, live: State, after: State) -> None:
    memory = _memory(str(live.get(file, "")))
    if not memory:
        return
    del after[file]
    for name, value in memory.items():
        for key in _keys(name):
            if key in live:
                after[key] = value


def _keys(name: str) -> List[Key]:
    """What a remembered name stands for; a policy is that of either backend, the host may have changed it since."""
    kind, _space, place = name.partition(" ")
    if not place:
        return [Key("sysctl", HOST, name)]
    family = place.partition(" ")[0].partition("/")[0]
    return [
        Key("policy", f"{family}/filter", "FORWARD"),
        Key("nft_policy", f"{family} docker-bridges", "filter-FORWARD"),
    ]
