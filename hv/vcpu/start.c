/* SPDX-License-Identifier: MIT */
/* The states that a vCPU starts from. */
#include "domain.h"
#include "vcpu/hand.h"
#include "vcpu/mirror.h"

#define PAT_RESET 0x0007040600070406ULL
#define DR6_RESET 0xffff0ff0ULL
#define DR7_RESET 0x400ULL

#define PDPTE_RESERVED 0x1e6ULL /* SDM 3, table 4-8, and every bit beyond the physical address */

#define CR4_OFFERED                                                                                \
    (X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PAE |            \
     X86_CR4_MCE | X86_CR4_PGE | X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT |               \
     X86_CR4_FSGSBASE | X86_CR4_PCIDE | X86_CR4_OSXSAVE | X86_CR4_SMEP | X86_CR4_SMAP |            \
     X86_CR4_UMIP)

static struct segment flat(uint16_t selector, uint32_t ar)
{
    return (struct segment){.selector = selector, .limit = 0xffffffff, .ar = ar};
}

void vcpu_start_pvh(struct vcpu_start *s, uint32_t entry, uint32_t start_info)
{
    *s = (struct vcpu_start){
        .rip = entry,
        .rbx = start_info,
        .cr0 = X86_CR0_PE | X86_CR0_ET,
        .cs = flat(0, AR_CODE32),
        .ds = flat(0, AR_DATA32),
        .es = flat(0, AR_DATA32),
        .ss = flat(0, AR_DATA32),
        .tr = {.limit = 0x67, .ar = AR_TSS32},
    };
}

void vcpu_start_sipi(struct vcpu_start *s, uint8_t sipi_vector)
{
    struct segment data = {.limit = 0xffff, .ar = AR_DATA16};

    *s = (struct vcpu_start){
        .cr0 = X86_CR0_ET,
        .cs = {.selector = (uint16_t)(sipi_vector << 8),
               .base = (uint64_t)sipi_vector << 12,
               .limit = 0xffff,
               .ar = AR_CODE16},
        .ds = data,
        .es = data,
        .ss = data,
        .tr = {.limit = 0xffff, .ar = AR_TSS32},
    };
}

/* ---- control registers ---- */

uint64_t vcpu_cr4_allowed(void)
{
    return CR4_OFFERED & vendor_caps.cr4_allowed;
}

bool vcpu_keeps_pdptes(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    return (cr0 & X86_CR0_PG) && (cr4 & X86_CR4_PAE) && !(efer & EFER_LMA);
}

static void set_pdptes(struct vcpu *v, const uint64_t e[4])
{
    for (unsigned i = 0; i < 4; i++) {
        vcpu_set(v, (enum vcpu_field)(VCPU_PDPTE0 + i), e[i]);
    }
}

bool vcpu_load_pdptes(struct vcpu *v, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    uint64_t e[4];

    if (!vcpu_keeps_pdptes(cr0, cr4, efer)) {
        return true;
    }
    if (hand_copy_from_gpa(v, e, gpa(vcpu_get(v, VCPU_CR3) & 0xffffffe0), sizeof(e)) != 0) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        if ((e[i] & 1) && ((e[i] & PDPTE_RESERVED) || e[i] >> cpuid_physical_bits())) {
            return false;
        }
    }
    set_pdptes(v, e);
    return true;
}

void vcpu_reset_control(struct vcpu *v, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
    static const uint64_t none[4];

    vcpu_set(v, VCPU_CR0, cr0);
    vcpu_set(v, VCPU_CR4, cr4);
    vcpu_set(v, VCPU_EFER, efer);
    if (!vcpu_load_pdptes(v, cr0, cr4, efer)) { /* none, and the first access faults */
        set_pdptes(v, none);
    }
}

/* ---- reset ---- */

static void reset_segments(struct vcpu *v, const struct vcpu_start *s)
{
    static const struct segment ldt = {.limit = 0xffff, .ar = AR_LDT};
    const struct segment *all[SEG_COUNT] = {
        [SEG_ES] = &s->es, [SEG_CS] = &s->cs, [SEG_SS] = &s->ss, [SEG_DS] = &s->ds,
        [SEG_FS] = &s->ds, [SEG_GS] = &s->ds, [SEG_LDTR] = &ldt, [SEG_TR] = &s->tr};

    for (unsigned i = 0; i < SEG_COUNT; i++) {
        struct segment segment = *all[i];

        segment.ar = segment.ar ? segment.ar : AR_UNUSABLE;
        vcpu_set_segment(v, i, &segment);
    }
    vcpu_set(v, VCPU_GDTR_BASE, 0);
    vcpu_set(v, VCPU_GDTR_LIMIT, 0xffff);
    vcpu_set(v, VCPU_IDTR_BASE, 0);
    vcpu_set(v, VCPU_IDTR_LIMIT, 0xffff);
}

/* What starts with the same value everywhere. */
static void reset_rest(struct vcpu *v)
{
    static const struct {
        uint8_t field;
        uint64_t value;
    } values[] = {
        {VCPU_STAR, 0},
        {VCPU_LSTAR, 0},
        {VCPU_CSTAR, 0},
        {VCPU_FMASK, 0},
        {VCPU_KERNEL_GS_BASE, 0},
        {VCPU_CR2, 0},
        {VCPU_DR0, 0},
        {VCPU_DR1, 0},
        {VCPU_DR2, 0},
        {VCPU_DR3, 0},
        {VCPU_DR6, DR6_RESET},
        {VCPU_DR7, DR7_RESET},
        {VCPU_DEBUGCTL, 0},
        {VCPU_PAT, PAT_RESET},
        {VCPU_SYSENTER_CS, 0},
        {VCPU_SYSENTER_ESP, 0},
        {VCPU_SYSENTER_EIP, 0},
        {VCPU_BLOCKING, 0},
        {VCPU_PENDING_TRAP, 0},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
        vcpu_set(v, (enum vcpu_field)values[i].field, values[i].value);
    }
    if (vendor_caps.tsc_aux) {
        vcpu_set(v, VCPU_TSC_AUX, 0);
    }
}

static void reset_fpu(struct vcpu *v)
{
    v->xcr0 = 1;
    fpu_area_reset(v->fpu);
    xsetbv(fpu_supported_xcr0());
    fpu_load(v->fpu);
    xsetbv(v->xcr0);
}

void vcpu_reset(struct vcpu *v, const struct vcpu_start *s)
{
    struct vcpu *before;

    vcpu_take_over(v);
    before = vcpu_borrow(v);
    v->regs = (struct vcpu_regs){.rax = s->rax,
                                 .rbx = s->rbx,
                                 .rcx = s->rcx,
                                 .rdx = s->rdx,
                                 .rsi = s->rsi,
                                 .rdi = s->rdi,
                                 .rbp = s->rbp};
    v->event.due = false;
    reset_fpu(v);
    reset_rest(v);
    reset_segments(v, s);
    vcpu_set(v, VCPU_RIP, s->rip);
    vcpu_set(v, VCPU_RSP, s->rsp);
    vcpu_set(v, VCPU_RFLAGS, s->rflags | X86_EFLAGS_FIXED);
    vcpu_set(v, VCPU_CR3, s->cr3);
    vcpu_reset_control(v, s->cr0, s->cr4, s->efer);
    vcpu_mirror_forget(v);
    v->altp2m_changed = true;
    vcpu_return(v, before);
}
