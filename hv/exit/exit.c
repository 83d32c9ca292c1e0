/* SPDX-License-Identifier: MIT */
/* One entry into the guest, and who handles its exit. */
#include "exit/exit.h"
#include <facet/check.h>
#include "domain.h"
#include "exit/emulate.h"
#include "exit/mirror.h"
#include "exit/narrow.h"
#include "exit/orders.h"
#include "exit/pinned.h"
#include "exit/step.h"
#include "exit/walk.h"
#include "guest/xen_abi.h"
#include "vcpu/pins.h"
#include "x86/device.h"
#include "x86/stretch.h"

#define REASON_STEPPED 37u /* VCPU_EXIT_STEPPED, for monitors: struct vcpu_exit's `reason` */

void exit_crash(struct vcpu *v, const char *what, uint64_t detail)
{
    vcpu_dump(v);
    domain_crash(v->domain, "%s (%lx) at rip %lx", what, (unsigned long)detail,
                 (unsigned long)vcpu_get(v, VCPU_RIP));
}

/* ---- the small ones ---- */

static void hypercall(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)e;
    if (guest_hypercall(v)) {
        exit_skip(v, 0);
    }
}

static void interrupt(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)v;
    if (device_note(e->vector)) {
        return;
    }
    if (e->vector == APIC_TIMER_VECTOR) {
        this_cpu()->timer_fired = true;
    }
    if (e->vector && e->vector != APIC_SPURIOUS_VECTOR) {
        apic_eoi();
    }
}

/* The slice is over, as sched_run() will find. */
static void slice_over(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)v, (void)e;
    this_cpu()->timer_fired = true;
}

static void nmi(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)v, (void)e;
    cpu_look_nmi();
}

static void nothing(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)v, (void)e;
}

static void halt(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)e;
    exit_skip(v, 0);
    if (vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_TF) {
        return; /* the single-step trap wakes it at once */
    }
    if (!vcpu_interrupts_enabled(v)) {
        guest_vcpu_down(v);
    } else if (guest_pending_interrupt(v) < 0 && !guest_nmi_pending(v)) {
        sched_block(v);
    }
}

/* NMIs are blocked until it has run, which is seen if it is stepped. */
static void iret(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)e;
    v->exit.unblocking = true;
}

/* Whom it waits for may be another vCPU, that only runs when this one does not. */
static void pause(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)e;
    exit_skip(v, 0);
    sched_yield(v);
}

static void cpuid_exit(struct vcpu *v, const struct vcpu_exit *e)
{
    uint32_t leaf = (uint32_t)v->regs.rax, subleaf = (uint32_t)v->regs.rcx;
    uint64_t rax = v->regs.rax, rbx = v->regs.rbx, rcx = v->regs.rcx, rdx = v->regs.rdx;
    enum monitor_result told;

    (void)e;
    if (v->guest.cpuid_faults && vcpu_cpl(v) > 0) {
        vcpu_inject_error(v, EXC_GP, 0);
        return;
    }
    exit_give_cpuid(v);
    if (monitor_wants_cpuid(v)) {
        told = monitor_cpuid(v, (unsigned)vcpu_get(v, VCPU_EXIT_LENGTH), leaf, subleaf);
        if (told == MONITOR_FULL) {
            v->regs.rax = rax;
            v->regs.rbx = rbx;
            v->regs.rcx = rcx;
            v->regs.rdx = rdx;
        }
        if (told == MONITOR_FULL || told == MONITOR_PAUSED) {
            return;
        }
    }
    exit_skip(v, 0);
}

_Static_assert(DESCRIPTOR_IDTR == VM_EVENT_DESC_IDTR && DESCRIPTOR_GDTR == VM_EVENT_DESC_GDTR &&
                   DESCRIPTOR_LDTR == VM_EVENT_DESC_LDTR && DESCRIPTOR_TR == VM_EVENT_DESC_TR,
               "vm_event.h");

static void descriptor_access(struct vcpu *v, const struct vcpu_exit *e)
{
    if (!pinned_refuses_table(v, e) &&
        monitor_descriptor(v, e->descriptor.which, e->descriptor.write, e->descriptor.information,
                           vcpu_get(v, VCPU_EXIT_DETAIL)) == MONITOR_UNWANTED) {
        pinned_pass(v); /* or it does not exit any more */
    }
}

