/* SPDX-License-Identifier: MIT */
/* tables_decode() with 15 arbitrary bytes and any registers. */
#include "__fc_builtin.h"
#include "tables.h"

volatile unsigned char any_byte;

int main(void)
{
    static unsigned char code[15];
    struct tables_regs r;
    struct tables_value v;

    Frama_C_make_unknown((char *)&r, sizeof(r));
    for (unsigned i = 0; i < sizeof(code); i++) {
        code[i] = any_byte;
    }
    r.rip = (uint64_t)code;
    tables_decode(&r, &v);
    return (int)v.kind;
}
