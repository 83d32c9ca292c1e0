/* SPDX-License-Identifier: MIT */
/*
 * What a guest can find out of its platform: CPUID, MSRs, control registers, instructions that
 * leave it, the hypercall page, what the hypervisor says of itself, event channels and the clock.
 * One line each, as in conform.c. Much of it is the processor's, so that it is compared with Xen on
 * the same machine.
 */
#include <string.h>
#include "lib/conform.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"

/* ---- CPUID ---- */

static void leaf(uint32_t number, uint32_t sub)
{
    char id[40], text[40];
    uint32_t r[4];

    cpuid(number, sub, r);
    if (number == 1) /* the APIC id is the vCPU's own affair */
        r[1] &= 0xffffff;
    format(id, sizeof(id), "cpuid.%x.%x", number, sub);
    format(text, sizeof(text), "CPUID %x, %x", number, sub);
    give("eax=%08x", r[0]);
    give("ebx=%08x", r[1]);
    give("ecx=%08x", r[2]);
    give("edx=%08x", r[3]);
    report(id, text, 0);
}

/* Leaves that say what time it is, or how much there is of it, are not compared as numbers. */
static void leaves(void)
{
    static const uint32_t firsts[] = {0, 0x80000000, 0x40000000};
    uint32_t r[4];

    for (unsigned i = 0; i < ARRAY_SIZE(firsts); i++) {
        cpuid(firsts[i], 0, r);
        for (uint32_t n = firsts[i]; n <= r[0] + 1 && n < firsts[i] + 0x24; n++) {
            bool subs = n == 4 || n == 7 || n == 0xb || n == 0xd || n == 0x8000001d;

            if (n == 0x40000003) /* the clock's frequency and offset */
                continue;
            for (uint32_t sub = 0; sub < (subs ? 4u : 1u); sub++)
                leaf(n, sub);
        }
    }
    leaf(0x3fffffff, 0);
    leaf(0x7fffffff, 0);
    leaf(0xc0000000, 0);
    leaf(0xffffffff, 0xffffffff);
}

/* ---- MSRs ---- */

static bool timing(uint32_t msr)
{
    return msr == 0x10 || msr == 0xe7 || msr == 0xe8 || msr == 0x1a0 || msr == 0x6e0 ||
           (msr >= 0x800 && msr < 0x900);
}

static void msr_line(uint32_t msr)
{
    char id[40], text[40];
    uint64_t v;

    if (try_rdmsr(msr, &v) != VEC_NONE)
        return;
    format(id, sizeof(id), "msr.%x", msr);
    format(text, sizeof(text), "RDMSR %x", msr);
    if (!timing(msr)) {
        give("value=%lx", v);
        give("rewritten=%d", try_wrmsr(msr, v));
    }
    report(id, text, 0);
}

/* Those that can be read at all; a line that is missing is one that cannot. */
static void msrs(void)
{
    static const struct {
        uint32_t first, count;
    } ranges[] = {{0, 0x1000},
                  {0x40000000, 0x200},
                  {0xc0000000, 0x1000},
                  {0xc0010000, 0x200},
                  {0xc0011000, 0x200}};

    for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
        for (uint32_t n = 0; n < ranges[i].count; n++)
            msr_line(ranges[i].first + n);
    }
}

/* What virtualization has for MSRs: reads and writes of each. */
static void vendor_msrs(void)
{
    static const uint32_t list[] = {0x3a,       0x480,      0x491,      0xc0010114, 0xc0010115,
                                    0xc0010116, 0xc0010117, 0xc0010118, 0xc001011b, 0xc0010130};

    for (unsigned i = 0; i < ARRAY_SIZE(list); i++) {
        char id[40];
        uint64_t v;

        format(id, sizeof(id), "vendor-msr.%x", list[i]);
        give("read=%d", try_rdmsr(list[i], &v));
        give("write-0=%d", try_wrmsr(list[i], 0));
        give("write-10=%d", try_wrmsr(list[i], 0x10));
        give("write-page=%d", try_wrmsr(list[i], 0x200000));
        report(id, "an MSR of virtualization", 0);
    }
}

/* ---- registers, a bit at a time ---- */

