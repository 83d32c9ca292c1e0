/* SPDX-License-Identifier: MIT */
/* GDT, TSS, IDT, and what happens when an exception hits the hypervisor itself. */
#include "cpu.h"
#include <facet/check.h>
#include "lib/console.h"
#include "trap.h"

/* SDM 3, 6.14.1: a 64-bit gate. */
struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_mid;
    uint32_t offset_high, zero;
} __attribute__((packed));

/* SDM 3, 7.7: the 64-bit TSS. */
struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3, iomap;
} __attribute__((packed));
_Static_assert(sizeof(struct gate) == 16, "SDM 3, figure 6-8");
_Static_assert(sizeof(struct tss) == 104, "SDM 3, figure 7-11");

#define STACK_SIZE 8192
#define VECTOR_NMI 2
#define IST_FAULT  1
#define IST_NMI    2

static uint64_t gdt[5] __attribute__((aligned(16)));
static struct gate idt[256] __attribute__((aligned(16)));
static struct tss tss __attribute__((aligned(16)));
static uint8_t fault_stack[STACK_SIZE] __attribute__((aligned(16)));
static uint8_t nmi_stack[STACK_SIZE] __attribute__((aligned(16)));

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

static void set_tss_descriptor(void)
{
    uint64_t base = (uint64_t)&tss, limit = sizeof(tss) - 1;

    gdt[SEL_TSS / 8] = limit | (base & 0xffffff) << 16 | 0x89ULL << 40 | (base >> 24 & 0xff) << 56;
    gdt[SEL_TSS / 8 + 1] = base >> 32;
}

void desc_init(struct cpu *c)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer;

    c->self = c;
    c->stack_guard = rdtsc() << 8; /* a zero byte first stops runaway strings */
    wrmsr(MSR_GS_BASE, (uint64_t)c);
    wrmsr(MSR_FS_BASE, (uint64_t)c);

    gdt[SEL_CODE / 8] = 0x00af9b000000ffffULL;
    gdt[SEL_DATA / 8] = 0x00cf93000000ffffULL;
    set_tss_descriptor();
    tss.ist[IST_FAULT - 1] = (uint64_t)fault_stack + sizeof(fault_stack);
    tss.ist[IST_NMI - 1] = (uint64_t)nmi_stack + sizeof(nmi_stack);
    tss.iomap = sizeof(tss);
    for (unsigned v = 0; v < 256; v++) {
        set_gate(v, v == 2 ? IST_NMI : v == 8 || v == 18 ? IST_FAULT : 0);
    }

    pointer.limit = sizeof(gdt) - 1;
    pointer.base = (uint64_t)gdt;
    __asm__ volatile("lgdt %0" : : "m"(pointer));
    pointer.limit = sizeof(idt) - 1;
    pointer.base = (uint64_t)idt;
    __asm__ volatile("lidt %0" : : "m"(pointer));
    __asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

/* Where the C library's libfdt ends up when its stack guard was overwritten. */
_Noreturn void __stack_chk_fail(void);
void __stack_chk_fail(void)
{
    fatal("stack overwritten");
}

uint64_t desc_tss_base(void)
{
    return (uint64_t)&tss;
}

uint64_t desc_gdt_base(void)
{
    return (uint64_t)gdt;
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
    if (f->vector >= 32) {
        /* The PIC and the APIC are masked but for the timer; anything else is a stray. */
        if (f->vector != APIC_SPURIOUS_VECTOR) {
            apic_eoi();
        }
        return;
    }
    if (f->vector == VECTOR_NMI || trap_fixup(f)) {
        return; /* NMIs of watchdogs: also ignored while a guest runs */
    }
    console_break_lock();
    dump(f);
    fatal("exception %lu in the hypervisor", f->vector);
}
