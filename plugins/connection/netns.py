# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection into a named network namespace of the control node, and the mount namespace kept beside it.

Owns: how commands and files get into both. Everything else of a connection is that of the ``local``
plugin. Must not know: the modules.
"""

from __future__ import annotations

DOCUMENTATION = r"""
name: netns
short_description: Run tasks inside a named network namespace of the control node
version_added: 0.1.0
author:
  - hostnet.docker contributors (@hostnet)
description:
  - Runs each command on the control node, in the network namespace that C(ip netns) knows by the given name, and in
    a mount namespace that is kept beside it.
  - There C(/run), C(/etc/netns) and C(/etc/sysctl.d) are the host's own and empty at first, and C(/sys) shows its
    network, so that two hosts of one control node can both have an endpoint C(web). All other files, processes
    and users are those of the control node. Where the control node has no C(/etc/netns), all of the host's C(/etc)
    is a copy that stays in memory.
  - What a task mounts, such as new names below C(/run/netns), is there for the tasks that follow, and for nobody else.
  - The mount namespace is kept below C(/run/hostnet-docker) without a process. It lasts as long as the network
    namespace, and is removed when the plugin next makes one.
  - Made for throw-away hosts in demonstrations and tests.
requirements:
  - C(nsenter), C(unshare) and C(mount) of util-linux on the control node.
  - The right to enter the namespace. That is root, or the root of the user namespace the network namespace belongs to.
notes:
  - Privilege escalation happens inside the namespace, so it can change from root to another user, not the reverse.
  - Tasks look into an endpoint of the host with C(ip netns exec web COMMAND), other programs of the control node with
    C(nsenter --mount=/run/hostnet-docker/HOST -- nsenter --net=/run/netns/web COMMAND).
extends_documentation_fragment:
  - connection_pipelining
options:
  netns:
    description:
      - Name of the network namespace, a file below C(/run/netns). A name with a slash or a leading dot is refused.
    type: str
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_netns
  nsenter:
    description:
      - The C(nsenter) program, a name that is looked for on the C(PATH), or a path.
    type: str
    default: nsenter
    vars:
      - name: ansible_netns_nsenter
  executable:
    description:
      - The shell that runs the commands inside the namespace.
    type: str
    default: /bin/sh
    vars:
      - name: ansible_executable
  become_success_timeout:
    description:
      - Seconds to wait for privilege escalation to succeed, read by ansible-core 2.19 and later.
    type: int
    default: 10
    vars:
      - name: ansible_netns_become_success_timeout
  become_strip_preamble:
    description:
      - Leave out what privilege escalation prints before the command's own output, read by ansible-core 2.19 and later.
    type: bool
    default: true
    vars:
      - name: ansible_netns_become_strip_preamble
"""

EXAMPLES = r"""
# ip netns add lab
- name: Show the addresses of a throw-away host
  hosts: lab
  gather_facts: false
  vars:
    ansible_connection: hostnet.docker.netns
    ansible_netns: lab
  tasks:
    - name: List addresses
      ansible.builtin.command: ip address
      changed_when: false
"""

import contextlib
import fcntl
import os
import shlex
import shutil
import subprocess
from typing import Iterator

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection.local import Connection as LocalConnection

_DIRECTORY = "/run/netns"
_KEPT = "/run/hostnet-docker"
_SYSTEM_PATH = ":/usr/sbin:/usr/bin:/sbin:/bin"
# The old names of namespaces are let go, else a namespace would live on after its name was deleted. Making a missing
# directory in /etc would be a write to the control node: then all of /etc is laid over in memory.
_FURNISH = """\
set -eu
umount -R -l /run/netns 2>/dev/null || :
mount -t tmpfs -o mode=755 none /run
mkdir /run/netns /run/lock
mount -t sysfs none /sys 2>/dev/null || :
if [ ! -d /etc/netns ] || [ ! -d /etc/sysctl.d ]; then
    mkdir /run/etc /run/etc/new /run/etc/work
    mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/new,workdir=/run/etc/work none /etc
    mkdir -p /etc/netns /etc/sysctl.d
