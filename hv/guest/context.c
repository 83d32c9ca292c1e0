/* SPDX-License-Identifier: MIT */
/*
 * The state of another domain's vCPUs, for its monitor: Xen's domctls for contexts, runstates and
 * the time stamp counter. Checks are in Xen's order. With one processor the target does not run
 * meanwhile; what it was interrupted in is done.
 */
#include "vcpu/context.h"
#include "domctl_abi.h"
#include "made.h"
#include "monitor.h"
#include "mm/frame.h"
#include "x86/cpu.h"
#include "x86/timer.h"
#include <string.h>
#include <xen/hvm/save.h>

#define CODE_HEADER HVM_SAVE_CODE(HEADER)
#define CODE_CPU    HVM_SAVE_CODE(CPU)
#define CODE_MTRR   HVM_SAVE_CODE(MTRR)
#define CODE_XSAVE  CPU_XSAVE_CODE
#define CODE_END    HVM_SAVE_CODE(END)

_Static_assert(sizeof(struct hvm_save_descriptor) == 8 && sizeof(struct hvm_save_header) == 24 &&
                   sizeof(struct hvm_hw_mtrr) == 240 &&
                   offsetof(struct hvm_hw_cpu_xsave, save_area) == 24 && CODE_CPU == 2 &&
                   CODE_MTRR == 14,
               "hvm/save.h");
_Static_assert(offsetof(struct vcpu_guest_context, user_regs) == 520 &&
                   offsetof(struct vcpu_guest_context, trap_ctxt) == 720 &&
                   offsetof(struct vcpu_guest_context, ldt_base) == 4816 &&
                   offsetof(struct vcpu_guest_context, debugreg) == 5048 &&
                   sizeof(struct vcpu_guest_context) == 5168,
               "arch-x86/xen.h");

static struct vcpu *vcpu_of(struct domain *d, uint32_t index)
{
    return index < d->nr_vcpus ? d->vcpus[index] : NULL;
}

/* The registers that an answer set, and that the guest has not run with yet, become its own now. */
static void settle(struct vcpu *v)
{
    struct monitor_vcpu *m = &v->guest.monitor;

    if (m->orders.set_registers) {
        m->orders.set_registers = false;
        if (!vcpu_context_registers(v, m->orders.registers)) {
            monitor_registers_refused(v);
        }
    }
}

/* A vCPU that never ran has no state yet; a context can be what it starts from. */
static void begin(struct vcpu *v)
{
    struct vcpu_start s;

    if (!v->guest.initialised) {
        vcpu_start_sipi(&s, 0);
        vcpu_reset(v, &s);
        v->guest.initialised = true;
    }
}

static void set_online(struct vcpu *v, bool on)
{
    if (on && v->state == VCPU_OFFLINE) {
        monitor_vcpu_restarts(v);
        sched_online(v);
    } else if (!on && v->state != VCPU_OFFLINE) {
        sched_offline(v); /* context_op() looks whether it was the last */
    }
}

/* ---- getvcpucontext, setvcpucontext: struct vcpu_guest_context ---- */

/* It is large and mostly empty: written in three parts. */
struct context_head {
    uint8_t fpu[512];
    uint64_t flags;
    struct cpu_user_regs regs;
};
#define TRAPS_AT     offsetof(struct vcpu_guest_context, trap_ctxt)
#define TAIL_AT      offsetof(struct vcpu_guest_context, ldt_base)
#define TAIL_WORDS   ((sizeof(struct vcpu_guest_context) - TAIL_AT) / 8)
#define TAIL(member) ((offsetof(struct vcpu_guest_context, member) - TAIL_AT) / 8)
_Static_assert(sizeof(struct context_head) == TRAPS_AT, "arch-x86/xen.h");

