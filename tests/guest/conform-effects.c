/* SPDX-License-Identifier: MIT */
/*
 * What altp2m's calls do to real accesses, to #VE and VMFUNC, and what changes of the host map do
 * to views. No monitor listens. One line each, as in conform.c; mode mixed.
 *
 *   part=effects (default)
 *   part=misconfig access=N    reads a page with access w (2) or wx (6), which EPT cannot express
 */
#include <stdlib.h>
#include <string.h>
#include "lib/conform.h"
#include "lib/cpu.h"
#include "lib/page.h"

#define RET        0xc3
#define AT_CODE    40 /* holds RET; distances from scene.g */
#define AT_TABLE   41 /* a page table that maps AT_CODE at WINDOW */
#define AT_CHANGED 60
#define WINDOW     0x0000600000000000UL
#define PTE_A      0x20UL
#define PTE_D      0x40UL

extern uint64_t pml4[512];

static const uint16_t v = VIEW_USED;
static const char *const access_names[] = {"n",  "r",   "w",     "rw",    "x",      "rx",
                                           "wx", "rwx", "rx2rw", "n2rwx", "default"};

static uint8_t *at(unsigned n)
{
    return scene.page + n * PAGE;
}

static volatile uint64_t *word(unsigned n)
{
    return (volatile uint64_t *)at(n);
}

static void line(const char *what, const char *variant, const char *text, long rc)
{
    char id[64];

    format(id, sizeof(id), "%s.%s", what, variant);
    report(id, text, rc);
}

/* ---- accesses ---- */

static void do_read(volatile uint8_t *p)
{
    (void)*p;
}
static void do_write(volatile uint8_t *p)
{
    *p = RET;
}
static void do_add(volatile uint8_t *p)
{
    __asm__ volatile("lock addb $0, %0" : "+m"(*p));
}
static void do_execute(volatile uint8_t *p)
{
    __asm__ volatile("call *%0" ::"r"(p) : "memory");
}

struct way {
    const char *name;
    void (*go)(volatile uint8_t *p);
};
static const struct way ways[] = {
    {"read", do_read}, {"write", do_write}, {"add", do_add}, {"execute", do_execute}};

static bool expressible(unsigned access)
{
    return access != ACCESS_W && access != ACCESS_WX;
}

/* Which restrictions an access lifts when nobody listens. */
static void lifts(void)
{
    char id[40];

    for (unsigned a = 0; a <= ACCESS_DEFAULT; a++) {
        for (unsigned i = 0; i < ARRAY_SIZE(ways) && expressible(a); i++) {
            scene_reset();
            *at(AT_CODE) = RET;
            long rc = altp2m_set_access(v, scene.g + AT_CODE, (uint16_t)a);

            altp2m_switch(v);
            ways[i].go(at(AT_CODE));
            altp2m_switch(0);
            give("then %s", scene_entry(v, scene.g + AT_CODE));
            format(id, sizeof(id), "%s.%s", access_names[a], ways[i].name);
            line("lift", id, "an access with nobody listening", rc);
        }
    }
}

/* The same for a page that the processor reads, and may write, as a page table. */
static void table_lifts(void)
{
    static const uint64_t bits[] = {0, PTE_A, PTE_A | PTE_D};
    uint64_t *pdpt = page_alloc(1, 1), *pd = page_alloc(1, 1), *pt = (uint64_t *)at(AT_TABLE);
    char id[40];

    pml4[WINDOW >> 39 & 511] = (uint64_t)pdpt | PTE_RWX;
    pdpt[0] = (uint64_t)pd | PTE_RWX;
    pd[0] = (uint64_t)pt | PTE_RWX;
    for (unsigned a = 0; a <= ACCESS_DEFAULT; a++) {
        for (unsigned i = 0; i < 3 * ARRAY_SIZE(ways) && expressible(a); i++) {
            scene_reset();
            pt[0] = (uint64_t)at(AT_CODE) | PTE_RWX | bits[i / ARRAY_SIZE(ways)];
            long rc = altp2m_set_access(v, scene.g + AT_TABLE, (uint16_t)a);

            altp2m_switch(v);
            tlb_flush((void *)WINDOW);
            ways[i % ARRAY_SIZE(ways)].go((volatile uint8_t *)WINDOW);
            altp2m_switch(0);
            give("bits %lx then %s", pt[0] & (PTE_A | PTE_D), scene_entry(v, scene.g + AT_TABLE));
            format(id, sizeof(id), "%s.%s-%lx", access_names[a], ways[i % ARRAY_SIZE(ways)].name,
                   bits[i / ARRAY_SIZE(ways)]);
            line("walk", id, "a page walk with nobody listening", rc);
        }
    }
    pml4[WINDOW >> 39 & 511] = 0;
    tlb_flush((void *)WINDOW);
}

