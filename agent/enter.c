/* SPDX-License-Identifier: MIT */
#include "shield.h"

#include "facet/hvmop.h"

#define EINVAL 22
#define ENOSPC 28
#define PAGE   4096u

#define PTE_PRESENT 1u
#define PTE_WRITE   2u
#define PTE_LARGE   0x80u
#define PTE_FRAME   0x000ffffffffff000ULL

#define LARGE (1ULL << 21)
#define MEMORY                                                                                     \
    256u /* entries of the top table that are looked through for a free one, from 1 on             \
          */

#define tables enter_private.tables
#define taken  enter_private.taken

bool enter_possible(const struct altp2m *xen)
{
    const struct facet_altp2m_enter none = {.view = ALTP2M_VIEW_NONE.v};

    /* The policy speaks before anything is looked at. */
    return altp2m_may(xen, FACET_ALTP2M_enter) && altp2m_may(xen, FACET_ALTP2M_seal) &&
           altp2m_enter(xen, &none) == -EINVAL;
}

static uint64_t frame_of(const struct shield *s, const void *at)
{
    return s->hooks.gfn_of(s->hooks.context, at).v * PAGE;
}

/* The table that an entry leads to, which is one of ours. */
static uint64_t *follow(const struct shield *s, uint64_t *e)
{
    if (!(*e & PTE_PRESENT)) {
        if (taken == ENTER_TABLES)
            return NULL;
        for (unsigned int i = 0; i < 512; i++)
            ((volatile uint64_t *)tables[taken])[i] = 0;
        *e = frame_of(s, tables[taken++]) | PTE_PRESENT | PTE_WRITE;
    }
    for (uint64_t i = 0; i < taken; i++)
        if (frame_of(s, tables[i]) == (*e & PTE_FRAME))
            return tables[i];
    return NULL;
}

/* One page, of 4 KiB or (shift 21) 2 MiB. */
static int map(const struct shield *s, uint64_t at, uint64_t frame, unsigned int shift)
{
    uint64_t *t = tables[0];

    for (unsigned int level = 39; level > shift && t; level -= 9)
        t = follow(s, &t[at >> level & 511]);
    if (!t)
        return -ENOSPC;
    t[at >> shift & 511] = frame | PTE_PRESENT | PTE_WRITE | (shift > 12 ? PTE_LARGE : 0);
    return 0;
}

static int map_section(const struct shield *s, const char *start, const char *end)
{
    int rc = 0;

    for (const char *at = start; at < end && !rc; at += PAGE)
        rc = map(s, (uint64_t)at, frame_of(s, at), 12);
    return rc;
}

/* All memory, at the first place that the sections leave. */
static int map_memory(const struct shield *s, const struct shield_range *ram, unsigned int rams)
{
    unsigned int slot = 1;
    int rc = 0;

    while (slot < MEMORY && tables[0][slot])
        slot++;
    guard.memory = (uint64_t)slot << 39;
    for (unsigned int i = 0; i < rams && !rc; i++)
        for (uint64_t a = ram[i].first.v * PAGE & ~(LARGE - 1); a <= ram[i].last.v * PAGE && !rc;
             a += LARGE)
            rc = map(s, guard.memory + a, a, 21);
    return rc;
}

static void fill_tables(void)
{
    enter_private.gdt[1] = 0x00af9b000000ffff; /* 64-bit code */
    enter_private.gdt[2] = 0x00cf93000000ffff;
    for (unsigned int i = 0; i < ENTER_VECTORS; i++) {
        uint64_t to = (uint64_t)gate_trapped;

        enter_private.idt[i] = (struct enter_gate){
            .low = (uint16_t)to,
            .selector = 8,
            .type = 0x8e00,
            .middle = (uint16_t)(to >> 16),
            .high = (uint32_t)(to >> 32),
        };
    }
}

int enter_build(const struct shield *s, const struct shield_range *ram, unsigned int rams)
{
    int rc;

    taken = 1;
    for (unsigned int i = 0; i < 512; i++)
        ((volatile uint64_t *)tables[0])[i] = 0;
    fill_tables();
    rc = map_section(s, agent_text, agent_text_end);
    rc = rc ? rc : map_section(s, agent_enter, agent_enter_end);
    rc = rc ? rc : map_section(s, agent_private, agent_private_end);
    rc = rc ? rc : map_section(s, agent_report, agent_report_end);
    rc = rc ? rc : map_memory(s, ram, rams);
    for (unsigned int i = 0; i < s->vcpus && !rc; i++)
        guard.vcpu[i].info = (volatile struct ve_info *)(guard.memory + frame_of(s, s->info[i]));
    return rc;
}

int enter_register(const struct shield *s, unsigned int n, uint32_t id)
{
    const struct facet_altp2m_enter e = {
        .view = s->agent.v,
        .vcpu = id,
        .rip = (uint64_t)gate_entered,
        .rsp = (uint64_t)&gate_slots[n + 1],
        .cr3 = frame_of(s, tables[0]),
        .gdt = (uint64_t)enter_private.gdt,
        .idt = (uint64_t)enter_private.idt,
        .gdt_limit = sizeof(enter_private.gdt) - 1,
        .idt_limit = sizeof(enter_private.idt) - 1,
    };

    return altp2m_enter(&s->hooks.xen, &e);
}

int enter_patch(struct shield *s, bool on)
{
    uint64_t from = (uint64_t)gate_call + ENTER_JUMP;
    uint32_t by = (uint32_t)((uint64_t)gate_call_enter - from);
    uint8_t jump[ENTER_JUMP] = {0xe9, (uint8_t)by, (uint8_t)(by >> 8), (uint8_t)(by >> 16),
                                (uint8_t)(by >> 24)};

    for (unsigned int i = 0; on && i < ENTER_JUMP; i++)
        s->call[i] = ((const volatile uint8_t *)gate_call)[i];
    return s->hooks.code_write(s->hooks.context, (void *)gate_call, on ? jump : s->call,
                               ENTER_JUMP);
}
