/* SPDX-License-Identifier: MIT */
/* Which guest state may be entered (SDM 3, 26.3.1): states that can, and each of their
 * fields made wrong. */
#include "hv_test.h"
#include <string.h>
#include "vcpu/entry_state.h"
#include "x86/cpu.h"

#define CR4_OFFERED (X86_CR4_PAE | X86_CR4_PCIDE | X86_CR4_PSE)

uint64_t vcpu_cr4_allowed(void)
{
    return CR4_OFFERED;
}

static struct entry_state flat(uint32_t code, uint32_t data)
{
    struct entry_state s = {.cr0 = X86_CR0_PE | X86_CR0_ET, .rip = 0x1000, .rflags = 2};

    for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
        s.segment[i] = (struct segment){0, 0, 0xffffffff, data};
    }
    s.segment[SEG_CS].ar = code;
    s.segment[SEG_TR] = (struct segment){0x28, 0x1000, 0x67, 0x8b};
    s.segment[SEG_LDTR] = (struct segment){.ar = 0x10000};
    return s;
}

static struct entry_state protected_mode(void)
{
    return flat(0xc09b, 0xc093);
}

static struct entry_state long_mode(void)
{
    struct entry_state s = flat(0xa09b, 0xc093);

    s.cr0 |= X86_CR0_PG;
    s.cr4 = X86_CR4_PAE;
    s.efer = EFER_LME | EFER_LMA;
    return s;
}

static struct entry_state real_mode(void)
{
    struct entry_state s = flat(0x9b, 0x93);

    s.cr0 = X86_CR0_ET;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
        s.segment[i].limit = 0xffff;
    }
    return s;
}

static struct entry_state vm86(void)
{
    struct entry_state s = flat(0xf3, 0xf3);

    s.rflags |= X86_EFLAGS_VM;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
        s.segment[i] = (struct segment){(uint16_t)(0x100 * i), 0x1000 * i, 0xffff, 0xf3};
    }
    return s;
}

static struct entry_state user(struct entry_state s)
{
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
        s.segment[i].ar |= 0x60;
    }
    return s;
}

