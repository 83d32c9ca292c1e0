/* SPDX-License-Identifier: MIT */
/* Frames that outlive a call, and the areas that a guest registers for the hypervisor to write to.
 * The contract is in hand.h. */
#include <errno.h>
#include <string.h>
#include "core/altp2m.h"
#include "domain.h"
#include "vcpu/hand.h"
#include "lib/console.h"
#include "mm/frame.h"

/* ---- frames of a domain's host map ---- */

void *hand_frame_get(struct domain *d, gfn_t g, mfn_t *frame)
{
    struct mapping m;

    if (!hostmap_lookup(&d->physmap, g, &m) || m.type != MAP_RAM || !frame_get(m.mfn, d->owner)) {
        return NULL;
    }
    *frame = m.mfn;
    return frame_virt(m.mfn);
}

/* Address of RAM at `a` and how many bytes from there lie in the same mapping. */
static uint8_t *ram_run(struct domain *d, uint64_t a, uint64_t *n)
{
    struct mapping m;
    uint64_t size;

    if (!hostmap_lookup(&d->physmap, gfn(a >> PAGE_SHIFT), &m) || m.type != MAP_RAM) {
        return NULL;
    }
    size = PAGE_SIZE << m.order;
    *n = size - (a & (size - 1));
    return (uint8_t *)frame_virt(m.mfn) + (a & ~PAGE_MASK);
}

int hand_build(struct domain *d, gpa_t dst, const void *src, size_t n)
{
    const uint8_t *from = src;

    for (uint64_t a = dst.v, part; n > 0; a += part, from += part, n -= part) {
        uint8_t *to = ram_run(d, a, &part);

        if (!to || a + (n - 1) < a) {
            return -EFAULT;
        }
        part = part < n ? part : n;
        memcpy(to, from, part);
    }
    return 0;
}

void *hand_build_page(struct domain *d, gfn_t g)
{
    uint64_t n;

    return ram_run(d, g.v << PAGE_SHIFT, &n);
}

/* ---- areas ---- */

/* Whether view `at` shows the frame at g and lets it be read and written. */
static bool gives(struct domain *d, view_t at, gfn_t g, mfn_t frame, bool access)
{
    struct mapping m;

    return view_lookup(&d->physmap, at, g, &m) && m.type == MAP_RAM && mfn_eq(m.mfn, frame) &&
           (!access || (m.access <= ACCESS_RWX && (m.access & ACCESS_RW) == ACCESS_RW));
}

/* What makes the right end for good. */
static bool stands(struct domain *d, const struct hand_area *a)
{
    bool confined = physmap_confines(&d->physmap);
    view_t start = physmap_start_view(&d->physmap);

    if (!gives(d, VIEW_NONE, a->gfn, a->frame, confined)) {
        return false;
    }
    if (!confined) {
        return true;
    }
    if (!view_eq(start, VIEW_NONE) && !gives(d, start, a->gfn, a->frame, true)) {
        return false;
    }
    return view_eq(a->view, VIEW_NONE) || gives(d, a->view, a->gfn, a->frame, true);
}

static int bind(struct domain *d, view_t view, gfn_t g, struct hand_area *a)
{
    struct hand_area new = {.gfn = g, .view = view, .stamp = hand_stamp(&d->physmap, view)};

    new.at = hand_frame_get(d, g, &new.frame);
    if (!new.at) {
        return -EINVAL;
    }
    if (!stands(d, &new)) {
        frame_put(new.frame);
        return -EINVAL;
    }
    *a = new;
    return 0;
}

int hand_area_bind(struct vcpu *by, gfn_t g, struct hand_area *a)
{
    return bind(by->domain, physmap_confines(&by->domain->physmap) ? by->altp2m.view : VIEW_NONE, g,
                a);
}

int hand_area_bind_host(struct domain *d, gfn_t g, struct hand_area *a)
{
    return bind(d, VIEW_NONE, g, a);
}

int hand_area_bind_linear(struct vcpu *by, gva_t at, size_t n, struct hand_area a[2])
{
    struct hand_area both[2] = {0};
    bool crosses = ((at.v ^ (at.v + n - 1)) & PAGE_MASK) != 0;

    for (unsigned i = 0; i < 1u + crosses; i++) {
        gpa_t p;

        if (!hand_translate_to_write(by, gva(i ? (at.v + n - 1) & PAGE_MASK : at.v), &p) ||
            hand_area_bind(by, gpa_to_gfn(p), &both[i]) != 0) {
            hand_area_unbind(&both[0]);
            return -EFAULT;
        }
    }
    a[0] = both[0];
    a[1] = both[1];
    return 0;
}

void hand_area_unbind(struct hand_area *a)
{
    if (a->at) {
        a->at = NULL;
        frame_put(a->frame);
    }
}

void hand_area_look(struct domain *d, view_t now, struct hand_area *a)
{
    if (!a->at) {
        return;
    }
    a->stamp = hand_stamp(&d->physmap, now);
    if (!view_eq(a->view, VIEW_NONE) &&
        (a->view.v == 0 || !altp2m_view_exists(&d->physmap, a->view))) {
        a->view = VIEW_NONE; /* what it restricted went with it; view 0 is the host map */
    }
    if (!stands(d, a)) {
        hand_area_unbind(a);
        if (d->guest.areas_lost++ == 0) {
            domain_say(
                d,
                "d%u %s: an area that it registered at gfn %lx is not its own to be written any "
                "more",
                d->id, d->name, (unsigned long)a->gfn.v);
        }
        return;
    }
    a->held = physmap_view_is_monitors(&d->physmap, now) && !gives(d, now, a->gfn, a->frame, true);
}
