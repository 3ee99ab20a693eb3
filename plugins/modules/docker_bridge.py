#!/usr/bin/python
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_bridge
short_description: Bridges with Docker's default networking
version_added: 0.1.0
description:
  - >-
    Makes a bridge as the Docker Engine makes docker0 or a user network, with a free private
    subnet, its rules and settings.
  - No Docker daemon is needed.
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
      - Name of the bridge, at most 15 bytes.
    type: str
    default: docker0
    aliases:
      - bridge
  bip:
    description:
      - >-
        The bridge's IPv4 address with its prefix length, such as V(172.17.0.1/16), as
        C(bip) in daemon.json. Without it an existing bridge keeps its own, and a new
        one gets the first free subnet of the pools.
    type: str
  bip6:
    description:
      - >-
        The bridge's IPv6 address with its prefix length. Without it the first /64 of
        the host's own ULA pool.
    type: str
  fixed_cidr:
    description:
      - >-
        The part of the subnet that endpoints get their addresses from, as C(fixed-cidr)
        in daemon.json. Given alone it is the subnet. The kernel does not keep it, so
        give it wherever endpoints of the bridge are made.
    type: str
  fixed_cidr_v6:
    description:
      - The same for IPv6.
    type: str
  default_address_pools:
    description:
      - >-
        Pools that subnets are cut from in place of Docker's own (172.17.0.0/16 to 172.31.0.0/16,
        then 192.168.0.0/16 by /20), lowest address first.
    type: list
    elements: dict
    suboptions:
      base:
        description:
          - The network that subnets are cut from, in CIDR form.
        type: str
        required: true
      size:
        description:
          - Prefix length of the subnets.
        type: int
        required: true
  mtu:
    description:
      - >-
        MTU in bytes of the bridge and of the endpoints on it, or V(auto), which follows
        the interface of the default route. Without it the kernel's choice.
    type: str
  clamp_mss:
    description:
      - >-
        Lower the segment size of TCP connections through the bridge to the path's MTU,
        which helps where ICMP is filtered. Docker has no such option.
    type: bool
    default: false
  hardened:
    description:
      - >-
        Close what Docker's own rules leave open. Endpoints that forge packets reach services
        of the host that listen on 127.0.0.1, unless C(userland_proxy) is true. Internal
        networks are reached by packets with a forged source of their own where the policy
        of chain FORWARD is ACCEPT (iptables), and reach ports that other networks publish
        (nftables).
    type: bool
    default: false
  exclude_subnets:
    description:
      - Subnets that no subnet chosen from a pool may overlap.
    type: list
    elements: str
  avoid_routes:
    description:
      - >-
        Which routes of the host a subnet chosen from a pool must not overlap. V(on_link)
        is what Docker does, V(all) also looks at routes via a gateway, V(none) at none,
        also for a subnet that is given; addresses of the host are always avoided.
    type: str
    choices:
      - on_link
      - all
      - none
    default: on_link
  icc:
    description:
      - >-
        Whether endpoints on this bridge may talk to each other (inter-container communication).
    type: bool
    default: true
    aliases:
      - enable_icc
  ip_masq:
    description:
      - Whether traffic that leaves the network gets the address of the host.
    type: bool
    default: true
    aliases:
      - enable_ip_masquerade
  internal:
    description:
      - Whether the network is cut off from everything outside of it.
    type: bool
    default: false
  ipv4:
    description:
      - >-
        Whether the network has IPv4, as C(docker network create --ipv4). V(false) needs
        O(ipv6=true).
    type: bool
    default: true
    aliases:
      - enable_ipv4
  ipv6:
    description:
      - Whether the network has IPv6 beside IPv4.
    type: bool
    default: false
    aliases:
      - enable_ipv6
  inhibit_ipv4:
    description:
      - >-
        Leave the bridge without its IPv4 address, as C(com.docker.network.bridge.inhibit_ipv4)
        does: whoever routes for the network has it. Endpoints keep their default route
        through that address, which is O(bip)'s.
    type: bool
    default: false
  reserved_addresses:
    description:
      - >-
        Addresses of the subnet that no endpoint gets by itself, as C(docker network create
        --aux-address). The kernel does not keep them, so give them wherever endpoints
        of the bridge are made.
    type: list
    elements: str
  gateway_mode_ipv4:
    description:
      - >-
        How the network is reached from outside. V(nat) translates addresses and closes
        unpublished ports, V(nat-unprotected) translates and leaves them open, V(routed)
        does not translate, V(isolated) leaves the bridge without an address and needs
        O(internal=true).
    type: str
    choices:
      - nat
      - nat-unprotected
      - routed
      - isolated
    default: nat
  gateway_mode_ipv6:
    description:
      - The same for IPv6.
    type: str
    choices:
      - nat
      - nat-unprotected
      - routed
      - isolated
    default: nat
  host_ipv4:
    description:
      - >-
        The address that traffic leaving the network gets, in place of the outgoing interface's.
    type: str
  host_ipv6:
    description:
      - The same for IPv6.
    type: str
  trusted_host_interfaces:
    description:
      - >-
        Interfaces of the host whose traffic may reach endpoints by their own addresses,
        where others are dropped.
    type: list
    elements: str
  allow_direct_routing:
    description:
      - >-
        Whether published ports may be reached by the endpoint's own address from outside
        of the bridge.
    type: bool
    default: false
  bridge_accept_fwmark:
    description:
      - >-
        Packets with this mark are forwarded whatever else the rules say, such as V(0x1/0xff).
    type: str
  userland_proxy:
    description:
      - >-
        Make the rules as for a daemon with C(docker-proxy). There is no proxy process
        here, so the default makes 127.0.0.1 and an endpoint's own published ports work
        in the kernel instead.
    type: bool
    default: false
  iptables:
    description:
      - Whether the network gets IPv4 rules.
    type: bool
    default: true
  ip6tables:
    description:
      - Whether the network gets IPv6 rules.
    type: bool
    default: true
  mac_address:
    description:
      - >-
        The bridge's MAC address. A new bridge gets one that follows from its name and
        the machine.
    type: str
  create:
    description:
      - >-
        V(false) means that the bridge was made by someone else, as with C(dockerd -b);
        it must exist and is neither made nor deleted.
    type: bool
    default: true
  state:
    description:
      - >-
        V(absent) takes the bridge and its rules away. A bridge with endpoints that stay
        is refused, as C(docker network rm) does.
    type: str
    choices:
      - present
      - absent
    default: present
  bridges:
    description:
      - The bridges, each with the options above. Not together with them.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the bridge, at most 15 bytes.
        type: str
        default: docker0
        aliases:
          - bridge
      bip:
        description:
          - >-
            The bridge's IPv4 address with its prefix length, such as V(172.17.0.1/16),
            as C(bip) in daemon.json. Without it an existing bridge keeps its own, and
            a new one gets the first free subnet of the pools.
        type: str
      bip6:
        description:
          - >-
            The bridge's IPv6 address with its prefix length. Without it the first /64
            of the host's own ULA pool.
        type: str
      fixed_cidr:
        description:
          - >-
            The part of the subnet that endpoints get their addresses from, as C(fixed-cidr)
            in daemon.json. Given alone it is the subnet. The kernel does not keep it,
            so give it wherever endpoints of the bridge are made.
        type: str
      fixed_cidr_v6:
        description:
          - The same for IPv6.
        type: str
      default_address_pools:
        description:
          - >-
            Pools that subnets are cut from in place of Docker's own (172.17.0.0/16 to
            172.31.0.0/16, then 192.168.0.0/16 by /20), lowest address first.
        type: list
        elements: dict
        suboptions:
          base:
            description:
              - The network that subnets are cut from, in CIDR form.
            type: str
            required: true
          size:
            description:
              - Prefix length of the subnets.
            type: int
            required: true
      mtu:
        description:
          - >-
            MTU in bytes of the bridge and of the endpoints on it, or V(auto), which follows
            the interface of the default route. Without it the kernel's choice.
        type: str
      clamp_mss:
        description:
          - >-
            Lower the segment size of TCP connections through the bridge to the path's
            MTU, which helps where ICMP is filtered. Docker has no such option.
        type: bool
        default: false
      hardened:
        description:
          - >-
            Close what Docker's own rules leave open. Endpoints that forge packets reach
            services of the host that listen on 127.0.0.1, unless C(userland_proxy) is
            true. Internal networks are reached by packets with a forged source of their
            own where the policy of chain FORWARD is ACCEPT (iptables), and reach ports
            that other networks publish (nftables).
        type: bool
        default: false
      exclude_subnets:
        description:
          - Subnets that no subnet chosen from a pool may overlap.
        type: list
        elements: str
      avoid_routes:
        description:
          - >-
            Which routes of the host a subnet chosen from a pool must not overlap. V(on_link)
            is what Docker does, V(all) also looks at routes via a gateway, V(none) at
            none, also for a subnet that is given; addresses of the host are always avoided.
        type: str
        choices:
          - on_link
          - all
          - none
        default: on_link
      icc:
        description:
          - >-
            Whether endpoints on this bridge may talk to each other (inter-container communication).
        type: bool
        default: true
        aliases:
          - enable_icc
      ip_masq:
        description:
          - Whether traffic that leaves the network gets the address of the host.
        type: bool
        default: true
        aliases:
          - enable_ip_masquerade
      internal:
        description:
          - Whether the network is cut off from everything outside of it.
        type: bool
        default: false
      ipv4:
        description:
          - >-
            Whether the network has IPv4, as C(docker network create --ipv4). V(false)
            needs O(bridges[].ipv6=true).
        type: bool
        default: true
        aliases:
          - enable_ipv4
      ipv6:
        description:
          - Whether the network has IPv6 beside IPv4.
        type: bool
        default: false
        aliases:
          - enable_ipv6
      inhibit_ipv4:
        description:
          - >-
            Leave the bridge without its IPv4 address, as C(com.docker.network.bridge.inhibit_ipv4)
            does: whoever routes for the network has it. Endpoints keep their default
            route through that address, which is O(bridges[].bip)'s.
        type: bool
        default: false
      reserved_addresses:
        description:
          - >-
            Addresses of the subnet that no endpoint gets by itself, as C(docker network
            create --aux-address). The kernel does not keep them, so give them wherever
            endpoints of the bridge are made.
        type: list
        elements: str
      gateway_mode_ipv4:
        description:
          - >-
            How the network is reached from outside. V(nat) translates addresses and closes
            unpublished ports, V(nat-unprotected) translates and leaves them open, V(routed)
            does not translate, V(isolated) leaves the bridge without an address and needs
            O(bridges[].internal=true).
        type: str
        choices:
          - nat
          - nat-unprotected
          - routed
          - isolated
        default: nat
      gateway_mode_ipv6:
        description:
          - The same for IPv6.
        type: str
        choices:
          - nat
          - nat-unprotected
          - routed
          - isolated
        default: nat
      host_ipv4:
        description:
          - >-
            The address that traffic leaving the network gets, in place of the outgoing
            interface's.
        type: str
      host_ipv6:
        description:
          - The same for IPv6.
        type: str
      trusted_host_interfaces:
        description:
          - >-
            Interfaces of the host whose traffic may reach endpoints by their own addresses,
            where others are dropped.
        type: list
        elements: str
      allow_direct_routing:
        description:
          - >-
            Whether published ports may be reached by the endpoint's own address from
            outside of the bridge.
        type: bool
        default: false
      bridge_accept_fwmark:
        description:
          - >-
            Packets with this mark are forwarded whatever else the rules say, such as
            V(0x1/0xff).
        type: str
      userland_proxy:
        description:
          - >-
            Make the rules as for a daemon with C(docker-proxy). There is no proxy process
            here, so the default makes 127.0.0.1 and an endpoint's own published ports
            work in the kernel instead.
        type: bool
        default: false
      iptables:
        description:
          - Whether the network gets IPv4 rules.
        type: bool
        default: true
      ip6tables:
        description:
          - Whether the network gets IPv6 rules.
        type: bool
        default: true
      mac_address:
        description:
          - >-
            The bridge's MAC address. A new bridge gets one that follows from its name
            and the machine.
        type: str
      create:
        description:
          - >-
            V(false) means that the bridge was made by someone else, as with C(dockerd
            -b); it must exist and is neither made nor deleted.
        type: bool
        default: true
      state:
        description:
          - >-
            V(absent) takes the bridge and its rules away. A bridge with endpoints that
            stay is refused, as C(docker network rm) does.
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
  - module: hostnet.docker.port_publish
  - module: hostnet.docker.host_network
