/* SPDX-License-Identifier: MIT */
/*
 * Two vCPUs: starting and stopping the second, events between them, and altp2m where more than one
 * vCPU has a view: switch_p2m moves all, VMFUNC moves one, a view is in use while any vCPU is on
 * it, and rights are taken from all at once. Also the races Xen once had: both calling at the same
 * time.
 */
#include <stdint.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/test.h"

static bool up, have_views;

static volatile uint64_t answer;

static void yield(void)
{
    sched_op(SCHEDOP_yield, NULL);
}

static uint64_t on_vcpu_1(void (*fn)(void))
{
    smp_run(fn);
    return answer;
}

static void refused(void)
{
    struct vcpu_hvm_context c = smp_context(1, smp_work);

    event_init();
    if (vcpu_op(VCPUOP_is_up, 1, NULL) == -XEN_ENOENT)
        skip("a second vCPU");
    expect(vcpu_op(VCPUOP_is_up, 1, NULL), 0);
    expect(vcpu_op(VCPUOP_up, 1, NULL), -XEN_EINVAL);
    expect(vcpu_op(VCPUOP_initialise, 1, (void *)0x600000000000), -XEN_EFAULT);
    expect(vcpu_op(VCPUOP_initialise, 2, &c), -XEN_ENOENT);
    c.mode = 7;
    expect(vcpu_op(VCPUOP_initialise, 1, &c), -XEN_EINVAL);
    c = smp_context(1, smp_work);
    c.pad = 1;
    expect(vcpu_op(VCPUOP_initialise, 1, &c), -XEN_EINVAL);
    /* Xen takes these three, and the domain dies at the vCPU's first VM entry. */
    if (!on_facet)
        return;
    c = smp_context(1, smp_work);
    c.cpu_regs.x86_64.cr0 &= ~1ULL;
    check(vcpu_op(VCPUOP_initialise, 1, &c) < 0, "long mode without CR0.PE");
    c = smp_context(1, smp_work);
    c.cpu_regs.x86_64.cr4 &= ~CR4_PAE;
    check(vcpu_op(VCPUOP_initialise, 1, &c) < 0, "long mode without CR4.PAE");
    c = smp_context(1, smp_work);
    c.cpu_regs.x86_64.efer = ~0ULL;
    check(vcpu_op(VCPUOP_initialise, 1, &c) < 0, "an absurd EFER");
}

static struct vcpu_hvm_context flat_32(void)
{
    struct vcpu_hvm_context c = {.mode = VCPU_HVM_MODE_32B};
    struct vcpu_hvm_x86_32 *r = &c.cpu_regs.x86_32;

    r->cr0 = 1;
    r->eflags = 2;
    r->cs_limit = r->ds_limit = r->ss_limit = r->es_limit = ~0u;
    r->tr_limit = 0x67;
    r->cs_ar = 0xc9b;
    r->ds_ar = r->ss_ar = r->es_ar = 0xc93;
    r->tr_ar = 0x8b;
    return c;
}

