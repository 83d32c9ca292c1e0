/* SPDX-License-Identifier: MIT */
/* A vCPU's state in Xen's format, and back. */
#include "guest/domctl_abi.h"
#include <facet/check.h>
#include <string.h>
#include <xen/hvm/save.h>
#include "vcpu/context.h"
#include "domain.h"
#include "vcpu/entry_state.h"
#include "vcpu/mirror.h"
#include "monitor.h"

_Static_assert(offsetof(struct hvm_hw_cpu, rax) == 512 && offsetof(struct hvm_hw_cpu, rip) == 640 &&
                   offsetof(struct hvm_hw_cpu, cr0) == 656 &&
                   offsetof(struct hvm_hw_cpu, cs_sel) == 736 &&
                   offsetof(struct hvm_hw_cpu, cs_limit) == 768 &&
                   offsetof(struct hvm_hw_cpu, cs_base) == 808 &&
                   offsetof(struct hvm_hw_cpu, cs_arbytes) == 888 &&
                   offsetof(struct hvm_hw_cpu, shadow_gs) == 944 &&
                   offsetof(struct hvm_hw_cpu, msr_efer) == 992 &&
                   offsetof(struct hvm_hw_cpu, pending_event) == 1016 &&
                   sizeof(struct hvm_hw_cpu) == 1032,
               "arch-x86/hvm/save.h");

#define RFLAGS_SETTABLE                                                                            \
    0x3d7fd5ULL             /* all that is defined, but VM86 mode, which is the segments' too */
#define AREA_MXCSR      24u /* SDM 1, 10.5.1: the FXSAVE image */
#define AREA_MXCSR_MASK 28u
#define AREA_XSTATE_BV  512u /* SDM 1, 13.4.2 */
#define MXCSR_DEFAULT   0xffbfu

/* ---- reading ---- */

/* A segment's attributes as Xen has them: the present bit says whether the segment is usable, bits
 * 8 to 11 are not there. */
static uint32_t attributes(struct vcpu *v, unsigned seg)
{
    uint32_t ar = (uint32_t)vcpu_get(v, vcpu_segment_field(VCPU_AR, seg));

    return (ar & AR_UNUSABLE ? 0 : 0x80) | (ar & 0x7f) | (ar >> 4 & 0xf00);
}

/* SEGMENT(here, in struct hvm_hw_cpu) for each. */
#define EACH_SEGMENT                                                                               \
    SEGMENT(SEG_CS, cs);                                                                           \
    SEGMENT(SEG_DS, ds);                                                                           \
    SEGMENT(SEG_ES, es);                                                                           \
    SEGMENT(SEG_FS, fs);                                                                           \
    SEGMENT(SEG_GS, gs);                                                                           \
    SEGMENT(SEG_SS, ss);                                                                           \
    SEGMENT(SEG_TR, tr);                                                                           \
    SEGMENT(SEG_LDTR, ldtr);

static void get_segments(struct vcpu *v, struct hvm_hw_cpu *c)
{
#define SEGMENT(SEG, name)                                                                         \
    do {                                                                                           \
        c->name##_sel = (uint16_t)vcpu_get(v, vcpu_segment_field(VCPU_SELECTOR, SEG));             \
        c->name##_limit = (uint32_t)vcpu_get(v, vcpu_segment_field(VCPU_LIMIT, SEG));              \
        c->name##_base = vcpu_get(v, vcpu_segment_field(VCPU_BASE, SEG));                          \
        c->name##_arbytes = attributes(v, SEG);                                                    \
    } while (0)
    EACH_SEGMENT
#undef SEGMENT
    c->gdtr_base = vcpu_get(v, VCPU_GDTR_BASE);
    c->gdtr_limit = (uint32_t)vcpu_get(v, VCPU_GDTR_LIMIT);
    c->idtr_base = vcpu_get(v, VCPU_IDTR_BASE);
    c->idtr_limit = (uint32_t)vcpu_get(v, VCPU_IDTR_LIMIT);
}

