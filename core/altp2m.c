/* SPDX-License-Identifier: MIT */
#include "altp2m.h"
#include "owner.h"
#include "platform.h"
#include "seal.h"
#include "subop.h"
#include "trace.h"

/* Xen's public hvm/hvm_op.h, 4.17: the same for 32-bit and 64-bit callers but for sub-op 9. */
_Static_assert(sizeof(struct xen_hvm_altp2m_op) == 80, "hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_op, cmd) == 4, "hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_op, domain) == 8, "hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_op, pad1) == 10, "hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_op, pad2) == 12, "hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_op, u) == 16, "hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_suppress_ve_multi, first_error) == 4, "hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_suppress_ve_multi, first_error_gfn) == 24,
               "hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_set_mem_access_multi, opaque) == 8, "hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_get_vcpu_p2m_idx, altp2m_idx) == 4, "hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_mem_access, access) == 2, "hvm_op.h");
_Static_assert(offsetof(struct xen_hvm_altp2m_suppress_ve, suppress_ve) == 2, "hvm_op.h");
_Static_assert(sizeof(struct facet_altp2m_query) == 64, "hvmop.h fills u");
_Static_assert(sizeof(struct facet_altp2m_usage) == 64, "hvmop.h fills u");
_Static_assert(offsetof(union altp2m_op, facet.u) == 16, "hvmop.h fills u");
_Static_assert(sizeof(struct facet_altp2m_change_gfn_range) == 40, "the row's arg");
_Static_assert(offsetof(struct facet_altp2m_change_gfn_range, done) == 32, "the row's out");
_Static_assert(sizeof(struct facet_altp2m_change_gfn_list) == 24, "the row's arg");
_Static_assert(offsetof(struct facet_altp2m_change_gfn_list, done) == 16, "the row's out");
_Static_assert(sizeof(struct facet_altp2m_set_range) == 40, "the row's arg");
_Static_assert(offsetof(struct facet_altp2m_set_range, done) == 24, "the row's out");
_Static_assert(sizeof(struct facet_altp2m_switch_vcpu) == 8, "the row's arg");
_Static_assert(sizeof(struct facet_altp2m_get_overrides) == 40, "the row's arg");
_Static_assert(offsetof(struct facet_altp2m_get_overrides, first_gfn) == 16, "the row's out");
_Static_assert(sizeof(struct facet_altp2m_shadow_create) == 16, "the row's arg");
_Static_assert(offsetof(struct facet_altp2m_shadow_create, gfn) == 8, "the row's out");
_Static_assert(sizeof(struct facet_altp2m_shadow_destroy) == 8, "the row's arg");
_Static_assert(sizeof(struct facet_altp2m_shadow_copy) == 32, "the row's arg");
_Static_assert(sizeof(struct facet_altp2m_isolate) == 32, "the row's arg");
_Static_assert(sizeof(struct facet_altp2m_set_vmfunc) == 8, "the row's arg");
_Static_assert(sizeof(struct facet_altp2m_seal) == 8, "the row's arg");
_Static_assert(sizeof(struct facet_altp2m_enter) == 56, "the row's arg");
_Static_assert(offsetof(struct facet_altp2m_isolate, skipped) == 24, "the row's out");
_Static_assert(sizeof(struct facet_altp2m_host_changes) == 64, "the row's arg");
_Static_assert(offsetof(struct facet_altp2m_host_changes, count) == 4, "the row's out");
_Static_assert(sizeof(struct facet_altp2m_override_run) == 24, "the same for 32-bit callers");

/* A bit for each of the first eight bytes, as a mask of the bytes. */
#define BYTE(pads, n) ((1 & ((pads) >> (n))) * (0xffULL << 8 * (n)))
#define BYTES(pads)                                                                                \
    (BYTE(pads, 0) | BYTE(pads, 1) | BYTE(pads, 2) | BYTE(pads, 3) | BYTE(pads, 4) |               \
     BYTE(pads, 5) | BYTE(pads, 6) | BYTE(pads, 7))

#define BIT(nr) (1ULL << ((nr) < FACET_ALTP2M_query ? -1 + (nr) : 16 - FACET_ALTP2M_query + (nr)))

/* Where the view stands of rows that name one: without it they are not built. */
enum {
#define VIEW_FIELD(name, member) view_at_##name = offsetof(subop_arg_##name, member),
#include "fields.h"
};
#define VIEW_AT_NO_VIEW(name) 0
#define VIEW_AT_READS(name)   view_at_##name
#define VIEW_AT_ENTERS(name)  view_at_##name
#define VIEW_AT_EDITS(name)   view_at_##name

