/* SPDX-License-Identifier: MIT */
/* The hardware half of a vCPU: its VMCS, its registers, and what is injected into it. */
#include <errno.h>
#include <facet/check.h>
#include <string.h>
#include "domain.h"
#include "lib/console.h"
#include "mm/frame.h"
#include "step.h"
#include "vmcs.h"
#include "vmx.h"
#include "x86/cpu.h"
#include "x86/hand.h"

extern char vmx_exit[];

#define PAT_RESET 0x0007040600070406ULL
#define DR6_RESET 0xffff0ff0ULL
#define DR7_RESET 0x400ULL

static void write_host_state(void)
{
    vmwrite(HOST_CR0, read_cr0());
    vmwrite(HOST_CR3, read_cr3());
    vmwrite(HOST_CR4, read_cr4());
    vmwrite(HOST_ES_SEL, SEL_DATA);
    vmwrite(HOST_CS_SEL, SEL_CODE);
    vmwrite(HOST_SS_SEL, SEL_DATA);
    vmwrite(HOST_DS_SEL, SEL_DATA);
    vmwrite(HOST_FS_SEL, 0);
    vmwrite(HOST_GS_SEL, 0);
    vmwrite(HOST_TR_SEL, SEL_TSS);
    vmwrite(HOST_FS_BASE, (uint64_t)this_cpu());
    vmwrite(HOST_GS_BASE, (uint64_t)this_cpu());
    vmwrite(HOST_TR_BASE, desc_tss_base());
    vmwrite(HOST_GDTR_BASE, desc_gdt_base());
    vmwrite(HOST_IDTR_BASE, desc_idt_base());
    vmwrite(HOST_SYSENTER_CS, 0);
    vmwrite(HOST_SYSENTER_ESP, 0);
    vmwrite(HOST_SYSENTER_EIP, 0);
    vmwrite(HOST_PAT, rdmsr(MSR_PAT));
    vmwrite(HOST_EFER, rdmsr(MSR_EFER));
    vmwrite(HOST_RIP, (uint64_t)vmx_exit);
}

uint16_t vmx_vpid(const struct vcpu *v)
{
    return (uint16_t)(v->domain->id * DOMAIN_VCPUS + v->id + 1);
}

static void write_controls(struct vcpu *v)
{
    const struct vmx_caps *caps = vmx_caps();

    v->vmx.cpu_controls = caps->cpu;
    vmwrite(PIN_CONTROLS, caps->pin | (caps->preemption ? PIN_PREEMPTION : 0));
    vmwrite(CPU_CONTROLS, caps->cpu);
    vmwrite(CPU_CONTROLS_2, caps->cpu2);
    vmwrite(EXIT_CONTROLS, caps->exit | (caps->preemption ? EXIT_SAVE_PREEMPTION : 0));
    vmwrite(ENTRY_CONTROLS, caps->entry);
    v->vmx.monitor_update = true; /* EXCEPTION_BITMAP, MSR_BITMAP */
    vmwrite(PF_ERROR_MASK, 0);
    vmwrite(PF_ERROR_MATCH, 0);
    vmwrite(CR3_TARGET_COUNT, 0);
    vmwrite(EXIT_MSR_STORE_COUNT, 0);
    vmwrite(EXIT_MSR_LOAD_COUNT, 0);
    vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
    vmwrite(ENTRY_INTR_INFO, 0);
    vmwrite(TSC_OFFSET, 0);
    vmwrite(VMCS_LINK, ~0ULL);
    if (caps->preemption) {
        vmwrite(PREEMPTION_TIMER, 0xffffffff);
    }
    if (caps->vpid) {
        vmwrite(VPID, vmx_vpid(v));
    }
    if (caps->vmfunc) {
        vmwrite(VMFUNC_CONTROLS, 1); /* EPTP switching */
    }
}

static void load_again(struct vcpu *v);

