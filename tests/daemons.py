# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real daemons on a host of the laboratory, and a message bus of their own. Must not know: what they do there."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import lab

_BUS = """\
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"""


@contextlib.contextmanager
def running(host: lab.Host, words: List[str], environ: Dict[str, str]) -> Iterator[subprocess.Popen]:
    """A daemon on the host, with a /sys of the host's own; read-only, so that the daemon does not wait for udev."""
    script = 'mount -t sysfs -o ro none /sys && exec "$@"'
    inside = ["nsenter", f"--net=/run/netns/{host.name}", "--", "unshare", "--mount", "sh", "-c", script, "sh"]
    with open(log_of(words), "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*inside, *words], env={**host.environ, **environ}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def log_of(words: List[str]) -> Path:
    """What a daemon has said."""
    return Path("/run", f"{Path(words[0]).name}.log")


def until(found: Callable[[], object], process: subprocess.Popen) -> None:
    """Wait for something that a daemon does, as long as it runs."""
    deadline = time.monotonic() + 40
    while not found():
        assert process.poll() is None and time.monotonic() < deadline, log_of(process.args[9:]).read_text()
        time.sleep(0.2)


@contextlib.contextmanager
def bus(host: lab.Host, directory: Path) -> Iterator[Dict[str, str]]:
    """A system bus on the host; yields the environment by which programs find it."""
    path, config = directory / "bus", directory / "bus.conf"
    config.write_text(_BUS.format(path=path))
    with running(host, [lab.need("dbus-daemon"), f"--config-file={config}", "--nofork"], {}) as daemon:
        until(path.exists, daemon)
        yield {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={path}"}


@contextlib.contextmanager
def dockerd(host: lab.Host, *flags: str) -> Iterator[None]:
    """A process that looks like dockerd, in the host's network namespace; it waits until it is killed."""
    words = ["nsenter", f"--net=/run/netns/{host.name}", "bash", "-c", 'exec -a dockerd bash -c read - "$@"', "-"]
    process = subprocess.Popen([*words, *flags], stdin=subprocess.PIPE)
    try:
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"dockerd\0"):
            time.sleep(0.005)
        yield
    finally:
        process.kill()
        process.communicate()
