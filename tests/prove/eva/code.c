/* SPDX-License-Identifier: MIT */
/* code_begin() and code_length() with 15 arbitrary bytes, any number of them fetched, in all modes.
 */
#include "__fc_builtin.h"
#include "x86/code.h"

volatile unsigned char any_byte;

int main(void)
{
    struct code c = {.nr = (unsigned)Frama_C_interval(0, CODE_LENGTH_MAX),
                     .code_64 = Frama_C_interval(0, 1),
                     .wide = Frama_C_interval(0, 1),
                     .segment = (unsigned char)Frama_C_interval(0, 5)};

    for (unsigned i = 0; i < sizeof(c.bytes); i++) {
        c.bytes[i] = any_byte;
    }
    code_begin(&c);
    return (int)code_length(&c);
}
