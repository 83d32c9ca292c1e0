/* SPDX-License-Identifier: MIT */
/*
 * Kinds of instructions (lib/kinds86_rows.c) in real mode and VM86, as mon-kinds.c has them for
 * protected mode: unwatched, and let go on by a monitor (mon-lets.c) in each way. For each row the
 * guest leaves long mode and comes back. What is compared: registers, flags, frames, stack, data,
 * DR6. alone=1 on the command line: without a monitor.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/kinds.h"
#undef CONTEXTS
#undef ENDS_BEHIND
#include "lib/kinds86.h"
#include "lib/page.h"
#include "lib/target.h"
#include "lib/test.h"

#define CODE64 0x08
#define CODE32 0x10
#define DATA32 0x18
#define CODE16 0x20 /* where LOW begins */
#define DATA16 0x28
#define TSS    0x30

/* Below 1 MiB: the 8086's vectors at 0, this, and what the rows run in. */
#define LOW       0x9000
#define LOW_START 0x9800 /* general registers of a row in real mode, then its stack pointer */
#define LOW_OUT   0x9900
#define LOW_STUBS 0xa000
#define CODE_AT   0x10000
#define DATA_AT   0x20000
#define STACK_AT  0x30000
#define ROW_AT    0x400
#define HANDLER   0xe00
#define SP        0x800

#define ROWS_MAX  512u
#define DR7_RESET 0x400u
#define DR6_RESET 0xffff0ff0u
#define CR4_VME   1u
#define EFLAGS_RF 0x10000u
#define EFLAGS_VM 0x20000u

/* By POPAL and IRET to VM86; shared with the assembly below. */
struct start86 {
    uint32_t edi, esi, ebp, esp, ebx, edx, ecx, eax;
    uint32_t eip, cs, eflags, row_esp, ss, es, ds, fs, gs;
} start86;
/* By PUSHAL and the frames. */
struct out86 {
    uint32_t edi, esi, ebp, unused, ebx, edx, ecx, eax, vector, error;
    uint32_t eip, cs, eflags, esp, ss, es, ds, fs, gs;
} out86;
uint32_t real86, cr4_86;
uint64_t gdt86[7] __attribute__((aligned(16))), idt86[256] __attribute__((aligned(16)));
struct {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed)) gdtr86, idtr86;
uint8_t stack86[1024] __attribute__((aligned(16)));
/* SDM 3, figure 20-5: the TSS, the bitmap of redirected interrupts, and the one of ports. */
struct {
    uint32_t link, esp0, ss0, unused[22];
    uint16_t trap, io_map;
    uint8_t redirection[32], ports[33];
} tss86;

void run86(void);
extern const uint8_t low86[], low86_end[], real_out86[], stubs86[];

#define STR_(x) #x
#define STR(x)  STR_(x)
#define LOW_(l) STR(LOW) " + " #l " - low86"

