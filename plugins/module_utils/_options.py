# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from options to wants: canonical values, or one clear error. Must not know: the kernel, rules."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

from . import _values as values
from ._errors import OptionError
from ._model import Bridge, Forwarding, Task, UserRule, Want
from ._options_endpoints import Params, check_unique, endpoint_ports, endpoints, parser, ports
from ._specs import Spec


def items(params: Params, item: Spec, plural: str) -> List[Tuple[str, Params]]:
    """The items of a one-or-many module with the paths of their options: ``""`` or ``bridges[2].``.

    :raises OptionError: both forms were used, or purge without the list
    """
    listed = params.get(plural)
    if listed is None:
        if params.get("purge"):
            raise OptionError("purge", True, f"purge needs the list {plural}: it removes what is not listed")
        return [("", {name: params.get(name) for name in item})]
    for name, spec in item.items():
        if params.get(name) != spec.get("default"):
            raise OptionError(name, params.get(name), f"give it in the items of {plural}, or leave {plural} out")
    return [(f"{plural}[{index}].", entry) for index, entry in enumerate(listed)]


def purged(params: Params, scope: str) -> Dict[str, Tuple[str, ...]]:
    """The task's ``purge`` and ``ignore`` of a one-or-many module."""
    return {"purge": (scope,) if params["purge"] else (), "ignore": tuple(params["ignore"] or ())}


def bridges(entries: Sequence[Tuple[str, Params]]) -> Tuple[Want, ...]:
    """Wants from ``bridges`` items."""
    wants = [Want(_bridge(path, params), path, params["state"] == "present") for path, params in entries]
    check_unique(wants, "name")
    return tuple(wants)


def _bridge(path: str, params: Params) -> Bridge:
    parsed = parser(path, params)
    bridge = Bridge(
        name=values.bridge_name(f"{path}name", params["name"]),
        bip=parsed("bip", values.gateway_address, 4),
        bip6=parsed("bip6", values.gateway_address, 6),
        fixed_cidr=parsed("fixed_cidr", values.subnet, 4),
        fixed_cidr_v6=parsed("fixed_cidr_v6", values.subnet, 6),
        default_address_pools=_pools(path, params.get("default_address_pools") or ()),
        mtu=parsed("mtu", values.bridge_mtu),
        exclude_subnets=values.networks(f"{path}exclude_subnets", params.get("exclude_subnets") or ()),
        reserved_addresses=_addresses(f"{path}reserved_addresses", params.get("reserved_addresses") or ()),
        host_ipv4=parsed("host_ipv4", values.address, 4),
        host_ipv6=parsed("host_ipv6", values.address, 6),
        trusted_host_interfaces=_interfaces(f"{path}trusted_host_interfaces", params.get("trusted_host_interfaces")),
        bridge_accept_fwmark=parsed("bridge_accept_fwmark", values.fwmark),
        mac_address=parsed("mac_address", values.mac),
        **{name: params[name] for name in _PLAIN},
    )
    _check_bridge(path, bridge)
    return bridge


_PLAIN = (
    "icc",
    "ip_masq",
    "internal",
    "ipv4",
    "ipv6",
    "inhibit_ipv4",
    "gateway_mode_ipv4",
    "gateway_mode_ipv6",
    "allow_direct_routing",
    "userland_proxy",
    "clamp_mss",
    "hardened",
    "avoid_routes",
    "iptables",
    "ip6tables",
    "create",
)


def _check_bridge(path: str, bridge: Bridge) -> None:
    if not bridge.ipv4:
        _check_without_ipv4(path, bridge)
    if bridge.inhibit_ipv4 and not bridge.create:
        raise OptionError(f"{path}inhibit_ipv4", True, "conflicts with create: false, which leaves addresses alone")
    for name in ("bip6", "fixed_cidr_v6"):
        if getattr(bridge, name) is not None and not bridge.ipv6:
            raise OptionError(f"{path}{name}", str(getattr(bridge, name)), "it needs ipv6: true")
    for name in ("gateway_mode_ipv4", "gateway_mode_ipv6"):
        if getattr(bridge, name) == "isolated" and not bridge.internal:
            raise OptionError(f"{path}{name}", "isolated", "this mode needs internal: true, as with Docker")
    for given, span in ((bridge.bip, bridge.fixed_cidr), (bridge.bip6, bridge.fixed_cidr_v6)):
        if given is not None and span is not None and not span.subnet_of(given.network):  # type: ignore[arg-type]
            option = "fixed_cidr" if span.version == 4 else "fixed_cidr_v6"
            raise OptionError(f"{path}{option}", str(span), f"not inside {given.network}, the subnet of the bridge")


