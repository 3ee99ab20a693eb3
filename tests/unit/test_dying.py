# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host ends are asked whether their other end still lives, what the answers mean, and how long a run waits."""

from __future__ import annotations

import errno
import time
from typing import Any, Dict, List

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils._kernel import dying
from ansible_collections.hostnet.docker.plugins.module_utils._layout import needs
from ansible_collections.hostnet.docker.plugins.module_utils._model import Bridge, Task, Want
from ansible_collections.hostnet.docker.plugins.module_utils._state import Key


def _link(nsid: int | None, kind: str = "veth", **more: Any) -> Dict[str, Any]:
    return {"kind": kind, "nsid": nsid, "peer": None, "index": 7, "master": None, **more}


STATE = {
    Key("link", "host", "read"): _link(1, peer={"netns": "/run/netns/web"}),
    Key("link", "host", "wire"): _link(None),  # both of its ends are on the host
    Key("link", "host", "heard"): _link(2),
    Key("link", "host", "quiet"): _link(3),
    Key("link", "host", "ended"): _link(-1),
    Key("link", "host", "other"): _link(4),
    Key("link", "/run/netns/web", "inside"): _link(5),
    Key("address", "nsid:2", "eth0 172.17.0.2/16"): {"scope": "global"},
}
NAMES = [key.name for key in STATE if key.name != "other"]


def test_who_is_in_question() -> None:
    assert list(dying.hidden(STATE, [*NAMES, "missing"])) == ["heard", "quiet", "ended"]
    assert list(dying.silent(STATE, NAMES)) == ["quiet", "ended"]
    assert dying.silent(STATE, ["read", "wire"]) == {}


class _Kernel:
    """Answers every request alike, and remembers what it was asked."""

    def __init__(self, error: int) -> None:
        self.error = error
        self.asked: List[Any] = []

    def speak(self, *words: Any) -> List[Any]:
        self.asked.append(words)
        if self.error:
            raise OSError(self.error, "")
        return [{}]


@pytest.mark.parametrize(
    "nsid,error,wanted",
    [
        pytest.param(3, 0, False, id="it lives"),
        pytest.param(3, errno.ENOENT, True, id="nobody uses it"),
        pytest.param(3, errno.EINVAL, False, id="an old kernel"),
        pytest.param(3, errno.EPERM, False, id="of somebody else"),
        pytest.param(-1, 0, True, id="it has no id any more"),
    ],
)
def test_who_is_dying(nsid: int, error: int, wanted: bool) -> None:
    kernel = _Kernel(error)
    assert dying.is_dying(kernel, _link(nsid)) is wanted
    assert len(kernel.asked) == (nsid >= 0)


@pytest.mark.parametrize("error", [0, errno.ENODEV])
def test_what_is_there(error: int) -> None:
    assert dying.are_there(_Kernel(error), {"quiet": _link(3)}) == (not error)
    assert not dying.are_there(_Kernel(error), {})


def test_patience() -> None:
    answers = [True, False, False]
    assert dying.Patience().outlasts(answers.pop) and not answers
    patience = dying.Patience(0.03)
    start = time.monotonic()
    assert not patience.outlasts(lambda: False)
    assert 0.03 <= time.monotonic() - start < 1
    assert not patience.outlasts(lambda: True), "it is used up for all of the conversation"


@pytest.mark.parametrize(
    "wants,purge,ports",
    [
        pytest.param([Want(Bridge("br1"), "")], (), (), id="none goes"),
        pytest.param([Want(Bridge("br1"), "", False)], (), ("v1",), id="one goes"),
        pytest.param([Want(Bridge("br1"), "")], ("bridges",), ("v2",), id="all others go"),
        pytest.param([], ("endpoints",), ("v1", "v2"), id="endpoints go"),
    ],
)
def test_who_is_asked(wants: Any, purge: Any, ports: Any) -> None:
    """A bridge can only go if nobody is on it, and so it matters whether its ports are alive."""
    live = {
        Key("link", "host", "br1"): _link(None, "bridge"),
        Key("link", "host", "br2"): _link(None, "bridge"),
        Key("link", "host", "v1"): _link(1, master="br1"),
        Key("link", "host", "v2"): _link(2, master="br2"),
        Key("link", "host", "v3"): _link(3),
    }
    assert needs.needs(Task(bridges=tuple(wants), purge=purge), live).ports == ports
