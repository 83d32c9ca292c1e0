/* SPDX-License-Identifier: MIT */
/*
 * Single-step, by the vendor where it can. Else the guest runs one instruction with TF set and all
 * exceptions intercepted:
 * - external interrupts wait until stepping ends, as they do on Xen; what STI holds back of them it
 *   holds back afterwards too;
 * - what an instruction stores of TF (PUSHF, SYSCALL) is put right afterwards, what it loads (POPF,
 *   IRET, SYSRET) becomes the guest's own;
 * - SYSCALL does not take TF away meanwhile: whether a trap follows is decided by the TF behind it;
 * - INT3, INTO and INT1 exit before they push a frame. INT n does because the IDT has no limit
 *   then: it raises #GP, and whatever else stands in its way comes first, as ever. They are
 *   injected, so that the frame that they push has the guest's TF;
 * - DR6 has no causes meanwhile, so that those which are found are the step's: the processor may
 *   have set them with the trap, and switched DR7.GD off (APM 2, 15.12.2). Both are put right
 *   afterwards, and so is what MOV read of DR6, or wrote;
 * - that delivery, like that of an exception which the instruction raised, is a step of its own,
 *   where the vendor can end one there;
 * - MOV SS and POP SS hold the trap back for one instruction: the two are one step, unless the
 *   second one exits.
 */
#include <facet/hvmop.h>
#include <string.h>
#include "domain.h"
#include "monitor.h"
#include "exit/step.h"
#include "vcpu/hand.h"
#include "vcpu/pins.h"
#include "x86/code.h"
#include "x86/debug.h"

#define EXCEPTIONS_ALWAYS (1u << EXC_DB | 1u << EXC_AC | 1u << EXC_MC)
#define MODRM_DR1         (1u << 3)
#define MODRM_DR4         (1u << 5)
#define ERROR_IDT         2u

enum step_mode { STEP_IDLE, STEP_VENDOR, STEP_TF, STEP_DELIVERY };
enum step_kind {
    KIND_OTHER,
    KIND_PUSHF,
    KIND_LOADS_TF,
    KIND_SYSCALL,
    KIND_INT,
    KIND_STI,
    KIND_FROM_DR6,
    KIND_TO_DR6,
    KIND_TO_DR7
};

struct step_instruction {
    uint8_t bytes[2 * CODE_LENGTH_MAX];
    unsigned nr;       /* bytes that could be read */
    bool long_mode;    /* 64-bit code */
    bool wide_address; /* 32-bit addresses, outside 64-bit code */
    /* found out */
    enum step_kind kind;
    unsigned vector, length; /* KIND_INT */
    uint8_t gpr;             /* KIND_FROM_DR6 to KIND_TO_DR7, whose length is to where they end */
};

/* So many bytes from RIP on lie within the code segment. */
static unsigned segment_rest(const struct vcpu *v)
{
    uint64_t limit = vcpu_get(v, vcpu_segment_field(VCPU_LIMIT, SEG_CS)),
             rip = vcpu_get(v, VCPU_RIP);

    return rip > limit                              ? 0
           : limit - rip >= 2 * CODE_LENGTH_MAX - 1 ? 2 * CODE_LENGTH_MAX
                                                    : (unsigned)(limit - rip) + 1;
}

static void fetch(struct vcpu *v, struct step_instruction *s)
{
    uint64_t ar = vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_CS)), base = 0, at;

    s->long_mode = vcpu_long_mode(v);
    s->wide_address = ar & AR_DB;
    if (!s->long_mode) {
        base = vcpu_get(v, vcpu_segment_field(VCPU_BASE, SEG_CS));
    }
    for (s->nr = 0; s->nr < v->exit.patch_length; s->nr++) {
        s->bytes[s->nr] = v->exit.patch[s->nr];
    }
    at = base + vcpu_get(v, VCPU_RIP) + s->nr;
    s->nr += (unsigned)hand_fetch(v, s->long_mode ? at : at & 0xffffffff, s->bytes + s->nr,
                                  2 * CODE_LENGTH_MAX - s->nr);
    if (!s->long_mode && s->nr > segment_rest(v)) {
        s->nr = segment_rest(v);
    }
}

/* ---- the few instructions that matter ---- */

