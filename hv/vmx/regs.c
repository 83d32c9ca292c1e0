/* SPDX-License-Identifier: MIT */
/* A vCPU's registers as a monitor sees and sets them (Xen's public vm_event.h). */
#include "guest/xen_abi.h"
#include "domain.h"
#include "entry_state.h"
#include "monitor.h"
#include "vmcs.h"
#include "vmx.h"
#include "x86/cpu.h"

#define AR_GRANULARITY (1u << 15)
#define AR_BITS        0xffffu
#define RFLAGS_SETTABLE                                                                            \
    0x3d7fd5ULL /* all that is defined, but VM86 mode, which is the segments' too */

static void general(struct vcpu *v, struct vm_event_regs_x86 *r)
{
    const struct vcpu_regs *g = &v->regs;

    r->rax = g->rax;
    r->rcx = g->rcx;
    r->rdx = g->rdx;
    r->rbx = g->rbx;
    r->rsp = vmread(GUEST_RSP);
    r->rbp = g->rbp;
    r->rsi = g->rsi;
    r->rdi = g->rdi;
    r->r8 = g->r8;
    r->r9 = g->r9;
    r->r10 = g->r10;
    r->r11 = g->r11;
    r->r12 = g->r12;
    r->r13 = g->r13;
    r->r14 = g->r14;
    r->r15 = g->r15;
    r->rflags = vmread(GUEST_RFLAGS);
    r->rip = vmread(GUEST_RIP);
}

static void control(struct vcpu *v, struct vm_event_regs_x86 *r)
{
    r->dr6 = read_dr6();
    r->dr7 = vmread(GUEST_DR7);
    r->cr0 = control_cr0(v);
    r->cr2 = read_cr2();
    r->cr3 = vcpu_cr3(v);
    r->cr4 = control_cr4(v);
    r->sysenter_cs = vmread(GUEST_SYSENTER_CS);
    r->sysenter_esp = vmread(GUEST_SYSENTER_ESP);
    r->sysenter_eip = vmread(GUEST_SYSENTER_EIP);
    r->msr_efer = vmread(GUEST_EFER);
    r->msr_star = rdmsr(MSR_STAR);
    r->msr_lstar = rdmsr(MSR_LSTAR);
    r->shadow_gs = rdmsr(MSR_KERNEL_GS_BASE);
    r->gdtr_base = vmread(GUEST_GDTR_BASE);
    r->gdtr_limit = (uint16_t)vmread(GUEST_GDTR_LIMIT);
    r->vmtrace_pos = ~0ULL;
}

/* The limit is in pages if the granularity bit says so; bits 8 to 11 of the rights are
 * not there. */
static void segment(unsigned seg, struct vm_event_x86_selector_reg *s, uint16_t *selector)
{
    uint32_t limit = (uint32_t)vmread(vmcs_seg(GUEST_ES_LIMIT, seg));
    uint32_t ar = (uint32_t)vmread(vmcs_seg(GUEST_ES_AR, seg)) & AR_BITS;

    s->limit = (ar & AR_GRANULARITY ? limit >> PAGE_SHIFT : limit) & 0xfffff;
    s->ar = ((ar & 0xff) | (ar >> 4 & 0xf00)) & 0xfff;
    *selector = (uint16_t)vmread(vmcs_seg(GUEST_ES_SEL, seg));
}

static void segments(struct vm_event_regs_x86 *r)
{
    r->cs_base = (uint32_t)vmread(vmcs_seg(GUEST_ES_BASE, SEG_CS));
    r->ss_base = (uint32_t)vmread(vmcs_seg(GUEST_ES_BASE, SEG_SS));
    r->ds_base = (uint32_t)vmread(vmcs_seg(GUEST_ES_BASE, SEG_DS));
    r->es_base = (uint32_t)vmread(vmcs_seg(GUEST_ES_BASE, SEG_ES));
    r->fs_base = vmread(vmcs_seg(GUEST_ES_BASE, SEG_FS));
    r->gs_base = vmread(vmcs_seg(GUEST_ES_BASE, SEG_GS));
#define SEGMENT(SEG, name)                                                                         \
    do {                                                                                           \
        struct vm_event_x86_selector_reg s;                                                        \
        uint16_t selector;                                                                         \
        segment(SEG, &s, &selector);                                                               \
        r->name = s;                                                                               \
        r->name##_sel = selector;                                                                  \
    } while (0)
    SEGMENT(SEG_CS, cs);
    SEGMENT(SEG_SS, ss);
    SEGMENT(SEG_DS, ds);
    SEGMENT(SEG_ES, es);
    SEGMENT(SEG_FS, fs);
    SEGMENT(SEG_GS, gs);
#undef SEGMENT
}

void vcpu_registers(struct vcpu *v, struct vm_event_regs_x86 *out)
{
    struct vcpu *before = vmx_borrow(v);

    general(v, out);
    control(v, out);
    segments(out);
    vmx_return(v, before);
}

/* STI's and MOV SS's blocking belongs to the instruction that it stands before (SDM
 * 3, 26.3.1.5). */
static void adapt_blocking(uint64_t old_rip, uint64_t rip, uint64_t rflags)
{
    uint64_t all = vmread(GUEST_INTERRUPTIBILITY), blocking = all & (BLOCKING_STI | BLOCKING_MOVSS);
    uint64_t pending = vmread(GUEST_PENDING_DEBUG) & ~(uint64_t)PENDING_DEBUG_BS;

    if (!blocking) {
        return;
    }
    if (rip != old_rip || ((blocking & BLOCKING_STI) && !(rflags & X86_EFLAGS_IF))) {
        vmwrite(GUEST_INTERRUPTIBILITY, all & ~(uint64_t)(BLOCKING_STI | BLOCKING_MOVSS));
    } else {
        vmwrite(GUEST_PENDING_DEBUG, rflags & X86_EFLAGS_TF ? pending | PENDING_DEBUG_BS : pending);
    }
}

bool vcpu_registers_load(struct vcpu *v, const uint64_t *r)
{
    uint64_t rip = r[17], vm = vmread(GUEST_RFLAGS) & X86_EFLAGS_VM;
    uint64_t rflags = (r[16] & RFLAGS_SETTABLE) | X86_EFLAGS_FIXED | vm;
    bool interrupted = (v->vmx.inject & INTR_VALID) && INTR_TYPE(v->vmx.inject) == INTR_EXTERNAL;

    if (!entry_rip_valid(rip, vcpu_long_mode(v)) || (interrupted && !(rflags & X86_EFLAGS_IF))) {
        return false;
    }
    v->regs = (struct vcpu_regs){.rax = r[0],
                                 .rcx = r[1],
                                 .rdx = r[2],
                                 .rbx = r[3],
                                 .rbp = r[5],
                                 .rsi = r[6],
                                 .rdi = r[7],
                                 .r8 = r[8],
                                 .r9 = r[9],
                                 .r10 = r[10],
                                 .r11 = r[11],
                                 .r12 = r[12],
                                 .r13 = r[13],
                                 .r14 = r[14],
                                 .r15 = r[15]};
    adapt_blocking(vmread(GUEST_RIP), rip, rflags);
    vmwrite(GUEST_RSP, r[4]);
    vmwrite(GUEST_RFLAGS, rflags);
    vmwrite(GUEST_RIP, rip);
    return true;
}
