/* SPDX-License-Identifier: MIT */
#pragma once

/* Inside the guest interface: what its files offer each other. */
#include "domain.h"
#include "dtree.h"
#include "vcpu/hand.h"
#include "xen_abi.h"

/* ---- hypercalls: hypercall.c ---- */

/*
 * One call. A handler that returns -ERESTART has changed `arg` so that the same call, made again,
 * goes on where it stopped. Handlers run with no lock held.
 */
struct hypercall {
    struct vcpu *v;
    bool compat; /* 32-bit caller: longs and pointers have 4 bytes */
    uint64_t arg[6];
};
typedef long hypercall_fn(struct hypercall *h);

long hypercall_dispatch(unsigned nr, struct hypercall *h);
/* Fills a page with the stubs that the hypercall MSR promises. */
void hypercall_page_fill(uint8_t *page);

static inline int copy_in(struct hypercall *h, void *dst, uint64_t src, size_t n)
{
    return hand_copy_from(h->v, dst, gva(src), n);
}
static inline int copy_out(struct hypercall *h, uint64_t dst, const void *src, size_t n)
{
    return hand_copy_to(h->v, gva(dst), src, n);
}
/* Bytes of a long of the caller, and the index'th long of an array of his. */
static inline unsigned long_size(const struct hypercall *h)
{
    return h->compat ? 4 : 8;
}
int copy_in_long(struct hypercall *h, uint64_t array, uint64_t index, uint64_t *out);
int copy_out_long(struct hypercall *h, uint64_t array, uint64_t index, uint64_t value);

hypercall_fn domctl, sysctl, dm_op, memory_op, sched_op, evtchn_op, vcpu_op, hvm_op, version_op,
    grant_op, vcpu_set_timer_op;

/* ---- grants: grant.h ---- */

/* Gives the table this many frames, if it has less. -EINVAL: more than it may have; -ENOMEM. */
int grant_grow(struct domain *d, unsigned frames);
/* Gives back a piece of what d uses of others' grants, and others of its: called with `at` from 0
 * on, until it answers false. */
bool grant_destroy_some(struct domain *d, uint64_t at);

/* ---- domains: domain.c ---- */

/* The domain with this id (not DOMID_SELF), pinned until domain_put(); NULL if there is none. */
struct domain *domain_get(unsigned domid);
void domain_pin(struct domain *d); /* one more, of a domain that cannot go just now */
void domain_put(struct domain *d);
/* 0 if domid names the caller's own domain; -EPERM for another domain; -ESRCH for none. */
int domain_check_self(struct vcpu *v, unsigned domid);

/* Whether `by` has control privilege over `target`; never over itself. */
bool domain_may_control(const struct domain *by, const struct domain *target);
/*
 * The domain that a call of v's is about: its own, or one that it may control. Pinned until
 * domain_put(). -ESRCH, -EPERM.
 */
int domain_target(struct vcpu *v, unsigned domid, struct domain **out);

/* Does what v's call about another domain left to be done, before it makes the next; false: others
 * want the processor. */
bool guest_settle_other(struct vcpu *v);
/* v ends: does a piece of that; false: nothing is left. */
bool guest_settle_last(struct vcpu *v);

/* ---- watching: monitor.c, vmevent.c, foreign.c ---- */

/* Drops what domain d, as a monitor, holds of others: rings and pauses. */
void monitor_domain_gone(struct domain *d);
/* HVMOP_guest_request_vm_event; -ERESTART: make the call again. */
long monitor_guest_request(struct vcpu *v);
/* XENMEM_access_op. */
long monitor_access_op(struct hypercall *h, uint64_t start);
struct xen_domctl_monitor_op;
/* MONITOR_OP of domctl. `d` is locked. */
long monitor_control(struct domain *d, struct xen_domctl_monitor_op *op);

/* vCPU state for a monitor, context.c: whether it offers a domctl; the domctl, about d; copied
 * back to the caller if 0. */
struct xen_domctl;
bool context_offers(uint32_t cmd);
long context_op(struct hypercall *h, struct domain *d, struct xen_domctl *op);

/* Takes the page at the ring's parameter as ring of `by`. 0 and the channel's port, or
 * a negative errno. */
int vmevent_enable(struct domain *d, struct domain *by, uint32_t *port);
void vmevent_disable(struct domain *d);
/* The same, where nobody said so: its program or its domain is gone. */
void vmevent_listener_died(struct domain *d);
/* Handles the answers in the ring. */
void vmevent_resume(struct domain *d);
/* Sends one request; false if there is no room. Locks the domain. */
bool vmevent_send(struct domain *d, const vm_event_request_t *r);
bool vmevent_room(struct domain *d);
/* What an answer asks for v, which waits for it. */
void monitor_answer(struct vcpu *v, const vm_event_response_t *r);
/* v gets registers that somebody in the guest, or a context, chose, before it runs again. */
void monitor_vcpu_restarts(struct vcpu *v);
/* The listener has gone: nothing is wished any more. */
void monitor_wish_nothing(struct domain *d);

