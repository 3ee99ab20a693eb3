# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from options to wants, for endpoints, their networks and their ports. Must not know: the kernel, rules."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

from . import _values as values
from ._errors import OptionError
from ._model import Endpoint, Publish, Want, default_host_interface
from ._portspec import port_specs
from ._specs import ENDPOINT, NETWORK

Params = Mapping[str, Any]


def endpoints(entries: Sequence[Tuple[str, Params]]) -> Tuple[Want, ...]:
    """Wants from ``endpoints`` items: one for each network that an endpoint is on."""
    wants = [Want(_endpoint(path, params), path, params["state"] == "present") for path, params in entries]
    check_unique(wants, "name")
    listed = [_networks(want, params) for want, (_path, params) in zip(wants, entries)]
    return tuple(want for several in listed for want in several)


def parser(path: str, params: Params) -> Callable[..., Any]:
    """How an option is parsed that may be left out: None then, or if it is empty."""

    def parsed(name: str, parse: Callable[..., Any], *args: Any) -> Any:
        return None if params.get(name) in (None, "") else parse(f"{path}{name}", params[name], *args)

    return parsed


def _endpoint(path: str, params: Params) -> Endpoint:
    parsed = parser(path, params)
    if not params.get("name"):
        raise OptionError(f"{path}name", params.get("name"), "an endpoint needs a name")
    gateway = params.get("default_gateway")
    endpoint = Endpoint(
        name=values.object_name(f"{path}name", params["name"]),
        network_mode=values.network_mode(f"{path}network_mode", params["network_mode"]),
        netns=parsed("netns", values.netns),
        mtu=parsed("mtu", values.mtu),
        default_gateway=values.address(f"{path}default_gateway", gateway) if gateway else None,
        hostname=parsed("hostname", values.host_name),
        domainname=parsed("domainname", values.host_name),
        dns_servers=_words(path, params, "dns_servers", values.nameserver),
        dns_search_domains=_words(path, params, "dns_search_domains", values.search_domain),
        dns_opts=_words(path, params, "dns_opts", values.word),
        etc_hosts=values.etc_hosts(f"{path}etc_hosts", params.get("etc_hosts") or {}),
        links=values.links(f"{path}links", params.get("links") or ()),
        exposed_ports=tuple(values.exposed_ports(f"{path}exposed_ports", params.get("exposed_ports") or ())),
        **_on_network(path, params),
    )
    _check_mode(path, endpoint, params)
    return endpoint


def _on_network(path: str, params: Params) -> Dict[str, Any]:
    """What an endpoint is on one network, from its own options or from an item of its ``networks``."""
    parsed = parser(path, params)
    if params["interface"] == "lo":
        raise OptionError(f"{path}interface", "lo", "every namespace has one already; choose another name")
    return {
        "bridge": values.interface_name(f"{path}bridge", params["bridge"]),
        "interface": values.interface_name(f"{path}interface", params["interface"]),
        "host_interface": parsed("host_interface", values.interface_name),
        "ipv4_address": parsed("ipv4_address", values.address, 4),
        "ipv6_address": parsed("ipv6_address", values.address, 6),
        "mac_address": parsed("mac_address", values.mac),
    }


_OF_NETWORK = tuple(name for name in NETWORK if name != "gw_priority")


def _networks(want: Want, params: Params) -> List[Want]:
    """One want for each of the endpoint's ``networks``; without them the endpoint's own."""
    listed = params.get("networks")
    if listed is None or not want.present:
        return [want]
    if not listed:
        hint = "give at least one network, or network_mode: none for an endpoint without any"
        raise OptionError(f"{want.path}networks", listed, hint)
    for name in _OF_NETWORK:
        if params.get(name) != ENDPOINT[name].get("default"):
            raise OptionError(
                f"{want.path}{name}", params[name], "give it in the items of networks, or leave those out"
            )
    wants: List[Want] = []
    for index, entry in enumerate(listed):
        path, name = f"{want.path}networks[{index}].", want.endpoint.name
        words = _on_network(path, {**entry, "interface": entry.get("interface") or f"eth{index}"})
        further = default_host_interface(name, words["interface"]) if index else None
        words["host_interface"] = words["host_interface"] or further
        words.update(gw_priority=entry.get("gw_priority") or 0, is_listed=True)
        wants.append(want._replace(item=want.endpoint._replace(**words), path=path))
    check_unique(wants, "bridge")
    return wants