/* ---- remaps ---- */

static void shows(unsigned n)
{
    altp2m_switch(v);
    give("g+%u shows %lu", n, *word(n));
    altp2m_switch(0);
}

static long remap(unsigned from, unsigned to)
{
    return altp2m_change_gfn(v, scene.g + from, scene.g + to);
}

static long revert(unsigned n)
{
    return altp2m_change_gfn(v, scene.g + n, GFN_ALL_ONES);
}

static void remaps(void)
{
    const uint64_t g = scene.g;
    long rc;

    scene_reset();
    shows(AT_REMAPPED);
    rc = revert(AT_REMAPPED);
    shows(AT_REMAPPED);
    give("%s", scene_entry(v, g + AT_REMAPPED));
    line("remap", "revert", "a remap is taken back", rc);

    scene_reset();
    altp2m_switch(v);
    *word(AT_REMAPPED) = 1000;
    altp2m_switch(0);
    give("source %lu place %lu", *word(AT_SOURCE), *word(AT_REMAPPED));
    *word(AT_SOURCE) = AT_SOURCE;
    line("remap", "write", "a write goes to the frame that is shown", 0);

    scene_reset();
    rc = remap(AT_PLAIN, AT_REMAPPED);
    shows(AT_PLAIN);
    rc |= revert(AT_REMAPPED);
    shows(AT_PLAIN);
    line("remap", "chain", "to a gfn that is remapped itself", rc);

    scene_reset();
    rc = remap(AT_PLAIN, AT_OTHER) | remap(AT_OTHER, AT_PLAIN);
    shows(AT_PLAIN);
    shows(AT_OTHER);
    line("remap", "swap", "two gfns to each other", rc);

    scene_reset();
    rc = remap(AT_PLAIN, AT_PLAIN);
    shows(AT_PLAIN);
    give("%s", scene_entry(v, g + AT_PLAIN));
    line("remap", "itself", "a gfn to itself", rc);

    scene_reset();
    rc = remap(AT_PLAIN, AT_RESTRICTED);
    give("%s", scene_entry(v, g + AT_PLAIN));
    line("remap", "to-restricted", "access comes from the target", rc);

    scene_reset();
    rc = remap(AT_RESTRICTED, AT_PLAIN);
    give("%s", scene_entry(v, g + AT_RESTRICTED));
    rc |= revert(AT_RESTRICTED);
    give("%s", scene_entry(v, g + AT_RESTRICTED));
    line("remap", "from-restricted", "a restricted gfn, and back", rc);

    scene_reset();
    rc = altp2m_set_access(v, g + AT_REMAPPED, ACCESS_R);
    give("%s", scene_entry(v, g + AT_REMAPPED));
    shows(AT_REMAPPED);
    line("remap", "then-restricted", "a remapped gfn is restricted", rc);

    scene_reset();
    rc = altp2m_change_gfn(0, g + AT_PLAIN, g + AT_OTHER);
    give("g+8 shows %lu", *word(AT_PLAIN));
    rc |= altp2m_change_gfn(0, g + AT_PLAIN, GFN_ALL_ONES);
    give("g+8 shows %lu", *word(AT_PLAIN));
    line("remap", "view-0", "in view 0, and back", rc);
}

/* ---- changes of the host map ---- */

static long give_back(unsigned n)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    uint64_t gfn = scene.g + n;

    set_xen_guest_handle(r.extent_start, &gfn);
    return memory_op(XENMEM_decrease_reservation, &r);
}

