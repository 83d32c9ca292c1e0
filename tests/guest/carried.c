/* SPDX-License-Identifier: MIT */
/*
 * Instructions that the hypervisor carries out in a guest's place (string I/O, and whatever meets a
 * hole), on pages that a monitor (carry-watch.c) restricts. Each must be told of as if the
 * processor had run it, be tried again after the answer, and leave what it leaves where nobody
 * watches.
 */
#include <string.h>
#include "lib/carry.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/target.h"
#include "lib/test.h"

#define HOLE   ((uint8_t *)0xd0000000UL)
#define NOBODY 0x80 /* a port that reads all ones */
#define MAPPED (2ULL << 39)
#define PTE_A  0x20ULL
#define PTE_D  0x40ULL

static struct mailbox *mail;
static uint8_t *pages;

#define PAGE_OF(n) (pages + PAGE * (n))

/* Runs one instruction and tells the monitor where it was. */
#define TELLING(instruction) "lea 1f(%%rip), %%rax; mov %%rax, %[rip]; 1: " instruction
#define RIP                  [rip] "=m"(mail->data[CARRY_RIP])

static void begin(uint32_t task)
{
    target_begin(mail, task);
}

static void end(void)
{
    target_end(mail);
}

static uint8_t *insb(void *to)
{
    __asm__ volatile(TELLING("insb") : "+D"(to), RIP : "d"(NOBODY) : "rax", "memory");
    return to;
}

/* A word across a boundary. */
static void ins(void)
{
    void *to = PAGE_OF(1) - 1;

    memset(pages, 0, 2 * PAGE);
    begin(CARRY_INS);
    __asm__ volatile(TELLING("insw") : "+D"(to), RIP : "d"(NOBODY) : "rax", "memory");
    end();
    expect(PAGE_OF(1)[-1], 0xff);
    expect(PAGE_OF(1)[0], 0xff);
    expect(PAGE_OF(1)[1], 0);
    expect((uint64_t)to, (uint64_t)PAGE_OF(1) + 1);
}

static void rep(void)
{
    void *to = PAGE_OF(1) - 100;
    uint64_t count = 600;

    memset(pages, 0, 2 * PAGE);
    begin(CARRY_REP);
    __asm__ volatile(TELLING("rep insb")
                     : "+D"(to), "+c"(count), RIP
                     : "d"(NOBODY)
                     : "rax", "memory");
    end();
    expect(count, 0);
    expect((uint64_t)to, (uint64_t)PAGE_OF(1) + 500);
    for (unsigned i = 0; i < 600; i++)
        check(PAGE_OF(1)[(int)i - 100] == 0xff, "byte %u", i);
    expect(PAGE_OF(1)[500], 0);
}

static void outs(void)
{
    void *from = PAGE_OF(0);

    begin(CARRY_OUTS);
    __asm__ volatile(TELLING("outsb") : "+S"(from), RIP : "d"(NOBODY) : "rax", "memory");
    end();
    expect((uint64_t)from, (uint64_t)PAGE_OF(0) + 1);
}

static void movs(void)
{
    const void *from = HOLE;
    void *to = PAGE_OF(0);

    memset(pages, 0, PAGE);
    begin(CARRY_MOVS);
    __asm__ volatile(TELLING("movsq") : "+S"(from), "+D"(to), RIP::"rax", "memory");
    end();
    expect(*(uint64_t *)pages, ~0UL);
    expect((uint64_t)from, (uint64_t)HOLE + 8);
}

static void push(void)
{
    uint64_t stack;

    memset(PAGE_OF(4), 0, PAGE);
    begin(CARRY_PUSH);
    __asm__ volatile("mov %%rsp, %[stack]; lea 1f(%%rip), %%rax; mov %%rax, %[rip]; mov %[at], "
                     "%%rsp; 1: pushq (%[hole]); "
                     "mov %[stack], %%rsp"
                     : [stack] "=&r"(stack), RIP
                     : [at] "r"(PAGE_OF(5)), [hole] "r"(HOLE)
                     : "rax", "memory");
    end();
    expect(((uint64_t *)PAGE_OF(5))[-1], ~0UL);
}

