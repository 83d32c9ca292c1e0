/* SPDX-License-Identifier: MIT */
/*
 * What the agent's gate is shown by an attacker who has the guest's kernel: page tables, the
 * interrupt table and the registers are his. He makes up the frame of a violation, gives frames of
 * memory other addresses, before and after the agent has looked, and maps the agent's pages behind
 * his own. The agent may not read or write for him what he may not himself, nor leave what it knows
 * on his stacks.
 */
#include <string.h>

#include "guest_hooks.h"
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"
#include "vault.h"

#define CODE    0xc0deUL
#define SECRET  0x5ec2e75ec2e7UL
#define PATTERN 0xa5a5a5a5a5a5a5a5UL
#define WINDOW  0x200000000UL /* addresses of the attacker's own */

static const struct siphash_key key = {0x1111111111111111, 0x2222222222222222};
/* The agent may write the first for others; the second nobody; the third nobody may even read. */
static uint64_t table[512] __attribute__((aligned(4096)));
static uint64_t fixed[512] __attribute__((aligned(4096))) = {7};
static uint64_t secret[512] __attribute__((aligned(4096))) = {SECRET, SECRET + 1};
static uint64_t own[1024] __attribute__((aligned(4096)));
static struct shield shield;
static const void *the_gate __attribute__((used)); /* of a #VE: shield.entered or not */
static bool up;

extern const char trusted_store[], trusted_copy[];
__asm__("trusted_store: mov %rax, (%rdi)\n\tret\n"
        "trusted_copy: rep movsb\n\tret");

struct idt_gate {
    uint16_t low, selector;
    uint8_t ist, type;
    uint16_t middle;
    uint32_t high, zero;
};

static struct idt_gate *idt_gate(unsigned vector)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } idtr;

    __asm__ volatile("sidt %0" : "=m"(idtr));
    return (struct idt_gate *)idtr.base + vector;
}

static void point(unsigned vector, const void *handler)
{
    struct idt_gate *g = idt_gate(vector);
    uint64_t to = (uint64_t)handler;

    g->low = (uint16_t)to;
    g->middle = (uint16_t)(to >> 16);
    g->high = (uint32_t)(to >> 32);
}

/*
 * Goes to `to` with these registers. Comes back with 1 when that ends in a #GP, whatever has become
 * of the stack and the registers, and with 0 where it returns.
 */
static uint64_t escape_rsp __attribute__((used));
struct state {
    uint64_t rax, rcx, rdx, rsi, rdi, r13, r14, r15, rbp, rsp;
};

long go(const void *to, const struct state *s);
extern const char go_refused[];
__asm__("go:\n\t"
        "push %rbx\n\tpush %rbp\n\tpush %r12\n\tpush %r13\n\tpush %r14\n\tpush %r15\n\t"
        "mov %rsp, escape_rsp(%rip)\n\t"
        "mov %rdi, %r11\n\tmov %rsi, %r10\n\t"
        "mov 72(%r10), %rax\n\ttest %rax, %rax\n\tcmovnz %rax, %rsp\n\t"
        "lea 1f(%rip), %rax\n\tpush %rax\n\t"
        "mov (%r10), %rax\n\tmov 8(%r10), %rcx\n\tmov 16(%r10), %rdx\n\tmov 24(%r10), %rsi\n\t"
        "mov 32(%r10), %rdi\n\tmov 40(%r10), %r13\n\tmov 48(%r10), %r14\n\tmov 56(%r10), %r15\n\t"
        "mov 64(%r10), %rbp\n\tjmp *%r11\n"
        "1:\txor %eax, %eax\n\tjmp 2f\n"
        "go_refused:\n\tmov $1, %eax\n"
        "2:\tmov escape_rsp(%rip), %rsp\n\t"
        "pop %r15\n\tpop %r14\n\tpop %r13\n\tpop %r12\n\tpop %rbp\n\tpop %rbx\n\tcld\n\tret");

static void on_gp(struct regs *r)
{
    (void)r;
    __asm__ volatile("jmp go_refused");
}

static long run(const void *to, struct state s)
{
    long refused;

    trap_handle(VEC_GP, on_gp);
    refused = go(to, &s);
    trap_handle(VEC_GP, NULL);
    return refused;
}

static uint64_t count(enum guard_kind kind)
{
    return guard_report.count[kind];
}

