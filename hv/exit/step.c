/* SPDX-License-Identifier: MIT */
/*
 * Single-step, by the vendor where it can. Else the guest runs one instruction with TF set and all
 * exceptions intercepted:
 * - external interrupts wait until stepping ends, as they do on Xen; what STI holds back of them it
 *   holds back afterwards too;
 * - what an instruction stores of TF (PUSHF, SYSCALL) is put right afterwards, what it loads (POPF,
 *   IRET, SYSRET) becomes the guest's own;
 * - INT3, INTO and INT1 exit before they push a frame. INT n does because the IDT has no limit
 *   then: it raises #GP, and whatever else stands in its way comes first, as ever. They are
 *   injected, so that the frame that they push has the guest's TF;
 * - that delivery, like that of an exception which the instruction raised, is a step of its own,
 *   where the vendor can end one there;
 * - MOV SS and POP SS hold the trap back for one instruction: the two are one step, unless the
 *   second one exits.
 */
#include <facet/hvmop.h>
#include "domain.h"
#include "monitor.h"
#include "exit/step.h"
#include "vcpu/hand.h"
#include "vcpu/pins.h"

#define EXCEPTIONS_ALWAYS (1u << EXC_DB | 1u << EXC_AC | 1u << EXC_MC)
#define DR6_BS            (1u << 14)
#define DR6_ANY           (DR6_BS | 1u << 13 | 0xfu) /* BS, BD and the four breakpoints */
#define INSTRUCTION_MAX   15u
#define ERROR_IDT         2u

enum step_mode { STEP_IDLE, STEP_VENDOR, STEP_TF, STEP_DELIVERY };
enum step_kind { KIND_OTHER, KIND_PUSHF, KIND_LOADS_TF, KIND_SYSCALL, KIND_INT, KIND_STI };

struct step_instruction {
    uint8_t bytes[2 * INSTRUCTION_MAX + 2]; /* the last two are not read, but looked at */
    unsigned nr;                            /* bytes that could be read */
    unsigned long_mode;                     /* 64-bit code */
    bool wide_address;                      /* 32-bit addresses, outside 64-bit code */
    /* found out */
    enum step_kind kind;
    unsigned vector, length; /* KIND_INT */
};

/* So many bytes from RIP on lie within the code segment. */
static unsigned segment_rest(const struct vcpu *v)
{
    uint64_t limit = vcpu_get(v, vcpu_segment_field(VCPU_LIMIT, SEG_CS)),
             rip = vcpu_get(v, VCPU_RIP);

    return rip > limit                              ? 0
           : limit - rip >= 2 * INSTRUCTION_MAX - 1 ? 2 * INSTRUCTION_MAX
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
                                  2 * INSTRUCTION_MAX - s->nr);
    if (!s->long_mode && s->nr > segment_rest(v)) {
        s->nr = segment_rest(v);
    }
}

/* ---- the few instructions that matter ---- */

static bool is_prefix(const struct step_instruction *s, uint8_t b)
{
    static const uint8_t legacy[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
                                     0x66, 0x67, 0xf0, 0xf2, 0xf3};

    for (unsigned i = 0; i < sizeof(legacy); i++) {
        if (b == legacy[i]) {
            return true;
        }
    }
    return s->long_mode && (b & 0xf0) == 0x40;
}

/* Bytes of ModRM, SIB and displacement (SDM 2, tables 2-1 to 2-3). */
static unsigned operand_length(const struct step_instruction *s, unsigned at, bool addresses_32)
{
    uint8_t modrm = s->bytes[at], mod = modrm >> 6, rm = modrm & 7;
    unsigned n = 1;

    if (mod == 3) {
        return 1;
    }
    if (!addresses_32) {
        return mod == 0 && rm == 6 ? 3 : 1 + mod;
    }
    if (rm == 4) {
        n++;
        if (mod == 0 && (s->bytes[at + 1] & 7) == 5) {
            n += 4;
        }
    }
    if (mod == 0 && rm == 5) {
        n += 4;
    }
    return n + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

static void classify_two_byte(struct step_instruction *s, uint8_t opcode)
{
    if (opcode == 0x05) {
        s->kind = KIND_SYSCALL;
    } else if (opcode == 0x07) {
        s->kind = KIND_LOADS_TF; /* SYSRET */
    }
}

/* Its length, or 0 if that is too much. */
static unsigned length_within(unsigned first, unsigned end)
{
    return end - first <= INSTRUCTION_MAX ? end - first : 0;
}

/* The instruction at `first`; 0, or the offset of the next one if this one loads SS. What raises
 * #UD instead is not done. */
static unsigned classify(struct step_instruction *s, unsigned first)
{
    bool other_address = false, more;
    unsigned at = first;

    for (; at < s->nr && is_prefix(s, s->bytes[at]); at++) {
        other_address = other_address || s->bytes[at] == 0x67;
    }
    if (at >= s->nr || at - first >= INSTRUCTION_MAX) {
        return 0;
    }
    more = at + 1 < s->nr;
    switch (s->bytes[at]) {
    case 0x0f:
        classify_two_byte(s, more ? s->bytes[at + 1] : 0);
        return 0;
    case 0x9c:
        s->kind = KIND_PUSHF;
        return 0;
    case 0x9d:
    case 0xcf:
        s->kind = KIND_LOADS_TF; /* POPF, IRET */
        return 0;
    case 0xcd:
        s->kind = more ? KIND_INT : KIND_OTHER;
        s->vector = more ? s->bytes[at + 1] : 0;
        s->length = length_within(first, at + 2);
        return 0;
    case 0xfb:
        s->kind = KIND_STI;
        return 0;
    case 0x17:
        return s->long_mode ? 0 : at + 1;
    case 0x8e:
        return more && (s->bytes[at + 1] >> 3 & 7) == 2
                   ? at + 1 +
                         operand_length(s, at + 1, s->long_mode || s->wide_address != other_address)
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
    if (next && next <= INSTRUCTION_MAX) {
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
    x->step_int_length = 0;
    vcpu_set(v, VCPU_RFLAGS, x->step_flags | X86_EFLAGS_TF);
    if (s->kind == KIND_INT && s->length) {
        arm_int(v, s);
    }
    watch_all_exceptions(v);
}

void step_arm(struct vcpu *v)
{
    struct exit_vcpu *x = &v->exit;
    struct step_instruction s = {.kind = KIND_OTHER};

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
        return v->exit.step_tf && now;
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
    flags = vcpu_get(v, VCPU_RFLAGS);
    vcpu_set(v, VCPU_RFLAGS, tf ? flags | X86_EFLAGS_TF : flags & ~(uint64_t)X86_EFLAGS_TF);
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
}

bool step_is_own(const struct vcpu *v, const struct vcpu_exit *e)
{
    if (v->exit.step_mode != STEP_TF) {
        return e->kind == VCPU_EXIT_SLICE;
    }
    if (is_debug_trap(e)) {
        return !(step_debug(v, e->exception.pending) & DR6_ANY);
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

uint64_t step_debug(const struct vcpu *v, uint64_t pending)
{
    return v->exit.step_mode == STEP_TF && !v->exit.step_tf ? pending & ~(uint64_t)DR6_BS : pending;
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
        .descriptors = wants.descriptor && !x->emulating,
        .table_loads = x->emulating || x->passing ? 0 : pins_tables(v),
        .msr_map = v->domain->msr_exits,
    };
    VENDOR(watch, v, &x->watch);
}
