/* SPDX-License-Identifier: MIT */
#include "conform.h"
#include <stdio.h>
#include <string.h>
#include "page.h"

void hypercall32(uint32_t r[6]);

struct scene scene;
static char gave[120];

bool conform_narrow(void)
{
    char text[4];

    return cmdline_get("bits", text, sizeof(text)) && strcmp(text, "32") == 0;
}

long conform_call(void *at)
{
    if (!conform_narrow())
        return hvm_op(HVMOP_altp2m, at);
    uint32_t r[6] = {__HYPERVISOR_hvm_op, HVMOP_altp2m, (uint32_t)(uint64_t)at, 0, 0, 0};

    hypercall32(r);
    return (int32_t)r[0];
}

void give(const char *fmt, ...)
{
    size_t n = strlen(gave);
    char text[100];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    format(gave + n, sizeof(gave) - n, " %s", text);
}

void report(const char *id, const char *text, long rc)
{
    say("CONFORM %s%s %s: rc=%ld%s\n", conform_narrow() ? "32." : "", id, text, rc, gave);
    gave[0] = 0;
}

static void give_back(uint64_t gfn)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &gfn);
    need(memory_op(XENMEM_decrease_reservation, &r) == 1, "a page cannot be given back");
}

static void map_shared_info(uint64_t gfn)
{
    struct xen_add_to_physmap x = {
        .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = gfn};

    need(memory_op(XENMEM_add_to_physmap, &x) == 0, "no shared info page");
}

void scene_init(void)
{
    scene.page = page_alloc(512, 512);
    scene.g = gfn_of(scene.page);
    for (unsigned i = 0; i < 512; i++)
        *(uint64_t *)(scene.page + i * PAGE) = i;
    give_back(scene.g + AT_GONE);
    map_shared_info(scene.g + AT_SHARED);
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    need(altp2m_set_access(0, scene.g, ACCESS_R) == 0, "the host map refuses R");
    need(altp2m_set_access(0, scene.g, ACCESS_RWX) == 0, "the host map refuses RWX");
}

static void fill_used_view(void)
{
    const uint16_t v = VIEW_USED;
    const uint64_t g = scene.g;

    need(altp2m_set_access(v, g + AT_RESTRICTED, ACCESS_R) == 0, "no restriction");
    need(altp2m_set_access(v, g + AT_PLAIN, ACCESS_RWX) == 0, "no plain entry");
    need(altp2m_set_access(v, g + AT_OTHER, ACCESS_RWX) == 0, "no other entry");
    need(altp2m_set_access(v, g + AT_VE, ACCESS_RWX) == 0, "no entry for #VE");
    need(altp2m_set_suppress_ve(v, g + AT_VE, 0) == 0, "no #VE bit");
    need(altp2m_change_gfn(v, g + AT_REMAPPED, g + AT_SOURCE) == 0, "no remap");
}

void scene_reset(void)
{
    uint16_t v;

    need(altp2m_set_state(0) == 0, "altp2m cannot be turned off");
    need(altp2m_set_state(1) == 0, "altp2m cannot be turned on");
    for (uint16_t i = VIEW_USED; i <= VIEW_DESTROYED; i++)
        need(altp2m_create(ACCESS_RWX, &v) == 0 && v == i, "view %u cannot be created", i);
    fill_used_view();
    need(altp2m_set_visibility(VIEW_HIDDEN, 0) == 0, "view cannot be hidden");
    need(altp2m_destroy(VIEW_DESTROYED) == 0, "view cannot be destroyed");
}

const char *scene_views(void)
{
    static char text[11];
    uint16_t a;

    for (uint16_t v = 0; v < 10; v++)
        text[v] =
            altp2m_get_access(v, GFN_ALL_ONES, &a) == 0 ? (char)(a < 10 ? '0' + a : 'd') : '-';
    return text;
}

const char *scene_entry(uint16_t view, uint64_t gfn)
{
    static char text[48];
    uint16_t a;
    uint8_t on;
    long rc = altp2m_get_access(view, gfn, &a);
    int n = rc ? format(text, sizeof(text), "access %ld", rc)
               : format(text, sizeof(text), "access=%u", a);

    rc = altp2m_get_suppress_ve(view, gfn, &on);
    if (rc)
        format(text + n, sizeof(text) - (size_t)n, " suppress %ld", rc);
    else
        format(text + n, sizeof(text) - (size_t)n, " suppress=%u", on);
    return text;
}