int vcpu_create(struct vcpu *v, struct domain *d, unsigned id)
{
    struct vcpu *before = this_cpu()->loaded;
    mfn_t vmcs, fpu;

    if (msr_init() != 0) {
        return -ENOMEM;
    }
    vmcs = frame_alloc(FRAME_OWNER_HV, ORDER_4K);
    fpu = frame_alloc(FRAME_OWNER_HV, ORDER_4K);
    if (mfn_eq(vmcs, MFN_INVALID) || mfn_eq(fpu, MFN_INVALID)) {
        if (!mfn_eq(vmcs, MFN_INVALID)) {
            frame_put(vmcs);
        }
        return -ENOMEM;
    }
    v->domain = d;
    v->id = id;
    v->state = VCPU_OFFLINE;
    v->fpu = frame_virt(fpu);
    v->vmx.vmcs = frame_virt(vmcs);
    *(uint32_t *)v->vmx.vmcs = vmx_caps()->revision;
    vmcs_clear(v->vmx.vmcs);
    vmx_vcpu_load(v);
    write_host_state();
    write_controls(v);
    vmx_vcpu_unload(v);
    load_again(before);
    return 0;
}

void vcpu_destroy(struct vcpu *v)
{
    vmx_vcpu_unload(v);
    frame_put(frame_of(v->vmx.vmcs));
    frame_put(frame_of(v->fpu));
    v->vmx.vmcs = NULL;
    v->fpu = NULL;
}

/* ---- moving a vCPU in and out of the processor ---- */

static void save_registers(struct vcpu *v)
{
    struct vmx_vcpu *x = &v->vmx;

    x->star = rdmsr(MSR_STAR);
    x->lstar = rdmsr(MSR_LSTAR);
    x->cstar = rdmsr(MSR_CSTAR);
    x->fmask = rdmsr(MSR_FMASK);
    x->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
    if (vmx_caps()->cpu2 & CPU2_RDTSCP) {
        x->tsc_aux = rdmsr(MSR_TSC_AUX);
    }
    x->saved_cr2 = vcpu_get(v, VCPU_CR2);
    x->dr[0] = vcpu_get(v, VCPU_DR0);
    x->dr[1] = vcpu_get(v, VCPU_DR1);
    x->dr[2] = vcpu_get(v, VCPU_DR2);
    x->dr[3] = vcpu_get(v, VCPU_DR3);
    x->dr6 = vcpu_get(v, VCPU_DR6);
    xsetbv(fpu_supported_xcr0());
    fpu_save(v->fpu);
}

static void load_registers(struct vcpu *v)
{
    const struct vmx_vcpu *x = &v->vmx;

    wrmsr(MSR_STAR, x->star);
    wrmsr(MSR_LSTAR, x->lstar);
    wrmsr(MSR_CSTAR, x->cstar);
    wrmsr(MSR_FMASK, x->fmask);
    wrmsr(MSR_KERNEL_GS_BASE, x->kernel_gs_base);
    if (vmx_caps()->cpu2 & CPU2_RDTSCP) {
        wrmsr(MSR_TSC_AUX, x->tsc_aux);
    }
    vcpu_set(v, VCPU_CR2, x->saved_cr2);
    vcpu_set(v, VCPU_DR0, x->dr[0]);
    vcpu_set(v, VCPU_DR1, x->dr[1]);
    vcpu_set(v, VCPU_DR2, x->dr[2]);
    vcpu_set(v, VCPU_DR3, x->dr[3]);
    vcpu_set(v, VCPU_DR6, x->dr6);
    xsetbv(fpu_supported_xcr0());
    fpu_load(v->fpu);
    xsetbv(v->xcr0);
}

void vmx_vcpu_unload(struct vcpu *v)
{
    if (this_cpu()->loaded != v) {
        return;
    }
    save_registers(v);
    vmcs_clear(v->vmx.vmcs);
    v->vmx.launched = false;
    this_cpu()->loaded = NULL;
}

void vmx_vcpu_load(struct vcpu *v)
{
    struct vcpu *old = this_cpu()->loaded;

    if (old == v) {
        return;
    }
    if (old) {
        vmx_vcpu_unload(old);
    }
    vmcs_load(v->vmx.vmcs);
    this_cpu()->loaded = v;
    hand_forget(v);
    if (v->xcr0) {
        load_registers(v);
    }
}

