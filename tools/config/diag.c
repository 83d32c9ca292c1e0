/* SPDX-License-Identifier: MIT */
#include "diag.h"

#include <stdarg.h>

static void diag_print(struct diag *d, unsigned line, const char *kind, const char *format,
                       va_list args)
{
    if (line)
        fprintf(d->out, "%s:%u: %s", d->file, line, kind);
    else
        fprintf(d->out, "%s: %s", d->file, kind);
    vfprintf(d->out, format, args);
    fputc('\n', d->out);
}

void diag_error(struct diag *d, unsigned line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    diag_print(d, line, "", format, args);
    va_end(args);
    d->errors++;
}

void diag_warn(struct diag *d, unsigned line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    diag_print(d, line, "warning: ", format, args);
    va_end(args);
    d->warnings++;
}
