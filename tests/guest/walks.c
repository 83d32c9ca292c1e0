/* SPDX-License-Identifier: MIT */
/*
 * Page tables that a view lets be read and not written. A walk that changes nothing is nobody's
 * business: neither #VE nor conversion, and the guest gets on, also where every table is like that,
 * instructions raise exceptions, code is remapped, or a page behind them is restricted too. What
 * sets a flag, or writes a table through itself, is a violation of its own kind, and nothing has
 * changed when it is told. On AMD's processors every walk counts as a write, so that none of this
 * comes by itself there.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define R 1u
#define W 2u
#define X 4u

#define Q_FINAL (1u << 8)
#define PTE_A   0x20ULL
#define PTE_D   0x40ULL

#define VA     0x0000600000008000UL /* by tables of its own */
#define TABLES 512u

extern uint64_t pml4[512];

static volatile struct ve_info *info;
static uint64_t *pdpt, *pd, *pt;
static uint16_t v;
static volatile unsigned taken;
static struct ve_info seen;
static uint64_t table_gfns[TABLES];
static unsigned nr_tables;

static void on_ve(struct regs *r)
{
    (void)r;
    if (taken++ == 0)
        seen = *(const struct ve_info *)info;
}

/* The page is left busy: the second try is the hypervisor's, where nobody listens. */
static void arm(void)
{
    taken = 0;
    seen = (struct ve_info){0};
    info->busy = 0;
    __asm__ volatile("" ::: "memory");
}

static volatile uint64_t *at(unsigned page)
{
    return (volatile uint64_t *)(VA + page * PAGE);
}

static void map(unsigned page, uint64_t gpa, uint64_t flags)
{
    pt[(VA / PAGE + page) % 512] = gpa | flags;
    tlb_flush(at(page));
}

static void restrict_gfn(uint64_t gfn, uint16_t access)
{
    expect(altp2m_set_access(v, gfn, access), 0);
    expect(altp2m_set_suppress_ve(v, gfn, 0), 0);
}

static uint16_t access_of(uint64_t gfn)
{
    uint16_t a = 0xffff;

    return altp2m_get_access(v, gfn, &a) ? 0xffff : a;
}

static void release(uint64_t gfn)
{
    expect(altp2m_change_gfn(v, gfn, GFN_ALL_ONES), 0);
}

static void setup(void)
{
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    info = page_alloc(1, 1);
    pdpt = page_alloc(1, 1);
    pd = page_alloc(1, 1);
    pt = page_alloc(1, 1);
    pml4[VA >> 39 & 511] = (uint64_t)pdpt | PTE_RWX | PTE_A;
    pdpt[VA >> 30 & 511] = (uint64_t)pd | PTE_RWX | PTE_A;
    pd[VA >> 21 & 511] = (uint64_t)pt | PTE_RWX | PTE_A;
    trap_handle(VEC_VE, on_ve);
    need(altp2m_enable_notify(0, gfn_of(info)) == 0, "no #VE");
}

/* Whether this processor asks before a walk sets a flag. Bochs 2.7 does not with EPT. */
static bool writes_are_checked(void)
{
    uint8_t *page = page_alloc(1, 1);

    map(0, (uint64_t)page, PTE_RWX);
    restrict_gfn(gfn_of(pt), ACCESS_R);
    arm();
    altp2m_switch(v);
    (void)at(0)[0];
    altp2m_switch(0);
    release(gfn_of(pt));
    return taken;
}

/* ---- walks that change nothing ---- */

static void told_of_nothing(void)
{
    volatile uint64_t *page = page_alloc(1, 1);
    static const uint16_t accesses[] = {ACCESS_R, ACCESS_RX, ACCESS_RX2RW};

    page[0] = 0x1234;
    map(0, (uint64_t)page, PTE_RWX | PTE_A | PTE_D);
    for (unsigned i = 0; i < ARRAY_SIZE(accesses); i++) {
        restrict_gfn(gfn_of(pt), accesses[i]);
        arm();
        expect(altp2m_switch(v), 0);
        expect(at(0)[0], 0x1234 + i);
        at(0)[0] += 1;
        expect(altp2m_switch(0), 0);
        expect(taken, 0);
        expect(page[0], 0x1235 + i);
        expect(access_of(gfn_of(pt)), accesses[i]);
        release(gfn_of(pt));
    }
}

