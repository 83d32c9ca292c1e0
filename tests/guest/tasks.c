/* SPDX-License-Identifier: MIT */
/*
 * Hardware task switches (SDM volume 3, chapter 7), which always exit: JMP, CALL and IRET between
 * tasks, events through task gates, an error code for the new task, a segment that does not fit it,
 * CR3, what the switch leaves in the TSSs and their descriptors, a switch out of VM86 that fails,
 * a task of 16 bits, and new tasks whose stack has no room or whose code begins beyond its segment.
 * Long mode has no tasks: the guest leaves it for 32-bit mode with paging,
 * and comes back.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/target.h"
#include "lib/test.h"

#define CODE64       0x08
#define CODE32       0x10
#define DATA32       0x18
#define TSS_MAIN     0x20
#define TSS_B        0x28
#define TSS_GP       0x30
#define TSS_BAD      0x38
#define TSS_TS       0x40
#define DATA_DPL3    0x48
#define TSS_VM86     0x50
#define TSS_NO_CS    0x58
#define TSS_16       0x60
#define ABSENT       0x68
#define SMALL_DATA   0x70
#define SMALL_CODE   0x78
#define TSS_AC       0x80
#define TSS_SMALL    0x88 /* for #AC */
#define TSS_SMALL_PF 0x90
#define TSS_FAR      0x98
#define GATE         0x50 /* vector of the task gate to B */
#define GATE_VM86    0x51 /* of the one to the task without a code segment, which VM86 may use */

/* Code and stacks that 16 bits reach. */
#define LOW_VM86  0x8000UL
#define LOW_16    0x8100UL
#define LOW_AC    0x8200UL
#define LOW_STACK 0x8f00UL

#define TYPE_FREE_16 1u
#define TYPE_FREE    9u
#define TYPE_BUSY    11u
#define NT           0x4000u

struct tss {
    uint32_t link, stacks[6], cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldtr, io_map;
};
_Static_assert(sizeof(struct tss) == 104, "SDM volume 3, figure 7-2");

struct tss16 {
    uint16_t link, stacks[6], ip, flags, ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, ldtr;
    uint16_t beyond[2];
};
_Static_assert(offsetof(struct tss16, beyond) == 44, "SDM volume 3, figure 7-10");

/* Shared with the assembly below. */
struct seen {
    uint32_t runs, eax, esp, tr, flags, cr0, cr3, type_main, type_b, link;
};
struct seen task_b_seen[4];
uint32_t task_b_runs, task_b_returns_by_iret;
uint32_t main_ebx, main_edi, main_tr, main_flags, main_cr3, main_type, b_type;
uint32_t gp_error, gp_eip, ts_runs, ts_error[5], ts_link[5], ts_resume;
uint32_t task16_runs, task16_ax[2], task16_sp[2], task16_tr[2];
/* Each has a page of its own, which a monitor may watch. */
#define TSS_PAGE(name) struct tss page_of_##name[40] __asm__(#name) __attribute__((aligned(4096)))
TSS_PAGE(tss_main);
TSS_PAGE(tss_b);
TSS_PAGE(tss_gp);
TSS_PAGE(tss_bad);
TSS_PAGE(tss_ts);
#define tss_main page_of_tss_main[0]
#define tss_b    page_of_tss_b[0]
#define tss_gp   page_of_tss_gp[0]
#define tss_bad  page_of_tss_bad[0]
#define tss_ts   page_of_tss_ts[0]
struct tss tss_vm86, tss_no_cs, tss_ac, tss_small, tss_small_pf, tss_far;
struct tss16 tss_16;
uint64_t task_gdt[20] __attribute__((aligned(16)));
uint64_t task_idt[0x52] __attribute__((aligned(16)));
uint32_t directory_main[1024] __attribute__((aligned(4096)));
uint32_t directory_b[1024] __attribute__((aligned(4096)));
uint8_t task_stack[4][1024] __attribute__((aligned(16)));
struct {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed)) task_gdtr, task_idtr;

