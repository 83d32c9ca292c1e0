/* SPDX-License-Identifier: MIT */
/*
 * Instructions that leave a guest or that it must not have: VMX, SVM and SMX ones are #UD, cache
 * and time ones work or fault as CPUID promises, descriptor-table ones are the guest's own.
 */
#include <string.h>
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"

static uint8_t *code;

static uint64_t run_code(uint64_t unused)
{
    (void)unused;
    uint64_t a = 0, c = 0, d = 0, at = (uint64_t)code + 2048;

    fault_clear();
    __asm__ volatile("call *%[code]"
                     : "+a"(a), "+c"(c), "+d"(d)
                     : [code] "r"(code), "D"(at), "S"(at)
                     : "memory", "rbx", "r8", "r9", "r10", "r11");
    return a;
}

/*
 * `bytes` followed by RET in a page; a fault at their first byte returns at once, as fault.vector
 * says. Registers: rax = rcx = rdx = 0, rdi = rsi = an address in the page.
 */
static int vector_of(const char *bytes, size_t n, bool at_user_level)
{
    memcpy(code, bytes, n);
    code[n] = 0xc3;
    call_fixup_at(code);
    if (at_user_level)
        user_run(run_code, 0);
    else
        run_code(0);
    call_fixup_at(NULL);
    return fault.vector;
}

struct probe {
    const char *name, *bytes;
    uint8_t len;
};
#define PROBE(name, bytes)                                                                         \
    {                                                                                              \
        name, bytes, sizeof(bytes) - 1                                                             \
    }

static const struct probe undefined[] = {
    PROBE("vmxon", "\xf3\x0f\xc7\x37"),
    PROBE("vmclear", "\x66\x0f\xc7\x37"),
    PROBE("vmptrld", "\x0f\xc7\x37"),
    PROBE("vmptrst", "\x0f\xc7\x3f"),
    PROBE("vmlaunch", "\x0f\x01\xc2"),
    PROBE("vmresume", "\x0f\x01\xc3"),
    PROBE("vmxoff", "\x0f\x01\xc4"),
    PROBE("vmread", "\x0f\x78\xc1"),
    PROBE("vmwrite", "\x0f\x79\xc1"),
    PROBE("invept", "\x66\x0f\x38\x80\x07"),
    PROBE("invvpid", "\x66\x0f\x38\x81\x07"),
    PROBE("vmfunc", "\x0f\x01\xd4"),
    PROBE("rsm", "\x0f\xaa"),
    PROBE("monitor", "\x0f\x01\xc8"),
    PROBE("mwait", "\x0f\x01\xc9"),
    PROBE("encls", "\x0f\x01\xcf"),
    PROBE("pconfig", "\x0f\x01\xc5"),
};

/* AMD's, each also with a prefix that changes nothing. */
static const struct probe svm[] = {
    PROBE("vmrun", "\x0f\x01\xd8"),        PROBE("vmload", "\x0f\x01\xda"),
    PROBE("vmsave", "\x0f\x01\xdb"),       PROBE("stgi", "\x0f\x01\xdc"),
    PROBE("clgi", "\x0f\x01\xdd"),         PROBE("skinit", "\x0f\x01\xde"),
    PROBE("invlpga", "\x0f\x01\xdf"),      PROBE("fs vmrun", "\x64\x0f\x01\xd8"),
    PROBE("rex stgi", "\x48\x0f\x01\xdc"),
};

static void setup(void)
{
    code = page_alloc(1, 1);
    expect(vector_of("\x90", 1, false), VEC_NONE);
    expect(vector_of("\x0f\x0b", 2, false), VEC_UD);
    expect(vector_of("\x0f\x0b", 2, true), VEC_UD);
    expect(vector_of("\xf4", 1, true), VEC_GP);
}

