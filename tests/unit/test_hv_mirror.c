/* SPDX-License-Identifier: MIT */
/*
 * hv/vcpu/mirror.c without a processor: what a walk finds in the mirror is what was shown there
 * last and not taken away since, whatever happens in between; nothing in it leads to the mirror
 * itself; what a TLB may hold is forgotten when it goes; and all frames come back.
 */
#include "hv_test.h"
#include <stdlib.h>
#include <string.h>
#include "x86/cpu.h"

static struct cpu test_cpu;
#define cpu_loaded(v) (test_cpu.loaded == (v))
#include "mm/frame.h"
#include "vcpu.h"
#include "vcpu/mirror.h"

static struct vcpu vcpu;
static struct physmap physmap;
static unsigned frames, frames_left = ~0u;

/* All or none, and nothing that was in them before is zero. */
bool physmap_lend(struct altp2m_vcpu *v, unsigned nr, mfn_t *pages)
{
    assert_ptr_equal(v, &vcpu.altp2m);
    if (frames_left < nr) {
        return false;
    }
    for (unsigned i = 0; i < nr; i++) {
        pages[i] = frame_of(memset(aligned_alloc(PAGE_SIZE, PAGE_SIZE), 0xa5, PAGE_SIZE));
    }
    frames += nr;
    frames_left -= nr;
    return true;
}

void physmap_take_back(struct altp2m_vcpu *v, mfn_t page)
{
    assert_ptr_equal(v, &vcpu.altp2m);
    assert_true(frames > 0);
    frames--;
    frames_left++;
    free(frame_virt(page));
}

static struct vcpu *borrowed;

struct vcpu *vcpu_borrow(struct vcpu *v)
{
    struct vcpu *before = test_cpu.loaded;

    test_cpu.loaded = borrowed = v;
    return before;
}

void vcpu_return(struct vcpu *v, struct vcpu *before)
{
    assert_ptr_equal(v, borrowed);
    test_cpu.loaded = before;
}

/* Of the kind that has mirrors: read, write, execute are the bits of the guest's own entries. */
static const struct table_format format = {
    .rights = {[ACCESS_RWX] = 6}, .full = 0x26, .leaf_ram = 0x60, .valid = 1};
struct vendor_caps vendor_caps = {.format = &format, .mirror_slot = 1};

static struct {
    uint64_t cr0, cr3, cr4, efer;
} cpu;
static const uint64_t *entered; /* nested */
static uint64_t entered_cr3;
static uint64_t view_root[PT_ENTRIES] __attribute__((aligned(PAGE_SIZE)));

uint64_t vmx_get(const struct vcpu *v, enum vcpu_field f)
{
    assert_ptr_equal(v, &vcpu);
    switch (f) {
    case VCPU_CR0:
        return cpu.cr0;
    case VCPU_CR3:
        return cpu.cr3;
    case VCPU_CR4:
        return cpu.cr4;
    default:
        assert_int_equal(f, VCPU_EFER);
        return cpu.efer;
    }
}

static unsigned flushes;

void vmx_flush(struct vcpu *v, mfn_t root)
{
    assert_ptr_equal(v, &vcpu);
    assert_true(mfn_eq(root, MFN_INVALID));
    flushes++;
}

#include "vcpu/mirror.c"

#define MINE (1ULL << 39) /* where the mirror is, with 40 bits */

/* An entry: whether it is by the mirror, and whether the TLB is emptied first. */
static bool enter(bool *forgets)
{
    bool mirrored = vcpu_mirror_before(&vcpu, forgets);
    struct mirror_place place;

    entered = view_root;
    entered_cr3 = cpu.cr3;
    if (mirrored) {
        place = vcpu_mirror_place(&vcpu, view_root);
        entered = place.root;
        entered_cr3 = place.cr3;
    }
    return mirrored;
}

static bool mirrored(void)
{
    bool forgets;

    return enter(&forgets);
}

