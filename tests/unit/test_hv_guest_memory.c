/* SPDX-License-Identifier: MIT */
/*
 * Guest page walks and copies against a model that follows SDM 3, chapter 4 step by step. A small
 * guest has random page tables in pages that are scattered over its physical addresses; some
 * entries point to nothing.
 */
#include "hv_test.h"
#include <stdlib.h>
#include <string.h>
#include "x86/cpu.h"

static struct cpu test_cpu;
#define this_cpu() (&test_cpu)
#include "hv/x86/guest_memory.c"

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
    uint64_t cr3;
    bool wp;
    unsigned cpl;
} cpu;

static uint8_t (*ram_pages)[PAGE_SIZE]; /* one for each of ram_gfns */
static struct domain domain;
static struct vcpu vcpu = {.domain = &domain};
static unsigned borrowed;
static bool moved; /* gfn 5 shows the frame of gfn 6 */

/* ---- what guest_memory.c asks for ---- */

uint64_t vcpu_cr3(const struct vcpu *v)
{
    assert_ptr_equal(test_cpu.loaded, v);
    return cpu.cr3;
}

bool vcpu_in_ia32e(const struct vcpu *v)
{
    (void)v;
    return cpu.mode == MODE_LONG;
}

unsigned vcpu_cpl(const struct vcpu *v)
{
    (void)v;
    return cpu.cpl;
}

uint64_t control_cr0(const struct vcpu *v)
{
    (void)v;
    return X86_CR0_PE | (cpu.mode == MODE_OFF ? 0 : X86_CR0_PG) | (cpu.wp ? X86_CR0_WP : 0);
}

uint64_t control_cr4(const struct vcpu *v)
{
    (void)v;
    return (cpu.mode == MODE_32_PSE ? X86_CR4_PSE : 0) | (cpu.mode >= MODE_PAE ? X86_CR4_PAE : 0);
}

struct vcpu *vmx_borrow(struct vcpu *v)
{
    struct vcpu *before = test_cpu.loaded;

    borrowed++;
    test_cpu.loaded = v;
    return before;
}

