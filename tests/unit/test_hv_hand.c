/* SPDX-License-Identifier: MIT */
/*
 * Guest page walks and copies against a model that follows SDM 3, chapter 4 step by step. A small
 * guest has random page tables in pages that are scattered over its physical addresses; some
 * entries point to nothing.
 */
#include "hv_test.h"
#include <stdlib.h>
#include <string.h>
#include "guest/xen_abi.h"
#include "x86/cpu.h"

static struct cpu test_cpu;
#define this_cpu()    (&test_cpu)
#define cpu_loaded(v) (test_cpu.loaded == (v))
#include "hv/vcpu/hand.c"
#include "hv/vcpu/hand_page.c"
#include "hv/vcpu/hand_reach.c"
#include "hv/vcpu/hand_walk.c"

/* Where the guest has RAM. The odd ones are what indices 0 to 3 and 511 make of large pages. */
static const uint64_t ram_gfns[] = {
    0,        1,        2,     3,       4,        5,         6,
    7,        8,        9,     10,      11,       12,        13,
    14,       15,       511,   512,     513,      514,       515,
    1024,     1025,     1535,  0x3ffff, 0x40000,  0x40001,   0xfffff,
    0x100000, 0x100001, 0x200, 0x201,   0x100200, 0xff00000, 0xffffffffffULL,
};
#define PAGES   ARRAY_SIZE(ram_gfns)
#define NO_PAGE 0x777u /* a gfn without RAM */

enum mode { MODE_OFF, MODE_32, MODE_32_PSE, MODE_PAE, MODE_LONG, MODES };

static struct {
    enum mode mode;
    uint64_t cr3, rip;
    bool wp, smap, ac, nxe, gib_pages;
    unsigned cpl, bits; /* of a physical address */
} cpu;

static uint8_t (*ram_pages)[PAGE_SIZE]; /* one for each of ram_gfns */
static struct domain domain;
static struct vcpu vcpu = {.domain = &domain};
static bool listener; /* a monitor listens */
static bool moved;    /* gfn 5 shows the frame of gfn 6 */

/* ---- what the hand asks for ---- */

uint64_t vmx_get(const struct vcpu *v, enum vcpu_field f)
{
    assert_ptr_equal(test_cpu.loaded, v);
    switch (f) {
    case VCPU_RIP:
        return cpu.rip;
    case VCPU_CODE_64:
        return cpu.mode == MODE_LONG;
    case VCPU_CPL:
        return cpu.cpl;
    case VCPU_CR0:
        return X86_CR0_PE | (cpu.mode == MODE_OFF ? 0 : X86_CR0_PG) | (cpu.wp ? X86_CR0_WP : 0);
    case VCPU_CR3:
        return cpu.cr3;
    case VCPU_CR4:
        return (cpu.mode == MODE_32_PSE ? X86_CR4_PSE : 0) |
               (cpu.mode >= MODE_PAE ? X86_CR4_PAE : 0) | (cpu.smap ? X86_CR4_SMAP : 0);
    case VCPU_EFER:
        return (cpu.mode == MODE_LONG ? EFER_LMA : 0) | (cpu.nxe ? EFER_NXE : 0);
    case VCPU_RFLAGS:
        return cpu.ac ? X86_EFLAGS_AC : 0;
    default:
        fail_msg("field %d", f);
        return 0;
    }
}

unsigned cpuid_physical_bits(void)
{
    return cpu.bits;
}

bool cpuid_gib_pages(void)
{
    return cpu.gib_pages;
}

static uint8_t *page_in(uint8_t (*pages)[PAGE_SIZE], uint64_t g)
{
    for (unsigned i = 0; i < PAGES; i++) {
        if (ram_gfns[i] == g) {
            return pages[i];
        }
    }
    return NULL;
}

/* What the vCPU's view says of each gfn, where it is not everything, and what the core makes
 * of a violation. */
static struct {
    access_t access[16];
    bool remapped; /* gfn 5 shows the frame of gfn 6 */
    enum fault_result answer;
    unsigned faults;
    uint64_t fault_gfn;
    unsigned fault_rights;
} view_says;

