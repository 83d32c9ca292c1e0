/* SPDX-License-Identifier: MIT */
/*
 * Guest page walks and copies against a model that follows SDM 3, chapter 4 step by step. A small
 * guest has random page tables in pages that are scattered over its physical addresses; some
 * entries point to nothing.
 */
#include "hand_guest.h"

/* ---- the model: on a copy of the guest's RAM, so that it can write, too ---- */

static uint8_t (*model_pages)[PAGE_SIZE];

struct translation {
    bool present, write, user, reserved;
    uint64_t address;
};
static const struct translation none, reserved = {.reserved = true};

static bool model_read(uint64_t address, unsigned size, uint64_t *value)
{
    const uint8_t *page = page_in(model_pages, address / PAGE_SIZE);

    *value = 0;
    if (page) {
        memcpy(value, page + address % PAGE_SIZE, size);
    }
    return page != NULL;
}

/* Table 4-4. */
static struct translation model_4m(uint64_t pde, uint64_t a)
{
    uint64_t high = (pde >> 13) % 512; /* address bits 32 and up; bit 21 is none */

    if (high >> 8 || high >> (cpu.bits - 32)) {
        return reserved;
    }
    return (struct translation){.present = true,
                                .write = pde >> 1 & 1,
                                .user = pde >> 2 & 1,
                                .address =
                                    (pde >> 22) * 0x400000 + high * 0x100000000 + a % 0x400000};
}

static struct translation model_32(uint64_t a)
{
    uint64_t pde, pte;

    if (!model_read((cpu.cr3 & 0xfffff000) + 4 * (a >> 22), 4, &pde)) {
        return reserved; /* where no memory is, all ones are read */
    }
    if (!(pde & 1)) {
        return none;
    }
    if (cpu.mode == MODE_32_PSE && (pde >> 7 & 1)) {
        return model_4m(pde, a);
    }
    if (!model_read((pde & 0xfffff000) + 4 * (a / 4096 % 1024), 4, &pte)) {
        return reserved;
    }
    if (!(pte & 1)) {
        return none;
    }
    return (struct translation){.present = true,
                                .write = (pde & pte) >> 1 & 1,
                                .user = (pde & pte) >> 2 & 1,
                                .address = (pte & 0xfffff000) + a % 4096};
}

/* Bits 51:12 of an entry. */
static uint64_t entry_address(uint64_t e)
{
    return (e << 12) >> 24 << 12;
}

/* Tables 4-9 to 4-11 and 4-14 to 4-19, for an entry that maps `span` bytes. */
static bool model_reserved(uint64_t e, uint64_t span)
{
    unsigned top = cpu.mode == MODE_PAE ? 63 : 52;

    for (unsigned bit = cpu.bits; bit < top; bit++) {
        if (e >> bit & 1) {
            return true;
        }
    }
    if (e >> 63 && !cpu.nxe) {
        return true;
    }
    if (span == 4096 || !(e >> 7 & 1)) {
        return false;
    }
    return span > 1 << 30 || (span == 1 << 30 && !cpu.gib_pages) || e % span >> 13;
}

/* From a table whose entries map `span` bytes each, down to 4 KiB pages. */
static struct translation model_64(uint64_t table, uint64_t span, uint64_t a)
{
    struct translation t = {.present = true, .write = true, .user = true};
    uint64_t e;

    for (;; span /= 512) {
        if (!model_read(table + 8 * (a / span % 512), 8, &e)) {
            return reserved;
        }
        if (!(e & 1)) {
            return none;
        }
        if (model_reserved(e, span)) {
            return reserved;
        }
        t.write = t.write && (e & 2);
        t.user = t.user && (e & 4);
        if (span == 4096 || (e & 128)) {
            t.address = entry_address(e) / span * span + a % span;
            return t;
        }
        table = entry_address(e);
    }
}

static struct translation model_walk(uint64_t a)
{
    uint64_t pdpte;

