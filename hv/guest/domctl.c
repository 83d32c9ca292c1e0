/* SPDX-License-Identifier: MIT */
/*
 * domctl and dm_op: what a monitor needs of them, and who makes domains. The order of checks is
 * Xen's: the version, then the domain, then the privilege. What is not here is -ENOSYS to those who
 * may ask, once on the console.
 */
#include "core/altp2m.h"
#include "domctl_abi.h"
#include "lib/console.h"
#include "made.h"
#include "monitor.h"
#include "x86/smp.h"
#include <string.h>

_Static_assert(XEN_DOMCTL_INTERFACE_VERSION == 0x15 && XEN_SYSCTL_INTERFACE_VERSION == 0x15,
               "Xen 4.17");
_Static_assert(offsetof(struct xen_domctl, u) == 16 && sizeof(struct xen_domctl) == 144,
               "domctl.h");
_Static_assert(sizeof(struct xen_domctl_getdomaininfo) <= 128, "domctl.h");

void domctl_log_once(const struct hypercall *h, const char *call, unsigned cmd)
{
    static uint64_t said[4];
    uint64_t bit = 1ULL << (cmd & 63), *word = &said[(cmd >> 6) & 1];

    word += call[0] == 's' ? 2 : 0;
    if (!(*word & bit)) {
        *word |= bit;
        domain_say(h->v->domain, "d%u %s asked for %s %u: not offered", h->v->domain->id,
                   h->v->domain->name, call, cmd);
    }
}

/* ---- facts about a domain ---- */

static uint32_t info_flags(const struct domain *d)
{
    uint32_t flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;
    bool runs = false, paused = true;

    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        runs = runs || (d->vcpus[i]->state == VCPU_RUNNABLE && d->vcpus[i]->paused == 0);
    }
    for (unsigned i = 0; i < MONITOR_DOMAINS && paused; i++) {
        paused = d->guest.monitor.pauses[i] == 0;
    }
    flags |= paused ? 0 : XEN_DOMINF_paused;
    if (d->dying && d->guest.shutdown_reason == DOMAIN_DESTROYED) {
        return flags | XEN_DOMINF_dying;
    }
    if (d->dying) {
        return flags | XEN_DOMINF_shutdown |
               (d->guest.shutdown_reason & XEN_DOMINF_shutdownmask) << XEN_DOMINF_shutdownshift;
    }
    return flags | (runs ? XEN_DOMINF_running : XEN_DOMINF_blocked);
}

static void fill_info(const struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    *info = (struct xen_domctl_getdomaininfo){
        .domain = d->id,
        .flags = info_flags(d),
        .tot_pages = d->guest.ram_pages,
        .max_pages = d->memory_pages,
        .shared_info_frame = d->guest.shared_gfn.v,
        .max_vcpu_id = d->nr_vcpus > 0 ? d->nr_vcpus - 1 : XEN_INVALID_MAX_VCPU_ID,
        .gpaddr_bits = (uint8_t)cpuid_address_bits(),
    };
    info->handle[15] = (uint8_t)d->id;
    if (d->guest.made) {
        memcpy(info->handle, d->guest.made->handle, sizeof(info->handle));
        info->outstanding_pages = d->guest.made->claim;
        info->arch_config.emulation_flags = d->guest.made->emulation;
    }
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        struct vcpu_runstate_info r;

        guest_runstate_read(d->vcpus[i], &r);
        info->cpu_time += r.time[RUNSTATE_running];
        info->nr_online_vcpus += d->vcpus[i]->state != VCPU_OFFLINE;
    }
}

/* The first domain from `domid` on that the caller may know about, pinned. */
static struct domain *next_domain(const struct hypercall *h, unsigned domid)
{
    for (; domid <= DOMAIN_MAX; domid++) {
        struct domain *d = domain_get_any(domid);

        if (d && (d == h->v->domain || domain_may_control(h->v->domain, d))) {
            return d;
        }
        if (d) {
            domain_put(d);
        }
    }
    return NULL;
}

