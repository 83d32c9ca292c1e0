/* SPDX-License-Identifier: MIT */
/*
 * dtree_open() and dtree_domain() with any tree, as far as libfdt.h says what is in it: after
 * fdt_check_full() a property is absent, or so many bytes within the blob as it says. Each length
 * across the bound that its reader has, and any bytes; what is asked twice may be answered
 * otherwise.
 */
#include "__fc_builtin.h"
#include <libfdt.h>
#include <string.h>

volatile int any;

static const void *find(const void *s, int c, size_t n);
static size_t length_of(const char *s);
#define memchr find
#define strlen length_of
#include "guest/dtree.c"
#undef memchr
#undef strlen

#define CPUS_LONGEST    (8 * (DOMAIN_VCPUS + 1))
#define CMDLINE_LONGEST (DOMAIN_CMDLINE_MAX + 3)
#define NAMES_LONGEST   26 /* the longest name of a sub-op and some */
#define OTHER_LONGEST   (DOMAIN_NAME_MAX + 3)

/* ---- the C library's, so that what they find out of the bytes is known of them ---- */

static const void *find(const void *s, int c, size_t n)
{
    const unsigned char *at = s;

    if (n > OTHER_LONGEST) { /* a command line: nobody looks at what is in it */
        //@ assert \valid_read(at + (0 .. n - 1));
        return any ? at + Frama_C_interval(0, (int)n - 1) : NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (at[i] == c) {
            if (i + 1 < n) { /* forgotten, or each place would be another case */
                Frama_C_make_unknown((char *)s, n);
            }
            return at + i;
        }
    }
    return NULL;
}

/* What was passed is forgotten, or each way through a list would be another. */
static size_t length_of(const char *s)
{
    size_t n = 0;

    while (s[n]) {
        n++;
    }
    Frama_C_make_unknown((char *)s, n);
    return n;
}

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* ---- libfdt ---- */

int fdt_check_full(const void *fdt, size_t size)
{
    return any;
}

int fdt_node_check_compatible(const void *fdt, int node, const char *compatible)
{
    return any;
}

int fdt_subnode_offset(const void *fdt, int parent, const char *name)
{
    return any;
}

int fdt_first_subnode(const void *fdt, int node)
{
    return any;
}

int fdt_next_subnode(const void *fdt, int node)
{
    return any;
}

/* A value stands at the end of its object: a byte too far is an alarm. */
static const void *value(unsigned char *object, int longest, int *lenp)
{
    int n = Frama_C_interval(0, longest);

    if (longest == CMDLINE_LONGEST && n > 1 && n < longest - 4) {
        n = longest; /* all between are alike: one look for the last byte */
    }

    Frama_C_make_unknown((char *)object, (size_t)longest);
    //@ split n;
    *lenp = n;
    return object + longest - n;
}

const void *fdt_getprop(const void *fdt, int node, const char *name, int *lenp)
{
    static unsigned char cpus[CPUS_LONGEST], cmdline[CMDLINE_LONGEST], monitors[OTHER_LONGEST];
    static unsigned char names[NAMES_LONGEST], other[OTHER_LONGEST];
    int none;

    lenp = lenp ? lenp : &none;
    if (any) {
        *lenp = Frama_C_interval(-19, -1);
        return NULL;
    }
    if (same(name, "cpus")) {
        return value(cpus, CPUS_LONGEST, lenp);
    }
    if (same(name, "cmdline")) {
        return value(cmdline, CMDLINE_LONGEST, lenp);
    }
    if (same(name, "monitors")) {
        return value(monitors, OTHER_LONGEST, lenp);
    }
    if (same(name, "altp2m-allow") || same(name, "altp2m-deny")) {
        return value(names, NAMES_LONGEST, lenp);
    }
    return value(other, OTHER_LONGEST, lenp);
}

int main(void)
{
    static unsigned char blob[64];
    struct dtree t;
    struct domain_config c;

    Frama_C_make_unknown((char *)blob, sizeof(blob));
    if (dtree_open(&t, blob, (uint64_t)any)) {
        return 1;
    }
    dtree_first(&t);
    dtree_next(&t, any);
    return dtree_domain(&t, any, (unsigned)any, DOMAIN_MAX, DOMAIN_VCPUS, &c) != NULL;
}
