/* SPDX-License-Identifier: MIT */
/* vcpu_op: starting and stopping vCPUs, their timers, and where their data lives. */
#include "guest.h"
#include "vcpu/pins.h"
#include "x86/cpu.h"
#include <string.h>

/* ---- vcpu_info ---- */

static long register_info(struct vcpu *caller, struct vcpu *v,
                          const struct vcpu_register_vcpu_info *a)
{
    struct vcpu_info *info;

    if (a->offset > PAGE_SIZE - sizeof(struct vcpu_info) || a->offset % 8 != 0) {
        return -EINVAL;
    }
    if (v->guest.info_moved || hand_area_bind(caller, gfn(a->mfn), &v->guest.info_area) != 0) {
        return -EINVAL; /* it can be moved once */
    }
    info = (struct vcpu_info *)(void *)(v->guest.info_area.at + a->offset);
    memcpy(info, v->guest.info, sizeof(*info));
    v->guest.info = info;
    v->guest.info_moved = true;
    guest_time_update(v);
    evtchn_mark_all(v);
    return 0;
}

/* ---- VCPUOP_initialise ---- */

/* Xen's 12-bit attributes as x86/segment.h has them: bits 8 to 11 move to 12 to 15. */
static uint32_t segment_ar(uint16_t ar)
{
    uint32_t v = (ar & 0xffu) | (ar & 0xf00u) << 4;

    return ar & 0x80 ? v : v | 0x10000; /* not present: it holds nothing */
}

static long start_from_32(struct vcpu_start *s, const struct vcpu_hvm_x86_32 *r)
{
    if (!(r->cs_ar & 0x80) || (r->cs_ar & 0x200) || !(r->tr_ar & 0x80) || r->pad1) {
        return -EINVAL; /* no code or task segment, or a 64-bit one */
    }
    *s = (struct vcpu_start){
        .rip = r->eip,
        .rsp = r->esp,
        .rflags = r->eflags,
        .rax = r->eax,
        .rbx = r->ebx,
        .rcx = r->ecx,
        .rdx = r->edx,
        .rsi = r->esi,
        .rdi = r->edi,
        .rbp = r->ebp,
        .cr0 = r->cr0,
        .cr3 = r->cr3,
        .cr4 = r->cr4,
        .efer = r->efer,
        .cs = {0, r->cs_base, r->cs_limit, segment_ar(r->cs_ar)},
        .ds = {0, r->ds_base, r->ds_limit, segment_ar(r->ds_ar)},
        .es = {0, r->es_base, r->es_limit, segment_ar(r->es_ar)},
        .ss = {0, r->ss_base, r->ss_limit, segment_ar(r->ss_ar)},
        .tr = {0, r->tr_base, r->tr_limit, segment_ar(r->tr_ar)},
    };
    return 0;
}

static long start_from_64(struct vcpu_start *s, const struct vcpu_hvm_x86_64 *r)
{
    static const struct segment code = {0, 0, 0xffffffff, 0xa09b};
    static const struct segment data = {0, 0, 0xffffffff, 0xc093};
    static const struct segment task = {0, 0, 0x67, 0x008b};

    if (!(r->efer & EFER_LME) || !(r->efer & EFER_LMA) || !(r->cr0 & X86_CR0_PE) ||
        !(r->cr0 & X86_CR0_PG) || !(r->cr4 & X86_CR4_PAE)) {
        return -EINVAL;
    }
    *s = (struct vcpu_start){
        .rip = r->rip,
        .rsp = r->rsp,
        .rflags = r->rflags,
        .rax = r->rax,
        .rbx = r->rbx,
        .rcx = r->rcx,
        .rdx = r->rdx,
        .rsi = r->rsi,
        .rdi = r->rdi,
        .rbp = r->rbp,
        .cr0 = r->cr0,
        .cr3 = r->cr3,
        .cr4 = r->cr4,
        .efer = r->efer,
        .cs = code,
        .ds = data,
        .es = data,
        .ss = data,
        .tr = task,
    };
    return 0;
}

static long initialise(struct hypercall *h, struct vcpu *v)
{
    struct vcpu_hvm_context c;
    struct vcpu_start s;
    long error;

    if (copy_in(h, &c, h->arg[2], sizeof(c)) != 0) {
        return -EFAULT;
    }
    if (c.pad) {
        return -EINVAL;
    }
    error = c.mode == VCPU_HVM_MODE_32B   ? start_from_32(&s, &c.cpu_regs.x86_32)
            : c.mode == VCPU_HVM_MODE_64B ? start_from_64(&s, &c.cpu_regs.x86_64)
                                          : -EINVAL;
    if (error) {
        return error;
    }
    if (v->guest.initialised) {
        return -EEXIST;
    }
    if (pins_any(v)) {
        return -EPERM;
    }
    s.cr0 |= X86_CR0_ET;
    s.rflags |= X86_EFLAGS_FIXED;
    if (!vcpu_start_valid(&s) || s.cr3 >> cpuid_address_bits()) {
        return -EINVAL; /* its entry would fail */
    }
    monitor_vcpu_restarts(v);
    vcpu_reset(v, &s);
    v->guest.initialised = true;
    return 0;
}

/* ---- timers ---- */

static long set_singleshot(struct vcpu *v, const struct vcpu_set_singleshot_timer *a)
{
    if ((a->flags & VCPU_SSHOTTMR_future) && a->timeout_abs_ns < time_now()) {
        return -ETIME;
    }
    timer_set(&v->guest.singleshot, a->timeout_abs_ns);
    return 0;
}

