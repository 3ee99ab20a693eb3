# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The laboratory: throw-away hosts in network namespaces, on which tests run modules.

Owns: how a host is made, how a module runs on it, how tools run on it. Traffic is in
``traffic.py``, comparison in ``snapshots.py``, both reachable from here. Must not know: the modules.

    def test_bridge(host):                      # host: lab.Host, see conftest.py
        result = host.run("docker_bridge", name="docker0")
        assert result["changed"]
        with lab.serve("web", 80):
            assert lab.probe(host.lan, "192.0.2.1", 8080) == "open, from=192.0.2.254"

A ``ns`` parameter is a Host, the name of a namespace below /run/netns, or an absolute path.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NoReturn, Sequence, Tuple, Union

import pytest

import sandbox
from snapshots import difference, snapshot
from traffic import Inner, inside, path_of, ping, probe, serve, words_into

__all__ = [
    "Host", "ModuleCrashed", "ModuleFailed", "difference", "forked", "inside", "need", "new_host",
    "ping", "probe", "serve", "sh", "snapshot", "together",
]  # fmt: skip

ROOT = Path(__file__).resolve().parent.parent
# Where Ansible finds the collection: around a tree that lies there as one (ansible-test wants that), else in .build.
LIES_AS_COLLECTION = ROOT.parts[-3:] == ("ansible_collections", "hostnet", "docker")
BUILD = ROOT.parents[2] if LIES_AS_COLLECTION else ROOT / ".build"
COLLECTION = "ansible_collections.hostnet.docker"
NETNS = Path("/run/netns")
KEPT = Path("/run/hostnet-docker")  # mount namespaces of hosts that the connection has been to
RESOLV_CONF = "nameserver 192.0.2.53\nsearch example.org\n"
_TIME_LIMIT = 120  # seconds that one module run may take
_PATIENCE = 30  # seconds to wait for the kernel
_TENTATIVE = 0x40  # IFA_F_TENTATIVE
_CRASHED = 99  # exit status of the child whose module raised

_numbers = itertools.count(1)
Command = Union[str, List[str]]


class ModuleFailed(AssertionError):
    """A module called fail_json; ``result`` is what it returned."""

    def __init__(self, result: Dict[str, Any]) -> None:
        super().__init__(result.get("msg", result))
        self.result = result


class ModuleCrashed(AssertionError):
    """A module ended without a result: an exception of its own, or output that is no JSON."""


def need(tool: str) -> str:
    """The path of a program; without it the test is skipped, and fails in CI (``CI=true``)."""
    return shutil.which(tool) or missing(f"{tool} is not installed")


def need_root() -> None:
    """Skip the test where this is the root of a user namespace: what it starts needs the machine's own."""
    if Path("/proc/self/uid_map").read_text().split()[2] == "1":
        pytest.skip("this needs the machine's own root")


