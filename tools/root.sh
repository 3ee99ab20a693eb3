#!/bin/sh
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Make the root file system of a small Debian server: Python, ip and sshd, and nothing of what the role installs. Beside
# it, as a package repository, what the role may want to install, for hosts that reach no other. Needs root.
# Usage: root.sh SUITE DIRECTORY [PACKAGE ...]; makes DIRECTORY/SUITE, with the packages too, and
# DIRECTORY/packages/SUITE.
set -eu
umask 022

suite=$1
directory=$2
shift 2
packages=$directory/packages/$suite
root=$directory/$suite
[ ! -e "$root" ] || exit 0
[ "$(id -u)" -eq 0 ] || { echo "a root file system needs root: $root" >&2; exit 1; }
mkdir -p "$directory/packages"
half=$(mktemp -d "$directory/.$suite.XXXXXX")
chmod 755 "$half"
trap 'rm -rf "$half"' EXIT
trap 'exit 1' HUP INT TERM

# The Debian mirror that apt itself uses; where it uses none (Ubuntu), mmdebstrap has a default.
# shellcheck disable=SC2016  # words of apt, awk and the shell inside are not ours to expand
mirror=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 == "Debian" && $2 !~ /-/ { print $3; exit }')

mkdir "$half/packages"
export half
# shellcheck disable=SC2016,SC2086  # the hooks expand in their own shell; without a mirror there is no word
mmdebstrap --quiet --variant=minbase --include="python3 iproute2 openssh-server $*" \
    --customize-hook='chroot "$1" sh -c "apt-get clean && apt-get install --quiet=2 --yes --download-only \
        iptables nftables python3-apt python3-iptables python3-pyroute2"' \
    --customize-hook='mv "$1"/var/cache/apt/archives/*.deb "$half/packages"' \
    "$suite" "$half/root" $mirror
(cd "$half/packages" && apt-ftparchive packages . >Packages)
rm -rf "$packages"
mv "$half/packages" "$packages"
mv "$half/root" "$root"
