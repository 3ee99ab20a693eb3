#!/bin/sh
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Programs that a make target needs from the system: root gets them installed (Debian, Ubuntu), an
# ordinary user is told what is missing. Usage: setup.sh demo|test|bench PYTHON
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
    if [ "$purpose" = test ]; then
        need nftables sh -c 'command -v nft'
        need shellcheck sh -c 'command -v shellcheck'
        need conntrack sh -c 'command -v conntrack'
        need iptables sh -c 'command -v xtables-legacy-multi'
        # python-iptables is compiled when it is installed.
        need gcc sh -c 'command -v gcc || command -v cc'
        need libc6-dev test -e /usr/include/stdlib.h
        need python3-dev "$python" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'
        # Servers to stand beside, which only root can start.
        if [ "$(id -u)" -eq 0 ]; then
            need openssh-server sh -c 'command -v sshd'
            need firewalld sh -c 'command -v firewalld && command -v firewall-cmd'
            need ufw sh -c 'command -v ufw'
            need netavark test -x /usr/lib/podman/netavark
            need libvirt-daemon sh -c 'command -v libvirtd && ls /usr/lib*/*/libvirt/*/libvirt_driver_network.so'
            need libvirt-clients sh -c 'command -v virsh'
            need dnsmasq-base sh -c 'command -v dnsmasq'
            need network-manager sh -c 'command -v NetworkManager && command -v nmcli'
            need dbus-daemon sh -c 'command -v dbus-daemon'
            need systemd test -x /lib/systemd/systemd-networkd
            need systemd-container sh -c 'command -v systemd-nspawn'
            need udev sh -c 'command -v udevadm'
            need openssh-client sh -c 'command -v ssh && command -v ssh-keygen'
            need docker.io sh -c 'command -v dockerd && command -v containerd && command -v runc'
            # Servers to be, with root file systems of their own.
            need mmdebstrap sh -c 'command -v mmdebstrap'
            need debian-archive-keyring test -e /usr/share/keyrings/debian-archive-keyring.gpg
            need apt-utils sh -c 'command -v apt-ftparchive'
            # The report's pictures, and the browser that looks at its page. Ubuntu has Chromium as a snap only.
            need graphviz sh -c 'command -v dot'
            grep -q '^ID=ubuntu' /etc/os-release || need chromium sh -c 'command -v chromium'
            need busybox-static static_busybox
        fi
    fi
    # Peers to be measured against.
    if [ "$purpose" = bench ]; then
        need gcc sh -c 'command -v gcc || command -v cc'
        need libc6-dev test -e /usr/include/stdlib.h
        need containernetworking-plugins test -x /usr/lib/cni/portmap
        need netavark test -x /usr/lib/podman/netavark
    fi
    missing=$(echo "$missing" | tr ' ' '\n' | sort -u | grep . | tr '\n' ' ')
    missing=${missing% }
}

# The tests start these servers in namespaces of their own. The machine's are never started: not by the
# installation (Debian asks policy-rc.d before it starts any service), and not by the next boot.
units_of() {
    case $1 in
        docker.io) echo docker.service docker.socket containerd.service ;;
        firewalld) echo firewalld.service ;;
        libvirt-daemon) echo libvirtd.service libvirtd.socket ;;
        ufw) echo ufw.service ;;
        network-manager) echo NetworkManager.service NetworkManager-wait-online.service ;;
        openssh-server) echo ssh.service ssh.socket ;;
    esac
}

policy=/usr/sbin/policy-rc.d

hold_services() {
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 1' HUP INT TERM
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    elif ! { "$policy" docker start >/dev/null 2>&1; [ $? -eq 101 ]; }; then
        echo "$policy lets services start: install $missing yourself, or set this policy aside" >&2
        exit 1
    fi
}

keep_services_off() {
    for unit in $(for package in $installed; do units_of "$package"; done); do
        if command -v systemctl >/dev/null; then
            systemctl disable --quiet "$unit" || true
        fi
        if [ -e "/etc/init.d/${unit%.service}" ] && command -v update-rc.d >/dev/null; then
            update-rc.d "${unit%.service}" disable || true
        fi
    done
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
installed=$missing
[ -z "$(for package in $missing; do units_of "$package"; done)" ] || hold_services
# Package lists may be missing or old: they are fetched when the first try fails.
install_packages() {
    echo "$missing" | xargs apt-get install --yes --no-install-recommends
}
install_packages >/dev/null 2>&1 || {
    apt-get update
    install_packages
}
keep_services_off >/dev/null 2>&1
look
[ -z "$missing" ] || { echo "still missing after installation: $missing" >&2; exit 1; }