static void fill_head(const struct vcpu *v, const struct hvm_hw_cpu *c, struct context_head *h)
{
    *h = (struct context_head){.flags =
                                   VGCF_i387_valid | (v->state != VCPU_OFFLINE ? VGCF_online : 0),
                               .regs = {.rax = c->rax,
                                        .rbx = c->rbx,
                                        .rcx = c->rcx,
                                        .rdx = c->rdx,
                                        .rbp = c->rbp,
                                        .rsi = c->rsi,
                                        .rdi = c->rdi,
                                        .rsp = c->rsp,
                                        .r8 = c->r8,
                                        .r9 = c->r9,
                                        .r10 = c->r10,
                                        .r11 = c->r11,
                                        .r12 = c->r12,
                                        .r13 = c->r13,
                                        .r14 = c->r14,
                                        .r15 = c->r15,
                                        .rip = c->rip,
                                        .rflags = c->rflags,
                                        .cs = (uint16_t)c->cs_sel,
                                        .ds = (uint16_t)c->ds_sel,
                                        .es = (uint16_t)c->es_sel,
                                        .fs = (uint16_t)c->fs_sel,
                                        .gs = (uint16_t)c->gs_sel,
                                        .ss = (uint16_t)c->ss_sel}};
    memcpy(h->fpu, c->fpu_regs, sizeof(h->fpu));
}

static void fill_tail(const struct hvm_hw_cpu *c, uint64_t *t)
{
    bool kernel = (c->ss_arbytes >> 5 & 3) == 0;

    memset(t, 0, TAIL_WORDS * 8);
    t[TAIL(ctrlreg[0])] = c->cr0;
    t[TAIL(ctrlreg[2])] = c->cr2;
    t[TAIL(ctrlreg[3])] = c->cr3;
    t[TAIL(ctrlreg[4])] = c->cr4;
    t[TAIL(debugreg[0])] = c->dr0;
    t[TAIL(debugreg[1])] = c->dr1;
    t[TAIL(debugreg[2])] = c->dr2;
    t[TAIL(debugreg[3])] = c->dr3;
    t[TAIL(debugreg[6])] = c->dr6;
    t[TAIL(debugreg[7])] = c->dr7;
    t[TAIL(fs_base)] = c->fs_base;
    t[TAIL(gs_base_kernel)] = kernel ? c->gs_base : c->shadow_gs;
    t[TAIL(gs_base_user)] = kernel ? c->shadow_gs : c->gs_base;
}

static long get_vcpu(struct hypercall *h, struct vcpu *v, uint64_t to)
{
    static const uint8_t zero[512];
    struct context_head head;
    uint64_t tail[TAIL_WORDS];
    struct hvm_hw_cpu c;

    if (!v->guest.initialised) {
        return -ENODATA;
    }
    settle(v);
    vcpu_context_get(v, &c);
    fill_head(v, &c, &head);
    fill_tail(&c, tail);
    if (copy_out(h, to, &head, sizeof(head)) != 0 ||
        copy_out(h, to + TAIL_AT, tail, sizeof(tail)) != 0) {
        return -EFAULT;
    }
    for (uint64_t at = TRAPS_AT; at < TAIL_AT; at += sizeof(zero)) {
        if (copy_out(h, to + at, zero, sizeof(zero)) != 0) {
            return -EFAULT;
        }
    }
    return 0;
}
_Static_assert((TAIL_AT - TRAPS_AT) % 512 == 0, "written in whole blocks");

/* What Xen takes of it for HVM guests: FPU if valid, general and debug registers, and whether the
 * vCPU is online. */
