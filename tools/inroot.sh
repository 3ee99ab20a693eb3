#!/bin/sh
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Run a command in a root file system of tools/root.sh, with its own files and processes: inroot.sh ROOT COMMAND
# [ARGUMENT ...]. The network is the caller's. The command is the first process: all others end with it. What is written
# stays in memory, except below the directory $SHOW, which is the machine's own at the same place.
set -eu

if [ "${INROOT_STEP-}" != inside ]; then
    INROOT_STEP=inside exec unshare --mount --uts --ipc --pid --fork --kill-child "$0" "$@"
fi
unset INROOT_STEP
root=$1
shift
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" none /mnt/root
cd /mnt/root
mount -t proc none proc
mount -t sysfs none sys
mount -t tmpfs none run
mount -t tmpfs none dev
mkdir -m 755 dev/pts
mount -t devpts -o newinstance,ptmxmode=666 none dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
if [ -n "${SHOW-}" ]; then
    mkdir -p ".$SHOW"
    mount --bind "$SHOW" ".$SHOW"
fi
pivot_root . mnt
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec chroot . sh -c 'umount -l /mnt && exec "$@"' sh "$@"
