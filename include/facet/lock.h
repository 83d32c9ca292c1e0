/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Spin locks, and the one place where their order is written down.
 *
 * A processor may take a lock only if its rank is higher than that of every lock it holds. The rank
 * is checked on every acquisition; breaking the order is a CHECK failure, not a rare deadlock.
 * Interrupts are never enabled while hypervisor code runs, so no interrupt-safe variant exists.
 */
#include <facet/check.h>
#include <facet/types.h>

enum lock_rank {
    LOCK_RANK_DOMAINS, /* the list of domains */
    LOCK_RANK_DOMAIN,  /* one domain: its vCPUs' states, hypercall state, parameters */
    LOCK_RANK_EVTCHN,  /* one domain's event channels */
    LOCK_RANK_PHYSMAP, /* one domain's host map, views, remaps and table pool */
    LOCK_RANK_FRAMES,  /* owner and reference count of machine frames */
    LOCK_RANK_SCHED,   /* one processor's run queue */
    LOCK_RANK_CONSOLE, /* the console; last, so that anybody may print */
    LOCK_RANK_COUNT,
};

struct lock {
    uint8_t rank;
    bool held;
};

#define LOCK_INIT(r)                                                                               \
    {                                                                                              \
        .rank = (r), .held = false                                                                 \
    }

/* Supplied by the embedder: bit mask of the ranks that the running processor holds. */
FACET_BEGIN_C
uint32_t *lock_held_ranks(void);
FACET_END_C

static inline void lock_init(struct lock *l, enum lock_rank rank)
{
    *l = (struct lock){.rank = (uint8_t)rank, .held = false};
}

static inline void lock_acquire(struct lock *l)
{
    uint32_t *ranks = lock_held_ranks();

    CHECK((*ranks >> l->rank) == 0);
    while (__atomic_test_and_set(&l->held, __ATOMIC_ACQUIRE)) {
        __builtin_ia32_pause();
    }
    *ranks |= 1u << l->rank;
}

static inline void lock_release(struct lock *l)
{
    *lock_held_ranks() &= ~(1u << l->rank);
    __atomic_clear(&l->held, __ATOMIC_RELEASE);
}