static void note_tables(const uint64_t *table, unsigned level)
{
    need(nr_tables < TABLES, "more than %u tables", TABLES);
    table_gfns[nr_tables++] = gfn_of(table);
    for (unsigned i = 0; level > 1 && i < 512; i++) {
        if ((table[i] & PTE_P) && !(table[i] & PTE_PS))
            note_tables((const uint64_t *)(table[i] & 0x000ffffffffff000), level - 1);
    }
}

static uint64_t at_user_level(uint64_t n)
{
    volatile uint64_t sum = 0;

    for (uint64_t i = 1; i <= n; i++)
        sum += i;
    return sum;
}

/* Instructions of many kinds; what they give is the same in every view. */
static uint64_t work(void)
{
    static uint8_t from[600], to[600];
    uint64_t flags, sum = 0, n = sizeof(from);
    uint8_t *d = to, *s = from;
    uint32_t r[4];

    for (unsigned i = 0; i < sizeof(from); i++)
        from[i] = (uint8_t)(i * 7);
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
    for (unsigned i = 0; i < sizeof(to); i++)
        sum += to[i];
    __asm__ volatile("pushf; pop %0" : "=r"(flags)::"memory");
    sum = sum * 31 + (flags & 0x3300);
    __asm__ volatile("lock xaddq %0, %1" : "+r"(sum), "+m"(flags)::"memory");
    fault_clear();
    __asm__ volatile(TRY("ud2")::: "memory");
    sum = sum * 31 + (unsigned)fault.vector;
    fault_clear();
    __asm__ volatile(TRY("mov (%%rax), %%rax")::"a"(1UL << 63) : "memory");
    sum = sum * 31 + (unsigned)fault.vector;
    sum += (unsigned)try_call((const void *)0x123000000000);
    sum = sum * 31 + (fault.cr2 == 0x123000000000);
    sum = sum * 31 + user_run(at_user_level, 5);
    cpuid(0x40000000, 0, r);
    return sum * 31 + r[1];
}

/* All of the guest's own tables, those of its code, stack and descriptors among them. */
static void all_tables(void)
{
    uint64_t wanted, got;

    work();
    wanted = work();
    nr_tables = 0;
    note_tables(pml4, 4);
    for (unsigned i = 0; i < nr_tables; i++)
        restrict_gfn(table_gfns[i], ACCESS_R);
    arm();
    expect(altp2m_switch(v), 0);
    got = work();
    expect(altp2m_switch(0), 0);
    check(got == wanted, "work gives %lx, wanted %lx", got, wanted);
    expect(taken, 0);
    for (unsigned i = 0; i < nr_tables; i++) {
        check(access_of(table_gfns[i]) == ACCESS_R, "table %lx", table_gfns[i]);
        release(table_gfns[i]);
    }
    say("walks: %u tables\n", nr_tables);
}

/* ---- several restrictions at once ---- */

static void remapped_code(void)
{
    uint8_t *one = page_alloc(1, 1), *two = page_alloc(1, 1);

    memcpy(one, "\xb8\x01\x00\x00\x00\xc3", 6); /* mov $1, %eax; ret */
    memcpy(two, "\xb8\x02\x00\x00\x00\xc3", 6);
    map(0, (uint64_t)one, PTE_RWX | PTE_A | PTE_D);
    expect(((unsigned (*)(void))VA)(), 1);
    restrict_gfn(gfn_of(pt), ACCESS_R);
    expect(altp2m_change_gfn(v, gfn_of(one), gfn_of(two)), 0);
    arm();
    expect(altp2m_switch(v), 0);
    expect(((unsigned (*)(void))VA)(), 2);
    expect(*(volatile uint8_t *)(VA + 1), 2);
    expect(altp2m_switch(0), 0);
    expect(taken, 0);
    release(gfn_of(one));
    release(gfn_of(pt));
}