static void merge(struct hvm_hw_cpu *c, const struct context_head *h, const uint64_t *debug)
{
    const struct cpu_user_regs *r = &h->regs;

    if (h->flags & VGCF_i387_valid) {
        memcpy(c->fpu_regs, h->fpu, sizeof(c->fpu_regs));
    }
    c->rax = r->rax;
    c->rbx = r->rbx;
    c->rcx = r->rcx;
    c->rdx = r->rdx;
    c->rbp = r->rbp;
    c->rsi = r->rsi;
    c->rdi = r->rdi;
    c->rsp = r->rsp;
    c->r8 = r->r8;
    c->r9 = r->r9;
    c->r10 = r->r10;
    c->r11 = r->r11;
    c->r12 = r->r12;
    c->r13 = r->r13;
    c->r14 = r->r14;
    c->r15 = r->r15;
    c->rip = r->rip;
    c->rflags = r->rflags;
    c->dr0 = debug[0];
    c->dr1 = debug[1];
    c->dr2 = debug[2];
    c->dr3 = debug[3];
    c->dr6 = debug[6];
    c->dr7 = debug[7];
}

static long set_vcpu(struct hypercall *h, struct vcpu *v, uint64_t from)
{
    struct context_head head;
    struct hvm_hw_cpu c;
    uint64_t debug[8];

    if (from == 0) {
        return -EOPNOTSUPP; /* Xen resets the vCPU */
    }
    if (copy_in(h, &head, from, sizeof(head)) != 0 ||
        copy_in(h, debug, from + offsetof(struct vcpu_guest_context, debugreg), sizeof(debug)) !=
            0) {
        return -EFAULT;
    }
    if (!v->guest.initialised) {
        return -ENODATA;
    }
    settle(v);
    vcpu_context_get(v, &c);
    merge(&c, &head, debug);
    if (!vcpu_context_valid(v, &c)) {
        return -EINVAL;
    }
    vcpu_context_set(v, &c);
    set_online(v, head.flags & VGCF_online);
    return 0;
}

/* ---- records of the save format ---- */

struct record {
    uint16_t code, instance;
    uint32_t length;
};

static uint32_t xsave_length(void)
{
    return (uint32_t)(offsetof(struct hvm_hw_cpu_xsave, save_area) + fpu_area_size());
}

/* Nobody ran on it yet: what its maker says is what it starts from. */
static bool fresh(const struct domain *d)
{
    return d->guest.made && !d->guest.made->started;
}

/* The nth record of d's context; false after the last. Offline vCPUs have none, as on Xen. */
static bool record_at(const struct domain *d, unsigned n, struct record *r)
{
    static const uint16_t codes[] = {CODE_CPU, CODE_MTRR, CODE_XSAVE};
    const uint32_t lengths[] = {sizeof(struct hvm_hw_cpu), sizeof(struct hvm_hw_mtrr),
                                xsave_length()};

    if (n == 0) {
        *r = (struct record){CODE_HEADER, 0, sizeof(struct hvm_save_header)};
        return true;
    }
    n--;
    for (unsigned c = 0; c < 3; c++) {
        for (unsigned i = 0; i < d->nr_vcpus; i++) {
            if ((d->vcpus[i]->state != VCPU_OFFLINE || fresh(d)) && n-- == 0) {
                *r = (struct record){codes[c], (uint16_t)i, lengths[c]};
                return true;
            }
        }
    }
    *r = (struct record){CODE_END, 0, 0};
    return n == 0;
}

static void fill_header(struct hvm_save_header *s)
{
    uint32_t r[4];

    cpuid(1, 0, r);
    *s = (struct hvm_save_header){.magic = HVM_FILE_MAGIC,
                                  .version = HVM_FILE_VERSION,
                                  .changeset = ~0ULL,
                                  .cpuid = r[0],
                                  .gtsc_khz = (uint32_t)time_tsc_khz()};
}

/* There are no MTRRs but the default type (msr.c). */
static void fill_mtrr(struct vcpu *v, struct hvm_hw_mtrr *m)
{
    memset(m, 0, sizeof(*m));
    m->msr_pat_cr = vcpu_pat(v);
    guest_rdmsr(v, 0xfe, &m->msr_mtrr_cap);
    guest_rdmsr(v, 0x2ff, &m->msr_mtrr_def_type);
}

struct xsave_head {
    uint64_t feature_mask, xcr0, xcr0_accum;
};
_Static_assert(sizeof(struct xsave_head) == offsetof(struct hvm_hw_cpu_xsave, save_area),
               "arch-x86/hvm/save.h");

