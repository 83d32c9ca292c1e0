/* SPDX-License-Identifier: MIT */
#include "hypercall.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include <xencall.h>

#include "xenabi.h"

#define PRIVCMD    "/dev/xen/privcmd"
#define ARG_SIZE   4096u
#define CPUID_STEP 0x100u
#define CPUID_LAST 0x40010000u

struct xen {
    xencall_handle *handle;
    void *arg;        /* one page, for the argument structs */
    void *dm_buffers; /* one page: what dm_op points to */
    struct monitor_way *way;
};

static size_t pages(size_t size)
{
    return (size + ARG_SIZE - 1) / ARG_SIZE;
}

static int call(struct xen *x, unsigned int nr, unsigned int op, void *arg, size_t size)
{
    int rc;

    if (size > ARG_SIZE)
        return -E2BIG;
    if (size)
        memcpy(x->arg, arg, size);
    rc = xencall2(x->handle, nr, op, size ? (uintptr_t)x->arg : 0);
    if (rc < 0)
        rc = -errno;
    if (size)
        memcpy(arg, x->arg, size);
    return rc;
}

static int call1(struct xen *x, unsigned int nr, void *arg, size_t size)
{
    int rc;

    if (size > ARG_SIZE)
        return -E2BIG;
    memcpy(x->arg, arg, size);
    rc = xencall1(x->handle, nr, (uintptr_t)x->arg);
    if (rc < 0)
        rc = -errno;
    memcpy(arg, x->arg, size);
    return rc;
}

static int xen_hvm_op(void *ctx, unsigned int op, void *arg, size_t size)
{
    return call(ctx, __HYPERVISOR_hvm_op, op, arg, size);
}

static int xen_version(void *ctx, unsigned int cmd, void *arg, size_t size)
{
    return call(ctx, __HYPERVISOR_xen_version, cmd, arg, size);
}

static int xen_domctl(void *ctx, void *op)
{
    return call1(ctx, __HYPERVISOR_domctl, op, sizeof(struct xen_domctl));
}

static int xen_sysctl(void *ctx, void *op)
{
    return call1(ctx, __HYPERVISOR_sysctl, op, sizeof(struct xen_sysctl));
}

static int xen_memory_op(void *ctx, unsigned int cmd, void *arg, size_t size)
{
    return call(ctx, __HYPERVISOR_memory_op, cmd, arg, size);
}

static int xen_dm_op(void *ctx, uint16_t domid, void *op, size_t size)
{
    struct xen *x = ctx;
    struct xen_dm_op_buf *b = x->dm_buffers;

    if (size > ARG_SIZE)
        return -E2BIG;
    memcpy(x->arg, op, size);
    memset(b, 0, sizeof(*b));
    set_xen_guest_handle(b->h, x->arg);
    b->size = size;
    return xencall3(x->handle, __HYPERVISOR_dm_op, domid, 1, (uintptr_t)b) < 0 ? -errno : 0;
}

static void *xen_map(void *ctx, uint16_t domid, uint64_t gfn, bool write)
{
    return monitor_way_map(((struct xen *)ctx)->way, domid, gfn, write);
}

static void xen_unmap(void *ctx, void *page)
{
    monitor_way_unmap(((struct xen *)ctx)->way, page);
}

static int xen_bind(void *ctx, uint16_t domid, uint32_t port)
{
    return monitor_way_bind(((struct xen *)ctx)->way, domid, port);
}

static void xen_unbind(void *ctx, int port)
{
    monitor_way_unbind(((struct xen *)ctx)->way, port);
}

static int xen_notify(void *ctx, int port)
{
    return monitor_way_notify(((struct xen *)ctx)->way, port);
}

static int xen_wait(void *ctx, int milliseconds)
{
    return monitor_way_wait(((struct xen *)ctx)->way, milliseconds);
}

static void *xen_alloc(void *ctx, size_t size)
{
    struct xen *x = ctx;
    void *p = xencall_alloc_buffer_pages(x->handle, pages(size));

    if (p)
        memset(p, 0, size);
    return p;
}

static void xen_release(void *ctx, void *p, size_t size)
{
    struct xen *x = ctx;

    xencall_free_buffer_pages(x->handle, p, pages(size));
}

/* Xen's CPUID leaves start at a multiple of 0x100 from 0x40000000; 0 if there are none. */
static uint32_t xen_cpuid_base(void)
{
    uint32_t a, b, c, d, base;

    for (base = XEN_CPUID_FIRST_LEAF; base < CPUID_LAST; base += CPUID_STEP) {
        __cpuid(base, a, b, c, d);
        if (b == XEN_CPUID_SIGNATURE_EBX && c == XEN_CPUID_SIGNATURE_ECX &&
            d == XEN_CPUID_SIGNATURE_EDX)
            return a >= base + 4 ? base : 0;
    }
    return 0;
}

