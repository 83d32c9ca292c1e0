/* SPDX-License-Identifier: MIT */
/* The local APIC, of which only the timer is used (SDM 3, chapter 10). x2APIC where there
 * is one. */
#include "cpu.h"
#include "lib/console.h"
#include "x86/apic.h"

#define REG_VERSION     0x03
#define REG_TPR         0x08
#define REG_EOI         0x0b
#define REG_SPURIOUS    0x0f
#define REG_ID          0x02
#define REG_IRR         0x20
#define REG_ICR         0x30
#define REG_ICR_HIGH    0x31
#define REG_LVT_TIMER   0x32
#define REG_LVT_THERMAL 0x33 /* then performance counters */
#define REG_LVT_LINT0   0x35
#define REG_LVT_LINT1   0x36
#define REG_LVT_ERROR   0x37
#define REG_TIMER_INIT  0x38
#define REG_TIMER_NOW   0x39
#define REG_TIMER_DIV   0x3e

#define LVT_MASKED       (1u << 16)
#define LVT_NMI          (4u << 8)
#define LVT_TSC_DEADLINE (2u << 17)
#define DIVIDE_BY_1      0xb
#define APIC_BASE_BSP    (1u << 8)
#define APIC_BASE_ENABLE (1u << 11)
#define APIC_BASE_X2APIC (1u << 10)
#define MMIO_BASE        0xfee00000ULL
#define X2APIC_MSR_BASE  0x800

/* Interrupt commands (10.6.1); all edge triggered, to one processor by its number. */
#define ICR_NMI     (4u << 8)
#define ICR_INIT    (5u << 8)
#define ICR_START   (6u << 8)
#define ICR_ASSERT  (1u << 14)
#define ICR_PENDING (1u << 12)

static bool x2apic, tsc_deadline;
static uint64_t apic_ticks_per_ms, tsc_ticks_per_ms;

static uint32_t apic_read(unsigned reg)
{
    return x2apic ? (uint32_t)rdmsr(X2APIC_MSR_BASE + reg)
                  : *(volatile uint32_t *)(MMIO_BASE + reg * 16);
}

static void apic_write(unsigned reg, uint32_t v)
{
    if (x2apic) {
        wrmsr(X2APIC_MSR_BASE + reg, v);
    } else {
        *(volatile uint32_t *)(MMIO_BASE + reg * 16) = v;
    }
}

static void mask_pic(void)
{
    /* ICW1 to ICW4: vectors 0x20 to 0x2f, then everything masked. */
    outb(0x20, 0x11);
    outb(0xa0, 0x11);
    outb(0x21, 0x20);
    outb(0xa1, 0x28);
    outb(0x21, 0x04);
    outb(0xa1, 0x02);
    outb(0x21, 0x01);
    outb(0xa1, 0x01);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
}

static void enable(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE);

    if (base & APIC_BASE_X2APIC) {
        return; /* by the firmware; leaving that mode is not allowed (10.12.5) */
    }
    wrmsr(MSR_APIC_BASE, MMIO_BASE | (base & APIC_BASE_BSP) | APIC_BASE_ENABLE);
    if (x2apic) {
        wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
    }
}

/* Performance counters: the fifth entry, thermal sensor: the sixth (10.4.8). */
static void mask_more(void)
{
    for (unsigned lvt = REG_LVT_THERMAL; lvt < REG_LVT_LINT0; lvt++) {
        if ((apic_read(REG_VERSION) >> 16 & 0xff) >= 4 + (REG_LVT_LINT0 - 1 - lvt)) {
            apic_write(lvt, LVT_MASKED);
        }
    }
}

static void set_up(void)
{
    enable();
    apic_write(REG_TPR, 0);
    apic_write(REG_SPURIOUS, 0x100 | APIC_SPURIOUS_VECTOR);
    for (unsigned lvt = REG_LVT_LINT0; lvt <= REG_LVT_ERROR; lvt++) {
        apic_write(lvt, LVT_MASKED);
    }
    mask_more();
    apic_write(REG_TIMER_DIV, DIVIDE_BY_1);
    apic_write(REG_LVT_TIMER, LVT_MASKED | APIC_TIMER_VECTOR);
}

void apic_init(void)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    x2apic = r[2] & (1u << 21);
    tsc_deadline = r[2] & (1u << 24);
    mask_pic();
    set_up();
    apic_write(REG_LVT_LINT1, LVT_NMI); /* the board's, to the first processor */
}

static void timer_on(void)
{
    apic_write(REG_LVT_TIMER, APIC_TIMER_VECTOR | (tsc_deadline ? LVT_TSC_DEADLINE : 0));
}

void apic_start(void)
{
    set_up();
    timer_on();
}

uint32_t apic_id(void)
{
    return x2apic ? apic_read(REG_ID) : apic_read(REG_ID) >> 24;
}

uint32_t apic_id_by_cpuid(void)
{
    uint32_t r[4];

    cpuid(0, 0, r);
    if (r[0] >= 0xb) {
        cpuid(0xb, 0, r);
        if (r[1]) {
            return r[3];
        }
    }
    cpuid(1, 0, r);
    return r[1] >> 24;
}

static void command(uint32_t to, uint32_t what)
{
    if (x2apic) {
        __asm__ volatile("mfence; lfence"
                         :
                         :
                         : "memory"); /* what it tells of is written (10.12.3) */
        wrmsr(X2APIC_MSR_BASE + REG_ICR, (uint64_t)to << 32 | what);
        return;
    }
    apic_write(REG_ICR_HIGH, to << 24);
    apic_write(REG_ICR, what);
    while (apic_read(REG_ICR) & ICR_PENDING) {
        __builtin_ia32_pause();
    }
}

void apic_send_init(uint32_t to)
{
    command(to, ICR_INIT | ICR_ASSERT);
}

void apic_send_start(uint32_t to, uint8_t page)
{
    command(to, ICR_START | ICR_ASSERT | page);
}

void apic_send(uint32_t to, uint8_t vector)
{
    command(to, ICR_ASSERT | vector);
}

void apic_send_nmi(uint32_t to)
{
    command(to, ICR_NMI | ICR_ASSERT);
}

void apic_interrupt_self(uint8_t vector)
{
    apic_send(apic_id(), vector);
    while (!(apic_read(REG_IRR + vector / 32) >> vector % 32 & 1)) {
        __builtin_ia32_pause();
    }
}

void apic_eoi(void)
{
    apic_write(REG_EOI, 0);
}

void apic_calibrate_start(void)
{
    apic_write(REG_TIMER_INIT, 0xffffffff);
}

void apic_calibrate_end(uint64_t tsc_per_ms, uint64_t elapsed_us)
{
    uint64_t ticks = 0xffffffff - apic_read(REG_TIMER_NOW);

    apic_write(REG_TIMER_INIT, 0);
    apic_ticks_per_ms = ticks * 1000 / elapsed_us;
    tsc_ticks_per_ms = tsc_per_ms;
    timer_on();
}

void apic_timer_set(uint64_t tsc)
{
    if (tsc_deadline) {
        wrmsr(MSR_TSC_DEADLINE, tsc ? tsc : 1);
        return;
    }
    uint64_t now = rdtsc(), left = tsc > now ? tsc - now : 0;
    uint64_t limit = tsc_ticks_per_ms * 1000; /* a longer wait is armed again when this one ends */
    uint64_t ticks = (left < limit ? left : limit) * apic_ticks_per_ms / tsc_ticks_per_ms;

    apic_write(REG_TIMER_INIT, ticks == 0 ? 1 : ticks > 0xffffffff ? 0xffffffff : (uint32_t)ticks);
}
