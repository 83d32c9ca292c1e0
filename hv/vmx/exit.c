/* SPDX-License-Identifier: MIT */
/* One entry into the guest, and what its exit says (SDM 3, 27 and appendix C). */
#include <asm/vmx.h>
#include <facet/check.h>
#include "domain.h"
#include "vmcs.h"
#include "vmx.h"
#include "x86/smp.h"

#define ENTRY_FAILED (1u << 31)

/* Exit qualification of an EPT violation: SDM 3, table 27-7. */
#define VIOLATION_READ  (1u << 0)
#define VIOLATION_WRITE (1u << 1)
#define VIOLATION_FETCH (1u << 2)
#define VIOLATION_GLA   (1u << 7)  /* the guest linear address is valid */
#define VIOLATION_FINAL (1u << 8)  /* the access itself, not that to a paging structure */
#define NMI_UNBLOCKED   (1u << 12) /* by IRET; the same bit in EXIT_INTR_INFO (SDM 3, 27.2.2) */

/* Exit qualification of an I/O instruction: SDM 3, table 27-5. */
#define IO_SIZE(q) (((q)&7) + 1)
#define IO_IN      (1u << 3)
#define IO_STRING  (1u << 4)
#define IO_REP     (1u << 5)

/* ---- before ---- */

static __attribute__((noinline)) void deliver(struct vcpu *v)
{
    struct event *e = &v->event;

    vmwrite(ENTRY_INTR_INFO, event_info(e));
    vmwrite(ENTRY_INTR_ERROR, e->error);
    vmwrite(ENTRY_INSTR_LENGTH, e->length);
    if (e->with_cr2) {
        write_cr2(e->cr2);
    }
    e->due = e->with_cr2 = false;
}

/* Brings view, VMFUNC list and #VE page of the VMCS up to date with v->altp2m. */
static __attribute__((noinline)) void follow(struct vcpu *v)
{
    const struct altp2m_vcpu *a = &v->altp2m;
    struct vmx_vcpu *x = vmx_of(v);
    uint32_t cpu2 = vmx_caps()->cpu2 | (x->descriptor_exits ? CPU2_DESCRIPTORS : 0);

    x->eptp = ept_pointer(a->root);
    vmwrite(EPT_POINTER, x->eptp);
    x->vmfunc_on = a->vmfunc;
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
    v->altp2m_changed = false;
}

/* ---- after ---- */

/* VMFUNC may have changed the EPT pointer in the VMCS without an exit. Who moved the vCPU since it
 * came out was later. */
void vmx_sync_view(struct vcpu *v)
{
    uint64_t eptp = vmread(EPT_POINTER);
    struct vmx_vcpu *x = vmx_of(v);

    if (eptp != x->eptp && !v->altp2m_changed) {
        x->eptp = eptp;
        v->altp2m.root = mfn((eptp & FORMAT_ADDRESS_MASK) >> PAGE_SHIFT);
        v->altp2m.view = view_of_root(v->altp2m.pm, v->altp2m.root);
        CHECK(!view_eq(v->altp2m.view, VIEW_NONE));
    }
}

/* An event that was being delivered when the exit happened has to be delivered again
 * (SDM 3, 27.2.4). */
static void requeue(struct vcpu *v)
{
    uint32_t info = (uint32_t)vmread(IDT_VECTORING_INFO);

    if (!(info & INTR_VALID)) {
        return;
    }
    v->event = event_of_info(info); /* without bit 12, which is undefined there */
    v->event.error = (uint32_t)vmread(IDT_VECTORING_ERROR);
    v->event.length = (uint8_t)vmread(EXIT_INSTR_LENGTH);
    if (v->event.type == EVENT_NMI) { /* or the entry would be refused (SDM 3, 26.3.1.5) */
        vmwrite(GUEST_INTERRUPTIBILITY, vmread(GUEST_INTERRUPTIBILITY) & ~(uint64_t)BLOCKING_NMI);
    }
}

/* An IRET that exits has ended the blocking of NMIs too early: it will be executed again
 * (SDM 3, 27.2.3). */
