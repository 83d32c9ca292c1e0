/* SPDX-License-Identifier: MIT */
#include "survey.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "xenabi.h"

#define XEN_4_20           ((4 << 16) | 20)
#define ACCESS_DEFAULT_NEW 11u /* since 4.20, which put r_pw at 10 */

int survey_view(const struct subop_target *t, view_t v, uint16_t *default_access)
{
    return subop_get_access(t, v, GFN_INVALID, default_access);
}

unsigned int survey_count(const struct subop_target *t)
{
    unsigned int n = 0;
    uint16_t access;

    for (uint16_t i = 0; i < VIEW_MAX; i++)
        n += !survey_view(t, view(i), &access);
    return n;
}

int survey_vcpus(const struct subop_target *t, void (*visit)(void *, uint32_t vcpu, view_t),
                 void *ctx)
{
    for (uint32_t vcpu = 0; vcpu < SURVEY_VCPU_MAX; vcpu++) {
        view_t v;
        int rc = subop_get_vcpu_view(t, vcpu, &v);

        if (rc)
            return vcpu ? 0 : rc;
        visit(ctx, vcpu, v);
    }
    return 0;
}

struct listing {
    view_t view;
    unsigned int n;
    char *buf;
    size_t size, len;
};

static void list_one(void *ctx, uint32_t vcpu, view_t v)
{
    struct listing *l = ctx;

    if (!view_eq(v, l->view))
        return;
    if (l->len < l->size)
        l->len +=
            (size_t)snprintf(l->buf + l->len, l->size - l->len, "%s%u", l->n ? ", " : "", vcpu);
    l->n++;
}

unsigned int survey_vcpus_text(const struct subop_target *t, view_t v, char *buf, size_t size)
{
    char numbers[96] = "";
    struct listing l = {v, 0, numbers, sizeof(numbers), 0};

    survey_vcpus(t, list_one, &l);
    snprintf(buf, size, "%s %s", l.n == 1 ? "vCPU" : "vCPUs", numbers);
    return l.n;
}

uint16_t survey_default_access(const struct subop_target *t)
{
    int version = t->hc->version(t->hc->ctx, XENVER_version, NULL, 0);

    return version >= XEN_4_20 ? ACCESS_DEFAULT_NEW : XENMEM_access_default;
}
