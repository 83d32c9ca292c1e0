/* SPDX-License-Identifier: MIT */
/*
 * A guest of three instructions, run once before any domain. It proves that VM entry, EPT and exits
 * work at all, and shows whether the monitor trap flag does: some emulators offer it and then never
 * exit.
 */
#include <asm/vmx.h>
#include <facet/check.h>
#include <string.h>
#include "domain.h"
#include "lib/console.h"
#include "mm/frame.h"
#include "vmcs.h"
#include "vmx.h"
#include "x86/cpu.h"
#include "guest/xen_abi.h"

#define POOL_PAGES 64u

static const uint8_t code[] = {0x90, 0x90, 0xf4}; /* nop; nop; hlt */
static bool mtf_works;

bool vmx_has_mtf(void)
{
    return mtf_works;
}

static unsigned run(struct vcpu *v)
{
    unsigned reason;

    vmx_vcpu_load(v);
    vmx_apply_update(v);
    do {
        if (vmx_enter(&v->regs, v->vmx.launched)) {
            fatal("self-test: VM entry refused, error %lu",
                  (unsigned long)vmread(INSTRUCTION_ERROR));
        }
        v->vmx.launched = true;
        reason = (unsigned)vmread(EXIT_REASON);
        if (reason == EXIT_REASON_EXTERNAL_INTERRUPT) {
            apic_eoi(); /* left over from the firmware */
        }
    } while (reason == EXIT_REASON_EXTERNAL_INTERRUPT);
    return reason;
}

static void set_mtf(struct vcpu *v, bool on)
{
    v->vmx.cpu_controls = on ? vmx_caps()->cpu | CPU_MONITOR_TRAP : vmx_caps()->cpu;
    vmwrite(CPU_CONTROLS, v->vmx.cpu_controls);
}

static void check_mtf(struct vcpu *v)
{
    struct vcpu_start start;

    vcpu_start_pvh(&start, 0, 0);
    vcpu_reset(v, &start);
    vmx_vcpu_load(v);
    unsigned reason = run(v);
    if (reason != EXIT_REASON_HLT || vmread(GUEST_RIP) != sizeof(code) - 1) {
        fatal("self-test: three instructions ended with exit %x at %lx", reason,
              (unsigned long)vmread(GUEST_RIP));
    }
    uint64_t supported = rdmsr(0x48e) >> 32; /* IA32_VMX_TRUE_PROCBASED_CTLS */
    if (!(supported & CPU_MONITOR_TRAP)) {
        return;
    }
    vcpu_reset(v, &start);
    set_mtf(v, true);
    reason = run(v);
    mtf_works = reason == EXIT_REASON_MONITOR_TRAP_FLAG && vmread(GUEST_RIP) == 1;
}

void vmx_selftest(void)
{
    static struct domain d;
    static struct vcpu v;
    struct physmap_config config = {
        .domid = FRAME_OWNER_HV,
        .address_bits = 32,
        .format = ept_format(),
    };
    mfn_t pool = frame_alloc_run(FRAME_OWNER_HV, POOL_PAGES), page = frame_alloc(FRAME_OWNER_HV, 0);

    if (mfn_eq(pool, MFN_INVALID) || mfn_eq(page, MFN_INVALID)) {
        fatal("too little memory for the self-test");
    }
    memcpy(frame_virt(page), code, sizeof(code));
    d.id = 0;
    CHECK(physmap_init(&d.physmap, &config, pool, POOL_PAGES) == 0);
    CHECK(hostmap_map(&d.physmap, gfn(0), page, ORDER_4K, MAP_RAM, XENMEM_access_rwx) == 0);
    CHECK(vcpu_create(&v, &d, 0) == 0);
    physmap_add_vcpu(&d.physmap, &v.altp2m, 0);
    check_mtf(&v);
    vcpu_destroy(&v);
    physmap_destroy(&d.physmap);
    frame_put_run(pool, POOL_PAGES);
    frame_put(page);
    say("VMX: EPT%s%s, single-step by %s", vmx_caps()->vmfunc ? ", VMFUNC" : "",
        vmx_caps()->ve ? ", #VE" : "", mtf_works ? "MTF" : "TF (MTF does not work here)");
}