    switch (cpu.mode) {
    case MODE_OFF:
        return (struct translation){
            .present = true, .write = true, .user = true, .address = a & 0xffffffff};
    case MODE_32:
    case MODE_32_PSE:
        return model_32(a & 0xffffffff);
    case MODE_PAE:
        a &= 0xffffffff;
        if (!model_read((cpu.cr3 & 0xffffffe0) + 8 * (a >> 30), 8, &pdpte)) {
            return reserved;
        }
        if (!(pdpte & 1)) {
            return none;
        }
        return model_64(entry_address(pdpte), 1 << 21, a);
    default:
        if (a + (1ULL << 47) >= 1ULL << 48) { /* not canonical */
            return none;
        }
        return model_64(entry_address(cpu.cr3), 1ULL << 39, a);
    }
}

/* By 4.6.1; `user`: an access of CPL 3. */
static bool model_allows(struct translation t, bool write, bool user)
{
    if (user && !t.user) {
        return false;
    }
    return !write || t.write || (!user && !cpu.wp);
}

/* One walk a page: a copy may well overwrite the tables that it is translated by. */
static int model_copy(uint64_t a, uint8_t *buffer, size_t n, bool write)
{
    uint8_t *page = NULL;

    for (size_t i = 0; i < n; i++, a++) {
        if (i == 0 || a % PAGE_SIZE == 0) {
            struct translation t = model_walk(a);

            page = t.present && model_allows(t, write, false)
                       ? page_in(model_pages, t.address / PAGE_SIZE)
                       : NULL;
        }
        if (!page) {
            return -EFAULT;
        }
        if (write) {
            page[a % PAGE_SIZE] = buffer[i];
        } else {
            buffer[i] = page[a % PAGE_SIZE];
        }
    }
    return 0;
}

static bool model_may(uint64_t a, bool write, uint32_t *error)
{
    struct translation t = model_walk(a);

    *error = (write ? 2 : 0) | (cpu.cpl == 3 ? 4 : 0) | (t.present ? 1 : 0) | (t.reserved ? 9 : 0);
    return t.present && model_allows(t, write, cpu.cpl == 3);
}

/* ---- random guests ---- */

static uint64_t pick(const uint64_t *from, unsigned n)
{
    return from[random_below(n)];
}

static uint64_t random_gfn(void)
{
    return random_below(12) == 0 ? NO_PAGE : pick(ram_gfns, 16 + random_below(PAGES - 15));
}

static uint64_t random_entry(void)
{
    uint64_t e = random_gfn() << PAGE_SHIFT;

    e |= random_below(16) ? PTE_P : 0;
    e |= random_below(4) ? PTE_W : 0;
    e |= random_below(4) ? PTE_U : 0;
    e |= random_below(4) ? 0 : PTE_LARGE;
    if (random_below(3) == 0) {
        e |= random_u64() & (0xfff0000000000e78ULL); /* NX, ignored bits, A, D, PWT, PCD */
    }
    if (random_below(6) == 0) {
        e ^= (random_u64() & 0xff) << 13; /* base bits that a large page may not have */
    }
    return e;
}

/* The indices that random_address() uses, in tables of 4-byte and of 8-byte entries. */
static void random_tables(void)
{
    static const unsigned indices[] = {0, 1, 2, 3, 255, 256, 511, 1023};

    for (unsigned p = 0; p < PAGES; p++) {
        for (unsigned i = 0; i < PAGE_SIZE; i += 8) {
            uint64_t x = random_u64();
            memcpy(ram_pages[p] + i, &x, 8);
        }
        for (unsigned i = 0; i < ARRAY_SIZE(indices); i++) {
            uint64_t e = random_entry();
            unsigned size = cpu.mode == MODE_32 || cpu.mode == MODE_32_PSE ? 4 : 8;

            if (indices[i] * size < PAGE_SIZE) {
                memcpy(ram_pages[p] + indices[i] * size, &e, size);
            }
        }
    }
}

