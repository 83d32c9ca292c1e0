/* SPDX-License-Identifier: MIT */
/*
 * A guest whose monitor (mon-allow.c) restricts its pages and has the instructions that run into
 * that carried out. Each task touches such pages in a few ways; what the instructions leave is
 * compared with what they leave where nobody watches, or with what the monitor put in their place.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/target.h"
#include "lib/test.h"

static struct mailbox *mail;
static uint8_t *pages;
static volatile unsigned breakpoints;

#define PAGE_OF(n) (pages + PAGE * (n))
#define WORD(n)    (*(volatile uint64_t *)PAGE_OF(n))
#define CODE       PAGE_OF(4)

static void on_breakpoint(struct regs *r)
{
    (void)r;
    breakpoints++;
}

static void begin(uint32_t task)
{
    breakpoints = 0;
    target_begin(mail, task);
}

static void end(void)
{
    target_end(mail);
}

/* Instructions of several kinds that write: to one page, to two, with flags, locked, by 16 bytes,
 * by the stack. */
static void do_writes(uint64_t *out)
{
    uint64_t flags, stack;

    WORD(0) = 1;
    __asm__ volatile("lock xaddq %0, %1" : "+r"(out[0]), "+m"(WORD(0))::"memory", "cc");
    __asm__ volatile("subq $0x2001, %1; pushfq; pop %0"
                     : "=r"(flags), "+m"(WORD(0))::"memory", "cc");
    out[1] = flags & 0x8d5;
    *(volatile uint64_t *)(PAGE_OF(1) - 4) = 0x1122334455667788; /* pages 0 and 1 */
    __asm__ volatile("mov %%rsp, %0; lea 0x800(%1), %%rsp; push $0x77; pushfq; mov %0, %%rsp"
                     : "=&r"(stack)
                     : "r"(PAGE_OF(2))
                     : "memory");
    __asm__ volatile("movq %0, %%rdi; movq %0, %%rsi; lodsq; stosq" ::"r"(PAGE_OF(3))
                     : "rdi", "rsi", "rax", "memory");
    __asm__ volatile("xchg %0, %1" : "+r"(out[2]), "+m"(WORD(3))::"memory");
}

static void writes(void)
{
    static uint64_t plain[3], watched[3];
    static uint8_t copy[4 * PAGE];

    for (unsigned i = 0; i < 3; i++) {
        plain[i] = watched[i] = 0x1000 + i;
    }
    memset(pages, 0, 4 * PAGE);
    do_writes(plain);
    memcpy(copy, pages, sizeof(copy));
    memset(pages, 0, 4 * PAGE);
    begin(TRY_WRITES);
    do_writes(watched);
    end();
    for (unsigned i = 0; i < 3; i++) {
        expect(watched[i], plain[i]);
    }
    expect(memcmp(copy, pages, sizeof(copy)), 0);
}

/* A function of five instructions in a page that may not be executed. */
static void exec(void)
{
    static const uint8_t code[] = {0x48, 0x8d, 0x04, 0x3f, 0x9c, 0x5a, 0x48, 0xff, 0xc0, 0xc3};
    uint64_t (*twice_and_one)(uint64_t) = (uint64_t(*)(uint64_t))CODE;
    uint64_t got;

    memcpy(CODE, code, sizeof(code)); /* lea (rdi,rdi), rax; pushfq; pop rdx; inc rax; ret */
    begin(TRY_EXEC);
    __asm__ volatile("call *%1" : "=a"(got) : "r"(twice_and_one), "D"(21) : "rdx", "memory", "cc");
    end();
    expect(got, 43);
}

/* In a view: its other pages stay as they are, and so does what else it denies. */
static void view(void)
{
    WORD(0) = WORD(1) = 5;
    begin(TRY_VIEW);
    WORD(0) += 1;
    WORD(1) += 2;
    end();
    expect(WORD(0), 6);
    expect(WORD(1), 7);
}

