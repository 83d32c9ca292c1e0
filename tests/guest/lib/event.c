/* SPDX-License-Identifier: MIT */
#include "cpu.h"
#include "event.h"
#include "page.h"
#include "test.h"

shared_info_t *shared;
struct vcpu_info *vcpu_info;
volatile unsigned upcalls, port_count[64];

static void upcall(struct regs *r)
{
    (void)r;
    upcalls++;
    vcpu_info->evtchn_upcall_pending = 0;
    uint64_t words = __atomic_exchange_n(&vcpu_info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
    for (unsigned w = 0; w < 64; w++) {
        if (!(words >> w & 1))
            continue;
        uint64_t ready = shared->evtchn_pending[w] & ~shared->evtchn_mask[w];
        __atomic_and_fetch(&shared->evtchn_pending[w], ~ready, __ATOMIC_SEQ_CST);
        for (unsigned i = 0; i < 64 && w == 0; i++)
            port_count[i] += ready >> i & 1;
    }
}

void event_init(void)
{
    struct xen_add_to_physmap x = {.domid = DOMID_SELF, .space = XENMAPSPACE_shared_info};

    shared = page_alloc(1, 1);
    x.gpfn = gfn_of(shared);
    need(memory_op(XENMEM_add_to_physmap, &x) == 0, "no shared info page");
    vcpu_info = &shared->vcpu_info[0];
    trap_handle(EVENT_VECTOR, upcall);
    need(hvm_param_set(HVM_PARAM_CALLBACK_IRQ,
                       (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | EVENT_VECTOR) == 0,
         "no callback vector");
}

void event_clear(uint32_t port)
{
    __atomic_and_fetch(&shared->evtchn_pending[port / 64], ~(1UL << port % 64), __ATOMIC_SEQ_CST);
}

void event_mask(uint32_t port)
{
    __atomic_or_fetch(&shared->evtchn_mask[port / 64], 1UL << port % 64, __ATOMIC_SEQ_CST);
}

long event_unmask(uint32_t port)
{
    struct evtchn_unmask u = {.port = port};

    return event_channel_op(EVTCHNOP_unmask, &u);
}

long event_bind_ipi(uint32_t vcpu)
{
    struct evtchn_bind_ipi b = {.vcpu = vcpu};
    long rc = event_channel_op(EVTCHNOP_bind_ipi, &b);

    return rc ? rc : (long)b.port;
}

long event_bind_virq(uint32_t virq, uint32_t vcpu)
{
    struct evtchn_bind_virq b = {.virq = virq, .vcpu = vcpu};
    long rc = event_channel_op(EVTCHNOP_bind_virq, &b);

    return rc ? rc : (long)b.port;
}

long event_alloc(domid_t remote)
{
    struct evtchn_alloc_unbound a = {.dom = DOMID_SELF, .remote_dom = remote};
    long rc = event_channel_op(EVTCHNOP_alloc_unbound, &a);

    return rc ? rc : (long)a.port;
}

long event_bind(domid_t remote, uint32_t remote_port)
{
    struct evtchn_bind_interdomain b = {.remote_dom = remote, .remote_port = remote_port};
    long rc = event_channel_op(EVTCHNOP_bind_interdomain, &b);

    return rc ? rc : (long)b.local_port;
}

long event_send(uint32_t port)
{
    struct evtchn_send s = {.port = port};

    return event_channel_op(EVTCHNOP_send, &s);
}

long event_close(uint32_t port)
{
    struct evtchn_close c = {.port = port};

    return event_channel_op(EVTCHNOP_close, &c);
}

uint64_t clock_now(void)
{
    volatile struct vcpu_time_info *t = &vcpu_info->time;
    uint32_t version;
    uint64_t ns;

    do {
        version = t->version;
        __asm__ volatile("lfence" ::: "memory");
        uint64_t delta = rdtsc() - t->tsc_timestamp;
        delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift : delta << t->tsc_shift;
        ns = t->system_time + (uint64_t)((unsigned __int128)delta * t->tsc_to_system_mul >> 32);
        __asm__ volatile("lfence" ::: "memory");
    } while ((version & 1) || version != t->version);
    return ns;
}
