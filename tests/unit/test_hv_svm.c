/* SPDX-License-Identifier: MIT */
/*
 * hv/svm/ without a processor: which translations are flushed when, against a TLB that tags by ASID
 * and nothing else; the maps of MSRs; a vCPU's state in the VMCB.
 */
#include "hv_test.h"
#include <stdlib.h>
#include <string.h>
#include "svm/svm.h"
#include "mm/frame.h"
#include "x86/cpu.h"
#include "x86/smp.h"

static unsigned processor; /* on which the next VMRUN is */
#define smp_here() processor

#undef VENDOR
#define VENDOR(operation, ...) svm_##operation(__VA_ARGS__)

/* What would be privileged is noted here. */
static uint64_t dr[4], tsc_aux;
#define read_dr(n)         (dr[n])
#define write_dr(n, value) (dr[n] = (value))
#define rdmsr(msr)         (assert_int_equal(msr, MSR_TSC_AUX), tsc_aux)
#define wrmsr(msr, value)  (assert_int_equal(msr, MSR_TSC_AUX), tsc_aux = (value))

#include "svm/asid.c"
#include "svm/msr.c"
#include "vcpu/msr_map.c"
#include "svm/state.c"

bool smp_on; /* one processor */
struct vendor_caps vendor_caps = {.tsc_aux = true, .msr_map_pages = 2};
struct svm_features svm_features;

static uint8_t map_pages[2 * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

mfn_t frame_alloc_run(uint16_t owner, uint64_t nr)
{
    assert_int_equal(owner, FRAME_OWNER_HV);
    assert_int_equal(nr, 2);
    return frame_of(map_pages);
}

unsigned svm_length(const struct vcpu *v)
{
    (void)v;
    return 7;
}

/* ---- tags ---- */

#define TAGS       64u
#define VCPUS      3u
#define ROOTS      90u
#define PROCESSORS 2u

/* For each tag: whose translations are in the TLB, and since which change of the tables. */
static struct cached {
    bool filled;
    unsigned vcpu, root, change;
} tlbs[PROCESSORS][TAGS + 1];
static unsigned was_on[VCPUS];
static struct vmcb vmcbs[VCPUS];
static struct vcpu vcpus[VCPUS];
static unsigned changes[VCPUS][ROOTS], flushes;

static void start(uint32_t asids, bool by_asid)
{
    memset(tags, 0, sizeof(tags));
    memset(tlbs, 0, sizeof(tlbs));
    memset(was_on, 0, sizeof(was_on));
    processor = 0;
    memset(vcpus, 0, sizeof(vcpus));
    memset(changes, 0, sizeof(changes));
    memset(roots_stale, 0, sizeof(roots_stale));
    flushes = 0;
    svm_features = (struct svm_features){.asids = asids, .flush_asid = by_asid};
    asid_init(asids);
    for (unsigned i = 0; i < VCPUS; i++) {
        svm_of(&vcpus[i])->vmcb = &vmcbs[i];
        memset(&vmcbs[i], 0, sizeof(vmcbs[i]));
    }
}

/* A VMRUN: what it finds in the TLB belongs to it and is as new as what it may know. */
static uint32_t ran(unsigned v, unsigned root)
{
    struct cached *tlb = tlbs[processor];
    struct vmcb *b = &vmcbs[v];
    uint32_t tag = b->asid;

    assert_in_range(tag, 1, svm_features.asids - 1);
    assert_int_equal(b->ncr3, (uint64_t)(root + 1) << PAGE_SHIFT);
    flushes += b->tlb_control != TLB_KEEP;
    if (b->tlb_control == TLB_FLUSH_ALL) {
        memset(tlb, 0, sizeof(tlbs[0]));
    } else if (b->tlb_control == TLB_FLUSH_ASID) {
        assert_true(svm_features.flush_asid);
        tlb[tag].filled = false;
    } else {
        assert_int_equal(b->tlb_control, TLB_KEEP);
    }
    if (tlb[tag].filled) {
        assert_int_equal(tlb[tag].vcpu, v);
        assert_int_equal(tlb[tag].root, root);
        assert_int_equal(tlb[tag].change, changes[v][root]);
    }
    tlb[tag].filled = true;
    tlb[tag].vcpu = v;
    tlb[tag].root = root;
    tlb[tag].change = changes[v][root];
    return tag;
}

static uint32_t run(unsigned v, unsigned root)
{
    asid_load(&vcpus[v]);
    if (was_on[v] != processor) { /* as vcpu_load() has it */
        was_on[v] = processor;
        svm_flush(&vcpus[v], MFN_INVALID);
    }
    vcpus[v].altp2m_changed |= vcpus[v].altp2m.root.v != root + 1; /* as the core says */
    vcpus[v].altp2m.root = mfn(root + 1);
    asid_use(&vcpus[v]);
    return ran(v, root);
}

/* The same for a guest that has changed its tables by itself. */
static uint32_t run_changed(unsigned v, unsigned root)
{
    assert_int_equal(was_on[v], processor);
    assert_false(vcpus[v].altp2m_changed);
    vcpus[v].altp2m.root = mfn(root + 1);
    asid_change(&vcpus[v]);
    return ran(v, root);
}

static void flush(int v, int root)
{
    for (unsigned i = 0; i < VCPUS; i++) {
        for (unsigned r = 0; r < ROOTS; r++) {
            changes[i][r] += v >= 0 ? i == (unsigned)v : root < 0 || r == (unsigned)root;
        }
    }
    svm_flush(v >= 0 ? &vcpus[v] : NULL, root >= 0 ? mfn((uint64_t)root + 1) : MFN_INVALID);
}

static void test_two_views(void **state)
{
    uint32_t a, b;

    (void)state;
    start(16, true);
    a = run(0, 0);
    b = run(0, 1);
    assert_int_not_equal(a, b);
    flushes = 0;
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(run(0, i % 2), i % 2 ? b : a);
    }
    assert_int_equal(flushes, 0);
    assert_int_not_equal(run(1, 0), a); /* linear addresses are another vCPU's own */
}

