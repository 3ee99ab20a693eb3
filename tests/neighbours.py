# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands on a real host beside Docker's network, and whether it was left alone.

Owns: a virtual machine's bridge with its guest, an administrator's firewall with packet counters, settings and
files of others; and ``everything``, the comparison that misses none of them. Must not know: what the modules do.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, List

import lab

_DIRECTORIES = ("/etc/netns", "/etc/sysctl.d")
_STRANGERS = {"ip": "203.0.113.0/24", "ip6": "2001:db8:bad::/48"}
_CARRIER = ("linkdown", "NO-CARRIER", "LOWER_UP")
_CHANCE = ("operstate", "state", "tso_max_size", "tso_max_segs")
_IDLE_TABLE = r"(\*\S+\n(:\S+ ACCEPT\n)*COMMIT\n)?"
_IDLE_CHAIN = r"\tchain \S+ \{\n\t\ttype [^;]*; policy accept;\n\t\}\n\n?"

# The guest's two ends have different indexes, see lab's cable.
_GUEST = """\
ip netns add vm
sysctl -qw net.ipv6.conf.default.accept_dad=0
ip netns exec vm sysctl -qw net.ipv6.conf.default.accept_dad=0
ip link add virbr0 index 200 address 52:54:00:00:00:01 type bridge
ip addr add 192.168.122.1/24 dev virbr0
ip link set virbr0 up
ip link add vnet0 index 201 type veth peer name ens3 index 202 netns vm
ip link set vnet0 master virbr0 up
ip netns exec vm ip addr add 192.168.122.5/24 dev ens3
ip netns exec vm ip link set ens3 up
ip netns exec vm ip route add default via 192.168.122.1
sysctl -qw net.ipv4.conf.virbr0.rp_filter=2 net.ipv4.conf.all.log_martians=1 net.ipv6.conf.virbr0.accept_ra=0
"""

# Each built-in chain that Docker's rules go to has rules of others at its head and, where the verdict allows it,
# behind. Their counters say that a rule was neither replaced nor moved by taking it out and in.
_RULES = """\
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
[7:420] -A PREROUTING -s {stranger} -p udp -m udp --dport 123 -j DROP
[8:480] -A PREROUTING -s {stranger} -i eth7 -j ACCEPT
COMMIT
*mangle
:FORWARD ACCEPT [0:0]
[9:540] -A FORWARD -s {stranger} -j MARK --set-xmark 0x7/0xffffffff
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:LIBVIRT_PRT - [0:0]
[10:600] -A PREROUTING -s {stranger} -p tcp -m tcp --dport 25 -j RETURN
[11:660] -A OUTPUT -d {stranger} -j RETURN
[12:720] -A POSTROUTING -s {stranger} -j LIBVIRT_PRT
[13:780] -A POSTROUTING -s {stranger} -j MASQUERADE
[14:840] -A LIBVIRT_PRT -s {stranger} -p tcp -j MASQUERADE --to-ports 1024-65535
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
:LIBVIRT_FWI - [0:0]
[15:900] -A INPUT -s {stranger} -j DROP
[16:960] -A FORWARD -s {stranger} -m comment --comment "one of ours? no: \\"-j DOCKER\\"" -j LIBVIRT_FWI
[17:1020] -A FORWARD -j DOCKER-USER
[18:1080] -A FORWARD -s {stranger} -i eth7 -j REJECT
[19:1140] -A DOCKER-USER -s {stranger} -j DROP
[20:1200] -A DOCKER-USER -s {stranger} -m limit --limit 5/min -j RETURN
[21:1260] -A LIBVIRT_FWI -d {stranger} -o virbr0 -j ACCEPT
COMMIT
"""


def settle(host: lab.Host) -> None:
    """Put the neighbours on a fresh host."""
    host.sh(_GUEST)
    for family, stranger in _STRANGERS.items():
        host.sh(f"{family}tables-restore --counters <<'END'\n{_RULES.format(stranger=stranger)}END\n")
    Path("/etc/netns/vm").mkdir(parents=True)
    Path("/etc/netns/vm/resolv.conf").write_text("nameserver 192.168.122.1\n", encoding="utf-8")
    Path("/etc/sysctl.d/10-others.conf").write_text("net.ipv4.conf.all.log_martians = 1\n", encoding="utf-8")


