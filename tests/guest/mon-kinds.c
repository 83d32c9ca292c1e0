/* SPDX-License-Identifier: MIT */
/*
 * Each kind of instruction (lib/kinds_*.c) runs while nobody watches, and again while a monitor
 * (mon-lets.c) lets it go on by single-step in its forms or has it carried out: the guest must not
 * notice. What is compared: every register and flag, the exception that ends the row with its
 * frame, debug registers, FPU state, and memory. alone=1 on the command line: without a monitor.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/kinds.h"
#include "lib/page.h"
#include "lib/target.h"
#include "lib/test.h"

#define IRQ           0x82u
#define ROWS_MAX      512u
#define ROW_AT        0x400u /* in the first code page */
#define STACK_AT      0x800u
#define MSR_STAR      0xc0000081u
#define MSR_LSTAR     0xc0000082u
#define MSR_FMASK     0xc0000084u
#define MSR_FS        0xc0000100u
#define MSR_GS        0xc0000101u
#define MSR_KERNEL_GS 0xc0000102u
#define DR6_RESET     0xffff0ff0u
#define DR6_BEFORE    0xffff4ffcu /* W_BEFORE */
#define DR7_RESET     0x400u

/* What a row left. */
struct outcome {
    struct regs r;
    uint64_t cr2, dr6, cr0, stack, data, fpu;
};
static struct outcome plain[ROWS_MAX], now;

/* Pages: code, data, nothing, the stack. */
enum { CODE, DATA = 2, NOTHING = 4, STACK = 5, PAGES = 8 };
static uint8_t *pages;
#define PAGE_OF(n) (pages + PAGE * (n))

static struct mailbox *mail;
static uint64_t segments[24] __attribute__((aligned(16)));
static uint64_t ldt[2];
static uint8_t fpu[512] __attribute__((aligned(16))), fresh_fpu[512] __attribute__((aligned(16)));
static uint64_t data_end; /* the sum of the data after all rows when nobody watched */

void kinds_enter(const struct regs *r);
extern uint8_t kinds_return[];
__asm__(".text\n"
        "kinds_enter: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; mov %rsp, "
        "kinds_rsp\n"
        "    mov %rdi, %rsp; pop %r15; pop %r14; pop %r13; pop %r12; pop %r11; pop %r10; pop %r9; "
        "pop %r8\n"
        "    pop %rdi; pop %rsi; pop %rbp; pop %rbx; pop %rdx; pop %rcx; pop %rax; add $16, %rsp; "
        "iretq\n"
        "kinds_return: mov kinds_rsp, %rsp; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop "
        "%rbx; ret\n"
        ".bss\nkinds_rsp: .skip 8\n.text\n");

static const struct context {
    uint16_t cs, ss, data;
    uint8_t bits;
} contexts[CONTEXTS] = {
    [IN_64] = {0x08, 0x10, 0x10, 64}, [IN_64_U] = {0x1b, 0x23, 0x23, 64},
    [IN_32] = {0x38, 0x10, 0x10, 32}, [IN_32_U] = {0x43, 0x23, 0x23, 32},
    [IN_16] = {0x48, 0x68, 0x58, 16}, [IN_16_U] = {0x53, 0x73, 0x63, 16},
};

/* ---- one row ---- */

static uint64_t sum(const void *p, size_t words)
{
    const uint64_t *w = p;
    uint64_t s = 0;

    for (size_t i = 0; i < words; i++)
        s = s * 0x100000001b3 + w[i];
    return s;
}

static uint64_t stack_sum(const struct regs *r, unsigned bits)
{
    uint64_t from = bits == 16 ? r->rsp & 0xffff : r->rsp - (uint64_t)PAGE_OF(STACK);

    return from < PAGE ? sum(PAGE_OF(STACK) + (from & ~7UL), (PAGE - from) / 8) : 0;
}