#define bad_32(change)                                                                             \
    do {                                                                                           \
        struct vcpu_hvm_context c = flat_32();                                                     \
        struct vcpu_hvm_x86_32 *r = &c.cpu_regs.x86_32;                                            \
        change;                                                                                    \
        check(vcpu_op(VCPUOP_initialise, 1, &c) == -XEN_EINVAL, "taken: %s", #change);             \
    } while (0)

/* What an entry would fail with (SDM volume 3, 26.3.1), which Xen finds out when it is too late. */
static void impossible(void)
{
    struct vcpu_hvm_context c = smp_context(1, smp_work);

    if (vcpu_op(VCPUOP_is_up, 1, NULL) == -XEN_ENOENT)
        skip("a second vCPU");
    if (!on_facet)
        skip("refusal");
    bad_32(r->eflags |= 1 << 17); /* VM86, and flat segments */
    bad_32(r->eflags |= 1 << 15);
    bad_32(r->eflags |= 1u << 31);
    bad_32(r->cr4 = CR4_PCIDE);
    bad_32(r->cs_ar = 0xc92);
    bad_32(r->cs_ar = 0xcfb);
    bad_32(r->cs_limit = 0x12345678);
    bad_32(r->cs_ar = 0x49b);
    bad_32(r->ss_ar = 0xc9b);
    bad_32(r->ss_ar = 0xcf3);
    bad_32(r->ds_ar = 0xc92);
    bad_32(r->ds_ar = 0xc83);
    bad_32(r->es_ar = 0xc99);
    bad_32(r->tr_ar = 0x89);
    bad_32(r->tr_ar = 0x9b);
    bad_32((r->tr_ar = 0x88b, r->tr_limit = 0x1067));
    bad_32((r->cr0 = 0x80000001, r->efer = 0x500, r->cr4 = CR4_PAE,
            r->tr_ar = 0x83)); /* a 16-bit TSS in long mode */
    c.cpu_regs.x86_64.rip = 1ULL << 48;
    expect(vcpu_op(VCPUOP_initialise, 1, &c), -XEN_EINVAL);
    c = smp_context(1, smp_work);
    c.cpu_regs.x86_64.rflags |= 1 << 17;
    expect(vcpu_op(VCPUOP_initialise, 1, &c), -XEN_EINVAL);
    c = smp_context(1, smp_work);
    c.cpu_regs.x86_64.rflags |= 1ULL << 40;
    expect(vcpu_op(VCPUOP_initialise, 1, &c), -XEN_EINVAL);
}

static void who(void)
{
    uint32_t r[4];

    cpuid(xen_leaf + 4, 0, r);
    answer = r[1];
    cpuid(1, 0, r);
    answer |= (uint64_t)(r[1] >> 24) << 32;
}

static void start(void)
{
    struct vcpu_hvm_context c = smp_context(1, smp_work);

    if (vcpu_op(VCPUOP_is_up, 1, NULL) == -XEN_ENOENT)
        skip("a second vCPU");
    expect(vcpu_op(VCPUOP_initialise, 1, &c), 0);
    expect(vcpu_op(VCPUOP_initialise, 1, &c), -XEN_EEXIST);
    expect(vcpu_op(VCPUOP_up, 1, NULL), 0);
    up = true;
    uint64_t id = on_vcpu_1(who);
    expect(id & 0xffffffff, 1);
    expect(id >> 32, 2);
    expect(vcpu_op(VCPUOP_is_up, 1, NULL), 1);
}

static uint32_t port;

static void wait_for_port(void)
{
    struct sched_poll p = {.nr_ports = 1};

    set_xen_guest_handle(p.ports, &port);
    answer = (uint64_t)sched_op(SCHEDOP_poll, &p);
    while (!event_pending(port))
        yield();
    event_clear(port);
}

static void events(void)
{
    if (!up)
        skip("a second vCPU");
    port = (uint32_t)event_bind_ipi(1);
    check((int32_t)port > 0, "bind_ipi: %d", (int32_t)port);
    for (unsigned i = 0; i < 20; i++) {
        smp_begin(wait_for_port);
        for (unsigned k = 0; k < i; k++)
            yield();
        expect(event_send(port), 0);
        smp_wait();
        expect(answer, 0);
    }
}

static uint16_t v, w;
static volatile uint64_t *window;

static void look(void)
{
    answer = *window;
}

static uint16_t index_of(unsigned vcpu)
{
    uint16_t id = 0xffff;

    altp2m_get_index(vcpu, &id);
    return id;
}

static void switch_moves_all(void)
{
    uint64_t mode;

    if (!up)
        skip("a second vCPU");
    if (hvm_param_get(HVM_PARAM_ALTP2M, &mode) || mode != XEN_ALTP2M_mixed)
        skip("altp2m mode mixed");
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    expect(altp2m_create(ACCESS_RWX, &w), 0);
    window = page_alloc(2, 2);
    window[0] = 0xaaaa;
    window[512] = 0xbbbb;
    expect(altp2m_change_gfn(v, gfn_of(window), gfn_of(window) + 1), 0);
    have_views = true;
    expect(on_vcpu_1(look), 0xaaaa);
    for (unsigned i = 0; i < 10; i++) {
        expect(altp2m_switch(v), 0);
        expect(on_vcpu_1(look), 0xbbbb);
        expect(index_of(1), v);
        expect(altp2m_switch(0), 0);
        expect(on_vcpu_1(look), 0xaaaa);
        expect(index_of(1), 0);
    }
    expect(altp2m_switch(w), 0);
    (void)on_vcpu_1(look);
    expect(altp2m_switch(0), 0);
}

static volatile uint32_t goal;

static void go(void)
{
    answer = (uint64_t)try_vmfunc(0, goal);
}

static void vmfunc_moves_one(void)
{
    if (!have_views)
        skip("a second vCPU and altp2m");
    expect(altp2m_enable_notify(1, gfn_of(page_alloc(1, 1))), 0);
    /* Enabled for vCPU 1 alone. */
    expect(try_vmfunc(0, v), VEC_UD);
    goal = v;
    expect(on_vcpu_1(go), (uint64_t)VEC_NONE);
    expect(index_of(1), v);
    expect(index_of(0), 0);
    expect(on_vcpu_1(look), 0xbbbb);
    expect(*window, 0xaaaa);
    expect(altp2m_destroy(v), -XEN_EBUSY);
    goal = 0;
    expect(on_vcpu_1(go), (uint64_t)VEC_NONE);
    expect(on_vcpu_1(look), 0xaaaa);
    expect(altp2m_disable_notify(1), 0);
}

static volatile bool stop;
static volatile uint64_t rounds;

static void write_on(void)
{
    while (!stop) {
        window[1] = ++rounds;
        if (rounds % 64 == 0)
            yield();
    }
    answer = rounds;
}

/* vCPU 1 writes without pause; its right goes, so some write after the call must violate. */
static void rights_of_both(void)
{
    uint16_t a = 0;

    if (!have_views)
        skip("a second vCPU and altp2m");
    expect(altp2m_switch(w), 0);
    stop = false;
    smp_begin(write_on);
    for (unsigned i = 0; i < 10 && !test_is_failing(); i++) {
        uint64_t seen = rounds;
        while (rounds == seen)
            yield();
        expect(altp2m_set_access(w, gfn_of(window), ACCESS_R), 0);
        seen = rounds;
        while (rounds < seen + 2)
            yield();
        expect(altp2m_get_access(w, gfn_of(window), &a), 0);
        expect(a, ACCESS_RWX);
    }
    stop = true;
    smp_wait();
    expect(altp2m_switch(0), 0);
}

static volatile unsigned errors;

static void create_and_destroy(void)
{
    for (unsigned i = 0; i < 100; i++) {
        uint16_t id;
        if (altp2m_create(ACCESS_RWX, &id) == 0)
            errors += altp2m_destroy(id) != 0;
        if (i % 8 == 0)
            yield();
    }
}

static void both_at_once(void)
{
    if (!have_views)
        skip("a second vCPU and altp2m");
    errors = 0;
    smp_begin(create_and_destroy);
    create_and_destroy();
    smp_wait();
    expect(errors, 0);
}

static void toggle_under_load(void)
{
    if (!have_views)
        skip("a second vCPU and altp2m");
    stop = false;
    smp_begin(write_on);
    for (unsigned i = 0; i < 30; i++) {
        check(altp2m_set_state(0) == 0 && altp2m_set_state(1) == 0, "round %u", i);
        uint16_t id;
        check(altp2m_create(ACCESS_RWX, &id) == 0 && altp2m_switch(id) == 0, "round %u", i);
        yield();
    }
    stop = true;
    smp_wait();
    expect(altp2m_set_state(0), 0);
}

static void go_down(void)
{
    vcpu_op(VCPUOP_down, 1, NULL);
}

static void down_and_up(void)
{
    if (!up)
        skip("a second vCPU");
    smp_begin(go_down); /* ends when the vCPU is up again */
    while (vcpu_op(VCPUOP_is_up, 1, NULL) == 1)
        yield();
    expect(vcpu_op(VCPUOP_is_up, 1, NULL), 0);
    expect(vcpu_op(VCPUOP_up, 1, NULL), 0);
    smp_wait();
    expect(on_vcpu_1(who) & 0xffffffff, 1);
}

TEST_CASES(CASE(refused), CASE(impossible), CASE(start), CASE(events), CASE(switch_moves_all),
           CASE(vmfunc_moves_one), CASE(rights_of_both), CASE(both_at_once),
           CASE(toggle_under_load), CASE(down_and_up))