def everything(host: lab.Host) -> Dict[str, str]:
    """The host's and the guest's whole configuration, the names of namespaces, the files, rules with counters."""
    parts = {f"host {name}": settled(text) for name, text in lab.snapshot(host).items()}
    if Path("/run/netns/vm").exists():
        parts.update({f"vm {name}": settled(text) for name, text in lab.snapshot("vm").items()})
    parts["namespaces"] = "".join(f"{path.name}\n" for path in sorted(Path("/run/netns").iterdir()))
    for directory in _DIRECTORIES:
        for path in sorted(Path(directory).rglob("*")):
            parts[f"file {path}"] = path.read_text(encoding="utf-8") if path.is_file() else ""
    for family in ("ip", "ip6"):
        parts[f"counted {family}"] = "".join(f"{line}\n" for line in counted(host, family))
    return parts


def settled(text: str) -> str:
    """Without what the kernel does of its own accord, and what has no effect.

    It finds out about a cable up to a second later than the cable was changed; a bridge takes the segment size of
    its ports; reading a table of rules makes it, and a table without rules and with policy ACCEPT does nothing.
    """
    if text.startswith("["):
        return json.dumps([_without_chance(item) for item in json.loads(text)], indent=1, sort_keys=True)
    if text.startswith("table "):
        return re.sub(r"table \S+ \S+ \{\n\s*\}\n", "", re.sub(_IDLE_CHAIN, "", text))
    if text.startswith("*"):
        tables = sorted(table for table in re.split(r"(?<=COMMIT\n)", text) if not re.fullmatch(_IDLE_TABLE, table))
        return "".join(tables)
    return text


def _without_chance(item: Any) -> Any:
    if isinstance(item, dict):
        return {name: _without_chance(value) for name, value in item.items() if name not in _CHANCE}
    return [_without_chance(part) for part in item if part not in _CARRIER] if isinstance(item, list) else item


def counted(host: lab.Host, family: str) -> List[str]:
    """The neighbours' rules with their counters, in order, each behind its table's name."""
    found: List[str] = []
    table = ""
    for line in host.sh(f"{family}tables-save -c").splitlines():
        table = line if line.startswith("*") else table
        if line.startswith("[") and any(stranger in line for stranger in _STRANGERS.values()):
            found.append(f"{table} {line}")
    return found


def untouched(before: Dict[str, str], after: Dict[str, str], may_differ: str = "$^") -> str:
    """What differs in the things that were there before: empty if the neighbours were left alone.

    :param before: ``everything`` before a run
    :param after: ``everything`` after it, with more things in it
    :param may_differ: a pattern of lines and names that the run is allowed to change
    """
    kept = {name: _remaining(name, text, after.get(name, "(gone)")) for name, text in before.items()}
    return lab.difference(
        *({name: _without(text, may_differ) for name, text in parts.items()} for parts in (before, kept))
    )


def _without(text: str, pattern: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if not re.search(pattern, line))


def _remaining(name: str, before: str, after: str) -> str:
    """The part of ``after`` that was in ``before``: of JSON the objects of the same name, of texts the same lines."""
    if before.startswith("[") and after.startswith("["):
        names = {_name(item) for item in json.loads(before)}
        return json.dumps([item for item in json.loads(after) if _name(item) in names], indent=1, sort_keys=True)
    if name.endswith(" nft"):
        return before  # the same rules as iptables-save shows, with ours between them
    lines = set(before.splitlines())
    return "".join(f"{line}\n" for line in after.splitlines() if line in lines)


def _name(item: Dict[str, Any]) -> str:
    """What an object of ``ip -j`` is known by: its interface, or for a route also where it leads."""
    return " ".join(str(item.get(word)) for word in ("ifname", "dev", "dst", "table", "priority"))