static uint64_t random_index(void)
{
    static const uint64_t indices[] = {0, 0, 1, 1, 2, 3, 511};

    return pick(indices, ARRAY_SIZE(indices));
}

static uint64_t random_address(void)
{
    uint64_t offset = random_below(3) ? random_below(PAGE_SIZE) : PAGE_SIZE - 1 - random_below(8),
             a;

    switch (cpu.mode) {
    case MODE_OFF:
        return (pick(ram_gfns, PAGES) << PAGE_SHIFT) + offset;
    case MODE_32:
    case MODE_32_PSE:
        a = (random_below(8) ? random_index() : 1023) << 22 | random_index() << 12 | offset;
        break;
    case MODE_PAE:
        a = random_below(4) << 30 | random_index() << 21 | random_index() << 12 | offset;
        break;
    default:
        a = random_index() << 39 | random_index() << 30 | random_index() << 21 |
            random_index() << 12 | offset;
        a = (uint64_t)((int64_t)(a << 16) >> 16);
        break;
    }
    if (random_below(32) == 0) {
        a ^= random_u64() & 0xffff000000000000ULL; /* beyond 32 bits, or not canonical */
    }
    return a;
}

static void random_guest(enum mode mode)
{
    static const unsigned bits[] = {36, 40, 52, 52};

    cpu.mode = mode;
    cpu.wp = random_below(2);
    cpu.nxe = random_below(4);
    cpu.gib_pages = random_below(4);
    cpu.bits = bits[random_below(ARRAY_SIZE(bits))];
    beyond = FORMAT_ADDRESS_MASK; /* another machine */
    random_tables();
    cpu.cr3 = pick(ram_gfns, mode == MODE_LONG ? PAGES : 28) << PAGE_SHIFT;
    cpu.cr3 |= mode == MODE_PAE ? random_below(128) << 5 & 0xfe0 : random_u64() & 0xfff;
    if (mode == MODE_PAE) { /* its four entries can be anywhere in the page */
        for (unsigned i = 0; i < 4; i++) {
            uint64_t e = random_entry();
            memcpy(page_in(ram_pages, cpu.cr3 >> PAGE_SHIFT) + (cpu.cr3 & 0xfe0) + 8 * i, &e, 8);
        }
    }
    domain.physmap.ram_generation++;
    domain.physmap.flush.wanted++;
    memcpy(model_pages, ram_pages, PAGES * PAGE_SIZE);
}

/* The vCPU has run since the last access. */
static void forget(void)
{
    hand_forget(&vcpu);
    cpu.cpl = random_below(2) ? 3 : 0;
}

/* ---- tests ---- */

static unsigned check_translate(void)
{
    uint64_t a = random_address();
    struct translation t = model_walk(a);
    bool ok = t.present && model_allows(t, true, false);
    gpa_t g = gpa(0);

    assert_int_equal(hand_translate_to_write(&vcpu, gva(a), &g), ok);
    if (ok) {
        assert_int_equal(g.v, t.address);
    }
    assert_int_equal(hand_translate(&vcpu, gva(a), &g), t.present);
    if (t.present) {
        assert_int_equal(g.v, t.address);
    }
    return t.present + ok;
}

static unsigned check_copy_at(uint64_t a)
{
    uint8_t expected[3 * PAGE_SIZE], buffer[3 * PAGE_SIZE];
    size_t n = random_below(4) ? random_below(64) : random_below(sizeof(buffer));
    bool write = random_below(2);
    int rc;

    memset(buffer, (int)random_below(256), sizeof(buffer));
    memcpy(expected, buffer, sizeof(buffer));
    rc = model_copy(a, expected, n, write);
    assert_int_equal(write ? hand_copy_to(&vcpu, gva(a), buffer, n)
                           : hand_copy_from(&vcpu, buffer, gva(a), n),
                     rc);
    if (rc == 0) {
        assert_memory_equal(buffer, expected, sizeof(buffer));
    }
    assert_memory_equal(ram_pages, model_pages, PAGES * PAGE_SIZE);
    return rc == 0 && n > 0;
}

