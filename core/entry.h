/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Reading and making entries of paging structures, by the table format. No locking, no memory.
 *
 * A level is 1 (entries map 4 KiB) to 4 (the root). Functions that take a gfn as a plain number are
 * inside the tables, where a gfn is an index to be shifted.
 *
 * What an entry can be; `own` is any of own_access, own_frame and own_ve:
 *
 *   state      valid  large  own   leads to    rights     access     stands in
 *   hole         0      0     0    -           -          -          any table
 *   table        1      0     0    a table     full       -          levels 2 to 4
 *   leaf         1      *     0    memory      access's   the host's host's tables, views' tables
 *   override     1      0    some  memory      access's   asked for  level 1 of views' own tables
 *   frameless    0      0    some  -           -          asked for  level 1 of views' own tables
 *
 *   *  1 at levels 2 and 3, 0 at level 1
 *
 * In a view, a leaf's rights are narrowed by the view's default access, an override's by the host
 * map (policy audited), while `access` stays. The bit that keeps violations from being #VEs is set
 * in holes, tables and frameless entries, where FRAMELESS_SUPPRESS_VE is what comes with a frame.
 *
 *   from       to         when
 *   hole       leaf       the host map gets memory
 *   leaf       table      a part of a larger leaf gets an access or an override of its own
 *   leaf       override   a gfn's access, #VE bit or frame is said in the view
 *   override   frameless  the host map, or a remap's target, loses the memory that shows
 *   frameless  override   it gets some again
 *   override   leaf       the last of what was said is reverted
 *   frameless  hole       the same
 *   table      leaf       the last override below is reverted; a larger leaf is mapped over it
 *   leaf       hole       the host map loses memory
 */
#include "abi.h"
#include "physmap.h"

/* In an override that has no frame: the suppress-#VE bit it will have when it gets one. */
#define FRAMELESS_SUPPRESS_VE (1ULL << PAGE_SHIFT)

static inline unsigned entry_shift(unsigned level)
{
    return PT_LEVEL_BITS * (level - 1);
}

static inline unsigned entry_index(unsigned level, uint64_t g)
{
    return (unsigned)(g >> entry_shift(level)) & (PT_ENTRIES - 1);
}

/* The part of the map that the table at `level` holding g covers. */
static inline uint32_t entry_region(unsigned level, uint64_t g)
{
    return (uint32_t)(g >> (PT_LEVEL_BITS * level));
}

static inline uint64_t entry_mfn(uint64_t e)
{
    return (e & FORMAT_ADDRESS_MASK) >> PAGE_SHIFT;
}

static inline bool entry_valid(const struct physmap *pm, uint64_t e)
{
    return e & pm->format->valid;
}

static inline bool entry_is_table(const struct physmap *pm, uint64_t e, unsigned level)
{
    return level > 1 && (e & (pm->format->valid | pm->format->large)) == pm->format->valid;
}

static inline access_t entry_access(const struct physmap *pm, uint64_t e)
{
    return (e >> pm->format->access_shift) & 15;
}

static inline enum map_type entry_type(const struct physmap *pm, uint64_t e)
{
    return (enum map_type)((e >> pm->format->type_shift) & 3);
}

static inline bool entry_suppress_ve(const struct physmap *pm, uint64_t e)
{
    return !pm->format->suppress_ve || (e & pm->format->suppress_ve);
}

static inline uint64_t entry_of_table(const struct physmap *pm, uint64_t mfn)
{
    return mfn << PAGE_SHIFT | pm->format->full | pm->format->valid | pm->format->suppress_ve;
}

/* What asking for this access gives, ACCESS_DEFAULT allowed: 0, -EINVAL or -EOPNOTSUPP. */
static inline int access_check(const struct physmap *pm, unsigned a)
{
    if (a > ACCESS_DEFAULT) {
        return -XEN_EINVAL;
    }
    return pm->refused >> a & 1 ? -XEN_EOPNOTSUPP : 0;
}