void excursion(void);
void task_b(void);
void task_gp(void);
void task_ts(void);
extern const uint8_t task_16[], task_16_end[];

#define STR_(x) #x
#define STR(x)  STR_(x)

/* clang-format off */
/* In task_b, %ebx points at its entry of task_b_seen. */
__asm__(
    ".text\n"
    "excursion:\n"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; pushf; cli\n"
    "sgdt old_gdtr; sidt old_idtr; str old_tr; mov %cs, old_cs; mov %ss, old_ss\n"
    "mov %cr3, %rax; mov %rax, old_cr3; mov %cr4, %rax; mov %rax, old_cr4\n"
    "mov %rsp, old_rsp\n"
    "lgdt task_gdtr\n"
    "pushq $" STR(CODE32) "; pushq $1f; lretq\n"
    ".code32\n"
    "1: mov $" STR(DATA32) ", %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
    "mov %eax, %fs; mov %eax, %gs\n"
    "mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "mov $" STR(MSR_EFER) ", %ecx; rdmsr; and $~0x100, %eax; wrmsr\n"
    "mov %cr4, %eax; and $~0x20, %eax; or $0x10, %eax; mov %eax, %cr4\n"
    "mov $directory_main, %eax; mov %eax, %cr3\n"
    "mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
    "lidt task_idtr\n"
    "mov $task_stack + 1024, %esp\n"
    "mov $" STR(TSS_MAIN) ", %eax; ltr %ax\n"
    "call tasks\n"
    "mov %cr0, %eax; and $0x7fffffff, %eax; mov %eax, %cr0\n"
    "mov old_cr4, %eax; mov %eax, %cr4\n"
    "mov old_cr3, %eax; mov %eax, %cr3\n"
    "mov $" STR(MSR_EFER) ", %ecx; rdmsr; or $0x100, %eax; wrmsr\n"
    "mov %cr0, %eax; or $0x80000000, %eax; mov %eax, %cr0\n"
    "ljmp $" STR(CODE64) ", $1f\n"
    ".code64\n"
    "1: mov old_rsp, %rsp; lgdt old_gdtr; lidt old_idtr\n"
    "mov old_ss, %ss; mov old_ss, %ds; mov old_ss, %es; clts\n"
    "movzwl old_cs, %eax; push %rax; pushq $1f; lretq\n"
    "1: movzwl old_tr, %eax; mov old_gdtr + 2, %rcx; andb $~2, 5(%rcx, %rax); ltr old_tr\n"
    "popf; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n"

    ".code32\n"
    "tasks:\n"
    /* JMP there, and back. */
    "mov $0x11112222, %ebx; mov $0x33334444, %edi\n"
    "ljmp $" STR(TSS_B) ", $0\n"
    "mov %ebx, main_ebx; mov %edi, main_edi; str main_tr; pushf; pop main_flags\n"
    "mov %cr3, %eax; mov %eax, main_cr3\n"
    "movzbl task_gdt + " STR(TSS_MAIN) " + 5, %eax; mov %eax, main_type\n"
    "movzbl task_gdt + " STR(TSS_B) " + 5, %eax; mov %eax, b_type\n"
    /* CALL, IRET. */
    "movl $1, task_b_returns_by_iret\n"
    "lcall $" STR(TSS_B) ", $0\n"
    /* A software interrupt through a task gate. */
    "int $" STR(GATE) "\n"
    /* A fault with an error code. */
    "mov $0xfff8, %eax\n"
    "mov %eax, %fs\n"
    "after_gp:\n"
    /* Its stack segment does not fit the new task: #TS, which is that task's. */
    "ljmp $" STR(TSS_BAD) ", $0\n"
    /* The same out of VM86, of whose segments nothing can stay. */
    "ljmp $" STR(TSS_VM86) ", $0\n"
    /* A task of 16 bits, by CALL and by a fault with an error code. */
    "lcall $" STR(TSS_16) ", $0\n"
    "mov $" STR(ABSENT) ", %eax\n"
    "mov %eax, %fs\n"
    "after_np:\n"
    /* #AC in VM86, and a page fault, whose tasks have no room for the error code. */
    "mov %cr0, %eax; or $0x40000, %eax; mov %eax, %cr0\n"
    "ljmp $" STR(TSS_AC) ", $0\n"
    "mov %cr0, %eax; and $~0x40000, %eax; mov %eax, %cr0\n"
    "movl $after_pf, ts_resume\n"
    "movl $0, directory_main + 0xffc; mov %cr3, %eax; mov %eax, %cr3\n"
    "mov 0xfffffff0, %eax\n"
    "after_pf: movl $0, ts_resume\n"
    /* It begins behind the end of its code; #GP is task_ts()'s now. */
    "mov task_idt + 10 * 8, %eax; mov %eax, task_idt + 13 * 8\n"
    "mov task_idt + 10 * 8 + 4, %eax; mov %eax, task_idt + 13 * 8 + 4\n"
    "ljmp $" STR(TSS_FAR) ", $0\n"
    "ret\n"

    "task_b:\n"
    "mov task_b_runs, %ebx; imul $40, %ebx, %ebx; add $task_b_seen, %ebx\n"
    "incl task_b_runs; incl (%ebx)\n"
    "mov %eax, 4(%ebx); mov %esp, 8(%ebx); str 12(%ebx); pushf; pop 16(%ebx)\n"
    "mov %cr0, %eax; mov %eax, 20(%ebx); mov %cr3, %eax; mov %eax, 24(%ebx)\n"
    "movzbl task_gdt + " STR(TSS_MAIN) " + 5, %eax; mov %eax, 28(%ebx)\n"
    "movzbl task_gdt + " STR(TSS_B) " + 5, %eax; mov %eax, 32(%ebx)\n"
    "movzwl tss_b, %eax; mov %eax, 36(%ebx)\n"
    "mov $0xb, %eax; clts\n"
    "cmpl $0, task_b_returns_by_iret; jne 1f\n"
    "ljmp $" STR(TSS_MAIN) ", $0\n"
    "jmp task_b\n"
    "1: iret\n"
    "jmp task_b\n"

    "task_gp:\n"
    "pop gp_error; mov tss_main + 32, %eax; mov %eax, gp_eip\n"
    "movl $after_gp, tss_main + 32\n"
    "iret\n"

    "task_ts:\n"
    "mov ts_runs, %ebx; incl ts_runs\n"
    "popl ts_error(, %ebx, 4); movzwl tss_ts, %eax; mov %eax, ts_link(, %ebx, 4)\n"
    /* Of a page fault it is still busy, and at the instruction that raised it. */
    "andb $~2, task_gdt + " STR(TSS_MAIN) " + 5\n"
    "mov ts_resume, %eax; test %eax, %eax; jz 1f; mov %eax, tss_main + 32\n"
    "1:\n"
    "ljmp $" STR(TSS_MAIN) ", $0\n"
    "jmp task_ts\n"

    /* Runs as a copy below 64 KiB. */
    "task_16:\n"
    "mov task16_runs, %ecx; incl task16_runs; movzwl %ax, %eax; mov %eax, task16_ax(, %ecx, 4)\n"
    "movzwl %sp, %eax; mov %eax, task16_sp(, %ecx, 4); str %eax; mov %eax, task16_tr(, %ecx, 4)\n"
    "mov $0x1616, %eax; clts; jecxz 1f; movl $after_np, tss_main + 32\n"
    "1: iret\n"
    "jmp task_16\n"
    "task_16_end:\n"

    ".code64\n"
    ".bss\n"
    "old_gdtr: .skip 10\n old_idtr: .skip 10\n old_tr: .skip 2\n old_cs: .skip 2\n"
    "old_ss: .skip 2\n .balign 8\n old_cr3: .skip 8\n old_cr4: .skip 8\n old_rsp: .skip 8\n"
    ".text\n");
