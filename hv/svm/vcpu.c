/* SPDX-License-Identifier: MIT */
/* A vCPU's VMCB: made, loaded, entered. */
#include <errno.h>
#include <facet/check.h>
#include <facet/hvmop.h>
#include <string.h>
#include "mm/frame.h"
#include "npt.h"
#include "svm.h"
#include "x86/smp.h"

/* So many in a row exit, where the processor counts them (15.14.4); elsewhere each one does. */
#define PAUSES          3000u
#define CR_READS_ALWAYS (1u << 8)
/* There are no masks of bits that are the guest's own, and some emulators check no values. */
#define CR_WRITES_ALWAYS (1u << 0 | 1u << 4 | 1u << 8)
#define MISC1_ALWAYS                                                                               \
    (MISC1_INTR | MISC1_NMI | MISC1_INIT | MISC1_RDPMC | MISC1_CPUID | MISC1_INVD | MISC1_PAUSE |  \
     MISC1_HLT | MISC1_INVLPGA | MISC1_IOIO | MISC1_MSR | MISC1_TASK | MISC1_SHUTDOWN)
#define MISC2_ALWAYS                                                                               \
    (MISC2_OWN | MISC2_WBINVD | MISC2_MONITOR | MISC2_MWAIT | MISC2_ICEBP | MISC2_XSETBV)

_Static_assert(sizeof(struct svm_vcpu) <= sizeof(((struct vcpu *)0)->vendor), "v->vendor has room");

int svm_create(struct vcpu *v)
{
    struct svm_vcpu *x = svm_of(v);
    struct vmcb *b;
    mfn_t m;

    m = frame_alloc(FRAME_OWNER_HV, ORDER_4K);
    if (mfn_eq(m, MFN_INVALID)) {
        return -ENOMEM;
    }
    b = frame_virt(m);
    *x = (struct svm_vcpu){.vmcb = b};
    b->cr_reads = CR_READS_ALWAYS;
    b->cr_writes = CR_WRITES_ALWAYS;
    b->misc1 = MISC1_ALWAYS;
    b->misc2 = MISC2_ALWAYS;
    b->iopm = (uint64_t)svm_io_map;
    b->msrpm = (uint64_t)vendor_msr_usual;
    b->vintr = VINTR_MASKING;
    b->nested = NESTED_PAGING;
    b->pause_count = PAUSES;
    svm_flush(v, MFN_INVALID);
    return 0;
}

void svm_destroy(struct vcpu *v)
{
    frame_put(frame_of(svm_of(v)->vmcb));
    svm_of(v)->vmcb = NULL;
}

void svm_load(struct vcpu *v)
{
    struct svm_vcpu *x = svm_of(v);

    asid_load(v);
    x->host = svm_host();
    write_drs(x->dr);
    if (vendor_caps.tsc_aux) {
        wrmsr(MSR_TSC_AUX, x->tsc_aux);
    }
    svm_dirty(x, CLEAN_ALL);
}

void svm_unload(struct vcpu *v)
{
    struct svm_vcpu *x = svm_of(v);

    read_drs(x->dr);
    if (vendor_caps.tsc_aux) {
        x->tsc_aux = rdmsr(MSR_TSC_AUX);
    }
}

/* The type that VMRUN is told. RIP of a software interrupt is to be behind its instruction by then
 * (15.20). */
static __attribute__((noinline)) unsigned inject_other(struct vcpu *v, struct svm_vcpu *x)
{
    struct vmcb *b = x->vmcb;
    const struct event *e = &v->event;

    if (e->type < EVENT_SOFTWARE) {
        svm_set(v, VCPU_BLOCKING, svm_get(v, VCPU_BLOCKING) | BLOCKING_NMI);
        return EVENT_NMI;
    }
    x->injected_type = e->type;
    x->advanced = e->length;
    b->rip += e->length;
    b->next_rip = b->rip;
    return e->type == EVENT_PRIV_SW ? EVENT_HARDWARE : EVENT_SOFTWARE;
}

static inline void inject(struct vcpu *v, struct svm_vcpu *x)
{
    struct event *e = &v->event;
    unsigned type = EVENT_EXTERNAL;

    x->gp_injected = false;
    if (e->type == EVENT_HARDWARE) {
        x->gp_injected = e->vector == EXC_GP;
        /* #VE as an interrupt: a processor may refuse an exception that it does not know. */
        type = e->vector == EXC_VE ? EVENT_EXTERNAL : EVENT_HARDWARE;
    } else if (e->type != EVENT_EXTERNAL) {
        type = inject_other(v, x);
    }
    if (e->with_cr2) {
        svm_set(v, VCPU_CR2, e->cr2);
    }
    x->vmcb->event = EVENT_INFO_VALID | (uint64_t)e->error << 32 | (e->has_error ? 1u << 11 : 0) |
                     type << 8 | e->vector;
    e->due = false;
}