static long set_periodic(struct vcpu *v, uint64_t period)
{
    if (period < 1000000 || period > 1ULL << 62) {
        return -EINVAL;
    }
    v->guest.period = period;
    timer_set(&v->guest.periodic, time_now() + period);
    return 0;
}

/* For 64-bit callers one argument, for 32-bit callers two halves. 0 stops the timer. */
long vcpu_set_timer_op(struct hypercall *h)
{
    uint64_t at = h->compat ? h->arg[0] | h->arg[1] << 32 : h->arg[0];

    if (at == 0) {
        timer_cancel(&h->v->guest.singleshot);
    } else {
        timer_set(&h->v->guest.singleshot, at);
    }
    return 0;
}

static long timer_command(struct hypercall *h, struct vcpu *v, uint32_t cmd)
{
    struct vcpu_set_singleshot_timer single;
    struct vcpu_set_periodic_timer periodic;

    switch (cmd) {
    case VCPUOP_set_periodic_timer:
        if (copy_in(h, &periodic, h->arg[2], sizeof(periodic)) != 0) {
            return -EFAULT;
        }
        return set_periodic(v, periodic.period_ns);
    case VCPUOP_stop_periodic_timer:
        v->guest.period = 0;
        timer_cancel(&v->guest.periodic);
        return 0;
    case VCPUOP_set_singleshot_timer:
        if (v != h->v) {
            return -EINVAL;
        }
        /* 12 bytes for 32-bit callers: no padding at the end */
        if (copy_in(h, &single, h->arg[2], 12) != 0) {
            return -EFAULT;
        }
        return set_singleshot(v, &single);
    default: /* VCPUOP_stop_singleshot_timer */
        if (v != h->v) {
            return -EINVAL;
        }
        timer_cancel(&v->guest.singleshot);
        return 0;
    }
}
_Static_assert(offsetof(struct vcpu_set_singleshot_timer, flags) == 8, "vcpu.h");

/* ---- areas ---- */

/* Binds the frames that are there now, of the caller's address space: on Xen it is the linear
 * address that counts, later too. */
static int bind_area(struct hypercall *h, struct guest_area *a, uint64_t at, size_t size)
{
    struct guest_area new = {
        .offset = (uint16_t)(at & ~PAGE_MASK), .compat = h->compat, .registered = at != 0};

    if (at != 0 && hand_area_bind_linear(h->v, gva(at), size, new.page) != 0) {
        return -EFAULT;
    }
    guest_area_unbind(a);
    *a = new;
    return 0;
}

static long register_area(struct hypercall *h, struct vcpu *v, uint32_t cmd)
{
    bool runstate = cmd == VCPUOP_register_runstate_memory_area;
    uint64_t at;
    int error;

    if (copy_in(h, &at, h->arg[2], sizeof(at)) != 0) {
        return -EFAULT;
    }
    at = h->compat ? (uint32_t)at : at;
    error = runstate ? bind_area(h, &v->guest.runstate_area, at, h->compat ? 44 : 48)
                     : bind_area(h, &v->guest.time_area, at, sizeof(struct vcpu_time_info));
    if (error || v != h->v) {
        return error;
    }
    if (runstate) {
        guest_runstate_set(v, v->guest.runstate);
    } else {
        guest_time_update(v);
    }
    return 0;
}

static long get_runstate(struct hypercall *h, struct vcpu *v)
{
    struct vcpu_runstate_info r;
    uint8_t r32[44];

    guest_runstate_read(v, &r);
    if (!h->compat) {
        return copy_out(h, h->arg[2], &r, sizeof(r));
    }
    memcpy(r32, &r.state, 4);
    memcpy(r32 + 4, &r.state_entry_time, 40);
    return copy_out(h, h->arg[2], r32, sizeof(r32));
}

static long up(struct vcpu *v)
{
    if (!v->guest.initialised) {
        return -EINVAL;
    }
    if (v->state == VCPU_OFFLINE) {
        sched_online(v);
    }
    return 0;
}

static long down(struct vcpu *v)
{
    if (v->state != VCPU_OFFLINE && !agent_delays(v)) {
        guest_vcpu_down(v);
    }
    return 0;
}

long vcpu_op(struct hypercall *h)
{
    struct domain *d = h->v->domain;
    uint32_t cmd = (uint32_t)h->arg[0];
    struct vcpu_register_vcpu_info info;
    struct vcpu *v;

    if (h->arg[1] >= d->nr_vcpus) {
        return -ENOENT;
    }
    v = d->vcpus[h->arg[1]];
    switch (cmd) {
    case VCPUOP_initialise:
        return initialise(h, v);
    case VCPUOP_up:
        return up(v);
    case VCPUOP_down:
        return down(v);
    case VCPUOP_is_up:
        return v->state != VCPU_OFFLINE;
    case VCPUOP_get_runstate_info:
        return get_runstate(h, v);
    case VCPUOP_set_periodic_timer:
    case VCPUOP_stop_periodic_timer:
    case VCPUOP_set_singleshot_timer:
    case VCPUOP_stop_singleshot_timer:
        return timer_command(h, v, cmd);
    case VCPUOP_register_runstate_memory_area:
    case VCPUOP_register_vcpu_time_memory_area:
        return register_area(h, v, cmd);
    case VCPUOP_register_vcpu_info:
        if (copy_in(h, &info, h->arg[2], sizeof(info)) != 0) {
            return -EFAULT;
        }
        return register_info(h->v, v, &info);
    default:
        return -ENOSYS;
    }
}