fi
mount -t tmpfs -o mode=755 none /etc/netns
mount -t tmpfs -o mode=755 none /etc/sysctl.d
"""
# A mount namespace is entered at its root.
_COME_BACK = 'cd "$1" 2>/dev/null || cd /; eval "$2"'


class Connection(LocalConnection):
    """The ``local`` connection with each command and file moved into a host's network and mount namespaces."""

    transport = "hostnet.docker.netns"

    def _connect(self) -> Connection:
        """Check that the namespace is there, so that its absence is an unreachable host; furnish the host once.

        :raises AnsibleError: the name cannot be one, or nsenter is missing
        :raises AnsibleConnectionFailure: there is no such namespace, or no mount namespace can be made
        """
        if not self._connected:
            nsenter, path = self._program(), self._path()
            identity = _identity(path)
            if not _is_kept(os.path.basename(path), identity):
                with _locked():
                    _clear()
                    if not _is_kept(os.path.basename(path), identity):
                        _keep(nsenter, path, identity)
        super()._connect()
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command line inside the namespaces: (exit status, stdout, stderr)."""
        shell = self.get_option("executable")
        words = [*self._enter(), shell, "-c", _COME_BACK, shell, _working_directory(), cmd]
        return super().exec_command(shlex.join(words), in_data=in_data, sudoable=sudoable)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the control node to the host, which may have its own at that place.

        :raises AnsibleFileNotFound: there is no such file
        :raises AnsibleError: it cannot be written
        """
        if not os.path.exists(in_path):
            raise AnsibleFileNotFound(f"file or module does not exist: {in_path}")
        with open(in_path, "rb") as file:
            self._copy(f"cat >{shlex.quote(out_path)}", file.read())

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the host to the control node.

        :raises AnsibleError: it cannot be read
        """
        content = self._copy(f"cat {shlex.quote(in_path)}")
        with open(out_path, "wb") as file:
            file.write(content)

    def _copy(self, command: str, content: bytes | None = None) -> bytes:
        status, out, problem = self.exec_command(command, in_data=content, sudoable=False)
        if status != 0:
            raise AnsibleError(f"{self._path()}: {command}: {problem.decode(errors='replace').strip()}")
        return out

    def _enter(self) -> list[str]:
        path = self._path()
        return [self._program(), f"--net={path}", f"--mount={_kept(os.path.basename(path))}", "--"]

    def _path(self) -> str:
        """The file of the namespace; the name may not lead out of the directory."""
        name = self.get_option("netns")
        if not name or "/" in name or "\0" in name or name.startswith("."):
            raise AnsibleError(
                f"ansible_netns: {name!r} is no name of a network namespace: it must not be empty, "
                "start with a dot or contain a slash"
            )
        return os.path.join(_DIRECTORY, name)

    def _program(self) -> str:
        wanted = self.get_option("nsenter")
        found = shutil.which(wanted, path=os.environ.get("PATH", "") + _SYSTEM_PATH)
        if not found:
            raise AnsibleError(f"{wanted} was not found on the control node: install the package util-linux")
        return found


def _working_directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


def _identity(path: str) -> str:
    """What no other namespace has, not even a later one of the same name.

    :raises AnsibleConnectionFailure: no namespace is there. A file that is none is what a namespace leaves behind
        when its mount is gone.
    """
    name = os.path.basename(path)
    try:
        info = os.stat(path)
    except OSError as error:
        raise AnsibleConnectionFailure(
            f"network namespace {name}: {path}: {error.strerror}; create it with: ip netns add {shlex.quote(name)}"
        ) from error
    if info.st_dev != os.stat("/proc/self/ns/net").st_dev:
        raise AnsibleConnectionFailure(
            f"{path} is a file, but no network namespace; remove it with: ip netns delete {shlex.quote(name)}"
        )
    return f"{info.st_ino} {info.st_ctime_ns}"


def _kept(name: str) -> str:
    """Where the mount namespace of a host is mounted."""
    return os.path.join(_KEPT, name)


def _note(name: str) -> str:
    """The file that says which network namespace a mount namespace belongs to."""
    return os.path.join(_KEPT, f".{name}")


def _is_kept(name: str, identity: str) -> bool:
    try:
        with open(_note(name), encoding="ascii") as file:
            return file.read() == identity and _is_mount_namespace(_kept(name))
    except OSError:
        return False


def _is_mount_namespace(path: str) -> bool:
    return os.stat(path).st_dev == os.stat("/proc/self/ns/mnt").st_dev


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Hosts are furnished one at a time; the directory of their mount namespaces is made by the first."""
    try:
        os.makedirs(_KEPT, mode=0o755, exist_ok=True)
        handle = os.open(_KEPT, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # A mount namespace can only be mounted where mounts are not passed on to other namespaces.
            if not _is_mounted(_KEPT):
                _run(["mount", "--bind", _KEPT, _KEPT])
                _run(["mount", "--make-private", _KEPT])
            yield
        finally:
            os.close(handle)
    except OSError as error:
        raise AnsibleConnectionFailure(f"{_KEPT}: {error.strerror}; this connection needs root's rights") from error


def _is_mounted(path: str) -> bool:
    """Whether a directory is mounted on itself, which leaves the device as it is."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return any(line.split()[4] == path for line in file)


def _keep(nsenter: str, path: str, identity: str) -> None:
    """Make and furnish the mount namespace of a host.

    :raises AnsibleConnectionFailure: with the words of the program that failed
    """
    name = os.path.basename(path)
    with open(_kept(name), "x", encoding="ascii"):
        pass
    try:
        _unshare(nsenter, path)
        with open(_note(name), "w", encoding="ascii") as file:
            file.write(identity)
    except BaseException:
        _let_go(name)
        raise


def _unshare(nsenter: str, path: str) -> None:
    """Make the mount namespace, and furnish it.

    A kernel mounts younger mount namespaces only, by their numbers, and Linux 6.18 deals these out to each processor in
    advance: what comes from another one than ours can pass for older. The right one is found by trying.
    """
    kept = _kept(os.path.basename(path))
    unshare = ["unshare", f"--mount={kept}", "--propagation", "slave", "--", "sh", "-c", _FURNISH]
    refused = None
    for pinned in ([], *(["taskset", "--cpu-list", str(cpu)] for cpu in sorted(os.sched_getaffinity(0)))):
        try:
            return _run([nsenter, f"--net={path}", "--", *pinned, *unshare])
        except AnsibleConnectionFailure as error:
            if _is_mount_namespace(kept):
                raise
            refused = refused or error
    raise refused


def _clear() -> None:
    """Let go of the mount namespaces of hosts that are no more."""
    for name in os.listdir(_KEPT):
        if name.startswith("."):
            continue
        try:
            is_current = _is_kept(name, _identity(os.path.join(_DIRECTORY, name)))
        except AnsibleConnectionFailure:
            is_current = False
        if not is_current:
            _let_go(name)


def _let_go(name: str) -> None:
    subprocess.run(["umount", "-l", _kept(name)], stderr=subprocess.DEVNULL, check=False)
    for path in (_kept(name), _note(name)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _run(words: list[str]) -> None:
    environ = {**os.environ, "PATH": os.environ.get("PATH", "") + _SYSTEM_PATH, "LC_ALL": "C"}
    try:
        subprocess.run(words, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or type(error).__name__
        raise AnsibleConnectionFailure(f"{' '.join(words[:5])}: {said.strip()}") from None
