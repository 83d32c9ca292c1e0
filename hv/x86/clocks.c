/* SPDX-License-Identifier: MIT */
#include "clocks.h"
#include <facet/check.h>
#include "acpi.h"
#include "acpi_reg.h"
#include "apic.h"
#include "cpu.h"
#include "lib/console.h"

#define WINDOW_US 20000ULL
#define WINDOW_NS (WINDOW_US * 1000)
#define TRIES     10u /* of it all, where no two agree: somebody may have held us up */
#define PERCENT   1u  /* what two that agree may be apart */
/* After so many ticks, or looks, a clock that has not gone on stands still. */
#define MOST_TICKS (1ULL << 33)
#define MOST_LOOKS (1u << 24)
#define LEAST_KHZ  100u

/* 1.193182 MHz; channel 2 is gated and read back through port 0x61. */
#define PIT_HZ        1193182ULL
#define PORT_PIT_2    0x42
#define PORT_PIT_MODE 0x43
#define PORT_GATE     0x61
#define PIT_OVER      0x20u

/* ACPI 6.4, 4.8.3.3 and table 5.9 */
#define PM_HZ           3579545ULL
#define PM_BITS         24u
#define FADT_PM_TIMER   76u
#define FADT_X_PM_TIMER 208u

/* IA-PC HPET 1.0a, 2.3 and 3.2.4; its registers are where the table says. */
#define HPET_TABLE_ADDRESS 44u
#define HPET_PERIOD        0x04u
#define HPET_CONFIG        0x10u
#define HPET_COUNTER       0xf0u
#define HPET_ON            1u
#define HPET_PERIOD_MOST   100000000u
#define FS_PER_NS          1000000ULL

/* In the order in which they are believed. */
enum { CRYSTAL, HPET, PM_TIMER, PIT, BASE, CLOCKS };
static const char *const names[CLOCKS] = {"CPUID", "the HPET", "the PM timer", "the PIT",
                                          "the processor's base frequency"};

/* One that is read. */
struct counter {
    struct acpi_reg at; /* address 0: there is none */
    uint64_t mask, hz;  /* hz: or 0, and fs of a tick */
    uint64_t fs;
    uint64_t start, start_tsc;
};

static bool there(const struct counter *c)
{
    return c->at.address != 0;
}

/* 0 stands for none. */
static uint64_t at_least_one(uint64_t khz)
{
    return khz + (khz == 0);
}

static uint64_t elapsed_ns(const struct counter *c, uint64_t count)
{
    uint64_t n = (count - c->start) & c->mask;

    return c->hz ? n * 1000000000 / c->hz : n * c->fs / FS_PER_NS;
}

/* What it counts and when that was, by the quickest of some looks. */
static uint64_t look(const struct counter *c, uint64_t *tsc)
{
    uint64_t least = UINT64_MAX, found = 0;

    for (unsigned i = 0; i < 3; i++) {
        uint64_t before = rdtsc(), count = acpi_reg_read(&c->at, 4), after = rdtsc();

        if (after - before < least) {
            least = after - before;
            *tsc = before + (after - before) / 2;
            found = count;
        }
    }
    return found;
}

/* 0: its time is not over, or was and is not: such a clock says nothing. */
static uint64_t counter_khz(const struct counter *c)
{
    uint64_t tsc, ns = elapsed_ns(c, acpi_reg_read(&c->at, 4));

    if (ns < WINDOW_NS) {
        return 0;
    }
    ns = elapsed_ns(c, look(c, &tsc));
    return ns < WINDOW_NS ? 0 : at_least_one((tsc - c->start_tsc) * 1000000 / ns);
}

/* ---- finding them ---- */

static struct counter find_pm_timer(void)
{
    uint32_t size;
    const uint8_t *fadt = acpi_find("FACP", &size);
    struct counter c = {.mask = (1u << PM_BITS) - 1, .hz = PM_HZ};

    if (fadt) {
        c.at = acpi_reg_find(fadt, size, FADT_PM_TIMER, FADT_X_PM_TIMER);
    }
    return c;
}

