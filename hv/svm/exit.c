/* SPDX-License-Identifier: MIT */
/* What the VMCB tells of an exit (APM 2, 15.9 to 15.25 and appendix C). */
#include "svm.h"
#include "guest/xen_abi.h"
#include "x86/code.h"
#include "x86/cpu.h"
#include "x86/debug.h"

#define ERROR_EXTERNAL (1u << 0) /* of an error code: not what the instruction itself did */

/*
 * Bochs 2.7 tells of a #GP that INT n raises, and that exits, as if it had come in the delivery of
 * itself. All exit, so that one is only delivered if it was injected; and what comes of that has an
 * error code that says so.
 */
static bool is_own_cause(const struct vmcb *b, bool gp_injected)
{
    return b->exit_code == SVM_EXCEPTION + EXC_GP &&
           (b->exit_int_info & 0x7ff) == (EVENT_HARDWARE << 8 | EXC_GP) &&
           (!gp_injected || (svm_features.external && !(b->exit_info1 & ERROR_EXTERNAL)));
}

/* An event whose delivery the exit broke off is due again. */
static __attribute__((noinline)) void requeue(struct vcpu *v, struct svm_vcpu *x)
{
    struct vmcb *b = x->vmcb;
    unsigned advanced = x->advanced;
    bool gp_injected = x->gp_injected;

    x->advanced = 0;
    x->gp_injected = false;
    if (is_own_cause(b, gp_injected)) {
        return;
    }
    v->event = event_of_info((uint32_t)b->exit_int_info);
    v->event.error = (uint32_t)(b->exit_int_info >> 32);
    if (v->event.type == EVENT_EXTERNAL && v->event.vector == EXC_VE) {
        v->event.type = EVENT_HARDWARE; /* see inject() */
    }
    if (v->event.type == EVENT_NMI) {
        svm_set(v, VCPU_BLOCKING, svm_get(v, VCPU_BLOCKING) & ~(uint64_t)BLOCKING_NMI);
    } else if (advanced) { /* it was injected: back to the instruction */
        b->rip -= advanced;
        v->event.length = (uint8_t)advanced;
        v->event.type = x->injected_type;
    } else if (v->event.type == EVENT_SOFTWARE || v->event.vector == EXC_BP ||
               v->event.vector == EXC_OF) { /* the guest's own, not done yet */
        v->event = vcpu_code_int(v);
    }
}

/*
 * Instructions that exit and may be skipped. Where the processor does not save what comes next it
 * is found out at once: who handles the exit may move the vCPU to where the code cannot be fetched.
 */
static void note_length(struct vcpu *v, struct svm_vcpu *x, unsigned code)
{
    if (!svm_features.next_rip && code != SVM_NPF && code != SVM_INTR && code != SVM_VINTR &&
        code != SVM_EXCEPTION + EXC_PF) {
        x->length = (uint8_t)vcpu_code_length(v);
    }
}

#define LENGTH_MAX 15u

unsigned svm_length(const struct vcpu *v)
{
    const struct svm_vcpu *x = svm_of(v);
    const struct vmcb *b = x->vmcb;

    if (x->length) {
        return x->length;
    }
    return b->next_rip - b->rip - 1 < LENGTH_MAX ? (unsigned)(b->next_rip - b->rip) : 0;
}

void svm_tell_violation(struct vcpu_exit *e, const struct vmcb *b, bool delivering)
{
    uint64_t i = b->exit_info1;

    if (i & NPF_RESERVED && i & NPF_PRESENT) {
        e->kind = VCPU_EXIT_BROKEN;
        return;
    }
    if (delivering && i & NPF_FETCH) {
        e->kind = VCPU_EXIT_SLICE; /* as planned: see without_code() */
        return;
    }
    e->kind = VCPU_EXIT_VIOLATION;
    e->violation.gpa = gpa(b->exit_info2);
    e->violation.gla = 0;
    e->violation.gla_valid = false;
    e->violation.walk = i & NPF_WALK;
    e->violation.rights = (uint8_t)(i & NPF_WALK ? RIGHT_R /* counted as a write, whatever it is */
                                    : i & NPF_FETCH ? RIGHT_X
                                    : i & NPF_WRITE ? RIGHT_R | RIGHT_W
                                                    : RIGHT_R);
}

/*
 * Bochs 2.7 leaves DR6 as it was where #DB is intercepted, which the first step shows. Then TF
 * tells of a step, RIP of an instruction's breakpoint, and the code there of an access to a debug
 * register that DR7.GD guards; which of several on data it was cannot be told.
 */
