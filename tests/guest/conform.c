/* SPDX-License-Identifier: MIT */
/*
 * Calls every altp2m sub-op with good arguments, and with each field at its borders and beyond, and
 * prints what it gave: the result, the fields that come back, and what can be read afterwards. The
 * lines must be the same on Facet and on real Xen (lib/conform.h). Each call finds the same scene.
 *
 *   part=fields     each field of each sub-op (mode mixed)
 *   part=common     header and permission: any mode
 *   bits=32         calls come from a 32-bit code segment
 */
#include <string.h>
#include "lib/conform.h"
#include "lib/cpu.h"
#include "lib/page.h"

#define HOLE (0xd0000000UL / PAGE)

static altp2m_op op;

/* ---- what comes back ---- */

/* A gfn in words that do not depend on where the guest was loaded. */
static const char *place(uint64_t gfn)
{
    static char text[24];

    if (gfn - scene.g < 1024)
        format(text, sizeof(text), "g+%lu", gfn - scene.g);
    else
        format(text, sizeof(text), "%lx", gfn);
    return text;
}

static void give_outputs(const altp2m_op *o)
{
    switch (o->cmd) {
    case HVMOP_altp2m_get_domain_state:
        give("state=%u", o->u.domain_state.state);
        break;
    case HVMOP_altp2m_create_p2m:
        give("view=%u", o->u.view.view);
        break;
    case HVMOP_altp2m_set_mem_access_multi:
        give("opaque=%lu", (unsigned long)o->u.set_mem_access_multi.opaque);
        break;
    case HVMOP_altp2m_get_suppress_ve:
        give("suppress=%u", o->u.suppress_ve.suppress_ve);
        break;
    case HVMOP_altp2m_get_mem_access:
        give("access=%u", o->u.mem_access.access);
        break;
    case HVMOP_altp2m_get_p2m_idx:
        give("idx=%u", o->u.get_vcpu_p2m_idx.altp2m_idx);
        break;
    case HVMOP_altp2m_set_suppress_ve_multi:
        give("first_error=%d", o->u.suppress_ve_multi.first_error);
        if (o->u.suppress_ve_multi.first_error)
            give("at %s", place(o->u.suppress_ve_multi.first_error_gfn));
        give("first=%s", place(o->u.suppress_ve_multi.first_gfn));
        break;
    default:
        break;
    }
}

/* The word that a view shows at a frame of the scene: the number of the page that is there. */
static void give_content(uint16_t view, uint64_t gfn)
{
    if (gfn - scene.g >= 512 || altp2m_switch(view))
        return;
    give("shows %lu", *(volatile uint64_t *)(gfn * PAGE));
    altp2m_switch(0);
}

static void give_effects(const altp2m_op *o)
{
    uint8_t state;
    uint16_t idx;

    switch (o->cmd) {
    case HVMOP_altp2m_set_domain_state:
        altp2m_get_state(&state);
        give("then state=%u views=%s", state, scene_views());
        break;
    case HVMOP_altp2m_vcpu_enable_notify:
    case HVMOP_altp2m_vcpu_disable_notify:
        give("then enable %ld", altp2m_enable_notify(0, scene.g + AT_NOTIFY));
        altp2m_disable_notify(0);
        break;
    case HVMOP_altp2m_create_p2m:
    case HVMOP_altp2m_destroy_p2m:
        give("views=%s", scene_views());
        break;
    case HVMOP_altp2m_switch_p2m:
        altp2m_get_index(0, &idx);
        give("on %u", idx);
        break;
    case HVMOP_altp2m_set_mem_access:
        give("%s", scene_entry(o->u.mem_access.view, o->u.mem_access.gfn));
        if (o->u.mem_access.gfn == GFN_ALL_ONES)
            give("views=%s", scene_views());
        break;
    case HVMOP_altp2m_change_gfn:
        give("%s", scene_entry(o->u.change_gfn.view, o->u.change_gfn.old_gfn));
        give_content(o->u.change_gfn.view, o->u.change_gfn.old_gfn);
        break;
    case HVMOP_altp2m_set_suppress_ve:
        give("%s", scene_entry(o->u.suppress_ve.view, o->u.suppress_ve.gfn));
        break;
    case HVMOP_altp2m_set_visibility:
        give("switch %ld", altp2m_switch(o->u.set_visibility.altp2m_idx));
        break;
    default:
        break;
    }
}