const struct subop subop_table[] = {
#define INACTIVE SUBOP_INACTIVE
#define LIMITED  SUBOP_LIMITED
#define PARTIAL  SUBOP_PARTIAL
#define ALWAYS   SUBOP_ALWAYS
#define ASKED    SUBOP_ASKED
#define ANYWHERE SUBOP_ANYWHERE
#define SUBOP(nr, nm, snc, ar, pd, ou, os, fl, us, ve, re, te, su)                                 \
    {.number = (nr),                                                                               \
     .since = (snc),                                                                               \
     .arg = (ar),                                                                                  \
     .out = (ou),                                                                                  \
     .out_size = (os),                                                                             \
     .flags = (fl),                                                                                \
     .verdict = FACET_ALTP2M_VERDICT_##ve,                                                         \
     .use = SUBOP_##us,                                                                            \
     .view_at = VIEW_AT_##us(nm),                                                                  \
     .pads = (pd),                                                                                 \
     .first_pads = BYTES(pd),                                                                      \
     .bit = BIT(nr),                                                                               \
     .handler = subop_##nm,                                                                        \
     .name = #nm,                                                                                  \
     .reason = (re),                                                                               \
     .test = #te,                                                                                  \
     .summary = (su)},
#include "subops.h"
#undef SUBOP
#undef INACTIVE
#undef LIMITED
#undef PARTIAL
#undef ALWAYS
#undef ASKED
#undef ANYWHERE
};
const unsigned subop_count = ARRAY_SIZE(subop_table);