/* ... nor a look for the tag, wherever the tables are. */
static void test_two_views_own(void **state)
{
    (void)state;
    for (unsigned other = 1; other < ROOTS; other++) {
        start(16, true);
        for (unsigned i = 0; i < 4; i++) {
            run(0, i % 2 ? other : 0);
        }
        for (unsigned i = 0; i < 4; i++) {
            unsigned root = i % 2 ? other : 0;

            assert_true(asid_own(&vcpus[0], mfn((uint64_t)root + 1)));
            ran(0, root);
        }
    }
}

/* Fewer tags than tables: the one that was not used for longest is given away, and flushed. */
static void test_few_tags(void **state)
{
    uint32_t first, second;

    (void)state;
    for (unsigned by_asid = 0; by_asid < 2; by_asid++) {
        start(4, by_asid);
        first = run(0, 0);
        second = run(0, 1);
        run(0, 2);
        run(0, 0);
        flushes = 0;
        assert_int_equal(run(0, 3), second);
        assert_int_equal(flushes, 1);
        assert_int_equal(run(0, 0), first);
        assert_int_equal(flushes, 1);
        run(0, 1);
        assert_int_equal(flushes, 2);
    }
    start(2, true); /* a single tag */
    for (unsigned i = 0; i < 10; i++) {
        run(i % VCPUS, i % 4);
    }
}

/* On another processor the same tag is for other tables of the vCPU. */
static void test_processors(void **state)
{
    (void)state;
    start(16, true);
    processor = 1;
    run(0, 1);
    processor = 0;
    run(0, 0);
    processor = 1;
    run(0, 1);
    processor = 0;
    run(0, 0);
}

static void test_flushes(void **state)
{
    (void)state;
    start(16, true);
    for (unsigned v = 0; v < VCPUS; v++) {
        run(v, 0);
        run(v, 1);
    }
    flushes = 0;
    flush(-1, 1);
    run(0, 0);
    run(1, 0);
    assert_int_equal(flushes, 0); /* other tables */
    run(0, 1);
    run(2, 1);
    assert_int_equal(flushes, 2);
    run(0, 1);
    assert_int_equal(flushes, 2);
    flush(1, -1);
    run(0, 0);
    assert_int_equal(flushes, 2); /* another vCPU */
    run(1, 0);
    run(1, 1);
    assert_int_equal(flushes, 4);
    flush(-1, -1);
    run(2, 0);
    assert_int_equal(flushes, 5);
    run(2, 0);
    assert_int_equal(flushes, 5); /* once for each */
    run(2, 1);
    assert_int_equal(flushes, 6);
    start(16, false); /* once for all of them, where that is what the processor has */
    for (unsigned v = 0; v < VCPUS; v++) {
        run(v, 0);
        run(v, 1);
    }
    flushes = 0;
    flush(-1, -1);
    for (unsigned v = 0; v < VCPUS; v++) {
        run(v, 0);
        run(v, 1);
    }
    assert_int_equal(flushes, 1);
}