def missing(what: str) -> NoReturn:
    """Something the test needs is not there: a skip on a developer's machine, a failure in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}; in CI that is a failure")
    pytest.skip(what)


class Host:
    """A Linux host in a network namespace, with a gateway to the outside in another.

    ``eth0`` has 192.0.2.1/24 and 2001:db8:1::1/64, its default routes point to 192.0.2.254 and
    2001:db8:1::fe, which the namespace ``lan`` has. Forwarding is off, there are no rules.

    :ivar name: the host's namespace below /run/netns
    :ivar lan: the outside's namespace
    :ivar firewall: ``nft`` or ``legacy``, the iptables that the host finds on its PATH
    :ivar environ: the environment of everything that runs on the host
    :ivar backend: the ``firewall_backend`` of module runs that name none
    """

    def __init__(self, name: str, firewall: str = "nft", tools: Path | None = None, backend: str | None = None) -> None:
        self.name, self.lan, self.firewall, self.backend = name, f"{name}.lan", firewall, backend
        path = [str(tools)] if tools else []
        self.environ = {**os.environ, "PATH": ":".join([*path, os.environ["PATH"]])}

    def run(
        self, module: str, check: bool = False, diff: bool = False, fails: bool = False, **options: Any
    ) -> Dict[str, Any]:
        """Run a module of the collection on the host and return its result.

        :param module: its short name, such as ``docker_bridge``
        :param check: check mode
        :param diff: diff mode
        :param fails: the module is expected to call fail_json
        :raises ModuleFailed: it did not do what ``fails`` says
        :raises ModuleCrashed: it raised something or printed no JSON
        """
        result = _result(module, forked(lambda: self._in_child(module, check, diff, self._with_backend(options))))
        if bool(result.get("failed")) != fails:
            raise ModuleFailed(result if result.get("failed") else {"msg": "did not fail", **result})
        return result

    def run_together(self, tasks: Sequence[Tuple[str, Dict[str, Any]]]) -> List[Dict[str, Any]]:
        """Run modules with their options at the same time, each in a process of its own; their results, failed or not.

        :raises ModuleCrashed: one raised something or printed no JSON
        """
        runs = [
            functools.partial(self._in_child, module, False, False, self._with_backend(options))
            for module, options in tasks
        ]
        return [_result(task[0], child) for task, child in zip(tasks, together(runs))]

    def _with_backend(self, options: Dict[str, Any]) -> Dict[str, Any]:
        return {"firewall_backend": self.backend, **options} if self.backend else options

    def _in_child(self, module: str, check: bool, diff: bool, options: Dict[str, Any]) -> None:
        from ansible.module_utils import basic

        os.environ.clear()
        os.environ.update(self.environ)
        handle = os.open(path_of(self.name), os.O_RDONLY | os.O_CLOEXEC)
        sandbox.setns(handle, sandbox.CLONE_NEWNET)
        os.close(handle)
        _feed(basic, {**options, "_ansible_check_mode": check, "_ansible_diff": diff})
        load(module).main()

    def sh(self, command: Command, check: bool = True) -> str:
        """Run a command on the host and return its output; see ``sh``."""
        return sh(self, command, check)

    def inner(self, name: str) -> Inner:
        """A namespace that a run by the connection ``netns`` has made on the host: the names are the host's own."""
        return Inner(f"{KEPT}/{self.name}", name)

    def save(self, family: str = "ip") -> str:
        """What ``iptables-save`` (or, for ``ip6``, ``ip6tables-save``) prints, without comments and counters."""
        tool = {"ip": "iptables-save", "ip6": "ip6tables-save"}[family]
        text = re.sub(r" ?\[\d+:\d+\]", "", self.sh([tool]))
        return "".join(line + "\n" for line in text.splitlines() if not line.startswith("#"))

    def rules(self) -> str:
        """The rules of the host's backend, IPv4 and IPv6, without counters."""
        if self.backend == "nftables":
            return self.sh("nft -s list ruleset")
        return self.save("ip") + self.save("ip6")

    @contextlib.contextmanager
    def legacy(self) -> Iterator[Host]:
        """The same host with the old iptables: ``with host.legacy() as host: ...``."""
        yield Host(self.name, "legacy", legacy_tools())


def sh(ns: Any, command: Command, check: bool = True) -> str:
    """Run a command (a list, or a line for the shell) in a namespace and return its output.

    :param check: a non-zero exit status is an error, whose text has the command's own words
    :raises AssertionError: the command failed
    """
    words = ["sh", "-c", command] if isinstance(command, str) else list(command)
    done = subprocess.run(
        [*words_into(ns), *words],
        env=getattr(ns, "environ", None),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIME_LIMIT,
        check=False,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{command!r} in {path_of(ns)}: exit status {done.returncode}\n{done.stderr}{done.stdout}")
    return done.stdout


def load(module: str) -> Any:
    """Import a module of the collection, once."""
    return importlib.import_module(f"{COLLECTION}.plugins.modules.{module}")


def forked(function: Callable[[], Any]) -> Dict[str, Any]:
    """Call a function in a forked child; returns its ``status``, ``stdout`` and ``stderr``.

    Output goes to memory files, so a child can never block on a full pipe.
    """
    return together([function])[0]


def together(functions: Sequence[Callable[[], Any]]) -> List[Dict[str, Any]]:
    """Call functions at the same time, each in a child of its own as ``forked`` does."""
    sys.stdout.flush()
    sys.stderr.flush()
    children = []
    for function in functions:
        out, err = os.memfd_create("stdout"), os.memfd_create("stderr")
        child = os.fork()
        if child == 0:
            _be_child(function, out, err)
        children.append((child, out, err))
    return [_ended(*child) for child in children]


def _ended(child: int, out: int, err: int) -> Dict[str, Any]:
    status = os.waitpid(child, 0)[1]
    return {"status": os.waitstatus_to_exitcode(status), "stdout": _drain(out), "stderr": _drain(err)}


def _be_child(function: Callable[[], Any], out: int, err: int) -> NoReturn:
    """The child's whole life. It leaves by ``os._exit``, past pytest's own clean-up."""
    status = _CRASHED
    try:
        signal.alarm(_TIME_LIMIT)
        for target, handle in enumerate((os.open("/dev/null", os.O_RDONLY), out, err)):
            os.dup2(handle, target)
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0, "r"), os.fdopen(1, "w"), os.fdopen(2, "w")
        function()
        status = 0
    except SystemExit as leave:
        status = leave.code if isinstance(leave.code, int) else 0 if leave.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _drain(handle: int) -> str:
    with open(handle, "rb") as file:
        file.seek(0)
        return file.read().decode("utf-8", "replace")


