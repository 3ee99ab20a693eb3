// Copyright (c) hostnet.docker contributors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// New TCP connections a second, one after the other: each is made and reset at once, so that none lingers.
//
// What the packets pass is to be measured, and not the making of sockets, which takes longer than all of Docker's
// rules for a hundred ports: the client has one socket for all its connections, and the server leaves those that
// send nothing to the kernel.
//
// Usage: connections listen PORT          be there until killed
//        connections ADDRESS PORT SLICES  print how many a second were made, in the best of so many slices of time

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SLICE 0.25 // seconds; what else the machine does takes less than all of them
#define PATIENCE 60 // seconds, longer than a connection is held

static void check(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static int tcp(void) {
    int handle = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(handle, "socket");
    return handle;
}

static void listen_on(const struct sockaddr_in *where) {
    int handle = tcp();
    check(bind(handle, (const struct sockaddr *)where, sizeof *where), "bind");
    int patience = PATIENCE;
    check(setsockopt(handle, IPPROTO_TCP, TCP_DEFER_ACCEPT, &patience, sizeof patience), "TCP_DEFER_ACCEPT");
    check(listen(handle, 4096), "listen");
    pause();
}

static void connect_once(int handle, const struct sockaddr_in *where) {
    static const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    check(connect(handle, (const struct sockaddr *)where, sizeof *where), "connect");
    check(connect(handle, &nowhere, sizeof nowhere), "reset");
}

static double rate(int handle, const struct sockaddr_in *where, double seconds) {
    double start = now();
    long count = 0;
    for (; now() < start + seconds; count++)
        connect_once(handle, where);
    return count / (now() - start);
}

int main(int count, char **arguments) {
    int is_server = count == 3 && !strcmp(arguments[1], "listen");
    if (!is_server && count != 4)
        return fprintf(stderr, "usage: connections listen PORT | ADDRESS PORT SLICES\n"), 2;
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2]))};
    if (is_server)
        listen_on(&where);
    inet_pton(AF_INET, arguments[1], &where.sin_addr);
    int handle = tcp();
    double best = 0;
    for (int number = atoi(arguments[3]); number > 0; number--) {
        double found = rate(handle, &where, SLICE);
        best = found > best ? found : best;
    }
    printf("%.1f\n", best);
    return 0;
}