/* clang-format off */
__asm__(
    ".text\n"
    "run86:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; pushf; cli\n"
    "sgdt old_gdtr; sidt old_idtr; str old_tr; mov %ss, old_ss; mov %cs, old_cs\n"
    "mov %cr3, %rax; mov %rax, old_cr3; mov %cr4, %rax; mov %rax, old_cr4\n"
    "mov %rsp, old_rsp\n"
    "lgdt gdtr86\n"
    "pushq $" STR(CODE32) "; pushq $1f; lretq\n"
    ".code32\n"
    "1: mov $" STR(DATA32) ", %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
    "mov %eax, %fs; mov %eax, %gs\n"
    "mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "mov $" STR(MSR_EFER) ", %ecx; rdmsr; and $~0x100, %eax; wrmsr\n"
    "mov cr4_86, %eax; mov %eax, %cr4\n"
    "cmpl $0, real86; jne 2f\n"
    "lidt idtr86\n"
    "mov $" STR(TSS) ", %eax; ltr %ax\n"
    "mov $start86, %esp; popal; iretl\n"
    "2: ljmp $" STR(CODE16) ", $real_in86 - low86\n"
    ".code16\n"
    "low86:\n"
    "real_in86:\n"
    "mov $" STR(DATA16) ", %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %ss; mov %ax, %fs; mov %ax, %gs\n"
    "mov %cr0, %eax; and $~1, %al; mov %eax, %cr0\n"
    "ljmp $0, $" LOW_(1f) "\n"
    "1: lidt %cs:" LOW_(2f) "\n"
    "mov $" STR(DATA_AT) " >> 4, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %fs; mov %ax, %gs\n"
    "xor %ax, %ax; mov %ax, %ss; mov $" STR(LOW_START) ", %sp; popal\n"
    "lss %cs:" STR(LOW_START) " + 32, %sp; iret\n"
    "2: .word 0x3ff; .long 0\n"
    /* Vector, IP, CS and FLAGS are on the row's stack. */
    "real_out86:\n"
    "pushal\n"
    "mov %ss, %cs:" STR(LOW_OUT) " + 40; mov %es, %cs:" STR(LOW_OUT) " + 42\n"
    "mov %ds, %cs:" STR(LOW_OUT) " + 44; mov %fs, %cs:" STR(LOW_OUT) " + 46\n"
    "mov %gs, %cs:" STR(LOW_OUT) " + 48; mov %sp, %cs:" STR(LOW_OUT) " + 50\n"
    "mov %sp, %si; push %ss; pop %ds; xor %ax, %ax; mov %ax, %es; mov $" STR(LOW_OUT) ", %di\n"
    "mov $20, %cx; cld; rep movsw\n"
    "lgdtl %cs:" LOW_(2f) "\n"
    "mov %cr0, %eax; or $1, %al; mov %eax, %cr0\n"
    "ljmpl $" STR(CODE32) ", $back86\n"
    "2: .word 55; .long gdt86\n"
    "low86_end:\n"
    ".code32\n"
    "vm_out86:\n"
    "pushal; mov $" STR(DATA32) ", %eax; mov %eax, %ds; mov %eax, %es\n"
    "mov %esp, %esi; mov $out86, %edi; mov $19, %ecx; cld; rep movsl\n"
    "back86:\n"
    "mov $" STR(DATA32) ", %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss; mov $stack86 + 1024, %esp\n"
    "mov old_cr4, %eax; mov %eax, %cr4; mov old_cr3, %eax; mov %eax, %cr3\n"
    "mov $" STR(MSR_EFER) ", %ecx; rdmsr; or $0x100, %eax; wrmsr\n"
    "mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
    "ljmp $" STR(CODE64) ", $1f\n"
    ".code64\n"
    "1: mov old_rsp, %rsp; lgdt old_gdtr; lidt old_idtr\n"
    "mov old_ss, %ss; mov old_ss, %ds; mov old_ss, %es; xor %eax, %eax; mov %eax, %fs; mov %eax, %gs\n"
    "movzwl old_cs, %eax; push %rax; pushq $1f; lretq\n"
    "1: movzwl old_tr, %eax; mov old_gdtr + 2, %rcx; andb $~2, 5(%rcx, %rax); ltr old_tr\n"
    "popf; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n"
    ".code32\n"
    ".balign 16\n"
    "stubs86:\n"
    ".set i, 0\n"
    ".rept 256\n"
    ".balign 16\n"
    ".if i != 8 && i != 17 && (i < 10 || i > 14)\n push $0\n .endif\n"
    "push $i; jmp vm_out86\n"
    ".set i, i + 1\n"
    ".endr\n"
    ".code64\n"
    ".bss\n"
    "old_gdtr: .skip 10\n old_idtr: .skip 10\n old_tr: .skip 2\n old_cs: .skip 2\n"
    "old_ss: .skip 2\n .balign 8\n old_cr3: .skip 8\n old_cr4: .skip 8\n old_rsp: .skip 8\n"
    ".text\n");
/* clang-format on */