def _words(path: str, params: Params, name: str, parse: Any) -> Tuple[str, ...] | None:
    given = params.get(name)
    if given is None:
        return None
    return tuple(parse(f"{path}{name}[{index}]", value) for index, value in enumerate(given))


_NEEDS_BRIDGE = (
    "ipv4_address",
    "ipv6_address",
    "mac_address",
    "mtu",
    "default_gateway",
    "host_interface",
    "networks",
)


def _check_mode(path: str, endpoint: Endpoint, params: Params) -> None:
    if endpoint.network_mode == "bridge":
        return
    for name in _NEEDS_BRIDGE:
        if params.get(name):
            hint = f"conflicts with network_mode: {endpoint.network_mode}, which has no interface of its own"
            raise OptionError(f"{path}{name}", params[name], hint)
    is_shared = endpoint.network_mode.startswith("container:")
    if is_shared and params.get("published_ports"):
        raise OptionError(
            f"{path}published_ports", params["published_ports"], "publish them at the container that is joined"
        )


def ports(entries: Sequence[Tuple[str, Params]]) -> Tuple[Want, ...]:
    """Wants from ``ports`` items."""
    return tuple(Want(_port(path, params), path, params["state"] == "present") for path, params in entries)


def _port(path: str, params: Params) -> Publish:
    endpoint, container_ip = params.get("endpoint"), params.get("container_ip")
    if bool(endpoint) == bool(container_ip):
        raise OptionError(f"{path}endpoint", endpoint, "give endpoint, or container_ip with bridge, and not both")
    if container_ip and not params.get("bridge"):
        raise OptionError(f"{path}container_ip", container_ip, "it needs bridge, the bridge that the address is on")
    is_whole = params["state"] == "present" and _says_ports(params)
    return publish(path, params, endpoint=endpoint, is_whole=is_whole)


def _says_ports(params: Params) -> bool:
    """Whether an item says which ports are published; else those that are stay."""
    return params.get("published_ports") is not None or bool(params.get("publish_all_ports"))


def publish(path: str, params: Params, endpoint: str | None, is_whole: bool) -> Publish:
    """The ports of one endpoint, from an item of ``ports`` or of ``endpoints``."""
    listed = params.get("published_ports") or ()
    specs = [
        spec for index, value in enumerate(listed) for spec in port_specs(f"{path}published_ports[{index}]", value)
    ]
    container_ip = params.get("container_ip")
    if endpoint:
        values.reference(f"{path}endpoint", endpoint)
    default_host_ip, allowed = params.get("default_host_ip"), params.get("allowed_sources")
    return Publish(
        endpoint=endpoint,
        container_ip=values.address(f"{path}container_ip", container_ip) if container_ip else None,
        bridge=params.get("bridge") if container_ip else None,
        ports=tuple(specs),
        publish_all_ports=bool(params.get("publish_all_ports")),
        exposed_ports=tuple(values.exposed_ports(f"{path}exposed_ports", params.get("exposed_ports") or ())),
        default_host_ip=str(values.address(f"{path}default_host_ip", default_host_ip)) if default_host_ip else None,
        allowed_sources=values.sources(f"{path}allowed_sources", allowed) if allowed is not None else (),
        reserve_ports=bool(params.get("reserve_ports")),
        compact_ranges=bool(params.get("compact_ranges")),
        whole=is_whole,
    )


def endpoint_ports(entries: Sequence[Tuple[str, Params]]) -> Tuple[Want, ...]:
    """Wants from the ``published_ports`` that ``endpoints`` items of ``host_network`` carry: the whole set of each."""
    wants = []
    for path, params in entries:
        if params["state"] == "present" and _says_ports(params):
            wants.append(Want(publish(path, params, params["name"], is_whole=True), path))
    return tuple(wants)


def check_unique(wants: Sequence[Want], option: str) -> None:
    """Refuse a list that has two items of one name.

    :raises OptionError: it has
    """
    seen: Dict[str, str] = {}
    for want in wants:
        name = getattr(want.item, option)
        if name in seen:
            raise OptionError(f"{want.path}{option}", name, f"listed already as {seen[name]}{option}")
        seen[name] = want.path
