/* SPDX-License-Identifier: MIT */
/* One entry into the guest and what its exit asks for (SDM 3, appendix C). */
#include <asm/vmx.h>
#include <facet/check.h>
#include "guest/xen_abi.h"
#include "domain.h"
#include "emulate.h"
#include "io.h"
#include "lib/console.h"
#include "monitor.h"
#include "step.h"
#include "vmcs.h"
#include "vmx.h"
#include "x86/cpu.h"
#include "x86/stretch.h"
#include "x86/hand.h"

#define ENTRY_FAILED (1u << 31)

/* Exit qualification of an EPT violation: SDM 3, table 27-7. */
#define VIOLATION_READ  (1u << 0)
#define VIOLATION_WRITE (1u << 1)
#define VIOLATION_FETCH (1u << 2)
#define VIOLATION_GLA   (1u << 7)  /* the guest linear address is valid */
#define VIOLATION_FINAL (1u << 8)  /* the access itself, not that to a paging structure */
#define NMI_UNBLOCKED   (1u << 12) /* by IRET; the same bit in EXIT_INTR_INFO (SDM 3, 27.2.2) */

#define DR6_BD (1u << 13)
#define DR6_BS (1u << 14)
#define DR7_GD (1u << 13)

static void external_interrupt(void)
{
    unsigned vector = INTR_VECTOR(vmread(EXIT_INTR_INFO));

    if (vector == APIC_TIMER_VECTOR) {
        this_cpu()->timer_fired = true;
    }
    if (vector != APIC_SPURIOUS_VECTOR) {
        apic_eoi();
    }
}

static void halt(struct vcpu *v)
{
    vmx_skip_instruction(v);
    if (vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_TF) {
        return; /* the single-step trap wakes it at once */
    }
    if (!vcpu_interrupts_enabled(v)) {
        guest_vcpu_down(v);
    } else if (guest_pending_interrupt(v) < 0 && !guest_nmi_pending(v)) {
        sched_block(v);
    }
}

static void cpuid_exit(struct vcpu *v)
{
    uint32_t leaf = (uint32_t)v->regs.rax, subleaf = (uint32_t)v->regs.rcx;
    const struct vcpu_regs before = v->regs;
    enum monitor_result told;
    struct cpuid_result r;

    if (v->guest.cpuid_faults && vcpu_cpl(v) > 0) {
        vcpu_inject_error(v, EXC_GP, 0);
        return;
    }
    guest_cpuid(v, leaf, subleaf, &r);
    v->regs.rax = r.eax;
    v->regs.rbx = r.ebx;
    v->regs.rcx = r.ecx;
    v->regs.rdx = r.edx;
    if (monitor_wants_cpuid(v)) {
        told = monitor_cpuid(v, (unsigned)vcpu_get(v, VCPU_EXIT_LENGTH), leaf, subleaf);
        if (told == MONITOR_FULL) {
            v->regs = before;
        }
        if (told == MONITOR_FULL || told == MONITOR_PAUSED) {
            return;
        }
    }
    vmx_skip_instruction(v);
}

/*
 * Nothing was executed, so no trap is due for it. Bochs 2.7 saves one all the same; hardware does
 * so only where the entry demands it, beside interrupt blocking (SDM 3, 26.3.1.5).
 */
static void forget_trap(struct vcpu *v)
{
    if (vcpu_get(v, VCPU_PENDING_TRAP) &&
        !(vcpu_get(v, VCPU_BLOCKING) & (BLOCKING_STI | BLOCKING_MOVSS))) {
        vcpu_set(v, VCPU_PENDING_TRAP, 0);
    }
}

static uint32_t access_flags(uint64_t q, unsigned rights)
{
    uint32_t flags = rights; /* RIGHT_* are MEM_ACCESS_R, _W and _X */

    if (q & VIOLATION_GLA) {
        flags |= MEM_ACCESS_GLA_VALID;
        flags |= q & VIOLATION_FINAL ? MEM_ACCESS_FAULT_WITH_GLA : MEM_ACCESS_FAULT_IN_GPT;
    }
    return flags;
}