/* clang-format on */

static uint32_t address(const volatile void *p)
{
    return (uint32_t)(uint64_t)p;
}

static uint64_t tss_descriptor(const struct tss *t)
{
    return 0x0000890000000067ULL | (uint64_t)(address(t) & 0xffffff) << 16 |
           (uint64_t)(address(t) >> 24) << 56;
}

static void make_task(unsigned selector, struct tss *t, void (*entry)(void), unsigned stack)
{
    memset(t, 0, sizeof(*t));
    t->cr3 = address(directory_main);
    t->eip = address((void *)entry);
    t->eflags = 2;
    t->esp = address(task_stack[stack] + sizeof(task_stack[stack]));
    t->cs = CODE32;
    t->es = t->ss = t->ds = t->fs = t->gs = DATA32;
    t->io_map = 104U << 16;
    task_gdt[selector / 8] = tss_descriptor(t);
}

/* The VM86 task does no more than INT to the task whose code segment is none. */
static void make_vm86(void)
{
    static const uint8_t code[] = {0xcd, GATE_VM86, 0xf4}; /* int; hlt */

    memcpy((void *)LOW_VM86, code, sizeof(code));
    make_task(TSS_VM86, &tss_vm86, excursion, 0);
    tss_vm86.eip = 0;
    tss_vm86.eflags = 0x23002; /* VM, IOPL 3 */
    tss_vm86.esp = LOW_STACK - LOW_VM86;
    tss_vm86.cs = tss_vm86.es = tss_vm86.ss = tss_vm86.ds = tss_vm86.fs = tss_vm86.gs =
        LOW_VM86 >> 4;
    make_task(TSS_NO_CS, &tss_no_cs, task_b, 1);
    tss_no_cs.cs = DATA32;
}

