/* SPDX-License-Identifier: MIT */
/*
 * Single-step. Without MTF, the guest runs one instruction with TF set and all exceptions
 * intercepted:
 * - external interrupts wait until stepping ends, as they do on Xen; what STI holds back of them it
 *   holds back afterwards too;
 * - what an instruction stores of TF (PUSHF, SYSCALL) is put right afterwards, what it loads (POPF,
 *   IRET, SYSRET) becomes the guest's own;
 * - INT3, INTO and INT1 exit before they push a frame. INT n does because the IDT has no limit
 *   then: it raises #GP, and whatever else stands in its way comes first, as ever. They are
 *   injected, so that the frame that they push has the guest's TF;
 * - that delivery, like that of an exception which the instruction raised, is a step of its own,
 *   ended by the preemption timer at zero: it expires after the delivery and before the handler's
 *   first instruction (SDM 3, 25.5.1);
 * - MOV SS and POP SS hold the trap back for one instruction: the two are one step, unless the
 *   second one exits.
 */
#include <asm/vmx.h>
#include <errno.h>
#include "domain.h"
#include "monitor.h"
#include "step.h"
#include "vmcs.h"
#include "vmx.h"
#include "x86/cpu.h"
#include "x86/hand.h"

#define EXCEPTIONS_ALWAYS (1u << EXC_DB | 1u << EXC_AC | 1u << EXC_MC)
#define DR6_BS            (1u << 14)
#define DR6_ANY           (DR6_BS | 1u << 13 | 0xfu) /* BS, BD and the four breakpoints */
#define INSTRUCTION_MAX   15u
#define ERROR_IDT         2u

