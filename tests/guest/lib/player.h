/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A vCPU that makes accesses which may fault: by whom, R12 tells; a fault goes on at R13, on the
 * stack of R10. Each returns the vector, or VEC_NONE. For smp-shows.c, whose traps caught() takes.
 */
#include "altp2m.h"
#include "cpu.h"
#include "page.h"
#include "test.h"

#define VCPUS 4u

struct player {
    volatile struct ve_info *info;
    uint64_t random;
    volatile uint64_t judged;
    uint64_t gpa; /* of its last #VE */
};

static struct player players[VCPUS];

/* Processors here see stores of another in their order, and loads are done in theirs. */
static inline void in_order(void)
{
    __asm__ volatile("mfence" ::: "memory");
}

/*
 * QEMU 7.2 delivers an injected interrupt, as which a #VE is injected on AMD, a second time if it
 * has to look at its clock before the guest exits. The information page is not busy then.
 */
static inline bool delivered_again(const struct regs *r)
{
    const struct player *me = (const struct player *)r->r12;

    return r->vector == VEC_VE && cpu_is_amd() &&
           (me <= players || me >= players + VCPUS || !me->info->busy);
}

static inline void caught(struct regs *r)
{
    struct player *me = (struct player *)r->r12;

    if (delivered_again(r))
        return;
    need(me > players && me < players + VCPUS, "vector %lu at %lx", r->vector, r->rip);
    if (r->vector == VEC_VE) {
        me->gpa = me->info->gpa;
        in_order();
        me->info->busy = 0;
    }
    r->r14 = r->vector;
    r->rip = r->r13;
    r->rsp = r->r10;
}

#define ACCESS(code)                                                                               \
    "mov %%rsp, %%r10; lea 1f(%%rip), %%r13; mov %[me], %%r12; mov $-1, %%r14\n\t" code            \
    "\n1:\tmov %%r14d, %[vector]"
#define CHANGES_REGISTERS "memory", "r10", "r12", "r13", "r14"

static inline int read_page(struct player *me, const volatile void *at, uint64_t *value)
{
    uint64_t got = 0;
    int vector;

    __asm__ volatile(ACCESS("mov (%[at]), %[got]")
                     : [vector] "=&r"(vector), [got] "+&r"(got)
                     : [me] "r"(me), [at] "r"(at)
                     : CHANGES_REGISTERS);
    *value = got;
    return vector;
}

static inline int write_page(struct player *me, volatile void *at, uint64_t value)
{
    int vector;

    __asm__ volatile(ACCESS("mov %[value], (%[at])")
                     : [vector] "=&r"(vector)
                     : [me] "r"(me), [at] "r"(at), [value] "r"(value)
                     : CHANGES_REGISTERS);
    return vector;
}

static inline int call_page(struct player *me, const void *at, uint64_t *value)
{
    uint64_t got = 0;
    int vector;

    __asm__ volatile(ACCESS("call *%[at]")
                     : [vector] "=&r"(vector), "+a"(got)
                     : [me] "r"(me), [at] "r"(at)
                     : CHANGES_REGISTERS);
    *value = got;
    return vector;
}

static inline int enter(struct player *me, uint16_t view)
{
    int vector;

    __asm__ volatile(ACCESS(".byte 0x0f, 0x01, 0xd4")
                     : [vector] "=&r"(vector)
                     : [me] "r"(me), "a"(0), "c"((uint64_t)view)
                     : CHANGES_REGISTERS);
    return vector;
}
