/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <stdarg.h>
#include <string.h>

#include "hv/svm/needs.h"
#include "hv/vmx/needs.h"
#include "hv/x86/look.h"

#define LEAST_KIB      (16u << 10) /* hv/boot/boot.c asks for as much */
#define SENSIBLE_KIB   (256u << 10)
#define CPUID_DEADLINE (1u << 24)
#define CPUID_HYPER    (1u << 31)
#define INVARIANT_TSC  (1u << 8) /* 8000_0007.EDX */

static void cpuid_of(void *ctx, uint32_t leaf, uint32_t sub, uint32_t r[4])
{
    const struct facts *f = ctx;

    memset(r, 0, 4 * sizeof(*r));
    for (unsigned int i = 0; i < f->nr_leaves; i++)
        if (f->leaves[i].leaf == leaf && f->leaves[i].sub == sub)
            memcpy(r, f->leaves[i].r, 4 * sizeof(*r));
}

static bool rdmsr_of(void *ctx, uint32_t msr, uint64_t *value)
{
    const struct facts *f = ctx;

    for (unsigned int i = 0; i < f->nr_msrs; i++) {
        if (f->msrs[i].number == msr && f->msrs[i].there) {
            *value = f->msrs[i].value;
            return true;
        }
    }
    return false;
}

static struct look look_at(const struct facts *f)
{
    return (struct look){(void *)(uintptr_t)f, cpuid_of, rdmsr_of};
}

__attribute__((format(printf, 5, 6))) static void
add(struct report *r, const char *name, enum verdict v, bool needed, const char *format, ...)
{
    struct item *i = &r->items[r->nr];
    va_list list;

    if (r->nr == CHECK_ITEMS)
        return;
    *i = (struct item){.name = name, .verdict = v, .needed = needed};
    va_start(list, format);
    vsnprintf(i->text, sizeof(i->text), format, list);
    va_end(list);
    r->nr++;
}

static enum verdict yes(bool it_is)
{
    return it_is ? VERDICT_YES : VERDICT_NO;
}

static void why(struct report *r, const struct lack *lack)
{
    if (lack->bits)
        snprintf(r->why, sizeof(r->why), "%s %08x", lack->text, lack->bits);
    else
        snprintf(r->why, sizeof(r->why), "%s", lack->text);
}

/* The processor's name for itself, or its maker's. */
static void name(const struct look *l, struct report *r)
{
    uint32_t words[12], id[4];

    for (uint32_t i = 0; i < 3; i++)
        l->cpuid(l->ctx, 0x80000002 + i, 0, words + 4 * i);
    l->cpuid(l->ctx, 0, 0, id);
    if (!words[0])
        memcpy(words, (uint32_t[]){id[1], id[3], id[2], 0}, 16);
    snprintf(r->processor, sizeof(r->processor), "%.48s", (const char *)words);
}

/* ---- the vendors ---- */

static void without_msrs(struct report *r, const char *what)
{
    add(r, what, VERDICT_UNKNOWN, true, "root, and the module msr, can tell (modprobe msr)");
    r->verdict = VERDICT_UNKNOWN;
    snprintf(r->why, sizeof(r->why), "%s cannot be looked at without root", what);
}

static void intel(const struct look *l, const struct facts *f, struct report *r)
{
    const char *sure = f->msrs_by_flags ? " (by /proc/cpuinfo: root can tell all)" : "";
    struct lack lack = {0};
    struct vmx_caps c;
    bool ok;

    if (!f->has_msrs && !f->msrs_by_flags) {
        without_msrs(r, "EPT");
        return;
    }
    ok = vmx_needs(l, &c, &lack);
    add(r, "VMX and EPT", yes(ok), true, "%s%s", ok ? "all that is needed" : lack.text, sure);
    if (!ok) {
        why(r, &lack);
        r->verdict = VERDICT_NO;
        return;
    }
    add(r, "execute-only", yes(c.ept_exec_only), false, "%s",
        c.ept_exec_only
            ? "pages that can be executed and not read: accesses x, wx; hidden breakpoints"
            : "no accesses x and wx");
    add(r, "VMFUNC", yes(c.vmfunc), false, "%s",
        c.vmfunc ? "guests switch views without an exit" : "guests switch views by hypercall");
    add(r, "#VE", yes(c.vmfunc && c.ve), false, "%s",
        c.vmfunc && c.ve ? "violations reach an agent without an exit"
                         : "agents are not told of violations by the processor");
    add(r, "single-step", VERDICT_YES, false, "%s",
        c.step ? "monitor trap flag, if the test at boot finds it working"
               : "by TF: there is no monitor trap flag");
    add(r, "large pages", yes(c.ept_1g), false, "%s", c.ept_1g ? "2 MiB and 1 GiB" : "2 MiB");
    add(r, "VPID", yes(c.vpid), false, "%s", c.vpid ? "" : "the TLB is emptied on each exit");
}

