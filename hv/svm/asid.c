/* SPDX-License-Identifier: MIT */
/*
 * Tags of translations (APM 2, 15.16). The processor tags by ASID and by nothing else, so each vCPU
 * has one for each table that it runs on, as long as there are some: a change between two views
 * then needs no flush. Who needs one more takes that of whoever did without it longest.
 *
 * What has to be forgotten is counted here, with when, and flushed with the next VMRUN that uses a
 * tag: nobody can use the translations before. A tag that was flushed since is as good as new.
 * Each processor has tags of its own; what is to be forgotten is so on all of them.
 */
#include "svm.h"
#include "x86/smp.h"

#define SLOTS       64u /* more are not looked through */
#define ROOTS_NOTED 64u
#define NONE        ~0u

/* Times are counts of svm_flushes. */
static struct tags {
    struct slot {
        const struct vcpu *vcpu;
        uint64_t root, used, since, flushed;
        uint64_t noted; /* what svm_flushes was when there was nothing left to be forgotten */
    } slots[SLOTS];     /* slot n is ASID n + 1; 0 is the hypervisor's own */
    uint64_t uses;
    uint64_t all_flushed; /* when the processor did forget all */
} tags[CPU_MAX];
static unsigned nr_slots;
uint64_t svm_flushes = 1;
static uint64_t all_stale;                /* when all was to be forgotten */
static uint64_t roots_stale[ROOTS_NOTED]; /* ... what these tables gave: by the low bits of their
                                             root's frame, for to forget more does no harm */

void asid_init(uint32_t number)
{
    nr_slots = number - 1 < SLOTS ? number - 1 : SLOTS;
    all_stale = ++svm_flushes;
}

void asid_load(struct vcpu *v)
{
    struct svm_vcpu *x = svm_of(v);
    struct tags *here = &tags[smp_here()];

    if (x->tags != here) { /* the tag that it has is another processor's */
        x->tags = here;
        x->vmcb->asid = 0;
        x->flushes = 0;
    }
}

/* The slot of v on these tables, or else the one that is taken for it. */
static unsigned find(struct slot *slots, const struct vcpu *v, uint64_t root)
{
    unsigned oldest = 0;

    for (unsigned i = 0; i < nr_slots; i++) {
        if (slots[i].vcpu == v && slots[i].root == root) {
            return i;
        }
        oldest = slots[i].used < slots[oldest].used ? i : oldest;
    }
    /* The count moves, so that whose it was looks at what it has. */
    slots[oldest] = (struct slot){.vcpu = v, .root = root, .since = ++svm_flushes};
    return oldest;
}

static inline void use(struct tags *t, struct svm_vcpu *x, unsigned i)
{
    struct slot *s = &t->slots[i];

    s->used = ++t->uses;
    x->vmcb->asid = i + 1;
    x->vmcb->ncr3 = s->root << PAGE_SHIFT;
    svm_dirty(x, CLEAN_NESTED | CLEAN_ASID);
}

/* The slot of v on these tables, if it is one of the two that are noted for the like; else NONE. */
static inline unsigned known(const struct svm_vcpu *x, const struct vcpu *v, uint64_t root)
{
    for (unsigned n = 0; n < ARRAY_SIZE(x->slots); n++) {
        unsigned i = x->slots[n][root % ARRAY_SIZE(x->slots[n])];
        const struct slot *s = &x->tags->slots[i];

        if (s->vcpu == v && s->root == root) {
            return i;
        }
    }
    return NONE;
}

static void change_root(struct tags *t, struct vcpu *v, struct svm_vcpu *x)
{
    uint64_t root = v->altp2m.root.v;
    unsigned i = known(x, v, root), at = root % ARRAY_SIZE(x->slots[0]);

    if (i == NONE) {
        i = find(t->slots, v, root);
        x->slots[1][at] = x->slots[0][at];
        x->slots[0][at] = (uint8_t)i;
    }
    use(t, x, i);
}

/* When what the tag may hold was to be forgotten last. */
static uint64_t stale(const struct svm_vcpu *x, const struct slot *s)
{
    uint64_t when = s->since, root = roots_stale[s->root % ROOTS_NOTED];

    when = all_stale > when ? all_stale : when;
    when = root > when ? root : when;
    return x->stale > when ? x->stale : when;
}

/* The tag, and with it the tables, that were followed last are v's still. */
static bool is_followed(const struct slot *s, const struct vcpu *v, const struct svm_vcpu *x)
{
    return x->vmcb->asid && s->vcpu == v && s->root == v->altp2m.root.v;
}

static __attribute__((noinline)) void follow(struct tags *t, struct vcpu *v, struct svm_vcpu *x)
{
    struct slot *s = &t->slots[x->vmcb->asid ? x->vmcb->asid - 1 : 0];
    uint64_t when;

    if (!is_followed(s, v, x)) {
        change_root(t, v, x);
        s = &t->slots[x->vmcb->asid - 1];
    }
    v->altp2m_changed = false;
    x->flushes = s->noted = svm_flushes;
    when = stale(x, s);
    if (s->flushed >= when || t->all_flushed >= when) {
        return;
    }
    if (svm_features.flush_asid) {
        x->vmcb->tlb_control = TLB_FLUSH_ASID;
        s->flushed = svm_flushes;
    } else {
        x->vmcb->tlb_control = TLB_FLUSH_ALL;
        t->all_flushed = svm_flushes;
    }
}

extern inline void asid_change(struct vcpu *v);

__attribute__((always_inline)) inline void asid_change(struct vcpu *v)
{
    struct svm_vcpu *x = svm_of(v);
    struct tags *t = x->tags;
    uint64_t root = v->altp2m.root.v;
    unsigned i = x->slots[0][root % ARRAY_SIZE(x->slots[0])];
    struct slot *s = &t->slots[i];

    x->vmcb->tlb_control = TLB_KEEP;
    if (s->vcpu != v || s->root != root || s->noted != svm_flushes) {
        follow(t, v, x);
        return;
    }
    use(t, x, i); /* a change to a view of before, and nothing is to be forgotten since */
}

void asid_follow(struct vcpu *v)
{
    asid_change(v);
    svm_of(v)->flushes = svm_flushes;
    v->altp2m_changed = false;
}

bool asid_own(struct vcpu *v, mfn_t root)
{
    struct svm_vcpu *x = svm_of(v);
    struct tags *t = x->tags;
    unsigned i = known(x, v, root.v);

    if (i == NONE || v->altp2m_changed ||
        t->slots[i].noted != __atomic_load_n(&svm_flushes, __ATOMIC_ACQUIRE)) {
        return false;
    }
    x->vmcb->tlb_control = TLB_KEEP;
    use(t, x, i);
    return true;
}

void svm_flush(struct vcpu *v, mfn_t root)
{
    svm_flushes++;
    if (v) {
        svm_of(v)->stale = svm_flushes;
    } else if (mfn_eq(root, MFN_INVALID)) {
        all_stale = svm_flushes;
    } else {
        roots_stale[root.v % ROOTS_NOTED] = svm_flushes;
    }
}