enum step_mode { STEP_IDLE, STEP_MTF, STEP_TF, STEP_DELIVERY };
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
    for (s->nr = 0; s->nr < v->vmx.patch_length; s->nr++) {
        s->bytes[s->nr] = v->vmx.patch[s->nr];
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

static void set_exceptions(struct vcpu *v, uint32_t bitmap)
{
    if (v->vmx.exceptions != bitmap) {
        v->vmx.exceptions = bitmap;
        vmwrite(EXCEPTION_BITMAP, bitmap);
    }
}

static void arm_mtf(struct vcpu *v)
{
    v->vmx.step_mode = STEP_MTF;
    v->vmx.cpu_controls |= CPU_MONITOR_TRAP;
    vmwrite(CPU_CONTROLS, v->vmx.cpu_controls);
}

/*
 * In VM86 CR4.VME may have it served without the IDT, and IOPL may forbid it: neither stands in its
 * way now, and both count when it is injected (SDM 3, 20.3.3 and 26.6.1.1).
 */
static void arm_int(struct vcpu *v, const struct step_instruction *s)
{
    struct vmx_vcpu *x = &v->vmx;

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
    const struct vmx_vcpu *x = &v->vmx;

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
    struct vmx_vcpu *x = &v->vmx;

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
    vmwrite(EXCEPTION_BITMAP, ~0U);
}

void step_arm(struct vcpu *v)
{
    struct vmx_vcpu *x = &v->vmx;
    struct step_instruction s = {.kind = KIND_OTHER};

    x->stepped = false;
    x->step_rip = vcpu_get(v, VCPU_RIP);
    x->step_tf = vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_TF;
    if (vmx_has_mtf()) {
        arm_mtf(v);
    } else if ((x->inject & INTR_VALID) && vmx_caps()->preemption) {
        x->step_mode = STEP_DELIVERY;
        vmwrite(PREEMPTION_TIMER, 0);
    } else {
        if (!(x->inject & INTR_VALID)) {
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

    switch (v->vmx.step_kind) {
    case KIND_PUSHF:
        if (!v->vmx.step_tf) {
            patch_pushed(v);
        }
        return v->vmx.step_tf;
    case KIND_LOADS_TF:
        return now;
    case KIND_SYSCALL:
        if (!v->vmx.step_tf) {
            v->regs.r11 &= ~(uint64_t)X86_EFLAGS_TF;
        }
        return v->vmx.step_tf && now;
    default:
        return v->vmx.step_tf;
    }
}

/* STI holds interrupts back for one instruction if they were off. The trap behind it does
 * not show that. */
static bool holds_interrupts(const struct vmx_vcpu *x, uint64_t flags)
{
    return x->step_kind == KIND_STI && !(x->step_flags & X86_EFLAGS_IF) && (flags & X86_EFLAGS_IF);
}

static bool is_step_trap(uint32_t reason)
{
    uint32_t info;

    if (reason != EXIT_REASON_EXCEPTION_NMI) {
        return false;
    }
    info = (uint32_t)vmread(EXIT_INTR_INFO);
    return INTR_TYPE(info) == INTR_HARDWARE && INTR_VECTOR(info) == EXC_DB &&
           (vmread(EXIT_QUALIFICATION) & DR6_BS);
}

/* Behind the trap all is done; elsewhere than before without one, only MOV SS is. */
static void disarm_tf(struct vcpu *v, uint32_t reason)
{
    struct vmx_vcpu *x = &v->vmx;
    bool trapped = is_step_trap(reason), done = trapped || vcpu_get(v, VCPU_RIP) != x->step_rip;
    bool tf = trapped ? own_tf(v) : x->step_tf;
    uint64_t flags, blocking = done ? 0 : x->step_blocking;

    if (x->step_int_length) {
        disarm_int(v);
    }
    flags = vcpu_get(v, VCPU_RFLAGS);
    vcpu_set(v, VCPU_RFLAGS, tf ? flags | X86_EFLAGS_TF : flags & ~(uint64_t)X86_EFLAGS_TF);
    vmwrite(EXCEPTION_BITMAP, x->exceptions);
    if (!x->step_tf) {
        vcpu_set(v, VCPU_PENDING_TRAP, vcpu_get(v, VCPU_PENDING_TRAP) & ~(uint64_t)TRAP_BS);
        blocking |= trapped && holds_interrupts(x, flags) ? BLOCKING_STI : 0;
    }
    if (blocking) {
        vcpu_set(v, VCPU_BLOCKING, vcpu_get(v, VCPU_BLOCKING) | blocking);
    }
    x->stepped = done;
}

void step_disarm(struct vcpu *v, uint32_t reason)
{
    struct vmx_vcpu *x = &v->vmx;

    switch (x->step_mode) {
    case STEP_MTF:
        x->cpu_controls &= ~CPU_MONITOR_TRAP;
        vmwrite(CPU_CONTROLS, x->cpu_controls);
        x->stepped = reason == EXIT_REASON_MONITOR_TRAP_FLAG;
        break;
    case STEP_TF:
        disarm_tf(v, reason);
        break;
    case STEP_DELIVERY:
        this_cpu()->timer_fired = true; /* has the timer armed again for the slice */
        x->stepped = !(vmread(IDT_VECTORING_INFO) & INTR_VALID);
        break;
    default:
        break;
    }
}

bool step_is_own(const struct vcpu *v, uint32_t reason)
{
    uint32_t info;

    if (reason != EXIT_REASON_EXCEPTION_NMI || v->vmx.step_mode != STEP_TF) {
        return reason == EXIT_REASON_PREEMPTION_TIMER;
    }
    info = (uint32_t)vmread(EXIT_INTR_INFO);
    if (INTR_TYPE(info) != INTR_HARDWARE || INTR_VECTOR(info) != EXC_DB) {
        return !(v->vmx.exceptions & (1u << INTR_VECTOR(info)));
    }
    return !(step_debug(v, vmread(EXIT_QUALIFICATION)) & DR6_ANY);
}

/* SDM 3, 6.13: the error code names the vector in the IDT. Real mode has none, though Bochs 2.7
 * tells one. */
bool step_interrupts(struct vcpu *v, uint32_t info)
{
    struct vmx_vcpu *x = &v->vmx;

    if (x->step_mode != STEP_TF || !x->step_int_length || INTR_VECTOR(info) != EXC_GP ||
        ((vcpu_get(v, VCPU_CR0) & X86_CR0_PE) &&
         vmread(EXIT_INTR_ERROR) != (x->step_int_vector * 8u | ERROR_IDT))) {
        return false;
    }
    x->inject = INTR_VALID | INTR_SOFTWARE << 8 | x->step_int_vector;
    x->inject_length = x->step_int_length;
    return true;
}

uint64_t step_debug(const struct vcpu *v, uint64_t qualification)
{
    return v->vmx.step_mode == STEP_TF && !v->vmx.step_tf ? qualification & ~(uint64_t)DR6_BS
                                                          : qualification;
}

void step_finish(struct vcpu *v)
{
    bool done = v->vmx.stepped;

    v->vmx.step_mode = STEP_IDLE;
    v->vmx.stepped = false;
    if (done && v->vmx.stepping && !v->domain->dying) {
        monitor_stepped(v);
    }
}

/* ---- from the guest interface ---- */

void vcpu_step(struct vcpu *v, bool on)
{
    v->vmx.stepping = on;
}

bool vcpu_stepping(const struct vcpu *v)
{
    return v->vmx.stepping;
}

bool vcpu_has_descriptor_exits(void)
{
    return vmx_caps()->descriptors;
}

void vcpu_monitor_changed(struct vcpu *v)
{
    v->vmx.monitor_update = true;
}

void step_apply_monitor(struct vcpu *v)
{
    struct monitor_wants wants;
    uint32_t controls;

    v->vmx.monitor_update = false;
    monitor_wants(v->domain, &wants);
    set_exceptions(v, EXCEPTIONS_ALWAYS | (wants.breakpoint ? 1u << EXC_BP : 0));
    controls = wants.cr3 ? v->vmx.cpu_controls | CPU_CR3_LOAD : v->vmx.cpu_controls & ~CPU_CR3_LOAD;
    if (controls != v->vmx.cpu_controls) {
        v->vmx.cpu_controls = controls;
        vmwrite(CPU_CONTROLS, controls);
    }
    control_watch(v, wants.cr0, wants.cr4);
    msr_apply_exits(wants.msr_exits);
    v->vmx.vmexits = wants.vmexit;
    v->vmx.needs_room = wants.room;
    if (wants.descriptor != v->vmx.descriptor_exits) {
        v->vmx.descriptor_exits = wants.descriptor;
        v->vmx.update = true; /* CPU_CONTROLS_2 */
    }
}

bool vcpu_event_due(struct vcpu *v, struct vcpu_event *out)
{
    struct vmx_vcpu *x = &v->vmx;

    vmx_take_interrupt(v);
    if (!(x->inject & INTR_VALID)) {
        return false;
    }
    *out = (struct vcpu_event){
        .vector = INTR_VECTOR(x->inject),
        .type = INTR_TYPE(x->inject),
        .error = x->inject & INTR_ERROR_CODE ? x->inject_error : 0,
        .cr2 = x->set_cr2 ? x->new_cr2 : vcpu_get(v, VCPU_CR2),
    };
    return true;
}

/* What an entry with this event would demand (SDM 3, 26.3.1.4 and 26.3.1.5). */
static bool can_take(struct vcpu *v, unsigned type)
{
    uint64_t blocking = vcpu_get(v, VCPU_BLOCKING);

    return type == INTR_EXTERNAL ? vmx_can_take_interrupt(v)
           : type == INTR_NMI    ? !(blocking & (BLOCKING_STI | BLOCKING_MOVSS | BLOCKING_NMI))
                                 : true;
}

static void inject_event(struct vcpu *v, unsigned vector, unsigned type, uint32_t error,
                         unsigned length)
{
    static const uint32_t with_error =
        1u << EXC_DF | 0x7c00u | 1u << EXC_AC; /* #TS #NP #SS #GP #PF */
    struct vmx_vcpu *x = &v->vmx;

    x->inject = INTR_VALID | type << 8 | vector;
    x->inject_length = length;
    if (type != INTR_HARDWARE) {
        return;
    }
    vmx_resume_flag(v, vector);
    if ((with_error & (1u << vector)) &&
        (vcpu_get(v, VCPU_CR0) & X86_CR0_PE)) { /* real mode pushes none */
        x->inject |= INTR_ERROR_CODE;
        x->inject_error = error & 0xffff;
    }
}

int vcpu_inject_event(struct vcpu *v, unsigned vector, unsigned type, uint32_t error,
                      unsigned length, uint64_t cr2)
{
    struct vcpu *before;
    bool taken;

    if (v->vmx.inject & INTR_VALID) {
        return 0; /* one at a time: the first is already on its way */
    }
    before = vmx_borrow(v);
    taken = can_take(v, type);
    if (taken) {
        inject_event(v, vector, type, error, length);
    }
    vmx_return(v, before);
    if (taken && type == INTR_HARDWARE && vector == EXC_PF) {
        v->vmx.set_cr2 = true;
        v->vmx.new_cr2 = cr2;
    }
    return taken ? 0 : -EBUSY;
}