bool domctl_privileged(const struct domain *d)
{
    return d->guest.control || d->guest.monitor.controls_all || d->guest.monitor.controls_size > 0;
}

static long getdomaininfo(struct hypercall *h, struct xen_domctl *op)
{
    struct domain *d;

    if (!domctl_privileged(h->v->domain)) {
        return -EPERM;
    }
    d = next_domain(h, op->domain);
    if (!d) {
        return -ESRCH;
    }
    fill_info(d, &op->u.getdomaininfo);
    op->domain = d->id;
    domain_put(d);
    return 0;
}

/* ---- domains that the caller makes ---- */

/* As many bits as the caller has room for: each processor. */
static int all_processors(struct hypercall *h, const struct xenctl_bitmap *map)
{
    uint64_t bits = smp_nr < 64 ? (1ULL << smp_nr) - 1 : ~0ULL;
    unsigned bytes = (map->nr_bits + 7) / 8;

    bits &= map->nr_bits < 64 ? (1ULL << map->nr_bits) - 1 : ~0ULL;
    return copy_out(h, (uint64_t)map->bitmap.p, &bits, bytes < 8 ? bytes : 8);
}

/* Any vCPU may run anywhere: what is asked for is answered with that. */
static long affinity(struct hypercall *h, const struct domain *d,
                     const struct xen_domctl_vcpuaffinity *a)
{
    int error = a->vcpu >= d->nr_vcpus && a->vcpu >= domain_config_of(d)->vcpus ? -EINVAL : 0;

    if (!error && (a->flags & XEN_VCPUAFFINITY_HARD)) {
        error = all_processors(h, &a->cpumap_hard);
    }
    if (!error && (a->flags & XEN_VCPUAFFINITY_SOFT)) {
        error = all_processors(h, &a->cpumap_soft);
    }
    return error;
}

#define WEIGHT 256u /* everybody's */

/* Turns are equal; other weights and caps there are none. */
static long scheduling(struct xen_domctl_scheduler_op *op)
{
    if (op->sched_id != XEN_SCHEDULER_CREDIT2) {
        return -EINVAL;
    }
    switch (op->cmd) {
    case XEN_DOMCTL_SCHEDOP_getinfo:
        op->u.credit2.weight = WEIGHT;
        op->u.credit2.cap = 0;
        return 0;
    case XEN_DOMCTL_SCHEDOP_putinfo:
        return op->u.credit2.weight == WEIGHT && op->u.credit2.cap == 0 ? 0 : -EOPNOTSUPP;
    default:
        return -EOPNOTSUPP;
    }
}

static bool about_made(uint32_t cmd)
{
    switch (cmd) {
    case XEN_DOMCTL_destroydomain:
    case XEN_DOMCTL_max_vcpus:
    case XEN_DOMCTL_max_mem:
    case XEN_DOMCTL_setvcpuaffinity:
    case XEN_DOMCTL_setnodeaffinity:
    case XEN_DOMCTL_settscinfo:
    case XEN_DOMCTL_set_cpu_policy:
    case XEN_DOMCTL_scheduler_op:
    case XEN_DOMCTL_set_paging_mempool_size:
        return true;
    default:
        return false;
    }
}

/* What is asked of one that has ended and stands there, too. */
static bool about_ended(uint32_t cmd)
{
    return cmd == XEN_DOMCTL_pausedomain || cmd == XEN_DOMCTL_unpausedomain ||
           cmd == XEN_DOMCTL_getvcpuinfo || cmd == XEN_DOMCTL_getvcpuaffinity;
}

