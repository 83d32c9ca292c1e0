/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The inside of a physmap. Embedders see it only to know its size; only core/ may name its fields,
 * apart from `list_page`, which is the platform's.
 *
 * Everything below is protected by `lock`. Links are pool indices, 0 meaning none: page 0 of the
 * pool holds metadata and is never handed out.
 */
#include <facet/lock.h>
#include <facet/types.h>
#include "format.h"

enum page_kind {
    PAGE_FREE,
    PAGE_LIMBO,   /* given back, but a processor may still walk it: free after the next flush */
    PAGE_FIXED,   /* metadata of the pool itself */
    PAGE_HOST,    /* table of the host map */
    PAGE_VIEW,    /* table that belongs to one view */
    PAGE_RECORDS, /* slab of remap records */
    PAGE_LIST,    /* the platform's list of views that can be entered */
    PAGE_SHADOW,  /* page of memory that remaps may show (shadow.h) */
    PAGE_LENT,    /* the embedder's: physmap_lend() */
};

/* What is known of one pool page. */
struct pool_page {
    uint32_t region;       /* tables: gfn >> (9 * level), the part of the map that it covers;
                              slabs: records that were ever used */
    uint32_t next, prev;   /* free list, limbo, partial slabs, or hash chain of (level, region) */
    uint32_t vnext, vprev; /* list of a view's private tables */
    uint32_t parent;       /* private tables: the private table that points to this one; 0: root */
    uint16_t view;         /* owner of a PAGE_VIEW page; slabs: their bank; PAGE_HOST: 1 if the
                              guest pays for it */
    uint16_t own;          /* overrides plus private children; slabs: records in use; PAGE_HOST:
                              entries that are no holes */
    uint8_t level;         /* 1..4 */
    uint8_t kind;          /* enum page_kind */
    uint16_t first_free;   /* slabs: first of the records given back, + 1 */
};

struct pool {
    uint8_t *base;  /* address of the first page; the rest follows it */
    uintptr_t bias; /* address of a page minus its machine address */
    struct pool_page *page;
    uint32_t *bucket; /* hash (level, region) -> private tables, chained by next/prev */
    uint64_t first;   /* mfn of page 0 */
    uint32_t nr;      /* pages, metadata included */
    uint32_t fixed;   /* pages that hold metadata */
    uint32_t mask;    /* number of buckets - 1 */
    uint32_t free, nr_free;
    uint32_t limbo, nr_limbo;
    uint32_t reserve; /* pages that only the host map may take */
    uint32_t kept;    /* beyond those: what this holder of the lock leaves to monitors */
};

/* One remap of one view: `source` shows the frame that the host map has at `target`. */
struct remap {
    uint64_t source, target; /* gfns */
    uint64_t frame;          /* mfn shown and referenced; MFN_INVALID: target has none */
    uint64_t put;            /* mfn whose reference is dropped after the flush, or MFN_INVALID */
    uint32_t tnext, tprev;   /* hash chain by target */
    uint32_t snext, sprev;   /* hash chain by (view, source) */
    uint32_t vnext, vprev;   /* list of the view's remaps */
    uint32_t pending;        /* list of records that wait for the flush */
    uint16_t view;
    uint8_t dead;   /* freed as soon as the flush is done */
    uint8_t queued; /* on the pending list */
};

struct remaps {
    uint32_t *by_target, *by_source;
    uint32_t mask;
    struct remap_bank {
        uint32_t partial; /* slabs with free records, chained by next/prev */
        uint32_t nr_free; /* free records in slabs */
    } bank[2];            /* for views that the guest made (1), and others: slabs have one owner */
    uint32_t nr;          /* records in use */
    uint32_t pending;
    uint64_t lost; /* times that a remap's target vanished */
};

#define VIEW_CHANGES 8u

struct view_state {
    uint64_t and_mask, or_mask; /* applied to a host entry to narrow it by default_access */
    uint32_t root;              /* pool index */
    uint32_t tables;            /* list of private tables, the root included */
    uint32_t nr_tables;
    uint32_t remaps, nr_remaps;
    uint32_t quota;                 /* private tables allowed; 0: no limit of its own */
    uint32_t overrides;             /* leaves with an override */
    uint32_t relaxed;               /* faults whose restriction was lifted for more than one page */
    uint32_t touched;               /* host changes under an override or remap since creation */
    uint64_t changed[VIEW_CHANGES]; /* gfns of the last ones; the newest at touched - 1 */
    uint8_t default_access;
    bool exists, visible;
    bool dying;    /* being destroyed: nobody finds it, its number is not free yet */
    bool by_guest; /* made by the domain itself: counts against guest_quota */
    bool narrow;   /* policy audited: overrides stay within the host map's access */
    bool shown;    /* policy audited: a monitor lets the guest enter it */
};

