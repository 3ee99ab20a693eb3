# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pipeline: read, predict, diff, apply. Must not know: Ansible, what Docker puts where, how it is written."""

from __future__ import annotations

import errno
from typing import Any, Callable, Collection, Dict, List, NamedTuple, Tuple

from . import _plan
from ._commands import RunCommand
from ._errors import Conflict, HostnetError, KernelError, LostRace, PortTaken
from ._kernel import conntrack, lock, neighbours, processes, watchdog
from ._kernel.host import Host, families, is_root
from ._layout import describe, needs, zones
from ._layout.iptables import BASE_CHAIN, USER_CHAIN
from ._layout.policy import Backend
from ._layout.predict import predict
from ._layout.table import Prediction
from ._model import Task
from ._plan import ApplyError, Change
from ._rules import Counts
from ._state import State
from ._undo import attempted, roll_back

# What another program may have made or taken away between our read and our write.
_RACES = (errno.EEXIST, errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.ENOTUNIQ)
# The state that a daemon with "iptables": true takes for its own, on either backend.
_DOCKERS = ("chain", "nft_chain", "nft_map", "nft_set")


class Outcome(NamedTuple):
    """What a run found, where it leads and by which changes; ``firewall`` names what writes the rules,
    ``boots`` says whether the host is a machine that systemd boots. ``confirm`` is ``pending`` if the host will
    undo the changes by itself, ``confirmed`` if this run kept it from undoing those of an earlier one."""

    live: State
    prediction: Prediction
    changes: List[Change]
    firewall: str
    boots: bool
    confirm: str = ""


def converge(run_command: RunCommand, task: Task, backend: str, lock_timeout: float, is_dry_run: bool) -> Outcome:
    """Bring the host into the state that a task asks for, or find out what that would take.

    :param run_command: how programs are run
    :param backend: ``auto``, ``iptables`` or ``nftables``
    :param lock_timeout: seconds to wait for another run
    :raises HostnetError: it cannot be done; the host is as it was, or the message says what is left
    """
    check_root()
    with lock.held(lock_timeout):
        is_confirming = task.confirm_timeout is not None and not is_dry_run and watchdog.hold_off()
        outcome = _twice(run_command, task, backend, is_dry_run)
        return outcome._replace(confirm="confirmed") if is_confirming and not outcome.confirm else outcome


def _twice(run_command: RunCommand, task: Task, backend: str, is_dry_run: bool) -> Outcome:
    try:
        return _once(run_command, task, backend, is_dry_run)
    except ApplyError as error:
        if error.left or not _is_race(error.failure):
            raise
        # Somebody was faster: look again and plan again, once.
        return _once(run_command, task, backend, is_dry_run)


def check_root() -> None:
    """Networks are read and written by root alone.

    :raises KernelError: this process is not root's
    """
    if not is_root():
        raise KernelError("read the host's network", errno.EPERM)


def backend_of(host: Host) -> Backend:
    """The layout of the host's firewall, or the one that leads from a former firewall to it."""
    layout = _layout(host.firewall.layout if host.firewall else "iptables")
    if host.former is None:
        return layout
    from ._layout import switching

    return switching.backend(_layout(host.former.layout), layout)


def _layout(name: str) -> Backend:
    """The layout of one name; the other one's code is not loaded."""
    if name == "nftables":
        from ._layout import nft_ruleset

        return nft_ruleset.BACKEND
    from ._layout import ruleset

    return ruleset.BACKEND


def _is_race(failure: HostnetError) -> bool:
    return isinstance(failure, LostRace) or (isinstance(failure, KernelError) and failure.errno in _RACES)


def _once(run_command: RunCommand, task: Task, backend: str, is_dry_run: bool) -> Outcome:
    with Host(run_command) as host:
        host.choose_firewall(backend, BASE_CHAIN)
        live = _read(host, task)
        filtered = families(host.firewall.families) if host.firewall else ()
        try:
            prediction = predict(task, live, backend_of(host), filtered)
            if prediction.unread:
                live = host.read_behind(prediction.unread, live)
                prediction = predict(task, live, backend_of(host), filtered)
        except PortTaken as error:
            raise error.named(_holder(host, error.holder)) from None
        changes = _plan.diff(live, prediction.after)
        host.check_writers(changes)
        outcome = Outcome(live, prediction, changes, firewall_of(host), processes.boots())
        if not changes or is_dry_run:
            return outcome
        _check_dockerd(changes)
        if task.confirm_timeout:
            watchdog.start(task.confirm_timeout, lambda: _take_back(task, host, outcome))
            outcome = outcome._replace(confirm="pending")
        _apply(task, host, changes)
        _forget_connections(prediction)
        _forget_neighbours(prediction, changes)
        return outcome


