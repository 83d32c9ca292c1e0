/* SPDX-License-Identifier: MIT */
/* What a domain does to those that it makes: made.h. The caller has its right to it. */
#include "made.h"
#include "core/platform.h"
#include "domctl_abi.h"
#include "layout.h"
#include "mm/frame.h"
#include "vcpu/vendor.h"
#include <stdio.h>
#include <string.h>

/* ---- creating ---- */

static long check(const struct xen_domctl_createdomain *c)
{
    uint32_t needs = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap;

    if ((c->flags & needs) != needs || (c->flags & ~(needs | XEN_DOMCTL_CDF_oos_off)) ||
        c->iommu_opts || c->vmtrace_size || c->arch.misc_flags ||
        c->arch.emulation_flags != XEN_X86_EMU_LAPIC || c->cpupool_id) {
        return -EOPNOTSUPP; /* no PV, no shadow tables, no device model */
    }
    if (c->max_vcpus == 0 || c->max_vcpus > DOMAIN_VCPUS ||
        c->max_grant_frames > (int32_t)GRANT_FRAMES) {
        return -EINVAL;
    }
    return 0;
}

static void limit(struct guest_domain *g, const struct xen_domctl_createdomain *c)
{
    if (c->max_grant_frames >= 0) {
        g->grant_most = (unsigned)c->max_grant_frames;
    }
    if (c->max_maptrack_frames >= 0 && c->max_maptrack_frames < (int32_t)GRANT_TRACK_FRAMES) {
        g->grant_track_most = (unsigned)c->max_maptrack_frames;
    }
}

/* Xen's calls give a domain's mode of altp2m. How many views and by which policy is what its
 * maker's own configuration says. */
static void inherit(struct domain_config *c, const struct domain_config *from)
{
    c->altp2m_count = from->altp2m_count;
    c->altp2m_policy = from->altp2m_policy;
    c->altp2m_allow = from->altp2m_allow;
    c->altp2m_deny = from->altp2m_deny;
    c->altp2m_guest_views = from->altp2m_guest_views;
    c->altp2m_guest_tables = from->altp2m_guest_tables;
    c->altp2m_trace = from->altp2m_trace;
    c->altp2m_narrow = from->altp2m_narrow;
}

static struct domain *empty(struct domain *by, unsigned id, const struct xen_domctl_createdomain *c)
{
    mfn_t m = frame_alloc(FRAME_OWNER_HV, 0);
    struct domain_config config = {.domid = id, .vcpus = c->max_vcpus, .cmdline = ""};
    struct domain *d;

    if (mfn_eq(m, MFN_INVALID)) {
        return NULL;
    }
    snprintf(config.name, sizeof(config.name), "domain-%u", id);
    inherit(&config, domain_config_of(by));
    d = builder_empty(&config);
    if (!d) {
        frame_put(m);
        return NULL;
    }
    d->guest.made = frame_virt(m);
    d->guest.made->maker = by->id;
    d->guest.made->emulation = c->arch.emulation_flags;
    memcpy(d->guest.made->handle, c->handle, sizeof(d->guest.made->handle));
    limit(&d->guest, c);
    d->guest.monitor.pauses[by->id] = 1; /* until the first unpause */
    domain_add_made(d);
    *domain_config_of(d) = config;
    return d;
}

long made_create(struct domain *by, const struct xen_domctl_createdomain *c, uint16_t *domid)
{
    bool any = *domid == 0 || *domid >= DOMID_FIRST_RESERVED;
    long error = check(c);
    unsigned id;

    if (error) {
        return error;
    }
    id = domain_free_id(any ? 0 : *domid);
    if (id == 0 && any && domains_ending()) {
        /* Who made and destroyed as many as there are in one slice left no time to take them apart.
         */
        sched_yield(vcpu_current());
        return -ERESTART;
    }
    if (id == 0) {
        return any ? -ENOMEM : -EEXIST;
    }
    if (!empty(by, id, c)) {
        return -ENOMEM;
    }
    *domid = (uint16_t)id;
    return 0;
}

/* A call that waits for the end of a domain says so in the second argument, which destroydomain
 * does not have. */
static uint64_t waits_for(unsigned domid)
{
    return 0xfacedd1eULL << 16 | domid;
}

static long wait_for_end(struct hypercall *h, unsigned domid)
{
    if (!domain_ending(domid)) {
        return 0;
    }
    h->arg[1] = waits_for(domid);
    sched_yield(vcpu_current());
    return -ERESTART;
}

long made_destroy(struct hypercall *h, struct domain *d)
{
    domain_destroy(d);
    return wait_for_end(h, d->id);
}

bool made_ends(struct hypercall *h, unsigned domid, long *result)
{
    if (!h->v->domain->guest.control || h->arg[1] != waits_for(domid)) {
        return false;
    }
    *result = wait_for_end(h, domid);
    return true;
}

long made_set_vcpus(struct domain *d, unsigned nr)
{
    return nr == domain_config_of(d)->vcpus ? 0 : -EINVAL;
}

