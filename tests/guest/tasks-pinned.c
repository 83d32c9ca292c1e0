/* SPDX-License-Identifier: MIT */
/*
 * A switch of tasks loads CR3, TR and LDTR at once. While a monitor (tasks-pin.c) has pinned one of
 * them it is #GP(0), and nothing of it has been done: registers, descriptors and task states are as
 * before. Once the pin is gone the same switch works. Long mode has no tasks: the guest is in
 * 32-bit mode with paging meanwhile.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/target.h"
#include "lib/test.h"

#define CODE64   0x08
#define CODE32   0x10
#define DATA32   0x18
#define TSS_MAIN 0x20
#define TSS_B    0x28

#define TYPE_FREE 9u
#define TYPE_BUSY 11u

struct tss {
    uint32_t link, stacks[6], cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldtr, io_map;
};
_Static_assert(sizeof(struct tss) == 104, "SDM volume 3, figure 7-2");

/* Shared with the assembly below. */
struct found {
    uint32_t faults, error, eip, cr0, cr3, tr, type_main, type_b, saved_eip;
};
struct found pinned_found[PIN_ROUNDS];
struct tss pinned_main, pinned_b;
uint32_t pinned_round, pinned_runs, pinned_b_cr3, pinned_b_tr;
uint64_t pinned_gdt[6] __attribute__((aligned(16)));
uint64_t pinned_idt[14] __attribute__((aligned(16)));
uint32_t pinned_directory[2][1024] __attribute__((aligned(4096)));
uint8_t pinned_stack[2][1024] __attribute__((aligned(16)));
struct {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed)) pinned_gdtr, pinned_idtr;
struct mailbox *pinned_mail;

void pinned_excursion(void);
void pinned_task(void);
void pinned_gp(void);
extern const uint8_t pinned_jump[];

#define STR_(x) #x
#define STR(x)  STR_(x)

/* clang-format off */
/* %esi points at the mailbox's numbers, %ebx at the round's entry of pinned_found. */
__asm__(
    ".text\n"
    "pinned_excursion:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; pushf; cli\n"
    "sgdt was_gdtr; sidt was_idtr; str was_tr; mov %cs, was_cs; mov %ss, was_ss\n"
    "mov %cr3, %rax; mov %rax, was_cr3; mov %cr4, %rax; mov %rax, was_cr4\n"
    "mov %rsp, was_rsp\n"
    "lgdt pinned_gdtr\n"
    "pushq $" STR(CODE32) "; pushq $1f; lretq\n"
    ".code32\n"
    "1: mov $" STR(DATA32) ", %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
    "mov %eax, %fs; mov %eax, %gs\n"
    "mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "mov $" STR(MSR_EFER) ", %ecx; rdmsr; and $~0x100, %eax; wrmsr\n"
    "mov %cr4, %eax; and $~0x20, %eax; or $0x10, %eax; mov %eax, %cr4\n"
    "mov $pinned_directory, %eax; mov %eax, %cr3\n"
    "mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
    "lidt pinned_idtr\n"
    "mov $pinned_stack + 1024, %esp\n"
    "mov $" STR(TSS_MAIN) ", %eax; ltr %ax\n"
    "call pinned_rounds\n"
    "mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "mov was_cr4, %eax; mov %eax, %cr4\n"
    "mov was_cr3, %eax; mov %eax, %cr3\n"
    "mov $" STR(MSR_EFER) ", %ecx; rdmsr; or $0x100, %eax; wrmsr\n"
    "mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
    "ljmp $" STR(CODE64) ", $1f\n"
    ".code64\n"
    "1: mov was_rsp, %rsp; lgdt was_gdtr; lidt was_idtr\n"
    "mov was_ss, %ss; mov was_ss, %ds; mov was_ss, %es; clts\n"
    "movzwl was_cs, %eax; push %rax; pushq $1f; lretq\n"
    "1: movzwl was_tr, %eax; mov was_gdtr + 2, %rcx; andb $~2, 5(%rcx, %rax); ltr was_tr\n"
    "popf; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n"

    ".code32\n"
    "pinned_rounds:\n"
    "mov pinned_mail, %esi; add $8, %esi\n"
    "1: mov pinned_round, %eax; imul $36, %eax, %ebx; add $pinned_found, %ebx\n"
    "clts; movl $0, pinned_main + 32\n"
    "inc %eax; mov %eax, (%esi)\n" /* asks for the pins of this round */
    "2: pause; cmp %eax, 8(%esi); jne 2b\n"
    "pinned_jump: ljmp $" STR(TSS_B) ", $0\n"
    "pinned_behind:\n"
    "mov %cr0, %eax; mov %eax, 12(%ebx); mov %cr3, %eax; mov %eax, 16(%ebx); str 20(%ebx)\n"
    "movzbl pinned_gdt + " STR(TSS_MAIN) " + 5, %eax; mov %eax, 24(%ebx)\n"
    "movzbl pinned_gdt + " STR(TSS_B) " + 5, %eax; mov %eax, 28(%ebx)\n"
    "mov pinned_main + 32, %eax; mov %eax, 32(%ebx)\n"
    "incl pinned_round; cmpl $" STR(PIN_ROUNDS) ", pinned_round; jne 1b\n"
    "ret\n"

    "pinned_task:\n"
    "incl pinned_runs; mov %cr3, %eax; mov %eax, pinned_b_cr3; str pinned_b_tr\n"
    "clts; ljmp $" STR(TSS_MAIN) ", $0\n"
    "jmp pinned_task\n"

    "pinned_gp:\n"
    "incl (%ebx); pop 4(%ebx); pop 8(%ebx); push $pinned_behind; iret\n"

    ".code64\n"
    ".bss\n"
    "was_gdtr: .skip 10\n was_idtr: .skip 10\n was_tr: .skip 2\n was_cs: .skip 2\n"
    "was_ss: .skip 2\n .balign 8\n was_cr3: .skip 8\n was_cr4: .skip 8\n was_rsp: .skip 8\n"
    ".text\n");