/* Another vCPU was loaded for a moment, perhaps in the middle of an exit of this one. */
static void load_again(struct vcpu *v)
{
    if (v) {
        vmx_vcpu_load(v);
    }
}

/* ---- start ---- */

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

static void write_segment(struct vcpu *v, unsigned seg, const struct segment *s)
{
    vcpu_set(v, vcpu_segment_field(VCPU_SELECTOR, seg), s->selector);
    vcpu_set(v, vcpu_segment_field(VCPU_BASE, seg), s->base);
    vcpu_set(v, vcpu_segment_field(VCPU_LIMIT, seg), s->limit);
    vcpu_set(v, vcpu_segment_field(VCPU_AR, seg), s->ar ? s->ar : AR_UNUSABLE);
}

static void reset_unloaded(struct vcpu *v)
{
    struct vmx_vcpu *x = &v->vmx;

    x->star = x->lstar = x->cstar = x->fmask = x->kernel_gs_base = x->tsc_aux = 0;
    x->saved_cr2 = 0;
    memset(x->dr, 0, sizeof(x->dr));
    x->dr6 = DR6_RESET;
    x->inject = 0;
    v->xcr0 = 1;
    fpu_area_reset(v->fpu);
    load_registers(v);
}

static void reset_segments(struct vcpu *v, const struct vcpu_start *s)
{
    static const struct segment ldt = {.limit = 0xffff, .ar = AR_LDT};

    write_segment(v, SEG_CS, &s->cs);
    write_segment(v, SEG_DS, &s->ds);
    write_segment(v, SEG_ES, &s->es);
    write_segment(v, SEG_SS, &s->ss);
    write_segment(v, SEG_FS, &s->ds);
    write_segment(v, SEG_GS, &s->ds);
    write_segment(v, SEG_LDTR, &ldt);
    write_segment(v, SEG_TR, &s->tr);
    vcpu_set(v, VCPU_GDTR_BASE, 0);
    vcpu_set(v, VCPU_GDTR_LIMIT, 0xffff);
    vcpu_set(v, VCPU_IDTR_BASE, 0);
    vcpu_set(v, VCPU_IDTR_LIMIT, 0xffff);
}

void vcpu_reset(struct vcpu *v, const struct vcpu_start *s)
{
    struct vcpu *before = this_cpu()->loaded;

    vmx_vcpu_load(v);
    v->regs = (struct vcpu_regs){.rax = s->rax,
                                 .rbx = s->rbx,
                                 .rcx = s->rcx,
                                 .rdx = s->rdx,
                                 .rsi = s->rsi,
                                 .rdi = s->rdi,
                                 .rbp = s->rbp};
    reset_unloaded(v);
    reset_segments(v, s);
    vcpu_set(v, VCPU_RIP, s->rip);
    vcpu_set(v, VCPU_RSP, s->rsp);
    vcpu_set(v, VCPU_RFLAGS, s->rflags | X86_EFLAGS_FIXED);
    vcpu_set(v, VCPU_CR3, s->cr3);
    vcpu_set(v, VCPU_DR7, DR7_RESET);
    vcpu_set(v, VCPU_DEBUGCTL, 0);
    vcpu_set(v, VCPU_PAT, PAT_RESET);
    vcpu_set(v, VCPU_SYSENTER_CS, 0);
    vcpu_set(v, VCPU_SYSENTER_ESP, 0);
    vcpu_set(v, VCPU_SYSENTER_EIP, 0);
    vcpu_set(v, VCPU_BLOCKING, 0);
    vmwrite(GUEST_ACTIVITY, 0);
    vcpu_set(v, VCPU_PENDING_TRAP, 0);
    control_reset(v, s->cr0, s->cr4, s->efer);
    vpid_invalidate(v);
    v->vmx.update = true;
    load_again(before);
}

struct vcpu *vmx_borrow(struct vcpu *v)
{
    struct vcpu *before = this_cpu()->loaded;

    if (before != v) {
        vmx_vcpu_load(v);
    }
    return before;
}