/* What a row left: registers in 32 bits, in their order here. */
#define LEFT 23u
static const char *const left_names[LEFT] = {
    "edi",    "esi",        "ebp", "-",   "ebx",   "edx",       "ecx",     "eax",
    "vector", "error code", "eip", "cs",  "flags", "esp",       "ss",      "es",
    "ds",     "fs",         "gs",  "dr6", "cr0",   "its stack", "the data"};
enum { LEFT_FLAGS = 12, LEFT_DR6 = 19, LEFT_CR0, LEFT_STACK, LEFT_DATA };
struct outcome {
    uint32_t left[LEFT];
};
static struct outcome plain[ROWS_MAX], now;
static uint32_t data_end;
static struct mailbox *mail;

static uint8_t *low(uint32_t at)
{
    uint8_t *p;

    __asm__("" : "=r"(p) : "0"((uint64_t)at)); /* no object that the compiler knows */
    return p;
}

static uint32_t sum(const uint8_t *p, size_t n)
{
    uint32_t s = 0;

    while (n--)
        s = s * 0x01000193 + *p++;
    return s;
}

/* ---- one row ---- */

static void put_code(const struct kind86 *k)
{
    for (unsigned i = 0; i < 2 * PAGE; i += 2)
        memcpy(low(CODE_AT + i), "\x0f\x0b", 2);
    memcpy(low(CODE_AT + ROW_AT), k->code, (size_t)(k->end - k->code));
    for (unsigned i = 0; i < 64; i += 2)
        memcpy(low(CODE_AT + ROW_AT) + (k->end - k->code) + i, "\x0f\x0b", 2);
}

static void start_at(const struct kind86 *k)
{
    bool iopl = k->in == VM_3 || k->in == VME_3;
    uint32_t data = DATA_AT >> 4, flags = (uint32_t)k->flags | 2 | (iopl ? 0x3000 : 0);

    start86 = (struct start86){0x100,
                               0x200,
                               0x400,
                               0,
                               0x300,
                               0x88776655,
                               3,
                               0x11223344,
                               ROW_AT,
                               CODE_AT >> 4,
                               flags | EFLAGS_VM,
                               SP,
                               STACK_AT >> 4,
                               data,
                               data,
                               data,
                               data};
    memset(low(STACK_AT), 0, PAGE);
    real86 = k->in == REAL;
    cr4_86 = k->in == VME_0 || k->in == VME_3 ? CR4_VME : 0;
    if (real86) {
        const uint16_t frame[] = {ROW_AT, CODE_AT >> 4, (uint16_t)flags};
        const uint16_t stack[] = {SP - sizeof(frame), STACK_AT >> 4};

        memcpy(low(LOW_START), &start86, 32);
        memcpy(low(LOW_START) + 32, stack, sizeof(stack));
        memcpy(low(STACK_AT + SP) - sizeof(frame), frame, sizeof(frame));
    }
}

/* The real-mode frame in the form of the other one. */
static void real_outcome(void)
{
    const uint16_t *more = (const uint16_t *)(const void *)(low(LOW_OUT) + 32);

    memcpy(&out86, low(LOW_OUT), 32);
    out86.vector = more[0];
    out86.error = 0;
    out86.eip = more[1];
    out86.cs = more[2];
    out86.eflags = more[3];
    out86.ss = more[4];
    out86.es = more[5];
    out86.ds = more[6];
    out86.fs = more[7];
    out86.gs = more[8];
    out86.esp = more[9] + 40u;
}

