/* SPDX-License-Identifier: MIT */
#include "ap.h"
#include <facet/check.h>
#include <string.h>
#include "boot.h"
#include "lib/console.h"
#include "mm/ram.h"
#include "vcpu/vendor.h"
#include "x86/processors.h"
#include "x86/smp.h"
#include "x86/timer.h"

#define START_FIRST   0x8000u /* real mode begins there, or further up: nobody's by now */
#define START_LAST    0x9f000u
#define AFTER_INIT_US 10000u /* SDM 3, 8.4.4.1 */
#define AGAIN_US      10000u
#define COME_US       500000u
#define ROUNDS        16u
#define TSC_SLACK     1000u /* ticks: what two reads may be apart for other reasons */

/* hv/boot/start.S */
extern char ap_start16[], ap_start16_end[];
extern struct cpu *ap_cpu;
extern uint64_t ap_cr3;
_Noreturn void ap_main(struct cpu *c);

/* What the first processor and a new one tell each other; each new one has its own, so that one
 * that was given up cannot disturb the next. */
static struct meeting {
    unsigned asked, answered; /* rounds */
    uint64_t tsc;
    bool here, unlike, stays, leaves;
} meetings[CPU_MAX];

static uint64_t first_pat;
static struct cpu *together[CPU_MAX];
static unsigned nr_together;
static bool begun;
static uint64_t started_at; /* the page of ap_start16 */

bool ap_tsc_agrees(uint64_t before, uint64_t at, uint64_t after)
{
    return at + TSC_SLACK >= before && at <= after + TSC_SLACK;
}

/* ---- the new one ---- */

static _Noreturn void stay_out(void)
{
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

static void answer(struct meeting *m)
{
    unsigned asked = __atomic_load_n(&m->asked, __ATOMIC_ACQUIRE);

    if (asked != m->answered) {
        m->tsc = rdtsc();
        __atomic_store_n(&m->answered, asked, __ATOMIC_RELEASE);
    }
    __builtin_ia32_pause();
}

_Noreturn void ap_main(struct cpu *c)
{
    struct meeting *m = &meetings[c->id];

    desc_init(c);
    wrmsr(MSR_PAT, first_pat);
    fpu_init();
    apic_start();
    mce_start();
    m->unlike = apic_id() != c->apic_id || !vendor_start();
    __atomic_store_n(&m->here, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&m->stays, __ATOMIC_ACQUIRE)) {
        answer(m);
        if (__atomic_load_n(&m->leaves, __ATOMIC_ACQUIRE)) {
            stay_out();
        }
    }
    while (!__atomic_load_n(&begun, __ATOMIC_ACQUIRE)) {
        cpu_wait();
    }
    smp_acquire();
    boot_work();
}

/* ---- the first one ---- */

static uint64_t ticks(uint64_t us)
{
    return time_tsc_khz() * us / 1000;
}

/* No PAUSE: where an emulator gives its turn to the next processor there, each of many that wait
 * would have one first. */
static void wait_us(uint64_t us)
{
    uint64_t end = rdtsc() + ticks(us);

    while (rdtsc() < end) {
    }
}

/* Waits, but not longer than that. */
static bool comes(const bool *flag, uint64_t us)
{
    uint64_t end = rdtsc() + ticks(us);

    while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {
        if (rdtsc() >= end) {
            return false;
        }
        __builtin_ia32_pause();
    }
    return true;
}

/* Puts what they begin with where the firmware has left memory for it. */
static bool place_start(void)
{
    for (uint64_t page = START_FIRST; page <= START_LAST; page += PAGE_SIZE) {
        if (ram_all_usable(page, page + PAGE_SIZE)) {
            memcpy((void *)page, ap_start16, (size_t)(ap_start16_end - ap_start16));
            started_at = page;
            return true;
        }
    }
    say("there is no memory below 1 MiB to start processors in");
    return false;
}

/* After INIT. */
static bool wake(struct cpu *c)
{
    const struct meeting *m = &meetings[c->id];

    __atomic_store_n(&ap_cpu, c, __ATOMIC_SEQ_CST);
    apic_send_start(c->apic_id, (uint8_t)(started_at >> PAGE_SHIFT));
    if (comes(&m->here, AGAIN_US)) {
        return true;
    }
    apic_send_start(c->apic_id, (uint8_t)(started_at >> PAGE_SHIFT));
    if (comes(&m->here, COME_US)) {
        return true;
    }
    /* Taken: it is on its way, and gets as long again. */
    return !__atomic_exchange_n(&ap_cpu, NULL, __ATOMIC_SEQ_CST) && comes(&m->here, COME_US);
}

static bool tsc_agrees(struct meeting *m)
{
    for (unsigned round = 1; round <= ROUNDS; round++) {
        uint64_t before = rdtsc();

        __atomic_store_n(&m->asked, round, __ATOMIC_RELEASE);
        while (__atomic_load_n(&m->answered, __ATOMIC_ACQUIRE) != round) {
            if (rdtsc() - before > ticks(COME_US)) {
                return false;
            }
            __builtin_ia32_pause();
        }
        if (!ap_tsc_agrees(before, m->tsc, rdtsc())) {
            return false;
        }
    }
    return true;
}

static bool start(struct cpu *c)
{
    struct meeting *m = &meetings[c->id];
    const char *why = !wake(c)         ? "does not start"
                      : m->unlike      ? "is not like the first"
                      : !tsc_agrees(m) ? "has another time stamp counter"
                                       : NULL;

    if (why) {
        say("processor %u (APIC %u) %s: it is left out", c->id, c->apic_id, why);
    }
    __atomic_store_n(why ? &m->leaves : &m->stays, true, __ATOMIC_RELEASE);
    return !why;
}

unsigned ap_start_all(unsigned nr)
{
    together[0] = this_cpu();
    nr_together = 1;
    first_pat = rdmsr(MSR_PAT);
    ap_cr3 = read_cr3();
    nr = place_start() ? nr : 1;
    for (unsigned i = 1; i < nr; i++) {
        apic_send_init(processors_get(i)->apic_id);
    }
    wait_us(AFTER_INIT_US);
    for (unsigned i = 1; i < nr; i++) {
        if (start(processors_get(i))) {
            together[nr_together++] = processors_get(i);
        }
    }
    smp_place(together, nr_together);
    return nr_together;
}

void ap_begin(void)
{
    if (nr_together < 2) {
        return;
    }
    smp_begin();
    nmi_clock_reach_all();
    __atomic_store_n(&begun, true, __ATOMIC_RELEASE);
    for (unsigned i = 1; i < nr_together; i++) {
        apic_send(together[i]->apic_id, APIC_KICK_VECTOR);
    }
}