void vmx_return(struct vcpu *v, struct vcpu *before)
{
    if (before != v) {
        load_again(before);
    }
}

/* ---- registers ---- */

/* SS.DPL is the CPL in every mode (SDM 3, 24.4.1). */
unsigned vcpu_cpl(const struct vcpu *v)
{
    (void)v;
    return AR_DPL(vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_SS)));
}

bool vcpu_long_mode(const struct vcpu *v)
{
    (void)v;
    return (vcpu_get(v, VCPU_EFER) & EFER_LMA) &&
           (vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_CS)) & AR_LONG);
}

bool vcpu_in_ia32e(const struct vcpu *v)
{
    (void)v;
    return vcpu_get(v, VCPU_EFER) & EFER_LMA;
}

bool vcpu_interrupts_enabled(const struct vcpu *v)
{
    (void)v;
    return vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_IF;
}

static uint64_t *gpr(struct vcpu *v, unsigned n)
{
    static const uint8_t offset[16] = {
        offsetof(struct vcpu_regs, rax),
        offsetof(struct vcpu_regs, rcx),
        offsetof(struct vcpu_regs, rdx),
        offsetof(struct vcpu_regs, rbx),
        0 /* RSP */,
        offsetof(struct vcpu_regs, rbp),
        offsetof(struct vcpu_regs, rsi),
        offsetof(struct vcpu_regs, rdi),
        offsetof(struct vcpu_regs, r8),
        offsetof(struct vcpu_regs, r9),
        offsetof(struct vcpu_regs, r10),
        offsetof(struct vcpu_regs, r11),
        offsetof(struct vcpu_regs, r12),
        offsetof(struct vcpu_regs, r13),
        offsetof(struct vcpu_regs, r14),
        offsetof(struct vcpu_regs, r15),
    };
    CHECK(n < 16);
    return (uint64_t *)((char *)&v->regs + offset[n]);
}

uint64_t vmx_read_gpr(struct vcpu *v, unsigned n)
{
    return n == 4 ? vcpu_get(v, VCPU_RSP) : *gpr(v, n);
}

void vmx_write_gpr(struct vcpu *v, unsigned n, uint64_t value)
{
    if (n == 4) {
        vcpu_set(v, VCPU_RSP, value);
    } else {
        *gpr(v, n) = value;
    }
}

void vmx_skip_instruction(struct vcpu *v)
{
    vmx_skip_bytes(v, (unsigned)vmread(EXIT_INSTR_LENGTH));
}

void vmx_skip_bytes(struct vcpu *v, unsigned length)
{
    uint64_t old = vmread(GUEST_RIP), rip = old + length;
    uint64_t blocking = vmread(GUEST_INTERRUPTIBILITY);

    if (((old ^ rip) >> 32) && !vcpu_long_mode(v)) {
        rip &= 0xffffffff;
    }
    vmwrite(GUEST_RIP, rip);
    if (blocking & (BLOCKING_STI | BLOCKING_MOVSS)) {
        vmwrite(GUEST_INTERRUPTIBILITY, blocking & ~(uint64_t)(BLOCKING_STI | BLOCKING_MOVSS));
    }
    uint64_t flags = vmread(GUEST_RFLAGS);
    if (flags & X86_EFLAGS_RF) { /* cleared by completing an instruction (SDM 3, 17.3.1.1) */
        vmwrite(GUEST_RFLAGS, flags & ~(uint64_t)X86_EFLAGS_RF);
    }
    if (flags & X86_EFLAGS_TF) {
        vmwrite(GUEST_PENDING_DEBUG, vmread(GUEST_PENDING_DEBUG) | TRAP_BS);
    }
    v->vmx.stepped = true;
}

/* ---- injection ---- */

/*
 * A fault's frame has RF set, so that the handler may return to the instruction without meeting its
 * breakpoint again; entry pushes what the guest's flags say (SDM 3, 17.3.1.1). #DB that is a fault
 * is the exception: its handler sees to RF.
 */