static void begin(void)
{
    bool forgets;

    memset(&vcpu, 0, sizeof(vcpu));
    memset(view_root, 0, sizeof(view_root));
    test_cpu.loaded = &vcpu;
    cpu.efer = EFER_LMA;
    cpu.cr0 = X86_CR0_PG | X86_CR0_WP;
    cpu.cr3 = 0x5000;
    view_root[0] = 0x1234007;
    vcpu.altp2m.pm = &physmap;
    vcpu.altp2m.root = frame_of(view_root);
    frames_left = ~0u;
    assert_true(vcpu_mirror_make(&vcpu));
    assert_true(enter(&forgets) && forgets);
    assert_true(enter(&forgets) && !forgets);
}

static void finish(void)
{
    vcpu_mirror_end(&vcpu);
    vcpu_mirror_end(&vcpu);
    assert_null(vcpu.mirror);
    assert_int_equal(frames, 0);
}

/* The page at a guest physical address, as the entry's nested tables have it. */
static const uint64_t *nested(uint64_t a)
{
    const uint64_t *t = entered;

    for (unsigned shift = 39; shift >= 12; shift -= 9) {
        uint64_t e = t[a >> shift & 511];

        assert_int_equal(e & 7, 7);
        t = (const uint64_t *)(e & FORMAT_ADDRESS_MASK);
    }
    return t;
}

/* The leaf that the processor finds, or 0. */
static uint64_t walk(uint64_t a, unsigned *shift)
{
    uint64_t table = entered_cr3, e;

    for (*shift = 39;; *shift -= 9) {
        e = nested(table)[a >> *shift & 511];
        if (!(e & 1) || *shift == 12 || (e & LARGE)) {
            break;
        }
        assert_int_equal(e & 0xfff, 0x27);
        table = e & FORMAT_ADDRESS_MASK;
        assert_in_range(table, MINE, MINE + (PAGES - 1) * PAGE_SIZE);
    }
    if (e & 1) { /* nowhere into the mirror */
        assert_int_not_equal((e & FORMAT_ADDRESS_MASK) >> 30, MINE >> 30);
    }
    return e & 1 ? e : 0;
}

/* forgets: the TLB is emptied in time. */
static uint64_t seen_so(uint64_t a, unsigned *shift, bool *forgets)
{
    assert_true(enter(forgets));
    assert_int_equal(entered_cr3, MINE);
    assert_int_equal(entered[0], view_root[0]);
    return walk(a, shift);
}

static uint64_t seen(uint64_t a, unsigned *shift)
{
    bool forgets;

    return seen_so(a, shift, &forgets);
}

static void test_levels(void **state)
{
    unsigned shift;

    (void)state;
    begin();
    assert_int_equal(seen(0x123456789000, &shift), 0);
    assert_int_equal(vcpu_mirror_show(&vcpu, 0x123456789000, 12, 0x7063, false), MIRROR_SHOWN);
    assert_int_equal(vcpu_mirror_show(&vcpu, 0x123456789000, 12, 0x7063, false), MIRROR_SAME);
    assert_int_equal(seen(0x123456789000, &shift), 0x7063);
    assert_int_equal(seen(0x12345678a000, &shift), 0);
    vcpu_mirror_show(&vcpu, 0xffff888000200000, 21, 0x2000e3, true);
    assert_int_equal(seen(0xffff8880003ff123, &shift), 0x2000e3 | GLOBAL);
    assert_int_equal(shift, 21);
    vcpu_mirror_show(&vcpu, 0xffff888000201000, 12, 0x201063, true); /* by smaller pages now */
    assert_int_equal(seen(0xffff888000201000, &shift), 0x201063 | GLOBAL);
    assert_int_equal(seen(0xffff888000202000, &shift), 0);
    /* not into the mirror, but behind it */
    assert_int_equal(vcpu_mirror_show(&vcpu, 0x7fc0000000, 30, MINE | 0xe3, false), MIRROR_NOWHERE);
    assert_int_equal(vcpu_mirror_show(&vcpu, 0x1000, 12, (MINE + 0x3000) | 0x63, false),
                     MIRROR_NOWHERE);
    assert_int_equal(seen(0x7fc0000000, &shift), 0);
    assert_int_equal(seen(0x1000, &shift), 0);
    vcpu_mirror_show(&vcpu, 0x1000, 12, (MINE + (1ULL << 30)) | 0x63, false);
    assert_int_equal(seen(0x1000, &shift), (MINE + (1ULL << 30)) | 0x63);
    finish();
}