static void bits_of(const char *name, uint64_t old, int (*write)(uint64_t), uint64_t never)
{
    uint64_t taken = 0;
    char id[40];

    for (unsigned n = 0; n < 64; n++) {
        uint64_t bit = 1ULL << n;

        if (!(never & bit) && write(old ^ bit) == VEC_NONE) {
            taken |= bit;
            write(old);
        }
    }
    format(id, sizeof(id), "bits.%s", name);
    give("taken=%lx", taken);
    report(id, "bits that can be changed", 0);
}

static int write_efer(uint64_t v)
{
    return try_wrmsr(MSR_EFER, v);
}

static int write_xcr0(uint64_t v)
{
    return try_xsetbv(0, v);
}

static void bits(void)
{
    uint64_t efer, cr4 = read_cr4();

    try_rdmsr(MSR_EFER, &efer);
    bits_of("efer", efer, write_efer, 0);
    bits_of("cr0", read_cr0(), try_write_cr0, 1ULL << 31 | 1);
    bits_of("cr4", cr4, try_write_cr4, 1ULL << 5 | 1ULL << 20 | 1ULL << 21);
    bits_of("dr7", read_dr7(), try_write_dr7, 1ULL << 13);
    if (try_write_cr4(cr4 | CR4_OSXSAVE) == VEC_NONE) {
        bits_of("xcr0", 1, write_xcr0, 0);
        try_write_cr4(cr4);
    }
}

/* ---- instructions ---- */

static uint8_t *code;

static uint64_t run_code(uint64_t unused)
{
    uint64_t a = 0, c = 0, d = 0;

    (void)unused;
    fault_clear();
    __asm__ volatile("call *%[code]"
                     : "+a"(a), "+c"(c), "+d"(d)
                     : [code] "r"(code), "D"(code + 2048), "S"(code + 2048)
                     : "memory", "rbx", "r8", "r9", "r10", "r11");
    return 0;
}

static void instructions(void)
{
    static const struct {
        const char *name, *bytes;
        uint8_t n;
    } table[] = {
        {"vmrun", "\x0f\x01\xd8", 3},   {"vmload", "\x0f\x01\xda", 3},
        {"vmsave", "\x0f\x01\xdb", 3},  {"stgi", "\x0f\x01\xdc", 3},
        {"clgi", "\x0f\x01\xdd", 3},    {"skinit", "\x0f\x01\xde", 3},
        {"invlpga", "\x0f\x01\xdf", 3}, {"vmxon", "\xf3\x0f\xc7\x37", 4},
        {"vmxoff", "\x0f\x01\xc4", 3},  {"vmlaunch", "\x0f\x01\xc2", 3},
        {"vmread", "\x0f\x78\xc1", 3},  {"invept", "\x66\x0f\x38\x80\x07", 5},
        {"vmfunc", "\x0f\x01\xd4", 3},  {"monitor", "\x0f\x01\xc8", 3},
        {"mwait", "\x0f\x01\xc9", 3},   {"rsm", "\x0f\xaa", 2},
        {"rdpmc", "\x0f\x33", 2},       {"getsec", "\x0f\x37", 2},
        {"encls", "\x0f\x01\xcf", 3},   {"xgetbv", "\x0f\x01\xd0", 3},
        {"lmsw", "\x0f\x01\x37", 3},
    };

    code = page_alloc(1, 1);
    for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
        char id[40];
        int kernel;

        memset(code, 0, PAGE);
        memcpy(code, table[i].bytes, table[i].n);
        code[table[i].n] = 0xc3;
        code[2048] = 1;
        call_fixup_at(code);
        run_code(0);
        kernel = fault.vector;
        user_run(run_code, 0);
        call_fixup_at(NULL);
        format(id, sizeof(id), "instruction.%s", table[i].name);
        give("cpl-0=%d", kernel);
        give("cpl-3=%d", fault.vector);
        report(id, "its exception", 0);
    }
}

/* ---- the hypervisor ---- */

static void page_entries(void)
{
    static const unsigned entries[] = {0, 12, 17, 18, 23, 29, 32, 34, 48, 55, 127};

    for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
        const uint8_t *p = hypercall_page + entries[i] * 32;
        char id[40];

        for (unsigned n = 0; n < 10; n++)
            give("%02x", p[n]);
        format(id, sizeof(id), "page.%u", entries[i]);
        report(id, "an entry of the hypercall page", 0);
    }
}