void vmx_resume_flag(struct vcpu *v, unsigned vector)
{
    static const uint32_t others =
        1u << EXC_DB | 1u << EXC_NMI | 1u << EXC_BP | 1u << EXC_OF | 1u << EXC_MC;

    if (vector < 32 && !(others & (1u << vector))) {
        vcpu_set(v, VCPU_RFLAGS, vcpu_get(v, VCPU_RFLAGS) | X86_EFLAGS_RF);
    }
}

static bool contributory(unsigned vector)
{
    return vector == EXC_DE || (vector >= 10 && vector <= EXC_GP);
}

/*
 * Two exceptions at once become a double fault, three a triple fault, by SDM 3, table 6-5. An event
 * that was being delivered when the second arose is in v->vmx.inject, put there by the exit.
 */
static void inject(struct vcpu *v, unsigned vector, bool has_error, uint32_t error)
{
    uint32_t old = v->vmx.inject;

    if ((old & INTR_VALID) && INTR_TYPE(old) == INTR_HARDWARE) {
        unsigned first = INTR_VECTOR(old);

        if (first == EXC_DF) {
            domain_crash(v->domain, "triple fault at rip %lx",
                         (unsigned long)vcpu_get(v, VCPU_RIP));
            return;
        }
        if ((contributory(first) && contributory(vector)) ||
            (first == EXC_PF && (contributory(vector) || vector == EXC_PF))) {
            vector = EXC_DF;
            has_error = vcpu_get(v, VCPU_CR0) & X86_CR0_PE;
            error = 0;
        }
    }
    v->vmx.inject = INTR_VALID | INTR_HARDWARE << 8 | (has_error ? INTR_ERROR_CODE : 0) | vector;
    v->vmx.inject_error = error;
    vmx_resume_flag(v, vector);
}

void vcpu_inject(struct vcpu *v, unsigned vector)
{
    inject(v, vector, false, 0);
}

void vcpu_inject_error(struct vcpu *v, unsigned vector, uint32_t error)
{
    /* Real mode pushes no error code (SDM 3, 26.2.1.3). */
    inject(v, vector, vcpu_get(v, VCPU_CR0) & X86_CR0_PE, error);
}

void vcpu_inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t error)
{
    vcpu_inject_error(v, EXC_PF, error);
    vcpu_set(v, VCPU_CR2, cr2);
}

/* ---- views, VMFUNC and #VE ---- */

void vmx_apply_update(struct vcpu *v)
{
    const struct altp2m_vcpu *a = &v->altp2m;
    uint32_t cpu2 = vmx_caps()->cpu2;

    if (!v->vmx.update) {
        return;
    }
    cpu2 |= v->vmx.descriptor_exits && !v->vmx.emulating ? CPU2_DESCRIPTORS : 0;
    v->vmx.eptp = ept_pointer(a->root);
    vmwrite(EPT_POINTER, v->vmx.eptp);
    v->vmx.vmfunc_on = a->vmfunc;
    if (a->vmfunc) {
        cpu2 |= CPU2_VMFUNC;
        vmwrite(EPTP_LIST, a->pm->list_page.v << PAGE_SHIFT);
    }
    if (!mfn_eq(a->ve_info, MFN_INVALID)) {
        cpu2 |= CPU2_VE;
        vmwrite(VE_INFO, a->ve_info.v << PAGE_SHIFT);
        vmwrite(EPTP_INDEX, a->view.v);
    }
    vmwrite(CPU_CONTROLS_2, cpu2);
    v->vmx.update = false;
}

/* A trap that is due comes first: injecting an interrupt would discard it (SDM 3, 26.7.3). */
bool vmx_can_take_interrupt(struct vcpu *v)
{
    return (vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_IF) &&
           !(vcpu_get(v, VCPU_BLOCKING) & (BLOCKING_STI | BLOCKING_MOVSS)) &&
           !(vcpu_get(v, VCPU_PENDING_TRAP) & TRAP_ANY);
}