/*
 * The page walk was denied, and the monitor does not want to know: it is let through, and nothing
 * else is. What the instruction then accesses is told of as ever.
 */
static bool let_walk_through(struct vcpu *v, uint32_t flags)
{
    enum emulate_result r;

    if (!(flags & MEM_ACCESS_FAULT_IN_GPT) || !monitor_skips_walks(v)) {
        return false;
    }
    r = emulate_walk(v);
    if (r == EMULATE_LATER) {
        sched_yield(v); /* another vCPU's is on its way; then the instruction meets it again */
    }
    return r != EMULATE_REFUSED;
}

/*
 * While a walk is let through the access itself meets a restriction of the vCPU's own view: that
 * counts as without. True: nothing is to be told.
 */
static bool decided_without(struct vcpu *v, gpa_t a, uint64_t gla, uint32_t flags)
{
    const struct fault f = {.gfn = gpa_to_gfn(a), .rights = flags & (RIGHT_R | RIGHT_W | RIGHT_X)};
    enum fault_result r;

    vcpu_emulate_stop(v);
    r = altp2m_fault(&v->altp2m, &f, monitor_listens(v->domain));
    if (r == FAULT_CONVERTED) {
        monitor_converted(v, a, gla, flags);
    } else if (r == FAULT_REFUSED) {
        vcpu_inject_error(v, EXC_GP, 0);
    }
    return r != FAULT_DENIED;
}

static void access_denied(struct vcpu *v, gpa_t a, uint64_t gla, uint32_t flags)
{
    if (v->altp2m.lifted && !v->altp2m.lifted_walk) {
        v->vmx.emulate_failed = true;
        return;
    }
    if (v->altp2m.lifted ? decided_without(v, a, gla, flags) : let_walk_through(v, flags)) {
        return;
    }
    if (monitor_mem_access(v, a, gla, flags) == MONITOR_UNWANTED) {
        domain_crash(v->domain, "access %u to gfn %lx denied and nobody listens",
                     flags & (RIGHT_R | RIGHT_W | RIGHT_X), (unsigned long)(a.v >> PAGE_SHIFT));
    }
}

static uint32_t reach_flags(const struct hand_reach *r)
{
    return access_flags((r->gla_valid ? VIOLATION_GLA : 0) | (r->in_walk ? 0 : VIOLATION_FINAL),
                        r->denied);
}

/* True: try again. */
static bool settle(struct vcpu *v, enum hand_answer answer, const struct hand_reach *r)
{
    if (answer == HAND_CONVERTED) {
        monitor_converted(v, r->gpa, r->gla, reach_flags(r));
        return true;
    }
    if (answer == HAND_DENIED) {
        access_denied(v, r->gpa, r->gla, reach_flags(r));
    } else if (answer == HAND_FAULT && r->vector == EXC_PF) {
        vcpu_inject_page_fault(v, r->address, r->error);
    } else if (answer == HAND_FAULT) {
        vcpu_inject_error(v, r->vector, r->error);
    }
    return false;
}

enum hand_answer vmx_reach_quietly(struct vcpu *v, struct hand_reach *r)
{
    enum hand_answer answer;

    do {
        answer = hand_reach(v, r);
    } while (answer != HAND_DONE && answer != HAND_FAULT && settle(v, answer, r));
    return answer;
}

bool vmx_reach(struct vcpu *v, struct hand_reach *r)
{
    enum hand_answer answer = vmx_reach_quietly(v, r);

    if (answer == HAND_FAULT) {
        settle(v, answer, r);
    }
    return answer == HAND_DONE;
}

bool vmx_reach_gpa(struct vcpu *v, gpa_t a, struct hand_reach *r)
{
    enum hand_answer answer;

    do {
        answer = hand_reach_gpa(v, a, r);
    } while (answer != HAND_DONE && settle(v, answer, r));
    return answer == HAND_DONE;
}
_Static_assert(RIGHT_R == MEM_ACCESS_R && RIGHT_W == MEM_ACCESS_W && RIGHT_X == MEM_ACCESS_X,
               "vm_event.h");

