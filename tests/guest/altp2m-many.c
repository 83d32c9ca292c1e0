/* SPDX-License-Identifier: MIT */
/*
 * As many views as the domain may have (altp2m_count; up to 512 on Facet, 10 on Xen 4.17), all
 * different, all reached by VMFUNC and by hypercall. The cost of a call or a switch must not grow
 * with their number.
 */
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define CONTENTS 128u

static unsigned views; /* view 0 included */
static volatile uint64_t *window;
static uint8_t *pages;
static bool vmfunc_works;

static volatile uint64_t *content(unsigned view)
{
    return (volatile uint64_t *)(pages + view % CONTENTS * PAGE);
}

static uint64_t cost_of_a_call(void)
{
    uint64_t best = ~0ULL;
    uint16_t id;

    for (unsigned i = 0; i < 9; i++) {
        uint64_t start = rdtsc();
        altp2m_get_index(0, &id);
        uint64_t took = rdtsc() - start;
        if (took < best)
            best = took;
    }
    return best;
}

static uint64_t cost_with_few, cost_with_all;

static void create_all(void)
{
    char want[8];
    uint16_t id;

    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    window = page_alloc(1, 1);
    *window = 0x1000;
    pages = page_alloc(CONTENTS, 1);
    for (unsigned i = 0; i < CONTENTS; i++)
        *content(i) = i;
    cost_with_few = cost_of_a_call();
    for (views = 1; altp2m_create(ACCESS_RWX, &id) == 0; views++) {
        if (id != views) {
            check(false, "view %u has id %u", views, id);
            break;
        }
    }
    cost_with_all = cost_of_a_call();
    say("altp2m-many: %u views, a call costs %lu ticks with one and %lu with all\n", views,
        cost_with_few, cost_with_all);
    if (cmdline_get("views", want, sizeof(want))) {
        unsigned n = 0;
        for (const char *p = want; *p; p++)
            n = n * 10 + (unsigned)(*p - '0');
        expect(views, n);
    }
    check(views >= 10 && views <= 512, "%u views", views);
}

static void cost(void)
{
    check(cost_with_all < cost_with_few + cost_with_few / 10 + 100,
          "a call costs %lu, then %lu ticks", cost_with_few, cost_with_all);
}

static void remap_all(void)
{
    for (unsigned v = 1; v < views && !test_is_failing(); v++)
        check(altp2m_change_gfn((uint16_t)v, gfn_of(window), gfn_of(content(v))) == 0, "view %u",
              v);
    expect(*window, 0x1000);
}

static void by_hypercall(void)
{
    for (unsigned v = 1; v < views && !test_is_failing(); v += 1 + v % 3) {
        check(altp2m_switch((uint16_t)v) == 0, "switch to %u", v);
        check(*window == v % CONTENTS, "view %u shows %lx", v, *window);
    }
    expect(altp2m_switch(0), 0);
    expect(*window, 0x1000);
}

static void by_vmfunc(void)
{
    /* On Xen an empty view may raise #VE at its first touch, so each is touched before. */
    for (unsigned v = 1; v < views && !on_facet; v++) {
        altp2m_switch((uint16_t)v);
        (void)*window;
        altp2m_switch(0);
    }
    long rc = altp2m_enable_notify(0, gfn_of(page_alloc(1, 1)));
    if (rc == -XEN_EOPNOTSUPP)
        skip("#VE and VMFUNC");
    expect(rc, 0);
    vmfunc_works = true;
    for (unsigned v = views - 1; v > 0 && !test_is_failing(); v--) {
        check(try_vmfunc(0, v) == VEC_NONE, "view %u: vector %d", v, fault.vector);
        check(*window == v % CONTENTS, "view %u shows %lx", v, *window);
    }
    expect(try_vmfunc(0, 0), VEC_NONE);
    expect(*window, 0x1000);
    expect(try_vmfunc(0, 512), VEC_UD);
}

static void destroy_half(void)
{
    uint16_t id;

    for (unsigned v = 1; v < views && !test_is_failing(); v += 2)
        check(altp2m_destroy((uint16_t)v) == 0, "destroying %u", v);
    if (vmfunc_works) {
        expect(try_vmfunc(0, 1), VEC_UD);
        expect(try_vmfunc(0, 2), VEC_NONE);
        expect(*window, 2);
        expect(try_vmfunc(0, 0), VEC_NONE);
    }
    expect(altp2m_create(ACCESS_RWX, &id), 0);
    expect(id, 1);
}

static void off(void)
{
    expect(altp2m_set_state(0), 0);
    expect(*window, 0x1000);
    for (unsigned v = 0; v < views; v += 37)
        expect(try_vmfunc(0, v), VEC_UD);
}

TEST_CASES(CASE(create_all), CASE(cost), CASE(remap_all), CASE(by_hypercall), CASE(by_vmfunc),
           CASE(destroy_half), CASE(off))