/* Replaces the access of an entry, and with it the rights that hardware sees. */
static inline uint64_t entry_with_access(const struct physmap *pm, uint64_t e, access_t a)
{
    const struct table_format *f = pm->format;

    e &= ~(pm->rights_mask | 15ULL << f->access_shift);
    return e | f->rights[a] | (uint64_t)a << f->access_shift;
}

static inline uint64_t entry_of_leaf(const struct physmap *pm, uint64_t mfn, unsigned level,
                                     enum map_type type, access_t a)
{
    const struct table_format *f = pm->format;
    uint64_t e = mfn << PAGE_SHIFT | f->valid | f->suppress_ve | (uint64_t)type << f->type_shift;

    e |= type == MAP_MMIO ? f->leaf_uncached : f->leaf_ram;
    e |= level > 1 ? f->large : 0;
    return entry_with_access(pm, e, a);
}

/* The entry at level `to` for g that a leaf found at level `from` stands for. Holes stay holes. */
static inline uint64_t entry_narrow(const struct physmap *pm, uint64_t e, unsigned from,
                                    unsigned to, uint64_t g)
{
    uint64_t offset;

    if (from == to || !entry_valid(pm, e)) {
        return e;
    }
    offset = (g & ((1ULL << entry_shift(from)) - 1)) >> entry_shift(to) << entry_shift(to);
    e += offset << PAGE_SHIFT;
    return to == 1 ? e & ~pm->format->large : e;
}

/* Whether processors may hold something of `old` that they must not use once the entry is `new`. */
static inline bool entry_takes_away(const struct physmap *pm, uint64_t old, uint64_t new)
{
    uint64_t gives = pm->format->rights[ACCESS_RWX];
    uint64_t rights = pm->rights_mask;

    if (!(old & rights & gives)) {
        return false; /* not present: hardware caches nothing */
    }
    if ((old ^ new) & pm->hardware_mask & ~rights) {
        return true;
    }
    return (rights & gives & old & ~new) || (rights & ~gives & new & ~old);
}

/*
 * What remains of access a when b limits it too. rx2rw and n2rwx convert on a fault, so they
 * survive only beside rwx or themselves; otherwise they count as what they give before the
 * conversion (rx, n), which never gives more than either.
 */
static inline access_t access_intersect(access_t a, access_t b)
{
    if (a == b || b == ACCESS_RWX) {
        return a;
    }
    if (a == ACCESS_RWX) {
        return b;
    }
    return (access_t)(access_rights(a) & access_rights(b));
}

/* A host entry as a view with this default access inherits it. */
static inline uint64_t entry_inherit(const struct view_state *vs, uint64_t host)
{
    return (host & vs->and_mask) | vs->or_mask;
}

/* A leaf of the host map whose access nobody changes: physmap.h. */
static inline bool entry_fixed(const struct physmap *pm, uint64_t host)
{
    return entry_valid(pm, host) && entry_type(pm, host) == MAP_FOREIGN &&
           entry_access(pm, host) == ACCESS_R;
}

/* Whether the hardware bits of a leaf permit all of `need` (RIGHT_*). */
static inline bool entry_permits(const struct physmap *pm, uint64_t e, unsigned need)
{
    const uint64_t *rights = pm->format->rights;
    uint64_t gives = rights[ACCESS_RWX];
    uint64_t must = 0, must_not = 0;

    if (need & RIGHT_R) {
        must |= rights[ACCESS_R] & gives;
    }
    if (need & RIGHT_W) {
        must |= rights[ACCESS_RW] & ~rights[ACCESS_R];
        must_not |= rights[ACCESS_R] & ~rights[ACCESS_RW];
    }
    if (need & RIGHT_X) {
        must |= rights[ACCESS_RX] & ~rights[ACCESS_R];
        must_not |= rights[ACCESS_R] & ~rights[ACCESS_RX];
    }
    return (e & gives) && (e & must) == must && !(e & must_not);
}

/* Whether what could be read can be still, in the same frame. */
static inline bool entry_keeps_reads(const struct physmap *pm, uint64_t old, uint64_t new)
{
    return !((old ^ new) & pm->hardware_mask & ~pm->rights_mask) && entry_permits(pm, new, RIGHT_R);
}
