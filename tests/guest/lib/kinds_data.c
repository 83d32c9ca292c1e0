/* SPDX-License-Identifier: MIT */
/* Kinds of instructions: those that compute and move, to registers and memory (SDM volume 2). */
#include "kinds.h"

/* Arithmetic and logic: each operation, each form, each size. */
K("add r/m, r", IN_64, F_CF, 0,
  "add %al, (%rdi); add %ax, 8(%rdi); add %eax, 16(%rdi); add %rax, 24(%rdi)")
K("or r, r/m", IN_64, 0, 0, "or (%rsi), %al; or 8(%rsi), %ax; or 16(%rsi), %eax; or 24(%rsi), %rax")
K("adc imm", IN_64, F_CF, 0,
  "adcb $0x7f, (%rdi); adcw $0x1234, (%rdi); adcl $-3, (%rdi); adcq $0x12345678, (%rdi)")
K("sbb acc", IN_64, F_CF, 0,
  "sbb $5, %al; sbb $0x1234, %ax; sbb $0x12345678, %eax; sbb $0x12345678, %rax")
K("and, sub, xor", IN_64, 0, 0,
  "and %dl, (%rdi); sub %rdx, (%rdi); xor %rdx, (%rsi); and $-16, %rsi")
K("cmp, test", IN_64, 0, 0,
  "cmp %rax, (%rdi); setg %al; test %eax, (%rdi); sete %dl; testb $0x80, (%rdi); testq $-1, (%rsi)")
K("inc, dec, neg, not", IN_64, F_CF, 0,
  "incb (%rdi); decw (%rdi); negl (%rdi); notq (%rdi); inc %ah; dec %r8")
K("lock", IN_64, F_CF, 0,
  "lock addq %rax, (%rdi); lock incl (%rdi); lock xaddq %rdx, (%rdi); lock btsl $5, (%rdi); lock "
  "negb (%rsi); "
  "lock cmpxchgq %rdx, (%rdi); lock notq 8(%rdi); lock sbbq $3, (%rdi)")
KF("lock without memory", IN_64, 0, 0, 6, ".byte 0xf0, 0x01, 0xc0")
KF("lock mov", IN_64, 0, 0, 6, ".byte 0xf0, 0x89, 0x07")
K("shifts", IN_64, F_CF, 0,
  "rolb (%rdi); rorw $3, (%rdi); rcll %cl, (%rdi); rcrq $9, (%rdi); shlb %cl, (%rsi); shrq (%rsi); "
  "sarl $1, (%rsi); "
  "shld $4, %rax, (%rdi); shrd %cl, %edx, (%rdi); shl $0, %rax")
K("mul, imul", IN_64, 0, 0,
  "mulb (%rdi); mulw (%rsi); mull (%rdi); mulq (%rsi); imulq (%rdi); imul (%rsi), %r9; imul $-7, "
  "(%rdi), %r10; "
  "imulw $0x123, (%rdi), %r11w")
K("div, idiv", IN_64, 0, 0,
  "mov $0x55, %eax; xor %edx, %edx; movq $7, (%rdi); divl (%rdi); idivb (%rdi); cqto; idivq (%rdi)")
KF("div by zero", IN_64, 0, 0, 0, "movq $0, (%rdi); divq (%rdi)")
KF("idiv overflow", IN_64, 0, 0, 0,
   "mov $-1, %rcx; mov $1, %rdx; shl $63, %rdx; xor %eax, %eax; idiv %rcx")
K("bit tests", IN_64, 0, 0,
  "bt %rcx, (%rdi); bts %rcx, (%rdi); btr $7, (%rdi); btcw $3, (%rdi); mov $-65, %r8; bts %r8, "
  "(%rdi); mov $200, %edx; btc %edx, (%rdi)")
K("bit scans", IN_64, 0, 0,
  "bsf (%rdi), %r8; bsr %rax, %r9; rep bsf %rax, %r10; rep bsr %eax, %r11d; bswap %rax; bswap %edx")
K("setcc, cmovcc", IN_64, F_CF, 0,
  "setc (%rdi); setnc 1(%rdi); seto %ah; cmovc (%rdi), %rax; cmovnc (%rdi), %rdx; cmovs %eax, "
  "%r8d; cmovz (%rsi), %r9d")
K("extend", IN_64, 0, 0,
  "cbtw; cwtl; cltq; cwtd; cltd; cqto; movzbl (%rdi), %eax; movzwq (%rdi), %r8; movsbw (%rdi), "
  "%r9w; movswq (%rsi), %r10; "
  "movslq (%rdi), %r11; movzbl %ah, %edx")
