/* SPDX-License-Identifier: MIT */
/*
 * Control registers, EFER and XCR0 of the guest. What the vendor does not leave to the guest exits
 * here, is checked as the processor would (SDM 3, 2.5 and 4.1; SDM 2, MOV
 * to CR), and takes effect.
 */
#include <facet/check.h>
#include "guest/xen_abi.h"
#include "domain.h"
#include "monitor.h"
#include "exit/breakpoint.h"
#include "exit/exit.h"
#include "exit/pinned.h"
#include "x86/trap.h"

#define CR0_DEFINED                                                                                \
    (X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP |    \
     X86_CR0_AM | X86_CR0_NW | X86_CR0_CD | X86_CR0_PG)
#define CR4_FLUSHES                                                                                \
    (X86_CR4_PGE | X86_CR4_PSE | X86_CR4_PAE | X86_CR4_PCIDE | X86_CR4_SMEP | X86_CR4_SMAP)
#define EFER_OFFERED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

#define XCR0_X87    1ULL
#define XCR0_SSE    2ULL
#define XCR0_AVX    4ULL
#define XCR0_AVX512 0xe0ULL

static bool cr0_valid(struct vcpu *v, uint64_t cr0, uint64_t efer)
{
    bool was_paging = vcpu_get(v, VCPU_CR0) & X86_CR0_PG;

    if ((cr0 >> 32) || ((cr0 & X86_CR0_NW) && !(cr0 & X86_CR0_CD)) ||
        ((cr0 & X86_CR0_PG) && !(cr0 & X86_CR0_PE))) {
        return false;
    }
    if ((cr0 & X86_CR0_PG) && !was_paging && (efer & EFER_LME)) {
        return (vcpu_get(v, VCPU_CR4) & X86_CR4_PAE) &&
               !(vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_CS)) & AR_LONG) &&
               AR_TYPE(vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_TR))) == AR_TSS32_BUSY;
    }
    if (!(cr0 & X86_CR0_PG) && was_paging) {
        return !(vcpu_get(v, VCPU_CR4) & X86_CR4_PCIDE) && !vcpu_long_mode(v);
    }
    return true;
}

static bool set_cr0(struct vcpu *v, uint64_t cr0)
{
    uint64_t efer = vcpu_get(v, VCPU_EFER);

    cr0 = (cr0 & CR0_DEFINED) | X86_CR0_ET;
    efer &= ~(uint64_t)EFER_LMA;
    if ((cr0 & X86_CR0_PG) && (efer & EFER_LME)) {
        efer |= EFER_LMA;
    }
    if (!vcpu_load_pdptes(v, cr0, vcpu_get(v, VCPU_CR4), efer)) {
        return false;
    }
    if ((cr0 ^ vcpu_get(v, VCPU_CR0)) & X86_CR0_PG) {
        vcpu_flush(v);
    }
    vcpu_set(v, VCPU_CR0, cr0);
    vcpu_set(v, VCPU_EFER, efer);
    return true;
}

static bool cr4_valid(struct vcpu *v, uint64_t cr4, uint64_t efer)
{
    if (cr4 & ~vcpu_cr4_allowed()) {
        return false;
    }
    if ((efer & EFER_LMA) && !(cr4 & X86_CR4_PAE)) {
        return false;
    }
    return !(cr4 & ~vcpu_get(v, VCPU_CR4) & X86_CR4_PCIDE) ||
           ((efer & EFER_LMA) && !(vcpu_get(v, VCPU_CR3) & 0xfff));
}

static bool set_cr4(struct vcpu *v, uint64_t cr4)
{
    uint64_t old = vcpu_get(v, VCPU_CR4), efer = vcpu_get(v, VCPU_EFER);

    if (((cr4 ^ old) & X86_CR4_PAE) && !vcpu_load_pdptes(v, vcpu_get(v, VCPU_CR0), cr4, efer)) {
        return false;
    }
    if ((cr4 ^ old) & CR4_FLUSHES) {
        vcpu_flush(v);
    }
    vcpu_set(v, VCPU_CR4, cr4);
    return true;
}

#define CR3_KEEP (1ULL << 63) /* with PCIDs: translations stay (SDM 2, MOV to CR) */

static uint64_t cr3_bits(struct vcpu *v, uint64_t cr3)
{
    return cr3 & (vcpu_get(v, VCPU_CR4) & X86_CR4_PCIDE ? ~CR3_KEEP : ~0ULL);
}

static bool set_cr3(struct vcpu *v, uint64_t cr3)
{
    bool keep = (vcpu_get(v, VCPU_CR4) & X86_CR4_PCIDE) && (cr3 & CR3_KEEP);
    uint64_t old = vcpu_get(v, VCPU_CR3);

    vcpu_set(v, VCPU_CR3, cr3_bits(v, cr3));
    if (!vcpu_load_pdptes(v, vcpu_get(v, VCPU_CR0), vcpu_get(v, VCPU_CR4),
                          vcpu_get(v, VCPU_EFER))) {
        vcpu_set(v, VCPU_CR3, old);
        return false;
    }
    if (!keep) {
        vcpu_flush(v);
    }
    return true;
}

