/* SPDX-License-Identifier: MIT */
#include "words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "parse.h"
#include "survey.h"
#include "xenabi.h"

#define SAY(r, ...)  snprintf((r)->text, sizeof((r)->text), __VA_ARGS__)
#define HINT(r, ...) snprintf((r)->hint, sizeof((r)->hint), __VA_ARGS__)

const char *words_mode(uint64_t mode)
{
    switch (mode) {
    case XEN_ALTP2M_disabled:
        return "disabled";
    case XEN_ALTP2M_mixed:
        return "mixed";
    case XEN_ALTP2M_external:
        return "external";
    case XEN_ALTP2M_limited:
        return "limited";
    default:
        return "unknown";
    }
}

const char *words_errno(int err, char *buf)
{
    const char *name = strerrorname_np(err);

    if (name)
        return name;
    snprintf(buf, 24, "error %d", err);
    return buf;
}

static const char *who(const struct subop_target *t, char *buf, size_t size)
{
    if (t->domid == DOMID_SELF)
        return "this domain";
    snprintf(buf, size, "domain %u", t->domid);
    return buf;
}

static void say_permission(const struct subop_target *t, unsigned int cmd, struct words_refusal *r)
{
    uint64_t mode;

    /* Every domain may ask for the version, so this refusal is the kernel's: since 2026 Linux
       confines xen-privcmd of a guest to the guest's "target", which most do not have. */
    if (t->hc->version(t->hc->ctx, XENVER_version, NULL, 0) == -EPERM) {
        SAY(r, "this guest's kernel blocks hypercalls from user space");
        HINT(r, "modprobe -r xen-privcmd; modprobe xen-privcmd unrestricted=1");
        return;
    }
    if (t->domid == DOMID_SELF && !subop_get_mode(t, &mode) &&
        (mode == XEN_ALTP2M_external || mode == XEN_ALTP2M_limited)) {
        SAY(r, "not permitted: this domain is in %s mode, in which it may not call %s on itself",
            words_mode(mode), subop_name(cmd));
        HINT(r, "call from the control domain with -d, or configure the domain with "
                "altp2m=\"mixed\"");
        return;
    }
    SAY(r, "not permitted to call %s", subop_name(cmd));
    HINT(r, t->domid == DOMID_SELF ? "this system's policy refuses it"
                                   : "only the control domain may work on other domains");
}

/* Refusals that precede every sub-operation's own checks. True if it was one of them. */
static bool say_common(const struct subop_target *t, unsigned int cmd, int err,
                       struct words_refusal *r)
{
    char buf[24];
    bool on = false;
    int state;

    if (err == EPERM) {
        say_permission(t, cmd, r);
        return true;
    }
    if (err == EFAULT) {
        SAY(r, "the hypervisor could not read or write the call's arguments");
        HINT(r, "this is a fault of altp2m or of libxencall: please report it");
        return true;
    }
    if (err == ENOSYS) {
        SAY(r, "this hypervisor does not have the HVM hypercalls");
        HINT(r, "altp2m needs Xen 4.6 or later, or Facet");
        return true;
    }

    state = subop_get_state(t, &on);
    if (state == -ESRCH) {
        SAY(r, "there is no %s", who(t, buf, sizeof(buf)));
        HINT(r, "list the domains: altp2m domains");
    } else if (state == -EOPNOTSUPP) {
        SAY(r, "altp2m is not available for %s", who(t, buf, sizeof(buf)));
        HINT(r, "it needs an HVM or PVH domain, a processor with EPT and, on Xen, altp2m=1 on "
                "Xen's command line");
    } else if (state == -EINVAL) {
        SAY(r, "altp2m is disabled for %s", who(t, buf, sizeof(buf)));
        HINT(r, "set altp2m=\"mixed\" (or \"external\") in its configuration");
    } else if (err == EOPNOTSUPP && !state && !on && cmd != HVMOP_altp2m_set_domain_state) {
        SAY(r, "altp2m is off for %s", who(t, buf, sizeof(buf)));
        HINT(r, "turn it on first: %s on", r->tool);
    } else {
        return false;
    }
    return true;
}