/* An IRET that exits has ended the blocking of NMIs too early: it will be executed again
 * (SDM 3, 27.2.3). */
static void block_nmi_again(struct vcpu *v, uint64_t exit_info)
{
    if ((exit_info & NMI_UNBLOCKED) && !(vmread(IDT_VECTORING_INFO) & INTR_VALID)) {
        vcpu_set(v, VCPU_BLOCKING, vcpu_get(v, VCPU_BLOCKING) | BLOCKING_NMI);
    }
}

static void ept_violation(struct vcpu *v)
{
    uint64_t q = vmread(EXIT_QUALIFICATION), address = vmread(GUEST_PHYSICAL);
    struct fault f = {.gfn = gpa_to_gfn(gpa(address))};

    block_nmi_again(v, q);
    f.rights = (q & VIOLATION_READ ? RIGHT_R : 0) | (q & VIOLATION_WRITE ? RIGHT_R | RIGHT_W : 0) |
               (q & VIOLATION_FETCH ? RIGHT_X : 0);
    f.walk = (q & VIOLATION_GLA) && !(q & VIOLATION_FINAL);
    switch (altp2m_fault(&v->altp2m, &f, monitor_listens(v->domain))) {
    case FAULT_RETRY:
        forget_trap(v);
        break;
    case FAULT_UNMAPPED:
        if (v->vmx.inject & INTR_VALID) {
            vcpu_inject_error(v, EXC_GP, 0); /* a stack or descriptor table in a hole */
        } else {
            io_unmapped(v, gpa(address), q);
        }
        break;
    case FAULT_VE:      /* the processor's own, and not asked for */
    case FAULT_REFUSED: /* in the delivery of an exception: #DF, then the end of the domain */
        vcpu_inject_error(v, EXC_GP, 0);
        forget_trap(v);
        break;
    case FAULT_CONVERTED:
        monitor_converted(v, gpa(address), vmread(GUEST_LINEAR), access_flags(q, f.rights));
        forget_trap(v);
        break;
    case FAULT_DENIED:
        access_denied(v, gpa(address), vmread(GUEST_LINEAR), access_flags(q, f.rights));
        forget_trap(v);
        break;
    }
}

/* SDM 3, tables 27-11 and 27-12: which instruction it is. */
static void descriptor_access(struct vcpu *v, bool gdt_or_idt)
{
    uint32_t information = (uint32_t)vmread(EXIT_INSTR_INFO), identity = information >> 28 & 3;
    unsigned which = (gdt_or_idt     ? identity & 1 ? VM_EVENT_DESC_IDTR : VM_EVENT_DESC_GDTR
                      : identity & 1 ? VM_EVENT_DESC_TR
                                     : VM_EVENT_DESC_LDTR);

    /* Unwanted: nobody listens any more, and it does not exit when it runs again. */
    monitor_descriptor(v, which, identity & 2, information, vmread(EXIT_QUALIFICATION));
}

/* An event that was being delivered when the exit happened has to be delivered again
 * (SDM 3, 27.2.4). */
static void requeue_event(struct vcpu *v)
{
    uint32_t info = (uint32_t)vmread(IDT_VECTORING_INFO);

    if (!(info & INTR_VALID)) {
        return;
    }
    v->vmx.inject = info & ~(1u << 12); /* bit 12 is undefined there and reserved at entry */
    v->vmx.inject_error = (uint32_t)vmread(IDT_VECTORING_ERROR);
    v->vmx.inject_length = (uint32_t)vcpu_get(v, VCPU_EXIT_LENGTH);
    if (INTR_TYPE(info) == INTR_NMI) { /* or the entry would be refused (SDM 3, 26.3.1.5) */
        vcpu_set(v, VCPU_BLOCKING, vcpu_get(v, VCPU_BLOCKING) & ~(uint64_t)BLOCKING_NMI);
    }
}

