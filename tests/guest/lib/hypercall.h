/* SPDX-License-Identifier: MIT */
#pragma once

/* Xen's hypercalls as a 64-bit HVM/PVH guest makes them (xen/arch-x86/xen-x86_64.h). */
#include <stdint.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#define XEN_ERRNO(name, value) XEN_##name = value,
enum xen_errno {
#include <xen/errno.h>
};

extern uint8_t hypercall_page[4096];
extern uint32_t xen_leaf;

/* Finds the hypervisor, sets up the hypercall page, and `on_facet`. Ends the guest if there is
 * none. */
void hypercall_init(void);

/* Five arguments through the hypercall page; nr < 128. */
static inline long hypercall(unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4,
                             uint64_t a5)
{
    long ret;
    register uint64_t r10 __asm__("r10") = a4;
    register uint64_t r8 __asm__("r8") = a5;

    __asm__ volatile("call *%[at]"
                     : "=a"(ret), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10), "+r"(r8)
                     : [at] "r"(hypercall_page + nr * 32)
                     : "memory", "rcx", "r11");
    return ret;
}

/* A bare VMCALL with any number in rax, from any privilege level. */
static inline long vmcall(uint64_t nr, uint64_t a1, uint64_t a2)
{
    long ret;
    __asm__ volatile("vmcall"
                     : "=a"(ret), "+D"(a1), "+S"(a2)
                     : "a"(nr)
                     : "memory", "rcx", "rdx", "r8", "r9", "r10", "r11");
    return ret;
}

static inline long xen_version(int cmd, void *arg)
{
    return hypercall(__HYPERVISOR_xen_version, (uint64_t)cmd, (uint64_t)arg, 0, 0, 0);
}
static inline long memory_op(unsigned cmd, void *arg)
{
    return hypercall(__HYPERVISOR_memory_op, cmd, (uint64_t)arg, 0, 0, 0);
}
static inline long event_channel_op(unsigned cmd, void *arg)
{
    return hypercall(__HYPERVISOR_event_channel_op, cmd, (uint64_t)arg, 0, 0, 0);
}
static inline long vcpu_op(unsigned cmd, unsigned vcpu, void *arg)
{
    return hypercall(__HYPERVISOR_vcpu_op, cmd, vcpu, (uint64_t)arg, 0, 0);
}
/* Yields until it holds, or so often that it never will. On several processors a yield is short. */
#define yield_until(condition)                                                                     \
    for (unsigned yields_ = 0; yields_ < 1000000 && !(condition); yields_++)                       \
    sched_op(SCHEDOP_yield, NULL)

static inline long sched_op(unsigned cmd, void *arg)
{
    return hypercall(__HYPERVISOR_sched_op, cmd, (uint64_t)arg, 0, 0, 0);
}
static inline long hvm_op(unsigned cmd, void *arg)
{
    return hypercall(__HYPERVISOR_hvm_op, cmd, (uint64_t)arg, 0, 0, 0);
}

long hvm_param_get(uint32_t index, uint64_t *value);
long hvm_param_set(uint32_t index, uint64_t value);
_Noreturn void shut_down(unsigned reason);
