# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attachments: an endpoint's end of a network, wanted or live; where its namespace and files are.

Must not know: how addresses are chosen, rules, the kernel.
"""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Sequence, Tuple, Union, cast

from .. import _model
from .._model import CONTAINER_FILES, Endpoint, default_host_interface
from .._state import HOST, NETNS_DIR, NETNS_FILES, Key, State, select, short
from .._values import Interface, parsed_interface
from .files import MARK
from .networks import Net

NAMESPACE_SYSCTLS = {"net/ipv4/ip_unprivileged_port_start": "0", "net/ipv4/ping_group_range": "0\t2147483647"}


class Attachment(NamedTuple):
    """One end of a network in one namespace. ``net`` None: the endpoint is on no network."""

    name: str
    scope: Union[str, None]
    interface: str = "eth0"
    veth: str = ""
    net: Union[Net, None] = None
    ips: Mapping[int, Interface] = {}
    item: Union[Endpoint, None] = None
    path: str = ""
    is_owned: bool = False
    same_as: Union[str, None] = None
    gw_priority: int = 0

    @property
    def network(self) -> Net:
        """``net``, of an endpoint that is on one."""
        return cast(Net, self.net)

    @property
    def wanted(self) -> Endpoint:
        """``item``, of an endpoint that a task asks for."""
        return cast(Endpoint, self.item)

    @property
    def is_named(self) -> bool:
        """Whether its namespace is one of ``ip netns``; else it is a container's of someone else."""
        return (self.scope or "").startswith(f"{NETNS_DIR}/")


def scope_of(item: Endpoint) -> str | None:
    """The path of an endpoint's namespace; None is the host's own."""
    return None if item.network_mode == "host" else own_scope(item)


def own_scope(item: Endpoint) -> str:
    """The path of the namespace that an endpoint has of its own; one that is the host's now may have had it before."""
    name = item.netns or item.name
    if name.startswith("pid:"):
        return f"/proc/{name[4:]}/ns/net"
    return name if name.startswith("/") else f"{NETNS_DIR}/{name}"


def joined_scope(item: Endpoint) -> str | None:
    """The namespace that ``network_mode: container:NAME`` shares."""
    kind, _colon, name = item.network_mode.partition(":")
    return f"{NETNS_DIR}/{name}" if kind == "container" else None


def files_of(scope: str) -> List[str]:
    """The files that ``ip netns exec`` shows in place of the host's, for a named namespace."""
    directory = f"{NETNS_FILES}/{short(scope)}"
    return [f"{directory}/{name}" for name in CONTAINER_FILES]


def sysctls(interface: str) -> List[str]:
    """The sysctls in a namespace that are read and may be written."""
    return [*NAMESPACE_SYSCTLS, f"net/ipv6/conf/{interface}/disable_ipv6"]


def is_marked(scope: str, live: State) -> bool:
    """Whether a namespace has the files that this collection writes: all three together, for others write single ones,
    or the one that bears Docker's words, which goes last."""
    texts = [live.get(Key("file", HOST, path)) for path in files_of(scope)]
    return None not in texts or str(texts[-1]).startswith(MARK)


def is_owned(item: Endpoint, scope: str, live: State) -> bool:
    """Whether the namespace is one that this collection made, or will: joined ones keep files and sysctls."""
    if not scope.startswith(f"{NETNS_DIR}/"):
        return False
    if Key("netns", HOST, scope) not in live:
        return True
    has_words = (item.hostname, item.domainname, item.dns_servers, item.dns_search_domains, item.dns_opts)
    is_asked = any(word is not None for word in has_words) or bool(item.etc_hosts or item.links)
    return is_asked or is_marked(scope, live)


def gateway_order(attachment: Attachment) -> Tuple[bool, int, str]:
    """Where an endpoint stands among those of its namespace; the first has the default route and the ports."""
    return _model.gateway_order(attachment.network.internal, attachment.gw_priority, attachment.network.name)


