/* SPDX-License-Identifier: MIT */
/*
 * Port I/O where no device is: reads give all ones, writes are dropped, neither reaches the machine
 * below (a reset or power-off port of the host included). String forms, and their page faults.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

static const uint16_t wild[] = {0x00,  0x20,  0x40,   0x60,   0x70,   0x84,   0x92,  0xa0,
                                0x1f0, 0x2f8, 0x3c0,  0x3f8,  0xcf8,  0xcfc,  0x604, 0x8900,
                                0xcd8, 0xfff, 0x1000, 0x4004, 0xb004, 0xfffc, 0xffff};

static void reads(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(wild); i++) {
        uint8_t b = inb(wild[i]);
        uint16_t w = inw(wild[i]);
        uint32_t l = inl(wild[i]);
        check(b == 0xff && w == 0xffff && l == 0xffffffff, "port %x: %x %x %x", wild[i], b, w, l);
    }
}

/* A narrow IN leaves the rest of RAX as it was; a 32-bit one clears the upper half. */
static void widths(void)
{
    uint64_t a = 0x1122334455667788;

    __asm__ volatile("inb $0x84, %%al" : "+a"(a));
    expect(a, 0x11223344556677ff);
    a = 0x1122334455667788;
    __asm__ volatile("inw $0x84, %%ax" : "+a"(a));
    expect(a, 0x112233445566ffff);
    a = 0x1122334455667788;
    __asm__ volatile("inl $0x84, %%eax" : "+a"(a));
    expect(a, 0xffffffff);
}

static void writes(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(wild); i++) {
        outb(wild[i], 0xaa);
        outl(wild[i], 0xaaaaaaaa);
    }
    outb(0x64, 0xfe);
    outb(0xcf9, 0x06);
    outb(0x92, 0x01);
    outl(0x604, 0x2000);
    for (const char *p = "Shutdown"; *p; p++)
        outb(0x8900, (uint8_t)*p);
}

static void sweep(void)
{
    for (uint32_t port = 0; port < 0x10000; port += 13) {
        if (port >= 0xe6 && port <= 0xe9)
            continue;
        check(inl((uint16_t)port) == 0xffffffff || test_is_failing(), "port %x", port);
        outl((uint16_t)port, 0x5a5a5a5a);
    }
}

static void strings(void)
{
    static uint32_t words[4];
    void *to = words;
    uint64_t n = 4;

    __asm__ volatile("rep insl" : "+D"(to), "+c"(n) : "d"(0x2f0) : "memory");
    expect(n, 0);
    check(to == words + 4, "rdi is off by %ld", (long)((uint8_t *)to - (uint8_t *)words));
    for (unsigned i = 0; i < 4; i++)
        expect(words[i], 0xffffffff);
    static const char text[] = "ports: by rep outsb\n";
    const void *from = text;
    n = sizeof(text) - 1;
    __asm__ volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(0xe9) : "memory");
    expect(n, 0);
    check(from == text + sizeof(text) - 1, "rsi is wrong");
}

static void string_faults(void)
{
    const uint64_t va = 0x0000400000000000;
    uint64_t at = va;

    fault_clear();
    __asm__ volatile(TRY("insb") : "+D"(at) : "d"(0x2f0) : "memory");
    expect(fault.vector, VEC_PF);
    expect(fault.cr2, va);
    expect(fault.error & 7, 2);
    expect(at, va);
    fault_clear();
    at = va;
    __asm__ volatile(TRY("outsb") : "+S"(at) : "d"(0x2f0) : "memory");
    expect(fault.vector, VEC_PF);
    expect(fault.cr2, va);
    expect(fault.error & 7, 0);
    fault_clear();
    at = 0x8000000000000000;
    __asm__ volatile(TRY("outsb") : "+S"(at) : "d"(0x2f0) : "memory");
    expect(fault.vector, VEC_GP);
}