static void classify_debug(struct step_instruction *s, const struct code *c, unsigned first)
{
    uint8_t modrm = code_byte(c, 2);
    bool to = code_byte(c, 1) == 0x23;

    s->gpr = (uint8_t)((modrm & 7) | (c->rex & 1) << 3);
    s->length = first + c->at + 3;
    if (modrm & MODRM_DR4) { /* 4 and 5 are other names, or #UD */
        s->kind = !(modrm & MODRM_DR1) ? (to ? KIND_TO_DR6 : KIND_FROM_DR6)
                  : to                 ? KIND_TO_DR7
                                       : KIND_OTHER;
    }
}

static void classify_two_byte(struct step_instruction *s, const struct code *c, unsigned first)
{
    switch (code_byte(c, 1)) {
    case 0x05:
        s->kind = KIND_SYSCALL;
        break;
    case 0x07: /* SYSRET */
        s->kind = KIND_LOADS_TF;
        break;
    case 0x21:
    case 0x23:
        classify_debug(s, c, first);
        break;
    default:
        break;
    }
}

/* The instruction at `first`; 0, or the offset of the next one if this one loads SS. What raises
 * #UD instead is not done. */
static unsigned classify(struct step_instruction *s, unsigned first)
{
    struct code c = {.code_64 = s->long_mode, .wide = s->wide_address, .segment = SEG_DS};

    c.nr = s->nr - first < CODE_LENGTH_MAX ? s->nr - first : CODE_LENGTH_MAX;
    memcpy(c.bytes, s->bytes + first, c.nr);
    code_begin(&c);
    switch (code_byte(&c, 0)) {
    case 0x0f:
        classify_two_byte(s, &c, first);
        return 0;
    case 0x9c:
        s->kind = KIND_PUSHF;
        return 0;
    case 0x9d:
    case 0xcf:
        s->kind = KIND_LOADS_TF; /* POPF, IRET */
        return 0;
    case 0xcd:
        if (c.at + 1 < c.nr) {
            s->kind = KIND_INT;
            s->vector = code_byte(&c, 1);
            s->length = c.at + 2;
        }
        return 0;
    case 0xfb:
        s->kind = KIND_STI;
        return 0;
    case 0x17:
        return s->long_mode ? 0 : first + c.at + 1;
    case 0x8e:
        return (code_byte(&c, 1) >> 3 & 7) == SEG_SS ? first + c.at + 1 + code_operand_length(&c, 1)
                                                     : 0;
    default:
        return 0;
    }
}

static void look(struct vcpu *v, struct step_instruction *s)
{
    unsigned next;

    s->kind = KIND_OTHER;
    fetch(v, s);
    next = classify(s, 0);
    if (next && next <= CODE_LENGTH_MAX && next < s->nr) {
        classify(s, next);
    }
}

/* ---- arming ---- */

static void watch_all_exceptions(struct vcpu *v)
{
    struct vendor_watch w = v->exit.watch;

    w.exceptions = ~0u;
    VENDOR(watch, v, &w);
}

/*
 * In VM86 CR4.VME may have it served without the IDT, and IOPL may forbid it: neither stands in its
 * way now, and both count when it is injected (SDM 3, 20.3.3 and 26.6.1.1).
 */
static void arm_int(struct vcpu *v, const struct step_instruction *s)
{
    struct exit_vcpu *x = &v->exit;

    x->step_int_length = (uint8_t)s->length;
    x->step_int_vector = (uint8_t)s->vector;
    x->step_idt_limit = (uint16_t)vcpu_get(v, VCPU_IDTR_LIMIT);
    vcpu_set(v, VCPU_IDTR_LIMIT, 0);
    x->step_vme = (x->step_flags & X86_EFLAGS_VM) && (vcpu_get(v, VCPU_CR4) & X86_CR4_VME);
    if (x->step_vme) {
        vcpu_set(v, VCPU_CR4, vcpu_get(v, VCPU_CR4) & ~(uint64_t)X86_CR4_VME);
        vcpu_set(v, VCPU_RFLAGS, vcpu_get(v, VCPU_RFLAGS) | X86_EFLAGS_IOPL);
    }
}

/* Nothing but MOV SS can have been done in between, which changes no flag. */
static void disarm_int(struct vcpu *v)
{
    const struct exit_vcpu *x = &v->exit;

    vcpu_set(v, VCPU_IDTR_LIMIT, x->step_idt_limit);
    if (x->step_vme) {
        vcpu_set(v, VCPU_CR4, vcpu_get(v, VCPU_CR4) | X86_CR4_VME);
        vcpu_set(v, VCPU_RFLAGS,
                 (vcpu_get(v, VCPU_RFLAGS) & ~(uint64_t)X86_EFLAGS_IOPL) |
                     (x->step_flags & X86_EFLAGS_IOPL));
    }
}

