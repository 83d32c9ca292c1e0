/* SPDX-License-Identifier: MIT */
/* decode_mmio() against Zydis: every opcode and ModRM with every set of prefixes, and random bytes.
 */
#include "hv_test.h"
#include <stdio.h>
#include <string.h>
#include "decode_oracle.h"
#include "exit/decode.h"

static const unsigned modes[] = {16, 32, 64};

static bool agree(const uint8_t *code, size_t n, unsigned bits)
{
    bool accepted;
    const char *difference = decode_compare(code, n, bits, &accepted);

    if (difference) {
        fprintf(stderr, "# %u bits:", bits);
        for (size_t i = 0; i < n && i < 16; i++) {
            fprintf(stderr, " %02x", code[i]);
        }
        fail_msg("%s", difference);
    }
    return accepted;
}

static void fill(uint8_t *code, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        code[i] = (uint8_t)random_u64();
    }
}

/* Prefixes of `set` (bit n: prefixes[n]), then `rex` if not 0. */
static size_t put_prefixes(uint8_t *code, unsigned set, uint8_t rex)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf3, 0xf2, 0x64, 0x2e, 0xf0};
    size_t n = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++) {
        if (set >> i & 1) {
            code[n++] = prefixes[i];
        }
    }
    if (rex) {
        code[n++] = rex;
    }
    return n;
}

/* All second bytes after one opcode, with random SIB, displacement and immediate. */
static unsigned sweep_modrm(unsigned bits, unsigned set, uint8_t rex, bool two_bytes, uint8_t op)
{
    unsigned accepted = 0;
    uint8_t code[32];

    for (unsigned modrm = 0; modrm < 256; modrm++) {
        size_t n = put_prefixes(code, set, rex);

        if (two_bytes) {
            code[n++] = 0x0f;
        }
        code[n++] = op;
        code[n++] = (uint8_t)modrm;
        fill(code + n, sizeof(code) - n);
        accepted += agree(code, sizeof(code), bits);
    }
    return accepted;
}

static unsigned sweep_mode(unsigned bits, bool two_bytes, uint8_t op)
{
    static const uint8_t rex[] = {0, 0x40, 0x44, 0x48, 0x4d, 0x4f};
    unsigned accepted = 0;

    for (unsigned set = 0; set < 64 + 4; set++) { /* LOCK with the first two only */
        for (unsigned r = 0; r < (bits == 64 ? ARRAY_SIZE(rex) : 1); r++) {
            accepted += sweep_modrm(bits, set, rex[r], two_bytes, op);
        }
    }
    return accepted;
}

