/* SPDX-License-Identifier: MIT */
/* decode_mmio() with 15 arbitrary bytes, any length of them, all modes. */
#include "__fc_builtin.h"
#include "exit/decode.h"

volatile unsigned char any_byte;

int main(void)
{
    static const unsigned modes[] = {16, 32, 64};
    unsigned char code[15];
    struct decoded out;

    for (unsigned i = 0; i < sizeof(code); i++) {
        code[i] = any_byte;
    }
    return decode_mmio(code, (unsigned long)Frama_C_interval(0, 15), modes[Frama_C_interval(0, 2)],
                       &out);
}
