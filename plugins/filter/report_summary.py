# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbook hostnet.docker.report says to machines. Must not know: the page."""

from __future__ import annotations

DOCUMENTATION = r"""
name: report_summary
short_description: What a report of hosts with Docker's networking comes to
version_added: 0.1.0
author:
  - hostnet.docker contributors (@hostnet)
description:
  - Lists of host names by verdict, and how many networks, endpoints and ports there are.
positional: _input
options:
  _input:
    description:
      - The hosts, as P(hostnet.docker.report_page#filter) takes them.
    type: list
    elements: dict
    required: true
seealso:
  - plugin: hostnet.docker.report_page
    plugin_type: filter
"""

EXAMPLES = r"""
- name: How many ports of this host others can reach
  ansible.builtin.debug:
    msg: "{{ ([{'name': inventory_hostname, 'info': found}] | hostnet.docker.report_summary).exposed_ports }}"
"""

RETURN = r"""
_value:
  description: >-
    Lists of host names C(drifted), C(clean), C(undeclared) (nothing to compare with) and C(unknown) (not reached or not
    understood), and the numbers C(networks), C(endpoints), C(published_ports) and C(exposed_ports), the ports that
    somebody outside can reach, whoever answers; one that is reached in both families counts once.
  type: dict
"""

from typing import Any, Callable, Dict

from ansible_collections.hostnet.docker.plugins.plugin_utils._report import page


class FilterModule:
    """What ansible looks for."""

    def filters(self) -> Dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"report_summary": page.summary}
