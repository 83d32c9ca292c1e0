/* SPDX-License-Identifier: MIT */
/*
 * Pages that can be executed and not read, with altp2m_narrow = 1: on Intel the processor's doing,
 * on AMD Facet's, an instruction at a time, and the same for all that can be seen from here. Pokes:
 * code of many kinds runs there, one that lies in two pages, too; whatever reads or writes such a
 * page, its own code above all, meets the restriction, which nobody listens for, so that it is
 * dropped, or becomes a #VE.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define ROUNDS 20u

/* Copied to where it runs; `body` is its own data. */
__asm__(
    ".section .rodata\n"
    ".global code_begin, code_end, code_sum, code_load, code_multiply, code_store, code_string\n"
    ".global code_stack, code_body\n"
    "code_begin:\n"
    "code_sum:\n" /* (numbers, n): their sum, each one more for the call */
    "    xor %eax, %eax\n"
    "1:  add (%rdi), %rax\n"
    "    add $8, %rdi\n"
    "    call 2f\n"
    "    dec %esi\n"
    "    jnz 1b\n"
    "    mov %rax, %rcx\n"
    "    pushf\n"
    "    pop %rdx\n"
    "    xchg %rax, %rcx\n"
    "    ret\n"
    "2:  push %rbx\n"
    "    lea 1(%rax), %rbx\n"
    "    mov %rbx, %rax\n"
    "    pop %rbx\n"
    "    ret\n"
    "code_load:\n"
    "    mov code_body(%rip), %rax\n"
    "    ret\n"
    "code_multiply:\n" /* by 3 */
    "    mov $3, %eax\n"
    "    imul code_body(%rip), %rax\n"
    "    ret\n"
    "code_store:\n"
    "    mov %rdi, code_body(%rip)\n"
    "    ret\n"
    "code_string:\n"
    "    lea code_body(%rip), %rsi\n"
    "    cld\n"
    "    lodsq\n"
    "    ret\n"
    "code_stack:\n"
    "    mov %rsp, %rcx\n"
    "    lea code_body+16(%rip), %rsp\n"
    "    push %rdi\n"
    "    mov %rcx, %rsp\n"
    "    ret\n"
    ".balign 8\n"
    "code_body:\n"
    "    .quad 0x1122334455667788, 0, 0\n"
    "code_end:\n"
    ".text\n");
extern const uint8_t code_begin[], code_end[], code_sum[], code_load[], code_multiply[],
    code_store[], code_string[], code_stack[], code_body[];

#define BODY 0x1122334455667788ULL

static uint8_t *page; /* two, one behind the other */
static volatile struct ve_info *info;
static uint16_t v;
static bool ready;

static void *placed(const uint8_t *what)
{
    return page + (what - code_begin);
}

static uint64_t run2(const uint8_t *what, uint64_t a, uint64_t b)
{
    uint64_t (*f)(uint64_t, uint64_t) = (uint64_t(*)(uint64_t, uint64_t))(uintptr_t)placed(what);

    return f(a, b);
}

static uint16_t access_of(const void *p)
{
    uint16_t a;

    altp2m_get_access(v, gfn_of(p), &a);
    return a;
}

/* The code is there, the page has this access in view v, and the vCPU is on v. */
static void enter(uint16_t access)
{
    expect(altp2m_switch(0), 0);
    memcpy(page, code_begin, (size_t)(code_end - code_begin));
    expect(altp2m_set_access(v, gfn_of(page), access), 0);
    expect(altp2m_switch(v), 0);
}

static void setup(void)
{
    struct facet_altp2m_query q = {.index = 0};

    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    page = page_alloc(2, 2);
    info = page_alloc(1, 1);
    need((uintptr_t)page % PAGE == 0 && page, "no pages");
    if (on_facet) {
        expect(altp2m_stub_query(&altp2m_self, &q), 0);
        expect(q.accesses >> ACCESS_X & 1, 1);
        expect(q.narrowed >> ACCESS_X & 1, cpu_is_amd());
    }
    ready = true;
}

static void runs(void)
{
    static const uint16_t accesses[] = {ACCESS_X, ACCESS_WX};
    static uint64_t numbers[ROUNDS];
    uint64_t want = 0;

    need(ready, "no setup");
    for (unsigned i = 0; i < ROUNDS; i++) {
        numbers[i] = i * i;
        want += i * i + 1;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(accesses); i++) {
        enter(accesses[i]);
        for (unsigned round = 0; round < 3; round++)
            expect(run2(code_sum, (uintptr_t)numbers, ROUNDS), want);
        expect(access_of(page), accesses[i]);
    }
    expect(altp2m_switch(0), 0);
}

/* mov $0x12345678, %eax; ret; the MOV lies in both. */
static void runs_across(void)
{
    static const uint8_t mov[] = {0xb8, 0x78, 0x56, 0x34, 0x12, 0xc3};
    uint32_t (*f)(void) = (uint32_t(*)(void))(uintptr_t)(page + PAGE - 2);

    need(ready, "no setup");
    expect(altp2m_switch(0), 0);
    memcpy(page + PAGE - 2, mov, sizeof(mov));
    for (unsigned i = 0; i < 3; i++) { /* both, then one of them */
        expect(altp2m_set_access(v, gfn_of(page), i == 1 ? ACCESS_RWX : ACCESS_X), 0);
        expect(altp2m_set_access(v, gfn_of(page + PAGE), i == 2 ? ACCESS_RWX : ACCESS_X), 0);
        expect(altp2m_switch(v), 0);
        expect(f(), 0x12345678);
        expect(access_of(page), i == 1 ? ACCESS_RWX : ACCESS_X);
        expect(access_of(page + PAGE), i == 2 ? ACCESS_RWX : ACCESS_X);
        expect(altp2m_switch(0), 0);
    }
    expect(altp2m_set_access(v, gfn_of(page + PAGE), ACCESS_RWX), 0);
}

