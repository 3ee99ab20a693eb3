# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make demo``: a throw-away host, the role, a published web server, and nothing left behind.

Owns: the show. Everything happens in network and mount namespaces of this process's own, which end
with it, so the machine's network and files are not touched. Any step that fails ends the demo with
exit status 1.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))

import sandbox  # noqa: E402

SCRATCH = Path("/etc/hostnet-demo")  # in memory: what is new in /etc is the sandbox's own, and the host sees it
PAGE = "Hello from an endpoint on docker0."
HOST, OUTSIDE = "host", "outside"
_TOPOLOGY = f"""\
link set lo up
link add eth0 index 100 type veth peer name eth0 netns {OUTSIDE}
address add 192.0.2.1/24 dev eth0
link set eth0 up
route add default via 192.0.2.254
"""
_OUTSIDE = """\
link set lo up
address add 192.0.2.254/24 dev eth0
link set eth0 up
"""
_FETCH = """\
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(sys.argv[1], timeout=5).read().decode())
"""


class Failed(Exception):
    """A step did not show what it should; the message says what happened instead."""


def main() -> None:
    """Run the show; exit status 1 if a step fails."""
    is_root = os.geteuid() == 0
    started = time.monotonic()
    try:
        sandbox.own_processes()
        sandbox.enter()
        environ = _environment(is_root)
        _show(environ)
    except (Failed, sandbox.NoSandbox) as error:
        sys.exit(f"\nThe demo failed: {error}")
    took = time.monotonic() - started
    print(f"\nDone in {took:.0f} s. The namespaces end here; this machine's network was not touched.")


def _show(environ: Dict[str, str]) -> None:
    _step("A throw-away host 192.0.2.1 and a client 192.0.2.254 outside of it, as network namespaces")
    _build(environ)
    print(_in(HOST, ["ip", "-br", "address"], environ))
    empty = _rules(environ)

    _step("ansible-playbook demo/playbook.yml: docker0, an endpoint `web`, port 8080 published")
    print(_indented((HERE / "playbook.yml").read_text(encoding="utf-8")))
    print(_play(environ))

    with _web_server(environ):
        _step("The outside client fetches http://192.0.2.1:8080/")
        _fetch(OUTSIDE, "http://192.0.2.1:8080/", environ)
        _step("The host fetches http://127.0.0.1:8080/ - no proxy process is involved")
        _fetch(HOST, "http://127.0.0.1:8080/", environ)

    _step("The rules: Docker's, with nothing of Docker installed (iptables-save)")
    print(_rules(environ))

    _step("The same playbook again: nothing to do")
    print(_expect(_play(environ), "changed=0"))

    _step("docker_host_state=absent: everything is taken back")
    print(_play(environ, "-e", "docker_host_state=absent"))
    left = _jumps(_rules(environ))
    if left != _jumps(empty) or "docker0" in _in(HOST, ["ip", "-br", "link"], environ):
        raise Failed(f"something was left behind:\n{_rules(environ)}")


