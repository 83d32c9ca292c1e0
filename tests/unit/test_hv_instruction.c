/* SPDX-License-Identifier: MIT */
/*
 * hv/vcpu/instruction.c: lengths of the instructions that exit, with every set of prefixes, against
 * Zydis; their operands; and bytes that are none of them, as a guest may leave there.
 */
#include "hv_test.h"
#include <stdio.h>
#include <string.h>
#include "vcpu.h"
#include "zydis_decode.h"

static const uint8_t *code;
static size_t code_size;
static unsigned bits;

size_t vcpu_code(struct vcpu *v, uint8_t *to, size_t n)
{
    (void)v;
    n = n < code_size ? n : code_size;
    memcpy(to, code, n);
    return n;
}

uint64_t vmx_get(const struct vcpu *v, enum vcpu_field f)
{
    (void)v;
    if (f == VCPU_CODE_64) {
        return bits == 64;
    }
    assert_int_equal(f, VCPU_AR + SEG_CS);
    return bits == 32 ? AR_CODE32 : bits == 16 ? AR_CODE16 : 0xa09b;
}

static struct vcpu vcpu;
static uint64_t rsp;

/* Those that are asked for. */
uint64_t vcpu_gpr(struct vcpu *v, unsigned n)
{
    return n == 3 ? v->regs.rbx : n == 4 ? rsp : n == 11 ? v->regs.r11 : 0;
}

static void set_code(unsigned b, const void *bytes, size_t n)
{
    bits = b;
    code = bytes;
    code_size = n;
}
#define CODE(b, bytes) set_code((b), (bytes), sizeof(bytes) - 1)

/* The instructions whose length anybody asks for. */
static bool exits(ZydisMnemonic m)
{
    static const ZydisMnemonic all[] = {
        ZYDIS_MNEMONIC_CPUID, ZYDIS_MNEMONIC_HLT,     ZYDIS_MNEMONIC_PAUSE,  ZYDIS_MNEMONIC_RDMSR,
        ZYDIS_MNEMONIC_WRMSR, ZYDIS_MNEMONIC_RDPMC,   ZYDIS_MNEMONIC_INVD,   ZYDIS_MNEMONIC_WBINVD,
        ZYDIS_MNEMONIC_CLTS,  ZYDIS_MNEMONIC_LMSW,    ZYDIS_MNEMONIC_SGDT,   ZYDIS_MNEMONIC_SIDT,
        ZYDIS_MNEMONIC_LGDT,  ZYDIS_MNEMONIC_LIDT,    ZYDIS_MNEMONIC_SLDT,   ZYDIS_MNEMONIC_STR,
        ZYDIS_MNEMONIC_LLDT,  ZYDIS_MNEMONIC_LTR,     ZYDIS_MNEMONIC_XSETBV, ZYDIS_MNEMONIC_VMMCALL,
        ZYDIS_MNEMONIC_VMRUN, ZYDIS_MNEMONIC_INVLPGA, ZYDIS_MNEMONIC_INT3,   ZYDIS_MNEMONIC_INT,
        ZYDIS_MNEMONIC_INT1,  ZYDIS_MNEMONIC_INTO,    ZYDIS_MNEMONIC_IRET,   ZYDIS_MNEMONIC_IRETD,
        ZYDIS_MNEMONIC_IRETQ, ZYDIS_MNEMONIC_IN,      ZYDIS_MNEMONIC_OUT,    ZYDIS_MNEMONIC_INSB,
        ZYDIS_MNEMONIC_INSW,  ZYDIS_MNEMONIC_INSD,    ZYDIS_MNEMONIC_OUTSB,  ZYDIS_MNEMONIC_OUTSW,
        ZYDIS_MNEMONIC_OUTSD,
    };

    for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
        if (m == all[i]) {
            return true;
        }
    }
    return false;
}

/* Far CALL and JMP are what switches tasks; MOV CR has a form for debug registers beside it. */
static bool exits_in_form(const ZydisDecodedInstruction *i)
{
    bool far = i->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR &&
               (i->mnemonic == ZYDIS_MNEMONIC_CALL || i->mnemonic == ZYDIS_MNEMONIC_JMP);
    bool mov_cr = i->mnemonic == ZYDIS_MNEMONIC_MOV && i->opcode_map == ZYDIS_OPCODE_MAP_0F &&
                  (i->opcode == 0x20 || i->opcode == 0x22);

    return far || mov_cr || exits(i->mnemonic);
}

/* True: it is one that exits. What Zydis takes, and we too, has the same length. */
static bool agree(const uint8_t *bytes, size_t n)
{
    struct zydis_decoded z;
    unsigned length;
    bool ours;

    set_code(bits, bytes, n);
    length = vcpu_code_length(&vcpu);
    assert_in_range(length, 0, 32);
    if (!zydis_decode(bytes, n, bits, &z)) {
        return false;
    }
    ours = exits_in_form(&z.i);
    if (ours ? length != z.i.length : length && length != z.i.length) {
        for (size_t k = 0; k < z.i.length; k++) {
            fprintf(stderr, "%s%02x", k ? " " : "# ", bytes[k]);
        }
        fail_msg("%u bits, %s: %u bytes, not %u", bits, ZydisMnemonicGetString(z.i.mnemonic),
                 length, z.i.length);
    }
    return ours;
}

