/* SPDX-License-Identifier: MIT */
/*
 * A vCPU on a mirror of its page tables (vcpu/mirror.h). Where page walks count as writes, tables
 * that a view lets be read and not written cannot be walked by the processor. So it walks others,
 * that the guest cannot reach, and a #PF there asks for one page: it is looked up in the guest's
 * tables as the view shows them, and what that walk needs to write and may not, accessed and dirty
 * bits, is a violation like any other.
 */
#include "exit/mirror.h"
#include <facet/hvmop.h>
#include "domain.h"
#include "exit/exit.h"
#include "exit/touch.h"
#include "guest/made.h"
#include "vcpu/hand.h"
#include "vcpu/mirror.h"
#include "x86/code.h"

/* So many pages without a table among those that they were found by which may not be written, and
 * the guest walks its own again. */
#define IDLE_MAX 4096u

static void follow(struct vcpu *v)
{
    v->exit.watch.mirror = v->mirror;
    VENDOR(watch, v, &v->exit.watch);
    vcpu_flush(v);
}

/*
 * Not where narrow pages are opened for an instruction (narrow.c): with a mirror that had no end
 * (tests/guest/narrow.c, behind_protected_tables), and walks can be let through one by one.
 */
bool mirror_begin(struct vcpu *v)
{
    if (v->mirror || domain_config_of(v->domain)->altp2m_narrow || v->altp2m.lifted ||
        !vcpu_can_mirror(v) || !vcpu_mirror_make(v)) {
        return false;
    }
    v->exit.mirror_idle = 0;
    follow(v);
    return true;
}

/*
 * Whose CR3 is pinned has an agent that watches its page tables, and no use for accessed and dirty
 * bits: to be told of them in the delivery of an exception, or of #VE, would be the end.
 */
static bool marks(struct vcpu *v)
{
    return (v->altp2m.pins.registers & FACET_ALTP2M_PIN_CR3) && !monitor_listens(v->domain);
}

static void becomes_violation(struct vcpu_exit *e, uint64_t linear, gpa_t a, bool walk,
                              unsigned rights)
{
    e->kind = VCPU_EXIT_VIOLATION;
    e->reason = vendor_caps.violation;
    e->violation.gpa = a;
    e->violation.gla = linear;
    e->violation.gla_valid = true;
    e->violation.walk = walk;
    e->violation.rights = (uint8_t)rights;
}

static gpa_t leads_to(const struct hand_look *l)
{
    uint64_t within = (1ULL << l->shift) - 1;

    return gpa((l->entry & FORMAT_ADDRESS_MASK & ~within) | (l->linear & within));
}

static unsigned rights_asked(uint32_t error)
{
    return error & PF_FETCH ? RIGHT_X : error & PF_WRITE ? RIGHT_R | RIGHT_W : RIGHT_R;
}

static void show(struct vcpu *v, const struct hand_look *l, uint32_t error, struct vcpu_exit *e)
{
    enum mirror_shown shown = vcpu_mirror_show(v, l->linear, l->shift, l->entry, l->global);

    if (shown == MIRROR_NOWHERE) {
        becomes_violation(e, l->linear, leads_to(l), false, rights_asked(error));
    } else if (shown == MIRROR_SHOWN || !(error & PF_PRESENT)) {
        e->kind = VCPU_EXIT_WINDOW;
    } /* else it was there before, and the fault is the guest's own */
    v->exit.mirror_idle = l->guarded || l->marks ? 0 : v->exit.mirror_idle + 1;
    if (v->exit.mirror_idle > IDLE_MAX) {
        vcpu_mirror_end(v);
        follow(v);
    }
}

void mirror_look(struct vcpu *v, struct vcpu_exit *e)
{
    struct event *event = &e->exception.event;
    struct hand_look l;

    e->kind = VCPU_EXIT_EXCEPTION;
    if (!v->mirror) { /* v went offline meanwhile */
        e->kind = VCPU_EXIT_WINDOW;
        return;
    }
    if (!vcpu_can_mirror(v)) {
        return;
    }
    l = (struct hand_look){.linear = event->cr2, .error = event->error, .marks = marks(v)};
    switch (hand_look(v, &l)) {
    case HAND_DONE:
        show(v, &l, event->error, e);
        break;
    case HAND_FAULT:
        event->error = l.error;
        break;
    case HAND_DENIED:
        becomes_violation(e, l.linear, l.gpa, true, l.denied);
        break;
    default:
        e->kind = VCPU_EXIT_WINDOW;
        break;
    }
}

void mirror_fault(struct vcpu *v, const struct vcpu_exit *e)
{
    struct vcpu_exit is = *e;

    mirror_look(v, &is);
    exit_handle(v, &is);
}

static bool is_invlpg(const struct code *c)
{
    return code_byte(c, 0) == 0x0f && code_byte(c, 1) == 0x01;
}

/* INVPCID, and what is not there any more, forgets all. */
void mirror_invlpg(struct vcpu *v, const struct vcpu_exit *e)
{
    uint64_t ar = vcpu_get(v, vcpu_segment_field(VCPU_AR, SEG_CS));
    unsigned bits = vcpu_long_mode(v) ? 64 : ar & AR_DB ? 32 : 16;
    struct code c;
    struct touch t;
    bool known;

    (void)e;
    vcpu_code_begin(v, &c);
    known = touch_decode(c.bytes, c.nr, bits, &t) && is_invlpg(&c);
    if (!v->mirror || !vcpu_can_mirror(v)) { /* the processor walks v's own */
        vcpu_flush(v);
    } else {
        vcpu_mirror_hide(v, known ? mmio_linear(v, &t.at) : 0, !known);
    }
    exit_skip(v, 0);
}
