#!/usr/bin/python
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: veth_endpoint
short_description: Network namespaces joined to a bridge as Docker joins containers
version_added: 0.1.0
description:
  - >-
    Makes an endpoint as the Docker Engine does for a container, with its veth pair, addresses,
    routes and files.
  - C(ip netns exec NAME) runs a program inside of it.
author:
  - hostnet.docker contributors (@hostnet)
requirements:
  - pyroute2 >= 0.7.2 on the host
  - iptables or nftables on the host
  - python-iptables >= 1.0.1 on hosts with iptables-legacy (optional)
extends_documentation_fragment:
  - hostnet.docker.attributes
options:
  name:
    description:
      - >-
        Name of the endpoint, as a container's. Its network namespace has the same name
        unless O(netns) says otherwise.
    type: str
  bridge:
    description:
      - The bridge that it is on.
    type: str
    default: docker0
  network_mode:
    description:
      - >-
        V(bridge), V(none) for a namespace with C(lo) only, V(host) for the host's own
        namespace, or V(container:NAME) to share the namespace of another endpoint.
    type: str
    default: bridge
  netns:
    description:
      - >-
        The network namespace, by name (C(ip netns) shows it). V(pid:N) or an absolute
        path joins an existing one, which is then never deleted and whose files are left
        alone.
    type: str
  interface:
    description:
      - Name of the interface inside of the namespace.
    type: str
    default: eth0
  host_interface:
    description:
      - >-
        Name of the host's end. Without it V(veth) and seven hex digits that follow from
        the name.
    type: str
  ipv4_address:
    description:
      - >-
        IPv4 address on the bridge's subnet. Without it the one it has, else the lowest
        free.
    type: str
  ipv6_address:
    description:
      - >-
        IPv6 address on the bridge's subnet. Without it the one it has, else the lowest
        free.
    type: str
  mac_address:
    description:
      - >-
        MAC address of O(interface). Without it one that follows from the name and the
        machine.
    type: str
  networks:
    description:
      - >-
        The networks of an endpoint that is on several, in place of O(bridge), O(interface),
        O(host_interface), the addresses and O(mac_address). The list is all that the
        endpoint is on: it leaves what is listed no more, as by C(docker network disconnect).
        The default route and the published ports are on one of them, see C(gw_priority).
    type: list
    elements: dict
    suboptions:
      bridge:
        description:
          - The bridge of the network; each can be listed once.
        type: str
        default: docker0
      interface:
        description:
          - >-
            Name of the interface inside of the namespace. Without it C(eth0), C(eth1)
            and so on in the list's order.
        type: str
      host_interface:
        description:
          - >-
            Name of the host's end. Without it V(veth) and seven hex digits that follow
            from the name and the interface.
        type: str
      ipv4_address:
        description:
          - >-
            IPv4 address on the bridge's subnet. Without it the one it has, else the lowest
            free.
        type: str
      ipv6_address:
        description:
          - >-
            IPv6 address on the bridge's subnet. Without it the one it has, else the lowest
            free.
        type: str
      mac_address:
        description:
          - >-
            MAC address of the interface. Without it one that follows from the name and
            the machine.
        type: str
      gw_priority:
        description:
          - >-
            The network with the highest number gets the default route and the published
            ports, as with C(docker network connect --gw-priority); of equal ones the
            first by name. An internal network only if all are.
        type: int
        default: 0
  mtu:
    description:
      - MTU in bytes of both ends. Without it the bridge's.
    type: int
  default_gateway:
    description:
      - The default route goes to this address of the subnet in place of the bridge's.
    type: str
  hostname:
    description:
      - >-
        Host name in the endpoint's C(/etc/hosts) and C(/etc/hostname). Without it the
        name.
    type: str
  domainname:
    description:
      - Domain that is added to the host name in C(/etc/hosts).
    type: str
  dns_servers:
    description:
      - Nameservers in place of the host's.
    type: list
    elements: str
  dns_search_domains:
    description:
      - Search domains in place of the host's; V(.) means none.
    type: list
    elements: str
  dns_opts:
    description:
      - Resolver options in place of the host's.
    type: list
    elements: str
  etc_hosts:
    description:
      - >-
        Further hosts entries, name to address. V(host-gateway) is the address of docker0.
    type: dict
  links:
    description:
      - >-
        Legacy links, V(name) or V(name:alias): the other endpoint's address under its
        alias in C(/etc/hosts) and, on a bridge without C(icc), rules for its exposed
        ports.
    type: list
    elements: str
  exposed_ports:
    description:
      - >-
        Ports that the endpoint serves, as C(EXPOSE) in an image, such as V(80) or V(53/udp).
    type: list
    elements: str
  state:
    description:
      - >-
        V(absent) takes the endpoint, its ports and, if this collection made it, its namespace
        away.
    type: str
    choices:
      - present
      - absent
    default: present
  endpoints:
    description:
      - The endpoints, each with the options above. Not together with them.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - >-
            Name of the endpoint, as a container's. Its network namespace has the same
            name unless O(endpoints[].netns) says otherwise.
        type: str
        required: true
      bridge:
        description:
          - The bridge that it is on.
        type: str
        default: docker0
      network_mode:
        description:
          - >-
            V(bridge), V(none) for a namespace with C(lo) only, V(host) for the host's
            own namespace, or V(container:NAME) to share the namespace of another endpoint.
        type: str
        default: bridge
      netns:
        description:
          - >-
            The network namespace, by name (C(ip netns) shows it). V(pid:N) or an absolute
            path joins an existing one, which is then never deleted and whose files are
            left alone.
        type: str
      interface:
        description:
          - Name of the interface inside of the namespace.
        type: str
        default: eth0
      host_interface:
        description:
          - >-
            Name of the host's end. Without it V(veth) and seven hex digits that follow
            from the name.
        type: str
      ipv4_address:
        description:
          - >-
            IPv4 address on the bridge's subnet. Without it the one it has, else the lowest
            free.
        type: str
      ipv6_address:
        description:
          - >-
            IPv6 address on the bridge's subnet. Without it the one it has, else the lowest
            free.
        type: str
      mac_address:
        description:
          - >-
            MAC address of O(endpoints[].interface). Without it one that follows from
            the name and the machine.
        type: str
      networks:
        description:
          - >-
            The networks of an endpoint that is on several, in place of O(endpoints[].bridge),
            O(endpoints[].interface), O(endpoints[].host_interface), the addresses and
            O(endpoints[].mac_address). The list is all that the endpoint is on: it leaves
            what is listed no more, as by C(docker network disconnect). The default route
            and the published ports are on one of them, see C(gw_priority).
        type: list
        elements: dict
        suboptions:
          bridge:
            description:
              - The bridge of the network; each can be listed once.
            type: str
            default: docker0
          interface:
            description:
              - >-
                Name of the interface inside of the namespace. Without it C(eth0), C(eth1)
                and so on in the list's order.
            type: str
          host_interface:
            description:
              - >-
                Name of the host's end. Without it V(veth) and seven hex digits that follow
                from the name and the interface.
            type: str
          ipv4_address:
            description:
              - >-
                IPv4 address on the bridge's subnet. Without it the one it has, else the
                lowest free.
            type: str
          ipv6_address:
            description:
              - >-
                IPv6 address on the bridge's subnet. Without it the one it has, else the
                lowest free.
            type: str
          mac_address:
            description:
              - >-
                MAC address of the interface. Without it one that follows from the name
                and the machine.
            type: str
          gw_priority:
            description:
              - >-
                The network with the highest number gets the default route and the published
                ports, as with C(docker network connect --gw-priority); of equal ones
                the first by name. An internal network only if all are.
            type: int
            default: 0
      mtu:
        description:
          - MTU in bytes of both ends. Without it the bridge's.
        type: int
      default_gateway:
        description:
          - The default route goes to this address of the subnet in place of the bridge's.
        type: str
      hostname:
        description:
          - >-
            Host name in the endpoint's C(/etc/hosts) and C(/etc/hostname). Without it
            the name.
        type: str
      domainname:
        description:
          - Domain that is added to the host name in C(/etc/hosts).
        type: str
      dns_servers:
        description:
          - Nameservers in place of the host's.
        type: list
        elements: str
      dns_search_domains:
        description:
          - Search domains in place of the host's; V(.) means none.
        type: list
        elements: str
      dns_opts:
        description:
          - Resolver options in place of the host's.
        type: list
        elements: str
      etc_hosts:
        description:
          - >-
            Further hosts entries, name to address. V(host-gateway) is the address of
            docker0.
        type: dict
      links:
        description:
          - >-
            Legacy links, V(name) or V(name:alias): the other endpoint's address under
            its alias in C(/etc/hosts) and, on a bridge without C(icc), rules for its
            exposed ports.
        type: list
        elements: str
      exposed_ports:
        description:
          - >-
            Ports that the endpoint serves, as C(EXPOSE) in an image, such as V(80) or
            V(53/udp).
        type: list
        elements: str
      state:
        description:
          - >-
            V(absent) takes the endpoint, its ports and, if this collection made it, its
            namespace away.
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
  - module: hostnet.docker.docker_bridge
  - module: hostnet.docker.port_publish
  - module: hostnet.docker.host_network