static unsigned check_copy(void)
{
    return check_copy_at(random_address());
}

/* Where the entries of a's walk are, the topmost first, and their size. */
static unsigned model_entries(uint64_t a, uint64_t where[4])
{
    unsigned n = 0;
    uint64_t e, table = cpu.cr3 & 0xfffff000, span;

    if (cpu.mode == MODE_OFF) {
        return 0;
    }
    if (cpu.mode == MODE_32 || cpu.mode == MODE_32_PSE) {
        a &= 0xffffffff;
        where[n++] = table + 4 * (a >> 22);
        model_read(where[0], 4, &e);
        if (!(cpu.mode == MODE_32_PSE && (e >> 7 & 1))) {
            where[n++] = (e & 0xfffff000) + 4 * (a / 4096 % 1024);
        }
        return n;
    }
    span = cpu.mode == MODE_PAE ? 1ULL << 21 : 1ULL << 39;
    table = entry_address(cpu.cr3);
    if (cpu.mode == MODE_PAE) {
        a &= 0xffffffff;
        model_read((cpu.cr3 & 0xffffffe0) + 8 * (a >> 30), 8, &e);
        table = entry_address(e);
    }
    for (;; span /= 512) {
        where[n++] = table + 8 * (a / span % 512);
        model_read(where[n - 1], 8, &e);
        if (span == 4096 || (e & 128)) {
            return n;
        }
        table = entry_address(e);
    }
}

/* Accessed and dirty bits as by SDM 3, 4.8. */
static void model_mark(uint64_t a, bool write)
{
    uint64_t where[4];
    unsigned n = model_entries(a, where);

    for (unsigned i = 0; i < n; i++) {
        page_in(model_pages, where[i] / PAGE_SIZE)[where[i] % PAGE_SIZE] |=
            (uint8_t)(0x20 | (i + 1 == n && write ? 0x40 : 0));
    }
}

static unsigned check_access(void)
{
    uint8_t buffer[8] = {1, 2, 3, 4, 5, 6, 7, 8}, before[8];
    uint64_t a = random_address(), fault = a, wrap = cpu.mode == MODE_LONG ? ~0ULL : 0xffffffff,
             second;
    struct hand_reach r = {.linear = a, .n = 1ULL << random_below(4)};
    bool write = random_below(2), ok;
    uint32_t wanted;

    r.rights = write ? RIGHT_R | RIGHT_W : RIGHT_R;
    memcpy(before, buffer, sizeof(buffer));
    fault &= wrap;
    second = ((fault & ~(PAGE_SIZE - 1ULL)) + PAGE_SIZE) & wrap;
    ok = model_may(fault, write, &wanted);
    if (ok && fault / PAGE_SIZE != (fault + r.n - 1) / PAGE_SIZE) {
        fault = second;
        ok = model_may(fault, write, &wanted);
    }
    assert_int_equal(hand_reach(&vcpu, &r), ok ? HAND_DONE : HAND_FAULT);
    if (!ok) {
        assert_int_equal(r.vector, EXC_PF);
        assert_int_equal(r.error, wanted);
        assert_int_equal(r.address, fault);
        assert_memory_equal(ram_pages, model_pages, PAGES * PAGE_SIZE);
        return false;
    }
    /* Where the bytes are is fixed before anything is written. */
    uint8_t *where[8];
    for (size_t i = 0; i < r.n; i++) {
        where[i] = page_in(model_pages, model_walk((a + i) & wrap).address / PAGE_SIZE);
        where[i] = where[i] ? where[i] + model_walk((a + i) & wrap).address % PAGE_SIZE : NULL;
    }
    uint64_t entries[2][4];
    unsigned nr[2] = {model_entries(a & wrap, entries[0]), 0};
    (void)nr;
    model_mark(a & wrap, write);
    if ((a & wrap) / PAGE_SIZE != ((a & wrap) + r.n - 1) / PAGE_SIZE) {
        model_mark(second, write);
    }
    if (write) {
        hand_write(&r, buffer);
    } else {
        hand_read(&r, buffer);
    }
    for (size_t i = 0; i < r.n; i++) {
        if (write && where[i]) {
            *where[i] = before[i];
        } else if (!write) {
            assert_int_equal(buffer[i], where[i] ? *where[i] : 0xff);
        }
    }
    assert_memory_equal(ram_pages, model_pages, PAGES * PAGE_SIZE);
    return true;
}

