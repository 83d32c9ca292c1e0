/* SPDX-License-Identifier: MIT */
/*
 * Copies between pages that are granted, or the caller's own. Of its own pages the hand decides; of
 * a granted one the entry does.
 */
#include <string.h>
#include "grant.h"
#include "mm/frame.h"

/* One end of a copy. */
struct end {
    bool granted, pinned;
    struct grant_use use;
    mfn_t frame;
    uint8_t *page; /* NULL: the caller's own, to be read */
    uint64_t gfn;
    uint16_t offset;
};

/* The domain of one end, pinned. */
static int16_t find_domain(struct vcpu *v, uint16_t domid, struct end *e)
{
    if (domid != DOMID_SELF && !e->granted) {
        return GNTST_permission_denied;
    }
    e->use.granter = domain_get(domid == DOMID_SELF ? v->domain->id : domid);
    return e->use.granter ? GNTST_okay : GNTST_bad_domain;
}

static int16_t reach(struct vcpu *v, struct end *e)
{
    int16_t status;

    if (!e->granted) {
        e->page = e->use.readonly ? NULL : hand_page_to_fill(v, gfn(e->gfn));
        return e->page || e->use.readonly ? GNTST_okay : GNTST_bad_page;
    }
    status = grant_pin(&e->use, &e->frame);
    e->pinned = status == GNTST_okay;
    e->page = e->pinned ? frame_virt(e->frame) : NULL;
    return status;
}

static void leave(struct end *e)
{
    if (e->pinned) {
        frame_put(e->frame);
        grant_unpin(&e->use);
    }
    if (e->use.granter) {
        domain_put(e->use.granter);
    }
}

static int16_t move(struct vcpu *v, const struct end *from, const struct end *to, unsigned n)
{
    uint8_t *at = to->page + to->offset;

    if (from->page) {
        memmove(at, from->page + from->offset, n);
        return GNTST_okay;
    }
    return hand_copy_from_gpa(v, at, gpa(from->gfn << PAGE_SHIFT | from->offset), n) == 0
               ? GNTST_okay
               : GNTST_bad_page;
}

static int16_t copy_between(struct vcpu *v, const struct gnttab_copy *op, struct end *from,
                            struct end *to)
{
    int16_t status = find_domain(v, op->source.domid, from);

    if (status == GNTST_okay) {
        status = find_domain(v, op->dest.domid, to);
    }
    if (status == GNTST_okay) {
        status = reach(v, from);
    }
    if (status == GNTST_okay) {
        status = reach(v, to);
    }
    if (status == GNTST_okay && ((unsigned)op->source.offset + op->len > PAGE_SIZE ||
                                 (unsigned)op->dest.offset + op->len > PAGE_SIZE)) {
        status = GNTST_bad_copy_arg;
    }
    return status == GNTST_okay ? move(v, from, to, op->len) : status;
}

static struct end end_of(struct vcpu *v, bool granted, uint32_t ref, uint64_t g, uint16_t offset,
                         bool readonly)
{
    return (struct end){.granted = granted,
                        .use = {.ref = ref, .by = v->domain->id, .readonly = readonly},
                        .gfn = g,
                        .offset = offset};
}

static int16_t copy_one(struct vcpu *v, const struct gnttab_copy *op)
{
    struct end from = end_of(v, op->flags & GNTCOPY_source_gref, op->source.u.ref,
                             op->source.u.gmfn, op->source.offset, true);
    struct end to = end_of(v, op->flags & GNTCOPY_dest_gref, op->dest.u.ref, op->dest.u.gmfn,
                           op->dest.offset, false);
    int16_t status = copy_between(v, op, &from, &to);

    leave(&to);
    leave(&from);
    return status;
}

/* A 32-bit caller's frame numbers have 4 bytes. */
struct copy32 {
    struct {
        uint32_t frame;
        uint16_t domid, offset;
    } source, dest;
    uint16_t len, flags;
    int16_t status;
};
_Static_assert(sizeof(struct copy32) == 24 && sizeof(struct gnttab_copy) == 40, "grant_table.h");

static int read_copy(struct hypercall *h, uint64_t at, struct gnttab_copy *op)
{
    struct copy32 c;

    if (!h->compat) {
        return copy_in(h, op, at, sizeof(*op));
    }
    if (copy_in(h, &c, at, sizeof(c)) != 0) {
        return -EFAULT;
    }
    *op = (struct gnttab_copy){
        .source = {.u.gmfn = c.source.frame, .domid = c.source.domid, .offset = c.source.offset},
        .dest = {.u.gmfn = c.dest.frame, .domid = c.dest.domid, .offset = c.dest.offset},
        .len = c.len,
        .flags = c.flags};
    return 0;
}

long grant_copy(struct hypercall *h)
{
    size_t size = h->compat ? sizeof(struct copy32) : sizeof(struct gnttab_copy);
    size_t where =
        h->compat ? offsetof(struct copy32, status) : offsetof(struct gnttab_copy, status);

    for (uint32_t i = 0; i < (uint32_t)h->arg[2]; i++) {
        uint64_t at = h->arg[1] + i * size;
        struct gnttab_copy op;

        if (grant_must_stop(h, i, size)) {
            return -ERESTART;
        }
        if (read_copy(h, at, &op) != 0) {
            return -EFAULT;
        }
        op.status = copy_one(h->v, &op);
        if (copy_out(h, at + where, &op.status, sizeof(op.status)) != 0) {
            return -EFAULT;
        }
    }
    return 0;
}