def with_priorities(found: Sequence[Attachment], live: State) -> List[Attachment]:
    """The endpoints of one namespace; one that has a default route against the order of names was told to.

    IPv4 comes last, for one priority counts for both families and IPv4's route is where the ports are.
    """
    result = list(found)
    for family, default in ((6, "default6"), (4, "default")):
        candidates = [item for item in result if family in item.ips]
        if len(candidates) < 2:
            continue
        routes = select(live, "route", found[0].scope or "")
        devices = {value["dev"] for key, value in routes if key.name.split(" ")[0] == default}
        if devices and min(candidates, key=gateway_order).interface not in devices:
            highest = 1 + max(item.gw_priority for item in candidates)
            result = [item._replace(gw_priority=highest) if item.interface in devices else item for item in result]
    return result


def port_addresses(live: State, bridge: str) -> Iterator[Tuple[str, Interface]]:
    """Each global address behind each port of a bridge, as far as its namespace could be read."""
    inside = _inside(live)
    for key, value in select(live, "link", HOST):
        if value["master"] == bridge and value["kind"] == "veth":
            scope = value["peer"]["netns"] if value["peer"] else f"nsid:{value['nsid']}"
            interface = value["peer"]["name"] if value["peer"] else None
            for name, cidr in inside.get(scope, ()):
                if interface in (None, name):
                    yield key.name, cidr


def _inside(live: State) -> Dict[str, List[Tuple[str, Interface]]]:
    found: Dict[str, List[Tuple[str, Interface]]] = {}
    for key, value in select(live, "address"):
        if key.scope != HOST and value["scope"] == "global":
            name, _space, cidr = key.name.partition(" ")
            found.setdefault(key.scope, []).append((name, parsed_interface(cidr)))
    return found


def live_ips(live: State, scope: str, interface: str) -> Dict[int, Interface]:
    """Family -> the first global address of an interface in a sandbox that was read."""
    found: Dict[int, Interface] = {}
    for key, value in select(live, "address", scope):
        name, _space, cidr = key.name.partition(" ")
        if name == interface and value["scope"] == "global":
            parsed = parsed_interface(cidr)
            found.setdefault(parsed.version, parsed)
    return found


def live_attachments(live: State, nets: Mapping[str, Net], bridge: str | None = None) -> List[Attachment]:
    """The endpoints that are on the host: each veth port of a bridge, named after its namespace.

    Where one namespace has several, the others are called by namespace and interface: ``web-eth1``.
    """
    found: List[Attachment] = []
    inside = _inside(live)
    for key, value in select(live, "link", HOST):
        net = nets.get(value["master"] or "")
        if value["kind"] != "veth" or net is None or (bridge and net.name != bridge):
            continue
        peer = value["peer"]
        scope = peer["netns"] if peer else f"nsid:{value['nsid']}"
        interface = peer["name"] if peer else None
        ips: Dict[int, Interface] = {}
        for name, cidr in inside.get(scope, ()):
            side = net.sides.get(cidr.version)
            if interface in (None, name) and side is not None and cidr.ip in side.subnet:
                ips.setdefault(cidr.version, cidr)
                interface = name
        found.append(Attachment(_live_name(key.name, scope, interface), scope, interface or "", key.name, net, ips))
    return found


def named_veths(live: State) -> Dict[str, str]:
    """The host ends that endpoints in named namespaces have by default, and their names."""
    names = (short(key.name) for key, _value in select(live, "netns", HOST))
    return {default_host_interface(name): name for name in names}


def shown(live: State, veths: Iterable[str]) -> List[str]:
    """Host ends as shown to people, in order: by the endpoint's name where it is the one that the end's was made of."""
    names = named_veths(live)
    return sorted(names.get(veth, veth) for veth in dict.fromkeys(veths))


def _live_name(veth: str, scope: str, interface: str | None) -> str:
    if not scope.startswith(f"{NETNS_DIR}/"):
        return veth
    name = short(scope)
    return name if veth == default_host_interface(name) or interface == "eth0" else f"{name}-{interface}"
