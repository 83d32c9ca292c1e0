/* SPDX-License-Identifier: MIT */
/* Detection and start of VMX (SDM 3, 23.6 to 23.8, appendix A). */
#include "vmx.h"
#include <facet/check.h>
#include <string.h>
#include "lib/console.h"
#include "mm/frame.h"
#include "vmcs.h"
#include "x86/cpu.h"
#include "x86/trap.h"

#define FEATURE_LOCKED (1ULL << 0)
#define FEATURE_VMXON  (1ULL << 2)

static struct vmx_caps caps;
static uint64_t first_basic; /* what the first processor said of itself */

const struct vmx_caps *vmx_caps(void)
{
    return &caps;
}

static bool enable_in_feature_control(void)
{
    uint64_t v;

    if (!rdmsr_safe(MSR_FEATURE_CONTROL, &v)) {
        return true; /* emulators without the MSR have VMX on */
    }
    if (!(v & FEATURE_LOCKED)) {
        v |= FEATURE_LOCKED | FEATURE_VMXON;
        wrmsr(MSR_FEATURE_CONTROL, v);
    }
    return v & FEATURE_VMXON;
}

static bool vmxon(void)
{
    mfn_t region = frame_alloc(FRAME_OWNER_HV, ORDER_4K);
    bool bad;

    if (mfn_eq(region, MFN_INVALID)) {
        return false;
    }
    *(uint32_t *)frame_virt(region) = caps.revision;
    uint64_t at = region.v << PAGE_SHIFT;
    write_cr0((read_cr0() | caps.cr0_fixed0) & caps.cr0_fixed1);
    write_cr4((read_cr4() | caps.cr4_fixed0 | X86_CR4_VMXE) & caps.cr4_fixed1);
    __asm__ volatile("vmxon %1" : "=@ccbe"(bad) : "m"(at) : "memory");
    return !bad;
}

bool vmx_present(void)
{
    return vmx_present_on(&look_here);
}

static void tell(struct vendor_caps *to)
{
    *to = (struct vendor_caps){
        .format = ept_format(),
        .cr4_allowed = caps.cr4_fixed1,
        .root_flags = ept_pointer(mfn(0)),
        .msr_map_pages = 1,
        .pat_direct = true,
        .views = true,
        .vmfunc = caps.vmfunc,
        .ve = caps.vmfunc && caps.ve,
        .step = caps.step,
        .slice = caps.preemption,
        .descriptors = caps.descriptors,
        .tsc_aux = caps.cpu2 & CPU2_RDTSCP,
    };
    memcpy(to->hypercall, "\x0f\x01\xc1", 3); /* VMCALL */
    strcpy(to->summary, "EPT");
    strcat(to->summary, caps.vmfunc ? ", VMFUNC" : "");
    strcat(to->summary, caps.ve ? ", #VE" : "");
}

/* Further processors are held to what the first one has. */
static bool start_further(void)
{
    if (!enable_in_feature_control() || rdmsr(MSR_VMX_BASIC) != first_basic || !vmxon()) {
        return false;
    }
    vmx_flush(NULL, MFN_INVALID);
    return true;
}

bool vmx_init(struct vendor_caps *to)
{
    struct lack why;

    if (!to) {
        return start_further();
    }
    if (!vmx_needs(&look_here, &caps, &why)) {
        look_fatal(&why);
    }
    if (!enable_in_feature_control()) {
        fatal("VT-x cannot be switched on");
    }
    first_basic = rdmsr(MSR_VMX_BASIC);
    if (!vmxon()) {
        fatal("VMXON failed, or too little memory for it");
    }
    ept_init(&caps);
    vmx_flush(NULL, MFN_INVALID);
    tell(to);
    return true;
}

void vmcs_clear(void *vmcs)
{
    uint64_t at = (uint64_t)vmcs;
    bool bad;

    __asm__ volatile("vmclear %1" : "=@ccbe"(bad) : "m"(at) : "memory");
    CHECK(!bad);
}

void vmcs_load(void *vmcs)
{
    uint64_t at = (uint64_t)vmcs;
    bool bad;

    __asm__ volatile("vmptrld %1" : "=@ccbe"(bad) : "m"(at) : "memory");
    CHECK(!bad);
}
