# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sentences of ``purposes.py``: kind of rule, as its pattern names it, to what such a rule is for.

Words in braces are what the rule says. ``KIND VARIANT`` stands before ``KIND``; a variant is a verdict, a chain, a
set that is looked up, or a word of ``purposes._variants``.
"""

from __future__ import annotations

from typing import Dict

# Of both layouts.
_BOTH = {
    "mark": "lets packets with a mark pass that the administrator gives them (bridge_accept_fwmark)",
    "clamp": "lowers the segment size of TCP connections through {bridge} to what the path carries (clamp_mss)",
    "masq": "{source_of} what leaves {subnet} by another interface than {bridge}",
    "local": "{source_of} what the host sends to {bridge} from its own addresses, so that 127.0.0.1 works there too",
    "self": "masquerades what {whom} sends to itself through its own published port {port}/{protocol}",
    "guard": "drops what is sent to {whom} by its own address from anywhere but {bridge}",
    "loopback": "drops what comes from outside for {host_ip} {word} {host_port}/{protocol}: it is published for the "
    "host alone",
    "dnat": "leads {word} {host_port}/{protocol} {host} to {whom} port {port}",
    "dnat bridge": "leads {word} {host_port}/{protocol} {host} to {whom} port {port}, but not for {bridge} itself "
    "(userland_proxy)",
    "localhost": "drops what endpoints on {bridge} send to the host's own 127.0.0.0/8 (hardened)",
    "icmp": "lets endpoints on {bridge} be pinged from elsewhere, as they are routed",
    "icc drop": "drops what endpoints on {bridge} send each other (icc is off)",
    "icc accept": "lets endpoints on {bridge} reach each other",
    "related": "lets packets of connections that are there already pass to {bridge}",
}
IPTABLES: Dict[str, str] = {
    **_BOTH,
    "accept from": "lets {source} reach {whom} {word} {port}/{protocol}, which is published for it",
    "accept accept": "lets packets for {whom} {word} {port}/{protocol}, which is published, enter {bridge}",
    "accept drop": "drops what others send to {whom} {word} {port}/{protocol}: it is not published for everybody",
    "drop drop": "drops all else that comes to {bridge} from other interfaces: what is not published is closed",
    "drop accept": "lets all that comes to {bridge} from other interfaces pass (gateway mode nat-unprotected)",
    "link d": "lets {who} reach {whom} port {port}/{protocol} although icc is off (links)",
    "link s": "lets the answers from {who} port {port}/{protocol} back to {whom} (links)",
    "jump": "sends what goes to {bridge} through chain DOCKER, which says what may enter",
    "out": "lets what comes from {bridge} go anywhere that no rule before has closed",
    "out out": "lets what comes from {bridge} leave by another interface",
    "egress": "drops what leaves {bridge} for addresses outside of {subnet}: the network is internal",
    "closed": "drops what comes to {bridge} from other interfaces, whatever source it claims (hardened)",
    "ingress": "drops what comes to {bridge} from addresses outside of {subnet}: the network is internal",
    "trusted": "lets {interface}, which is trusted, reach {whom} by its own address",
}
NFTABLES: Dict[str, str] = {
    **_BOTH,
    "related filter-forward-out": "lets packets of connections that are there already pass from {bridge}",
    "link": "lets {who} reach {whom} port {port}/{protocol} although icc is off (links)",
    "answer": "lets the answers from {whom} port {port}/{protocol} back to {who} (links)",
    "ingress": "drops what comes to {bridge} from other interfaces: the network is internal",
    "isolated": "drops what comes to {bridge} from addresses outside of {subnet}: the network is internal",
    "egress": "drops what leaves {bridge} by another interface: the network is internal",
    "closed": "drops what leaves {bridge} by another interface before a port published elsewhere lets it in (hardened)",
    "accept": "lets packets for {whom} port {port}/{protocol}, which is published, enter {bridge}",
    "verdict": "drops all else that comes to {bridge} from other interfaces: what is not published is closed",
    "verdict accept": "lets all that comes to {bridge} from other interfaces pass (gateway mode nat-unprotected)",
    "outgoing": "lets what comes from {bridge} leave by another interface",
    "guard trusted": "drops what is sent to {whom} by its own address from any interface but {names}",
    "lookup filter-forward-in-ports": "lets packets for published ports of endpoints enter {bridge}",
    "lookup filter-forward-in-sources": "lets allowed sources reach the ports on {bridge} that are published for them",
    "lookup filter-forward-in-restricted": "drops what others send to ports on {bridge} that are published for "
    "allowed sources",
    "lookup nat-postrouting-in-ports": "masquerades what an endpoint on {bridge} sends to itself through its own "
    "published port",
    "translation": "leads published ports to their endpoints on {bridge}, but not for {bridge} itself (userland_proxy)",
}
# The jumps into Docker's chains, and the rules that look something up, whatever networks there are.
BASE: Dict[str, str] = {
    "DOCKER-USER": "sends all that is forwarded through the administrator's own rules first",
    "DOCKER-FORWARD": "sends all that is forwarded through Docker's own chains",
    "DOCKER-CT": "asks first whether a packet belongs to a connection that is there already",
    "DOCKER-INTERNAL": "asks whether an internal network is concerned, which is closed",
    "DOCKER-BRIDGE": "asks to which bridge a packet goes, and what may enter there",
    "PREROUTING": "looks for a published port in what arrives for an address of the host",
    "OUTPUT": "looks for a published port in what the host itself sends to an address of its own",
    "nat-PREROUTING": "looks for a published port in what arrives for an address of the host",
    "nat-OUTPUT": "looks for a published port in what the host itself sends to an address of its own",
    "filter-forward-in-jumps": "asks to which bridge a packet goes, and what may enter there",
    "filter-forward-out-jumps": "asks from which bridge a packet comes, and where it may go",
    "nat-postrouting-in-jumps": "asks to which bridge a packet goes, and which source address it gets there",
    "nat-postrouting-out-jumps": "asks from which bridge a packet comes, and which source address it gets outside",
    "nat-ports": "leads published ports of the host to their endpoints",
    "nat-address-ports": "leads published ports of a single address of the host to their endpoints, before all others",
    "nat-port-ranges": "leads published ranges of ports of the host to their endpoints",
    "nat-address-port-ranges": "leads published ranges of ports of a single address of the host to their endpoints",
    "nat-postrouting-in-port-ranges": "masquerades what an endpoint sends to itself through a published range of ports",
    "raw-endpoints": "drops what is sent to an endpoint by its own address from anywhere but its bridge and interfaces "
    "that are trusted",
    "raw-loopback-ports": "drops what comes from outside for ports that are published for the host alone",
    "raw-loopback-port-ranges": "drops what comes from outside for ranges of ports that are published for the host "
    "alone",
}
# What an element of a map or set says: its parts in order, {whom} the same with the names of endpoints.
ELEMENTS: Dict[str, str] = {
    "filter-forward-in-jumps": "what goes to {0} passes the chain that says what may enter",
    "filter-forward-out-jumps": "what comes from {0} passes the chain that says where it may go",
    "nat-postrouting-in-jumps": "what goes to {0} passes the chain that says which source address it gets there",
    "nat-postrouting-out-jumps": "what leaves {0} passes the chain that says which source address it gets outside",
    "nat-ports": "leads port {1}/{0} of the host to {whom[2]} port {3}",
    "nat-address-ports": "leads port {2}/{1} of {0} to {whom[3]} port {4}",
    "nat-port-ranges": "leads ports {1}/{0} of the host to the same ports of {whom[2]}",
    "nat-address-port-ranges": "leads ports {2}/{1} of {0} to the same ports of {whom[3]}",
    "filter-forward-in-ports": "lets packets for {whom[0]} port {2}/{1}, which is published, enter its bridge",
    "filter-forward-in-sources": "lets {0} reach {whom[1]} port {3}/{2}, which is published for it",
    "filter-forward-in-restricted": "closes {whom[0]} port {2}/{1} to all but its allowed sources",
    "nat-postrouting-in-ports": "masquerades what {whom[0]} sends to itself through its own published port {3}/{2}",
    "nat-postrouting-in-port-ranges": "masquerades what {whom[0]} sends to itself through its own published ports "
    "{3}/{2}",
    "raw-endpoints": "closes {whom[0]} to what is sent to it by its own address",
    "raw-endpoint-interfaces": "lets {1} reach {whom[0]} by its own address",
    "raw-loopback-ports": "closes port {2}/{1} of {0} to all but the host itself",
    "raw-loopback-port-ranges": "closes ports {2}/{1} of {0} to all but the host itself",
}
