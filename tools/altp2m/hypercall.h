/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The way to the hypervisor, behind function pointers so that the commands run on the host
 * against a model of it. All calls return 0 or a positive result, or a negative errno.
 */
#include <stdbool.h>
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

    /* What only a monitor needs. Structs and results as for hvm_op; pointers in them come from
       alloc. */
    int (*domctl)(void *ctx, void *op); /* struct xen_domctl */
    int (*sysctl)(void *ctx, void *op); /* struct xen_sysctl */
    int (*memory_op)(void *ctx, unsigned int cmd, void *arg, size_t size);
    int (*dm_op)(void *ctx, uint16_t domid, void *op, size_t size);
    /* Another domain's page, or NULL with errno set. It stays until `unmap`, whatever the domain
       does. */
    void *(*map)(void *ctx, uint16_t domid, uint64_t gfn, bool write);
    void (*unmap)(void *ctx, void *page);
    /* An event channel to the other domain's port: the local one, or a negative errno. One at a
       time. */
    int (*bind)(void *ctx, uint16_t domid, uint32_t port);
    void (*unbind)(void *ctx, int port);
    int (*notify)(void *ctx, int port);
    /* 1: the channel was notified since; 0: not within that time, or a signal came. */
    int (*wait)(void *ctx, int milliseconds);
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

/* The monitor's part (hypercall_monitor.c). Its devices are opened when they are first used, so
   that a guest's altp2m needs none of them. */
struct monitor_way;
struct monitor_way *monitor_way_new(void); /* NULL without memory */
void monitor_way_free(struct monitor_way *w);
void *monitor_way_map(struct monitor_way *w, uint16_t domid, uint64_t gfn, bool write);
void monitor_way_unmap(struct monitor_way *w, void *page);
int monitor_way_bind(struct monitor_way *w, uint16_t domid, uint32_t port);
void monitor_way_unbind(struct monitor_way *w, int port);
int monitor_way_notify(struct monitor_way *w, int port);
int monitor_way_wait(struct monitor_way *w, int milliseconds);
