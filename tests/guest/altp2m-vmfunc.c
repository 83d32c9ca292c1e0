/* SPDX-License-Identifier: MIT */
/*
 * VMFUNC leaf 0: it works from every privilege level once sub-op 3 has turned it on, reaches
 * visible views and no others, changes what is seen and what get_p2m_idx reports, and is #UD
 * otherwise.
 */
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

static volatile uint64_t *a, *b;
static uint16_t v, w;

static uint16_t current(void)
{
    uint16_t id = 0xffff;

    altp2m_get_index(0, &id);
    return id;
}

static void setup(void)
{
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    expect(altp2m_create(ACCESS_RWX, &w), 0);
    a = page_alloc(2, 2);
    b = a + PAGE / sizeof(*b);
    a[0] = 0xaaaa;
    b[0] = 0xbbbb;
    expect(altp2m_change_gfn(v, gfn_of(a), gfn_of(b)), 0);
    /* Fill the views while #VE is off: Xen may raise one for the first touch of an empty view. */
    for (uint16_t id = 1; id <= w; id++) {
        expect(altp2m_switch(id), 0);
        expect(a[0], id == v ? 0xbbbb : 0xaaaa);
    }
    expect(altp2m_switch(0), 0);
}

static void before_it_is_on(void)
{
    expect(try_vmfunc(0, 0), VEC_UD);
    expect(try_vmfunc(0, v), VEC_UD);
    expect(current(), 0);
}

static bool enabled;
static volatile unsigned exceptions;
static struct ve_info *info;

static void on_ve(struct regs *r)
{
    (void)r;
    exceptions++;
    info->busy = 0;
}

static void switching(void)
{
    info = page_alloc(1, 1);
    long rc = altp2m_enable_notify(0, gfn_of(info));

    if (rc == -XEN_EOPNOTSUPP)
        skip("#VE and VMFUNC");
    expect(rc, 0);
    enabled = true;
    expect(try_vmfunc(0, v), VEC_NONE);
    expect(a[0], 0xbbbb);
    expect(current(), v);
    expect(try_vmfunc(0, w), VEC_NONE);
    expect(a[0], 0xaaaa);
    expect(current(), w);
    expect(altp2m_destroy(w), -XEN_EBUSY);
    expect(try_vmfunc(0, 0), VEC_NONE);
    expect(current(), 0);
    expect(try_vmfunc(0, 0), VEC_NONE);
    expect(altp2m_switch(v), 0);
    expect(a[0], 0xbbbb);
    expect(try_vmfunc(0, 0), VEC_NONE);
    expect(a[0], 0xaaaa);
}

static void many(void)
{
    if (!enabled)
        skip("#VE and VMFUNC");
    for (unsigned i = 0; i < 500; i++) {
        check(try_vmfunc(0, v) == VEC_NONE && a[0] == 0xbbbb, "round %u in view %u", i, v);
        check(try_vmfunc(0, 0) == VEC_NONE && a[0] == 0xaaaa, "round %u in view 0", i);
        if (test_is_failing())
            break;
    }
}

#define IRQ     0x82u
#define X2_MODE (1U << 10) /* in APIC_BASE; Xen's guests begin without */
#define X2_EOI  0x80bu
#define X2_SVR  0x80fu
#define X2_SELF 0x83fu

static volatile uint64_t taken_at;

static void on_irq(struct regs *r)
{
    taken_at = r->rip;
    try_wrmsr(X2_EOI, 0);
}

/* STI holds an interrupt back for the one instruction behind it, also where that exits. */
#define BEHIND_STI(instruction)                                                                    \
    do {                                                                                           \
        uint32_t eax = 0, ecx = 0;                                                                 \
        uint64_t behind;                                                                           \
        taken_at = 0;                                                                              \
        try_wrmsr(X2_SELF, IRQ);                                                                   \
        __asm__ volatile("sti; " instruction "; 1: nop; nop; nop; cli; lea 1b(%%rip), %[behind]"   \
                         : [behind] "=&S"(behind), "+a"(eax), "+c"(ecx)                            \
                         :                                                                         \
                         : "rbx", "rdx", "memory");                                                \
        check(taken_at == behind, instruction ": taken at %lx, not at %lx", taken_at, behind);     \
    } while (0)

static void interrupted(void)
{
    bool on = interrupts_off();
    uint64_t base = 0;

    if (!enabled)
        skip("#VE and VMFUNC");
    try_rdmsr(MSR_APIC_BASE, &base);
    try_wrmsr(MSR_APIC_BASE, base | X2_MODE);
    try_wrmsr(X2_SVR, 0x1ff);
    trap_handle(IRQ, on_irq);
    for (unsigned i = 0; i < 3; i++) {
        BEHIND_STI("nop");
        BEHIND_STI("vmfunc");
        BEHIND_STI("cpuid");
    }
    if (on)
        interrupts_on();
}

static void refused(void)
{
    static const uint32_t indexes[] = {3, 9, 10, 511, 512, 4096, 0x10001, 0xffff, 0xffffffff};
    static const uint32_t leaves[] = {1, 2, 63, 64, 0x80000000, 0xffffffff};

    if (!enabled)
        skip("#VE and VMFUNC");
    for (unsigned i = 0; i < ARRAY_SIZE(indexes); i++)
        check(try_vmfunc(0, indexes[i]) == VEC_UD, "view %x: vector %d", indexes[i], fault.vector);
    for (unsigned i = 0; i < ARRAY_SIZE(leaves); i++)
        check(try_vmfunc(leaves[i], 0) == VEC_UD, "leaf %x: vector %d", leaves[i], fault.vector);
    expect(current(), 0);
}

