/* SPDX-License-Identifier: MIT */
#pragma once

/* The oracle of what decodes instructions. Link Zydis. */
#include <Zydis/Zydis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zydis_decoded {
    ZydisDecodedInstruction i;
    ZydisDecodedOperand op[ZYDIS_MAX_OPERAND_COUNT];
};

/* False: Zydis takes it for none. `bits`: 16, 32 or 64. */
static inline bool zydis_decode(const uint8_t *code, size_t n, unsigned bits,
                                struct zydis_decoded *z)
{
    ZydisDecoder d;

    ZydisDecoderInit(&d,
                     bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                     : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                  : ZYDIS_MACHINE_MODE_LEGACY_16,
                     bits == 64   ? ZYDIS_STACK_WIDTH_64
                     : bits == 32 ? ZYDIS_STACK_WIDTH_32
                                  : ZYDIS_STACK_WIDTH_16);
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, code, n, &z->i, z->op));
}