static void block_nmi_again(const struct vcpu *v, uint64_t exit_info)
{
    if ((exit_info & NMI_UNBLOCKED) && !v->event.due) {
        vmwrite(GUEST_INTERRUPTIBILITY, vmread(GUEST_INTERRUPTIBILITY) | BLOCKING_NMI);
    }
}

/*
 * Nothing was executed, so no trap is due for it. Bochs 2.7 saves one all the same; hardware does
 * so only where the entry demands it, beside interrupt blocking (SDM 3, 26.3.1.5).
 */
static void forget_trap(void)
{
    if (vmread(GUEST_PENDING_DEBUG) &&
        !(vmread(GUEST_INTERRUPTIBILITY) & (BLOCKING_STI | BLOCKING_MOVSS))) {
        vmwrite(GUEST_PENDING_DEBUG, 0);
    }
}

static void violation(struct vcpu *v, struct vcpu_exit *e)
{
    uint64_t q = vmread(EXIT_QUALIFICATION);

    e->violation.gpa = gpa(vmread(GUEST_PHYSICAL));
    e->violation.gla = vmread(GUEST_LINEAR);
    e->violation.rights = (q & VIOLATION_READ ? RIGHT_R : 0) |
                          (q & VIOLATION_WRITE ? RIGHT_R | RIGHT_W : 0) |
                          (q & VIOLATION_FETCH ? RIGHT_X : 0);
    e->violation.gla_valid = q & VIOLATION_GLA;
    e->violation.walk = (q & VIOLATION_GLA) && !(q & VIOLATION_FINAL);
    block_nmi_again(v, q);
    forget_trap();
}

static void exception(struct vcpu *v, struct vcpu_exit *e)
{
    uint32_t info = (uint32_t)vmread(EXIT_INTR_INFO);
    uint64_t q = vmread(EXIT_QUALIFICATION);

    if (INTR_TYPE(info) == EVENT_NMI) {
        e->kind = VCPU_EXIT_NMI;
        return;
    }
    e->exception.event = event_of_info(info);
    e->exception.event.error = (uint32_t)vmread(EXIT_INTR_ERROR);
    e->exception.event.length = (uint8_t)vmread(EXIT_INSTR_LENGTH);
    e->exception.event.cr2 = q;
    e->exception.pending = q;
    block_nmi_again(v, info);
}

static void interrupt(struct vcpu *v, struct vcpu_exit *e)
{
    (void)v;
    e->vector = INTR_VECTOR(vmread(EXIT_INTR_INFO));
}

/* SDM 3, table 27-3. */
static void cr_access(struct vcpu *v, struct vcpu_exit *e)
{
    uint64_t q = vmread(EXIT_QUALIFICATION);

    (void)v;
    e->cr.cr = q & 0xf;
    e->cr.access = q >> 4 & 3;
    e->cr.gpr = q >> 8 & 0xf;
    e->cr.msw = (uint16_t)(q >> 16);
}
_Static_assert(CR_MOV_TO == 0 && CR_MOV_FROM == 1 && CR_CLTS == 2 && CR_LMSW == 3, "table 27-3");

/* Of INS and OUTS: SDM 3, table 27-9. INS always writes to ES. */
static void io(struct vcpu *v, struct vcpu_exit *e)
{
    static const uint8_t address_sizes[] = {2, 4, 8, 8};
    uint64_t q = vmread(EXIT_QUALIFICATION), information;

    (void)v;
    e->io.port = (uint16_t)(q >> 16);
    e->io.size = IO_SIZE(q);
    e->io.in = q & IO_IN;
    e->io.string = q & IO_STRING;
    if (e->io.string) {
        e->io.rep = q & IO_REP;
        information = vmread(EXIT_INSTR_INFO);
        e->io.address_size = address_sizes[information >> 7 & 3];
        e->io.segment = e->io.in ? SEG_ES : information >> 15 & 7;
    }
}