static void test_random(void **state)
{
    static const uint32_t numbers[] = {2, 3, 16, 40, 65, 0x8000};

    (void)state;
    random_seed(3);
    for (unsigned k = 0; k < 2 * ARRAY_SIZE(numbers); k++) {
        start(numbers[k / 2], k & 1);
        for (unsigned i = 0; i < 20000; i++) {
            unsigned v;

            switch (random_below(20)) {
            case 0:
                flush(-1, (int)random_below(ROOTS));
                break;
            case 1:
                flush((int)random_below(VCPUS), -1);
                break;
            case 2:
                if (random_below(10) == 0) {
                    flush(-1, -1);
                }
                break;
            case 3:
                processor = k % 4 == 3 ? (unsigned)random_below(PROCESSORS) : 0;
                break;
            default:
                v = (unsigned)random_below(VCPUS);
                run(v, (unsigned)random_below(k % 3 ? ROOTS : 6));
                for (unsigned n = (unsigned)random_below(4); n > 0; n--) {
                    run_changed(v, (unsigned)random_below(k % 3 ? ROOTS : 6));
                }
                break;
            }
        }
    }
}

/* ---- MSRs ---- */

/* As APM 2, 15.11 has it, said another way. */
static bool msr_exits(const uint8_t *map, uint32_t msr, bool write)
{
    uint64_t bit;

    if (msr < 0x2000) {
        bit = 2ULL * msr;
    } else if (msr >= 0xc0000000 && msr < 0xc0002000) {
        bit = 0x800 * 8 + 2ULL * (msr - 0xc0000000);
    } else if (msr >= 0xc0010000 && msr < 0xc0012000) {
        bit = 0x1000 * 8 + 2ULL * (msr - 0xc0010000);
    } else {
        return true;
    }
    bit += write;
    return map[bit / 8] >> bit % 8 & 1;
}

static bool direct(uint32_t msr, bool write)
{
    switch (msr) {
    case 0x174 ... 0x176:
    case MSR_STAR ... MSR_FMASK:
    case MSR_FS_BASE ... MSR_KERNEL_GS_BASE:
        return true;
    case MSR_TSC_AUX:
        return !write; /* a value has to be checked */
    default:
        return false;
    }
}

static const uint32_t ranges[] = {0, 0xc0000000, 0xc0010000};

static void check_usual(const uint8_t *map)
{
    for (unsigned r = 0; r < ARRAY_SIZE(ranges); r++) {
        for (uint32_t i = 0; i < 0x2000; i++) {
            assert_int_equal(msr_exits(map, ranges[r] + i, false), !direct(ranges[r] + i, false));
            assert_int_equal(msr_exits(map, ranges[r] + i, true), !direct(ranges[r] + i, true));
        }
    }
}

static void test_msr_usual(void **state)
{
    (void)state;
    assert_int_equal(vcpu_msr_init(), 0);
    assert_ptr_equal(vendor_msr_usual, map_pages);
    check_usual(map_pages);
    for (unsigned i = 0x1800; i < sizeof(map_pages); i++) {
        assert_int_equal(map_pages[i], 0xff);
    }
}

