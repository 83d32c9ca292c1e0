/* SPDX-License-Identifier: MIT */
/*
 * Runs xenstored in a Linux that does not take its domain for the first one, and so has no page and
 * no port for its own connection to it: xsd PROGRAM... gives it a page and a port that nobody uses,
 * where it looks for them. Everybody in the domain talks to its socket.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct bind_unbound_port {
    unsigned remote_domain;
};
#define BIND_UNBOUND_PORT                                                                          \
    _IOC(_IOC_NONE, 'E', 2, sizeof(struct bind_unbound_port)) /* xen/evtchn.h */

static int fill(const char *path, const char *text, long size)
{
    FILE *f = fopen(path, "w");

    if (!f)
        return -1;
    fputs(text, f);
    return ftruncate(fileno(f), size) | fclose(f);
}

int main(int argc, char **argv)
{
    struct bind_unbound_port bind = {0};
    int fd = open("/dev/xen/evtchn", O_RDWR),
        port = fd < 0 ? -1 : ioctl(fd, BIND_UNBOUND_PORT, &bind);
    char text[16];

    snprintf(text, sizeof(text), "%d\n", port);
    if (argc < 2 || port < 0 || unshare(CLONE_NEWNS) || mount("none", "/proc", "tmpfs", 0, NULL) ||
        mkdir("/proc/xen", 0755) || fill("/proc/xen/xsd_port", text, 16) ||
        fill("/proc/xen/xsd_kva", "", 4096)) {
        perror("xsd");
        return 1;
    }
    execvp(argv[1], argv + 1);
    return 1;
}