static void make_16(void)
{
    memcpy((void *)LOW_16, task_16, (size_t)(task_16_end - task_16));
    tss_16 = (struct tss16){.ip = LOW_16,
                            .flags = 2,
                            .ax = 0x5a5a,
                            .sp = LOW_STACK,
                            .es = DATA32,
                            .cs = CODE32,
                            .ss = DATA32,
                            .ds = DATA32,
                            .stacks = {1, 2, 3, 4, 5, 6},
                            .beyond = {0xbeef, 0xbeef}};
    task_gdt[TSS_16 / 8] = 0x000081000000002bULL | (uint64_t)(address(&tss_16) & 0xffffff) << 16 |
                           (uint64_t)(address(&tss_16) >> 24) << 56;
}

/* Two tasks without room on their stack, one whose code is elsewhere, and one in VM86 that accesses
 * a word at an odd address. */
static void make_tight(void)
{
    static const uint8_t code[] = {0x66, 0x68, 2,    0x30, 4, 0,     /* pushl $0x43002 */
                                   0x66, 0x9d, 0xa1, 1,    0, 0xf4}; /* popfl; mov 1, %ax; hlt */

    task_gdt[SMALL_DATA / 8] = 0x00409300000000ffULL;
    task_gdt[SMALL_CODE / 8] = 0x00409b00000000ffULL;
    memcpy((void *)LOW_AC, code, sizeof(code));
    make_task(TSS_AC, &tss_ac, excursion, 0);
    tss_ac.eip = 0;
    tss_ac.eflags = 0x23002; /* it sets AC itself: Bochs 2.7 looks at it only then */
    tss_ac.esp = LOW_STACK - 0x100 - LOW_AC;
    tss_ac.cs = tss_ac.es = tss_ac.ss = tss_ac.ds = tss_ac.fs = tss_ac.gs = LOW_AC >> 4;
    make_task(TSS_SMALL, &tss_small, task_b, 1);
    make_task(TSS_SMALL_PF, &tss_small_pf, task_b, 1);
    tss_small.ss = tss_small_pf.ss = SMALL_DATA;
    tss_small.esp = tss_small_pf.esp = 2;
    make_task(TSS_FAR, &tss_far, task_b, 1);
    tss_far.cs = SMALL_CODE;
    tss_far.eip = 0x100;
}