/* The first three bytes fit, the fourth page-faults: registers show where it stopped. */
static void string_stops_midway(void)
{
    uint8_t *p = page_alloc(1, 1);
    const uint64_t va = 0x0000400000000000;
    uint64_t at = va + PAGE - 3, n = 6;

    page_map(va, (uint64_t)p, PTE_RWX);
    fault_clear();
    __asm__ volatile(TRY("rep insb") : "+D"(at), "+c"(n) : "d"(0x2f0) : "memory");
    expect(fault.vector, VEC_PF);
    expect(fault.cr2, va + PAGE);
    expect(n, 3);
    expect(at, va + PAGE);
    expect(p[PAGE - 1], 0xff);
    page_map(va, 0, 0);
}

#define VA     0x0000400000000000UL
#define PTE_A  0x20UL
#define PTE_D  0x40UL
#define NOBODY 0x2f0

extern uint64_t pml4[512];

static int try_insb(uint64_t at)
{
    fault_clear();
    __asm__ volatile(TRY("insb") : "+D"(at) : "d"(NOBODY) : "memory");
    return fault.vector;
}

static int try_outsb(uint64_t at)
{
    fault_clear();
    __asm__ volatile(TRY("outsb") : "+S"(at) : "d"(NOBODY) : "memory");
    return fault.vector;
}

/* Accessed and dirty, as any instruction leaves them. */
static void string_marks(void)
{
    page_map(VA, (uint64_t)page_alloc(1, 1), PTE_RWX);
    expect(*(volatile uint64_t *)page_entry(VA) & (PTE_A | PTE_D), 0);
    expect(try_outsb(VA), VEC_NONE);
    expect(*(volatile uint64_t *)page_entry(VA) & (PTE_A | PTE_D), PTE_A);
    expect(try_insb(VA), VEC_NONE);
    expect(*(volatile uint64_t *)page_entry(VA) & (PTE_A | PTE_D), PTE_A | PTE_D);
    page_map(VA, 0, 0);
}

#define CR4_SMAP (1UL << 21)

/* The kernel's own pages are no user's meanwhile: SMAP holds for its stack and tables too. */
static void string_smap(void)
{
    uint32_t r[4];
    int without, out_without, with;
    uint32_t error;

    cpuid(7, 0, r);
    if (!(r[1] >> 20 & 1))
        skip("SMAP");
    page_map(VA, (uint64_t)page_alloc(1, 1), PTE_RWX);
    pml4[0] &= ~PTE_U;
    expect(try_write_cr4(read_cr4() | CR4_SMAP), VEC_NONE);
    without = try_insb(VA);
    error = fault.error;
    out_without = try_outsb(VA);
    __asm__ volatile("stac");
    with = try_insb(VA);
    __asm__ volatile("clac");
    expect(try_write_cr4(read_cr4() & ~CR4_SMAP), VEC_NONE);
    pml4[0] |= PTE_U;
    __asm__ volatile("mov %0, %%cr3" ::"r"(read_cr3()) : "memory");
    expect(without, VEC_PF);
    expect(error, 3);
    expect(out_without, VEC_PF);
    expect(with, VEC_NONE);
    page_map(VA, 0, 0);
}

extern uint64_t gdt[8];
static uint64_t wide_gdt[16];

enum { SMALL = 0x40, DOWN = 0x48, READ_ONLY = 0x50, NULL_SELECTOR = 0 };

/* In 32-bit code, with ES or DS as given. */
#define STRING32(instruction, segment)                                                             \
    "mov %[selector], %%" segment "\n\t"                                                           \
    "pushq $0x38; pushq $3f; lretq\n\t"                                                            \
    ".code32\n3:\t" TRY(instruction) "ljmp $0x08, $4f\n\t.code64\n4:\t"                            \
                                     "mov %[flat], %%" segment

static int ins32(uint16_t selector, uint64_t index, bool word)
{
    fault_clear();
    if (word)
        __asm__ volatile(STRING32("insw", "es")
                         : "+D"(index)
                         : "d"(NOBODY), [selector] "r"(selector), [flat] "r"(0x10)
                         : "memory");
    else
        __asm__ volatile(STRING32("insb", "es")
                         : "+D"(index)
                         : "d"(NOBODY), [selector] "r"(selector), [flat] "r"(0x10)
                         : "memory");
    return fault.vector;
}