static void run(const struct kind86 *k, bool sums)
{
    put_code(k);
    start_at(k);
    gdt86[TSS / 8] &= ~(2ULL << 40); /* not busy */
    try_write_dr0(DATA_AT + 0x100);
    try_write_dr6(DR6_RESET);
    try_write_dr7(DR7_RESET | (k->what & WATCH_WRITE ? 3 | 13ULL << 16 : 0));
    memset(&out86, 0, sizeof(out86));
    run86();
    if (real86)
        real_outcome();
    out86.unused = 0;
    memcpy(now.left, &out86, sizeof(out86));
    now.left[LEFT_DR6] = (uint32_t)read_dr6();
    now.left[LEFT_CR0] = (uint32_t)read_cr0();
    try_write_dr7(DR7_RESET);
    now.left[LEFT_STACK] = out86.esp < PAGE ? sum(low(STACK_AT + out86.esp), PAGE - out86.esp) : 0;
    now.left[LEFT_DATA] = sums ? sum(low(DATA_AT), 2 * PAGE) : 0;
}

/* ---- all rows ---- */

static const char *const modes[KINDS_MODES] = {"plain",     "stepped",      "toggled",
                                               "fast",      "emulated",     "data toggled",
                                               "data fast", "data emulated"};

static void prepare_data(void)
{
    for (unsigned i = 0; i < 2 * PAGE; i++)
        *low(DATA_AT + i) = (uint8_t)(i * 37 + (i >> 8));
}

/* QEMU 7.2 has no VME, and another thing otherwise where TF is set. */
static bool left_out(const struct kind86 *k)
{
    return cpu_is_qemu() && (k->in == VME_0 || k->in == VME_3 || k->what & WHAT_QEMU);
}

static void watched(unsigned mode)
{
    target_alone();
    prepare_data();
    target_begin(mail, mode);
    for (const struct kind86 *k = __start_kinds86; k < __stop_kinds86; k++) {
        const uint32_t *wanted = plain[k - __start_kinds86].left;

        if (left_out(k))
            continue;
        run(k, mode < KINDS_DATA_TOGGLED);
        for (unsigned i = 0; i < LEFT; i++) {
            /* QEMU 7.2 has no RF in faults' frames. */
            uint32_t blind = i == LEFT_FLAGS && cpu_is_qemu() ? EFLAGS_RF : 0;

            if ((now.left[i] | blind) != (wanted[i] | blind) &&
                !(i == LEFT_DATA && mode >= KINDS_DATA_TOGGLED))
                test_failed(__LINE__, "%s, %s: %s is %x, wanted %x", k->name, modes[mode],
                            left_names[i], now.left[i], wanted[i]);
        }
    }
    target_end(mail);
    expect(sum(low(DATA_AT), 2 * PAGE), data_end);
    say("mon-kinds86: %s: %lu events\n", modes[mode], mail->data[KINDS_SEEN]);
    check(mail->data[KINDS_SEEN] > (unsigned)(__stop_kinds86 - __start_kinds86) / 4,
          "only %lu events", mail->data[KINDS_SEEN]);
}

static bool ends_right(const struct kind86 *k)
{
    uint32_t end = ROW_AT + (uint32_t)(k->end - k->code);

    return out86.vector == (k->ends < 0x100 ? k->ends : VEC_UD) &&
           (k->ends != ENDS_BEHIND || out86.eip == end) &&
           (k->ends != ENDS_HANDLER || out86.eip == HANDLER) &&
           (!(k->what & WHAT_SVM) || out86.eip < end);
}

/* Also that each row does what it is there for. */
static void nobody_watches(void)
{
    need(__stop_kinds86 - __start_kinds86 <= ROWS_MAX, "%ld rows",
         __stop_kinds86 - __start_kinds86);
    prepare_data();
    for (const struct kind86 *k = __start_kinds86; k < __stop_kinds86; k++) {
        if (left_out(k))
            continue;
        run(k, true);
        plain[k - __start_kinds86] = now;
        check(ends_right(k), "%s: vector %u at %x, error %x, wanted %lx", k->name, out86.vector,
              out86.eip, out86.error, k->ends);
    }
    data_end = sum(low(DATA_AT), 2 * PAGE);
}

static void no_svm(void)
{
    unsigned rows = 0;

    for (const struct kind86 *k = __start_kinds86; k < __stop_kinds86; k++) {
        if (!(k->what & WHAT_SVM))
            continue;
        run(k, false);
        check(ends_right(k), "%s: vector %u at %x", k->name, out86.vector, out86.eip);
        rows++;
    }
    expect(rows, 10 * CONTEXTS);
}