def _apply(task: Task, host: Host, changes: List[Change]) -> None:
    """Write the changes; if that fails, take back what was done. An interruption is passed on when all is undone."""
    begun: List[Change] = []
    try:
        _plan.apply(changes, host.stores(), begun)
    except HostnetError as failure:
        raise _undone(task, host, begun, failure) from failure
    except Exception as problem:  # not foreseen, but no reason to leave the host half done
        unforeseen = KernelError("apply", text=f"{type(problem).__name__}: {problem}")
        raise _undone(task, host, begun, unforeseen) from problem
    except BaseException:
        _roll_back(task, host, begun)
        raise


def _undone(task: Task, host: Host, changes: List[Change], failure: HostnetError) -> ApplyError:
    error = ApplyError(failure, *_roll_back(task, host, attempted(changes, failure)))
    if not error.left:  # else the process that waits tries once more
        watchdog.hold_off()
    return error


def _roll_back(task: Task, host: Host, changes: List[Change]) -> Tuple[int, List[str]]:
    return roll_back(changes, lambda: _read(host, task), host.stores())


def _take_back(task: Task, former: Host, outcome: Outcome) -> None:
    """Undo a run's changes some time later, in another process: nothing of the run's conversations is used.

    :raises KernelError: changes are left
    """
    with Host(former.run_command) as host:
        host.firewall, host.former = former.firewall, former.former
        _count, left = _roll_back(task, host, outcome.changes)
        if left:
            raise KernelError("undo", text="; ".join(left))
        _forget_connections(outcome.prediction)


def _read(host: Host, task: Task) -> State:
    if needs.needs_devices(task) or host.former is not None:
        live, wanted = _read_devices(host, needs.joined(task), lambda live: needs.needs(task, live))
    else:
        live, wanted = {}, needs.needs(task, {})
    live.update(host.read_rules())
    if zones.are_needed(task):
        live.update(host.read_firewalld(zones.ZONE, zones.POLICY))
    live.update(host.read_settings(wanted.sysctls, wanted.files))
    live.update(host.read_machines(wanted.directories))
    if wanted.sockets is not None:
        live.update(host.read_listeners(wanted.sockets))
    return live


def read_all(host: Host, counts: Counts | None = None) -> State:
    """The whole host, for a description of it."""

    def everything(live: State) -> needs.Needs:
        sandboxes = host.sandboxes_of(live, [key.name for key in live if key.kind == "netns"])
        return needs.everything(live, sandboxes)

    live, wanted = _read_devices(host, processes.namespaces(), everything)
    live.update(host.read_rules(counts))
    live.update(host.read_settings(wanted.sysctls, wanted.files))
    return live


def described(host: Host, live: State) -> Dict[str, Any]:
    """A host that was read, in the words of ``host_network``."""
    from ._layout import describe_host

    return describe_host.host(live, backend_of(host))


def _read_devices(
    host: Host, joined: Collection[str], needed: Callable[[State], needs.Needs]
) -> Tuple[State, needs.Needs]:
    """The host's devices and what is behind them, and what else is needed; once more if some were about to vanish."""
    while True:
        live = host.read_devices(joined)
        wanted = needed(live)
        live = host.read_inside(wanted.sandboxes, set(wanted.ports), live)
        if not host.outlived(wanted.ports, live):
            return live, wanted


def _holder(host: Host, ip: str) -> str:
    """The name of the endpoint that has an address. Who has what is read for this error only."""
    told = described(host, read_all(host))["endpoints"]
    for item in (network for words in told for network in describe.each_network(words)):
        if ip in (item.get("ipv4_address"), item.get("ipv6_address")):
            return str(item["name"])
    return ip


def _check_dockerd(changes: List[Change]) -> None:
    """Docker rebuilds its chains at every start: what we write beside a daemon that manages them would be lost."""
    # What the administrator says in DOCKER-USER is kept by every daemon.
    touched = [change.key for change in changes if change.key.kind in _DOCKERS and change.key.name != USER_CHAIN]
    daemon = processes.running_dockerd() if touched else None
    if daemon is not None:
        raise Conflict(
            f'{touched[0]}: {daemon} manages these rules; set "iptables": false in its daemon.json and restart it '
            "to hand them over to this collection, or leave them to Docker"
        )


def _forget_connections(prediction: Prediction) -> None:
    """Connections that were translated by rules that are no more would go on as they were."""
    if not prediction.stale_bindings:
        return
    conntrack.flush(
        {
            "family": 6 if ":" in binding.ip else 4,
            "proto": binding.protocol,
            "port": binding.host_port,
            "target": binding.ip,
        }
        for binding in prediction.stale_bindings
        if binding.host_port
    )


def _forget_neighbours(prediction: Prediction, changes: List[Change]) -> None:
    """An address that somebody else had on a bridge is at another hardware address now; Docker announces that from
    within the container, three times in as many seconds."""
    made = {change.key.name for change in changes if change.key.kind == "link" and change.action == "create"}
    moved = [item for item in prediction.attachments if item.net and item.veth in made and item.net.name not in made]
    addresses = {str(ip.ip) for item in moved for ip in item.ips.values()}
    if addresses:
        neighbours.forget(addresses)


def firewall_of(host: Host) -> str:
    """What writes the host's rules, in the words of the results."""
    return host.firewall.name() if host.firewall else "none"
