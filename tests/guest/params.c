/* SPDX-License-Identifier: MIT */
/* hvm_op beside altp2m: parameters a guest may read and set, those it may not, bad indexes and
 * sub-ops. */
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/page.h"
#include "lib/test.h"

static void readable(void)
{
    uint64_t v = 0;

    expect(hvm_param_get(HVM_PARAM_CONSOLE_PFN, &v), 0);
    check(v != 0, "no console page");
    expect(hvm_param_get(HVM_PARAM_CONSOLE_EVTCHN, &v), 0);
    check(v != 0, "no console event channel");
    expect(hvm_param_get(HVM_PARAM_STORE_PFN, &v), 0);
    expect(hvm_param_get(HVM_PARAM_STORE_EVTCHN, &v), 0);
    expect(hvm_param_get(HVM_PARAM_ALTP2M, &v), 0);
}

static void callback(void)
{
    uint64_t v = 0;
    const uint64_t want = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | 0xf3;

    expect(hvm_param_set(HVM_PARAM_CALLBACK_IRQ, want), 0);
    expect(hvm_param_get(HVM_PARAM_CALLBACK_IRQ, &v), 0);
    expect(v, want);
    expect(hvm_param_set(HVM_PARAM_CALLBACK_IRQ, 0), 0);
}

static void bad_index(void)
{
    static const uint32_t indexes[] = {HVM_NR_PARAMS, HVM_NR_PARAMS + 1, 1000, 0x80000000,
                                       0xffffffff};
    uint64_t v;

    for (unsigned i = 0; i < ARRAY_SIZE(indexes); i++) {
        expect(hvm_param_get(indexes[i], &v), -XEN_EINVAL);
        expect(hvm_param_set(indexes[i], 0), -XEN_EINVAL);
    }
    struct xen_hvm_param p = {.domid = 0x7e57, .index = HVM_PARAM_STORE_PFN};
    expect(hvm_op(HVMOP_get_param, &p), -XEN_ESRCH);
    expect(hvm_op(HVMOP_set_param, &p), -XEN_ESRCH);
    expect(hvm_op(HVMOP_get_param, (void *)0x600000000000), -XEN_EFAULT);
    expect(hvm_op(HVMOP_set_param, (void *)0x600000000000), -XEN_EFAULT);
}

/* A guest must not move its console or store ring, its mode, or its monitor's ring. */
static void forbidden(void)
{
    static const uint8_t indexes[] = {HVM_PARAM_CONSOLE_PFN, HVM_PARAM_ALTP2M,
                                      HVM_PARAM_MONITOR_RING_PFN, HVM_PARAM_NESTEDHVM};

    for (unsigned i = 0; i < ARRAY_SIZE(indexes); i++) {
        long rc = hvm_param_set(indexes[i], 0x1234);
        check(rc < 0, "parameter %u can be set: %ld", indexes[i], rc);
    }
}

/* Numbers without a parameter, old ones and holes: what is asked is wrong, and not forbidden. */
static void holes(void)
{
    static const uint8_t indexes[] = {4, 13, 20, 21, 22, 23, 24, 25, 26, 30};
    uint64_t v;

    for (unsigned i = 0; i < ARRAY_SIZE(indexes); i++) {
        expect(hvm_param_get(indexes[i], &v), -XEN_EINVAL);
        expect(hvm_param_set(indexes[i], 0), -XEN_EINVAL);
    }
    expect(hvm_param_get(HVM_PARAM_IDENT_PT, &v), -XEN_EPERM);
}

static void unknown_sub_ops(void)
{
    static const uint32_t ops[] = {99, 26, 255, 0x7fffffff, 0xffffffff};

    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
        long rc = hvm_op(ops[i], NULL);
        check(rc == -XEN_ENOSYS, "hvm_op %x: %ld", ops[i], rc);
    }
}

static void upcall_vector(void)
{
    struct xen_hvm_evtchn_upcall_vector u = {.vcpu = 0, .vector = 0x8};
    long rc = hvm_op(HVMOP_set_evtchn_upcall_vector, &u);

    if (rc == -XEN_ENOSYS)
        skip("HVMOP_set_evtchn_upcall_vector");
    expect(rc, -XEN_EINVAL);
    u.vector = 0xf4;
    u.vcpu = 99;
    expect(hvm_op(HVMOP_set_evtchn_upcall_vector, &u), -XEN_ENOENT);
}

static void get_time(void)
{
    struct xen_hvm_get_time t = {0};
    long rc = hvm_op(HVMOP_get_time, &t);

    if (rc == -XEN_ENOSYS)
        skip("HVMOP_get_time");
    expect(rc, 0);
    uint64_t first = t.now;
    expect(hvm_op(HVMOP_get_time, &t), 0);
    check(t.now > first, "time stands still: %lu then %lu", first, t.now);
}

TEST_CASES(CASE(readable), CASE(callback), CASE(bad_index), CASE(forbidden), CASE(holes),
           CASE(unknown_sub_ops), CASE(upcall_vector), CASE(get_time))
