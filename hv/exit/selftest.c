/* SPDX-License-Identifier: MIT */
/*
 * A guest of three instructions, run once before any domain. It proves that entries, nested page
 * tables and exits work at all, and shows whether the vendor's single-step does: some emulators
 * offer it and then never exit.
 */
#include "exit/selftest.h"
#include <facet/check.h>
#include <string.h>
#include "domain.h"
#include "guest/xen_abi.h"
#include "lib/console.h"
#include "mm/frame.h"

#define POOL_PAGES 64u

static const uint8_t code[] = {0x90, 0x90, 0xf4}; /* nop; nop; hlt */

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
    if (e.kind != VCPU_EXIT_HALT || vcpu_get(v, VCPU_RIP) != sizeof(code) - 1) {
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
    bool works;

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
    vcpu_destroy(&v);
    physmap_destroy(&d.physmap);
    frame_put_run(pool, POOL_PAGES);
    frame_put(page);
    say("%s: %s, single-step by %s", vendor_name, vendor_caps.summary,
        works              ? "the processor"
        : vendor_caps.step ? "TF (the processor's own does not work here)"
                           : "TF");
    vendor_caps.step = works;
}
