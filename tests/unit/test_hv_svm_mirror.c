/* SPDX-License-Identifier: MIT */
/*
 * hv/svm/mirror.c without a processor: what a walk finds in the mirror is what was shown there last
 * and not taken away since, whatever happens in between; nothing in it leads to the mirror itself;
 * what a TLB may hold is forgotten when it goes; and all frames come back.
 */
#include "hv_test.h"
#include <stdlib.h>
#include <string.h>
#include "x86/cpu.h"

static struct cpu test_cpu;
#define cpu_loaded(v) (test_cpu.loaded == (v))
#include "svm/svm.h"
#include "mm/frame.h"

static unsigned frames, frames_left = ~0u;

static void *new_frames(unsigned nr)
{
    void *p = frames_left >= nr ? aligned_alloc(PAGE_SIZE, nr * PAGE_SIZE) : NULL;

    if (p) {
        memset(p, 0, nr * PAGE_SIZE);
        frames += nr;
        frames_left -= nr;
    }
    return p;
}

mfn_t frame_alloc(uint16_t owner, unsigned order)
{
    void *p = new_frames(1);

    assert_int_equal(owner, FRAME_OWNER_HV);
    assert_int_equal(order, ORDER_4K);
    return p ? frame_of(p) : MFN_INVALID;
}

mfn_t frame_alloc_run(uint16_t owner, uint64_t nr)
{
    void *p = new_frames((unsigned)nr);

    assert_int_equal(owner, FRAME_OWNER_HV);
    return p ? frame_of(p) : MFN_INVALID;
}

void frame_put(mfn_t m)
{
    frames--;
    free(frame_virt(m));
}

void frame_put_run(mfn_t m, uint64_t nr)
{
    frames -= (unsigned)nr;
    free(frame_virt(m));
}

uint64_t svm_flushes = 1;
struct svm_features svm_features = {.address_bits = 40};
struct vendor_caps vendor_caps = {.mirrors = true};

static struct vcpu vcpu;
static struct physmap physmap;
static struct vmcb vmcb;
static uint64_t view_root[PT_ENTRIES] __attribute__((aligned(PAGE_SIZE)));

bool vendor_is_svm = true;

uint64_t vmx_get(const struct vcpu *v, enum vcpu_field f)
{
    (void)v, (void)f;
    abort();
}

uint64_t svm_get(const struct vcpu *v, enum vcpu_field f)
{
    assert_ptr_equal(v, &vcpu);
    assert_true(f == VCPU_EFER || f == VCPU_CR0);
    return f == VCPU_EFER ? vmcb.efer : vmcb.cr0;
}

#include "svm/mirror.c"

#define MINE (1ULL << 39) /* where the mirror is, with 40 bits */

static struct svm_vcpu *x;

static void begin(void)
{
    memset(&vcpu, 0, sizeof(vcpu));
    memset(&vmcb, 0, sizeof(vmcb));
    memset(view_root, 0, sizeof(view_root));
    test_cpu.loaded = &vcpu;
    vmcb.efer = EFER_LMA;
    vmcb.cr0 = X86_CR0_PG | X86_CR0_WP;
    vmcb.cr3 = 0x5000;
    vmcb.ncr3 = (uint64_t)view_root;
    view_root[0] = 0x1234007;
    vcpu.altp2m.pm = &physmap;
    vcpu.altp2m.root = frame_of(view_root);
    x = svm_of(&vcpu);
    x->vmcb = &vmcb;
    frames_left = ~0u;
    assert_true(svm_mirror(&vcpu, true));
    assert_true(mirror_before(&vcpu, x));
}

static void finish(void)
{
    assert_true(svm_mirror(&vcpu, false));
    assert_null(x->mirror);
    assert_int_equal(frames, 0);
}

/* The page at a guest physical address, as the entry's nested tables have it. */
static const uint64_t *nested(uint64_t a)
{
    const uint64_t *t = (const uint64_t *)vmcb.ncr3;

    for (unsigned shift = 39; shift >= 12; shift -= 9) {
        uint64_t e = t[a >> shift & 511];

        assert_int_equal(e & 7, 7);
        t = (const uint64_t *)(e & ADDRESS);
    }
    return t;
}