static void get_general(const struct vcpu *v, struct hvm_hw_cpu *c)
{
    const struct vcpu_regs *g = &v->regs;

    c->rax = g->rax;
    c->rbx = g->rbx;
    c->rcx = g->rcx;
    c->rdx = g->rdx;
    c->rbp = g->rbp;
    c->rsi = g->rsi;
    c->rdi = g->rdi;
    c->r8 = g->r8;
    c->r9 = g->r9;
    c->r10 = g->r10;
    c->r11 = g->r11;
    c->r12 = g->r12;
    c->r13 = g->r13;
    c->r14 = g->r14;
    c->r15 = g->r15;
    c->rsp = vcpu_get(v, VCPU_RSP);
    c->rip = vcpu_get(v, VCPU_RIP);
    c->rflags = vcpu_get(v, VCPU_RFLAGS);
}

static void get_system(const struct vcpu *v, struct hvm_hw_cpu *c)
{
    c->cr0 = vcpu_get(v, VCPU_CR0);
    c->cr3 = vcpu_get(v, VCPU_CR3);
    c->cr4 = vcpu_get(v, VCPU_CR4);
    c->dr7 = vcpu_get(v, VCPU_DR7);
    c->sysenter_cs = vcpu_get(v, VCPU_SYSENTER_CS);
    c->sysenter_esp = vcpu_get(v, VCPU_SYSENTER_ESP);
    c->sysenter_eip = vcpu_get(v, VCPU_SYSENTER_EIP);
    c->msr_efer = vcpu_get(v, VCPU_EFER);
}

static void get_kept(const struct vcpu *v, struct hvm_hw_cpu *c)
{
    c->cr2 = v->event.with_cr2 ? v->event.cr2 : vcpu_get(v, VCPU_CR2);
    c->dr0 = vcpu_get(v, VCPU_DR0);
    c->dr1 = vcpu_get(v, VCPU_DR1);
    c->dr2 = vcpu_get(v, VCPU_DR2);
    c->dr3 = vcpu_get(v, VCPU_DR3);
    c->dr6 = vcpu_get(v, VCPU_DR6);
    c->shadow_gs = vcpu_get(v, VCPU_KERNEL_GS_BASE);
    c->msr_lstar = vcpu_get(v, VCPU_LSTAR);
    c->msr_star = vcpu_get(v, VCPU_STAR);
    c->msr_cstar = vcpu_get(v, VCPU_CSTAR);
    c->msr_syscall_mask = vcpu_get(v, VCPU_FMASK);
    c->msr_tsc_aux = vendor_caps.tsc_aux ? vcpu_get(v, VCPU_TSC_AUX) : 0;
}

/* What no processor holds while the vCPU is not loaded. */
static void get_unloaded(const struct vcpu *v, struct hvm_hw_cpu *c)
{
    c->pending_event = event_info(&v->event);
    c->error_code = v->event.due ? v->event.error : 0;
    memcpy(c->fpu_regs, v->fpu, sizeof(c->fpu_regs));
    c->flags = XEN_X86_FPU_INITIALISED;
    c->tsc = rdtsc();
}

void vcpu_context_get(struct vcpu *v, struct hvm_hw_cpu *out)
{
    struct vcpu *before;

    CHECK(this_cpu()->loaded != v);
    memset(out, 0, sizeof(*out));
    vcpu_take(v);
    get_unloaded(v, out);
    before = vcpu_borrow(v);
    get_kept(v, out);
    get_general(v, out);
    get_system(v, out);
    get_segments(v, out);
    vcpu_return(v, before);
}

bool vcpu_context_registers(struct vcpu *v, const uint64_t *r)
{
    struct vcpu *before;
    bool done;

    vcpu_take_over(v);
    before = vcpu_borrow(v);
    done = vcpu_registers_load(v, r);

    vcpu_return(v, before);
    return done;
}

uint64_t vcpu_pat(struct vcpu *v)
{
    struct vcpu *before = vcpu_borrow(v);
    uint64_t pat = vcpu_get(v, VCPU_PAT);

    vcpu_return(v, before);
    return pat;
}

/* ---- checking ---- */

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

static uint32_t rights(uint32_t arbytes)
{
    return (arbytes & 0x80 ? 0 : AR_UNUSABLE) | (arbytes & 0xff) | (arbytes & 0xf00) << 4;
}

static uint64_t flags_of(const struct hvm_hw_cpu *c)
{
    return (c->rflags & (RFLAGS_SETTABLE | X86_EFLAGS_VM)) | X86_EFLAGS_FIXED;
}

