/* SPDX-License-Identifier: MIT */
/*
 * As many vCPUs as a domain can have: each has an entry of its own, comes in on its own stack, and
 * its pins are its own. Those that are not up when the guest is sealed come in, too.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/inside.h"
#include "lib/smp.h"
#include "lib/test.h"

#define ROUNDS    4
#define MSR_LSTAR 0xc0000082u

_Static_assert(SMP_MAX == INSIDE_VCPUS, "each has a stack in the agent");

/* What each found. `fault` is shared, and so is this: one after the other. */
static volatile struct {
    uint64_t ticket, wrong_stacks, wrong_results, not_refused, done;
} found;

static void come_in(unsigned vcpu)
{
    uint64_t low = (uint64_t)inside_stacks[vcpu];

    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t sp = (uint64_t)inside_call(INSIDE_REG, REG_RSP, 0);

        found.wrong_stacks += sp - low >= sizeof(inside_stacks[0]);
        found.wrong_results += inside_call(INSIDE_EMPTY, vcpu + i, 0) != (long)(vcpu + i + 1);
    }
    found.not_refused += try_wrmsr(MSR_LSTAR, 0x1000 + vcpu) != VEC_GP;
}

static void on_each(unsigned vcpu)
{
    while (found.ticket != vcpu)
        sched_op(SCHEDOP_yield, NULL);
    come_in(vcpu);
    found.done++;
    found.ticket = vcpu + 1;
}

static long pin(unsigned vcpu, bool on)
{
    const struct facet_altp2m_pin a = {.vcpu = vcpu, .on = on, .registers = FACET_ALTP2M_PIN_LSTAR};
    altp2m_op op = altp2m_new(FACET_ALTP2M_pin);

    memcpy(&op.u, &a, sizeof(a));
    return inside_altp2m(&op);
}

static void sealed(void)
{
    struct facet_altp2m_enter e;

    if (!on_facet)
        skip("enter");
    need(inside_prepare() == 0, "the agent cannot be made");
    for (unsigned i = 0; i < SMP_MAX; i++) {
        e = inside_entry(i);
        expect(inside_register(&e), 0);
        expect(inside_register(&e), -XEN_EEXIST);
    }
    e.vcpu = SMP_MAX;
    expect(inside_register(&e), -XEN_EINVAL);
    expect(inside_seal(), 0);
}

static void all_come_in(void)
{
    if (!on_facet)
        skip("enter");
    found.ticket = SMP_MAX; /* nobody's */
    for (unsigned i = 1; i < SMP_MAX; i++)
        expect(smp_start(i, on_each), 0);
    for (unsigned i = 0; i < SMP_MAX; i++)
        expect(pin(i, true), 0);
    expect(pin(SMP_MAX, true), -XEN_EINVAL);
    come_in(0);
    found.ticket = 1;
    while (found.ticket != SMP_MAX)
        sched_op(SCHEDOP_yield, NULL);
    expect(found.done, SMP_MAX - 1);
    expect(found.wrong_stacks, 0);
    expect(found.wrong_results, 0);
    expect(found.not_refused, 0);
}

static void unsealed(void)
{
    if (!on_facet)
        skip("enter");
    expect(inside_unseal(), 0);
    expect(try_wrmsr(MSR_LSTAR, 0), VEC_NONE);
    expect(altp2m_set_state(0), 0);
}

TEST_CASES(CASE(sealed), CASE(all_come_in), CASE(unsealed))