/* Takes back what a call on view 0 did to the host map, which lives on when altp2m is turned off.
 */
static void host_restore(const altp2m_op *o)
{
    if (o->cmd == HVMOP_altp2m_set_mem_access && o->u.mem_access.gfn == GFN_ALL_ONES)
        altp2m_set_access(0, GFN_ALL_ONES, ACCESS_RWX);
    else if (o->cmd == HVMOP_altp2m_set_mem_access && o->u.mem_access.view == 0)
        altp2m_set_access(0, o->u.mem_access.gfn, ACCESS_RWX);
    else if (o->cmd == HVMOP_altp2m_set_suppress_ve && o->u.suppress_ve.view == 0)
        altp2m_set_suppress_ve(0, o->u.suppress_ve.gfn, 1);
}

/* ---- the sub-ops and their fields ---- */

struct value {
    const char *name;
    uint64_t v;
};
#define END_OF_VALUES                                                                              \
    {                                                                                              \
        NULL, 0                                                                                    \
    }

static const struct value u8_values[] = {{"0", 0},     {"1", 1},     {"2", 2},     {"127", 127},
                                         {"128", 128}, {"255", 255}, END_OF_VALUES};
static const struct value u16_pads[] = {{"0", 0},           {"1", 1},           {"0x100", 0x100},
                                        {"0x8000", 0x8000}, {"0xffff", 0xffff}, END_OF_VALUES};
static const struct value u32_values[] = {{"0", 0},
                                          {"1", 1},
                                          {"2", 2},
                                          {"255", 255},
                                          {"0x10000", 0x10000},
                                          {"0x7fffffff", 0x7fffffff},
                                          {"0x80000000", 0x80000000},
                                          {"0xffffffff", 0xffffffff},
                                          END_OF_VALUES};
static const struct value access_values[] = {
    {"n", 0},         {"r", 1},           {"w", 2},           {"rw", 3},
    {"x", 4},         {"rx", 5},          {"wx", 6},          {"rwx", 7},
    {"rx2rw", 8},     {"n2rwx", 9},       {"default", 10},    {"11", 11},
    {"0x107", 0x107}, {"0x8000", 0x8000}, {"0xffff", 0xffff}, END_OF_VALUES};
static const struct value view_values[] = {{"0", 0},
                                           {"used", VIEW_USED},
                                           {"fresh", VIEW_FRESH},
                                           {"hidden", VIEW_HIDDEN},
                                           {"destroyed", VIEW_DESTROYED},
                                           {"9", 9},
                                           {"10", 10},
                                           {"11", 11},
                                           {"255", 255},
                                           {"256", 256},
                                           {"257", 257},
                                           {"511", 511},
                                           {"512", 512},
                                           {"0x7fff", 0x7fff},
                                           {"0x8000", 0x8000},
                                           {"0xffff", 0xffff},
                                           END_OF_VALUES};
static const struct value some_views[] = {
    {"0", 0}, {"used", VIEW_USED}, {"fresh", VIEW_FRESH}, END_OF_VALUES};