/* Inline: every exit comes by here. `again`: since the last exit nobody but this file and vmfunc.c
 * did anything, who leave CR2 alone, and RAX in the VMCB as it is to be. */
static inline __attribute__((always_inline)) void cross(struct vcpu *v, struct svm_vcpu *x,
                                                        bool again)
{
    struct vmcb *b = x->vmcb;

    if (!again) {
        b->rax = v->regs.rax;
        write_cr2(b->cr2); /* Bochs 2.7 does not take it from there */
    }
    svm_enter(&v->regs, b, x->host);
    if (x->loses_paging) {
        write_cr0(svm_host_cr0);
    }
    v->regs.rax = b->rax;
    b->clean = svm_features.clean;
}

/* Whose length the processor tells, or that are known to be these two bytes. */
static bool own_instruction(struct vcpu *v, uint8_t first, uint8_t second, enum vcpu_exit_kind kind)
{
    const uint8_t *code = svm_features.next_rip ? NULL : vcpu_code_known(v, 2);

    if (!svm_features.next_rip && (!code || code[0] != first || code[1] != second)) {
        return false;
    }
    svm_of(v)->length = 0;
    if (!vcpu_exit_own(v, kind)) {
        return false;
    }
    svm_skip(v, code ? 2 : 0);
    return true;
}

static bool own_call(struct vcpu *v, struct svm_vcpu *x)
{
    if ((uint32_t)x->vmcb->rax == FACET_ALTP2M_VMMCALL_VIEW) {
        return vmfunc_own(v, x);
    }
    x->length = svm_features.vmmcall_length;
    if (!vcpu_exit_own(v, VCPU_EXIT_HYPERCALL)) {
        return false;
    }
    svm_skip(v, 0);
    return true;
}

/* The exit concerned v alone, and is done. */
static bool own_exit(struct vcpu *v, struct svm_vcpu *x)
{
    const struct vmcb *b = x->vmcb;

    if ((b->exit_int_info & EVENT_INFO_VALID) || (b->rflags & X86_EFLAGS_TF) || x->pending ||
        svm_can_be_interrupted(b)) {
        return false;
    }
    switch (b->exit_code) {
    case SVM_VMMCALL:
        return own_call(v, x);
    case SVM_EXCEPTION + EXC_UD:
        return vmfunc_own(v, x);
    case SVM_CPUID:
        return own_instruction(v, 0x0f, 0xa2, VCPU_EXIT_CPUID);
    case SVM_PAUSE:
        return own_instruction(v, 0xf3, 0x90, VCPU_EXIT_PAUSE);
    default:
        return false;
    }
}

static __attribute__((noinline)) enum smp_exit enter_with_others(struct vcpu *v, struct svm_vcpu *x,
                                                                 bool again, unsigned own)
{
    smp_leave();
    for (cross(v, x, again); own > 0 && own_exit(v, x); own--) {
        cross(v, x, false);
    }
    return smp_back();
}

enum entry { ENTRY, ENTRY_AGAIN, ENTRY_CHANGED }; /* see cross(), asid_change() */

/* own: how many exits in a row may be handled without the big lock. */
static inline __attribute__((always_inline)) enum smp_exit
enter_plain(struct vcpu *v, struct svm_vcpu *x, enum entry how, unsigned own)
{
    if (__builtin_expect(smp_on, 0)) {
        return enter_with_others(v, x, how != ENTRY, own);
    }
    cross(v, x, how != ENTRY);
    return SMP_EXIT;
}

static inline void use_tables(struct vcpu *v, enum entry how)
{
    if (how == ENTRY_CHANGED) {
        asid_change(v);
    } else {
        asid_use(v);
    }
}

/* Nobody else sees the VMCB like that. */
static void cross_mirrored(struct vcpu *v, struct svm_vcpu *x, bool again,
                           const struct mirror_place *mirror)
{
    struct vmcb *b = x->vmcb;
    uint64_t ncr3 = b->ncr3, cr3 = b->cr3;

    b->ncr3 = (uint64_t)mirror->root;
    b->cr3 = mirror->cr3;
    svm_dirty(x, CLEAN_NESTED | CLEAN_CR);
    cross(v, x, again);
    b->ncr3 = ncr3;
    b->cr3 = cr3;
    svm_dirty(x, CLEAN_NESTED | CLEAN_CR);
}

