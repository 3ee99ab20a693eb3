# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host described: what is there, what is wrong with it, what can be reached. Must not know: Ansible, any write.

Apart from ``_pipeline.py``, because Ansible sends a module with all that its files import: those that change a host
go without the doctor and the tracer. What is told on demand is imported on demand.
"""

from __future__ import annotations

from typing import Any, Collection, Dict, List, Sequence, Tuple

from ._commands import RunCommand
from ._kernel.host import Host
from ._layout.iptables import BASE_CHAIN
from ._pipeline import backend_of, check_root, described, firewall_of, read_all
from ._rules import Counts
from ._state import HOST, State


def description(run_command: RunCommand, backend: str, wanted: Collection[str] = ()) -> Dict[str, Any]:
    """The host in the words of ``host_network``.

    :param run_command: how programs are run
    :param wanted: what shall be told beside: ``warnings`` (the doctor's findings), ``exposure``, ``counters``,
        ``metrics``, ``rules``
    :raises HostnetError: it cannot be read
    """
    check_root()
    with Host(run_command) as host:
        host.choose_firewall(backend, BASE_CHAIN)
        counts: Counts = {}
        outlook = [name for name in wanted if name != "warnings"]
        live = read_all(host, counts if outlook else None)
        words = {**described(host, live), "firewall": firewall_of(host)}
        more = {"warnings": _findings(host, live, words)} if "warnings" in wanted else {}
        return {**words, **more, **(_on_demand(host, live, counts, words, outlook) if outlook else {})}


def _findings(host: Host, live: State, words: Dict[str, Any]) -> List[str]:
    from ._kernel import diagnosis
    from ._layout import doctor, doctor_modules

    case = doctor.Case(live, backend_of(host), words["firewall"], words, host.former is not None)
    facts = host.read_listeners(doctor.sockets(live, case.backend))
    facts.update(host.read_settings(doctor.SYSCTLS, doctor.FILES))
    facts.update(diagnosis.read(host.run_command, doctor_modules.names(case.variant), doctor.devices(live, words)))
    case.live = {**live, **facts}
    return doctor.findings(case)


def _on_demand(
    host: Host, live: State, counts: Counts, words: Dict[str, Any], wanted: Collection[str]
) -> Dict[str, Any]:
    """The results that are told on demand, from all rules that are in force."""
    from ._kernel import others

    found = others.read(host.run_command, [choice.store for choice in host.choices()])
    rule_sets = [(live, counts), *found.states]
    results = _told_rules(rule_sets, words) if "rules" in wanted else {}
    if set(wanted) == {"rules"}:
        return results
    from . import _exposure

    seen = {**live, **host.read_settings([(HOST, name) for name in _exposure.sysctls(live)], ())}
    seen.update(host.read_listeners(None))
    return {**results, **_exposure.told(_exposure.Sight(seen, rule_sets, found.unread), words, wanted)}


def _told_rules(rule_sets: Sequence[Tuple[State, Counts]], words: Dict[str, Any]) -> Dict[str, Any]:
    from ._layout import purposes

    return {"rules": purposes.told(rule_sets, purposes.names(words["endpoints"]))}