/* A copy with a hidden instruction in it, as a monitor puts a breakpoint. */
static void runs_another_page(void)
{
    uint8_t *other = page_alloc(1, 1);
    uint32_t (*f)(void) = (uint32_t(*)(void))(uintptr_t)page;
    static const uint8_t one[] = {0xb8, 1, 0, 0, 0, 0xc3}, two[] = {0xb8, 2, 0, 0, 0, 0xc3};

    need(ready && other, "no setup");
    enter(ACCESS_RWX);
    expect(altp2m_switch(0), 0);
    memcpy(page, one, sizeof(one));
    memcpy(other, two, sizeof(two));
    expect(altp2m_change_gfn(v, gfn_of(page), gfn_of(other)), 0);
    expect(altp2m_set_access(v, gfn_of(page), ACCESS_X), 0);
    expect(f(), 1);
    expect(altp2m_switch(v), 0);
    expect(f(), 2);
    expect(access_of(page), ACCESS_X);
    expect(altp2m_switch(0), 0);
    expect(altp2m_change_gfn(v, gfn_of(page), GFN_ALL_ONES), 0);
}

static void denied_to_others(void)
{
    need(ready, "no setup");
    for (unsigned i = 0; i < 2; i++) {
        enter(i ? ACCESS_X : ACCESS_WX);
        if (i)
            expect(*(volatile uint8_t *)page, *code_begin);
        else
            *(volatile uint64_t *)placed(code_body) = 5;
        expect(access_of(page), ACCESS_RWX);
    }
    expect(altp2m_switch(0), 0);
}

/* The page's own code, by each way there is to an operand. */
static void denied_to_itself(void)
{
    static const struct {
        const uint8_t *what;
        uint64_t result;
    } list[] = {
        {code_load, BODY}, {code_multiply, 3 * BODY}, {code_string, BODY},
        {code_store, 0},   {code_stack, 0},
    };

    need(ready, "no setup");
    for (unsigned i = 0; i < ARRAY_SIZE(list); i++) {
        enter(ACCESS_X);
        uint64_t got = run2(list[i].what, 0x77, 0);
        check(!list[i].result || got == list[i].result, "way %u: %lx", i, got);
        check(access_of(page) == ACCESS_RWX, "way %u: not met", i);
    }
    enter(ACCESS_X);
    run2(code_store, 0x77, 0);
    expect(*(volatile uint64_t *)placed(code_body), 0x77);
    expect(altp2m_switch(0), 0);
}

/* The page walks that lead there may not write: on AMD they are let through, together with it. */
static void behind_protected_tables(void)
{
    const uint64_t va = 0x0000600000000000;
    extern uint64_t pml4[512];
    static uint64_t numbers[2] = {5, 6};
    uint64_t (*f)(uint64_t, uint64_t) = (uint64_t(*)(uint64_t, uint64_t))va;
    uint64_t (*load)(void) = (uint64_t(*)(void))(va + (uint64_t)(code_load - code_begin));

    need(ready, "no setup");
    page_map(va, (uintptr_t)page, PTE_RWX);
    enter(ACCESS_RWX);
    expect(f((uintptr_t)numbers, 2), 13); /* accessed bits are set */
    expect(load(), BODY);
    enter(ACCESS_X);
    uint64_t table = (pml4[va >> 39 & 511] & ~(PAGE - 1)) / PAGE;
    expect(altp2m_set_access(v, table, ACCESS_R), 0);
    expect(f((uintptr_t)numbers, 2), 13);
    expect(access_of(page), ACCESS_X);
    expect(load(), BODY);
    expect(access_of(page), ACCESS_RWX);
    expect(access_of((const void *)(table * PAGE)), ACCESS_R);
    expect(altp2m_switch(0), 0);
    expect(altp2m_set_access(v, table, ACCESS_RWX), 0);
}

static volatile unsigned taken;
static struct ve_info seen;

static void on_ve(struct regs *r)
{
    (void)r;
    taken++;
    seen = *(const struct ve_info *)info;
    altp2m_set_access(v, gfn_of(page), ACCESS_RWX);
    info->busy = 0;
    if (taken > 10)
        test_broke("#VE does not end");
}

/* The same, told to the guest: a read, at that address; its fetches are no violation. */
static void as_ve(void)
{
    long rc = altp2m_enable_notify(0, gfn_of(info));

    need(ready, "no setup");
    if (rc == -XEN_EOPNOTSUPP)
        skip("#VE");
    expect(rc, 0);
    trap_handle(VEC_VE, on_ve);
    expect(altp2m_change_gfn(v, gfn_of(page), gfn_of(page)), 0);
    enter(ACCESS_X);
    static uint64_t numbers[2] = {3, 4};
    expect(run2(code_sum, (uintptr_t)numbers, 2), 9);
    expect(taken, 0);
    expect(run2(code_load, 0, 0), BODY);
    expect(taken, 1);
    expect(seen.qualification & 7, 1);
    expect(seen.gla, (uintptr_t)placed(code_body));
    expect(seen.gpa, (uintptr_t)placed(code_body));
    enter(ACCESS_X);
    run2(code_store, 0x78, 0);
    expect(taken, 2);
    expect(seen.qualification & 7, 2);
    expect(altp2m_switch(0), 0);
    expect(altp2m_disable_notify(0), 0);
}

TEST_CASES(CASE(setup), CASE(runs), CASE(runs_across), CASE(runs_another_page),
           CASE(denied_to_others), CASE(denied_to_itself), CASE(behind_protected_tables),
           CASE(as_ve))