/* Where the bit of an MSR is in a map of struct monitor_msrs; -1: in none. */
static inline int monitor_msr_bit(uint32_t msr)
{
    uint32_t range = msr & ~0x1fffu;

    return range == 0            ? (int)msr
           : range == 0x40000000 ? (int)(0x2000 + (msr & 0x1fff))
           : range == 0xc0000000 ? (int)(0x4000 + (msr & 0x1fff))
                                 : -1;
}
static inline bool monitor_msr_in(const uint8_t *map, uint32_t msr)
{
    int bit = monitor_msr_bit(msr);

    return bit >= 0 && (map[bit / 8] >> bit % 8 & 1);
}

/*
 * Which writes of MSRs exit beside those that always do: msr_exits.c. The domain has a map of its
 * own from take() on, which gives -ENOMEM; without one, updates do nothing.
 */
int msr_exits_take(struct domain *d);
void msr_exits_update(struct domain *d, uint32_t msr); /* what a monitor watches changed */
void msr_exits_update_pins(struct domain *d);
void msr_exits_drop(struct domain *d);

/* Shows gfn `index` of domain `of` at g of d. */
int foreign_map(struct domain *d, unsigned of, uint64_t index, uint64_t g);

/* ---- building: builder.c, acpi.c ---- */

/*
 * Building the domain described by c, a piece of bounded time at each call: until builder_more()
 * answers false, then builder_end(), whose domain has its first vCPU ready to run. If it left a
 * reason in `error`, the domain is to be destroyed in place of being used. Nobody else may look at
 * the domain before. NULL: no memory to begin with.
 */
struct build *builder_begin(const struct domain_config *c, const struct boot_module *modules,
                            unsigned nr_modules, bool interactive);
bool builder_more(struct build *b);
struct domain *builder_end(struct build *b, char *error, size_t error_size);
/*
 * Gives back everything a domain holds, finished or not, in pieces of bounded time: called with the
 * same `e`, zero at first, until it answers false. Nothing of the domain may run or be looked at
 * any more.
 */
struct builder_ending {
    unsigned step;
    uint64_t at;
};
bool builder_destroy_more(struct domain *d, struct builder_ending *e);

/*
 * The guest's page with the ACPI tables lies behind its low RAM, at acpi_gfn, and these behind it:
 * monitors walk all gfns up to the highest one, so nothing is put near 4 GiB, where Xen's toolstack
 * puts them. The order of the special pages is Xen's.
 */
#define GUEST_SPECIAL_PAGES 8u
#define GUEST_MONITOR_PAGE                                                                         \
    1u /* of the special pages: the vm_event ring; a hole unless a monitor fills it */
#define GUEST_CONSOLE_PAGE 7u
static inline uint64_t guest_special_gfn(const struct domain *d, unsigned page)
{
    return d->guest.acpi_gfn + 1 + page;
}

/* Writes all tables into `page`, which the guest sees at gpa. The RSDP is at its start. */
void acpi_build(uint8_t *page, gpa_t at, unsigned nr_vcpus);
#define ACPI_SLEEP_CONTROL_PORT 0xb004
#define ACPI_SLEEP_STATUS_PORT  0xb005
#define ACPI_S5_TYPE            5u

/* The guest's memory map: at most GUEST_MEMMAP_MAX entries are written; their number is returned.
 */
#define GUEST_MEMMAP_MAX 32u
unsigned memory_map(const struct domain *d, struct hvm_memmap_table_entry *out);
/* Frames that may be on the domain's account, if it asks for one more, or a monitor for it. */
uint64_t memory_most(const struct domain *d, bool monitor);
/* Frees a guest frame that the host map no longer shows. */
void memory_release(struct domain *d, const struct was_mapped *was);
/* Frees what v's last call took out of a map; that is settled. */
void memory_extent_release(struct vcpu *v);
/* Puts one page at g, with `most` access at most, freeing what was there. d is locked. */
int memory_replace(struct domain *d, uint64_t g, mfn_t m, enum map_type type, access_t most);
/* ---- event channels: evtchn.c, evtchn_bind.c, evtchn_op.c ---- */

void evtchn_init(struct domain *d);
/* In pieces of bounded time: called until it answers false. */
bool evtchn_destroy_some(struct domain *d);
/* Channel whose other end is the hypervisor; `send` runs when the guest notifies it. */
int evtchn_create_internal(struct domain *d, void (*send)(struct domain *d), uint32_t *port);
/*
 * The same, but domain `remote` has to bind it; `send` also runs when that domain closes its end.
 * The guest cannot close, move or use it; evtchn_close_internal() does.
 */