/* Caches hold other domains' data too: written back or left, never dropped. */
static void leave_caches(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)e;
    exit_skip(v, 0);
}

static void privileged(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)e;
    vcpu_inject_error(v, EXC_GP, 0);
}

static void undefined(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)e;
    vcpu_inject(v, EXC_UD);
}

static void shutdown(struct vcpu *v, const struct vcpu_exit *e)
{
    (void)e;
    exit_crash(v, "triple fault", 0);
}

static void refused(struct vcpu *v, const struct vcpu_exit *e)
{
    exit_crash(v, "VM entry refused", e->reason);
}

static void broken(struct vcpu *v, const struct vcpu_exit *e)
{
    exit_crash(v, "unexpected exit", e->reason);
}

/* ---- all ---- */

static void (*const handlers[VCPU_EXIT_KINDS])(struct vcpu *, const struct vcpu_exit *) = {
    [VCPU_EXIT_HYPERCALL] = hypercall,
    [VCPU_EXIT_VIOLATION] = access_violation,
    [VCPU_EXIT_INTERRUPT] = interrupt,
    [VCPU_EXIT_SLICE] = slice_over,
    [VCPU_EXIT_WINDOW] = nothing,
    [VCPU_EXIT_IRET] = iret,
    [VCPU_EXIT_STEPPED] = nothing,
    [VCPU_EXIT_MIRROR] = mirror_fault,
    [VCPU_EXIT_EXCEPTION] = exception_exit,
    [VCPU_EXIT_NMI] = nmi,
    [VCPU_EXIT_CPUID] = cpuid_exit,
    [VCPU_EXIT_HALT] = halt,
    [VCPU_EXIT_PAUSE] = pause,
    [VCPU_EXIT_CR] = control_exit,
    [VCPU_EXIT_IO] = io_exit,
    [VCPU_EXIT_RDMSR] = msr_read_exit,
    [VCPU_EXIT_WRMSR] = msr_write_exit,
    [VCPU_EXIT_XSETBV] = control_xsetbv,
    [VCPU_EXIT_DESCRIPTOR] = descriptor_access,
    [VCPU_EXIT_INVLPG] = mirror_invlpg,
    [VCPU_EXIT_CACHES] = leave_caches,
    [VCPU_EXIT_PRIVILEGED] = privileged,
    [VCPU_EXIT_UNDEFINED] = undefined,
    [VCPU_EXIT_TASK] = task_exit,
    [VCPU_EXIT_SHUTDOWN] = shutdown,
    [VCPU_EXIT_REFUSED] = refused,
    [VCPU_EXIT_BROKEN] = broken,
};

void exit_handle(struct vcpu *v, const struct vcpu_exit *e)
{
    handlers[e->kind](v, e);
}

/* Runs the guest until it exits. Inline: every exit comes by here. */
__attribute__((always_inline)) static inline void enter(struct vcpu *v, struct vcpu_exit *e)
{
    if (guest_nmi_pending(v) || v->windows || guest_pending_interrupt(v) >= 0) {
        interrupt_offer(v);
    }
#ifdef FACET_DEBUG
    altp2m_check_flushed(&v->domain->physmap);
#endif
    stretch_look();
    VENDOR(run, v, e);
    stretch_begin();
    hand_forget(v);
}

/* ---- what a monitor wants of exits ---- */

/*
 * A monitor is told of exits, but for those that are Facet's own affair. True: the exit is not to
 * be handled. Interrupts are the machine's and always are.
 */
static bool tell_exit(struct vcpu *v, const struct vcpu_exit *e)
{
    uint64_t detail = vcpu_get(v, VCPU_EXIT_DETAIL);
    uint32_t reason = e->reason;

    if (e->kind == VCPU_EXIT_INTERRUPT) {
        interrupt(v, e);
        monitor_vmexit(v, reason, detail);
        return true;
    }
    if (e->kind == VCPU_EXIT_PAUSE) {
        return false;
    }
    if (step_is_own(v, e)) {
        if (!v->exit.stepped) {
            return false;
        }
        reason = REASON_STEPPED; /* what it stands for */
        detail = 0;
    }
    if (monitor_vmexit(v, reason, detail) != MONITOR_PAUSED) {
        return false;
    }
    v->exit.stepped = false;
    return true;
}

