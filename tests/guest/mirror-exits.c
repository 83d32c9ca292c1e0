/* SPDX-License-Identifier: MIT */
/*
 * A guest whose monitor (mirror-listens.c) is told of its exits, and lets its page tables be read
 * and not written, so that on AMD it runs on a mirror of them: what it does exits as if there was
 * none.
 */
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/target.h"
#include "lib/test.h"

#define PTE_A 0x20ULL
#define PTE_D 0x40ULL
#define VA    0x0000600000000000UL
#define PAGES 8u

extern uint64_t pml4[512];

static struct mailbox *mail;
static uint64_t *pt;

static volatile uint64_t *at(unsigned page)
{
    return (volatile uint64_t *)(VA + page * PAGE);
}

static void setup(void)
{
    uint64_t *pdpt = page_alloc(1, 1), *pd = page_alloc(1, 1);
    uint8_t *page = page_alloc(PAGES, 1);

    event_init();
    mail = page_alloc(1, 1);
    pt = page_alloc(1, 1);
    pml4[VA >> 39 & 511] = (uint64_t)pdpt | PTE_RWX | PTE_A;
    pdpt[0] = (uint64_t)pd | PTE_RWX | PTE_A;
    pd[0] = (uint64_t)pt | PTE_RWX | PTE_A;
    for (unsigned i = 0; i < PAGES; i++)
        pt[i] = (uint64_t)(page + i * PAGE) | PTE_RWX | PTE_A | PTE_D;
    mail->data[0] = gfn_of(pml4);
    mail->data[1] = gfn_of(pdpt);
    mail->data[2] = gfn_of(pd);
    mail->data[3] = gfn_of(pt);
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
}

/* Exits in any case. */
static void mark(void)
{
    uint32_t r[4];

    cpuid(0, 0, r);
}

/* New pages, pages that are there, again after each kind of flush, and an exception of its own:
 * between two instructions that exit anyway. */
static void work(void)
{
    uint64_t cr3;

    mark();
    for (unsigned i = 0; i < PAGES; i++)
        at(i)[0] = i;
    tlb_flush(at(3));
    expect(at(3)[0], 3);
    cr3 = read_cr3();
    __asm__ volatile("mov %0, %%cr3" ::"r"(cr3) : "memory");
    expect(at(4)[0], 4);
    expect(read_cr3(), (uint64_t)pml4);
    fault_clear();
    __asm__ volatile(TRY("mov (%%rax), %%rax")::"a"(VA + PAGES * PAGE) : "memory");
    expect(fault.vector, VEC_PF);
    expect(fault.cr2, VA + PAGES * PAGE);
    mark();
}

/* Meanwhile the monitor protects the tables. */
static void is_protected(void)
{
    target_begin(mail, EXITS_PROTECTED);
    target_end(mail);
}

static void twice(void)
{
    target_begin(mail, EXITS_PLAIN);
    work();
    target_end(mail);
    is_protected();
    target_begin(mail, EXITS_MIRRORED);
    work();
    target_end(mail);
}

/* A table is written, by an instruction, and by the walk of one that sets a flag. */
static void violations(void)
{
    target_begin(mail, EXITS_WRITE);
    mark();
    pt[500] = 0x5a;
    mark();
    target_end(mail);
    expect(pt[500], 0x5a);
    pt[2] &= ~(PTE_A | PTE_D);
    is_protected();
    target_begin(mail, EXITS_FLAG);
    tlb_flush(at(2));
    mark();
    at(2)[0] = 7;
    mark();
    target_end(mail);
    expect(at(2)[0], 7);
    target_finish(mail);
}

TEST_CASES(CASE(setup), CASE(twice), CASE(violations))
