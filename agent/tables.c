/* SPDX-License-Identifier: MIT */
/* What runs in the agent's view; tables_find.c is the rest. */
#include "tables.h"

#include <xen/xen.h>
#include <xen/hvm/hvm_op.h>

#include "facet/hvmop.h"

#define EPERM       1
#define ARCH_HVM_OP 34 /* xen.h: __HYPERVISOR_hvm_op */
#define PAGE        4096u

#define ENTRY_FRAME    0x000ffffffffff000ULL
#define ENTRY_PRESENT  1ULL
#define ENTRY_WRITE    2ULL
#define ENTRY_ACCESSED 0x20ULL
#define ENTRY_FLAGS    0x60ULL /* accessed, dirty: the processor's */

AGENT_PRIVATE struct tables guard_tables = {.on = 0};

static AGENT_ENTER bool same(uint64_t a, uint64_t b)
{
    return !((a ^ b) & ~ENTRY_FLAGS);
}

static AGENT_ENTER volatile uint64_t *memory(uint64_t gpa)
{
    return (volatile uint64_t *)(guard.memory + gpa);
}

static AGENT_ENTER const struct tables_page *lower(uint64_t gfn)
{
    for (uint64_t i = 0; i < guard_tables.pages; i++)
        if (guard_tables.page[i].gfn == gfn)
            return &guard_tables.page[i];
    return NULL;
}

static AGENT_ENTER bool is_top(uint64_t gfn)
{
    return gfn < TABLES_FRAMES && (guard_tables.loaded[gfn / 64] >> gfn % 64 & 1);
}

AGENT_ENTER bool tables_know(uint64_t gfn)
{
    return guard_tables.on && (is_top(gfn) || lower(gfn));
}

/* A top table and its twin: the first of them, and how many. */
static AGENT_ENTER uint64_t first_of(uint64_t gfn)
{
    return gfn & ~(guard_tables.twin / PAGE);
}

static AGENT_ENTER uint64_t count(void)
{
    return 1 + guard_tables.twin / PAGE;
}

/* Access of both in the kernel's view; violations are #VEs. */
static AGENT_ENTER long restrict_top(uint64_t gfn, uint64_t access)
{
    volatile struct xen_hvm_altp2m_op op;
    volatile uint64_t *words = (volatile uint64_t *)&op;
    long rc = ARCH_HVM_OP;

    for (unsigned int i = 0; i < sizeof(op) / sizeof(*words); i++)
        words[i] = 0;
    op.version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op.cmd = FACET_ALTP2M_set_range;
    op.domain = DOMID_SELF;
    words[2] = guard_tables.view | access << 16;
    words[3] = gfn;
    words[4] = count();
    __asm__ volatile("vmcall" : "+a"(rc) : "D"((uint64_t)HVMOP_altp2m), "S"(words) : "memory");
    return rc;
}

static AGENT_ENTER void mark(uint64_t gfn, bool on)
{
    for (uint64_t i = 0; i < count(); i++, gfn++) {
        uint64_t bit = 1ULL << gfn % 64;

        guard_tables.loaded[gfn / 64] =
            on ? guard_tables.loaded[gfn / 64] | bit : guard_tables.loaded[gfn / 64] & ~bit;
    }
}

static AGENT_ENTER bool leads_right(uint64_t gfn)
{
    bool right = true;

    for (uint64_t t = 0; t < count(); t++)
        for (uint64_t i = 0; i < guard_tables.roots; i++)
            right = right && same(memory((gfn + t) * PAGE)[guard_tables.root[i].slot],
                                  guard_tables.root[i].value[t]);
    return right;
}

static AGENT_ENTER void lock(void)
{
    while (__atomic_exchange_n(&guard_tables.lock, 1, __ATOMIC_ACQUIRE))
        __asm__ volatile("pause");
}

static AGENT_ENTER void unlock(void)
{
    __atomic_store_n(&guard_tables.lock, 0, __ATOMIC_RELEASE);
}

AGENT_ENTER long tables_load(uint64_t cr3)
{
    uint64_t gfn = first_of((cr3 & ENTRY_FRAME) / PAGE);
    long rc;

    if (!guard_tables.on || gfn + count() > TABLES_FRAMES)
        return -EPERM;
    lock();
    rc = restrict_top(gfn, ALTP2M_R); /* first, so that it stays as it is seen */
    if (!rc && !leads_right(gfn)) {
        restrict_top(gfn, ALTP2M_RWX);
        rc = -EPERM;
    }
    if (!rc)
        mark(gfn, true);
    unlock();
    return rc;
}

/* As dirty goes what can be written by it: nobody minds a flag that is early. */
AGENT_ENTER void tables_walked(uint64_t gpa)
{
    volatile uint64_t *entry = memory(gpa & ~7ULL);
    uint64_t e = *entry;

    if (e & ENTRY_PRESENT)
        __atomic_fetch_or(entry, e & ENTRY_WRITE ? ENTRY_FLAGS : ENTRY_ACCESSED, __ATOMIC_SEQ_CST);
}

/* The hypervisor knows whether a vCPU has it loaded. */
static AGENT_ENTER bool let_go(uint64_t gfn)
{
    bool gone = false;

    if (gfn != guard_tables.master) {
        lock();
        gone = !restrict_top(gfn, ALTP2M_RWX);
        if (gone)
            mark(gfn, false);
        unlock();
    }
    return gone;
}

/* Tables of others are seldom written: their frames have another use by now, more likely. */
AGENT_ENTER int tables_begin(uint64_t gpa, uint64_t cr3)
{
    uint64_t gfn = gpa / PAGE, top = first_of(gfn);

    if (is_top(gfn) && top != first_of((cr3 & ENTRY_FRAME) / PAGE) && let_go(top))
        return GUARD_GO_ON;
    return GUARD_VALUE;
}

static AGENT_ENTER bool may_be(uint64_t gfn, uint64_t slot, uint64_t value)
{
    const struct tables_page *p = lower(gfn);
    uint64_t first = first_of(gfn);

    if (p && (p->fixed[slot / 64] >> slot % 64 & 1) && !same(memory(gfn * PAGE)[slot], value))
        return false;
    for (uint64_t i = 0; is_top(gfn) && i < guard_tables.roots; i++)
        if (guard_tables.root[i].slot == slot &&
            !same(guard_tables.root[i].value[gfn - first], value))
            return false;
    return p || is_top(gfn);
}

AGENT_ENTER int tables_write(uint64_t gpa, uint64_t value, uint64_t kind, uint64_t *old)
{
    volatile uint64_t *entry = memory(gpa);

    if (kind == TABLES_UNKNOWN || gpa % 8 || !may_be(gpa / PAGE, gpa % PAGE / 8, value))
        return is_top(gpa / PAGE) && let_go(first_of(gpa / PAGE)) ? GUARD_GO_ON : GUARD_REFUSE;
    if (kind == TABLES_EXCHANGE)
        *old = __atomic_exchange_n(entry, value, __ATOMIC_SEQ_CST);
    else
        *entry = value;
    return GUARD_STORE;
}