/* Once it is whole its map has the tables for so much; who asks for more gets that much. Monitors
 * ask for all that there is, and Xen agrees. */
long made_set_memory(struct domain *d, uint64_t kib)
{
    struct domain_config *c = domain_config_of(d);

    if (d->guest.made->whole) {
        kib = kib < c->memory_kib ? kib : c->memory_kib;
    } else if (kib > (uint64_t)DOMAIN_MEMORY_MAX << 10) {
        return -EINVAL;
    } else {
        c->memory_kib = kib;
    }
    d->memory_pages = kib >> 2;
    return 0;
}

/* RAM and what else there is below 4 GiB, or behind it. */
static void place(struct domain *d, uint64_t memory)
{
    struct guest_domain *g = &d->guest;

    g->low_end = layout_low_end(memory);
    g->high_end = layout_high_end(memory);
    g->acpi_gfn = layout_page_up(g->low_end) >> PAGE_SHIFT;
    g->ram_end_gfn = (g->high_end ? g->high_end : GUEST_HIGH_RAM) >> PAGE_SHIFT;
}

/*
 * libxl asks for a page for each MiB. Where page walks are writes, a vCPU whose tables a view
 * protects needs a mirror of them (vcpu/mirror.h), and has what that takes, as a domain of the
 * machine's description has.
 */
static uint64_t tables_kib(const struct domain_config *c, uint64_t bytes)
{
    return (bytes >> 10) +
           (c->altp2m_mode && vendor_caps.walks_write ? VCPU_TABLES_KIB * c->vcpus : 0);
}

long made_set_tables(struct domain *d, uint64_t bytes)
{
    struct domain_config *c = domain_config_of(d);
    struct made *m = d->guest.made;

    if (m->whole) {
        return bytes == m->tables ? 0 : -EBUSY;
    }
    if ((bytes & ~PAGE_MASK) || bytes == 0 || bytes >> 10 > (uint64_t)DOMAIN_MEMORY_MAX << 10 ||
        c->memory_kib < 1024) {
        return -EINVAL;
    }
    c->altp2m_mode = (unsigned)d->guest.params[HVM_PARAM_ALTP2M];
    c->altp2m_count = c->altp2m_mode ? c->altp2m_count : 0;
    m->tables = bytes;
    c->table_kib = tables_kib(c, bytes);
    if (layout_host_reserve(c->memory_kib << 10) + (c->table_kib >> 2) + 64 > frame_free_count()) {
        return -ENOMEM;
    }
    place(d, c->memory_kib << 10);
    if (d->nr_vcpus > 0 || !builder_equip(d, c)) {
        return -ENOMEM; /* all that is left is to destroy it */
    }
    m->whole = true;
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        for (unsigned n = 0; n < d->guest.monitor.pauses[m->maker]; n++) {
            sched_pause(d->vcpus[i]);
        }
    }
    return 0;
}

void made_start(struct domain *d, const struct domain *by)
{
    struct guest_domain *g = &d->guest;
    uint64_t owned = frame_owned(d->owner);

    if (made_fills(by, d)) {
        g->made->started = true;
        g->extra_pages = owned > d->memory_pages ? owned - d->memory_pages : 0;
    }
}

/* ---- filling ---- */

/* As large as it was asked for; its maker asks for less where that cannot be. Nobody ran on the
 * map yet, and no view has anything of it. */
bool made_populate(struct domain *d, uint64_t g, unsigned order)
{
    uint64_t nr = 1ULL << order;
    struct mapping is;
    mfn_t m;

    if ((order != ORDER_4K && order != ORDER_2M) || (g & (nr - 1)) ||
        frame_owned(d->owner) + nr > memory_most(d, true) || g + nr > d->guest.ram_end_gfn) {
        return false;
    }
    for (uint64_t i = 0; i < nr; i++) {
        if (hostmap_lookup(&d->physmap, gfn(g + i), &is)) {
            return false;
        }
    }
    m = frame_alloc(d->owner, order);
    if (mfn_eq(m, MFN_INVALID)) {
        return false;
    }
    if (hostmap_map(&d->physmap, gfn(g), m, order, MAP_RAM, XENMEM_access_rwx) != 0) {
        frame_put_run(m, nr);
        return false;
    }
    d->guest.ram_pages += nr;
    d->guest.made->claim -= d->guest.made->claim < nr ? d->guest.made->claim : nr;
    if (g + nr - 1 > d->guest.max_gfn) {
        d->guest.max_gfn = g + nr - 1;
    }
    return true;
}

/* What a memory op about another domain is asked with: by 64-bit callers. */
static long copy_args(struct hypercall *h, void *a, size_t n)
{
    return h->compat ? -EPERM : copy_in(h, a, h->arg[1], n) != 0 ? -EFAULT : 0;
}

#define MAP_ENTRY 20u /* bytes, in the format of the BIOS call */

static int copy_map(struct hypercall *h, const struct xen_memory_map *from,
                    struct hvm_memmap_table_entry *map)
{
    int error = 0;

