/* SPDX-License-Identifier: MIT */
/*
 * Kinds of instructions: those that store or load flags, hold interrupts and traps back, go
 * elsewhere, or interrupt themselves (SDM volume 2; volume 3, 6.8 and 17.3).
 */
#include "kinds.h"

/* Flags. */
K("pushf", IN_64, F_CF, 0, "pushfq; pushfw; popw %ax; pop %rdx; push %rdx; popfq")
K("popf", IN_64, 0, 0,
  "pushq $0xcd5; popfq; pushq $0; popfq; pushw $0x44; popfw; pushq $0x244000; popfq; pushq $2; "
  "popfq")
KF("popf sets TF", IN_64, 0, 0, 1, "pushq $0x102; popfq; nop; nop")
KF("popf sets TF, fault", IN_64, 0, 0, 14, "pushq $0x102; popfq; mov %rax, (%r13)")
KF("popf keeps TF", IN_64, F_TF, W_BREAK, 1, "nop; popfq")
K("popf and RF", IN_64, 0, 0, "pushq $0x10002; popfq; pushfq; pop %rax")
K("user pushf, popf", IN_64_U, F_CF, 0, "pushfq; pop %rax; push $0x3202; popfq; pushfq; pop %rdx")
K("user popf with IOPL", IN_64_U, F_IOPL, 0, "push $0x3002; popfq; cli; pushfq; pop %rdx")
K("32: pushf, popf", IN_32, F_CF, 0,
  "pushf; pushfw; popw %ax; pop %edx; push $0xcd7; popf; pushf; pop %eax")
K("16: pushf, popf", IN_16, F_CF, 0,
  "pushf; pushfl; popl %eax; pop %dx; push $0xc7; popf; pushf; pop %ax")
KF("pushf into nothing", IN_64_U, 0, 0, 14, "lea 8(%r13), %rsp; pushfq")
KF("popf from nothing", IN_64_U, 0, 0, 14, "mov %r13, %rsp; popfq")
K("pushf across pages", IN_64, 0, 0,
  "mov %rsp, %rdx; lea 5(%r15), %rsp; pushfq; mov -8(%rsp), %rax; mov %rdx, %rsp")

/* The guest's own single-step. */
KF("trap", IN_64, F_TF, 0, 1, "mov %rax, (%rdi); nop")
KF("trap behind rep", IN_64, F_TF, 0, 1, "rep stosb; nop")
KF("trap behind cpuid", IN_64, F_TF, W_TICKS, 1, "cpuid; nop")
KF("trap behind mov cr8", IN_64, F_TF, 0, 1, "mov %cr8, %rax; nop")
KF("trap behind pushf", IN_64, F_TF, 0, 1, "pushfq; nop")
KF("trap behind popf", IN_64, F_TF, 0, 1, "popfq; nop")
KF("trap and fault", IN_64, F_TF, 0, 14, "mov %rax, (%r13)")
KF("trap and int", IN_64, F_TF, 0, 0x81, "int $0x81; nop")
KF("trap and int3", IN_64, F_TF, 0, 3, "int3; nop")
KF("trap and icebp", IN_64, F_TF, 0, 1, ".byte 0xf1; nop")
KF("trap and ud2", IN_64, F_TF, 0, 6, "ud2")
KF("trap and jump", IN_64, F_TF, 0, 1, "jmp 1f; nop; 1: nop")
KF("trap and call", IN_64, F_TF, 0, 1, "call 1f; nop; 1: nop")
KF("trap and sti", IN_64, F_TF, 0, 1, "sti; nop")
KF("user trap", IN_64_U, F_TF, 0, 1, "mov %rax, (%rdi); nop")
KF("32: trap", IN_32, F_TF, 0, 1, "mov %eax, (%edi); nop")
KF("16: trap", IN_16, F_TF, 0, 1, "mov %ax, (%di); nop")

/* MOV SS and POP SS hold traps back for one instruction. */
K("mov ss", IN_64, 0, 0, "mov %ss, %edx; mov %edx, %ss; nop; mov %edx, %ss; mov %rax, (%rdi)")
KF("mov ss, trap", IN_64, F_TF, 0, 1, "mov %r9d, %ss; mov %rax, (%rdi); nop; nop")
KF("mov ss, trap, two accesses", IN_64, F_TF, 0, 1, "mov %r9d, %ss; movsq; nop; nop")
KF("mov ss, trap, exit", IN_64, F_TF, W_TICKS, 1, "mov %r9d, %ss; cpuid; nop; nop")
KF("mov ss, trap, fault", IN_64, F_TF, 0, 14, "mov %r9d, %ss; mov %rax, (%r13)")
KF("mov ss, trap, refused", IN_64, F_TF, 0, 13, "mov %r9d, %ss; rdmsr")
KF("mov ss, trap, undefined", IN_64, F_TF, 0, 6, "mov %r9d, %ss; ud2")
KF("mov ss, watched, then an access", IN_64, 0, W_WATCH, 1, "mov %rax, (%rdi); nop")
KF("mov ss behind a watched write", IN_64, 0, W_WATCH, 1,
   "mov %r9d, %ss; mov %rax, (%rdi); nop; nop")