static void expect_whole(void)
{
    altp2m_view_t now = {0xffff};

    expect(altp2m_get_view(&guest_hooks.xen, 0, &now), 0);
    expect(now.v, shield.kernel.v);
    expect(fixed[0], 7);
    expect(gate_call(VAULT_SIGN, 5, 6, 0), (long)siphash(&key, 5, 6));
}

static void *alias(unsigned page, const void *of)
{
    uint64_t at = WINDOW + page * PAGE;

    page_map(at, (uint64_t)of & -PAGE, PTE_RWX);
    return (void *)(at + (uint64_t)of % PAGE);
}

static void raise(void)
{
    struct shield_range ram[4], protect[] = {
                                    {{gfn_of(table)}, {gfn_of(table)}, ALTP2M_R, true},
                                    {{gfn_of(fixed)}, {gfn_of(fixed)}, ALTP2M_R, false},
                                    {{gfn_of(secret)}, {gfn_of(secret)}, ALTP2M_N, false},
                                };
    struct shield_hooks hooks = guest_hooks;
    char how[8];
    int rc;

    vault_key = key;
    vault_code = CODE;
    vault_trusted_store = (uint64_t)trusted_store;
    vault_trusted_copy = (uint64_t)trusted_copy;
    page_split(idt_gate(0), 1);
    hooks.by_vmfunc = cmdline_get("gate", how, sizeof(how));
    rc = shield_raise(&shield, &hooks, ram, guest_ram(ram, 4), protect, 3, guest_deny);
    if (rc == -XEN_EOPNOTSUPP)
        skip("altp2m with #VE");
    expect(rc, 0);
    up = rc == 0;
    the_gate = shield.entered ? gate_ve_enter : gate_ve_entry;
}

/* What the two instructions are for; by any address of the frame that they may write. */
static void honest(void)
{
    uint64_t *other = alias(0, &table[0]);

    if (!up)
        skip("the shield");
    expect(run(trusted_store, (struct state){.rax = 41, .rdi = (uint64_t)&table[1]}), 0);
    expect(run(trusted_store, (struct state){.rax = 42, .rdi = (uint64_t)&other[2]}), 0);
    own[0] = 43;
    own[1] = 44;
    expect(run(trusted_copy,
               (struct state){.rsi = (uint64_t)own, .rdi = (uint64_t)&table[3], .rcx = 16}),
           0);
    expect(table[1], 41);
    expect(table[2], 42);
    expect(table[3], 43);
    expect(table[4], 44);
    expect_whole();
}

/*
 * The frame of a real violation, a write of table[8], is exchanged on its way to the gate, and one
 * page table entry with it.
 */
static struct made_up {
    uint64_t rip, rdi, rsi, rcx, rax;
    uint64_t *pte;
    uint64_t entry;
} made_up __attribute__((used));

/* The handler is in a table of the attacker's own, which is gone before the gate gets control. */
static struct __attribute__((packed)) idtr {
    uint16_t limit;
    uint64_t base;
} honest_idt __attribute__((used));

extern const char make_up[];
__asm__("make_up:\n\tlidt honest_idt(%rip)\n\t"
        "mov made_up+40(%rip), %rdi\n\ttest %rdi, %rdi\n\tjz 1f\n\t"
        "mov made_up+48(%rip), %rsi\n\tmov %rsi, (%rdi)\n\tmov %cr3, %rsi\n\tmov %rsi, %cr3\n"
        "1:\tmov made_up(%rip), %rax\n\tmov %rax, (%rsp)\n\t"
        "mov made_up+8(%rip), %rdi\n\tmov made_up+16(%rip), %rsi\n\t"
        "mov made_up+24(%rip), %rcx\n\tmov made_up+32(%rip), %rax\n\t"
        "jmp *the_gate(%rip)");

static uint64_t *pte_of(const void *at)
{
    extern uint64_t pml4[512];
    uint64_t a = (uint64_t)at, *t = pml4;

    for (unsigned shift = 39; shift > 12; shift -= 9)
        t = (uint64_t *)(t[a >> shift & 511] & 0xffffffffff000);
    return &t[a >> 12 & 511];
}

