/* SPDX-License-Identifier: MIT */
/*
 * CPU policies, for who makes domains: lists of CPUID leaves. All guests find the same, which is
 * cpuid.c's; what a maker sets is read and not applied.
 */
#include "domctl_abi.h"
#include "made.h"

#define LEAVES_MOST 160u /* more than any of Xen's tools writes */

/* Leaves whose sub-leaves count, and how many of them there are. */
static unsigned sub_leaves(uint32_t leaf)
{
    return leaf == 4 ? 4 : leaf == 7 ? 1 : leaf == 0xb ? 2 : leaf == 0xd ? 3 : 0;
}

struct list {
    struct hypercall *h;
    uint64_t to;
    uint32_t nr, most;
};

static long put(struct list *l, uint32_t leaf, uint32_t sub, bool any)
{
    xen_cpuid_leaf_t e = {.leaf = leaf, .subleaf = any ? XEN_CPUID_NO_SUBLEAF : sub};
    struct cpuid_result r;

    if (l->nr >= l->most) {
        return -ENOBUFS;
    }
    guest_cpuid(l->h->v, leaf, sub, &r);
    e.a = r.eax;
    e.b = r.ebx;
    e.c = r.ecx;
    e.d = r.edx;
    return copy_out(l->h, l->to + sizeof(e) * l->nr++, &e, sizeof(e));
}

static long put_range(struct list *l, uint32_t first)
{
    struct cpuid_result max;
    long error = 0;

    guest_cpuid(l->h->v, first, 0, &max);
    for (uint32_t leaf = first; !error && leaf <= max.eax; leaf++) {
        unsigned subs = sub_leaves(leaf);

        for (unsigned sub = 0; !error && sub < (subs ? subs : 1); sub++) {
            error = put(l, leaf, sub, subs == 0);
        }
    }
    return error;
}

long policy_get(struct hypercall *h, struct xen_sysctl_cpu_policy *op)
{
    struct list l = {.h = h, .to = (uint64_t)op->leaves.p, .most = op->nr_leaves};
    long error = 0;

    if (op->_rsvd || op->index > XEN_SYSCTL_cpu_policy_hvm_default) {
        return -EINVAL;
    }
    if (op->index == XEN_SYSCTL_cpu_policy_pv_max ||
        op->index == XEN_SYSCTL_cpu_policy_pv_default) {
        return -EOPNOTSUPP;
    }
    if (!l.to) {
        op->nr_leaves = LEAVES_MOST;
    } else {
        error = put_range(&l, 0);
        error = error ? error : put_range(&l, 0x80000000);
        op->nr_leaves = l.nr;
    }
    op->nr_msrs = 0;
    return error;
}

/* The words of Xen's feature sets (arch-x86/cpufeatureset.h), which they come from. */
static const struct {
    uint32_t leaf, sub;
    uint8_t reg; /* of eax, ebx, ecx, edx */
} words[] = {
    {1, 0, 3}, {1, 0, 2},          {0x80000001, 0, 3}, {0x80000001, 0, 2}, {0xd, 1, 0},
    {7, 0, 1}, {7, 0, 2},          {0x80000007, 0, 3}, {0x80000008, 0, 1}, {7, 0, 3},
    {7, 1, 0}, {0x80000021, 0, 0}, {7, 1, 1},          {7, 2, 3},
};

long policy_features(struct hypercall *h, struct xen_sysctl_cpu_featureset *op)
{
    uint64_t to = (uint64_t)op->features.p;
    uint32_t nr = op->nr_features;
    long error = 0;

    if (op->index > XEN_SYSCTL_cpu_featureset_hvm_max) {
        return -EINVAL;
    }
    op->nr_features = ARRAY_SIZE(words);
    for (unsigned i = 0; to && !error && i < nr && i < ARRAY_SIZE(words); i++) {
        struct cpuid_result r;

        guest_cpuid(h->v, words[i].leaf, words[i].sub, &r);
        error = copy_out(h, to + 4 * i, (const uint32_t *)&r + words[i].reg, 4);
    }
    return error ? error : to && nr < ARRAY_SIZE(words) ? -ENOBUFS : 0;
}

long policy_set(struct hypercall *h, struct xen_domctl_cpu_policy *op)
{
    xen_cpuid_leaf_t e;

    if (op->nr_leaves > LEAVES_MOST || op->nr_msrs > LEAVES_MOST) {
        return -E2BIG;
    }
    for (uint32_t i = 0; i < op->nr_leaves; i++) {
        if (copy_in(h, &e, (uint64_t)op->leaves.p + sizeof(e) * i, sizeof(e)) != 0) {
            return -EFAULT;
        }
    }
    return 0;
}
