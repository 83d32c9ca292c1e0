/* SPDX-License-Identifier: MIT */
/* Machine checks (SDM 3, chapter 15) and the reasons of NMIs. */
#include "cpu.h"
#include "lib/console.h"
#include "smp.h"
#include "trap.h"

#define CPUID_MCE      (1u << 7)
#define CPUID_MCA      (1u << 14)
#define CAP_BANKS      0xffu
#define CAP_CTL        (1u << 8)
#define STATUS_VALID   (1ULL << 63)
#define STATUS_MISC    (1ULL << 59)
#define STATUS_ADDRESS (1ULL << 58)
#define BANKS_MOST     32u

/* Port 0x61: the board's errors, and the bits that silence them. */
#define PORT_ERRORS  0x61
#define ERROR_SERR   0x80
#define ERROR_IOCHK  0x40
#define SILENCE_SERR 0x04
#define SILENCE_IO   0x08
#define LINES_MOST   16u /* of NMIs: a line that is stuck must not fill the console */

static bool has(uint32_t bit)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    return r[3] & bit;
}

static unsigned banks(void)
{
    uint64_t cap;
    unsigned nr;

    if (!has(CPUID_MCA) || !rdmsr_safe(MSR_MCG_CAP, &cap)) {
        return 0;
    }
    nr = cap & CAP_BANKS;
    return nr < BANKS_MOST ? nr : BANKS_MOST;
}

static uint64_t bank_read(unsigned bank, unsigned which)
{
    uint64_t v = 0;

    rdmsr_safe(MSR_MC0_CTL + 4 * bank + which, &v);
    return v;
}

/* Says what is in a bank, and empties it. */
static void tell(unsigned bank)
{
    uint64_t status = bank_read(bank, 1);

    if (status & STATUS_VALID) {
        say("machine check on processor %u: bank %u, status %016lx, address %lx, misc %lx",
            this_cpu()->id, bank, status, status & STATUS_ADDRESS ? bank_read(bank, 2) : 0,
            status & STATUS_MISC ? bank_read(bank, 3) : 0);
        wrmsr_safe(MSR_MC0_CTL + 4 * bank + 1, 0);
    }
}

void mce_start(void)
{
    unsigned nr = banks();
    uint64_t cap;

    if (!has(CPUID_MCE)) {
        return;
    }
    for (unsigned i = 0; i < nr; i++) {
        tell(i);
        wrmsr_safe(MSR_MC0_CTL + 4 * i, ~0ULL);
    }
    if (nr && rdmsr_safe(MSR_MCG_CAP, &cap) && (cap & CAP_CTL)) {
        wrmsr_safe(MSR_MCG_CTL, ~0ULL);
    }
    write_cr4(read_cr4() | X86_CR4_MCE);
}

void mce_fatal(void)
{
    for (unsigned i = 0; i < banks(); i++) {
        tell(i);
    }
    fatal("machine check on processor %u", this_cpu()->id);
}

static bool stopped;

void cpu_stop_others(void)
{
    if (!smp_on || __atomic_exchange_n(&stopped, true, __ATOMIC_SEQ_CST)) {
        return;
    }
    for (unsigned i = 0; i < smp_nr; i++) {
        if (smp_cpus[i] != this_cpu()) {
            apic_send_nmi(smp_cpus[i]->apic_id);
        }
    }
}

static void stop_if_told(void)
{
    while (__atomic_load_n(&stopped, __ATOMIC_ACQUIRE)) {
        __asm__ volatile("cli; hlt");
    }
}

void cpu_nmi(void)
{
    stop_if_told();
    this_cpu()->nmi_came = true;
    this_cpu()->timer_fired |= nmi_clock;
}

void cpu_look_nmi(void)
{
    static unsigned lines;
    uint8_t port, reasons;

    stop_if_told();
    this_cpu()->nmi_came = false;
    if (__atomic_exchange_n(&this_cpu()->nmi_ours, false, __ATOMIC_ACQ_REL)) {
        return;
    }
    port = inb(PORT_ERRORS);
    reasons = port & (ERROR_SERR | ERROR_IOCHK);
    if (reasons) {
        port &= 0x0f;
        outb(PORT_ERRORS, port | (reasons & ERROR_SERR ? SILENCE_SERR : 0) |
                              (reasons & ERROR_IOCHK ? SILENCE_IO : 0));
        outb(PORT_ERRORS, port & (uint8_t) ~(SILENCE_SERR | SILENCE_IO));
    }
    if (lines < LINES_MOST && (reasons || !nmi_clock)) {
        lines++;
        say("NMI on processor %u: %s", this_cpu()->id,
            reasons & ERROR_SERR    ? "the board tells of an error in memory or on a bus: SERR"
            : reasons & ERROR_IOCHK ? "a device tells of an error: I/O check"
                                    : "the board gives no reason");
    }
}
