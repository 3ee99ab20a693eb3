#!/usr/bin/python
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ip_forward
short_description: Forwarding of a host as Docker switches it on
version_added: 0.1.0
description:
  - >-
    Switches forwarding on, sets the policy of chain FORWARD by Docker's own rule, and
    keeps it over a reboot.
author:
  - hostnet.docker contributors (@hostnet)
requirements:
  - pyroute2 >= 0.7.2 on the host
  - iptables or nftables on the host
  - python-iptables >= 1.0.1 on hosts with iptables-legacy (optional)
extends_documentation_fragment:
  - hostnet.docker.attributes
options:
  ipv4:
    description:
      - IPv4 forwarding, on or off.
    type: bool
    default: true
  ipv6:
    description:
      - >-
        IPv6 forwarding, on or off. Without it, it is on as soon as a bridge has IPv6,
        and else left alone.
    type: bool
  forward_policy:
    description:
      - >-
        The policy of chain FORWARD. V(auto) is Docker's rule, DROP only if this run switches
        forwarding on, and not where no bridge has rules, as under a daemon with C(iptables:
        false); V(keep) leaves it alone.
    type: str
    choices:
      - auto
      - drop
      - accept
      - keep
    default: auto
  persist:
    description:
      - >-
        Keep forwarding over a reboot by a file for sysctl. From a network namespace that
        has the machine's own files, none is written, and a warning says so.
    type: bool
    default: true
  sysctl_file:
    description:
      - That file. It also remembers what the policy was before, for O(state=absent).
    type: path
    default: /etc/sysctl.d/99-hostnet-docker.conf
  keep_forwarding:
    description:
      - >-
        Foreign bridges (libvirt, LXC) whose forwarding is accepted at the end of chain
        FORWARD although the policy drops. The whole list; without the option those that
        are there stay.
    type: list
    elements: str
  state:
    description:
      - >-
        V(absent) is forwarding off, the policy of chain FORWARD as it was before (without
        O(sysctl_file), V(ACCEPT)), and no file.
    type: str
    choices:
      - present
      - absent
    default: present
  firewall_backend:
    description:
      - >-
        What writes the rules, as C(dockerd --firewall-backend). V(auto) is iptables in
        the host's own variant; nftables on a host that has nothing else, or that was
        given V(nftables) before. On a host whose rules are in the other backend, V(iptables)
        and V(nftables) take all of them along in the same run.
    type: str
    choices:
      - auto
      - iptables
      - nftables
    default: auto
  lock_timeout:
    description:
      - Seconds to wait for another run of this collection on the same host.
    type: int
    default: 60
seealso:
  - module: hostnet.docker.host_network
"""

EXAMPLES = r"""
- name: Forwarding as dockerd switches it on
  hostnet.docker.ip_forward:

- name: Both families, and the policy stays as it is
  hostnet.docker.ip_forward:
    ipv6: true
    forward_policy: keep

- name: Virtual machines on virbr0 are forwarded in spite of the policy
  hostnet.docker.ip_forward:
    forward_policy: drop
    keep_forwarding:
      - virbr0

- name: Everything as it was before
  hostnet.docker.ip_forward:
    state: absent
"""

RETURN = r"""
changes:
  description: >-
    One line for each change, in the order of execution; in check mode those that would
    be made.
  type: list
  elements: str
  returned: success
  sample:
    - create link host docker0
    - update chain ip/nat POSTROUTING (+2 -0 rules)
firewall:
  description: >-
    What writes the rules on this host, and why it is not the first choice where it is
    not.
  type: str
  returned: success
  sample: iptables-nft
boots:
  description: Whether the host is a machine that systemd boots, and not a network namespace.
  type: bool
  returned: success
  sample: true
ip_forward:
  description: The host's forwarding.
  type: dict
  returned: when the task is about forwarding
  sample:
    ipv4: true
    ipv6: false
"""

from ansible_collections.hostnet.docker.plugins.module_utils import _options, _specs
from ansible_collections.hostnet.docker.plugins.module_utils._model import Task
from ansible_collections.hostnet.docker.plugins.module_utils._run import run


def to_task(params):
    return Task(forwarding=_options.forwarding("", params))


def main():
    run(_specs.FORWARD, to_task)


if __name__ == "__main__":
    main()
