/* SPDX-License-Identifier: MIT */
/*
 * The granter's side: its table, which its guest may write at any time, and what of it is in use.
 * Each look at an entry is one read.
 */
#include "grant.h"
#include "mm/frame.h"

#define PINS_MOST 127u /* of a kind, of one entry: as on Xen */
#define TRIES     5u   /* to change an entry while its guest does */

int grant_grow(struct domain *d, unsigned frames)
{
    struct guest_domain *g = &d->guest;

    if (frames > g->grant_most) {
        return -EINVAL;
    }
    while (g->grant_frames < frames) {
        mfn_t m = frame_alloc(FRAME_OWNER_HV, 0);

        if (mfn_eq(m, MFN_INVALID)) {
            return -ENOMEM;
        }
        g->grant_frame[g->grant_frames++] = m;
    }
    return 0;
}

/* Of a frame of the table that there is. */
static struct grant_entry_v1 *entry_of(const struct domain *d, uint32_t ref)
{
    struct grant_entry_v1 *table = frame_virt(d->guest.grant_frame[ref / GRANTS_PER_FRAME]);

    return &table[ref % GRANTS_PER_FRAME];
}

/* The entry's pin; NULL: no memory for such. */
static struct grant_pin *pin_of(struct domain *d, uint32_t ref)
{
    struct grant_pin **pins = &d->guest.grant_pins[ref / GRANTS_PER_FRAME];

    if (!*pins) {
        mfn_t m = frame_alloc(FRAME_OWNER_HV, 0);

        *pins = mfn_eq(m, MFN_INVALID) ? NULL : frame_virt(m);
    }
    return *pins ? &(*pins)[ref % GRANTS_PER_FRAME] : NULL;
}

/* Flags and domain of an entry, as one word that is changed at once. */
union head {
    struct {
        uint16_t flags, domid;
    };
    uint32_t word;
};
_Static_assert(offsetof(struct grant_entry_v1, domid) == 2, "grant_table.h");

/* Says in the entry that it is used, if it lets the domain do so. */
static int16_t mark(struct grant_entry_v1 *e, const struct grant_use *u)
{
    uint32_t *word = (uint32_t *)(void *)e;
    union head is = {.word = __atomic_load_n(word, __ATOMIC_ACQUIRE)};

    for (unsigned i = 0; i < TRIES; i++) {
        union head new = is;

        if ((is.flags & (GTF_type_mask | GTF_sub_page)) != GTF_permit_access || is.domid != u->by ||
            (!u->readonly && (is.flags & GTF_readonly))) {
            return GNTST_general_error;
        }
        new.flags |= (uint16_t)(GTF_reading | (u->readonly ? 0 : GTF_writing));
        if (__atomic_compare_exchange_n(word, &is.word, new.word, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
            return GNTST_okay;
        }
    }
    return GNTST_general_error;
}

static void unmark(struct grant_entry_v1 *e, uint16_t flags)
{
    __atomic_fetch_and(&e->flags, (uint16_t)~flags, __ATOMIC_ACQ_REL);
}

/*
 * A reference on the frame that the entry names; in use already, on that which it named then. Under
 * `audited` a page that is not the granter's to give back is not its to give away.
 */
static bool take_frame(struct domain *d, const struct grant_entry_v1 *e, const struct grant_pin *p,
                       mfn_t *frame)
{
    bool used = p->readers || p->writers;
    gfn_t g = gfn(__atomic_load_n(&e->frame, __ATOMIC_RELAXED));

    if (used && !physmap_confines(&d->physmap)) {
        *frame = mfn(p->mfn);
        return frame_get(*frame, d->owner);
    }
    if (hostmap_guarded(&d->physmap, g) || !hand_frame_get(d, g, frame)) {
        return false;
    }
    if (used && p->mfn != frame->v) {
        frame_put(*frame);
        return false;
    }
    return true;
}

/* The entry is marked as it has to be by what is in use after all. */
static void unmark_unused(struct grant_entry_v1 *e, const struct grant_pin *p)
{
    if (!p->writers) {
        unmark(e, GTF_writing);
    }
    if (!p->writers && !p->readers) {
        unmark(e, GTF_reading);
    }
}

static int16_t pin(const struct grant_use *u, struct grant_pin *p, mfn_t *frame)
{
    struct grant_entry_v1 *e = entry_of(u->granter, u->ref);
    bool used = p->readers || p->writers;
    int16_t status = GNTST_okay;

    if (used && (p->domid != u->by || p->readers == PINS_MOST || p->writers == PINS_MOST)) {
        return GNTST_general_error;
    }
    if (!used || (!u->readonly && !p->writers)) {
        status = mark(e, u);
    }
    if (status != GNTST_okay) {
        return status;
    }
    if (!take_frame(u->granter, e, p, frame)) {
        unmark_unused(e, p);
        return GNTST_bad_page;
    }
    if (!used) { /* a reference of the pin's own */
        CHECK(frame_get(*frame, u->granter->owner));
        *p = (struct grant_pin){.mfn = (uint32_t)frame->v, .domid = u->by};
    }
    p->readers = (uint8_t)(p->readers + u->readonly);
    p->writers = (uint8_t)(p->writers + !u->readonly);
    return GNTST_okay;
}

int16_t grant_pin(const struct grant_use *u, mfn_t *frame)
{
    struct domain *d = u->granter;
    unsigned frames = d->guest.grant_frames;
    struct grant_pin *p;
    int16_t status = GNTST_no_space;

    if (u->ref >= (frames > 0 ? frames : 1) * GRANTS_PER_FRAME) {
        return GNTST_bad_gntref;
    }
    if (frames == 0) {
        return GNTST_general_error; /* nothing is granted yet */
    }
    lock_acquire(&d->lock);
    p = pin_of(d, u->ref);
    if (p) {
        status = pin(u, p, frame);
    }
    lock_release(&d->lock);
    return status;
}

void grant_unpin(const struct grant_use *u)
{
    struct domain *d = u->granter;
    struct grant_pin *p;

    lock_acquire(&d->lock);
    p = pin_of(d, u->ref);
    CHECK(p && (u->readonly ? p->readers : p->writers) > 0);
    p->readers = (uint8_t)(p->readers - u->readonly);
    p->writers = (uint8_t)(p->writers - !u->readonly);
    unmark_unused(entry_of(d, u->ref), p);
    if (!p->readers && !p->writers) {
        frame_put(mfn(p->mfn));
    }
    lock_release(&d->lock);
}