static void test_msr_watched(void **state)
{
    static const uint32_t watched[] = {0x10,        0x174,      0x176,      0x1fff,
                                       MSR_EFER,    MSR_STAR,   MSR_LSTAR,  MSR_GS_BASE,
                                       MSR_TSC_AUX, 0xc0001fff, 0xc0010114, 0xc0011fff};
    static uint8_t map[sizeof(map_pages)];

    (void)state;
    assert_int_equal(vcpu_msr_init(), 0);
    vcpu_msr_map_new(map);
    check_usual(map);
    for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
        vcpu_msr_map(map, watched[i], true);
        assert_true(msr_exits(map, watched[i], true));
        assert_int_equal(msr_exits(map, watched[i], false), !direct(watched[i], false));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
        vcpu_msr_map(map, watched[i], false);
    }
    check_usual(map);
    /* In none of the ranges: they exit anyway. */
    vcpu_msr_map(map, 0x2000, true);
    vcpu_msr_map(map, 0x40000000, false);
    vcpu_msr_map(map, 0xc0002000, false);
    vcpu_msr_map(map, 0xfffffffe, true);
    check_usual(map);
}

/* ---- state ---- */

static struct vcpu *fresh(void)
{
    static struct vmcb b;
    static struct vcpu v;

    memset(&b, 0, sizeof(b));
    memset(&v, 0, sizeof(v));
    svm_of(&v)->vmcb = &b;
    return &v;
}

static uint64_t value_of(enum vcpu_field f)
{
    uint64_t value = 0x1122334455660000ULL + f;

    return f >= VCPU_SELECTOR && f < VCPU_BASE            ? value & 0xffff
           : f >= VCPU_LIMIT && f < VCPU_AR               ? value & 0xffffffff
           : f == VCPU_AR + SEG_TR                        ? AR_TSS32
           : f >= VCPU_AR                                 ? AR_PRESENT | f % 16
           : f == VCPU_GDTR_LIMIT || f == VCPU_IDTR_LIMIT ? f
           : f == VCPU_BLOCKING                           ? BLOCKING_STI | BLOCKING_NMI
           : f == VCPU_PENDING_TRAP                       ? TRAP_BS
                                                          : value;
}

static bool writable(enum vcpu_field f)
{
    return (f <= VCPU_IDTR_LIMIT || f == VCPU_BLOCKING || f == VCPU_PENDING_TRAP ||
            f >= VCPU_SELECTOR);
}

/* All are set, then all are as they were set: none is in another's place. */
static void test_fields(void **state)
{
    struct vcpu *v = fresh();

    (void)state;
    for (unsigned f = 0; f < VCPU_FIELDS; f++) {
        if (writable(f)) {
            svm_set(v, f, value_of(f));
        }
    }
    for (unsigned f = 0; f < VCPU_FIELDS; f++) {
        if (writable(f)) {
            assert_int_equal(svm_get(v, f), value_of(f));
        }
    }
    assert_int_equal(svm_get(v, VCPU_EXIT_LENGTH), 7);
    assert_int_equal(svm_get(v, VCPU_PDPTE2), 0);
    EXPECT_CHECK(svm_set(v, VCPU_CPL, 3));
}

/* Clean bits: whatever the processor may have kept of the VMCB is named when it changes. */
static void test_clean_bits(void **state)
{
    static const struct {
        enum vcpu_field field;
        uint32_t bit;
    } kept[] = {
        {VCPU_CR0, 1u << 5},        {VCPU_CR3, 1u << 5},        {VCPU_CR4, 1u << 5},
        {VCPU_EFER, 1u << 5},       {VCPU_DR6, 1u << 6},        {VCPU_DR7, 1u << 6},
        {VCPU_GDTR_BASE, 1u << 7},  {VCPU_GDTR_LIMIT, 1u << 7}, {VCPU_IDTR_BASE, 1u << 7},
        {VCPU_IDTR_LIMIT, 1u << 7}, {VCPU_SELECTOR, 1u << 8},   {VCPU_AR + SEG_SS, 1u << 8},
        {VCPU_CR2, 1u << 9},        {VCPU_PAT, 1u << 4},        {VCPU_BLOCKING, 1u << 0},
    };

    (void)state;
    assert_false(CLEAN_ALL & 1u << 10); /* DEBUGCTL is always read again */
    for (unsigned i = 0; i < ARRAY_SIZE(kept); i++) {
        struct vcpu *v = fresh();

        svm_of(v)->vmcb->clean = CLEAN_ALL;
        svm_set(v, kept[i].field, 0);
        assert_false(svm_of(v)->vmcb->clean & kept[i].bit);
        assert_int_not_equal(svm_of(v)->vmcb->clean, 0);
    }
}