/* The violation is at `at`; what comes to the gate is in made_up. */
static long ask(const void *at)
{
    static struct idt_gate idt[256];
    struct idtr own_idt = {sizeof(idt) - 1, (uint64_t)idt};
    uint64_t before = made_up.pte ? *made_up.pte : 0;
    long refused;

    __asm__ volatile("sidt %0" : "=m"(honest_idt));
    memcpy(idt, (const void *)honest_idt.base, sizeof(idt));
    __asm__ volatile("lidt %0" ::"m"(own_idt));
    point(VE_VECTOR, make_up);
    refused = run(trusted_store, (struct state){.rax = 1, .rdi = (uint64_t)at});
    __asm__ volatile("lidt %0" ::"m"(honest_idt));
    if (made_up.pte) {
        *made_up.pte = before;
        tlb_flush(at);
    }
    return refused;
}

static void made_up_targets(void)
{
    void *const targets[] = {&vault_key,    &vault_code,    gate_slots, agent_text, gate_page,
                             &guard_report, shield.info[0], fixed,      secret,     own};

    if (!up)
        skip("the shield");
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(targets); i++) {
        void *target = targets[i / 2];
        uint64_t before = count(GUARD_DENIED);

        if (i % 2)
            target = alias(1, target);
        made_up =
            (struct made_up){.rip = (uint64_t)trusted_store, .rdi = (uint64_t)target, .rax = 0xbad};
        check(ask(&table[8]) == 1, "target %u: not refused", i);
        expect(count(GUARD_DENIED) - before, 1);
        made_up.rip = (uint64_t)trusted_copy;
        made_up.rsi = (uint64_t)own;
        made_up.rcx = 8;
        check(ask(&table[8]) == 1, "target %u, copied: not refused", i);
    }
    expect(table[8], 0);
    expect_whole();
}

static void made_up_sources(void)
{
    const void *const sources[] = {&vault_key, &vault_code, gate_slots, secret};

    if (!up)
        skip("the shield");
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(sources); i++) {
        const void *source = sources[i / 2];
        uint64_t before = count(GUARD_DENIED);

        if (i % 2)
            source = alias(1, source);
        made_up = (struct made_up){.rip = (uint64_t)trusted_copy,
                                   .rdi = (uint64_t)&table[8],
                                   .rsi = (uint64_t)source,
                                   .rcx = 8};
        check(ask(&table[8]) == 1, "source %u: not refused", i);
        expect(count(GUARD_DENIED) - before, 1);
        expect(table[8], 0);
    }
    expect_whole();
}

/* From a page of one's own into the next, and to one that may be written and the next. */
static void across_pages(void)
{
    uint8_t *from, *to;

    if (!up)
        skip("the shield");
    own[511] = 9;
    alias(2, own);
    alias(3, secret);
    alias(4, table);
    alias(5, fixed);
    alias(6, &vault_key);
    from = (uint8_t *)WINDOW + 3 * PAGE - 8;
    to = (uint8_t *)WINDOW + 5 * PAGE - 8;
    made_up = (struct made_up){.rip = (uint64_t)trusted_copy,
                               .rdi = (uint64_t)&table[8],
                               .rsi = (uint64_t)from,
                               .rcx = 24};
    expect(ask(&table[8]), 1);
    check(table[9] == 0 && table[10] == 0, "what nobody may read was copied: %lx", table[9]);
    made_up = (struct made_up){
        .rip = (uint64_t)trusted_copy, .rdi = (uint64_t)to, .rsi = (uint64_t)own, .rcx = 24};
    expect(ask(to), 1);
    expect(fixed[0], 7);
    expect(fixed[1], 0);
    expect_whole();
}

/* Between the violation and the agent's write the address gets another frame. */
static void exchanged(void)
{
    const void *const frames[] = {&vault_key,    gate_slots,     agent_text, gate_page,
                                  &guard_report, shield.info[0], fixed,      secret};
    uint64_t *at = alias(7, &table[0]);

    if (!up)
        skip("the shield");
    for (unsigned i = 0; i < 2 * ARRAY_SIZE(frames); i++) {
        uint64_t frame = (uint64_t)frames[i / 2] & -PAGE,
                 offset = (uint64_t)frames[i / 2] % PAGE / 8;

        made_up = (struct made_up){.rip = (uint64_t)(i % 2 ? trusted_copy : trusted_store),
                                   .rdi = (uint64_t)&at[offset],
                                   .rsi = (uint64_t)own,
                                   .rcx = 8,
                                   .rax = 0xbad,
                                   .pte = pte_of(at),
                                   .entry = frame | PTE_RWX};
        /* Entered: the write goes to the frame that the processor told, and so to `table`. */
        check(ask(&at[offset]) == 1 || shield.entered, "frame %u: not refused", i);
        expect_whole();
    }
}

