#!/usr/bin/python
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_network_info
short_description: Describe a host's Docker-like networking in the words of host_network
version_added: 0.1.0
description:
  - >-
    Reads bridges, endpoints, published ports and forwarding from the kernel, also where
    a Docker daemon made them.
  - Fed back into M(hostnet.docker.host_network), the description changes nothing.
  - >-
    Also looks for what breaks that networking, with the way out of each; see RV(warnings).
author:
  - hostnet.docker contributors (@hostnet)
requirements:
  - pyroute2 >= 0.7.2 on the host
  - iptables or nftables on the host
  - python-iptables >= 1.0.1 on hosts with iptables-legacy (optional)
extends_documentation_fragment:
  - hostnet.docker.attributes.info
options:
  warnings:
    description:
      - >-
        Look for what breaks the host's networking, or will at the next boot: rules of
        two firewalls, settings that files override, missing kernel modules, programs
        that take our devices or rules away. It is told as warnings.
    type: bool
    default: true
  exposure:
    description:
      - Tell what somebody outside can reach, see the result RV(exposure).
    type: bool
    default: true
  counters:
    description:
      - >-
        Tell how many packets the published ports have seen, see the result RV(counters).
    type: bool
    default: true
  metrics:
    description:
      - >-
        Tell both as text for Prometheus' textfile collector, see the result RV(metrics).
    type: bool
    default: true
  rules:
    description:
      - >-
        Tell every rule of the host, whoever made it, with what it is for and how many
        packets it has seen, see the result RV(rules).
    type: bool
    default: false
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
seealso:
  - module: hostnet.docker.host_network
"""

EXAMPLES = r"""
- name: What this host has
  hostnet.docker.host_network_info:
  register: found

- name: The description, fed back in, changes nothing
  hostnet.docker.host_network:
    ip_forward: "{{ found.ip_forward }}"
    bridges: "{{ found.bridges }}"
    endpoints: "{{ found.endpoints }}"
    ports: "{{ found.ports }}"
  check_mode: true

- name: What is wrong with this host's network, and the way out
  ansible.builtin.debug:
    var: found.warnings | default([])

- name: What each rule of the host is for, and how often it was used
  hostnet.docker.host_network_info:
    rules: true
  register: found

- name: The rules that are not Docker's
  ansible.builtin.debug:
    msg: "{{ found.rules | rejectattr('owner', 'equalto', 'docker') | map(attribute='rule') | list }}"
"""

RETURN = r"""
firewall:
  description: >-
    What writes the rules on this host, and why it is not the first choice where it is
    not.
  type: str
  returned: success
  sample: iptables-nft
bridges:
  description: The wanted bridges as they are now, in the words of the options.
  type: list
  elements: dict
  returned: when the task is about bridges
  sample:
    - name: docker0
      bip: 172.17.0.1/16
      icc: true
endpoints:
  description: The wanted endpoints as they are now, in the words of the options.
  type: list
  elements: dict
  returned: when the task is about endpoints
  sample:
    - name: web
      bridge: docker0
      ipv4_address: 172.17.0.2
ports:
  description: What the endpoints of the task publish now, in the words of the options.
  type: list
  elements: dict
  returned: when the task is about ports
  sample:
    - endpoint: web
      published_ports:
        - 8080:80/tcp
ip_forward:
  description: The host's forwarding.
  type: dict
  returned: when the task is about forwarding
  sample:
    ipv4: true
    ipv6: false
user_rules:
  description: The administrator's rules at the head of the forward path, as they were
    given.
  type: list
  elements: dict
  returned: always
  sample:
    - name: no-smtp
      action: drop
      protocol: tcp
      destination_port: '25'
warnings:
  description: >-
    What breaks the host's networking, or will, on which object, and the way out; one
    line each. Ansible shows them as warnings too.
  type: list
  elements: str
  returned: where there are any
  sample:
    - >-
      /etc/sysctl.conf:3 sets net.ipv4.ip_forward = 0, and so overrides net.ipv4.ip_forward
      = 1 at the next boot or sysctl --system; take the line out, or set 1 in a file that
      comes later than /etc/sysctl.conf
interfaces:
  description: >-
    The host's own interfaces that have addresses, with the gateways that default routes
    lead to.
  type: list
  elements: dict
  returned: success
  sample:
    - name: eth0
      addresses:
        - 192.0.2.1/24
      gateways:
        - 192.0.2.254