/* A record's content, in at most two pieces of memory; `scratch` holds what has to be made. */
union scratch {
    struct hvm_save_header header;
    struct hvm_hw_cpu cpu;
    struct hvm_hw_mtrr mtrr;
    struct xsave_head xsave;
};
struct pieces {
    const void *part[2];
    uint32_t length[2];
};

static void content(struct domain *d, const struct record *r, union scratch *s, struct pieces *p)
{
    struct vcpu *v = d->vcpus[r->instance];

    *p = (struct pieces){{s, NULL}, {r->length, 0}};
    switch (r->code) {
    case CODE_HEADER:
        fill_header(&s->header);
        break;
    case CODE_CPU:
        settle(v);
        vcpu_context_get(v, &s->cpu);
        break;
    case CODE_MTRR:
        fill_mtrr(v, &s->mtrr);
        break;
    case CODE_XSAVE:
        s->xsave = (struct xsave_head){fpu_supported_xcr0(), v->xcr0, v->xcr0};
        *p = (struct pieces){{s, v->fpu}, {sizeof(s->xsave), (uint32_t)fpu_area_size()}};
        break;
    default:
        break;
    }
}

static long copy_record(struct hypercall *h, struct domain *d, const struct record *r, uint64_t to)
{
    union scratch s;
    struct pieces p;

    content(d, r, &s, &p);
    for (unsigned i = 0; i < 2; to += p.length[i], i++) {
        if (p.length[i] && copy_out(h, to, p.part[i], p.length[i]) != 0) {
            return -EFAULT;
        }
    }
    return 0;
}

static uint32_t context_size(const struct domain *d)
{
    uint32_t size = 0;
    struct record r;

    for (unsigned n = 0; record_at(d, n, &r); n++) {
        size += (uint32_t)sizeof(struct hvm_save_descriptor) + r.length;
    }
    return size;
}

static long get_context(struct hypercall *h, struct domain *d, struct xen_domctl_hvmcontext *op)
{
    uint64_t to = (uint64_t)op->buffer.p;
    uint32_t size = context_size(d);
    struct record r;

    if (to != 0 && op->size < size) {
        return -ENOSPC;
    }
    for (unsigned n = 0; to != 0 && record_at(d, n, &r); n++) {
        struct hvm_save_descriptor desc = {r.code, r.instance, r.length};

        if (copy_out(h, to, &desc, sizeof(desc)) != 0 ||
            copy_record(h, d, &r, to + sizeof(desc)) != 0) {
            return -EFAULT;
        }
        to += sizeof(desc) + r.length;
    }
    op->size = size;
    return 0;
}

/* One record without its descriptor. A code that Facet keeps nothing for is as one that
 * does not exist. */
static long get_partial(struct hypercall *h, struct domain *d,
                        struct xen_domctl_hvmcontext_partial *op)
{
    uint64_t to = (uint64_t)op->buffer.p;
    struct record r;
    long error;

    if (op->type != CODE_HEADER && op->type != CODE_CPU && op->type != CODE_MTRR &&
        op->type != CODE_XSAVE) {
        return -EINVAL;
    }
    for (unsigned n = 0; record_at(d, n, &r); n++) {
        if (r.code == op->type && r.instance == op->instance) {
            error = to == 0 ? 0 : op->bufsz < r.length ? -ENOBUFS : copy_record(h, d, &r, to);
            op->bufsz = error ? op->bufsz : r.length;
            return error;
        }
    }
    return -ENOENT;
}

/* ---- sethvmcontext ---- */