/* `cr` is VM_EVENT_X86_*, here and below. */
static bool cr_valid(struct vcpu *v, unsigned cr, uint64_t value)
{
    const struct pins *p = &v->altp2m.pins;
    uint64_t efer = vcpu_get(v, VCPU_EFER);

    return cr == VM_EVENT_X86_CR0
               ? cr0_valid(v, value, efer) && pinned_allows(v, p->cr0, vcpu_get(v, VCPU_CR0), value)
           : cr == VM_EVENT_X86_CR3
               ? !(efer & EFER_LMA) || !(cr3_bits(v, value) >> cpuid_physical_bits())
               : cr4_valid(v, value, efer) &&
                     pinned_allows(v, p->cr4, vcpu_get(v, VCPU_CR4), value);
}

static bool set_cr(struct vcpu *v, unsigned cr, uint64_t value)
{
    return cr_valid(v, cr, value) && (cr == VM_EVENT_X86_CR0   ? set_cr0(v, value)
                                      : cr == VM_EVENT_X86_CR3 ? set_cr3(v, value)
                                                               : set_cr4(v, value));
}

void control_write(struct vcpu *v, unsigned cr, uint64_t value)
{
    if ((cr == VM_EVENT_X86_CR3 && !pinned_allows_cr3(v, value)) || !set_cr(v, cr, value)) {
        vcpu_inject_error(v, EXC_GP, 0);
    }
}

/* The processor reads the PDPTEs as part of the instruction: whether the vCPU's view lets it. Else
 * that is dealt with. */
static bool may_load_pdptes(struct vcpu *v, unsigned cr, uint64_t value)
{
    uint64_t cr0 = cr == VM_EVENT_X86_CR0 ? value : vcpu_get(v, VCPU_CR0),
             cr4 = cr == VM_EVENT_X86_CR4 ? value : vcpu_get(v, VCPU_CR4);
    uint64_t cr3 = cr == VM_EVENT_X86_CR3 ? value : vcpu_get(v, VCPU_CR3),
             efer = vcpu_get(v, VCPU_EFER);
    struct hand_reach r = {.n = 32, .rights = RIGHT_R};

    return (efer & EFER_LME) || !vcpu_keeps_pdptes(cr0, cr4, efer) ||
           access_reach_gpa(v, gpa(cr3 & 0xffffffe0), &r);
}

/* A write by the guest. False: #GP. `*again`: the instruction has to run once more, or
 * has its fault. */
static bool write_cr(struct vcpu *v, unsigned cr, uint64_t value, bool *again)
{
    uint64_t old = cr == VM_EVENT_X86_CR0   ? vcpu_get(v, VCPU_CR0)
                   : cr == VM_EVENT_X86_CR3 ? vcpu_get(v, VCPU_CR3)
                                            : vcpu_get(v, VCPU_CR4);
    enum monitor_result told;

    if (!cr_valid(v, cr, value)) {
        return false;
    }
    if (cr == VM_EVENT_X86_CR3 && !pinned_allows_cr3(v, value)) {
        *again = true;
        return pinned_asks_cr3(v, value);
    }
    if (cr == VM_EVENT_X86_CR0) {
        value = (value & CR0_DEFINED) | X86_CR0_ET;
    }
    if (!may_load_pdptes(v, cr, value)) {
        *again = true;
        return true;
    }
    told = monitor_cr_write(v, cr, value, old);
    *again = told == MONITOR_FULL;
    if (told == MONITOR_FULL || told == MONITOR_HELD) {
        return true;
    }
    if (!set_cr(v, cr, value)) {
        return false;
    }
    if (cr == VM_EVENT_X86_CR3) {
        pinned_knows_cr3(v, value);
    }
    return true;
}

/*
 * The same as write_cr() for what is frequent where CR3 is pinned: 64-bit code loads a table that
 * is kept, and no monitor is told. False: nothing is done.
 */
static bool load_kept(struct vcpu *v, unsigned reg)
{
    uint64_t value = vcpu_gpr(v, reg), bits;
    bool tagged, keep;

    if (!pinned_quickly(v)) {
        return false;
    }
    tagged = vcpu_get(v, VCPU_CR4) & X86_CR4_PCIDE;
    keep = tagged && (value & CR3_KEEP);
    bits = tagged ? value & ~CR3_KEEP : value;
    if ((bits >> cpuid_physical_bits()) || !pinned_allows_cr3(v, value)) {
        return false;
    }
    vcpu_set(v, VCPU_CR3, bits);
    if (!keep) {
        vcpu_flush(v);
    }
    pinned_knows_cr3(v, value);
    exit_skip(v, 0);
    return true;
}

