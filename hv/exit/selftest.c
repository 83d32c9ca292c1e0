/* SPDX-License-Identifier: MIT */
/*
 * A guest of a few instructions, run once before any domain. It proves that entries, nested page
 * tables and exits work at all, and shows what does not on some emulators: the vendor's single-step
 * is offered and never exits, INT3 is no exception that does, or the machine's interrupts wait
 * until the guest takes some.
 */
#include "exit/selftest.h"
#include <facet/check.h>
#include <string.h>
#include "domain.h"
#include "guest/xen_abi.h"
#include "lib/console.h"
#include "mm/frame.h"

#define POOL_PAGES 64u

static const uint8_t code[] = {0x90, 0x90, 0xf4, 0xcc}; /* nop; nop; hlt; int3 */
enum { CODE_HALT = 2, CODE_INT3 };

static void run(struct vcpu *v, struct vcpu_exit *e)
{
    do {
        VENDOR(run, v, e);
        if (e->kind == VCPU_EXIT_REFUSED) {
            fatal("self-test: entry refused, reason %x", e->reason);
        }
        if (e->kind == VCPU_EXIT_INTERRUPT) {
            apic_eoi(); /* left over from the firmware */
        }
    } while (e->kind == VCPU_EXIT_INTERRUPT);
}

/* Whether the vendor's single-step works. */
static bool steps(struct vcpu *v)
{
    struct vcpu_start start;
    struct vcpu_exit e;
    bool works;

    vcpu_start_pvh(&start, 0, 0);
    vcpu_reset(v, &start);
    vcpu_load(v);
    run(v, &e);
    if (e.kind != VCPU_EXIT_HALT || vcpu_get(v, VCPU_RIP) != CODE_HALT) {
        fatal("self-test: three instructions ended with exit %x at %lx", e.reason,
              (unsigned long)vcpu_get(v, VCPU_RIP));
    }
    vcpu_reset(v, &start);
    if (!VENDOR(step, v, VENDOR_STEP_INSTRUCTION)) {
        return false;
    }
    run(v, &e);
    works = e.kind == VCPU_EXIT_STEPPED && vcpu_get(v, VCPU_RIP) == 1;
    VENDOR(step, v, VENDOR_STEP_NONE);
    return works;
}

/* The first step by TF: what a vendor has to find out about those is best seen with DR6 clear. */
static void trap(struct vcpu *v)
{
    struct vendor_watch w = {.exceptions = 1u << EXC_DB};
    struct vcpu_start start;
    struct vcpu_exit e;

    vcpu_start_pvh(&start, 0, 0);
    vcpu_reset(v, &start);
    vcpu_set(v, VCPU_RFLAGS, vcpu_get(v, VCPU_RFLAGS) | X86_EFLAGS_TF);
    VENDOR(watch, v, &w);
    run(v, &e);
    if (e.kind != VCPU_EXIT_EXCEPTION || e.exception.event.vector != EXC_DB ||
        !(e.exception.pending & TRAP_BS)) {
        fatal("self-test: a step ended with exit %x", e.reason);
    }
}

/* Whether INT3 exits where its exception is watched. */
static bool breaks(struct vcpu *v)
{
    struct vendor_watch w = {.exceptions = 1u << EXC_BP};
    struct vcpu_start start;
    struct vcpu_exit e;

    vcpu_start_pvh(&start, CODE_INT3, 0);
    vcpu_reset(v, &start);
    VENDOR(watch, v, &w);
    run(v, &e);
    return e.kind == VCPU_EXIT_EXCEPTION && e.exception.event.vector == EXC_BP;
}

/* Whether the machine's interrupts end a guest that has its own off. */
static bool interruptible(struct vcpu *v)
{
    struct vcpu_start start;
    struct vcpu_exit e;

    vcpu_start_pvh(&start, 0, 0);
    vcpu_reset(v, &start);
    apic_interrupt_self(APIC_TIMER_VECTOR);
    VENDOR(run, v, &e);
    if (e.kind == VCPU_EXIT_INTERRUPT && e.vector) {
        apic_eoi();
    } else {
        __asm__ volatile("sti; nop; cli" : : : "memory");
    }
    this_cpu()->timer_fired = false;
    return e.kind == VCPU_EXIT_INTERRUPT;
}

void exit_selftest(void)
{
    static struct domain d;
    static struct vcpu v;
    struct physmap_config config = {
        .domid = FRAME_OWNER_HV,
        .address_bits = 32,
        .format = vendor_caps.format,
    };
    mfn_t pool = frame_alloc_run(FRAME_OWNER_HV, POOL_PAGES), page = frame_alloc(FRAME_OWNER_HV, 0);
    bool works, int3;

    if (mfn_eq(pool, MFN_INVALID) || mfn_eq(page, MFN_INVALID)) {
        fatal("too little memory for the self-test");
    }
    memcpy(frame_virt(page), code, sizeof(code));
    d.id = 0;
    CHECK(physmap_init(&d.physmap, &config, pool, POOL_PAGES) == 0);
    CHECK(hostmap_map(&d.physmap, gfn(0), page, ORDER_4K, MAP_RAM, XENMEM_access_rwx) == 0);
    CHECK(vcpu_create(&v, &d, 0) == 0);
    physmap_add_vcpu(&d.physmap, &v.altp2m, 0);
    works = steps(&v);
    trap(&v);
    vendor_caps.breakpoints = true;
    int3 = breaks(&v);
    if (!vendor_caps.slice && !interruptible(&v)) {
        say("guests that have their interrupts off are ended by NMIs");
        nmi_clock_start();
    }
    vcpu_destroy(&v);
    physmap_destroy(&d.physmap);
    frame_put_run(pool, POOL_PAGES);
    frame_put(page);
    say("%s: %s, single-step by %s", vendor_name, vendor_caps.summary,
        works              ? "the processor"
        : vendor_caps.step ? "TF (the processor's own does not work here)"
                           : "TF");
    vendor_caps.step = works;
    vendor_caps.breakpoints = int3;
}
