/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A domain's physical memory map: the host map, its views, and the pool that their tables come
 * from.
 *
 * The host map says which machine frame a gfn is. A view is a path-copied tree over it: everything
 * a view does not override, it shares with the host map, table pages included.
 *
 * Locking: functions of this header take and release pm->lock themselves, unless named *_locked.
 * Errors: negative errno before any effect. Out of table memory is -ENOMEM and no effect.
 * On return, no processor can use a right or a frame that the call took away.
 */
#include <facet/lock.h>
#include <facet/types.h>
#include "format.h"
#include "policy.h"

FACET_BEGIN_C

enum map_type {              /* from MAP_MMIO on: with rules of their own for accesses */
                MAP_RAM,     /* the domain's own memory */
                MAP_SPECIAL, /* hypervisor-provided page (shared info, grant table): no remap, no
                                #VE page */
                MAP_MMIO,    /* device memory */
                MAP_FOREIGN, /* another domain's frame; mapped with access r it is fixed, see
                                hostmap_put() */
};

/* xenmem_access_t of Xen's public memory.h, 4.17 numbering. */
typedef uint8_t access_t;

#define ACCESS_N       0
#define ACCESS_R       1
#define ACCESS_W       2
#define ACCESS_X       4
#define ACCESS_WX      6
#define ACCESS_RX      5
#define ACCESS_RW      3
#define ACCESS_RWX     7
#define ACCESS_RX2RW   8
#define ACCESS_N2RWX   9
#define ACCESS_DEFAULT 10

struct mapping {
    mfn_t mfn;      /* frame that shows at the gfn asked for, not at the leaf's start */
    unsigned order; /* ORDER_4K, ORDER_2M or ORDER_1G: size of the leaf that was found */
    enum map_type type;
    access_t access; /* effective: override, or host access narrowed by the view's default */
    bool suppress_ve;
};

/* Bits of an access by the guest, and of rights. */
#define RIGHT_R 1u
#define RIGHT_W 2u
#define RIGHT_X 4u
FACET_STATIC_ASSERT(ACCESS_R == RIGHT_R && ACCESS_W == RIGHT_W && ACCESS_X == RIGHT_X,
                    "an access is a set of rights");

/* What an access gives before a fault converts it, as RIGHT_*. Codes 0 to 7 are sets of them. */
static inline unsigned access_rights(access_t a)
{
    return a < ACCESS_RX2RW ? a : a == ACCESS_RX2RW ? RIGHT_R | RIGHT_X : 0;
}

/* What an entry into the agent depends on: code, stack, descriptor tables and the paging structures
 * that lead there. */
#define ENTRY_PAGES 24u
struct entry_pages {
    unsigned nr;
    gfn_t gfn[ENTRY_PAGES];
};

/* Registers that a vCPU keeps as they are (FACET_ALTP2M_pin): bits of CR0, CR4 and EFER, and
 * FACET_ALTP2M_PIN_*. */
struct pins {
    uint64_t cr0, cr4, efer;
    uint32_t registers;
};
static inline bool pins_name_any(const struct pins *p)
{
    return p->cr0 || p->cr4 || p->efer || p->registers;
}
enum pins_by { PINS_BY_AGENT, PINS_BY_MONITOR, PINS_BY };

/* A leaf that is open for an instruction: altp2m_narrow_open(). */
#define NARROW_PAGES 2u /* that one instruction can lie in */
struct narrow_page {
    gfn_t gfn;
    view_t view;
    access_t access;
    bool own; /* an override of the view before */
};

