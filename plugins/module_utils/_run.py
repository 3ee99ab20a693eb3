# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules: options in, result out. The only file that knows AnsibleModule. Must not know: how it is done."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import sys
from typing import Any, Callable, Collection, Dict, Iterator, List, Mapping, Tuple

from ansible.module_utils.basic import AnsibleModule, _load_params

from . import _pipeline, _specs, _text
from ._commands import RunCommand
from ._errors import HostnetError, KernelError, OptionError
from ._layout import describe
from ._model import Task
from ._rules import legible
from ._values import seconds

Result = Dict[str, Any]


def run(argument_spec: Mapping[str, Any], to_task: Callable[[Mapping[str, Any]], Task]) -> None:
    """Run a module that changes the host, from its options to exit_json or fail_json."""
    spec = {**argument_spec, **_specs.BACKEND, **_specs.LOCK}
    # A run makes many values that live to its end and no cycles: looking for some takes a fifth of its time.
    gc.disable()
    module = _module(spec)
    try:
        task = to_task(module.params)
        timeout = seconds("lock_timeout", module.params["lock_timeout"])
        backend, is_dry_run = module.params["firewall_backend"], module.check_mode
        outcome = _pipeline.converge(_run_command(module), task, backend, timeout, is_dry_run)
    except HostnetError as error:
        module.fail_json(msg=_message(error), **_missing(error))
    _leave(module, **_result(module, task, outcome))


def describe_host(
    argument_spec: Mapping[str, Any], describe_it: Callable[[RunCommand, str, Collection[str]], Result]
) -> None:
    """Run the module that reads the host and changes nothing.

    :param describe_it: makes the result, given how programs are run, the backend, and what is told on demand
    """
    gc.disable()  # see ``run``
    module = _module({**argument_spec, **_specs.BACKEND})
    try:
        wanted = [name for name in argument_spec if module.params[name]]
        words = describe_it(_run_command(module), module.params["firewall_backend"], wanted)
    except HostnetError as error:
        module.fail_json(msg=_message(error), **_missing(error))
    for warning in words.pop("warnings", ()):
        module.warn(warning)  # which also makes the result of this name
    _leave(module, changed=False, **words)


def _leave(module: AnsibleModule, **result: Any) -> None:
    # At its end Python looks for cycles in all that there is, whether or not that was switched off.
    gc.freeze()
    module.exit_json(**result)


def _module(spec: Mapping[str, Any]) -> AnsibleModule:
    """The module with its options checked by Ansible."""
    try:
        return AnsibleModule(argument_spec=spec, supports_check_mode=True)
    except TypeError as problem:
        # ansible-core looks into the value of a dict option before it looks whether that is a dict.
        error = not_a_dict(spec, _load_params())
        if error is None:
            raise
        sys.stdout.write(json.dumps({"failed": True, "msg": str(error)}))
        raise SystemExit(1) from problem


def _run_command(module: AnsibleModule) -> RunCommand:
    """How programs are run: by Ansible, each word as it is, their own words in English."""

    def run_command(command: List[str], text: str) -> Tuple[int, str, str]:
        with _standard_input(text):
            status, output, said = module.run_command(
                command, environ_update={"LC_ALL": "C"}, expand_user_and_vars=False, handle_exceptions=False
            )
        return status, output, legible(said)

    return run_command


@contextlib.contextmanager
def _standard_input(text: str) -> Iterator[None]:
    """This process's standard input, and that of what it starts, for a while.

    A file and no pipe, as ``data`` of Ansible's run_command would be: of a program that ends before it has read all,
    that tells no more than that the pipe is broken.
    """
    kept = os.dup(0)
    with os.fdopen(os.memfd_create("input"), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.seek(0)
        os.dup2(file.fileno(), 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def not_a_dict(spec: Mapping[str, Any], params: Mapping[str, Any]) -> OptionError | None:
    """The first option with suboptions that was given a truth value, a number or a list in place of them."""
    for name, entry in spec.items():
        if "options" in entry and entry["type"] == "dict" and not isinstance(params.get(name), (dict, str, type(None))):
            hint = f"this option has options of its own; write {name}: {{{next(iter(entry['options']))}: ...}}"
            return OptionError(name, params[name], hint)
    return None


def _message(error: HostnetError) -> str:
    text = legible(str(error))
    failure = getattr(error, "failure", error)
    if isinstance(failure, KernelError) and failure.errno in (errno.EPERM, errno.EACCES):
        text += "; this needs the capability NET_ADMIN: run the task with become: true"
    return text


def _missing(error: HostnetError) -> Result:
    """``missing``: what the host lacks, for whoever can install it."""
    failure = getattr(error, "failure", error)
    name = getattr(failure, "library", None) or getattr(failure, "tool", None)
    return {"missing": [name]} if name else {}


def _result(module: AnsibleModule, task: Task, outcome: _pipeline.Outcome) -> Result:
    prediction, changes = outcome.prediction, outcome.changes
    for warning in dict.fromkeys(prediction.warnings):
        module.warn(warning)
    result: Result = {"changed": bool(changes), "changes": _text.lines(changes), "firewall": outcome.firewall}
    result.update(describe.results(prediction, prediction.after, _has(task)))
    result["boots"] = outcome.boots
    if prediction.squatters:
        result["squatters"] = prediction.squatters
    if outcome.confirm:
        result["confirm"] = outcome.confirm
    if outcome.boots and "endpoints" in module.params and "bridges" in module.params:
        result["desired_state"] = describe.desired_state(module.params, result)
    if module._diff:
        result["diff"] = _text.diff(changes, outcome.live, prediction.after)
    return result


def _has(task: Task) -> Dict[str, bool]:
    return {
        "bridges": bool(task.bridges),
        "endpoints": bool(task.endpoints),
        "ports": bool(task.ports),
        "ip_forward": task.forwarding is not None,
    }