static void arm_tf(struct vcpu *v, const struct step_instruction *s)
{
    uint64_t blocking = vcpu_get(v, VCPU_BLOCKING);
    struct exit_vcpu *x = &v->exit;

    x->step_mode = STEP_TF;
    x->step_kind = s->kind;
    x->step_flags = vcpu_get(v, VCPU_RFLAGS);
    x->step_blocking = blocking & BLOCKING_STI;
    if (x->step_blocking) { /* it does not hold back the trap that would have to be pending (SDM
                               3, 26.3.1.5) */
        vcpu_set(v, VCPU_BLOCKING, blocking & ~(uint64_t)BLOCKING_STI);
    } else if (blocking & BLOCKING_MOVSS) { /* there it is for the end of this instruction */
        vcpu_set(v, VCPU_PENDING_TRAP, vcpu_get(v, VCPU_PENDING_TRAP) | TRAP_BS);
    }
    x->step_gpr = s->gpr;
    x->step_length = (uint8_t)s->length;
    x->step_dr6 = vcpu_get(v, VCPU_DR6);
    x->step_dr7 = vcpu_get(v, VCPU_DR7);
    vcpu_set(v, VCPU_DR6, x->step_dr6 & ~(uint64_t)DR6_CAUSES);
    x->step_int_length = 0;
    vcpu_set(v, VCPU_RFLAGS, x->step_flags | X86_EFLAGS_TF);
    if (s->kind == KIND_INT && s->length) {
        arm_int(v, s);
    }
    if (s->kind == KIND_SYSCALL) {
        x->step_fmask = vcpu_get(v, VCPU_FMASK);
        vcpu_set(v, VCPU_FMASK, x->step_fmask & ~(uint64_t)X86_EFLAGS_TF);
    }
    watch_all_exceptions(v);
}

void step_arm(struct vcpu *v)
{
    struct exit_vcpu *x = &v->exit;
    struct step_instruction s = {.kind = KIND_OTHER};

    if (x->unblocking) { /* NMIs wait nevertheless: interrupt.c */
        vcpu_set(v, VCPU_BLOCKING, vcpu_get(v, VCPU_BLOCKING) & ~(uint64_t)BLOCKING_NMI);
    }
    x->stepped = false;
    x->step_rip = vcpu_get(v, VCPU_RIP);
    x->step_tf = vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_TF;
    if (vendor_caps.step && VENDOR(step, v, VENDOR_STEP_INSTRUCTION)) {
        x->step_mode = STEP_VENDOR;
    } else if (v->event.due && VENDOR(step, v, VENDOR_STEP_DELIVERY)) {
        x->step_mode = STEP_DELIVERY;
    } else {
        if (!v->event.due) {
            look(v, &s);
        }
        arm_tf(v, &s);
    }
}

/* ---- disarming ---- */

/* The guest has just written there: what it may not reach any more is left. */
static void patch_pushed(struct vcpu *v)
{
    uint64_t ar = vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_SS)), at = vcpu_get(v, VCPU_RSP) + 1;
    struct hand_reach r = {.n = 1, .rights = RIGHT_R | RIGHT_W};
    uint8_t high;

    if (!vcpu_long_mode(v)) {
        at = (ar & AR_DB ? at & 0xffffffff : at & 0xffff) +
             vcpu_get(v, vcpu_segment_field(VCPU_BASE, SEG_SS));
        at &= 0xffffffff;
    }
    r.linear = at;
    if (hand_reach(v, &r) == HAND_DONE) {
        hand_read(&r, &high);
        high &= (uint8_t) ~(X86_EFLAGS_TF >> 8);
        hand_write(&r, &high);
    }
}

/* TF as the guest has it now that the instruction is done. */
static bool own_tf(struct vcpu *v)
{
    bool now = vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_TF;

    switch (v->exit.step_kind) {
    case KIND_PUSHF:
        if (!v->exit.step_tf) {
            patch_pushed(v);
        }
        return v->exit.step_tf;
    case KIND_LOADS_TF:
        return now;
    case KIND_SYSCALL:
        if (!v->exit.step_tf) {
            v->regs.r11 &= ~(uint64_t)X86_EFLAGS_TF;
        }
        return v->exit.step_tf && now && !(v->exit.step_fmask & X86_EFLAGS_TF);
    default:
        return v->exit.step_tf;
    }
}

