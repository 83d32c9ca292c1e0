/* SPDX-License-Identifier: MIT */
/*
 * PAE paging, whose four top entries the processor keeps: the hypervisor reads them for it when CR0
 * or CR3 is written. They lie in pages that a monitor (pae-watch.c) keeps to itself, and opens when
 * it is told.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/target.h"
#include "lib/test.h"

#define CODE64 0x08
#define CODE32 0x10
#define DATA32 0x18

uint64_t pdpt_a[512] __attribute__((aligned(4096))), pdpt_b[512] __attribute__((aligned(4096)));
static uint64_t directories[4][512] __attribute__((aligned(4096)));
uint64_t pae_gdt[4] __attribute__((aligned(16)));
struct {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed)) pae_gdtr;
uint32_t pae_seen_a, pae_seen_b;

void pae_excursion(void);

#define STR_(x) #x
#define STR(x)  STR_(x)

/* clang-format off */
__asm__(
    ".text\n"
    "pae_excursion:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; pushf; cli\n"
    "sgdt pae_old_gdtr; mov %cs, pae_old_cs; mov %cr3, %rax; mov %rax, pae_old_cr3; mov %rsp, pae_old_rsp\n"
    "lgdt pae_gdtr\n"
    "pushq $" STR(CODE32) "; pushq $1f; lretq\n"
    ".code32\n"
    "1: mov $" STR(DATA32) ", %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
    "mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "mov $" STR(MSR_EFER) ", %ecx; rdmsr; and $~0x100, %eax; wrmsr\n"
    "mov $pdpt_a, %eax; mov %eax, %cr3\n"
    "mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n" /* the first four */
    "mov %cr3, %eax; mov %eax, pae_seen_a\n"
    "mov $pdpt_b + 32, %eax; mov %eax, %cr3\n" /* and others */
    "mov %cr3, %eax; mov %eax, pae_seen_b\n"
    "mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "mov pae_old_cr3, %eax; mov %eax, %cr3\n"
    "mov $" STR(MSR_EFER) ", %ecx; rdmsr; or $0x100, %eax; wrmsr\n"
    "mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
    "ljmp $" STR(CODE64) ", $1f\n"
    ".code64\n"
    "1: mov pae_old_rsp, %rsp; lgdt pae_old_gdtr\n"
    "mov $0x10, %eax; mov %eax, %ss; mov %eax, %ds; mov %eax, %es\n"
    "movzwl pae_old_cs, %eax; push %rax; pushq $1f; lretq\n"
    "1: popf; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n"
    ".bss\n"
    "pae_old_gdtr: .skip 10\n pae_old_cs: .skip 2\n .balign 8\n pae_old_cr3: .skip 8\n pae_old_rsp: .skip 8\n"
    ".text\n");
/* clang-format on */

static void top_entries(void)
{
    char watched[2];
    struct mailbox *mail = NULL;

    for (unsigned i = 0; i < 4; i++) {
        for (uint64_t j = 0; j < 512; j++)
            directories[i][j] = (uint64_t)i << 30 | j << 21 | PTE_P | PTE_W | PTE_PS;
        pdpt_a[i] = pdpt_b[4 + i] = (uint64_t)directories[i] | PTE_P;
    }
    pae_gdt[CODE64 / 8] = 0x00209b0000000000ULL;
    pae_gdt[CODE32 / 8] = 0x00cf9b000000ffffULL;
    pae_gdt[DATA32 / 8] = 0x00cf93000000ffffULL;
    pae_gdtr.limit = sizeof(pae_gdt) - 1;
    pae_gdtr.base = (uint64_t)pae_gdt;
    if (cmdline_get("watched", watched, sizeof(watched))) {
        event_init();
        mail = page_alloc(1, 1);
        mail->data[0] = gfn_of(pdpt_a);
        mail->data[1] = gfn_of(pdpt_b);
        expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
        target_begin(mail, 1);
    }
    pae_excursion();
    if (mail) {
        target_end(mail);
        target_finish(mail);
    }
    expect(pae_seen_a, (uint64_t)pdpt_a);
    expect(pae_seen_b, (uint64_t)pdpt_b + 32);
}

TEST_CASES(CASE(top_entries))