"""

EXAMPLES = r"""
- name: The bridges that the endpoints are on
  hostnet.docker.docker_bridge:
    bridges:
      - name: docker0
      - name: br-front

- name: An endpoint with the lowest free address
  hostnet.docker.veth_endpoint:
    name: web

- name: An endpoint with an address, a host name and nameservers of its own
  hostnet.docker.veth_endpoint:
    name: db
    ipv4_address: 172.17.0.10
    hostname: db1
    domainname: corp.example
    dns_servers:
      - 192.0.2.53
    etc_hosts:
      gateway: host-gateway

- name: An endpoint on two networks, with the default route through the second
  hostnet.docker.veth_endpoint:
    name: proxy
    networks:
      - bridge: docker0
      - bridge: br-front
        gw_priority: 1

- name: A namespace without a network, and one that shares another's
  hostnet.docker.veth_endpoint:
    endpoints:
      - name: alone
        network_mode: none
      - name: sidecar
        network_mode: container:web

- name: Nothing but these two endpoints
  hostnet.docker.veth_endpoint:
    endpoints:
      - name: web
      - name: db
        ipv4_address: 172.17.0.10
    purge: true

- name: An endpoint that is gone
  hostnet.docker.veth_endpoint:
    name: db
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
endpoints:
  description: The wanted endpoints as they are now, in the words of the options.
  type: list
  elements: dict
  returned: when the task is about endpoints
  sample:
    - name: web
      bridge: docker0
      ipv4_address: 172.17.0.2
"""

from ansible_collections.hostnet.docker.plugins.module_utils import _options, _specs
from ansible_collections.hostnet.docker.plugins.module_utils._model import Task
from ansible_collections.hostnet.docker.plugins.module_utils._run import run


def to_task(params):
    entries = _options.items(params, _specs.ENDPOINT, "endpoints")
    return Task(endpoints=_options.endpoints(entries), **_options.purged(params, "endpoints"))


def main():
    run(_specs.one_or_many(_specs.ENDPOINT, "endpoints", required="name"), to_task)


if __name__ == "__main__":
    main()
