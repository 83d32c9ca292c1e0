/* SPDX-License-Identifier: MIT */
/*
 * Port I/O where no device is: reads give all ones, writes are dropped, neither reaches the machine
 * below (a reset or power-off port of the host included). String forms, and their page faults.
 */
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

static void debug_console(void)
{
    if (!on_facet)
        skip("reading port 0xE9 (Facet answers as Bochs does)");
    expect(inb(0xe9), 0xe9);
}

TEST_CASES(CASE(reads), CASE(widths), CASE(writes), CASE(sweep), CASE(strings), CASE(string_faults),
           CASE(string_stops_midway), CASE(from_user), CASE(delay_ports), CASE(debug_console))
