/* SPDX-License-Identifier: MIT */
/* Rows of mon-kinds86.c: what differs between real mode, VM86 and VM86 with its extensions (SDM 3,
 * 20.1 to 20.3), and some of what does not. */
#include "kinds86.h"

#define EVERYWHERE(name, flags, what, ends, insns)                                                 \
    K86("real: " name, REAL, flags, what, ends, insns)                                             \
    K86("vm86: " name, VM_3, flags, what, ends, insns)                                             \
    K86("vm86, IOPL 0: " name, VM_0, flags, what, ends, insns)                                     \
    K86("vme: " name, VME_3, flags, what, ends, insns)                                             \
    K86("vme, IOPL 0: " name, VME_0, flags, what, ends, insns)

/* Where IOPL counts: `free` with 3 and in real mode, `vme` with the extensions and 0. */
#define BY_IOPL(name, flags, free, vme, insns) BY_IOPL_(name, flags, 0, free, vme, insns)
#define BY_IOPL_(name, flags, what, free, vme, insns)                                              \
    K86("real: " name, REAL, flags, what, free, insns)                                             \
    K86("vm86: " name, VM_3, flags, what, free, insns)                                             \
    K86("vm86, IOPL 0: " name, VM_0, flags, what, 13, insns)                                       \
    K86("vme: " name, VME_3, flags, what, free, insns)                                             \
    K86("vme, IOPL 0: " name, VME_0, flags, what, vme, insns)

#define B ENDS_BEHIND
#define H ENDS_HANDLER

/* The offset of the label 2 in ax, by way of the stack. */
#define AX_TO_2 "call 1f; 1: pop %ax; add $(2f - 1b), %ax; "

EVERYWHERE("moves", 0, 0, B,
           "mov (%di), %ax; mov %eax, (%bx); push %ds; pop %es; pusha; popa; pushal; popal; xchg "
           "%cx, (%si); lea 2(%bx, %si), %dx; mov %es:(%di), %cl; addr32 mov (%edi), %ch")
EVERYWHERE("arithmetic", F_CF, 0, B,
           "adc %ax, (%di); inc %eax; mul %cl; daa; aam; lock btsw $3, (%di); rcl $3, %dx; xlat")
EVERYWHERE("strings", 0, 0, B,
           "movsw; rep movsb; lodsb; stosl; cmpsb; scasw; mov $3, %cx; rep stosw; std; movsl")
EVERYWHERE("in, out", 0, 0, B,
           "in $0x84, %al; mov $0x84, %dx; out %ax, %dx; insb; outsw; in %dx, %eax")
EVERYWHERE("segment loads", 0, 0, B,
           "mov $0x2010, %ax; mov %ax, %es; mov %es:(%di), %dx; push %es; pop %fs; mov %fs, %cx; "
           "movw $0x2001, 2(%si); les (%si), %ax; lgs (%si), %eax; mov %gs:(%bx), %al; lds (%si), "
           "%bp")
EVERYWHERE("mov ss", 0, 0, B,
           "mov %ss, %ax; mov %ax, %ss; mov %ax, (%di); push %ss; pop %ss; pop %cx; mov %sp, %dx; "
           "mov %ax, %ss; nop")
EVERYWHERE("jumps", 0, 0, B,
           "jmp 1f; ud2; 1: loop 1b; jcxz 1f; ud2; 1: call 1f; 1: enter $4, $0; leave")
EVERYWHERE("far calls", 0, 0, B,
           AX_TO_2
           "mov %ax, (%di); mov %cs, 2(%di); lcall *(%di); ud2; 2: pop %ax; pop %dx; " AX_TO_2
           "push %cs; push %ax; lret; ud2; 2: mov %ss, %ax; mov %ax, %ss; nop; " AX_TO_2
           "mov %ax, (%di); ljmp *(%di); ud2; 2: nop")
