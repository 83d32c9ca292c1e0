/* SPDX-License-Identifier: MIT */
/*
 * What a hostile kernel, or a hostile user program, does with altp2m from inside the guest
 * (docs/audit.md). Each attack works under the policy that the command line names as "open", and
 * must fail under "audited". Attacks on a monitor's views need a monitor: tests/unit has those.
 */
#include <string.h>
#include <facet/hvmop.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

static bool audited;
static uint8_t *page;
static uint16_t v;

/* What an attack returns where it works, and where it is refused. */
static long outcome(void)
{
    return audited ? -XEN_EPERM : 0;
}

static void begin(void)
{
    char policy[16];

    need(cmdline_get("policy", policy, sizeof(policy)), "the command line names no policy");
    audited = strcmp(policy, "audited") == 0;
    need(audited || strcmp(policy, "open") == 0, "unknown policy %s", policy);
    if (audited && !on_facet)
        skip("policies");
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    expect(v, 1);
    page = page_alloc(4, 4);
}

static long own(uint32_t cmd, const void *argument, size_t size)
{
    altp2m_op op = altp2m_new(cmd);

    memcpy(&op.u, argument, size);
    return altp2m_call(&op);
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
    struct facet_altp2m_set_vmfunc ask = {.on = 1};
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
    expect(own(FACET_ALTP2M_set_vmfunc, &ask, sizeof(ask)), 0); /* the kernel may ask for it */
    expect(user_run(user_vmfunc, v), (uint64_t)VEC_NONE);
    ask.on = 0;
    expect(own(FACET_ALTP2M_set_vmfunc, &ask, sizeof(ask)), 0);
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
    altp2m_op op = altp2m_new(FACET_ALTP2M_usage);

    if (!on_facet)
        skip("usage");
    memcpy(&op.u, &u, sizeof(u));
    expect(altp2m_call(&op), 0);
    memcpy(&u, &op.u, sizeof(u));
    check(u.pool_free < u.pool_pages, "%u of %u pages free", u.pool_free, u.pool_pages);
    expect(u.pool_fixed != 0, !audited); /* a guest under audited is told of its share only */
    expect(u.host_tables != 0, !audited);
}

static void unsafe_ones(void)
{
    struct facet_altp2m_shadow_create shadow = {.source_gfn = ~0ULL};
    struct facet_altp2m_isolate isolate = {.view = v, .access = ACCESS_RWX, .others = ACCESS_R,
                                           .suppress_ve = FACET_ALTP2M_LEAVE, .nr = 1};

    if (!on_facet)
        skip("Facet's own sub-operations");
    isolate.first_gfn = gfn_of(page);
    expect(own(FACET_ALTP2M_shadow_create, &shadow, sizeof(shadow)), outcome());
    expect(own(FACET_ALTP2M_isolate, &isolate, sizeof(isolate)), outcome());
}

static void told_why(void)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_query);
    struct facet_altp2m_query q = {.index = 0};
    unsigned denied = 0;

    if (!on_facet)
        skip("query");
    for (uint32_t i = 0; i == 0 || i < q.number; i++) {
        q = (struct facet_altp2m_query){.index = i};
        memcpy(&op.u, &q, sizeof(q));
        expect(altp2m_call(&op), 0);
        memcpy(&q, &op.u, sizeof(q));
        check(q.why == 0 || (audited && q.why == FACET_ALTP2M_WHY_POLICY), "%s: why is %u",
              q.name, q.why);
        check((q.why == 0) == (q.flags & FACET_ALTP2M_QUERY_ALLOWED), "%s: flags", q.name);
        denied += q.why != 0;
    }
    expect(denied, audited ? 2 : 0);
}

TEST_CASES(CASE(begin), CASE(host_map_access), CASE(host_map_default), CASE(host_map_ve),
           CASE(host_map_list), CASE(view_0_remap), CASE(view_0_hidden), CASE(vmfunc_from_user),
           CASE(domains_counted), CASE(views_used_up), CASE(tables_counted), CASE(unsafe_ones),
           CASE(told_why))