static void data_behind(void)
{
    static const struct {
        uint16_t access;
        uint8_t kind;
    } rows[] = {{ACCESS_R, W}, {ACCESS_N, W}, {ACCESS_N, R}, {ACCESS_RW, X}};
    volatile uint64_t *page = page_alloc(1, 1);

    page[0] = 0xc3;
    map(0, (uint64_t)page, PTE_RWX | PTE_A | PTE_D);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        restrict_gfn(gfn_of(pt), ACCESS_R);
        restrict_gfn(gfn_of(page), rows[i].access);
        arm();
        expect(altp2m_switch(v), 0);
        if (rows[i].kind == W)
            at(0)[1] = i;
        else if (rows[i].kind == R)
            expect(at(0)[0], 0xc3);
        else
            try_call((const void *)VA);
        expect(altp2m_switch(0), 0);
        expect(taken, 1);
        expect(seen.qualification & (R | W | X | Q_FINAL), rows[i].kind | Q_FINAL);
        expect(seen.gpa / PAGE, gfn_of(page));
        expect(access_of(gfn_of(page)), ACCESS_RWX); /* nobody listens */
        expect(access_of(gfn_of(pt)), ACCESS_R);
        release(gfn_of(page));
        release(gfn_of(pt));
    }
    expect(page[1], 1);
}

/* ---- what is a violation ---- */

static void flags_are_told(void)
{
    volatile uint64_t *page = page_alloc(1, 1), *entry = &pt[VA / PAGE % 512];
    static const struct {
        uint64_t before;
        bool write;
    } rows[] = {{0, false}, {PTE_A, true}, {0, true}};

    if (!writes_are_checked())
        skip("a processor that checks a walk's writes");
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        map(0, (uint64_t)page, PTE_RWX | rows[i].before);
        page[0] = 7;
        restrict_gfn(gfn_of(pt), ACCESS_R);
        arm();
        expect(altp2m_switch(v), 0);
        if (rows[i].write)
            __asm__ volatile("lock incq %0" : "+m"(*(uint64_t *)VA));
        else
            expect(at(0)[0], 7);
        expect(altp2m_switch(0), 0);
        expect(taken, 1);
        expect(seen.qualification & (R | W | X | Q_FINAL), W);
        expect(seen.gpa, (uint64_t)entry);
        expect(page[0], rows[i].write ? 8 : 7); /* done once */
        expect(*entry & (PTE_A | PTE_D), rows[i].write ? PTE_A | PTE_D : PTE_A);
        release(gfn_of(pt));
    }
}

/* A table that maps itself, written through that mapping. */
static void writes_itself(void)
{
    volatile uint64_t *slot = &pt[100];

    for (unsigned i = 0; i < 3; i++) {
        *slot = 0;
        map(1, (uint64_t)pt, PTE_RWX | PTE_A | PTE_D);
        restrict_gfn(gfn_of(pt), ACCESS_R);
        arm();
        expect(altp2m_switch(v), 0);
        if (i == 0)
            at(1)[100] = 0x5a;
        else if (i == 1)
            __asm__ volatile("movnti %1, %0" : "=m"(*(uint64_t *)(VA + PAGE + 800)) : "r"(0x5aUL));
        else
            __asm__ volatile("lock xaddq %1, %0"
                             : "+m"(*(uint64_t *)(VA + PAGE + 800))
                             : "r"(0x5aUL));
        expect(altp2m_switch(0), 0);
        expect(taken, 1);
        expect(seen.qualification & (R | W | X), W);
        expect(seen.gpa, (uint64_t)slot);
        expect(*slot, 0x5a);
        release(gfn_of(pt));
    }
}

TEST_CASES(CASE(setup), CASE(told_of_nothing), CASE(all_tables), CASE(remapped_code),
           CASE(data_behind), CASE(flags_are_told), CASE(writes_itself))