static uint32_t debug_causes(struct vcpu *v, const struct vmcb *b)
{
    static enum { UNKNOWN, CHANGES, STAYS } dr6;
    uint32_t causes = (uint32_t)b->dr6 & DR6_CAUSES, code = 0, data = 0;

    if (dr6 == UNKNOWN) { /* boot's own step: later, what old traps left looks like new causes */
        dr6 = causes ? CHANGES : STAYS;
    }
    if (dr6 == CHANGES) {
        return causes;
    }
    for (unsigned n = 0; n < 4; n++) {
        if (dr7_enables(b->dr7, n)) {
            bool executes = dr7_kind(b->dr7, n) == DR7_EXECUTES;

            code |= executes && read_dr(n) == b->cs.base + b->rip ? 1u << n : 0;
            data |= !executes ? 1u << n : 0;
        }
    }
    if ((b->dr7 & DR7_GD) && vcpu_code_is_dr(v)) {
        return code | DR6_BD;
    }
    /* POPF may have cleared TF, whose trap it still is. */
    return code ? code : (b->rflags & X86_EFLAGS_TF) || !data ? TRAP_BS : data;
}

/* VMRUN to INVLPGA, but for VMMCALL. */
static bool is_own(struct vcpu *v)
{
    struct code c;
    uint8_t modrm;

    vcpu_code_begin(v, &c);
    modrm = code_byte(&c, 2);
    return code_byte(&c, 0) == 0x0f && code_byte(&c, 1) == 0x01 && (modrm & 0xf8) == 0xd8 &&
           modrm != 0xd9;
}

/* Where an entry delivers and does nothing else (without_code()), and the handler's page is not in
 * the mirror yet. */
static bool is_first_fetch(const struct vmcb *b)
{
    return (b->exit_info1 & PF_FETCH) && !(b->exit_int_info & EVENT_INFO_VALID);
}

/* Those are #UD without EFER.SVME, which a guest does not have; the processor does, and looks at
 * CPL and at the address in RAX first. */
static bool is_undefined(struct vcpu *v, const struct vmcb *b, unsigned vector)
{
    return vector == EXC_GP && b->exit_info1 == 0 && !v->event.due && is_own(v);
}

static void exception(struct vcpu *v, struct vcpu_exit *e, unsigned vector)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    if (is_undefined(v, b, vector)) {
        e->kind = VCPU_EXIT_UNDEFINED;
        return;
    }
    if (svm_of(v)->delivering && vector == EXC_PF && is_first_fetch(b)) {
        e->kind = VCPU_EXIT_SLICE;
        return;
    }
    e->kind = svm_of(v)->mirrored && vector == EXC_PF ? VCPU_EXIT_MIRROR : VCPU_EXIT_EXCEPTION;
    e->exception.pending = vector == EXC_DB ? debug_causes(v, b) : 0;
    e->exception.event = (struct event){
        .vector = (uint8_t)vector,
        .type = vector == EXC_BP || vector == EXC_OF ? EVENT_SW_EXC : EVENT_HARDWARE,
        .due = true,
        .has_error = vcpu_pushes_error(vector) && (b->cr0 & X86_CR0_PE),
        .error = (uint32_t)b->exit_info1,
        .with_cr2 = vector == EXC_PF,
        .cr2 = b->exit_info2,
    };
    if (e->exception.event.type == EVENT_SW_EXC) {
        e->exception.event.length = (uint8_t)svm_length(v);
    }
}

static void icebp(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    (void)code;
    e->kind = VCPU_EXIT_EXCEPTION;
    e->exception.pending = 0;
    e->exception.event = (struct event){
        .vector = EXC_DB, .type = EVENT_PRIV_SW, .length = (uint8_t)svm_length(v), .due = true};
}

/* INT n exits only where INT3 is watched and exits no other way. */
static void software_interrupt(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    struct event event = vcpu_code_int(v);

    (void)code;
    if (event.type == EVENT_SOFTWARE) {
        e->kind = VCPU_EXIT_WINDOW;
        v->event = event;
    } else {
        e->kind = VCPU_EXIT_EXCEPTION;
        e->exception.pending = 0;
        e->exception.event = event;
    }
}