static void absent(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(undefined); i++) {
        const struct probe *p = &undefined[i];
        int v = vector_of(p->bytes, p->len, false);
        check(v == VEC_UD, "%s: vector %d", p->name, v);
    }
}

static void absent_at_user_level(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(undefined); i++) {
        const struct probe *p = &undefined[i];
        int v = vector_of(p->bytes, p->len, true);
        check(v == VEC_UD || v == VEC_GP, "%s: vector %d", p->name, v);
    }
}

/*
 * A guest has no SVM: its instructions are #UD at every CPL. (On Xen the processor's own check of
 * CPL shows through.)
 */
static void no_svm(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(svm); i++) {
        const struct probe *p = &svm[i];
        int kernel = vector_of(p->bytes, p->len, false), user = vector_of(p->bytes, p->len, true);

        check(kernel == VEC_UD, "%s: vector %d", p->name, kernel);
        check(user == VEC_UD || (user == VEC_GP && !on_facet), "%s at CPL 3: vector %d", p->name,
              user);
    }
}

static uint64_t user_gp(uint64_t at)
{
    uint64_t v;

    return (uint64_t)try_read64((const void *)at, &v);
}

/* What else is #GP there stays so, also beside such bytes. */
static void other_faults(void)
{
    expect(vector_of("\x64\xf4", 2, true), VEC_GP);
    expect(vector_of("\xf4\x0f\x01\xd8", 4, true), VEC_GP);
    expect(vector_of("\x0f\x01\x17", 3, true), VEC_GP);
    expect(fault.error, 0);
    expect(user_run(user_gp, 1UL << 63), VEC_GP);
}

static void privileged(void)
{
    static const struct probe table[] = {
        PROBE("hlt", "\xf4"),          PROBE("invd", "\x0f\x08"),
        PROBE("wbinvd", "\x0f\x09"),   PROBE("clts", "\x0f\x06"),
        PROBE("lmsw", "\x0f\x01\xf0"), PROBE("invlpg", "\x0f\x01\x3f"),
        PROBE("lgdt", "\x0f\x01\x17"), PROBE("lidt", "\x0f\x01\x1f"),
        PROBE("rdmsr", "\x0f\x32"),    PROBE("wrmsr", "\x0f\x30"),
        PROBE("cli", "\xfa"),          PROBE("sti", "\xfb"),
    };

    for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
        int v = vector_of(table[i].bytes, table[i].len, true);
        check(v == VEC_GP, "%s at CPL 3: vector %d", table[i].name, v);
    }
}

static void works(void)
{
    static const struct probe table[] = {
        PROBE("wbinvd", "\x0f\x09"),       PROBE("invd", "\x0f\x08"),
        PROBE("pause", "\xf3\x90"),        PROBE("rdtsc", "\x0f\x31"),
        PROBE("invlpg", "\x0f\x01\x3f"),   PROBE("clflush", "\x0f\xae\x3f"),
        PROBE("cpuid", "\x0f\xa2"),        PROBE("sgdt", "\x0f\x01\x07"),
        PROBE("smsw", "\x0f\x01\xe0"),     PROBE("mfence", "\x0f\xae\xf0"),
        PROBE("prefetch", "\x0f\x18\x0f"), PROBE("wbnoinvd", "\xf3\x0f\x09"),
    };

    for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
        int v = vector_of(table[i].bytes, table[i].len, false);
        check(v == VEC_NONE, "%s: vector %d", table[i].name, v);
    }
}

static bool has(uint32_t leaf, unsigned reg, unsigned bit)
{
    uint32_t r[4];

    cpuid(leaf, 0, r);
    return r[reg] >> bit & 1;
}

