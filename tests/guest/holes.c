/* SPDX-License-Identifier: MIT */
/*
 * Guest-physical addresses where nothing is: between RAM and 4 GiB, beyond the guest's memory, at
 * the edge of the physical address width. As on Xen, a PVH guest reads all ones and its writes are
 * dropped, whatever the instruction, and byte by byte where an operand lies half in RAM; nothing
 * there ends the guest.
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

/* As drivers write to shared registers; XADD and CMPXCHG give what was there. */
static void locked(void)
{
    uint64_t v = 5, old = 7;
    uint8_t zero, carry;

    fault_clear();
    __asm__ volatile(TRY("lock orl $1, (%0); lock incw (%0); lock negb (%0); lock notq (%0); lock "
                         "btsl $3, (%0)")::"r"(hole)
                     : "memory", "cc");
    expect(fault.vector, VEC_NONE);
    __asm__ volatile("lock xaddq %0, (%2); setc %1"
                     : "+r"(v), "=q"(carry)
                     : "r"(hole)
                     : "memory", "cc");
    expect(v, -1);
    expect(carry, 1); /* 5 - 1 */
    __asm__ volatile("lock cmpxchgl %k2, (%3); setz %1"
                     : "+a"(old), "=q"(zero)
                     : "r"(v), "r"(hole)
                     : "memory", "cc");
    expect(old, 0xffffffff);
    expect(zero, 0);
    __asm__ volatile("cmpxchgb %b2, (%3); setz %1"
                     : "+a"(old), "=q"(zero)
                     : "r"(v), "r"(hole)
                     : "memory", "cc");
    expect(old, 0xffffffff);
    expect(zero, 1);
    __asm__ volatile("movslq (%1), %0" : "=r"(v) : "r"(hole));
    expect(v, -1);
    fault_clear();
    __asm__ volatile(TRY(".byte 0xf0; movl $0, (%0)")::"r"(hole) : "memory");
    expect(fault.vector, VEC_UD);
}

/* Both halves read all ones; EDX:EAX clear the upper halves of their registers. */
static void pairs(void)
{
    uint64_t a = 0x1100000000000005, d = 0x2200000000000007;
    uint8_t zero;

    __asm__ volatile("lock cmpxchg8b (%3); setz %2"
                     : "+a"(a), "+d"(d), "=q"(zero)
                     : "r"(hole), "b"(1UL), "c"(2UL)
                     : "memory", "cc");
    expect(zero, 0);
    expect(a, 0xffffffff);
    expect(d, 0xffffffff);
    a |= 1ULL << 40;
    __asm__ volatile("stc; cmpxchg8b (%3); setz %2; adcb $0, %2"
                     : "+a"(a), "+d"(d), "=q"(zero)
                     : "r"(hole), "b"(1UL), "c"(2UL)
                     : "memory", "cc");
    expect(zero, 2); /* equal, and CF stays */
    expect(a, 0x100ffffffff);
    a = ~0UL; /* the low half is equal, the high one not */
    d = 0;
    __asm__ volatile("lock cmpxchg16b (%3); setz %2"
                     : "+a"(a), "+d"(d), "=q"(zero)
                     : "r"(hole), "b"(1UL), "c"(2UL)
                     : "memory", "cc");
    expect(zero, 0);
    expect(a, -1);
    expect(d, -1);
    __asm__ volatile("cmpxchg16b (%3); setz %2"
                     : "+a"(a), "+d"(d), "=q"(zero)
                     : "r"(hole), "b"(1UL), "c"(2UL)
                     : "memory", "cc");
    expect(zero, 1);
    fault_clear();
    __asm__ volatile(TRY("cmpxchg16b 8(%0)")::"r"(hole), "a"(0UL), "d"(0UL), "b"(1UL), "c"(2UL)
                     : "memory", "cc");
    expect(fault.vector, VEC_GP);
}

/* The bit may lie far from where the operand points, on either side: only there it is
 * looked for. */