static bool state_valid(const struct hvm_hw_cpu *c)
{
    struct entry_state s = {
        .cr0 = c->cr0, .cr4 = c->cr4, .efer = c->msr_efer, .rip = c->rip, .rflags = flags_of(c)};

#define SEGMENT(SEG, name)                                                                         \
    s.segment[SEG] = (struct segment){(uint16_t)c->name##_sel, c->name##_base, c->name##_limit,    \
                                      rights(c->name##_arbytes)}
    EACH_SEGMENT
#undef SEGMENT
    return entry_state_valid(&s);
}

/* These go into registers of the processor, which faults on what it does not like. */
static bool registers_valid(const struct hvm_hw_cpu *c)
{
    return canonical(c->shadow_gs) && canonical(c->msr_lstar) && canonical(c->msr_cstar) &&
           !(c->msr_syscall_mask >> 32) && !(c->msr_tsc_aux >> 32) && !(c->dr6 >> 32) &&
           !(c->dr7 >> 32) && !(c->sysenter_cs >> 32) && canonical(c->sysenter_esp) &&
           canonical(c->sysenter_eip) && canonical(c->gdtr_base) && canonical(c->idtr_base) &&
           !((c->gdtr_limit | c->idtr_limit) >> 16);
}

static uint32_t mxcsr_of(const void *image, unsigned at)
{
    uint32_t r;

    memcpy(&r, (const char *)image + at, sizeof(r));
    return r;
}

static bool fpu_valid(const struct vcpu *v, const struct hvm_hw_cpu *c)
{
    uint32_t mask = mxcsr_of(v->fpu, AREA_MXCSR_MASK);

    return !(mxcsr_of(c->fpu_regs, AREA_MXCSR) & ~(mask ? mask : MXCSR_DEFAULT));
}

/* SDM 3, 26.2.1.3 and 26.3.1.4. */
static bool event_valid(const struct vcpu *v, const struct hvm_hw_cpu *c)
{
    const struct event e = event_of_info(c->pending_event);
    bool error =
        e.vector == EXC_DF || (e.vector >= EXC_TS && e.vector <= EXC_PF) || e.vector == EXC_AC;

    if (!e.due || (c->pending_event == event_info(&v->event) && e.type >= EVENT_SOFTWARE)) {
        return true;
    }
    if (c->pending_event != event_info(&e)) { /* other bits */
        return false;
    }
    if (e.type == EVENT_HARDWARE) {
        return e.vector < 32 && e.vector != EXC_NMI &&
               e.has_error == (error && (c->cr0 & X86_CR0_PE)) && c->error_code <= 0xffff;
    }
    return !e.has_error &&
           (e.type == EVENT_NMI ? e.vector == EXC_NMI
                                : e.type == EVENT_EXTERNAL && (c->rflags & X86_EFLAGS_IF));
}

bool vcpu_context_valid(const struct vcpu *v, const struct hvm_hw_cpu *c)
{
    return state_valid(c) && registers_valid(c) && event_valid(v, c) &&
           !(c->flags & ~XEN_X86_FPU_INITIALISED) &&
           (!(c->flags & XEN_X86_FPU_INITIALISED) || fpu_valid(v, c)) && c->pad0 == 0;
}

/* ---- writing ---- */

static void set_segments(struct vcpu *v, const struct hvm_hw_cpu *c)
{
#define SEGMENT(SEG, name)                                                                         \
    do {                                                                                           \
        vcpu_set(v, vcpu_segment_field(VCPU_SELECTOR, SEG), c->name##_sel & 0xffff);               \
        vcpu_set(v, vcpu_segment_field(VCPU_LIMIT, SEG), c->name##_limit);                         \
        vcpu_set(v, vcpu_segment_field(VCPU_BASE, SEG), c->name##_base);                           \
        vcpu_set(v, vcpu_segment_field(VCPU_AR, SEG), rights(c->name##_arbytes));                  \
    } while (0)
    EACH_SEGMENT
#undef SEGMENT
    vcpu_set(v, VCPU_GDTR_BASE, c->gdtr_base);
    vcpu_set(v, VCPU_GDTR_LIMIT, c->gdtr_limit);
    vcpu_set(v, VCPU_IDTR_BASE, c->idtr_base);
    vcpu_set(v, VCPU_IDTR_LIMIT, c->idtr_limit);
}

static void set_general(struct vcpu *v, const struct hvm_hw_cpu *c)
{
    const struct event e = event_of_info(c->pending_event);
    uint64_t blocking = vcpu_get(v, VCPU_BLOCKING);

    v->regs = (struct vcpu_regs){.rax = c->rax,
                                 .rbx = c->rbx,
                                 .rcx = c->rcx,
                                 .rdx = c->rdx,
                                 .rbp = c->rbp,
                                 .rsi = c->rsi,
                                 .rdi = c->rdi,
                                 .r8 = c->r8,
                                 .r9 = c->r9,
                                 .r10 = c->r10,
                                 .r11 = c->r11,
                                 .r12 = c->r12,
                                 .r13 = c->r13,
                                 .r14 = c->r14,
                                 .r15 = c->r15};
    vcpu_set(v, VCPU_RSP, c->rsp);
    vcpu_set(v, VCPU_RIP, c->rip);
    vcpu_set(v, VCPU_RFLAGS, flags_of(c));
    blocking &= ~(uint64_t)(BLOCKING_STI | BLOCKING_MOVSS);
    if (e.due && e.type == EVENT_NMI) {
        blocking &= ~(uint64_t)BLOCKING_NMI; /* or the entry would fail (SDM 3, 26.3.1.5) */
    }
    vcpu_set(v, VCPU_BLOCKING, blocking);
}

static void set_system(struct vcpu *v, const struct hvm_hw_cpu *c)
{
    vcpu_set(v, VCPU_CR3, c->cr3);
    vcpu_reset_control(v, c->cr0, c->cr4, c->msr_efer);
    vcpu_set(v, VCPU_DR7, c->dr7);
    vcpu_set(v, VCPU_SYSENTER_CS, c->sysenter_cs);
    vcpu_set(v, VCPU_SYSENTER_ESP, c->sysenter_esp);
    vcpu_set(v, VCPU_SYSENTER_EIP, c->sysenter_eip);
    vcpu_mirror_forget(v);
}

static void set_fpu(struct vcpu *v, const struct hvm_hw_cpu *c)
{
    uint64_t *xstate_bv = (uint64_t *)(void *)((char *)v->fpu + AREA_XSTATE_BV);
    uint32_t mask = mxcsr_of(v->fpu, AREA_MXCSR_MASK);

    if (!(c->flags & XEN_X86_FPU_INITIALISED)) {
        fpu_area_reset(v->fpu);
        return;
    }
    memcpy(v->fpu, c->fpu_regs, sizeof(c->fpu_regs));
    memcpy((char *)v->fpu + AREA_MXCSR_MASK, &mask, sizeof(mask));
    *xstate_bv |= 3; /* x87 and SSE are in the area, not in their initial state */
}

static void set_kept(struct vcpu *v, const struct hvm_hw_cpu *c)
{
    vcpu_set(v, VCPU_CR2, c->cr2);
    vcpu_set(v, VCPU_DR0, c->dr0);
    vcpu_set(v, VCPU_DR1, c->dr1);
    vcpu_set(v, VCPU_DR2, c->dr2);
    vcpu_set(v, VCPU_DR3, c->dr3);
    vcpu_set(v, VCPU_DR6, c->dr6);
    vcpu_set(v, VCPU_KERNEL_GS_BASE, c->shadow_gs);
    vcpu_set(v, VCPU_LSTAR, c->msr_lstar);
    vcpu_set(v, VCPU_STAR, c->msr_star);
    vcpu_set(v, VCPU_CSTAR, c->msr_cstar);
    vcpu_set(v, VCPU_FMASK, c->msr_syscall_mask);
    if (vendor_caps.tsc_aux) {
        vcpu_set(v, VCPU_TSC_AUX, c->msr_tsc_aux);
    }
}

static void set_unloaded(struct vcpu *v, const struct hvm_hw_cpu *c)
{
    const struct event e = event_of_info(c->pending_event);

    v->event.with_cr2 = false;
    if (!e.due) {
        v->event.due = false;
    } else if (c->pending_event != event_info(&v->event)) {
        v->event = e;
        v->event.error = c->error_code;
    }
    set_fpu(v, c);
}

void vcpu_context_set(struct vcpu *v, const struct hvm_hw_cpu *c)
{
    struct vcpu *before;

    CHECK(this_cpu()->loaded != v);
    vcpu_take_over(v);
    set_unloaded(v, c);
    before = vcpu_borrow(v);
    set_kept(v, c);
    set_general(v, c);
    set_system(v, c);
    set_segments(v, c);
    vcpu_return(v, before);
}