static long take(unsigned n)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};
    uint64_t gfn = scene.g + n;

    set_xen_guest_handle(r.extent_start, &gfn);
    return memory_op(XENMEM_populate_physmap, &r);
}

static void entry(const char *what, unsigned n)
{
    char text[48];

    strcpy(text, scene_entry(v, scene.g + n));
    give("%s %s", what, text);
}

static void host_line(const char *variant, const char *text, long rc)
{
    line("host", variant, text, rc);
    altp2m_set_state(0);
    if (*word(AT_CHANGED) == ~0UL)
        take(AT_CHANGED);
    *word(AT_CHANGED) = AT_CHANGED;
}

static void host_changes(void)
{
    const uint64_t g = scene.g;
    const unsigned c = AT_CHANGED;
    long rc;

    scene_reset();
    altp2m_set_access(v, g + c, ACCESS_R);
    rc = give_back(c);
    entry("changed", c);
    entry("other", AT_RESTRICTED);
    host_line("restricted-gone", "a restricted page is given back", rc);

    scene_reset();
    altp2m_set_access(v, g + c, ACCESS_R);
    rc = give_back(c) + take(c);
    entry("changed", c);
    give("holds %lu", *word(c));
    host_line("restricted-again", "and another taken in its place", rc);

    scene_reset();
    remap(c, AT_OTHER);
    rc = give_back(c);
    entry("changed", c);
    entry("other", AT_RESTRICTED);
    host_line("remapped-gone", "a remapped page is given back", rc);

    scene_reset();
    remap(AT_PLAIN, c);
    rc = give_back(c);
    entry("place", AT_PLAIN);
    entry("other", AT_RESTRICTED);
    host_line("target-gone", "what a remap shows is given back", rc);

    scene_reset();
    remap(AT_PLAIN, c);
    rc = give_back(c) + take(c);
    *word(c) = 77;
    entry("place", AT_PLAIN);
    shows(AT_PLAIN);
    entry("other", AT_RESTRICTED);
    host_line("target-again", "and another taken in its place", rc);

    scene_reset();
    altp2m_set_access(v, g + c, ACCESS_R);
    rc = altp2m_set_access(0, g + c, ACCESS_RX);
    entry("changed", c);
    altp2m_set_access(0, g + c, ACCESS_RWX);
    entry("back", c);
    host_line("access", "the host restricts a page that a view restricts", rc);

    scene_reset();
    rc = altp2m_set_access(0, g + AT_PLAIN, ACCESS_RX);
    entry("plain", AT_PLAIN);
    altp2m_switch(v);
    *word(AT_PLAIN) = AT_PLAIN;
    altp2m_switch(0);
    entry("written", AT_PLAIN);
    altp2m_set_access(0, g + AT_PLAIN, ACCESS_RWX);
    host_line("access-plain", "the host restricts a page that a view does not", rc);

    scene_reset();
    rc = altp2m_set_suppress_ve(0, g + AT_PLAIN, 0);
    entry("plain", AT_PLAIN);
    altp2m_set_suppress_ve(0, g + AT_PLAIN, 1);
    entry("back", AT_PLAIN);
    host_line("suppress", "the host's suppress-#VE bit changes", rc);

    scene_reset();
    altp2m_set_access(0, g + c, ACCESS_R);
    *word(c) = 1;
    rc = altp2m_set_access(0, g + c, ACCESS_R);
    *word(c) = c;
    altp2m_set_access(0, g + c, ACCESS_RWX);
    host_line("lifted-in-0", "a restriction of the host map is lifted in view 0", rc);
}

/* ---- views ---- */

static void defaults(void)
{
    char id[32];

    for (uint16_t a = 0; a <= ACCESS_DEFAULT; a++) {
        uint16_t id4 = 0;

        scene_reset();
        long rc = altp2m_create(a, &id4);

        give("view %u %s", id4, scene_entry(id4, scene.g + AT_CODE));
        format(id, sizeof(id), "%s", access_names[a]);
        line("default", id, "a page of a new view, untouched", rc);
        rc = altp2m_set_access(id4, scene.g + AT_CODE, ACCESS_DEFAULT);
        give("%s", scene_entry(id4, scene.g + AT_CODE));
        format(id, sizeof(id), "%s.set", access_names[a]);
        line("default", id, "its access set to `default`", rc);
    }
}