EVERYWHERE("trap", F_TF, 0, 1, "nop; nop")
EVERYWHERE("trap on an access", F_TF, 0, 1, "mov %ax, (%di); nop")
EVERYWHERE("trap and mov ss", F_TF, 0, 1, "mov %ss, %ax; nop")
EVERYWHERE("watched write", 0, WATCH_WRITE, 1, "mov %ax, (%di); nop")
EVERYWHERE("int3", F_CF, 0, 3, "int3")
EVERYWHERE("into", F_OF, 0, 4, "into")
EVERYWHERE("into without OF", 0, 0, B, "into; nop")
EVERYWHERE("icebp", 0, 0, 1, ".byte 0xf1")
EVERYWHERE("divide", 0, 0, 0, "xor %cx, %cx; div %cx")
EVERYWHERE("bound", 0, 0, 5, "movl $0x00020001, (%di); bound %ax, (%di)")
EVERYWHERE("undefined", 0, 0, 6, "ud2")
EVERYWHERE("not in real mode", 0, 0, 6, "sldt %ax")
EVERYWHERE("beyond the segment", 0, 0, 13, "mov $0xffff, %bx; mov %ax, (%bx)")
EVERYWHERE("a lock too many", 0, 0, 6, ".byte 0xf0; nop")
EVERYWHERE("too many prefixes", 0, 0, 13, ".fill 15, 1, 0x66; nop")
EVERYWHERE("smsw", 0, 0, B, "smsw %ax; smsw (%di)")
K86("vm86: beyond the stack", VM_3, 0, 0, 12, "mov $1, %sp; push %ax")
K86("vm86: hlt", VM_3, 0, 0, 13, "hlt")
K86("vm86: mov cr", VM_3, 0, 0, 13, "mov %cr0, %eax")
K86("vm86: another port", VM_3, 0, 0, 13, "mov $0x4711, %dx; in %dx, %al")
K86("real: mov cr", REAL, 0, 0, B,
    "mov %cr0, %eax; mov %eax, %cr0; mov %cr4, %edx; mov %edx, %cr4; lmsw %ax; clts")
K86("real: tables", REAL, 0, 0, B, "sgdt (%di); sidt 6(%di); lgdt (%di); lidt 6(%di)")
K86("real: mov dr6", REAL, 0, 0, B,
    "mov %dr6, %ebp; mov $0xffff4ff1, %eax; mov %eax, %dr6; nop; mov %eax, (%di); mov %dr6, %ecx; "
    "mov $0xffff0ff8, %eax; mov %eax, %dr6; mov %dr6, %edx")
K86("real: watched write, causes of before", REAL, 0, WATCH_WRITE, 1,
    "mov $0xffff4ffc, %eax; mov %eax, %dr6; mov %ax, (%di); nop")
K86("vm86: mov dr6", VM_3, 0, 0, 13, "mov %dr6, %eax")
K86("real: cli, sti", REAL, 0, 0, B, "sti; cli; sti; mov %ss, %ax; mov %ax, %ss; cli")

BY_IOPL("pushf, popf", F_CF, B, B,
        "pushf; pop %ax; xor $0x8c5, %ax; push %ax; popf; pushf; pop %dx")
BY_IOPL("pushfl, popfl", 0, B, 13,
        "pushfl; pop %eax; xor $0x2008c5, %eax; push %eax; popfl; pushfl; pop %edx")
BY_IOPL("popf", 0, B, B, "push $0x3cd7; popf; nop")
BY_IOPL("popf sets TF", 0, 1, 13, "push $0x102; popf; nop; nop")
BY_IOPL("pushf with TF", F_TF, 1, 1, "pushf; nop")
BY_IOPL("popf clears TF", F_TF, 1, 1, "popf; nop")
BY_IOPL("cli, sti", 0, B, B, "sti; cli; sti; mov %ax, (%di); cli; nop")
BY_IOPL_("sti and pushf", 0, WHAT_QEMU, B, B, "sti; pushf; cli; pushf; pop %ax; pop %dx")
BY_IOPL("iret", F_CF, B, B,
        "pushf; push %cs; " AX_TO_2 "push %ax; iret; ud2; 2: nop; pushf; pop %dx")
