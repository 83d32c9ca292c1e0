/* SPDX-License-Identifier: MIT */
/*
 * What the hand remembers, and what it makes of views, the host map, confinement and a monitor
 * that listens, with one mapping of a small guest.
 */
#include "hand_guest.h"

/* Page tables of one mapping, 4-level: `a` to gfn 5, read-only. */
static uint64_t *simple_guest(uint64_t a)
{
    uint64_t table[] = {1, 2, 3, 4};
    uint64_t *pte = NULL;

    memset(ram_pages, 0, PAGES * PAGE_SIZE);
    beyond = FORMAT_ADDRESS_MASK; /* another machine */
    cpu = (struct guest_state){
        .mode = MODE_LONG, .wp = true, .bits = 52, .cr3 = table[0] << PAGE_SHIFT};
    domain.physmap.ram_generation++;
    domain.physmap.flush.wanted++;
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
    domain.physmap.ram_generation++; /* gfns changed: nothing remembered counts */
    assert_int_equal(hand_copy_from(&vcpu, &byte, gva(a + 7), 1), 0);
    assert_int_equal(byte, 0x55);
    moved = true;
    domain.physmap.ram_generation++;
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
    *pte = (old & ~FORMAT_ADDRESS_MASK) |
           7ULL << PAGE_SHIFT; /* the guest's own tables, with no flush */
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
int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("hv/vcpu/hand_view", test_lifted),        CASE("hv/vcpu/hand_view", test_memory),
        CASE("hv/vcpu/hand_view", test_view),          CASE("hv/vcpu/hand_view", test_in_walk),
        CASE("hv/vcpu/hand_view", test_smap),          CASE("hv/vcpu/hand_view", test_confined),
        CASE("hv/vcpu/hand_view", test_confined_walk), CASE("hv/vcpu/hand_view", test_lost),
        CASE("hv/vcpu/hand_view", test_fetch),         CASE("hv/vcpu/hand_view", test_code),
        CASE("hv/vcpu/hand_view", test_pdptes),
    };

    return cmocka_run_group_tests_name("hv/vcpu/hand_view", tests, hand_guest_set_up,
                                       hand_guest_tear_down);
}
