# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each rule of a live rule set is for, in a sentence. Must not know: what is wanted, the kernel.

Rules are told apart by ``reading.py`` and ``nft_patterns.py``, as everywhere; what they do not know is somebody
else's, and is said to be, with the owner's name where chains, tables or comments tell it.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Tuple, Union

from .._rules import MARK, OPAQUE, Counts, legible
from .._state import Key, State
from . import iptables, nft_names, nft_patterns, nft_ranges, nftables, reading
from .reading import Seen
from .sentences import BASE, ELEMENTS, IPTABLES, NFTABLES

DOCKER, ADMINISTRATOR, UNKNOWN = "docker", "administrator", "unknown"
_FAMILIES = {"ip": 4, "ip6": 6}
# Who makes chains, tables or comments of such names.
_OWNERS: Tuple[Tuple[str, str], ...] = (
    ("ufw", r"ufw6?-.*"),
    ("firewalld", r"firewalld|firewalld_.*|.*_ZONES(_SOURCE)?|(IN|FWDI|FWDO|FWD|PRE|POST)_\w+"),
    ("libvirt", r"LIBVIRT_.*|libvirt_network"),
    ("podman (netavark)", r"NETAVARK.*|netavark"),
    ("Kubernetes", r"KUBE-.*|kube-proxy"),
    ("Calico", r"cali-.*"),
    ("Cilium", r"CILIUM_.*"),
    ("Flannel", r"FLANNEL-.*|flannel-ipv[46]"),
    ("a CNI plugin", r"CNI-.*|cni_hostport"),
    ("fail2ban", r"f2b-.*"),
    ("Tailscale", r"ts-(input|forward|postrouting)"),
    ("Incus", r"generated for Incus network .*|incus"),
    ("LXD", r"generated for LXD network .*|lxd"),
    ("an older Docker Engine", r"DOCKER-ISOLATION-STAGE-[12]"),
    ("Docker Swarm", r"DOCKER-INGRESS"),
)
_NAMES = re.compile(r'(?:^|\s)(?:-j|-g|jump|goto) (?P<target>\S+)|comment "(?P<comment>[^"]+)"')
_ADMINISTRATORS = re.compile(rf'comment "?{MARK}(?P<name>[^"\s]+)"?')
_KEPT = re.compile(r'(?P<way>-[io]|[io]ifname) "?(?P<name>[^\s"]+)')


class Counted(NamedTuple):
    """A rule as somebody looks at it, with the packets and bytes it has seen; None: it does not count.

    ``backend`` is ``iptables`` or ``nftables``. With nftables ``chain`` may also be the name of a map or set, and
    ``rule`` one of its elements. ``policy DROP`` (``policy drop``) is what a chain does with what no rule decides.
    """

    backend: str
    family: str
    table: str
    chain: str
    rule: str
    packets: Union[int, None] = None
    bytes: Union[int, None] = None


class Purpose(NamedTuple):
    """Whose a rule is (``docker``, ``administrator``, the name of a program, or ``unknown``), and what it is for."""

    owner: str
    text: str


def names(endpoints: Iterable[Mapping[str, Any]]) -> Dict[str, str]:
    """Address -> name of the endpoint that has it, of endpoints in the words of the options."""
    keys = ("ipv4_address", "ipv6_address")
    return {str(item[key]): str(item["name"]) for item in endpoints for key in keys if item.get(key)}


def told(states: Iterable[Tuple[State, Counts]], names: Mapping[str, str]) -> List[Dict[str, Any]]:
    """Rules in the words of the result ``rules``.

    :param states: rule sets, each with its counters
    :param names: address -> name of the endpoint that has it
    """
    found = []
    for state, counts in states:
        for raw in _counted(state, counts):
            item = raw._replace(chain=legible(raw.chain), rule=legible(raw.rule))
            owner, text = purpose(item, names)
            found.append({**item._asdict(), "owner": owner, "purpose": text})
    return found