/* The event that the next entry delivers. False: v does not run now. */
static bool tell_event(struct vcpu *v)
{
    struct event e;

    return monitor_next_event(v, interrupt_event(v, &e) ? &e : NULL);
}

/* What has to be done first; false: v does not run now. */
static bool prepare_special(struct vcpu *v)
{
    if (v->guest.monitor.work) {
        orders_carry_out(v);
        if (!monitor_before_entry(v) || (monitor_wants_event(v) && !tell_event(v))) {
            return false;
        }
    }
    if (v->event.due) { /* first; then they exit again */
        v->exit.watch_update = v->exit.watch_update || v->exit.passing;
        v->exit.passing = v->exit.unblocking = false;
    }
    if (v->exit.watch_update) {
        step_apply_monitor(v);
    }
    return !v->exit.needs_room || monitor_room(v);
}

/* What ended a step that is for nobody but the hypervisor. */
static bool is_nobodys(struct vcpu *v, const struct vcpu_exit *e, bool own)
{
    return own && !v->exit.stepping && step_is_own(v, e);
}

/* True: without a mirror v would not have come out. */
static bool look_mirror(struct vcpu *v, struct vcpu_exit *e)
{
    const struct vendor_watch *w = &v->exit.watch;

    switch (e->kind) {
    case VCPU_EXIT_MIRROR:
        mirror_look(v, e);
        return e->kind != VCPU_EXIT_VIOLATION;
    case VCPU_EXIT_INVLPG:
        return true;
    case VCPU_EXIT_CR:
        return w->mirror && e->cr.cr == 3 &&
               (e->cr.access == CR_MOV_FROM || (!w->cr3 && !w->cr3_unknown));
    default:
        return false;
    }
}

static __attribute__((noinline)) void once_special(struct vcpu *v)
{
    bool stepping, broke_off, narrowing, own, keeps, mirrors;
    struct pinned_tables tables;
    struct vcpu_exit e;

    if (!prepare_special(v)) {
        return;
    }
    narrowing = v->exit.narrowing;
    if (narrowing && !narrow_open(v)) {
        return;
    }
    own = narrowing || v->exit.unblocking;
    stepping = v->exit.stepping || v->exit.emulating || own || v->exit.passing;
    keeps = v->exit.passing || (v->exit.emulating && pins_tables(v));
    if (keeps) {
        pinned_keep(v, &tables);
    }
    if (stepping) {
        step_arm(v);
    }
    enter(v, &e);
    mirrors = look_mirror(v, &e);
    if (narrowing) {
        narrow_close(v);
    }
    broke_off = v->event.due;
    if (stepping) {
        step_disarm(v, &e);
    }
    if (keeps) {
        pinned_put_back(v, &tables);
        v->exit.watch_update = v->exit.watch_update || v->exit.passing;
        v->exit.passing = false;
    }
    if (v->exit.walks) {
        walk_look(v, &e);
        mirrors = mirrors && e.kind != VCPU_EXIT_VIOLATION;
    }
    if (e.kind == VCPU_EXIT_REFUSED || !v->exit.vmexits || is_nobodys(v, &e, own) || mirrors ||
        !tell_exit(v, &e)) {
        exit_handle(v, &e);
    }
    if (!v->exit.narrowing) {
        v->exit.nr_narrow = 0;
    }
    if (stepping && v->exit.emulating) { /* that instruction is nobody's step, if a monitor
                                            let it through */
        bool nobodys = !v->exit.walks;

        emulate_finish(v, &e, broke_off);
        v->exit.stepped = v->exit.stepped && !nobodys;
    }
    if (stepping) {
        step_finish(v);
    }
}

/* Not inline: it takes registers that the most frequent one does without. */
static __attribute__((noinline)) void handle_rare(struct vcpu *v, const struct vcpu_exit *e)
{
    exit_handle(v, e);
}

void exit_once(struct vcpu *v)
{
    struct vcpu_exit e;

    if (v->exit.special || v->guest.monitor.work) {
        once_special(v);
        return;
    }
    enter(v, &e);
    if (e.kind == VCPU_EXIT_HYPERCALL) { /* the most frequent one */
        hypercall(v, &e);
    } else {
        handle_rare(v, &e);
    }
}