int evtchn_create_unbound(struct domain *d, uint16_t remote, void (*send)(struct domain *d),
                          uint32_t *port);
bool evtchn_is_bound(struct domain *d, uint32_t port);
void evtchn_close_internal(struct domain *d, uint32_t port);
/* Raises an event of the hypervisor's. */
void evtchn_notify(struct domain *d, uint32_t port);
void evtchn_raise_virq(struct vcpu *v, unsigned virq);
bool evtchn_is_pending(struct domain *d, uint32_t port);
bool evtchn_port_valid(struct domain *d, uint32_t port);
/* Sets v's upcall and wakes it. */
void evtchn_mark_vcpu(struct vcpu *v);
/* Marks every selector bit, so that nothing is lost when v's info moves. */
void evtchn_mark_all(struct vcpu *v);

/* Whether v's vcpu_info may be looked at and written to: it always may in the shared info page. */
static inline bool vcpu_info_there(struct vcpu *v)
{
    return !v->guest.info_moved || hand_area_page(v->domain, v->altp2m.view, &v->guest.info_area);
}
/* v's vcpu_info, to be written to. Where it may not be, that is lost, or made up
 * for by vcpu_upcall_pending(). */
static inline struct vcpu_info *vcpu_info_of(struct vcpu *v)
{
    if (vcpu_info_there(v)) {
        return v->guest.info;
    }
    v->guest.info_due = true;
    return &v->domain->guest.shared->vcpu_info[v->id];
}
/* Whether v's flag is up. */
bool vcpu_upcall_pending(struct vcpu *v);

/* Whether another domain has, or may take, the other end of a channel. */
bool evtchn_has_peer(struct domain *d);

/* ---- what is waited for in vain: waits.c ---- */

void waits_param_read(struct domain *d, uint32_t index, uint64_t value);
/* A call about a port that is not there. */
void waits_port_refused(struct domain *d, uint32_t port);
void waits_yield(struct domain *d);
/* v does not run any more, and is not runnable. */
void waits_blocked(struct vcpu *v);

/* ---- time: time.c ---- */

void guest_time_init(void);                    /* reads the clock of the machine */
void guest_time_init_domain(struct domain *d); /* wall clock, in the present layout */
void guest_time_init_vcpu(struct vcpu *v);
void guest_time_stop_vcpu(struct vcpu *v);
void guest_time_update(struct vcpu *v); /* v's vcpu_time_info, and its registered copy */
void guest_area_unbind(struct guest_area *a);
void guest_runstate_set(struct vcpu *v, unsigned state);
void guest_runstate_read(const struct vcpu *v, struct vcpu_runstate_info *out);

/* ---- MSRs: msr.c ---- */

/* Whether the machine says of itself that its string instructions are fast (SDM 4, table 2-2):
 * systems choose between instructions by it. */
bool msr_fast_strings(void);

/* ---- local APIC: lapic.c ---- */

void lapic_init(struct vcpu *v);
void lapic_stop(struct vcpu *v);
/* The registers of x2APIC mode by MSR. False: #GP. */
bool lapic_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool lapic_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value);
/* IA32_APIC_BASE, which changes the mode and nothing else. False: #GP. */
uint64_t lapic_base(const struct vcpu *v);
bool lapic_write_base(struct vcpu *v, uint64_t value);
/* Makes a vector pending and wakes v. */
void lapic_raise(struct vcpu *v, uint8_t vector);
/* What an I/O APIC or a device sends: to one of 8 bits. False: there is nobody who takes it. */
struct lapic_message {
    uint8_t vector, dest;
    bool logical, lowest, level;
};
bool lapic_deliver(struct domain *d, const struct lapic_message *m);
/* The highest pending vector that priorities let through, or -1. */
int lapic_pending(const struct lapic *l);
void lapic_accept(struct lapic *l, uint8_t vector);
/* v has left its agent: the INIT that waited, or VCPUOP_down, takes it down now. */
void lapic_agent_left(struct vcpu *v);

/* ---- console: console.c ---- */

void guest_console_init(struct domain *d);
/* What d says. How many characters were taken: the rest after guest_console_more(). */
size_t guest_console_write(struct domain *d, const char *text, size_t n);
/* The same by console_io, and what was typed: domain 0's console, where others have the ring. */
size_t guest_console_call(struct domain *d, const char *text, size_t n);
size_t guest_console_read(struct domain *d, char *text, size_t n);
/* Prints a piece of what d said, before its vCPUs go on; true: there is more. */
bool guest_console_more(struct domain *d);
/* The same of one that has ended, its unfinished line included. */
bool guest_console_end(struct domain *d);
/* Whether what d has to say next has to wait for a line that is half out. */
bool guest_console_waits(const struct domain *d);
void guest_console_destroy(struct domain *d);
