# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values for every option, by its name and type: good ones, nearly good ones, nonsense. Names are those of the specs.

Must not know: what becomes of a task.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.hostnet.docker.plugins.module_utils import _specs
from ansible_collections.hostnet.docker.plugins.module_utils._run import not_a_dict
from hypothesis import strategies as st

from properties import anything, json_values, near

Options = Dict[str, Any]

_NAMES = ["docker0", "br-n1", "eth0", "web", "all", "lo"]
_PREFIXES = ["172.17.0.1/16", "10.10.0.0/24", "fd00::1/64", "0.0.0.0/0", "::/0", "10.0.0.1/32"]
_ADDRESSES = ["172.17.0.2", "192.0.2.1", "127.0.0.1", "fd00::2", "::1", "::ffff:10.0.0.1"]
_PORTS = ["80", "8000-8010", "53/udp", "8080:80", "127.0.0.1:8080:80/tcp", "[::1]:1:1"]
# Texts for the options of a name; an option that is not here has its choices, or any text.
GOOD: Dict[str, List[str]] = {
    "name": _NAMES, "bridge": _NAMES, "interface": _NAMES, "host_interface": _NAMES, "in_interface": _NAMES,
    "out_interface": _NAMES, "trusted_host_interfaces": _NAMES, "keep_forwarding": _NAMES, "endpoint": _NAMES,
    "bip": _PREFIXES, "bip6": _PREFIXES, "fixed_cidr": _PREFIXES, "fixed_cidr_v6": _PREFIXES, "base": _PREFIXES,
    "exclude_subnets": _PREFIXES, "allowed_sources": [*_PREFIXES, *_ADDRESSES], "source": _PREFIXES,
    "destination": _PREFIXES, "host_ipv4": _ADDRESSES, "host_ipv6": _ADDRESSES, "ipv4_address": _ADDRESSES,
    "ipv6_address": _ADDRESSES, "default_gateway": _ADDRESSES, "container_ip": _ADDRESSES,
    "default_host_ip": _ADDRESSES, "dns_servers": [*_ADDRESSES, "fe80::1%eth0"], "mtu": ["auto", "1500", "68"],
    "bridge_accept_fwmark": ["0x1", "0x1/0xff", "0/0"], "mac_address": ["02:42:ac:11:00:02", "02-42-AC-11-00-02"],
    "network_mode": ["bridge", "none", "host", "container:web"],
    "netns": ["web", "pid:1", "/proc/1/ns/net", "/run/netns/a"],
    "hostname": ["web", "a.b"], "domainname": ["example.org"], "dns_search_domains": ["example.org", "."],
    "dns_opts": ["ndots:1"], "links": ["db", "db:alias"], "exposed_ports": _PORTS, "published_ports": _PORTS,
    "destination_port": ["80", "80-90"], "sysctl_file": ["/etc/sysctl.d/x.conf", "/etc/../x.conf", "x.conf"],
    "ignore": ["web*", "8080/tcp", "["],
}  # fmt: skip
_SCALARS = {
    "bool": st.booleans() | st.booleans() | st.sampled_from(["yes", 0, "maybe", None]),
    "int": st.integers(-1, 70000) | st.sampled_from(["80", "x", 10**400, 1.5, True]),
    "dict": st.dictionaries(near(["db", "a.b"]), near(_ADDRESSES + ["host-gateway"]) | json_values, max_size=2),
}


def value(name: str, spec: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """A value for an option; one in ten has nothing to do with its type."""
    if spec["type"] == "list":
        return st.lists(_element(name, spec, spec["elements"]), max_size=3) | json_values
    return _element(name, spec, spec["type"]) | _element(name, spec, spec["type"]) | json_values


def _element(name: str, spec: Mapping[str, Any], kind: str) -> st.SearchStrategy[Any]:
    if "options" in spec:
        return item(spec["options"])
    if "choices" in spec:
        return st.sampled_from(list(spec["choices"])) | anything
    if kind in _SCALARS:
        return _SCALARS[kind]
    return near(GOOD.get(name, ["x"])) | near(GOOD.get(name, ["x"])) | anything


def item(spec: _specs.Spec) -> st.SearchStrategy[Options]:
    """Up to three options of a spec, and those that it requires."""
    required = {name for name, entry in spec.items() if entry.get("required")} | {"name"} & set(spec)
    names = st.lists(st.sampled_from(sorted(spec)), max_size=3).map(lambda some: sorted(required | set(some)))
    return names.flatmap(lambda some: st.fixed_dictionaries({name: value(name, spec[name]) for name in some}))


def checked(spec: _specs.Spec, params: Options) -> Options | None:
    """The options as a module gets them, with types and defaults; None if Ansible refuses them in words of its own."""
    if not_a_dict(spec, params) is not None:
        return None
    result = ArgumentSpecValidator(spec).validate(params)
    return None if result.error_messages else result.validated_parameters
