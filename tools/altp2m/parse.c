/* SPDX-License-Identifier: MIT */
#include "parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "facet/hvmop.h"
#include "xenabi.h"

static const char *const access_names[] = {
    [XENMEM_access_n] = "n",         [XENMEM_access_r] = "r",     [XENMEM_access_w] = "w",
    [XENMEM_access_rw] = "rw",       [XENMEM_access_x] = "x",     [XENMEM_access_rx] = "rx",
    [XENMEM_access_wx] = "wx",       [XENMEM_access_rwx] = "rwx", [XENMEM_access_rx2rw] = "rx2rw",
    [XENMEM_access_n2rwx] = "n2rwx",
};

bool parse_number(const char *s, uint64_t max, uint64_t *value)
{
    bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
    const char *digits = hex ? s + 2 : s;
    unsigned long long n;
    char *end;

    /* strtoull would also take blanks, signs and a second 0x. */
    if (!(hex ? isxdigit((unsigned char)*digits) : isdigit((unsigned char)*digits)) ||
        (hex && digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X')))
        return false;
    errno = 0;
    n = strtoull(digits, &end, hex ? 16 : 10);
    if (errno || *end || n > max)
        return false;
    *value = n;
    return true;
}

bool parse_view(const char *s, view_t *v)
{
    uint64_t n;

    if (!parse_number(s, UINT16_MAX - 1, &n))
        return false;
    *v = view((uint16_t)n);
    return true;
}

bool parse_gfn(const char *s, gfn_t *g)
{
    uint64_t n;

    if (!parse_number(s, PARSE_GFN_MAX, &n))
        return false;
    *g = gfn(n);
    return true;
}

bool parse_shadow(const char *s, gfn_t *name)
{
    uint64_t n;

    if (s[0] != 's' || !parse_number(s + 1, UINT32_MAX, &n))
        return false;
    *name = gfn(FACET_ALTP2M_SHADOW_BASE + n);
    return true;
}

bool parse_range(const char *s, gfn_t *first, uint64_t *count)
{
    const char *plus = strchr(s, '+');
    char head[32];
    gfn_t g;
    uint64_t n = 1;

    if (!plus)
        plus = s + strlen(s);
    if ((size_t)(plus - s) >= sizeof(head))
        return false;
    memcpy(head, s, (size_t)(plus - s));
    head[plus - s] = '\0';
    if (!parse_gfn(head, &g))
        return false;
    if (*plus && (!parse_number(plus + 1, PARSE_GFN_MAX + 1 - g.v, &n) || n == 0))
        return false;
    *first = g;
    *count = n;
    return true;
}

bool parse_access(const char *s, uint16_t *access)
{
    if (!strcmp(s, "default")) {
        *access = PARSE_ACCESS_DEFAULT;
        return true;
    }
    for (uint16_t i = 0; i < ARRAY_SIZE(access_names); i++) {
        if (!strcmp(s, access_names[i])) {
            *access = i;
            return true;
        }
    }
    return false;
}

const char *parse_access_name(uint16_t access)
{
    /* A read-back is never "default": 10 is r_pw wherever it is reported. */
    if (access == ARRAY_SIZE(access_names))
        return "r_pw";
    return access < ARRAY_SIZE(access_names) ? access_names[access] : NULL;
}
