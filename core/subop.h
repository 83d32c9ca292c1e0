/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One call of HVMOP_altp2m on its way from the dispatcher to a handler, and the table's rows.
 */
#include "args.h"
#include "altp2m.h"
#include "physmap.h"

/* The caller's argument. Offsets of `u` are asserted in altp2m.c. */
union altp2m_op {
    struct xen_hvm_altp2m_op xen;
    struct {
        uint8_t head[16];
        union {
            uint8_t bytes[64];
            uint16_t halves[32];
            uint32_t words[16];
            uint64_t longs[8];
#define ARGUMENT(name, type) type name;
#include "fields.h"
        } u;
    } facet;
};

struct subop_call {
    const struct altp2m_caller *caller;
    struct physmap *pm;  /* the domain that the call is about */
    gva_t arg;           /* the argument in the caller's memory */
    union altp2m_op *op; /* our copy of it */
};

enum subop_flags {
    SUBOP_INACTIVE = 1,
    SUBOP_LIMITED = 2,
    SUBOP_PARTIAL = 4,
    SUBOP_ALWAYS = 8,
    SUBOP_ANYWHERE = 16,
    SUBOP_ASKED = 32,
};

/* What a sub-op does to the view that it names (subops.h). */
enum subop_use {
    SUBOP_NO_VIEW,
    SUBOP_READS,
    SUBOP_ENTERS,
    SUBOP_EDITS,
};

struct subop {
    uint32_t number;
    uint16_t since;
    uint8_t arg, out, out_size;
    uint8_t flags;
    uint8_t verdict, use;
    uint8_t view_at; /* where in `u` the view stands that `use` is about */
    uint64_t pads, first_pads;
    uint64_t bit; /* in sets of rows (policy.h) */
    long (*handler)(struct subop_call *call);
    const char *name, *reason, *test, *summary;
};

/* The guest calls about itself: what it takes leaves monitors theirs. */
static inline bool subop_by_guest(const struct subop_call *call)
{
    return call->caller->self == call->pm;
}

extern const struct subop subop_table[];
extern const unsigned subop_count;

/* SUBOP_NR_NAME: the numbers by the names. */
enum {
#define SUBOP(number, name, ...) SUBOP_NR_##name = (number),
#include "subops.h"
#undef SUBOP
};

/* A member of an argument (fields.h). */
struct subop_field {
    uint32_t number; /* of the sub-op */
    uint8_t offset, size, way, kind;
    const char *name;
};

enum subop_way { SUBOP_IN = 1, SUBOP_OUT, SUBOP_INOUT };

enum subop_kind {
    SUBOP_VIEW,
    SUBOP_VCPU,
    SUBOP_GFN,
    SUBOP_ACCESS,
    SUBOP_SWITCH,
    SUBOP_FLAGS,
    SUBOP_COUNT,
    SUBOP_NUMBER,
    SUBOP_PROGRESS,
    SUBOP_ERROR,
    SUBOP_LIST,
    SUBOP_BUFFER,
    SUBOP_HANDLE,
    SUBOP_BYTES,
};

/* In the order of fields.h: those of one sub-op follow each other. */
extern const struct subop_field subop_fields[];
extern const unsigned subop_nr_fields;

/* The row of a command, or NULL. */
const struct subop *subop_find(uint32_t number);
/* FACET_ALTP2M_WHY_*: why this caller may not use the row on the domain; 0: it may. */
unsigned subop_why(const struct subop *row, const struct altp2m_caller *c,
                   const struct physmap *pm);

/* Between two pieces of a long call: whether it has to stop, to be continued. Settles the physmap
 * if there is time. Without locks. */
bool subop_stops(struct physmap *pm);
/* Whether a range lies within the guest's address width; the empty one does. */
bool subop_range_exists(const struct physmap *pm, uint64_t first, uint64_t nr);

/*
 * Sub-op 8 for one gfn, under the lock: `new` ~0 reverts. `suppress` is the #VE bit of a new remap.
 */
int subop_change_one(struct physmap *pm, struct view_state *vs, uint64_t old, uint64_t new,
                     bool suppress);

#define SUBOP(number, name, ...) long subop_##name(struct subop_call *call);
#include "subops.h"
#undef SUBOP
