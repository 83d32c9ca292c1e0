/* SPDX-License-Identifier: MIT */

/*
 * Which writes to the kernel's text the Linux agent allows, and that what it has the gate do is
 * what the processor would have done. Copies really run, on a page that is read-only; each SIGSEGV
 * is what a #VE is to the agent. That the store view keeps the gate from more is for the guests to
 * show.
 */
#define _GNU_SOURCE /* names of registers */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cmocka.h>

#include "copy.h"
#include "keeper.h"

#define PAGE      4096u
#define TEXT_GFN  0x1000u
#define TABLES    0x5000u
#define KERNEL_CS 0x10u
#define AT        0x123u /* in the page: aligned to nothing */
#define MOST      16u
#define FILL      0xee

typedef void copy_fn(void *to, const void *from, size_t n);
copy_fn copy_bytes, copy_quads, copy_moves;
void poke(copy_fn *copy, void *to, const void *from, size_t n);
void elsewhere(copy_fn *copy, void *to, const void *from, size_t n);
extern const char copies_start[], copies_end[], poke_end[];

static copy_fn *const copies[] = {copy_bytes, copy_quads, copy_moves};
#define COPIES (sizeof(copies) / sizeof(copies[0]))

/* How the violation comes to the agent. */
struct violation {
    uint64_t qualification, gfn, cr3, cs, gla_off;
};
static const struct violation legitimate = {VE_WRITE, TEXT_GFN, TABLES, KERNEL_CS, 0};

static struct violation how;
static uint8_t *text; /* two pages that only the agent can write */
static unsigned int taken;
static sigjmp_buf denied;

/* What keeper.c needs of the rest of the agent, none of it in these tests. */
struct guard guard;

long guard_unseal(void)
{
    fail_msg("not to be called");
    return 0;
}

uint64_t guard_cr3(void)
{
    fail_msg("not to be called");
    return 0;
}

long guard_pin(void)
{
    return 0;
}

long guard_watch(void)
{
    return 0;
}

long guard_refusals(void)
{
    return 0;
}

bool guard_rearm(void)
{
    fail_msg("not to be called");
    return false;
}

static struct gate_frame frame_of(const greg_t *r)
{
    struct gate_frame f = {0};

    f.rip = (uint64_t)r[REG_RIP];
    f.top = *(const uint64_t *)r[REG_RSP];
    f.rax = (uint64_t)r[REG_RAX];
    f.rcx = (uint64_t)r[REG_RCX];
    f.rdx = (uint64_t)r[REG_RDX];
    f.rsi = (uint64_t)r[REG_RSI];
    f.rdi = (uint64_t)r[REG_RDI];
    f.r8 = (uint64_t)r[REG_R8];
    f.r9 = (uint64_t)r[REG_R9];
    f.r10 = (uint64_t)r[REG_R10];
    f.r11 = (uint64_t)r[REG_R11];
    f.cs = how.cs;
    return f;
}

/* As gate_entry.S does it. */
static void carry_out(const struct gate_store *store, greg_t *r)
{
    uint8_t *to = (uint8_t *)store->to;

    memcpy(to, store->from ? (const void *)store->from : &store->value, store->bytes);
    r[REG_RIP] = (greg_t)store->rip;
    if (store->from) {
        r[REG_RDI] += (greg_t)store->bytes;
        r[REG_RSI] += (greg_t)store->bytes;
        r[REG_RCX] = 0;
    }
}

static void on_violation(int signal, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct gate_frame f = frame_of(r);
    uint64_t gla = (uint64_t)info->si_addr, page = (gla - (uint64_t)text) / PAGE;
    struct ve_info ve = {.qualification = how.qualification,
                         .gla = gla + how.gla_off,
                         .gpa = (how.gfn + page) * PAGE + gla % PAGE};
    struct gate_store store;

    (void)signal;
    taken++;
    if (page >= 2 || !keeper_allow(&f, &ve, how.cr3, &store))
        siglongjmp(denied, 1);
    mprotect(text, 2 * PAGE, PROT_READ | PROT_WRITE);
    carry_out(&store, r);
    mprotect(text, 2 * PAGE, PROT_READ);
}