static void view_gives_all(void)
{
    memset(&view_says, 0, sizeof(view_says));
    memset(view_says.access, XENMEM_access_rwx, sizeof(view_says.access));
}

bool view_lookup(struct physmap *pm, view_t v, gfn_t g, struct mapping *out)
{
    bool host = view_eq(v, VIEW_NONE) && !view_eq(vcpu.altp2m.view, VIEW_NONE);
    uint64_t at = moved && g.v == 5 ? 6 : !host && g.v == 5 && view_says.remapped ? 6 : g.v;
    uint8_t *page = page_in(ram_pages, at);

    assert_ptr_equal(pm, &domain.physmap);
    assert_true(host || v.v == vcpu.altp2m.view.v);
    *out =
        (struct mapping){.mfn = frame_of(page),
                         .type = MAP_RAM,
                         .access = !host && g.v < 16 ? view_says.access[g.v] : XENMEM_access_rwx};
    return page != NULL;
}

bool hostmap_lookup(struct physmap *pm, gfn_t g, struct mapping *out)
{
    return view_lookup(pm, VIEW_NONE, g, out);
}

enum fault_result altp2m_fault(struct altp2m_vcpu *v, const struct fault *f, bool listens)
{
    assert_ptr_equal(v, &vcpu.altp2m);
    assert_int_equal(listens, listener);
    if (!page_in(ram_pages, f->gfn.v)) {
        return FAULT_UNMAPPED;
    }
    view_says.faults++;
    view_says.fault_gfn = f->gfn.v;
    view_says.fault_rights = f->rights;
    if (view_says.answer == FAULT_RETRY || view_says.answer == FAULT_CONVERTED) {
        view_says.access[f->gfn.v] = XENMEM_access_rwx; /* more is no loss */
    }
    return view_says.answer;
}

bool monitor_listens(const struct domain *d)
{
    assert_ptr_equal(d, &domain);
    return listener;
}

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
    beyond = PTE_ADDR; /* another machine */
    random_tables();
    cpu.cr3 = pick(ram_gfns, mode == MODE_LONG ? PAGES : 28) << PAGE_SHIFT;
    cpu.cr3 |= mode == MODE_PAE ? random_below(128) << 5 & 0xfe0 : random_u64() & 0xfff;
    if (mode == MODE_PAE) { /* its four entries can be anywhere in the page */
        for (unsigned i = 0; i < 4; i++) {
            uint64_t e = random_entry();
            memcpy(page_in(ram_pages, cpu.cr3 >> PAGE_SHIFT) + (cpu.cr3 & 0xfe0) + 8 * i, &e, 8);
        }
    }
    domain.physmap.generation++;
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

/* Page tables of one mapping, 4-level: `a` to gfn 5, read-only. */
static uint64_t *simple_guest(uint64_t a)
{
    uint64_t table[] = {1, 2, 3, 4};
    uint64_t *pte = NULL;

    random_seed(1);
    random_guest(MODE_LONG);
    cpu.wp = true;
    cpu.cpl = 0;
    cpu.cr3 = table[0] << PAGE_SHIFT;
    for (unsigned level = 0; level < 4; level++) {
        pte = (uint64_t *)ram_pages[table[level]] + (a >> (39 - 9 * level) & 511);
        *pte = (level < 3 ? table[level + 1] << PAGE_SHIFT | PTE_W : 5 << PAGE_SHIFT) | PTE_P;
    }
    hand_forget(&vcpu);
    view_gives_all();
    listener = false;
    return pte;
}

/* What is remembered must not outlive a change of the host map, grant more rights, or leak to
 * another page. */