static long with_made(struct hypercall *h, struct domain *d, struct xen_domctl *op)
{
    switch (op->cmd) {
    case XEN_DOMCTL_pausedomain: /* it has ended: it does not run */
    case XEN_DOMCTL_unpausedomain:
        return 0;
    case XEN_DOMCTL_getvcpuinfo:
        return context_op(h, d, op);
    case XEN_DOMCTL_getvcpuaffinity:
        return affinity(h, d, &op->u.vcpuaffinity);
    case XEN_DOMCTL_max_vcpus:
        return made_set_vcpus(d, op->u.max_vcpus.max);
    case XEN_DOMCTL_max_mem:
        return made_set_memory(d, op->u.max_mem.max_memkb);
    case XEN_DOMCTL_set_paging_mempool_size:
        return made_set_tables(d, op->u.paging_mempool.size);
    case XEN_DOMCTL_setvcpuaffinity:
        return affinity(h, d, &op->u.vcpuaffinity);
    case XEN_DOMCTL_settscinfo: /* the machine's, which is what every mode but emulation gives */
        return op->u.tsc_info.tsc_mode == 1 ? -EOPNOTSUPP : 0;
    case XEN_DOMCTL_scheduler_op:
        return scheduling(&op->u.scheduler_op);
    case XEN_DOMCTL_set_cpu_policy:
        return policy_set(h, &op->u.cpu_policy);
    case XEN_DOMCTL_destroydomain:
        return made_destroy(h, d);
    default: /* setnodeaffinity: there is one node */
        return 0;
    }
}

/* The one that a call in about_made() names, in whatever state it is; false: not a made one, or not
 * the caller's. */
static bool find_made(struct hypercall *h, const struct xen_domctl *op, struct domain **out)
{
    bool made = about_made(op->cmd);
    struct domain *d = made || about_ended(op->cmd) ? domain_get_any(op->domain) : NULL;
    bool its = d && d->guest.made && (made || (d->dying && d->guest.made->whole)) &&
               domain_may_control(h->v->domain, d);

    if (d && !its) {
        domain_put(d);
    }
    *out = its ? d : NULL;
    return its;
}

/* ---- domctl ---- */

#define PAUSES_MOST 255u /* as on Xen */

static long pause(struct hypercall *h, struct domain *d, bool on)
{
    uint16_t *count = &d->guest.monitor.pauses[h->v->domain->id];

    if (d == h->v->domain || (!on && *count == 0)) {
        return -EINVAL;
    }
    if (on && *count == PAUSES_MOST) {
        return -EOVERFLOW;
    }
    *count = (uint16_t)(on ? *count + 1 : *count - 1);
    if (!on && *count == 0) {
        made_start(d, h->v->domain);
    }
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        if (on) {
            sched_pause(d->vcpus[i]);
        } else {
            sched_unpause(d->vcpus[i]);
        }
    }
    return 0;
}

static long vm_event_op(struct hypercall *h, struct domain *d, struct xen_domctl_vm_event_op *op)
{
    if (op->op == XEN_VM_EVENT_GET_VERSION) {
        op->u.version = VM_EVENT_INTERFACE_VERSION;
        return 0;
    }
    if (!d || d == h->v->domain) {
        return -EINVAL;
    }
    if (op->mode != XEN_DOMCTL_VM_EVENT_OP_MONITOR) {
        return op->mode >= 1 && op->mode <= 3 ? -EOPNOTSUPP : -ENOSYS;
    }
    switch (op->op) {
    case XEN_VM_EVENT_ENABLE:
        return vmevent_enable(d, h->v->domain, &op->u.enable.port);
    case XEN_VM_EVENT_DISABLE:
        vmevent_disable(d);
        return 0;
    case XEN_VM_EVENT_RESUME:
        if (!d->guest.monitor.ring) {
            return -ENODEV;
        }
        vmevent_resume(d);
        return 0;
    default:
        return -ENOSYS;
    }
}

static long monitor_op(struct hypercall *h, struct domain *d, struct xen_domctl_monitor_op *op)
{
    long error;

    if (d == h->v->domain) {
        return -EPERM;
    }
    lock_acquire(&d->lock);
    error = monitor_control(d, op);
    lock_release(&d->lock);
    return error;
}

static long debug_op(struct hypercall *h, struct domain *d, const struct xen_domctl_debug_op *op)
{
    bool on = op->op == XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON;
    struct vcpu *v;

    if (d == h->v->domain || op->vcpu >= d->nr_vcpus) {
        return -EINVAL;
    }
    if (op->op > XEN_DOMCTL_DEBUG_OP_SINGLE_STEP_ON) {
        return -ENOSYS;
    }
    v = d->vcpus[op->vcpu];
    v->guest.monitor.fast = false;
    v->guest.monitor.stepper = (uint16_t)(on ? h->v->domain->id + 1 : 0);
    vcpu_step(v, on);
    return 0;
}

