/* SPDX-License-Identifier: MIT */
#include "hypercall.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xencall.h>

#include "xenabi.h"

#define PRIVCMD    "/dev/xen/privcmd"
#define ARG_SIZE   4096u
#define CPUID_STEP 0x100u
#define CPUID_LAST 0x40010000u

struct xen {
    xencall_handle *handle;
    void *arg; /* one page, for the argument structs */
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

static int xen_hvm_op(void *ctx, unsigned int op, void *arg, size_t size)
{
    return call(ctx, __HYPERVISOR_hvm_op, op, arg, size);
}

static int xen_version(void *ctx, unsigned int cmd, void *arg, size_t size)
{
    return call(ctx, __HYPERVISOR_xen_version, cmd, arg, size);
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
    } else {
        snprintf(why->text, sizeof(why->text), "cannot open " PRIVCMD ": %s", strerror(err));
        snprintf(why->hint, sizeof(why->hint), "look for xen-privcmd in the kernel's log");
    }
    return -err;
}

int hypercall_xen_open(struct hypercall *hc, struct hypercall_trouble *why)
{
    struct xen *x;
    int fd = open(PRIVCMD, O_RDWR | O_CLOEXEC);

    /* libxencall would report the same failure, but only as a log line and a number. */
    if (fd < 0)
        return explain_open(errno, why);
    close(fd);

    x = calloc(1, sizeof(*x));
    if (!x)
        return explain_open(ENOMEM, why);
    x->handle = xencall_open(NULL, 0);
    x->arg = x->handle ? xencall_alloc_buffer_pages(x->handle, 1) : NULL;
    if (!x->arg) {
        int err = errno ? errno : ENOMEM;

        if (x->handle)
            xencall_close(x->handle);
        free(x);
        return explain_open(err, why);
    }
    *hc = (struct hypercall){x, xen_hvm_op, xen_version, xen_alloc, xen_release, xen_own_domid};
    return 0;
}

void hypercall_xen_close(struct hypercall *hc)
{
    struct xen *x = hc->ctx;

    xencall_free_buffer_pages(x->handle, x->arg, 1);
    xencall_close(x->handle);
    free(x);
    hc->ctx = NULL;
}