/* STI holds interrupts back for one instruction if they were off. The trap behind it does
 * not show that. */
static bool holds_interrupts(const struct exit_vcpu *x, uint64_t flags)
{
    return x->step_kind == KIND_STI && !(x->step_flags & X86_EFLAGS_IF) && (flags & X86_EFLAGS_IF);
}

static bool is_debug_trap(const struct vcpu_exit *e)
{
    return e->kind == VCPU_EXIT_EXCEPTION && e->exception.event.type == EVENT_HARDWARE &&
           e->exception.event.vector == EXC_DB;
}

/* As the guest has them now. A MOV that DR7.GD refused is none: Bochs 2.7 tells that with BS. */
static void put_back_debug(struct vcpu *v, bool trapped)
{
    struct exit_vcpu *x = &v->exit;
    uint64_t gd = x->step_dr7 & DR7_GD, moved = vcpu_gpr(v, x->step_gpr);

    if (x->step_kind >= KIND_FROM_DR6 &&
        (!trapped || (uint32_t)(vcpu_get(v, VCPU_RIP) - x->step_rip) != x->step_length)) {
        x->step_kind = KIND_OTHER;
    }
    switch (x->step_kind) {
    case KIND_FROM_DR6:
        vcpu_set_gpr(v, x->step_gpr, moved | (x->step_dr6 & DR6_CAUSES));
        break;
    case KIND_TO_DR6: /* the other bits are as the processor has them */
        x->step_dr6 = (vcpu_get(v, VCPU_DR6) & ~(uint64_t)DR6_CAUSES) | (moved & DR6_CAUSES);
        break;
    case KIND_TO_DR7:
        gd = moved & DR7_GD;
        break;
    default:
        break;
    }
    vcpu_set(v, VCPU_DR6, x->step_dr6);
    vcpu_set(v, VCPU_DR7, (vcpu_get(v, VCPU_DR7) & ~(uint64_t)DR7_GD) | gd);
}

/* Behind the trap all is done; elsewhere than before without one, only MOV SS is. */
static void disarm_tf(struct vcpu *v, const struct vcpu_exit *e)
{
    struct exit_vcpu *x = &v->exit;
    bool trapped = is_debug_trap(e) && (e->exception.pending & DR6_BS);
    bool done = trapped || vcpu_get(v, VCPU_RIP) != x->step_rip;
    bool tf = trapped ? own_tf(v) : x->step_tf;
    uint64_t flags, blocking = done ? 0 : x->step_blocking;

    if (x->step_int_length) {
        disarm_int(v);
    }
    if (x->step_kind == KIND_SYSCALL) {
        vcpu_set(v, VCPU_FMASK, x->step_fmask);
    }
    flags = vcpu_get(v, VCPU_RFLAGS);
    vcpu_set(v, VCPU_RFLAGS, tf ? flags | X86_EFLAGS_TF : flags & ~(uint64_t)X86_EFLAGS_TF);
    put_back_debug(v, trapped);
    VENDOR(watch, v, &x->watch);
    if (!x->step_tf) {
        vcpu_set(v, VCPU_PENDING_TRAP, vcpu_get(v, VCPU_PENDING_TRAP) & ~(uint64_t)TRAP_BS);
        blocking |= trapped && holds_interrupts(x, flags) ? BLOCKING_STI : 0;
    }
    if (blocking) {
        vcpu_set(v, VCPU_BLOCKING, vcpu_get(v, VCPU_BLOCKING) | blocking);
    }
    x->stepped = done;
}

void step_disarm(struct vcpu *v, const struct vcpu_exit *e)
{
    struct exit_vcpu *x = &v->exit;

    switch (x->step_mode) {
    case STEP_VENDOR:
        VENDOR(step, v, VENDOR_STEP_NONE);
        x->stepped = e->kind == VCPU_EXIT_STEPPED;
        break;
    case STEP_TF:
        disarm_tf(v, e);
        break;
    case STEP_DELIVERY:
        VENDOR(step, v, VENDOR_STEP_NONE);
        this_cpu()->timer_fired = true; /* has VCPU_SLICE set again */
        x->stepped = !v->event.due;
        break;
    default:
        break;
    }
    if (x->unblocking && !x->stepped) { /* it exits again */
        vcpu_set(v, VCPU_BLOCKING, vcpu_get(v, VCPU_BLOCKING) | BLOCKING_NMI);
    }
    x->unblocking = false;
}

