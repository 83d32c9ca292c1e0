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

#define MSR_VMX_BASIC      0x480
#define MSR_VMX_CR0_FIXED0 0x486
#define MSR_VMX_CR0_FIXED1 0x487
#define MSR_VMX_CR4_FIXED0 0x488
#define MSR_VMX_CR4_FIXED1 0x489
#define MSR_VMX_CPU2       0x48b
#define MSR_VMX_EPT_CAP    0x48c
#define MSR_VMX_MISC       0x485
#define MSR_VMX_TRUE_PIN   0x48d
#define MSR_VMX_TRUE_CPU   0x48e
#define MSR_VMX_TRUE_EXIT  0x48f
#define MSR_VMX_TRUE_ENTRY 0x490
#define MSR_VMX_VMFUNC     0x491

#define BASIC_TRUE_CONTROLS (1ULL << 55)
#define BASIC_STRING_INFO   (1ULL << 54)
#define BASIC_NEEDED        (BASIC_TRUE_CONTROLS | BASIC_STRING_INFO)
#define FEATURE_LOCKED      (1ULL << 0)
#define FEATURE_VMXON       (1ULL << 2)
#define CPUID_VMX           (1u << 5)
#define VMFUNC_EPTP_SWITCH  (1ULL << 0)

/* IA32_VMX_EPT_VPID_CAP (A.10) */
#define EPT_EXEC_ONLY     (1ULL << 0)
#define EPT_4_LEVELS      (1ULL << 6)
#define EPT_WRITE_BACK    (1ULL << 14)
#define EPT_2M            (1ULL << 16)
#define EPT_1G            (1ULL << 17)
#define EPT_INVEPT        (1ULL << 20)
#define EPT_INVEPT_SINGLE (1ULL << 25)
#define EPT_INVEPT_ALL    (1ULL << 26)
#define VPID_INVVPID      (1ULL << 32)
#define VPID_SINGLE       (1ULL << 41)
#define VPID_NEEDED       (VPID_INVVPID | VPID_SINGLE)
#define EPT_NEEDED        (EPT_4_LEVELS | EPT_WRITE_BACK | EPT_2M | EPT_INVEPT | EPT_INVEPT_ALL)

static struct vmx_caps caps;
static uint64_t first_basic; /* what the first processor said of itself */

const struct vmx_caps *vmx_caps(void)
{
    return &caps;
}

/* wanted and optional bits within what the capability MSR allows; fatal() names a
 * missing wanted bit. */
static uint32_t control(uint32_t msr, const char *name, uint32_t wanted, uint32_t optional)
{
    uint64_t allowed = rdmsr(msr);
    uint32_t must = (uint32_t)allowed, may = (uint32_t)(allowed >> 32);

    if (wanted & ~may) {
        fatal("this processor's VMX lacks %s controls %08x", name, wanted & ~may);
    }
    return must | wanted | (optional & may);
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

static void read_ept_caps(void)
{
    uint64_t ept = rdmsr(MSR_VMX_EPT_CAP);

    if ((ept & EPT_NEEDED) != EPT_NEEDED) {
        fatal("this processor's EPT lacks capabilities %lx", (unsigned long)(EPT_NEEDED & ~ept));
    }
    caps.ept_1g = ept & EPT_1G;
    caps.ept_exec_only = ept & EPT_EXEC_ONLY;
    caps.invept_single = ept & EPT_INVEPT_SINGLE;
}

static void read_controls(void)
{
    caps.pin = control(MSR_VMX_TRUE_PIN, "pin-based",
                       PIN_EXTINT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMI, 0);
    caps.cpu = control(MSR_VMX_TRUE_CPU, "primary",
                       CPU_HLT_EXITING | CPU_MWAIT_EXITING | CPU_RDPMC_EXITING | CPU_CR8_LOAD |
                           CPU_CR8_STORE | CPU_IO_EXITING | CPU_MSR_BITMAPS | CPU_MONITOR_EXITING |
                           CPU_SECONDARY,
                       0);
    caps.step = rdmsr(MSR_VMX_TRUE_CPU) >> 32 & CPU_MONITOR_TRAP;
    uint64_t cpu2 = rdmsr(MSR_VMX_CPU2) >> 32;
    if (!(cpu2 & CPU2_EPT)) {
        fatal("this processor has VT-x but no EPT");
    }
    caps.cpu2 = control(MSR_VMX_CPU2, "secondary", CPU2_EPT | CPU2_UNRESTRICTED,
                        CPU2_RDTSCP | CPU2_WBINVD | CPU2_INVPCID | CPU2_VPID);
    if ((rdmsr(MSR_VMX_EPT_CAP) & VPID_NEEDED) != VPID_NEEDED) {
        caps.cpu2 &= ~CPU2_VPID;
    }
    caps.vpid = caps.cpu2 & CPU2_VPID;
    caps.vmfunc = (cpu2 & CPU2_VMFUNC) && (rdmsr(MSR_VMX_VMFUNC) & VMFUNC_EPTP_SWITCH);
    caps.ve = cpu2 & CPU2_VE;
    caps.descriptors = cpu2 & CPU2_DESCRIPTORS;
    caps.exit = control(MSR_VMX_TRUE_EXIT, "exit",
                        EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_ACK_INTR | EXIT_SAVE_PAT |
                            EXIT_LOAD_PAT | EXIT_SAVE_EFER | EXIT_LOAD_EFER,
                        0);
    caps.preemption = (rdmsr(MSR_VMX_TRUE_PIN) >> 32 & PIN_PREEMPTION) &&
                      (rdmsr(MSR_VMX_TRUE_EXIT) >> 32 & EXIT_SAVE_PREEMPTION);
    caps.preemption_shift = rdmsr(MSR_VMX_MISC) & 0x1f;
    caps.entry = control(MSR_VMX_TRUE_ENTRY, "entry",
                         ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER, 0);
    caps.entry &= ~ENTRY_IA32E;
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
    uint32_t r[4];

    cpuid(1, 0, r);
    return r[2] & CPUID_VMX;
}

static void tell(struct vendor_caps *to)
{
    *to = (struct vendor_caps){
        .format = ept_format(),
        .cr4_allowed = caps.cr4_fixed1,
        .root_flags = ept_pointer(mfn(0)),
        .msr_map_pages = 1,
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
    uint64_t basic;

    if (!to) {
        return start_further();
    }
    if (!enable_in_feature_control()) {
        fatal("VT-x is switched off in the firmware's set-up: switch it on there");
    }
    first_basic = basic = rdmsr(MSR_VMX_BASIC);
    if ((basic & BASIC_NEEDED) != BASIC_NEEDED) {
        fatal("this processor's VT-x is too old: no TRUE control MSRs, or no information on string "
              "I/O");
    }
    caps.revision = (uint32_t)basic & 0x7fffffff;
    caps.cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0);
    caps.cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1);
    caps.cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0);
    caps.cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1);
    read_controls();
    read_ept_caps();
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
