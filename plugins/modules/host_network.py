#!/usr/bin/python
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_network
short_description: Bridges, endpoints, published ports and forwarding of a host in one
  transaction
version_added: 0.1.0
description:
  - >-
    Brings the whole of a host's Docker-like networking into the declared state, with
    one read, one plan and one apply.
  - >-
    An apply that fails leaves the host as it was. Check mode shows exactly what a run
    then does.
author:
  - hostnet.docker contributors (@hostnet)
requirements:
  - pyroute2 >= 0.7.2 on the host
  - iptables or nftables on the host
  - python-iptables >= 1.0.1 on hosts with iptables-legacy (optional)
extends_documentation_fragment:
  - hostnet.docker.attributes
options:
  user_rules:
    description:
      - >-
        The administrator's own rules for the head of the forward path, before anything
        of Docker's, in order (chain DOCKER-USER). The whole list; without the option
        those that are there stay.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the rule, kept by the kernel as a comment.
        type: str
        required: true
      action:
        description:
          - What happens to a packet that matches.
        type: str
        required: true
        choices:
          - accept
          - drop
          - reject
          - return
      source:
        description:
          - Where it comes from, a CIDR or an address.
        type: str
      destination:
        description:
          - Where it goes to after translation, a CIDR or an address.
        type: str
      in_interface:
        description:
          - The interface it comes in by.
        type: str
      out_interface:
        description:
          - The interface it goes out by.
        type: str
      protocol:
        description:
          - Its protocol.
        type: str
        choices:
          - tcp
          - udp
          - sctp
      destination_port:
        description:
          - >-
            Its destination port after translation, that of the endpoint; a range as V(80-90).
        type: str
      host_port:
        description:
          - The host port that the client asked for.
        type: int
      ctstate:
        description:
          - The states of its connection.
        type: list
        elements: str
        choices:
          - NEW
          - ESTABLISHED
          - RELATED
          - INVALID
  ip_forward:
    description:
      - The host's forwarding. Without it forwarding is left alone.
    type: dict
    suboptions:
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
            The policy of chain FORWARD. V(auto) is Docker's rule, DROP only if this run
            switches forwarding on, and not where no bridge has rules, as under a daemon
            with C(iptables: false); V(keep) leaves it alone.
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
            Keep forwarding over a reboot by a file for sysctl. From a network namespace
            that has the machine's own files, none is written, and a warning says so.
        type: bool
        default: true
      sysctl_file:
        description:
          - >-
            That file. It also remembers what the policy was before, for O(ip_forward.state=absent).
        type: path
        default: /etc/sysctl.d/99-hostnet-docker.conf
      keep_forwarding:
        description:
          - >-
            Foreign bridges (libvirt, LXC) whose forwarding is accepted at the end of
            chain FORWARD although the policy drops. The whole list; without the option
            those that are there stay.
        type: list
        elements: str
      state:
        description:
          - >-
            V(absent) is forwarding off, the policy of chain FORWARD as it was before
            (without O(ip_forward.sysctl_file), V(ACCEPT)), and no file.
        type: str
        choices:
          - present
          - absent
        default: present
  bridges:
    description:
      - The bridges.
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
  endpoints:
    description:
      - The endpoints.
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
      published_ports:
        description:
          - >-
            What the endpoint publishes, see M(hostnet.docker.port_publish). Given, it
            is all that the endpoint publishes.
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
            an item of O(endpoints[].published_ports) may have its own. Without it everybody
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
  ports:
    description:
      - The published ports.
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
  confirm_timeout:
    description:
      - >-
        Seconds after which the host undoes the changes of this run by itself, unless
        a further run of this module (one without any option is enough) comes in time
        to confirm them. Reset the connection before that run: what shall be shown is
        that a new one still gets through. V(0) is no such time.
    type: int
    default: 0
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
  - module: hostnet.docker.host_network_info
  - module: hostnet.docker.docker_bridge
  - module: hostnet.docker.veth_endpoint
  - module: hostnet.docker.port_publish
  - module: hostnet.docker.ip_forward
"""

EXAMPLES = r"""
- name: A host with docker0, a web server and its database
  hostnet.docker.host_network:
    ip_forward: {}
    bridges:
      - name: docker0
      - name: back
        bip: 10.11.0.1/24
        internal: true
    endpoints:
      - name: web
        published_ports:
          - "8080:80"
      - name: db
        bridge: back
        ipv4_address: 10.11.0.10

- name: Nothing but what is listed, save for what others made
  hostnet.docker.host_network:
    bridges:
      - name: docker0
    endpoints:
      - name: web
        published_ports:
          - "8080:80"
    purge: true
    ignore:
      - "test-*"

- name: The administrator's own rules come first
  hostnet.docker.host_network:
    user_rules:
      - name: office
        source: 192.0.2.0/24
        action: accept
      - name: no-web-from-elsewhere
        protocol: tcp
        host_port: 8080
        in_interface: eth0
        action: drop

- name: Everything is taken away again
  hostnet.docker.host_network:
    ip_forward:
      state: absent
    bridges:
      - name: docker0
        state: absent
    endpoints:
      - name: web
        state: absent
    user_rules: []
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
confirm:
  description: >-
    V(pending) says that the host undoes the changes by itself, unless another run comes
    within O(confirm_timeout); V(confirmed) that this run is such a one.
  type: str
  returned: where there was something to confirm
  sample: pending
desired_state:
  description: >-
    The options of this run with the addresses and host ports that it chose. On an empty
    host they lead to the same state, which is what the role's unit does at boot.
  type: dict
  returned: on a machine that systemd boots
  sample:
    bridges:
      - name: docker0
        bip: 172.17.0.1/16
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
squatters:
  description: >-
    Processes that listen on ports which were published before them. The port's packets
    go to the endpoint all the same; but whoever started the process believes otherwise.
  type: list
  elements: str
  returned: where there are any
  sample:
    - '0.0.0.0:8080/tcp of endpoint web: nginx (pid 812) listens there'
ip_forward:
  description: The host's forwarding.
  type: dict
  returned: when the task is about forwarding
  sample:
    ipv4: true
    ipv6: false
"""

from ansible_collections.hostnet.docker.plugins.module_utils import _options, _specs
from ansible_collections.hostnet.docker.plugins.module_utils._run import run


def main():
    run(_specs.HOST, _options.host_task)


if __name__ == "__main__":
    main()
