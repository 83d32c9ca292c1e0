/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Compares decode_mmio() with the Zydis decoder on these bytes. NULL if they agree, else what they
 * disagree about.
 * `*accepted`: decode_mmio() took the instruction. `bits`: 16, 32 or 64. At most 64 bytes are
 * looked at.
 */
const char *decode_compare(const uint8_t *code, size_t n, unsigned bits, bool *accepted);
