/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Puts a kernel behind an agent: makes the three views, protects pages, and moves the vCPUs.
 *
 *   kernel's view: everything allowed but what the ranges take away; private pages not accessible
 *   agent's view:  all memory can be read and written; only the gate and .agent.text executed
 *   store view:    as the kernel's, but nothing executed; writable is what agents may write for
 *                  others
 *   view 0:        out of reach of VMFUNC
 *
 * On Facet under the policy `audited` the domain is also sealed: hypercalls are the agent's alone,
 * and what the hypervisor has to decide itself it refuses. Elsewhere view 0 is only hidden, and
 * whoever makes hypercalls can show it. Every page that one of the views restricts has #VE on.
 */
#include "enter.h"
#include "guard.h"

AGENT_BEGIN_C

/*
 * Page tables to be watched (tables.h): linear addresses that are to lead where they lead now, both
 * ends included; the top table that all others have those entries from, and how far behind it its
 * twin for user space is (0: none); and where a frame of a table can be read.
 */
struct shield_linear {
    uint64_t first, last;
};
struct shield_tables {
    const struct shield_linear *range;
    unsigned int ranges;
    const void *top;
    uint64_t twin; /* bytes: a page, or 0 */
    void *context;
    const void *(*at)(void *context, uint64_t gpa);
};

struct shield_hooks {
    struct altp2m xen;
    void *context;
    /* The frame behind a linear address that is mapped, and stays so. */
    altp2m_gfn_t (*gfn_of)(void *context, const void *at);
    /* A zeroed page that stays where it is (for #VE information), or NULL; and back. */
    void *(*page_alloc)(void *context);
    void (*page_free)(void *context, void *page);
    /* Writes to memory that may be mapped read-only; nothing runs it meanwhile. */
    int (*code_write)(void *context, void *at, const void *from, size_t size);
    /*
     * The vCPUs that are up, at most GUARD_VCPUS, by VMFUNC half of that; 0 means vCPU 0 alone.
     * vcpu() tells hypercalls' number and the initial APIC ID of the nth. One that comes up later
     * has neither #VE nor VMFUNC; none does after guard_pin().
     */
    unsigned int vcpus;
    void (*vcpu)(void *context, unsigned int n, uint32_t *id, uint32_t *apic_id);
    /* The gate of two VMFUNCs, without exits and with its limits, also where the hypervisor has one
     * way in (docs/agent-inside.md). */
    bool by_vmfunc;
    /* By the hypervisor's one way in or not at all: else -EOPNOTSUPP. */
    bool by_enter;
    /* Or NULL. By the hypervisor's one way in only; looked at in shield_raise() alone. */
    const struct shield_tables *tables;
    /* What guard_pin() is to have kept as it is. */
    struct guard_pins pins;
    /* Points IDT entry 20 of all vCPUs to this: interrupt gate, DPL 0, no IST; NULL: as before. */
    int (*vector_set)(void *context, const void *entry);
};

struct shield_range {
    altp2m_gfn_t first, last;
    enum altp2m_access access; /* in the kernel's view; the agent's view is always rw- */
    bool may_store;            /* whether agent_allow() may have it written */
};

struct shield {
    struct shield_hooks hooks;
    altp2m_view_t kernel, agent, store;
    void *info[GUARD_VCPUS]; /* #VE information pages */
    unsigned int vcpus;
    bool sealed;
    bool entered;             /* by the hypervisor's one way in (enter.h), not by VMFUNC */
    uint8_t call[ENTER_JUMP]; /* what the jump in gate_call() replaced */
};

/*
 * Raises the shield: `ram` is all memory of the guest, `protect` what to restrict (the agent's own
 * sections are restricted without being named). `deny` gets control, as a #GP(0) handler does,
 * when the agent refuses an access. On return all vCPUs are on the kernel's view. Needs altp2m off
 * before. -ENOSPC: more ranges than GUARD_RANGES; -EOPNOTSUPP: no altp2m or no #VE; -EINVAL: too
 * many vCPUs; on any error altp2m is off again.
 */
int shield_raise(struct shield *s, const struct shield_hooks *hooks, const struct shield_range *ram,
                 unsigned int rams, const struct shield_range *protect, unsigned int protects,
                 const void *deny);

/*
 * View 0 again, altp2m off. Where it is sealed the agent has to end that first (guard_unseal(), by
 * a service of the embedder's), else -EPERM; elsewhere whoever may make hypercalls can do this.
 */
int shield_lower(struct shield *s);

AGENT_END_C
