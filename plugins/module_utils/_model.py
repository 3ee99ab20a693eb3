# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's nouns and their defaults, as canonical values. Must not know: Ansible, the kernel, any rule.

Docker's defaults stand here and nowhere else. A field that is None is left to what the host has, or to
the choice that Docker would make.
"""

from __future__ import annotations

import functools
import hashlib
from typing import Dict, NamedTuple, Tuple, Union, cast

from ._portspec import PortSpec
from ._values import Address, Interface, Network

DEFAULT_BRIDGE = "docker0"
DEFAULT_INTERFACE = "eth0"
CONTAINER_FILES = ("hosts", "hostname", "resolv.conf")
SYSCTL_FILE = "/etc/sysctl.d/99-hostnet-docker.conf"

# The pools that dockerd cuts default subnets from, in its order: (base, prefix length of a subnet).
DEFAULT_POOLS: Tuple[Tuple[str, int], ...] = tuple((f"172.{n}.0.0/16", 16) for n in range(17, 32)) + (
    ("192.168.0.0/16", 20),
)
AUTO = "auto"
AVOID_ROUTES = ("on_link", "all", "none")
GATEWAY_MODES = ("nat", "nat-unprotected", "routed", "isolated")


class Bridge(NamedTuple):
    """A network of the bridge driver; the words are daemon.json's and the driver labels'."""

    name: str = DEFAULT_BRIDGE
    bip: Union[Interface, None] = None
    bip6: Union[Interface, None] = None
    fixed_cidr: Union[Network, None] = None
    fixed_cidr_v6: Union[Network, None] = None
    default_address_pools: Tuple[Tuple[Network, int], ...] = ()
    mtu: Union[int, str, None] = None
    clamp_mss: bool = False
    hardened: bool = False
    exclude_subnets: Tuple[Network, ...] = ()
    avoid_routes: str = "on_link"
    icc: bool = True
    ip_masq: bool = True
    internal: bool = False
    ipv4: bool = True
    ipv6: bool = False
    inhibit_ipv4: bool = False
    reserved_addresses: Tuple[Address, ...] = ()
    gateway_mode_ipv4: str = "nat"
    gateway_mode_ipv6: str = "nat"
    host_ipv4: Union[Address, None] = None
    host_ipv6: Union[Address, None] = None
    trusted_host_interfaces: Tuple[str, ...] = ()
    allow_direct_routing: bool = False
    bridge_accept_fwmark: Union[str, None] = None
    userland_proxy: bool = False
    iptables: bool = True
    ip6tables: bool = True
    mac_address: Union[str, None] = None
    create: bool = True


class Endpoint(NamedTuple):
    """A veth pair that joins one sandbox (network namespace) to one bridge.

    An endpoint on several networks is one of these for each. ``is_listed`` says that it was told by ``networks``, which
    are all that the endpoint is on; ``gw_priority`` is for Docker's choice of the network with the default route.
    """

    name: str
    bridge: str = DEFAULT_BRIDGE
    network_mode: str = "bridge"
    netns: Union[str, None] = None
    interface: str = DEFAULT_INTERFACE
    host_interface: Union[str, None] = None
    ipv4_address: Union[Address, None] = None
    ipv6_address: Union[Address, None] = None
    mac_address: Union[str, None] = None
    mtu: Union[int, None] = None
    default_gateway: Union[Address, None] = None
    hostname: Union[str, None] = None
    domainname: Union[str, None] = None
    dns_servers: Union[Tuple[str, ...], None] = None
    dns_search_domains: Union[Tuple[str, ...], None] = None
    dns_opts: Union[Tuple[str, ...], None] = None
    etc_hosts: Tuple[Tuple[str, str], ...] = ()
    links: Tuple[Tuple[str, str], ...] = ()
    exposed_ports: Tuple[Tuple[int, str], ...] = ()
    gw_priority: int = 0
    is_listed: bool = False

    @property
    def veth(self) -> str:
        """Name of the host end: given, else ``veth`` and seven hex digits that follow from the name."""
        return self.host_interface or default_host_interface(self.name)


class Publish(NamedTuple):
    """Ports of one endpoint, or of one address on a bridge, to be published.

    ``allowed_sources`` are the CIDRs that may reach ports which have none of their own; empty: everybody.
    ``whole`` says that the list is all that the endpoint publishes: others are taken back, but for those
    that a pattern of ``ignore`` names (``8080/tcp``).
    """

    endpoint: Union[str, None] = None
    container_ip: Union[Address, None] = None
    bridge: Union[str, None] = None
    ports: Tuple[PortSpec, ...] = ()
    publish_all_ports: bool = False
    exposed_ports: Tuple[Tuple[int, str], ...] = ()
    default_host_ip: Union[str, None] = None
    allowed_sources: Tuple[str, ...] = ()
    reserve_ports: bool = False
    compact_ranges: bool = False
    whole: bool = False
    ignore: Tuple[str, ...] = ()


class Forwarding(NamedTuple):
    """The host's forwarding: True is on, False is off; ``ipv6`` None is on as soon as a bridge has IPv6.

    ``keep_forwarding`` are foreign bridges that are accepted although the policy drops; None leaves them as they are.
    ``at_boot`` says that it is as an earlier run left it, which the kernel has forgotten.
    """

    ipv4: bool = True
    ipv6: Union[bool, None] = None
    forward_policy: str = "auto"
    persist: bool = True
    sysctl_file: str = SYSCTL_FILE
    keep_forwarding: Union[Tuple[str, ...], None] = None
    at_boot: bool = False


class UserRule(NamedTuple):
    """An administrator's rule for the head of the forward path, before anything of Docker's.

    ``destination_port`` is the endpoint's own port, ``host_port`` the one that the client asked for.
    """

    name: str
    action: str
    source: Union[Network, None] = None
    destination: Union[Network, None] = None
    in_interface: Union[str, None] = None
    out_interface: Union[str, None] = None
    protocol: Union[str, None] = None
    destination_port: Union[Tuple[int, int], None] = None
    host_port: Union[int, None] = None
    ctstate: Tuple[str, ...] = ()

    @property
    def families(self) -> Tuple[int, ...]:
        """The families that the rule is for: that of its addresses, else both."""
        own = {net.version for net in (self.source, self.destination) if net is not None}
        return tuple(own) or (4, 6)


class Want(NamedTuple):
    """One item of a task: an object, whether it shall be there, and where the user wrote it."""

    item: Union[Bridge, Endpoint, Publish, Forwarding]
    path: str
    present: bool = True

    @property
    def bridge(self) -> Bridge:
        """The item, where the want is one of a task's bridges."""
        return cast(Bridge, self.item)

    @property
    def endpoint(self) -> Endpoint:
        """The item, where the want is one of a task's endpoints."""
        return cast(Endpoint, self.item)

    @property
    def publish(self) -> Publish:
        """The item, where the want is one of a task's ports."""
        return cast(Publish, self.item)

    @property
    def forward(self) -> Forwarding:
        """The item, where the want is a task's forwarding."""
        return cast(Forwarding, self.item)