static void convert(void)
{
    memset(pages, 0, PAGE);
    begin(CARRY_CONVERT);
    insb(PAGE_OF(0));
    insb(PAGE_OF(0) + 1);
    end();
    expect(*(uint16_t *)pages, 0xffff);
    begin(CARRY_CONVERT_QUIETLY);
    insb(PAGE_OF(0) + 2);
    end();
    expect(pages[2], 0xff);
}

static void in_a_view(void)
{
    memset(pages, 0, PAGE);
    begin(CARRY_VIEW);
    insb(PAGE_OF(0));
    end();
    expect(pages[0], 0xff);
}

/* Let through: nothing is lifted for what comes after. */
static void emulate(void)
{
    memset(pages, 0, PAGE);
    begin(CARRY_EMULATE);
    insb(PAGE_OF(0));
    *(volatile uint8_t *)(PAGE_OF(0) + 1) = 1;
    end();
    expect(*(uint16_t *)pages, 0x1ff);
}

/* pages 0 to 511 of their 2 MiB, by page tables in pages 6 and 7. */
static uint8_t *mapped(unsigned page)
{
    uint64_t *top = (uint64_t *)(read_cr3() & ~0xfffULL), *table = (uint64_t *)PAGE_OF(6),
             *below = (uint64_t *)PAGE_OF(7);

    memset(table, 0, PAGE);
    memset(below, 0, PAGE);
    table[0] = gfn_of(below) * PAGE | PTE_RWX;
    below[0] = (gfn_of(pages) * PAGE & ~0x1fffffUL) | PTE_RWX | PTE_PS;
    top[2] = gfn_of(table) * PAGE | PTE_RWX | PTE_A;
    __asm__ volatile("mov %0, %%cr3" ::"r"(read_cr3()) : "memory");
    return (uint8_t *)MAPPED + ((uint64_t)PAGE_OF(page) & 0x1fffff);
}

static void walk(void)
{
    uint8_t *to = mapped(0);

    pages[0] = 0;
    begin(CARRY_WALK);
    insb(to);
    end();
    expect(pages[0], 0xff);
}

/* The processor marks what it used to get there, and so does who takes its place. */
static void mark(void)
{
    uint8_t *to = mapped(0);
    const volatile uint64_t *table = (uint64_t *)PAGE_OF(6), *below = (uint64_t *)PAGE_OF(7);
    void *from = to;

    __asm__ volatile("outsb" : "+S"(from) : "d"(NOBODY) : "memory");
    expect(*table & (PTE_A | PTE_D), PTE_A);
    expect(*below & (PTE_A | PTE_D), PTE_A);
    insb(to);
    expect(*table & (PTE_A | PTE_D), PTE_A);
    expect(*below & (PTE_A | PTE_D), PTE_A | PTE_D);
    to = mapped(0);
    pages[0] = 0;
    begin(CARRY_MARK);
    insb(to);
    end();
    expect(pages[0], 0xff);
    expect(*table & (PTE_A | PTE_D), PTE_A);
    expect(*below & (PTE_A | PTE_D), PTE_A | PTE_D);
}

/* Walks are not told of, and let only what they need through: not the other operand. */
static void quiet_walks(void)
{
    uint8_t *at = mapped(0);
    const void *from = at;
    void *to = PAGE_OF(1);

    memset(pages, 0, 2 * PAGE);
    begin(CARRY_WALK_QUIETLY);
    insb(at);
    end();
    expect(pages[0], 0xff);
    begin(CARRY_WALK_AND_WRITE);
    __asm__ volatile(TELLING("movsb") : "+S"(from), "+D"(to), RIP::"rax", "memory");
    end();
    expect(PAGE_OF(1)[0], 0xff);
    from = at;
    begin(CARRY_WALK_AND_WRITE_PLAIN);
    __asm__ volatile(TELLING("movb $2, 8(%1)") : RIP : "r"(at + PAGE) : "rax", "memory");
    end();
    expect(PAGE_OF(1)[8], 2);
}

static void finish(void)
{
    target_finish(mail);
}

static void setup(void)
{
    event_init();
    mail = page_alloc(1, 1);
    pages = page_alloc(CARRY_PAGES, CARRY_PAGES);
    mail->data[CARRY_GFN] = gfn_of(pages);
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
}

TEST_CASES(CASE(setup), CASE(ins), CASE(rep), CASE(outs), CASE(movs), CASE(push), CASE(convert),
           CASE(in_a_view), CASE(emulate), CASE(walk), CASE(mark), CASE(quiet_walks), CASE(finish))