def _check_without_ipv4(path: str, bridge: Bridge) -> None:
    if not bridge.ipv6:
        raise OptionError(f"{path}ipv4", False, "IPv4 or IPv6 must be on; give ipv6: true with it")
    for name in ("bip", "fixed_cidr", "inhibit_ipv4"):
        if getattr(bridge, name):
            raise OptionError(f"{path}{name}", str(getattr(bridge, name)), "it needs ipv4: true")


def _addresses(path: str, given: Sequence[str]) -> Tuple[Any, ...]:
    return tuple(dict.fromkeys(values.address(f"{path}[{index}]", value) for index, value in enumerate(given)))


def _pools(path: str, pools: Sequence[Params]) -> Tuple[Any, ...]:
    found = []
    for index, pool in enumerate(pools):
        here = f"{path}default_address_pools[{index}]"
        base = values.subnet(f"{here}.base", pool["base"])
        if not base.prefixlen <= pool["size"] <= base.max_prefixlen:
            hint = f"the size of a subnet is a prefix length from {base.prefixlen} to {base.max_prefixlen}"
            raise OptionError(f"{here}.size", pool["size"], hint)
        found.append((base, pool["size"]))
    return tuple(found)


def _interfaces(path: str, names: Sequence[str] | None) -> Tuple[str, ...]:
    found = (values.interface_name(f"{path}[{index}]", name) for index, name in enumerate(names or ()))
    return tuple(dict.fromkeys(found))


def forwarding(path: str, params: Params) -> Want:
    """The want from ``ip_forward`` options."""
    file = params["sysctl_file"]
    if not file.startswith("/") or not file.endswith(".conf"):
        raise OptionError(f"{path}sysctl_file", file, "give an absolute path that ends in .conf, as sysctl.d needs it")
    values.absolute_path(f"{path}sysctl_file", file)
    names = ("ipv4", "ipv6", "forward_policy", "persist", "sysctl_file")
    keep = params.get("keep_forwarding")
    kept = None if keep is None else _interfaces(f"{path}keep_forwarding", keep)
    item = Forwarding(**{name: params[name] for name in names}, keep_forwarding=kept)
    return Want(item, path, params["state"] == "present")


def user_rules(entries: Sequence[Params] | None) -> Tuple[UserRule, ...] | None:
    """``user_rules`` items in order; None leaves those that are there alone."""
    if entries is None:
        return None
    rules = tuple(_user_rule(f"user_rules[{index}].", entry) for index, entry in enumerate(entries))
    seen: Dict[str, int] = {}
    for index, rule in enumerate(rules):
        if rule.name in seen:
            raise OptionError(f"user_rules[{index}].name", rule.name, f"used already by user_rules[{seen[rule.name]}]")
        seen[rule.name] = index
    return rules


def _user_rule(path: str, params: Params) -> UserRule:
    parsed = parser(path, params)
    rule = UserRule(
        name=values.rule_name(f"{path}name", params["name"]),
        action=params["action"],
        source=parsed("source", values.one_network),
        destination=parsed("destination", values.one_network),
        in_interface=parsed("in_interface", values.interface_name),
        out_interface=parsed("out_interface", values.interface_name),
        protocol=params.get("protocol"),
        destination_port=parsed("destination_port", values.port_range),
        host_port=parsed("host_port", values.port),
        ctstate=tuple(params.get("ctstate") or ()),
    )
    if (rule.destination_port or rule.host_port) and rule.protocol is None:
        raise OptionError(f"{path}protocol", None, "a port needs a protocol: tcp, udp or sctp")
    if len(rule.families) == 2 and rule.source and rule.destination:
        raise OptionError(
            f"{path}destination", str(rule.destination), "source and destination are of different families"
        )
    return rule


def host_task(params: Params) -> Task:
    """The task of ``host_network``: bridges, endpoints with their ports, further ports, forwarding, purge."""

    def listed(plural: str) -> List[Tuple[str, Params]]:
        return [(f"{plural}[{index}].", entry) for index, entry in enumerate(params.get(plural) or ())]

    wanted_ports = (*endpoint_ports(listed("endpoints")), *ports(listed("ports")))
    forward = params.get("ip_forward")
    scopes = [name for name in ("bridges", "endpoints", "ports") if params.get(name) is not None]
    return Task(
        bridges=bridges(listed("bridges")),
        endpoints=endpoints(listed("endpoints")),
        ports=wanted_ports,
        forwarding=forwarding("ip_forward.", forward) if forward is not None else None,
        purge=tuple(scopes) if params.get("purge") else (),
        ignore=tuple(params.get("ignore") or ()),
        user_rules=user_rules(params.get("user_rules")),
        confirm_timeout=values.seconds("confirm_timeout", params.get("confirm_timeout") or 0),
    )
