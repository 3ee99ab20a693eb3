# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real sshd on a host of the laboratory, and ansible-playbook that comes to it from the outside.

The keys and the configuration are the test's own, and so is the port. Must not know: what the playbooks do.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

import lab
import playbook

_PORT = 2222
_CONFIG = """\
Port {port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/key.pub
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
UseDNS no
"""
# A connection that nobody answers any more is given up soon, in seconds.
_PATIENCE = "-o ConnectTimeout=5 -o ServerAliveInterval=1 -o ServerAliveCountMax=4"


class Controller(NamedTuple):
    """The outside of a host, at one of its addresses, with the right to log in.

    :ivar source: the address that it comes from
    """

    host: lab.Host
    directory: Path
    source: str

    def play(self, name: str, **variables: Any) -> playbook.Run:
        """Run a playbook of the collection over ssh."""
        inventory = self.directory / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {"far": self._variables(variables)}}}))
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        return self._run([program, "-i", str(inventory), name], playbook.ENVIRONMENT)

    def gets_through(self) -> bool:
        """Whether a new connection still gets through."""
        words = ["ssh", *self._options().split(), f"root@{self._address}", "true"]
        return self._run(words, {}).status == 0

    @property
    def _address(self) -> str:
        return "192.0.2.1"

    def _options(self) -> str:
        directory = self.directory
        return (
            f"-F none -p {_PORT} -i {directory}/key -o BindAddress={self.source} -o BatchMode=yes "
            f"-o StrictHostKeyChecking=no -o UserKnownHostsFile={directory}/known {_PATIENCE}"
        )

    def _variables(self, given: Dict[str, Any]) -> Dict[str, Any]:
        return {
            "ansible_connection": "ssh",
            "ansible_host": self._address,
            "ansible_user": "root",
            "ansible_ssh_common_args": self._options(),
            "ansible_ssh_args": "-o ControlMaster=auto -o ControlPersist=10",
            "ansible_control_path_dir": "/run/ansible-ssh",
            "ansible_python_interpreter": sys.executable,
            "docker_host_packages": False,
            **given,
        }

    def _run(self, words: List[str], environ: Dict[str, str]) -> playbook.Run:
        own = {"ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"), "ANSIBLE_SSH_RETRIES": "0"}
        enter = ["nsenter", f"--net=/run/netns/{self.host.lan}", "--"]
        return playbook.started([*enter, *words], {**os.environ, **environ, **own})


@contextlib.contextmanager
def controller(host: lab.Host, directory: Path, source: str) -> Iterator[Controller]:
    """sshd on the host, and who may log in from ``source``, an address that the host reaches by its default route.

    Skips for an ordinary user: sshd changes to users that his namespace does not have.
    """
    lab.need_root()
    _prepare(directory)
    lab.sh(host.lan, f"ip address add {source}/32 dev lo")
    words = [lab.need("sshd"), "-D", "-e", "-f", str(directory / "sshd_config")]
    with (directory / "sshd.log").open("w") as log:
        server = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{host.name}", "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(host, server, directory / "sshd.log")
        yield Controller(host, directory, source)
    finally:
        server.terminate()
        server.wait()


def _prepare(directory: Path) -> None:
    for name in ("host_key", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / name)], check=True)
    text = _CONFIG.format(port=_PORT, directory=directory)
    (directory / "sshd_config").write_text(text)
    (directory / "ansible.cfg").touch()
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    # Without PAM a locked account cannot log in by key either; the file is a copy in memory.
    shadow = Path("/etc/shadow")
    shadow.write_text(re.sub(r"^root:[^:]*:", "root:*:", shadow.read_text(), flags=re.MULTILINE))


def _wait_for(host: lab.Host, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 30
    while "open" not in lab.probe(host.lan, "192.0.2.1", _PORT):
        assert server.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
