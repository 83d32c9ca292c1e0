/* SPDX-License-Identifier: MIT */
/*
 * CR3, pinned: only tables can be loaded that the guest cannot write, each other one is for the
 * agent to look at first, and none can be written again while a vCPU has it.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/inside.h"
#include "lib/page.h"
#include "lib/smp.h"
#include "lib/test.h"

#define CR_ACCESS 28u /* exit reason */
#define ROUNDS    20u

extern uint64_t pml4[512];

static uint64_t *other, *third;
static volatile struct ve_info *info;
static volatile unsigned asked;
static volatile bool agrees;
static struct ve_info seen;
static struct facet_altp2m_pin last;

static long agent_pin(unsigned vcpu, bool on)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_pin);
    long rc;

    last = (struct facet_altp2m_pin){.vcpu = vcpu, .on = on, .registers = FACET_ALTP2M_PIN_CR3};
    memcpy(&op.u, &last, sizeof(last));
    rc = inside_altp2m(&op);
    memcpy(&last, &op.u, sizeof(last));
    return rc;
}

static long agent_access(const void *table, uint16_t access)
{
    altp2m_op op = altp2m_new(HVMOP_altp2m_set_mem_access);

    op.u.mem_access.view = inside.kernel;
    op.u.mem_access.access = access;
    op.u.mem_access.gfn = table ? gfn_of(table) : GFN_ALL_ONES;
    return inside_altp2m(&op);
}

static long agent_range(const void *first, uint64_t nr, uint8_t access)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_set_range);
    struct facet_altp2m_set_range range = {.view = inside.kernel,
                                           .access = access,
                                           .suppress_ve = FACET_ALTP2M_LEAVE,
                                           .first_gfn = gfn_of(first),
                                           .nr = nr};

    memcpy(&op.u, &range, sizeof(range));
    return inside_altp2m(&op);
}

static int load(const void *table)
{
    return try_write_cr3((uint64_t)table);
}

static void on_ve(struct regs *r)
{
    (void)r;
    asked++;
    seen = *(const struct ve_info *)info;
    info->busy = 0;
    if (asked > 10)
        test_broke("#VE does not end");
    if (agrees)
        agent_access((const void *)seen.gpa, ACCESS_R);
    else
        info->busy = ~0U; /* as if somebody had taken it: the next is for the hypervisor */
}

static void prepare(void)
{
    struct facet_altp2m_enter e;
    long rc;

    if (!on_facet)
        skip("pin");
    other = page_alloc(2, 2);
    third = other + 512;
    info = page_alloc(1, 1);
    memcpy(other, pml4, PAGE);
    memcpy(third, pml4, PAGE);
    need(inside_prepare() == 0, "the agent cannot be made");
    for (unsigned i = 0; i < 2; i++) {
        e = inside_entry(i);
        expect(inside_register(&e), 0);
    }
    rc = altp2m_enable_notify(0, gfn_of(info));
    if (rc == -XEN_EOPNOTSUPP)
        skip("#VE");
    expect(rc, 0);
    trap_handle(VEC_VE, on_ve);
    expect(inside_seal(), 0);
}

static void offered(void)
{
    if (!on_facet)
        skip("pin");
    expect(agent_pin(0, true), 0);
    expect(agent_pin(0, false), 0);
}

#define NEED_IT()                                                                                  \
    do {                                                                                           \
        if (!on_facet)                                                                             \
            skip("a pin of CR3");                                                                  \
    } while (0)

/* Not pinned: anything goes, and the agent may give back what it likes. */
static void not_pinned(void)
{
    NEED_IT();
    expect(load(other), VEC_NONE);
    expect(agent_access(other, ACCESS_R), 0);
    expect(agent_access(other, ACCESS_RWX), 0);
    expect(load(pml4), VEC_NONE);
}