/* A record that cannot be changed has to say what is so. */
static long unchanged(struct hypercall *h, struct domain *d, const struct record *r, uint64_t from)
{
    uint8_t theirs[256];
    union scratch s;
    struct pieces p;

    content(d, r, &s, &p);
    for (unsigned i = 0; i < 2; i++) {
        for (uint32_t at = 0, n; at < p.length[i]; at += n, from += n) {
            n = p.length[i] - at < sizeof(theirs) ? p.length[i] - at : (uint32_t)sizeof(theirs);
            if (copy_in(h, theirs, from, n) != 0) {
                return -EFAULT;
            }
            if (memcmp(theirs, (const uint8_t *)p.part[i] + at, n) != 0) {
                return -EOPNOTSUPP;
            }
        }
    }
    return 0;
}

/* All memory is write-back, and a maker may say so. */
static long set_types(struct hypercall *h, uint64_t from)
{
    struct hvm_hw_mtrr m;

    if (copy_in(h, &m, from, sizeof(m)) != 0) {
        return -EFAULT;
    }
    return (m.msr_mtrr_def_type & 0xff) == 6 ? 0 : -EOPNOTSUPP;
}

static long set_cpu_record(struct hypercall *h, struct vcpu *v, uint64_t from, bool check)
{
    struct hvm_hw_cpu c;

    if (copy_in(h, &c, from, sizeof(c)) != 0) {
        return -EFAULT;
    }
    if (!vcpu_context_valid(v, &c) || c.cr3 >> cpuid_address_bits()) {
        return -EINVAL;
    }
    if (!check) {
        settle(v);
        begin(v);
        vcpu_context_set(v, &c);
    }
    return 0;
}

static long set_record(struct hypercall *h, struct domain *d,
                       const struct hvm_save_descriptor *desc, uint64_t from, bool check)
{
    struct record r = {desc->typecode, desc->instance, desc->length};
    struct hvm_save_header header;

    switch (r.code) {
    case CODE_HEADER:
        if (r.length != sizeof(header)) {
            return -EINVAL;
        }
        if (copy_in(h, &header, from, sizeof(header)) != 0) {
            return -EFAULT;
        }
        return header.magic == HVM_FILE_MAGIC && header.version == HVM_FILE_VERSION ? 0 : -EINVAL;
    case CODE_CPU:
        return r.length == sizeof(struct hvm_hw_cpu) && r.instance < d->nr_vcpus
                   ? set_cpu_record(h, d->vcpus[r.instance], from, check)
                   : -EINVAL;
    case CODE_MTRR:
    case CODE_XSAVE:
        if (r.instance >= d->nr_vcpus ||
            r.length != (r.code == CODE_MTRR ? sizeof(struct hvm_hw_mtrr) : xsave_length())) {
            return -EINVAL;
        }
        if (fresh(d) && r.code == CODE_MTRR) {
            return set_types(h, from);
        }
        return check ? unchanged(h, d, &r, from) : 0;
    default:
        return -EINVAL;
    }
}

/* Goes through all records; `online` tells which vCPUs have a CPU record. The first has to
 * be the header. */
static long set_records(struct hypercall *h, struct domain *d,
                        const struct xen_domctl_hvmcontext *op, bool check, unsigned *online)
{
    uint64_t from = (uint64_t)op->buffer.p;
    uint32_t at = 0;

    for (*online = 0;;) {
        struct hvm_save_descriptor desc;
        long error;

        if (op->size - at < sizeof(desc)) {
            return -ENODATA;
        }
        if (copy_in(h, &desc, from + at, sizeof(desc)) != 0) {
            return -EFAULT;
        }
        if (at == 0 && desc.typecode != CODE_HEADER) {
            return -EINVAL;
        }
        at += sizeof(desc);
        if (desc.typecode == CODE_END) {
            return 0;
        }
        error = op->size - at < desc.length ? -ENODATA : set_record(h, d, &desc, from + at, check);
        if (error) {
            return error;
        }
        *online |= desc.typecode == CODE_CPU ? 1u << desc.instance : 0;
        at += desc.length;
    }
}

/* Checked as a whole before anything changes. vCPUs that it has no record for go offline,
 * as on Xen. */