static uint64_t task_gate(unsigned selector)
{
    return 0x0000850000000000ULL | selector << 16;
}

/* With watched=1 a monitor (tasks-watch.c) keeps the TSSs to itself, and opens each when it is
 * told of it. */
static struct mailbox *mail;

static void begin_watched(void)
{
    char watched[2];

    if (!cmdline_get("watched", watched, sizeof(watched)))
        return;
    event_init();
    mail = page_alloc(1, 1);
    mail->data[0] = gfn_of(&tss_main);
    mail->data[1] = gfn_of(&tss_b);
    mail->data[2] = gfn_of(&tss_gp);
    mail->data[3] = gfn_of(&tss_bad);
    mail->data[4] = gfn_of(&tss_ts);
    mail->data[5] = address((void *)task_b);
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
    target_begin(mail, 1);
}

static void end_watched(void)
{
    if (mail) {
        target_end(mail);
        target_finish(mail);
    }
}

static void setup(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(directory_main); i++)
        directory_main[i] = directory_b[i] = i << 22 | 0x87; /* 4 MiB each, VM86 too */
    task_gdt[CODE64 / 8] = 0x00209b0000000000ULL;
    task_gdt[CODE32 / 8] = 0x00cf9b000000ffffULL;
    task_gdt[DATA32 / 8] = 0x00cf93000000ffffULL;
    task_gdt[DATA_DPL3 / 8] = 0x00cff3000000ffffULL;
    make_task(TSS_MAIN, &tss_main, excursion, 0);
    make_task(TSS_B, &tss_b, task_b, 1);
    make_task(TSS_GP, &tss_gp, task_gp, 2);
    make_task(TSS_BAD, &tss_bad, task_b, 1);
    make_task(TSS_TS, &tss_ts, task_ts, 3);
    tss_b.eax = 0xb0b0b0b0;
    tss_b.cr3 = address(directory_b);
    tss_bad.ss = DATA_DPL3;
    make_vm86();
    make_16();
    make_tight();
    task_idt[VEC_AC] = task_gate(TSS_SMALL);
    task_idt[VEC_PF] = task_gate(TSS_SMALL_PF);
    task_idt[VEC_SS] = task_idt[VEC_DF] = task_gate(TSS_TS);
    task_gdt[ABSENT / 8] = 0x00cf13000000ffffULL;
    task_idt[VEC_NP] = task_gate(TSS_16);
    task_idt[GATE_VM86] = task_gate(TSS_NO_CS) | 0x600000000000ULL; /* DPL 3 */
    task_idt[VEC_GP] = task_gate(TSS_GP);
    task_idt[VEC_TS] = task_gate(TSS_TS);
    task_idt[GATE] = task_gate(TSS_B);
    task_gdtr.limit = sizeof(task_gdt) - 1;
    task_gdtr.base = (uint64_t)task_gdt;
    task_idtr.limit = sizeof(task_idt) - 1;
    task_idtr.base = (uint64_t)task_idt;
    uint64_t fs = 0, gs = 0;
    need(try_rdmsr(0xc0000100, &fs) == VEC_NONE && try_rdmsr(0xc0000101, &gs) == VEC_NONE,
         "no FS and GS base");
    begin_watched();
    excursion();
    end_watched();
    need(try_wrmsr(0xc0000100, fs) == VEC_NONE && try_wrmsr(0xc0000101, gs) == VEC_NONE,
         "no FS and GS base");
}

