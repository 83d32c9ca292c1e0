/* SPDX-License-Identifier: MIT */
/* Kinds of instructions: those that exit, are privileged, or change what the processor is (SDM
 * volume 2; volume 3, 25.1). */
#include "kinds.h"

/* They exit and are carried out by the hypervisor. */
K("cpuid", IN_64, F_CF, W_TICKS, "mov $1, %eax; cpuid; mov $0x40000000, %eax; cpuid")
K("rdmsr, wrmsr", IN_64, 0, 0,
  "mov $0x1b, %ecx; rdmsr; mov $0xc0000080, %ecx; rdmsr; wrmsr; mov $0x174, %ecx; rdmsr; wrmsr")
KF("rdmsr refused", IN_64, F_CF, 0, 13, "mov $0x4711, %ecx; rdmsr")
KF("wrmsr refused", IN_64, 0, 0, 13, "mov $0xc0000080, %ecx; mov $2, %eax; xor %edx, %edx; wrmsr")
KF("wrmsr not canonical", IN_64, 0, 0, 13, "mov $0xc0000082, %ecx; mov $1 << 31, %edx; wrmsr")
K("in, out", IN_64, 0, 0,
  "inb $0x84, %al; inw $0x84, %ax; inl $0x84, %eax; outb %al, $0x84; outw %ax, $0x84; outl %eax, "
  "$0x84; mov $0x84, %dx; inb %dx, %al; outl %eax, %dx")
K("ins, outs", IN_64, 0, 0,
  "mov $0x84, %edx; insb; insw; insl; outsb; outsw; outsl; rep insb; mov $3, %ecx; rep outsw; mov "
  "$3, %ecx; addr32 rep insl")
KF("ins into nothing", IN_64, 0, 0, 14, "mov $0x84, %edx; mov %r13, %rdi; insl")
KF("outs from nothing", IN_64, 0, 0, 14, "mov $0x84, %edx; mov %r14, %rsi; mov $4, %ecx; rep outsw")
KF("outs not canonical", IN_64, 0, 0, 13, "mov $0x84, %edx; mov %r12, %rsi; outsb")
KF("user in", IN_64_U, 0, 0, 13, "inb $0x84, %al")
K("user in with IOPL", IN_64_U, F_IOPL, 0, "inb $0x84, %al; mov $0x84, %edx; insb; outsb")
K("16: ins, outs", IN_16, 0, 0, "mov $0x84, %dx; insb; outsw; rep insw")
K("hypercall", IN_64, 0, 0, "mov $17, %eax; xor %edi, %edi; xor %esi, %esi; vmcall")
K("user hypercall", IN_64_U, 0, 0, "mov $17, %eax; xor %edi, %edi; xor %esi, %esi; vmcall")
KF("vmfunc", IN_64, 0, 0, 6, "mov $77, %eax; .byte 0x0f, 0x01, 0xd4")
KF("vmxon", IN_64, 0, 0, 6, "vmxon (%rdi)")
KF("vmread", IN_64, 0, 0, 6, "vmread %rax, %rdx")
KF("vmlaunch", IN_64, 0, 0, 6, "vmlaunch")
KF("invept", IN_64, 0, 0, 6, "invept (%rdi), %rax")
KF("user vmxoff", IN_64_U, 0, 0, 6, "vmxoff")
KF("monitor", IN_64, 0, 0, 6, "mov %rdi, %rax; xor %ecx, %ecx; xor %edx, %edx; monitor")
KF("mwait", IN_64, 0, 0, 6, "xor %ecx, %ecx; mwait")
KF("rsm", IN_64, 0, 0, 6, "rsm")
KF("rdpmc", IN_64, 0, 0, 13, "mov $0x4711, %ecx; rdpmc")
K("rdtsc", IN_64, 0, W_TICKS, "rdtsc; rdtsc")
K("wbinvd, invd", IN_64, 0, 0, "wbinvd; invd; wbinvd")
K("invlpg", IN_64, 0, 0, "invlpg (%rdi); invlpg (%r12); invlpg (%r13)")
KF("user hlt", IN_64_U, 0, 0, 13, "hlt")
KF("user wbinvd", IN_64_U, 0, 0, 13, "wbinvd")
KF("user rdmsr", IN_64_U, 0, 0, 13, "rdmsr")
K("xgetbv", IN_64, 0, 0,
  "mov %cr4, %rax; bts $18, %rax; mov %rax, %cr4; xor %ecx, %ecx; xgetbv; xsetbv; mov %cr4, %rax; "
  "btr $18, %rax; mov %rax, %cr4")