static __attribute__((noinline)) enum smp_exit enter_mirrored(struct vcpu *v, struct svm_vcpu *x,
                                                              enum entry how)
{
    bool stale, mirrored = vcpu_mirror_before(v, &stale);
    struct mirror_place mirror;

    if (stale) {
        svm_flush(v, MFN_INVALID);
    }
    use_tables(v, how);
    if (!mirrored) {
        return enter_plain(v, x, how, 0);
    }
    mirror = vcpu_mirror_place(v, frame_virt(mfn(x->vmcb->ncr3 >> PAGE_SHIFT)));
    if (!smp_on) {
        cross_mirrored(v, x, how != ENTRY, &mirror);
        return SMP_EXIT;
    }
    smp_leave();
    cross_mirrored(v, x, how != ENTRY, &mirror);
    return smp_back();
}

static inline __attribute__((always_inline)) enum smp_exit enter(struct vcpu *v, struct svm_vcpu *x,
                                                                 enum entry how, unsigned own)
{
    if (__builtin_expect(x->mirrored, 0)) {
        return enter_mirrored(v, x, how);
    }
    use_tables(v, how);
    return enter_plain(v, x, how, own);
}

/*
 * Has the entry deliver the event and run no instruction behind it: these tables give what v's do
 * but no code. What is translated through them has v's tag, and is forgotten before and after. Each
 * processor has a root for it.
 */
static void without_code(struct vcpu *v, bool on)
{
    uint64_t *root = svm_spare_root();
    struct svm_vcpu *x = svm_of(v);

    svm_flush(v, MFN_INVALID);
    asid_use(v); /* ncr3 is v's */
    if (on) {
        npt_without_code(root, frame_virt(v->altp2m.root));
        x->vmcb->ncr3 = (uint64_t)root;
    } else {
        x->vmcb->ncr3 = v->altp2m.root.v << PAGE_SHIFT;
    }
    svm_flush(v, MFN_INVALID);
    svm_dirty(x, CLEAN_NESTED);
}

/*
 * QEMU 7.2 remembers an interrupt that it has injected until the guest comes out, and if it leaves
 * its own loop before, as when one of its timers ends, delivers it once more, where the guest then
 * is and whatever its IF. An interrupt of the machine's that waits has the guest come out before
 * its next instruction.
 */
static void deliver_once(const struct svm_vcpu *x)
{
    if (svm_features.redelivers && (x->vmcb->event & 0x700) == EVENT_EXTERNAL << 8) {
        apic_send(this_cpu()->apic_id, APIC_KICK_VECTOR);
    }
}

static inline __attribute__((always_inline)) enum smp_exit enter_event(struct vcpu *v,
                                                                       struct svm_vcpu *x)
{
    bool delivering = x->delivering;
    enum smp_exit how;

    inject(v, x);
    if (delivering) {
        without_code(v, true);
    } else {
        deliver_once(x);
    }
    how = enter(v, x, ENTRY, 0);
    x->vmcb->event = 0;
    if (delivering) {
        without_code(v, false);
    }
    return how;
}

/*
 * An exception in a double fault's delivery is a triple fault, which Bochs 2.7 does not turn into
 * an exit; one in that of a software interrupt is a fault of its instruction, and RIP is behind it
 * (inject_other()). So all are intercepted meanwhile; those of the handler are the guest's again.
 */
static enum smp_exit enter_watched(struct vcpu *v, struct svm_vcpu *x)
{
    struct vmcb *b = x->vmcb;
    enum smp_exit how;

    b->exceptions = ~0u;
    svm_dirty(x, CLEAN_INTERCEPTS);
    how = enter_event(v, x);
    b->exceptions = x->exceptions;
    svm_dirty(x, CLEAN_INTERCEPTS);
    return how;
}

/* A #PF may be the mirror's: who handles that tells. */
static bool is_triple_fault(const struct svm_vcpu *x)
{
    const struct vmcb *b = x->vmcb;

    if (x->mirrored && b->exit_code == SVM_EXCEPTION + EXC_PF) {
        return false;
    }
    return (b->exit_int_info & EVENT_INFO_VALID) &&
           (b->exit_int_info & 0x7ff) == (EVENT_HARDWARE << 8 | EXC_DF) &&
           (unsigned)b->exit_code - SVM_EXCEPTION < 32;
}

/* Others wanted the vCPU stopped, or something else of it, while it came out. */
static __attribute__((noinline)) void interfered(struct vcpu *v, struct vcpu_exit *e,
                                                 enum smp_exit how)
{
    if (how != SMP_EXIT_DROPPED) {
        svm_tell(v, e);
    }
    if (how == SMP_EXIT_DROPPED || vcpu_exit_again(e->kind)) {
        e->kind = VCPU_EXIT_WINDOW;
    }
}

