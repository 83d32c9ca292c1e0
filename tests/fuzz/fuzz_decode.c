/* SPDX-License-Identifier: MIT */
/* The first byte picks the mode; decode_mmio() and Zydis must agree on the rest. */
#include <stdio.h>
#include <stdlib.h>
#include "tests/unit/decode_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned modes[] = {16, 32, 64};
    const char *difference;
    bool accepted;

    if (size == 0) {
        return 0;
    }
    difference = decode_compare(data + 1, size - 1, modes[data[0] % 3], &accepted);
    if (difference) {
        fprintf(stderr, "%u bits: %s\n", modes[data[0] % 3], difference);
        abort();
    }
    return 0;
}
