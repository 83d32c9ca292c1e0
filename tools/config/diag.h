/* SPDX-License-Identifier: MIT */
/*
 * Messages about a configuration file, as `FILE:LINE: message`, counted.
 * A caller reports everything it finds and looks at `errors` at the end.
 */
#pragma once

#include <stdio.h>

struct diag {
    FILE *out;        /* where messages go; borrowed */
    const char *file; /* name printed in front; borrowed */
    unsigned errors;
    unsigned warnings;
};

/* `line` counts from 1; 0 means the file as a whole and prints no line number. */
__attribute__((format(printf, 3, 4))) void diag_error(struct diag *d, unsigned line,
                                                      const char *format, ...);
__attribute__((format(printf, 3, 4))) void diag_warn(struct diag *d, unsigned line,
                                                     const char *format, ...);
