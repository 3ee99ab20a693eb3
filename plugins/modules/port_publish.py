#!/usr/bin/python
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: port_publish
short_description: Publish ports of endpoints as docker run -p does
version_added: 0.1.0
description:
  - Publishes ports of an endpoint, or of an address on a bridge, on the host.
  - >-
    A host port that another endpoint or a process of the host has is refused, with the
    name of its holder.
author:
  - hostnet.docker contributors (@hostnet)
requirements:
  - pyroute2 >= 0.7.2 on the host
  - iptables or nftables on the host
  - python-iptables >= 1.0.1 on hosts with iptables-legacy (optional)
extends_documentation_fragment:
  - hostnet.docker.attributes
options:
  endpoint:
    description:
      - Name of the endpoint whose ports these are.
    type: str
  container_ip:
    description:
      - >-
        Address on O(bridge) to publish in place of an endpoint, such as that of a container.
    type: str
  bridge:
    description:
      - The bridge that O(container_ip) is on.
    type: str
  published_ports:
    description:
      - >-
        Items of C(docker run -p), such as V("8080:80"), V("127.0.0.1:8080:80/udp"), V("192.0.2.1::80"),
        V("80"), V("8000-8010:80-90") or V("[::1]:8080:80"), or of compose's long form
        with the keys C(target), C(published), C(host_ip), C(protocol) and C(allowed_sources).
        Quote them, YAML reads 22:22 as a number. A port without a host port gets one
        of the host's ephemeral range and keeps it. The list is all that the endpoint
        publishes: what it leaves out is closed, an empty list closes all. Without the
        option the ports stay as they are.
    type: list
    elements: raw
    aliases:
      - ports_published
  publish_all_ports:
    description:
      - >-
        Publish all exposed ports that are not listed on ephemeral ports, as C(docker
        run -P).
    type: bool
    default: false
  default_host_ip:
    description:
      - Host address for items without one, as C(ip) in daemon.json.
    type: str
  allowed_sources:
    description:
      - >-
        CIDRs that may reach the ports, everybody else is dropped. In the long form, an
        item of O(published_ports) may have its own. Without it everybody may.
    type: list
    elements: str
  reserve_ports:
    description:
      - >-
        Keep published ports of the ephemeral range in C(net.ipv4.ip_local_reserved_ports),
        so that no client of the host takes them by chance.
    type: bool
    default: false
  compact_ranges:
    description:
      - >-
        Express a range of ports, such as C(8000-17999:8000-17999), by one rule in place
        of one for each port. With nftables it is one interval of a map, which takes equal
        ports on both sides and a bridge without C(userland_proxy); other ranges are an
        element for each port there, and a warning says so.
    type: bool
    default: false
  exposed_ports:
    description:
      - Ports that the endpoint serves, for O(publish_all_ports).
    type: list
    elements: str
  state:
    description:
      - >-
        V(absent) takes the listed ports back, or all of the endpoint's where none is
        listed.
    type: str
    choices:
      - present
      - absent
    default: present
  ports:
    description:
      - >-
        The ports of several endpoints, each with the options above. Not together with
        them.
    type: list
    elements: dict
    suboptions:
      endpoint:
        description:
          - Name of the endpoint whose ports these are.
        type: str
      container_ip:
        description:
          - >-
            Address on O(ports[].bridge) to publish in place of an endpoint, such as that
            of a container.
        type: str
      bridge:
        description:
          - The bridge that O(ports[].container_ip) is on.
        type: str
      published_ports:
        description:
          - >-
            Items of C(docker run -p), such as V("8080:80"), V("127.0.0.1:8080:80/udp"),
            V("192.0.2.1::80"), V("80"), V("8000-8010:80-90") or V("[::1]:8080:80"), or
            of compose's long form with the keys C(target), C(published), C(host_ip),
            C(protocol) and C(allowed_sources). Quote them, YAML reads 22:22 as a number.
            A port without a host port gets one of the host's ephemeral range and keeps
            it. The list is all that the endpoint publishes: what it leaves out is closed,
            an empty list closes all. Without the option the ports stay as they are.
        type: list
        elements: raw
        aliases:
          - ports_published
      publish_all_ports:
        description:
          - >-
            Publish all exposed ports that are not listed on ephemeral ports, as C(docker
            run -P).
        type: bool
        default: false
      default_host_ip:
        description:
          - Host address for items without one, as C(ip) in daemon.json.
        type: str
      allowed_sources:
        description:
          - >-
            CIDRs that may reach the ports, everybody else is dropped. In the long form,
            an item of O(ports[].published_ports) may have its own. Without it everybody
            may.
        type: list
        elements: str
      reserve_ports:
        description:
          - >-
            Keep published ports of the ephemeral range in C(net.ipv4.ip_local_reserved_ports),
            so that no client of the host takes them by chance.
        type: bool
        default: false
      compact_ranges:
        description:
          - >-
            Express a range of ports, such as C(8000-17999:8000-17999), by one rule in
            place of one for each port. With nftables it is one interval of a map, which
            takes equal ports on both sides and a bridge without C(userland_proxy); other
            ranges are an element for each port there, and a warning says so.
        type: bool
        default: false
      exposed_ports:
        description:
          - Ports that the endpoint serves, for O(ports[].publish_all_ports).
        type: list
        elements: str
      state:
        description:
          - >-
            V(absent) takes the listed ports back, or all of the endpoint's where none
            is listed.
        type: str
        choices:
          - present
          - absent
        default: present
  purge:
    description:
      - Remove what is there in this module's scope and not listed.
    type: bool
    default: false
  ignore:
    description:
      - >-
        Shell patterns of interface names, endpoints and ports (V(8080/tcp)) that O(purge)
        leaves alone.
    type: list
    elements: str
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
  - module: hostnet.docker.veth_endpoint
  - module: hostnet.docker.host_network