static const char *vmfunc_behind(const char *p)
{
    while ((uint8_t)p[0] != 0x0f || (uint8_t)p[1] != 0x01 || (uint8_t)p[2] != 0xd4)
        p++;
    return p;
}

/* What the next four need. */
static void no_vmfunc(void)
{
    for (uint16_t v = 0; v < 6; v++)
        expect(try_vmfunc(0, v), VEC_UD);
}

/*
 * Past where gate_ve_entry saves what was interrupted, with a stack that runs into what cannot be
 * read: none of that may come to the report.
 */
static void made_up_stack(void)
{
    struct state s = {.rcx = shield.agent.v, .r13 = 0x1234};
    uint64_t events = guard_report.events;

    if (!up)
        skip("the shield");
    if (shield.entered)
        return no_vmfunc();
    alias(2, own);
    alias(3, secret);
    s.rbp = WINDOW + 3 * PAGE - 120; /* 15 registers, and then RIP */
    expect(run(vmfunc_behind(gate_ve_entry), s), 1);
    expect(guard_report.events - events, 1);
    for (unsigned i = 0; i < GUARD_EVENTS; i++)
        check(guard_report.event[i].rip != SECRET, "event %u tells the secret", i);
    expect_whole();
}

/* A page that ends in VMFUNC, and behind it one of the agent's. */
static void borders(void)
{
    static uint8_t last[4096] __attribute__((aligned(4096)));
    const char *const pages[] = {gate_page, agent_store, agent_text};
    const altp2m_view_t views[] = {shield.agent, shield.store};

    if (!up)
        skip("the shield");
    if (shield.entered)
        return no_vmfunc();
    last[4093] = 0x0f;
    last[4094] = 0x01;
    last[4095] = 0xd4;
    for (unsigned i = 0; i < 6; i++) {
        struct state s = {.rcx = views[i % 2].v, .rdi = VAULT_SIGN};
        uint64_t before = guard_report.events;

        alias(8, last);
        alias(9, pages[i / 2]);
        check(run((void *)(WINDOW + 9 * PAGE - 3), s) == 1, "page %u: not refused", i);
        expect(guard_report.events - before, 1);
        expect(guard_report.event[(guard_report.events - 1) % GUARD_EVENTS].kind,
               i < 2 ? GUARD_SPURIOUS : GUARD_DENIED);
        expect_whole();
    }
}

static void store_view(void)
{
    uint64_t before = count(GUARD_STRAY);
    static const uint8_t vmfunc[] = {0x0f, 0x01, 0xd4, 0xc3};

    if (!up)
        skip("the shield");
    if (shield.entered)
        return no_vmfunc();
    for (unsigned i = 0; i < 20; i++)
        expect(run(vmfunc, (struct state){.rcx = shield.store.v}), 1);
    expect(count(GUARD_STRAY) - before, 20);
    expect_whole();
}

/* Who says to be the agent and is not. */
static void made_up_run(void)
{
    extern uint64_t gate_tag;
    uint64_t denied = count(GUARD_DENIED), stray = count(GUARD_STRAY);
    static const uint8_t vmfunc[] = {0x0f, 0x01, 0xd4, 0xc3};

    if (!up)
        skip("the shield");
    if (shield.entered)
        return no_vmfunc();
    for (uint64_t cookie = 0; cookie < 3; cookie++) {
        struct state s = {.r15 = gate_tag, .r14 = cookie, .rdi = (uint64_t)&fixed[0], .rax = 9};

        expect(run(trusted_store, s), 1);
        s = (struct state){.r15 = gate_tag, .r14 = cookie, .rcx = shield.agent.v};
        expect(run(vmfunc, s), 1);
    }
    expect(count(GUARD_DENIED) - denied, 3);
    expect(count(GUARD_STRAY) - stray, 3);
    expect_whole();
}

/*
 * Something comes in on a stack that the kernel can read (IST), with a handler that leaves nothing
 * there: of what the agent had in its registers, nothing is to be found.
 */
