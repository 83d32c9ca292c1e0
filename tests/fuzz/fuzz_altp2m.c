/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: sequences of HVMOP_altp2m calls, with the tables of sub-ops and their fields as
 * grammar, mixed with host map changes, violations and VMFUNC. After each, the fake machine looks
 * for stale translations, lost pages, locks left held and wrong counters. A hostile caller may give
 * any bytes; none may do harm.
 */
#include <stdlib.h>
#include <string.h>
#include "core/subop.h"
#include "fake.h"
#include "grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *next;
static size_t left;

static uint64_t take(unsigned bytes)
{
    uint64_t v = 0;

    while (bytes-- > 0 && left > 0) {
        v = v << 8 | *next++;
        left--;
    }
    return v;
}

/* A gfn near something: in a superpage, a table, a hole, at the end; or any number. */
static uint64_t some_gfn(void)
{
    static const uint64_t base[] = {0,         512,          512 * 512 - 2, 512 * 512,
                                    512 * 514, 512ULL << 18, 1u << 31};
    unsigned pick = (unsigned)take(1);

    if (pick % 16 == 15) {
        return ~0ULL;
    }
    return pick % 16 >= ARRAY_SIZE(base) ? base[4] + pick / 16 : base[pick % 16] + take(1) % 32;
}

static void call(void)
{
    static const struct grammar grammar = {.take = take,
                                           .gfn = some_gfn,
                                           .views = 16,
                                           .most = 600,
                                           .gfns = FAKE_CALLER_BASE + 0x2000,
                                           .accesses = FAKE_CALLER_BASE + 0x3000,
                                           .buffer = FAKE_CALLER_BASE + 0x4000,
                                           .jitter = 256,
                                           .wild = true};
    const struct subop *row = &subop_table[take(1) % subop_count];
    struct altp2m_caller c = take(1) & 1 ? fake.monitor : fake.self;
    unsigned shape = (unsigned)take(1);
    union altp2m_op op;

    memset(&op, 0, sizeof(op));
    op.xen.version = shape == 255 ? 0 : HVMOP_ALTP2M_INTERFACE_VERSION;
    op.xen.cmd = shape == 254 ? (uint32_t)take(4) : row->number;
    op.xen.domain = c.self == &fake.pm ? DOMID_SELF : 1;
    c.compat = shape & 1;
    grammar_fill(&grammar, row, &op);
    if (c.compat && row->number == HVMOP_altp2m_set_mem_access_multi) {
        op.facet.u.words[5] = op.facet.u.words[6]; /* 4-byte handles */
    }
    fake_hvmop(&c, &op);
}

static void fill_lists(void)
{
    for (unsigned i = 0; i < 64; i++) {
        uint64_t g = some_gfn();

        memcpy(fake_caller_at(FAKE_CALLER_BASE + 0x2000 + i * 8), &g, sizeof(g));
        *(uint8_t *)fake_caller_at(FAKE_CALLER_BASE + 0x3000 + i) = (uint8_t)(take(1) % 12);
    }
}

static void change_host(void)
{
    static const unsigned orders[] = {ORDER_4K, ORDER_4K, ORDER_2M, ORDER_1G};
    unsigned order = orders[take(1) % 4];
    uint64_t g = some_gfn() & ~((1ULL << order) - 1);
    unsigned how = (unsigned)take(1);

    if (how & 1) {
        hostmap_unmap(&fake.pm, gfn(g), order);
    } else {
        mfn_t m = mfn(FAKE_FRAME_FIRST + ((uint64_t)(how >> 4) << ORDER_1G) + (g & 0x3ffff));

        hostmap_map(&fake.pm, gfn(g), m, order, (enum map_type)(how >> 1 & 3), take(1) % 12);
    }
}

static void violate(void)
{
    struct altp2m_vcpu *v = &fake.vcpus[take(1) % FAKE_VCPUS];
    struct fault f = {.gfn = gfn(some_gfn()), .rights = (unsigned)take(1) % 7 + 1};

    if (f.rights & 4) {
        fake_access(v->root, f.gfn.v & fake.pm.max_gfn);
    }
    f.walk = f.rights == 1;
    f.writes = f.walk && take(1) & 1;
    altp2m_fault(v, &f, take(1) & 1);
}

/* A vCPU is let through for its walks meanwhile; what it shows is looked at as ever. */
static void walk(void)
{
    struct altp2m_vcpu *v = &fake.vcpus[take(1) % FAKE_VCPUS];

    if (altp2m_lift_walk(v, take(1) & 1) != 0) {
        return;
    }
    for (unsigned n = (unsigned)take(1) % 8; n > 0; n--) {
        struct fault f = {.gfn = gfn(some_gfn()), .rights = (unsigned)take(1) % 7 + 1};

        f.walk = take(1) & 1;
        f.writes = f.walk && v->lifted_judged;
        altp2m_fault(v, &f, true);
        fake_access(v->root, f.gfn.v & fake.pm.max_gfn);
    }
    altp2m_unlift(v);
}

static void disturb(void)
{
    unsigned what = (unsigned)take(1);
    unsigned v = (unsigned)take(1) % fake.pm.max_views;

    fake.unreadable[what % 8] = what & 8;
    fake.read_only[what % 8] = what & 16;
    fake.pause_refusals = what >> 5 & 1;
    fake.preempt_every = what >> 6;
    if (fake.pm.active && fake.pm.views[v].exists && fake.pm.views[v].visible) {
        fake.vcpus[what % FAKE_VCPUS].root = mfn(fake.pm.pool.first + fake.pm.views[v].root);
    }
}

static void look_around(void)
{
    static const uint64_t at[] = {
        0, 3, 512, 512 * 512 - 1, 512 * 512 + 1, 512 * 514, 512 * 514 + 5};

    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        for (unsigned j = 0; j < ARRAY_SIZE(at); j++) {
            fake_access(fake.vcpus[i].root, at[j]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fake_options o = FAKE_DEFAULTS;

    next = data;
    left = size;
    o.pool = take(1) & 1 ? 160 : 40;
    o.format = fake_format((enum fake_format)(take(1) % FAKE_FORMATS));
    fake_start(o);
    fake.may_control = true;
    hostmap_map(&fake.pm, gfn(0), mfn(FAKE_FRAME_FIRST), ORDER_1G, MAP_RAM, ACCESS_RWX);
    for (unsigned i = 0; i < 16; i++) {
        hostmap_map(&fake.pm, gfn(512 * 514 + i), mfn(FAKE_FRAME_FIRST + 7 + i), ORDER_4K, MAP_RAM,
                    ACCESS_RWX);
    }
    while (left > 0) {
        unsigned what = (unsigned)take(1) % 16;

        look_around();
        switch (what) {
        case 0:
            change_host();
            break;
        case 1:
            violate();
            break;
        case 2:
            disturb();
            break;
        case 3:
            fill_lists();
            break;
        case 4:
            walk();
            break;
        default:
            call();
            break;
        }
        fake_settle();
        fake_audit();
    }
    fake_stop();
    return 0;
}