def _counted(state: State, counts: Counts) -> Iterator[Counted]:
    """The rules and elements of a rule set, table by table, and the policies that drop before their chains' rules."""
    places: Dict[str, List[Key]] = {}
    for key in state:
        if key.kind in ("chain", "nft_chain", "nft_map", "nft_set"):
            places.setdefault(key.scope, []).append(key)
    for keys in places.values():
        for key in sorted(keys, key=lambda key: key.kind == "nft_chain"):  # what rules look up first
            yield from _of_chain(key, state, counts.get(key, {}))


def _of_chain(key: Key, state: State, counts: Mapping[Any, Tuple[int, int]]) -> Iterator[Counted]:
    is_iptables = key.kind == "chain"
    family, _sign, table = key.scope.partition("/" if is_iptables else " ")
    place = ("iptables" if is_iptables else "nftables", family, table, key.name)
    policy, rules = ("policy DROP", state[key]) if is_iptables else ("policy drop", state[key].get("rules", ()))
    if state.get(key._replace(kind=key.kind.replace("chain", "policy"))) == "DROP":
        yield Counted(*place, policy)
    for number, rule in enumerate(rules):
        text = rule[len(OPAQUE) :].partition(" # ")[0] if rule.startswith(OPAQUE) else rule
        yield Counted(*place, text, *counts.get(number, (None, None)))
    if key.kind in ("nft_map", "nft_set"):
        for name, target in state[key]["elements"].items():
            yield Counted(*place, f"{name} : {target}" if target else name, *counts.get(name, (None, None)))


def purpose(item: Counted, names: Mapping[str, str]) -> Purpose:
    """Whose a rule is and what it is for."""
    for find in (_policy, _marked, _dockers):
        found = find(item, names)
        if found is not None:
            return found
    return _foreign(item)


def _policy(item: Counted, _names: Mapping[str, str]) -> Purpose | None:
    if not item.rule.startswith("policy "):
        return None
    is_forward = (item.table, item.chain) in (("filter", "FORWARD"), (nft_names.TABLE, "filter-FORWARD"))
    text = "drops what no rule of this chain or of those that it leads to has decided"
    if is_forward:  # a daemon and an administrator set the same one
        return Purpose(DOCKER, f"{text}; Docker sets this policy when it switches forwarding on")
    return Purpose(UNKNOWN, f"{text}; not set by Docker")


def _marked(item: Counted, _names: Mapping[str, str]) -> Purpose | None:
    """Rules that are known by our comment, and all others in DOCKER-USER."""
    match = _ADMINISTRATORS.search(item.rule)
    if match is None:
        is_users = (item.table, item.chain) == ("filter", iptables.USER_CHAIN)
        if is_users and item.rule == "-j RETURN":
            return Purpose(DOCKER, "goes back to chain FORWARD, as every chain does at its end")
        return Purpose(ADMINISTRATOR, "the administrator's own rule, before anything of Docker's") if is_users else None
    if match["name"] != "keep":
        return Purpose(ADMINISTRATOR, f"the administrator's own rule {match['name']}, before anything of Docker's")
    kept = _KEPT.search(item.rule)
    way = "comes from" if kept and kept["way"] in ("-i", "iifname") else "goes to"
    bridge = kept["name"] if kept else "a foreign bridge"
    return Purpose(ADMINISTRATOR, f"lets what {way} {bridge} pass although the policy drops (keep_forwarding)")


def _dockers(item: Counted, names: Mapping[str, str]) -> Purpose | None:
    family = _FAMILIES.get(item.family)
    if family is None:
        return None
    text = (_iptables if item.backend == "iptables" else _nftables)(item, family, names)
    return None if text is None else Purpose(DOCKER, text)


def _iptables(item: Counted, family: int, names: Mapping[str, str]) -> str | None:
    key = iptables.chain(family, item.table, item.chain)
    seen = reading.seen(key, item.rule)
    if seen is not None:
        return _sentence(IPTABLES, seen, names)
    for hairpin in (False, True):
        if any((placed.key, placed.rule) == (key, item.rule) for placed in iptables.base(family, hairpin)):
            return _of_base(item, hairpin)
    return None