static bool mov_to_cr(struct vcpu *v, unsigned cr, unsigned reg, bool *again)
{
    uint64_t value = vcpu_gpr(v, reg);

    if (!vcpu_long_mode(v)) {
        value &= 0xffffffff;
    }
    switch (cr) {
    case 0:
        return write_cr(v, VM_EVENT_X86_CR0, value, again);
    case 3:
        return write_cr(v, VM_EVENT_X86_CR3, value, again);
    case 4:
        return write_cr(v, VM_EVENT_X86_CR4, value, again);
    case 8:
        /* CR8 is the task priority divided by 16, kept with the local APIC. */
        return guest_write_cr8(v, value);
    default:
        return false;
    }
}

static bool lmsw(struct vcpu *v, uint16_t value, bool *again)
{
    uint64_t low = X86_CR0_PE | X86_CR0_MP | X86_CR0_EM | X86_CR0_TS;
    uint64_t old = vcpu_get(v, VCPU_CR0), msw = value & low;

    /* LMSW cannot clear PE. */
    return write_cr(v, VM_EVENT_X86_CR0, (old & ~low) | msw | (old & X86_CR0_PE), again);
}

/* Its operand has not been read. */
static void lmsw_memory(struct vcpu *v)
{
    bool again = false;
    uint16_t msw;

    breakpoint_begin(v);
    if (!mmio_read_msw(v, &msw)) {
        return;
    }
    if (!lmsw(v, msw, &again)) {
        vcpu_inject_error(v, EXC_GP, 0);
    } else if (!again) {
        exit_skip(v, 0);
        breakpoint_due(v);
    }
}

void control_exit(struct vcpu *v, const struct vcpu_exit *e)
{
    unsigned cr = e->cr.cr, gpr = e->cr.gpr;
    bool ok = false, again = false;

    switch (e->cr.access) {
    case CR_MOV_TO:
        if (cr == 3 && load_kept(v, gpr)) {
            return;
        }
        ok = mov_to_cr(v, cr, gpr, &again);
        break;
    case CR_MOV_FROM:
        ok = cr == 8 || cr == 3;
        if (ok) {
            vcpu_set_gpr(v, gpr, cr == 8 ? guest_cr8(v) : vcpu_get(v, VCPU_CR3));
        }
        break;
    case CR_LMSW:
        ok = lmsw(v, e->cr.msw, &again);
        break;
    case CR_LMSW_MEMORY:
        lmsw_memory(v);
        return;
    case CR_CLTS:
        ok = write_cr(v, VM_EVENT_X86_CR0, vcpu_get(v, VCPU_CR0) & ~(uint64_t)X86_CR0_TS, &again);
        break;
    }
    if (!ok) {
        vcpu_inject_error(v, EXC_GP, 0);
    } else if (!again) {
        exit_skip(v, 0);
    }
}

bool control_set_efer(struct vcpu *v, uint64_t efer)
{
    uint64_t old = vcpu_get(v, VCPU_EFER);

    if ((efer & ~(uint64_t)EFER_OFFERED) ||
        (((efer ^ old) & EFER_LME) && (vcpu_get(v, VCPU_CR0) & X86_CR0_PG)) ||
        !pinned_allows(v, v->altp2m.pins.efer, old, efer)) {
        return false;
    }
    vcpu_set(v, VCPU_EFER, (efer & ~(uint64_t)EFER_LMA) | (old & EFER_LMA));
    return true;
}

/* SDM 1, 13.3: which combinations are allowed. */
static bool xcr0_valid(uint64_t x)
{
    if ((x & ~fpu_supported_xcr0()) || !(x & XCR0_X87)) {
        return false;
    }
    if ((x & XCR0_AVX) && !(x & XCR0_SSE)) {
        return false;
    }
    return !(x & XCR0_AVX512) || ((x & XCR0_AVX512) == XCR0_AVX512 && (x & XCR0_AVX));
}

void control_xsetbv(struct vcpu *v, const struct vcpu_exit *e)
{
    uint64_t value = (v->regs.rdx << 32) | (uint32_t)v->regs.rax;
    bool to_xcr0 = (uint32_t)v->regs.rcx == 0;

    (void)e;
    /* The processor checks CPL before the exit; Bochs 2.7 does not. */
    if (vcpu_cpl(v) == 0 && to_xcr0 &&
        monitor_cr_write(v, VM_EVENT_X86_XCR0, value, v->xcr0) == MONITOR_FULL) {
        return; /* the instruction runs again */
    }
    if (vcpu_cpl(v) != 0 || !to_xcr0 || !xcr0_valid(value) || !pinned_allows_xcr0(v, value) ||
        !xsetbv_safe(value)) {
        vcpu_inject_error(v, EXC_GP, 0);
        return;
    }
    v->xcr0 = value;
    exit_skip(v, 0);
}
