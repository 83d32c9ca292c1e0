/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Registers that a guest keeps as they are, because its agent or a monitor said so
 * (FACET_ALTP2M_pin in facet/hvmop.h). Each has its own pins on a vCPU; what the platform holds the
 * vCPU to is both. Caller holds the physmap lock.
 */
#include "physmap.h"

/* All vCPUs' pins of one side go. */
void pin_forget(struct physmap *pm, enum pins_by by);

struct subop_call;
/*
 * Before a call of the agent's gives `access` to gfns of a view, without the lock: other vCPUs stop
 * if one of the gfns might be a top table that CR3 is pinned to (FACET_ALTP2M_PIN_CR3), until
 * pin_tables_end(). -EBUSY: one is, -ERESTART: again; neither wants an end.
 */
struct pin_tables {
    struct physmap *paused;
};
int pin_tables_begin(struct subop_call *call, uint16_t at, uint64_t first, uint64_t nr,
                     unsigned access, struct pin_tables *t);
void pin_tables_end(const struct pin_tables *t);
