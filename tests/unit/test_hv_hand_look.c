/* SPDX-License-Identifier: MIT */
/*
 * The walk for a mirror (hv/vcpu/hand_look.c) against SDM 3, 4.6 to 4.8: all flags of an entry and
 * of those above it, all accesses, sizes of pages and modes; and tables that may not be written.
 */
#include "hand_guest.h"
#include "hv/vcpu/hand_look.c"

#define FLAG_W  2ULL
#define FLAG_U  4ULL
#define FLAG_A  0x20ULL
#define FLAG_D  0x40ULL
#define FLAG_PS 0x80ULL
#define FLAG_G  0x100ULL
#define FLAG_NX (1ULL << 63)

#define ERROR_P    1u
#define ERROR_W    2u
#define ERROR_U    4u
#define ERROR_RSVD 8u
#define ERROR_I    16u

static const uint64_t address = 0x7f0000000000 | 7ULL << 30 | 9ULL << 21 | 11ULL << 12;
static uint64_t *entries[4]; /* from the top */
static unsigned levels;

/* Tables in gfns 1 to 4, which lead to gfn 5, or to a large page of those around 0x40000. */
static void make(unsigned pages, uint64_t upper, uint64_t leaf)
{
    memset(ram_pages, 0, 5 * PAGE_SIZE);
    levels = pages;
    for (unsigned i = 0; i < levels; i++) {
        bool last = i + 1 == levels;
        uint64_t to = !last ? i + 2 : levels == 4 ? 5 : 0x40000;

        entries[i] = (uint64_t *)(void *)ram_pages[i + 1] + (address >> (39 - 9 * i) & 511);
        *entries[i] = to << PAGE_SHIFT | (!last ? upper | 1 : levels == 4 ? leaf : leaf | FLAG_PS);
    }
    hand_forget(&vcpu);
}

static void begin(void)
{
    cpu = (struct guest_state){
        .mode = MODE_LONG, .wp = true, .bits = 40, .cr3 = 1 << PAGE_SHIFT, .gib_pages = true};
    beyond = FORMAT_ADDRESS_MASK; /* another machine */
    domain.physmap.ram_generation++;
    domain.physmap.flush.wanted++;
    view_gives_all();
    listener = false;
}

static bool allowed_by_book(uint64_t rights, bool no_code, uint32_t error)
{
    bool write = error & ERROR_W, fetch = error & ERROR_I;

    if (write && !(rights & FLAG_W)) {
        return false;
    }
    if (fetch && no_code) {
        return false;
    }
    if (error & ERROR_U) {
        return rights & FLAG_U;
    }
    if (!(rights & FLAG_U)) {
        return true;
    }
    return fetch ? !cpu.smep : !cpu.smap || (cpu.ac && cpu.cpl == 0);
}

static void check(uint64_t upper, uint64_t leaf, uint32_t asked)
{
    struct hand_look l = {.linear = address, .error = asked};
    uint64_t rights = upper & leaf & (FLAG_W | FLAG_U), was = *entries[levels - 1];
    bool nx = cpu.nxe && ((upper | leaf) & FLAG_NX);
    bool reserved = !cpu.nxe && ((upper | leaf) & FLAG_NX);
    bool dirty = (leaf & FLAG_D) || (asked & ERROR_W);
    enum hand_answer answer = hand_look(&vcpu, &l);
    uint64_t expected;

    if (!(leaf & 1) || reserved || !allowed_by_book(rights, nx, asked)) {
        bool met = leaf & 1 ? reserved : reserved && (upper & FLAG_NX);

        assert_int_equal(answer, HAND_FAULT);
        assert_int_equal(l.error, asked | (met ? ERROR_P | ERROR_RSVD : leaf & 1 ? ERROR_P : 0));
        assert_int_equal(*entries[levels - 1], was);
        return;
    }
    assert_int_equal(answer, HAND_DONE);
    for (unsigned i = 0; i < levels; i++) {
        assert_int_equal(*entries[i] & FLAG_A, FLAG_A);
    }
    assert_int_equal(!!(*entries[levels - 1] & FLAG_D), dirty);
    expected = (levels == 4 ? 5ULL << PAGE_SHIFT : 0x40000ULL << PAGE_SHIFT | FLAG_PS) | 1 |
               FLAG_A | FLAG_D | (rights & FLAG_U) | (dirty ? rights & FLAG_W : 0) |
               (nx ? FLAG_NX : 0);
    assert_int_equal(l.entry, expected);
    assert_int_equal(l.shift, 12 + 9 * (4 - levels));
    assert_int_equal(l.global, cpu.pge && (leaf & FLAG_G));
    assert_false(l.guarded);
}

static uint64_t flags(unsigned bits)
{
    static const uint64_t which[] = {1, FLAG_W, FLAG_U, FLAG_A, FLAG_D, FLAG_G, FLAG_NX};
    uint64_t all = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(which); i++) {
        all |= bits >> i & 1 ? which[i] : 0;
    }
    return all;
}

static void each_access(uint64_t upper, uint64_t leaf)
{
    static const uint32_t accesses[] = {0, ERROR_W, ERROR_I};

    for (unsigned how = 0; how < 6; how++) {
        for (unsigned pages = 2; pages <= 4; pages++) {
            make(pages, upper, leaf);
            check(upper, leaf, accesses[how % 3] | (how < 3 ? 0 : ERROR_U));
        }
    }
}

