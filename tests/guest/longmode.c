/* SPDX-License-Identifier: MIT */
/*
 * Entering long mode: MOV to CR0 that sets PG with EFER.LME is #GP(0) while TR holds a 16-bit TSS
 * or CR4.PAE is clear (SDM volume 2, MOV to control registers), changes nothing, and works when
 * that is put right. The guest leaves long mode for it and comes back.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/test.h"

#define CODE64 0x08
#define CODE32 0x10
#define DATA32 0x18
#define TSS16  0x20
#define TSS32  0x28

#define RFLAGS_RF 0x10000u
#define STR_(x)   #x
#define STR(x)    STR_(x)

/* Shared with the assembly below: what each refused MOV to CR0 left. */
struct refused {
    uint32_t faults, error, flags, cr0, efer;
} refused_tss, refused_pae;
uint64_t mode_gdt[6] __attribute__((aligned(16)));
uint64_t mode_idt[32] __attribute__((aligned(16)));
uint8_t mode_tss16[44] __attribute__((aligned(16))), mode_tss32[104] __attribute__((aligned(16)));
uint32_t mode_stack[256] __attribute__((aligned(16)));
struct {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed)) mode_gdtr, mode_idtr;

void leave_and_enter(void);
extern uint8_t mode_gp[];

/* clang-format off */
#define TRY_ENTRY(seen)                                                                             \
    "mov $" #seen ", %edi; movl $1f, mode_after\n"                                                  \
    "mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"                                        \
    "1: mov %cr0, %eax; mov %eax, 12(%edi)\n"                                                       \
    "mov $" STR(MSR_EFER) ", %ecx; rdmsr; mov %eax, 16(%edi)\n"

__asm__(
    ".text\n"
    "leave_and_enter:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; pushf; cli\n"
    "sgdt mode_old_gdtr; sidt mode_old_idtr; str mode_old_tr; mov %cs, mode_old_cs; mov %ss, mode_old_ss\n"
    "mov %rsp, mode_old_rsp; mov %cr4, %rax; mov %rax, mode_old_cr4\n"
    "lgdt mode_gdtr\n"
    "pushq $" STR(CODE32) "; pushq $1f; lretq\n"
    ".code32\n"
    "1: mov $" STR(DATA32) ", %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
    "mov $mode_stack + 1024, %esp\n"
    "mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "mov $" STR(MSR_EFER) ", %ecx; rdmsr; and $~0x100, %eax; wrmsr\n"
    "lidt mode_idtr\n"
    "mov $" STR(TSS16) ", %eax; ltr %ax\n"
    "mov $" STR(MSR_EFER) ", %ecx; rdmsr; or $0x100, %eax; wrmsr\n"
    TRY_ENTRY(refused_tss)
    "mov $" STR(TSS32) ", %eax; ltr %ax\n"
    "mov mode_old_cr4, %eax; and $~0x20, %eax; mov %eax, %cr4\n"
    TRY_ENTRY(refused_pae)
    "mov mode_old_cr4, %eax; mov %eax, %cr4\n"
    "mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
    "ljmp $" STR(CODE64) ", $1f\n"
    "mode_gp: incl (%edi); pop 4(%edi)\n"
    "mov 8(%esp), %eax; mov %eax, 8(%edi)\n"
    "mov mode_after, %eax; mov %eax, (%esp); iret\n"
    ".code64\n"
    "1: mov mode_old_rsp, %rsp; lgdt mode_old_gdtr; lidt mode_old_idtr\n"
    "mov mode_old_ss, %ss; mov mode_old_ss, %ds; mov mode_old_ss, %es\n"
    "movzwl mode_old_cs, %eax; push %rax; pushq $1f; lretq\n"
    "1: movzwl mode_old_tr, %eax; mov mode_old_gdtr + 2, %rcx; andb $~2, 5(%rcx, %rax); ltr mode_old_tr\n"
    "popf; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n"
    ".bss\n"
    "mode_old_gdtr: .skip 10\n mode_old_idtr: .skip 10\n mode_old_tr: .skip 2\n mode_old_cs: .skip 2\n"
    "mode_old_ss: .skip 2\n .balign 8\n mode_old_cr4: .skip 8\n mode_old_rsp: .skip 8\n mode_after: .skip 4\n"
    ".text\n");
/* clang-format on */

static uint64_t tss(const void *at, uint32_t limit, uint64_t type)
{
    uint64_t base = (uint64_t)at;

    return limit | (base & 0xffffff) << 16 | (0x80 | type) << 40 | (base >> 24 & 0xff) << 56;
}

static void setup(void)
{
    uint64_t handler = (uint64_t)mode_gp;

    mode_gdt[CODE64 / 8] = 0x00af9b000000ffffULL;
    mode_gdt[CODE32 / 8] = 0x00cf9b000000ffffULL;
    mode_gdt[DATA32 / 8] = 0x00cf93000000ffffULL;
    mode_gdt[TSS16 / 8] = tss(mode_tss16, sizeof(mode_tss16) - 1, 1);
    mode_gdt[TSS32 / 8] = tss(mode_tss32, sizeof(mode_tss32) - 1, 9);
    for (unsigned i = 0; i < ARRAY_SIZE(mode_idt); i++)
        mode_idt[i] = (handler & 0xffff) | CODE32 << 16 | 0x8eULL << 40 | (handler >> 16) << 48;
    mode_gdtr.limit = sizeof(mode_gdt) - 1;
    mode_gdtr.base = (uint64_t)mode_gdt;
    mode_idtr.limit = sizeof(mode_idt) - 1;
    mode_idtr.base = (uint64_t)mode_idt;
    leave_and_enter();
}

static void was_refused(const struct refused *r)
{
    expect(r->faults, 1);
    expect(r->error, 0);
    expect(r->flags & RFLAGS_RF, RFLAGS_RF);
    expect(r->cr0 & CR0_PG, 0);
    expect(r->efer & 0x500, 0x100);
}

static void task_segment_of_16_bits(void)
{
    was_refused(&refused_tss);
}

static void without_pae(void)
{
    was_refused(&refused_pae);
}

TEST_CASES(CASE(setup), CASE(task_segment_of_16_bits), CASE(without_pae))
