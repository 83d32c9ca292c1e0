/* SPDX-License-Identifier: MIT */
/* A vCPU's VMCS, and what is in the processor beside it while the vCPU is loaded. */
#include <errno.h>
#include <facet/check.h>
#include "domain.h"
#include "mm/frame.h"
#include "vmcs.h"
#include "vmx.h"

extern char vmx_exit[];

#define CR0_GUEST_OWNED (X86_CR0_MP | X86_CR0_EM | X86_CR0_TS | X86_CR0_AM | X86_CR0_WP)
#define CR4_GUEST_OWNED                                                                            \
    (X86_CR4_VME | X86_CR4_PVI | X86_CR4_TSD | X86_CR4_DE | X86_CR4_PSE | X86_CR4_PGE |            \
     X86_CR4_PCE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_FSGSBASE | X86_CR4_SMEP |         \
     X86_CR4_SMAP | X86_CR4_UMIP)

/* What is different on each processor. */
static void write_host_bases(struct vmx_vcpu *x)
{
    x->host = this_cpu();
    vmwrite(HOST_FS_BASE, (uint64_t)x->host);
    vmwrite(HOST_GS_BASE, (uint64_t)x->host);
    vmwrite(HOST_TR_BASE, desc_tss_base());
    vmwrite(HOST_GDTR_BASE, desc_gdt_base());
}

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
    struct vmx_vcpu *x = vmx_of(v);

    x->cpu_controls = caps->cpu;
    x->msr_map = vendor_msr_usual;
    vmwrite(PIN_CONTROLS, caps->pin | (caps->preemption ? PIN_PREEMPTION : 0));
    vmwrite(CPU_CONTROLS, caps->cpu);
    vmwrite(CPU_CONTROLS_2, caps->cpu2);
    vmwrite(EXIT_CONTROLS, caps->exit | (caps->preemption ? EXIT_SAVE_PREEMPTION : 0));
    vmwrite(ENTRY_CONTROLS, caps->entry);
    vmwrite(EXCEPTION_BITMAP, 0);
    vmwrite(MSR_BITMAP, (uint64_t)x->msr_map);
    vmwrite(CR0_MASK, ~0ULL);
    vmwrite(CR4_MASK, ~0ULL);
    vmwrite(PF_ERROR_MASK, 0);
    vmwrite(PF_ERROR_MATCH, 0);
    vmwrite(CR3_TARGET_COUNT, 0);
    vmwrite(EXIT_MSR_STORE_COUNT, 0);
    vmwrite(EXIT_MSR_LOAD_COUNT, 0);
    vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
    vmwrite(ENTRY_INTR_INFO, 0);
    vmwrite(GUEST_ACTIVITY, 0);
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

int vmx_create(struct vcpu *v)
{
    struct vmx_vcpu *x = vmx_of(v);
    mfn_t vmcs;

    vmcs = frame_alloc(FRAME_OWNER_HV, ORDER_4K);
    if (mfn_eq(vmcs, MFN_INVALID)) {
        return -ENOMEM;
    }
    x->vmcs = frame_virt(vmcs);
    *(uint32_t *)x->vmcs = vmx_caps()->revision;
    vmcs_clear(x->vmcs);
    vmcs_load(x->vmcs);
    write_host_state();
    write_host_bases(x);
    write_controls(v);
    vmcs_clear(x->vmcs);
    return 0;
}

void vmx_destroy(struct vcpu *v)
{
    frame_put(frame_of(vmx_of(v)->vmcs));
    vmx_of(v)->vmcs = NULL;
}

void vmx_unload(struct vcpu *v)
{
    struct vmx_vcpu *x = vmx_of(v);

    if (x->vmfunc_on) {
        vmx_sync_view(v);
    }
    x->star = rdmsr(MSR_STAR);
    x->lstar = rdmsr(MSR_LSTAR);
    x->cstar = rdmsr(MSR_CSTAR);
    x->fmask = rdmsr(MSR_FMASK);
    x->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
    if (vendor_caps.tsc_aux) {
        x->tsc_aux = rdmsr(MSR_TSC_AUX);
    }
    x->cr2 = read_cr2();
    read_drs(x->dr);
    x->dr6 = read_dr6();
    vmcs_clear(x->vmcs);
    x->launched = false;
}

void vmx_load(struct vcpu *v)
{
    struct vmx_vcpu *x = vmx_of(v);

    vmcs_load(x->vmcs);
    if (x->host != this_cpu()) {
        write_host_bases(x);
    }
    wrmsr(MSR_STAR, x->star);
    wrmsr(MSR_LSTAR, x->lstar);
    wrmsr(MSR_CSTAR, x->cstar);
    wrmsr(MSR_FMASK, x->fmask);
    wrmsr(MSR_KERNEL_GS_BASE, x->kernel_gs_base);
    if (vendor_caps.tsc_aux) {
        wrmsr(MSR_TSC_AUX, x->tsc_aux);
    }
    write_cr2(x->cr2);
    write_drs(x->dr);
    write_dr6(x->dr6);
}