/* Whatever ends a row: nothing here touches the FPU. */
static void caught(struct regs *r)
{
    __asm__ volatile("mov %%cr2, %0; mov %%dr6, %1; mov %%cr0, %2"
                     : "=r"(now.cr2), "=r"(now.dr6), "=r"(now.cr0));
    now.r = *r;
    r->rip = (uint64_t)kinds_return;
    r->cs = 0x08;
    r->ss = 0x10;
    r->rflags = 2;
    r->rsp = (uint64_t)pages; /* kinds_return has its own */
}

static uint8_t *row_at(const struct kind *k)
{
    uint64_t length = (uint64_t)(k->end - k->code);

    return PAGE_OF(CODE) + (k->what & W_ACROSS ? PAGE - 1
                            : k->what & W_ENDS ? PAGE - length
                                               : ROW_AT);
}

static void put_code(const struct kind *k)
{
    uint8_t *at = row_at(k);
    size_t n = (size_t)(k->end - k->code);

    for (uint16_t *p = (uint16_t *)(void *)PAGE_OF(CODE); p < (uint16_t *)(void *)PAGE_OF(CODE + 2);
         p++)
        *p = 0x0b0f;
    memcpy(at, k->code, n);
    for (uint8_t *p = at + n; p + 1 < at + n + 64 && p + 1 < PAGE_OF(CODE + 2); p += 2)
        memcpy(p, "\x0f\x0b", 2);
}

static struct regs start_of(const struct kind *k)
{
    const struct context *c = &contexts[k->in];
    uint64_t data = c->bits == 16 ? 0 : (uint64_t)PAGE_OF(DATA),
             stack = c->bits == 16 ? 0 : (uint64_t)PAGE_OF(STACK);
    uint64_t at = (uint64_t)row_at(k);

    return (struct regs){.rax = 0x1122334455667788,
                         .rdx = 0x8877665544332211,
                         .rcx = 3,
                         .rbx = data + 0x300,
                         .rbp = data + 0x400,
                         .rsi = data + 0x200,
                         .rdi = data + 0x100,
                         .r8 = 8,
                         .r9 = 0x10,
                         .r10 = 10,
                         .r11 = 11,
                         .r12 = 0x8000000000001000,
                         .r13 = (uint64_t)PAGE_OF(NOTHING) + 0x20,
                         .r14 = (uint64_t)PAGE_OF(NOTHING) - 4,
                         .r15 = (uint64_t)PAGE_OF(DATA + 1) - 3,
                         .rip = c->bits == 16 ? at - (uint64_t)pages : at,
                         .cs = c->cs,
                         .rflags = k->flags | 2,
                         .rsp = stack + STACK_AT,
                         .ss = c->ss};
}

/* What the row asks for besides; `on`: before it, otherwise after it. */
static void arrange(const struct kind *k, bool on)
{
    uint64_t code = (uint64_t)PAGE_OF(CODE), at = (uint64_t)row_at(k),
             cr0 = read_cr0() & ~(CR0_TS | 1ULL << 18);

    try_write_dr0((uint64_t)PAGE_OF(DATA) + 0x100);
    try_write_dr1(at + 1);
    try_write_dr6(on && k->what & W_BEFORE ? DR6_BEFORE : DR6_RESET);
    try_write_dr7(DR7_RESET | (on && k->what & W_WATCH ? 3 | 9ULL << 16 : 0) |
                  (on && k->what & W_BREAK ? 3 << 2 : 0) |
                  (on && k->what & W_DETECT ? 1 << 13 : 0));
    if (on && k->what & W_AM)
        cr0 |= 1ULL << 18;
    if (on && k->what & W_CR0)
        cr0 |= CR0_TS;
    try_write_cr0(cr0);
    if (k->what & (W_SHUT | W_ENDS))
        page_map(code + PAGE, code + PAGE, on ? 0 : PTE_RWX);
    if (k->what & W_NX)
        page_map(code, code, on ? PTE_RWX | 1ULL << 63 : PTE_RWX);
    if (on && k->what & W_IRQ)
        try_wrmsr(0x83f, IRQ);
}

/* An interrupt that the row did not take is taken now. */
static volatile unsigned drained;
static void drop(struct regs *r)
{
    (void)r;
    drained++;
    try_wrmsr(0x80b, 0);
}

