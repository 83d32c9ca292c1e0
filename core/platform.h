/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the core asks of whoever embeds it: the hypervisor, or the host tests. Resolved when
 * linking. The core calls these with the physmap lock held unless said otherwise; none may call
 * back into the core, but for hostmap_lookup() where the lock is not held; and none may fail unless
 * it says how.
 */
#include <facet/cplusplus.h>
#include <facet/types.h>

FACET_BEGIN_C

struct physmap;
struct altp2m_vcpu;
struct altp2m_caller;

/*
 * The page of a frame, mapped for as long as the frame lives: the first frame of a pool, whose
 * frames are mapped one after the other, or a frame of RAM that the host map shows.
 */
void *platform_map(mfn_t m);

/*
 * A counted reference on a frame of guest memory, so that it is not freed while a view or a vCPU's
 * #VE information page can still reach it. get returns false if the frame is not RAM that belongs
 * to the domain. put may free the frame; the core only calls it after the flush.
 */
bool platform_frame_get(struct physmap *pm, mfn_t m);
void platform_frame_put(struct physmap *pm, mfn_t m);

/*
 * Makes every processor forget translations made through the tables of this domain. When it
 * returns, no processor can use an entry as it was before the call. `root` is the root frame of the
 * one view or host map concerned, or MFN_INVALID for all of the domain's tables.
 */
void platform_flush(struct physmap *pm, mfn_t root);

/*
 * Stops the domain's vCPUs other than the caller's from running guest code, and lets them go on.
 * Those that are in a call to the core come to its end first: what the caller forbids was not let
 * in before. True if stopped; false if the caller has to let others proceed first and try again
 * (-XEN_ERESTART). Called without the physmap lock.
 */
bool platform_pause_others(struct physmap *pm);
void platform_unpause_others(struct physmap *pm);

/*
 * Views that a vCPU with `vmfunc` may enter by itself, where processors can do that. begin: altp2m
 * is on, there is no such view yet, and until it is off again the page pm->list_page, of undefined
 * content, is the platform's, to note them where processors find them. enterable: `root` is the
 * root table of view v, which may be entered; MFN_INVALID: it may not, by anybody who is not there
 * already, once the call has returned.
 */
void platform_views_begin(struct physmap *pm);
void platform_view_enterable(struct physmap *pm, view_t v, mfn_t root);

/*
 * Where v is to enter the agent, on view `agent`. The platform looks whether it could, keeps what
 * it needs for that, and tells the pages that it depends on; altp2m_agent_enter() is what it asks
 * at the time. -EINVAL, -EFAULT, -EACCES as FACET_ALTP2M_enter has them; -EOPNOTSUPP: the platform
 * has no such way in. Called without the lock: view_lookup() may be called.
 */
struct facet_altp2m_enter;
struct entry_pages;
int platform_entry_set(struct altp2m_vcpu *v, view_t agent, const struct facet_altp2m_enter *e,
                       struct entry_pages *pages);

/*
 * Whether v can be held to `wanted` beside what it is held to already, and all that takes memory
 * for that. -EINVAL: a bit or register that is none; -EOPNOTSUPP: the processor cannot tell of it;
 * -ENOMEM. Called without the lock. update: v->pins is what counts, when it returns.
 */
struct pins;
int platform_pins_prepare(struct altp2m_vcpu *v, const struct pins *wanted);
void platform_pins_update(struct altp2m_vcpu *v);
/*
 * Of a vCPU that pins CR3 and runs no guest code: where its top table is. The processor asks about
 * values that it knew, from platform_pins_update() on.
 */
gfn_t platform_top_table(struct altp2m_vcpu *v);

/*
 * The vCPU's view (its root), `vmfunc` or #VE information page changed: the processor must go by it
 * before the vCPU next runs guest code.
 */
void platform_vcpu_update(struct altp2m_vcpu *v);

/*
 * Brings v->view and v->root up to date: VMFUNC may have changed them since the core last heard.
 * The view of a root is view_of_root().
 */
void platform_vcpu_sync(struct altp2m_vcpu *v);

/*
 * Copies between the caller's memory (linear addresses as the caller's vCPU sees them; callers
 * check CPL) and the hypervisor. 0 or -EFAULT; a failed copy_from leaves no promise about dst.
 * Called without the physmap lock.
 */
int platform_copy_from_caller(const struct altp2m_caller *c, void *dst, gva_t src, size_t n);
int platform_copy_to_caller(const struct altp2m_caller *c, gva_t dst, const void *src, size_t n);

/*
 * True if a long operation should stop at the next safe point and be continued (-XEN_ERESTART). No
 * lock.
 */
bool platform_preempt_pending(void);

/*
 * The domain's physmap is unsettled (physmap.h), or is settled again. No vCPU of the domain is to
 * run guest code meanwhile.
 */
void platform_unsettled(struct physmap *pm, bool unsettled);

/*
 * The physmap of domain `domid` (never DOMID_SELF here), pinned until platform_domain_put(), or
 * NULL if there is no such domain. Called without locks.
 */
struct physmap *platform_domain_get(uint16_t domid);
void platform_domain_put(struct physmap *pm);

/* Whether the caller's domain has control privilege over the target (never asked for itself). */
bool platform_may_control(const struct altp2m_caller *c, const struct physmap *target);

/*
 * A traced call in one line (trace.h), for people. The caller's domain may make as many as it
 * likes: the embedder bounds what that costs. Without locks.
 */
void platform_trace(const struct altp2m_caller *c, const char *text);

/* CPU features that sub-ops depend on. */
bool platform_has_altp2m(void); /* views can be had at all on this processor */
bool platform_has_ve(
    void); /* vCPUs can be told of violations by #VE, and enter views by themselves */

FACET_END_C
