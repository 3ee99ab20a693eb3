# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports of a task: whose they are, what stays, what goes. Must not know: rule texts, the kernel."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any, Container, Dict, Iterable, List, NamedTuple, Sequence, Set, Tuple

from .._errors import OptionError
from .._model import Publish, Want
from .._portspec import PortSpec
from .._state import HOST, Key, State
from .._values import Address
from . import attachments, gateways, ports
from .policy import Binding, Rules
from .ports import Target
from .table import Table, policy_of

_RESERVED = "net/ipv4/ip_local_reserved_ports"


class _Job(NamedTuple):
    """One item of the task: what it says of one endpoint's ports."""

    want: Want
    item: Publish
    target: Target
    specs: List[PortSpec]
    binder: ports.Binder
    cover: ports.Cover

    @property
    def path(self) -> str:
        """The option that is at fault if the ports are not to be had."""
        return f"{self.want.path}published_ports"

    @property
    def place(self) -> Tuple[str, ...]:
        """What is the same for items of the same endpoint, however they call it."""
        return tuple(self.target.ips.values())


def apply_ports(table: Table) -> None:
    """Enter the published ports of the task."""
    wants = table.task.ports
    targets = {want.path: _target(table, want) for want in wants}
    host = _host_ports(table, [target for target in targets.values() if target is not None])
    jobs = [_job(want, target) for want in wants for target in [targets[want.path]] if target is not None]
    for job in jobs:
        if not job.want.present:
            _take_back(table, job, host)
    _publish(table, [job for job in jobs if job.want.present], host)
    table.result.squatters += dict.fromkeys(host.squatters)
    _reserve(table, wants)


def _reserve(table: Table, wants: Sequence[Want]) -> None:
    """Keep published ports of the ephemeral range out of the kernel's own choice, where that was asked for."""
    if not any(isinstance(want.item, Publish) and want.item.reserve_ports for want in wants):
        return
    (low, high), reserved = _port_range(table.live)
    before = {binding.host_port for rules in table.rules.values() for binding in rules.all_bindings()}
    current = {
        binding.host_port
        for family, rules in table.rules.items()
        for binding in _bindings_after(table, family, rules)
        if binding.host_port and low <= binding.host_port <= high
    }
    wanted = (reserved - (before - current)) | current
    table.result.after[Key("sysctl", HOST, _RESERVED)] = ports.joined(sorted(port for port in wanted if port))


def _bindings_after(table: Table, family: int, rules: Rules) -> List[Binding]:
    ruling = table.rulings[family]
    found = [b for b in rules.all_bindings() if b.ip not in ruling.endpoints and b.ip not in ruling.gone]
    return found + [binding for _policy, bindings in ruling.endpoints.values() for binding in bindings]


def _host_ports(table: Table, targets: Iterable[Target]) -> ports.Host:
    touched = {ip for target in targets for ip in target.ips.values()}
    gone = {ip for ruling in table.rulings.values() for ip in ruling.gone}
    moved = {
        ip: policy_bindings[1] for ruling in table.rulings.values() for ip, policy_bindings in ruling.endpoints.items()
    }
    kept: List[Tuple[Binding, str]] = []
    names = {str(ip.ip): item.name for item in table.present for ip in item.ips.values()}
    for rules in table.rules.values():
        for binding in rules.all_bindings():
            if binding.ip not in touched and binding.ip not in gone and binding.ip not in moved:
                kept.append((binding, names.get(binding.ip, binding.ip)))
    for ip, bindings in moved.items():
        if ip not in touched:
            kept += [(binding, names.get(ip, ip)) for binding in bindings]
    span, reserved = _port_range(table.live)
    return ports.Host(table.live, kept, span, reserved)