static long set_context(struct hypercall *h, struct domain *d,
                        const struct xen_domctl_hvmcontext *op)
{
    uint32_t largest =
        64 + (uint32_t)d->nr_vcpus * (24 + (uint32_t)sizeof(struct hvm_hw_cpu) +
                                      (uint32_t)sizeof(struct hvm_hw_mtrr) + xsave_length());
    unsigned online;
    long error;

    if (op->size > largest) {
        return -EINVAL;
    }
    error = set_records(h, d, op, true, &online);
    if (!error && online == 0 && !fresh(d)) {
        error = -EINVAL;
    }
    if (!error) {
        error = set_records(h, d, op, false, &online);
    }
    for (unsigned i = 0; !error && online && i < d->nr_vcpus; i++) {
        set_online(d->vcpus[i], online & 1u << i);
    }
    return error;
}

/* ---- which call ---- */

static long vcpu_info(struct domain *d, struct xen_domctl_getvcpuinfo *op)
{
    struct vcpu *v = vcpu_of(d, op->vcpu);
    struct vcpu_runstate_info r;

    if (!v) {
        return -EINVAL;
    }
    guest_runstate_read(v, &r);
    op->online = v->state != VCPU_OFFLINE;
    op->blocked = v->state == VCPU_BLOCKED;
    op->running = r.state == RUNSTATE_running;
    op->cpu_time = r.time[RUNSTATE_running];
    op->cpu = 0;
    return 0;
}

static long vcpu_context(struct hypercall *h, struct domain *d, struct xen_domctl_vcpucontext *op,
                         bool set)
{
    struct vcpu *v = vcpu_of(d, op->vcpu);

    if (!v) {
        return -EINVAL;
    }
    return set ? set_vcpu(h, v, (uint64_t)op->ctxt.p) : get_vcpu(h, v, (uint64_t)op->ctxt.p);
}

/* The guest's TSC is the machine's: never emulated. */
static void tsc_info(struct xen_domctl_tsc_info *op)
{
    *op = (struct xen_domctl_tsc_info){.tsc_mode = 2, .gtsc_khz = (uint32_t)time_tsc_khz()};
}

static long perform(struct hypercall *h, struct domain *d, struct xen_domctl *op)
{
    switch (op->cmd) {
    case XEN_DOMCTL_getvcpuinfo:
        return vcpu_info(d, &op->u.getvcpuinfo);
    case XEN_DOMCTL_getvcpucontext:
    case XEN_DOMCTL_setvcpucontext:
        return vcpu_context(h, d, &op->u.vcpucontext, op->cmd == XEN_DOMCTL_setvcpucontext);
    case XEN_DOMCTL_gethvmcontext:
        return get_context(h, d, &op->u.hvmcontext);
    case XEN_DOMCTL_gethvmcontext_partial:
        return get_partial(h, d, &op->u.hvmcontext_partial);
    case XEN_DOMCTL_sethvmcontext:
        return set_context(h, d, &op->u.hvmcontext);
    default:
        tsc_info(&op->u.tsc_info);
        return 0;
    }
}

bool context_offers(uint32_t cmd)
{
    return cmd == XEN_DOMCTL_getvcpuinfo || cmd == XEN_DOMCTL_getvcpucontext ||
           cmd == XEN_DOMCTL_setvcpucontext || cmd == XEN_DOMCTL_gethvmcontext ||
           cmd == XEN_DOMCTL_gethvmcontext_partial || cmd == XEN_DOMCTL_sethvmcontext ||
           cmd == XEN_DOMCTL_gettscinfo;
}

long context_op(struct hypercall *h, struct domain *d, struct xen_domctl *op)
{
    long error;

    if (d == h->v->domain && op->cmd != XEN_DOMCTL_getvcpuinfo) {
        return -EINVAL;
    }
    lock_acquire(&d->lock);
    error = perform(h, d, op);
    lock_release(&d->lock);
    if (!fresh(d)) {
        guest_all_down(d);
    }
    return error;
}