/* A large page that gives way to a table is forgotten, too. */
static void test_smaller(void **state)
{
    unsigned shift;
    bool forgets;

    (void)state;
    begin();
    vcpu_mirror_show(&vcpu, 0x200000, 21, 0x2000e3, false);
    assert_int_equal(seen(0x200000, &shift), 0x2000e3);
    vcpu_mirror_show(&vcpu, 0x201000, 12, 0x7063, false);
    assert_int_equal(seen_so(0x202000, &shift, &forgets), 0);
    assert_true(forgets);
    finish();
}

/* What a TLB keeps when CR3 is loaded is kept, and nothing when modes, views or rights change. */
static void test_forgets(void **state)
{
    unsigned shift;
    bool forgets;

    (void)state;
    begin();
    for (unsigned i = 0; i < 8; i++) {
        vcpu_mirror_show(&vcpu, 0x1000, 12, 0x1063, true); /* in the lower half nothing stays */
        vcpu_mirror_show(&vcpu, 0x2000, 12, 0x2063, false);
        vcpu_mirror_show(&vcpu, ~0xfffULL, 12, 0x3063, true);
        vcpu_mirror_show(&vcpu, ~0x1fffULL, 12, 0x4063, false);
        vcpu.mirror_flushed = true;
        cpu.cr0 ^= i == 1 ? X86_CR0_WP : 0;
        cpu.cr4 ^= i == 3 ? X86_CR4_PGE : 0;
        vcpu.altp2m.view.v += i == 4;
        vcpu.altp2m.lifted = i == 5;
        physmap.flush.wanted += i == 2 || i == 6;
        physmap.flush.kept += i == 2; /* only rights to write */
        cpu.cr3 += i == 7 ? PAGE_SIZE : 0;
        assert_int_equal(enter(&forgets), i != 1);
        assert_true(forgets);
        if (i == 1) {
            cpu.cr0 |= X86_CR0_WP;
            assert_true(mirrored());
        }
        assert_int_equal(seen(0x1000, &shift), 0);
        assert_int_equal(seen(0x2000, &shift), 0);
        assert_int_equal(seen(~0x1fffULL, &shift), 0);
        assert_int_equal(seen(~0xfffULL, &shift), i == 0 || i == 2 || i == 7 ? 0x3063 | GLOBAL : 0);
    }
    finish();
}

/* Not while the agent runs, and not where the guest has memory of its own. What was hidden then is
 * forgotten when the processor is to walk it again. */
static void test_without(void **state)
{
    unsigned shift;
    bool forgets;

    (void)state;
    begin();
    vcpu_mirror_show(&vcpu, 0x1000, 12, 0x1063, false);
    vcpu_mirror_hide(&vcpu, 0x1000, false);
    vcpu_mirror_show(&vcpu, 0x1000, 12, 0x1063, false);
    vcpu.altp2m.inside = true;
    cpu.cr3 = 0x9000;
    assert_false(enter(&forgets));
    assert_false(forgets);
    vcpu.altp2m.inside = false;
    cpu.cr3 = 0x5000;
    assert_true(enter(&forgets) && forgets);
    assert_int_equal(seen(0x1000, &shift), 0x1063);
    view_root[1] = 0x5007;
    assert_false(mirrored());
    view_root[1] = 0;
    assert_true(mirrored());
    assert_int_equal(seen(0x1000, &shift), 0);
    finish();
}

