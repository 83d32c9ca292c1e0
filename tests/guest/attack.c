/* SPDX-License-Identifier: MIT */
/*
 * What a hostile kernel, or a hostile user program, does with altp2m from inside the guest
 * (docs/audit.md). Each attack works under the policy that the command line names as "open", and
 * must fail under "audited". Under "grandfathered" Xen's own sub-operations are as open as on Xen,
 * and Facet's are refused. Attacks on what a monitor has set up: attack-watched.c.
 */
#include <string.h>
#include <facet/hvmop.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

static bool audited, grandfathered;
static uint8_t *page;
static uint16_t v;

/* What an attack returns where it works, and where it is refused. */
static long outcome(void)
{
    return audited ? -XEN_EPERM : 0;
}

/* The same of Facet's sub-operations that no policy but "open" gives. */
static long outcome_of_own(void)
{
    return audited || grandfathered ? -XEN_EPERM : 0;
}

static void begin(void)
{
    char policy[16];

    need(cmdline_get("policy", policy, sizeof(policy)), "the command line names no policy");
    audited = strcmp(policy, "audited") == 0;
    grandfathered = strcmp(policy, "grandfathered") == 0;
    need(audited || grandfathered || strcmp(policy, "open") == 0, "unknown policy %s", policy);
    if ((audited || grandfathered) && !on_facet)
        skip("policies");
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    expect(v, 1);
    page = page_alloc(4, 4);
}

/* View 0 is the host map: whoever edits it edits all views, a monitor's too. */
static void host_map_access(void)
{
    uint16_t a = 0xffff;

    expect(altp2m_set_access(0, gfn_of(page), ACCESS_R), outcome());
    expect(altp2m_get_access(0, gfn_of(page), &a), 0);
    expect(a, audited ? ACCESS_RWX : ACCESS_R);
    expect(altp2m_set_access(0, gfn_of(page), ACCESS_RWX), outcome());
}

static void host_map_default(void)
{
    expect(altp2m_set_access(0, GFN_ALL_ONES, ACCESS_RWX), outcome());
}

static void host_map_ve(void)
{
    expect(altp2m_set_suppress_ve(0, gfn_of(page), 0), outcome());
    expect(altp2m_set_suppress_ve(0, gfn_of(page), 1), outcome());
}

static void host_map_list(void)
{
    uint64_t gfns[2] = {gfn_of(page), gfn_of(page) + 1};
    uint8_t access[2] = {ACCESS_RWX, ACCESS_RWX};

    expect(altp2m_set_access_multi(0, 2, gfns, access), outcome());
}

static void view_0_remap(void)
{
    volatile uint64_t *here = (volatile uint64_t *)(page + PAGE);
    volatile uint64_t *there = (volatile uint64_t *)(page + 2 * PAGE);

    *here = 1;
    *there = 2;
    expect(altp2m_change_gfn(0, gfn_of((void *)here), gfn_of((void *)there)), outcome());
    expect(*here, audited ? 1 : 2);
    expect(altp2m_change_gfn(0, gfn_of((void *)here), GFN_ALL_ONES), outcome());
    expect(*here, 1);
}

static void view_0_hidden(void)
{
    expect(altp2m_set_visibility(0, 0), outcome());
    expect(altp2m_set_visibility(0, 1), outcome());
}

static uint64_t user_vmfunc(uint64_t view)
{
    return (uint64_t)try_vmfunc(0, (uint32_t)view);
}

/* Turning #VE on also lets any user program enter any view that is not hidden. */
static void vmfunc_from_user(void)
{
    uint16_t on = 0xffff;
    long rc = altp2m_enable_notify(0, gfn_of(page + 3 * PAGE));

    if (rc == -XEN_EOPNOTSUPP)
        skip("VMFUNC and #VE");
    expect(rc, 0);
    expect(user_run(user_vmfunc, v), audited ? (uint64_t)VEC_UD : (uint64_t)VEC_NONE);
    expect(altp2m_get_index(0, &on), 0);
    expect(on, audited ? 0 : v);
    expect(altp2m_switch(0), 0);
    if (!audited)
        return;
    expect(altp2m_stub_set_vmfunc(&altp2m_self, 0, 1), 0); /* the kernel may ask for it */
    expect(user_run(user_vmfunc, v), (uint64_t)VEC_NONE);
    expect(altp2m_stub_set_vmfunc(&altp2m_self, 0, 0), 0);
    expect(user_run(user_vmfunc, 0), VEC_UD);
    expect(altp2m_switch(0), 0);
}