/* The leaf that the processor finds, or 0. */
static uint64_t walk(uint64_t a, unsigned *shift)
{
    uint64_t table = vmcb.cr3, e;

    for (*shift = 39;; *shift -= 9) {
        e = nested(table)[a >> *shift & 511];
        if (!(e & 1) || *shift == 12 || (e & LARGE)) {
            break;
        }
        assert_int_equal(e & 0xfff, 0x27);
        table = e & ADDRESS;
        assert_in_range(table, MINE, MINE + (PAGES - 1) * PAGE_SIZE);
    }
    if (e & 1) { /* nowhere into the mirror */
        assert_int_not_equal((e & ADDRESS) >> 30, MINE >> 30);
    }
    return e & 1 ? e : 0;
}

static uint64_t seen(uint64_t a, unsigned *shift)
{
    uint64_t e;

    mirror_in(x);
    assert_int_equal(vmcb.cr3, MINE);
    assert_int_equal(*(const uint64_t *)vmcb.ncr3, view_root[0]);
    e = walk(a, shift);
    mirror_out(x);
    assert_int_equal(vmcb.cr3, x->mirror->cr3);
    assert_ptr_equal((void *)vmcb.ncr3, view_root);
    return e;
}

static void test_levels(void **state)
{
    unsigned shift;

    (void)state;
    begin();
    assert_int_equal(seen(0x123456789000, &shift), 0);
    assert_int_equal(svm_mirror_show(&vcpu, 0x123456789000, 12, 0x7063, false), MIRROR_SHOWN);
    assert_int_equal(svm_mirror_show(&vcpu, 0x123456789000, 12, 0x7063, false), MIRROR_SAME);
    assert_int_equal(seen(0x123456789000, &shift), 0x7063);
    assert_int_equal(seen(0x12345678a000, &shift), 0);
    svm_mirror_show(&vcpu, 0xffff888000200000, 21, 0x2000e3, true);
    assert_int_equal(seen(0xffff8880003ff123, &shift), 0x2000e3 | GLOBAL);
    assert_int_equal(shift, 21);
    svm_mirror_show(&vcpu, 0xffff888000201000, 12, 0x201063, true); /* by smaller pages now */
    assert_int_equal(seen(0xffff888000201000, &shift), 0x201063 | GLOBAL);
    assert_int_equal(seen(0xffff888000202000, &shift), 0);
    svm_mirror_show(&vcpu, 0x7fc0000000, 30, MINE | 0xe3, false); /* not into the mirror */
    assert_int_equal(seen(0x7fc0000000, &shift), MINE | 1ULL << 30 | 0xe3);
    svm_mirror_show(&vcpu, 0x1000, 12, (MINE + 0x3000) | 0x63, false);
    assert_int_equal(seen(0x1000, &shift), (MINE + 0x3000 + (1ULL << 30)) | 0x63);
    finish();
}

/* What a TLB keeps when CR3 is loaded is kept, and nothing when modes, views or rights change. */
static void test_forgets(void **state)
{
    unsigned shift;

    (void)state;
    begin();
    for (unsigned i = 0; i < 8; i++) {
        uint64_t stale = x->stale;

        svm_mirror_show(&vcpu, 0x1000, 12, 0x1063, true); /* in the lower half nothing stays */
        svm_mirror_show(&vcpu, 0x2000, 12, 0x2063, false);
        svm_mirror_show(&vcpu, ~0xfffULL, 12, 0x3063, true);
        svm_mirror_show(&vcpu, ~0x1fffULL, 12, 0x4063, false);
        mirror_flush(x);
        vmcb.cr0 ^= i == 1 ? X86_CR0_WP : 0;
        vmcb.cr4 ^= i == 3 ? X86_CR4_PGE : 0;
        vcpu.altp2m.view.v += i == 4;
        vcpu.altp2m.lifted = i == 5;
        physmap.flush.wanted += i == 2 || i == 6;
        physmap.flush.kept += i == 2; /* only rights to write */
        vmcb.cr3 += i == 7 ? PAGE_SIZE : 0;
        assert_int_equal(mirror_before(&vcpu, x), i != 1);
        assert_true(x->stale > stale);
        if (i == 1) {
            vmcb.cr0 |= X86_CR0_WP;
            assert_true(mirror_before(&vcpu, x));
        }
        assert_int_equal(seen(0x1000, &shift), 0);
        assert_int_equal(seen(0x2000, &shift), 0);
        assert_int_equal(seen(~0x1fffULL, &shift), 0);
        assert_int_equal(seen(~0xfffULL, &shift), i == 0 || i == 2 || i == 7 ? 0x3063 | GLOBAL : 0);
    }
    finish();
}