/* Most exits are calls. */
static inline bool told_call(struct svm_vcpu *x, struct vcpu_exit *e)
{
    const struct vmcb *b = x->vmcb;

    if (b->exit_code != SVM_VMMCALL ||
        __builtin_expect((uint32_t)b->rax == FACET_ALTP2M_VMMCALL_VIEW, 0)) {
        return false;
    }
    e->kind = VCPU_EXIT_HYPERCALL;
    e->reason = SVM_VMMCALL;
    x->length = svm_features.vmmcall_length;
    return true;
}

/* ... or violations. Those that came in a delivery are not told here. */
static inline bool told_violation(struct svm_vcpu *x, struct vcpu_exit *e)
{
    const struct vmcb *b = x->vmcb;

    if (b->exit_code != SVM_NPF || (b->exit_int_info & EVENT_INFO_VALID)) {
        return false;
    }
    e->reason = SVM_NPF;
    x->length = 0;
    svm_tell_violation(e, b, x->delivering);
    return true;
}

/* A guest that does nothing but change views comes out after so many, for who waits. */
#define AT_ONCE 8u

static void stopped(struct vcpu *v, struct svm_vcpu *x, struct vcpu_exit *e, enum vmfunc_done done)
{
    v->altp2m_changed = true;
    v->regs.rax = x->vmcb->rax;
    if (done == VMFUNC_TRAPS) {
        svm_tell_pending(x, e);
    } else {
        e->kind = VCPU_EXIT_WINDOW;
        e->reason = (uint32_t)x->vmcb->exit_code;
    }
}

/* vcpu_reflect() has seen to all but the event; see inject(). */
static inline enum smp_exit enter_reflected(struct vcpu *v, struct svm_vcpu *x)
{
    enum smp_exit how;

    x->vmcb->event = EVENT_INFO_VALID | EVENT_EXTERNAL << 8 | EXC_VE;
    x->vmcb->rflags |= X86_EFLAGS_RF;
    deliver_once(x);
    how = enter(v, x, ENTRY_AGAIN, 0);
    x->vmcb->event = 0;
    return how;
}

/*
 * Tells any exit, but that the guest goes on at once where all that it did was change its view, or
 * what another processor would have told it of as #VE without an exit.
 */
static __attribute__((noinline)) void go_on_or_tell(struct vcpu *v, struct svm_vcpu *x,
                                                    struct vcpu_exit *e)
{
    enum smp_exit how = SMP_EXIT;
    enum vmfunc_done done;

    for (unsigned left = x->mirrored ? 0 : AT_ONCE; how == SMP_EXIT;) {
        done = vmfunc_done(v, x);
        if (done == VMFUNC_DONE && left-- > 0) {
            use_tables(v, ENTRY_CHANGED);
            how = enter_plain(v, x, ENTRY_CHANGED, OWN_EXITS);
        } else if (done != VMFUNC_NOT) {
            stopped(v, x, e, done);
            return;
        } else if (told_call(x, e)) {
            return;
        } else if (!told_violation(x, e)) {
            svm_tell(v, e);
            return;
        } else if (left > 0 && e->kind == VCPU_EXIT_VIOLATION && vcpu_reflect(v, e)) {
            how = enter_reflected(v, x);
            left--;
        } else {
            return;
        }
    }
    interfered(v, e, how);
}

static void tell_entered(struct vcpu *v, struct svm_vcpu *x, struct vcpu_exit *e, enum smp_exit how)
{
    if (how != SMP_EXIT) {
        interfered(v, e, how);
    } else {
        go_on_or_tell(v, x, e);
    }
}

static void run_event(struct vcpu *v, struct svm_vcpu *x, struct vcpu_exit *e)
{
    enum smp_exit how;
    bool watched;

    watched = v->event.type >= EVENT_SOFTWARE ||
              (v->event.vector == EXC_DF && v->event.type == EVENT_HARDWARE);
    how = watched ? enter_watched(v, x) : enter_event(v, x);
    if (watched && how != SMP_EXIT_DROPPED && is_triple_fault(x)) {
        e->kind = VCPU_EXIT_SHUTDOWN;
        e->reason = SVM_SHUTDOWN;
        return;
    }
    if (!(x->vmcb->exit_int_info & EVENT_INFO_VALID)) { /* it was delivered */
        x->advanced = 0;
        x->gp_injected = false;
    }
    tell_entered(v, x, e, how);
    x->advanced = 0;
    x->gp_injected = false;
}

