/* SPDX-License-Identifier: MIT */
#include "exit/pinned.h"
#include <facet/hvmop.h>
#include "exit/reflect.h"
#include "vcpu/pins.h"

static bool refused(struct vcpu *v)
{
    v->altp2m.pins_refused++;
    return false;
}

bool pinned_allows(struct vcpu *v, uint64_t pins, uint64_t old, uint64_t value)
{
    return !((old ^ value) & pins) || refused(v);
}

bool pinned_msr(const struct vcpu *v, uint32_t msr)
{
    return v->altp2m.pins.registers & pins_of_msr(msr);
}

bool pinned_allows_msr(struct vcpu *v, uint32_t msr, uint64_t old, uint64_t value)
{
    return old == value || !pinned_msr(v, msr) || refused(v);
}

bool pinned_allows_xcr0(struct vcpu *v, uint64_t value)
{
    return value == v->xcr0 || !(v->altp2m.pins.registers & FACET_ALTP2M_PIN_XCR0) || refused(v);
}

bool pinned_allows_task(struct vcpu *v)
{
    const struct pins *p = &v->altp2m.pins;
    bool sets_ts = (p->cr0 & X86_CR0_TS) && !(vcpu_get(v, VCPU_CR0) & X86_CR0_TS);

    return !(sets_ts || (p->registers &
                         (FACET_ALTP2M_PIN_TR | FACET_ALTP2M_PIN_LDTR | FACET_ALTP2M_PIN_CR3))) ||
           refused(v);
}

/* ---- CR3 ---- */

static bool binds_cr3(const struct vcpu *v)
{
    return v->altp2m.pins.registers & FACET_ALTP2M_PIN_CR3;
}

bool pinned_allows_cr3(struct vcpu *v, uint64_t cr3)
{
    return !binds_cr3(v) || altp2m_table_kept(&v->altp2m, vcpu_top_table(cr3));
}

bool pinned_asks_cr3(struct vcpu *v, uint64_t cr3)
{
    return reflect_top_table(v, cr3) || refused(v);
}

bool pinned_quickly(const struct vcpu *v)
{
    return binds_cr3(v) && !v->altp2m.inside && !v->exit.special && !v->exit.watch.cr3 &&
           vcpu_long_mode(v);
}

void pinned_knows_cr3(struct vcpu *v, uint64_t cr3)
{
    struct vendor_watch *w = &v->exit.watch;

    if (pinned_quickly(v)) {
        w->cr3_known[w->cr3_count++ % CR3_KNOWN] = cr3;
        VENDOR(watch, v, w);
    }
}

/* ---- descriptor tables ---- */

bool pinned_refuses_table(struct vcpu *v, const struct vcpu_exit *e)
{
    uint32_t pin = pins_of_table((enum vcpu_descriptor)e->descriptor.which);

    if (!e->descriptor.write || !(v->altp2m.pins.registers & pin)) {
        return false;
    }
    refused(v);
    vcpu_inject_error(v, EXC_GP, 0);
    return true;
}

void pinned_pass(struct vcpu *v)
{
    if (v->exit.watch.table_loads) {
        v->exit.passing = true;
        vcpu_monitor_changed(v);
    }
}

void pinned_keep(const struct vcpu *v, struct pinned_tables *t)
{
    t->ldtr = vcpu_segment(v, SEG_LDTR);
    t->tr = vcpu_segment(v, SEG_TR);
    t->idt = vcpu_get(v, VCPU_IDTR_BASE);
    t->idt_limit = vcpu_get(v, VCPU_IDTR_LIMIT);
    t->gdt = vcpu_get(v, VCPU_GDTR_BASE);
    t->gdt_limit = vcpu_get(v, VCPU_GDTR_LIMIT);
}

static bool same(const struct segment *a, const struct segment *b)
{
    return a->selector == b->selector && a->base == b->base && a->limit == b->limit &&
           a->ar == b->ar;
}

/* What ran need not be what exited: another vCPU may have written there. */
void pinned_put_back(struct vcpu *v, const struct pinned_tables *t)
{
    uint32_t pins = v->altp2m.pins.registers;
    struct pinned_tables now;

    pinned_keep(v, &now);
    if ((pins & FACET_ALTP2M_PIN_IDTR) && (now.idt != t->idt || now.idt_limit != t->idt_limit)) {
        vcpu_set(v, VCPU_IDTR_BASE, t->idt);
        vcpu_set(v, VCPU_IDTR_LIMIT, t->idt_limit);
        refused(v);
    }
    if ((pins & FACET_ALTP2M_PIN_GDTR) && (now.gdt != t->gdt || now.gdt_limit != t->gdt_limit)) {
        vcpu_set(v, VCPU_GDTR_BASE, t->gdt);
        vcpu_set(v, VCPU_GDTR_LIMIT, t->gdt_limit);
        refused(v);
    }
    if ((pins & FACET_ALTP2M_PIN_LDTR) && !same(&now.ldtr, &t->ldtr)) {
        vcpu_set_segment(v, SEG_LDTR, &t->ldtr);
        refused(v);
    }
    if ((pins & FACET_ALTP2M_PIN_TR) && !same(&now.tr, &t->tr)) {
        vcpu_set_segment(v, SEG_TR, &t->tr);
        refused(v);
    }
}