KF("mov ss, int", IN_64, 0, 0, 0x81, "mov %r9d, %ss; int $0x81")
KF("mov ss, int3", IN_64, 0, 0, 3, "mov %r9d, %ss; int3")
KF("mov ss, icebp", IN_64, 0, 0, 1, "mov %r9d, %ss; .byte 0xf1")
K("mov ss, pushf", IN_64, 0, 0, "mov %r9d, %ss; pushfq; pop %rax")
KF("mov ss, popf sets TF", IN_64, 0, 0, 1, "push $0x102; mov %r9d, %ss; popfq; nop; nop")
K("mov ss twice", IN_64, 0, 0, "mov %r9d, %ss; mov %r9d, %ss; mov %r9d, %ss; nop")
K("mov ss from memory", IN_64, 0, 0, "mov %r9d, (%rdi); mov (%rdi), %ss; mov %rax, 8(%rdi)")
KF("mov ss refused", IN_64, 0, 0, 13, "mov $0xf8, %eax; mov %eax, %ss")
KF("mov ss not present", IN_64, 0, 0, 12, "mov $0x80, %eax; mov %eax, %ss")
KF("mov ss from nothing", IN_64, 0, 0, 14, "mov (%r13), %ss")
K("32: pop ss", IN_32, 0, 0,
  "push %ss; pop %ss; pushf; pop %eax; push %ss; pop %ss; push %ss; pop %ss; nop")
KF("32: pop ss, int", IN_32, 0, 0, 0x81, "push %ss; pop %ss; int $0x81")
KF("32: pop ss, trap", IN_32, 0, 0, 1, "push %ss; push $0x102; popf; pop %ss; push %ss; nop")
K("32: lss", IN_32, 0, W_QEMU,
  "mov %esp, (%edi); movw %ss, 4(%edi); lss (%edi), %esp; pushf; pop %eax")

/* STI holds interrupts back for one instruction. */
KF("sti; nop", IN_64, 0, W_IRQ, 0x82, "sti; nop; nop")
KF("sti; hlt", IN_64, 0, W_IRQ, 0x82, "sti; hlt; nop")
KF("sti; access", IN_64, 0, W_IRQ, 0x82, "sti; mov %rax, (%rdi); nop")
KF("sti; two accesses", IN_64, 0, W_IRQ, 0x82, "sti; movsq; nop")
KF("sti; rep", IN_64, 0, W_IRQ | W_REP | W_QEMU, 0x82, "sti; rep lodsb; nop")
KF("sti; exit", IN_64, 0, W_IRQ | W_TICKS, 0x82, "sti; cpuid; nop")
KF("sti; fault", IN_64, 0, W_IRQ, 14, "sti; mov %rax, (%r13)")
KF("sti; refused", IN_64, 0, W_IRQ, 13, "mov $0x4711, %ecx; sti; rdmsr")
KF("sti; int", IN_64, 0, W_IRQ, 0x81, "sti; int $0x81")
K("sti; cli", IN_64, 0, W_IRQ, "sti; cli; nop; sti; cli; nop")
KF("sti; sti", IN_64, 0, W_IRQ | W_QEMU, 0x82, "sti; sti; nop; nop")
KF("sti; pushf", IN_64, 0, W_IRQ | W_QEMU, 0x82, "sti; pushfq; nop")
K("sti; popf", IN_64, 0, W_IRQ, "push $2; sti; popfq; nop")
KF("sti; mov ss", IN_64, 0, W_IRQ | W_QEMU, 0x82, "sti; mov %r9d, %ss; nop; nop")
KF("sti; jump", IN_64, 0, W_IRQ, 0x82, "sti; jmp 1f; nop; 1: nop")
KF("popf sets IF", IN_64, 0, W_IRQ, 0x82, "push $0x202; popfq; nop; nop")
KF("32: sti; nop", IN_32, 0, W_IRQ, 0x82, "sti; nop; nop")
KF("user sti", IN_64_U, 0, 0, 13, "sti")
K("user sti with IOPL", IN_64_U, F_IOPL, 0, "sti; cli; pushfq; pop %rax")

