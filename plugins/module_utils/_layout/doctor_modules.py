# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel modules that Docker's rules and devices need, and their packages. Must not know: the kernel."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Tuple

from .._state import HOST, Key, State

OS_RELEASE = "/etc/os-release"
# Names of one thing in older kernels come behind the name of today.
_DEVICES: Dict[str, Tuple[str, ...]] = {
    "bridges": ("bridge",),
    "endpoints": ("veth",),
    "ports reached from the same bridge, icc: false": ("br_netfilter",),
}
_MATCHES: Dict[str, Tuple[str, ...]] = {
    "match addrtype": ("xt_addrtype",),
    "match conntrack": ("xt_conntrack",),
    "match comment": ("xt_comment",),
    "target DNAT": ("xt_nat",),
    "target MASQUERADE": ("xt_MASQUERADE", "ipt_MASQUERADE"),
}
_NFT = {"nftables": ("nf_tables",)}
_BY_FIREWALL: Dict[str, Dict[str, Tuple[str, ...]]] = {
    "iptables-nft": {**_DEVICES, **_NFT, "iptables over nf_tables": ("nft_compat",), **_MATCHES},
    "iptables-legacy": {**_DEVICES, "iptables": ("ip_tables",), "table nat": ("iptable_nat",), **_MATCHES},
    "nftables": {
        **_DEVICES,
        **_NFT,
        "fib expressions": ("nft_fib_ipv4",),
        "dnat": ("nft_nat",),
        "masquerade": ("nft_masq", "nft_masq_ipv4"),
    },
}
# What Red Hat's kernels since release 10 have in a package that nothing pulls in.
_EXTRA = ("br_netfilter", "nft_compat", "ip_tables", "iptable_nat")


def _needed(variant: str) -> Dict[str, Tuple[str, ...]]:
    return next((needs for name, needs in _BY_FIREWALL.items() if variant.startswith(name)), {})


def names(variant: str) -> List[str]:
    """The modules that a host with this firewall needs, by all their names."""
    return [name for modules in _needed(variant).values() for name in modules]


def missing_modules(live: State, variant: str) -> Iterator[str]:
    """The findings: modules that are neither there nor can be loaded."""
    release = str(live.get(Key("kernel", HOST, "release"), ""))
    for what, modules in _needed(variant).items():
        known = [live.get(Key("module", HOST, name)) for name in modules]
        if known and not any(found is not False for found in known):
            yield (
                f"the running kernel {release} has no module {modules[0]}, needed for {what}; "
                f"install {_package(live, modules[0], release)}, or reboot if the kernel was updated since"
            )


def _package(live: State, module: str, release: str) -> str:
    text = str(live.get(Key("file", HOST, OS_RELEASE), ""))
    like = " ".join(re.findall(r'^ID(?:_LIKE)?="?([^"\n]*)', text, re.M)).split()
    if "rhel" in like or "fedora" in like:
        is_extra = module in _EXTRA or module.startswith("xt_")
        return f"the package kernel-modules-{'extra' if is_extra else 'core'}-{release}"
    if "ubuntu" in like:
        return f"the package linux-modules-{release}"
    if "debian" in like:
        return f"the package linux-image-{release}"
    return "the package of the kernel's modules"
