# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which line of sysctl's files decides about a setting."""

from __future__ import annotations

from typing import Dict, Tuple

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils._layout import sysctl_files
from ansible_collections.hostnet.docker.plugins.module_utils._state import HOST, Key

NAME = "net/ipv4/ip_forward"


@pytest.mark.parametrize(
    "files,names,place",
    [
        ({"/etc/sysctl.d/10-a.conf": "net.ipv4.ip_forward=1"}, (NAME,), "/etc/sysctl.d/10-a.conf:1"),
        ({"/etc/sysctl.d/10-a.conf": "# net.ipv4.ip_forward=1\n;net.ipv4.ip_forward=1\n\nnonsense"}, (NAME,), None),
        (
            {"/usr/lib/sysctl.d/50-b.conf": f"-{NAME} = 0", "/etc/sysctl.d/10-a.conf": f"{NAME} = 1"},
            (NAME,),
            "/usr/lib/sysctl.d/50-b.conf:1",
        ),
        (
            {"/usr/lib/sysctl.d/50-b.conf": f"{NAME} = 0", "/etc/sysctl.d/50-b.conf": "# masked"},
            (NAME,),
            None,
        ),
        (
            {"/etc/sysctl.conf": f"\n{NAME}=0", "/etc/sysctl.d/99-z.conf": f"{NAME}=1"},
            (NAME,),
            "/etc/sysctl.conf:2",
        ),
        ({"/etc/sysctl.conf": "net.ipv4.conf.all.forwarding=0"}, (NAME, "net/ipv4/conf/all/forwarding"), True),
        ({"/etc/sysctl.conf": "net.ipv4.conf.*.rp_filter=2"}, ("net/ipv4/conf/br-a.5/rp_filter",), True),
        ({"/etc/sysctl.conf": "net.ipv4.conf.br-a/5.rp_filter=2"}, ("net/ipv4/conf/br-a.5/rp_filter",), True),
        ({"/etc/sysctl.conf": "net/ipv4/conf/br-a.5/rp_filter=2"}, ("net/ipv4/conf/br-a.5/rp_filter",), True),
        ({"/etc/elsewhere.conf": f"{NAME}=0"}, (NAME,), None),
    ],
)
def test_last_word(files: Dict[str, str], names: Tuple[str, ...], place: object) -> None:
    live = {Key("file", HOST, path): text for path, text in files.items()}
    line = sysctl_files.last_word(list(sysctl_files.lines(live)), names)
    assert (line.place if line and place is not True else line is not None or None) == place