class Task(NamedTuple):
    """All wants of one module run; ``purge`` names the scopes that hold nothing but what is listed.

    ``ignore`` are shell patterns of interfaces, endpoints and ports (``8080/tcp``) that purge leaves alone.
    ``confirm_timeout`` are the seconds after which the host undoes the run by itself unless another one comes, 0 is
    never; None means that this run is no sign of anybody coming back.
    """

    bridges: Tuple[Want, ...] = ()
    endpoints: Tuple[Want, ...] = ()
    ports: Tuple[Want, ...] = ()
    forwarding: Union[Want, None] = None
    purge: Tuple[str, ...] = ()
    ignore: Tuple[str, ...] = ()
    user_rules: Union[Tuple[UserRule, ...], None] = None
    confirm_timeout: Union[int, None] = None


@functools.cache
def default_host_interface(name: str, interface: Union[str, None] = None) -> str:
    """``veth`` + 7 hex digits as Docker's, but made from the name: the kernel is the only database.

    An endpoint's further networks have the interface in it, parted by what no name has.

    Asked for again and again, each is made once.
    """
    seed = name if interface is None else f"{name}/{interface}"
    return "veth" + hashlib.sha256(seed.encode()).hexdigest()[:7]


def gateway_order(is_internal: bool, gw_priority: int, bridge: str) -> Tuple[bool, int, str]:
    """Docker's choice of the network that gets the default route and the ports, the least: not internal first, then by
    priority, the highest first, then by name."""
    return (is_internal, -gw_priority, bridge)


def stable_mac(*parts: str) -> str:
    """A unicast, locally administered MAC (Docker sets those two bits of six random bytes).

    Ours follows from the names, so that check mode shows the address that the run then sets and an
    endpoint that is made anew does not leave stale neighbour entries behind.
    """
    digest = bytearray(hashlib.sha256("/".join(parts).encode()).digest()[:6])
    digest[0] = digest[0] & 0xFE | 0x02
    return ":".join(f"{byte:02x}" for byte in digest)


def ula_pool(seed: str) -> Tuple[Network, int]:
    """The host's own IPv6 pool: a ULA /48 from a hash, cut into /64, as dockerd makes one from its id."""
    import ipaddress

    digest = hashlib.sha256(f"hostnet.docker ULA {seed}".encode()).digest()[:5]
    base = int.from_bytes(b"\xfd" + digest + bytes(10), "big")
    return ipaddress.IPv6Network((base, 48)), 64


def default_words() -> Dict[str, object]:
    """Docker's own value for each bridge option that has one (for argument specs and descriptions)."""
    plain = Bridge()
    return {name: getattr(plain, name) for name in ("icc", "ip_masq", "internal", "ipv6", "userland_proxy", "create")}