"""

EXAMPLES = r"""
- name: Docker's default bridge, as a fresh installation leaves it
  hostnet.docker.docker_bridge:
    name: docker0

- name: Two networks of their own, one of them cut off from the outside
  hostnet.docker.docker_bridge:
    bridges:
      - name: front
        bip: 10.10.0.1/24
        icc: false
      - name: back
        bip: 10.11.0.1/24
        internal: true

- name: A network with IPv6 whose MTU follows the uplink
  hostnet.docker.docker_bridge:
    name: dual
    ipv6: true
    bip6: fd00:10::1/64
    mtu: auto

- name: A subnet that collides with nothing of the office
  hostnet.docker.docker_bridge:
    name: quiet
    exclude_subnets:
      - 172.16.0.0/12
    avoid_routes: all

- name: Networks that are no longer needed
  hostnet.docker.docker_bridge:
    bridges:
      - name: front
        state: absent
      - name: back
        state: absent
      - name: dual
        state: absent
      - name: quiet
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
bridges:
  description: The wanted bridges as they are now, in the words of the options.
  type: list
  elements: dict
  returned: when the task is about bridges
  sample:
    - name: docker0
      bip: 172.17.0.1/16
      icc: true
"""

from ansible_collections.hostnet.docker.plugins.module_utils import _options, _specs
from ansible_collections.hostnet.docker.plugins.module_utils._model import Task
from ansible_collections.hostnet.docker.plugins.module_utils._run import run


def to_task(params):
    entries = _options.items(params, _specs.BRIDGE, "bridges")
    return Task(bridges=_options.bridges(entries), **_options.purged(params, "bridges"))


def main():
    run(_specs.one_or_many(_specs.BRIDGE, "bridges"), to_task)


if __name__ == "__main__":
    main()