static void test_memory(void **state)
{
    uint64_t a = 0x7f0012345000, *pte = simple_guest(a);
    uint8_t byte = 0, one = 1;

    (void)state;
    ram_pages[5][7] = 0x55;
    ram_pages[6][7] = 0x66;
    assert_int_equal(hand_copy_from(&vcpu, &byte, gva(a + 7), 1), 0);
    assert_int_equal(byte, 0x55);
    assert_int_equal(hand_copy_to(&vcpu, gva(a + 7), &one, 1), -EFAULT);
    assert_int_equal(ram_pages[5][7], 0x55);
    assert_int_equal(hand_copy_from(&vcpu, &byte, gva(a + PAGE_SIZE + 7), 1), -EFAULT);
    *pte = 6 << PAGE_SHIFT | PTE_P | PTE_W;
    hand_forget(&vcpu); /* it ran */
    assert_int_equal(hand_copy_from(&vcpu, &byte, gva(a + 7), 1), 0);
    assert_int_equal(byte, 0x66);
    assert_int_equal(hand_copy_to(&vcpu, gva(a + 7), &one, 1), 0);
    assert_int_equal(ram_pages[6][7], 1);
    *pte = 5 << PAGE_SHIFT | PTE_P;
    domain.physmap.generation++; /* gfns changed: nothing remembered counts */
    assert_int_equal(hand_copy_from(&vcpu, &byte, gva(a + 7), 1), 0);
    assert_int_equal(byte, 0x55);
    moved = true;
    domain.physmap.generation++;
    assert_int_equal(hand_copy_from(&vcpu, &byte, gva(a + 7), 1), 0);
    assert_int_equal(byte, 1);
    moved = false;
}

#define A  0x7f0012345000UL
#define RW (RIGHT_R | RIGHT_W)

/* One byte at A + 7 in an instruction's place. */
static enum hand_answer access_7(unsigned rights, uint8_t *byte, struct hand_reach *r)
{
    enum hand_answer answer;

    view_says.faults = 0;
    *r = (struct hand_reach){.linear = A + 7, .n = 1, .rights = rights};
    answer = hand_reach(&vcpu, r);
    if (answer == HAND_DONE && (rights & RIGHT_W)) {
        hand_write(r, byte);
    } else if (answer == HAND_DONE) {
        hand_read(r, byte);
    }
    return answer;
}

/* What the host map or the view had is not what it has any more. */
static void view_changes(uint64_t g, access_t access)
{
    view_says.access[g] = access;
    domain.physmap.flush.wanted++;
}

/* An instruction carried out for the guest gets what its view gives, and no more; who
 * listens is told. */
static void test_view(void **state)
{
    uint64_t *pte = simple_guest(A);
    struct hand_reach r;
    uint8_t byte = 0;

    (void)state;
    *pte |= PTE_W;
    ram_pages[5][7] = 0x55;
    ram_pages[6][7] = 0x66;
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_DONE); /* remembered */
    view_changes(5, XENMEM_access_r);
    view_says.answer = FAULT_DENIED;
    listener = true;
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_DONE);
    assert_int_equal(byte, 0x55);
    assert_int_equal(view_says.faults, 0);
    byte = 1;
    assert_int_equal(access_7(RW, &byte, &r), HAND_DENIED);
    assert_int_equal(r.gpa.v, 5 * PAGE_SIZE + 7);
    assert_int_equal(r.gla, A + 7);
    assert_int_equal(r.denied, RW);
    assert_true(r.gla_valid && !r.in_walk);
    assert_int_equal(view_says.faults, 1);
    assert_int_equal(ram_pages[5][7], 0x55);
    view_says.answer = FAULT_CONVERTED; /* told, and tried again */
    assert_int_equal(access_7(RW, &byte, &r), HAND_CONVERTED);
    assert_int_equal(ram_pages[5][7], 0x55);
    assert_int_equal(access_7(RW, &byte, &r), HAND_DONE);
    assert_int_equal(ram_pages[5][7], 1);
    view_changes(5, XENMEM_access_x);
    view_says.answer = FAULT_REFUSED; /* a sealed guest's own */
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_FAULT);
    assert_int_equal(r.vector, EXC_GP);
    view_says.answer = FAULT_RETRY; /* nobody listens: the core drops it */
    listener = false;
    byte = 2;
    assert_int_equal(access_7(RW, &byte, &r), HAND_DONE);
    assert_int_equal(ram_pages[5][7], 2);
    view_says.remapped = true;
    domain.physmap.flush.wanted++;
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_DONE);
    assert_int_equal(byte, 0x66);
    vcpu.altp2m.view = view(3); /* another view: nothing remembered of the one before */
    view_says.remapped = false;
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_DONE);
    assert_int_equal(byte, 2);
    vcpu.altp2m.view = view(0);
}

