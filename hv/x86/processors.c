/* SPDX-License-Identifier: MIT */
#include "processors.h"
#include <facet/check.h>
#include "boot/early.h"

#define STACK       32768u
#define SMALL_STACK 8192u

/* One processor's part, from its beginning: absent page, stack, and so on; then struct cpu. */
struct part {
    uint8_t guard[PAGE_SIZE];
    uint8_t stack[STACK];
    struct {
        uint8_t guard[PAGE_SIZE];
        uint8_t stack[SMALL_STACK];
    } ist[CPU_ISTS - 1];
    struct cpu cpu;
} __attribute__((aligned(PAGE_SIZE)));
_Static_assert(offsetof(struct part, ist) % PAGE_SIZE == 0, "whole pages");
_Static_assert(sizeof(((struct part *)0)->ist[0]) % PAGE_SIZE == 0, "whole pages");

static struct part *parts;
static unsigned nr_parts;

void processors_place(const uint32_t *apic_ids, unsigned nr)
{
    CHECK(nr >= 1 && nr <= CPU_MAX);
    parts = early_alloc(nr * sizeof(*parts));
    nr_parts = nr;
    for (unsigned i = 0; i < nr; i++) {
        struct part *p = &parts[i];

        p->cpu.id = i;
        p->cpu.apic_id = apic_ids[i];
        p->cpu.stack = (uint64_t)p->stack + STACK;
        for (unsigned n = CPU_IST_DF; n < CPU_ISTS; n++) {
            p->cpu.tss.ist[n - 1] = (uint64_t)p->ist[n - 1].stack + SMALL_STACK;
        }
    }
}

struct cpu *processors_get(unsigned n)
{
    CHECK(n < nr_parts);
    return &parts[n].cpu;
}

bool processors_guard(uint64_t page)
{
    uint64_t at = page - (uint64_t)parts;

    if (page < (uint64_t)parts || at >= nr_parts * sizeof(*parts)) {
        return false;
    }
    at %= sizeof(*parts);
    if (at == offsetof(struct part, guard)) {
        return true;
    }
    return at >= offsetof(struct part, ist) && at < offsetof(struct part, cpu) &&
           (at - offsetof(struct part, ist)) % sizeof(parts->ist[0]) == 0;
}

bool processors_guard_within(uint64_t start, uint64_t end)
{
    return nr_parts && start < (uint64_t)(parts + nr_parts) && end > (uint64_t)parts;
}