/* Error codes tell which domains there are. */
static void domains_counted(void)
{
    static const uint16_t domains[] = {0x7e57, 0x7e58, 200};

    for (unsigned i = 0; i < ARRAY_SIZE(domains); i++) {
        altp2m_op op = altp2m_new(HVMOP_altp2m_get_domain_state);
        op.domain = domains[i];
        expect(altp2m_call(&op), audited ? -XEN_EPERM : -XEN_ESRCH);
    }
}

/* All numbers of views taken, so that a monitor gets none. */
static void views_used_up(void)
{
    uint16_t views[16], n = 0;
    long rc = 0;

    while (rc == 0 && n < 16) {
        rc = altp2m_create(ACCESS_RWX, &views[n]);
        n += rc == 0;
    }
    expect(rc, -XEN_EINVAL);
    expect(n, audited ? 4 : 8); /* of 10, view 0 and `v` are there */
    while (n > 0)
        expect(altp2m_destroy(views[--n]), 0);
}

/* How much table memory there is, and is used: a monitor's too. */
static void tables_counted(void)
{
    struct facet_altp2m_usage u = {.view = FACET_ALTP2M_ALL_VIEWS};

    if (!on_facet)
        skip("usage");
    expect(altp2m_stub_usage(&altp2m_self, &u), grandfathered ? -XEN_EPERM : 0);
    if (grandfathered)
        return;
    check(u.pool_free < u.pool_pages, "%u of %u pages free", u.pool_free, u.pool_pages);
    expect(u.pool_fixed != 0, !audited); /* a guest under audited is told of its share only */
    expect(u.host_tables != 0, !audited);
}

static void unsafe_ones(void)
{
    uint64_t name = 0, skipped = 0;

    if (!on_facet)
        skip("Facet's own sub-operations");
    expect(altp2m_stub_shadow_create(&altp2m_self, ~0ULL, &name), outcome_of_own());
    expect(altp2m_stub_isolate(&altp2m_self, v, ACCESS_RWX, ACCESS_R, FACET_ALTP2M_LEAVE,
                               gfn_of(page), 1, &skipped),
           outcome_of_own());
}

static altp2m_op from_user;

static uint64_t user_call(uint64_t nr)
{
    uint64_t rax = nr;

    __asm__ volatile("vmcall" : "+a"(rax) : "D"(HVMOP_altp2m), "S"(&from_user) : "memory");
    return rax;
}

/* No sub-operation for a user program, whatever the policy, and nothing comes of it. */
static void called_from_user(void)
{
    altp2m_op before;
    uint8_t on;

    for (uint32_t cmd = 1; cmd < 0x8020; cmd = cmd == 20 ? 0x8000 : cmd + 1) {
        from_user = altp2m_new(cmd);
        before = from_user;
        expect((int64_t)user_run(user_call, __HYPERVISOR_hvm_op), -XEN_EPERM);
        check(memcmp(&from_user, &before, sizeof(before)) == 0, "%#x: written to", cmd);
    }
    expect(altp2m_get_state(&on), 0);
    expect(on, 1); /* set_domain_state(0) was among them */
}

static void told_why(void)
{
    struct facet_altp2m_query q = {.index = 0};
    unsigned denied = 0;

    if (!on_facet)
        skip("query");
    for (uint32_t i = 0; i == 0 || i < q.number; i++) {
        q = (struct facet_altp2m_query){.index = i};
        expect(altp2m_stub_query(&altp2m_self, &q), 0);
        check(q.why == 0 || (outcome_of_own() && q.why == FACET_ALTP2M_WHY_POLICY), "%s: why is %u",
              q.name, q.why);
        check((q.why == 0) == (q.flags & FACET_ALTP2M_QUERY_ALLOWED), "%s: flags", q.name);
        denied += q.why != 0;
    }
    /* By "grandfathered", all of Facet's but this one. */
    expect(denied, audited ? 2 : grandfathered ? q.number - 16 - 1 : 0);
}

TEST_CASES(CASE(begin), CASE(host_map_access), CASE(host_map_default), CASE(host_map_ve),
           CASE(host_map_list), CASE(view_0_remap), CASE(view_0_hidden), CASE(vmfunc_from_user),
           CASE(domains_counted), CASE(views_used_up), CASE(tables_counted), CASE(unsafe_ones),
           CASE(called_from_user), CASE(told_why))