static void bits(void)
{
    static uint64_t ram;
    uint8_t *across = (uint8_t *)&ram;
    int64_t at = (hole - across) * 8;
    uint8_t carry;

    __asm__ volatile("clc; bt %2, (%1); setc %0" : "=q"(carry) : "r"(across), "r"(at + 5) : "cc");
    expect(carry, 1);
    __asm__ volatile("stc; bt %2, (%1); setc %0" : "=q"(carry) : "r"(hole), "r"(-at) : "cc");
    expect(carry, 0);
    __asm__ volatile("btrq %2, (%1); setc %0" : "=q"(carry) : "r"(hole + 64), "r"(-1L) : "cc");
    expect(carry, 1);
    __asm__ volatile("btsl $31, (%1); setc %0" : "=q"(carry) : "r"(hole) : "cc");
    expect(carry, 1);
    __asm__ volatile("btcw $35, (%1); setc %0" : "=q"(carry) : "r"(hole) : "cc");
    expect(carry, 1);
    expect(*(volatile uint64_t *)hole, -1);
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

static void stack_forms(void)
{
    uint64_t v = 0;

    fault_clear();
    __asm__ volatile(TRY("pushq (%1); pop %0") : "+r"(v) : "r"(hole) : "memory");
    expect(fault.vector, VEC_NONE);
    expect(v, -1);
    fault_clear();
    __asm__ volatile("mov %%rsp, %%rbx; push $7\n\t" TRY(
                         "popq (%1); mov %%rsp, %0") "mov %%rbx, %%rsp; sub %%rbx, %0"
                     : "=&r"(v)
                     : "r"(hole)
                     : "memory", "rbx");
    expect(fault.vector, VEC_NONE);
    expect(v, 0);
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

/*
 * RAM, a hole and RAM again, one page each. Four bytes before the hole and four after it are for
 * accesses that lie on both sides.
 */
#define LEFT  ((volatile uint32_t *)(VA + PAGE - 4))
#define RIGHT ((volatile uint32_t *)(VA + 2 * PAGE))

static void map_edges(void)
{
    const struct hvm_memmap_table_entry *e = (const void *)start_info->memmap_paddr;
    uint64_t end = 0;

    for (uint32_t i = 0; i < start_info->memmap_entries; i++) {
        if (e[i].type == XEN_HVM_MEMMAP_TYPE_RAM && e[i].addr <= (uint64_t)hole &&
            e[i].addr + e[i].size > end)
            end = e[i].addr + e[i].size;
    }
    page_map(VA, end - PAGE, PTE_RWX);
    page_map(VA + PAGE, (uint64_t)hole, PTE_RWX);
    page_map(VA + 2 * PAGE, end - PAGE, PTE_RWX);
}

static void unmap_edges(void)
{
    page_map(VA, 0, 0);
    page_map(VA + PAGE, 0, 0);
    page_map(VA + 2 * PAGE, 0, 0);
}

static void across_the_edge(void)
{
    uint64_t v;

    map_edges();
    *LEFT = 0x01020304;
    expect(try_read64((void *)LEFT, &v), VEC_NONE);
    expect(v, 0xffffffff01020304);
    expect(try_write64(LEFT, 0x5555555566666666), VEC_NONE);
    expect(*LEFT, 0x66666666);
    *RIGHT = 0x01020304;
    expect(try_read64((void *)(RIGHT - 1), &v), VEC_NONE);
    expect(v, 0x01020304ffffffff);
    expect(try_write64(RIGHT - 1, 0x5555555566666666), VEC_NONE);
    expect(*RIGHT, 0x55555555);
    unmap_edges();
}

/* The same, with the address made in other ways, and extending loads. */
static void edge_addresses(void)
{
    uint64_t v, at = (uint64_t)LEFT;

    map_edges();
    *LEFT = 0x81020304;
    __asm__ volatile("movq -0x40(%1,%2,8), %0" : "=r"(v) : "r"(at), "r"(8UL));
    expect(v, 0xffffffff81020304);
    __asm__ volatile("movq 0x1000(%1,%2,2), %0" : "=r"(v) : "r"(at), "r"(-0x800L));
    expect(v, 0xffffffff81020304);
    __asm__ volatile("sub %%rsp, %1; movq (%%rsp,%1), %0" : "=r"(v), "+r"(at)::"memory");
    expect(v, 0xffffffff81020304);
    _Static_assert(VA + PAGE - 4 == 0x600000000ffc, "the address below");
    __asm__ volatile("movabs 0x600000000ffc, %%rax" : "=a"(v));
    expect(v, 0xffffffff81020304);
    __asm__ volatile("movzwl 3(%1), %k0" : "=r"(v) : "r"(LEFT));
    expect(v, 0xff81);
    *RIGHT = 0x81;
    __asm__ volatile("movswq -1(%1), %0" : "=r"(v) : "r"(RIGHT));
    expect(v, 0xffffffffffff81ff);
    unmap_edges();
}

static void edge_read_modify_write(void)
{
    uint64_t v = 0x0000000100000002;
    uint8_t carry, same;

    map_edges();
    *LEFT = 1;
    __asm__ volatile("addq %2, (%1); setc %0" : "=q"(carry) : "r"(LEFT), "r"(v) : "memory", "cc");
    expect(*LEFT, 3);
    expect(carry, 1);
    v = 0x1111111122222222;
    __asm__ volatile("xchg %0, (%1)" : "+r"(v) : "r"(LEFT) : "memory");
    expect(v, 0xffffffff00000003);
    expect(*LEFT, 0x22222222);
    __asm__ volatile("stc; notq (%1); setc %0" : "=q"(carry) : "r"(LEFT) : "memory", "cc");
    expect(*LEFT, 0xdddddddd);
    expect(carry, 1);
    __asm__ volatile("negq (%0); incq (%0)" ::"r"(LEFT) : "memory", "cc");
    expect(*LEFT, 0x22222224);
    v = 0xffffffff22222224;
    __asm__ volatile("cmpq %2, (%1); setz %0" : "=q"(same) : "r"(LEFT), "r"(v) : "cc");
    expect(same, 1);
    __asm__ volatile("subq (%1), %0" : "+r"(v) : "r"(LEFT) : "cc");
    expect(v, 0);
    unmap_edges();
}

/* The low half in RAM, the high one beyond its end; and where the low half may not be written,
 * nothing is. */
static void edge_pairs(void)
{
    uint64_t a = 1, d = 0xffffffff;
    uint8_t zero;

    map_edges();
    *LEFT = 1;
    __asm__ volatile("lock cmpxchg8b (%3); setz %2"
                     : "+a"(a), "+d"(d), "=q"(zero)
                     : "r"(LEFT), "b"(0x55UL), "c"(2UL)
                     : "memory", "cc");
    expect(zero, 1);
    expect(*LEFT, 0x55);
    __asm__ volatile("lock cmpxchg8b (%3); setz %2"
                     : "+a"(a), "+d"(d), "=q"(zero)
                     : "r"(LEFT), "b"(0x66UL), "c"(2UL)
                     : "memory", "cc");
    expect(zero, 0);
    expect(a, 0x55);
    expect(d, 0xffffffff);
    expect(*LEFT, 0x55);
    unmap_edges();
}

static void edge_strings(void)
{
    uint64_t v, n = 2, there[2] = {0x0102030405060708, 0x1112131415161718};
    const void *from = there;
    void *to = (void *)LEFT;

    map_edges();
    __asm__ volatile("stosq" : "+D"(to) : "a"(0x5555555566666666) : "memory");
    expect(*LEFT, 0x66666666);
    to = (void *)(LEFT - 2);
    __asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(n)::"memory");
    expect(*(volatile uint64_t *)(LEFT - 2), 0x0102030405060708);
    expect(*LEFT, 0x15161718);
    from = (void *)LEFT;
    to = &v;
    __asm__ volatile("movsq" : "+S"(from), "+D"(to)::"memory");
    expect(v, 0xffffffff15161718);
    from = (void *)LEFT;
    __asm__ volatile("lodsq" : "+S"(from), "=a"(v)::"memory");
    expect(v, 0xffffffff15161718);
    unmap_edges();
}

/* Operands, then the stack, half in the hole. POP's address counts from where rsp is afterwards. */
static void edge_stack(void)
{
    uint64_t v = 0x0102030405060708, at = (uint64_t)LEFT, got;

    map_edges();
    *LEFT = 0x01020304;
    __asm__ volatile("pushq (%1); popq %0" : "=r"(got) : "r"(LEFT) : "memory");
    expect(got, 0xffffffff01020304);
    __asm__ volatile("pushq $0x55555555; popq (%0)" ::"r"(LEFT) : "memory");
    expect(*LEFT, 0x55555555);
    __asm__ volatile("sub %%rsp, %0; pushq $0x66666666; popq (%%rsp,%0)" : "+r"(at)::"memory");
    expect(*LEFT, 0x66666666);
    __asm__ volatile("mov %%rsp, %%rbx; lea 8(%2), %%rsp\n\t"
                     "pushq (%1); popq (%0); mov %%rbx, %%rsp" ::"r"(&got),
                     "r"(&v), "r"(LEFT)
                     : "memory", "rbx");
    expect(*LEFT, 0x05060708);
    expect(got, 0xffffffff05060708);
    unmap_edges();
}

/* Half a hole, half nothing mapped: a page fault at the first byte of the page, and no effect. */
static void edge_fault(void)
{
    uint64_t v;

    map_edges();
    page_map(VA + 2 * PAGE, 0, 0);
    expect(try_read64((void *)(RIGHT - 1), &v), VEC_PF);
    expect(fault.cr2, (uint64_t)RIGHT);
    expect(fault.error, 0);
    expect(try_write64(RIGHT - 1, 0), VEC_PF);
    expect(fault.cr2, (uint64_t)RIGHT);
    expect(fault.error, 2);
    unmap_edges();
}

/* Nothing can be fetched from a hole: a fault for the guest, not its end. */
static void fetch(void)
{
    int vector = try_call(hole);

    check(vector == VEC_GP || vector == VEC_UD, "running code from a hole: vector %d", vector);
}

TEST_CASES(CASE(reads), CASE(writes), CASE(read_modify_write), CASE(locked), CASE(pairs),
           CASE(bits), CASE(strings), CASE(stack_forms), CASE(beyond_memory), CASE(across_the_edge),
           CASE(edge_addresses), CASE(edge_read_modify_write), CASE(edge_pairs), CASE(edge_strings),
           CASE(edge_stack), CASE(edge_fault), CASE(fetch))