/* EFER.SVME has to be set where the guest runs, and is none of its business. */
static void test_efer(void **state)
{
    struct vcpu *v = fresh();

    (void)state;
    svm_set(v, VCPU_EFER, EFER_LME | EFER_LMA);
    assert_int_equal(svm_of(v)->vmcb->efer, EFER_LME | EFER_LMA | 1u << 12);
    assert_int_equal(svm_get(v, VCPU_EFER), EFER_LME | EFER_LMA);
    assert_false(svm_get(v, VCPU_CODE_64));
    svm_set(v, VCPU_AR + SEG_CS, 0xa09b);
    assert_true(svm_get(v, VCPU_CODE_64));
    svm_set(v, VCPU_EFER, EFER_LME);
    assert_false(svm_get(v, VCPU_CODE_64));
}

/* The CPL is beside SS, and its DPL on other processors. */
static void test_segments(void **state)
{
    struct vcpu *v = fresh();
    struct vmcb *b = svm_of(v)->vmcb;

    (void)state;
    svm_set(v, VCPU_AR + SEG_SS, 0xc0f3);
    assert_int_equal(b->cpl, 3);
    assert_int_equal(b->ss.attributes, 0xcf3);
    assert_int_equal(svm_get(v, VCPU_CPL), 3);
    assert_int_equal(svm_get(v, VCPU_AR + SEG_SS), 0xc0f3);
    b->cpl = 0;
    assert_int_equal(svm_get(v, VCPU_AR + SEG_SS), 0xc093);
    svm_set(v, VCPU_AR + SEG_CS, 0xa0fb);
    assert_int_equal(b->cpl, 0);
    assert_int_equal(svm_get(v, VCPU_AR + SEG_CS), 0xa0fb);
    svm_set(v, VCPU_AR + SEG_TR, AR_TSS32);
    assert_int_equal(b->tr.attributes, AR_TSS32);
    b->tr.attributes &= (uint16_t)~AR_BUSY; /* as QEMU 7.2 has it after LTR */
    assert_int_equal(svm_get(v, VCPU_AR + SEG_TR), AR_TSS32);
    for (unsigned s = 0; s < SEG_COUNT; s++) {
        svm_set(v, vcpu_segment_field(VCPU_AR, s), AR_UNUSABLE);
        assert_true(svm_get(v, vcpu_segment_field(VCPU_AR, s)) & AR_UNUSABLE);
    }
    /* A null SS in 64-bit code at CPL 3. */
    svm_set(v, VCPU_AR + SEG_SS, AR_UNUSABLE | 3u << 5);
    assert_int_equal(svm_get(v, VCPU_CPL), 3);
    assert_int_equal(svm_get(v, VCPU_AR + SEG_SS), AR_UNUSABLE | 3u << 5);
}

static void test_blocking(void **state)
{
    struct vcpu *v = fresh();
    struct vmcb *b = svm_of(v)->vmcb;

    (void)state;
    b->misc1 = MISC1_HLT;
    svm_set(v, VCPU_BLOCKING, BLOCKING_MOVSS);
    assert_int_equal(b->shadow, SHADOW_ACTIVE);
    assert_int_equal(svm_get(v, VCPU_BLOCKING), BLOCKING_STI);
    svm_set(v, VCPU_BLOCKING, BLOCKING_NMI);
    assert_int_equal(b->shadow, 0);
    assert_int_equal(b->misc1, MISC1_HLT | MISC1_IRET); /* which ends it */
    svm_set(v, VCPU_BLOCKING, 0);
    assert_int_equal(b->misc1, MISC1_HLT);
    assert_int_equal(svm_get(v, VCPU_BLOCKING), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE("svm_asid", test_two_views), CASE("svm_asid", test_two_views_own),
        CASE("svm_asid", test_few_tags),  CASE("svm_asid", test_processors),
        CASE("svm_asid", test_flushes),   CASE("svm_asid", test_random),
        CASE("svm_msr", test_msr_usual),  CASE("svm_msr", test_msr_watched),
        CASE("svm_state", test_fields),   CASE("svm_state", test_clean_bits),
        CASE("svm_state", test_efer),     CASE("svm_state", test_segments),
        CASE("svm_state", test_blocking),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
