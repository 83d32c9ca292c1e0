/* SPDX-License-Identifier: MIT */
#include "grammar.h"
#include <string.h>
#include "fake.h"

static uint64_t some_switch(const struct grammar *g, const struct subop_field *f)
{
    unsigned pick = (unsigned)g->take(1) % 16;

    if (f->number == SUBOP_NR_set_domain_state) {
        return pick != 0; /* with altp2m off nothing else happens */
    }
    return pick == 15 ? FACET_ALTP2M_LEAVE : pick == 14 ? 2 : pick & 1;
}

static uint64_t some_gfn(const struct grammar *g)
{
    unsigned pick = (unsigned)g->take(1) % 16;

    return pick == 15 ? ~0ULL : pick >= 13 ? FACET_ALTP2M_SHADOW_BASE + g->take(1) % 64 : g->gfn();
}

/* `lists` counts those of the argument so far: the first is of gfns, the second of accesses. */
static uint64_t value(const struct grammar *g, const struct subop_field *f, unsigned *lists)
{
    uint64_t v;

    switch ((enum subop_kind)f->kind) {
    case SUBOP_VIEW:
        v = g->take(1);
        return v == 255 ? 0xffff : v % (g->views + 2);
    case SUBOP_VCPU:
        return g->take(1) % (FAKE_VCPUS + 1);
    case SUBOP_GFN:
        return some_gfn(g);
    case SUBOP_ACCESS:
        v = g->take(1) % 13;
        return v == 12 ? FACET_ALTP2M_LEAVE : v;
    case SUBOP_SWITCH:
        return some_switch(g, f);
    case SUBOP_FLAGS:
        return g->take(1) & 3;
    case SUBOP_COUNT:
        return g->take(1) % g->most;
    case SUBOP_NUMBER:
        return g->take(2) & 0x0fff;
    case SUBOP_PROGRESS:
        v = g->take(1);
        return v % 16 ? 0 : v / 16;
    case SUBOP_LIST:
    case SUBOP_HANDLE:
        return (++*lists == 1 ? g->gfns : g->accesses) + g->take(1) % g->jitter;
    case SUBOP_BUFFER:
        return g->buffer + g->take(1) % g->jitter;
    case SUBOP_ERROR:
    case SUBOP_BYTES:
        break;
    }
    return 0;
}

void grammar_fill(const struct grammar *g, const struct subop *row, union altp2m_op *op)
{
    unsigned shape = g->wild ? (unsigned)g->take(1) : 0, lists = 0;

    for (unsigned i = 0; i < subop_nr_fields; i++) {
        const struct subop_field *f = &subop_fields[i];

        if (f->number == row->number && (f->way & SUBOP_IN) && f->size <= 8) {
            uint64_t v = shape % 32 == 31 ? g->take(8) : value(g, f, &lists);

            memcpy(&op->facet.u.bytes[f->offset], &v, f->size);
        }
    }
    for (unsigned i = 0; shape / 8 == 30 && i < 64; i++) {
        if (row->pads >> i & 1) {
            op->facet.u.bytes[i] = (uint8_t)g->take(1);
        }
    }
}