static bool say_missing_view(const struct subop_target *t, view_t v, struct words_refusal *r)
{
    uint16_t access;

    if (survey_view(t, v, &access) != -EINVAL)
        return false;
    SAY(r, "view %u does not exist", v.v);
    HINT(r, "see the views: %s list", r->tool);
    return true;
}

/* The rest answers one sub-operation each: true if `err` is a refusal that it knows. */

static bool say_no_tables(int err, struct words_refusal *r)
{
    if (err != ENOMEM)
        return false;
    SAY(r, "no table memory is left for that");
    HINT(r, "destroy a view, or raise shadow_memory in the domain's configuration");
    return true;
}

const char *words_accesses(uint16_t set, char *buf)
{
    size_t n = 0;

    *buf = '\0';
    for (uint16_t a = 0; a < XENMEM_access_default; a++)
        if (set >> a & 1)
            n += (size_t)sprintf(buf + n, "%s%s", n ? " " : "", parse_access_name(a));
    return buf;
}

#define EVERY_ACCESS ((1u << XENMEM_access_default) - 1)

/* An access that the processor cannot give. */
static bool say_lacking(const struct subop_target *t, struct words_refusal *r)
{
    struct facet_altp2m_query q;
    char buf[64];

    if (subop_query(t, 0, &q) || !q.accesses || !(EVERY_ACCESS & ~q.accesses))
        return false;
    SAY(r, "this processor cannot give that access: what can be executed or written can be read");
    HINT(r, "there are %s; altp2m_narrow = 1 in the domain's configuration takes all",
         words_accesses(q.accesses, buf));
    return true;
}

static bool say_create(const struct subop_target *t, int err, struct words_refusal *r)
{
    if (err == EOPNOTSUPP)
        return say_lacking(t, r);
    if (err != EINVAL && err != ENOSPC && err != EBUSY)
        return say_no_tables(err, r);
    SAY(r, "no free view: %u exist and the domain may not have more", survey_count(t));
    HINT(r, "destroy one, or raise altp2m_count in the domain's configuration");
    return true;
}

static bool say_destroy(const struct subop_target *t, int err, view_t v, struct words_refusal *r)
{
    char list[128];

    if (err != EBUSY && err != EINVAL && err != ENOENT)
        return false;
    if (v.v == 0) {
        SAY(r, "view 0 is the host's own view and stays as long as altp2m is on");
        HINT(r, "to drop every view: %s off", r->tool);
    } else if (say_missing_view(t, v, r)) {
        return true;
    } else if (survey_vcpus_text(t, v, list, sizeof(list))) {
        SAY(r, "view %u is in use by %s: switch away first", v.v, list);
        HINT(r, "%s switch 0", r->tool);
    } else {
        SAY(r, "view %u is in use", v.v);
        HINT(r, "switch away first: %s switch 0", r->tool);
    }
    return true;
}

static bool say_switch(const struct subop_target *t, int err, view_t v, struct words_refusal *r)
{
    if (err != EINVAL)
        return false;
    if (say_missing_view(t, v, r))
        return true;
    SAY(r, "view %u is hidden", v.v);
    HINT(r, "make it visible first: %s show %u", r->tool, v.v);
    return true;
}

/* A view has no page where the host has none; Xen's views also have none until the first use. */
static const char *hole_or_unfilled(const struct subop_target *t, const struct words_about *a)
{
    uint16_t access;

    if (a->view.v == 0 || subop_get_access(t, view(0), a->gfn, &access))
        return "it is a hole: the domain has no memory there";
    return "this hypervisor fills a view page by page, when a page is first used in it";
}

