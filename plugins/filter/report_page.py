# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of playbook hostnet.docker.report. Must not know: what is on it, how it is drawn."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report_page
short_description: One self-contained HTML page about hosts with Docker's networking
version_added: 0.1.0
author:
  - hostnet.docker contributors (@hostnet)
description:
  - Draws the topology of each host and writes tables of its networks, endpoints and rules, and what has drifted.
  - The page needs nothing beside itself. Every name on it is escaped.
requirements:
  - C(dot) of graphviz on the control node.
positional: _input
options:
  _input:
    description:
      - The hosts. Each has a C(name) and, where there are any, C(info), what M(hostnet.docker.host_network_info)
        returned; C(changes) and C(diff), what M(hostnet.docker.host_network) returned in check mode; C(failure), why
        there is none of it.
    type: list
    elements: dict
    required: true
  title:
    description: The heading of the page.
    type: str
    default: Docker's host networking
  made:
    description: When the hosts were looked at, as it shall be shown.
    type: str
    default: ''
seealso:
  - plugin: hostnet.docker.report_summary
    plugin_type: filter
"""

EXAMPLES = r"""
- name: A page about one host
  ansible.builtin.copy:
    dest: report.html
    mode: "0644"
    content: "{{ [{'name': inventory_hostname, 'info': found}] | hostnet.docker.report_page }}"
  delegate_to: localhost
"""

RETURN = r"""
_value:
  description: The page.
  type: str
"""

from typing import Any, Callable, Dict, List, Mapping

from ansible.errors import AnsibleFilterError
from ansible_collections.hostnet.docker.plugins.plugin_utils._report import page
from ansible_collections.hostnet.docker.plugins.plugin_utils._report.drawing import NotDrawn


def report_page(found: List[Mapping[str, Any]], title: str = "Docker's host networking", made: str = "") -> str:
    """The page; see DOCUMENTATION."""
    try:
        return page.render(found, title, made)
    except NotDrawn as error:
        raise AnsibleFilterError(f"report_page: {error}") from error


class FilterModule:
    """What ansible looks for."""

    def filters(self) -> Dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"report_page": report_page}
