/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Domains that a domain with the right to (`control` in its configuration) makes at run time, as
 * Xen's toolstack does:
 *
 *     created    has a number, parameters, event channels and limits; nobody but its maker finds it
 *     whole      has table memory and its vCPUs, from set_paging_mempool_size on; its maker fills
 * it started    was unpaused: from then on it is like any other domain ended      by itself: stays,
 * to be looked at, until it is destroyed
 *
 * It can be destroyed in every one of these states. Its number is not given out again before all
 * others were.
 */
#include "guest.h"

#define MADE_MAP_MAX 32u

struct made {
    uint16_t maker; /* domid */
    bool whole, started;
    uint8_t handle[16];
    uint32_t emulation;
    uint64_t tables; /* bytes that its maker asked for */
    uint64_t claim;  /* pages that its maker said it will need, and has not taken */
    unsigned nr_map;
    struct hvm_memmap_table_entry map[MADE_MAP_MAX];
};
_Static_assert(sizeof(struct made) <= PAGE_SIZE, "in one frame");

/* Whether `by` made d and fills it still. */
static inline bool made_fills(const struct domain *by, const struct domain *d)
{
    const struct made *m = d->guest.made;

    return m && !m->started && m->maker == by->id && by->guest.control;
}

/* createdomain. The domain of `*domid` if that is free, else any; -ERESTART while none is that will
 * be by itself. */
struct xen_domctl_createdomain;
long made_create(struct domain *by, const struct xen_domctl_createdomain *c, uint16_t *domid);
/* destroydomain: 0 when it is taken apart and has given back its frames, as on Xen; -ERESTART
 * until then. The call made again finds no domain: made_ends(). */
struct hypercall;
long made_destroy(struct hypercall *h, struct domain *d);
/* The call is made_destroy()'s, made again: true, with its result. */
bool made_ends(struct hypercall *h, unsigned domid, long *result);
long made_set_vcpus(struct domain *d, unsigned nr);
long made_set_memory(struct domain *d, uint64_t kib);
/* Table memory for views, in bytes: the domain is whole then. */
long made_set_tables(struct domain *d, uint64_t bytes);
/* `by`, who may be its maker, holds it no longer. */
void made_start(struct domain *d, const struct domain *by);
/* An extent of RAM where nothing is. */
bool made_populate(struct domain *d, uint64_t g, unsigned order);
long made_set_map(struct hypercall *h);
long made_claim(struct hypercall *h);
long made_acquire(struct hypercall *h);
long made_target(struct hypercall *h, bool set);

/* ---- cpu_policy.c: what a made domain finds of the processor ---- */

struct xen_domctl_cpu_policy;
/* Leaves and MSRs are looked at, and guests go on to see what all see. */
long policy_set(struct hypercall *h, struct xen_domctl_cpu_policy *op);
struct xen_sysctl_cpu_policy;
long policy_get(struct hypercall *h, struct xen_sysctl_cpu_policy *op);
struct xen_sysctl_cpu_featureset;
long policy_features(struct hypercall *h, struct xen_sysctl_cpu_featureset *op);

/* ---- domctl.c ---- */

/* Whether the domain may make any domctl or sysctl at all. */
bool domctl_privileged(const struct domain *d);
/* A line on the console about a call that is not offered, the first time. */
void domctl_log_once(const struct hypercall *h, const char *call, unsigned cmd);
struct xen_sysctl_getdomaininfolist;
long domctl_list(struct hypercall *h, struct xen_sysctl_getdomaininfolist *op);

/* ---- domain.c ---- */

/* As domain_get(), of one that is not whole or has ended as well; as domain_target(). */
struct domain *domain_get_any(unsigned domid);
int domain_target_any(struct vcpu *v, unsigned domid, struct domain **out);
/* A number that nobody has, and of whose former domains nobody holds a frame; 0: none. The one
 * asked for, if not 0. */
unsigned domain_free_id(unsigned wanted);
/* Some that are to be destroyed still have their number. */
bool domains_ending(void);
/* The one with the number is to be destroyed, or is being taken apart. */
bool domain_ending(unsigned domid);
/* How many there are. */
unsigned domains_count(void);
/* The configuration that goes with the number, for a made domain. */
struct domain_config *domain_config_of(const struct domain *d);
void domain_add_made(struct domain *d);
/* It is gone for others at once, and taken apart by and by. */
void domain_destroy(struct domain *d);
#define DOMAIN_DESTROYED 0x100u /* a reason for its shutdown, beside Xen's */

/* ---- builder.c ---- */

/* A domain with parameters and event channels, and no more; NULL: no memory. */
struct domain *builder_empty(const struct domain_config *c);
/* Its table memory and vCPUs. False: no memory; what there is goes with the domain. */
bool builder_equip(struct domain *d, const struct domain_config *c);