#define MODE(name, mode)                                                                           \
    static void name(void)                                                                         \
    {                                                                                              \
        watched(mode);                                                                             \
    }
MODE(stepped, KINDS_STEPPED)
MODE(toggled, KINDS_TOGGLED)
MODE(fast, KINDS_FAST)
MODE(emulated, KINDS_EMULATED)
MODE(data_toggled, KINDS_DATA_TOGGLED)
MODE(data_fast, KINDS_DATA_FAST)
MODE(data_emulated, KINDS_DATA_EMULATED)

static void finish(void)
{
    target_finish(mail);
}

/* ---- tables ---- */

static void make_real(void)
{
    uint16_t *vectors = (uint16_t *)(void *)low(0);

    memcpy(low(LOW), low86, (size_t)(low86_end - low86));
    for (unsigned i = 0; i < 256; i++) { /* push $i; jmp real_out86 */
        uint8_t *stub = low(LOW_STUBS + 8 * i);
        uint16_t to = (uint16_t)(LOW + (real_out86 - low86) - (LOW_STUBS + 8 * i + 6));

        memcpy(stub, (uint8_t[]){0x68, (uint8_t)i, 0, 0xe9, (uint8_t)to, (uint8_t)(to >> 8)}, 6);
        vectors[2 * i] = i == INT_ANY ? HANDLER : LOW_STUBS + 8 * i;
        vectors[2 * i + 1] = i == INT_ANY ? CODE_AT >> 4 : 0;
    }
}

static void make_tables(void)
{
    uint64_t tss = (uint64_t)&tss86;

    gdt86[CODE64 / 8] = 0x00209b0000000000ULL;
    gdt86[CODE32 / 8] = 0x00cf9b000000ffffULL;
    gdt86[DATA32 / 8] = 0x00cf93000000ffffULL;
    gdt86[CODE16 / 8] = 0x00009b000000ffffULL | (uint64_t)LOW << 16;
    gdt86[DATA16 / 8] = 0x000093000000ffffULL;
    gdt86[TSS / 8] = 0x0000890000000000ULL | (sizeof(tss86) - 1) | (tss & 0xffffff) << 16 |
                     (tss >> 24 & 0xff) << 56;
    for (unsigned i = 0; i < 256; i++) {
        uint64_t at = (uint64_t)stubs86 + 16 * i;

        idt86[i] = (at & 0xffff) | CODE32 << 16 | (i == INT_CPL0 ? 0x8eULL : 0xeeULL) << 40 |
                   (at >> 16) << 48;
    }
    tss86.esp0 = (uint32_t)(uint64_t)(stack86 + sizeof(stack86));
    tss86.ss0 = DATA32;
    tss86.io_map = offsetof(__typeof__(tss86), ports);
    tss86.ports[32] = 0xff;
    tss86.redirection[INT_CPL0 / 8] |= 1 << INT_CPL0 % 8;
    tss86.redirection[INT_IDT / 8] |= 1 << INT_IDT % 8;
    gdtr86.limit = sizeof(gdt86) - 1;
    gdtr86.base = (uint64_t)gdt86;
    idtr86.limit = sizeof(idt86) - 1;
    idtr86.base = (uint64_t)idt86;
}

static void setup(void)
{
    event_init();
    mail = page_alloc(1, 1);
    make_real();
    make_tables();
    mail->data[KINDS_CODE] = CODE_AT / PAGE;
    mail->data[KINDS_DATA] = DATA_AT / PAGE;
    mail->data[KINDS_NR] = 2;
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
}

TEST_CASES(CASE(setup), CASE(no_svm), CASE(nobody_watches), CASE(stepped), CASE(toggled),
           CASE(fast), CASE(emulated), CASE(data_toggled), CASE(data_fast), CASE(data_emulated),
           CASE(finish))