KF("xsetbv refused", IN_64, 0, 0, 13,
   "mov %cr4, %rax; bts $18, %rax; mov %rax, %cr4; xor %ecx, %ecx; xor %eax, %eax; xor %edx, %edx; "
   "xsetbv")

/* Control and debug registers. */
K("mov cr", IN_64, 0, 0,
  "mov %cr0, %rax; mov %rax, %cr0; mov %cr2, %rdx; mov %cr3, %r8; mov %r8, %cr3; mov %cr4, %r9; "
  "mov %r9, %cr4; mov %cr8, %r10; mov %r10, %cr8")
K("mov cr with TS", IN_64, 0, W_CR0,
  "mov %cr0, %rax; clts; mov %cr0, %rdx; smsw %r8; or $8, %eax; lmsw %ax; mov %cr0, %r9; clts")
K("smsw to memory", IN_64, 0, 0, "smsw (%rdi); mov %cr2, %rax; mov %rax, %cr2")
K("lmsw from memory", IN_64, 0, 0, "smsw (%rdi); lmsw (%rdi)")
KF("mov cr0 refused", IN_64, 0, 0, 13, "mov %cr0, %rax; bts $29, %rax; mov %rax, %cr0")
KF("mov cr4 refused", IN_64, 0, 0, 13, "mov %cr4, %rax; bts $40, %rax; mov %rax, %cr4")
KF("mov cr3 refused", IN_64, 0, 0, 13, "mov %cr3, %rax; bts $62, %rax; mov %rax, %cr3")
KF("mov cr8 refused", IN_64, 0, 0, 13, "mov $16, %eax; mov %rax, %cr8")
KF("mov cr1", IN_64, 0, 0, 6, ".byte 0x0f, 0x20, 0xc8")
KF("user mov cr", IN_64_U, 0, 0, 13, "mov %cr0, %rax")
K("mov dr", IN_64, 0, 0,
  "mov %dr0, %rax; mov %rdi, %dr3; mov %dr3, %rdx; mov %dr6, %r8; mov %dr7, %r9; mov %r9, %dr7; "
  "mov $0xffff0ff0, %eax; mov %rax, %dr6; xor %eax, %eax; mov %rax, %dr3")

/* What DR6 says is the guest's own, whoever steps it; so is DR7.GD. */
K("mov dr6", IN_64, 0, W_BEFORE,
  "mov %dr6, %rdx; mov %rax, (%rdi); mov %dr6, %r8; mov $0xffff4ff1, %eax; mov %rax, %dr6; nop; "
  "mov %dr6, %r9; mov $0xffff0ff8, %eax; mov %rax, %dr6; mov %dr6, %r10; mov %dr6, %rbp")
K("mov dr6, stack pointer", IN_64, 0, W_BEFORE,
  "mov %rsp, %r8; mov %dr6, %rsp; mov %rsp, %r9; mov %r8, %rsp; mov $0xffff6ff2, %ebp; mov %rbp, "
  "%dr6; mov %rbp, (%rdi)")
K("mov dr4, dr5", IN_64, 0, W_BEFORE,
  ".byte 0x0f, 0x21, 0xe0; mov $0xffff4ff2, %edx; .byte 0x0f, 0x23, 0xe2; .byte 0x0f, 0x21, 0xea; "
  "mov %dr6, %r8")
K("mov dr6, prefixes", IN_64, 0, W_BEFORE,
  ".byte 0x66, 0x41, 0x0f, 0x21, 0xf0; .byte 0xf2, 0x48, 0x0f, 0x21, 0x32; mov $0xffff0ff4, %eax; "
  ".byte 0xf3, 0x41, 0x0f, 0x23, 0xf0; mov %dr6, %r9")
