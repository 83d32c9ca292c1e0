/* SPDX-License-Identifier: MIT */
#include "machine_private.h"
#include <elf.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "core/physmap_private.h"
#include "guest/guest.h"
#include "lib/console.h"
#include "mm/frame.h"
#include "vendor.h"
#include "vmx/vmx.h"
#include "x86/apic.h"
#include "x86/clocks.h"
#include "x86/power.h"
#include "x86/processors.h"
#include "x86/timer.h"
#include "x86/trap.h"

#define GHZ 1000000ULL /* kHz: one tick is a nanosecond */

struct processor processor;
jmp_buf *machine_trap;
char machine_message[512];
const char *machine_doing;
void (*machine_act)(struct vcpu *v);
void (*machine_wrote)(void *at, size_t n);

static char console[4096];
static size_t console_length;

void machine_fail(const char *format, ...)
{
    va_list args;
    size_t n;

    va_start(args, format);
    vsnprintf(machine_message, sizeof(machine_message), format, args);
    va_end(args);
    n = strlen(machine_message);
    if (machine_doing) {
        n += (size_t)snprintf(machine_message + n, sizeof(machine_message) - n, " [in %s]",
                              machine_doing);
    }
    if (console_length > 0 && n < sizeof(machine_message)) {
        size_t tail = console_length < 200 ? console_length : 200;

        snprintf(machine_message + n, sizeof(machine_message) - n, " [console: %.*s]", (int)tail,
                 console + console_length - tail);
    }
    if (machine_trap) {
        longjmp(*machine_trap, 1);
    }
    fprintf(stderr, "FAILED: %s\n", machine_message);
    abort();
}

/* ---- the processor ---- */

bool rdmsr_safe(uint32_t msr, uint64_t *v)
{
    (void)msr;
    *v = 0;
    return true;
}

bool xsetbv_safe(uint64_t v)
{
    (void)v;
    return true;
}

void cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    (void)sub;
    memset(r, 0, 4 * sizeof(*r));
    if (leaf == 0x80000008) {
        r[0] = 0x3028; /* 40 bits of physical addresses, 48 linear */
    }
}

uint8_t inb(uint16_t port)
{
    return port == 0xe9 ? 0xe9 : 0xff;
}

void outb(uint16_t port, uint8_t v)
{
    if (port == 0xe9) {
        if (console_length == sizeof(console)) {
            memmove(console, console + sizeof(console) / 2, sizeof(console) / 2);
            console_length = sizeof(console) / 2;
        }
        console[console_length++] = (char)v;
    }
}

size_t machine_console(char *out, size_t size)
{
    size_t n = console_length < size ? console_length : size;

    memcpy(out, console, n);
    console_length = 0;
    return n;
}

void mce_fatal(void)
{
    abort();
}

void cpu_look_nmi(void)
{
}

bool nmi_clock;
struct cpu *processors_get(unsigned n)
{
    (void)n;
    abort();
}

void cpu_stop_others(void)
{
}

/* There is one processor: nobody to send these to. */
void apic_send(uint32_t to, uint8_t vector)
{
    (void)to, (void)vector;
    abort();
}

void apic_send_nmi(uint32_t to)
{
    (void)to;
    abort();
}

void apic_eoi(void)
{
}

void apic_timer_set(uint64_t tsc)
{
    processor.deadline = tsc;
}

uint64_t clocks_measure(void)
{
    processor.tsc += 20 * GHZ;
    return GHZ;
}

void power_off(void)
{
}

void power_reset(void)
{
}

uint64_t fpu_supported_xcr0(void)
{
    return 7;
}

size_t fpu_area_size(void)
{
    return 832;
}

void fpu_area_reset(void *area)
{
    memset(area, 0, 832);
}

void fpu_save(void *area)
{
    (void)area;
}

void fpu_load(const void *area)
{
    (void)area;
}

static const struct vmx_caps caps = {.ept_1g = true, .ept_exec_only = true, .invept_single = true};

