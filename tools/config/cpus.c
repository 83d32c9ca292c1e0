/* SPDX-License-Identifier: MIT */
#include "cpus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* A number at *text, which then points behind it and blanks; more than CPUS_MOST counts as that. */
static bool cpus_number(const char **text, unsigned *number)
{
    char *end;

    if (**text < '0' || **text > '9')
        return false;
    unsigned long n = strtoul(*text, &end, 10);
    *number = n < CPUS_MOST ? (unsigned)n : CPUS_MOST;
    *text = end + strspn(end, " \t");
    return true;
}

/* One item, which `text` then points behind; what is wrong, or NULL. */
static const char *cpus_item(const char **text, uint64_t *set)
{
    unsigned first = 0, last = CPUS_MOST - 1;
    bool without = **text == '^';

    *text += without;
    if (!strncmp(*text, "all", 3)) {
        *text += 3;
    } else {
        if (!strncmp(*text, "node", 4))
            return "names nodes, which Facet does not know";
        if (!cpus_number(text, &first))
            return "must be numbers of processors, ranges as 0-3, or \"all\", with ^ before what "
                   "is left out";
        last = first;
        if (**text == '-') {
            *text += 1 + strspn(*text + 1, " \t");
            if (!cpus_number(text, &last) || last < first)
                return "has a range that is none";
        }
    }
    if (first >= CPUS_MOST || last >= CPUS_MOST)
        return "names a processor above 63, the last that Facet uses";
    for (unsigned i = first; i <= last; i++)
        *set = without ? *set & ~(1ULL << i) : *set | 1ULL << i;
    return NULL;
}

const char *cpus_parse(const char *text, uint64_t *set)
{
    const char *wrong;

    *set = 0;
    for (;;) {
        text += strspn(text, " \t");
        wrong = cpus_item(&text, set);
        if (wrong)
            return wrong;
        text += strspn(text, " \t");
        if (*text == '\0')
            return *set ? NULL : "leaves no processor";
        if (*text++ != ',')
            return "must be separated by commas";
    }
}
