/* SPDX-License-Identifier: MIT */
/*
 * Tags of translations (APM 2, 15.16). The processor tags by ASID and by nothing else, so each vCPU
 * has one for each table that it runs on, as long as there are some: a change between two views
 * then needs no flush. Who needs one more takes that of whoever did without it longest.
 *
 * What has to be forgotten is noted here and flushed with the next VMRUN that uses the tag: nobody
 * can use the translations before. One processor; several need a table each.
 */
#include "svm.h"
#include "x86/cpu.h"

#define SLOTS 64u /* more are not looked through */

static struct slot {
    const struct vcpu *vcpu;
    uint64_t root, used;
    bool stale;
} slots[SLOTS]; /* slot n is ASID n + 1; 0 is the hypervisor's own */
static unsigned nr_slots;
static uint64_t uses;
static bool all_stale;

void asid_init(uint32_t number)
{
    nr_slots = number - 1 < SLOTS ? number - 1 : SLOTS;
    all_stale = true;
}

static unsigned find(const struct vcpu *v, uint64_t root)
{
    unsigned oldest = 0;

    for (unsigned i = 0; i < nr_slots; i++) {
        if (slots[i].vcpu == v && slots[i].root == root) {
            return i;
        }
        oldest = slots[i].used < slots[oldest].used ? i : oldest;
    }
    slots[oldest] = (struct slot){.vcpu = v, .root = root, .stale = true};
    return oldest;
}

static void change_root(struct vcpu *v, struct svm_vcpu *x)
{
    uint8_t *hint = &x->slots[v->altp2m.root.v % ARRAY_SIZE(x->slots)];
    unsigned i = *hint;

    if (slots[i].vcpu != v || slots[i].root != v->altp2m.root.v) {
        i = find(v, v->altp2m.root.v);
        *hint = (uint8_t)i;
    }
    slots[i].used = ++uses;
    x->asid = (uint16_t)(i + 1);
    x->vmcb->ncr3 = v->altp2m.root.v << PAGE_SHIFT;
    x->vmcb->asid = x->asid;
    x->dirty |= CLEAN_NESTED | CLEAN_ASID;
}

void asid_use(struct vcpu *v)
{
    struct svm_vcpu *x = svm_of(v);
    struct slot *s;

    s = &slots[x->asid ? x->asid - 1 : 0];
    if (!x->asid || s->vcpu != v || s->root != v->altp2m.root.v) {
        change_root(v, x);
        s = &slots[x->asid - 1];
    }
    x->vmcb->tlb_control = TLB_KEEP;
    if (!all_stale && !s->stale) {
        return;
    }
    if (all_stale || !svm_features.flush_asid) {
        x->vmcb->tlb_control = TLB_FLUSH_ALL;
        for (unsigned i = 0; i < nr_slots; i++) {
            slots[i].stale = false;
        }
        all_stale = false;
    } else {
        x->vmcb->tlb_control = TLB_FLUSH_ASID;
        s->stale = false;
    }
}

void svm_flush(struct vcpu *v, mfn_t root)
{
    if (!v && mfn_eq(root, MFN_INVALID)) {
        all_stale = true;
        return;
    }
    for (unsigned i = 0; i < nr_slots; i++) {
        if (v ? slots[i].vcpu == v : slots[i].root == root.v) {
            slots[i].stale = true;
        }
    }
}
