/* SPDX-License-Identifier: MIT */
/*
 * touch_decode() against Zydis: whatever an instruction accesses in memory is told, at the address
 * where it is. Pokes: every opcode of the maps with every ModRM and prefixes, and random bytes.
 */
#include "hv_test.h"
#include <stdio.h>
#include <string.h>
#include "exit/touch.h"
#include "zydis_decode.h"

static const unsigned modes[] = {16, 32, 64};
static unsigned seen, known;

static unsigned number(ZydisRegister r)
{
    return r == ZYDIS_REGISTER_NONE                        ? DECODE_NO_REGISTER
           : ZydisRegisterGetClass(r) == ZYDIS_REGCLASS_IP ? DECODE_RIP
                                                           : (unsigned)ZydisRegisterGetId(r);
}

/* An operand that the instruction names. */
static bool same_place(const struct touch *t, const ZydisDecodedOperand *p)
{
    const ZydisDecodedOperandMem *m = &p->mem;
    unsigned base = number(m->base), index = number(m->index);
    uint64_t mask = t->at.address_size == 8 ? ~0ULL : (1ULL << 8 * t->at.address_size) - 1;

    if (m->base == ZYDIS_REGISTER_R13D && t->at.base == DECODE_NO_REGISTER) {
        return t->operand; /* decode_oracle.c: Zydis 4.0 takes none for that */
    }
    if (index != DECODE_NO_REGISTER && base == DECODE_NO_REGISTER && m->scale == 1 &&
        t->at.index == DECODE_NO_REGISTER) {
        base = index;
        index = DECODE_NO_REGISTER;
    }
    return t->operand && t->size >= p->size / 8 && t->at.base == base && t->at.index == index &&
           (index == DECODE_NO_REGISTER || t->at.scale == m->scale) &&
           t->at.segment == (unsigned)ZydisRegisterGetId(m->segment) &&
           !((t->at.displacement ^ (uint64_t)m->disp.value) & mask);
}

/* One that it does not name, by its base. */
static bool told(const struct touch *t, const ZydisDecodedOperand *p)
{
    switch (ZydisRegisterGetId(p->mem.base)) {
    case 4:
        return t->below + t->above >= p->size / 8;
    case 5:
        return t->frame;
    case 6:
        return t->source;
    case 7:
        return t->destination;
    case 3:
        return t->table;
    default:
        return false;
    }
}

static bool accessed(const ZydisDecodedOperand *p)
{
    return p->type == ZYDIS_OPERAND_TYPE_MEMORY && p->mem.type == ZYDIS_MEMOP_TYPE_MEM &&
           (p->actions & ZYDIS_OPERAND_ACTION_MASK_READ ||
            p->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE);
}

/* Zydis has these read what they are about, or takes a segment's prefix for NOTRACK. */
static bool otherwise(const struct zydis_decoded *o)
{
    const char *name = ZydisMnemonicGetString(o->i.mnemonic);

    return !strncmp(name, "prefetch", 8) || !strcmp(name, "nop") || !strcmp(name, "cldemote") ||
           !strncmp(name, "clflush", 7) || !strcmp(name, "clwb") ||
           (o->i.attributes & ZYDIS_ATTRIB_HAS_NOTRACK) || !strcmp(name, "ud0") ||
           !strcmp(name, "ud1") || !strcmp(name, "invlpg");
}

static bool covered(const struct touch *t, const struct zydis_decoded *o)
{
    if (otherwise(o)) {
        return true;
    }
    for (unsigned k = 0; k < o->i.operand_count; k++) {
        const ZydisDecodedOperand *p = &o->op[k];

        if (accessed(p) && !same_place(t, p) && !told(t, p)) {
            return false;
        }
    }
    return true;
}

static bool any_access(const struct zydis_decoded *o)
{
    for (unsigned k = 0; k < o->i.operand_count; k++) {
        if (accessed(&o->op[k])) {
            return true;
        }
    }
    return false;
}

static void look(const uint8_t *code, size_t n, unsigned bits)
{
    struct zydis_decoded o;
    struct touch t;
    bool is = touch_decode(code, n, bits, &t);

    if (!zydis_decode(code, n, bits, &o)) {
        return;
    }
    seen += any_access(&o);
    known += is && any_access(&o);
    if (!is || covered(&t, &o)) {
        return;
    }
    fprintf(stderr, "# %u bits:", bits);
    for (size_t i = 0; i < o.i.length; i++) {
        fprintf(stderr, " %02x", code[i]);
    }
    fail_msg(
        "%s accesses memory that is not told: operand %u base %u index %u disp %lx seg %u size "
        "%u length %u below %u above %u",
        ZydisMnemonicGetString(o.i.mnemonic), t.operand, t.at.base, t.at.index,
        (unsigned long)t.at.displacement, t.at.segment, t.size, t.at.length, t.below, t.above);
}

static void fill(uint8_t *code, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        code[i] = (uint8_t)random_u64();
    }
}

/* An opcode behind these prefixes, with every ModRM. */
static void sweep(const uint8_t *prefix, size_t n, uint8_t op)
{
    uint8_t code[32];

    for (unsigned modrm = 0; modrm < 256; modrm++) {
        for (unsigned m = 0; m < ARRAY_SIZE(modes); m++) {
            memcpy(code, prefix, n);
            code[n] = op;
            code[n + 1] = (uint8_t)modrm;
            fill(code + n + 2, sizeof(code) - n - 2);
            look(code, sizeof(code), modes[m]);
        }
    }
}