static size_t put_prefixes(uint8_t *to, unsigned set, uint8_t rex)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xf3, 0xf2, 0x64, 0x2e};
    size_t n = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++) {
        if (set >> i & 1) {
            to[n++] = prefixes[i];
        }
    }
    if (rex) {
        to[n++] = rex;
    }
    return n;
}

static unsigned sweep(bool two_bytes, uint8_t op)
{
    static const uint8_t rex[] = {0, 0x41, 0x44, 0x48};
    unsigned found = 0;
    uint8_t bytes[32];

    for (unsigned k = 0; k < 64 * (bits == 64 ? ARRAY_SIZE(rex) : 1) * 256; k++) {
        size_t n = put_prefixes(bytes, k / 256 % 64, rex[k / 256 / 64]);

        if (two_bytes) {
            bytes[n++] = 0x0f;
        }
        bytes[n++] = op;
        bytes[n++] = (uint8_t)k;
        for (; n < sizeof(bytes); n++) {
            bytes[n] = (uint8_t)random_u64();
        }
        found += agree(bytes, sizeof(bytes));
    }
    return found;
}

/* Every opcode of both maps with every second byte; those that exit are found with some. */
static void test_lengths(void **state)
{
    static const uint8_t one[] = {0xcc, 0xcf, 0xf1, 0xf4, 0x6c, 0x6d, 0x6e, 0x6f, 0xec,
                                  0xed, 0xee, 0xef, 0xcd, 0xe4, 0xe5, 0xe6, 0xe7, 0xff};
    static const uint8_t legacy[] = {0xce, 0x9a, 0xea}, pause[] = {0xf3, 0x90};
    static const uint8_t two[] = {0x00, 0x01, 0x20, 0x22, 0x06, 0x08, 0x09, 0x30, 0x32, 0x33, 0xa2};

    (void)state;
    random_seed(1);
    for (bits = 16; bits <= 64; bits *= 2) {
        assert_true(agree(pause, sizeof(pause)));
        for (unsigned i = 0; i < ARRAY_SIZE(one); i++) {
            assert_int_not_equal(sweep(false, one[i]), 0);
        }
        for (unsigned i = 0; i < ARRAY_SIZE(legacy); i++) {
            assert_int_equal(!!sweep(false, legacy[i]), bits != 64);
        }
        for (unsigned i = 0; i < ARRAY_SIZE(two); i++) {
            assert_int_not_equal(sweep(true, two[i]), 0);
        }
    }
}

/* Any bytes, and any number of them: what is no whole instruction is read no further. */
static void test_any_bytes(void **state)
{
    uint8_t bytes[16];

    (void)state;
    random_seed(2);
    for (unsigned k = 0; k < 300000; k++) {
        static const uint8_t starts[] = {0x0f, 0xff, 0x66, 0xf0, 0x67, 0x48, 0xcd, 0x64};
        struct vcpu_exit e = {.kind = VCPU_EXIT_CR};

        for (unsigned i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (uint8_t)random_u64();
        }
        bytes[0] = k & 1 ? bytes[0] : starts[bytes[0] % sizeof(starts)];
        bits = 16u << random_below(3);
        agree(bytes, sizeof(bytes));
        set_code(bits, bytes, random_below(sizeof(bytes)));
        vcpu_code_length(&vcpu);
        vcpu_code_cr(&vcpu, &e);
        vcpu_code_string(&vcpu, &e);
        vcpu_code_int(&vcpu);
    }
}

static void check_cr(unsigned b, const char *bytes, size_t n, enum vcpu_cr_access access,
                     unsigned cr, unsigned gpr)
{
    struct vcpu_exit e = {.kind = VCPU_EXIT_CR};

    set_code(b, bytes, n);
    vcpu_code_cr(&vcpu, &e);
    assert_int_equal(e.kind, VCPU_EXIT_CR);
    assert_int_equal(e.cr.access, access);
    assert_int_equal(e.cr.cr, cr);
    if (access != CR_CLTS) {
        assert_int_equal(e.cr.gpr, gpr);
    }
}
#define CR(b, bytes, ...) check_cr((b), (bytes), sizeof(bytes) - 1, __VA_ARGS__)