/* As Xen: what a gfn is, in place of its number; here a page or none. */
static long page_types(struct hypercall *h, struct domain *d,
                       struct xen_domctl_getpageframeinfo3 *op)
{
    uint64_t array = (uint64_t)op->array.p;

    if (op->num > 1024) {
        return -E2BIG;
    }
    for (uint64_t i = 0; i < op->num; i++) {
        struct mapping m;
        uint64_t g;

        if (copy_in(h, &g, array + 8 * i, 8) != 0) {
            return -EFAULT;
        }
        g = hostmap_lookup(&d->physmap, gfn(g), &m) && m.type == MAP_RAM ? XEN_DOMCTL_PFINFO_NOTAB
                                                                         : XEN_DOMCTL_PFINFO_XTAB;
        if (copy_out(h, array + 8 * i, &g, 8) != 0) {
            return -EFAULT;
        }
    }
    return 0;
}

static long perform(struct hypercall *h, struct domain *d, struct xen_domctl *op)
{
    switch (op->cmd) {
    case XEN_DOMCTL_pausedomain:
    case XEN_DOMCTL_unpausedomain:
        return pause(h, d, op->cmd == XEN_DOMCTL_pausedomain);
    case XEN_DOMCTL_vm_event_op:
        return vm_event_op(h, d, &op->u.vm_event_op);
    case XEN_DOMCTL_monitor_op:
        return monitor_op(h, d, &op->u.monitor_op);
    case XEN_DOMCTL_debug_op:
        return debug_op(h, d, &op->u.debug_op);
    case XEN_DOMCTL_set_access_required:
        if (d == h->v->domain) {
            return -EPERM;
        }
        d->guest.monitor.access_required = op->u.access_required.access_required;
        return 0;
    case XEN_DOMCTL_getpageframeinfo3:
        return page_types(h, d, &op->u.getpageframeinfo3);
    case XEN_DOMCTL_get_address_size:
        op->u.address_size.size = 64;
        return 0;
    case XEN_DOMCTL_get_paging_mempool_size:
        op->u.paging_mempool.size = (uint64_t)d->guest.pool_pages << PAGE_SHIFT;
        return 0;
    case XEN_DOMCTL_getvcpuaffinity:
        return affinity(h, d, &op->u.vcpuaffinity);
    case XEN_DOMCTL_max_mem: /* a monitor's own pages have their room already (memory.c) */
        return 0;
    default:
        if (context_offers(op->cmd)) {
            return context_op(h, d, op);
        }
        domctl_log_once(h, "domctl", op->cmd);
        return -ENOSYS;
    }
}

static bool copied_back(uint32_t cmd)
{
    return cmd == XEN_DOMCTL_getdomaininfo || cmd == XEN_DOMCTL_vm_event_op ||
           cmd == XEN_DOMCTL_monitor_op || cmd == XEN_DOMCTL_get_address_size ||
           cmd == XEN_DOMCTL_get_paging_mempool_size || cmd == XEN_DOMCTL_createdomain ||
           cmd == XEN_DOMCTL_scheduler_op || context_offers(cmd);
}

static long for_domain(struct hypercall *h, struct xen_domctl *op)
{
    struct domain *d = NULL;
    long error;

    if (op->cmd == XEN_DOMCTL_destroydomain && made_ends(h, op->domain, &error)) {
        return error;
    }
    if (find_made(h, op, &d)) {
        error = with_made(h, d, op);
        domain_put(d);
        return error;
    }
    if (op->domain != DOMID_INVALID || op->cmd != XEN_DOMCTL_vm_event_op) {
        d = domain_get(op->domain == DOMID_SELF ? h->v->domain->id : op->domain);
        if (!d) {
            return -ESRCH;
        }
    }
    if (!domctl_privileged(h->v->domain) ||
        (d && d != h->v->domain && !domain_may_control(h->v->domain, d))) {
        error = -EPERM;
    } else {
        error =
            !d && op->u.vm_event_op.op != XEN_VM_EVENT_GET_VERSION ? -EINVAL : perform(h, d, op);
    }
    if (d) {
        domain_put(d);
    }
    return error;
}