/* A paging structure that may not be read, or not be marked. */
static void test_in_walk(void **state)
{
    uint64_t *pte = simple_guest(A);
    struct hand_reach r;
    uint8_t byte = 1;

    (void)state;
    *pte |= PTE_W;
    listener = true;
    view_says.answer = FAULT_DENIED;
    view_changes(3, XENMEM_access_x);
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_DENIED);
    assert_int_equal(r.gpa.v, 3 * PAGE_SIZE + (A >> 21 & 511) * 8);
    assert_int_equal(r.denied, RIGHT_R);
    assert_true(r.in_walk);
    view_changes(3, XENMEM_access_r); /* it cannot be marked as accessed */
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_DENIED);
    assert_int_equal(r.gpa.v, 3 * PAGE_SIZE + (A >> 21 & 511) * 8);
    assert_int_equal(r.denied, RW);
    assert_true(r.in_walk);
    view_changes(3, XENMEM_access_rw);
    view_changes(4, XENMEM_access_r);
    *pte |= PTE_A; /* read before, never written */
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_DONE);
    assert_int_equal(access_7(RW, &byte, &r), HAND_DENIED);
    assert_int_equal(r.gpa.v, 4 * PAGE_SIZE + (A >> 12 & 511) * 8);
    *pte |= PTE_D;
    assert_int_equal(access_7(RW, &byte, &r), HAND_DONE);
}

static void test_smap(void **state)
{
    uint64_t *pte = simple_guest(A);
    struct hand_reach r;
    uint8_t byte = 1;

    (void)state;
    for (unsigned level = 1; level < 4; level++) {
        ((uint64_t *)ram_pages[level])[A >> (48 - 9 * level) & 511] |= PTE_U;
    }
    *pte |= PTE_U;
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_DONE);
    cpu.smap = true;
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_FAULT);
    assert_int_equal(r.error, PF_PRESENT);
    cpu.ac = true;
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_DONE);
    r = (struct hand_reach){.linear = A, .n = 1, .rights = RIGHT_R, .name = HAND_AS_SYSTEM};
    assert_int_equal(hand_reach(&vcpu, &r), HAND_FAULT); /* AC is for code */
    cpu.ac = false;
    cpu.cpl = 3;
    assert_int_equal(access_7(RIGHT_R, &byte, &r), HAND_DONE);
    cpu.smap = false;
    cpu.cpl = 0;
}

/* Copies for hypercalls: as on Xen; under `audited` by the view, and never by way of
 * the core's fault. */
static void test_confined(void **state)
{
    uint64_t *pte = simple_guest(A);
    uint8_t byte = 9;

    (void)state;
    *pte |= PTE_W;
    ram_pages[5][7] = 0x55;
    ram_pages[6][7] = 0x66;
    view_changes(5, XENMEM_access_r);
    view_says.answer = FAULT_RETRY;
    hand_forget(&vcpu);
    assert_int_equal(hand_copy_to(&vcpu, gva(A + 7), &byte, 1), 0); /* as Xen */
    assert_int_equal(ram_pages[5][7], 9);
    assert_non_null(hand_page_to_fill(&vcpu, gfn(5)));
    domain.physmap.audited = true;
    hand_forget(&vcpu);
    byte = 8;
    assert_int_equal(hand_copy_from(&vcpu, &byte, gva(A + 7), 1), 0);
    assert_int_equal(byte, 9);
    byte = 8;
    assert_int_equal(hand_copy_to(&vcpu, gva(A + 7), &byte, 1), -EFAULT);
    assert_int_equal(ram_pages[5][7], 9);
    assert_null(hand_page_to_fill(&vcpu, gfn(5)));
    assert_int_equal(view_says.faults, 0);
    view_changes(5, XENMEM_access_rwx);
    assert_ptr_equal(hand_page_to_fill(&vcpu, gfn(5)), ram_pages[5]);
    domain.physmap.audited = false;
}

