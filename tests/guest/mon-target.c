/* SPDX-License-Identifier: MIT */
/*
 * A guest to be watched by a monitor in another domain, with nothing of its own to prove: it does
 * the same few things again and again, waits between the rounds, and says when a round took so long
 * that somebody must have been told of it. After `rounds` such rounds, and when nobody watches any
 * more, it ends. The monitor's record is compared with what it says here.
 *
 *   what=write|exec|int3|cpuid|int1|sgdt|cr4   rounds=N (2)
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/test.h"

#define PAGES    16u
#define SLOW     8000u /* ticks; an exit and an answer cost more, a plain access far less */
#define QUIET    200u  /* rounds that nobody watched, after the last: the monitor has gone */
#define PAUSE_NS 20000000ULL

static uint8_t *pages;
static volatile unsigned breakpoints;

static uint64_t ticks(void)
{
    uint32_t lo, hi;

    __asm__ volatile("lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi)::"memory");
    return (uint64_t)hi << 32 | lo;
}

static void on_breakpoint(struct regs *r)
{
    (void)r;
    breakpoints++;
}

static void do_write(unsigned i)
{
    *(volatile uint64_t *)(pages + PAGE * i) = i;
}

static void do_exec(unsigned i)
{
    ((void (*)(void))(pages + PAGE * i))();
}

static void do_int3(unsigned i)
{
    (void)i;
    __asm__ volatile("int3");
}

static void do_cpuid(unsigned i)
{
    uint32_t a = 0x40000000 + i, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
}

static void do_int1(unsigned i)
{
    (void)i;
    __asm__ volatile(".byte 0xf1");
}

static void do_sgdt(unsigned i)
{
    uint8_t table[10];

    (void)i;
    __asm__ volatile("sgdt %0" : "=m"(table));
}

static void do_cr4(unsigned i)
{
    (void)i;
    try_write_cr4(read_cr4() ^ CR4_TSD);
}

static const struct {
    const char *name;
    void (*act)(unsigned i);
} acts[] = {{"write", do_write}, {"exec", do_exec}, {"int3", do_int3}, {"cpuid", do_cpuid},
            {"int1", do_int1},   {"sgdt", do_sgdt}, {"cr4", do_cr4}};

static void wait_a_little(void)
{
    struct sched_poll p = {.timeout = clock_now() + PAUSE_NS};

    sched_op(SCHEDOP_poll, &p);
}

/* How many of a round's acts were slow; the fastest slow one's ticks in *least. */
static unsigned run_round(void (*act)(unsigned), uint64_t *least)
{
    unsigned slow = 0;

    for (unsigned i = 0; i < PAGES; i++) {
        uint64_t start = ticks(), took;

        act(i);
        took = ticks() - start;
        if (took > SLOW) {
            slow++;
            *least = took < *least ? took : *least;
        }
    }
    return slow;
}

static void watched(void)
{
    char what[16] = "write", number[8] = "2";
    void (*act)(unsigned) = NULL;
    uint64_t least = ~0ULL;
    unsigned rounds;

    cmdline_get("what", what, sizeof(what));
    cmdline_get("rounds", number, sizeof(number));
    rounds = (unsigned)(number[0] - '0');
    for (unsigned i = 0; i < ARRAY_SIZE(acts); i++) {
        if (strcmp(acts[i].name, what) == 0) {
            act = acts[i].act;
        }
    }
    need(act, "what=%s is not known", what);
    event_init();
    trap_handle(1, on_breakpoint);
    trap_handle(3, on_breakpoint);
    pages = page_alloc(PAGES, PAGES);
    memset(pages, 0xc3, PAGES * PAGE); /* RET */
    say("target: %s gfn %lx + %x\n", what, gfn_of(pages), PAGES);
    for (unsigned done = 0, quiet = 0; done < rounds || quiet < QUIET;) {
        unsigned slow = run_round(act, &least);

        quiet = slow ? 0 : quiet + 1;
        if (slow >= PAGES / 2) {
            done++;
            say("target: round %u: %u of %u watched\n", done, slow, PAGES);
        }
        wait_a_little();
    }
    say("target: least %lu ticks, %u breakpoints\n", least, breakpoints);
}

TEST_CASES(CASE(watched))