struct flush_state {
    uint64_t wanted, done; /* generations: equal when nothing waits for a flush */
    uint64_t kept;         /* so many of them took only rights to write and to execute */
    uint64_t root;         /* scope: mfn of one root; ~0 for all */
    uint64_t unshared; /* root, or ~0, through which old pointers to host tables may be cached */
};

/* What has begun and is not done yet, and how far it is (work.h). */
struct physmap_work {
    uint32_t pending; /* WORK_* */
    uint32_t
        effort; /* of this stretch, in tables or records visited: about 400 instructions each */
    bool busy;  /* a piece is being done */
    bool told;  /* the embedder was told */
    struct {
        uint64_t g, last;   /* what the host map has from there to there, at `level`, changed;
                               level 0: the default of a view did */
        uint32_t table;     /* to be looked at next, of `view` */
        uint32_t remap;     /* the same, when a default changed */
        uint16_t view, end; /* the first that is not done, and behind the last */
        uint8_t level;
    } tables;
    struct work_remaps {
        uint64_t first, at, end; /* targets that changed; whose chain is being followed */
        uint32_t remap;          /* to be looked at next */
        uint16_t view;           /* the same, if all remaps of all views are looked at */
        bool by_view;
    } remaps[2]; /* a page that moves leaves one gfn and comes to another */
    unsigned nr_remaps;
    uint16_t dying, nr_dying; /* view to be looked at next; how many go */
    struct {
        uint32_t next;
        bool guests_only;
    } shadows;
    struct {
        uint64_t g, end;
        uint16_t view;
        uint8_t access, others, suppress_ve;
    } isolate;
};

struct physmap {
    struct lock lock;
    const struct table_format *format;
    struct pool pool;
    struct remaps remaps;
    struct flush_state flush;
    struct physmap_work work;
    struct view_state *views; /* max_views of them, the lift view and the walk view (lift.c) */
    uint64_t free_views[VIEW_MAX / 64];
    struct altp2m_vcpu *vcpus;
    mfn_t list_page;        /* platform_views_begin(); MFN_INVALID while altp2m is off */
    uint64_t empty;         /* an entry that holds nothing */
    uint64_t rights_mask;   /* every bit that some access uses */
    uint64_t hardware_mask; /* every bit of a leaf that hardware looks at */
    uint64_t own_mask;      /* own_access, own_frame and own_ve */
    uint64_t max_gfn;
    uint64_t generation;     /* grows with every change of the host map's frames */
    uint64_t ram_generation; /* with those that may have taken RAM away or moved it */
    uint32_t root;           /* host map's root, pool index */
    uint32_t view_quota;     /* default quota of a new view; 0: none */
    uint32_t guest_quota;    /* pages that what the guest itself makes may hold; 0: no limit */
    uint32_t guest_tables;   /* that it holds */
    uint32_t
        monitor_reserve; /* free pages that it leaves to monitors; policy audited: its quota does */
    uint32_t lent, lent_most, lend_keep; /* pages of vCPUs; that they may have; that they leave */
    uint32_t nr_host;                    /* tables of the host map */
    uint32_t abroad;      /* of these, the guest's: they cover nothing that it was built with */
    uint32_t abroad_most; /* that it may have */
    uint32_t restricting; /* views of monitors whose default access is not rwx */
    uint64_t home_end;    /* last gfn that hostmap_map() ever mapped */
    uint32_t shadows;     /* list of shadow pages */
    uint64_t allowed;     /* rows that callers inside the guest may use (policy.h) */
    uint64_t given;       /* of those, while it is sealed: that all of it may use */
    uint16_t domid, max_views, nr_views, nr_vcpus;
    uint16_t guest_views; /* policy audited: views 1 to this are the guest's */
    bool audited;
    bool traced;
    bool usual;                /* mode mixed, and views can be had: most checks are done */
    bool guest_on, monitor_on; /* policy audited: who turned altp2m on */
    bool sealed;               /* seal.h */
    view_t agent_view;         /* sealed: calls from here are the agent's */
    view_t start_view;         /* sealed: for vCPUs that would otherwise be on view 0 */
    bool gated;                /* sealed: agent_view is entered by entries alone (enter.h) */
    uint16_t refused;          /* accesses: of the format, if they are not to be narrowed */
    uint16_t narrowed;         /* the same if they are */
    uint8_t mode;
    uint8_t default_access; /* of new host entries and of views that ask for "default" */
    bool active;
};