/* One per vCPU, embedded in the hypervisor's vCPU. Written by the core under the physmap lock. */
struct altp2m_vcpu {
    struct physmap *pm;
    unsigned id;
    view_t view;   /* VIEW_NONE while altp2m is off: the vCPU runs on the host map */
    mfn_t root;    /* root table that the vCPU must run on */
    bool vmfunc;   /* it may enter views by itself: those that platform_view_enterable() told */
    mfn_t ve_info; /* frame of the #VE information page, or MFN_INVALID: #VE off */
    gfn_t ve_info_gfn;
    view_t ve_view;         /* policy audited: of who named that page; VIEW_NONE: the host map */
    bool vmfunc_asked;      /* it is to be so, unless a monitor holds the vCPU */
    bool vmfunc_by_monitor; /* policy audited: a monitor asked for it */
    bool ve_by_monitor;     /* policy audited: a monitor turned #VE on */
    bool lifted;            /* altp2m_lift(): `root` is not the view's */
    bool lifted_walk;       /* only for page walks: altp2m_lift_walk() */
    bool lifted_judged;     /* ... that its view allows */
    bool entry;             /* enter.h: it has one, into agent_view */
    bool inside;            /* it is in the agent, which it entered from `outside` */
    view_t agent_view, outside;
    struct entry_pages entry_pages;
    struct pins pins_by[PINS_BY]; /* pin.h */
    struct pins pins;             /* of both: what the platform holds it to ... */
    uint32_t pins_refused;        /* ... and how often it had to */
    uint8_t nr_narrow;            /* of narrow[], open now */
    uint16_t lent;                /* pages of the pool: physmap_lend() */
    struct narrow_page narrow[NARROW_PAGES];
    struct altp2m_vcpu *next; /* of the same domain */
};

struct physmap_config {
    uint16_t domid;
    unsigned address_bits;    /* guest physical address width; gfns beyond it do not exist */
    unsigned max_views;       /* altp2m_count: 0..VIEW_MAX */
    unsigned altp2m_mode;     /* XEN_ALTP2M_disabled, _mixed, _external or _limited */
    unsigned host_reserve;    /* table pages that only the host map may use */
    unsigned monitor_reserve; /* table pages that the guest itself leaves to monitors; a quarter of
                                 the rest at most */
    unsigned altp2m_policy;   /* enum altp2m_policy: what callers inside the guest may use */
    uint64_t allow, deny;     /* sets of rows (policy.h) that it gives beyond that, or not */
    unsigned guest_views;     /* policy audited: views that the guest itself may have; 0: half */
    unsigned guest_tables;    /* policy audited: table pages for them; 0: half of what is there */
    bool narrow;              /* what the format refuses is taken, and gives the processor less */
    bool trace;               /* calls by the domain or about it go to platform_trace() */
    const struct table_format *format;
};

struct physmap; /* complete type in physmap_private.h */

/*
 * `pool` and `nr` give consecutive frames that platform_map() maps at consecutive addresses. They
 * belong to the physmap until physmap_destroy(), after which the caller has them all back; about
 * 2 % of them become metadata. -ENOMEM if too few to hold that, the host's reserve and a root;
 * -EINVAL for a configuration that cannot be. vCPUs are registered before the domain first runs.
 */
int physmap_init(struct physmap *pm, const struct physmap_config *cfg, mfn_t pool, unsigned nr);
/* Whether a pool of `nr` pages is enough for that: anything is left of it beyond the reserve. */
bool physmap_fits(unsigned max_views, uint32_t nr, uint32_t host_reserve);
void physmap_destroy(struct physmap *pm);
/* The same in pieces of bounded time: called until it answers false. No vCPU runs any more. */
bool physmap_destroy_some(struct physmap *pm);
void physmap_add_vcpu(struct physmap *pm, struct altp2m_vcpu *v, unsigned id);

/*
 * Pages of the pool for tables of the embedder's own, that the domain's doing makes v need: `nr` of
 * them, of undefined content, or false and none. The host map's reserve stays, and what is kept for
 * monitors in any mode; of what may be lent (half of the rest; policy audited: what is not the
 * guest's quota) each vCPU has an equal part. Before physmap_destroy(), and when no processor walks
 * it any more, each is given back.
 */
bool physmap_lend(struct altp2m_vcpu *v, unsigned nr, mfn_t *pages);
void physmap_take_back(struct altp2m_vcpu *v, mfn_t page);

