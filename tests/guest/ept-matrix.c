/* SPDX-License-Identifier: MIT */
/*
 * The permission matrix of nested page tables, EPT or NPT: every access value x every kind of
 * access, the page walk's own reads and writes included x the size of the host map's leaf x the way
 * the restriction is given. A line "MATRIX access kind outcome" tells what each access met in a
 * view: `-` nothing, or the right that was missing; `facet compare --matrix` makes a table of them.
 *
 * Without a listener a denied access is let through once more: the restriction is dropped or
 * converted, which reads back. Where the page's suppress-#VE bit can be cleared without splitting
 * what is tested, the first denial comes as a #VE, which tells rights and kind. The handler leaves
 * the information page busy, so that the second try is the hypervisor's.
 *
 * The guest's image is at 1 GiB (guest.mk), so that it has no part in the first GiB, which is to be
 * one leaf. 2 MiB leaves follow the image, and the last MiB of memory is mapped by 4 KiB leaves.
 * The host map stays split where view 0 restricted a page: those lines come last, and `leaves`,
 * between the two, proves by counting tables that the leaves were whole until then.
 */
#include <string.h>
#include <facet/hvmop.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/page.h"
#include "lib/test.h"

#define EXIT_EPT_VIOLATION 48u
#define Q_LINEAR           (1u << 7)
#define Q_FINAL            (1u << 8)

/* A set of rights; same bits as in an exit qualification (SDM volume 3, table 27-7). */
enum { NONE = 0, R = 1, W = 2, X = 4, RW = R | W, RX = R | X, RWX = R | W | X };

#define PTE_A 0x20ULL
#define PTE_D 0x40ULL

#define GIB        0x40000UL                  /* in pages */
#define FIRST_2M   (GIB + (8UL << 20) / PAGE) /* behind the image and its arena */
#define NR_2M      24u                        /* leaves */
#define SPARE_2M   20u                        /* from here on: never restricted through view 0 */
#define FIRST_4K   (FIRST_2M + NR_2M * 512)
#define NR_4K      256u
#define WALK_VA    0x0000600000008000UL
#define WALK_INDEX (WALK_VA / PAGE % 512)

enum size { SIZE_4K, SIZE_2M, SIZE_1G };
enum how {
    HOW_DEFAULT,  /* the view's default_access */
    HOW_OVERRIDE, /* of one page in a view */
    HOW_HOST,     /* through view 0, seen in view 0 */
    HOW_HOST_VIEW /* through view 0, seen in a view that says nothing of the page */
};

/*
 * What each value gives, and what it turns to when an access is denied and nobody listens. EPT has
 * no write without read: w gives nothing, wx what execute-only gives. rx2rw is rx until the first
 * write, then rw; n2rwx is n until the first access, then rwx; the others are dropped. NPT has
 * nothing without read: w, x and wx are refused.
 */
static const struct {
    const char *name;
    uint8_t rights, after;
} rules[] = {
    [ACCESS_N] = {"n", NONE, ACCESS_RWX},      [ACCESS_R] = {"r", R, ACCESS_RWX},
    [ACCESS_W] = {"w", NONE, ACCESS_RWX},      [ACCESS_RW] = {"rw", RW, ACCESS_RWX},
    [ACCESS_X] = {"x", X, ACCESS_RWX},         [ACCESS_RX] = {"rx", RX, ACCESS_RWX},
    [ACCESS_WX] = {"wx", X, ACCESS_RWX},       [ACCESS_RWX] = {"rwx", RWX, ACCESS_RWX},
    [ACCESS_RX2RW] = {"rx2rw", RX, ACCESS_RW}, [ACCESS_N2RWX] = {"n2rwx", NONE, ACCESS_RWX},
};

/*
 * The rights that an access needs of the restricted page, in the order in which it needs them. A
 * walk reads the entry before it sets a flag in it.
 */
