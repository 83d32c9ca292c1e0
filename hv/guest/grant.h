/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Grants. A domain says in its table who may use which of its pages; whoever uses one *pins* its
 * entry meanwhile: the frame stays, whatever the granter does, and the entry says that it is read
 * or written. A mapping is kept by its *handle* with the domain that made it.
 *
 * Pins are under the granter's lock, handles under their own domain's; never both at a time.
 */
#include "guest.h"

/* An entry that is in use. */
struct grant_pin {
    uint32_t mfn;
    uint16_t domid; /* who uses it: one domain at a time */
    uint8_t readers, writers;
};
#define GRANTS_PER_FRAME (PAGE_SIZE / sizeof(struct grant_entry_v1))
_Static_assert(GRANTS_PER_FRAME == PAGE_SIZE / sizeof(struct grant_pin), "grant_table.h");

/* What a handle stands for. */
struct grant_track {
    uint64_t gfn; /* where it was mapped */
    uint32_t mfn;
    uint32_t ref, serial; /* of the granter: another domain may have its number by now */
    uint16_t domid;
    bool used, readonly;
};
#define TRACKS_PER_FRAME (PAGE_SIZE / sizeof(struct grant_track))

/* What a call wants with an entry. */
struct grant_use {
    struct domain *granter;
    uint32_t ref;
    uint16_t by;
    bool readonly;
};

/*
 * Takes the entry into use and a reference on the frame. GNTST_okay, or why not:
 * GNTST_bad_gntref: no such entry; GNTST_general_error: it does not say so, or another domain uses
 * it; GNTST_bad_page: the granter has no page there, or may not give it away; GNTST_no_space.
 */
int16_t grant_pin(const struct grant_use *u, mfn_t *frame);
/* It is no longer used so; the reference on the frame is the caller's to give back. */
void grant_unpin(const struct grant_use *u);

/* The calls that are about several things; GNTTABOP_* with `count` operations at arg[1]. */
long grant_map(struct hypercall *h);
long grant_unmap(struct hypercall *h);
long grant_copy(struct hypercall *h);
/* The call goes on later with what is left behind `done` operations of `size` bytes. */
bool grant_must_stop(struct hypercall *h, uint32_t done, size_t size);