/*
 * hostmap_map() puts 2^order frames at gfn, replacing what is there; hostmap_unmap() leaves a hole.
 * gfn and mfn must be aligned to the order. Views follow exactly: inherited entries at once,
 * overrides keep their access and take the new frame, remaps that point at these gfns follow.
 * Frames that the host map no longer shows are the caller's to release afterwards: no processor can
 * reach them then, but for those that a remap still references (platform_frame_get).
 *
 * ACCESS_DEFAULT as access: what the gfn has now (its first gfn, for larger orders), or the
 * domain's default if it is a hole. -EINVAL: misaligned, or beyond the address width; -ENOMEM: no
 * table page. Unmapping a hole is fine.
 */
int hostmap_map(struct physmap *pm, gfn_t g, mfn_t m, unsigned order, enum map_type type,
                access_t access);
int hostmap_unmap(struct physmap *pm, gfn_t g, unsigned order);
bool hostmap_lookup(struct physmap *pm, gfn_t g, struct mapping *out);
/*
 * The first gfn from g on that is no hole, or ~0. Steps over holes as large as the tables show
 * them, but only so many at a time: it may stop at a hole, to be called again from there.
 */
uint64_t hostmap_next(struct physmap *pm, uint64_t g);

/*
 * Changes whenever a gfn's frame or type may have changed, so that an embedder can keep results of
 * hostmap_lookup(): they hold while the value, read before the lookup, is the same. No lock.
 */
static inline uint64_t hostmap_generation(const struct physmap *pm);
/*
 * The same of gfns that were found to be MAP_RAM. It stays when holes are filled, and when pages of
 * other domains come and go, as back ends have them do all the time.
 */
static inline uint64_t hostmap_ram_generation(const struct physmap *pm);

/* What hostmap_put() and its relatives replaced: a RAM or foreign frame is the caller's
 * to release afterwards. */
struct was_mapped {
    mfn_t mfn;
    enum map_type type;
    bool any; /* false: a hole */
};

/*
 * Changes of one 4 KiB page after the domain was built: by the guest itself, or (`by_guest` false)
 * by a monitor for it. All that can refuse them comes first; a call that is refused has changed
 * nothing.
 *
 * What is put gets no more access than `most`, the domain's default and what stood there; the
 * suppress-#VE bit stays. Tables that cover nothing of what the domain was built with count as the
 * guest's, or leave the reserve alone; empty ones are given back. -EPERM: the guest's, and
 * hostmap_guarded(); -ENOMEM; -EINVAL: there is no such gfn; take: -ENOENT for a hole. move:
 * -EINVAL if not frame m stands at `from`.
 *
 * A MAP_FOREIGN page with access r is *fixed*: who gave it gave no more, so nothing that this
 * domain or its monitors say makes it writable or executable, in any view. Its access in the host
 * map cannot be said at all (-ESRCH), and a violation that it causes is the guest's own fault
 * (FAULT_REFUSED). What is put to be fixed and would get another access than r is refused with
 * -EPERM.
 */
int hostmap_put(struct physmap *pm, gfn_t g, mfn_t m, enum map_type type, access_t most,
                bool by_guest, struct was_mapped *was);
int hostmap_take(struct physmap *pm, gfn_t g, bool by_guest, struct was_mapped *was);
int hostmap_move(struct physmap *pm, gfn_t from, gfn_t to, mfn_t m, bool by_guest,
                 struct was_mapped *was);

/*
 * The same for up to HOSTMAP_RUN_MOST gfns in a row, all of them or none: put takes the frames from
 * `pages`, and both leave there what stood at each gfn. The host map is changed at once, tables of
 * views may follow in pieces: what stood there is the caller's to release when the physmap is
 * settled. take: -ENOENT if one of them is a hole.
 */
#define HOSTMAP_RUN_MOST 512u
int hostmap_put_run(struct physmap *pm, gfn_t first, unsigned nr, enum map_type type, access_t most,
                    bool by_guest, struct was_mapped *pages);