bool step_is_own(const struct vcpu *v, const struct vcpu_exit *e)
{
    if (v->exit.step_mode != STEP_TF) {
        return e->kind == VCPU_EXIT_SLICE;
    }
    if (is_debug_trap(e)) {
        return !(step_debug(v, e->exception.pending) & DR6_CAUSES);
    }
    return e->kind == VCPU_EXIT_EXCEPTION
               ? !(v->exit.watch.exceptions & (1u << e->exception.event.vector))
               : e->kind == VCPU_EXIT_SLICE || e->kind == VCPU_EXIT_NMI;
}

/* SDM 3, 6.13: the error code names the vector in the IDT; QEMU 7.2 has the place of a gate of 16
 * bytes. Real mode has none, though Bochs 2.7 tells one. */
bool step_interrupts(struct vcpu *v, const struct event *e)
{
    const struct exit_vcpu *x = &v->exit;

    uint32_t error = x->step_int_vector * 8u | ERROR_IDT,
             wide = x->step_int_vector * 16u | ERROR_IDT;

    if (x->step_mode != STEP_TF || !x->step_int_length || e->vector != EXC_GP ||
        ((vcpu_get(v, VCPU_CR0) & X86_CR0_PE) && e->error != error && e->error != wide)) {
        return false;
    }
    v->event = (struct event){.vector = x->step_int_vector,
                              .type = EVENT_SOFTWARE,
                              .length = x->step_int_length,
                              .due = true};
    return true;
}

/* Breakpoints on data or ports, and enabled. */
static uint64_t data_breakpoints(uint64_t dr7)
{
    uint64_t enabled = 0;

    for (unsigned n = 0; n < 4; n++) {
        enabled |= dr7_enables(dr7, n) && dr7_kind(dr7, n) != DR7_EXECUTES ? 1u << n : 0;
    }
    return enabled;
}

/*
 * Behind an instruction its breakpoints on data count. Others are told that their address is met,
 * too: those that are not enabled (SDM 3, 17.2.3), and on QEMU those on the next instruction.
 */
uint64_t step_debug(const struct vcpu *v, uint64_t pending)
{
    const struct exit_vcpu *x = &v->exit;

    if (x->step_mode != STEP_TF || !(pending & DR6_BS)) {
        return pending;
    }
    if (x->step_kind == KIND_TO_DR6) { /* what it wrote is no cause */
        pending &= DR6_BS | (DR6_BREAKPOINTS & ~x->step_dr6);
    }
    if (x->step_tf) {
        return pending;
    }
    return pending & (data_breakpoints(x->step_dr7) & pending ? DR6_BD | DR6_BREAKPOINTS : DR6_BD);
}

void step_finish(struct vcpu *v)
{
    bool done = v->exit.stepped;

    v->exit.step_mode = STEP_IDLE;
    v->exit.stepped = false;
    if (done && v->exit.stepping && !v->domain->dying) {
        monitor_stepped(v);
    }
}

void step_apply_monitor(struct vcpu *v)
{
    struct exit_vcpu *x = &v->exit;
    struct monitor_wants wants;

    monitor_wants(v->domain, &wants);
    x->watch_update = false;
    x->vmexits = wants.vmexit;
    x->needs_room = wants.room;
    x->watch = (struct vendor_watch){
        .exceptions = EXCEPTIONS_ALWAYS | (wants.breakpoint ? 1u << EXC_BP : 0),
        .cr0 = wants.cr0 | v->altp2m.pins.cr0,
        .cr4 = wants.cr4 | v->altp2m.pins.cr4,
        .cr3 = wants.cr3,
        .cr3_unknown = v->altp2m.pins.registers & FACET_ALTP2M_PIN_CR3,
        .mirror = v->mirror,
        .descriptors = wants.descriptor && !x->emulating,
        .table_loads = x->emulating || x->passing ? 0 : pins_tables(v),
        .msr_map = v->domain->msr_exits,
    };
    VENDOR(watch, v, &x->watch);
}