long domctl(struct hypercall *h)
{
    struct xen_domctl op;
    long error;

    if (h->compat) {
        return -EPERM; /* a 32-bit monitor is not supported */
    }
    if (copy_in(h, &op, h->arg[0], sizeof(op)) != 0) {
        return -EFAULT;
    }
    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION) {
        return -EACCES;
    }
    if (op.cmd == XEN_DOMCTL_createdomain) {
        error = h->v->domain->guest.control
                    ? made_create(h->v->domain, &op.u.createdomain, &op.domain)
                    : -EPERM;
    } else {
        error = op.cmd == XEN_DOMCTL_getdomaininfo ? getdomaininfo(h, &op) : for_domain(h, &op);
    }
    if (!error && copied_back(op.cmd) && copy_out(h, h->arg[0], &op, sizeof(op)) != 0) {
        return -EFAULT;
    }
    return error;
}

/* ---- the list of domains ---- */

long domctl_list(struct hypercall *h, struct xen_sysctl_getdomaininfolist *op)
{
    uint64_t buffer = (uint64_t)op->buffer.p;
    unsigned next = op->first_domain;

    op->num_domains = 0;
    for (uint32_t i = 0; i < op->max_domains; i++) {
        struct domain *d = next_domain(h, next);
        struct xen_domctl_getdomaininfo info;

        if (!d) {
            break;
        }
        fill_info(d, &info);
        next = d->id + 1u;
        domain_put(d);
        if (copy_out(h, buffer + i * sizeof(info), &info, sizeof(info)) != 0) {
            return -EFAULT;
        }
        op->num_domains++;
    }
    return 0;
}

/* ---- dm_op: raising an event in the watched guest ---- */

static long inject_event(struct domain *d, const struct xen_dm_op_inject_event *e)
{
    if (e->pad0 || e->pad1 || e->vcpuid >= d->nr_vcpus) {
        return -EINVAL;
    }
    /* Types are enum event_type; software ones need the length of the instruction. */
    if (e->type > EVENT_SW_EXC || e->type == 1 || (e->type == 2 && e->vector != 2) ||
        (e->type == 3 && e->vector > 31) ||
        (e->type >= 4 && (e->insn_len == 0 || e->insn_len > 15))) {
        return -EINVAL;
    }
    return vcpu_inject_event(d->vcpus[e->vcpuid], &(struct event){.vector = (uint8_t)e->vector,
                                                                  .type = (uint8_t)e->type,
                                                                  .length = (uint8_t)e->insn_len,
                                                                  .error = e->error_code,
                                                                  .cr2 = e->cr2});
}

long dm_op(struct hypercall *h)
{
    struct xen_dm_op op = {0};
    struct domain *d;
    uint64_t buffer[2]; /* struct xen_dm_op_buf: address, size */
    long error;

    if (h->compat || (uint32_t)h->arg[1] < 1) {
        return -EINVAL;
    }
    error = domain_target(h->v, (uint16_t)h->arg[0], &d);
    if (error) {
        return error;
    }
    if (d == h->v->domain) {
        error = -EPERM;
    } else if (copy_in(h, buffer, h->arg[2], sizeof(buffer)) != 0 ||
               copy_in(h, &op, buffer[0], buffer[1] < sizeof(op) ? buffer[1] : sizeof(op)) != 0) {
        error = -EFAULT;
    } else {
        error = op.pad                           ? -EINVAL
                : op.op == XEN_DMOP_inject_event ? inject_event(d, &op.u.inject_event)
                                                 : -EOPNOTSUPP;
    }
    domain_put(d);
    return error;
}
_Static_assert(sizeof(struct xen_dm_op_buf) == 16, "dm_op.h");