/* The opcodes it is for; each must be accepted with some ModRM in every mode. */
static void test_opcodes(void **state)
{
    static const uint8_t one[] = {
        0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b, 0x11, 0x13, 0x19, 0x1b, 0x20, 0x21,
        0x22, 0x23, 0x29, 0x2b, 0x30, 0x31, 0x33, 0x38, 0x39, 0x3a, 0x3b, 0x80, 0x81, 0x83,
        0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8f, 0xa0, 0xa1, 0xa2, 0xa3, 0xa4,
        0xa5, 0xaa, 0xab, 0xac, 0xad, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff,
    };
    static const uint8_t two[] = {0xa3, 0xab, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7,
                                  0xba, 0xbb, 0xbe, 0xbf, 0xc0, 0xc1};
    static const struct {
        unsigned bits;
        uint8_t op;
    } some_modes[] = {{64, 0x63}, {32, 0x82}, {16, 0x82}};

    (void)state;
    random_seed(1);
    for (unsigned m = 0; m < ARRAY_SIZE(modes); m++) {
        for (unsigned i = 0; i < ARRAY_SIZE(one); i++) {
            assert_int_not_equal(sweep_mode(modes[m], false, one[i]), 0);
        }
        for (unsigned i = 0; i < ARRAY_SIZE(two); i++) {
            assert_int_not_equal(sweep_mode(modes[m], true, two[i]), 0);
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(some_modes); i++) {
        assert_int_not_equal(sweep_mode(some_modes[i].bits, false, some_modes[i].op), 0);
    }
}

/* Every opcode of both maps, few prefixes: nothing else may be taken for one of them. */
static void test_other_opcodes(void **state)
{
    static const unsigned sets[] = {0, 1, 2, 1u << 6};

    (void)state;
    random_seed(2);
    for (unsigned m = 0; m < ARRAY_SIZE(modes); m++) {
        for (unsigned op = 0; op < 512; op++) {
            for (unsigned set = 0; set < ARRAY_SIZE(sets); set++) {
                sweep_modrm(modes[m], sets[set], 0, op >> 8, (uint8_t)op);
            }
        }
    }
}

static void test_random_bytes(void **state)
{
    unsigned accepted = 0;
    uint8_t code[20];

    (void)state;
    random_seed(3);
    for (unsigned i = 0; i < 600000; i++) {
        fill(code, sizeof(code));
        accepted += agree(code, 1 + random_below(sizeof(code)), modes[i % 3]);
    }
    assert_in_range(accepted, 10000, 600000); /* the comparison saw something */
}

/* Fifteen bytes are the limit: the same MOV with 13 prefixes is one, with 14 it is not. */
static void test_length_limit(void **state)
{
    uint8_t code[32];
    struct decoded d;

    (void)state;
    memset(code, 0x3e, sizeof(code));
    code[13] = 0x8b;
    code[14] = 0x00;
    assert_true(decode_mmio(code, sizeof(code), 64, &d));
    assert_int_equal(d.length, 15);
    assert_true(agree(code, sizeof(code), 64));
    memset(code, 0x3e, sizeof(code));
    code[14] = 0x8b;
    code[15] = 0x00;
    assert_false(decode_mmio(code, sizeof(code), 64, &d));
    assert_false(agree(code, sizeof(code), 64));
    assert_false(decode_mmio(code, 0, 64, &d));
}

/* One known case by hand, in case both decoders are asked the wrong question. */
static void test_by_hand(void **state)
{
    /* movzx r9d, byte [rax+0x10] */
    static const uint8_t movzx[] = {0x44, 0x0f, 0xb6, 0x48, 0x10};
    /* test byte [esi], 0x80 */
    static const uint8_t test[] = {0xf6, 0x06, 0x80};
    /* mov [rdi], ah */
    static const uint8_t store[] = {0x88, 0x27};
    struct decoded d;

    (void)state;
    assert_true(decode_mmio(movzx, sizeof(movzx), 64, &d));
    assert_int_equal(d.kind, DECODE_LOAD);
    assert_int_equal(d.length, 5);
    assert_int_equal(d.size, 1);
    assert_int_equal(d.reg, 9);
    assert_int_equal(d.reg_size, 4);
    assert_false(d.sign_extend || d.high_byte);
    assert_true(decode_mmio(test, sizeof(test), 32, &d));
    assert_int_equal(d.kind, DECODE_ALU);
    assert_int_equal(d.alu, DECODE_ALU_TEST);
    assert_true(d.has_immediate);
    assert_int_equal(d.immediate & 0xff, 0x80);
    assert_true(decode_mmio(store, sizeof(store), 64, &d));
    assert_int_equal(d.kind, DECODE_STORE);
    assert_true(d.high_byte);
    assert_int_equal(d.reg, 0);
}

static void test_addresses_by_hand(void **state)
{
    /* push qword [rsp+r13*4-8] */
    static const uint8_t push[] = {0x42, 0xff, 0x74, 0xac, 0xf8};
    /* pop word gs:[bp+si] */
    static const uint8_t pop[] = {0x65, 0x8f, 0x02};
    struct decoded d;

    (void)state;
    assert_true(decode_mmio(push, sizeof(push), 64, &d));
    assert_int_equal(d.kind, DECODE_PUSH);
    assert_int_equal(d.size, 8);
    assert_int_equal(d.base, 4);
    assert_int_equal(d.index, 13);
    assert_int_equal(d.scale, 4);
    assert_int_equal(d.segment, 2);
    assert_int_equal(d.displacement, -8LL);
    assert_true(decode_mmio(pop, sizeof(pop), 16, &d));
    assert_int_equal(d.kind, DECODE_POP);
    assert_int_equal(d.size, 2);
    assert_int_equal(d.base, 5);
    assert_int_equal(d.index, 6);
    assert_int_equal(d.segment, 5);
}

/* LOCK goes with what writes to memory, and with nothing else. */
static void locked(void **state)
{
    /* add [rax], ecx; inc byte [rax]; neg dword [rax]; bts [rax], ecx; xadd [rax], cl; cmpxchg
     * [rax], ecx; cmpxchg8b [rax]; xchg [rax], ecx */
    static const uint8_t taken[][3] = {{0x01, 0x08},       {0xfe, 0x00},       {0xf7, 0x18},
                                       {0x0f, 0xab, 0x08}, {0x0f, 0xc0, 0x08}, {0x0f, 0xb1, 0x08},
                                       {0x0f, 0xc7, 0x08}, {0x87, 0x08}};
    /* add ecx, [rax]; cmp [rax], ecx; test [rax], ecx; bt [rax], ecx; mov [rax], ecx; push [rax] */
    static const uint8_t refused[][3] = {{0x03, 0x08},       {0x39, 0x08}, {0x85, 0x08},
                                         {0x0f, 0xa3, 0x08}, {0x89, 0x08}, {0xff, 0x30}};
    uint8_t code[16] = {0xf0};
    struct decoded d;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(taken); i++) {
        memcpy(code + 1, taken[i], 3);
        assert_true(decode_mmio(code, sizeof(code), 64, &d));
        assert_int_equal(d.length, taken[i][0] == 0x0f ? 4 : 3);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
        memcpy(code + 1, refused[i], 3);
        assert_true(decode_mmio(code + 1, sizeof(code) - 1, 64, &d));
        assert_false(decode_mmio(code, sizeof(code), 64, &d));
    }
}

/* A REX prefix that another prefix follows does not count. */
static void rex_not_last(void **state)
{
    static const uint8_t legacy[] = {0x66, 0x67, 0xf3, 0x64, 0x2e, 0x4f};
    unsigned accepted = 0;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(legacy); i++) {
        for (unsigned rex = 0x40; rex < 0x50; rex++) {
            uint8_t code[16] = {(uint8_t)rex, legacy[i], 0x89, 0x47, 0x10};

            accepted += agree(code, sizeof(code), 64);
        }
    }
    assert_int_equal(accepted, ARRAY_SIZE(legacy) * 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE("hv/exit/decode", test_by_hand),      CASE("hv/exit/decode", test_length_limit),
        CASE("hv/exit/decode", test_opcodes),      CASE("hv/exit/decode", test_other_opcodes),
        CASE("hv/exit/decode", test_random_bytes), CASE("hv/exit/decode", test_addresses_by_hand),
        CASE("hv/exit/decode", rex_not_last),      CASE("hv/exit/decode", locked),
    };

    return cmocka_run_group_tests_name("hv/exit/decode", tests, NULL, NULL);
}
