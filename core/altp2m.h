/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The altp2m interface: HVMOP_altp2m for callers, and the violation handler for the hypervisor.
 */
#include <facet/check.h>
#include "physmap.h"
#include "version.h"

FACET_BEGIN_C

/* Xen's number for "call again". Not in its public errno.h: guests never see it. */
#define XEN_ERESTART 85

/*
 * Who makes a call. Filled by the hypervisor for each hypercall; embedders may extend by embedding.
 */
struct altp2m_caller {
    struct physmap *self;     /* the caller's own domain */
    struct altp2m_vcpu *vcpu; /* the calling vCPU */
    bool compat;              /* 32-bit caller: sub-op 9 has 4-byte handles */
};

/*
 * HVMOP_altp2m with the argument at linear address `arg` of the caller. Returns 0 or a negative
 * errno as Xen 4.17 does, in Xen's check order; -XEN_ERESTART: call again with the same arguments
 * (progress is kept in the caller's own struct).
 */
long altp2m_hvmop(const struct altp2m_caller *c, gva_t arg);

enum fault_result {
    FAULT_RETRY,     /* the access is allowed now: run the instruction again */
    FAULT_UNMAPPED,  /* neither view nor host map has the gfn, or it is MMIO: not the core's */
    FAULT_CONVERTED, /* as FAULT_RETRY, for n2rwx: the listener is told, its answer not waited for
                      */
    FAULT_DENIED,    /* a view restricts it and a listener must decide */
    FAULT_REFUSED,   /* a sealed guest's own view restricts it and nobody listens, or the page is
                        fixed: its fault */
    FAULT_VE,        /* what a processor with #VE makes one of; only if `reflect` */
    FAULT_STUCK,  /* only for a vCPU that is let through for its walks: it is allowed, but there is
                     no memory for that */
    FAULT_WALK,   /* what the walk needs is given, but no write; only if `writes` */
    FAULT_NARROW, /* a fetch that the access asked for gives, but not the processor's entry: it
                     goes on by altp2m_narrow_open() */
};

/* What the hypervisor learned from a violation. */
struct fault {
    gfn_t gfn;
    unsigned rights; /* RIGHT_*: what the access needed */
    bool walk;       /* to a paging structure */
    bool wide;       /* no FAULT_NARROW: the embedder cannot go on by it here */
    bool looked;     /* while walks are let through: what the instruction accesses was looked at */
    bool reflect;    /* the processor has no #VE, and the vCPU could take one now */
    bool writes;     /* a walk that the processor counts as a write, whether it writes or not */
    unsigned *given; /* FAULT_VE: RIGHT_* that the tables give there, put here; NULL: not asked */
};

/*
 * A vCPU violated the tables at fault->gfn. Converts rx2rw and n2rwx, and, where nobody listens
 * (`listener` false), drops the restriction in the vCPU's view as Xen does; never one of a sealed
 * guest's views (seal.h).
 */
enum fault_result altp2m_fault(struct altp2m_vcpu *v, const struct fault *f, bool listener);
/*
 * Whether altp2m_fault() would answer FAULT_VE to an access, no walk, of a vCPU that could take
 * one: for short, by one look at an override of the view's own. Then `*given` is what the tables
 * give there, RIGHT_*. False: it may still. No lock: the caller keeps others from changing
 * anything.
 */
bool altp2m_raises_ve(const struct altp2m_vcpu *v, gfn_t g, unsigned rights, unsigned *given);

/*
 * What VMFUNC does, for processors that have none: the vCPU enters a view by itself. False, and
 * nothing changes: it may not.
 */
bool altp2m_enter_view(struct altp2m_vcpu *v, uint32_t index);

/*
 * Lets a vCPU through, for one instruction that a listener allows: until altp2m_unlift() it runs
 * where everything is allowed and the host map's frames show; its view, as everybody else sees it,
 * stays. -ENOMEM. altp2m_fault() then answers FAULT_DENIED if it cannot be let through after all.
 */
int altp2m_lift(struct altp2m_vcpu *v);
/*
 * The same for its page walks alone: paging structures are let through as they are met, in the host
 * map's frames; what the instruction itself accesses must be allowed by the vCPU's view, or
 * altp2m_fault() answers FAULT_DENIED. One vCPU of a domain at a time: -EBUSY.
 * `judged`: the walks must be allowed, too, in the view's own frames, and where only their being
 * counted as writes is not, altp2m_fault() answers FAULT_WALK: they can have a copy of the page.
 */
