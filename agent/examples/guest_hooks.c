/* SPDX-License-Identifier: MIT */
#include "guest_hooks.h"

#include <xen/arch-x86/hvm/start_info.h>

#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"

extern const uint8_t trap_stubs[];
const void *const guest_deny = trap_stubs + VEC_GP * 16;

struct idt_gate {
    uint16_t low, selector;
    uint8_t ist, type;
    uint16_t middle;
    uint32_t high, zero;
};

static long guest_hvm_op(void *context, unsigned int op, void *arg)
{
    (void)context;
    return hvm_op(op, arg);
}

static altp2m_gfn_t guest_gfn_of(void *context, const void *at)
{
    (void)context;
    return (altp2m_gfn_t){gfn_of(at)};
}

const void *guest_table_at(void *context, uint64_t gpa)
{
    (void)context;
    return (const void *)gpa;
}

static void *guest_page_alloc(void *context)
{
    (void)context;
    return page_alloc(1, 1);
}

/* The framework's pages are never given back. */
static void guest_page_free(void *context, void *page)
{
    (void)context;
    (void)page;
}

/* All of the guest's memory is writable and executable. */
static int guest_code_write(void *context, void *at, const void *from, size_t size)
{
    (void)context;
    for (size_t i = 0; i < size; i++)
        ((volatile uint8_t *)at)[i] = ((const uint8_t *)from)[i];
    return 0;
}

static int guest_vector_set(void *context, const void *entry)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } idtr;
    uint64_t to = (uint64_t)(entry ? entry : trap_stubs + VE_VECTOR * 16);
    struct idt_gate *gate;

    (void)context;
    __asm__ volatile("sidt %0" : "=m"(idtr));
    gate = (struct idt_gate *)idtr.base + VE_VECTOR;
    gate->low = (uint16_t)to;
    gate->middle = (uint16_t)(to >> 16);
    gate->high = (uint32_t)(to >> 32);
    return 0;
}

const struct shield_hooks guest_hooks = {
    .xen = {.hvm_op = guest_hvm_op},
    .gfn_of = guest_gfn_of,
    .page_alloc = guest_page_alloc,
    .page_free = guest_page_free,
    .code_write = guest_code_write,
    .vector_set = guest_vector_set,
};

unsigned int guest_ram(struct shield_range *ram, unsigned int most)
{
    const struct hvm_memmap_table_entry *e = (const void *)start_info->memmap_paddr;
    unsigned int n = 0;

    for (uint32_t i = 0; i < start_info->memmap_entries && n < most; i++, e++) {
        if (e->type != XEN_HVM_MEMMAP_TYPE_RAM || e->size < PAGE)
            continue;
        ram[n].first.v = (e->addr + PAGE - 1) / PAGE;
        ram[n].last.v = (e->addr + e->size) / PAGE - 1;
        n++;
    }
    return n;
}
