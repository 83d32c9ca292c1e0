/* SPDX-License-Identifier: MIT */
/*
 * Guest-physical addresses where nothing is: between RAM and 4 GiB, beyond the guest's memory, at
 * the edge of the physical address width. As on Xen, a PVH guest reads all ones and its writes are
 * dropped, whatever the instruction; nothing there ends the guest.
 */
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define VA 0x0000600000000000ULL

/* 0xd0000000 lies in no guest's RAM here and outside every window that Xen gives a meaning. */
static uint8_t *const hole = (uint8_t *)0xd0000000UL;

static void reads(void)
{
    uint64_t v;

    expect(*(volatile uint8_t *)hole, 0xff);
    expect(*(volatile uint16_t *)(hole + 2), 0xffff);
    expect(*(volatile uint32_t *)(hole + 4), 0xffffffff);
    expect(*(volatile uint64_t *)(hole + 8), -1);
    expect(try_read64(hole + PAGE - 3, &v), VEC_NONE);
    expect(v, -1);
    __asm__ volatile("movzbl (%1), %k0" : "=r"(v) : "r"(hole));
    expect(v, 0xff);
    __asm__ volatile("movsbq (%1), %0" : "=r"(v) : "r"(hole));
    expect(v, -1);
    v = 0x1122334455667788;
    __asm__ volatile("movb (%1), %b0" : "+q"(v) : "r"(hole));
    expect(v, 0x11223344556677ff);
}

static void writes(void)
{
    *(volatile uint8_t *)hole = 0;
    *(volatile uint16_t *)hole = 0;
    *(volatile uint32_t *)hole = 0;
    *(volatile uint64_t *)hole = 0;
    __asm__ volatile("movl $0x12345678, (%0)" ::"r"(hole) : "memory");
    expect(*(volatile uint64_t *)hole, -1);
}

static void read_modify_write(void)
{
    uint64_t v = 5;
    uint8_t zero;

    __asm__ volatile("orl $1, (%0); andl $0, (%0); incl (%0)" ::"r"(hole) : "memory", "cc");
    __asm__ volatile("xchg %0, (%1)" : "+r"(v) : "r"(hole) : "memory");
    expect(v, -1);
    __asm__ volatile("testb $1, (%1); setz %0" : "=q"(zero) : "r"(hole) : "cc");
    expect(zero, 0);
    __asm__ volatile("cmpl $-1, (%1); setz %0" : "=q"(zero) : "r"(hole) : "cc");
    expect(zero, 1);
}

static void strings(void)
{
    static uint8_t ram[64];
    const void *from = hole;
    void *to = ram;
    uint64_t n = sizeof(ram);

    __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(n)::"memory");
    expect(n, 0);
    expect(ram[0] & ram[63], 0xff);
    from = ram;
    to = hole;
    n = 8;
    __asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(n)::"memory");
    expect(n, 0);
    to = hole;
    n = 16;
    __asm__ volatile("rep stosl" : "+D"(to), "+c"(n) : "a"(0) : "memory");
    expect(n, 0);
    check(to == hole + 64, "rdi is wrong");
}

/* PUSH and POP with their operand in a hole: Facet's decoder leaves these out, they are #GP there.
 */
static void stack_forms(void)
{
    uint64_t v = ~0ULL;

    fault_clear();
    __asm__ volatile(TRY("pushq (%1); pop %0") : "+r"(v) : "r"(hole) : "memory");
    check(fault.vector == VEC_NONE || (on_facet && fault.vector == VEC_GP), "push: vector %d",
          fault.vector);
    expect(v, -1);
    fault_clear();
    __asm__ volatile("mov %%rsp, %%rbx; push $7\n\t" TRY("popq (%0)") "mov %%rbx, %%rsp" ::"r"(hole)
                     : "memory", "rbx");
    check(fault.vector == VEC_NONE || (on_facet && fault.vector == VEC_GP), "pop: vector %d",
          fault.vector);
}

static void beyond_memory(void)
{
    static const uint64_t gpas[] = {0x100000000, 0x1000000000, 0x7ffffff000};
    uint64_t v;

    for (unsigned i = 0; i < ARRAY_SIZE(gpas); i++) {
        page_map(VA, gpas[i], PTE_RWX);
        check(try_read64((void *)VA, &v) == VEC_NONE && v == ~0ULL, "gpa %lx: vector %d, %lx",
              gpas[i], fault.vector, v);
        check(try_write64((void *)VA, 0) == VEC_NONE, "write to gpa %lx: vector %d", gpas[i],
              fault.vector);
    }
    page_map(VA, 0, 0);
}

/* The last frame of RAM next to nothing: a read across both. */
static void across_the_edge(void)
{
    const struct hvm_memmap_table_entry *e = (const void *)start_info->memmap_paddr;
    uint64_t end = 0, v;

    for (uint32_t i = 0; i < start_info->memmap_entries; i++) {
        if (e[i].type == XEN_HVM_MEMMAP_TYPE_RAM && e[i].addr <= (uint64_t)hole &&
            e[i].addr + e[i].size > end)
            end = e[i].addr + e[i].size;
    }
    page_map(VA, end - PAGE, PTE_RWX);
    page_map(VA + PAGE, (uint64_t)hole, PTE_RWX);
    *(volatile uint32_t *)(VA + PAGE - 4) = 0x01020304;
    expect(try_read64((void *)(VA + PAGE - 4), &v), VEC_NONE);
    expect(v, 0xffffffff01020304);
    expect(try_write64((void *)(VA + PAGE - 4), 0x5555555566666666), VEC_NONE);
    expect(*(volatile uint32_t *)(VA + PAGE - 4), 0x66666666);
    page_map(VA, 0, 0);
    page_map(VA + PAGE, 0, 0);
}

/* Nothing can be fetched from a hole: a fault for the guest, not its end. */
static void fetch(void)
{
    int vector = try_call(hole);

    check(vector == VEC_GP || vector == VEC_UD, "running code from a hole: vector %d", vector);
}

TEST_CASES(CASE(reads), CASE(writes), CASE(read_modify_write), CASE(strings), CASE(stack_forms),
           CASE(beyond_memory), CASE(across_the_edge), CASE(fetch))