/* An instruction that faults on its own, when it is carried out: the guest gets its fault, once. */
static void own_fault(void)
{
    int vector, divide;
    uint32_t error;
    uint64_t cr2;

    page_map(0x7000000000, gfn_of(PAGE_OF(0)) * PAGE, PTE_P); /* read only */
    __asm__ volatile("mov %%cr0, %%rax; or $0x10000, %%eax; mov %%rax, %%cr0" ::: "rax");
    WORD(0) = 0;
    begin(TRY_FAULT);
    fault_clear();
    __asm__ volatile(TRY("movsq")::"S"(PAGE_OF(0)), "D"(0x7000000000) : "memory");
    vector = fault.vector;
    error = fault.error;
    cr2 = fault.cr2;
    fault_clear();
    __asm__ volatile(TRY("divq %0")::"m"(WORD(0)), "a"(1UL), "d"(0UL) : "cc");
    divide = fault.vector;
    end();
    expect(vector, VEC_PF);
    expect(error & 3, 3);
    expect(cr2, 0x7000000000);
    expect(divide, VEC_DE);
    page_map(0x7000000000, 0, 0);
}

static uint64_t fill(uint64_t count)
{
    void *to = PAGE_OF(0);

    __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0x55aa) : "memory");
    return (uint64_t)to;
}

static void rep(void)
{
    uint64_t to;

    memset(pages, 0, PAGE);
    begin(TRY_REP);
    to = fill(32);
    end();
    expect(to, (uint64_t)PAGE_OF(0) + 256);
    expect(WORD(0), 0x55aa);
    expect(((uint64_t *)pages)[31], 0x55aa);
    expect(((uint64_t *)pages)[32], 0);
    memset(pages, 0, PAGE);
    begin(TRY_REP_ONCE);
    to = fill(4);
    end();
    expect(to, (uint64_t)PAGE_OF(0) + 32);
    expect(((uint64_t *)pages)[3], 0x55aa);
}

/* Carried out, but nothing is written: registers and flags change as ever. */
static void no_write(void)
{
    uint64_t old = 7, flags;

    WORD(0) = 5;
    begin(TRY_NO_WRITE);
    WORD(0) = 9;
    __asm__ volatile("xchg %0, %1" : "+r"(old), "+m"(WORD(0))::"memory");
    __asm__ volatile("subq $5, %1; pushfq; pop %0" : "=r"(flags), "+m"(WORD(0))::"memory", "cc");
    end();
    expect(WORD(0), 5);
    expect(old, 5);
    expect(flags >> 6 & 1, 1);
}

/* The monitor says what is read: 8 bytes, of which it gave 6. */
#define PAIR ((volatile uint64_t(*)[2])(PAGE_OF(0) + 64))

/* The pair of words in memory against one of registers. */
struct pair {
    uint64_t low, high;
    bool same;
};

static void pair(struct pair *p)
{
    __asm__ volatile("cmpxchg16b %[memory]; setz %[same]"
                     : "+a"(p->low), "+d"(p->high), [memory] "+m"(*PAIR), [same] "=q"(p->same)
                     : "b"(10UL), "c"(11UL)
                     : "cc", "memory");
}

static void data(void)
{
    uint64_t seen, sum = 1, swapped = 8, again;
    struct pair unequal = {0}, equal;
    uint32_t half;

    WORD(0) = 5;
    begin(TRY_DATA);
    seen = WORD(0);
    half = *(volatile uint32_t *)PAGE_OF(0);
    __asm__ volatile("addq %1, %0" : "+r"(sum) : "m"(WORD(0)) : "cc");
    __asm__ volatile("xchg %0, %1"
                     : "+r"(swapped), "+m"(WORD(0))::"memory"); /* writes to memory itself */
    again = WORD(0);
    pair(&unequal);
    equal = unequal;
    pair(&equal);
    end();
    expect(seen, 0x665544332211);
    expect(half, 0x44332211);
    expect(sum, 0x665544332212);
    expect(swapped, 0x665544332211);
    expect(again, 0x665544332211);
    expect(WORD(0), 8);
    expect(unequal.same, false);
    expect(unequal.low, 0x8070605040302010);
    expect(unequal.high, 0xc0b0a090);
    expect(equal.same, true);
    expect((*PAIR)[0], 10);
    expect((*PAIR)[1], 11);
}