static void test_control_registers(void **state)
{
    (void)state;
    CR(32, "\x0f\x22\xc3", CR_MOV_TO, 0, 3);
    CR(64, "\x0f\x22\xe0", CR_MOV_TO, 4, 0);
    CR(64, "\x41\x0f\x22\xdf", CR_MOV_TO, 3, 15);
    CR(64, "\x44\x0f\x22\xc1", CR_MOV_TO, 8, 1);
    CR(64, "\x45\x0f\x20\xc2", CR_MOV_FROM, 8, 10);
    CR(64, "\x44\x66\x0f\x22\xc1", CR_MOV_TO, 0, 1); /* a REX that is not last counts for nothing */
    CR(32, "\x0f\x20\x03", CR_MOV_FROM, 0, 3);       /* whatever the mod field says */
    /* LOCK stands for REX.R, wherever it is among the prefixes. */
    CR(32, "\xf0\x0f\x20\xc6", CR_MOV_FROM, 8, 6);
    CR(32, "\x66\xf0\x0f\x22\xc6", CR_MOV_TO, 8, 6);
    CR(32, "\x0f\x06", CR_CLTS, 0, 0);
}

static void test_lmsw(void **state)
{
    struct vcpu_exit e = {.kind = VCPU_EXIT_CR};

    (void)state;
    vcpu.regs.rbx = 0x1234000b;
    CODE(32, "\x0f\x01\xf3");
    vcpu_code_cr(&vcpu, &e);
    assert_int_equal(e.cr.access, CR_LMSW);
    assert_int_equal(e.cr.msw, 0xb);
    assert_int_equal(e.kind, VCPU_EXIT_CR);
    vcpu.regs.r11 = 7;
    CODE(64, "\x41\x0f\x01\xf3");
    vcpu_code_cr(&vcpu, &e);
    assert_int_equal(e.cr.msw, 7);
    rsp = 0x5678;
    CODE(64, "\x0f\x01\xf4");
    vcpu_code_cr(&vcpu, &e);
    assert_int_equal(e.cr.msw, 0x5678);
    CODE(16, "\x0f\x01\x36\x00\x10");
    vcpu_code_cr(&vcpu, &e);
    assert_int_equal(e.cr.access, CR_LMSW_MEMORY);
    assert_int_equal(e.kind, VCPU_EXIT_CR);
}

/* The guest's page tables show other code than what the processor ran: no register changes. */
static void test_other_code(void **state)
{
    struct vcpu_exit e = {.kind = VCPU_EXIT_CR};

    (void)state;
    CODE(64, "\x90\x90\x90");
    vcpu_code_cr(&vcpu, &e);
    assert_int_equal(e.kind, VCPU_EXIT_UNDEFINED);
    e.kind = VCPU_EXIT_CR;
    CODE(64, "");
    vcpu_code_cr(&vcpu, &e);
    assert_int_equal(e.kind, VCPU_EXIT_UNDEFINED);
    assert_int_equal(vcpu_code_length(&vcpu), 0);
}

static void check_string(unsigned b, const char *bytes, size_t n, unsigned segment, unsigned size)
{
    struct vcpu_exit e = {.kind = VCPU_EXIT_IO};

    set_code(b, bytes, n);
    vcpu_code_string(&vcpu, &e);
    assert_int_equal(e.io.segment, segment);
    assert_int_equal(e.io.address_size, size);
    e.io.in = true;
    vcpu_code_string(&vcpu, &e);
    assert_int_equal(e.io.segment, SEG_ES);
}
#define STRING(b, bytes, ...) check_string((b), (bytes), sizeof(bytes) - 1, __VA_ARGS__)

static void test_strings(void **state)
{
    (void)state;
    STRING(64, "\x6e", SEG_DS, 8);
    STRING(64, "\x67\xf3\x6e", SEG_DS, 4);
    STRING(32, "\x6f", SEG_DS, 4);
    STRING(32, "\x67\x6f", SEG_DS, 2);
    STRING(16, "\x6f", SEG_DS, 2);
    STRING(16, "\x67\x6f", SEG_DS, 4);
    STRING(64, "\x64\x6e", SEG_FS, 8);
    STRING(32, "\x26\x2e\x6e", SEG_CS, 4); /* the last one counts */
    STRING(64, "\x65\x2e\x6e", SEG_GS, 8); /* 64-bit code: those of FS and GS alone do */
}

static void check_int(const char *bytes, size_t n, unsigned vector, bool exception)
{
    struct event e;

    set_code(32, bytes, n);
    e = vcpu_code_int(&vcpu);
    assert_int_equal(e.vector, vector);
    assert_int_equal(e.length, n);
    assert_int_equal(e.type, exception ? EVENT_SW_EXC : EVENT_SOFTWARE);
    assert_true(e.due);
}
#define INT(bytes, ...) check_int((bytes), sizeof(bytes) - 1, __VA_ARGS__)

/* A prefix makes INT3 longer and nothing else: it is no INT 3. */
static void test_interrupts(void **state)
{
    (void)state;
    INT("\xcd\x80", 0x80, false);
    INT("\xcd\x03", 3, false);
    INT("\xcc", 3, true);
    INT("\x66\xcc", 3, true);
    INT("\xce", 4, true);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE("instruction", test_lengths),           CASE("instruction", test_any_bytes),
        CASE("instruction", test_control_registers), CASE("instruction", test_lmsw),
        CASE("instruction", test_other_code),        CASE("instruction", test_strings),
        CASE("instruction", test_interrupts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