enum kind { READ, WRITE, EXECUTE, WALK_READ, WALK_ACCESSED, WALK_DIRTY, KINDS };
static const struct {
    const char *name;
    uint8_t need[2];
    bool walk;
    uint8_t set; /* flags of the guest's page table entry that the walk has to set */
} kinds[KINDS] = {
    [READ] = {"read", {R}, false, 0},
    [WRITE] = {"write", {W}, false, 0},
    [EXECUTE] = {"execute", {X}, false, 0},
    [WALK_READ] = {"walk-read", {R}, true, 0},
    [WALK_ACCESSED] = {"walk-accessed", {R, W}, true, PTE_A},
    [WALK_DIRTY] = {"walk-dirty", {R, W}, true, PTE_D},
};

struct cell {
    enum size size;
    enum how how;
    uint8_t access;
    enum kind kind;
    uint64_t gfn;
    uint16_t view;
    uint8_t denied; /* the right that is missed first, or 0 */
    bool ve;        /* the denial comes as a #VE first */
};

static const char *const letters[] = {"?",       "read",         "write",         "read,write",
                                      "execute", "read,execute", "write,execute", "all"};
static volatile struct ve_info *info;
static volatile uint64_t *target;
static uint16_t v;
static bool ready, have_ve, walk_writes_checked;

static volatile unsigned taken;
static struct ve_info seen;

/* Of the line that is running: its failing cells, and what was wrong in the first. */
static char failing[80], detail[72];

static void on_ve(struct regs *r)
{
    (void)r;
    if (taken++ == 0)
        seen = *(const struct ve_info *)info;
}

static void arm(void)
{
    taken = 0;
    seen = (struct ve_info){0};
    info->busy = 0;
    __asm__ volatile("" ::: "memory");
}

static volatile uint64_t *at(uint64_t gfn)
{
    return (volatile uint64_t *)(gfn * PAGE);
}

/* One of the cell's values must be as wanted. */
static void want(const struct cell *c, const char *what, uint64_t got, uint64_t wanted)
{
    const char *name = kinds[c->kind].name;
    size_t n = strlen(failing), k = strlen(name);

    if (got == wanted)
        return;
    if (!n)
        format(detail, sizeof(detail), "%s: %s %lx, wanted %lx", name, what, got, wanted);
    if (n < k || strcmp(failing + n - k, name) != 0)
        format(failing + n, sizeof(failing) - n, "%s%s", n ? " " : "", name);
}

static struct facet_altp2m_usage usage_of(uint16_t view)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_usage);
    struct facet_altp2m_usage u = {.view = view};

    memcpy(&op.u, &u, sizeof(u));
    expect(altp2m_call(&op), 0);
    memcpy(&u, &op.u, sizeof(u));
    return u;
}

static uint16_t access_of(uint16_t view, uint64_t gfn)
{
    uint16_t a = 0xffff;

    return altp2m_get_access(view, gfn, &a) ? 0xffff : a;
}

/* ---- where ---- */

static uint64_t leaf_pages(enum size s)
{
    return s == SIZE_4K ? 1 : s == SIZE_2M ? 512 : GIB;
}

/* Pages are used again by other lines, but a 2 MiB region that view 0 restricts by one line only.
 */
static uint64_t place(const struct cell *c)
{
    unsigned host_line = c->access + (c->how == HOW_HOST_VIEW ? 10u : 0);
    unsigned inside = 0x77 + c->kind * 5;

    switch (c->size) {
    case SIZE_4K:
        return FIRST_4K + inside;
    case SIZE_2M:
        return FIRST_2M + 512UL * (c->how < HOW_HOST ? SPARE_2M : host_line) + inside;
    default:
        return 512UL * (c->how < HOW_HOST ? 300 : 3 + 5 * host_line) + inside;
    }
}

/* Pages that must not notice: beside the page, at the leaf's other end, in its next 2 MiB. */
static unsigned neighbours(const struct cell *c, uint64_t *gfns)
{
    uint64_t first = c->gfn & ~(leaf_pages(c->size) - 1);
    unsigned n = 0;

    gfns[n++] = c->gfn - 1;
    gfns[n++] = c->gfn + 1;
    if (c->size != SIZE_4K) {
        gfns[n++] = first + 1;
        gfns[n++] = first + leaf_pages(c->size) - 1;
    }
    if (c->size == SIZE_1G)
        gfns[n++] = c->gfn + 512;
    return n;
}

