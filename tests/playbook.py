# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of the real ``ansible-playbook`` against hosts of the laboratory.

Must not know: what the roles and modules do.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import lab

ENVIRONMENT = {
    "ANSIBLE_NOCOLOR": "1",
    "ANSIBLE_PIPELINING": "1",
    "ANSIBLE_RETRY_FILES_ENABLED": "0",
    "ANSIBLE_SHOW_CUSTOM_STATS": "1",
    "LC_ALL": "C.UTF-8",
}


class Run(NamedTuple):
    """What a run did: its exit status and all it printed."""

    status: int
    text: str

    @property
    def flat(self) -> str:
        """The output with all white space as single blanks: ansible breaks lines where it likes."""
        return re.sub(r"\s+", " ", self.text)

    def recap(self, word: str) -> int:
        """A number of the recap line of the first host, such as ``changed``."""
        found = re.search(rf"^\S+\s+: .*\b{word}=(\d+)", self.text, re.MULTILINE)
        assert found, self.text
        return int(found.group(1))


def run(host: lab.Host, tasks: str, environ: Dict[str, str] | None = None, **variables: Any) -> Run:
    """Run tasks (YAML text, any indentation) on the host; variables are those of the play."""
    head = "- hosts: all\n  gather_facts: false\n  tasks:\n"
    return run_file(host, head + textwrap.indent(textwrap.dedent(tasks), "    "), [], environ, **variables)


def run_file(
    host: lab.Host, play: str, arguments: List[str], environ: Dict[str, str] | None = None, **variables: Any
) -> Run:
    """Run a playbook: YAML text, or a name such as ``hostnet.docker.converge``."""
    return run_fleet({host: variables}, play, arguments, environ)


def run_fleet(
    hosts: Dict[lab.Host, Dict[str, Any]],
    play: str,
    arguments: List[str],
    environ: Dict[str, str] | None = None,
    directory: Path | None = None,
) -> Run:
    """Run a playbook against hosts, each with variables of its own.

    One host runs it for itself, so that what it makes has its name among the test's own. Several are gone to by the
    connection ``netns``, which gives each names of its own: see ``lab.Host.inner``.

    :param directory: where it is started, by default an empty directory that is removed afterwards
    """
    enter = ["nsenter", f"--net=/run/netns/{next(iter(hosts)).name}", "--"] if len(hosts) == 1 else []
    common = {"ansible_connection": "local" if enter else "hostnet.docker.netns"}
    with tempfile.TemporaryDirectory() as scratch:
        config, inventory, book = (Path(scratch, name) for name in ("ansible.cfg", "inventory.json", "play.yml"))
        config.touch()  # ours comes before the one in the home directory
        inventory.write_text(
            json.dumps(
                {"all": {"hosts": {host.name: _variables(host, {**common, **given}) for host, given in hosts.items()}}}
            )
        )
        if "\n" in play:
            book.write_text(play)
            play = str(book)
        program = Path(sys.executable).with_name("ansible-playbook")
        return started(
            [*enter, str(program), "-i", str(inventory), *arguments, play],
            {**next(iter(hosts)).environ, **ENVIRONMENT, "ANSIBLE_CONFIG": str(config), **(environ or {})},
            directory or scratch,
        )


def on_itself(enter: List[str], book: str, variables: Dict[str, Any]) -> Run:
    """Run a playbook of the collection on a machine and for it.

    :param enter: the words of a command by which another one runs on the machine
    """
    environ = {**ENVIRONMENT, "ANSIBLE_COLLECTIONS_PATH": str(lab.BUILD), "HOME": "/root", "PATH": os.environ["PATH"]}
    words = [f"{name}={value}" for name, value in environ.items()]
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [
        *enter,
        "env",
        "-i",
        *words,
        str(program),
        "-i",
        "localhost,",
        "-c",
        "local",
        "-e",
        json.dumps(variables),
    ]
    return started([*command, book])


def started(words: List[str], environ: Dict[str, str] | None = None, directory: Path | str | None = None) -> Run:
    """Run a command to its end, two minutes at most; what it prints and its errors are one text."""
    done = subprocess.run(
        words,
        env=environ,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return Run(done.returncode, done.stdout)


def _variables(host: lab.Host, given: Dict[str, Any]) -> Dict[str, Any]:
    return {
        "ansible_netns": host.name,
        "ansible_python_interpreter": sys.executable,
        # A test installs nothing on the machine it runs on.
        "docker_host_packages": False,
        "ansible_remote_tmp": "/run/ansible",
        **given,
    }