    memset(map, 0, MADE_MAP_MAX * sizeof(*map));
    for (uint32_t i = 0; !error && i < from->nr_entries; i++) {
        error = copy_in(h, &map[i], (uint64_t)from->buffer.p + MAP_ENTRY * i, MAP_ENTRY);
    }
    return error;
}

long made_set_map(struct hypercall *h)
{
    struct hvm_memmap_table_entry map[MADE_MAP_MAX];
    struct xen_foreign_memory_map a;
    struct domain *d;
    long error;

    error = copy_args(h, &a, sizeof(a));
    error = error ? error : domain_target(h->v, a.domid, &d);
    if (error) {
        return error;
    }
    error = !made_fills(h->v->domain, d)      ? -EPERM
            : a.map.nr_entries > MADE_MAP_MAX ? -EINVAL
                                              : copy_map(h, &a.map, map);
    if (!error) {
        memcpy(d->guest.made->map, map, sizeof(map));
        d->guest.made->nr_map = a.map.nr_entries;
    }
    domain_put(d);
    return error;
}

/* Whether there is so much; others may still be first. */
long made_claim(struct hypercall *h)
{
    struct xen_memory_reservation a;
    struct domain *d;
    long error;

    error = copy_args(h, &a, sizeof(a));
    error = error ? error : domain_target(h->v, a.domid, &d);
    if (error) {
        return error;
    }
    if (!made_fills(h->v->domain, d)) {
        error = -EPERM;
    } else if (a.extent_start.p || a.extent_order || a.mem_flags) {
        error = -EINVAL;
    } else if (a.nr_extents > d->guest.ram_pages &&
               a.nr_extents - d->guest.ram_pages > frame_free_count()) {
        error = -ENOMEM;
    } else {
        d->guest.made->claim =
            a.nr_extents > d->guest.ram_pages ? a.nr_extents - d->guest.ram_pages : 0;
    }
    domain_put(d);
    return error;
}

/* No memory comes into being when it is touched: a target is for the domain's own balloon, and what
 * it has is what it was given. */
long made_target(struct hypercall *h, bool set)
{
    struct xen_pod_target a;
    struct domain *d;
    long error;

    error = copy_args(h, &a, sizeof(a));
    error = error ? error : domain_target(h->v, a.domid, &d);
    if (error) {
        return error;
    }
    if (d == h->v->domain) {
        error = -EPERM;
    } else if (set && a.target_pages > d->memory_pages) {
        error = -EINVAL;
    } else {
        a.tot_pages = d->guest.ram_pages;
        a.pod_cache_pages = a.pod_entries = 0;
        error = copy_out(h, h->arg[1], &a, sizeof(a));
    }
    domain_put(d);
    return error;
}

/* ---- its grant table, for who makes entries in its name ---- */

#define FRAMES_AT_ONCE 32u

static long show_frame(struct domain *by, struct domain *d, uint64_t frame, uint64_t g)
{
    mfn_t m;
    long error;

    if (frame >= GRANT_FRAMES || g >> (cpuid_address_bits() - PAGE_SHIFT)) {
        return -EINVAL;
    }
    lock_acquire(&d->lock);
    error = grant_grow(d, (unsigned)frame + 1);
    m = d->guest.grant_frame[frame];
    lock_release(&d->lock);
    if (error) {
        return error;
    }
    if (!frame_get(m, FRAME_OWNER_HV)) {
        return -ENOMEM;
    }
    frame_to_foreign(m);
    lock_acquire(&by->lock);
    error = memory_replace(by, g, m, MAP_FOREIGN, XENMEM_access_rw);
    lock_release(&by->lock);
    if (error) {
        frame_put_foreign(m);
    }
    return error;
}

static long acquire(struct hypercall *h, struct domain *d, const struct xen_mem_acquire_resource *a)
{
    if (a->type != XENMEM_resource_grant_table || a->id != XENMEM_resource_grant_table_id_shared) {
        return -EOPNOTSUPP;
    }
    if (a->nr_frames > FRAMES_AT_ONCE) {
        return -E2BIG;
    }
    for (uint32_t i = 0; i < a->nr_frames; i++) {
        uint64_t g;
        long error = copy_in(h, &g, (uint64_t)a->frame_list.p + 8ULL * i, sizeof(g));

        error = error ? error : show_frame(h->v->domain, d, a->frame + i, g);
        if (error) {
            return error;
        }
    }
    return 0;
}

/* No list: how many there are. */
long made_acquire(struct hypercall *h)
{
    struct xen_mem_acquire_resource a;
    struct domain *d;
    long error;

    error = copy_args(h, &a, sizeof(a));
    error = error ? error : a.pad ? -EINVAL : domain_target(h->v, a.domid, &d);
    if (error) {
        return error;
    }
    if (d == h->v->domain || !d->guest.made) {
        error = -EPERM;
    } else if (!a.frame_list.p) {
        a.nr_frames = d->guest.grant_most;
        error = a.frame ? -EINVAL : copy_out(h, h->arg[1], &a, sizeof(a));
    } else {
        error = acquire(h, d, &a);
    }
    domain_put(d);
    return error;
}