/* Interrupts and exceptions of one's own. */
KF("int", IN_64, F_CF, 0, 0x81, "int $0x81")
KF("int with prefixes", IN_64, 0, 0, 0x81, ".byte 0x66, 0x48; int $0x81")
KF("int with many prefixes", IN_64, 0, 0, 3, ".fill 14, 1, 0x66; int3")
KF("int with too many prefixes", IN_64, 0, 0, 13, ".fill 15, 1, 0x66; int3")
KF("int n with too many prefixes", IN_64, 0, 0, 13, ".fill 14, 1, 0x66; int $0x81")
KF("int with lock", IN_64, 0, 0, 6, ".byte 0xf0; int $0x81")
KF("int3", IN_64, F_CF, 0, 3, "int3")
KF("int3 with lock", IN_64, 0, 0, 6, ".byte 0xf0, 0xcc")
KF("int 3", IN_64, 0, 0, 3, ".byte 0xcd, 3")
KF("icebp", IN_64, F_CF, 0, 1, ".byte 0xf1")
KF("into", IN_64, F_OF, 0, 6, ".byte 0xce")
KF("32: into", IN_32, F_OF, 0, 4, "into")
K("32: into without OF", IN_32, 0, 0, "into; nop")
KF("32: int", IN_32, 0, 0, 0x81, "int $0x81")
KF("16: int", IN_16, 0, 0, 0x81, "int $0x81")
KF("user int", IN_64_U, 0, 0, 13, "int $0x81")
KF("user int3", IN_64_U, 0, 0, 3, "int3")
KF("user icebp", IN_64_U, 0, 0, 1, ".byte 0xf1")
KF("32u: int", IN_32_U, 0, 0, 13, "int $0x81")
KF("32u: into", IN_32_U, F_OF, 0, 4, "into")
KF("int, no execute", IN_64, 0, W_NX, 14, "int $0x81")
KF("int across pages", IN_64, 0, W_ACROSS, 0x81, "int $0x81")
KF("int, half there", IN_64, 0, W_ACROSS | W_SHUT, 14, "int $0x81")
KF("int3 at the end", IN_64, 0, W_ENDS, 3, "int3")
KF("pushf at the end", IN_64, 0, W_ENDS, 14, "pushfq")
KF("sti at the end", IN_64, 0, W_ENDS | W_IRQ, 14, "sti")
KF("mov ss at the end", IN_64, 0, W_ENDS, 14, "mov %r9d, %ss")
KF("ud2", IN_64, 0, 0, 6, "ud2")
KF("ud1", IN_64, 0, 0, 6, "ud1 %eax, %edx")
KF("ud0", IN_64, 0, 0, 6, ".byte 0x0f, 0xff, 0x07")

/* Debug registers. */
KF("watched write", IN_64, 0, W_WATCH, 1, "mov %rax, (%rdi); nop")
KF("watched rep", IN_64, 0, W_WATCH, 1, "lea -4(%rdi), %rdi; rep stosl; nop")
KF("watched push", IN_64, 0, W_WATCH, 1, "lea 8(%rdi), %rsp; push %rax; nop")
KF("watched locked", IN_64, 0, W_WATCH, 1, "lock incq (%rdi); nop")
KF("watched and stepped", IN_64, F_TF, W_WATCH, 1, "mov %rax, (%rdi); nop")
KF("watched and faulting", IN_64, 0, W_WATCH, 14, "mov %r13, %rsi; lodsq")
KF("breakpoint", IN_64, 0, W_BREAK, 1, "nop; nop")
KF("breakpoint at an int", IN_64, 0, W_BREAK, 1, "nop; int $0x81")
KF("breakpoint at an access", IN_64, 0, W_BREAK, 1, "nop; mov %rax, (%rdi)")
K("breakpoint with RF", IN_64, F_RF, 0, "nop; nop")
KF("breakpoint, trap", IN_64, F_TF, W_BREAK, 1, "nop; nop")
KF("mov dr with GD", IN_64, 0, W_DETECT, 1, "mov %dr0, %rax")

/* Elsewhere. */
K("jmp, jcc", IN_64, F_ZF, 0,
  "jmp 1f; ud2; 1: jz 2f; ud2; 2: jnz 3f; lea 3f(%rip), %rax; jmp *%rax; ud2; 3: nop")
K("loop, jrcxz", IN_64, 0, 0,
  "1: loop 1b; jrcxz 2f; ud2; 2: mov $2, %ecx; 3: add %rax, (%rdi); loopne 3b; jecxz 4f; ud2; 4: "
  "nop")
K("call, ret", IN_64, 0, 0,
  "call 1f; 1: lea 2f(%rip), %rax; mov %rax, (%rdi); call *(%rdi); 2: lea 3f(%rip), %rax; push "
  "%rax; ret; ud2; 3: lea 4f(%rip), %rax; "
  "push %rax; ret $16; ud2; 4: nop")