/* clang-format on */

static uint32_t address(const volatile void *p)
{
    return (uint32_t)(uint64_t)p;
}

static void make_task(unsigned selector, struct tss *t, void (*entry)(void), unsigned which)
{
    memset(t, 0, sizeof(*t));
    t->cr3 = address(pinned_directory[which]);
    t->eip = address((void *)entry);
    t->eflags = 2;
    t->esp = address(pinned_stack[which] + sizeof(pinned_stack[which]));
    t->cs = CODE32;
    t->es = t->ss = t->ds = t->fs = t->gs = DATA32;
    t->io_map = 104U << 16;
    pinned_gdt[selector / 8] = 0x0000890000000067ULL | (uint64_t)(address(t) & 0xffffff) << 16 |
                               (uint64_t)(address(t) >> 24) << 56;
}

static uint64_t interrupt_gate(void (*to)(void))
{
    uint64_t at = address((void *)to);

    return 0x00008e0000000000ULL | CODE32 << 16 | (at & 0xffff) | at >> 16 << 48;
}

static void setup(void)
{
    event_init();
    for (unsigned i = 0; i < ARRAY_SIZE(pinned_directory[0]); i++)
        pinned_directory[0][i] = pinned_directory[1][i] = i << 22 | 0x83; /* 4 MiB each */
    pinned_gdt[CODE64 / 8] = 0x00209b0000000000ULL;
    pinned_gdt[CODE32 / 8] = 0x00cf9b000000ffffULL;
    pinned_gdt[DATA32 / 8] = 0x00cf93000000ffffULL;
    make_task(TSS_MAIN, &pinned_main, pinned_excursion, 0);
    make_task(TSS_B, &pinned_b, pinned_task, 1);
    pinned_idt[VEC_GP] = interrupt_gate(pinned_gp);
    pinned_gdtr.limit = sizeof(pinned_gdt) - 1;
    pinned_gdtr.base = (uint64_t)pinned_gdt;
    pinned_idtr.limit = sizeof(pinned_idt) - 1;
    pinned_idtr.base = (uint64_t)pinned_idt;
    pinned_mail = page_alloc(1, 1);
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(pinned_mail)), 0);
    pinned_excursion();
}

static void refused(void)
{
    for (unsigned i = 0; i + 1 < PIN_ROUNDS; i++) {
        const struct found *f = &pinned_found[i];

        expect(f->faults, 1);
        expect(f->error, 0);
        expect(f->eip, address(pinned_jump));
        expect(f->cr0 & CR0_TS, 0);
        expect(f->cr3, address(pinned_directory[0]));
        expect(f->tr, TSS_MAIN);
        expect(f->type_main & 0xf, TYPE_BUSY);
        expect(f->type_b & 0xf, TYPE_FREE);
        expect(f->saved_eip, 0); /* the old task's state was not written */
    }
}

static void allowed(void)
{
    const struct found *f = &pinned_found[PIN_ROUNDS - 1];

    expect(f->faults, 0);
    expect(pinned_runs, 1);
    expect(pinned_b_cr3, address(pinned_directory[1]));
    expect(pinned_b_tr, TSS_B);
    expect(f->cr3, address(pinned_directory[0]));
    expect(f->tr, TSS_MAIN);
    check(f->saved_eip != 0, "the old task's state was not written");
}

TEST_CASES(CASE(setup), CASE(refused), CASE(allowed))