/* ---- a cell ---- */

/* A RET, the page's own number, and a page table entry for WALK_VA. */
static void fill(uint64_t gfn, uint64_t entry)
{
    volatile uint64_t *p = at(gfn);

    p[0] = 0xc3;
    p[1] = gfn;
    p[2] = p[3] = 0;
    p[WALK_INDEX] = entry;
}

static void prepare(const struct cell *c)
{
    uint64_t gfns[8];
    unsigned n = neighbours(c, gfns);

    fill(c->gfn, (uint64_t)target | PTE_RWX | ((PTE_A | PTE_D) & ~(uint64_t)kinds[c->kind].set));
    for (unsigned i = 0; i < n; i++)
        fill(gfns[i], 0);
    target[1] = 0x7a;
    target[2] = 0;
}

static void set(const struct cell *c, uint8_t access, uint8_t suppress)
{
    uint16_t view = c->how == HOW_OVERRIDE ? v : 0;

    expect(altp2m_set_access(view, c->gfn, access), 0);
    if (have_ve)
        expect(altp2m_set_suppress_ve(view, c->gfn, suppress), 0);
}

static void restrict_page(struct cell *c)
{
    c->view = c->how == HOW_HOST ? 0 : v;
    if (c->how == HOW_DEFAULT)
        expect(altp2m_create(c->access, &c->view), 0);
    else
        set(c, c->access, 0);
    want(c, "access set", access_of(c->view, c->gfn), c->access);
}

/* Maps the restricted page's entry in by tables of the guest's own. */
static void walk_through(uint64_t table_gfn)
{
    static uint64_t *pdpt, *pd;
    extern uint64_t pml4[512];

    if (!pdpt) {
        pdpt = page_alloc(1, 1);
        pd = page_alloc(1, 1);
        pdpt[WALK_VA >> 30 & 511] = (uint64_t)pd | PTE_RWX | PTE_A;
        pml4[WALK_VA >> 39 & 511] = (uint64_t)pdpt | PTE_RWX | PTE_A;
    }
    pd[WALK_VA >> 21 & 511] = (table_gfn * PAGE) | PTE_RWX | PTE_A;
    tlb_flush((void *)WALK_VA);
}

/* The access itself. It must happen in the end, whatever was denied first. */
static void poke(const struct cell *c, uint64_t gfn)
{
    volatile uint64_t *p = at(gfn), *q = (volatile uint64_t *)WALK_VA;

    switch (c->kind) {
    case READ:
        want(c, "read", p[1], gfn);
        break;
    case WRITE:
        p[2] = 0x5a;
        break;
    case EXECUTE:
        want(c, "vector", (unsigned)try_call((const void *)p), (unsigned)VEC_NONE);
        break;
    case WALK_DIRTY:
        q[2] = 0x5b;
        break;
    default:
        want(c, "read", q[1], 0x7a);
    }
}

static void verify_ve(const struct cell *c)
{
    bool walk = kinds[c->kind].walk;
    uint64_t q = seen.qualification;

    want(c, "#VEs", taken, c->denied != 0);
    if (!taken)
        return;
    want(c, "#VE reason", seen.exit_reason, EXIT_EPT_VIOLATION);
    want(c, "#VE kind", q & RWX, c->denied);
    want(c, "#VE rights", q >> 3 & RWX, rules[c->access].rights);
    want(c, "#VE flags", q & (Q_LINEAR | Q_FINAL), walk ? Q_LINEAR : Q_LINEAR | Q_FINAL);
    want(c, "#VE gpa", seen.gpa / PAGE, c->gfn);
    want(c, "#VE gla", seen.gla / PAGE, walk ? WALK_VA / PAGE : c->gfn);
}

