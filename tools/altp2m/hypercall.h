/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The way to the hypervisor, behind function pointers so that the commands run on the host
 * against a model of it. All calls return 0 or a positive result, or a negative errno.
 */
#include <stddef.h>
#include <stdint.h>

struct hypercall {
    void *ctx;
    /* HVMOP `op` with an argument of `size` bytes (at most a page), copied in and, whatever the
       result, back out. */
    int (*hvm_op)(void *ctx, unsigned int op, void *arg, size_t size);
    /* xen_version; `arg` may be NULL with size 0, for the sub-commands that take none. */
    int (*version)(void *ctx, unsigned int cmd, void *arg, size_t size);
    /* Memory that the hypervisor may read while it works on a call; NULL if there is none.
       `release` takes the same size. */
    void *(*alloc)(void *ctx, size_t size);
    void (*release)(void *ctx, void *p, size_t size);
    /* The caller's own domain number, or -ENOENT if there is no way to know it. */
    int (*own_domid)(void *ctx);
};

/* Why the hypervisor cannot be reached: two sentences for people. */
struct hypercall_trouble {
    char text[200];
    char hint[200];
};

/*
 * Opens libxencall's device. 0, or a negative errno with *why filled in.
 * hypercall_xen_close() releases everything a successful open took.
 */
int hypercall_xen_open(struct hypercall *hc, struct hypercall_trouble *why);
void hypercall_xen_close(struct hypercall *hc);
