// Copyright (c) hostnet.docker contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// The limit that our endpoints are measured against: N namespaces with a name, each with a veth pair
// into it, enslaved, up, with an address and a default route, by nothing but system calls of one thread.
// No sysctls, no files, no rules, no look at what is there. Usage: raw_endpoints N BRIDGE_INDEX
// Addresses are 172.17.x.y/16 from 172.17.0.2 on; the gateway is 172.17.0.1.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[4096];
static struct nlmsghdr *const message = (struct nlmsghdr *)buffer;

static void check(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static int netlink_socket(void) {
    int handle = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    check(handle, "socket");
    return handle;
}

static void *begin(int type, int flags, size_t length) {
    memset(buffer, 0, sizeof buffer);
    message->nlmsg_len = NLMSG_LENGTH(length);
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    return NLMSG_DATA(message);
}

static struct rtattr *add(int type, const void *value, size_t length) {
    struct rtattr *attribute = (struct rtattr *)(buffer + NLMSG_ALIGN(message->nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(length);
    if (length)
        memcpy(RTA_DATA(attribute), value, length);
    message->nlmsg_len = NLMSG_ALIGN(message->nlmsg_len) + RTA_ALIGN(attribute->rta_len);
    return attribute;
}

static void end(struct rtattr *nest) { nest->rta_len = buffer + message->nlmsg_len - (char *)nest; }

// Returns the index that a GETLINK answers with, 0 for other requests.
static int talk(int handle, const char *what) {
    static char answer[16384];
    int index = 0;
    check(send(handle, buffer, message->nlmsg_len, 0), what);
    for (;;) {
        ssize_t length = recv(handle, answer, sizeof answer, 0);
        check(length, what);
        for (struct nlmsghdr *m = (void *)answer; NLMSG_OK(m, length); m = NLMSG_NEXT(m, length)) {
            if (m->nlmsg_type == NLMSG_ERROR) {
                errno = -((struct nlmsgerr *)NLMSG_DATA(m))->error;
                check(-errno, what);
                return index;
            }
            index = ((struct ifinfomsg *)NLMSG_DATA(m))->ifi_index;
        }
    }
}

static void make_veth(int host, int number, int target, int bridge) {
    char name[IFNAMSIZ];
    snprintf(name, sizeof name, "veth%07x", number);
    begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    add(IFLA_IFNAME, name, strlen(name) + 1);
    add(IFLA_MASTER, &bridge, sizeof bridge);
    struct rtattr *info = add(IFLA_LINKINFO, NULL, 0);
    add(IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = add(IFLA_INFO_DATA, NULL, 0);
    struct rtattr *peer = add(VETH_INFO_PEER, &(struct ifinfomsg){0}, sizeof(struct ifinfomsg));
    add(IFLA_IFNAME, "eth0", 5);
    add(IFLA_NET_NS_FD, &target, sizeof target);
    end(peer), end(data), end(info);
    talk(host, "veth");
}

static void up(int handle, const char *name) {
    struct ifinfomsg *link = begin(RTM_NEWLINK, 0, sizeof *link);
    link->ifi_flags = link->ifi_change = IFF_UP;
    add(IFLA_IFNAME, name, strlen(name) + 1);
    talk(handle, "up");
}

static int index_of(int handle, const char *name) {
    begin(RTM_GETLINK, 0, sizeof(struct ifinfomsg));
    add(IFLA_IFNAME, name, strlen(name) + 1);
    return talk(handle, "index");
}

static void address(int handle, int index, unsigned own) {
    struct ifaddrmsg *m = begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *m);
    *m = (struct ifaddrmsg){.ifa_family = AF_INET, .ifa_prefixlen = 16, .ifa_index = index};
    unsigned all = htonl(0xac11ffff);
    own = htonl(own);
    add(IFA_LOCAL, &own, 4);
    add(IFA_ADDRESS, &own, 4);
    add(IFA_BROADCAST, &all, 4);
    talk(handle, "address");
}

static void default_route(int handle, int index) {
    struct rtmsg *m = begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof *m);
    *m = (struct rtmsg){.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT};
    m->rtm_type = RTN_UNICAST;
    unsigned gateway = htonl(0xac110001);
    add(RTA_GATEWAY, &gateway, 4);
    add(RTA_OIF, &index, 4);
    talk(handle, "route");
}

static int enter(int number) {
    char path[64];
    snprintf(path, sizeof path, "/run/netns/raw%d", number);
    int target = open(path, O_RDONLY | O_CLOEXEC);
    check(target, path);
    return target;
}

static void make_namespace(int number) {
    char path[64];
    snprintf(path, sizeof path, "/run/netns/raw%d", number);
    close(open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
    check(unshare(CLONE_NEWNET), "unshare");
    check(mount("/proc/thread-self/ns/net", path, "none", MS_BIND, NULL), path);
}

static void furnish(int number) {
    int target = enter(number);
    check(setns(target, CLONE_NEWNET), "setns");
    int inside = netlink_socket();
    up(inside, "lo");
    int index = index_of(inside, "eth0");
    address(inside, index, 0xac110002 + number);
    up(inside, "eth0");
    default_route(inside, index);
    close(inside), close(target);
}

// What makes a bridge's ports forward comes last: until then no endpoint's first packets are copied to all others.
int main(int count, char **arguments) {
    if (count != 3)
        return fprintf(stderr, "usage: raw_endpoints N BRIDGE_INDEX\n"), 2;
    int host = netlink_socket(), last = atoi(arguments[1]), bridge = atoi(arguments[2]);
    for (int number = 0; number < last; number++)
        make_namespace(number);
    for (int number = 0; number < last; number++) {
        int target = enter(number);
        make_veth(host, number, target, bridge);
        close(target);
    }
    for (int number = 0; number < last; number++)
        furnish(number);
    for (int number = 0; number < last; number++) {
        char name[IFNAMSIZ];
        snprintf(name, sizeof name, "veth%07x", number);
        up(host, name);
    }
    return 0;
}