static void want_windows(struct vcpu *v, bool interrupt, bool nmi)
{
    uint32_t c = v->vmx.cpu_controls & ~(CPU_INTERRUPT_WINDOW | CPU_NMI_WINDOW);

    if (!interrupt && !nmi && c == v->vmx.cpu_controls) {
        return;
    }
    c |= (interrupt ? CPU_INTERRUPT_WINDOW : 0) | (nmi ? CPU_NMI_WINDOW : 0);
    if (c != v->vmx.cpu_controls) {
        v->vmx.cpu_controls = c;
        vmwrite(CPU_CONTROLS, c);
    }
}

void vmx_arm_preemption(struct vcpu *v, uint64_t tsc_ticks)
{
    (void)v;
    if (vmx_caps()->preemption) {
        vmwrite(PREEMPTION_TIMER, (tsc_ticks >> vmx_caps()->preemption_shift) + 1);
    }
}

/* Whether an NMI still waits. */
static bool offer_nmi(struct vcpu *v)
{
    if (v->vmx.stepping || v->vmx.emulating || !guest_nmi_pending(v)) {
        return false;
    }
    if ((v->vmx.inject & INTR_VALID) || (vcpu_get(v, VCPU_PENDING_TRAP) & TRAP_ANY) ||
        (vcpu_get(v, VCPU_BLOCKING) & (BLOCKING_STI | BLOCKING_MOVSS | BLOCKING_NMI))) {
        return true;
    }
    guest_nmi_taken(v);
    v->vmx.inject = INTR_VALID | INTR_NMI << 8 | EXC_NMI;
    return guest_nmi_pending(v);
}

bool vmx_take_interrupt(struct vcpu *v)
{
    int vector = v->vmx.stepping || v->vmx.emulating ? -1 : guest_pending_interrupt(v);

    if (vector >= 0 && !(v->vmx.inject & INTR_VALID) && vmx_can_take_interrupt(v)) {
        guest_interrupt_taken(v, (unsigned)vector);
        v->vmx.inject = INTR_VALID | INTR_EXTERNAL << 8 | (unsigned)vector;
        vector = guest_pending_interrupt(v);
    }
    return vector >= 0;
}

void vmx_prepare_entry(struct vcpu *v)
{
    bool nmi = offer_nmi(v);

    want_windows(v, guest_pending_interrupt(v) >= 0 && vmx_take_interrupt(v), nmi);
    if (v->vmx.inject) {
        vmwrite(ENTRY_INTR_INFO, v->vmx.inject);
        vmwrite(ENTRY_INTR_ERROR, v->vmx.inject_error);
        vmwrite(ENTRY_INSTR_LENGTH, v->vmx.inject_length);
        v->vmx.inject = 0;
        if (v->vmx.set_cr2) {
            v->vmx.set_cr2 = false;
            vcpu_set(v, VCPU_CR2, v->vmx.new_cr2);
        }
    }
    vmx_apply_update(v);
}

void vmx_dump(struct vcpu *v)
{
    const struct vcpu_regs *r = &v->regs;

    say("d%uv%u rip %016lx rsp %016lx rflags %lx", v->domain->id, v->id, vcpu_get(v, VCPU_RIP),
        vcpu_get(v, VCPU_RSP), vcpu_get(v, VCPU_RFLAGS));
    say("rax %016lx rbx %016lx rcx %016lx rdx %016lx", r->rax, r->rbx, r->rcx, r->rdx);
    say("rsi %016lx rdi %016lx rbp %016lx r8  %016lx", r->rsi, r->rdi, r->rbp, r->r8);
    say("r9  %016lx r10 %016lx r11 %016lx r12 %016lx", r->r9, r->r10, r->r11, r->r12);
    say("r13 %016lx r14 %016lx r15 %016lx efer %lx", r->r13, r->r14, r->r15,
        vcpu_get(v, VCPU_EFER));
    say("cr0 %lx cr2 %lx cr3 %lx cr4 %lx cs %lx/%lx view %d", vcpu_get(v, VCPU_CR0),
        vcpu_get(v, VCPU_CR2), vcpu_get(v, VCPU_CR3), vcpu_get(v, VCPU_CR4),
        vcpu_get(v, vcpu_segment_field(VCPU_SELECTOR, SEG_CS)),
        vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_CS)), (int16_t)v->altp2m.view.v);
}