static void io(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    uint64_t i = svm_of(v)->vmcb->exit_info1;

    (void)code;
    e->kind = VCPU_EXIT_IO;
    e->io.port = IOIO_PORT(i);
    e->io.size = (uint8_t)IOIO_SIZE(i);
    e->io.in = i & IOIO_IN;
    e->io.string = i & IOIO_STRING;
    e->io.rep = i & IOIO_REP;
    if (e->io.string) {
        vcpu_code_string(v, e);
    }
}

/* Bochs 2.7 has EFER.LMA follow what is written to CR0.PG before the write exits. */
static void write_not_done(struct vmcb *b)
{
    b->efer &= ~(uint64_t)EFER_LMA;
    b->efer |= (b->efer & EFER_LME) && (b->cr0 & X86_CR0_PG) ? EFER_LMA : 0;
}

/* With decode assists MOV is told, which the code there need not be any more. */
static void control(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    uint64_t i = svm_of(v)->vmcb->exit_info1;

    e->kind = VCPU_EXIT_CR;
    e->cr.cr = code & 0xf;
    if (code == SVM_CR_WRITE) {
        write_not_done(svm_of(v)->vmcb);
    }
    if (svm_features.decodes && (i & CR_MOV)) {
        e->cr.gpr = CR_GPR(i);
        e->cr.access = code < SVM_CR_WRITE ? CR_MOV_FROM : CR_MOV_TO;
    } else {
        vcpu_code_cr(v, e);
    }
}

/* No guest can load such a CS, but QEMU 7.2's SYSENTER does where 32-bit code executes it in long
 * mode. */
static bool is_of_two_sizes(const struct vmcb *b)
{
    return (b->efer & EFER_LMA) && (b->cs.attributes & AR_LONG >> 4) &&
           (b->cs.attributes & AR_DB >> 4);
}

/* QEMU 7.2 ends a guest like this, too, that sets a reserved bit of CR3: that is to be #GP. */
static void refused(struct vcpu *v, struct vcpu_exit *e)
{
    struct svm_vcpu *x = svm_of(v);

    e->kind = VCPU_EXIT_REFUSED;
    if (is_of_two_sizes(x->vmcb)) {
        x->vmcb->cs.attributes &= (uint16_t) ~(AR_DB >> 4);
        svm_dirty(x, CLEAN_SEGMENTS);
        e->kind = VCPU_EXIT_WINDOW;
    } else if (vcpu_code_is_cr3_load(v)) {
        x->vmcb->exit_info1 = 0;
        control(v, e, SVM_CR_WRITE + 3);
    }
}

static void table(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    static const uint8_t which[] = {VM_EVENT_DESC_IDTR, VM_EVENT_DESC_GDTR, VM_EVENT_DESC_LDTR,
                                    VM_EVENT_DESC_TR};

    (void)v;
    e->kind = VCPU_EXIT_DESCRIPTOR;
    e->descriptor.which = which[(code - SVM_IDTR_READ) & 3];
    e->descriptor.write = code - SVM_IDTR_READ >= 4;
    e->descriptor.information = 0;
}

static void task(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    const struct vmcb *b = svm_of(v)->vmcb;

    (void)code;
    e->kind = VCPU_EXIT_TASK;
    e->task.selector = (uint16_t)b->exit_info1;
    e->task.source = v->event.due                   ? TASK_GATE
                     : b->exit_info2 & TASK_BY_IRET ? TASK_IRET
                     : b->exit_info2 & TASK_BY_JUMP ? TASK_JMP
                                                    : TASK_CALL;
}

/* Exits that their number tells all of; 0 of any other. */
static inline uint8_t plain(unsigned code)
{
    static const uint8_t kinds[] = {
        [SVM_INIT] = VCPU_EXIT_WINDOW,       [SVM_NMI] = VCPU_EXIT_NMI,
        [SVM_RDPMC] = VCPU_EXIT_PRIVILEGED,  [SVM_CPUID] = VCPU_EXIT_CPUID,
        [SVM_INVD] = VCPU_EXIT_CACHES,       [SVM_WBINVD] = VCPU_EXIT_CACHES,
        [SVM_HLT] = VCPU_EXIT_HALT,          [SVM_IRET] = VCPU_EXIT_IRET,
        [SVM_PAUSE] = VCPU_EXIT_PAUSE,       [SVM_INVLPGA] = VCPU_EXIT_UNDEFINED,
        [SVM_SHUTDOWN] = VCPU_EXIT_SHUTDOWN, [SVM_VMRUN] = VCPU_EXIT_UNDEFINED,
        [SVM_VMLOAD] = VCPU_EXIT_UNDEFINED,  [SVM_VMSAVE] = VCPU_EXIT_UNDEFINED,
        [SVM_STGI] = VCPU_EXIT_UNDEFINED,    [SVM_CLGI] = VCPU_EXIT_UNDEFINED,
        [SVM_SKINIT] = VCPU_EXIT_UNDEFINED,  [SVM_MONITOR] = VCPU_EXIT_UNDEFINED,
        [SVM_MWAIT] = VCPU_EXIT_UNDEFINED,   [SVM_MWAIT_ARMED] = VCPU_EXIT_UNDEFINED,
        [SVM_XSETBV] = VCPU_EXIT_XSETBV,     [SVM_INVLPG] = VCPU_EXIT_INVLPG,
        [SVM_INVPCID] = VCPU_EXIT_INVLPG,
    };
    _Static_assert(VCPU_EXIT_HYPERCALL == 0, "0 stands for none");

    return code < ARRAY_SIZE(kinds) ? kinds[code] : 0;
}

