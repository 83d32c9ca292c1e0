/* SPDX-License-Identifier: MIT */
/* General and segment registers by number, and as a monitor sees and sets them (Xen's public
 * vm_event.h). */
#include "guest/xen_abi.h"
#include "domain.h"
#include "lib/console.h"
#include "monitor.h"
#include "vcpu/entry_state.h"

#define AR_BITS 0xffffu
#define RFLAGS_SETTABLE                                                                            \
    0x3d7fd5ULL /* all that is defined, but VM86 mode, which is the segments' too */

_Static_assert(offsetof(struct vcpu_regs, rax) == 0 && offsetof(struct vcpu_regs, rcx) == 8 &&
                   offsetof(struct vcpu_regs, rdx) == 16 && offsetof(struct vcpu_regs, rbx) == 24 &&
                   offsetof(struct vcpu_regs, rbp) == 32 && offsetof(struct vcpu_regs, rsi) == 40 &&
                   offsetof(struct vcpu_regs, rdi) == 48 && offsetof(struct vcpu_regs, r8) == 56 &&
                   offsetof(struct vcpu_regs, r15) == 112,
               "entry_regs.S");

uint8_t vcpu_gpr_offset(unsigned n)
{
    static const uint8_t offset[16] = {
        offsetof(struct vcpu_regs, rax),
        offsetof(struct vcpu_regs, rcx),
        offsetof(struct vcpu_regs, rdx),
        offsetof(struct vcpu_regs, rbx),
        0 /* RSP */,
        offsetof(struct vcpu_regs, rbp),
        offsetof(struct vcpu_regs, rsi),
        offsetof(struct vcpu_regs, rdi),
        offsetof(struct vcpu_regs, r8),
        offsetof(struct vcpu_regs, r9),
        offsetof(struct vcpu_regs, r10),
        offsetof(struct vcpu_regs, r11),
        offsetof(struct vcpu_regs, r12),
        offsetof(struct vcpu_regs, r13),
        offsetof(struct vcpu_regs, r14),
        offsetof(struct vcpu_regs, r15),
    };
    CHECK(n < ARRAY_SIZE(offset) && n != 4);
    return offset[n];
}

static uint64_t *gpr(struct vcpu *v, unsigned n)
{
    return (uint64_t *)((char *)&v->regs + vcpu_gpr_offset(n));
}

uint64_t vcpu_gpr(struct vcpu *v, unsigned n)
{
    return n == 4 ? vcpu_get(v, VCPU_RSP) : *gpr(v, n);
}

void vcpu_set_gpr(struct vcpu *v, unsigned n, uint64_t value)
{
    if (n == 4) {
        vcpu_set(v, VCPU_RSP, value);
    } else {
        *gpr(v, n) = value;
    }
}

struct segment vcpu_segment(const struct vcpu *v, unsigned segment)
{
    return (struct segment){
        .selector = (uint16_t)vcpu_get(v, vcpu_segment_field(VCPU_SELECTOR, segment)),
        .base = vcpu_get(v, vcpu_segment_field(VCPU_BASE, segment)),
        .limit = (uint32_t)vcpu_get(v, vcpu_segment_field(VCPU_LIMIT, segment)),
        .ar = (uint32_t)vcpu_get(v, vcpu_segment_field(VCPU_AR, segment)),
    };
}

void vcpu_set_segment(struct vcpu *v, unsigned segment, const struct segment *s)
{
    vcpu_set(v, vcpu_segment_field(VCPU_SELECTOR, segment), s->selector);
    vcpu_set(v, vcpu_segment_field(VCPU_BASE, segment), s->base);
    vcpu_set(v, vcpu_segment_field(VCPU_LIMIT, segment), s->limit);
    vcpu_set(v, vcpu_segment_field(VCPU_AR, segment), s->ar);
}

