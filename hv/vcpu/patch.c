/* SPDX-License-Identifier: MIT */
/* Bytes in the place of an instruction that is let through, and the end of that (hv/exit/emulate.c
 * begins it). */
#include "vcpu/patch.h"
#include <string.h>
#include "core/altp2m.h"
#include "domain.h"
#include "mm/frame.h"
#include "vcpu/hand.h"

static void drop_patch(struct vcpu *v)
{
    struct exit_vcpu *x = &v->exit;

    while (x->patch_pages > 0) {
        x->patch_pages--;
        altp2m_lift_hide(v->altp2m.pm, x->patch_gfn[x->patch_pages]);
        frame_put(x->patch_frame[x->patch_pages]);
    }
    x->patch_length = 0;
}

/* A copy of the page at `at` with `n` bytes in it replaced. */
static bool patch_page(struct vcpu *v, gva_t at, const uint8_t *bytes, size_t n)
{
    struct exit_vcpu *x = &v->exit;
    const void *ram;
    gpa_t a;
    mfn_t m;

    ram = hand_code_page(v, at, &a);
    m = ram ? frame_alloc(FRAME_OWNER_HV, ORDER_4K) : MFN_INVALID;
    if (mfn_eq(m, MFN_INVALID)) {
        return false;
    }
    memcpy(frame_virt(m), ram, PAGE_SIZE);
    memcpy((uint8_t *)frame_virt(m) + (a.v & ~PAGE_MASK), bytes, n);
    if (altp2m_lift_show(v->altp2m.pm, gpa_to_gfn(a), m) != 0) {
        frame_put(m);
        return false;
    }
    x->patch_gfn[x->patch_pages] = gpa_to_gfn(a);
    x->patch_frame[x->patch_pages++] = m;
    return true;
}

/* The instruction may end before the second page, which then need not be there. */
bool patch_show(struct vcpu *v, const uint8_t *bytes)
{
    struct exit_vcpu *x = &v->exit;
    gva_t at = gva(vcpu_linear_rip(v));
    size_t first = PAGE_SIZE - (at.v & ~PAGE_MASK);

    memcpy(x->patch, bytes, sizeof(x->patch));
    x->patch_length = sizeof(x->patch);
    if (first >= sizeof(x->patch)) {
        return patch_page(v, at, bytes, sizeof(x->patch));
    }
    if (!patch_page(v, at, bytes, first)) {
        return false;
    }
    if (!patch_page(v, gva(at.v + first), bytes + first, sizeof(x->patch) - first)) {
        x->patch_length = (uint8_t)first;
    }
    return true;
}

bool patch_by_others(const struct vcpu *v)
{
    for (unsigned i = 0; i < v->domain->nr_vcpus; i++) {
        if (v->domain->vcpus[i] != v && v->domain->vcpus[i]->exit.patch_pages > 0) {
            return true;
        }
    }
    return false;
}

/* Nobody can reach them any more. */
static void drop_copies(struct vcpu *v)
{
    struct walk_copies *c = v->exit.walks;

    for (unsigned i = 0; c && i < c->nr; i++) {
        frame_put(c->frame[i]);
    }
    v->exit.walks = NULL;
    if (c) {
        frame_put(frame_of(c));
    }
}

void vcpu_emulate_stop(struct vcpu *v)
{
    if (!v->exit.emulating) {
        return;
    }
    v->exit.emulating = false;
    v->exit.watch_update = true;
    drop_patch(v);
    altp2m_unlift(&v->altp2m);
    drop_copies(v);
}
