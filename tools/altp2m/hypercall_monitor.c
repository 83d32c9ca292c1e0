/* SPDX-License-Identifier: MIT */
/* Another domain's memory and events, through Debian's libxenforeignmemory and libxenevtchn. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>

#include "hypercall.h"

#define EVTCHN "/dev/xen/evtchn"

struct monitor_way {
    xenforeignmemory_handle *memory;
    xenevtchn_handle *events;
};

struct monitor_way *monitor_way_new(void)
{
    return calloc(1, sizeof(struct monitor_way));
}

void monitor_way_free(struct monitor_way *w)
{
    if (!w)
        return;
    if (w->memory)
        xenforeignmemory_close(w->memory);
    if (w->events)
        xenevtchn_close(w->events);
    free(w);
}

void *monitor_way_map(struct monitor_way *w, uint16_t domid, uint64_t gfn, bool write)
{
    xen_pfn_t pfn = gfn;
    int error = 0;
    void *page;

    if (!w->memory)
        w->memory = xenforeignmemory_open(NULL, 0);
    if (!w->memory)
        return NULL;
    page = xenforeignmemory_map(w->memory, domid, PROT_READ | (write ? PROT_WRITE : 0), 1, &pfn,
                                &error);
    if (page && error) {
        xenforeignmemory_unmap(w->memory, page, 1);
        errno = -error;
        page = NULL;
    }
    return page;
}

void monitor_way_unmap(struct monitor_way *w, void *page)
{
    xenforeignmemory_unmap(w->memory, page, 1);
}

int monitor_way_bind(struct monitor_way *w, uint16_t domid, uint32_t port)
{
    int fd, local;

    if (!w->events) {
        /* libxenevtchn would report the same failure, but with a log line of its own. */
        fd = open(EVTCHN, O_RDWR | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        close(fd);
        w->events = xenevtchn_open(NULL, 0);
    }
    if (!w->events)
        return -errno;
    local = xenevtchn_bind_interdomain(w->events, domid, port);
    return local < 0 ? -errno : local;
}

void monitor_way_unbind(struct monitor_way *w, int port)
{
    xenevtchn_unbind(w->events, (evtchn_port_t)port);
}

int monitor_way_notify(struct monitor_way *w, int port)
{
    return xenevtchn_notify(w->events, (evtchn_port_t)port) < 0 ? -errno : 0;
}

int monitor_way_wait(struct monitor_way *w, int milliseconds)
{
    struct pollfd p = {.fd = xenevtchn_fd(w->events), .events = POLLIN};
    int port;

    if (poll(&p, 1, milliseconds) != 1)
        return 0;
    port = xenevtchn_pending(w->events);
    if (port >= 0)
        xenevtchn_unmask(w->events, (evtchn_port_t)port);
    return 1;
}