static __attribute__((noinline)) void run_special(struct vcpu *v, struct svm_vcpu *x,
                                                  struct vcpu_exit *e)
{
    if (v->event.due) {
        run_event(v, x, e);
    } else if (x->pending) { /* the guest gets nowhere before that trap */
        svm_tell_pending(x, e);
    } else {
        tell_entered(v, x, e, enter_mirrored(v, x, ENTRY));
    }
}

extern inline void svm_run(struct vcpu *v, struct vcpu_exit *e);

__attribute__((always_inline)) inline void svm_run(struct vcpu *v, struct vcpu_exit *e)
{
    struct svm_vcpu *x = svm_of(v);
    enum smp_exit how;

    if (v->event.due || x->special) {
        run_special(v, x, e);
        return;
    }
    use_tables(v, ENTRY);
    how = enter_plain(v, x, ENTRY, OWN_EXITS);
    if (how != SMP_EXIT) {
        interfered(v, e, how);
    } else if (told_call(x, e)) {
        return;
    } else if (v->altp2m.vmfunc) {
        go_on_or_tell(v, x, e);
    } else if (!told_violation(x, e)) {
        svm_tell(v, e);
    }
}

void svm_skip(struct vcpu *v, unsigned length)
{
    struct svm_vcpu *x = svm_of(v);
    struct vmcb *b = x->vmcb;
    uint64_t old = b->rip, rip = old + (length ? length : svm_length(v));

    if (((old ^ rip) >> 32) && !svm_get(v, VCPU_CODE_64)) {
        rip &= 0xffffffff;
    }
    b->rip = rip;
    b->shadow = 0;
    b->rflags &= ~(uint64_t)X86_EFLAGS_RF;
    if (b->rflags & X86_EFLAGS_TF) {
        x->pending |= TRAP_BS;
    }
}

/*
 * A virtual interrupt that exits when it could be taken (15.21.4). NMIs need no such window: the
 * IRET that ends their blocking exits anyway.
 */
void svm_windows(struct vcpu *v, bool interrupt, bool nmi)
{
    struct svm_vcpu *x = svm_of(v);
    struct vmcb *b = x->vmcb;

    if (interrupt == !!(b->vintr & VINTR_IRQ)) {
        return;
    }
    (void)nmi;
    b->vintr = VINTR_MASKING | (interrupt ? VINTR_IRQ | VINTR_PRIORITY | VINTR_IGN_TPR : 0);
    b->misc1 = interrupt ? b->misc1 | MISC1_VINTR : b->misc1 & ~MISC1_VINTR;
    svm_dirty(x, CLEAN_VINTR | CLEAN_INTERCEPTS);
}

void svm_watch(struct vcpu *v, const struct vendor_watch *w)
{
    struct svm_vcpu *x = svm_of(v);
    struct vmcb *b = x->vmcb;
    bool breakpoints = w->exceptions & 1u << EXC_BP;

    x->mirrored = w->mirror;
    /* #UD: VMFUNC and VMCALL, which are not there. #DF: see enter_watched(). #GP: what is
     * to be #UD. */
    x->exceptions =
        w->exceptions | 1u << EXC_UD | 1u << EXC_DF | 1u << EXC_GP | (w->mirror ? 1u << EXC_PF : 0);
    b->exceptions = x->exceptions;
    b->cr_reads = (uint16_t)(CR_READS_ALWAYS | (w->mirror ? CR_3 : 0));
    b->cr_writes =
        (uint16_t)(CR_WRITES_ALWAYS | (w->cr3 || w->cr3_unknown || w->mirror ? CR_3 : 0));
    b->misc1 = (b->misc1 & ~(MISC1_TABLES | MISC1_INTN | MISC1_INVLPG)) |
               (w->descriptors ? MISC1_TABLES : MISC1_TABLE_LOADS(w->table_loads)) |
               (breakpoints && !vendor_caps.breakpoints ? MISC1_INTN : 0) |
               (w->mirror ? MISC1_INVLPG : 0);
    b->misc3 = w->mirror ? MISC3_INVPCID : 0;
    b->msrpm = (uint64_t)(w->msr_map ? w->msr_map : vendor_msr_usual);
    svm_dirty(x, CLEAN_INTERCEPTS | CLEAN_MAPS);
}

bool svm_step(struct vcpu *v, enum vendor_step how)
{
    svm_of(v)->delivering = how == VENDOR_STEP_DELIVERY;
    return how != VENDOR_STEP_INSTRUCTION;
}