static struct acpi_reg hpet_register(uint64_t base, unsigned at)
{
    return (struct acpi_reg){ACPI_MEMORY, base + at};
}

/* It is left counting: who uses it sets it up anew. */
static struct counter find_hpet(void)
{
    uint32_t size, period, config;
    const uint8_t *t = acpi_find("HPET", &size);
    uint64_t base =
        t && size >= HPET_TABLE_ADDRESS + 8 ? acpi_number(t + HPET_TABLE_ADDRESS, 8) : 0;
    struct acpi_reg r = hpet_register(base, HPET_PERIOD);
    struct counter c = {.mask = UINT32_MAX};

    if (!base) {
        return c;
    }
    period = acpi_reg_read(&r, 4);
    if (period == 0 || period > HPET_PERIOD_MOST) {
        return c;
    }
    r = hpet_register(base, HPET_CONFIG);
    config = acpi_reg_read(&r, 4);
    if (!(config & HPET_ON)) {
        acpi_reg_write(&r, 4, config | HPET_ON);
    }
    c.at = hpet_register(base, HPET_COUNTER);
    c.fs = period;
    return c;
}

/* SDM 2, CPUID: 15h has the TSC's rate if it names the crystal's; else that is nearly the base
 * frequency, of 16h. */
static void ask_cpuid(uint64_t khz[CLOCKS])
{
    uint32_t most[4], r[4];

    khz[CRYSTAL] = khz[BASE] = 0;
    cpuid(0, 0, most);
    if (most[0] >= 0x15) {
        cpuid(0x15, 0, r);
        khz[CRYSTAL] = r[0] && r[1] && r[2] ? (uint64_t)r[2] * r[1] / r[0] / 1000 : 0;
    }
    if (most[0] >= 0x16) {
        cpuid(0x16, 0, r);
        khz[BASE] = (r[0] & 0xffff) * 1000ULL;
    }
}

/* ---- measuring ---- */

/* What is measured at once. */
struct window {
    struct counter c[CLOCKS];
    uint64_t khz[CLOCKS], start;
    uint64_t pit_ran; /* when it was last seen to; 0: it is not waited for */
    uint64_t pit_set; /* how long its start took */
};

/* There is none if its output does not go down. */
static void pit_start(struct window *w)
{
    uint64_t count = PIT_HZ * WINDOW_US / 1000000, before;

    outb(PORT_GATE, (inb(PORT_GATE) & ~2u) | 1u); /* gate on, speaker off */
    outb(PORT_PIT_MODE, 0xb0);                    /* channel 2, both bytes, mode 0 */
    outb(PORT_PIT_2, (uint8_t)count);
    before = rdtsc();
    outb(PORT_PIT_2, (uint8_t)(count >> 8));
    w->start = rdtsc();
    w->pit_set = w->start - before;
    w->pit_ran = inb(PORT_GATE) & PIT_OVER ? 0 : w->start;
}

/* Its end is only seen: if that was long after it was last seen to run, or its start took long,
 * somebody held us up, and it says nothing. */
static void poll_pit(struct window *w)
{
    uint64_t before = rdtsc();
    bool over = w->pit_ran && (inb(PORT_GATE) & PIT_OVER);
    uint64_t now = rdtsc(), unsure = now - w->pit_ran + w->pit_set, took = now - w->start;

    if (over) {
        w->khz[PIT] = unsure <= took * PERCENT / 100 ? at_least_one(took * 1000 / WINDOW_US) : 0;
    }
    w->pit_ran = w->pit_ran && !over ? before : 0;
}

/* Whose time is over says khz[], at least 1. How many are still awaited. */
static unsigned poll(struct window *w)
{
    unsigned waiting = 0;

    for (unsigned i = HPET; i <= PM_TIMER; i++) {
        const struct counter *c = &w->c[i];

        w->khz[i] = there(c) && !w->khz[i] ? counter_khz(c) : w->khz[i];
        waiting += there(c) && !w->khz[i];
    }
    poll_pit(w);
    return waiting + (w->pit_ran != 0);
}