K("lea", IN_64, 0, 0,
  "lea 5(%rax,%rcx,8), %r8; lea (%eax,%ecx,2), %r9; lea -1(%rbp), %r10w; lea 16(%rip), %r11")

/* Moves. */
K("mov", IN_64, 0, 0,
  "mov %al, (%rdi); mov %ax, 8(%rdi); mov %eax, 16(%rdi); mov %rax, 24(%rdi); movb $1, (%rdi); "
  "movw $2, 2(%rdi); movl $3, 4(%rdi); "
  "movq $-4, 8(%rdi); mov (%rdi), %r8; mov 2(%rdi), %dx; mov (%rdi), %ah; movabs "
  "$0x123456789abcdef0, %r9; mov $-1, %eax; mov $7, %bl")
K("mov in 67h", IN_64, 0, 0,
  "addr32 mov %rax, (%edi); addr32 mov 8(%esi), %rdx; addr32 mov %eax, 4(%edi,%ecx,4)")
K("mov with segments", IN_64, 0, 0,
  "mov %fs:0x40, %rax; mov %gs:0x40, %rdx; mov %rax, %fs:0x48; .byte 0x2e; mov %rdx, 8(%rdi); "
  ".byte 0x65, 0x3e; mov 0x10, %r8")
K("xchg, xadd, cmpxchg", IN_64, 0, 0,
  "xchg %al, (%rdi); xchg %rdx, (%rsi); xchg %rax, %r8; xchg %eax, %eax; xadd %ax, (%rdi); cmpxchg "
  "%edx, (%rdi); "
  "cmpxchg %r8, (%rsi); mov (%rdi), %rax; cmpxchg %r9, (%rdi)")
K("cmpxchg8b, 16b", IN_64, 0, W_QEMU,
  "cmpxchg8b (%rdi); lock cmpxchg8b (%rdi); and $-16, %rdi; cmpxchg16b (%rdi); lock cmpxchg16b "
  "(%rdi)")
KF("cmpxchg16b misaligned", IN_64, 0, 0, 13, "and $-16, %rdi; lock cmpxchg16b 8(%rdi)")
K("movbe, crc32", IN_64, 0, 0,
  "movbe (%rdi), %rax; movbe %edx, (%rdi); crc32b (%rsi), %r8; crc32q %rax, %r9; popcnt (%rdi), "
  "%r10")
K("xlat, lahf, sahf", IN_64, F_CF, 0, "xlatb; lahf; sahf; clc; cmc; stc; cld; std; cld")
K("across pages", IN_64, 0, 0,
  "add %rax, (%r15); mov (%r15), %rdx; xchg %r8, (%r15); movups (%r15), %xmm1; lock incq (%r15); "
  "pushq (%r15); popq 1(%r15)")
KF("into nothing", IN_64, 0, 0, 14, "mov %rax, (%r14)")
KF("from nothing", IN_64, 0, 0, 14, "add (%r13), %rax")
KF("read and write nothing", IN_64, 0, 0, 14, "lock incq (%r13)")
KF("not canonical", IN_64, 0, 0, 13, "mov %rax, (%r12)")
KF("stack not canonical", IN_64, 0, 0, 12, "mov %r12, %rbp; mov (%rbp), %rax")
KF("execute nothing", IN_64, 0, 0, 14, "jmp *%r13")
KF("execute not canonical", IN_64, 0, 0, 13, "jmp *%r12")
KF("call from nothing", IN_64, 0, 0, 14, "call *(%r13)")

/* The stack. */
K("push, pop", IN_64, 0, 0,
  "push %rax; push $-5; pushw $7; pushq (%rdi); push %fs; pushw %ax; popw (%rdi); pop %fs; popq "
  "8(%rdi); popw 16(%rdi); pop %r8; pop %rdx")
K("pop to its own stack", IN_64, 0, 0,
  "push %rax; push %rdx; popq (%rsp); pop %r8; push %rsp; pop %rsp; push %r9")
K("enter, leave", IN_64, 0, 0, "enter $32, $0; push %rax; leave; enter $8, $2; leave")
KF("push into nothing", IN_64, 0, 0, 8,
   "lea 8(%r13), %rsp; and $-4096, %rsp; add $0x1000, %rsp; push %rax")
KF("enter into nothing", IN_64_U, 0, 0, 14, "lea 64(%r13), %rsp; enter $16, $0")

/* Strings. */
K("stos, lods, movs", IN_64, 0, 0,
  "stosb; stosw; stosl; stosq; lodsb; lodsw; lodsl; lodsq; movsb; movsw; movsl; movsq")