void vmx_return(struct vcpu *v, struct vcpu *before)
{
    assert_ptr_equal(test_cpu.loaded, v);
    test_cpu.loaded = before;
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

void *domain_ram(struct domain *d, gfn_t g)
{
    assert_ptr_equal(d, &domain);
    return page_in(ram_pages, moved && g.v == 5 ? 6 : g.v);
}

/* What the vCPU's view says of gfn 5, and what the core makes of a violation. */
static struct {
    access_t access;
    bool remapped; /* shows the frame of gfn 6 */
    enum fault_result answer;
    unsigned faults;
} view_5 = {.access = XENMEM_access_rwx};

bool view_lookup(struct physmap *pm, view_t v, gfn_t g, struct mapping *out)
{
    void *page = domain_ram(&domain, g.v == 5 && view_5.remapped ? gfn(6) : g);

    assert_ptr_equal(pm, &domain.physmap);
    assert_int_equal(v.v, vcpu.altp2m.view.v);
    *out = (struct mapping){.mfn = frame_of(page),
                            .type = MAP_RAM,
                            .access = g.v == 5 ? view_5.access : XENMEM_access_rwx};
    return page != NULL;
}

enum fault_result altp2m_fault(struct altp2m_vcpu *v, const struct fault *f, bool listener)
{
    assert_ptr_equal(v, &vcpu.altp2m);
    assert_int_equal(f->gfn.v, 5);
    assert_false(listener);
    view_5.faults++;
    if (view_5.answer == FAULT_RETRY) {
        view_5.access = XENMEM_access_rwx;
    }
    return view_5.answer;
}

/* ---- the model: on a copy of the guest's RAM, so that it can write, too ---- */

static uint8_t (*model_pages)[PAGE_SIZE];

struct translation {
    bool present, write, user;
    uint64_t address;
};

static bool model_read(uint64_t address, unsigned size, uint64_t *value)
{
    const uint8_t *page = page_in(model_pages, address / PAGE_SIZE);

    *value = 0;
    if (page) {
        memcpy(value, page + address % PAGE_SIZE, size);
    }
    return page != NULL;
}

static struct translation model_32(uint64_t a)
{
    struct translation none = {0};
    uint64_t pde, pte;

    if (!model_read((cpu.cr3 & 0xfffff000) + 4 * (a >> 22), 4, &pde) || !(pde & 1)) {
        return none;
    }
    if (cpu.mode == MODE_32_PSE && (pde >> 7 & 1)) {
        /* Table 4-4: bits 31:22 and, as bits 39:32, bits 20:13 */
        return (struct translation){true, pde >> 1 & 1, pde >> 2 & 1,
                                    (pde >> 22) * 0x400000 + ((pde >> 13) % 256) * 0x100000000 +
                                        a % 0x400000};
    }
    if (!model_read((pde & 0xfffff000) + 4 * (a / 4096 % 1024), 4, &pte) || !(pte & 1)) {
        return none;
    }
    return (struct translation){true, (pde & pte) >> 1 & 1, (pde & pte) >> 2 & 1,
                                (pte & 0xfffff000) + a % 4096};
}

/* Bits 51:12 of an entry. */
static uint64_t entry_address(uint64_t e)
{
    return (e << 12) >> 24 << 12;
}

/* From a table whose entries map `span` bytes each, down to 4 KiB pages. */
static struct translation model_64(uint64_t table, uint64_t span, uint64_t a)
{
    struct translation t = {true, true, true, 0};
    uint64_t e;

    for (;; span /= 512) {
        if (!model_read(table + 8 * (a / span % 512), 8, &e) || !(e & 1)) {
            return (struct translation){0};
        }
        t.write = t.write && (e & 2);
        t.user = t.user && (e & 4);
        if (span == 4096 || ((e & 128) && span <= 1 << 30)) {
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
        return (struct translation){true, true, true, a & 0xffffffff};
    case MODE_32:
    case MODE_32_PSE:
        return model_32(a & 0xffffffff);
    case MODE_PAE:
        a &= 0xffffffff;
        if (!model_read((cpu.cr3 & 0xffffffe0) + 8 * (a >> 30), 8, &pdpte) || !(pdpte & 1)) {
            return (struct translation){0};
        }
        return model_64(entry_address(pdpte), 1 << 21, a);
    default:
        if (a + (1ULL << 47) >= 1ULL << 48) { /* not canonical */
            return (struct translation){0};
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

    *error = (write ? 2 : 0) | (cpu.cpl == 3 ? 4 : 0) | (t.present ? 1 : 0);
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
    cpu.mode = mode;
    cpu.wp = random_below(2);
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
    memcpy(model_pages, ram_pages, PAGES * PAGE_SIZE);
}

/* The vCPU has run since the last access. */
static void forget(void)
{
    vcpu.linear.page = NULL;
    cpu.cpl = random_below(2) ? 3 : 0;
}

/* ---- tests ---- */

static unsigned check_translate(void)
{
    uint64_t a = random_address();
    unsigned found = 0;

    for (unsigned rights = 1; rights < 8; rights++) {
        struct translation t = model_walk(a);
        bool ok = t.present && model_allows(t, rights & RIGHT_W, false);
        gpa_t g = gpa(0);

        assert_int_equal(vcpu_translate(&vcpu, gva(a), rights, &g), ok);
        if (ok) {
            assert_int_equal(g.v, t.address);
            found++;
        }
    }
    return found;
}

static unsigned check_copy(void)
{
    uint8_t expected[3 * PAGE_SIZE], buffer[3 * PAGE_SIZE];
    uint64_t a = random_address();
    size_t n = random_below(4) ? random_below(64) : random_below(sizeof(buffer));
    bool write = random_below(2);
    int rc;

    memset(buffer, (int)random_below(256), sizeof(buffer));
    memcpy(expected, buffer, sizeof(buffer));
    rc = model_copy(a, expected, n, write);
    assert_int_equal(write ? vcpu_copy_to(&vcpu, gva(a), buffer, n)
                           : vcpu_copy_from(&vcpu, buffer, gva(a), n),
                     rc);
    if (rc == 0) {
        assert_memory_equal(buffer, expected, sizeof(buffer));
    }
    assert_memory_equal(ram_pages, model_pages, PAGES * PAGE_SIZE);
    return rc == 0 && n > 0;
}

static unsigned check_access(void)
{
    uint8_t buffer[8] = {1, 2, 3, 4, 5, 6, 7, 8}, before[8];
    uint64_t a = random_address(), where = 0, fault = a;
    size_t n = 1ULL << random_below(4);
    bool write = random_below(2), ok;
    uint32_t error = 0, wanted;

    memcpy(before, buffer, sizeof(buffer));
    ok = model_may(a, write, &wanted);
    if (ok && n > 1) {
        fault = a / PAGE_SIZE == (a + n - 1) / PAGE_SIZE ? a + n - 1
                                                         : (a + n - 1) & ~(PAGE_SIZE - 1ULL);
        ok = model_may(fault, write, &wanted);
    }
    assert_int_equal(vcpu_access(&vcpu, a, buffer, n, write, &error, &where), ok);
    if (!ok) {
        assert_int_equal(error, wanted);
        assert_int_equal(where, fault);
        assert_memory_equal(buffer, before, sizeof(buffer));
    }
    for (size_t i = 0; ok && i < n; i++) {
        struct translation t = model_walk(a + i);
        uint8_t *page = t.present && model_allows(t, write, cpu.cpl == 3)
                            ? page_in(model_pages, t.address / PAGE_SIZE)
                            : NULL;

        if (write && page) {
            page[t.address % PAGE_SIZE] = before[i];
        } else if (!write) {
            assert_int_equal(buffer[i], page ? page[t.address % PAGE_SIZE] : 0xff);
        }
    }
    assert_memory_equal(ram_pages, model_pages, PAGES * PAGE_SIZE);
    return ok;
}

static void in_every_mode(unsigned (*check)(void))
{
    for (unsigned mode = 0; mode < MODES; mode++) {
        unsigned good = 0;

        random_seed(mode + 1);
        for (unsigned guest = 0; guest < 60; guest++) {
            random_guest((enum mode)mode);
            for (unsigned i = 0; i < 60; i++) {
                forget();
                good += check();
            }
        }
        assert_in_range(good, 300, 60 * 60 * 7); /* enough got through to be a test */
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
    vcpu.linear.page = NULL;
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
    assert_int_equal(vcpu_copy_from(&vcpu, &byte, gva(a + 7), 1), 0);
    assert_int_equal(byte, 0x55);
    assert_int_equal(vcpu_copy_to(&vcpu, gva(a + 7), &one, 1), -EFAULT);
    assert_int_equal(ram_pages[5][7], 0x55);
    assert_int_equal(vcpu_copy_from(&vcpu, &byte, gva(a + PAGE_SIZE + 7), 1), -EFAULT);
    *pte = 6 << PAGE_SHIFT | PTE_P | PTE_W;
    vcpu.linear.page = NULL; /* it ran */
    assert_int_equal(vcpu_copy_from(&vcpu, &byte, gva(a + 7), 1), 0);
    assert_int_equal(byte, 0x66);
    assert_int_equal(vcpu_copy_to(&vcpu, gva(a + 7), &one, 1), 0);
    assert_int_equal(ram_pages[6][7], 1);
    *pte = 5 << PAGE_SHIFT | PTE_P;
    domain.physmap.generation++; /* gfns changed: nothing remembered counts */
    assert_int_equal(vcpu_copy_from(&vcpu, &byte, gva(a + 7), 1), 0);
    assert_int_equal(byte, 0x55);
    moved = true;
    domain.physmap.generation++;
    assert_int_equal(vcpu_copy_from(&vcpu, &byte, gva(a + 7), 1), 0);
    assert_int_equal(byte, 1);
    moved = false;
}

/* Another vCPU's address space is borrowed for the copy and given back. */
static void test_other_vcpu(void **state)
{
    struct vcpu other = {.domain = &domain};
    uint64_t a = 0x7f0012345000;
    uint8_t byte = 0;

    (void)state;
    simple_guest(a);
    ram_pages[5][7] = 0x55;
    test_cpu.loaded = &other;
    borrowed = 0;
    assert_int_equal(vcpu_copy_from(&vcpu, &byte, gva(a + 7), 1), 0);
    assert_int_equal(byte, 0x55);
    assert_int_equal(borrowed, 1);
    assert_ptr_equal(test_cpu.loaded, &other);
    test_cpu.loaded = &vcpu;
}

static bool access_7(bool write, uint8_t *byte)
{
    uint64_t where;
    uint32_t error;

    view_5.faults = 0;
    return vcpu_access(&vcpu, 0x7f0012345007, byte, 1, write, &error, &where);
}

/* An instruction carried out for the guest gets what its view gives, and no more. */
static void test_view(void **state)
{
    uint64_t *pte = simple_guest(0x7f0012345000);
    uint8_t byte = 0;

    (void)state;
    *pte |= PTE_W;
    ram_pages[5][7] = 0x55;
    ram_pages[6][7] = 0x66;
    view_5.access = XENMEM_access_r;
    view_5.answer = FAULT_DENIED;
    assert_true(access_7(false, &byte));
    assert_int_equal(byte, 0x55);
    assert_int_equal(view_5.faults, 0);
    byte = 1;
    assert_true(access_7(true, &byte));
    assert_int_equal(view_5.faults, 1);
    assert_int_equal(ram_pages[5][7], 0x55);
    view_5.access = XENMEM_access_x;
    assert_true(access_7(false, &byte));
    assert_int_equal(byte, 0xff);
    view_5.answer = FAULT_RETRY; /* nobody listens: the restriction goes */
    byte = 2;
    assert_true(access_7(true, &byte));
    assert_int_equal(ram_pages[5][7], 2);
    view_5.remapped = true;
    assert_true(access_7(false, &byte));
    assert_int_equal(byte, 0x66);
    view_5.remapped = false;
}

/* Under the policy `audited` so do copies for hypercalls, and pages that are shared. */
static void test_confined(void **state)
{
    uint64_t *pte = simple_guest(0x7f0012345000);
    uint8_t byte = 9;

    (void)state;
    *pte |= PTE_W;
    ram_pages[5][7] = 0x55;
    ram_pages[6][7] = 0x66;
    view_5.access = XENMEM_access_r;
    view_5.answer = FAULT_DENIED;
    vcpu.linear.page = NULL;
    assert_int_equal(vcpu_copy_to(&vcpu, gva(0x7f0012345007), &byte, 1), 0); /* as Xen */
    assert_int_equal(ram_pages[5][7], 9);
    assert_true(vcpu_may_share(&vcpu, gfn(5)));
    domain.physmap.audited = true;
    vcpu.linear.page = NULL;
    byte = 8;
    assert_int_equal(vcpu_copy_from(&vcpu, &byte, gva(0x7f0012345007), 1), 0);
    assert_int_equal(byte, 9);
    byte = 8;
    assert_int_equal(vcpu_copy_to(&vcpu, gva(0x7f0012345007), &byte, 1), -EFAULT);
    assert_int_equal(ram_pages[5][7], 9);
    assert_false(vcpu_may_share(&vcpu, gfn(5)));
    view_5.access = XENMEM_access_rwx;
    assert_true(vcpu_may_share(&vcpu, gfn(5)));
    view_5.remapped = true;
    assert_false(vcpu_may_share(&vcpu, gfn(5)));
    view_5.remapped = false;
    domain.physmap.audited = false;
}

static int set_up(void **state)
{
    (void)state;
    ram_pages = aligned_alloc(PAGE_SIZE, PAGES * PAGE_SIZE);
    model_pages = aligned_alloc(PAGE_SIZE, PAGES * PAGE_SIZE);
    test_cpu.loaded = &vcpu;
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
        CASE("hv/x86/guest_memory", test_translate),  CASE("hv/x86/guest_memory", test_copy),
        CASE("hv/x86/guest_memory", test_access),     CASE("hv/x86/guest_memory", test_memory),
        CASE("hv/x86/guest_memory", test_other_vcpu), CASE("hv/x86/guest_memory", test_view),
        CASE("hv/x86/guest_memory", test_confined),
    };

    return cmocka_run_group_tests_name("hv/x86/guest_memory", tests, set_up, tear_down);
}