/* ---- what exits ---- */

static void set_cpu_controls(struct vmx_vcpu *x, uint32_t clear, uint32_t set)
{
    uint32_t c = (x->cpu_controls & ~clear) | set;

    if (c != x->cpu_controls) {
        x->cpu_controls = c;
        vmwrite(CPU_CONTROLS, c);
    }
}

void vmx_windows(struct vcpu *v, bool interrupt, bool nmi)
{
    set_cpu_controls(vmx_of(v), CPU_INTERRUPT_WINDOW | CPU_NMI_WINDOW,
                     (interrupt ? CPU_INTERRUPT_WINDOW : 0) | (nmi ? CPU_NMI_WINDOW : 0));
}

/* Values of CR3 whose load does not exit. */
static void know_cr3(struct vmx_vcpu *x, const struct vendor_watch *w)
{
    unsigned most = vmx_caps()->cr3_targets < CR3_KNOWN ? vmx_caps()->cr3_targets : CR3_KNOWN;
    unsigned n = w->cr3 ? 0 : w->cr3_count < most ? w->cr3_count : most;

    for (unsigned i = 0; i < n; i++) {
        vmwrite(CR3_TARGET_VALUE + 2 * i, w->cr3_known[i]);
    }
    if (x->cr3_targets != n) {
        x->cr3_targets = (uint8_t)n;
        vmwrite(CR3_TARGET_COUNT, n);
    }
}

void vmx_watch(struct vcpu *v, const struct vendor_watch *w)
{
    struct vmx_vcpu *x = vmx_of(v);
    uint8_t *map = w->msr_map ? w->msr_map : vendor_msr_usual;

    if (x->exceptions != w->exceptions) {
        x->exceptions = w->exceptions;
        vmwrite(EXCEPTION_BITMAP, w->exceptions);
    }
    if (x->msr_map != map) {
        x->msr_map = map;
        vmwrite(MSR_BITMAP, (uint64_t)map);
    }
    set_cpu_controls(x, CPU_CR3_LOAD, w->cr3 || w->cr3_unknown ? CPU_CR3_LOAD : 0);
    know_cr3(x, w);
    state_own(v, CR0_GUEST_OWNED & ~w->cr0, CR4_GUEST_OWNED & vmx_caps()->cr4_fixed1 & ~w->cr4);
    if (x->descriptor_exits != (w->descriptors || w->table_loads)) {
        x->descriptor_exits = !x->descriptor_exits;
        v->altp2m_changed = true; /* CPU_CONTROLS_2 */
    }
}

/*
 * The preemption timer at zero expires after an event's delivery and before the handler's first
 * instruction (SDM 3, 25.5.1).
 */
bool vmx_step(struct vcpu *v, enum vendor_step how)
{
    switch (how) {
    case VENDOR_STEP_INSTRUCTION:
        if (!vmx_caps()->step) {
            return false;
        }
        set_cpu_controls(vmx_of(v), 0, CPU_MONITOR_TRAP);
        return true;
    case VENDOR_STEP_DELIVERY:
        if (vmx_caps()->preemption) {
            vmwrite(PREEMPTION_TIMER, 0);
        }
        return vmx_caps()->preemption;
    default:
        set_cpu_controls(vmx_of(v), CPU_MONITOR_TRAP, 0);
        return true;
    }
}

void vmx_skip(struct vcpu *v, unsigned length)
{
    uint64_t old = vmread(GUEST_RIP), rip = old + (length ? length : vmread(EXIT_INSTR_LENGTH));
    uint64_t blocking = vmread(GUEST_INTERRUPTIBILITY), flags = vmread(GUEST_RFLAGS);

    if (((old ^ rip) >> 32) && !vmx_get(v, VCPU_CODE_64)) {
        rip &= 0xffffffff;
    }
    vmwrite(GUEST_RIP, rip);
    if (blocking & (BLOCKING_STI | BLOCKING_MOVSS)) {
        vmwrite(GUEST_INTERRUPTIBILITY, blocking & ~(uint64_t)(BLOCKING_STI | BLOCKING_MOVSS));
    }
    if (flags & X86_EFLAGS_RF) { /* cleared by completing an instruction (SDM 3, 17.3.1.1) */
        vmwrite(GUEST_RFLAGS, flags & ~(uint64_t)X86_EFLAGS_RF);
    }
    if (flags & X86_EFLAGS_TF) {
        vmwrite(GUEST_PENDING_DEBUG, vmread(GUEST_PENDING_DEBUG) | TRAP_BS);
    }
}