/* What is left over of hv/vmx/ept.c. */
const struct vmx_caps *vmx_caps(void)
{
    return &caps;
}

uint16_t vmx_vpid(const struct vcpu *v)
{
    (void)v;
    return 0;
}

/* ---- nested translations: Intel SDM volume 3, 28.3 ---- */

#define TLB_SIZE 256u

static struct {
    uint64_t root, gfn;
    struct machine_entry e;
} tlb[TLB_SIZE];

struct machine_entry machine_walk(uint64_t root, uint64_t g)
{
    struct machine_entry r = {.rights = 7, .suppress_ve = true};
    uint64_t table = root;

    for (unsigned level = 4;; level--) {
        uint64_t e, address;

        EXPECT(table - MACHINE_FIRST < MACHINE_FRAMES, "gfn %lx: a table at frame %lx", g, table);
        EXPECT(frame_owner(mfn(table)) == FRAME_OWNER_HV,
               "gfn %lx: frame %lx of %x is walked as a table", g, table, frame_owner(mfn(table)));
        e = ((const uint64_t *)machine_frame(table))[g >> 9 * (level - 1) & 511];
        address = (e & 0x000ffffffffff000ULL) >> PAGE_SHIFT;
        r.suppress_ve = e >> 63;
        r.rights &= e & 7;
        if (!(e & 7)) {
            r.rights = 0;
            return r;
        }
        EXPECT((e & 3) != 2, "gfn %lx: entry %lx is misconfigured", g, e);
        if (level == 1 || (e & 0x80)) {
            r.present = r.rights != 0;
            r.mfn = address + (g & ((1ULL << 9 * (level - 1)) - 1));
            return r;
        }
        table = address;
    }
}

struct machine_entry machine_translate(uint64_t root, uint64_t g)
{
    unsigned slot = (unsigned)((root * 31 + g) * 0x9e3779b97f4a7c15ULL >> 40) % TLB_SIZE;

    if (tlb[slot].root != root || tlb[slot].gfn != g) {
        struct machine_entry e = machine_walk(root, g);

        if (!e.present) {
            return e;
        }
        tlb[slot].root = root;
        tlb[slot].gfn = g;
        tlb[slot].e = e;
    }
    return tlb[slot].e;
}

/* Of both instructions the first word tells: nothing, an EPT pointer, or a small number of linear
 * translations. */
bool machine_invalidate(const void *descriptor)
{
    uint64_t eptp;

    memcpy(&eptp, descriptor, sizeof(eptp));
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        if (eptp == 0 || tlb[i].root == eptp >> PAGE_SHIFT) {
            tlb[i].root = 0;
        }
    }
    return false;
}

void machine_settled(void)
{
    EXPECT(processor.cpu.lock_ranks == 0, "a lock is still held");
    for (unsigned i = 0; i < TLB_SIZE; i++) {
        struct machine_entry now, old = tlb[i].e;

        if (!tlb[i].root) {
            continue;
        }
        now = machine_walk(tlb[i].root, tlb[i].gfn);
        EXPECT(now.present && now.mfn == old.mfn && !(old.rights & ~now.rights) &&
                   now.suppress_ve == old.suppress_ve,
               "gfn %lx: a processor can still use frame %lx with %u, and is due %lx with %u",
               tlb[i].gfn, old.mfn, old.rights, now.mfn, now.rights);
    }
}

/* ---- entries ---- */

bool machine_enter(struct vcpu *v, void (*act)(struct vcpu *v))
{
    if (!v) {
        return false;
    }
    machine_act = act;
    whole_entered = false;
    machine_run(v);
    return whole_entered;
}

void machine_wait(uint64_t ns)
{
    processor.tsc += ns;
}

struct domain *machine_domain(unsigned id)
{
    struct domain *d = domain_get(id);

    if (d) {
        domain_put(d);
    }
    return d;
}

int machine_fault(struct vcpu *v)
{
    bool due = v->event.due;

    v->event.due = false;
    return due ? v->event.vector : -1;
}

/* ---- memory ---- */