/* Those named by a place in the scene are filled in by values_init(). */
static struct value gfn_values[] = {{"restricted", AT_RESTRICTED},
                                    {"remapped", AT_REMAPPED},
                                    {"source", AT_SOURCE},
                                    {"ve", AT_VE},
                                    {"plain", AT_PLAIN},
                                    {"untouched", AT_UNTOUCHED},
                                    {"gone", AT_GONE},
                                    {"shared-info", AT_SHARED},
                                    {"0", 0},
                                    {"hole", HOLE},
                                    {"apic", 0xfee00},
                                    {"4g-1", 0xfffff},
                                    {"4g", 0x100000},
                                    {"2^28-1", (1UL << 28) - 1},
                                    {"2^28", 1UL << 28},
                                    {"2^34", 1UL << 34},
                                    {"2^36-1", (1UL << 36) - 1},
                                    {"2^36", 1UL << 36},
                                    {"2^40-1", (1UL << 40) - 1},
                                    {"2^40", 1UL << 40},
                                    {"2^44", 1UL << 44},
                                    {"2^52", 1UL << 52},
                                    {"2^63", 1UL << 63},
                                    {"~1", ~1UL},
                                    {"~0", ~0UL},
                                    END_OF_VALUES};
#define SCENE_GFNS 8