def _of_base(item: Counted, hairpin: bool) -> str:
    target = item.rule.rpartition("-j ")[2]
    text = BASE[target if item.table == "filter" else item.chain]
    return text if hairpin or item.chain != "OUTPUT" else f"{text}, but for loopback addresses"


def _nftables(item: Counted, family: int, names: Mapping[str, str]) -> str | None:
    if item.table != nft_names.TABLE:
        return None
    name, _sign, bridge = item.chain.partition("__")
    if name in ELEMENTS:
        return _element(name, item.rule, names)
    if item.rule == f"jump {nft_names.USER_CHAIN}":
        return BASE["DOCKER-USER"]
    seen = nft_patterns.seen(nft_names.chain(family, item.chain), name, item.rule)
    if seen is not None:
        data = {"bridge": bridge, **{key: value for key, value in seen.data.items() if value is not None}}
        return _sentence(NFTABLES, seen._replace(data=data), names)
    return _nft_base(item, family)


def _nft_base(item: Counted, family: int) -> str | None:
    for hairpin in (False, True):
        for placed in [*nftables.base(family, hairpin), *nft_ranges.lookups(family)]:
            if (placed.key.name, placed.rule) == (item.chain, item.rule):
                looked_up = re.search(r"@([\w-]+)", item.rule)
                text = BASE[looked_up[1] if looked_up else item.chain]
                is_all = hairpin or item.chain != "nat-OUTPUT"
                return text if is_all else f"{text}, but for loopback addresses"
    return None


def _element(name: str, rule: str, names: Mapping[str, str]) -> str:
    """What an element of one of our maps or sets says; its parts are numbered, addresses named."""
    key, _colon, value = rule.partition(" : ")
    parts = [part.strip('"') for part in [*key.split(" . "), *value.split(" . ")]]
    return ELEMENTS[name].format(*parts, whom=[_named(part, names) for part in parts])


def _named(ip: str, names: Mapping[str, str]) -> str:
    return f"{names[ip]} ({ip})" if ip in names else ip


def _sentence(templates: Mapping[str, str], seen: Seen, names: Mapping[str, str]) -> str:
    data = seen.data
    said = {key: value for key, value in data.items() if value is not None}
    for key in ("ip", "client"):
        if key in said:
            said["whom" if key == "ip" else "who"] = _named(said[key], names)
    said["word"] = "ports" if re.search(r"\d[:-]\d", str(data.get("host_port") or data.get("port") or "")) else "port"
    said["host"] = f"of {data['host_ip']}" if data.get("host_ip") else "of the host"
    if data.get("snat"):
        said["source_of"] = f"gives the source address {data['snat']} to"
    else:
        said["source_of"] = "masquerades"
    template = next(templates[name] for name in _variants(seen) if name in templates)
    return template.format(**said)


def _variants(seen: Seen) -> List[str]:
    """The names by which a kind's sentence is looked for, the most particular first."""
    data = seen.data
    verdict = str(data.get("verdict") or "").lower()
    found = [f"{seen.kind} from"] if data.get("source") else []
    found += [f"{seen.kind} {verdict}"] if verdict else []
    found += [f"{seen.kind} bridge"] if data.get("bridge") else []
    found += [f"{seen.kind} trusted"] if data.get("names") else []
    found += [f"{seen.kind} out"] if seen.kind == "out" and "! -o" in seen.rule else []
    found += [f"{seen.kind} {data['side']}"] if data.get("side") else []
    looked_up = re.search(r"@([\w-]+)", seen.rule)
    found += [f"{seen.kind} {looked_up[1]}"] if looked_up else []
    return [*found, f"{seen.kind} {seen.key.name.partition('__')[0]}", seen.kind]


def _foreign(item: Counted) -> Purpose:
    names = [item.chain, item.table]
    for match in _NAMES.finditer(item.rule):
        names += [name for name in match.groups() if name]
    for owner, pattern in _OWNERS:
        if any(re.fullmatch(pattern, name) for name in names):
            return Purpose(owner, f"made by {owner}, and left alone")
    return Purpose(UNKNOWN, "not Docker's: somebody else made it, and it is left alone")
