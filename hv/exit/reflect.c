/* SPDX-License-Identifier: MIT */
/*
 * What an Intel processor does for a guest by itself and another one does not: #VE and VMCALL.
 * As far as the guest can tell it is the same, but for the time it takes.
 */
#include "exit/reflect.h"
#include <string.h>
#include "domain.h"
#include "exit/exit.h"
#include "mm/frame.h"

#define INSTRUCTION_BYTES 3u

/* The information page (SDM 3, 25.5.7.2). */
struct ve_page {
    uint32_t reason, busy;
    uint64_t qualification, gla, gpa;
    uint16_t index;
};
_Static_assert(offsetof(struct ve_page, index) == 32, "SDM 3, table 25-1");

#define VE_REASON    48u /* the number of a violation ... */
#define VE_CR        28u /* ... and of an access to a control register */
#define VE_BUSY      0xffffffffu
#define VE_GLA_VALID (1u << 7)
#define VE_FINAL     (1u << 8)

static struct ve_page *ve_page(const struct vcpu *v)
{
    return frame_virt(v->altp2m.ve_info);
}

/* Of an event, too. */
static inline bool takes_it(const struct vcpu *v)
{
    return !mfn_eq(v->altp2m.ve_info, MFN_INVALID) && !v->event.due &&
           (vcpu_get(v, VCPU_CR0) & X86_CR0_PE) && ve_page(v)->busy == 0;
}

static inline bool can(const struct vcpu *v)
{
    return vendor_caps.reflects && !v->altp2m.lifted && takes_it(v);
}

/* A fault's frame has RF. */
static void deliver(struct vcpu *v)
{
    v->event = (struct event){.vector = EXC_VE, .type = EVENT_HARDWARE, .due = true};
    vcpu_set(v, VCPU_RFLAGS, vcpu_get(v, VCPU_RFLAGS) | X86_EFLAGS_RF);
}

bool reflect_top_table(struct vcpu *v, uint64_t cr3)
{
    struct ve_page *p = ve_page(v);

    if (!takes_it(v)) {
        return false;
    }
    p->reason = VE_CR;
    p->busy = VE_BUSY;
    p->qualification = 3; /* MOV to CR3 */
    p->gla = cr3;
    p->gpa = vcpu_top_table(cr3).v << PAGE_SHIFT;
    p->index = (uint16_t)v->altp2m.view.v;
    deliver(v);
    return true;
}

bool reflect_can(const struct vcpu *v)
{
    return can(v);
}

static inline void fill(struct vcpu *v, const struct vcpu_exit *e, unsigned given, bool gla_valid,
                        bool walk, uint64_t gla)
{
    struct ve_page *p = ve_page(v);
    unsigned rights = e->violation.rights;

    p->reason = VE_REASON;
    p->busy = VE_BUSY;
    /* A write is RIGHT_R | RIGHT_W, and told as a write alone. */
    p->qualification = (rights & RIGHT_W ? RIGHT_W : rights) | given << 3 |
                       (gla_valid ? VE_GLA_VALID : 0) | (gla_valid && !walk ? VE_FINAL : 0);
    p->gla = gla;
    p->gpa = e->violation.gpa.v;
    p->index = (uint16_t)v->altp2m.view.v;
}

/* Nothing else is due: reflect_can(). */
static void raise(struct vcpu *v, const struct vcpu_exit *e, bool gla_valid, uint64_t gla)
{
    fill(v, e, v->exit.given, gla_valid, e->violation.walk, gla);
    deliver(v);
}

static __attribute__((noinline)) void find_and_raise(struct vcpu *v, const struct vcpu_exit *exit)
{
    struct vcpu_exit e = *exit;

    linear_find(v, &e);
    raise(v, &e, e.violation.gla_valid, e.violation.gla_valid ? e.violation.gla : 0);
}

void reflect_violation(struct vcpu *v, const struct vcpu_exit *e)
{
    uint64_t gla;

    if (linear_quickly(v, e, &gla)) {
        raise(v, e, true, gla);
    } else {
        find_and_raise(v, e);
    }
}

bool vcpu_reflect(struct vcpu *v, const struct vcpu_exit *e)
{
    unsigned given;
    uint64_t gla;

    if (v->exit.special || v->guest.monitor.work || !can(v) || !linear_quickly(v, e, &gla) ||
        !altp2m_raises_ve(&v->altp2m, gpa_to_gfn(e->violation.gpa), e->violation.rights, &given)) {
        return false;
    }
    fill(v, e, given, true, false, gla);
    return true;
}

bool reflect_instruction(struct vcpu *v)
{
    static const uint8_t vmcall[INSTRUCTION_BYTES] = {0x0f, 0x01, 0xc1};
    uint8_t b[INSTRUCTION_BYTES];

    if (memcmp(vmcall, vendor_caps.hypercall, sizeof(b)) == 0 ||
        vcpu_code(v, b, sizeof(b)) != sizeof(b) || memcmp(vmcall, b, sizeof(b)) != 0) {
        return false;
    }
    if (guest_hypercall(v)) {
        exit_skip(v, INSTRUCTION_BYTES);
    }
    return true;
}