/* One window for all. Those that take twice as long as the first say nothing. */
static void measure(struct window *w)
{
    uint64_t limit = MOST_TICKS;

    for (unsigned i = HPET; i <= PM_TIMER; i++) {
        struct counter *c = &w->c[i];

        c->start = there(c) ? look(c, &c->start_tsc) : 0;
    }
    w->khz[HPET] = w->khz[PM_TIMER] = w->khz[PIT] = 0;
    pit_start(w);
    for (unsigned i = 0; i < MOST_LOOKS && rdtsc() - w->start <= limit; i++) {
        if (poll(w) == 0) {
            return;
        }
        if (limit == MOST_TICKS && (w->khz[HPET] || w->khz[PM_TIMER] || w->khz[PIT])) {
            limit = 2 * (rdtsc() - w->start);
        }
    }
}

static bool agree(uint64_t a, uint64_t b)
{
    return a && b && (a > b ? a - b : b - a) <= b * PERCENT / 100;
}

static unsigned supporters(const uint64_t khz[CLOCKS], unsigned of)
{
    unsigned n = 0;

    for (unsigned i = 0; i < CLOCKS; i++) {
        n += i != of && agree(khz[i], khz[of]);
    }
    return n;
}

/* The first of those with which most agree; the only one; or CLOCKS. */
static unsigned choose(const uint64_t khz[CLOCKS])
{
    unsigned chosen = CLOCKS, most = 0, nr = 0, only = khz[BASE] ? BASE : CLOCKS;

    for (unsigned i = 0; i < BASE; i++) {
        unsigned n = supporters(khz, i);

        if (n > most) {
            most = n;
            chosen = i;
        }
        nr += khz[i] != 0;
        only = khz[i] ? i : only;
    }
    return most ? chosen : nr <= 1 ? only : CLOCKS;
}

/* Whoever is not of the others' opinion is named. */
static void tell(const uint64_t khz[CLOCKS], unsigned chosen)
{
    if (!supporters(khz, chosen)) {
        say("clock: %lu kHz by %s alone", (unsigned long)khz[chosen], names[chosen]);
    }
    for (unsigned i = 0; i < BASE; i++) {
        if (khz[i] && !agree(khz[i], khz[chosen])) {
            say("clock: %s says %lu kHz, but %s says %lu kHz: it is left out", names[i],
                (unsigned long)khz[i], names[chosen], (unsigned long)khz[chosen]);
        }
    }
}

static _Noreturn void refuse(const uint64_t khz[CLOCKS])
{
    bool any = false;

    for (unsigned i = 0; i < CLOCKS; i++) {
        if (khz[i]) {
            say("clock: %s says %lu kHz", names[i], (unsigned long)khz[i]);
            any = true;
        }
    }
    fatal(any ? "no clock of this machine can be trusted: no two of them agree"
              : "this machine has no clock: HPET, PM timer and PIT do not count, and CPUID tells "
                "no rate");
}

/* Where CPUID is alone nobody was waited for, and the APIC's timer was hardly looked at. False:
 * that time does not come. */
static bool whole_window(uint64_t start, uint64_t khz)
{
    for (unsigned i = 0; i < MOST_LOOKS; i++) {
        if (rdtsc() - start >= khz * (WINDOW_US / 1000)) {
            return true;
        }
    }
    return false;
}

uint64_t clocks_measure(void)
{
    struct window w = {.c = {[HPET] = find_hpet(), [PM_TIMER] = find_pm_timer()}};
    unsigned chosen = CLOCKS;
    uint64_t start = 0;

    ask_cpuid(w.khz);
    for (unsigned i = 0; i < TRIES && chosen == CLOCKS; i++) {
        apic_calibrate_start();
        start = rdtsc();
        measure(&w);
        chosen = choose(w.khz);
    }
    if (chosen == CLOCKS) {
        refuse(w.khz);
    }
    if (w.khz[chosen] < LEAST_KHZ || !whole_window(start, w.khz[chosen])) {
        fatal("the time stamp counter does not count");
    }
    apic_calibrate_end(w.khz[chosen], (rdtsc() - start) * 1000 / w.khz[chosen]);
    tell(w.khz, chosen);
    return w.khz[chosen];
}