int hostmap_take_run(struct physmap *pm, gfn_t first, unsigned nr, bool by_guest,
                     struct was_mapped *pages);

/*
 * Changes whenever a right or a frame was taken away anywhere, in the host map or a view, by
 * whatever means: results of view_lookup() hold while the value, read before the lookup, is the
 * same, but for rights that came since. No lock.
 */
static inline uint64_t physmap_rights_generation(const struct physmap *pm);

/*
 * Whether, under the policy `audited`, what stands at g is not the guest's to move, replace or give
 * back: the host map restricts it, or a view has an override there, or a monitor's view restricts
 * all by its default, or one that it is sealed in restricts it. Else another frame would come under
 * the page's rights, or the page's frame under another's. False under the other policies.
 */
bool hostmap_guarded(struct physmap *pm, gfn_t g);

/*
 * Whether the policy is `audited`: what the embedder does in the guest's name (copies for
 * hypercalls, shared areas, changes of the host map that the guest asks for) must then not get
 * around views and the host map's access. No lock.
 */
static inline bool physmap_confines(const struct physmap *pm);

/* Of a sealed guest: the view that takes view 0's place. Else VIEW_NONE. Sealing counts as a loss
 * of rights. No lock. */
static inline view_t physmap_start_view(const struct physmap *pm);

/* Under `audited`: a view that is a monitor's by its number. False under the other
 * policies. No lock. */
static inline bool physmap_view_is_monitors(const struct physmap *pm, view_t v);

/*
 * Long operations return when they are decided, and leave the rest to be done in pieces. While
 * physmap_unsettled() is true none of the domain's vCPUs may run guest code, and a caller of
 * another domain must not hear of its call's end; each physmap_settle() does a piece, of bounded
 * time, and answers whether something is left. physmap_settle_politely() goes on until nothing is,
 * or others want the processor: then false. Called without locks. Any other call that changes
 * something does all the rest first.
 */
static inline bool physmap_unsettled(const struct physmap *pm);
bool physmap_settle(struct physmap *pm);
bool physmap_settle_politely(struct physmap *pm);

/* What a vCPU on view `v` finds at gfn. VIEW_NONE: the host map. False: a hole, or no such view. */
bool view_lookup(struct physmap *pm, view_t v, gfn_t g, struct mapping *out);

/* The view whose root table is `root`, in constant time and without the lock; VIEW_NONE if none. */
view_t view_of_root(struct physmap *pm, mfn_t root);

FACET_END_C

#include "physmap_private.h"

static inline uint64_t hostmap_generation(const struct physmap *pm)
{
    return __atomic_load_n(&pm->generation, __ATOMIC_ACQUIRE);
}

static inline uint64_t hostmap_ram_generation(const struct physmap *pm)
{
    return __atomic_load_n(&pm->ram_generation, __ATOMIC_ACQUIRE);
}

/* What is taken away is flushed, so that it is counted already. */
static inline uint64_t physmap_rights_generation(const struct physmap *pm)
{
    return __atomic_load_n(&pm->flush.wanted, __ATOMIC_ACQUIRE);
}

/* The same, of rights to read, and frames. */
static inline uint64_t physmap_reads_generation(const struct physmap *pm)
{
    return __atomic_load_n(&pm->flush.wanted, __ATOMIC_ACQUIRE) -
           __atomic_load_n(&pm->flush.kept, __ATOMIC_ACQUIRE);
}

static inline bool physmap_unsettled(const struct physmap *pm)
{
    return __atomic_load_n(&pm->work.pending, __ATOMIC_ACQUIRE);
}

static inline view_t physmap_start_view(const struct physmap *pm)
{
    return pm->sealed ? pm->start_view : VIEW_NONE;
}

static inline bool physmap_view_is_monitors(const struct physmap *pm, view_t v)
{
    return pm->audited && v.v > pm->guest_views && !view_eq(v, VIEW_NONE);
}

static inline bool physmap_confines(const struct physmap *pm)
{
    return pm->audited;
}
