/* SPDX-License-Identifier: MIT */
/* sysctl: what tools of a domain with rights over others ask of the machine. */
#include "domctl_abi.h"
#include "made.h"
#include "lib/console.h"
#include "mm/frame.h"
#include "x86/smp.h"

/* One socket of cores, in one node. */
static void machine(struct xen_sysctl_physinfo *op)
{
    struct cpuid_result r;
    uint32_t *cap = op->hw_cap;
    static const struct {
        uint32_t leaf;
        uint8_t reg;
    } from[8] = {{1, 3},   {1, 2}, {0x80000001, 3}, {0x80000001, 2},
                 {0xd, 0}, {7, 1}, {7, 2},          {0x80000007, 3}};

    *op = (struct xen_sysctl_physinfo){
        .threads_per_core = 1,
        .cores_per_socket = smp_nr,
        .nr_cpus = smp_nr,
        .max_cpu_id = smp_nr - 1,
        .nr_nodes = 1,
        .cpu_khz = (uint32_t)time_tsc_khz(),
        .capabilities =
            XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap | XEN_SYSCTL_PHYSCAP_gnttab_v1,
        .total_pages = frame_total_count(),
        .free_pages = frame_free_count(),
        .max_mfn = frame_total_count(),
    };
    for (unsigned i = 0; i < 8; i++) {
        guest_cpuid(vcpu_current(), from[i].leaf, from[i].leaf == 0xd ? 1 : 0, &r);
        cap[i] = ((const uint32_t *)&r)[from[i].reg];
    }
}

static long topology(struct hypercall *h, struct xen_sysctl_cputopoinfo *op)
{
    uint32_t nr = op->num_cpus < smp_nr ? op->num_cpus : smp_nr;

    for (uint32_t i = 0; op->cputopo.p && i < nr; i++) {
        const xen_sysctl_cputopo_t t = {.core = i};

        if (copy_out(h, (uint64_t)op->cputopo.p + sizeof(t) * i, &t, sizeof(t)) != 0) {
            return -EFAULT;
        }
    }
    op->num_cpus = op->cputopo.p ? nr : smp_nr;
    return 0;
}

static long nodes(struct hypercall *h, struct xen_sysctl_numainfo *op)
{
    const xen_sysctl_meminfo_t m = {frame_total_count() << PAGE_SHIFT, frame_free_count()
                                                                           << PAGE_SHIFT};
    const uint32_t distance = 10;

    if (op->num_nodes > 0 &&
        ((op->meminfo.p && copy_out(h, (uint64_t)op->meminfo.p, &m, sizeof(m)) != 0) ||
         (op->distance.p &&
          copy_out(h, (uint64_t)op->distance.p, &distance, sizeof(distance)) != 0))) {
        return -EFAULT;
    }
    op->num_nodes = 1;
    return 0;
}

/* One pool of all processors. */
static long pool(struct hypercall *h, struct xen_sysctl_cpupool_op *op)
{
    uint64_t bits = smp_nr < 64 ? (1ULL << smp_nr) - 1 : ~0ULL;
    unsigned bytes = (op->cpumap.nr_bits + 7) / 8;

    if (op->op != XEN_SYSCTL_CPUPOOL_OP_INFO && op->op != XEN_SYSCTL_CPUPOOL_OP_FREEINFO) {
        return -EOPNOTSUPP;
    }
    if (op->op == XEN_SYSCTL_CPUPOOL_OP_FREEINFO) {
        bits = 0;
    } else if (op->cpupool_id > 0) {
        return -ENOENT;
    }
    op->sched_id = XEN_SCHEDULER_CREDIT2;
    op->n_dom = domains_count();
    return copy_out(h, (uint64_t)op->cpumap.bitmap.p, &bits, bytes < 8 ? bytes : 8);
}

#define CONSOLE_CHUNK 128u

/* Everybody's output is in it: for who makes domains, or controls all. */
static long read_console(struct hypercall *h, struct xen_sysctl_readconsole *op)
{
    const struct guest_domain *g = &h->v->domain->guest;
    uint32_t at = op->incremental ? op->index : console_kept(), done = 0;
    char text[CONSOLE_CHUNK];
    size_t n = 1;

    if (!g->control && !g->monitor.controls_all) {
        return -EPERM;
    }
    while (done < op->count && n > 0) {
        size_t most = op->count - done < sizeof(text) ? op->count - done : sizeof(text);

        n = done < CONSOLE_KEPT ? console_read(&at, text, most) : 0;
        if (copy_out(h, (uint64_t)op->buffer.p + done, text, n) != 0) {
            return -EFAULT;
        }
        done += (uint32_t)n;
    }
    if (op->clear) {
        console_forget(at);
    }
    op->count = done;
    op->index = at;
    return 0;
}

static bool offers(uint32_t cmd)
{
    return cmd == XEN_SYSCTL_getdomaininfolist || cmd == XEN_SYSCTL_physinfo ||
           cmd == XEN_SYSCTL_sched_id || cmd == XEN_SYSCTL_cputopoinfo ||
           cmd == XEN_SYSCTL_numainfo || cmd == XEN_SYSCTL_cpupool_op ||
           cmd == XEN_SYSCTL_get_cpu_policy || cmd == XEN_SYSCTL_get_cpu_featureset ||
           cmd == XEN_SYSCTL_readconsole;
}

static long perform(struct hypercall *h, struct xen_sysctl *op)
{
    switch (op->cmd) {
    case XEN_SYSCTL_physinfo:
        machine(&op->u.physinfo);
        return 0;
    case XEN_SYSCTL_sched_id:
        op->u.sched_id.sched_id =
            XEN_SCHEDULER_CREDIT2; /* whose words say the least that is wrong */
        return 0;
    case XEN_SYSCTL_cputopoinfo:
        return topology(h, &op->u.cputopoinfo);
    case XEN_SYSCTL_numainfo:
        return nodes(h, &op->u.numainfo);
    case XEN_SYSCTL_cpupool_op:
        return pool(h, &op->u.cpupool_op);
    case XEN_SYSCTL_get_cpu_policy:
        return policy_get(h, &op->u.cpu_policy);
    case XEN_SYSCTL_get_cpu_featureset:
        return policy_features(h, &op->u.cpu_featureset);
    case XEN_SYSCTL_readconsole:
        return read_console(h, &op->u.readconsole);
    default:
        return domctl_list(h, &op->u.getdomaininfolist);
    }
}

long sysctl(struct hypercall *h)
{
    struct xen_sysctl op;
    long error;

    if (h->compat) {
        return -EPERM;
    }
    if (copy_in(h, &op, h->arg[0], sizeof(op)) != 0) {
        return -EFAULT;
    }
    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION) {
        return -EACCES;
    }
    if (!domctl_privileged(h->v->domain)) {
        return -EPERM;
    }
    if (!offers(op.cmd)) {
        domctl_log_once(h, "sysctl", op.cmd);
        return -ENOSYS;
    }
    error = perform(h, &op);
    return !error && copy_out(h, h->arg[0], &op, sizeof(op)) != 0 ? -EFAULT : error;
}