static void test_all(void **state)
{
    (void)state;
    begin();
    for (unsigned mode = 0; mode < 64; mode++) {
        cpu.smep = mode & 1;
        cpu.smap = mode & 2;
        cpu.ac = mode & 4;
        cpu.cpl = mode & 8 ? 3 : 0;
        cpu.nxe = mode & 16;
        cpu.pge = mode & 32;
        for (unsigned bits = 0; bits < 128; bits++) {
            for (unsigned above = 0; above < 8; above++) {
                each_access(flags((above & 3) << 1 | (above & 4) << 4), flags(bits));
            }
        }
    }
}

/* What keeps caching, and the bits of a protection key. */
static void test_kept(void **state)
{
    struct hand_look l = {.linear = address};
    uint64_t kept = 0x7800000000000098, leaf = 5 << PAGE_SHIFT | 1 | FLAG_A | kept;

    (void)state;
    begin();
    make(4, FLAG_W | FLAG_U, leaf);
    assert_int_equal(hand_look(&vcpu, &l), HAND_DONE);
    assert_int_equal(l.entry, leaf | FLAG_D);
}

/* Tables that the view lets be read and not written, each of them, or not even read. */
static void test_guarded(void **state)
{
    (void)state;
    begin();
    for (unsigned table = 1; table <= 4; table++) {
        for (unsigned marked = 0; marked < 2; marked++) {
            uint64_t flag = marked ? FLAG_A : 0;
            struct hand_look l = {.linear = address};

            make(4, FLAG_W | flag, 1 | FLAG_W | flag);
            view_gives_all();
            view_says.access[table] = XENMEM_access_r;
            domain.physmap.flush.wanted++;
            assert_int_equal(hand_look(&vcpu, &l), marked ? HAND_DONE : HAND_DENIED);
            assert_true(l.guarded);
            if (!marked) {
                assert_int_equal(l.denied, RIGHT_R | RIGHT_W);
                assert_int_equal(l.gpa.v >> PAGE_SHIFT, table);
                assert_int_equal(*entries[table - 1] & FLAG_A, 0);
            }
            l = (struct hand_look){.linear = address, .error = ERROR_W, .marks = true};
            assert_int_equal(hand_look(&vcpu, &l), HAND_DONE);
            assert_int_equal(*entries[table - 1] & FLAG_A, FLAG_A);
            assert_int_equal(*entries[3] & FLAG_D, FLAG_D);
            view_says.access[table] = XENMEM_access_n;
            domain.physmap.flush.wanted++;
            assert_int_equal(hand_look(&vcpu, &l), HAND_DENIED);
            assert_int_equal(l.denied, RIGHT_R);
            assert_int_equal(l.gpa.v >> PAGE_SHIFT, table);
        }
    }
    assert_int_equal(view_says.faults, 0);
}

/* Another domain's frame that was given to be read alone is not written, whoever lets it be. */
static void test_fixed(void **state)
{
    (void)state;
    begin();
    for (unsigned how = 0; how < 2; how++) {
        for (unsigned table = 1; table <= 4; table++) {
            struct hand_look l = {.linear = address, .error = ERROR_W, .marks = how == 0};

            make(4, FLAG_W, 1 | FLAG_W);
            view_gives_all();
            view_says.fixed = (uint16_t)(1u << table);
            vcpu.altp2m.lifted = how == 1;
            domain.physmap.flush.wanted++;
            assert_int_equal(hand_look(&vcpu, &l), HAND_DENIED);
            assert_int_equal(l.denied, RIGHT_R | RIGHT_W);
            assert_int_equal(l.gpa.v >> PAGE_SHIFT, table);
            assert_int_equal(*entries[table - 1] & (FLAG_A | FLAG_D), 0);
        }
    }
    vcpu.altp2m.lifted = false;
}

/* Without NX and SMEP a fetch looks like a read: it is one where RIP is, and SMAP does not count.
 */
static void test_untold_fetch(void **state)
{
    static const struct {
        uint64_t rip;
        uint32_t error;
        bool smep, nxe, done;
    } cases[] = {
        {address + 8, 0, false, false, true},       {address + 8, ERROR_W, false, false, false},
        {address - 6, 0, false, false, true},       {address - 7, 0, false, false, false},
        {address + 8, 0, true, false, false},       {address + 8, 0, false, true, false},
        {address + 0x1000, 0, false, false, false},
    };

    (void)state;
    begin();
    cpu.smap = true;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct hand_look l = {.linear = address + 8, .error = cases[i].error};

        make(4, FLAG_W | FLAG_U, 1 | FLAG_W | FLAG_U);
        cpu.rip = cases[i].rip;
        cpu.smep = cases[i].smep;
        cpu.nxe = cases[i].nxe;
        assert_int_equal(hand_look(&vcpu, &l), cases[i].done ? HAND_DONE : HAND_FAULT);
    }
    cpu.rip = 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE("hv/vcpu/hand_look", test_all),          CASE("hv/vcpu/hand_look", test_kept),
        CASE("hv/vcpu/hand_look", test_guarded),      CASE("hv/vcpu/hand_look", test_fixed),
        CASE("hv/vcpu/hand_look", test_untold_fetch),
    };

    return cmocka_run_group_tests(tests, hand_guest_set_up, hand_guest_tear_down);
}
