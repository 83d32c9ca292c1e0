/* SPDX-License-Identifier: MIT */
#include "needs.h"
#include "vmcs.h"
#include "x86/cpu.h"

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

struct reader {
    const struct look *l;
    struct vmx_caps *caps;
    struct lack *why;
};

/* 0 of what is not there: then no bit is allowed. */
static uint64_t get(const struct reader *r, uint32_t msr)
{
    uint64_t v;

    return r->l->rdmsr(r->l->ctx, msr, &v) ? v : 0;
}

/* wanted and optional bits within what the capability MSR allows. False: `name` lacks a wanted
 * one. */
static bool control(const struct reader *r, uint32_t msr, const char *name, uint32_t wanted,
                    uint32_t optional, uint32_t *to)
{
    uint64_t allowed = get(r, msr);
    uint32_t must = (uint32_t)allowed, may = (uint32_t)(allowed >> 32);

    *to = must | wanted | (optional & may);
    return !(wanted & ~may) || lacks(r->why, name, wanted & ~may);
}

#define LACKS "this processor's VMX lacks "

static bool first_controls(const struct reader *r)
{
    struct vmx_caps *c = r->caps;

    if (!control(r, MSR_VMX_TRUE_PIN, LACKS "pin-based controls",
                 PIN_EXTINT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMI, 0, &c->pin) ||
        !control(r, MSR_VMX_TRUE_CPU, LACKS "primary controls",
                 CPU_HLT_EXITING | CPU_MWAIT_EXITING | CPU_RDPMC_EXITING | CPU_CR8_LOAD |
                     CPU_CR8_STORE | CPU_IO_EXITING | CPU_MSR_BITMAPS | CPU_MONITOR_EXITING |
                     CPU_SECONDARY,
                 0, &c->cpu)) {
        return false;
    }
    c->step = get(r, MSR_VMX_TRUE_CPU) >> 32 & CPU_MONITOR_TRAP;
    return true;
}

static bool second_controls(const struct reader *r)
{
    uint64_t cpu2 = get(r, MSR_VMX_CPU2) >> 32;
    struct vmx_caps *c = r->caps;

    if (!(cpu2 & CPU2_EPT)) {
        return lacks(r->why, "this processor has VT-x but no EPT", 0);
    }
    if (!control(r, MSR_VMX_CPU2, LACKS "secondary controls", CPU2_EPT | CPU2_UNRESTRICTED,
                 CPU2_RDTSCP | CPU2_WBINVD | CPU2_INVPCID | CPU2_VPID, &c->cpu2)) {
        return false;
    }
    if ((get(r, MSR_VMX_EPT_CAP) & VPID_NEEDED) != VPID_NEEDED) {
        c->cpu2 &= ~CPU2_VPID;
    }
    c->vpid = c->cpu2 & CPU2_VPID;
    c->vmfunc = (cpu2 & CPU2_VMFUNC) && (get(r, MSR_VMX_VMFUNC) & VMFUNC_EPTP_SWITCH);
    c->ve = cpu2 & CPU2_VE;
    c->descriptors = cpu2 & CPU2_DESCRIPTORS;
    return true;
}

static bool way_controls(const struct reader *r)
{
    struct vmx_caps *c = r->caps;

    if (!control(r, MSR_VMX_TRUE_EXIT, LACKS "exit controls",
                 EXIT_SAVE_DEBUG | EXIT_HOST_64 | EXIT_ACK_INTR | EXIT_SAVE_PAT | EXIT_LOAD_PAT |
                     EXIT_SAVE_EFER | EXIT_LOAD_EFER,
                 0, &c->exit) ||
        !control(r, MSR_VMX_TRUE_ENTRY, LACKS "entry controls",
                 ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER, 0, &c->entry)) {
        return false;
    }
    c->entry &= ~ENTRY_IA32E;
    c->preemption = (get(r, MSR_VMX_TRUE_PIN) >> 32 & PIN_PREEMPTION) &&
                    (get(r, MSR_VMX_TRUE_EXIT) >> 32 & EXIT_SAVE_PREEMPTION);
    c->preemption_shift = get(r, MSR_VMX_MISC) & 0x1f;
    c->cr3_targets = get(r, MSR_VMX_MISC) >> 16 & 0x1ff;
    return true;
}

static bool ept(const struct reader *r)
{
    uint64_t has = get(r, MSR_VMX_EPT_CAP);

    r->caps->ept_1g = has & EPT_1G;
    r->caps->ept_exec_only = has & EPT_EXEC_ONLY;
    r->caps->invept_single = has & EPT_INVEPT_SINGLE;
    return (has & EPT_NEEDED) == EPT_NEEDED ||
           lacks(r->why, "this processor's EPT lacks capabilities", (uint32_t)(EPT_NEEDED & ~has));
}

bool vmx_present_on(const struct look *l)
{
    uint32_t r[4];

    l->cpuid(l->ctx, 1, 0, r);
    return r[2] & CPUID_VMX;
}

/* Emulators without the MSR have VMX on; an unlocked one is for the hypervisor to set. */
static bool switched_off(const struct reader *r)
{
    uint64_t v;

    return r->l->rdmsr(r->l->ctx, MSR_FEATURE_CONTROL, &v) && (v & FEATURE_LOCKED) &&
           !(v & FEATURE_VMXON);
}

bool vmx_needs(const struct look *l, struct vmx_caps *caps, struct lack *why)
{
    const struct reader r = {l, caps, why};
    uint64_t basic = get(&r, MSR_VMX_BASIC);

    *caps = (struct vmx_caps){.revision = (uint32_t)basic & 0x7fffffff,
                              .cr0_fixed0 = get(&r, MSR_VMX_CR0_FIXED0),
                              .cr0_fixed1 = get(&r, MSR_VMX_CR0_FIXED1),
                              .cr4_fixed0 = get(&r, MSR_VMX_CR4_FIXED0),
                              .cr4_fixed1 = get(&r, MSR_VMX_CR4_FIXED1)};
    if (switched_off(&r)) {
        return lacks(why, "VT-x is switched off in the firmware's set-up: switch it on there", 0);
    }
    if ((basic & BASIC_NEEDED) != BASIC_NEEDED) {
        return lacks(why,
                     "this processor's VT-x is too old: no TRUE control MSRs, or no information on "
                     "string I/O",
                     0);
    }
    return first_controls(&r) && second_controls(&r) && way_controls(&r) && ept(&r);
}
