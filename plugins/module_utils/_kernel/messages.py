# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What decoded rtnetlink messages mean: entries of a State. Must not know: sockets, writing, Docker.

The values are described in ``rtnl.py``. A message is anything that answers to pyroute2's words; this
file only asks it for fields and attributes and so imports nothing.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Tuple

from .._state import HOST, Key, State, select

IFF_UP = 0x1
NODAD = 0x02
FAMILIES = {2: 4, 10: 6}
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
MAIN_TABLE = 254

_UNICAST = 1
_CLONED = 0x200


def names(messages: Iterable[Any]) -> Dict[int, str]:
    """Interface index -> name, of the namespace that the link messages came from."""
    found = {message["index"]: message.get_attr("IFLA_IFNAME") for message in messages}
    return {index: name for index, name in found.items() if name}


def links(messages: List[Any], scope: str, name_of: Dict[int, str]) -> State:
    """Entries of the kinds link and up."""
    messages = [message for message in messages if message["index"] in name_of]
    state: State = {}
    for message in messages:
        state[Key("link", scope, name_of[message["index"]])] = _link(message, name_of)
    for message in messages:
        if message["flags"] & IFF_UP:
            state[Key("up", scope, name_of[message["index"]])] = "up"
    return state


def without_ipv6(message: Any) -> str | None:
    """The setting disable_ipv6 of a link, ``"0"`` or ``"1"``; None if it has none."""
    value: str | None = message.get_attr("IFLA_AF_SPEC")
    return value


def _link(message: Any, name_of: Dict[int, str]) -> Dict[str, Any]:
    kind = _nested(message, "IFLA_LINKINFO", "IFLA_INFO_KIND") or ""
    is_veth = kind == "veth"
    return {
        "kind": kind,
        "index": message["index"],
        "mac": message.get_attr("IFLA_ADDRESS"),
        "mac_set": False,
        "mtu": message.get_attr("IFLA_MTU"),
        "txqlen": message.get_attr("IFLA_TXQLEN"),
        "master": name_of.get(message.get_attr("IFLA_MASTER")),
        "hairpin": _hairpin(message),
        # For other kinds these two mean a lower device, not a peer.
        "nsid": message.get_attr("IFLA_LINK_NETNSID") if is_veth else None,
        "peer_index": message.get_attr("IFLA_LINK") if is_veth else None,
        "peer": None,
    }


def _hairpin(message: Any) -> bool | None:
    """The port attribute of a bridge port; None for all other links."""
    if _nested(message, "IFLA_LINKINFO", "IFLA_INFO_SLAVE_KIND") != "bridge":
        return None
    return bool(_nested(message, "IFLA_LINKINFO", "IFLA_INFO_SLAVE_DATA", "IFLA_BRPORT_MODE"))


def _nested(message: Any, *path: str) -> Any:
    for name in path:
        if message is None:
            return None
        message = message.get_attr(name)
    return message


def addresses(messages: Iterable[Any], scope: str, name_of: Dict[int, str]) -> State:
    """Entries of the kind address. An interface without a known name is called ``if`` + its index."""
    state: State = {}
    for message in messages:
        if message["family"] not in FAMILIES:
            continue
        name = name_of.get(message["index"]) or f"if{message['index']}"
        # The own address stands in LOCAL where both are given: ADDRESS is then the far end's.
        address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
        if not address:
            continue
        state[Key("address", scope, f"{name} {address}/{message['prefixlen']}")] = _address(message)
    return state


def _address(message: Any) -> Dict[str, Any]:
    flags = message.get_attr("IFA_FLAGS")
    return {
        "broadcast": message.get_attr("IFA_BROADCAST"),
        "nodad": bool((message["flags"] if flags is None else flags) & NODAD),
        "scope": SCOPES.get(message["scope"], str(message["scope"])),
    }


def labels(messages: Iterable[Any]) -> Dict[int, str]:
    """Interface index -> name as the labels of IPv4 addresses tell it, for namespaces without a path."""
    found: Dict[int, str] = {}
    for message in messages:
        label = message.get_attr("IFA_LABEL")
        if label:
            found[message["index"]] = label.partition(":")[0]
    return found


def routes(messages: Iterable[Any], scope: str, name_of: Dict[int, str]) -> State:
    """Entries of the kind route: unicast, main table. Of routes that differ in metric alone, the best."""
    state: State = {}
    for value in sorted(_routes(messages, name_of), key=lambda value: value["metric"] or 0):
        state.setdefault(Key("route", scope, route_name(value)), value)
    return state


def _routes(messages: Iterable[Any], name_of: Dict[int, str]) -> Iterator[Dict[str, Any]]:
    for message in messages:
        table = message.get_attr("RTA_TABLE") or message["table"]
        is_kept = message["type"] == _UNICAST and table == MAIN_TABLE and not message["flags"] & _CLONED
        if is_kept and message["family"] in FAMILIES:
            yield _route(message, name_of)


def _route(message: Any, name_of: Dict[int, str]) -> Dict[str, Any]:
    family = FAMILIES[message["family"]]
    destination = message.get_attr("RTA_DST") or ("0.0.0.0" if family == 4 else "::")
    via = message.get_attr("RTA_GATEWAY") or message.get_attr("RTA_VIA")
    return {
        "family": family,
        "dst": f"{destination}/{message['dst_len']}",
        "via": via["addr"] if isinstance(via, dict) else via,
        "dev": name_of.get(message.get_attr("RTA_OIF")),
        "scope": SCOPES.get(message["scope"], str(message["scope"])),
        "metric": message.get_attr("RTA_PRIORITY"),
        "proto": message["proto"],
    }


def route_name(value: Dict[str, Any]) -> str:
    """A route's name in a Key: ``default via 172.17.0.1 dev eth0``, ``default6 …``, ``10.0.0.0/8 dev eth0``."""
    name = {"0.0.0.0/0": "default", "::/0": "default6"}.get(value["dst"], value["dst"])
    if value["via"]:
        name += f" via {value['via']}"
    if value["dev"]:
        name += f" dev {value['dev']}"
    return name


def joined(state: State, nsids: Dict[str, int]) -> State:
    """Join each host veth with its other end, where that end was read too.

    The two belong together if the host's end names the other's namespace and index and is named by
    it. A namespace that was read under several names lends the first one to the join.
    """
    ends = _inside_ends(state, nsids)
    result = dict(state)
    for key, value in select(state, "link", HOST):
        inside = [end for end in ends.get((value["nsid"], value["peer_index"]), ()) if _is_pair(value, state[end])]
        if inside:
            result[key] = {**value, "peer": _peer(inside[0], state[inside[0]])}
            for end in inside:
                del result[end]
    return result


def _inside_ends(state: State, nsids: Dict[str, int]) -> Dict[Tuple[int, int], List[Key]]:
    """The links read in sandboxes, by the namespace id and the index that a host veth may name."""
    ends: Dict[Tuple[int, int], List[Key]] = {}
    for key, value in select(state, "link"):
        if key.scope in nsids:
            ends.setdefault((nsids[key.scope], value["index"]), []).append(key)
    return ends


def _is_pair(host: Dict[str, Any], inside: Dict[str, Any]) -> bool:
    return host["kind"] == inside["kind"] == "veth" and inside["peer_index"] == host["index"]


def _peer(key: Key, value: Dict[str, Any]) -> Dict[str, Any]:
    own = {name: value[name] for name in ("mac", "mtu", "txqlen", "index")}
    return {"netns": key.scope, "name": key.name, **own}