static void settle(const struct kind *k)
{
    if (!(k->what & W_IRQ))
        return;
    if (now.r.vector == IRQ) {
        try_wrmsr(0x80b, 0);
        return;
    }
    trap_handle(IRQ, drop);
    drained = 0;
    interrupts_on();
    for (unsigned i = 0; i < 100000 && !drained; i++)
        pause();
    interrupts_off();
    trap_handle(IRQ, caught);
    check(drained == 1, "%s: its interrupt was lost", k->name);
}

static bool tell_rows; /* rows=1 on the command line: for the row at which it stops */

static void run(const struct kind *k, bool sums)
{
    struct regs r = start_of(k);
    uint64_t data = contexts[k->in].data;

    if (tell_rows)
        say("mon-kinds: row %s\n", k->name);
    put_code(k);
    memset(PAGE_OF(STACK), 0, PAGE);
    __asm__ volatile("fxrstor %0; mov %1, %%cr2" ::"m"(fresh_fpu), "r"(0UL));
    try_wrmsr(MSR_LSTAR, (uint64_t)PAGE_OF(CODE) + 0xc00);
    arrange(k, true);
    __asm__ volatile("mov %0, %%ds; mov %0, %%es" ::"r"(data));
    fault_clear();
    kinds_enter(&r);
    __asm__ volatile(
        "mov %0, %%ds; mov %0, %%es; mov %0, %%ss; mov %1, %%fs; mov %1, %%gs; clts; fxsave %2" ::
            "r"(0x10),
        "r"(0), "m"(fpu)
        : "memory");
    arrange(k, false);
    try_wrmsr(MSR_FS, (uint64_t)PAGE_OF(DATA));
    try_wrmsr(MSR_GS, (uint64_t)PAGE_OF(DATA) + 0x800);
    settle(k);
    if (cpu_is_amd() && !cpu_is_qemu()) /* FOP, FIP and FDP: see left_out() */
        memset(fpu + 6, 0, 18);
    now.stack = stack_sum(&now.r, contexts[k->in].bits);
    now.data = sums ? sum(PAGE_OF(DATA), 2 * PAGE / 8) : 0;
    now.fpu = sum(fpu, sizeof(fpu) / 8);
}

/* ---- all rows ---- */

static const char *const modes[KINDS_MODES] = {"plain",     "stepped",      "toggled",
                                               "fast",      "emulated",     "data toggled",
                                               "data fast", "data emulated"};

static void differs(const struct kind *k, unsigned mode, const char *what, uint64_t got,
                    uint64_t wanted)
{
    test_failed(__LINE__, "%s, %s: %s is %lx, wanted %lx", k->name, modes[mode], what, got, wanted);
}

/* Interrupts wait while an instruction after the other is stepped, as on Xen. */
static bool may_wait(const struct kind *k, unsigned mode, const struct outcome *o)
{
    return (mode == KINDS_STEPPED ||
            ((mode == KINDS_EMULATED || mode == KINDS_DATA_EMULATED) && k->what & W_REP)) &&
           (k->what & W_IRQ) && o->r.vector == IRQ && now.r.rip >= o->r.rip;
}

static void compare(const struct kind *k, unsigned mode)
{
    static const char *const names[] = {
        "r15", "r14", "r13", "r12", "r11", "r10",       "r9",         "r8",     "rdi", "rsi",
        "rbp", "rbx", "rdx", "rcx", "rax", "vector",    "error code", "rip",    "cs",  "rflags",
        "rsp", "ss",  "cr2", "dr6", "cr0", "its stack", "the data",   "the FPU"};
    const struct outcome *o = &plain[k - __start_kinds];
    const uint64_t *wanted = (const uint64_t *)(const void *)o,
                   *got = (const uint64_t *)(const void *)&now;

    _Static_assert(sizeof(now) == sizeof(names) / sizeof(names[0]) * 8, "names");
    if (may_wait(k, mode, o))
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        bool ticks = (k->what & W_TICKS) && (i == 14 || i == 12 || i == 11 || i == 13);
        /* QEMU 7.2 has no RF in faults' frames. */
        uint64_t blind = i == 19 && cpu_is_qemu() ? F_RF : 0;

        if ((got[i] | blind) != (wanted[i] | blind) && !ticks &&
            !(i == 26 && mode >= KINDS_DATA_TOGGLED))
            differs(k, mode, names[i], got[i], wanted[i]);
    }
}