rules:
  description: >-
    Every rule of both firewall backends, in their order, and the policies that drop.
    With nftables also the elements of maps and sets. Tables of the families arp and bridge
    are left out.
  type: list
  elements: dict
  returned: with O(rules=true)
  sample:
    - backend: iptables
      family: ip
      table: nat
      chain: POSTROUTING
      rule: -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
      packets: 12
      bytes: 720
      owner: docker
      purpose: masquerades what leaves 172.17.0.0/16 by another interface than docker0
  contains:
    backend:
      description: V(iptables) or V(nftables).
      type: str
    family:
      description: V(ip), V(ip6), or another family of nftables.
      type: str
    table:
      description: The rule's table.
      type: str
    chain:
      description: The rule's chain, or the map or set that has the element.
      type: str
    rule:
      description: >-
        The rule without its chain, as C(iptables-save) or C(nft) prints it; V(policy
        DROP) is what the chain does with what no rule decides.
      type: str
    packets:
      description: How many packets it has seen; none where it does not count.
      type: int
    bytes:
      description: How many bytes these were.
      type: int
    owner:
      description: >-
        V(docker) for rules of Docker's layout, V(administrator) for the administrator's
        own, else the program whose names it has, or V(unknown).
      type: str
    purpose:
      description: What it is for, in a sentence that names the bridge, endpoint and port.
      type: str
exposure:
  description: >-
    Every (protocol, address, port) that somebody outside can reach, computed from the
    rules, addresses and routes that are in force, whoever made them: published ports,
    ports of endpoints that can be reached by the endpoints' own addresses, and ports
    that processes of the host listen on. Link-local addresses are left out.
  type: list
  elements: dict
  returned: if O(exposure)
  contains:
    protocol:
      description: V(tcp), V(udp) or V(sctp).
      type: str
      returned: always
    address:
      description: >-
        The address that is asked. V(0.0.0.0) and V(::) are all addresses of the host
        but those of the loopback.
      type: str
      returned: always
    port:
      description: The port that is asked, a number; or a range of them as V(8000-8099).
      type: raw
      returned: always
    interfaces:
      description: By which interfaces those come in who can reach it.
      type: list
      elements: str
      returned: always
    sources:
      description: From which addresses; V(0.0.0.0/0) and V(::/0) are everybody.
      type: list
      elements: str
      returned: always
    endpoint:
      description: >-
        The name of the endpoint that answers. None if it has no name, or if it is the
        host.
      type: str
      returned: always
    container_address:
      description: The address that answers. None for a process of the host.
      type: str
      returned: always
    container_port:
      description: The port that answers, or a range of them. None for a process of the
        host.
      type: raw
      returned: always
    holder:
      description: The process of the host that listens, where it can be seen.
      type: str
      returned: always
    packets:
      description: >-
        New connections (of UDP, flows) that the rule for this very port has let in; None
        if no rule counts it alone.
      type: int
      returned: always
    certain:
      description: >-
        Whether that is so. V(false) where a rule decides that depends on what cannot
        be known, such as the rate or the content of packets, or a set of addresses outside
        of the rules.
      type: bool
      returned: always
  sample:
    - protocol: tcp
      address: 0.0.0.0
      port: 8080
      interfaces:
        - eth0
      sources:
        - 192.0.2.0/24
      endpoint: web
      container_address: 172.17.0.2
      container_port: 80
      holder: null
      packets: 12
      certain: true
counters:
  description: Packets and bytes of every published port, whoever may reach it.
  type: list
  elements: dict
  returned: if O(counters)
  contains:
    endpoint:
      description: The endpoint's name; None if it has none.
      type: str
      returned: always
    protocol:
      description: V(tcp), V(udp) or V(sctp).
      type: str
      returned: always
    host_address:
      description: >-
        The address of the host that it is published on; V(0.0.0.0) and V(::) are all.
        None for a port that has no translation and is reached by the endpoint's own address.
      type: str
      returned: always
    host_port:
      description: The port of the host, or a range of ports that one rule is for. None
        as above.
      type: raw
      returned: always
    container_address:
      description: The endpoint's address.
      type: str
      returned: always
    container_port:
      description: The endpoint's port, or a range.
      type: raw
      returned: always
    packets:
      description: >-
        Packets that the port's rule has seen. Rules of translation see the first packet
        of a connection only, so that these are connections. None if nothing counts the
        port alone.
      type: int
      returned: always
    bytes:
      description: Bytes of these packets.
      type: int
      returned: always
  sample:
    - endpoint: web
      protocol: tcp
      host_address: 0.0.0.0
      host_port: 8080
      container_address: 172.17.0.2
      container_port: 80
      packets: 12
      bytes: 720
metrics:
  description: >-
    Exposure and counters in Prometheus' exposition format, for a file of the node exporter's
    textfile collector as C(hostnet_exposed_port), C(hostnet_published_port_packets_total),
    C(hostnet_published_port_bytes_total).
  type: str
  returned: if O(metrics)
  sample: >-
    hostnet_exposed_port{protocol="tcp",address="0.0.0.0",port="8080",endpoint="web",...}
    1
"""

from ansible_collections.hostnet.docker.plugins.module_utils import _description, _specs
from ansible_collections.hostnet.docker.plugins.module_utils._run import describe_host


def main():
    describe_host(_specs.INFO, _description.description)


if __name__ == "__main__":
    main()
