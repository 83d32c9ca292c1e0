/* SPDX-License-Identifier: MIT */
/* GDT, TSS, IDT, and what happens when an exception hits the hypervisor itself. */
#include "cpu.h"
#include "device.h"
#include <facet/check.h>
#include "lib/console.h"
#include "processors.h"
#include "trap.h"

/* SDM 3, 6.14.1: a 64-bit gate. */
struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_mid;
    uint32_t offset_high, zero;
} __attribute__((packed));

_Static_assert(sizeof(struct gate) == 16, "SDM 3, figure 6-8");

#define VECTOR_NMI 2
#define VECTOR_DF  8
#define VECTOR_MC  18

static struct gate idt[256] __attribute__((aligned(16)));

static void set_gate(unsigned vector, unsigned ist)
{
    uint64_t at = (uint64_t)trap_stubs + vector * TRAP_STUB_SIZE;

    idt[vector] = (struct gate){
        .offset_low = (uint16_t)at,
        .offset_mid = (uint16_t)(at >> 16),
        .offset_high = (uint32_t)(at >> 32),
        .selector = SEL_CODE,
        .ist = (uint8_t)ist,
        .type = 0x8e, /* present, interrupt gate */
    };
}

static void set_tss_descriptor(struct cpu *c)
{
    uint64_t base = (uint64_t)&c->tss, limit = sizeof(c->tss) - 1;

    c->gdt[SEL_TSS / 8] =
        limit | (base & 0xffffff) << 16 | 0x89ULL << 40 | (base >> 24 & 0xff) << 56;
    c->gdt[SEL_TSS / 8 + 1] = base >> 32;
}

/* Without a stack of its own each is taken on the stack that is in use. */
static unsigned ist_of(unsigned vector)
{
    return vector == VECTOR_DF    ? CPU_IST_DF
           : vector == VECTOR_NMI ? CPU_IST_NMI
           : vector == VECTOR_MC  ? CPU_IST_MC
                                  : 0;
}

static void load(const struct cpu *c)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer;

    pointer.limit = sizeof(c->gdt) - 1;
    pointer.base = (uint64_t)c->gdt;
    __asm__ volatile("lgdt %0" : : "m"(pointer));
    pointer.limit = sizeof(idt) - 1;
    pointer.base = (uint64_t)idt;
    __asm__ volatile("lidt %0" : : "m"(pointer));
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

void desc_init(struct cpu *c)
{
    c->self = c;
    c->stack_guard = rdtsc() << 8; /* a zero byte first stops runaway strings */
    wrmsr(MSR_GS_BASE, (uint64_t)c);
    wrmsr(MSR_FS_BASE, (uint64_t)c);

    c->gdt[SEL_CODE / 8] = 0x00af9b000000ffffULL;
    c->gdt[SEL_DATA / 8] = 0x00cf93000000ffffULL;
    set_tss_descriptor(c);
    c->tss.iomap = sizeof(c->tss);
    for (unsigned v = 0; v < 256; v++) { /* the same on all processors that have their stacks */
        set_gate(v, c->stack ? ist_of(v) : 0);
    }
    load(c);
}

/* Where the C library's libfdt ends up when its stack guard was overwritten. */
_Noreturn void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
    fatal("stack overwritten");
}

uint64_t desc_tss_base(void)
{
    return (uint64_t)&this_cpu()->tss;
}

uint64_t desc_gdt_base(void)
{
    return (uint64_t)this_cpu()->gdt;
}

uint64_t desc_idt_base(void)
{
    return (uint64_t)idt;
}

static void dump(const struct trap_frame *f)
{
    say("rip %016lx  rsp %016lx  rflags %08lx  error %lx", f->rip, f->rsp, f->rflags, f->error);
    say("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
    say("rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx", f->rsi, f->rdi, f->rbp, f->r8);
    say("r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx", f->r9, f->r10, f->r11, f->r12);
    say("r13 %016lx  r14 %016lx  r15 %016lx", f->r13, f->r14, f->r15);
    say("cr0 %016lx  cr2 %016lx  cr3 %016lx  cr4 %016lx", read_cr0(), read_cr2(), read_cr3(),
        read_cr4());
}

void trap_handle(struct trap_frame *f)
{
    if (f->vector == APIC_TIMER_VECTOR) {
        this_cpu()->timer_fired = true;
        apic_eoi();
        return;
    }
    if (f->vector == APIC_KICK_VECTOR) {
        apic_eoi();
        return;
    }
    if (f->vector >= 32) {
        if (device_note((unsigned)f->vector)) {
            return;
        }
        /* The PIC and the APIC are masked but for these; anything else is a stray. */
        if (f->vector != APIC_SPURIOUS_VECTOR) {
            apic_eoi();
        }
        return;
    }
    if (f->vector == VECTOR_NMI) {
        cpu_nmi();
        return;
    }
    if (trap_fixup(f)) {
        return;
    }
    console_break_lock();
    if (f->vector == VECTOR_MC) {
        mce_fatal();
    }
    dump(f);
    fatal("exception %lu in the hypervisor", f->vector);
}
