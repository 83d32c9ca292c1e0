/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A model of what the core promises, simple enough to be believed: for each of a few gfns and each
 * view, what is mapped there, what was said of it, and from that what a vCPU may do. No tables, no
 * sharing.
 *
 * A step is applied to the model and to the core; both must agree on the result, on what every view
 * shows, on hardware rights, on table pages and on frame references.
 */
#include <stdbool.h>
#include <stdint.h>

#define MODEL_VIEWS 6

enum step_kind {
    STEP_MAP,
    STEP_UNMAP,
    STEP_STATE,
    STEP_CREATE,
    STEP_DESTROY,
    STEP_SWITCH,
    STEP_ACCESS,
    STEP_DEFAULT,
    STEP_MULTI,
    STEP_CHANGE,
    STEP_REVERT,
    STEP_VE,
    STEP_VE_RANGE,
    STEP_VISIBLE,
    STEP_NOTIFY,
    STEP_VMFUNC,
    STEP_FAULT,
    STEP_WALKS, /* a vCPU is let through for its walks, and no longer */
    STEP_CHANGE_RANGE,
    STEP_SET_RANGE,
    STEP_ISOLATE,
    STEP_SWITCH_ONE,
    STEP_OVERRIDES,
    STEP_SHADOW,
    STEP_RUN,
    STEP_KINDS,
};

/* One step; every field is used as far as the kind needs it. Any value is meaningful. */
struct step {
    uint8_t kind, view, access, slot, slot2, order, n, flags;
};

struct model_options {
    unsigned format; /* enum fake_format */
    bool narrow;     /* what the format refuses is narrowed */
    bool scarce;     /* a pool so small that -ENOMEM is common */
};

/* Runs steps from a fresh machine. Returns the number of the step that failed, or n. */
unsigned model_run(struct model_options o, const struct step *steps, unsigned n);
/* Called, if set, when a run has held to its end, while its machine is still there. */
extern void (*model_at_end)(void);
const char *model_describe(const struct step *s);