/* Breakpoints at a function; the monitor has the bytes run that they replaced, here and
 * across two pages. */
static void bytes(void)
{
    static const uint8_t code[] = {0xcc, 0x89, 0xf8, 0xc3}; /* (mov rdi, rax); ret */
    uint64_t got, across;
    uint8_t *end_of_page = PAGE_OF(5) - 1;

    memcpy(CODE, code, sizeof(code));
    memcpy(end_of_page, code, sizeof(code));
    begin(TRY_BYTES);
    __asm__ volatile("call *%1" : "=a"(got) : "r"(CODE), "D"(0x1234567) : "memory", "cc");
    __asm__ volatile("call *%1" : "=a"(across) : "r"(end_of_page), "D"(0x7654321) : "memory", "cc");
    end();
    expect(got, 0x1234567);
    expect(across, 0x7654321);
    expect(breakpoints, 0);
    expect(CODE[0], 0xcc);
    expect(*end_of_page, 0xcc);
}

/*
 * The page tables of 512 GiB from 1 TiB on are pages of the guest's that nobody may read. Then what
 * is at the end of the walk is what counts.
 */
static void walk(void)
{
    uint64_t *top = (uint64_t *)(read_cr3() & ~0xfffULL), *table = (uint64_t *)PAGE_OF(6), seen;
    uint64_t *below = (uint64_t *)PAGE_OF(7);

    memset(table, 0, PAGE);
    memset(below, 0, PAGE);
    top[2] = gfn_of(table) * PAGE | PTE_RWX;
    table[0] = gfn_of(below) * PAGE | PTE_RWX;
    below[0] = (gfn_of(PAGE_OF(0)) * PAGE & ~0x1fffffULL) | PTE_RWX | PTE_PS;
    WORD(0) = 0xabc;
    WORD(1) = 0xdef;
    begin(TRY_WALK);
    seen = *(volatile uint64_t *)((2ULL << 39) + ((uint64_t)PAGE_OF(0) & 0x1fffff));
    *(volatile uint64_t *)((2ULL << 39) + ((uint64_t)PAGE_OF(1) & 0x1fffff)) = seen;
    end();
    top[2] = 0;
    expect(seen, 0xabc);
    expect(WORD(1), 0xabc);
    __asm__ volatile("mov %0, %%cr3" ::"r"(read_cr3()) : "memory");
}

/* n2rwx: the first touch of each page is told, and nothing waits for an answer. */
static void convert(void)
{
    uint64_t seen = 0;

    memset(pages, 1, 4 * PAGE);
    begin(TRY_CONVERT);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 4; i++) {
            seen += WORD(i)++;
        }
    }
    end();
    expect(seen, 8 * 0x0101010101010101 + 4);
}

/* The restriction has gone when the answer comes: the instruction just runs. */
static void allowed_meanwhile(void)
{
    WORD(0) = 1;
    begin(TRY_DEFAULT_ALLOWS);
    WORD(0) += 1;
    end();
    expect(WORD(0), 2);
}

static void finish(void)
{
    target_finish(mail);
}

static void setup(void)
{
    event_init();
    mail = page_alloc(1, 1);
    pages = page_alloc(TRY_PAGES, TRY_PAGES);
    mail->data[0] = gfn_of(pages);
    trap_handle(VEC_BP, on_breakpoint);
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
}

TEST_CASES(CASE(setup), CASE(writes), CASE(exec), CASE(view), CASE(own_fault), CASE(rep),
           CASE(no_write), CASE(data), CASE(bytes), CASE(walk), CASE(convert),
           CASE(allowed_meanwhile), CASE(finish))
