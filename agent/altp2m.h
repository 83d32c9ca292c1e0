/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Xen's HVMOP_altp2m for code inside the guest that it acts on: every sub-operation of Xen's,
 * typed. No libc, no memory of its own, no locks; usable in a kernel, a unikernel or firmware, on
 * Facet and on Xen.
 *
 * All functions return 0 or a negative errno of Xen's (the same numbers as Linux's), as in the
 * sub-operation's description: -EOPNOTSUPP altp2m is off or absent, -EINVAL a bad argument or mode
 * `disabled`, -EPERM this caller may not. A call stops the vCPU for the length of a VM exit.
 */
#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#endif

/* So that agents' headers are C++, too. */
#ifdef __cplusplus
#define AGENT_BEGIN_C extern "C" {
#define AGENT_END_C   }
#define AGENT_ASSERT  static_assert
#else
#define AGENT_BEGIN_C
#define AGENT_END_C
#define AGENT_ASSERT _Static_assert
#endif

AGENT_BEGIN_C

/* A guest frame number: guest-physical address >> 12. */
typedef struct {
    uint64_t v;
} altp2m_gfn_t;

/* Number of a view, as create gives it. View 0 is there as long as altp2m is on. */
typedef struct {
    uint16_t v;
} altp2m_view_t;

#define ALTP2M_GFN_NONE  ((altp2m_gfn_t){~0ULL})
#define ALTP2M_VIEW_0    ((altp2m_view_t){0})
#define ALTP2M_VIEW_NONE ((altp2m_view_t){0xffff})

/* xenmem_access_t (xen/memory.h); the bits are those of an EPT entry and of an exit qualification.
 */
enum altp2m_access {
    ALTP2M_N = 0,
    ALTP2M_R = 1,
    ALTP2M_W = 2,
    ALTP2M_RW = 3,
    ALTP2M_X = 4,
    ALTP2M_RX = 5,
    ALTP2M_WX = 6,
    ALTP2M_RWX = 7,
    ALTP2M_RX2RW = 8,
    ALTP2M_N2RWX = 9,
};

/* Who makes the hypercalls. Filled in by the embedder. */
struct altp2m {
    /* hvm_op hypercall (34) with this op and argument; `arg` is a linear address in mapped memory.
     */
    long (*hvm_op)(void *context, unsigned int op, void *arg);
    void *context;
};

/* Whether altp2m is on. Needs a mode other than `disabled` (-EINVAL). */
int altp2m_get_state(const struct altp2m *a, bool *on);
/* Off destroys all views and stops #VE and VMFUNC. */
int altp2m_set_state(const struct altp2m *a, bool on);

/*
 * Gives a vCPU its #VE information page, which stays pinned, and turns VMFUNC on for it, for every
 * privilege level. -EEXIST: it has one. -EOPNOTSUPP: the processor lacks #VE.
 */
int altp2m_enable_notify(const struct altp2m *a, uint32_t vcpu, altp2m_gfn_t page);
/*
 * VMFUNC alone, on or off. Under Facet's policy `audited` the only way to have it; elsewhere
 * altp2m_enable_notify() has turned it on. -EOPNOTSUPP on Xen.
 */
int altp2m_set_vmfunc(const struct altp2m *a, uint32_t vcpu, bool on);
/* Takes the page away; VMFUNC stays on until altp2m is off. */
int altp2m_disable_notify(const struct altp2m *a, uint32_t vcpu);

/* Whether this caller may use the sub-operation now, as Facet tells; false on Xen. */
bool altp2m_may(const struct altp2m *a, uint32_t cmd);
/*
 * From now on only calls made on the `agent` view are taken, and no vCPU is on view 0
 * (facet/hvmop.h tells all). ALTP2M_VIEW_NONE twice ends it. -EOPNOTSUPP on Xen, and on Facet but
 * for its policy `audited`.
 */
int altp2m_seal(const struct altp2m *a, altp2m_view_t agent, altp2m_view_t start);
/* Facet's: where a vCPU enters the agent once the guest is sealed (facet/hvmop.h). */
struct facet_altp2m_enter;
int altp2m_enter(const struct altp2m *a, const struct facet_altp2m_enter *e);

/*
 * Makes a view. On Xen before 4.19 the access holds for no page until it is set page by page:
 * see altp2m_default_holds().
 */
int altp2m_create(const struct altp2m *a, enum altp2m_access access, altp2m_view_t *view);
/* -EBUSY: view 0, absent, or a vCPU is on it. */
int altp2m_destroy(const struct altp2m *a, altp2m_view_t view);
/* Puts all vCPUs of the domain on the view. -EINVAL: absent or hidden. */
int altp2m_switch(const struct altp2m *a, altp2m_view_t view);
/* Only this vCPU. -EOPNOTSUPP on Xen, which cannot do that. */
int altp2m_switch_vcpu(const struct altp2m *a, uint32_t vcpu, altp2m_view_t view);
/* The view that a vCPU is on: what to ask when the EPTP index of a #VE is in doubt. */
int altp2m_get_view(const struct altp2m *a, uint32_t vcpu, altp2m_view_t *view);
/* A hidden view can be entered neither by VMFUNC nor by altp2m_switch(). */
int altp2m_set_visible(const struct altp2m *a, altp2m_view_t view, bool visible);

/* View 0 means the host map. A hole is skipped, with 0. */
int altp2m_set_access(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn,
                      enum altp2m_access access);
int altp2m_get_access(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn,
                      enum altp2m_access *access);
/* One access per gfn; stops at the first error, those before stay set. */
int altp2m_set_access_multi(const struct altp2m *a, altp2m_view_t view, const altp2m_gfn_t *gfns,
                            const uint8_t *access, uint32_t number);
/* The same access for [first, last], in calls of a bounded size. */
int altp2m_set_access_range(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t first,
                            altp2m_gfn_t last, enum altp2m_access access);
/* Whether a view made with `access` has it on this page without more ado: false on Xen 4.17. */
bool altp2m_default_holds(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn,
                          enum altp2m_access access);

/* In this view `gfn` shows what `shown` shows; ALTP2M_GFN_NONE ends that. -ESRCH: a hole. */
int altp2m_change_gfn(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn,
                      altp2m_gfn_t shown);

/* A violation on a page with #VE on is this guest's own, as vector 20; else the hypervisor's. */
int altp2m_set_ve(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn, bool on);
int altp2m_get_ve(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t gfn, bool *on);
/* [first, last], holes and all: goes on after an error and returns that of the first page in it. */
int altp2m_set_ve_range(const struct altp2m *a, altp2m_view_t view, altp2m_gfn_t first,
                        altp2m_gfn_t last, bool on, altp2m_gfn_t *first_error);

AGENT_END_C