static void says(void)
{
    xen_feature_info_t feature = {0};
    char text[1024] = {0};
    long rc;

    report("version.version", "xen_version", xen_version(XENVER_version, NULL));
    rc = xen_version(XENVER_capabilities, text);
    give("%s", text);
    report("version.capabilities", "xen_version", rc);
    report("version.pagesize", "xen_version", xen_version(XENVER_pagesize, NULL));
    for (feature.submap_idx = 0; feature.submap_idx < 2; feature.submap_idx++) {
        rc = xen_version(XENVER_get_features, &feature);
        give("submap=%x", feature.submap);
        report(feature.submap_idx ? "version.features.1" : "version.features.0", "xen_version", rc);
    }
    for (unsigned i = 0; i < 40; i++) {
        uint64_t v = 0;
        char id[40];

        rc = hvm_param_get(i, &v);
        if (rc == 0 && (i == HVM_PARAM_ALTP2M || i == HVM_PARAM_IDENT_PT || i == 19 || i == 32))
            give("value=%lx", v);
        format(id, sizeof(id), "param.%u", i);
        report(id, "HVMOP_get_param", rc);
    }
}

static void channels(void)
{
    long port, other;

    event_init();
    port = event_bind_ipi(0);
    report("event.ipi", "bind an IPI", port > 0 ? 1 : port);
    report("event.ipi-absent", "of a vCPU that there is not", event_bind_ipi(77));
    report("event.send", "send it", event_send((uint32_t)port));
    interrupts_on();
    for (unsigned i = 0; i < 1000000 && !port_count[port % 64]; i++)
        pause();
    (void)interrupts_off();
    report("event.taken", "how often it was taken", port_count[port % 64]);
    report("event.virq", "bind VIRQ_TIMER", event_bind_virq(VIRQ_TIMER, 0) > 0);
    report("event.virq-again", "and again", event_bind_virq(VIRQ_TIMER, 0));
    report("event.virq-absent", "a VIRQ that there is not", event_bind_virq(99, 0));
    report("event.virq-global", "VIRQ_CONSOLE", event_bind_virq(2, 0));
    other = event_alloc(DOMID_SELF);
    report("event.alloc", "a channel to itself", other > 0);
    report("event.alloc-absent", "to a domain that there is not", event_alloc(1234));
    report("event.bind-self", "bind it", event_bind(DOMID_SELF, (uint32_t)other) > 0);
    report("event.bind-0", "port 0", event_bind(DOMID_SELF, 0));
    report("event.close", "close the IPI", event_close((uint32_t)port));
    report("event.close-again", "and again", event_close((uint32_t)port));
    report("event.send-closed", "send it", event_send((uint32_t)port));
    report("event.send-wild", "a port that cannot be", event_send(1u << 30));
}

static void times(void)
{
    const volatile struct vcpu_time_info *t = &vcpu_info->time;
    uint64_t a = clock_now(), b;

    give("tsc-stable=%u", t->flags & 1);
    give("odd=%u", t->version & 1);
    report("clock.info", "the vCPU's time", 0);
    for (unsigned i = 0; i < 1000; i++) {
        b = clock_now();
        if (b < a)
            break;
        a = b;
    }
    report("clock.runs", "a thousand readings, none before the last", b >= a);
    report("clock.wall", "the wall clock is set", shared->wc_sec > 1000000000);
}

static void mode(void)
{
    uint64_t cr0 = read_cr0() & ~(uint64_t)CR0_TS;

    give("cr0=%lx", cr0);
    give("cr4=%lx", read_cr4());
    give("dr6=%lx", read_dr6());
    give("dr7=%lx", read_dr7());
    report("mode.registers", "as the guest left them", 0);
    give("eax=%x", entry_state.eax);
    give("eflags=%x", entry_state.eflags);
    give("cr0=%x", entry_state.cr0);
    give("cr4=%x", entry_state.cr4);
    give("efer=%x", entry_state.efer);
    report("mode.entry", "as it was entered", 0);
}

TEST_CASES(CASE(mode), CASE(leaves), CASE(page_entries), CASE(says), CASE(instructions), CASE(bits),
           CASE(vendor_msrs), CASE(msrs), CASE(channels), CASE(times))