struct field {
    const char *name;
    uint8_t offset, size; /* in `u` */
    const struct value *values;
};
struct subop {
    uint32_t cmd;
    const char *name;
    struct field fields[6];
    uint8_t view, gfn; /* 1 + index of the fields to vary together; 0: none */
};
#define FIELD(type, member, vals)                                                                  \
    {                                                                                              \
#member, offsetof(struct xen_hvm_altp2m_##type, member),                                   \
            sizeof(((struct xen_hvm_altp2m_##type *)0)->member), vals                              \
    }

static const struct subop subops[] = {
    {1, "get_domain_state", {FIELD(domain_state, state, u8_values)}, 0, 0},
    {2, "set_domain_state", {FIELD(domain_state, state, u8_values)}, 0, 0},
    {3,
     "vcpu_enable_notify",
     {FIELD(vcpu_enable_notify, vcpu_id, u32_values), FIELD(vcpu_enable_notify, pad, u32_values),
      FIELD(vcpu_enable_notify, gfn, gfn_values)},
     0,
     0},
    {4,
     "create_p2m",
     {FIELD(view, view, view_values), FIELD(view, hvmmem_default_access, access_values)},
     0,
     0},
    {5,
     "destroy_p2m",
     {FIELD(view, view, view_values), FIELD(view, hvmmem_default_access, u16_pads)},
     0,
     0},
    {6,
     "switch_p2m",
     {FIELD(view, view, view_values), FIELD(view, hvmmem_default_access, u16_pads)},
     0,
     0},
    {7,
     "set_mem_access",
     {FIELD(mem_access, view, view_values), FIELD(mem_access, access, access_values),
      FIELD(mem_access, pad, u32_values), FIELD(mem_access, gfn, gfn_values)},
     1,
     4},
    {8,
     "change_gfn",
     {FIELD(change_gfn, view, view_values), FIELD(change_gfn, pad1, u16_pads),
      FIELD(change_gfn, pad2, u32_values), FIELD(change_gfn, old_gfn, gfn_values),
      FIELD(change_gfn, new_gfn, gfn_values)},
     1,
     4},
    {10,
     "set_suppress_ve",
     {FIELD(suppress_ve, view, view_values), FIELD(suppress_ve, suppress_ve, u8_values),
      FIELD(suppress_ve, pad1, u8_values), FIELD(suppress_ve, pad2, u32_values),
      FIELD(suppress_ve, gfn, gfn_values)},
     1,
     5},
    {11,
     "get_suppress_ve",
     {FIELD(suppress_ve, view, view_values), FIELD(suppress_ve, suppress_ve, u8_values),
      FIELD(suppress_ve, pad1, u8_values), FIELD(suppress_ve, pad2, u32_values),
      FIELD(suppress_ve, gfn, gfn_values)},
     1,
     5},
    {12,
     "get_mem_access",
     {FIELD(mem_access, view, view_values), FIELD(mem_access, access, u16_pads),
      FIELD(mem_access, pad, u32_values), FIELD(mem_access, gfn, gfn_values)},
     1,
     4},
    {13, "vcpu_disable_notify", {FIELD(vcpu_disable_notify, vcpu_id, u32_values)}, 0, 0},
    {14,
     "get_p2m_idx",
     {FIELD(get_vcpu_p2m_idx, vcpu_id, u32_values), FIELD(get_vcpu_p2m_idx, altp2m_idx, u16_pads)},
     0,
     0},
    {16,
     "set_visibility",
     {FIELD(set_visibility, altp2m_idx, view_values), FIELD(set_visibility, visible, u8_values),
      FIELD(set_visibility, pad, u8_values)},
     0,
     0},
};

static void values_init(void)
{
    for (unsigned i = 0; i < SCENE_GFNS; i++)
        gfn_values[i].v += scene.g;
}

/* `op` with arguments that are good in the scene; what is an output holds a pattern. */
static void good(uint32_t cmd)
{
    op = altp2m_new(cmd);
    switch (cmd) {
    case HVMOP_altp2m_get_domain_state:
        op.u.domain_state.state = 0xee;
        break;
    case HVMOP_altp2m_set_domain_state:
        op.u.domain_state.state = 1;
        break;
    case HVMOP_altp2m_vcpu_enable_notify:
        op.u.enable_notify.gfn = scene.g + AT_NOTIFY;
        break;
    case HVMOP_altp2m_create_p2m:
        op.u.view.view = VIEW_INVALID;
        op.u.view.hvmmem_default_access = ACCESS_RWX;
        break;
    case HVMOP_altp2m_destroy_p2m:
    case HVMOP_altp2m_switch_p2m:
        op.u.view.view = VIEW_USED;
        break;
    case HVMOP_altp2m_get_mem_access:
    case HVMOP_altp2m_set_mem_access:
        op.u.mem_access.view = VIEW_USED;
        op.u.mem_access.access = ACCESS_RX;
        op.u.mem_access.gfn = scene.g + AT_PLAIN;
        break;
    case HVMOP_altp2m_change_gfn:
        op.u.change_gfn.view = VIEW_USED;
        op.u.change_gfn.old_gfn = scene.g + AT_PLAIN;
        op.u.change_gfn.new_gfn = scene.g + AT_OTHER;
        break;
    case HVMOP_altp2m_set_suppress_ve:
    case HVMOP_altp2m_get_suppress_ve:
        op.u.suppress_ve.view = VIEW_USED;
        op.u.suppress_ve.gfn = scene.g + AT_PLAIN;
        break;
    case HVMOP_altp2m_get_p2m_idx:
        op.u.get_vcpu_p2m_idx.altp2m_idx = VIEW_INVALID;
        break;
    case HVMOP_altp2m_set_suppress_ve_multi:
        op.u.suppress_ve_multi.view = VIEW_USED;
        op.u.suppress_ve_multi.first_gfn = scene.g + AT_PLAIN;
        op.u.suppress_ve_multi.last_gfn = scene.g + AT_OTHER;
        break;
    case HVMOP_altp2m_set_visibility:
        op.u.set_visibility.altp2m_idx = VIEW_USED;
        op.u.set_visibility.visible = 1;
        break;
    default:
        break;
    }
}

static void set_field(const struct field *f, uint64_t v)
{
    memcpy((uint8_t *)&op.u + f->offset, &v, f->size);
}

static bool scene_changed = true; /* by a call that was not refused */

static bool only_reads(uint32_t cmd)
{
    return cmd == HVMOP_altp2m_get_domain_state || cmd == HVMOP_altp2m_get_mem_access ||
           cmd == HVMOP_altp2m_get_suppress_ve || cmd == HVMOP_altp2m_get_p2m_idx;
}

/* Real Xen 4.17 was not seen to come back from this, and dom0 gets no time meanwhile. */
static bool hangs_xen(void)
{
    return !on_facet && op.cmd == HVMOP_altp2m_set_suppress_ve &&
           op.u.suppress_ve.gfn == GFN_ALL_ONES;
}

/* Makes the call that `op` holds. */
static void call(const char *id, const char *text)
{
    if (hangs_xen())
        return;
    long rc = conform_call(&op);

    give_outputs(&op);
    if (rc == 0)
        give_effects(&op);
    report(id, text, rc);
    host_restore(&op);
    scene_changed = rc == 0 && !only_reads(op.cmd);
}

static void vary_field(const struct subop *s, const struct field *f)
{
    char id[64], text[96];

    for (const struct value *v = f->values; v->name; v++) {
        if (scene_changed)
            scene_reset();
        good(s->cmd);
        set_field(f, v->v);
        format(id, sizeof(id), "%u.%s.%s", s->cmd, f->name, v->name);
        format(text, sizeof(text), "%s %s=%s", s->name, f->name, v->name);
        call(id, text);
    }
}

static void vary_both(const struct subop *s, const struct field *a, const struct field *b)
{
    char id[64], text[96];

    for (const struct value *v = some_views; v->name; v++) {
        for (const struct value *w = b->values; w->name; w++) {
            if (scene_changed)
                scene_reset();
            good(s->cmd);
            set_field(a, v->v);
            set_field(b, w->v);
            format(id, sizeof(id), "%u.view-%s.%s", s->cmd, v->name, w->name);
            format(text, sizeof(text), "%s view=%s %s=%s", s->name, v->name, b->name, w->name);
            call(id, text);
        }
    }
}

static bool part(const char *name)
{
    char text[16];

    return !cmdline_get("part", text, sizeof(text)) || strcmp(text, name) == 0;
}

static void fields(void)
{
    if (!part("fields"))
        return;
    scene_init();
    values_init();
    for (unsigned i = 0; i < ARRAY_SIZE(subops); i++) {
        const struct subop *s = &subops[i];

        for (const struct field *f = s->fields; f < s->fields + 6 && f->name; f++)
            vary_field(s, f);
        if (s->view)
            vary_both(s, &s->fields[s->view - 1], &s->fields[s->gfn - 1]);
    }
}

/* ---- the header, and who may call ---- */

static uint16_t own_domid(void)
{
    uint32_t r[4];

    cpuid(xen_leaf + 4, 0, r);
    need(r[0] & 1u << 4, "the CPUID leaves do not tell the domain's number");
    return (uint16_t)r[2];
}

static struct value domains[] = {
    {"own", 0},       {"0", 0},           {"none", 0x7000},   {"0x7fef", 0x7fef},
    {"io", 0x7ff1},   {"xen", 0x7ff2},    {"cow", 0x7ff3},    {"invalid", 0x7ff4},
    {"idle", 0x7fff}, {"0x8000", 0x8000}, {"0xffff", 0xffff}, END_OF_VALUES};
static const uint32_t versions[] = {0, 2, 3, 0x101, 0x10001, 0x80000001, 0xffffffff};
static const uint32_t commands[] = {0,      17,      18,         19,         255,
                                    256,    257,     0x7fff,     0x8000,     0x8001,
                                    0xffff, 0x10001, 0x7fffffff, 0x80000001, 0xffffffff};

static void fresh_start(bool on)
{
    if (on)
        scene_reset();
    else
        altp2m_set_state(0);
}

static void header_call(bool on, uint32_t cmd, const char *what, const char *text)
{
    char id[64];

    format(id, sizeof(id), "%s.%x.%s", on ? "on" : "off", cmd, what);
    call(id, text);
}

static void header_fields(bool on, uint32_t cmd)
{
    char what[32];

    for (unsigned i = 0; i < ARRAY_SIZE(versions); i++) {
        fresh_start(on);
        good(cmd);
        op.version = versions[i];
        format(what, sizeof(what), "version-%x", versions[i]);
        header_call(on, cmd, what, "header");
    }
    for (const struct value *v = &domains[0]; v->name; v++) {
        fresh_start(on);
        good(cmd);
        op.domain = (domid_t)v->v;
        format(what, sizeof(what), "domain-%s", v->name);
        header_call(on, cmd, what, "header");
    }
    for (const struct value *v = &u16_pads[1]; v->name; v++) {
        fresh_start(on);
        good(cmd);
        op.pad1 = (uint16_t)v->v;
        format(what, sizeof(what), "pad1-%s", v->name);
        header_call(on, cmd, what, "header");
    }
    for (const struct value *v = &u32_values[1]; v->name; v++) {
        fresh_start(on);
        good(cmd);
        op.pad2 = (uint32_t)v->v;
        format(what, sizeof(what), "pad2-%s", v->name);
        header_call(on, cmd, what, "header");
    }
}

/* Two things wrong at once: which error comes first. */
static void header_order(bool on)
{
    fresh_start(on);
    good(7);
    op.version = 2;
    op.cmd = 99;
    header_call(on, op.cmd, "version-and-command", "order");
    good(7);
    op.domain = 0x7000;
    op.cmd = 99;
    header_call(on, op.cmd, "command-and-domain", "order");
    good(7);
    op.domain = 0x7000;
    op.u.mem_access.pad = 1;
    header_call(on, op.cmd, "domain-and-pad", "order");
    good(7);
    op.u.mem_access.view = 99;
    op.u.mem_access.pad = 1;
    op.u.mem_access.access = 99;
    header_call(on, op.cmd, "view-and-pad-and-access", "order");
    good(8);
    op.u.change_gfn.view = 99;
    op.u.change_gfn.old_gfn = HOLE;
    header_call(on, op.cmd, "view-and-hole", "order");
    good(3);
    op.u.enable_notify.vcpu_id = 99;
    op.u.enable_notify.gfn = HOLE;
    header_call(on, op.cmd, "vcpu-and-hole", "order");
    good(4);
    op.u.view.hvmmem_default_access = 99;
    op.pad2 = 1;
    header_call(on, op.cmd, "pad2-and-access", "order");
}

static void headers(bool on)
{
    for (uint32_t cmd = 1; cmd <= 16; cmd++) {
        fresh_start(on);
        good(cmd);
        header_call(on, cmd, "good", "good arguments");
        fresh_start(on);
        good(cmd);
        op.domain = (domid_t)domains[0].v;
        header_call(on, cmd, "own-domid", "own number instead of DOMID_SELF");
    }
    header_fields(on, 1);
    header_fields(on, 7);
    for (unsigned i = 0; i < ARRAY_SIZE(commands); i++) {
        fresh_start(on);
        good(commands[i]);
        header_call(on, commands[i], "command", "unknown command");
    }
    header_order(on);
}

static bool mixed(void)
{
    uint64_t mode = 0;

    return hvm_param_get(HVM_PARAM_ALTP2M, &mode) == 0 && mode == XEN_ALTP2M_mixed;
}

static void common(void)
{
    uint64_t mode = 0;

    if (!part("common"))
        return;
    domains[0].v = own_domid();
    hvm_param_get(HVM_PARAM_ALTP2M, &mode);
    give("mode=%lu", mode);
    report("param", "HVM_PARAM_ALTP2M", hvm_param_get(HVM_PARAM_ALTP2M, &mode));
    for (uint64_t m = 0; m < 5; m++) {
        char id[16];

        format(id, sizeof(id), "param.%lu", m);
        report(id, "set HVM_PARAM_ALTP2M", hvm_param_set(HVM_PARAM_ALTP2M, m));
    }
    if (mixed())
        scene_init();
    headers(false);
    if (mixed())
        headers(true);
}

TEST_CASES(CASE(fields), CASE(common))