static void hidden(void)
{
    if (!enabled)
        skip("#VE and VMFUNC");
    expect(altp2m_set_visibility(v, 0), 0);
    expect(try_vmfunc(0, v), VEC_UD);
    expect(current(), 0);
    expect(altp2m_set_visibility(v, 1), 0);
    expect(try_vmfunc(0, v), VEC_NONE);
    /* Hiding the view one is on does not throw one out; the way back is open. */
    expect(altp2m_set_visibility(v, 0), 0);
    expect(a[0], 0xbbbb);
    expect(try_vmfunc(0, v), VEC_UD);
    expect(try_vmfunc(0, 0), VEC_NONE);
    expect(try_vmfunc(0, v), VEC_UD);
    expect(altp2m_set_visibility(v, 1), 0);
    expect(altp2m_set_visibility(0, 0), 0);
    expect(try_vmfunc(0, 0), VEC_UD);
    expect(altp2m_set_visibility(0, 1), 0);
}

static uint64_t user_vmfunc(uint64_t view)
{
    return (uint64_t)try_vmfunc(0, (uint32_t)view);
}

static void from_user(void)
{
    if (!enabled)
        skip("#VE and VMFUNC");
    expect(user_run(user_vmfunc, v), (uint64_t)VEC_NONE);
    expect(a[0], 0xbbbb);
    expect(current(), v);
    expect(user_run(user_vmfunc, 0), (uint64_t)VEC_NONE);
    expect(a[0], 0xaaaa);
    expect(user_run(user_vmfunc, 77), VEC_UD);
}

/* On Intel VMMCALL is not there: VMCALL with that number, then. */
static long view_call(uint64_t view)
{
    return cpu_is_amd() ? view_vmmcall(view) : vmcall(FACET_ALTP2M_VMMCALL_VIEW, view, 0);
}

static uint64_t user_view_call(uint64_t view)
{
    return (uint64_t)view_call(view);
}

/* The same by VMMCALL, on AMD: under the same conditions, and else no call at all. */
static void by_call(void)
{
    if (!enabled)
        skip("#VE and VMFUNC");
    if (!cpu_is_amd() || !on_facet) {
        expect(view_call(v), -XEN_ENOSYS);
        expect(current(), 0);
        return;
    }
    expect(view_call(v), 0);
    expect(a[0], 0xbbbb);
    expect(current(), v);
    expect(user_run(user_view_call, 0), 0);
    expect(a[0], 0xaaaa);
    expect(current(), 0);
    for (unsigned i = 0; i < 1000; i++) {
        check(view_call(i % 2 ? 0 : v) == 0, "round %u", i);
        check(a[0] == (i % 2 ? 0xaaaa : 0xbbbb), "round %u shows %lx", i, a[0]);
    }
    expect(view_call(77), -XEN_ENOSYS);
    expect(view_call(512), -XEN_ENOSYS);
    expect(view_call(v | 1ULL << 32), -XEN_ENOSYS);
    expect(view_call(~0ULL), -XEN_ENOSYS);
    expect(user_run(user_view_call, 77), (uint64_t)-XEN_EPERM);
    expect(altp2m_set_visibility(v, 0), 0);
    expect(view_call(v), -XEN_ENOSYS);
    expect(altp2m_set_visibility(v, 1), 0);
    expect(current(), 0);
}

/*
 * Destroyed: the entry of the list is gone; created again: it is back, and shows no old remap. Xen
 * raises a #VE for the first touch of the empty view, Facet has no empty views.
 */
static void destroyed(void)
{
    uint16_t again;

    if (!enabled)
        skip("#VE and VMFUNC");
    expect(altp2m_destroy(v), 0);
    expect(try_vmfunc(0, v), VEC_UD);
    expect(altp2m_create(ACCESS_RWX, &again), 0);
    expect(again, v);
    trap_handle(VEC_VE, on_ve);
    expect(altp2m_switch(v), 0);
    expect(a[0], 0xaaaa);
    expect(altp2m_switch(0), 0);
    expect(altp2m_change_gfn(v, gfn_of(a), gfn_of(b)), 0);
    expect(try_vmfunc(0, v), VEC_NONE);
    expect(a[0], 0xbbbb);
    expect(try_vmfunc(0, 0), VEC_NONE);
    trap_handle(VEC_VE, NULL);
    if (on_facet)
        expect(exceptions, 0);
}

/* disable_notify takes the #VE page away and leaves VMFUNC on, as on Xen. */
static void after_disable(void)
{
    if (!enabled)
        skip("#VE and VMFUNC");
    expect(altp2m_disable_notify(0), 0);
    expect(try_vmfunc(0, v), VEC_NONE);
    expect(a[0], 0xbbbb);
    expect(try_vmfunc(0, 0), VEC_NONE);
    expect(altp2m_enable_notify(0, gfn_of(b)), 0);
    expect(altp2m_disable_notify(0), 0);
}

static void after_off(void)
{
    if (!enabled)
        skip("#VE and VMFUNC");
    expect(try_vmfunc(0, v), VEC_NONE);
    expect(altp2m_set_state(0), 0);
    expect(a[0], 0xaaaa);
    expect(try_vmfunc(0, v), VEC_UD);
    expect(try_vmfunc(0, 0), VEC_UD);
    expect(altp2m_set_state(1), 0);
    expect(try_vmfunc(0, v), VEC_UD);
    expect(view_call(v), -XEN_ENOSYS);
    expect(altp2m_set_state(0), 0);
}

TEST_CASES(CASE(setup), CASE(before_it_is_on), CASE(switching), CASE(many), CASE(interrupted),
           CASE(refused), CASE(hidden), CASE(from_user), CASE(by_call), CASE(destroyed),
           CASE(after_disable), CASE(after_off))