def _port_range(live: State) -> Tuple[Tuple[int, int], Set[int]]:
    text = str(live.get(Key("sysctl", HOST, "net/ipv4/ip_local_port_range"), ""))
    match = re.fullmatch(r"([0-9]+)\s+([0-9]+)", text)
    span = (int(match[1]), int(match[2])) if match else ports.DEFAULT_RANGE
    reserved: Set[int] = set()
    for part in str(live.get(Key("sysctl", HOST, _RESERVED), "")).split(","):
        match = re.fullmatch(r"\s*([0-9]{1,5})(?:-([0-9]{1,5}))?\s*", part)
        if match:
            reserved.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return span, reserved


def _target(table: Table, want: Want) -> Target | None:
    """Where a want's ports lead; None if there is nothing to publish (network mode host or none)."""
    item = want.publish
    if item.container_ip is not None:
        return _address_target(table, want, item, item.container_ip)
    name = item.endpoint or ""
    for attachment in gateways.of_endpoint(table, name)[:1]:
        ips = {family: str(ip.ip) for family, ip in attachment.ips.items()}
        return Target(name, attachment.network, ips)
    if any(attachment.name == name for attachment in table.present):
        if item.ports and want.present:
            table.result.warnings.append(
                f"endpoint {name}: published ports are discarded, it is on no network of its own"
            )
        return None
    if not want.present or any(attachment.name == name for attachment in table.absent):
        return None
    names = attachments.shown(table.live, (item.veth for item in attachments.live_attachments(table.live, table.nets)))
    hint = f"there is no such endpoint; make it with veth_endpoint first (endpoints: {', '.join(names[:20]) or 'none'})"
    raise OptionError(f"{want.path}endpoint", name, hint)


def _address_target(table: Table, want: Want, item: Publish, address: Address) -> Target | None:
    net = table.nets.get(item.bridge or "")
    if net is None and not want.present:
        return None  # without its bridge, or with one that goes, nothing of it is left
    if net is None:
        hint = f"there is no such bridge (bridges: {', '.join(sorted(table.nets)) or 'none'})"
        raise OptionError(f"{want.path}bridge", item.bridge, hint)
    family = address.version
    side = net.sides.get(family)
    if side is None or address not in side.subnet:
        subnet = side.subnet if side else f"no IPv{family} subnet"
        raise OptionError(f"{want.path}container_ip", str(address), f"not on {net.name} ({subnet})")
    return Target(str(address), net, {family: str(address)})


def _job(want: Want, target: Target) -> _Job:
    specs = ports.specs_of(want.publish)
    binder = ports.Binder(target, want.publish)
    return _Job(want, want.publish, target, specs, binder, ports.Cover(specs, binder))


def _take_back(table: Table, job: _Job, host: ports.Host) -> None:
    target = job.target
    kept = [b for b in _current(table, target) if _is_ignored(job.item, b) or (job.specs and b not in job.cover)]
    for binding in kept:
        host.take(binding, target.name)
    _enter_bindings(table, target, kept)
    if job.item.container_ip is not None and not kept:
        _forget(table, target)


def _publish(table: Table, jobs: Sequence[_Job], host: ports.Host) -> None:
    """Choose in the order of the task, when all that stays has its host ports; several items of one endpoint add up."""
    by_place: Dict[Tuple[str, ...], List[_Job]] = {}
    for job in jobs:
        by_place.setdefault(job.place, []).append(job)
    live = {place: _current(table, members[0].target) for place, members in by_place.items()}
    stays: Dict[Tuple[str, ...], List[Binding]] = {}
    for place, members in by_place.items():
        # What an item keeps is not to be had for one that comes before it.
        kept = dict.fromkeys(binding for job in members for binding in live[place] if binding in job.cover)
        stays[place] = _staying(members, live[place], kept)
        for binding in [*stays[place], *kept]:
            host.take(binding, members[0].target.name)
    chosen: Dict[Tuple[str, ...], List[Binding]] = {place: [] for place in by_place}
    for job in jobs:
        specs = _publishable(table, job.want, job.target, job.specs)
        chosen[job.place] += ports.choose(specs, job.binder, job.target.name, job.path, host, live[job.place])
    for place, members in by_place.items():
        new = _ranged(table, members[0].target, chosen[place])
        bindings = list(dict.fromkeys([*stays[place], *new]))
        ports.check_sources(bindings, members[-1].path)
        _enter_bindings(table, members[0].target, bindings)
        table.result.ports.append((members[0].target.name, members[0].target.net, bindings))