void vcpu_dump(struct vcpu *v)
{
    const struct vcpu_regs *r = &v->regs;
    struct domain *d = v->domain;

    domain_say(d, "d%uv%u rip %016lx rsp %016lx rflags %lx", v->domain->id, v->id,
               vcpu_get(v, VCPU_RIP), vcpu_get(v, VCPU_RSP), vcpu_get(v, VCPU_RFLAGS));
    domain_say(d, "rax %016lx rbx %016lx rcx %016lx rdx %016lx", r->rax, r->rbx, r->rcx, r->rdx);
    domain_say(d, "rsi %016lx rdi %016lx rbp %016lx r8  %016lx", r->rsi, r->rdi, r->rbp, r->r8);
    domain_say(d, "r9  %016lx r10 %016lx r11 %016lx r12 %016lx", r->r9, r->r10, r->r11, r->r12);
    domain_say(d, "r13 %016lx r14 %016lx r15 %016lx efer %lx", r->r13, r->r14, r->r15,
               vcpu_get(v, VCPU_EFER));
    domain_say(d, "cr0 %lx cr2 %lx cr3 %lx cr4 %lx cs %lx/%lx view %d", vcpu_get(v, VCPU_CR0),
               vcpu_get(v, VCPU_CR2), vcpu_get(v, VCPU_CR3), vcpu_get(v, VCPU_CR4),
               vcpu_get(v, vcpu_segment_field(VCPU_SELECTOR, SEG_CS)),
               vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_CS)), (int16_t)v->altp2m.view.v);
}

/* ---- for a monitor ---- */

static void general(struct vcpu *v, struct vm_event_regs_x86 *r)
{
    const struct vcpu_regs *g = &v->regs;

    r->rax = g->rax;
    r->rcx = g->rcx;
    r->rdx = g->rdx;
    r->rbx = g->rbx;
    r->rsp = vcpu_get(v, VCPU_RSP);
    r->rbp = g->rbp;
    r->rsi = g->rsi;
    r->rdi = g->rdi;
    r->r8 = g->r8;
    r->r9 = g->r9;
    r->r10 = g->r10;
    r->r11 = g->r11;
    r->r12 = g->r12;
    r->r13 = g->r13;
    r->r14 = g->r14;
    r->r15 = g->r15;
    r->rflags = vcpu_get(v, VCPU_RFLAGS);
    r->rip = vcpu_get(v, VCPU_RIP);
}

static void control(struct vcpu *v, struct vm_event_regs_x86 *r)
{
    r->dr6 = vcpu_get(v, VCPU_DR6);
    r->dr7 = vcpu_get(v, VCPU_DR7);
    r->cr0 = vcpu_get(v, VCPU_CR0);
    r->cr2 = vcpu_get(v, VCPU_CR2);
    r->cr3 = vcpu_get(v, VCPU_CR3);
    r->cr4 = vcpu_get(v, VCPU_CR4);
    r->sysenter_cs = vcpu_get(v, VCPU_SYSENTER_CS);
    r->sysenter_esp = vcpu_get(v, VCPU_SYSENTER_ESP);
    r->sysenter_eip = vcpu_get(v, VCPU_SYSENTER_EIP);
    r->msr_efer = vcpu_get(v, VCPU_EFER);
    r->msr_star = vcpu_get(v, VCPU_STAR);
    r->msr_lstar = vcpu_get(v, VCPU_LSTAR);
    r->shadow_gs = vcpu_get(v, VCPU_KERNEL_GS_BASE);
    r->gdtr_base = vcpu_get(v, VCPU_GDTR_BASE);
    r->gdtr_limit = (uint16_t)vcpu_get(v, VCPU_GDTR_LIMIT);
    r->vmtrace_pos = ~0ULL;
}

/* The limit is in pages if the granularity bit says so; bits 8 to 11 of the rights are
 * not there. */
static void segment(struct vcpu *v, unsigned seg, struct vm_event_x86_selector_reg *s,
                    uint16_t *selector)
{
    uint32_t limit = (uint32_t)vcpu_get(v, vcpu_segment_field(VCPU_LIMIT, seg));
    uint32_t ar = (uint32_t)vcpu_get(v, vcpu_segment_field(VCPU_AR, seg)) & AR_BITS;

    s->limit = (ar & AR_G ? limit >> PAGE_SHIFT : limit) & 0xfffff;
    s->ar = ((ar & 0xff) | (ar >> 4 & 0xf00)) & 0xfff;
    *selector = (uint16_t)vcpu_get(v, vcpu_segment_field(VCPU_SELECTOR, seg));
}