static void amd(const struct look *l, const struct facts *f, struct report *r)
{
    struct lack lack = {0};
    struct svm_features s;
    bool ok = svm_needs(l, &s, &lack);

    add(r, "SVM and NPT", yes(ok), true, "%s", ok ? "all that is needed" : lack.text);
    if (!ok) {
        why(r, &lack);
        r->verdict = VERDICT_NO;
        return;
    }
    if (!f->has_msrs)
        without_msrs(r, "firmware");
    add(r, "execute-only", VERDICT_NO, false, "no accesses x, w and wx: docs/amd.md");
    add(r, "VMFUNC", VERDICT_YES, false, "made of an exit");
    add(r, "#VE", VERDICT_YES, false, "made of an exit");
    add(r, "single-step", VERDICT_YES, false, "by TF");
    add(r, "large pages", yes(s.pages_1g), false, "%s", s.pages_1g ? "2 MiB and 1 GiB" : "2 MiB");
    add(r, "ASIDs", VERDICT_YES, false, "%u%s", s.asids,
        s.flush_asid ? "" : "; the whole TLB is emptied where one would do");
}

/* ---- the machine ---- */

static void clock_of(const struct look *l, const struct facts *f, struct report *r)
{
    uint32_t power[4], first[4];
    bool steady, stopped = f->clock[0] && strcmp(f->clock, "tsc") != 0 && !strstr(f->clock, "kvm");

    l->cpuid(l->ctx, 0x80000007, 0, power);
    l->cpuid(l->ctx, 1, 0, first);
    steady = power[3] & INVARIANT_TSC;
    add(r, "clock", yes(steady && !stopped), false, "%s%s%s",
        steady ? "invariant TSC" : "the TSC may stop or change its speed: guests' time with it",
        stopped ? "; Linux does not use it, but " : "", stopped ? f->clock : "");
    add(r, "timer", VERDICT_YES, false, "%s",
        first[2] & CPUID_DEADLINE ? "TSC deadline" : "the local APIC's counter");
}

static void rest(const struct look *l, const struct facts *f, struct report *r)
{
    uint32_t first[4];

    l->cpuid(l->ctx, 1, 0, first);
    clock_of(l, f, r);
    if (f->memory_kib)
        add(r, "memory", yes(f->memory_kib >= LEAST_KIB), true, "%llu MiB%s",
            (unsigned long long)(f->memory_kib >> 10),
            f->memory_kib < SENSIBLE_KIB ? ": enough for small guests" : "");
    if (f->memory_kib && f->memory_kib < LEAST_KIB && r->verdict != VERDICT_NO) {
        r->verdict = VERDICT_NO;
        snprintf(r->why, sizeof(r->why), "too little memory");
    }
    add(r, "IOMMU", yes(f->iommu[0]), false, "%s%s", f->iommu[0] ? f->iommu : "none",
        "; Facet gives guests no devices, and does not use one");
    if (first[2] & CPUID_HYPER)
        add(r, "bare metal", VERDICT_NO, false,
            "a hypervisor runs here already: this is what it shows of the processor");
}

void check(const struct facts *f, struct report *r)
{
    struct look l = look_at(f);
    struct lack lack = {0};

    memset(r, 0, sizeof(*r));
    name(&l, r);
    if (vmx_present_on(&l)) {
        intel(&l, f, r);
    } else if (svm_present_on(&l)) {
        amd(&l, f, r);
    } else {
        r->verdict = VERDICT_NO;
        snprintf(r->why, sizeof(r->why),
                 "the processor has no VT-x and no SVM, or they are hidden");
        add(r, "virtualization", VERDICT_NO, true, "%s", r->why);
    }
    if (!x86_needs(&l, &lack)) {
        add(r, "processor", VERDICT_NO, true, "%s", lack.text);
        if (r->verdict != VERDICT_NO)
            why(r, &lack);
        r->verdict = VERDICT_NO;
    }
    rest(&l, f, r);
}