/*
 * Not run: what this guest would not survive on an emulator, or what that has otherwise where TF is
 * set; what AMD's processors do not keep while another vCPU runs; and breakpoints on data where an
 * emulator does not tell them from steps (docs/amd.md).
 */
static bool left_out(const struct kind *k)
{
    return cpu_is_qemu()  ? k->what & (W_TABLES | W_QEMU)
           : cpu_is_amd() ? k->what & (W_FIP | W_WATCH)
                          : false;
}

static void prepare_data(void)
{
    for (unsigned i = 0; i < 2 * PAGE; i++)
        PAGE_OF(DATA)[i] = (uint8_t)(i * 37 + (i >> 8));
}

static void watched(unsigned mode)
{
    target_alone();
    prepare_data();
    target_begin(mail, mode);
    for (const struct kind *k = __start_kinds; k < __stop_kinds; k++) {
        if (left_out(k))
            continue;
        run(k, mode < KINDS_DATA_TOGGLED);
        compare(k, mode);
    }
    target_end(mail);
    expect(sum(PAGE_OF(DATA), 2 * PAGE / 8), data_end);
    check(mail->data[KINDS_SEEN] > (unsigned)(__stop_kinds - __start_kinds) / 2, "only %lu events",
          mail->data[KINDS_SEEN]);
    say("mon-kinds: %s: %lu events\n", modes[mode], mail->data[KINDS_SEEN]);
}

static bool ends_right(const struct kind *k)
{
    uint64_t end = (uint64_t)row_at(k) + (uint64_t)(k->end - k->code);
    uint64_t rip = now.r.rip + (contexts[k->in].bits == 16 ? (uint64_t)pages : 0);

    if (k->ends == ENDS_BEHIND)
        return now.r.vector == VEC_UD && rip == end;
    return now.r.vector == k->ends && (!(k->what & W_SVM) || rip < end);
}

/* Also that each row does what it is there for. */
static void nobody_watches(void)
{
    need(__stop_kinds - __start_kinds <= ROWS_MAX, "%ld rows", __stop_kinds - __start_kinds);
    prepare_data();
    for (const struct kind *k = __start_kinds; k < __stop_kinds; k++) {
        if (left_out(k))
            continue;
        run(k, true);
        plain[k - __start_kinds] = now;
        check(ends_right(k), "%s: vector %lu at %lx of %lx, error %lx, wanted %lx", k->name,
              now.r.vector, now.r.rip, (uint64_t)row_at(k), now.r.error, k->ends);
    }
    data_end = sum(PAGE_OF(DATA), 2 * PAGE / 8);
}

static void no_svm(void)
{
    unsigned rows = 0;

    for (const struct kind *k = __start_kinds; k < __stop_kinds; k++) {
        if (!(k->what & W_SVM))
            continue;
        run(k, false);
        check(ends_right(k), "%s: vector %lu at %lx of %lx", k->name, now.r.vector, now.r.rip,
              (uint64_t)row_at(k));
        rows++;
    }
    expect(rows, 12 * CONTEXTS);
}

static void stepped(void)
{
    watched(KINDS_STEPPED);
}

static void toggled(void)
{
    watched(KINDS_TOGGLED);
}

static void fast(void)
{
    watched(KINDS_FAST);
}

static void emulated(void)
{
    watched(KINDS_EMULATED);
}

static void data_toggled(void)
{
    watched(KINDS_DATA_TOGGLED);
}

static void data_fast(void)
{
    watched(KINDS_DATA_FAST);
}

static void data_emulated(void)
{
    watched(KINDS_DATA_EMULATED);
}

static void finish(void)
{
    target_finish(mail);
}

/* ---- the processor's tables ---- */

static uint64_t segment(uint64_t bits, const void *base, uint32_t limit)
{
    uint64_t b = (uint64_t)base;

    return bits | (limit & 0xffff) | (uint64_t)(limit >> 16) << 48 | (b & 0xffffff) << 16 |
           (b >> 24 & 0xff) << 56;
}