def _feed(basic: Any, options: Dict[str, Any]) -> None:
    """Hand a module its arguments as ansible-core 2.17 to 2.19 do."""
    # The machine's own log hears nothing of it.
    arguments = {"_ansible_remote_tmp": "/run/ansible", "_ansible_keep_remote_files": False, "_ansible_no_log": True}
    arguments = {**arguments, **options}
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode()
    basic._ANSIBLE_PROFILE = "legacy"  # read by 2.19 and later only


def rehearse() -> None:
    """Import what a module's arguments and result need: a child that becomes somebody else may not see its files."""
    from ansible.module_utils import basic

    _feed(basic, {})
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        basic.AnsibleModule(argument_spec={}).exit_json()


def warnings(result: Dict[str, Any]) -> List[str]:
    """The warnings of a module's result; releases of ansible-core differ in the form of one."""
    return [item if isinstance(item, str) else item["event"]["msg"] for item in result.get("warnings", [])]


def _result(module: str, child: Dict[str, Any]) -> Dict[str, Any]:
    lines = child["stdout"].strip().splitlines()
    try:
        result = json.loads(lines[-1])
    except (IndexError, ValueError):
        result = None
    if not isinstance(result, dict) or child["status"] not in (0, 1):
        raise ModuleCrashed(f"{module}: status {child['status']}\n{child['stderr']}{child['stdout']}")
    return result


def legacy_tools() -> Path:
    """A directory whose iptables programs are the old ones; made once per worker, in memory."""
    multi = need("xtables-legacy-multi")
    directory = Path("/run/iptables-legacy")
    directory.mkdir(exist_ok=True)
    for family in ("iptables", "ip6tables"):
        for ending in ("", "-save", "-restore"):
            link = directory / (family + ending)
            if not link.is_symlink():
                link.symlink_to(multi)
    return directory


# The two ends have different indexes, because the kernel tells a veth from a wire by that: with equal
# ones it takes up to a second until it believes the link is up, and IPv6 waits for it.
_CABLE = "link add eth0 index 100 type veth peer name eth0 netns {name}"
_LAN = """\
link set lo up
address add 192.0.2.254/24 dev eth0
address add 2001:db8:1::fe/64 dev eth0 nodad
link set eth0 up
"""
_HOST = """\
link set lo up
address add 192.0.2.1/24 dev eth0
address add 2001:db8:1::1/64 dev eth0 nodad
link set eth0 up
route add default via 192.0.2.254
route add default via 2001:db8:1::fe
"""
_FORWARDING = ("ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/default/forwarding")


def new_host(firewall: str = "nft", backend: str | None = None) -> Host:
    """Make a host and its outside.

    :param firewall: ``nft`` or ``legacy``
    :param backend: the ``firewall_backend`` of module runs that name none
    """
    tools = legacy_tools() if firewall == "legacy" else None
    host = Host(f"h{next(_numbers)}", firewall, tools, backend)
    Path("/etc/resolv.conf").write_text(RESOLV_CONF, encoding="utf-8")
    for name in (host.name, host.lan):
        subprocess.run(["ip", "netns", "add", name], check=True)
        inside(name, _forwarding_off)
    _ip(host.lan, _CABLE.format(name=host.name))
    for name, batch in ((host.lan, _LAN), (host.name, _HOST)):
        inside(name, _no_dad)
        _ip(name, batch)
    inside(host.name, _settle)
    return host


def _ip(name: str, batch: str) -> None:
    subprocess.run(["ip", "-n", name, "-batch", "-"], input=batch, text=True, check=True)


def _forwarding_off() -> None:
    """A new namespace may take these over from the machine."""
    for name in _FORWARDING:
        Path("/proc/sys/net", name).write_text("0\n", encoding="ascii")


def _no_dad() -> None:
    """Link-local addresses hold at once, so that a snapshot does not catch them on the way."""
    Path("/proc/sys/net/ipv6/conf/eth0/accept_dad").write_text("0\n", encoding="ascii")


def _settle() -> None:
    """Wait until eth0 has its link-local address for good: the kernel sees to it by the by."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        rows = [row.split() for row in Path("/proc/thread-self/net/if_inet6").read_text(encoding="ascii").splitlines()]
        flags = [int(row[4], 16) for row in rows if row[0].startswith("fe80") and row[5] == "eth0"]
        if flags and not any(flag & _TENTATIVE for flag in flags):
            return
        time.sleep(0.002)


def clear() -> None:
    """Remove every namespace and every file that a test or a module has made."""
    for name in sorted(NETNS.iterdir()):
        subprocess.run(["umount", "-l", str(name)], stderr=subprocess.DEVNULL, check=False)
        name.unlink()
    for kept in KEPT.glob("*"):
        subprocess.run(["umount", "-l", str(kept)], stderr=subprocess.DEVNULL, check=False)
    for directory in ("/etc/netns", "/etc/sysctl.d", "/run/ansible", str(KEPT)):
        for entry in Path(directory).glob("*"):
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