/* SDM 3, tables 27-11 and 27-12: which instruction it is. */
static void descriptor(struct vcpu *v, struct vcpu_exit *e)
{
    uint32_t information = (uint32_t)vmread(EXIT_INSTR_INFO);
    bool other = information >> 28 & 1, tables = e->reason == EXIT_REASON_GDTR_IDTR;

    (void)v;
    e->descriptor.which = tables  ? other ? DESCRIPTOR_IDTR : DESCRIPTOR_GDTR
                          : other ? DESCRIPTOR_TR
                                  : DESCRIPTOR_LDTR;
    e->descriptor.write = information >> 29 & 1;
    e->descriptor.information = information;
    forget_trap();
}

/* SDM 3, table 27-2. */
static void task(struct vcpu *v, struct vcpu_exit *e)
{
    uint64_t q = vmread(EXIT_QUALIFICATION);

    (void)v;
    e->task.selector = (uint16_t)q;
    e->task.source = q >> 30 & 3;
}

/* What is not here cannot be with the controls as they are. */
static const struct decode {
    uint8_t known, kind;
    void (*details)(struct vcpu *v, struct vcpu_exit *e);
} decodes[] = {
    [EXIT_REASON_EXCEPTION_NMI] = {1, VCPU_EXIT_EXCEPTION, exception},
    [EXIT_REASON_EXTERNAL_INTERRUPT] = {1, VCPU_EXIT_INTERRUPT, interrupt},
    [EXIT_REASON_TRIPLE_FAULT] = {1, VCPU_EXIT_SHUTDOWN, NULL},
    [EXIT_REASON_INTERRUPT_WINDOW] = {1, VCPU_EXIT_WINDOW, NULL},
    [EXIT_REASON_NMI_WINDOW] = {1, VCPU_EXIT_WINDOW, NULL},
    [EXIT_REASON_TASK_SWITCH] = {1, VCPU_EXIT_TASK, task},
    [EXIT_REASON_CPUID] = {1, VCPU_EXIT_CPUID, NULL},
    [EXIT_REASON_HLT] = {1, VCPU_EXIT_HALT, NULL},
    [EXIT_REASON_INVD] = {1, VCPU_EXIT_CACHES, NULL},
    [EXIT_REASON_RDPMC] = {1, VCPU_EXIT_PRIVILEGED, NULL},
    [EXIT_REASON_VMCALL] = {1, VCPU_EXIT_HYPERCALL, NULL},
    [EXIT_REASON_VMCLEAR] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_VMLAUNCH] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_VMPTRLD] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_VMPTRST] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_VMREAD] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_VMRESUME] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_VMWRITE] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_VMOFF] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_VMON] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_CR_ACCESS] = {1, VCPU_EXIT_CR, cr_access},
    [EXIT_REASON_IO_INSTRUCTION] = {1, VCPU_EXIT_IO, io},
    [EXIT_REASON_MSR_READ] = {1, VCPU_EXIT_RDMSR, NULL},
    [EXIT_REASON_MSR_WRITE] = {1, VCPU_EXIT_WRMSR, NULL},
    [EXIT_REASON_MWAIT_INSTRUCTION] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_MONITOR_TRAP_FLAG] = {1, VCPU_EXIT_STEPPED, NULL},
    [EXIT_REASON_MONITOR_INSTRUCTION] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_GDTR_IDTR] = {1, VCPU_EXIT_DESCRIPTOR, descriptor},
    [EXIT_REASON_LDTR_TR] = {1, VCPU_EXIT_DESCRIPTOR, descriptor},
    [EXIT_REASON_EPT_VIOLATION] = {1, VCPU_EXIT_VIOLATION, violation},
    [EXIT_REASON_EPT_MISCONFIG] = {1, VCPU_EXIT_BROKEN, NULL},
    [EXIT_REASON_INVEPT] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_PREEMPTION_TIMER] = {1, VCPU_EXIT_SLICE, NULL},
    [EXIT_REASON_INVVPID] = {1, VCPU_EXIT_UNDEFINED, NULL},
    [EXIT_REASON_WBINVD] = {1, VCPU_EXIT_CACHES, NULL},
    [EXIT_REASON_XSETBV] = {1, VCPU_EXIT_XSETBV, NULL},
    [EXIT_REASON_VMFUNC] = {1, VCPU_EXIT_UNDEFINED, NULL},
};

