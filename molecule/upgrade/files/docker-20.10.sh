#!/bin/sh
# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# The devices that belong to docker-20.10.rules, as the Engine left them; its containers are network namespaces. Input:
# the rules.
set -eu

bridge() {
    ip link add "$1" address "$2" type bridge
    ip address add "$3" broadcast "$4" dev "$1"
    ip link set "$1" up
    echo 1 >"/proc/sys/net/ipv4/conf/$1/route_localnet"
}

# container NAME VETH ADDRESS MAC
container() {
    ip netns add "$1"
    ip link add "$2" type veth peer name eth0 address "$4" netns "$1"
    ip link set "$2" master docker0 up
    ip link set "$2" type bridge_slave hairpin on
    ip -n "$1" link set lo up
    ip -n "$1" address add "$3/16" broadcast 172.17.255.255 dev eth0
    ip -n "$1" link set eth0 up
    ip -n "$1" route add default via 172.17.0.1
}

bridge docker0 02:42:98:db:a3:bc 172.17.0.1/16 172.17.255.255
bridge back 02:42:b3:09:4d:7f 10.11.0.1/24 10.11.0.255
container web vethfd07206 172.17.0.2 02:42:ac:11:00:02
container old vethc786833 172.17.0.3 02:42:ac:11:00:03
echo 1 >/proc/sys/net/ipv4/ip_forward
iptables-restore