int altp2m_lift_walk(struct altp2m_vcpu *v, bool judged);
/*
 * Shows a frame of the embedder's at g to a vCPU that is let through for its walks, to be read and
 * written, until it is not any more. -ESRCH for what is no RAM, -ENOMEM.
 */
int altp2m_lift_copy(struct physmap *pm, gfn_t g, mfn_t m);
void altp2m_unlift(struct altp2m_vcpu *v);
/* Gives back the memory that this took; no vCPU may be lifted. */
void altp2m_lift_forget(struct physmap *pm);
/*
 * Where the domain was configured with `narrow`: lets the vCPU fetch from g, which
 * altp2m_fault() answered FAULT_NARROW for, until altp2m_narrow_close(), which the embedder calls
 * when one instruction has run or did not. Others of the domain are paused meanwhile. Up to
 * NARROW_PAGES. What the instruction reads of g must be denied by the embedder before. -ESRCH: it
 * is not to be opened any more; -ENOMEM; -ERESTART.
 */
int altp2m_narrow_open(struct altp2m_vcpu *v, gfn_t g);
void altp2m_narrow_close(struct altp2m_vcpu *v);
/*
 * Shows a frame of the embedder's at g to lifted vCPUs, to be read and executed, until
 * altp2m_lift_hide() or the host map changes there. A vCPU must be lifted. -ESRCH for what is no
 * RAM, -ENOMEM.
 */
int altp2m_lift_show(struct physmap *pm, gfn_t g, mfn_t m);
void altp2m_lift_hide(struct physmap *pm, gfn_t g);

/*
 * The vCPU starts anew, with registers that somebody else chose (INIT and SIPI, VCPUOP_initialise,
 * a context). In a sealed guest it does so on the start view: nobody gets into the agent's view
 * that way. Where a monitor holds it, it stays.
 */
void altp2m_vcpu_restarts(struct altp2m_vcpu *v);

/* Whether v may load this as its top table: it is kept from the guest's writes, where that is asked
 * for (FACET_ALTP2M_PIN_CR3). */
bool altp2m_table_kept(struct altp2m_vcpu *v, gfn_t g);

/*
 * The vCPU makes the call that enters the agent (FACET_ALTP2M_enter), or that leaves it. Errors of
 * enter are that call's; 0: it is on the agent's view and v->inside, until leave.
 */
int altp2m_agent_enter(struct altp2m_vcpu *v);
void altp2m_agent_leave(struct altp2m_vcpu *v);

/* Puts one vCPU on a view; false, and no effect, if there is no such view. */
bool altp2m_move_vcpu(struct altp2m_vcpu *v, view_t to);
/*
 * Whoever watched the domain died, and answers no more: vCPUs on views that the domain did not make
 * itself go to view 0, or where a sealed guest starts. The views stay.
 */
void altp2m_monitor_gone(struct physmap *pm);
bool altp2m_view_exists(struct physmap *pm, view_t v);

/*
 * Access in the host map, for monitors that use no views. set: -EINVAL for a bad access, -ESRCH for
 * a hole, -ENOMEM. get with GFN_INVALID: the default. set_default: what gfns have that are mapped
 * from now on.
 */
int altp2m_host_set_access(struct physmap *pm, gfn_t g, unsigned access);
/*
 * The same for *nr gfns, a few: one lock and one flush. Holes are skipped; an error leaves what
 * came before it done. *nr: how many were looked at, fewer if that takes long: physmap_settle()
 * comes before the next.
 */
int altp2m_host_set_range(struct physmap *pm, gfn_t first, uint64_t *nr, unsigned access);
int altp2m_host_get_access(struct physmap *pm, gfn_t g, access_t *access);
int altp2m_host_set_default(struct physmap *pm, unsigned access);

/* Debug: CHECKs that no change made so far still waits for a flush. O(1); called at VM entry. */
static inline void altp2m_check_flushed(const struct physmap *pm)
{
    uint64_t done = __atomic_load_n(&pm->flush.done, __ATOMIC_ACQUIRE);
    uint64_t wanted = __atomic_load_n(&pm->flush.wanted, __ATOMIC_ACQUIRE);

    CHECK(wanted == done || __atomic_load_n(&pm->lock.held, __ATOMIC_ACQUIRE));
}

/* HVM_PARAM_ALTP2M as the guest reads it; the mode is fixed at creation. */
unsigned altp2m_mode(const struct physmap *pm);

FACET_END_C