#define accepts(state, change)                                                                     \
    do {                                                                                           \
        struct entry_state s = state;                                                              \
        change;                                                                                    \
        if (!entry_state_valid(&s))                                                                \
            fail_msg("line %d: refused: %s", __LINE__, #change);                                   \
    } while (0)
#define refuses(state, change)                                                                     \
    do {                                                                                           \
        struct entry_state s = state;                                                              \
        change;                                                                                    \
        if (entry_state_valid(&s))                                                                 \
            fail_msg("line %d: accepted: %s", __LINE__, #change);                                  \
    } while (0)

static bool takes_base(unsigned seg, uint64_t base)
{
    struct entry_state s = protected_mode();

    s.segment[seg].base = base;
    return entry_state_valid(&s);
}

static void modes(void **state)
{
    (void)state;
    accepts(protected_mode(), (void)0);
    accepts(user(protected_mode()), (void)0);
    accepts(long_mode(), (void)0);
    accepts(user(long_mode()), (void)0);
    accepts(real_mode(), (void)0);
    accepts(vm86(), (void)0);
}

static void control(void **state)
{
    (void)state;
    refuses(protected_mode(), s.cr0 |= 1ULL << 32);
    refuses(protected_mode(), s.cr0 = X86_CR0_PG);
    refuses(protected_mode(), s.cr0 |= X86_CR0_NW);
    accepts(protected_mode(), s.cr0 |= X86_CR0_NW | X86_CR0_CD);
    refuses(protected_mode(), s.cr4 = X86_CR4_VMXE);
    refuses(protected_mode(), s.cr4 = X86_CR4_PCIDE);
    accepts(long_mode(), s.cr4 |= X86_CR4_PCIDE);
    refuses(long_mode(), s.cr4 = 0);
    refuses(long_mode(), s.efer = EFER_LME);
    refuses(long_mode(), s.efer = EFER_LMA);
    refuses(long_mode(), s.efer |= 2);
    refuses(protected_mode(), s.efer = EFER_LMA);
    accepts(protected_mode(), s.efer = EFER_LME);
}

static void flags_and_rip(void **state)
{
    (void)state;
    refuses(protected_mode(), s.rflags = 0);
    refuses(protected_mode(), s.rflags |= 8);
    refuses(protected_mode(), s.rflags |= 0x20);
    refuses(protected_mode(), s.rflags |= 0x8000);
    refuses(protected_mode(), s.rflags |= 1 << 22);
    refuses(protected_mode(), s.rflags |= 1ULL << 63);
    accepts(protected_mode(), s.rflags |= 0x3d7fd5);
    refuses(long_mode(), s.rflags |= X86_EFLAGS_VM);
    refuses(vm86(), s.cr0 &= ~1ULL);
    refuses(protected_mode(), s.rip = 1ULL << 32);
    accepts(long_mode(), s.rip = 0x7fffffffffff);
    accepts(long_mode(), s.rip = 0xffff800000000000);
    accepts(long_mode(), s.rip = 0x800000000000); /* one step behind the last canonical address */
    refuses(long_mode(), s.rip = 0x1000000000000);
    refuses(long_mode(), s.rip = 0xfffe800000000000);
    refuses(long_mode(), (s.rip = 0xffff800000000000, s.segment[SEG_CS].ar = 0xc09b));
}

static void code_segment(void **state)
{
    (void)state;
    refuses(protected_mode(), s.segment[SEG_CS].ar |= 0x10000);
    for (unsigned type = 0; type < 16; type++) {
        struct entry_state s = protected_mode();

        s.segment[SEG_CS].ar = 0xc090 | type;
        assert_int_equal(entry_state_valid(&s),
                         type == 3 || type == 9 || type == 11 || type == 13 || type == 15);
    }
    refuses(protected_mode(), s.segment[SEG_CS].ar &= ~0x10u);
    refuses(protected_mode(), s.segment[SEG_CS].ar &= ~0x80u);
    refuses(protected_mode(), s.segment[SEG_CS].ar |= 0x100);
    refuses(protected_mode(), s.segment[SEG_CS].ar |= 1u << 20);
    refuses(protected_mode(), s.segment[SEG_CS].ar |= 0x60);  /* DPL 3, CPL 0 */
    refuses(protected_mode(), s.segment[SEG_CS].ar = 0xc0ff); /* conforming, above CPL */
    accepts(user(protected_mode()), s.segment[SEG_CS].ar = 0xc09f);
    refuses(user(protected_mode()), s.segment[SEG_CS].ar = 0xc0f3);
    refuses(protected_mode(), s.segment[SEG_CS].base = 1ULL << 32);
    refuses(protected_mode(), s.segment[SEG_CS].limit = 0xfffff000);
    refuses(protected_mode(), (s.segment[SEG_CS].ar &= ~0x8000u));
    accepts(protected_mode(),
            (s.segment[SEG_CS].ar &= ~0x8000u, s.segment[SEG_CS].limit = 0x7f234));
    refuses(long_mode(), s.segment[SEG_CS].ar |= 1u << 14);
    accepts(protected_mode(), s.segment[SEG_CS].ar |= 1u << 13);
}

static void stack_segment(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 16; type++) {
        struct entry_state s = protected_mode();

        s.segment[SEG_SS].ar = 0xc090 | type;
        assert_int_equal(entry_state_valid(&s), type == 3 || type == 7);
    }
    accepts(long_mode(), s.segment[SEG_SS].ar = 0x10000);
    refuses(long_mode(), s.segment[SEG_SS].ar = 0x10060); /* CPL 3 on a code segment of 0 */
    refuses(real_mode(), s.segment[SEG_SS].ar = 0xf3);
    refuses(protected_mode(), s.segment[SEG_SS].ar &= ~0x80u);
    refuses(protected_mode(), s.segment[SEG_SS].ar &= ~0x10u);
    refuses(protected_mode(), s.segment[SEG_SS].ar |= 0x800);
    refuses(protected_mode(), s.segment[SEG_SS].base = 1ULL << 40);
    refuses(protected_mode(), s.segment[SEG_SS].limit = 0x1000000);
}

static void data_segments(void **state)
{
    static const unsigned all[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
        bool low = all[i] == SEG_ES || all[i] == SEG_DS;

        for (unsigned type = 0; type < 16; type++) {
            struct entry_state s = protected_mode();

            s.segment[all[i]].ar = 0xc090 | type;
            assert_int_equal(entry_state_valid(&s), (type & 1) && type != 9 && type != 13);
        }
        accepts(protected_mode(), s.segment[all[i]].ar = 0x10000);
        refuses(protected_mode(), s.segment[all[i]].ar &= ~0x80u);
        refuses(protected_mode(), s.segment[all[i]].ar &= ~0x10u);
        refuses(protected_mode(), s.segment[all[i]].ar |= 0x200);
        refuses(protected_mode(), s.segment[all[i]].limit = 0x1ffffe);
        refuses(protected_mode(), s.segment[all[i]].base = 1ULL << 48);
        assert_int_equal(takes_base(all[i], 1ULL << 40), !low);
    }
}

static void vm86_segments(void **state)
{
    (void)state;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
        refuses(vm86(), s.segment[i].base++);
        refuses(vm86(), s.segment[i].selector++);
        refuses(vm86(), s.segment[i].limit++);
        refuses(vm86(), s.segment[i].ar = 0x93);
        refuses(vm86(), s.segment[i].ar |= 0x10000);
    }
}

