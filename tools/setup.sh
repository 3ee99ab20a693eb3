#!/bin/sh
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Programs that a make target needs from the system: root gets them installed (Debian, Ubuntu), an
# ordinary user is told what is missing. Usage: setup.sh demo|test|all PYTHON
set -eu

purpose=$1
python=$2
PATH=$PATH:/usr/sbin:/sbin
missing=''

# need PACKAGE COMMAND...: the command's success says that the package is there.
need() {
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

# libvirt's, which Debian 13 has in a package of its own.
network_driver() {
    split=libvirt-daemon-driver-network
    if apt-cache show "$split" >/dev/null 2>&1; then echo "$split"; else echo libvirt-daemon; fi
}

static_busybox() {
    busybox nc --help 2>&1 | grep -e "-e PROG" && ! ldd "$(command -v busybox)"
}

look() {
    missing=''
    need python3 "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'
    need python3-venv "$python" -c 'import ensurepip, venv'
    need iproute2 sh -c 'command -v ip'
    need iptables sh -c 'command -v iptables-save'
    need util-linux sh -c 'command -v nsenter'
    if [ "$purpose" != demo ]; then
        need nftables sh -c 'command -v nft'
        need procps sh -c 'command -v sysctl'
        need conntrack sh -c 'command -v conntrack'
        need iptables sh -c 'command -v xtables-legacy-multi'
        # python-iptables is compiled when it is installed.
        need gcc sh -c 'command -v gcc || command -v cc'
        need libc6-dev test -e /usr/include/stdlib.h
        need python3-dev "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
    fi
    if [ "$purpose" = all ]; then
        # ansible-test sanity looks at shell scripts.
        need shellcheck sh -c 'command -v shellcheck'
        # The report's pictures.
        need graphviz sh -c 'command -v dot'
        # Servers with root file systems of their own, which only root can start.
        if [ "$(id -u)" -eq 0 ]; then
            need mmdebstrap sh -c 'command -v mmdebstrap'
            need debian-archive-keyring test -e /usr/share/keyrings/debian-archive-keyring.gpg
            need apt-utils sh -c 'command -v apt-ftparchive'
            need openssh-client sh -c 'command -v ssh && command -v ssh-keygen'
            need openssh-server sh -c 'command -v sshd'
            need systemd-container sh -c 'command -v systemd-nspawn'
            # Neighbours on a host.
            need firewalld sh -c 'command -v firewalld && command -v firewall-cmd'
            need dbus-daemon sh -c 'command -v dbus-daemon'
            need ufw sh -c 'command -v ufw'
            need netavark test -x /usr/lib/podman/netavark
            need libvirt-daemon sh -c 'command -v libvirtd'
            need "$(network_driver)" sh -c 'ls /usr/lib*/*/libvirt/*/libvirt_driver_network.so'
            need libvirt-clients sh -c 'command -v virsh'
            need dnsmasq-base sh -c 'command -v dnsmasq'
            need network-manager sh -c 'command -v NetworkManager && command -v nmcli'
            need udev sh -c 'command -v udevadm'
            need systemd sh -c 'test -x /lib/systemd/systemd && test -x /lib/systemd/systemd-networkd'
            need docker.io sh -c 'command -v dockerd && command -v containerd && command -v runc'
            # The browser that looks at the report; Ubuntu has it as a snap only.
            grep -q '^ID=ubuntu' /etc/os-release || need chromium sh -c 'command -v chromium'
            # The containers of that Engine are made of it; only a static one is whole without libraries.
            need busybox-static static_busybox
        fi
    fi
    missing=$(echo "$missing" | tr ' ' '\n' | sort -u | grep . | tr '\n' ' ')
    missing=${missing% }
}

look
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "make $purpose needs these packages, which are not installed: $missing" >&2
    echo "Install them as root (on Debian and Ubuntu: apt-get install $missing), then run make again." >&2
    exit 1
fi
if ! command -v apt-get >/dev/null; then
    echo "make $purpose needs these Debian packages, or your distribution's like them: $missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# Package lists may be missing or old: they are fetched when the first try fails.
install_packages() {
    echo "$missing" | xargs apt-get -o Acquire::Retries=3 install --quiet=2 --yes --no-install-recommends
}
install_packages >/dev/null 2>&1 || {
    apt-get -o Acquire::Retries=3 update --quiet=2
    install_packages
} >&2
look
# With the package lists more is known of what is in which package.
[ -z "$missing" ] || { install_packages >&2; look; }
[ -z "$missing" ] || { echo "still missing after installation: $missing" >&2; exit 1; }