static void every_opcode(void **state)
{
    static const struct {
        uint8_t n, bytes[5];
    } prefixes[] = {
        {0, {0}},
        {1, {0x66}},
        {1, {0x67}},
        {1, {0xf3}},
        {2, {0x64, 0x4f}},
        {1, {0x0f}},
        {2, {0x66, 0x0f}},
        {2, {0xf3, 0x0f}},
        {2, {0xf2, 0x0f}},
        {2, {0x4b, 0x0f}},
        {2, {0x0f, 0x38}},
        {3, {0x66, 0x0f, 0x38}},
        {3, {0xf3, 0x0f, 0x38}},
        {3, {0xf2, 0x0f, 0x38}},
        {2, {0x0f, 0x3a}},
        {3, {0x66, 0x0f, 0x3a}},
        {2, {0xc5, 0xf8}},
        {2, {0xc5, 0xfd}},
        {3, {0xc4, 0xe1, 0x78}},
        {3, {0xc4, 0xc1, 0xf9}},
        {3, {0xc4, 0xe2, 0x79}},
        {3, {0xc4, 0xe2, 0xfd}},
        {3, {0xc4, 0x82, 0x7b}},
        {3, {0xc4, 0xe3, 0x7d}},
        {4, {0x64, 0xc4, 0xc3, 0xfd}},
    };

    (void)state;
    random_seed(1);
    seen = known = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++) {
        for (unsigned op = 0; op < 256; op++) {
            sweep(prefixes[i].bytes, prefixes[i].n, (uint8_t)op);
        }
    }
    assert_in_range(known * 100, seen * 95, seen * 100); /* most of them are known */
}

static void random_bytes(void **state)
{
    uint8_t code[20];

    (void)state;
    random_seed(2);
    seen = known = 0;
    for (unsigned i = 0; i < 600000; i++) {
        fill(code, sizeof(code));
        look(code, 1 + random_below(sizeof(code)), modes[i % 3]);
    }
    assert_in_range(known * 100, seen * 90, seen * 100);
}

/* What has an address and accesses nothing there, and what only computes. */
static void none(void **state)
{
    static const struct {
        uint8_t n, bytes[8];
    } list[] = {
        {3, {0x48, 0x8d, 0x07}},       /* lea (%rdi), %rax */
        {4, {0x0f, 0x1f, 0x40, 0x00}}, /* nopl 0(%rax) */
        {3, {0x0f, 0x18, 0x08}},       /* prefetcht0 (%rax) */
        {3, {0x0f, 0x01, 0x38}},       /* invlpg (%rax) */
        {3, {0x48, 0x01, 0xc8}},       /* add %rcx, %rax */
        {5, {0xb8, 1, 2, 3, 4}},       /* mov $..., %eax */
        {2, {0x75, 0x10}},             /* jne */
        {5, {0xe9, 0, 0, 0, 0}},       /* jmp */
        {2, {0xff, 0xe0}},             /* jmp *%rax */
        {4, {0x66, 0x0f, 0xef, 0xc0}}, /* pxor %xmm0, %xmm0 */
        {3, {0x0f, 0xa3, 0xc8}},       /* bt %ecx, %eax */
        {2, {0x0f, 0xa2}},             /* cpuid */
    };
    struct touch t;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(list); i++) {
        assert_true(touch_decode(list[i].bytes, list[i].n, 64, &t));
        assert_false(t.operand || t.source || t.destination || t.frame || t.table || t.below ||
                     t.above);
    }
}

/* The end of the instruction, from which RIP-relative addresses count. */
static void lengths(void **state)
{
    uint8_t code[20];

    (void)state;
    random_seed(3);
    for (unsigned i = 0; i < 300000; i++) {
        struct zydis_decoded o;
        struct touch t;

        fill(code, sizeof(code));
        if (touch_decode(code, sizeof(code), 64, &t) && t.operand && t.at.base == DECODE_RIP &&
            zydis_decode(code, sizeof(code), 64, &o)) {
            assert_int_equal(t.at.length, o.i.length);
        }
    }
}

/* push %rax; mov %rax, (%rdi); mov (%rdi), %rax: which of them write. */
static void writes(void **state)
{
    struct touch t;

    (void)state;
    assert_true(touch_decode((const uint8_t[]){0x50}, 1, 64, &t));
    assert_true(t.writes && t.below == 8 && !t.above);
    assert_true(touch_decode((const uint8_t[]){0x48, 0x89, 0x07}, 3, 64, &t));
    assert_true(t.writes && t.operand && t.at.base == 7);
    assert_true(touch_decode((const uint8_t[]){0x48, 0x8b, 0x07}, 3, 64, &t));
    assert_false(t.writes);
    assert_false(touch_decode((const uint8_t[]){0x48, 0x8b}, 2, 64, &t)); /* cut off */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_opcode), cmocka_unit_test(random_bytes), cmocka_unit_test(none),
        cmocka_unit_test(lengths),      cmocka_unit_test(writes),
    };

    return cmocka_run_group_tests_name("touch", tests, NULL, NULL);
}