def _ranged(table: Table, target: Target, bindings: Sequence[Binding]) -> List[Binding]:
    """The bindings; those that were asked for as ranges and cannot be any are single ones, and that is said."""
    apart = set()
    for binding in bindings:
        policy = policy_of(target.net, 6 if ":" in binding.ip else 4)
        if binding.compact and policy is not None and not table.backend.is_compact(policy, binding):
            apart.add(binding)
    if apart:
        first = min(apart, key=lambda binding: (binding.ip, binding.port))
        count = len({(binding.protocol, binding.host_ip, binding.host_port) for binding in apart})
        table.result.warnings.append(
            f"endpoint {target.name}: {count} ports from {first} on are elements of their own and no range, "
            "which nftables has only for equal ports on both sides of a bridge without userland_proxy"
        )
    return [binding._replace(compact=False) if binding in apart else binding for binding in bindings]


def _staying(jobs: Sequence[_Job], live: Sequence[Binding], kept: Container[Binding]) -> List[Binding]:
    """What an endpoint publishes beside what the task says of it: all else, or nothing where the task is the whole.

    :param kept: what the task says of it that it publishes already
    """
    if any(job.item.whole for job in jobs):
        return [binding for binding in live if any(_is_ignored(job.item, binding) for job in jobs)]
    return [binding for binding in live if binding not in kept]


def _forget(table: Table, target: Target) -> None:
    """An address that publishes nothing more loses its guard too, unless an endpoint with a name has it."""
    named = [item for item in attachments.live_attachments(table.live, table.nets, target.net.name) if item.is_named]
    known_ips = {str(ip.ip) for item in [*named, *table.present] for ip in item.ips.values()}
    for family, ip in target.ips.items():
        if ip not in known_ips and ip in table.rulings[family].endpoints:
            del table.rulings[family].endpoints[ip]
            table.rulings[family].gone.add(ip)


def _is_ignored(item: Publish, binding: Binding) -> bool:
    return any(fnmatchcase(binding.label, pattern) for pattern in item.ignore)


def _current(table: Table, target: Target) -> List[Binding]:
    """What an endpoint publishes so far: as this plan has it, else as the rules have it."""
    found: List[Binding] = []
    for family, ip in target.ips.items():
        entry = table.rulings[family].endpoints.get(ip)
        found += entry[1] if entry else table.rules[family].bindings(ip)
    return found


def _publishable(table: Table, want: Want, target: Target, specs: List[Any]) -> List[Any]:
    """The specs that lead to rules; what Docker ignores is ignored with its reason."""
    warn = table.result.warnings.append
    where = f"endpoint {target.name} on {target.net.name}"
    if not specs:
        return []
    if target.net.internal:
        warn(f"{where}: the network is internal, it publishes nothing")
        return []
    if not any(policy_of(target.net, family) for family in target.ips):
        warn(f"{where}: the bridge has no rules (iptables: false), published ports have no effect")
        return []
    usable = []
    for spec in specs:
        if spec.host_ip is not None and ":" in spec.host_ip and 6 not in target.ips:
            warn(
                f"{where}: {spec} is bound to IPv6 and the endpoint has none; without a userland proxy it has no effect"
            )
        else:
            usable.append(spec)
    return usable


def _enter_bindings(table: Table, target: Target, bindings: Sequence[Binding]) -> None:
    for family, ip in target.ips.items():
        policy = policy_of(target.net, family)
        if policy is None or family not in table.filtered:
            continue
        own = [binding for binding in dict.fromkeys(bindings) if binding.ip == ip]
        table.rulings[family].endpoints[ip] = (policy, own)
        before = table.rules[family].bindings(ip)
        if own != before:
            changed = {item._replace(compact=False) for item in own} ^ {item._replace(compact=False) for item in before}
            table.result.stale_bindings += sorted(changed, key=str)