static void crash(struct vcpu *v, const char *what, uint64_t detail)
{
    vmx_dump(v);
    domain_crash(v->domain, "%s (%lx) at rip %lx", what, (unsigned long)detail,
                 (unsigned long)vcpu_get(v, VCPU_RIP));
}

/* A trap that the instruction itself asks for. */
static void int1(struct vcpu *v, uint64_t q)
{
    unsigned length = (unsigned)vcpu_get(v, VCPU_EXIT_LENGTH);
    enum monitor_result told = monitor_debug(v, INTR_PRIV_SW, length, q);

    if (told != MONITOR_PAUSED && told != MONITOR_FULL) {
        v->vmx.inject = INTR_VALID | INTR_PRIV_SW << 8 | EXC_DB;
        v->vmx.inject_length = length;
    }
}

/*
 * #DB leaves DR6 and DR7.GD to whoever intercepts it (SDM 3, 27.1); the qualification says what
 * happened.
 */
static void debug_exception(struct vcpu *v, uint32_t info)
{
    uint64_t q = step_debug(v, vmread(EXIT_QUALIFICATION)), blocking = vcpu_get(v, VCPU_BLOCKING);

    if (INTR_TYPE(info) == INTR_PRIV_SW) {
        int1(v, q);
        return;
    }
    if (!(q & (0xf | DR6_BD | DR6_BS))) {
        return; /* only the step's own trap */
    }
    vcpu_set(v, VCPU_DR6, (vcpu_get(v, VCPU_DR6) & ~0xfULL) | (q & (0xf | DR6_BD | DR6_BS)));
    vcpu_set(v, VCPU_DR7, vcpu_get(v, VCPU_DR7) & ~(uint64_t)DR7_GD);
    vcpu_set(v, VCPU_BLOCKING, blocking & ~(uint64_t)(BLOCKING_STI | BLOCKING_MOVSS));
    if (monitor_debug(v, INTR_HARDWARE, 0, q) !=
        MONITOR_PAUSED) { /* there is room: monitor_room() */
        vcpu_inject(v, EXC_DB);
    }
}

static void breakpoint(struct vcpu *v, uint32_t info)
{
    unsigned length = (unsigned)vcpu_get(v, VCPU_EXIT_LENGTH);

    if (monitor_breakpoint(v, INTR_TYPE(info), length) == MONITOR_UNWANTED) {
        v->vmx.inject = INTR_VALID | INTR_TYPE(info) << 8 | EXC_BP;
        v->vmx.inject_length = length;
    }
}

/* Intercepted only while an instruction is stepped: the guest gets it as if it had not been. */
static void pass_on(struct vcpu *v, uint32_t info)
{
    if (step_interrupts(v, info)) {
        return;
    }
    if (INTR_TYPE(info) != INTR_HARDWARE) { /* INTO */
        v->vmx.inject = INTR_VALID | INTR_TYPE(info) << 8 | INTR_VECTOR(info);
        v->vmx.inject_length = (uint32_t)vcpu_get(v, VCPU_EXIT_LENGTH);
    } else if (INTR_VECTOR(info) == EXC_PF) {
        vcpu_inject_page_fault(v, vmread(EXIT_QUALIFICATION), (uint32_t)vmread(EXIT_INTR_ERROR));
    } else if (info & INTR_ERROR_CODE) {
        vcpu_inject_error(v, INTR_VECTOR(info), (uint32_t)vmread(EXIT_INTR_ERROR));
    } else {
        vcpu_inject(v, INTR_VECTOR(info));
    }
}

/*
 * #DB and #AC are taken from the guest only because a guest can make their delivery raise them
 * again for ever, without an exit (CVE-2015-8104, CVE-2015-5307). #MC is the machine's.
 */