"""

EXAMPLES = r"""
- name: A bridge with two endpoints
  hostnet.docker.host_network:
    bridges:
      - name: docker0
    endpoints:
      - name: web
      - name: dns

- name: Port 80 of the endpoint web is port 8080 of the host
  hostnet.docker.port_publish:
    endpoint: web
    published_ports:
      - "8080:80"

- name: Ranges, protocols and bind addresses as docker run -p takes them
  hostnet.docker.port_publish:
    ports:
      - endpoint: dns
        published_ports:
          - "127.0.0.1:5353:53/udp"
          - "9000-9002:9000-9002"
      - endpoint: web
        published_ports:
          - target: 443
            published: "8443"
            allowed_sources:
              - 192.0.2.0/24

- name: A container of a daemon that leaves the rules to this collection
  hostnet.docker.port_publish:
    container_ip: 172.17.0.9
    bridge: docker0
    published_ports:
      - "8081:80"

- name: A port that is taken back
  hostnet.docker.port_publish:
    endpoint: web
    published_ports:
      - "8080:80"
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
ports:
  description: What the endpoints of the task publish now, in the words of the options.
  type: list
  elements: dict
  returned: when the task is about ports
  sample:
    - endpoint: web
      published_ports:
        - 8080:80/tcp
squatters:
  description: >-
    Processes that listen on ports which were published before them. The port's packets
    go to the endpoint all the same; but whoever started the process believes otherwise.
  type: list
  elements: str
  returned: where there are any
  sample:
    - '0.0.0.0:8080/tcp of endpoint web: nginx (pid 812) listens there'
"""

from ansible_collections.hostnet.docker.plugins.module_utils import _options, _specs
from ansible_collections.hostnet.docker.plugins.module_utils._model import Task
from ansible_collections.hostnet.docker.plugins.module_utils._run import run


def to_task(params):
    entries = _options.items(params, _specs.PORT, "ports")
    return Task(ports=_options.ports(entries), **_options.purged(params, "ports"))


def main():
    run(_specs.one_or_many(_specs.PORT, "ports"), to_task)


if __name__ == "__main__":
    main()