static bool say_access(const struct subop_target *t, int err, const struct words_about *a,
                       struct words_refusal *r)
{
    switch (err) {
    case EOPNOTSUPP:
        return say_lacking(t, r);
    case ESRCH:
        SAY(r, "gfn 0x%" PRIx64 " has no page in view %u", a->gfn.v, a->view.v);
        HINT(r, "%s", hole_or_unfilled(t, a));
        return true;
    case ENOMEM:
        SAY(r, "no table memory to change gfn 0x%" PRIx64 " in view %u", a->gfn.v, a->view.v);
        HINT(r, "raise shadow_memory in the domain's configuration, or destroy a view");
        return true;
    case ERANGE:
        SAY(r, "gfn 0x%" PRIx64 " has an access that cannot be expressed", a->gfn.v);
        HINT(r, "set an access first, then read it back");
        return true;
    case EINVAL:
        if (say_missing_view(t, a->view, r))
            return true;
        SAY(r, "this hypervisor does not accept that access for gfn 0x%" PRIx64, a->gfn.v);
        HINT(r, "an access that every processor has is one of: n r rx rwx");
        return true;
    default:
        return false;
    }
}

/* change_gfn says ESRCH for either gfn: find which. */
static void say_no_memory_at(const struct subop_target *t, const struct words_about *a,
                             struct words_refusal *r)
{
    uint16_t access;
    bool old_there = !subop_get_access(t, view(0), a->gfn, &access);

    if (old_there && a->new_gfn.v >= FACET_ALTP2M_SHADOW_BASE) {
        SAY(r, "there is no shadow page s%" PRIu64, a->new_gfn.v - FACET_ALTP2M_SHADOW_BASE);
        HINT(r, "make one: %s shadow new; turning altp2m off frees all", r->tool);
        return;
    }
    if (old_there && !subop_get_access(t, view(0), a->new_gfn, &access)) {
        SAY(r, "gfn 0x%" PRIx64 " or 0x%" PRIx64 " is not plain memory", a->gfn.v, a->new_gfn.v);
        HINT(r, "only a domain's ordinary writable memory can be remapped");
        return;
    }
    SAY(r, "gfn 0x%" PRIx64 " (%s) is a hole: there is no memory to remap",
        old_there ? a->new_gfn.v : a->gfn.v, old_there ? "NEW" : "OLD");
    HINT(r, "see /proc/iomem for a guest's memory; a gfn is an address divided by 4096");
}

static bool say_change_gfn(const struct subop_target *t, int err, const struct words_about *a,
                           struct words_refusal *r)
{
    switch (err) {
    case ESRCH:
        say_no_memory_at(t, a, r);
        return true;
    case EILSEQ:
        SAY(r, "gfn 0x%" PRIx64 " is device memory and cannot be remapped back", a->gfn.v);
        HINT(r, "destroy the view instead: %s destroy %u", r->tool, a->view.v);
        return true;
    case EINVAL:
        return say_missing_view(t, a->view, r);
    default:
        return say_no_tables(err, r);
    }
}

static bool say_ve(const struct subop_target *t, int err, const struct words_about *a,
                   struct words_refusal *r)
{
    if (err != EOPNOTSUPP)
        return say_access(t, err, a, r);
    SAY(r, "this hypervisor does not have sub-operations on the suppress-#VE bit");
    HINT(r, "they came with Xen 4.12; altp2m info tells what there is");
    return true;
}

static bool say_range(const struct subop_target *t, unsigned int cmd, int err,
                      const struct words_about *a, struct words_refusal *r)
{
    if (err != EINVAL)
        return say_access(t, err, a, r);
    if (say_missing_view(t, a->view, r))
        return true;
    if (cmd == FACET_ALTP2M_isolate && a->view.v == 0) {
        SAY(r, "view 0 is the host's, where the other views' access is set");
        HINT(r, "isolate pages in a view of their own: %s create", r->tool);
        return true;
    }
    SAY(r, "the range goes beyond the domain's physical addresses");
    HINT(r, "a gfn is an address divided by 4096");
    return true;
}

/* a->gfn is the vCPU's number. */
static bool say_switch_vcpu(const struct subop_target *t, int err, const struct words_about *a,
                            struct words_refusal *r)
{
    view_t on;