KF("mov dr14", IN_64, 0, W_BEFORE, 6, ".byte 0x44, 0x0f, 0x21, 0xf0")
KF("mov dr6 refused", IN_64, 0, W_BEFORE, 13, "mov %rax, %dr6")
K("32: mov dr6", IN_32, 0, W_BEFORE,
  "mov %dr6, %edx; mov $0x3007, %eax; mov %eax, %dr6; mov %dr6, %ebp; nop; mov %dr6, %ecx")
K("16: mov dr6", IN_16, 0, W_BEFORE,
  "mov %dr6, %edx; mov $0x3007, %eax; mov %eax, %dr6; nop; mov %dr6, %ecx")
K("mov ss, mov dr6", IN_64, 0, W_BEFORE,
  "mov %r9d, %ss; mov %dr6, %rdx; mov $0xffff4ff1, %eax; mov %r9d, %ss; mov %rax, %dr6; nop; mov "
  "%dr6, %rbp")
KF("mov ss, mov dr6 refused", IN_64, 0, W_BEFORE, 13, "mov %r9d, %ss; mov %rax, %dr6")
KF("trap behind mov from dr6", IN_64, F_TF, W_BEFORE, 1, "mov %dr6, %rax; nop")
KF("trap behind mov to dr6", IN_32, F_TF, W_BEFORE, 1, "mov %ecx, %dr6; nop")
KF("trap, causes of before", IN_64, F_TF, W_BEFORE, 1, "mov %rax, (%rdi); nop")
KF("watched write, causes of before", IN_64, 0, W_BEFORE | W_WATCH, 1, "mov %rax, (%rdi); nop")
KF("breakpoint, causes of before", IN_64, 0, W_BEFORE | W_BREAK, 1, "nop; mov %dr6, %rax")
KF("trap and watched, causes of before", IN_64, F_TF, W_BEFORE | W_WATCH, 1,
   "mov %rax, (%rdi); nop")
KF("icebp, causes of before", IN_64, 0, W_BEFORE, 1, "mov %rax, (%rdi); .byte 0xf1")
KF("int3, causes of before", IN_64, 0, W_BEFORE, 3, "mov %rax, (%rdi); int3")
K("flags, causes of before", IN_64, 0, W_BEFORE,
  "pushfq; popfq; mov %rsp, %rdx; push %r9; push %rdx; pushfq; push $8; lea 1f(%rip), %rdx; push "
  "%rdx; iretq; ud2; 1: mov %rax, (%rdi); mov %dr6, %r8")
KF("popf sets TF, causes of before", IN_64, 0, W_BEFORE, 1, "push $0x102; popfq; nop; nop")
KF("mov dr7 sets GD", IN_64, 0, W_BEFORE, 1,
   "mov $0x2400, %eax; mov %rax, %dr7; nop; mov %rax, (%rdi); mov %dr7, %rdx")
KF("GD is kept", IN_64, 0, W_DETECT | W_BEFORE, 1, "nop; mov %rax, (%rdi); mov %dr6, %rax")
KF("mov dr7 refused", IN_64, 0, 0, 13, "bts $40, %rax; mov %rax, %dr7")
KF("user mov dr", IN_64_U, 0, 0, 13, "mov %dr0, %rax")

/* Tables and segments. */
K("sgdt, sidt, sldt, str", IN_64, 0, 0,
  "sgdt (%rdi); sidt 16(%rdi); sldt 32(%rdi); str 34(%rdi); sldt %eax; str %rdx; lgdt (%rdi); lidt "
  "16(%rdi); lldt 32(%rdi)")
K("user sgdt", IN_64_U, 0, 0, "sgdt (%rdi); sidt 16(%rdi); sldt 32(%rdi); str 34(%rdi); smsw %eax")
KF("lgdt not canonical", IN_64, 0, W_TABLES, 13,
   "movw $0xff, (%rdi); mov %r12, 2(%rdi); lgdt (%rdi)")
