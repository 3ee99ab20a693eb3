# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints on several networks: which of them a task takes away. Must not know: rules, the kernel.

Docker calls it ``network connect`` and ``disconnect``; here the endpoint's item says which networks it is on.
"""

from __future__ import annotations

from typing import AbstractSet, List, Mapping, Sequence

from .._model import Endpoint, Task, Want, default_host_interface
from .attachments import Attachment, own_scope, scope_of
from .policy import Rules


def completed(task: Task, there: Mapping[str, Sequence[Attachment]], rules: Mapping[int, Rules]) -> Task:
    """The task with the networks written out that its endpoints are on and shall be on no more."""
    claimed = {(scope_of(want.endpoint), want.endpoint.interface) for want in task.endpoints if _is_on_network(want)}
    dockers = {name for family in rules for name in rules[family].names}
    gone: List[Want] = []
    for want in task.endpoints:
        item = want.endpoint
        scope, count = own_scope(item), len(gone)
        for other in there.get(scope, ()):
            if (scope, other.interface) not in claimed and _is_of(item, other, dockers):
                claimed.add((scope, other.interface))
                former = Endpoint(item.name, netns=item.netns, interface=other.interface, host_interface=other.veth)
                gone.append(Want(former, want.path, False))
        if item.network_mode == "host" and want.present and len(gone) == count:
            gone.append(Want(Endpoint(item.name, netns=item.netns), want.path, False))
    return task._replace(endpoints=(*task.endpoints, *gone))


def _is_on_network(want: Want) -> bool:
    return want.endpoint.network_mode == "bridge"


def _is_of(item: Endpoint, other: Attachment, dockers: AbstractSet[str]) -> bool:
    """Whether one of the pairs in an endpoint's namespace is the endpoint's.

    By the name of its host end; where the endpoint lists its networks, all are that lead to Docker's bridges, in a
    namespace that has a name and is no container's of someone else.
    """
    if item.is_listed and other.is_named and other.network.name in dockers:
        return True
    is_only = item.network_mode != "bridge" and other.veth == item.veth
    return is_only or other.veth == default_host_interface(item.name, other.interface)
