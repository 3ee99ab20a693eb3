# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose rules go from one backend to the other in one plan. Must not know: rule texts, the kernel.

All that the old rules say of bridges, endpoints, ports, links and the administrator's own rules is said again in
the new ones, less what the task changes; of the old ones nothing stays. Both stand for a moment: what one of them
drops is closed all the while, and what is published is open in both. Docker Engine leaves DOCKER-USER behind, and
a FORWARD policy that then blocks; here the policy goes along.
"""

from __future__ import annotations

from typing import Any, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple

from .._state import Indexed, Key, State
from . import networks, orphans
from .policy import Backend, Binding, Link, NetRuling, Policy, Rules, Ruling, take_along


class Both(NamedTuple):
    """The rules of two backends as one set; where both know a thing (a run was killed), the new ones say what it is."""

    old: Rules
    new: Rules

    @property
    def networks(self) -> Mapping[str, Sequence[Any]]:
        """Rules by bridge."""
        return {**self.old.networks, **self.new.networks}

    @property
    def endpoints(self) -> Mapping[str, Sequence[Any]]:
        """Rules by address."""
        return {**self.old.endpoints, **self.new.endpoints}

    @property
    def names(self) -> Set[str]:
        """The bridges that have rules."""
        return self.old.names | self.new.names

    def _of(self, bridge: str) -> Rules:
        return self.new if bridge in self.new.names else self.old

    def is_hairpin(self, bridge: str) -> bool:
        """Whether a bridge's rules are those without userland proxy."""
        return self._of(bridge).is_hairpin(bridge)

    def policy(self, bridge: str, subnet: str | None, is_hairpin: bool) -> Policy | None:
        """The policy that a bridge's rules express; None if it has none."""
        return self._of(bridge).policy(bridge, subnet, is_hairpin)

    def bindings(self, ip: str) -> List[Binding]:
        """What an endpoint publishes."""
        return self.new.bindings(ip) or self.old.bindings(ip)

    def all_bindings(self) -> Iterator[Binding]:
        """What is published on the host, endpoint by endpoint."""
        for ip in self.endpoints:
            yield from self.bindings(ip)

    def links(self) -> List[Tuple[Any, Link]]:
        """All link rules, each with the link that it is a part of."""
        return [*self.new.links(), *self.old.links()]


def backend(old: Backend, new: Backend) -> Backend:
    """A backend that finds rules of both and writes those of the new one."""

    def recognise(live: State, family: int) -> Rules:
        return Both(old.recognise(live, family), new.recognise(live, family))

    def apply_ruling(ruling: Ruling, rules: Both, live: State, after: State) -> None:
        _carry(ruling, rules, live)
        _carry_marked(ruling, live, old, new)
        if ruling.base == "auto" and old.has_base(live, ruling.family):
            ruling.base = "make"
        new.apply_ruling(ruling, rules.new, live, after)
        old.apply_ruling(_farewell(ruling.family, rules.old), rules.old, live, after)

    def has_base(live: State, family: int) -> bool:
        return old.has_base(live, family) or new.has_base(live, family)

    def start(live: State) -> State:
        after = dict(live)
        for family in (4, 6):
            _carry_policy(after, old.forward_policy(family), new.forward_policy(family))
        return after

    return new._replace(
        recognise=recognise,
        apply_ruling=apply_ruling,  # type: ignore[arg-type]
        has_base=has_base,
        start=start,
    )


def _carry(ruling: Ruling, rules: Both, live: State) -> None:
    """Enter everything that has rules and is not of the task; what has no device any more is not carried."""
    live = Indexed(live)
    for name in rules.networks:
        # Of the net only this family's side is looked at.
        net = None if name in ruling.nets else networks.live_net(live, {4: rules, 6: rules}, name)
        side = net.sides.get(ruling.family) if net else None
        if side is not None and side.policy is not None:
            subnets = frozenset([str(side.subnet)]) | orphans.subnets(rules, name)
            ruling.nets[name] = NetRuling(None, side.policy, subnets)
            ruling.hairpin |= side.policy.hairpin
    for name, ruled in ruling.nets.items():
        ruling.nets[name] = ruled._replace(before=None)
    take_along(ruling, rules)
    _carry_links(ruling, rules)


def _carry_links(ruling: Ruling, rules: Both) -> None:
    for link in dict.fromkeys(link for _item, link in rules.links()):
        is_settled = link.client in ruling.clients or {link.client, link.target} & ruling.gone
        if not is_settled and link.client in ruling.endpoints:
            ruling.links.append((ruling.endpoints[link.client][0], link))
    ruling.clients.update(link.client for _policy, link in ruling.links)


def _carry_marked(ruling: Ruling, live: State, old: Backend, new: Backend) -> None:
    if ruling.user_rules is None:
        ruling.user_rules = new.user_rules(live, ruling.family) or old.user_rules(live, ruling.family)
    if ruling.keep is None:
        ruling.keep = new.kept(live, ruling.family) or old.kept(live, ruling.family)


def _carry_policy(after: State, old: Key, new: Key) -> None:
    """DROP goes along; the task may still say another policy of the new backend's."""
    if after.get(old) == "DROP":
        after.update({old: "ACCEPT", new: "DROP"})


def _farewell(family: int, rules: Rules) -> Ruling:
    """The ruling that leaves nothing."""
    nets = {name: NetRuling(None, None, orphans.subnets(rules, name)) for name in rules.networks}
    clients = {link.client for _item, link in rules.links()}
    gone = set(rules.endpoints)
    return Ruling(family, nets=nets, gone=gone, clients=clients, base="drop", user_rules=(), keep=())