static void system_segments(void **state)
{
    (void)state;
    accepts(protected_mode(), s.segment[SEG_TR].ar = 0x83);
    refuses(long_mode(), s.segment[SEG_TR].ar = 0x83);
    refuses(protected_mode(), s.segment[SEG_TR].ar = 0x89);
    refuses(protected_mode(), s.segment[SEG_TR].ar = 0x9b);
    refuses(protected_mode(), s.segment[SEG_TR].ar = 0x0b);
    refuses(protected_mode(), s.segment[SEG_TR].ar = 0x1008b);
    refuses(protected_mode(), s.segment[SEG_TR].ar = 0x808b);
    refuses(protected_mode(), s.segment[SEG_TR].selector |= 4);
    refuses(protected_mode(), s.segment[SEG_TR].base = 1ULL << 47);
    accepts(protected_mode(), (s.segment[SEG_LDTR] = (struct segment){0x30, 0x1000, 0xf, 0x82}));
    refuses(protected_mode(), (s.segment[SEG_LDTR] = (struct segment){0x34, 0x1000, 0xf, 0x82}));
    refuses(protected_mode(), (s.segment[SEG_LDTR] = (struct segment){0x30, 0x1000, 0xf, 0x92}));
    refuses(protected_mode(), (s.segment[SEG_LDTR] = (struct segment){0x30, 0x1000, 0xf, 0x02}));
    refuses(protected_mode(), (s.segment[SEG_LDTR] = (struct segment){0x30, 0x1000, 0xf, 0x8b}));
    refuses(protected_mode(),
            (s.segment[SEG_LDTR] = (struct segment){0x30, 1ULL << 47, 0xf, 0x82}));
}

static void starts(void **state)
{
    static const struct segment code = {0, 0, 0xffffffff, 0xc09b},
                                data = {0, 0, 0xffffffff, 0xc093};
    struct vcpu_start s = {.cr0 = X86_CR0_PE,
                           .rflags = 2,
                           .cs = code,
                           .ds = data,
                           .ss = data,
                           .tr = {0, 0, 0x67, 0x8b}};

    (void)state;
    assert_true(vcpu_start_valid(&s)); /* ES has no rights: it cannot be used */
    s.tr.ar = 0;
    assert_false(vcpu_start_valid(&s));
    s.tr.ar = 0x8b;
    s.ds.base = 1ULL << 32;
    assert_false(vcpu_start_valid(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("entry_state", modes),         CASE("entry_state", control),
        CASE("entry_state", flags_and_rip), CASE("entry_state", code_segment),
        CASE("entry_state", stack_segment), CASE("entry_state", data_segments),
        CASE("entry_state", vm86_segments), CASE("entry_state", system_segments),
        CASE("entry_state", starts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