static int set_up(void **state)
{
    struct keeper_copy copy = {.at = {(uint64_t)copies_start, (uint64_t)copies_end - 1}};
    struct keeper_range caller = {(uint64_t)poke, (uint64_t)poke_end - 1};

    (void)state;
    text = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (text == MAP_FAILED)
        return -1;
    assert_true(copies_end - copies_start <= KEEPER_COPY_MOST);
    memcpy(copy.code, copies_start, (size_t)(copies_end - copies_start));
    for (unsigned int i = 0; i < KEEPER_COPIES; i++)
        keeper_patching.copy[i] = copy;
    for (unsigned int i = 0; i < KEEPER_CALLERS; i++)
        keeper_patching.caller[i] = caller;
    keeper_patching.text_first = TEXT_GFN;
    keeper_patching.text_last = TEXT_GFN + 1;
    keeper_patching.tables = TABLES;
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    how = legitimate;
    keeper_patching.allowed = 1;
    mprotect(text, 2 * PAGE, PROT_READ | PROT_WRITE);
    memset(text, FILL, 2 * PAGE);
    return mprotect(text, 2 * PAGE, PROT_READ);
}

static const uint8_t *source(void)
{
    static uint8_t bytes[64];

    for (unsigned int i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(0x80 + 3 * i);
    return bytes;
}

/* Whether the copy came to its end. cmocka's own handler is put back behind it. */
static bool copied(void (*by)(copy_fn *, void *, const void *, size_t), copy_fn *copy, size_t at,
                   const void *from, size_t n)
{
    struct sigaction action = {.sa_sigaction = on_violation, .sa_flags = SA_SIGINFO}, before;
    volatile bool ended = false;

    taken = 0;
    sigaction(SIGSEGV, &action, &before);
    if (!sigsetjmp(denied, 1)) {
        by(copy, text + at, from, n);
        ended = true;
    }
    sigaction(SIGSEGV, &before, NULL);
    return ended;
}

static void assert_untouched(size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        assert_int_equal(text[i], FILL);
}

static void assert_denied(copy_fn *copy, size_t at, const void *from, size_t n)
{
    assert_false(copied(poke, copy, at, from, n));
    assert_int_equal(taken, 1);
    assert_untouched(0, 2 * PAGE);
}

/* Every way, every size, also up to the page's last byte. */
static void patches_are_carried_out(void **state)
{
    for (size_t c = 0; c < COPIES; c++)
        for (size_t n = 1; n <= MOST; n++)
            for (size_t last = 0; last < 2; last++) {
                size_t at = last ? PAGE - n : AT;

                fresh(state);
                assert_true(copied(poke, copies[c], at, source(), n));
                assert_in_range(taken, 1, 4);
                assert_memory_equal(text + at, source(), n);
                assert_untouched(0, at);
                assert_untouched(at + n, 2 * PAGE);
            }
}

/* One violation for each instruction that writes, so that none of them is taken for another. */
static void each_instruction_is_one_violation(void **state)
{
    static const struct {
        copy_fn *copy;
        size_t n;
        unsigned int taken;
    } cases[] = {{copy_bytes, 5, 1},  {copy_quads, 4, 1}, {copy_quads, 16, 1},
                 {copy_quads, 15, 2}, {copy_moves, 1, 1}, {copy_moves, 3, 3},
                 {copy_moves, 4, 2},  {copy_moves, 8, 2}, {copy_moves, 16, 4}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fresh(state);
        assert_true(copied(poke, cases[i].copy, AT, source(), cases[i].n));
        assert_int_equal(taken, cases[i].taken);
    }
}

static void long_copies_are_denied(void **state)
{
    (void)state;
    for (size_t c = 0; c < COPIES; c++)
        for (size_t n = MOST + 1; n < 32; n++)
            assert_denied(copies[c], AT, source(), n);
}

/* Of an instruction that writes to both pages the processor tells either. */
static void copies_over_two_pages_are_carried_out(void **state)
{
    for (size_t c = 0; c < COPIES; c++)
        for (size_t n = 2; n <= MOST; n++)
            for (size_t before = 1; before < n; before++) {
                fresh(state);
                assert_true(copied(poke, copies[c], PAGE - before, source(), n));
                assert_memory_equal(text + PAGE - before, source(), n);
                assert_untouched(0, PAGE - before);
                assert_untouched(PAGE - before + n, 2 * PAGE);
            }
}

static void who_is_not_patching_is_denied(void **state)
{
    static const struct violation others[] = {
        {VE_READ, TEXT_GFN, TABLES, KERNEL_CS, 0},
        {VE_WRITE, TEXT_GFN - 1, TABLES, KERNEL_CS, 0},
        {VE_WRITE, TEXT_GFN + 2, TABLES, KERNEL_CS, 0},
        {VE_WRITE, TEXT_GFN, TABLES + PAGE, KERNEL_CS, 0},
        {VE_WRITE, TEXT_GFN, TABLES, KERNEL_CS + 3, 0},
        {VE_WRITE, TEXT_GFN, TABLES, KERNEL_CS, 1},
    };

    (void)state;
    for (size_t c = 0; c < COPIES; c++) {
        for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
            how = others[i];
            assert_denied(copies[c], AT, source(), 5);
        }
        how = legitimate;
        assert_false(copied(elsewhere, copies[c], AT, source(), 5));
        keeper_patching.allowed = 0;
        assert_denied(copies[c], AT, source(), 5);
        keeper_patching.allowed = 1;
    }
}

