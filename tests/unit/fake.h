/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A fake machine under the core, for host tests: frames with reference counts, caller memory with
 * holes, table formats whose bits are nowhere near real ones, and processors that cache what they
 * walked.
 *
 * The processors are the point. fake_access() walks the tables by the format alone, never with the
 * core's code, and caches translations and table pointers for each root until platform_flush();
 * with nested page tables for each of a few address space identifiers, as AMD's do.
 * fake_settled(), to be called after each operation of the core, fails the test if any cache still
 * holds a right, a frame or a table that the tables no longer give. Freeing a frame or a table that
 * a cache can still reach fails at once.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include "core/altp2m.h"
#include "core/platform.h"

#define FAKE_POOL_FIRST  0x70000ULL
#define FAKE_POOL_MAX    8192u
#define FAKE_FRAME_FIRST 0x100000ULL
#define FAKE_FRAMES      (4u << 20) /* 16 GiB of guest memory; no content is needed */
#define FAKE_CALLER_BASE 0x400000ULL
#define FAKE_CALLER_SIZE (64 * PAGE_SIZE)
#define FAKE_VCPUS       3
#define FAKE_ASIDS       5u

/*
 * scrambled: three positive rights, execute-only, 1 GiB leaves. negative: a no-execute bit, no #VE,
 * no 1 GiB leaves. npt: AMD's, by the hypervisor's own source.
 */
enum fake_format { FAKE_SCRAMBLED, FAKE_NEGATIVE, FAKE_NPT, FAKE_FORMATS };
const struct table_format *fake_format(enum fake_format n);

struct fake_access {
    bool present; /* some right at all */
    uint64_t mfn;
    unsigned rights;  /* RIGHT_* */
    bool suppress_ve; /* of the entry that a violation would be judged by */
};

struct fake {
    struct physmap pm, other; /* domains 1 and 2 */
    struct altp2m_vcpu vcpus[FAKE_VCPUS], other_vcpu;
    struct altp2m_caller self, monitor; /* callers: domain 1 itself; domain 2 about domain 1 */
    bool no_altp2m, no_ve;              /* features that the processor lacks */
    bool may_control;                   /* domain 2 has control over domain 1 */
    bool no_pins;                       /* no memory for pins that take some */
    gfn_t top_table[FAKE_VCPUS];        /* of domain 1's vCPUs */
    struct pins pins[FAKE_VCPUS];       /* what the processors hold domain 1's vCPUs to */
    unsigned preempt_every;             /* 0: never; n: each nth question is answered yes */
    unsigned preempt_asked;             /* questions so far */
    unsigned pause_refusals;            /* so many times others cannot be paused */
    int paused;
    bool unsettled;        /* as platform_unsettled() said */
    void (*between)(void); /* called when a call has returned, before what it left is done */
    uint64_t refused_mfn;  /* platform_frame_get() refuses this frame */
    unsigned traces;       /* lines of traced calls so far, and the last one */
    char traced[256];
    unsigned flushes, flushes_all, updates, copies;
    unsigned walks;   /* accesses that no cache answered */
    bool keeps_asids; /* a bug: what an identifier translated is not forgotten with its root */
    uint64_t flushed_root;
    uint8_t caller[FAKE_CALLER_SIZE];
    bool unreadable[FAKE_CALLER_SIZE / PAGE_SIZE], read_only[FAKE_CALLER_SIZE / PAGE_SIZE];
};
extern struct fake fake;
/* The memory of pools, from FAKE_POOL_FIRST on. */
extern uint8_t fake_pool[FAKE_POOL_MAX * PAGE_SIZE];

/* A failure that a random test can catch and shrink: longjmp to `fake_trap` if set, else abort. */
extern jmp_buf *fake_trap;
extern char fake_message[512];
_Noreturn void fake_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define EXPECT(condition, ...)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fake_fail(__VA_ARGS__);                                                                \
        }                                                                                          \
    } while (0)

struct fake_options {
    unsigned pool; /* pages */
    unsigned reserve, max_views, mode, address_bits;
    unsigned policy, guest_views, guest_tables, monitor_reserve;
    uint64_t allow, deny;
    bool trace;
    bool narrow;
    const struct table_format *format;
};
#define FAKE_DEFAULTS                                                                              \
    ((struct fake_options){.pool = 512,                                                            \
                           .reserve = 16,                                                          \
                           .max_views = 16,                                                        \
                           .mode = 1,                                                              \
                           .address_bits = 43,                                                     \
                           .format = fake_format(FAKE_SCRAMBLED)})

/*
 * A machine with domain 1, its vCPUs, and domain 2 without memory. Checks nothing is left of
 * before.
 */
void fake_start(struct fake_options o);
void fake_stop(void);
/* Puts domain 1 in another mode, which no domain can do: so that altp2m can be on in any. */
void fake_set_mode(unsigned mode);

/*
 * Frames: one reference is the domain's own. Freed when the last goes; then no cache may reach it.
 */
void fake_frame_release(uint64_t mfn);
unsigned fake_frame_refs(uint64_t mfn);
void fake_frame_reset(uint64_t mfn);

/* What the tables of `root` say, walked afresh; and an access by a processor with its caches. */
struct fake_access fake_walk(mfn_t root, uint64_t gfn);
struct fake_access fake_access(mfn_t root, uint64_t gfn);
/*
 * The same for an access that needs all rights: where the cache gives too few, the processor takes
 * a violation, which drops what it has cached for the gfn (SDM vol. 3, 28.4.3.1), and tries again.
 */
struct fake_access fake_access_all(mfn_t root, uint64_t gfn);
/* The root that a vCPU with `vmfunc` gets to by this number; MFN_INVALID: none. */
mfn_t fake_enterable(unsigned v);
/* No cache gives more than the tables, nothing waits for a flush, no lock is held. */
void fake_settled(void);
/* Does first what is left to be done. */
void fake_settle(void);
void fake_flushed(void);
/* The pool's counters agree with the kinds of its pages, and views with their tables. */
void fake_audit(void);

/* HVMOP_altp2m by a caller, from the fake caller memory; `op` is 80 bytes, updated on return. */
long fake_hvmop(const struct altp2m_caller *c, void *op);
static inline void *fake_caller_at(uint64_t gva)
{
    return &fake.caller[gva - FAKE_CALLER_BASE];
}