/* What CPUID shows works, what it hides is undefined. */
static void as_cpuid_says(void)
{
    const struct {
        struct probe p;
        bool shown;
    } table[] = {
        {PROBE("rdtscp", "\x0f\x01\xf9"), has(0x80000001, 3, 27)},
        {PROBE("rdrand", "\x0f\xc7\xf0"), has(1, 2, 30)},
        {PROBE("rdseed", "\x0f\xc7\xf8"), has(7, 1, 18)},
        {PROBE("popcnt", "\xf3\x0f\xb8\xc1"), has(1, 2, 23)},
        {PROBE("clflushopt", "\x66\x0f\xae\x3f"), has(7, 1, 23)},
        {PROBE("invpcid", "\x66\x0f\x38\x82\x07"), has(7, 1, 10)},
        {PROBE("rdpid", "\xf3\x0f\xc7\xf8"), has(7, 2, 22)},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(table); i++) {
        memset(code + 2048, 0, 16);
        int v = vector_of(table[i].p.bytes, table[i].p.len, false);
        if (table[i].shown)
            check(v == VEC_NONE, "%s is shown: vector %d", table[i].p.name, v);
        else
            say("instructions: %s is hidden, vector %d\n", table[i].p.name, v);
    }
}

static void rdpmc(void)
{
    uint32_t lo, hi;

    fault_clear();
    __asm__ volatile(TRY("rdpmc") : "=a"(lo), "=d"(hi) : "c"(0x12345) : "memory");
    check(fault.vector == VEC_GP, "counter 0x12345: vector %d", fault.vector);
}

static void invpcid_type(void)
{
    static const uint64_t descriptor[2];

    if (!has(7, 1, 10))
        skip("INVPCID");
    fault_clear();
    __asm__ volatile(TRY("invpcid %0, %1")::"m"(descriptor), "r"(9UL) : "memory");
    expect(fault.vector, VEC_GP);
    fault_clear();
    __asm__ volatile(TRY("invpcid %0, %1")::"m"(descriptor), "r"(2UL) : "memory");
    expect(fault.vector, VEC_NONE);
}

/* TSC_AUX belongs to the guest; RDTSCP reads it. */
static void tsc_aux(void)
{
    uint32_t lo, hi, aux;

    if (!has(0x80000001, 3, 27))
        skip("RDTSCP");
    expect(try_wrmsr(0xc0000103, 0x1234), VEC_NONE);
    __asm__ volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(aux));
    expect(aux, 0x1234);
    expect(try_wrmsr(0xc0000103, 1ULL << 32), VEC_GP);
}

static void tsc_disabled(void)
{
    uint64_t v = read_cr4();

    expect(try_write_cr4(v | CR4_TSD), VEC_NONE);
    expect(vector_of("\x0f\x31", 2, true), VEC_GP);
    expect(vector_of("\x0f\x31", 2, false), VEC_NONE);
    expect(try_write_cr4(v), VEC_NONE);
    expect(vector_of("\x0f\x31", 2, true), VEC_NONE);
}

/* XSAVES and friends, where shown, need IA32_XSS; the guest may set only what CPUID lists. */
static void xss(void)
{
    uint32_t r[4];

    cpuid(0xd, 1, r);
    if (!has(1, 2, 26) || !(r[0] & 8))
        skip("XSAVES");
    expect(try_wrmsr(0xda0, 0), VEC_NONE);
    expect(try_wrmsr(0xda0, ~0ULL), VEC_GP);
}

/* XGETBV without OSXSAVE, FPU state in the wrong mode: the guest's own faults. */
static void xgetbv(void)
{
    uint32_t lo, hi;

    fault_clear();
    __asm__ volatile(TRY("xgetbv") : "=a"(lo), "=d"(hi) : "c"(0) : "memory");
    expect(fault.vector, VEC_UD);
}

TEST_CASES(CASE(setup), CASE(absent), CASE(absent_at_user_level), CASE(no_svm), CASE(other_faults),
           CASE(privileged), CASE(works), CASE(as_cpuid_says), CASE(rdpmc), CASE(invpcid_type),
           CASE(tsc_aux), CASE(tsc_disabled), CASE(xss), CASE(xgetbv))