static void exception(struct vcpu *v)
{
    uint32_t info = (uint32_t)vmread(EXIT_INTR_INFO);

    if (INTR_TYPE(info) == INTR_NMI) {
        return; /* the machine's, and nothing here raises one */
    }
    block_nmi_again(v, info);
    switch (INTR_VECTOR(info)) {
    case EXC_DB:
        debug_exception(v, info);
        break;
    case EXC_AC:
        vcpu_inject_error(v, EXC_AC, (uint32_t)vmread(EXIT_INTR_ERROR));
        break;
    case EXC_BP:
        breakpoint(v, info);
        break;
    case EXC_MC:
        fatal("machine check");
    default:
        pass_on(v, info);
    }
}

static void handle(struct vcpu *v, uint32_t reason)
{
    if (reason == EXIT_REASON_VMCALL) { /* the most frequent one; no event is in flight */
        if (guest_hypercall(v)) {
            vmx_skip_instruction(v);
        }
        return;
    }
    requeue_event(v);
    switch (reason) {
    case EXIT_REASON_EXTERNAL_INTERRUPT:
        external_interrupt();
        break;
    case EXIT_REASON_INTERRUPT_WINDOW:
    case EXIT_REASON_NMI_WINDOW:
    case EXIT_REASON_MONITOR_TRAP_FLAG:
        break;
    case EXIT_REASON_PREEMPTION_TIMER: /* the slice is over, as sched_run() will find */
        this_cpu()->timer_fired = true;
        break;
    case EXIT_REASON_CPUID:
        cpuid_exit(v);
        break;
    case EXIT_REASON_HLT:
        halt(v);
        break;
    case EXIT_REASON_CR_ACCESS:
        control_cr_exit(v, vmread(EXIT_QUALIFICATION));
        break;
    case EXIT_REASON_IO_INSTRUCTION:
        io_exit(v);
        break;
    case EXIT_REASON_MSR_READ:
        msr_read_exit(v);
        break;
    case EXIT_REASON_MSR_WRITE:
        msr_write_exit(v);
        break;
    case EXIT_REASON_XSETBV:
        control_xsetbv(v);
        break;
    case EXIT_REASON_EPT_VIOLATION:
        ept_violation(v);
        break;
    case EXIT_REASON_GDTR_IDTR:
    case EXIT_REASON_LDTR_TR:
        descriptor_access(v, reason == EXIT_REASON_GDTR_IDTR);
        break;
    case EXIT_REASON_INVD: /* caches hold other domains' data too: written back or left, never
                              dropped */
    case EXIT_REASON_WBINVD:
        vmx_skip_instruction(v);
        break;
    case EXIT_REASON_RDPMC:
        vcpu_inject_error(v, EXC_GP, 0);
        break;
    case EXIT_REASON_VMCLEAR:
    case EXIT_REASON_VMLAUNCH:
    case EXIT_REASON_VMPTRLD:
    case EXIT_REASON_VMPTRST:
    case EXIT_REASON_VMREAD:
    case EXIT_REASON_VMRESUME:
    case EXIT_REASON_VMWRITE:
    case EXIT_REASON_VMOFF:
    case EXIT_REASON_VMON:
    case EXIT_REASON_INVEPT:
    case EXIT_REASON_INVVPID:
    case EXIT_REASON_VMFUNC:
    case EXIT_REASON_MWAIT_INSTRUCTION:
    case EXIT_REASON_MONITOR_INSTRUCTION:
        vcpu_inject(v, EXC_UD);
        break;
    case EXIT_REASON_TRIPLE_FAULT:
        crash(v, "triple fault", 0);
        break;
    case EXIT_REASON_EXCEPTION_NMI:
        exception(v);
        break;
    case EXIT_REASON_EPT_MISCONFIG:
        crash(v, "EPT misconfiguration", vmread(GUEST_PHYSICAL));
        break;
    case EXIT_REASON_TASK_SWITCH:
        task_switch(v);
        break;
    default:
        crash(v, "unexpected exit", reason);
        break;
    }
}

/*
 * A monitor is told of exits, but for those that are Facet's own affair. True: the exit is not to
 * be handled. External interrupts are the machine's and always are.
 */