/* The guest changes a paging entry on a's way, without a word to anybody. */
static void change_entry(uint64_t a)
{
    uint64_t where[4], e = random_entry();
    unsigned n = model_entries(a, where), size = cpu.mode < MODE_PAE ? 4 : 8;
    uint64_t at = n ? where[random_below(n)] : 0;
    uint8_t *page = page_in(ram_pages, at / PAGE_SIZE);

    if (n && page) {
        if (random_below(2)) { /* a bit of it */
            e = 0;
            memcpy(&e, page + at % PAGE_SIZE, size);
            e ^= 1ULL << random_below(8 * size);
        }
        memcpy(page + at % PAGE_SIZE, &e, size);
        memcpy(model_pages, ram_pages, PAGES * PAGE_SIZE);
    }
}

/*
 * What is remembered of a walk is what a walk would find, whatever the guest did since, and
 * whichever law counts; while nothing is said that a frame or a right was lost.
 */
static unsigned check_kept(void)
{
    static uint64_t known[3];
    uint64_t *a = &known[random_below(ARRAY_SIZE(known))];

    for (unsigned i = 0; i < 20 && (i > 0 || random_below(8) == 0) && !model_walk(*a).present;
         i++) {
        *a = random_address();
    }
    switch (random_below(16)) {
    case 0:
    case 1:
    case 2:
        change_entry(*a);
        break;
    case 3:
        cpu.wp = !cpu.wp;
        break;
    case 4:
        cpu.nxe = !cpu.nxe;
        break;
    case 5: /* another process, and back */
        cpu.cr3 ^= 1ULL << PAGE_SHIFT;
        break;
    case 6:
        domain.physmap.audited = !domain.physmap.audited;
        break;
    default:
        break;
    }
    return check_copy_at(*a);
}

static void in_every_mode(unsigned (*check)(void))
{
    for (unsigned mode = 0; mode < MODES; mode++) {
        unsigned good = 0;

        random_seed(mode + 1);
        for (unsigned guest = 0; guest < 120; guest++) {
            random_guest((enum mode)mode);
            for (unsigned i = 0; i < 60; i++) {
                forget();
                good += check();
            }
        }
        assert_in_range(good, 300, 120 * 60 * 7); /* enough got through to be a test */
    }
}

static void test_translate(void **state)
{
    (void)state;
    in_every_mode(check_translate);
}

static void test_copy(void **state)
{
    (void)state;
    in_every_mode(check_copy);
}

static void test_access(void **state)
{
    (void)state;
    in_every_mode(check_access);
}

static void test_kept(void **state)
{
    (void)state;
    in_every_mode(check_kept);
    domain.physmap.audited = false;
}
static int set_up(void **state)
{
    model_pages = aligned_alloc(PAGE_SIZE, PAGES * PAGE_SIZE);
    return hand_guest_set_up(state) == 0 && model_pages ? 0 : -1;
}

static int tear_down(void **state)
{
    free(model_pages);
    return hand_guest_tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("hv/vcpu/hand", test_translate),
        CASE("hv/vcpu/hand", test_copy),
        CASE("hv/vcpu/hand", test_access),
        CASE("hv/vcpu/hand", test_kept),
    };

    return cmocka_run_group_tests_name("hv/vcpu/hand", tests, set_up, tear_down);
}
