/* SPDX-License-Identifier: MIT */
/*
 * What back ends ask of the hypervisor, by a domain that grants pages to itself: prints "TICKS what
 * N" as ticks.c does, the fewest of nine tries, RDTSC included. Runs on Xen as well.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/grant.h"
#include "lib/test.h"

#define TRIES 9
#define MANY  16u
#define REF   8u /* the first that is not reserved */

static grant_entry_v1_t *table;
static domid_t self;
static uint8_t *pages, *target;

/* Runs `body` (an expression that is true if it worked) TRIES times. */
#define MEASURE(what, body)                                                                        \
    do {                                                                                           \
        uint64_t best_ = ~0ULL;                                                                    \
        bool good_ = true;                                                                         \
        for (unsigned try_ = 0; try_ < TRIES; try_++) {                                            \
            uint64_t start_ = rdtsc();                                                             \
            good_ &= (body);                                                                       \
            uint64_t took_ = rdtsc() - start_;                                                     \
            if (took_ < best_)                                                                     \
                best_ = took_;                                                                     \
        }                                                                                          \
        check(good_, "%s was refused", what);                                                      \
        say("TICKS %s %lu\n", what, best_);                                                        \
    } while (0)

static void begin(void)
{
    table = grant_table(1);
    self = grant_own_id();
    pages = page_alloc(MANY, 1);
    target = page_alloc(1, 1);
    memset(pages, 0x5a, MANY * PAGE);
    for (unsigned i = 0; i < MANY; i++)
        grant_give(&table[REF + i], self, pages + i * PAGE, 0);
}

/* Maps so many pages by one call and unmaps them by another. */
static bool map_unmap(unsigned count)
{
    struct gnttab_map_grant_ref map[MANY];
    struct gnttab_unmap_grant_ref unmap[MANY];
    bool good = true;

    for (unsigned i = 0; i < count; i++)
        map[i] = (struct gnttab_map_grant_ref){.host_addr = (GRANT_GFN + i) * PAGE,
                                               .flags = GNTMAP_host_map,
                                               .ref = REF + i,
                                               .dom = self};
    good &= grant_op(GNTTABOP_map_grant_ref, map, count) == 0;
    for (unsigned i = 0; i < count; i++) {
        good &= map[i].status == GNTST_okay;
        unmap[i] =
            (struct gnttab_unmap_grant_ref){.host_addr = map[i].host_addr, .handle = map[i].handle};
    }
    good &= grant_op(GNTTABOP_unmap_grant_ref, unmap, count) == 0;
    for (unsigned i = 0; i < count; i++)
        good &= unmap[i].status == GNTST_okay;
    return good;
}

static bool copy(uint16_t size, bool out)
{
    struct gnttab_copy op = {.len = size, .flags = out ? GNTCOPY_dest_gref : GNTCOPY_source_gref};

    op.source.domid = out ? DOMID_SELF : self;
    op.dest.domid = out ? self : DOMID_SELF;
    if (out) {
        op.source.u.gmfn = gfn_of(target);
        op.dest.u.ref = REF;
    } else {
        op.source.u.ref = REF;
        op.dest.u.gmfn = gfn_of(target);
    }
    return grant_copy_one(&op) == GNTST_okay;
}

static void costs(void)
{
    MEASURE("map_unmap", map_unmap(1));
    MEASURE("map_unmap_16", map_unmap(MANY));
    MEASURE("copy_in_18", copy(18, false));
    MEASURE("copy_in_1400", copy(1400, false));
    MEASURE("copy_out_1400", copy(1400, true));
    MEASURE("copy_in_4096", copy(4096, false));
}

static void events(void)
{
    long port, peer;

    event_init();
    port = event_alloc(self);
    need(port > 0, "no channel: %ld", port);
    peer = event_bind(self, (uint32_t)port);
    need(peer > 0, "not bound: %ld", peer);
    MEASURE("event_send", event_send((uint32_t)port) == 0);
}

TEST_CASES(CASE(begin), CASE(costs), CASE(events))
