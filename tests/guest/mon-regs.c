/* SPDX-License-Identifier: MIT */
/*
 * A guest whose registers its monitor (mon-context.c) reads and sets. It puts known values into
 * them and waits in a loop; when it is let go, or when somebody moved its RIP out of the loop, it
 * reports what the registers hold then. It also tries the monitor's calls itself: it must not have
 * them.
 */
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/held.h"
#include "lib/page.h"
#include "lib/test.h"

uint8_t held_page[PAGE] __attribute__((aligned(4096)));
#define HELD ((struct held *)(void *)held_page)
_Static_assert(offsetof(struct held, mail.task) == 4 && offsetof(struct held, second_ran) == 104,
               "used below");

static uint8_t second_stack[4096] __attribute__((aligned(16)));
extern uint8_t hold_loop[], hold_end[], second_entry[];
void hold(const uint64_t *in, uint64_t *out);

/* Loads all general registers but RSP, waits for mail.task, stores them and RFLAGS. */
__asm__(".globl hold, hold_loop, hold_end, second_entry\n"
        "hold: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15; push %rsi\n"
        "    mov (%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx; mov "
        "32(%rdi), %rbp\n"
        "    mov 40(%rdi), %rsi; mov 56(%rdi), %r8; mov 64(%rdi), %r9; mov 72(%rdi), %r10; mov "
        "80(%rdi), %r11\n"
        "    mov 88(%rdi), %r12; mov 96(%rdi), %r13; mov 104(%rdi), %r14; mov 112(%rdi), %r15; mov "
        "48(%rdi), %rdi\n"
        "hold_loop: pause; cmpl $0, held_page+4(%rip); je hold_loop\n"
        "hold_end: pushfq; push %rax; mov 16(%rsp), %rax\n"
        "    mov %rcx, 8(%rax); mov %rdx, 16(%rax); mov %rbx, 24(%rax); mov %rbp, 32(%rax); mov "
        "%rsi, 40(%rax)\n"
        "    mov %rdi, 48(%rax); mov %r8, 56(%rax); mov %r9, 64(%rax); mov %r10, 72(%rax); mov "
        "%r11, 80(%rax)\n"
        "    mov %r12, 88(%rax); mov %r13, 96(%rax); mov %r14, 104(%rax); mov %r15, 112(%rax)\n"
        "    popq (%rax); popq 120(%rax); add $8, %rsp\n"
        "    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n"
        "second_entry: movq $1, held_page+104(%rip)\n"
        "1:  pause; jmp 1b\n");

static uint64_t msr(uint32_t index)
{
    uint64_t v = 0;

    need(try_rdmsr(index, &v) == VEC_NONE, "MSR %x cannot be read", index);
    return v;
}

static void put_known(void)
{
    uint64_t x = HELD_XMM, cr2 = HELD_CR2, dr0 = HELD_DR0;

    for (unsigned i = 0; i < HELD_GPRS; i++) {
        HELD->in[i] = HELD_GPR(i);
    }
    try_wrmsr(0xc0000081, HELD_STAR);
    try_wrmsr(0xc0000082, HELD_LSTAR);
    try_wrmsr(0xc0000084, HELD_FMASK);
    try_wrmsr(0xc0000102, HELD_SHADOW);
    __asm__ volatile("mov %0, %%cr2; mov %1, %%dr0" ::"r"(cr2), "r"(dr0));
    __asm__ volatile("movq %0, %%xmm3" ::"r"(x));
}

static void report(uint32_t round)
{
    uint64_t r, cr3;

#define REPORT(name, member)                                                                       \
    __asm__ volatile("mov %%" name ", %0" : "=r"(r));                                              \
    HELD->member = r
    REPORT("cr2", cr2);
    REPORT("dr0", dr[0]);
    REPORT("dr1", dr[1]);
    REPORT("dr2", dr[2]);
    REPORT("dr3", dr[3]);
#undef REPORT
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    HELD->cr3 = cr3;
    HELD->star = msr(0xc0000081);
    HELD->lstar = msr(0xc0000082);
    HELD->fmask = msr(0xc0000084);
    HELD->shadow_gs = msr(0xc0000102);
    __asm__ volatile("movq %%xmm3, %0" : "=r"(r));
    HELD->xmm[0] = r;
    HELD->done = round;
    HELD->mail.task = 0;
}

#define HIGH_GFN 0x107fff /* as where Linux puts what is not RAM: beyond 4 GiB */

static void setup(void)
{
    struct xen_add_to_physmap grant = {
        .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .idx = 0, .gpfn = HIGH_GFN};
    uint64_t cr4, cr3;

    event_init();
    __asm__ volatile("mov %%cr4, %0; or $0x600, %0; mov %0, %%cr4"
                     : "=&r"(cr4)); /* OSFXSR, OSXMMEXCPT */
    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    HELD->cr3 = cr3;
    expect(memory_op(XENMEM_add_to_physmap, &grant), 0);
    HELD->loop = (uint64_t)hold_loop;
    HELD->past_loop = (uint64_t)hold_end;
    HELD->second = (uint64_t)second_entry;
    HELD->second_stack = (uint64_t)second_stack + sizeof(second_stack);
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(held_page)), 0);
}

/* Each round is a look, or a change, by the monitor; the last is announced as TASK_END. */
static void rounds(void)
{
    put_known();
    for (uint32_t round = 1; HELD->mail.task != TASK_END; round++) {
        HELD->mail.ready = round;
        hold(HELD->in, HELD->out);
        if (HELD->mail.task != TASK_END) {
            report(round);
        }
    }
}

static void not_privileged(void)
{
    static const uint32_t commands[] = {
        XEN_DOMCTL_getvcpucontext, XEN_DOMCTL_setvcpucontext,        XEN_DOMCTL_getvcpuinfo,
        XEN_DOMCTL_gethvmcontext,  XEN_DOMCTL_gethvmcontext_partial, XEN_DOMCTL_sethvmcontext,
        XEN_DOMCTL_gettscinfo};
    static uint8_t buffer[8192];

    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
        xen_domctl_t op = {
            .u.hvmcontext_partial = {.type = HVM_SAVE_CODE(CPU), .bufsz = sizeof(buffer)}};

        set_xen_guest_handle(op.u.hvmcontext_partial.buffer, buffer);
        expect(domctl(commands[i], (domid_t)HELD->monitor, &op), -XEN_EPERM);
        expect(domctl(commands[i], DOMID_SELF, &op), -XEN_EPERM);
    }
}

TEST_CASES(CASE(setup), CASE(rounds), CASE(not_privileged))