/* What holds now, in the view, and where the restriction was made. */
static void verify_access(const struct cell *c, uint32_t overrides)
{
    uint8_t now = c->denied ? rules[c->access].after : c->access;

    switch (c->how) {
    case HOW_HOST: /* dropped in view 0's own tables: its access is still the host's to tell */
        want(c, "host access", access_of(0, c->gfn), c->access);
        want(c, "dropped", usage_of(0).overrides, overrides + (c->denied != 0));
        if (c->ve) {
            arm();
            try_call((const void *)at(c->gfn));
            want(c, "#VEs by execution", taken,
                 !(c->denied ? now == ACCESS_RWX : rules[c->access].rights & X));
        }
        break;
    case HOW_HOST_VIEW:
        want(c, "host access", access_of(0, c->gfn), c->access);
        want(c, "dropped", usage_of(v).overrides, overrides + (c->denied != 0));
        want(c, "access", access_of(v, c->gfn), now);
        break;
    default:
        want(c, "host access", access_of(0, c->gfn), ACCESS_RWX);
        want(c, "access", access_of(c->view, c->gfn), now);
    }
}

static void verify_contents(const struct cell *c)
{
    uint64_t set = kinds[c->kind].set;

    want(c, "word 1", at(c->gfn)[1], c->gfn);
    want(c, "word 2", at(c->gfn)[2], c->kind == WRITE ? 0x5a : 0);
    want(c, "flags set by the walk", at(c->gfn)[WALK_INDEX] & set, set);
    want(c, "target", target[2], c->kind == WALK_DIRTY ? 0x5b : 0);
}

/* In a view that restricts them all, the leaf that was split for the page denies as the whole did.
 */
static void verify_restricted(const struct cell *c, const uint64_t *gfns, unsigned n)
{
    uint8_t after = c->denied ? rules[c->access].after : c->access;

    for (unsigned i = 0; i < n; i++)
        want(c, "neighbour's access", access_of(c->view, gfns[i]), c->access);
    if (kinds[c->kind].walk)
        return;
    altp2m_switch(c->view);
    for (unsigned i = 0; i < n; i++)
        poke(c, gfns[i]);
    altp2m_switch(0);
    for (unsigned i = 0; i < n; i++)
        want(c, "neighbour's access then", access_of(c->view, gfns[i]), after);
}

/* Read, written and executed in the view without any effect on what is set anywhere. */
static void verify_free(const struct cell *c, const uint64_t *gfns, unsigned n)
{
    uint32_t overrides = usage_of(c->view).overrides;

    for (unsigned i = 0; i < n; i++)
        want(c, "neighbour's access", access_of(c->view, gfns[i]), ACCESS_RWX);
    arm();
    altp2m_switch(c->view);
    for (unsigned i = 0; i < n; i++) {
        volatile uint64_t *p = at(gfns[i]);
        want(c, "neighbour", p[1], gfns[i]);
        p[3] = gfns[i];
        try_call((const void *)p);
    }
    altp2m_switch(0);
    for (unsigned i = 0; i < n; i++)
        want(c, "neighbour's word", at(gfns[i])[3], gfns[i]);
    want(c, "neighbours' #VEs", taken, 0);
    want(c, "neighbours' overrides", usage_of(c->view).overrides, overrides);
}

static void verify_neighbours(const struct cell *c)
{
    uint64_t gfns[8];
    unsigned n = neighbours(c, gfns);

    if (c->how == HOW_DEFAULT)
        verify_restricted(c, gfns, n);
    else
        verify_free(c, gfns, n);
}

/* Takes it all back. The view shares the host's leaf again: it has its root, and nothing else. */
static void revert(const struct cell *c)
{
    struct facet_altp2m_usage u;

    if (c->how == HOW_DEFAULT) {
        expect(altp2m_destroy(c->view), 0);
        return;
    }
    if (c->how == HOW_OVERRIDE) {
        want(c, "tables of the view", usage_of(v).tables, 4);
        want(c, "overrides of the view", usage_of(v).overrides, 1);
    } else {
        set(c, ACCESS_RWX, 1);
    }
    if (c->view && c->kind % 2) /* all that the view has there, or the two one by one */
        expect(altp2m_change_gfn(v, c->gfn, GFN_ALL_ONES), 0);
    else if (c->view)
        expect(altp2m_set_access(v, c->gfn, ACCESS_DEFAULT), 0);
    if (c->how == HOW_OVERRIDE && have_ve && c->kind % 2 == 0) {
        want(c, "overrides left", usage_of(v).overrides, 1); /* its #VE bit */
        expect(altp2m_change_gfn(v, c->gfn, GFN_ALL_ONES), 0);
    }
    u = usage_of(c->view);
    want(c, "tables left", u.tables, 1);
    want(c, "overrides left", u.overrides, 0);
    want(c, "access left", access_of(c->view, c->gfn), ACCESS_RWX);
}