KF("user lgdt", IN_64_U, 0, 0, 13, "lgdt (%rdi)")
K("lldt", IN_64, 0, 0, "mov $0x98, %eax; lldt %ax; sldt %dx; xor %eax, %eax; lldt %ax")
KF("lldt refused", IN_64, 0, 0, 13, "mov $0x10, %eax; lldt %ax")
KF("ltr refused", IN_64, 0, 0, 13, "str %ax; ltr %ax")
K("lar, lsl, verr, verw", IN_64, 0, 0,
  "mov $0x78, %eax; lar %ax, %rdx; lsl %ax, %r8; verr %ax; setz %r9b; verw %ax; setz %r10b; mov "
  "$0xf8, %eax; lar %eax, %r11d")
K("mov sreg", IN_64, 0, 0,
  "mov %ds, %eax; mov %es, (%rdi); mov $0x10, %eax; mov %eax, %ds; mov %ax, %es; mov (%rdi), %es; "
  "xor %eax, %eax; mov %eax, %fs")
KF("mov sreg refused", IN_64, 0, 0, 13, "mov $0xf8, %eax; mov %eax, %ds")
KF("mov sreg not present", IN_64, 0, 0, 11, "mov $0x80, %eax; mov %eax, %ds")
KF("mov to cs", IN_64, 0, 0, 6, ".byte 0x8e, 0xc8")
K("lfs, lgs", IN_64, 0, 0,
  "movl $0x40, (%rdi); movw $0x10, 4(%rdi); lfs (%rdi), %eax; lgs (%rdi), %edx")
K("32: sgdt", IN_32, 0, 0, "sgdt (%edi); sidt 8(%edi); smsw %eax; str %dx; lar %dx, %ecx")
K("stac, clac refused", IN_64, 0, 0, "nop; nop")
KF("getsec", IN_64, 0, 0, 6, "getsec")
KF("encls", IN_64, 0, 0, 6, ".byte 0x0f, 0x01, 0xcf")
KF("xabort outside", IN_64, 0, 0, 6, ".byte 0xc7, 0xf8, 0, 0, 0, 0")
KF("xsave without OSXSAVE", IN_64, 0, 0, 6, "xsave (%rdi)")
KF("xsave with TS", IN_64, 0, W_CR0, 7, "fxsave (%rdi)")

/* SVM, which no guest has, in each mode and at both ends of the privilege levels: #UD comes first.
 */
#define SVM(where, in)                                                                             \
    KF(where ": vmrun", in, 0, W_SVM, 6, "vmrun")                                                  \
    KF(where ": vmload", in, 0, W_SVM, 6, "vmload")                                                \
    KF(where ": vmsave", in, F_CF, W_SVM, 6, "vmsave")                                             \
    KF(where ": stgi", in, 0, W_SVM, 6, "stgi")                                                    \
    KF(where ": clgi", in, F_IF, W_SVM, 6, "clgi")                                                 \
    KF(where ": skinit", in, 0, W_SVM, 6, "skinit")                                                \
    KF(where ": invlpga", in, 0, W_SVM, 6, "invlpga")                                              \
    KF(where ": fs vmrun", in, 0, W_SVM, 6, "fs; vmrun")                                           \
    KF(where ": efer.svme", in, 0, W_SVM, 13,                                                      \
       "mov $0xc0000080, %ecx; mov $0x1d01, %eax; xor %edx, %edx; wrmsr")                          \
    KF(where ": vm_cr", in, 0, W_SVM, 13, "mov $0xc0010114, %ecx; rdmsr")                          \
    KF(where ": vm_cr written", in, 0, W_SVM, 13,                                                  \
       "mov $0xc0010114, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr")                             \
    KF(where ": vm_hsave_pa", in, 0, W_SVM, 13,                                                    \
       "mov $0xc0010117, %ecx; mov $0x1000, %eax; xor %edx, %edx; wrmsr")
SVM("64", IN_64)
SVM("64, user", IN_64_U)
SVM("32", IN_32)
SVM("32, user", IN_32_U)
SVM("16", IN_16)
SVM("16, user", IN_16_U)