/* The machine's: taken as soon as it could be. */
static void interrupt(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    (void)v;
    (void)code;
    __asm__ volatile("sti; nop; cli" : : : "memory");
    e->kind = VCPU_EXIT_INTERRUPT;
    e->vector = 0;
}

static void window(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    (void)code;
    e->kind = VCPU_EXIT_WINDOW;
    svm_windows(v, false, false);
}

static void msr(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    (void)code;
    e->kind = svm_of(v)->vmcb->exit_info1 & 1 ? VCPU_EXIT_WRMSR : VCPU_EXIT_RDMSR;
}

static void call(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    (void)code;
    e->kind = VCPU_EXIT_HYPERCALL;
    svm_of(v)->length = svm_features.vmmcall_length;
}

/* Those with details. What is in neither table cannot be with the intercepts as they are. */
static void (*const details[])(struct vcpu *v, struct vcpu_exit *e, unsigned code) = {
    [SVM_CR_READ... SVM_CR_WRITE + 15] = control,
    [SVM_INTR] = interrupt,
    [SVM_VINTR] = window,
    [SVM_IDTR_READ... SVM_TR_WRITE] = table,
    [SVM_INTN] = software_interrupt,
    [SVM_IOIO] = io,
    [SVM_MSR] = msr,
    [SVM_TASK] = task,
    [SVM_VMMCALL] = call,
    [SVM_ICEBP] = icebp,
};

static __attribute__((noinline)) void tell_more(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    if (code - SVM_EXCEPTION < 32) {
        exception(v, e, code - SVM_EXCEPTION);
    } else if (code < ARRAY_SIZE(details) && details[code]) {
        details[code](v, e, code);
    } else if (code == SVM_NPF) {
        svm_tell_violation(e, svm_of(v)->vmcb, svm_of(v)->delivering);
    } else if (code == SVM_INVALID) {
        refused(v, e);
    } else {
        e->kind = VCPU_EXIT_BROKEN;
    }
}

static __attribute__((noinline)) void tell_any(struct vcpu *v, struct vcpu_exit *e, unsigned code)
{
    struct svm_vcpu *x = svm_of(v);

    if (x->vmcb->exit_int_info & EVENT_INFO_VALID) {
        requeue(v, x);
    }
    note_length(v, x, code);
    if (e->kind == 0) {
        tell_more(v, e, code);
    }
}

/* Calls come last, that most exits have nothing to keep for behind them. */
void svm_tell(struct vcpu *v, struct vcpu_exit *e)
{
    struct svm_vcpu *x = svm_of(v);
    const struct vmcb *b = x->vmcb;
    unsigned code = (unsigned)b->exit_code;

    e->reason = code;
    e->kind = (enum vcpu_exit_kind)plain(code);
    x->length = 0; /* the processor tells it */
    if (!svm_features.next_rip || (b->exit_int_info & EVENT_INFO_VALID)) {
        tell_any(v, e, code);
    } else if (e->kind == 0) {
        tell_more(v, e, code);
    }
}

void svm_tell_pending(struct svm_vcpu *x, struct vcpu_exit *e)
{
    e->kind = VCPU_EXIT_EXCEPTION;
    e->reason = SVM_EXCEPTION + EXC_DB;
    e->exception.event = (struct event){.vector = EXC_DB, .type = EVENT_HARDWARE, .due = true};
    e->exception.pending = x->pending & (TRAP_BS | 0xf);
    x->pending = 0;
}
