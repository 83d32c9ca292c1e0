/* SPDX-License-Identifier: MIT */
#pragma once

/* grant_table_op, and this domain's table of version 1. */
#include <stdbool.h>
#include "hypercall.h"
#include "page.h"
#include <xen/grant_table.h>

#define GRANTS_PER_PAGE (PAGE / sizeof(grant_entry_v1_t))
/* Far above the RAM of any test guest, where nothing is. */
#define GRANT_GFN 0x800000UL

/* Maps this domain's first `frames` frames of its table; ends the guest if that is refused. */
grant_entry_v1_t *grant_table(unsigned frames);
/* This domain's number. */
domid_t grant_own_id(void);

static inline long grant_op(unsigned cmd, void *ops, unsigned count)
{
    return hypercall(__HYPERVISOR_grant_table_op, cmd, (uint64_t)ops, count, 0, 0);
}
/* Says that `to` may use a page. */
static inline void grant_give(grant_entry_v1_t *e, domid_t to, const volatile void *page,
                              uint16_t flags)
{
    e->domid = to;
    e->frame = (uint32_t)gfn_of(page);
    __atomic_store_n(&e->flags, (uint16_t)(GTF_permit_access | flags), __ATOMIC_RELEASE);
}
/* One mapping: its status; the call itself has to work. */
int grant_map_at(domid_t from, grant_ref_t ref, uint32_t flags, uint64_t gfn,
                 grant_handle_t *handle);
int grant_unmap_at(uint64_t gfn, grant_handle_t handle);
/* One copy. */
int grant_copy_one(struct gnttab_copy *op);
/* An address at which this guest sees a gfn beyond its RAM. */
volatile uint64_t *grant_see(uint64_t gfn);

/* What grant-gives.c and grant-takes.c say to each other, in a page that the one grants to every
 * number a domain can have, by an entry each. */
#define GIVEN_MAILBOX(to) (8u + (to))
#define GIVEN_READ        200u /* to be read alone */
#define GIVEN_WRITE       201u
#define GIVEN_OTHERS      202u         /* to somebody else */
#define GIVEN_MAGIC       0x67697665UL /* and 1 more for the pair whose taker ends first */
#define GIVEN_DOMAINS     64u
struct given {
    volatile uint64_t magic, taken, given; /* steps that each has done */
};