static void segments(struct vcpu *v, struct vm_event_regs_x86 *r)
{
    r->cs_base = (uint32_t)vcpu_get(v, vcpu_segment_field(VCPU_BASE, SEG_CS));
    r->ss_base = (uint32_t)vcpu_get(v, vcpu_segment_field(VCPU_BASE, SEG_SS));
    r->ds_base = (uint32_t)vcpu_get(v, vcpu_segment_field(VCPU_BASE, SEG_DS));
    r->es_base = (uint32_t)vcpu_get(v, vcpu_segment_field(VCPU_BASE, SEG_ES));
    r->fs_base = vcpu_get(v, vcpu_segment_field(VCPU_BASE, SEG_FS));
    r->gs_base = vcpu_get(v, vcpu_segment_field(VCPU_BASE, SEG_GS));
#define SEGMENT(SEG, name)                                                                         \
    do {                                                                                           \
        struct vm_event_x86_selector_reg s;                                                        \
        uint16_t selector;                                                                         \
        segment(v, SEG, &s, &selector);                                                            \
        r->name = s;                                                                               \
        r->name##_sel = selector;                                                                  \
    } while (0)
    SEGMENT(SEG_CS, cs);
    SEGMENT(SEG_SS, ss);
    SEGMENT(SEG_DS, ds);
    SEGMENT(SEG_ES, es);
    SEGMENT(SEG_FS, fs);
    SEGMENT(SEG_GS, gs);
#undef SEGMENT
}

void vcpu_registers(struct vcpu *v, struct vm_event_regs_x86 *out)
{
    struct vcpu *before = vcpu_borrow(v);

    general(v, out);
    control(v, out);
    segments(v, out);
    vcpu_return(v, before);
}

/* STI's and MOV SS's blocking belongs to the instruction that it stands before (SDM
 * 3, 26.3.1.5). */
static void adapt_blocking(struct vcpu *v, uint64_t old_rip, uint64_t rip, uint64_t rflags)
{
    uint64_t all = vcpu_get(v, VCPU_BLOCKING), blocking = all & (BLOCKING_STI | BLOCKING_MOVSS);
    uint64_t pending = vcpu_get(v, VCPU_PENDING_TRAP) & ~(uint64_t)TRAP_BS;

    if (!blocking) {
        return;
    }
    if (rip != old_rip || ((blocking & BLOCKING_STI) && !(rflags & X86_EFLAGS_IF))) {
        vcpu_set(v, VCPU_BLOCKING, all & ~(uint64_t)(BLOCKING_STI | BLOCKING_MOVSS));
    } else {
        vcpu_set(v, VCPU_PENDING_TRAP, rflags & X86_EFLAGS_TF ? pending | TRAP_BS : pending);
    }
}

bool vcpu_registers_load(struct vcpu *v, const uint64_t *r)
{
    uint64_t rip = r[17], vm = vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_VM;
    uint64_t rflags = (r[16] & RFLAGS_SETTABLE) | X86_EFLAGS_FIXED | vm;
    bool interrupted = v->event.due && v->event.type == EVENT_EXTERNAL;

    if (!entry_rip_valid(rip, vcpu_long_mode(v)) || (interrupted && !(rflags & X86_EFLAGS_IF))) {
        return false;
    }
    v->regs = (struct vcpu_regs){.rax = r[0],
                                 .rcx = r[1],
                                 .rdx = r[2],
                                 .rbx = r[3],
                                 .rbp = r[5],
                                 .rsi = r[6],
                                 .rdi = r[7],
                                 .r8 = r[8],
                                 .r9 = r[9],
                                 .r10 = r[10],
                                 .r11 = r[11],
                                 .r12 = r[12],
                                 .r13 = r[13],
                                 .r14 = r[14],
                                 .r15 = r[15]};
    adapt_blocking(v, vcpu_get(v, VCPU_RIP), rip, rflags);
    vcpu_set(v, VCPU_RSP, r[4]);
    vcpu_set(v, VCPU_RFLAGS, rflags);
    vcpu_set(v, VCPU_RIP, rip);
    return true;
}