/* A kernel reads no hidden page by the walk of a copy (A4). */
static void test_confined_walk(void **state)
{
    uint8_t byte = 9;
    uint64_t word;

    (void)state;
    simple_guest(A);
    for (unsigned level = 1; level <= 4; level++) {
        view_gives_all();
        view_changes(level, XENMEM_access_x);
        view_says.answer = FAULT_RETRY;
        hand_forget(&vcpu);
        assert_int_equal(hand_copy_from(&vcpu, &byte, gva(A + 7), 1), 0);
        domain.physmap.audited = true;
        hand_forget(&vcpu);
        assert_int_equal(hand_copy_from(&vcpu, &byte, gva(A + 7), 1), -EFAULT);
        assert_int_equal(hand_copy_from_gpa(&vcpu, &word, gpa(level * PAGE_SIZE), 8), -EFAULT);
        assert_int_equal(view_says.faults, 0);
        domain.physmap.audited = false;
    }
}

/* No right that is lost while the vCPU does not run is used afterwards: no matter how it
 * was lost (F3). */
static void test_lost(void **state)
{
    uint64_t *pte = simple_guest(A);
    uint8_t byte = 9;

    (void)state;
    *pte |= PTE_W;
    domain.physmap.audited = true;
    assert_int_equal(hand_copy_to(&vcpu, gva(A + 7), &byte, 1), 0);
    view_changes(5, XENMEM_access_r);
    assert_int_equal(hand_copy_to(&vcpu, gva(A + 7), &byte, 1), -EFAULT);
    view_changes(5, XENMEM_access_rwx);
    assert_int_equal(hand_copy_to(&vcpu, gva(A + 7), &byte, 1), 0);
    view_says.remapped = true; /* another frame */
    domain.physmap.flush.wanted++;
    assert_int_equal(hand_copy_to(&vcpu, gva(A + 7), &byte, 1), 0);
    assert_int_equal(ram_pages[6][7], 9);
    vcpu.altp2m.view = view(4);
    view_says.remapped = false;
    ram_pages[5][7] = 0;
    assert_int_equal(hand_copy_to(&vcpu, gva(A + 7), &byte, 1), 0);
    assert_int_equal(ram_pages[5][7], 9);
    vcpu.altp2m.view = view(0);
    domain.physmap.audited = false;
}

/* Nor what the host map gave while a monitor let the vCPU through; and that one sees what it
 * gives, not what was found before. */
static void test_lifted(void **state)
{
    uint64_t *pte = simple_guest(A);
    uint8_t byte = 0;

    (void)state;
    *pte |= PTE_W;
    domain.physmap.audited = true;
    ram_pages[5][7] = 0x55;
    ram_pages[6][7] = 0x66;
    view_says.remapped = true;
    for (unsigned i = 0; i < 3; i++) {
        vcpu.altp2m.lifted = i == 1;
        hand_forget(&vcpu);
        assert_int_equal(hand_copy_from(&vcpu, &byte, gva(A + 7), 1), 0);
        assert_int_equal(byte, i == 1 ? 0x55 : 0x66);
    }
    view_says.remapped = false;
    domain.physmap.audited = false;
}

/* Code need not be readable, and is the view's. */
static void test_fetch(void **state)
{
    uint8_t code[16];

    (void)state;
    simple_guest(A);
    memset(ram_pages[5], 0x55, PAGE_SIZE);
    memset(ram_pages[6], 0x66, PAGE_SIZE);
    view_changes(5, XENMEM_access_x);
    view_says.remapped = true;
    assert_int_equal(hand_fetch(&vcpu, A + PAGE_SIZE - 6, code, sizeof(code)), 6);
    assert_int_equal(code[5], 0x66);
    view_changes(5, XENMEM_access_rw);
    assert_int_equal(hand_fetch(&vcpu, A, code, sizeof(code)), 0);
    view_says.remapped = false;
}