/* A row without its audit's verdict, reason and test is not built. */
#define SUBOP(nr, nm, snc, ar, pd, ou, os, fl, us, ve, re, te, su)                                 \
    _Static_assert(sizeof(re) > 1 && sizeof(#te) > 1 && sizeof(su) > 1, #nm " lacks its audit");   \
    _Static_assert((ar) <= sizeof(subop_arg_##nm) && sizeof(subop_arg_##nm) <= 64, #nm);
#include "subops.h"
#undef SUBOP

#define FIRST_OWN 16u /* rows before it are Xen's 1..16 in order */

const struct subop *subop_find(uint32_t number)
{
    if (number - 1 < FIRST_OWN) {
        return &subop_table[number - 1];
    }
    if (number - FACET_ALTP2M_query < subop_count - FIRST_OWN) {
        return &subop_table[number - FACET_ALTP2M_query + FIRST_OWN];
    }
    return NULL;
}

COLD unsigned subop_why(const struct subop *row, const struct altp2m_caller *c,
                        const struct physmap *pm)
{
    if (pm->mode == XEN_ALTP2M_disabled) {
        return FACET_ALTP2M_WHY_MODE;
    }
    if (c->self != pm) {
        return platform_may_control(c, pm) ? 0 : FACET_ALTP2M_WHY_PRIVILEGE;
    }
    if (pm->mode != XEN_ALTP2M_mixed &&
        (pm->mode != XEN_ALTP2M_limited || !(row->flags & SUBOP_LIMITED))) {
        return FACET_ALTP2M_WHY_MODE;
    }
    if (!(pm->allowed & row->bit)) {
        return FACET_ALTP2M_WHY_POLICY;
    }
    return !(pm->given & row->bit) && seal_shuts_out(c) ? FACET_ALTP2M_WHY_SEALED : 0;
}

/* Whatever keeps a caller from the row, in Xen's order; 0: nothing does. */
static __attribute__((noinline)) int refusal(const struct subop *row, const struct altp2m_caller *c,
                                             const struct physmap *pm)
{
    if (pm->mode == XEN_ALTP2M_disabled) {
        return -XEN_EINVAL;
    }
    if (pm->max_views == 0) {
        return -XEN_EOPNOTSUPP;
    }
    return subop_why(row, c, pm) == 0 ? 0 : -XEN_EPERM;
}

/* refusal(), but the usual caller is through with few instructions. */
static inline int refused(const struct subop *row, const struct altp2m_caller *c,
                          const struct physmap *pm)
{
    return c->self == pm && pm->usual && (pm->given & row->bit) ? 0 : refusal(row, c, pm);
}

#define NO_VIEW 0xfffeu /* a number that no view has, and no sub-op a meaning for */

/*
 * What a guest may not name: its call finds another's view absent, by a number that no view has;
 * -EPERM for view 0, which is there for all to see.
 */
static int confine(const struct subop *row, struct subop_call *call)
{
    uint16_t *v = &call->op->facet.u.halves[row->view_at / 2];

    if (row->use == SUBOP_NO_VIEW || row->use == SUBOP_ENTERS || owner_is_guests(call->pm, *v)) {
        return 0;
    }
    if (*v == 0) {
        return row->use == SUBOP_READS || row->number == HVMOP_altp2m_destroy_p2m ? 0 : -XEN_EPERM;
    }
    _Static_assert(FACET_ALTP2M_ALL_VIEWS == FACET_ALTP2M_UNSEAL, "one test for both");
    if (*v != FACET_ALTP2M_ALL_VIEWS ||
        (row->number != FACET_ALTP2M_usage && row->number != FACET_ALTP2M_seal)) {
        *v = NO_VIEW;
    }
    return 0;
}

/* Ownership (owner.h), before the handler. */
COLD static int enforce(const struct subop *row, struct subop_call *call)
{
    if (call->caller->self == call->pm) {
        return confine(row, call);
    }
    if (!(row->flags & SUBOP_INACTIVE)) {
        owner_monitor_calls(call->pm);
    }
    return 0;
}

/* Most rows have padding in the first eight bytes only: one comparison. */
static bool pads_clear(const union altp2m_op *op, const struct subop *row)
{
    if (op->facet.u.longs[0] & row->first_pads) {
        return false;
    }
    for (uint64_t pads = row->pads & ~0xffULL; pads; pads &= pads - 1) {
        if (op->facet.u.bytes[__builtin_ctzll(pads)]) {
            return false;
        }
    }
    return true;
}

static int copy_back(const struct subop *row, const struct subop_call *call)
{
    return platform_copy_to_caller(call->caller, gva(call->arg.v + 16 + row->out),
                                   &call->op->facet.u.bytes[row->out], row->out_size);
}

/* The checks that need the domain, in Xen's order, and the handler. */
static long run(const struct subop *row, struct subop_call *call)
{
    struct physmap *pm = call->pm;
    long rc;

    if (physmap_unsettled(pm) && !physmap_settle_politely(pm)) {
        return -XEN_ERESTART; /* a call before this one is not all done */
    }
    if (!(row->flags & SUBOP_INACTIVE) && !owner_state(call->caller, pm)) {
        return -XEN_EOPNOTSUPP;
    }
    rc = refused(row, call->caller, pm);
    if (rc != 0) {
        return rc;
    }
    if (!pads_clear(call->op, row)) {
        return -XEN_EINVAL;
    }
    rc = pm->audited ? enforce(row, call) : 0;
    if (rc != 0) {
        return rc;
    }
    if ((row->flags & SUBOP_ASKED) && copy_back(row, call) != 0) { /* as it is */
        return -XEN_EFAULT;
    }
    rc = row->handler(call);
    if (row->out_size &&
        (rc == 0 || (row->flags & SUBOP_ALWAYS) ||
         (rc == -XEN_ERESTART && (row->flags & SUBOP_PARTIAL))) &&
        copy_back(row, call) != 0) {
        rc = -XEN_EFAULT;
    }
    return rc;
}

static long run_traced(const struct subop *row, struct subop_call *call)
{
    const union altp2m_op before = *call->op;
    long rc = run(row, call);

    if (rc != -XEN_ERESTART) {
        trace_call(call->caller, &before, call->op, rc);
    }
    return rc;
}

/* A call about another domain. */
static long run_foreign(const struct subop *row, struct subop_call *call)
{
    const struct altp2m_caller *c = call->caller;
    long rc;

    call->pm = platform_domain_get(call->op->xen.domain);
    if (!call->pm) {
        return c->self->audited ? -XEN_EPERM : -XEN_ESRCH;
    }
    if (c->self->audited && !platform_may_control(c, call->pm)) {
        rc = -XEN_EPERM; /* one answer for all domains that an audited guest has no business with */
    } else if (call->pm->traced && !c->self->traced) {
        rc = run_traced(row, call);
    } else {
        rc = run(row, call);
    }
    platform_domain_put(call->pm);
    return rc;
}

static inline __attribute__((always_inline)) long checked(const struct altp2m_caller *c, gva_t arg,
                                                          union altp2m_op *op)
{
    struct subop_call call = {.caller = c, .pm = c->self, .arg = arg, .op = op};
    const struct subop *row;

    if (op->xen.pad1 || op->xen.pad2 || op->xen.version != HVMOP_ALTP2M_INTERFACE_VERSION) {
        return -XEN_EINVAL;
    }
    row = subop_find(op->xen.cmd);
    if (!row) {
        return -XEN_EOPNOTSUPP;
    }
    if (op->xen.domain == DOMID_SELF || op->xen.domain == c->self->domid) {
        return run(row, &call);
    }
    return run_foreign(row, &call);
}

COLD static long checked_traced(const struct altp2m_caller *c, gva_t arg, union altp2m_op *op)
{
    const union altp2m_op before = *op;
    long rc = checked(c, arg, op);

    if (rc != -XEN_ERESTART) {
        trace_call(c, &before, op, rc);
    }
    return rc;
}

long altp2m_hvmop(const struct altp2m_caller *c, gva_t arg)
{
    union altp2m_op op;

    if (!platform_has_altp2m()) {
        return -XEN_EOPNOTSUPP;
    }
    if (platform_copy_from_caller(c, &op, arg, sizeof(op)) != 0) {
        return -XEN_EFAULT;
    }
    return c->self->traced ? checked_traced(c, arg, &op) : checked(c, arg, &op);
}

unsigned altp2m_mode(const struct physmap *pm)
{
    return pm->mode;
}