/* What is at the instruction's address by now is not looked at, nor is what lies
 * behind memcpy(). */
static void instructions_are_those_of_before(void **state)
{
    struct ve_info ve = {.qualification = VE_WRITE, .gla = 0x1000, .gpa = TEXT_GFN * PAGE};
    struct gate_frame f = {.cs = KERNEL_CS,
                           .top = (uint64_t)poke,
                           .rdi = 0x1000,
                           .rax = 0x1000,
                           .rsi = 0x2000,
                           .rcx = 8};
    struct keeper_patching saved = keeper_patching;
    struct gate_store store;

    (void)state;
    for (unsigned int i = 0; i < KEEPER_COPIES; i++)
        keeper_patching.copy[i] = (struct keeper_copy){.at = {0x5000, 0x5000 + 2 * PAGE}};
    memcpy(keeper_patching.copy[0].code + 16, "\xf3\xa4", 2);
    for (f.rip = 0x4ff0; f.rip < 0x5000 + 2 * PAGE + 16; f.rip++) {
        bool same = f.rip == 0x5010; /* nothing is mapped there */

        assert_int_equal(keeper_allow(&f, &ve, TABLES, &store), same);
    }
    assert_int_equal(store.rip, 0x5012);
    keeper_patching = saved;
}

/* Instructions that memcpy() does not write with, and registers that it does not have then. */
static void other_instructions_are_denied(void **state)
{
    static const struct {
        uint8_t code[8];
        uint64_t rax_off, rcx, rdx;
        bool good;
    } cases[] = {
        {{0x4c, 0x89, 0x07}, 0, 0, 8, true},               /* mov %r8, (%rdi) */
        {{0x4c, 0x89, 0x07}, 0, 0, 7, false},              /* more than is to be copied */
        {{0x4c, 0x89, 0x07}, 0, 0, 17, false},             /* part of more */
        {{0x4c, 0x89, 0x07}, 0, 0, -32ull, false},         /* in a loop */
        {{0x4c, 0x89, 0x07}, -8ull, 0, 16, false},         /* not from where the copy began */
        {{0x4c, 0x89, 0x07}, 32, 0, 8, false},             /* in a loop, further on */
        {{0x4c, 0x89, 0x47, 0x08}, 0, 0, 8, false},        /* behind the copy */
        {{0x4c, 0x89, 0x44, 0x17, 0xf0}, 0, 0, 8, false},  /* before it */
        {{0x48, 0x89, 0x37}, 0, 0, 8, false},              /* mov %rsi, (%rdi) */
        {{0x88, 0x27}, 0, 0, 0, false},                    /* mov %ah, (%rdi) */
        {{0x66, 0x89, 0x0f}, 0, 0, 8, false},              /* mov %cx, (%rdi) */
        {{0x49, 0x89, 0x0f}, 0, 0, 8, false},              /* mov %rcx, (%r15) */
        {{0x4c, 0x89, 0x06}, 0, 0, 8, false},              /* mov %r8, (%rsi) */
        {{0x4c, 0x89, 0x04, 0x0f}, 0, 0, 8, false},        /* mov %r8, (%rdi,%rcx) */
        {{0x4e, 0x89, 0x04, 0x17}, 0, 0, 8, false},        /* mov %r8, (%rdi,%r10) */
        {{0x4c, 0x89, 0x87, 0, 0, 0, 0}, 0, 0, 8, false},  /* mov %r8, 0(%rdi), 32 bits */
        {{0x4c, 0x89, 0xc7}, 0, 0, 8, false},              /* mov %r8, %rdi */
        {{0x4c, 0x01, 0x07}, 0, 0, 8, false},              /* add %r8, (%rdi) */
        {{0xc6, 0x07, 0xcc}, 0, 0, 0, false},              /* movb $0xcc, (%rdi) */
        {{0xf3, 0xa4}, 0, 16, 0, true},                    /* rep movsb */
        {{0xf3, 0xa4}, 0, -8ull, 0, false},                /* all memory */
        {{0xf3, 0xa4}, -8ull, 16, 0, false},               /* the second half of a long one */
        {{0xf3, 0x48, 0xa5}, 0, 2, 1, false},              /* rep movsq, and a byte more */
        {{0xf3, 0x48, 0xa5}, 0, 1ull << 61 | 1, 0, false}, /* 8 bytes, but for an overflow */
        {{0xf3, 0xa5}, 0, 2, 0, false},                    /* rep movsl */
        {{0xf3, 0xaa}, 0, 2, 0, false},                    /* rep stosb */
        {{0xa4}, 0, 1, 0, false},                          /* movsb */
    };
    struct keeper_copy saved = keeper_patching.copy[0];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t to = (uint64_t)text + AT;
        struct ve_info ve = {.qualification = VE_WRITE, .gla = to, .gpa = TEXT_GFN * PAGE + AT};
        struct gate_frame f = {.rip = (uint64_t)cases[i].code,
                               .cs = KERNEL_CS,
                               .top = (uint64_t)poke,
                               .rsi = (uint64_t)source(),
                               .rdi = to,
                               .rax = to + cases[i].rax_off,
                               .rcx = cases[i].rcx,
                               .rdx = cases[i].rdx,
                               .r8 = 0x1122334455667788};
        struct copy_step step;
        struct gate_store store;

        keeper_patching.copy[0].at = (struct keeper_range){f.rip, f.rip};
        memcpy(keeper_patching.copy[0].code, cases[i].code, sizeof(cases[i].code));
        if (copy_decode(&f, cases[i].code, &step) && step.store.to != to)
            ve.gla = step.store.to;
        assert_int_equal(keeper_allow(&f, &ve, TABLES, &store), cases[i].good);
    }
    keeper_patching.copy[0] = saved;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(patches_are_carried_out, fresh),
        cmocka_unit_test_setup(each_instruction_is_one_violation, fresh),
        cmocka_unit_test_setup(long_copies_are_denied, fresh),
        cmocka_unit_test_setup(copies_over_two_pages_are_carried_out, fresh),
        cmocka_unit_test_setup(who_is_not_patching_is_denied, fresh),
        cmocka_unit_test_setup(instructions_are_those_of_before, fresh),
        cmocka_unit_test_setup(other_instructions_are_denied, fresh),
    };

    return cmocka_run_group_tests_name("agent_keeper", tests, set_up, NULL);
}
