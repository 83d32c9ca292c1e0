/* SPDX-License-Identifier: MIT */
/* The part of tables.h that runs in the kernel's view. */
#include "tables.h"

#include "shield.h"

#define ENOSPC 28
#define PAGE   4096u

#define ENTRY_PRESENT 1u
#define ENTRY_LARGE   0x80u
#define ENTRY_FRAME   0x000ffffffffff000ULL
#define TOP_SHIFT     39u

static struct tables_page *page_of(uint64_t gfn)
{
    uint64_t i = 0;

    while (i < guard_tables.pages && guard_tables.page[i].gfn != gfn)
        i++;
    if (i == TABLES_PAGES)
        return NULL;
    if (i == guard_tables.pages) {
        guard_tables.page[i].gfn = gfn;
        for (unsigned int w = 0; w < 8; w++)
            ((volatile uint64_t *)guard_tables.page[i].fixed)[w] = 0;
        guard_tables.pages++;
    }
    return &guard_tables.page[i];
}

static int note_root(uint64_t slot, unsigned int half, uint64_t value)
{
    uint64_t i = 0;

    while (i < guard_tables.roots && guard_tables.root[i].slot != slot)
        i++;
    if (i == TABLES_ROOTS)
        return -ENOSPC;
    guard_tables.roots += i == guard_tables.roots;
    guard_tables.root[i].slot = slot;
    guard_tables.root[i].value[half] = value;
    return 0;
}

/* Notes all entries that lead to an address, by one of the two top tables; how far the last of them
 * reaches is *size. */
static int follow(const struct shield_tables *t, unsigned int half, uint64_t at, uint64_t *size)
{
    const volatile uint64_t *entries =
        (const volatile uint64_t *)((const char *)t->top + half * t->twin);
    unsigned int shift = TOP_SHIFT;
    uint64_t e = entries[at >> shift & 511];
    int rc = note_root(at >> shift & 511, half, e);

    while (!rc && (e & ENTRY_PRESENT) && shift > 12 && (shift == TOP_SHIFT || !(e & ENTRY_LARGE))) {
        struct tables_page *p = page_of((e & ENTRY_FRAME) / PAGE);
        uint64_t slot;

        shift -= 9;
        slot = at >> shift & 511;
        entries = (const volatile uint64_t *)t->at(t->context, e & ENTRY_FRAME);
        if (!p)
            return -ENOSPC;
        p->fixed[slot / 64] |= 1ULL << slot % 64;
        e = entries[slot];
    }
    *size = 1ULL << shift;
    return rc;
}

static int note_address(const struct shield_tables *t, uint64_t first, uint64_t last)
{
    int rc = 0;

    for (unsigned int half = 0; half <= (t->twin != 0) && !rc; half++) {
        uint64_t size = 0;

        for (uint64_t at = first; at >= first && at <= last && !rc; at = (at & -size) + size)
            rc = follow(t, half, at, &size);
    }
    return rc;
}

int tables_find(const struct shield_hooks *hooks)
{
    const struct shield_tables *t = hooks->tables;
    int rc = 0;

    guard_tables.roots = guard_tables.pages = 0;
    guard_tables.twin = t->twin;
    guard_tables.master = hooks->gfn_of(hooks->context, t->top).v;
    for (unsigned int i = 0; i < t->ranges && !rc; i++)
        rc = note_address(t, t->range[i].first, t->range[i].last);
    return rc;
}

/* ---- what an instruction writes ---- */

#define REX_W        8u
#define REX_R        4u
#define MOV_STORE    0x89u
#define MOV_IMM      0xc7u
#define XCHG         0x87u
#define MODRM_REG(b) ((b) >> 3 & 7)

/* The length of ModRM, SIB and displacement; 0: no memory. */
static unsigned int operand(const uint8_t *b)
{
    unsigned int mod = b[0] >> 6, rm = b[0] & 7, n = 1;

    if (mod == 3)
        return 0;
    n += rm == 4;
    if (mod == 1)
        n += 1;
    if (mod == 2 || (mod == 0 && (rm == 5 || (rm == 4 && (b[1] & 7) == 5))))
        n += 4;
    return n;
}

static uint64_t *reg(struct tables_regs *r, unsigned int n)
{
    uint64_t *const regs[] = {&r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp,
                              &r->rsi, &r->rdi, &r->r8,  &r->r9,  &r->r10, &r->r11,
                              &r->r12, &r->r13, &r->r14, &r->r15};

    return regs[n];
}

void tables_decode(struct tables_regs *r, struct tables_value *v)
{
    const uint8_t *b = (const uint8_t *)r->rip;
    uint8_t rex = b[0], op = b[1];
    unsigned int n = operand(&b[2]);
    uint64_t *source = reg(r, MODRM_REG(b[2]) | (rex & REX_R) << 1);

    *v = (struct tables_value){.kind = TABLES_UNKNOWN, .rip = r->rip + 2 + n};
    if ((rex & 0xf8) != 0x48 || !n)
        return;
    v->value = *source;
    if (op == MOV_STORE) {
        v->kind = TABLES_STORE;
    } else if (op == XCHG) {
        v->kind = TABLES_EXCHANGE;
        v->exchanged = source;
    } else if (op == MOV_IMM && MODRM_REG(b[2]) == 0) {
        v->kind = TABLES_STORE;
        v->value = (uint64_t)(int64_t)(int32_t)(b[2 + n] | b[3 + n] << 8 | b[4 + n] << 16 |
                                                (uint32_t)b[5 + n] << 24);
        v->rip += 4;
    }
}