static void tell(const struct cell *c, const char *outcome)
{
    say("MATRIX %s %s %s\n", rules[c->access].name, kinds[c->kind].name, outcome);
}

/* Nobody gets more than was asked for: the call fails, and the page is as it was. */
static void run_refused(struct cell *c)
{
    uint16_t view = c->how == HOW_OVERRIDE || c->how == HOW_HOST_VIEW ? v : 0, made = VIEW_INVALID;

    c->gfn = place(c);
    c->view = c->how == HOW_HOST ? 0 : v;
    prepare(c);
    if (kinds[c->kind].walk)
        walk_through(c->gfn);
    if (c->how == HOW_DEFAULT) {
        expect(altp2m_create(c->access, &made), -XEN_EOPNOTSUPP);
        expect(made, VIEW_INVALID);
    } else {
        expect(altp2m_set_access(view, c->gfn, c->access), -XEN_EOPNOTSUPP);
    }
    want(c, "access", access_of(c->view, c->gfn), ACCESS_RWX);
    arm();
    expect(altp2m_switch(c->view), 0);
    poke(c, c->gfn);
    expect(altp2m_switch(0), 0);
    want(c, "#VEs", taken, 0);
    verify_contents(c);
    if (c->how == HOW_OVERRIDE && c->size == SIZE_4K)
        tell(c, "refused");
}

static void run_cell(struct cell *c)
{
    uint8_t rights = rules[c->access].rights;
    uint32_t overrides;

    c->gfn = place(c);
    c->denied = kinds[c->kind].need[0] & ~rights;
    if (!c->denied && walk_writes_checked)
        c->denied = kinds[c->kind].need[1] & ~rights;
    c->ve = have_ve && c->how != HOW_DEFAULT; /* a #VE bit of its own would split the view's leaf */
    prepare(c);
    restrict_page(c);
    if (kinds[c->kind].walk)
        walk_through(c->gfn);
    overrides = usage_of(c->view).overrides;
    arm();
    expect(altp2m_switch(c->view), 0);
    poke(c, c->gfn);
    expect(altp2m_switch(0), 0);
    if (c->ve)
        verify_ve(c);
    if (c->how == HOW_OVERRIDE && c->size == SIZE_4K)
        tell(c, taken ? letters[seen.qualification & RWX] : "-");
    verify_access(c, overrides);
    verify_neighbours(c);
    revert(c);
    verify_contents(c);
}

static bool large_1g(void)
{
    uint32_t r[4];

    cpuid(0x80000001, 0, r);
    return r[3] & 1u << 26;
}

/* One line of the matrix: all kinds of access. */
static void line(uint8_t access, enum size size, enum how how)
{
    if (!ready)
        skip("Facet's sub-op usage");
    if (size == SIZE_1G && !large_1g())
        skip("leaves of 1 GiB");
    failing[0] = detail[0] = 0;
    for (unsigned k = 0; k < KINDS; k++) {
        struct cell c = {.size = size, .how = how, .access = access, .kind = (enum kind)k};
        if (access_possible(access))
            run_cell(&c);
        else
            run_refused(&c);
    }
    check(!failing[0], "cells %s (%s)", failing, detail);
}

static void setup(void)
{
    if (!on_facet)
        skip("Facet's sub-op usage");
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    info = page_alloc(1, 1);
    target = page_alloc(1, 1);
    need((uint64_t)target < FIRST_2M * PAGE, "the image is too large");
    long rc = altp2m_enable_notify(0, gfn_of(info));
    check(rc == 0 || rc == -XEN_EOPNOTSUPP, "enable_notify: %ld", rc);
    have_ve = rc == 0;
    trap_handle(VEC_VE, on_ve);
    ready = true;
}

