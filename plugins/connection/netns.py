# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connection into a named network namespace of the control node.

Owns: how a command gets into the namespace. Everything else of a connection is that of the
``local`` plugin. Must not know: the modules.
"""

from __future__ import annotations

DOCUMENTATION = r"""
name: netns
short_description: Run tasks inside a named network namespace of the control node
version_added: 0.1.0
author:
  - hostnet.docker contributors (@hostnet)
description:
  - Runs each command on the control node, in the network namespace that C(ip netns) knows by the given name.
  - Only the network is that of the namespace. Files, processes and users are those of the control node, and
    mounts made by a task, such as new names below C(/run/netns), stay visible to it.
  - Made for throw-away hosts in demonstrations and tests.
requirements:
  - C(nsenter) of util-linux on the control node.
  - The right to enter the namespace. That is root, or the root of the user namespace the network namespace belongs to.
notes:
  - Privilege escalation happens inside the namespace, so it can change from root to another user, not the reverse.
  - Paths below C(/sys/class/net) show the network that C(/sys) was mounted in. Use netlink, as C(ip) does.
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

import os
import shlex
import shutil

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection.local import Connection as LocalConnection

_DIRECTORY = "/run/netns"
_SYSTEM_PATH = ":/usr/sbin:/usr/bin:/sbin:/bin"


class Connection(LocalConnection):
    """The ``local`` connection with each command moved into a network namespace."""

    transport = "hostnet.docker.netns"

    def _connect(self) -> Connection:
        """Check that the namespace is there, so that its absence is an unreachable host.

        :raises AnsibleError: the name cannot be one, or nsenter is missing
        :raises AnsibleConnectionFailure: there is no such namespace
        """
        if not self._connected:
            self._program()
            _check(self._path())
        super()._connect()
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command line inside the namespace: (exit status, stdout, stderr)."""
        words = [self._program(), f"--net={self._path()}", "--", self.get_option("executable"), "-c", cmd]
        return super().exec_command(shlex.join(words), in_data=in_data, sudoable=sudoable)

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


def _check(path: str) -> None:
    """A file that is no namespace is what a namespace leaves behind when its mount is gone."""
    name = os.path.basename(path)
    try:
        is_namespace = os.stat(path).st_dev == os.stat("/proc/self/ns/net").st_dev
    except OSError as error:
        raise AnsibleConnectionFailure(
            f"network namespace {name}: {path}: {error.strerror}; create it with: ip netns add {shlex.quote(name)}"
        ) from error
    if not is_namespace:
        raise AnsibleConnectionFailure(
            f"{path} is a file, but no network namespace; remove it with: ip netns delete {shlex.quote(name)}"
        )
