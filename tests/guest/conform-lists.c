/* SPDX-License-Identifier: MIT */
/*
 * The altp2m sub-ops that take lists and ranges (9 and 15), and pointers of all kinds: across
 * pages, into nothing, read-only, wrapping. One line a call, as in conform.c; mode mixed.
 */
#include <string.h>
#include "lib/conform.h"
#include "lib/cpu.h"
#include "lib/page.h"

#define HOLE    (0xd0000000UL / PAGE)
#define LISTED  64 /* distance of the first listed frame from scene.g */
#define ENTRIES 200
#define WINDOW  0x0000600000000000UL /* nothing is mapped there */
#define WANTED  ACCESS_RX

static uint64_t *gfns;  /* a page of them */
static uint8_t *wanted; /* likewise */
static altp2m_op op;

/* How many of the listed frames have the wanted access, and whether they are the first ones. */
static void give_applied(uint16_t view)
{
    unsigned n = 0, last = 0;
    uint16_t a;

    for (unsigned i = 0; i < ENTRIES; i++) {
        if (altp2m_get_access(view, scene.g + LISTED + i, &a) == 0 && a == WANTED) {
            n++;
            last = i + 1;
        }
    }
    give("applied=%u%s", n, n == last ? "" : " not in a row");
}

static void lists_reset(void)
{
    scene_reset();
    for (unsigned i = 0; i < ENTRIES; i++) {
        gfns[i] = scene.g + LISTED + i;
        wanted[i] = WANTED;
    }
    op = altp2m_new(HVMOP_altp2m_set_mem_access_multi);
    op.u.set_mem_access_multi.view = VIEW_USED;
}

static void point_to(uint64_t g, uint64_t w)
{
    uint8_t *u = (uint8_t *)&op.u;

    if (conform_narrow()) { /* Xen's struct for 32-bit callers: 4-byte handles at 16 and 20 */
        memcpy(u + 16, &g, 4);
        memcpy(u + 20, &w, 4);
    } else {
        memcpy(u + 16, &g, 8);
        memcpy(u + 24, &w, 8);
    }
}

static void multi_at(const char *id, altp2m_op *at)
{
    char full[64];
    long rc = conform_call(at);

    give("opaque=%lu", (unsigned long)at->u.set_mem_access_multi.opaque);
    give_applied(VIEW_USED);
    format(full, sizeof(full), "9.%s", id);
    report(full, "set_mem_access_multi", rc);
}

static void multi(const char *id, uint32_t nr, uint64_t opaque)
{
    op.u.set_mem_access_multi.nr = nr;
    op.u.set_mem_access_multi.opaque = opaque;
    multi_at(id, &op);
}

static void multi_good(void)
{
    lists_reset();
    point_to((uint64_t)gfns, (uint64_t)wanted);
}

static void multi_counts(void)
{
    static const uint32_t counts[] = {0, 1, 2, 63, 64, 65, 127, 128, 129, 199, 200};
    static const uint64_t opaques[] = {0, 1, 9, 10, 11, 12, 1UL << 31, 1UL << 32, 1UL << 63, ~0UL};
    char id[40];

    for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
        multi_good();
        format(id, sizeof(id), "nr.%u", counts[i]);
        multi(id, counts[i], 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(opaques); i++) {
        multi_good();
        format(id, sizeof(id), "opaque.%lx", opaques[i]);
        multi(id, 10, opaques[i]);
    }
    if (conform_narrow())
        return;
    /* Only the last entry is left to do, and the lists are so far below it that it can be read. */
    lists_reset();
    point_to((uint64_t)gfns - (8UL << 31), (uint64_t)wanted - (1UL << 31));
    multi("nr.2^31", 0x80000001, 0x80000000);
    lists_reset();
    point_to((uint64_t)gfns - 8 * 0xfffffffeUL, (uint64_t)wanted - 0xfffffffeUL);
    multi("nr.2^32-1", 0xffffffff, 0xfffffffe);
}