/* With the agent's consent, which it is asked for once; where nobody can be asked not at all. */
static void asks(void)
{
    NEED_IT();
    expect(agent_pin(0, true), 0);
    asked = 0;
    agrees = false;
    info->busy = ~0U;
    expect(load(other), VEC_GP);
    expect(load(pml4), VEC_GP);
    expect(load((void *)0x7ffff000000), VEC_GP); /* nothing is there */
    expect(agent_pin(0, true), -XEN_EEXIST);
    info->busy = 0;
    expect(load(other), VEC_GP); /* asked, and it did not agree */
    expect(asked, 1);
    expect(read_cr3(), (uint64_t)pml4);
    info->busy = 0;
    agrees = true;
    expect(load(other), VEC_NONE);
    expect(asked, 2);
    expect(read_cr3(), (uint64_t)other);
    expect(seen.exit_reason, CR_ACCESS);
    expect(seen.gla, (uint64_t)other);
    expect(seen.gpa, (uint64_t)other);
    expect(load((uint64_t *)((uint64_t)pml4 | 8)), VEC_NONE);
    expect(seen.gla, (uint64_t)pml4 | 8);
    expect(seen.gpa, (uint64_t)pml4);
    for (unsigned i = 0; i < ROUNDS; i++) {
        expect(load(pml4), VEC_NONE);
        expect(load(other), VEC_NONE);
    }
    expect(asked, 3);
    expect(try_write64(&other[5], 1), VEC_GP); /* no #VE bit: the hypervisor's to decide */
}

/* What is loaded stays as it is; what was, and is written again, has to be looked at again, however
 * often the processor has seen it. */
static void gives_back(void)
{
    NEED_IT();
    asked = 0;
    expect(load(pml4), VEC_NONE);
    expect(agent_access(pml4, ACCESS_RWX), -XEN_EBUSY);
    expect(agent_access(pml4, ACCESS_RW), -XEN_EBUSY);
    expect(agent_access(pml4, ACCESS_RX2RW), -XEN_EBUSY);
    expect(agent_access(pml4, ACCESS_DEFAULT), -XEN_EBUSY);
    expect(agent_access(NULL, ACCESS_RWX), -XEN_EBUSY);
    expect(agent_access(pml4, ACCESS_R), 0);
    expect(agent_range(pml4, 1, ACCESS_RWX), -XEN_EBUSY);
    expect(agent_range((void *)((uint64_t)pml4 - PAGE), 3, ACCESS_RWX), -XEN_EBUSY);
    expect(agent_access(other, ACCESS_RWX), 0);
    expect(try_write64(&other[5], 0), VEC_NONE);
    expect(load(pml4), VEC_NONE);
    expect(asked, 0);
    agrees = false;
    expect(load(other), VEC_GP);
    expect(asked, 1);
    info->busy = 0;
    agrees = true;
    expect(load(other), VEC_NONE);
    expect(asked, 2);
    expect(agent_range(other, 2, ACCESS_RWX), -XEN_EBUSY);
    expect(load(pml4), VEC_NONE);
    expect(agent_range(other, 2, ACCESS_RWX), 0);
}

static volatile unsigned step;
static volatile int loaded_1;

static void on_1(unsigned vcpu)
{
    (void)vcpu;
    loaded_1 = load(third);
    step = 1;
    while (step != 2)
        sched_op(SCHEDOP_yield, NULL);
    loaded_1 = load(pml4);
    step = 3;
    for (;;)
        sched_op(SCHEDOP_yield, NULL);
}

static void wait_for(unsigned s)
{
    yield_until(step == s);
    expect(step, s);
}

/* What another vCPU has loaded stays, too. */
static void of_another(void)
{
    NEED_IT();
    expect(smp_start(1, on_1), 0);
    wait_for(1);
    expect(loaded_1, VEC_NONE);
    expect(agent_access(third, ACCESS_R), 0);
    expect(agent_access(third, ACCESS_RWX), 0); /* that one is not bound */
    expect(agent_access(third, ACCESS_R), 0);
    expect(agent_pin(1, true), 0);
    expect(agent_access(third, ACCESS_RWX), -XEN_EBUSY);
    step = 2;
    wait_for(3);
    expect(loaded_1, VEC_NONE);
    expect(agent_access(third, ACCESS_RWX), 0);
    expect(agent_pin(1, false), 0);
}

static void ends(void)
{
    NEED_IT();
    asked = 0;
    expect(agent_pin(0, false), 0);
    expect(load(other), VEC_NONE);
    expect(agent_access(pml4, ACCESS_RWX), 0);
    expect(load(pml4), VEC_NONE);
    expect(agent_pin(0, true), 0);
    expect(inside_unseal(), 0);
    expect(load(other), VEC_NONE);
    expect(load(pml4), VEC_NONE);
    expect(asked, 0);
    expect(altp2m_switch(0), 0);
    expect(altp2m_set_state(0), 0);
}

TEST_CASES(CASE(prepare), CASE(offered), CASE(not_pinned), CASE(asks), CASE(gives_back),
           CASE(of_another), CASE(ends))