def _environment(is_root: bool) -> Dict[str, str]:
    """The environment of all that runs: ansible keeps its own files in memory too."""
    SCRATCH.mkdir()
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    if not is_root:
        path = f"{_nft_tools(path)}:{path}"
    (SCRATCH / "ansible.cfg").touch()
    return {
        **os.environ,
        "PATH": path,
        "HOME": str(SCRATCH),
        "ANSIBLE_CONFIG": str(SCRATCH / "ansible.cfg"),
        "ANSIBLE_HOME": str(SCRATCH / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(HERE.parent / ".build"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_NOCOLOR": "1",
        "LC_ALL": "C.UTF-8",
    }


def _nft_tools(path: str) -> Path:
    """A directory with iptables-nft: the old tables may be out of reach in a user namespace."""
    directory = SCRATCH / "bin"
    directory.mkdir()
    multi = shutil.which("xtables-nft-multi", path=path)
    for name in ("iptables", "ip6tables"):
        for ending in ("", "-save", "-restore"):
            if multi:
                (directory / (name + ending)).symlink_to(multi)
    return directory


def _build(environ: Dict[str, str]) -> None:
    for name in (HOST, OUTSIDE):
        _run(["ip", "netns", "add", name], environ)
    for name, batch in ((HOST, _TOPOLOGY), (OUTSIDE, _OUTSIDE)):
        _run(["ip", "-n", name, "-batch", "-"], environ, batch)
    variables = {
        "ansible_connection": "hostnet.docker.netns",
        "ansible_netns": HOST,
        "ansible_python_interpreter": sys.executable,
        "ansible_remote_tmp": str(SCRATCH / "tmp"),
        "docker_host_packages": False,
    }
    (SCRATCH / "hosts.json").write_text(json.dumps({"all": {"hosts": {"demo": variables}}}), encoding="utf-8")


def _play(environ: Dict[str, str], *arguments: str) -> str:
    """Run the playbook; returns what it changed and the recap."""
    program = [sys.executable, "-m", "ansible", "playbook"]
    began = time.monotonic()
    text = _run([*program, "-i", str(SCRATCH / "hosts.json"), *arguments, str(HERE / "playbook.yml")], environ)
    recap = re.search(r"^demo +: (.*?) +skipped=", text, re.MULTILINE)
    if not recap:
        raise Failed(f"ansible-playbook printed no recap:\n{text}")
    return _indented(f"demo: {' '.join(recap.group(1).split())}   ({time.monotonic() - began:.1f} s)")


@contextlib.contextmanager
def _web_server(environ: Dict[str, str]) -> Iterator[None]:
    """A web server in the endpoint, for as long as the block lasts."""
    pages = SCRATCH / "www"
    pages.mkdir()
    (pages / "index.html").write_text(PAGE, encoding="utf-8")
    _step("python3 -m http.server 80, started inside the endpoint `web`")
    print(_in("web", ["ip", "-br", "address"], environ))
    command = [*_enter("web"), sys.executable, "-m", "http.server", "80", "--directory", str(pages)]
    server = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(environ)
        yield
    finally:
        server.terminate()
        server.wait()


def _wait_for(environ: Dict[str, str]) -> None:
    """Until the server listens, at most ten seconds."""
    for _attempt in range(100):
        if ":80" in _in("web", ["ss", "-Hltn"], environ):
            return
        time.sleep(0.1)
    raise Failed("the web server did not start")


def _fetch(name: str, url: str, environ: Dict[str, str]) -> None:
    print(_expect(_in(name, [sys.executable, "-c", _FETCH, url], environ), PAGE))


def _rules(environ: Dict[str, str]) -> str:
    text = re.sub(r" ?\[\d+:\d+\]", "", _in(HOST, ["iptables-save"], environ))
    return "\n".join(line for line in text.splitlines() if "#" not in line and "COMMIT" not in line)


def _jumps(rules: str) -> List[str]:
    """The rules proper, without the names of tables and built-in chains."""
    return [line for line in rules.splitlines() if line.strip().startswith("-A") or " - " in f"{line} "]


def _expect(text: str, words: str) -> str:
    if words not in text:
        raise Failed(f"expected `{words}`, got:\n{text}")
    return text


def _in(name: str, command: List[str], environ: Dict[str, str]) -> str:
    return _indented(_run([*_enter(name), *command], environ))


def _enter(name: str) -> List[str]:
    """The names of endpoints are the host's own, in the mount namespace that the connection keeps for it."""
    host = [] if name in (HOST, OUTSIDE) else ["nsenter", f"--mount=/run/hostnet-docker/{HOST}", "--"]
    return [*host, "nsenter", f"--net=/run/netns/{name}", "--"]


def _run(command: List[str], environ: Dict[str, str], given: str = "") -> str:
    """Run a command and return what it printed.

    :raises Failed: its exit status is not 0, or it is not there
    """
    try:
        done = subprocess.run(
            command, env=environ, input=given, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(str(error)) from error
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())


_steps = 0


def _step(text: str) -> None:
    global _steps
    _steps += 1
    print(f"\n{_steps}. {text}", flush=True)


if __name__ == "__main__":
    main()