static void numbers(void)
{
    char id[32];
    uint16_t got;

    scene_reset();
    for (unsigned i = 0; i < 8; i++) {
        long rc = altp2m_create(ACCESS_RWX, &got);

        give("view=%u views=%s", got, scene_views());
        format(id, sizeof(id), "create-%u", i);
        line("views", id, "create while there is room, and beyond", rc);
    }
    give("%ld %ld", altp2m_destroy(7), altp2m_destroy(5));
    give("views=%s", scene_views());
    line("views", "destroy-two", "holes in the numbers", 0);
    for (unsigned i = 0; i < 3; i++) {
        long rc = altp2m_create(ACCESS_R, &got);

        give("view=%u views=%s", got, scene_views());
        format(id, sizeof(id), "again-%u", i);
        line("views", id, "the lowest number first", rc);
    }
    altp2m_switch(v);
    line("views", "destroy-current", "destroy the view in use", altp2m_destroy(v));
    altp2m_set_visibility(v, 0);
    altp2m_get_index(0, &got);
    give("on %u", got);
    line("views", "hide-current", "hide the view in use", 0);
    line("views", "switch-to-itself", "switch to the hidden view in use", altp2m_switch(v));
    line("views", "switch-away", "leave it", altp2m_switch(0));
    line("views", "switch-back", "enter it again", altp2m_switch(v));
    altp2m_set_visibility(v, 1);
    altp2m_switch(v);
    long rc = altp2m_set_state(0);
    altp2m_set_state(1);
    altp2m_get_index(0, &got);
    give("on %u views=%s", got, scene_views());
    line("views", "off-on", "off while in a view, and on", rc);
}

/* ---- VMFUNC and #VE ---- */

static void vmfunc(const char *when, const char *name, uint32_t leaf, uint32_t view)
{
    uint16_t idx;
    char id[48];
    int vector = try_vmfunc(leaf, view);

    altp2m_get_index(0, &idx);
    give("on %u", idx);
    altp2m_switch(0);
    format(id, sizeof(id), "%s.%s", when, name);
    line("vmfunc", id, "the vector that it raises (-1: none)", vector);
}

static uint64_t user_vmfunc(uint64_t view)
{
    return (uint64_t)(int64_t)try_vmfunc(0, (uint32_t)view);
}

static void vmfuncs(void)
{
    uint16_t idx;

    scene_reset();
    vmfunc("never-enabled", "used", 0, VIEW_USED);
    long rc = altp2m_enable_notify(0, scene.g + AT_NOTIFY);
    rc |= altp2m_disable_notify(0); /* VMFUNC stays on; no #VE from views not filled yet */
    line("vmfunc", "on", "enable, disable", rc);
    vmfunc("on", "0", 0, 0);
    vmfunc("on", "used", 0, VIEW_USED);
    vmfunc("on", "fresh", 0, VIEW_FRESH);
    vmfunc("on", "hidden", 0, VIEW_HIDDEN);
    vmfunc("on", "destroyed", 0, VIEW_DESTROYED);
    vmfunc("on", "9", 0, 9);
    vmfunc("on", "10", 0, 10);
    vmfunc("on", "511", 0, 511);
    vmfunc("on", "512", 0, 512);
    vmfunc("on", "0xffffffff", 0, 0xffffffff);
    vmfunc("on", "leaf-1", 1, VIEW_USED);
    vmfunc("on", "leaf-63", 63, VIEW_USED);
    vmfunc("on", "leaf-64", 64, VIEW_USED);
    vmfunc("on", "leaf-0xffffffff", 0xffffffff, VIEW_USED);
    altp2m_set_visibility(VIEW_HIDDEN, 1);
    vmfunc("on", "shown", 0, VIEW_HIDDEN);
    altp2m_destroy(VIEW_FRESH);
    vmfunc("on", "destroyed-now", 0, VIEW_FRESH);
    rc = (long)user_run(user_vmfunc, VIEW_USED);
    altp2m_get_index(0, &idx);
    give("on %u", idx);
    line("vmfunc", "on.user", "at CPL 3", rc);
    line("vmfunc", "on.destroy-entered", "destroy a view entered by VMFUNC", altp2m_destroy(v));
    altp2m_switch(0);
    altp2m_set_state(0);
    line("vmfunc", "off.used", "altp2m off", try_vmfunc(0, VIEW_USED));
    altp2m_set_state(1);
    line("vmfunc", "off-on.0", "off and on", try_vmfunc(0, 0));
}