static bool tell_exit(struct vcpu *v, uint32_t reason)
{
    uint64_t q = vmread(EXIT_QUALIFICATION);
    enum monitor_result told;

    if (reason == EXIT_REASON_EXTERNAL_INTERRUPT) {
        handle(v, reason);
        monitor_vmexit(v, reason, q);
        return true;
    }
    if (step_is_own(v, reason)) {
        if (!v->vmx.stepped) {
            return false;
        }
        reason = EXIT_REASON_MONITOR_TRAP_FLAG; /* what it stands for */
        q = 0;
    }
    told = monitor_vmexit(v, reason, q);
    if (told != MONITOR_PAUSED) {
        return false;
    }
    requeue_event(v);
    v->vmx.stepped = false;
    return true;
}

/* VMFUNC may have changed the EPT pointer in the VMCS without an exit. */
static void sync_view(struct vcpu *v)
{
    uint64_t eptp = vmread(EPT_POINTER);

    if (eptp != v->vmx.eptp) {
        v->vmx.eptp = eptp;
        v->altp2m.root = mfn((eptp & FORMAT_ADDRESS_MASK) >> PAGE_SHIFT);
        v->altp2m.view = view_of_root(v->altp2m.pm, v->altp2m.root);
        CHECK(!view_eq(v->altp2m.view, VIEW_NONE));
    }
}

static void entry_failed(struct vcpu *v)
{
    vmx_dump(v);
    domain_crash(v->domain, "VM entry refused, instruction error %lu",
                 (unsigned long)vmread(INSTRUCTION_ERROR));
}

static void finish_step(struct vcpu *v, uint32_t reason)
{
    if (v->vmx.emulating) { /* that instruction is nobody's step */
        emulate_finish(v, reason);
        v->vmx.stepped = false;
    }
    step_finish(v);
}

/* What has to be done first; false: v does not run now. */
static bool prepare_special(struct vcpu *v)
{
    if (v->guest.monitor.work && !monitor_before_entry(v)) {
        return false;
    }
    if (v->vmx.monitor_update) {
        step_apply_monitor(v);
    }
    return !v->vmx.needs_room || monitor_room(v);
}

/* Runs the guest until it exits; the reason in *reason. False: the entry failed. Inline: every
 * exit comes by here. */
__attribute__((always_inline)) static inline bool run_guest(struct vcpu *v, uint32_t *reason)
{
    vmx_prepare_entry(v);
#ifdef FACET_DEBUG
    altp2m_check_flushed(&v->domain->physmap);
#endif
    stretch_look();
    if (vmx_enter(&v->regs, v->vmx.launched)) {
        entry_failed(v);
        return false;
    }
    stretch_begin();
    v->vmx.launched = true;
    hand_forget(v);
    if (v->vmx.vmfunc_on) {
        sync_view(v);
    }
    *reason = (uint32_t)vmread(EXIT_REASON);
    return true;
}

static void run_special(struct vcpu *v)
{
    bool stepping;
    uint32_t reason;

    if (!prepare_special(v)) {
        return;
    }
    stepping = v->vmx.stepping || v->vmx.emulating;
    if (stepping) {
        step_arm(v);
    }
    if (!run_guest(v, &reason)) {
        return;
    }
    if (stepping) {
        step_disarm(v, reason);
    }
    if (reason & ENTRY_FAILED) {
        crash(v, "bad guest state at VM entry", reason);
    } else if (!v->vmx.vmexits || !tell_exit(v, reason)) {
        handle(v, reason);
    }
    if (stepping) {
        finish_step(v, reason);
    }
}

void vmx_run_once(struct vcpu *v)
{
    uint32_t reason;

    if (this_cpu()->loaded != v) {
        vmx_vcpu_load(v);
    }
    if (v->vmx.special || v->guest.monitor.work) {
        run_special(v);
        return;
    }
    if (!run_guest(v, &reason)) {
        return;
    }
    if (reason & ENTRY_FAILED) {
        crash(v, "bad guest state at VM entry", reason);
    } else {
        handle(v, reason);
    }
}