/* Not while the agent runs, and not where the guest has memory of its own. */
static void test_without(void **state)
{
    unsigned shift;

    (void)state;
    begin();
    svm_mirror_show(&vcpu, 0x1000, 12, 0x1063, false);
    vcpu.altp2m.inside = true;
    vmcb.cr3 = 0x9000;
    assert_false(mirror_before(&vcpu, x));
    vcpu.altp2m.inside = false;
    vmcb.cr3 = 0x5000;
    assert_true(mirror_before(&vcpu, x));
    assert_int_equal(seen(0x1000, &shift), 0x1063);
    view_root[1] = 0x5007;
    assert_false(mirror_before(&vcpu, x));
    view_root[1] = 0;
    assert_true(mirror_before(&vcpu, x));
    assert_int_equal(seen(0x1000, &shift), 0);
    finish();
}

#define PLACES 4096u

static uint64_t place(unsigned n)
{
    return (n & 1 ? 0xffff800000000000 : 0) + (uint64_t)(n >> 1) * (513ULL << 12);
}

static void test_random(void **state)
{
    static uint64_t last[PLACES];
    unsigned shift, found = 0;

    (void)state;
    begin();
    memset(last, 0, sizeof(last));
    for (unsigned i = 0; i < 100000; i++) {
        unsigned n = random_below(random_below(8) ? 64 : PLACES);
        uint64_t stale = x->stale, e = ((uint64_t)random_below(9) << 12) | 0x61, was;

        was = seen(place(n), &shift);
        assert_true(was == 0 || was == last[n]);
        found += was != 0;
        switch (random_below(16)) {
        case 0:
            svm_mirror_hide(&vcpu, place(n), random_below(64) == 0);
            assert_int_equal(seen(place(n), &shift), 0);
            assert_true(x->stale > stale);
            break;
        case 1:
            if (random_below(32) == 0) {
                mirror_flush(x);
                assert_true(mirror_before(&vcpu, x));
                for (unsigned p = 0; p < PLACES; p++) {
                    last[p] = last[p] & GLOBAL ? last[p] : 0;
                }
            }
            break;
        default:
            assert_int_not_equal(svm_mirror_show(&vcpu, place(n), 12, e, n % 3 == 0), MIRROR_FULL);
            last[n] = e | (n % 3 == 0 ? GLOBAL : 0);
            assert_int_equal(seen(place(n), &shift), last[n]);
            assert_true(!was || was == last[n] || x->stale > stale);
        }
    }
    assert_true(found > 10000);
    finish();
}

static void test_no_memory(void **state)
{
    unsigned shift, full = 0;

    (void)state;
    for (unsigned left = 0; left < 40; left++) {
        begin();
        assert_true(svm_mirror(&vcpu, false));
        frames_left = left;
        if (!svm_mirror(&vcpu, true)) {
            assert_null(x->mirror);
            assert_int_equal(frames, 0);
            assert_in_range(left, 0, 5);
            continue;
        }
        assert_true(mirror_before(&vcpu, x));
        for (unsigned n = 0; n < 64; n++) {
            if (svm_mirror_show(&vcpu, place(n), 12, 0x1061, false) == MIRROR_FULL) {
                full++;
                assert_int_equal(seen(place(n), &shift), 0);
            } else {
                assert_int_equal(seen(place(n), &shift), 0x1061);
            }
        }
        finish();
    }
    assert_true(full > 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE("svm_mirror", test_levels),    CASE("svm_mirror", test_forgets),
        CASE("svm_mirror", test_without),   CASE("svm_mirror", test_random),
        CASE("svm_mirror", test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