K("far calls", IN_64, 0, 0,
  "lea 1f(%rip), %rax; mov %eax, (%rdi); movw $8, 4(%rdi); lcall *(%rdi); 1: mov $8, %ecx; push "
  "%rcx; lea 2f(%rip), %rax; push %rax; lretq; "
  "ud2; 2: lea 3f(%rip), %rax; mov %eax, (%rdi); ljmp *(%rdi); ud2; 3: nop")
KF("far call to nothing", IN_64, 0, 0, 13, "movl $0, (%rdi); movw $0xf8, 4(%rdi); lcall *(%rdi)")
KF("far call to a data segment", IN_64, 0, 0, 13,
   "movl $0, (%rdi); movw $0x10, 4(%rdi); ljmp *(%rdi)")
KF("call gate", IN_64, 0, 0, 6, "movl $0, (%rdi); movw $0x88, 4(%rdi); lcall *(%rdi)")
KF("user call gate", IN_64_U, 0, 0, 6, "movl $0, (%rdi); movw $0x8b, 4(%rdi); lcall *(%rdi)")
K("iret", IN_64, 0, 0,
  "mov %rsp, %rax; mov %ss, %ecx; push %rcx; push %rax; pushfq; mov %cs, %ecx; push %rcx; lea "
  "1f(%rip), %rax; push %rax; iretq; ud2; 1: pushfq; pop %rax")
KF("iret sets TF", IN_64, 0, 0, 1,
   "mov %rsp, %rax; mov %ss, %ecx; push %rcx; push %rax; push $0x102; mov %cs, %ecx; push %rcx; "
   "lea 1f(%rip), %rax; push %rax; iretq; ud2; 1: nop; nop")
KF("iret clears TF", IN_64, F_TF, W_BREAK, 1, "nop; iretq")
K("iret sets RF", IN_64, 0, 0,
  "mov %rsp, %rax; mov %ss, %ecx; push %rcx; push %rax; push $0x10002; mov %cs, %ecx; push %rcx; "
  "lea 1f(%rip), %rax; push %rax; iretq; ud2; 1: nop; pushfq; pop %rax")
KF("iret sets IF", IN_64, 0, W_IRQ, 0x82,
   "mov %rsp, %rax; mov %ss, %ecx; push %rcx; push %rax; push $0x202; mov %cs, %ecx; push %rcx; "
   "lea 1f(%rip), %rax; push %rax; iretq; ud2; 1: nop")
KF("iret refused", IN_64, 0, 0, 13, "push $0; push $0; push $2; push $0xf8; push $0; iretq")
KF("iret with NT", IN_64, F_NT, 0, 13, "iretq")
KF("iret from nothing", IN_64_U, 0, 0, 14, "mov %r13, %rsp; iretq")
KF("iret to CPL 3", IN_64, 0, 0, 6,
   "push $0x23; push %rsp; push $2; push $0x1b; lea 1f(%rip), %rax; push %rax; iretq; ud2; 1: nop")
KF("iret to CPL 3 with TF", IN_64, 0, 0, 1,
   "push $0x23; push %rsp; push $0x102; push $0x1b; lea 1f(%rip), %rax; push %rax; iretq; ud2; 1: "
   "nop; nop")
K("32: iret", IN_32, 0, 0,
  "pushf; push %cs; call 1f; 1: add $0, (%esp); addl $2f - 1b, (%esp); iret; ud2; 2: pushf; pop "
  "%eax")
KF("lret to CPL 3", IN_64, 0, 0, 6,
   "push $0x23; push %rsp; push $0x1b; lea 1f(%rip), %rax; push %rax; lretq; ud2; 1: nop")
K("syscall", IN_64, F_CF, 0,
  "lea 1f(%rip), %rax; mov %rax, %rdx; shr $32, %rdx; mov $0xc0000082, %ecx; wrmsr; syscall; ud2; "
  "1: pushfq; pop %rax")
KF("user syscall", IN_64_U, F_CF, 0, 6, "syscall")
KF("user syscall with TF", IN_64_U, F_TF, 0, 1, "syscall")
KF("sysret", IN_64, 0, 0, 6, "lea 1f(%rip), %rcx; mov $0x46, %r11d; sysretq; ud2; 1: nop")
KF("sysret sets TF", IN_64, 0, W_QEMU, 1,
   "lea 1f(%rip), %rcx; mov $0x146, %r11d; sysretq; ud2; 1: nop; nop")
KF("sysenter", IN_64_U, F_CF, 0, 6, "sysenter")
KF("32u: sysenter", IN_32_U, F_CF, W_QEMU, 6, "sysenter")
KF("user sysenter with TF", IN_64_U, F_TF, 0, 1, "sysenter")
KF("sysexit", IN_64, 0, 0, 6, "lea 1f(%rip), %rdx; mov %rsp, %rcx; rex64 sysexit; ud2; 1: nop")
K("swapgs", IN_64, 0, 0, "swapgs; swapgs; mov %gs:0x40, %rax")