/* Whether this processor asks EPT before a walk sets an accessed flag. Bochs 2.7 does not. */
static void walk_writes(void)
{
    struct cell c = {
        .size = SIZE_4K, .how = HOW_OVERRIDE, .access = ACCESS_R, .kind = WALK_ACCESSED};

    if (!ready)
        skip("Facet's sub-op usage");
    c.gfn = place(&c);
    failing[0] = detail[0] = 0;
    prepare(&c);
    restrict_page(&c);
    walk_through(c.gfn);
    arm();
    expect(altp2m_switch(v), 0);
    poke(&c, c.gfn);
    expect(altp2m_switch(0), 0);
    walk_writes_checked = taken || access_of(v, c.gfn) != ACCESS_R;
    expect(altp2m_change_gfn(v, c.gfn, GFN_ALL_ONES), 0);
    verify_contents(&c);
    check(!failing[0], "cells %s (%s)", failing, detail);
    if (!walk_writes_checked)
        skip("a processor that checks a walk's writes; the lines take walk-accessed and "
             "walk-dirty for reads");
}

/* Tables that the host map had to make to give one page of a leaf an entry of its own. */
static uint32_t split_off(uint64_t gfn)
{
    uint32_t before = usage_of(0).host_tables;

    expect(altp2m_set_access(0, gfn, ACCESS_R), 0);
    expect(altp2m_set_access(0, gfn, ACCESS_RWX), 0);
    return usage_of(0).host_tables - before;
}

static void leaves(void)
{
    if (!ready)
        skip("Facet's sub-op usage");
    expect(split_off(512 * 500), large_1g() ? 2 : 1);
    for (unsigned i = SPARE_2M; i < NR_2M; i++)
        expect(split_off(FIRST_2M + 512 * i + 9), 1);
    expect(split_off(FIRST_4K + NR_4K - 1), 0);
}

/* The two views have their roots, and altp2m can be turned off. */
static void nothing_left(void)
{
    struct facet_altp2m_usage u;

    if (!ready)
        skip("Facet's sub-op usage");
    u = usage_of(FACET_ALTP2M_ALL_VIEWS);
    expect(u.views, 2);
    expect(u.tables, 2);
    expect(u.overrides, 0);
    expect(u.relaxed, 0);
    expect(altp2m_set_state(0), 0);
}

/* clang-format off */
#define EACH_ACCESS(item, size, HOW, how)                                                          \
    item(N, n, size, HOW, how) item(R, r, size, HOW, how) item(W, w, size, HOW, how)               \
    item(RW, rw, size, HOW, how) item(X, x, size, HOW, how) item(RX, rx, size, HOW, how)           \
    item(WX, wx, size, HOW, how) item(RWX, rwx, size, HOW, how)                                    \
    item(RX2RW, rx2rw, size, HOW, how) item(N2RWX, n2rwx, size, HOW, how)
#define EACH_SIZE(item, HOW, how)                                                                  \
    EACH_ACCESS(item, 4K, HOW, how) EACH_ACCESS(item, 2M, HOW, how)                                \
    EACH_ACCESS(item, 1G, HOW, how)
/* clang-format on */

#define DEFINE(CODE, code, size, HOW, how)                                                         \
    static void code##_##size##_##how(void)                                                        \
    {                                                                                              \
        line(ACCESS_##CODE, SIZE_##size, HOW_##HOW);                                               \
    }
EACH_SIZE(DEFINE, DEFAULT, default)
EACH_SIZE(DEFINE, OVERRIDE, override)
EACH_SIZE(DEFINE, HOST, host)
EACH_SIZE(DEFINE, HOST_VIEW, host_in_view)

#define LINE(CODE, code, size, HOW, how) CASE(code##_##size##_##how),
TEST_CASES(CASE(setup), CASE(walk_writes),
           EACH_SIZE(LINE, DEFAULT, default) EACH_SIZE(LINE, OVERRIDE, override) CASE(leaves),
           EACH_SIZE(LINE, HOST, host) EACH_SIZE(LINE, HOST_VIEW, host_in_view) CASE(nothing_left))