static int outs32(uint16_t selector, uint64_t index)
{
    fault_clear();
    __asm__ volatile(STRING32("outsb", "ds")
                     : "+S"(index)
                     : "d"(NOBODY), [selector] "r"(selector), [flat] "r"(0x10)
                     : "memory");
    return fault.vector;
}

/* 16 bytes of a page, all but 16, and one that may only be read. */
static void string_limits(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } old, wide = {sizeof(wide_gdt) - 1, (uint64_t)wide_gdt};
    uint8_t *p = page_alloc(1, 1);
    uint64_t base = ((uint64_t)p & 0xffffff) << 16 | ((uint64_t)p >> 24 & 0xff) << 56;

    __asm__ volatile("sgdt %0" : "=m"(old));
    memcpy(wide_gdt, gdt, 8 * sizeof(gdt[0]));
    wide_gdt[SMALL / 8] = base | 0x0040930000000000 | 15;
    wide_gdt[DOWN / 8] = base | 0x0040970000000000 | 15;
    wide_gdt[READ_ONLY / 8] = base | 0x0040910000000000 | 0xfff;
    __asm__ volatile("lgdt %0" ::"m"(wide));
    expect(ins32(SMALL, 15, false), VEC_NONE);
    expect(p[15], 0xff);
    expect(ins32(SMALL, 16, false), VEC_GP);
    expect(fault.error, 0);
    p[15] = 0;
    expect(ins32(SMALL, 15, true), VEC_GP);
    expect(p[15], 0);
    expect(ins32(SMALL, 14, true), VEC_NONE);
    expect(outs32(SMALL, 15), VEC_NONE);
    expect(outs32(SMALL, 16), VEC_GP);
    expect(ins32(DOWN, 15, false), VEC_GP);
    expect(ins32(DOWN, 16, false), VEC_NONE);
    expect(p[16], 0xff);
    expect(ins32(READ_ONLY, 20, false), VEC_GP);
    expect(p[20], 0);
    expect(outs32(READ_ONLY, 20), VEC_NONE);
    expect(ins32(NULL_SELECTOR, (uint64_t)p, false), VEC_GP);
    expect(outs32(NULL_SELECTOR, (uint64_t)p), VEC_GP);
    __asm__ volatile("lgdt %0" ::"m"(old));
}

static uint64_t user_in(uint64_t port)
{
    uint8_t v;

    fault_clear();
    __asm__ volatile(TRY("inb %1, %0") : "=a"(v) : "d"((uint16_t)port) : "memory");
    return (uint64_t)fault.vector;
}

static uint64_t user_out(uint64_t port)
{
    fault_clear();
    __asm__ volatile(TRY("outb %0, %1")::"a"((uint8_t)'!'), "d"((uint16_t)port) : "memory");
    return (uint64_t)fault.vector;
}

static void from_user(void)
{
    expect(user_run(user_in, 0x84), VEC_GP);
    expect(user_run(user_out, 0xe9), VEC_GP);
    expect(user_run(user_out, 0x64), VEC_GP);
}

/* Xen lets every guest use ports 0x80 and 0xed of the machine. */
static void delay_ports(void)
{
    if (!on_facet)
        skip("ports 0x80 and 0xed of its own");
    expect(inb(0x80), 0xff);
    expect(inb(0xed), 0xff);
}

/* Whoever waits for channel 2 of a timer to begin at its highest count sees at once that it does
 * not. */
static void no_timer(void)
{
    if (!on_facet)
        skip("a timer that reads 0");
    outb(0x43, 0xb0);
    outb(0x42, 0xff);
    outb(0x42, 0xff);
    expect(inb(0x42), 0);
    expect(inw(0x42), 0xffff);
}

static void debug_console(void)
{
    if (!on_facet)
        skip("reading port 0xE9 (Facet answers as Bochs does)");
    expect(inb(0xe9), 0xe9);
}

TEST_CASES(CASE(reads), CASE(widths), CASE(writes), CASE(sweep), CASE(strings), CASE(string_faults),
           CASE(string_stops_midway), CASE(string_marks), CASE(string_smap), CASE(string_limits),
           CASE(from_user), CASE(delay_ports), CASE(no_timer), CASE(debug_console))