static void jump(void)
{
    const struct seen *s = &task_b_seen[0];

    expect(s->runs, 1);
    expect(s->eax, 0xb0b0b0b0);
    expect(s->esp, address(task_stack[2]));
    expect(s->tr, TSS_B);
    expect(s->flags & NT, 0);
    expect(s->cr0 & CR0_TS, CR0_TS);
    expect(s->cr3, address(directory_b));
    expect(s->type_main & 0xf, TYPE_FREE);
    expect(s->type_b & 0xf, TYPE_BUSY);
    expect(main_ebx, 0x11112222);
    expect(main_edi, 0x33334444);
    expect(main_tr, TSS_MAIN);
    expect(main_flags & NT, 0);
    expect(main_cr3, address(directory_main));
    expect(main_type & 0xf, TYPE_BUSY);
    expect(b_type & 0xf, TYPE_FREE);
}

static void call(void)
{
    const struct seen *s = &task_b_seen[1];

    expect(s->runs, 1);
    expect(s->eax, 0xb); /* as the task was left */
    expect(s->flags & NT, NT);
    expect(s->link, TSS_MAIN);
    expect(s->type_main & 0xf, TYPE_BUSY);
    expect(s->type_b & 0xf, TYPE_BUSY);
}

static void gate(void)
{
    const struct seen *s = &task_b_seen[2];

    expect(task_b_runs, 3);
    expect(s->runs, 1);
    expect(s->flags & NT, NT);
    expect(s->link, TSS_MAIN);
    expect(tss_b.eflags & NT, 0); /* IRET took it away */
}

static void error_code(void)
{
    expect(gp_error, 0xfff8);
    expect(*(uint8_t *)(uint64_t)gp_eip, 0x8e); /* the MOV to FS, to be tried again */
}

static void bad_segment(void)
{
    expect(ts_error[0], DATA_DPL3);
    expect(ts_link[0], TSS_BAD);
}

static void out_of_vm86(void)
{
    expect(ts_runs, 5);
    expect(ts_error[1], DATA32);
    expect(ts_link[1], TSS_NO_CS);
    expect(tss_no_cs.cs & 0xffff, DATA32);
    expect(tss_no_cs.eip, address((void *)task_b));
    expect(tss_no_cs.eflags & (NT | 1u << 17), NT);
    expect(tss_vm86.eip, 2);
    expect(tss_vm86.eflags & 0x23000, 0x23000);
}

static void sixteen_bits(void)
{
    uint32_t type = task_gdt[TSS_16 / 8] >> 40;

    expect(task16_runs, 2);
    expect(task16_ax[0], 0x5a5a);
    expect(task16_sp[0], LOW_STACK);
    expect(task16_tr[0], TSS_16);
    expect(task16_ax[1], 0x1616);        /* as the task was left */
    expect(task16_sp[1], LOW_STACK - 2); /* the error code is as wide as the task */
    expect(*(volatile uint16_t *)(LOW_STACK - 2), ABSENT);
    expect(tss_16.link, TSS_MAIN);
    expect(tss_16.flags & NT, 0);
    expect(tss_16.cs, CODE32);
    expect(tss_16.stacks[5], 6);
    expect(tss_16.beyond[0], 0xbeef);
    expect(tss_16.beyond[1], 0xbeef);
    expect(type & 0xf, TYPE_FREE_16);
}

static void no_room(void)
{
    expect(ts_link[2], TSS_SMALL); /* #SS with EXT, and its link tells whose it is */
    expect(ts_error[2], 1);
    expect(tss_small.esp, 2);
    expect(ts_link[3], TSS_SMALL_PF); /* a page fault and #SS are a double fault */
    expect(ts_error[3], 0);
}

static void beyond_the_code(void)
{
    expect(ts_link[4], TSS_FAR);
    expect(ts_error[4], 0);
    expect(tss_far.eip, 0x100);
}

TEST_CASES(CASE(setup), CASE(jump), CASE(call), CASE(gate), CASE(error_code), CASE(bad_segment),
           CASE(out_of_vm86), CASE(sixteen_bits), CASE(no_room), CASE(beyond_the_code))
