/* SPDX-License-Identifier: MIT */
#include "cpu.h"
#include "smp.h"

extern uint8_t ap_entry[];
extern uint64_t pml4[512];

static uint8_t stacks[SMP_MAX - 1][16384] __attribute__((aligned(16)));

/* The worker answers by setting `done` to what it found in `asked`. */
static void (*volatile current)(void);
static volatile unsigned asked, done;

struct vcpu_hvm_context smp_context(unsigned vcpu, smp_main *run)
{
    struct vcpu_hvm_context c = {.mode = VCPU_HVM_MODE_64B};

    c.cpu_regs.x86_64.rip = (uint64_t)ap_entry;
    c.cpu_regs.x86_64.rsp = (uint64_t)stacks[vcpu - 1] + sizeof(stacks[0]);
    c.cpu_regs.x86_64.rdi = vcpu;
    c.cpu_regs.x86_64.rsi = (uint64_t)run;
    c.cpu_regs.x86_64.rflags = 2;
    c.cpu_regs.x86_64.cr0 = read_cr0();
    c.cpu_regs.x86_64.cr3 = (uint64_t)pml4;
    c.cpu_regs.x86_64.cr4 = read_cr4();
    c.cpu_regs.x86_64.efer = 0x500; /* LME and LMA */
    return c;
}

long smp_start(unsigned vcpu, smp_main *run)
{
    struct vcpu_hvm_context c = smp_context(vcpu, run);
    long rc = vcpu_op(VCPUOP_initialise, vcpu, &c);

    return rc ? rc : vcpu_op(VCPUOP_up, vcpu, NULL);
}

void smp_work(unsigned vcpu)
{
    (void)vcpu;
    for (;;) {
        while (done == asked) {
            sched_op(SCHEDOP_yield, NULL);
        }
        unsigned number = asked;
        current();
        done = number;
    }
}

void smp_begin(void (*task)(void))
{
    current = task;
    asked++;
}

void smp_wait(void)
{
    while (done != asked) {
        sched_op(SCHEDOP_yield, NULL);
    }
}

void smp_run(void (*task)(void))
{
    smp_begin(task);
    smp_wait();
}