/* What is remembered of code is what a walk would find, whatever changed since. */
static void test_code(void **state)
{
    uint64_t *pte = simple_guest(A), old = *pte;
    uint8_t code[3];

    (void)state;
    cpu.rip = A + 9;
    memset(ram_pages[5], 0x55, PAGE_SIZE);
    memset(ram_pages[6], 0x66, PAGE_SIZE);
    memset(ram_pages[7], 0x77, PAGE_SIZE);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(vcpu_code(&vcpu, code, sizeof(code)), sizeof(code));
        assert_int_equal(code[2], 0x55);
    }
    *pte = (old & ~PTE_ADDR) | 7ULL << PAGE_SHIFT; /* the guest's own tables, with no flush */
    assert_int_equal(vcpu_code(&vcpu, code, sizeof(code)), sizeof(code));
    assert_int_equal(code[0], 0x77);
    *pte = 0;
    assert_int_equal(vcpu_code(&vcpu, code, sizeof(code)), 0);
    *pte = old;
    assert_int_equal(vcpu_code(&vcpu, code, sizeof(code)), sizeof(code));
    view_says.remapped = true; /* another frame */
    domain.physmap.flush.wanted++;
    assert_int_equal(vcpu_code(&vcpu, code, sizeof(code)), sizeof(code));
    assert_int_equal(code[0], 0x66);
    view_changes(5, XENMEM_access_rw);
    assert_int_equal(vcpu_code(&vcpu, code, sizeof(code)), 0);
    view_changes(5, XENMEM_access_rwx);
    assert_int_equal(vcpu_code(&vcpu, code, sizeof(code)), sizeof(code));
    vcpu.altp2m.view = view(CODE_PAGES); /* in the same place */
    view_says.remapped = false;
    assert_int_equal(vcpu_code(&vcpu, code, sizeof(code)), sizeof(code));
    assert_int_equal(code[0], 0x55);
    vcpu.altp2m.view = view(0);
    cpu.cr3 = (uint64_t)NO_PAGE << PAGE_SHIFT; /* another process */
    assert_int_equal(vcpu_code(&vcpu, code, sizeof(code)), 0);
    simple_guest(A);
    cpu.rip = A + PAGE_SIZE - 2; /* two bytes, and then nothing */
    assert_int_equal(vcpu_code(&vcpu, code, sizeof(code)), 2);
}

static void test_pdptes(void **state)
{
    struct hand_reach r = {.n = 32, .rights = RIGHT_R};
    uint8_t e[32];

    (void)state;
    simple_guest(A);
    memset(ram_pages[6] + 64, 0x66, 32);
    assert_int_equal(hand_reach_gpa(&vcpu, gpa(6 * PAGE_SIZE + 64), &r), HAND_DONE);
    hand_read(&r, e);
    assert_int_equal(e[31], 0x66);
    view_says.remapped = true; /* gfn 5 shows them, and may not be read */
    view_changes(5, XENMEM_access_x);
    e[31] = 0;
    assert_int_equal(hand_copy_from_gpa(&vcpu, e, gpa(5 * PAGE_SIZE + 64), 32), 0);
    assert_int_equal(e[31], 0x66);
    listener = true;
    view_says.answer = FAULT_DENIED;
    view_changes(6, XENMEM_access_x);
    assert_int_equal(hand_reach_gpa(&vcpu, gpa(6 * PAGE_SIZE + 64), &r), HAND_DENIED);
    assert_int_equal(r.gpa.v, 6 * PAGE_SIZE + 64);
    assert_false(r.gla_valid);
}

static int set_up(void **state)
{
    (void)state;
    ram_pages = aligned_alloc(PAGE_SIZE, PAGES * PAGE_SIZE);
    model_pages = aligned_alloc(PAGE_SIZE, PAGES * PAGE_SIZE);
    test_cpu.loaded = &vcpu;
    view_gives_all();
    return ram_pages && model_pages ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    free(ram_pages);
    free(model_pages);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("hv/vcpu/hand", test_translate),     CASE("hv/vcpu/hand", test_copy),
        CASE("hv/vcpu/hand", test_access),        CASE("hv/vcpu/hand", test_kept),
        CASE("hv/vcpu/hand", test_lifted),        CASE("hv/vcpu/hand", test_memory),
        CASE("hv/vcpu/hand", test_view),          CASE("hv/vcpu/hand", test_in_walk),
        CASE("hv/vcpu/hand", test_smap),          CASE("hv/vcpu/hand", test_confined),
        CASE("hv/vcpu/hand", test_confined_walk), CASE("hv/vcpu/hand", test_lost),
        CASE("hv/vcpu/hand", test_fetch),         CASE("hv/vcpu/hand", test_code),
        CASE("hv/vcpu/hand", test_pdptes),
    };

    return cmocka_run_group_tests_name("hv/vcpu/hand", tests, set_up, tear_down);
}