K("cmps, scas", IN_64, 0, 0, "cmpsb; cmpsq; scasb; scasl; scasq")
K("rep", IN_64, 0, 0,
  "rep stosq; mov $5, %ecx; rep movsb; mov $4, %ecx; rep lodsw; xor %ecx, %ecx; rep stosb")
K("rep backwards", IN_64, F_DF, 0, "rep stosl; mov $5, %ecx; rep movsq; mov $2, %ecx; rep lodsb")
K("repe, repne", IN_64, 0, 0,
  "mov $8, %ecx; repe cmpsb; mov $8, %ecx; repne scasb; mov $3, %ecx; repe scasq; mov $3, %ecx; "
  "repne cmpsw")
K("rep in 67h", IN_64, 0, 0,
  "addr32 rep stosl; mov $4, %ecx; addr32 rep movsw; movabs $0x100000001, %rcx; addr32 rep stosb")
K("movs with a segment", IN_64, 0, 0,
  "mov $0x20, %esi; .byte 0x64; movsq; mov $2, %ecx; mov $0x30, %esi; .byte 0x65; rep movsl")
K("rep across pages", IN_64, 0, 0,
  "mov %r15, %rdi; mov $9, %ecx; rep stosb; mov %r15, %rsi; mov $3, %ecx; rep movsl")
KF("rep into nothing", IN_64, 0, 0, 14,
   "lea -16(%r13), %rdi; and $-4096, %rdi; sub $16, %rdi; mov $9, %ecx; rep stosl")
KF("rep movs from nothing", IN_64, 0, 0, 14,
   "mov %r13, %rsi; and $-4096, %rsi; sub $3, %rsi; mov $9, %ecx; rep movsb")
K("rep of many", IN_64, 0, 0, "mov $700, %ecx; and $-4096, %rdi; rep stosb")

/* Prefixes. */
K("many prefixes", IN_64, 0, 0,
  ".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66; mov %eax, (%rdi)")
KF("too many prefixes", IN_64, 0, 0, 13,
   ".byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, "
   "0x89, 0x07")
KF("nothing but prefixes", IN_64, 0, 0, 13, ".fill 20, 1, 0x66")
K("rex that does not count", IN_64, 0, 0,
  ".byte 0x48, 0x66, 0x89, 0x07; .byte 0x4c, 0x67, 0x89, 0x47, 0x10; .byte 0x48, 0x41, 0x89, 0xc0")
K("rep without meaning", IN_64, 0, 0,
  ".byte 0xf3, 0x48, 0x89, 0x07; .byte 0xf2, 0x01, 0x07; .byte 0x3e, 0x48, 0x01, 0x07")

/* x87, MMX, SSE, AVX where it is. */
K("x87", IN_64, 0, 0,
  "fninit; fld1; fldpi; fstpl (%rdi); fildq (%rsi); faddp; fistpl 8(%rdi); fnstcw 16(%rdi); fnstsw "
  "%ax; fnstsw 24(%rdi); fldcw 16(%rdi)")
K("x87 state", IN_64, 0, W_FIP,
  "fld1; fnstenv (%rdi); fldenv (%rdi); fnsave 64(%rdi); frstor 64(%rdi); and $-16, %rdi; fxsave "
  "256(%rdi); fxrstor 256(%rdi)")
KF("x87 with TS", IN_64, 0, W_CR0, 7, "fld1")
K("mmx", IN_64, 0, 0, "movq (%rdi), %mm0; paddb (%rsi), %mm0; movq %mm0, (%rdi); emms")
K("sse", IN_64, 0, 0,
  "and $-16, %rdi; movaps (%rdi), %xmm0; paddq 16(%rdi), %xmm0; movaps %xmm0, 32(%rdi); movups "
  "%xmm0, 49(%rdi); movsd (%rdi), %xmm2; "
  "movd %eax, %xmm3; movq %xmm3, (%rdi); movnti %rax, 8(%rdi); stmxcsr 16(%rdi); ldmxcsr 16(%rdi); "
  "pshufd $0x1b, (%rdi), %xmm4; ucomisd (%rdi), %xmm2")
KF("sse misaligned", IN_64, 0, 0, 13, "and $-16, %rdi; movaps 8(%rdi), %xmm0")
K("maskmovdqu", IN_64, 0, 0, "movq %rax, %xmm1; maskmovdqu %xmm1, %xmm1")
K("prefetch, fences, flushes", IN_64, 0, 0,
  "prefetcht0 (%rdi); prefetchw (%rdi); prefetcht0 (%r13); lfence; sfence; mfence; clflush (%rdi); "
  "pause; nop; nopl (%r13)")