static volatile struct ve_info *info;
static volatile unsigned taken;
static struct ve_info seen;

static void on_ve(struct regs *r)
{
    (void)r;
    taken++;
    seen = *(const struct ve_info *)info;
    try_vmfunc(0, 0);
    info->busy = 0;
}

static void ve_case(unsigned a, const struct way *w, bool suppress, uint32_t busy)
{
    char id[48];

    altp2m_set_access(v, scene.g + AT_CODE, (uint16_t)a);
    altp2m_set_suppress_ve(v, scene.g + AT_CODE, suppress);
    taken = 0;
    info->busy = busy;
    try_vmfunc(0, v);
    w->go(at(AT_CODE));
    altp2m_switch(0);
    info->busy = 0;
    give("taken %u", taken);
    if (taken)
        give("reason %u busy %x qualification %lx gpa +%lx gla +%lx index %u", seen.exit_reason,
             seen.busy, seen.qualification, seen.gpa - (uint64_t)scene.page,
             seen.gla - (uint64_t)scene.page, seen.eptp_index);
    give("%s", scene_entry(v, scene.g + AT_CODE));
    format(id, sizeof(id), "%s.%s%s%s", access_names[a], w->name, suppress ? ".suppressed" : "",
           busy ? ".busy" : "");
    line("ve", id, "a violation", 0);
}

static void violations(void)
{
    info = page_alloc(1, 1);
    scene_reset();
    /* Xen fills views at the first touch, which may raise a #VE: all that is needed is touched. */
    altp2m_enable_notify(0, gfn_of((void *)info));
    altp2m_disable_notify(0);
    trap_handle(VEC_VE, on_ve);
    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        ve_case(ACCESS_RWX, &ways[i], true, 0);
        altp2m_switch(v);
        __asm__ volatile("int $20" ::: "memory"); /* the handler, in the view */
        try_vmfunc(0, 0);
    }
    if (altp2m_enable_notify(0, gfn_of((void *)info)))
        skip("#VE");
    for (unsigned a = 0; a <= ACCESS_N2RWX; a++) {
        for (unsigned i = 0; i < ARRAY_SIZE(ways) && expressible(a); i++) {
            ve_case(a, &ways[i], false, 0);
            if (a <= ACCESS_R) {
                ve_case(a, &ways[i], true, 0);
                ve_case(a, &ways[i], false, ~0u);
            }
        }
    }
    trap_handle(VEC_VE, NULL);
    altp2m_disable_notify(0);
}

static bool wanted(const char *name)
{
    char text[16] = "effects";

    cmdline_get("part", text, sizeof(text));
    return strcmp(text, name) == 0;
}

static void effects(void)
{
    if (!wanted("effects"))
        return;
    scene_init();
    lifts();
    table_lifts();
    remaps();
    host_changes();
    defaults();
    numbers();
    vmfuncs();
}

static void ve(void)
{
    if (wanted("effects"))
        violations();
}

static void misconfig(void)
{
    char text[4] = "2";

    if (!wanted("misconfig"))
        return;
    scene_init();
    cmdline_get("access", text, sizeof(text));
    uint16_t a = (uint16_t)strtoul(text, NULL, 10);

    for (unsigned i = 0; i < ARRAY_SIZE(ways); i++) {
        scene_reset();
        *at(AT_CODE) = RET;
        long rc = altp2m_set_access(v, scene.g + AT_CODE, a);

        line("misconfig", ways[i].name, access_names[a], rc);
        altp2m_switch(v);
        ways[i].go(at(AT_CODE));
        altp2m_switch(0);
        give("then %s", scene_entry(v, scene.g + AT_CODE));
        line(access_names[a], ways[i].name, "an access that EPT cannot express", 0);
    }
}

TEST_CASES(CASE(effects), CASE(ve), CASE(misconfig))