static __attribute__((noinline)) enum vcpu_exit_kind decode(struct vcpu *v, struct vcpu_exit *e)
{
    const struct decode *d = e->reason < ARRAY_SIZE(decodes) ? &decodes[e->reason] : NULL;

    if (e->reason & ENTRY_FAILED) {
        return VCPU_EXIT_REFUSED;
    }
    requeue(v);
    if (!d || !d->known) {
        return VCPU_EXIT_BROKEN;
    }
    e->kind = (enum vcpu_exit_kind)d->kind;
    if (d->details) {
        d->details(v, e);
    }
    return e->kind;
}

/* No exit as others are: there was none, or others wanted something of the vCPU as it came out. */
static __attribute__((noinline)) enum vcpu_exit_kind interfered(struct vcpu *v, struct vcpu_exit *e,
                                                                enum smp_exit how)
{
    enum vcpu_exit_kind kind;

    if (how == SMP_EXIT_NEVER) {
        e->reason = (uint32_t)vmread(INSTRUCTION_ERROR);
        return VCPU_EXIT_REFUSED;
    }
    if (vmx_of(v)->vmfunc_on) {
        vmx_sync_view(v);
    }
    e->reason = (uint32_t)vmread(EXIT_REASON);
    kind = how == SMP_EXIT_DROPPED ? VCPU_EXIT_WINDOW : decode(v, e);
    return vcpu_exit_again(kind) ? VCPU_EXIT_WINDOW : kind;
}

/* The exit concerned v alone, and is done. */
static bool own_exit(struct vcpu *v)
{
    uint64_t reason = vmread(EXIT_REASON);

    if ((reason != EXIT_REASON_CPUID && reason != EXIT_REASON_VMCALL) ||
        !vcpu_exit_own(v, reason == EXIT_REASON_CPUID ? VCPU_EXIT_CPUID : VCPU_EXIT_HYPERCALL)) {
        return false;
    }
    vmx_skip(v, 0);
    return true;
}

static __attribute__((noinline)) enum smp_exit enter_with_others(struct vcpu *v, struct vmx_vcpu *x)
{
    enum smp_exit how;
    bool failed;

    remote_enter(v);
    smp_leave();
    for (unsigned left = OWN_EXITS;; left--) {
        failed = vmx_enter(&v->regs, x->launched);
        x->launched = true; /* until it is unloaded, which can be when others come in here */
        if (failed || left == 0 || !own_exit(v)) {
            break;
        }
    }
    how = smp_back();
    return failed ? SMP_EXIT_NEVER : how;
}

/* Enters, and tells why the guest stopped; the details are in *e. */
__attribute__((always_inline)) static inline enum vcpu_exit_kind run(struct vcpu *v,
                                                                     struct vcpu_exit *e)
{
    struct vmx_vcpu *x = vmx_of(v);
    enum smp_exit how;

    if (v->event.due) {
        deliver(v);
    }
    if (v->altp2m_changed) {
        follow(v);
    }
    if (__builtin_expect(smp_on, 0)) {
        how = enter_with_others(v, x);
    } else {
        how = vmx_enter(&v->regs, x->launched) ? SMP_EXIT_NEVER : SMP_EXIT;
        x->launched = true;
    }
    if (__builtin_expect(how != SMP_EXIT, 0)) {
        return interfered(v, e, how);
    }
    if (x->vmfunc_on) {
        vmx_sync_view(v);
    }
    e->reason = (uint32_t)vmread(EXIT_REASON);
    /* The most frequent one; no event is in flight. */
    return e->reason == EXIT_REASON_VMCALL ? VCPU_EXIT_HYPERCALL : decode(v, e);
}

extern inline void vmx_run(struct vcpu *v, struct vcpu_exit *e);

__attribute__((always_inline)) inline void vmx_run(struct vcpu *v, struct vcpu_exit *e)
{
    e->kind = run(v, e);
}