static void make_tables(void)
{
    extern const uint64_t gdt_of_lib[] __asm__("gdt");
    uint64_t gate = (uint64_t)PAGE_OF(CODE) + 0xc40;
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof(segments) - 1, (uint64_t)segments};

    memcpy(segments, gdt_of_lib, 8 * sizeof(segments[0]));
    segments[0x40 / 8] = 0x00cffb000000ffff;
    segments[0x48 / 8] = segment(0x00009b0000000000, pages, 0xffff);
    segments[0x50 / 8] = segment(0x0000fb0000000000, pages, 0xffff);
    segments[0x58 / 8] = segment(0x0000930000000000, PAGE_OF(DATA), 0xffff);
    segments[0x60 / 8] = segment(0x0000f30000000000, PAGE_OF(DATA), 0xffff);
    segments[0x68 / 8] = segment(0x0000930000000000, PAGE_OF(STACK), 0xffff);
    segments[0x70 / 8] = segment(0x0000f30000000000, PAGE_OF(STACK), 0xffff);
    segments[0x78 / 8] = segment(0x0040930000000000, PAGE_OF(DATA), 0x1ff);
    segments[0x80 / 8] = 0x00cf13000000ffff;
    segments[0x88 / 8] = (gate & 0xffff) | 0x08 << 16 | 0xecULL << 40 | (gate >> 16) << 48;
    segments[0x98 / 8] = segment(0x0000820000000000, ldt, sizeof(ldt) - 1);
    segments[0xa8 / 8] = 0x00cf91000000ffff;
    __asm__ volatile("lgdt %0" ::"m"(pointer));
}

static void make_registers(void)
{
    uint64_t efer = 0;

    try_rdmsr(MSR_EFER, &efer);
    expect(try_wrmsr(MSR_EFER, efer | 1 | 1ULL << 11), VEC_NONE); /* SCE, NXE */
    expect(try_write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMM), VEC_NONE);
    try_wrmsr(MSR_STAR, 0x000b000800000000);
    try_wrmsr(MSR_FMASK, 0x600);
    try_wrmsr(0x174, 0x08);
    try_wrmsr(0x175, (uint64_t)PAGE_OF(STACK) + 0x700);
    try_wrmsr(0x176, (uint64_t)PAGE_OF(CODE) + 0xc80);
    try_wrmsr(MSR_FS, (uint64_t)PAGE_OF(DATA));
    try_wrmsr(MSR_GS, (uint64_t)PAGE_OF(DATA) + 0x800);
    try_wrmsr(MSR_KERNEL_GS, (uint64_t)PAGE_OF(DATA) + 0xa00);
    try_wrmsr(0x80f, 0x1ff); /* the local APIC on */
    __asm__ volatile("fninit; fxsave %0" : "=m"(fresh_fpu));
    memset(fresh_fpu + 32, 0, sizeof(fresh_fpu) - 32);
}

static void setup(void)
{
    uint64_t nothing;
    char text[4];

    tell_rows = cmdline_get("rows", text, sizeof(text));
    event_init();
    mail = page_alloc(1, 1);
    pages = page_alloc(PAGES, PAGES);
    nothing = (uint64_t)PAGE_OF(NOTHING);
    page_split(pages, PAGES);
    page_map(nothing, 0, 0);
    make_tables();
    make_registers();
    for (unsigned v = 0; v < 256; v++) {
        if (v != EVENT_VECTOR)
            trap_handle(v, caught);
    }
    mail->data[KINDS_CODE] = gfn_of(PAGE_OF(CODE));
    mail->data[KINDS_DATA] = gfn_of(PAGE_OF(DATA));
    mail->data[KINDS_NR] = 2;
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
}

TEST_CASES(CASE(setup), CASE(nobody_watches), CASE(no_svm), CASE(stepped), CASE(toggled),
           CASE(fast), CASE(emulated), CASE(data_toggled), CASE(data_fast), CASE(data_emulated),
           CASE(finish))