uint8_t *machine_page(struct domain *d, uint64_t g)
{
    struct mapping m;

    return hostmap_lookup(&d->physmap, gfn(g), &m) && m.type == MAP_RAM ? machine_frame(m.mfn.v)
                                                                        : NULL;
}

void machine_poke(void *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    if (machine_wrote) {
        machine_wrote(to, n);
    }
}

void machine_poke_gpa(struct domain *d, uint64_t a, const void *from, size_t n)
{
    uint8_t *page = machine_page(d, a >> PAGE_SHIFT);

    EXPECT(page && (a & ~PAGE_MASK) + n <= PAGE_SIZE, "nothing at %lx", a);
    machine_poke(page + (a & ~PAGE_MASK), from, n);
}

/* ---- all state ---- */

extern uint8_t __start_hv_data[], __stop_hv_data[], __start_hv_bss[], __stop_hv_bss[];
static uint8_t frames[(MACHINE_FIRST + MACHINE_FRAMES) * 16];
static const struct region {
    uint8_t *at, *end;
} regions[] = {
    {__start_hv_data, __stop_hv_data},
    {__start_hv_bss, __stop_hv_bss},
    {(uint8_t *)&processor, (uint8_t *)(&processor + 1)},
    {(uint8_t *)tlb, (uint8_t *)(tlb + TLB_SIZE)},
    {frames + MACHINE_FIRST * 8, frames + sizeof(frames)},
    {(uint8_t *)MACHINE_BASE, (uint8_t *)MACHINE_BASE + MACHINE_FRAMES *PAGE_SIZE},
};
static uint8_t *kept[ARRAY_SIZE(regions)], *fresh[ARRAY_SIZE(regions)];

/* Sections of instrumented objects have red zones that memcpy() would stumble over. */
__attribute__((no_sanitize("address"), noinline)) static void
copy_words(uint8_t *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        *(volatile uint64_t *)(void *)(to + i) =
            *(const volatile uint64_t *)(const void *)(from + i);
    }
}

static void copy_region(uint8_t *to, const uint8_t *from, size_t n)
{
    if (n == MACHINE_FRAMES * PAGE_SIZE) { /* memory, which has none */
        memcpy(to, from, n);
    } else {
        copy_words(to, from, (n + 7) & ~7UL);
    }
}

static void save(uint8_t *to[])
{
    for (unsigned i = 0; i < ARRAY_SIZE(regions); i++) {
        size_t n = (size_t)(regions[i].end - regions[i].at);

        if (!to[i]) {
            to[i] = malloc(n + 8);
        }
        copy_region(to[i], regions[i].at, n);
    }
}

static void load(uint8_t *from[])
{
    for (unsigned i = 0; i < ARRAY_SIZE(regions); i++) {
        copy_region(regions[i].at, from[i], (size_t)(regions[i].end - regions[i].at));
    }
    console_length = 0;
}

void machine_keep(void)
{
    save(kept);
}

void machine_restore(void)
{
    load(kept);
}

void machine_start(const struct machine_options *o)
{
    void *memory = (void *)MACHINE_BASE;

    if (!fresh[0]) {
        EXPECT(mmap(memory, MACHINE_FRAMES * PAGE_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == memory,
               "no memory at %p", memory);
        save(fresh);
    }
    load(fresh);
    memset(memory, 0xa5, MACHINE_FRAMES * PAGE_SIZE);
    machine_wrote = NULL;
    processor.cpu.self = &processor.cpu;
    console_init();
    EXPECT(frame_table_size(MACHINE_BASE + MACHINE_FRAMES * PAGE_SIZE) <= sizeof(frames),
           "struct frame grew");
    frame_init(frames, MACHINE_BASE + MACHINE_FRAMES * PAGE_SIZE);
    frame_add_range(MACHINE_BASE, MACHINE_BASE + MACHINE_FRAMES * PAGE_SIZE);
    time_init();
    ept_init(&caps);
    vendor_choose();
    vendor_init();
    machine_create(o);
    console_length = 0;
}