    if (err == EINVAL && subop_get_vcpu_view(t, (uint32_t)a->gfn.v, &on) == -EINVAL) {
        SAY(r, "there is no vCPU %" PRIu64, a->gfn.v);
        HINT(r, "see the vCPUs: %s info", r->tool);
        return true;
    }
    return say_switch(t, err, a->view, r);
}

static bool say_shadow(int err, const struct words_about *a, struct words_refusal *r)
{
    uint64_t number = a->gfn.v - FACET_ALTP2M_SHADOW_BASE;

    switch (err) {
    case ESRCH:
        SAY(r, "there is no memory at gfn 0x%" PRIx64 " to copy", a->gfn.v);
        HINT(r, "see /proc/iomem for a guest's memory; a gfn is an address divided by 4096");
        return true;
    case ENOENT:
        SAY(r, "there is no shadow page s%" PRIu64, number);
        HINT(r, "make one: %s shadow new; turning altp2m off frees all", r->tool);
        return true;
    case EBUSY:
        SAY(r, "a view shows shadow page s%" PRIu64, number);
        HINT(r, "take it back first: %s overrides V tells where, %s unremap V GFN", r->tool,
             r->tool);
        return true;
    default:
        return say_no_tables(err, r);
    }
}

static bool say_own(const struct subop_target *t, unsigned int cmd, int err,
                    const struct words_about *a, struct words_refusal *r)
{
    switch (cmd) {
    case HVMOP_altp2m_set_domain_state:
        return say_no_tables(err, r);
    case HVMOP_altp2m_create_p2m:
        return say_create(t, err, r);
    case HVMOP_altp2m_destroy_p2m:
        return say_destroy(t, err, a->view, r);
    case HVMOP_altp2m_switch_p2m:
        return say_switch(t, err, a->view, r);
    case HVMOP_altp2m_set_mem_access:
    case HVMOP_altp2m_get_mem_access:
    case HVMOP_altp2m_set_mem_access_multi:
        return say_access(t, err, a, r);
    case HVMOP_altp2m_change_gfn:
        return say_change_gfn(t, err, a, r);
    case HVMOP_altp2m_set_suppress_ve:
    case HVMOP_altp2m_get_suppress_ve:
        return say_ve(t, err, a, r);
    case FACET_ALTP2M_set_range:
    case FACET_ALTP2M_isolate:
        return say_range(t, cmd, err, a, r);
    case FACET_ALTP2M_switch_vcpu:
        return say_switch_vcpu(t, err, a, r);
    case FACET_ALTP2M_shadow_create:
    case FACET_ALTP2M_shadow_destroy:
    case FACET_ALTP2M_shadow_copy:
        return say_shadow(err, a, r);
    case FACET_ALTP2M_get_overrides:
    case FACET_ALTP2M_host_changes:
    case HVMOP_altp2m_set_visibility:
        return err == EINVAL && say_missing_view(t, a->view, r);
    default:
        return false;
    }
}

static void say_unknown(unsigned int cmd, int err, struct words_refusal *r)
{
    char buf[24];

    if (err == EOPNOTSUPP) {
        SAY(r, "this hypervisor does not have sub-operation %u (%s)", cmd, subop_name(cmd));
        HINT(r, "altp2m info tells which it has");
        return;
    }
    SAY(r, "%s failed: %s (%s)", subop_name(cmd), strerror(err), words_errno(err, buf));
    HINT(r, "look into the hypervisor's log");
}

void words_explain(const struct subop_target *t, unsigned int cmd, int err,
                   const struct words_about *a, struct words_refusal *r)
{
    r->err = -err;
    if (t->domid == DOMID_SELF)
        snprintf(r->tool, sizeof(r->tool), "altp2m");
    else
        snprintf(r->tool, sizeof(r->tool), "altp2m -d %u", t->domid);
    if (!say_common(t, cmd, r->err, r) && !say_own(t, cmd, r->err, a, r))
        say_unknown(cmd, r->err, r);
}
