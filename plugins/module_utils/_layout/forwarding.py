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


def apply_forwarding(
    want: Want,
    live: State,
    after: State,
    backend: Backend,
    filtered: Container[int],
    ruled: Container[int],
    has_ipv6: bool,
) -> List[str]:
    """Enter forwarding into ``after``; absent is off, with policy ACCEPT and without the file. Returns warnings.

    :param filtered: the families whose rules can be written
    :param ruled: the families in which bridges have rules; policy ``auto`` leaves the others alone, as a daemon with
        ``iptables: false`` does
    :param has_ipv6: whether a bridge has IPv6, which is what IPv6 forwarding depends on where it is not given
    """
    item = want.forward
    file = Key("file", HOST, item.sysctl_file)
    text = str(live.get(file, ""))
    if not want.present:
        _off(item, live, after, backend, has_ipv6)
        return []
    if item.persist:
        _check_file(want, text)
    memory = _memory(text)
    wanted = _wanted(item, has_ipv6)
    for family, is_wanted in wanted.items():
        policy = backend.forward_policy(family)
        # At boot it is sysctl that switches forwarding on, by the file of the run that did so first.
        is_turned_on = is_wanted and (not is_on(live, family) or (item.at_boot and str(policy) in memory))
        _switch(family, "01"[is_wanted], live, after)
        on_auto = backend.auto_policy if is_turned_on and family in ruled else None
        target = {"drop": "DROP", "accept": "ACCEPT", "auto": on_auto}.get(item.forward_policy)
        if target is not None and family in filtered:
            memory.setdefault(str(policy), live.get(policy, "ACCEPT"))
            after[policy] = target
    families = [family for family in (4, 6) if wanted.get(family, _keeps(text, family))]
    return _persist(file, item, _text(families, memory) if families else None, live, after)


def _wanted(item: Forwarding, has_ipv6: bool) -> Dict[int, bool]:
    """Family -> on or off; one that is left alone is left out."""
    six = item.ipv6 if item.ipv6 is not None else (has_ipv6 or None)
    return {family: value for family, value in ((4, item.ipv4), (6, six)) if value is not None}


def _persist(file: Key, item: Forwarding, text: str | None, live: State, after: State) -> List[str]:
    """Enter the file that keeps forwarding over a reboot, but never into the machine's own directory from elsewhere."""
    if is_machines(live, item.sysctl_file):
        hint = f"{item.sysctl_file} is the machine's, and this network namespace is not: forwarding is not kept"
        return [f"ip_forward: {hint} over a reboot; say persist: false if that is meant"] if item.persist else []
    if item.persist and text is not None:
        after[file] = text
    elif str(live.get(file, "")).startswith(_HEADER):
        del after[file]
    return []


def is_machines(live: State, path: str) -> bool:
    """Whether a directory belongs to another network namespace, that of the machine's first process."""
    return Key("machine", HOST, directory_of(path)) in live


def directory_of(path: str) -> str:
    """The directory of a file."""
    return path.rpartition("/")[0]


def _off(item: Forwarding, live: State, after: State, backend: Backend, has_ipv6: bool) -> None:
    """Forwarding goes off, also where it was on before us; a policy that the file remembers as stricter comes back.

    Where forwarding is off already and no file is there, nothing is ours: a firewall's policy stays.
    """
    file = Key("file", HOST, item.sysctl_file)
    text = "" if is_machines(live, item.sysctl_file) else str(live.get(file, ""))
    is_there, memory = text.startswith(_HEADER), _memory(text)
    is_six = item.ipv6 or (item.ipv6 is None and (has_ipv6 or _keeps(text, 6)))
    for family in (4, 6) if is_six else (4,):
        if is_there or any(live.get(Key("sysctl", HOST, name)) == "1" for name in SYSCTLS[family]):
            _switch(family, "0", live, after)
            for policy in _policies(family):
                if policy in live:
                    after[policy] = memory.get(str(backend.forward_policy(family)), "ACCEPT")
    if is_there:
        del after[file]


def _check_file(want: Want, text: str) -> None:
    """A file that somebody else wrote is his; one that is empty or cut off is nobody's."""
    if not text.startswith(_HEADER) and not _HEADER.startswith(text):
        hint = "this file has other settings, which would be lost; give a file of its own, or persist: false"
        raise OptionError(f"{want.path}sysctl_file", want.forward.sysctl_file, hint)


def kept(want: Want) -> Tuple[str, ...] | None:
    """The foreign bridges whose forwarding is accepted; None leaves those that are there alone."""
    return want.forward.keep_forwarding if want.present else ()


def _switch(family: int, value: str, live: State, after: State) -> None:
    for name in SYSCTLS[family]:
        key = Key("sysctl", HOST, name)
        if key in live:
            after[key] = value


def _text(families: List[int], memory: Dict[str, str]) -> str:
    lines = [f"{_MEMORY}{name} = {value}\n" for name, value in memory.items()]
    names = [name for family in families for name in SYSCTLS[family]]
    return _HEADER + "".join(lines) + "".join(f"{name.replace('/', '.')} = 1\n" for name in names)


def _keeps(text: str, family: int) -> bool:
    """Whether the file keeps forwarding of a family on."""
    return text.startswith(_HEADER) and SYSCTLS[family][0].replace("/", ".") in text


def _memory(text: str) -> Dict[str, str]:
    """The policies that the file remembers of the time before; nothing if the file is not ours."""
    if not text.startswith(_HEADER):
        return {}
    return dict(re.findall(rf"^{_MEMORY}((?:nft_)?policy .+?) = (ACCEPT|DROP)$", text, re.M))


def _policies(family: int) -> List[Key]:
    """The FORWARD policy of either backend: the host may have changed it since."""
    name = {4: "ip", 6: "ip6"}[family]
    return [Key("policy", f"{name}/filter", "FORWARD"), Key("nft_policy", f"{name} docker-bridges", "filter-FORWARD")]