/* What is global goes, too, and without a mirror the processor alone is told. */
static void test_forget_all(void **state)
{
    unsigned shift;

    (void)state;
    begin();
    vcpu_mirror_show(&vcpu, ~0xfffULL, 12, 0x3063, true);
    flushes = 0;
    vcpu_mirror_forget(&vcpu);
    assert_int_equal(flushes, 1);
    assert_int_equal(seen(~0xfffULL, &shift), 0);
    finish();
    vcpu_mirror_forget(&vcpu);
    assert_int_equal(flushes, 2);
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
        uint64_t e = ((uint64_t)random_below(9) << 12) | 0x61, was;
        bool forgets;

        was = seen(place(n), &shift);
        assert_true(was == 0 || was == last[n]);
        found += was != 0;
        switch (random_below(16)) {
        case 0:
            vcpu_mirror_hide(&vcpu, place(n), random_below(64) == 0);
            assert_int_equal(seen_so(place(n), &shift, &forgets), 0);
            assert_true(forgets);
            break;
        case 1:
            if (random_below(32) == 0) {
                vcpu.mirror_flushed = true;
                assert_true(enter(&forgets) && forgets);
                for (unsigned p = 0; p < PLACES; p++) {
                    last[p] = last[p] & GLOBAL ? last[p] : 0;
                }
            }
            break;
        default:
            vcpu_mirror_show(&vcpu, place(n), 12, e, n % 3 == 0);
            last[n] = e | (n % 3 == 0 ? GLOBAL : 0);
            assert_int_equal(seen_so(place(n), &shift, &forgets), last[n]);
            assert_true(!was || was == last[n] || forgets);
        }
    }
    assert_true(found > 10000);
    finish();
}

/* A vCPU that goes offline gives all back, and forgets what the processor knows of it, wherever it
 * is loaded. */
static void test_stop(void **state)
{
    struct vcpu other = {.id = 1};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        begin();
        vcpu_mirror_show(&vcpu, 0x1000, 12, 0x1063, false);
        test_cpu.loaded = i ? &other : &vcpu;
        borrowed = NULL;
        flushes = 0;
        vcpu_mirror_stop(&vcpu);
        assert_ptr_equal(test_cpu.loaded, i ? &other : &vcpu);
        assert_null(vcpu.mirror);
        assert_int_equal(frames, 0);
        assert_int_equal(flushes, 1);
        borrowed = NULL;
        vcpu_mirror_stop(&vcpu); /* there is none */
        assert_null(borrowed);
        assert_int_equal(flushes, 1);
    }
}

/* It takes what it needs, and not more than it is promised to. */
static void test_bound(void **state)
{
    (void)state;
    begin();
    assert_int_equal(frames, 1 + WAY + PAGES_FIRST);
    for (unsigned n = 0; n < 4 * PAGES; n++) {
        vcpu_mirror_show(&vcpu, (uint64_t)n << 21, 12, 0x1061, false);
    }
    assert_int_equal(frames, 1 + WAY + PAGES);
    finish();
}

/* There is one with what one instruction needs, or none. */
static void test_no_memory(void **state)
{
    unsigned shift, none = 0;

    (void)state;
    for (unsigned left = 0; left < PAGES_FIRST + 40; left++) {
        begin();
        vcpu_mirror_end(&vcpu);
        frames_left = left;
        if (!vcpu_mirror_make(&vcpu)) {
            assert_null(vcpu.mirror);
            assert_int_equal(frames, 0);
            none++;
            continue;
        }
        assert_true(mirrored());
        for (unsigned round = 0; round < 10; round++) {
            for (unsigned n = 0; n < 20; n++) {
                unsigned at = random_below(PLACES) * 19; /* no two in one table */

                vcpu_mirror_hide(&vcpu, 0, true);
                for (unsigned i = 0; i < n; i++) {
                    vcpu_mirror_show(&vcpu, place(at + i * 4096), 12, 0x1061, false);
                }
                for (unsigned i = 0; i < n; i++) {
                    assert_int_equal(seen(place(at + i * 4096), &shift), 0x1061);
                }
            }
        }
        finish();
    }
    assert_int_equal(none, PAGES_FIRST + 5);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE("hv/vcpu/mirror", test_levels),     CASE("hv/vcpu/mirror", test_smaller),
        CASE("hv/vcpu/mirror", test_forgets),    CASE("hv/vcpu/mirror", test_without),
        CASE("hv/vcpu/mirror", test_random),     CASE("hv/vcpu/mirror", test_no_memory),
        CASE("hv/vcpu/mirror", test_forget_all), CASE("hv/vcpu/mirror", test_stop),
        CASE("hv/vcpu/mirror", test_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
