/* SPDX-License-Identifier: MIT */
/*
 * A guest whose monitor (monitor-count.c) is told of all it does: three vCPUs raise events of five
 * kinds as fast as they can, two of them without waiting for the answer, and count them. None may
 * be lost, seen twice or out of order.
 *
 *   rounds=N (100)   of eight events for each vCPU
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/soak.h"
#include "lib/test.h"

_Static_assert(SOAK_VCPUS <= SMP_MAX, "each has a stack");
static struct soak *soak;
static uint8_t *pages;
static unsigned rounds = 100;
static volatile unsigned ready, finished, traps;

static void on_breakpoint(struct regs *r)
{
    (void)r;
    traps++; /* the monitor steps over them */
}

static void do_write(unsigned cpu, uint64_t n)
{
    register uint64_t number __asm__("r12") = n;

    __asm__ volatile("mov %1, (%0)" ::"r"(pages + cpu * PAGE), "r"(number) : "memory");
}

static void do_breakpoint(unsigned cpu, uint64_t n)
{
    register uint64_t number __asm__("r12") = n;

    (void)cpu;
    __asm__ volatile("int3" ::"r"(number) : "memory");
}

static void do_cpuid(unsigned cpu, uint64_t n)
{
    register uint64_t number __asm__("r12") = n;
    uint64_t a = SOAK_LEAF, c = 0;

    (void)cpu;
    __asm__ volatile("cpuid" : "+a"(a), "+c"(c) : "r"(number) : "rbx", "rdx");
}

static void do_request(unsigned cpu, uint64_t n)
{
    register uint64_t number __asm__("r12") = n;
    uint64_t nr = __HYPERVISOR_hvm_op, op = HVMOP_guest_request_vm_event, zero = 0;

    (void)cpu;
    __asm__ volatile("vmcall"
                     : "+a"(nr), "+D"(op), "+S"(zero)
                     : "r"(number)
                     : "memory", "rcx", "rdx", "r8", "r9", "r10", "r11");
    if (nr != 0) {
        test_failed(__LINE__, "guest request: %ld", (long)nr);
    }
}

/* Only a write that changes something is told: bit 3 (PWT) comes and goes. */
static void do_cr3(unsigned cpu, uint64_t n)
{
    register uint64_t number __asm__("r12") = n;
    uint64_t cr3;

    (void)cpu;
    __asm__ volatile("mov %%cr3, %0; xor $8, %0; mov %0, %%cr3"
                     : "=&r"(cr3)
                     : "r"(number)
                     : "memory", "cc");
}

static void (*const acts[SOAK_KINDS])(unsigned, uint64_t) = {[SOAK_WRITE] = do_write,
                                                             [SOAK_BREAKPOINT] = do_breakpoint,
                                                             [SOAK_CPUID] = do_cpuid,
                                                             [SOAK_REQUEST] = do_request,
                                                             [SOAK_CR3] = do_cr3};

/* Those that nobody waits for come in runs, so that the ring is full again and again. */
static const uint8_t order[] = {SOAK_WRITE, SOAK_REQUEST, SOAK_REQUEST, SOAK_REQUEST,
                                SOAK_CPUID, SOAK_CR3,     SOAK_CR3,     SOAK_BREAKPOINT};

static void work(unsigned cpu)
{
    uint64_t n = 0;

    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < ARRAY_SIZE(order); i++) {
            unsigned kind = order[(i + cpu * 3) % ARRAY_SIZE(order)];

            acts[kind](cpu, ++n);
            soak->did[cpu][kind]++;
        }
    }
    __atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
}

static void wait_for_word(void)
{
    while (soak->mail.task == 0) {
        sched_op(SCHEDOP_yield, NULL);
    }
}

static void begin(unsigned cpu)
{
    __atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
    wait_for_word();
    work(cpu);
    for (;;) {
        sched_op(SCHEDOP_block, NULL);
    }
}

static void setup(void)
{
    char text[16];

    event_init();
    if (cmdline_get("rounds", text, sizeof(text))) {
        rounds = (unsigned)atoi(text);
    }
    trap_handle(3, on_breakpoint);
    pages = page_alloc(SOAK_VCPUS, 1);
    page_split(pages, SOAK_VCPUS);
    soak = page_alloc(1, 1);
    soak->mail.data[0] = gfn_of(pages);
    for (unsigned cpu = 1; cpu < SOAK_VCPUS; cpu++) {
        need(smp_start(cpu, begin) == 0, "vCPU %u does not start", cpu);
    }
    while (ready != SOAK_VCPUS - 1) {
        sched_op(SCHEDOP_yield, NULL);
    }
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(soak)), 0);
}

static void events(void)
{
    wait_for_word();
    work(0);
    while (finished != SOAK_VCPUS) {
        sched_op(SCHEDOP_yield, NULL);
    }
    soak->mail.ready = TASK_END;
    while (soak->mail.task != TASK_END) {
        sched_op(SCHEDOP_yield, NULL);
    }
    expect(traps, 0);
    for (unsigned cpu = 0; cpu < SOAK_VCPUS;
         cpu++) { /* each write was made: the last one's number is there */
        uint64_t last = *(volatile uint64_t *)(pages + cpu * PAGE);

        check(last > 8ULL * (rounds - 1) && last <= 8ULL * rounds, "vCPU %u wrote %lu", cpu, last);
    }
}

TEST_CASES(CASE(setup), CASE(events))