static void multi_fields(void)
{
    static const uint16_t views[] = {0,  VIEW_USED, VIEW_FRESH, VIEW_HIDDEN, VIEW_DESTROYED, 9,
                                     10, 511,       512,        0x8000,      0xffff};
    static const uint16_t pads[] = {1, 0x100, 0x8000, 0xffff};
    char id[40];

    for (unsigned i = 0; i < ARRAY_SIZE(views); i++) {
        multi_good();
        op.u.set_mem_access_multi.view = views[i];
        format(id, sizeof(id), "view.%u", views[i]);
        multi(id, 10, 0);
        if (views[i] == 0) {
            for (unsigned j = 0; j < 10; j++)
                altp2m_set_access(0, gfns[j], ACCESS_RWX);
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(pads); i++) {
        multi_good();
        op.u.set_mem_access_multi.pad = pads[i];
        format(id, sizeof(id), "pad.%x", pads[i]);
        multi(id, 10, 0);
    }
}

static void multi_entries(void)
{
    static const unsigned at[] = {0, 1, 5, 62, 63, 64, 65, 128, 199};
    static const uint8_t accesses[] = {0, 2, 6, 8, 9, 10, 11, 127, 128, 255};
    const uint64_t places[] = {scene.g + AT_REMAPPED,
                               scene.g + AT_GONE,
                               scene.g + AT_SHARED,
                               HOLE,
                               0xfee00,
                               1UL << 28,
                               1UL << 40,
                               1UL << 52,
                               1UL << 63,
                               ~1UL};
    char id[40];

    for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
        multi_good();
        wanted[at[i]] = ACCESS_DEFAULT + 1;
        format(id, sizeof(id), "bad-access-at.%u", at[i]);
        multi(id, ENTRIES, 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(accesses); i++) {
        multi_good();
        wanted[3] = accesses[i];
        format(id, sizeof(id), "access.%u", accesses[i]);
        multi(id, 10, 0);
        give("%s", scene_entry(VIEW_USED, gfns[3]));
        format(id, sizeof(id), "9.access.%u.then", accesses[i]);
        report(id, "its entry", 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        multi_good();
        gfns[3] = places[i];
        format(id, sizeof(id), "gfn.%u", i);
        multi(id, 10, 0);
    }
    multi_good();
    gfns[3] = ~0UL;
    multi("gfn.~0", 10, 0);
    give("views=%s", scene_views());
    report("9.gfn.~0.then", "default access after it", 0);
    altp2m_set_access(0, GFN_ALL_ONES, ACCESS_RWX);
    multi_good();
    gfns[7] = gfns[3];
    wanted[7] = ACCESS_R;
    multi("twice", 10, 0);
}

/* Lists that end at, or cross, the border of what is mapped. Wider than 32 bits. */
static void multi_pointers(void)
{
    uint8_t *two = page_alloc(2, 1);

    if (conform_narrow())
        return;
    page_map(WINDOW, (uint64_t)two, PTE_RWX);
    for (unsigned keep = 0; keep <= 66; keep += keep < 2 ? 1 : 32) {
        char id[40];

        lists_reset();
        memcpy(two + PAGE - keep * 8, gfns, keep * 8);
        point_to(WINDOW + PAGE - keep * 8, (uint64_t)wanted);
        format(id, sizeof(id), "gfns-end-after.%u", keep);
        multi(id, ENTRIES, 0);
        lists_reset();
        memcpy(two + PAGE - keep, wanted, keep);
        point_to((uint64_t)gfns, WINDOW + PAGE - keep);
        format(id, sizeof(id), "accesses-end-after.%u", keep);
        multi(id, ENTRIES, 0);
    }
    lists_reset();
    page_map(WINDOW + PAGE, (uint64_t)two + PAGE, PTE_RWX);
    memcpy(two + PAGE - 12, gfns, 80); /* an entry across two pages */
    point_to(WINDOW + PAGE - 12, (uint64_t)wanted);
    multi("gfns-unaligned", 10, 0);
    page_map(WINDOW, 0, 0);
    page_map(WINDOW + PAGE, 0, 0);
    lists_reset();
    point_to(0, 0);
    multi("null", 0, 0);
    lists_reset();
    point_to(WINDOW, WINDOW);
    multi("nothing", 1, 0);
    lists_reset();
    point_to(WINDOW, WINDOW);
    multi("nothing-many", 0xffffffff, 0);
    lists_reset();
    point_to(~0UL - 15, (uint64_t)wanted);
    multi("wrap", 10, 0);
}

/* ---- ranges ---- */

static void range(const char *id, uint64_t first, uint64_t last, void change(void))
{
    struct xen_hvm_altp2m_suppress_ve_multi *a = &op.u.suppress_ve_multi;
    char full[64];

    scene_reset();
    op = altp2m_new(HVMOP_altp2m_set_suppress_ve_multi);
    a->view = VIEW_USED;
    a->first_gfn = first;
    a->last_gfn = last;
    if (change)
        change();
    long rc = conform_call(&op);

    give("first=%s%lx", a->first_gfn - scene.g < 1024 ? "g+" : "",
         (unsigned long)(a->first_gfn - scene.g < 1024 ? a->first_gfn - scene.g : a->first_gfn));
    give("error=%d", a->first_error);
    if (a->first_error)
        give("at=%lx", (unsigned long)(a->first_error_gfn - first));
    give("%s", scene_entry(VIEW_USED, scene.g + AT_PLAIN));
    format(full, sizeof(full), "15.%s", id);
    report(full, "set_suppress_ve_multi", rc);
}

#define CHANGE(name, statement)                                                                    \
    static void name(void)                                                                         \
    {                                                                                              \
        statement;                                                                                 \
    }
CHANGE(pad, op.u.suppress_ve_multi.pad1 = 1)
CHANGE(pad_top, op.u.suppress_ve_multi.pad1 = 0x80)
CHANGE(other_true, op.u.suppress_ve_multi.suppress_ve = 0xff)
CHANGE(old_error, op.u.suppress_ve_multi.first_error = -1)
CHANGE(old_error_gfn, op.u.suppress_ve_multi.first_error_gfn = 5)
CHANGE(fresh, op.u.suppress_ve_multi.view = VIEW_FRESH)
CHANGE(hidden, op.u.suppress_ve_multi.view = VIEW_HIDDEN)
CHANGE(absent, op.u.suppress_ve_multi.view = VIEW_DESTROYED)
CHANGE(nine, op.u.suppress_ve_multi.view = 9)
CHANGE(ten, op.u.suppress_ve_multi.view = 10)
CHANGE(top_view, op.u.suppress_ve_multi.view = 0xffff)

static void ranges(void)
{
    const uint64_t p = scene.g + AT_PLAIN, top = 1UL << 28;

    range("one", p, p, NULL);
    range("two", p, p + 1, NULL);
    range("many", p, p + 300, NULL);
    range("backwards", p + 1, p, NULL);
    range("pad", p, p + 1, pad);
    range("pad-top", p, p + 1, pad_top);
    range("suppress-255", p, p + 1, other_true);
    range("old-error", p, p + 1, old_error);
    range("old-error-gfn", p, p + 1, old_error_gfn);
    range("fresh", p, p + 1, fresh);
    range("hidden", p, p + 1, hidden);
    range("absent", p, p + 1, absent);
    range("view-9", p, p + 1, nine);
    range("view-10", p, p + 1, ten);
    range("view-65535", p, p + 1, top_view);
    range("over-gone", scene.g + AT_GONE - 1, scene.g + AT_GONE + 2, NULL);
    range("hole", HOLE, HOLE + 3, NULL);
    range("hole-one", HOLE, HOLE, NULL);
    range("zero", 0, 0, NULL);
    range("zero-one", 0, 1, NULL);
    range("4g", 0xffffe, 0x100001, NULL);
    range("2^28", top - 1, top + 1, NULL);
    range("2^36", (1UL << 36) - 1, (1UL << 36) + 1, NULL);
    range("2^52", 1UL << 52, (1UL << 52) + 1, NULL);
    range("2^63", 1UL << 63, (1UL << 63) + 1, NULL);
    range("~1", ~1UL, ~0UL, NULL);
    range("~0", ~0UL, ~0UL, NULL);
    range("~0-to-0", ~0UL, 0, NULL);
}

/* ---- where the struct lies ---- */

static const uint32_t pointed[] = {1, 2, 4, 6, 7, 9, 11, 12, 14, 15};

static void fill(void *at, uint32_t cmd)
{
    altp2m_op o = altp2m_new(cmd);

    switch (cmd) {
    case HVMOP_altp2m_set_domain_state:
        o.u.domain_state.state = 1;
        break;
    case HVMOP_altp2m_create_p2m:
        o.u.view.hvmmem_default_access = ACCESS_RWX;
        break;
    case HVMOP_altp2m_switch_p2m:
        o.u.view.view = VIEW_USED;
        break;
    case HVMOP_altp2m_set_mem_access:
    case HVMOP_altp2m_get_mem_access:
        o.u.mem_access.view = VIEW_USED;
        o.u.mem_access.access = ACCESS_RX;
        o.u.mem_access.gfn = scene.g + AT_PLAIN;
        break;
    case HVMOP_altp2m_set_mem_access_multi:
        o.u.set_mem_access_multi.view = VIEW_USED;
        o.u.set_mem_access_multi.nr = ENTRIES;
        set_xen_guest_handle(o.u.set_mem_access_multi.pfn_list, gfns);
        set_xen_guest_handle(o.u.set_mem_access_multi.access_list, wanted);
        break;
    case HVMOP_altp2m_get_suppress_ve:
        o.u.suppress_ve.view = VIEW_USED;
        o.u.suppress_ve.gfn = scene.g + AT_PLAIN;
        break;
    case HVMOP_altp2m_set_suppress_ve_multi:
        o.u.suppress_ve_multi.view = VIEW_USED;
        o.u.suppress_ve_multi.first_gfn = scene.g + AT_PLAIN;
        o.u.suppress_ve_multi.last_gfn = scene.g + AT_OTHER;
        break;
    default:
        break;
    }
    memcpy(at, &o, sizeof(o));
}

/* The struct is written through `at` and the call made with `va`. */
static void pointer(const char *name, void *at, uint64_t va)
{
    char id[64];

    for (unsigned i = 0; i < ARRAY_SIZE(pointed); i++) {
        uint16_t idx;

        lists_reset();
        if (at)
            fill(at, pointed[i]);
        long rc = conform_call((void *)va);

        altp2m_get_index(0, &idx);
        give("on %u views=%s %s", idx, scene_views(), scene_entry(VIEW_USED, scene.g + AT_PLAIN));
        format(id, sizeof(id), "at-%s.%u", name, pointed[i]);
        report(id, "struct there", rc);
        if (at)
            memset(at, 0, sizeof(altp2m_op));
    }
}

static void window(uint64_t va, uint64_t first, uint64_t second, uint64_t flags)
{
    page_map(va, first, first ? flags : 0);
    page_map(va + PAGE, second, second ? flags : 0);
}

static void pointers(void)
{
    uint8_t *p = page_alloc(2, 1);
    const uint64_t a = (uint64_t)p, w = WINDOW + 16 * PAGE;

    pointer("unaligned", p + 1, a + 1);
    pointer("page-end", p + PAGE - 80, a + PAGE - 80);
    pointer("two-pages", p + PAGE - 40, a + PAGE - 40);
    if (conform_narrow())
        return;
    pointer("nothing", NULL, w);
    window(w, a, 0, PTE_RWX);
    pointer("second-page-missing", p + PAGE - 40, w + PAGE - 40);
    pointer("last-byte-missing", p + PAGE - 79, w + PAGE - 79);
    window(w, 0, a, PTE_RWX);
    pointer("first-page-missing", NULL, w + PAGE - 40);
    window(w, a, 0, PTE_P | PTE_U);
    pointer("read-only", p, w);
    window(w, HOLE * PAGE, 0, PTE_RWX);
    pointer("hole", NULL, w);
    window(w, 0xfee00000, 0, PTE_RWX);
    pointer("apic", NULL, w);
    window(w, (scene.g + AT_GONE) * PAGE, 0, PTE_RWX);
    pointer("gone", NULL, w);
    window(w, a, (scene.g + AT_GONE) * PAGE, PTE_RWX);
    pointer("second-page-gone", p + PAGE - 40, w + PAGE - 40);
    window(w, 0, 0, 0);
    pointer("non-canonical", p, a | 1UL << 50);
    page_map(0x00007ffffffff000, a, PTE_RWX);
    pointer("end-of-lower-half", p + PAGE - 40, 0x0000800000000000 - 40);
    page_map(0x00007ffffffff000, 0, 0);
    pointer("top", NULL, ~0UL - 79);
    pointer("wrap", NULL, ~0UL - 39);
}

static void lists(void)
{
    uint64_t mode = 0;

    if (hvm_param_get(HVM_PARAM_ALTP2M, &mode) || mode != XEN_ALTP2M_mixed)
        skip("altp2m mode mixed");
    scene_init();
    gfns = page_alloc(1, 1);
    wanted = page_alloc(1, 1);
    multi_counts();
    multi_fields();
    multi_entries();
    multi_pointers();
}

TEST_CASES(CASE(lists), CASE(ranges), CASE(pointers))