static int xen_own_domid(void *ctx)
{
    uint32_t a, b, c, d, base = xen_cpuid_base();

    (void)ctx;
    if (!base)
        return -ENOENT;
    __cpuid_count(base + 4, 0, a, b, c, d);
    return a & XEN_HVM_CPUID_DOMID_PRESENT ? (int)c : -ENOENT;
}

static void on_alarm(int number)
{
    (void)number;
}

/*
 * A descriptor, or -1 with errno. Kernels since 2026 hold who opens it in a guest until a xenstore
 * says which domain may be called: for ever, where there is none. After a second that is EINTR. The
 * alarm comes again, should one come before open().
 */
static int open_in_time(void)
{
    const struct itimerval second = {.it_value = {.tv_sec = 1}, .it_interval = {.tv_usec = 100000}},
                           never = {0};
    struct sigaction alarm = {.sa_handler = on_alarm}, before;
    int fd, error;

    sigaction(SIGALRM, &alarm, &before);
    setitimer(ITIMER_REAL, &second, NULL);
    fd = open(PRIVCMD, O_RDWR | O_CLOEXEC);
    error = errno;
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    errno = error;
    return fd;
}

static int explain_open(int err, struct hypercall_trouble *why)
{
    if (err == ENOENT && !xen_cpuid_base() && access("/proc/xen", F_OK)) {
        snprintf(why->text, sizeof(why->text), "this system does not run on Xen or Facet");
        snprintf(why->hint, sizeof(why->hint), "run altp2m in a guest or in the control domain");
    } else if (err == ENOENT || err == ENODEV || err == ENXIO) {
        snprintf(why->text, sizeof(why->text),
                 PRIVCMD " is missing: the kernel offers no way "
                         "to make hypercalls");
        snprintf(why->hint, sizeof(why->hint), "load the module: modprobe xen-privcmd");
    } else if (err == EACCES || err == EPERM) {
        snprintf(why->text, sizeof(why->text), "not permitted to open " PRIVCMD);
        snprintf(why->hint, sizeof(why->hint), "run altp2m as root");
    } else if (err == EINTR) {
        snprintf(why->text, sizeof(why->text),
                 PRIVCMD " does not open: the kernel waits for a xenstore to allow hypercalls");
        snprintf(why->hint, sizeof(why->hint),
                 "load the module with unrestricted=1: rmmod xen-privcmd; insmod xen-privcmd.ko "
                 "unrestricted=1");
    } else {
        snprintf(why->text, sizeof(why->text), "cannot open " PRIVCMD ": %s", strerror(err));
        snprintf(why->hint, sizeof(why->hint), "look for xen-privcmd in the kernel's log");
    }
    return -err;
}

static void release(struct xen *x)
{
    monitor_way_free(x->way);
    if (x->dm_buffers)
        xencall_free_buffer_pages(x->handle, x->dm_buffers, 1);
    if (x->arg)
        xencall_free_buffer_pages(x->handle, x->arg, 1);
    if (x->handle)
        xencall_close(x->handle);
    free(x);
}

int hypercall_xen_open(struct hypercall *hc, struct hypercall_trouble *why)
{
    struct xen *x;
    int fd = open_in_time();

    /* libxencall would report the same failure, but only as a log line and a number. */
    if (fd < 0)
        return explain_open(errno, why);
    close(fd);

    x = calloc(1, sizeof(*x));
    if (!x)
        return explain_open(ENOMEM, why);
    errno = 0;
    x->handle = xencall_open(NULL, 0);
    if (x->handle) {
        x->arg = xencall_alloc_buffer_pages(x->handle, 1);
        x->dm_buffers = xencall_alloc_buffer_pages(x->handle, 1);
        x->way = monitor_way_new();
    }
    if (!x->arg || !x->dm_buffers || !x->way) {
        int err = errno ? errno : ENOMEM;

        release(x);
        return explain_open(err, why);
    }
    *hc = (struct hypercall){.ctx = x,
                             .hvm_op = xen_hvm_op,
                             .version = xen_version,
                             .alloc = xen_alloc,
                             .release = xen_release,
                             .own_domid = xen_own_domid,
                             .domctl = xen_domctl,
                             .sysctl = xen_sysctl,
                             .memory_op = xen_memory_op,
                             .dm_op = xen_dm_op,
                             .map = xen_map,
                             .unmap = xen_unmap,
                             .bind = xen_bind,
                             .unbind = xen_unbind,
                             .notify = xen_notify,
                             .wait = xen_wait};
    return 0;
}

void hypercall_xen_close(struct hypercall *hc)
{
    release(hc->ctx);
    hc->ctx = NULL;
}