BY_IOPL("iretl", 0, B, 13,
        "pushfl; pushl %cs; " AX_TO_2
        "movzx %ax, %eax; push %eax; iretl; ud2; 2: nop; pushfl; pop %edx")
BY_IOPL("iret sets TF", 0, 1, 13,
        "push $0x102; push %cs; " AX_TO_2 "push %ax; iret; ud2; 2: nop; nop")
BY_IOPL("mov ss, popf", 0, B, B, "push $0x47; mov %ss, %ax; mov %ax, %ss; popf; mov %ax, %ss; nop")
BY_IOPL("mov ss, pushf", 0, B, B, "mov %ss, %ax; mov %ax, %ss; pushf; pop %dx")

/* INT n: by the IDT, the 8086's table, or not at all. */
#define INT(name, flags, insns, real, vm_3, vm_0, vme_3, vme_0)                                    \
    K86("real: " name, REAL, flags, 0, real, insns)                                                \
    K86("vm86: " name, VM_3, flags, 0, vm_3, insns)                                                \
    K86("vm86, IOPL 0: " name, VM_0, flags, 0, vm_0, insns)                                        \
    K86("vme: " name, VME_3, flags, 0, vme_3, insns)                                               \
    K86("vme, IOPL 0: " name, VME_0, flags, 0, vme_0, insns)
INT("int", F_CF, "int $0x21", H, 0x21, 13, H, H)
INT("int with IF", F_IF, "int $0x21", H, 0x21, 13, H, H)
INT("int with VIF", F_VIF, "int $0x21", H, 0x21, 13, H, H)
INT("int that CPL 3 may not", 0, "int $0x22", 0x22, 13, 13, 13, 13)
INT("int by the IDT", 0, "int $0x23", 0x23, 0x23, 13, 0x23, 13)
INT("int with prefixes", 0, ".byte 0x66, 0x2e; int $0x21", H, 0x21, 13, H, H)
INT("mov ss, int", 0, "mov %ss, %ax; mov %ax, %ss; int $0x21", H, 0x21, 13, H, H)
INT("trap and int", F_TF, "int $0x21", H, 0x21, 13, H, H)
INT("trap and int that is refused", F_TF, "int $0x22", 0x22, 13, 13, 13, 13)
K86("vme, IOPL 0: sti with VIP", VME_0, F_VIP, 0, 13, "sti")
K86("vme, IOPL 0: popf with VIP", VME_0, F_VIP, 0, 13, "push $0x202; popf")
K86("vme, IOPL 0: VIF and VIP", VME_0, F_VIF | F_VIP, 0, 13, "nop")

/* SVM, which no guest has; MSRs are not VM86's anyway. */
EVERYWHERE("vmrun", 0, WHAT_SVM, 6, "vmrun")
EVERYWHERE("vmload", F_CF, WHAT_SVM, 6, "vmload")
EVERYWHERE("vmsave", 0, WHAT_SVM, 6, "vmsave")
EVERYWHERE("stgi", 0, WHAT_SVM, 6, "stgi")
EVERYWHERE("clgi", 0, WHAT_SVM, 6, "clgi")
EVERYWHERE("skinit", 0, WHAT_SVM, 6, "skinit")
EVERYWHERE("invlpga", 0, WHAT_SVM, 6, "invlpga")
EVERYWHERE("efer.svme", 0, WHAT_SVM, 13,
           "mov $0xc0000080, %ecx; mov $0x1000, %eax; xor %edx, %edx; wrmsr")
EVERYWHERE("vm_cr", 0, WHAT_SVM, 13, "mov $0xc0010114, %ecx; rdmsr")
EVERYWHERE("vm_hsave_pa", 0, WHAT_SVM, 13,
           "mov $0xc0010117, %ecx; mov $0x1000, %eax; xor %edx, %edx; wrmsr")