extern const char bare_handler[];
static volatile uint64_t bare_count __attribute__((used));
__asm__("bare_handler:\n\tincq bare_count(%rip)\n\tiretq");

static void stacks_tell_nothing(void)
{
    extern const uint8_t tss[], trap_stubs[];
    uint64_t *end;

    if (!up)
        skip("the shield");
    memcpy(&end, tss + 36, sizeof(end));
    point(2, bare_handler);
    trap_use_ist(2, true);
    for (unsigned i = 12; i < 100; i++)
        *(volatile uint64_t *)(end - i) = PATTERN;
    expect(gate_call(VAULT_INTERRUPT, 0, 0, 0), -4);
    expect(bare_count, shield.entered ? 0 : 1);
    for (unsigned i = 12; i < 100; i++)
        if (*(volatile uint64_t *)(end - i) != PATTERN)
            check(0, "word %u below the stack's end was %lx", i, end[-(int)i]);
    trap_use_ist(2, false);
    point(2, trap_stubs + 2 * 16);
    expect_whole();
}

static volatile unsigned interrupts;

static void on_interrupt(struct regs *r)
{
    interrupts++;
    expect(r->r14, 0);
    expect(r->r15, 0);
    __asm__ volatile("mov %0, %%dr7" ::"r"(0UL));
}

/* The same while the agent judges a violation, and while its write is carried out: tried again. */
static void interrupted_store(void)
{
    uint64_t before = count(GUARD_INTERRUPTED);

    if (!up)
        skip("the shield");
    if (shield
            .entered) { /* the agent's own exception: nobody hears of it, and nothing is written */
        expect(gate_call(VAULT_INTERRUPT, 1, 0, 0), -22);
        expect(run(trusted_store, (struct state){.rax = 51, .rdi = (uint64_t)&table[5]}), 1);
        expect(table[5], 0);
        __asm__ volatile("mov %0, %%dr0" ::"r"(&table[6]));
        __asm__ volatile("mov %0, %%dr7" ::"r"(0x90001UL));
        expect(run(trusted_store, (struct state){.rax = 61, .rdi = (uint64_t)&table[6]}), 0);
        __asm__ volatile("mov %0, %%dr7" ::"r"(0UL));
        expect(table[6], 61);
        expect(count(GUARD_INTERRUPTED) - before, 1);
        expect_whole();
        return;
    }
    trap_handle(2, on_interrupt);
    trap_use_ist(2, true);
    expect(gate_call(VAULT_INTERRUPT, 1, 0, 0), -22);
    expect(run(trusted_store, (struct state){.rax = 51, .rdi = (uint64_t)&table[5]}), 0);
    expect(interrupts, 1);
    expect(table[5], 51);
    trap_use_ist(2, false);
    trap_handle(2, NULL);

    trap_handle(VEC_DB, on_interrupt);
    trap_use_ist(VEC_DB, true);
    __asm__ volatile("mov %0, %%dr0" ::"r"(&table[6]));
    __asm__ volatile("mov %0, %%dr7" ::"r"(0x90001UL)); /* writes of 8 bytes */
    expect(run(trusted_store, (struct state){.rax = 61, .rdi = (uint64_t)&table[6]}), 0);
    trap_use_ist(VEC_DB, false);
    trap_handle(VEC_DB, NULL);
    expect(interrupts, 2);
    expect(table[6], 61);
    expect(count(GUARD_INTERRUPTED) - before, 2);
    expect_whole();
}

static void lower(void)
{
    uint64_t left = 0;

    if (!up)
        skip("the shield");
    expect(gate_call(VAULT_LOWER, CODE, 0, 0), 0);
    expect(shield_lower(&shield), 0);
    for (unsigned i = 1; i < GATE_SLOTS; i++)
        for (unsigned b = 0; b < GATE_STACK; b++)
            left += gate_slots[i].stack[b] != 0;
    expect(left, 0);
    expect(gate_free, (uint32_t)((1ULL << GATE_SLOTS) - 1));
}

TEST_CASES(CASE(raise), CASE(honest), CASE(made_up_targets), CASE(made_up_sources),
           CASE(across_pages), CASE(exchanged), CASE(made_up_stack), CASE(borders),
           CASE(store_view), CASE(made_up_run), CASE(stacks_tell_nothing), CASE(interrupted_store),
           CASE(lower))
