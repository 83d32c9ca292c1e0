/* SPDX-License-Identifier: MIT */
#include "rows.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/args.h"

struct row rows[] = {
#define SUBOP(nr, nm, snc, ar, pd, ou, os, fl, us, ve, re, te, su)                                 \
    {.number = (nr),                                                                               \
     .since = (snc),                                                                               \
     .arg = (ar),                                                                                  \
     .out = (ou),                                                                                  \
     .out_size = (os),                                                                             \
     .flags = (fl),                                                                                \
     .use = (us),                                                                                  \
     .pads = (pd),                                                                                 \
     .name = #nm,                                                                                  \
     .reason = (re),                                                                               \
     .test = #te,                                                                                  \
     .summary = (su),                                                                              \
     .verdict = #ve},
#include "core/subops.h"
#undef SUBOP
};
const unsigned nr_rows = sizeof(rows) / sizeof(rows[0]);

static const struct field fields[] = {
#define FIELD(nm, mb, wy, kd)                                                                      \
    {.of = #nm,                                                                                    \
     .name = #mb,                                                                                  \
     .offset = offsetof(subop_arg_##nm, mb),                                                       \
     .size = sizeof(((subop_arg_##nm *)0)->mb),                                                    \
     .way = (wy),                                                                                  \
     .kind = (kd)},
#include "core/fields.h"
};

static const struct {
    const char *of, *type;
} types[] = {
#define ARGUMENT(nm, type) {#nm, #type},
#include "core/fields.h"
};

void rows_init(void)
{
    for (unsigned i = 0; i < nr_rows; i++) {
        struct row *r = &rows[i];

        for (size_t k = 0; k < sizeof(types) / sizeof(types[0]); k++) {
            if (strcmp(types[k].of, r->name) == 0) {
                r->type = types[k].type;
            }
        }
        for (size_t k = 0; k < sizeof(fields) / sizeof(fields[0]); k++) {
            if (strcmp(fields[k].of, r->name) == 0) {
                r->fields = r->fields ? r->fields : &fields[k];
                r->nr_fields++;
            }
        }
        if (!r->type || !r->fields) {
            abort(); /* core/altp2m.c would not build either */
        }
    }
}
