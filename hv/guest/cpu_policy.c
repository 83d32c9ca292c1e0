/* SPDX-License-Identifier: MIT */
/*
 * CPU policies, for who makes domains: lists of CPUID leaves. All guests find the same, which is
 * cpuid.c's; what a maker sets is read and not applied.
 */
#include "domctl_abi.h"
#include "made.h"

#define LEAVES_MOST 160u /* more than any of Xen's tools writes */

/* How many components XSAVE's leaf tells of, one sub-leaf each, with the two of its own. */
static unsigned xsave_leaves(struct vcpu *v)
{
    struct cpuid_result user, supervisor;
    uint64_t components;

    guest_cpuid(v, 0xd, 0, &user);
    guest_cpuid(v, 0xd, 1, &supervisor);
    components = ((uint64_t)user.edx << 32 | user.eax) |
                 ((uint64_t)supervisor.edx << 32 | supervisor.ecx) | 3;
    return 64 - (unsigned)__builtin_clzll(components);
}

/*
 * The sub-leaves that a leaf's list goes on to at most, 0 for a leaf without. A tool that reads a
 * policy and writes it again has room for as many as it read: those that it would write have to be
 * there.
 */
static unsigned sub_leaves(struct vcpu *v, uint32_t leaf)
{
    return leaf == 4 ? 6 : leaf == 7 ? 1 : leaf == 0xb ? 2 : leaf == 0xd ? xsave_leaves(v) : 0;
}

/* Caches and levels of the topology are told of until one that is none. */
static bool last_sub_leaf(const xen_cpuid_leaf_t *e)
{
    return (e->leaf == 4 && (e->a & 0x1f) == 0) || (e->leaf == 0xb && (e->c & 0xff00) == 0);
}

struct list {
    struct hypercall *h;
    uint64_t to;
    uint32_t nr, most;
};

static long put(struct list *l, const xen_cpuid_leaf_t *e)
{
    if (l->nr >= l->most) {
        return -ENOBUFS;
    }
    return copy_out(l->h, l->to + sizeof(*e) * l->nr++, e, sizeof(*e));
}

static xen_cpuid_leaf_t read_leaf(struct list *l, uint32_t leaf, uint32_t sub)
{
    struct cpuid_result r;

    guest_cpuid(l->h->v, leaf, sub, &r);
    return (xen_cpuid_leaf_t){
        .leaf = leaf, .subleaf = sub, .a = r.eax, .b = r.ebx, .c = r.ecx, .d = r.edx};
}

static long put_leaf(struct list *l, uint32_t leaf)
{
    unsigned subs = sub_leaves(l->h->v, leaf);
    xen_cpuid_leaf_t e;
    long error = 0;

    if (subs == 0) {
        e = read_leaf(l, leaf, 0);
        e.subleaf = XEN_CPUID_NO_SUBLEAF;
        return put(l, &e);
    }
    for (unsigned sub = 0; !error && sub < subs; sub++) {
        e = read_leaf(l, leaf, sub);
        error = put(l, &e);
        if (last_sub_leaf(&e)) {
            break;
        }
    }
    return error;
}

static long put_range(struct list *l, uint32_t first)
{
    struct cpuid_result max;
    long error = 0;

    guest_cpuid(l->h->v, first, 0, &max);
    for (uint32_t leaf = first; !error && leaf <= max.eax; leaf++) {
        error = put_leaf(l, leaf);
    }
    return error;
}

/* The hypervisor's leaves, of which a policy has the last numbers only: 0 leaves them to it. */
static long put_hypervisor(struct list *l)
{
    xen_cpuid_leaf_t xen = {.leaf = 0x40000000, .subleaf = XEN_CPUID_NO_SUBLEAF};
    xen_cpuid_leaf_t viridian = {.leaf = 0x40000100, .subleaf = XEN_CPUID_NO_SUBLEAF};
    long error = put(l, &xen);

    return error ? error : put(l, &viridian);
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
        error = error ? error : put_hypervisor(&l);
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