/* CPL 3, where the page tables and AC count. */
K("user moves", IN_64_U, 0, 0,
  "mov %rax, (%rdi); add %rax, (%rsi); push %rax; pop %rdx; rep stosb; lock incq (%rdi); call 1f; "
  "1: pop %rax")
KF("user misaligned", IN_64_U, F_AC, W_AM, 17, "mov %rax, (%r15)")
KF("user misaligned push", IN_64_U, F_AC, W_AM, 17, "lea -1(%rsp), %rsp; push %rax")
KF("user into nothing", IN_64_U, 0, 0, 14, "mov %rax, (%r13)")
KF("user into nothing, partly", IN_64_U, 0, 0, 14, "mov %rax, (%r14)")

/* 32-bit code. */
K("32: alu", IN_32, F_CF, 0,
  "add %eax, (%edi); adcw $5, 4(%edi); incl (%edi); inc %eax; dec %edx; lock xadd %eax, (%esi); "
  ".byte 0x82, 0x07, 0x11; imul (%edi), %eax")
K("32: bcd", IN_32, F_CF, 0,
  "mov $0x39, %al; add $0x28, %al; daa; sub $0x19, %al; das; mov $0x0109, %ax; aaa; aas; aam; aad; "
  "aam $7")
KF("32: aam 0", IN_32, 0, 0, 0, "aam $0")
K("32: stack", IN_32, 0, 0,
  "pusha; popa; push %eax; pushw %ax; popw %dx; pop %edx; push %es; pop %es; push %ds; pop %ds; "
  "pushl (%edi); popl 4(%edi); enter $16, $1; leave; "
  "push %esp; pop %ebx; push %cs; pop %eax")
K("32: strings", IN_32, 0, 0,
  "rep stosl; mov $4, %ecx; rep movsb; lodsl; scasb; cmpsw; mov $2, %ecx; addr16 rep lodsb")
K("32: 16-bit addresses", IN_32, 0, 0,
  "mov $0x58, %ax; mov %ax, %ds; mov $0x40, %ebx; mov $0x20, %esi; addr16 mov (%bx,%si), %eax; "
  "addr16 mov %eax, 0x10(%bp,%si); addr16 mov %eax, 8(%bx)")
KF("32: beyond a limit", IN_32, 0, 0, 13,
   "mov $0x78, %ax; mov %ax, %es; mov %eax, %es:0x1fc; mov %eax, %es:0x1fd")
KF("32: null segment", IN_32, 0, 0, 13, "xor %eax, %eax; mov %ax, %es; mov %eax, %es:(%edi)")
KF("32: not writable", IN_32, 0, 0, 13,
   "mov $0xa8, %ax; mov %ax, %es; mov %es:(%edi), %edx; mov %edx, %es:(%edi)")
KF("32: bound", IN_32, 0, 0, 5,
   "movl $10, (%edi); movl $20, 4(%edi); mov $15, %edx; bound %edx, (%edi); mov $21, %edx; bound "
   "%edx, (%edi)")
K("32: arpl, les, lds", IN_32, 0, 0,
  "mov $0x10, %ax; mov $3, %dx; arpl %dx, %ax; movl $0x40, (%edi); movw $0x10, 4(%edi); les "
  "(%edi), %edx; lds (%edi), %edx; .byte 0xd6")
K("32u: moves", IN_32_U, 0, 0,
  "mov %eax, (%edi); push %eax; pop %edx; rep movsb; pushf; pop %eax; lock incl (%edi)")

/* 16-bit code. */
K("16: alu", IN_16, F_CF, 0,
  "add %ax, (%di); adcl $5, 4(%di); incw (%bx); lock xadd %ax, (%si); movl %eax, %es:8(%bx,%di); "
  "addr32 mov (%ebx,%ecx,2), %ax")
K("16: stack", IN_16, 0, 0,
  "pusha; popa; push %ax; pushl %eax; popl %edx; pop %dx; push %es; pop %es; pushw (%di); popw "
  "4(%di); enter $16, $1; leave; push %sp; pop %bx")
K("16: strings", IN_16, 0, 0,
  "rep stosw; mov $4, %cx; rep movsb; lodsl; scasb; cmpsw; mov $2, %ecx; addr32 rep lodsb")
K("16: wraps", IN_16, 0, 0, "mov $0xffff, %bx; mov 0x11(%bx), %al; mov $2, %sp; push %ax; pop %dx")
KF("16: limit", IN_16, 0, 0, 13, "mov $0xffff, %bx; mov (%bx), %ax")
K("16u: moves", IN_16_U, 0, 0,
  "mov %ax, (%di); push %ax; pop %dx; rep movsb; pushf; pop %ax; lock incw (%di)")
