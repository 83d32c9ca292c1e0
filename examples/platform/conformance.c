/* SPDX-License-Identifier: MIT */
#include "conformance.h"
#include <stdio.h>
#include <string.h>
#include "core/platform.h"

static const struct conformance *c;
static unsigned lines, failures;

static void result(bool good, const char *what)
{
    char line[160];

    failures += !good;
    snprintf(line, sizeof(line), "%s %u - %s", good ? "ok" : "not ok", ++lines, what);
    c->say(line);
}

static void left_out(const char *what, const char *why)
{
    char line[160];

    snprintf(line, sizeof(line), "ok %u - %s # SKIP %s", ++lines, what, why);
    c->say(line);
}

/* ---- calls ---- */

static gva_t argument_place(void)
{
    return gva(c->buffer.v + PAGE_SIZE - 40); /* across the border of its two pages */
}

static long call_as(const struct altp2m_caller *caller, uint32_t cmd, struct xen_hvm_altp2m_op *op)
{
    unsigned tries = 0;
    long rc;

    op->version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op->cmd = cmd;
    op->domain = caller == c->self ? DOMID_SELF : c->domain->domid;
    if (platform_copy_to_caller(caller, argument_place(), op, sizeof(*op)) != 0) {
        return -XEN_EFAULT;
    }
    do {
        rc = c->call(caller, argument_place());
    } while (rc == -XEN_ERESTART && ++tries < 1000000);
    if (platform_copy_from_caller(caller, op, argument_place(), sizeof(*op)) != 0) {
        return -XEN_EFAULT;
    }
    return rc;
}

static long call(uint32_t cmd, struct xen_hvm_altp2m_op *op)
{
    return call_as(c->self, cmd, op);
}

static long turn(bool on)
{
    struct xen_hvm_altp2m_op op = {.u.domain_state.state = on};

    return call(HVMOP_altp2m_set_domain_state, &op);
}

static uint16_t create(void)
{
    struct xen_hvm_altp2m_op op = {.u.view.hvmmem_default_access = ACCESS_RWX};

    return call(HVMOP_altp2m_create_p2m, &op) == 0 ? op.u.view.view : 0;
}

static long on_view(uint32_t cmd, uint16_t v)
{
    struct xen_hvm_altp2m_op op = {.u.view.view = v};

    return call(cmd, &op);
}

static long set_access(uint16_t v, gfn_t g, access_t a)
{
    struct xen_hvm_altp2m_op op = {.u.mem_access = {.view = v, .access = a, .gfn = g.v}};

    return call(HVMOP_altp2m_set_mem_access, &op);
}

static long change_gfn(uint16_t v, gfn_t from, uint64_t to)
{
    struct xen_hvm_altp2m_op op = {.u.change_gfn = {.view = v, .old_gfn = from.v, .new_gfn = to}};

    return call(HVMOP_altp2m_change_gfn, &op);
}

static mfn_t frame_at(gfn_t g)
{
    struct mapping m;

    return hostmap_lookup(c->domain, g, &m) ? m.mfn : MFN_INVALID;
}

/* ---- memory ---- */

static void pool_is_mapped(void)
{
    uint8_t *first = platform_map(c->pool);
    bool good = first != NULL;

    for (unsigned i = 0; good && i < c->pool_frames; i++) {
        good = platform_map(mfn_add(c->pool, i)) == first + i * PAGE_SIZE;
    }
    result(good, "a pool's frames are mapped one after the other");
}

static void ram_is_mapped(void)
{
    uint8_t *page = platform_map(frame_at(c->ram)), was = page[0], seen = 0, wrote = 0xa6;
    bool good;

    page[0] = 0x59;
    good = c->access(0, c->ram, RIGHT_R, &seen) && seen == 0x59;
    good = good && c->access(0, c->ram, RIGHT_R | RIGHT_W, &wrote) && page[0] == 0xa6;
    page[0] = was;
    result(good, "a frame of RAM is mapped, and is what the guest has there");
}

static void frames_are_counted(void)
{
    mfn_t m = frame_at(c->ram);
    unsigned before = c->references(m);
    bool good = platform_frame_get(c->domain, m);

    good = good && platform_frame_get(c->domain, m) && c->references(m) == before + 2;
    platform_frame_put(c->domain, m);
    platform_frame_put(c->domain, m);
    result(good && c->references(m) == before, "references are counted, each for itself");
    result(!platform_frame_get(c->domain, c->not_ram), "no reference on what is no RAM");
    result(!platform_frame_get(c->domain, c->pool), "no reference on a table of the pool");
}

static void frames_outlive_the_host_map(void)
{
    mfn_t m = frame_at(c->more_ram);
    bool good = turn(true) == 0;
    uint16_t v = create();

    good = good && v != 0 && change_gfn(v, c->ram, c->more_ram.v) == 0;
    result(good && c->references(m) == 2, "a remap holds its frame");
    good = change_gfn(v, c->ram, ~0ULL) == 0;
    result(good && c->references(m) == 1, "and lets it go when it ends");
    good = turn(false) == 0;
    result(good && c->references(m) == 1 && c->references(frame_at(c->ram)) == 1,
           "altp2m off leaves no reference behind");
}

/* ---- copies ---- */

static void copies_cross_pages(void)
{
    uint8_t out[300], in[300];
    gva_t at = gva(c->buffer.v + PAGE_SIZE - 150);

    for (unsigned i = 0; i < sizeof(out); i++) {
        out[i] = (uint8_t)(i * 7 + 1);
    }
    memset(in, 0, sizeof(in));
    result(platform_copy_to_caller(c->self, at, out, sizeof(out)) == 0 &&
               platform_copy_from_caller(c->self, in, at, sizeof(in)) == 0 &&
               memcmp(in, out, sizeof(in)) == 0,
           "a copy crosses pages");
    result(platform_copy_from_caller(c->self, in, at, 0) == 0 &&
               platform_copy_to_caller(c->self, gva(c->buffer.v + 2 * PAGE_SIZE), out, 0) == 0,
           "nothing is copied from anywhere");
}

static void copies_end_where_memory_does(void)
{
    gva_t end = gva(c->buffer.v + 2 * PAGE_SIZE);
    uint8_t byte = 0, many[16] = {0};

    result(platform_copy_from_caller(c->self, &byte, end, 1) == -XEN_EFAULT &&
               platform_copy_to_caller(c->self, end, &byte, 1) == -XEN_EFAULT,
           "what is not mapped is -EFAULT");
    result(platform_copy_from_caller(c->self, many, gva(end.v - 8), 16) == -XEN_EFAULT &&
               platform_copy_to_caller(c->self, gva(end.v - 8), many, 16) == -XEN_EFAULT,
           "so is what ends there");
    result(platform_copy_from_caller(c->self, many, gva(~0ULL - 7), 16) == -XEN_EFAULT,
           "and what wraps around");
    result(c->call(c->self, gva(end.v - 8)) == -XEN_EFAULT, "a call with its argument there, too");
}

/* ---- domains ---- */

static void domains_are_found(void)
{
    struct physmap *found = platform_domain_get(c->other->domid);
    bool good = found == c->other;

    if (found) {
        platform_domain_put(found);
    }
    result(good, "a domain is found by its number");
    result(platform_domain_get(c->absent_domid) == NULL, "an absent one is not");
}

static void control_is_asked_for(void)
{
    struct xen_hvm_altp2m_op op = {.u.domain_state.state = 0};

    if (c->monitor) {
        result(platform_may_control(c->monitor, c->domain) &&
                   call_as(c->monitor, HVMOP_altp2m_get_domain_state, &op) == 0,
               "who may control a domain does");
    } else {
        left_out("who may control a domain does", "nobody may");
    }
    if (c->stranger) {
        result(!platform_may_control(c->stranger, c->domain) &&
                   call_as(c->stranger, HVMOP_altp2m_get_domain_state, &op) == -XEN_EPERM,
               "others do not");
    } else {
        left_out("others do not", "there are none");
    }
}

/* ---- processors ---- */

static bool all_may(gfn_t g, unsigned rights)
{
    bool all = true;

    for (unsigned n = 0; n < c->nr; n++) {
        uint8_t byte = 0x5a;

        all = c->access(n, g, rights, &byte) && all;
    }
    return all;
}

static bool none_may(gfn_t g, unsigned rights)
{
    for (unsigned n = 0; n < c->nr; n++) {
        uint8_t byte = 0x5a;

        if (c->access(n, g, rights, &byte)) {
            return false;
        }
    }
    return true;
}

#define WRITE (RIGHT_R | RIGHT_W)

/* Each right is used, so that processors may remember it, then taken away. */
static void host_changes_reach_everybody(void)
{
    struct mapping m;
    bool good = hostmap_lookup(c->domain, c->more_ram, &m) && all_may(c->more_ram, WRITE);

    good = good && hostmap_unmap(c->domain, c->more_ram, ORDER_4K) == 0;
    result(good && none_may(c->more_ram, RIGHT_R),
           "what left the host map is out of every processor's reach");
    good = hostmap_map(c->domain, c->more_ram, m.mfn, ORDER_4K, MAP_RAM, ACCESS_R) == 0;
    result(good && all_may(c->more_ram, RIGHT_R) && none_may(c->more_ram, WRITE),
           "what comes read-only is");
    good = hostmap_map(c->domain, c->more_ram, m.mfn, ORDER_4K, MAP_RAM, ACCESS_RWX) == 0;
    result(good && all_may(c->more_ram, WRITE), "and may be written when it may");
}

static void views_reach_everybody(void)
{
    bool good = turn(true) == 0;
    uint16_t v = create();

    good = good && on_view(HVMOP_altp2m_switch_p2m, v) == 0 && all_may(c->ram, WRITE);
    result(good && set_access(v, c->ram, ACCESS_R) == 0 && none_may(c->ram, WRITE) &&
               all_may(c->ram, RIGHT_R),
           "a right that a view loses is gone when the call returns");
    result(on_view(HVMOP_altp2m_switch_p2m, 0) == 0 && all_may(c->ram, WRITE),
           "a switch holds when the call returns");
    result(on_view(HVMOP_altp2m_switch_p2m, v) == 0 && none_may(c->ram, WRITE), "back, too");
    result(set_access(v, c->ram, ACCESS_RWX) == 0 && all_may(c->ram, WRITE),
           "a right that is given back is there");
    turn(false);
    result(all_may(c->ram, WRITE), "altp2m off: everybody is on the host map");
}

static bool reads_everywhere(gfn_t g, uint8_t want)
{
    bool all = true;

    for (unsigned n = 0; n < c->nr; n++) {
        uint8_t byte = (uint8_t)~want;

        all = c->access(n, g, RIGHT_R, &byte) && byte == want && all;
    }
    return all;
}

static void remaps_reach_everybody(void)
{
    uint8_t *one = platform_map(frame_at(c->ram)), *two = platform_map(frame_at(c->more_ram));
    uint8_t was_one = one[0], was_two = two[0];
    bool good = turn(true) == 0;
    uint16_t v = create();

    one[0] = 0x11;
    two[0] = 0x22;
    good = good && on_view(HVMOP_altp2m_switch_p2m, v) == 0 && reads_everywhere(c->ram, 0x11);
    result(good && change_gfn(v, c->ram, c->more_ram.v) == 0 && reads_everywhere(c->ram, 0x22),
           "a remap shows on every processor");
    result(change_gfn(v, c->ram, ~0ULL) == 0 && reads_everywhere(c->ram, 0x11),
           "and ends on every processor");
    turn(false);
    one[0] = was_one;
    two[0] = was_two;
}

/* A table is given back, taken for another region's, and filled: who still walked it would find
 * other rights. */
static void tables_are_forgotten(void)
{
    bool good = turn(true) == 0;
    uint16_t v = create();

    good = good && on_view(HVMOP_altp2m_switch_p2m, v) == 0;
    for (unsigned i = 0; i < 20; i++) {
        good = good && set_access(v, c->ram, ACCESS_R) == 0 && none_may(c->ram, WRITE) &&
               set_access(v, c->ram, ACCESS_DEFAULT) == 0 && all_may(c->ram, WRITE);
    }
    result(good, "tables come and go under processors that use them");
    result(on_view(HVMOP_altp2m_destroy_p2m, v) == -XEN_EBUSY, "a view that vCPUs are on stays");
    result(on_view(HVMOP_altp2m_switch_p2m, 0) == 0 && on_view(HVMOP_altp2m_destroy_p2m, v) == 0 &&
               all_may(c->ram, WRITE),
           "and goes when they have left");
    turn(false);
}

static void others_are_paused(void)
{
    bool still;

    if (!c->progress) {
        left_out("the domain's other vCPUs stand still while paused", "cannot be told");
        return;
    }
    still = all_may(c->ram, RIGHT_R); /* so that they are in the guest */
    for (unsigned tries = 0; !platform_pause_others(c->domain); tries++) {
        if (tries == 1000000) {
            result(false, "the domain's other vCPUs can be paused");
            return;
        }
    }
    for (unsigned n = 0; n < c->nr; n++) {
        unsigned long then = c->progress(n);

        c->wait();
        still = still && c->progress(n) == then;
    }
    platform_unpause_others(c->domain);
    result(still, "the domain's other vCPUs stand still while paused");
    result(all_may(c->ram, RIGHT_R), "and go on afterwards");
}

static bool notify(bool on, unsigned n)
{
    struct xen_hvm_altp2m_op op = {.u.enable_notify = {.vcpu_id = n, .gfn = c->more_ram.v}};

    return call(on ? HVMOP_altp2m_vcpu_enable_notify : HVMOP_altp2m_vcpu_disable_notify, &op) == 0;
}

static void vmfunc_is_noticed(void)
{
    struct xen_hvm_altp2m_op op = {.u.get_vcpu_p2m_idx.vcpu_id = c->nr - 1};
    uint8_t byte = 0x5a;
    bool good = c->vmfunc && platform_has_ve() && turn(true) == 0;
    uint16_t v = good ? create() : 0;

    if (!v) {
        left_out("the core learns of a switch by VMFUNC", "there is none");
        return;
    }
    good = notify(true, c->nr - 1) && c->vmfunc(c->nr - 1, view(v));
    good = good && call(HVMOP_altp2m_get_p2m_idx, &op) == 0;
    result(good && op.u.get_vcpu_p2m_idx.altp2m_idx == v, "the core learns of a switch by VMFUNC");
    result(on_view(HVMOP_altp2m_destroy_p2m, v) == -XEN_EBUSY, "and of the view that it went to");
    op = (struct xen_hvm_altp2m_op){.u.set_visibility = {.altp2m_idx = v, .visible = 0}};
    result(on_view(HVMOP_altp2m_switch_p2m, 0) == 0 &&
               call(HVMOP_altp2m_set_visibility, &op) == 0 && !c->vmfunc(c->nr - 1, view(v)),
           "a hidden view cannot be entered once the call has returned");
    result(!c->vmfunc(c->nr - 1, view(v + 1)), "nor one that is not there");
    good = on_view(HVMOP_altp2m_destroy_p2m, v) == 0 && create() == v;
    good = good && set_access(v, c->ram, ACCESS_R) == 0 && c->vmfunc(c->nr - 1, view(v));
    result(good && !c->access(c->nr - 1, c->ram, WRITE, &byte),
           "a view that has its number is entered with its own tables");
    turn(false);
    result(!c->vmfunc(c->nr - 1, view(0)), "altp2m off: no VMFUNC");
}

/* ---- long calls ---- */

static void long_calls_end(void)
{
    struct xen_hvm_altp2m_op op = {.u.suppress_ve_multi = {.suppress_ve = 1, .first_gfn = 0}};
    bool good = turn(true) == 0;
    uint16_t v = create();

    op.u.suppress_ve_multi.view = v;
    op.u.suppress_ve_multi.last_gfn = 100000;
    result(good && call(HVMOP_altp2m_set_suppress_ve_multi, &op) == 0,
           "a long call comes to its end, however often it is asked to stop");
    turn(false);
}

static void locks_are_clear(void)
{
    result(*lock_held_ranks() == 0, "no lock is held between calls");
    result(hostmap_lookup(c->domain, c->ram, &(struct mapping){.order = 0}) &&
               !hostmap_lookup(c->domain, c->hole, &(struct mapping){.order = 0}),
           "the host map is as it was");
}

unsigned conformance_run(const struct conformance *with)
{
    static void (*const checks[])(void) = {
        pool_is_mapped,
        ram_is_mapped,
        frames_are_counted,
        frames_outlive_the_host_map,
        copies_cross_pages,
        copies_end_where_memory_does,
        domains_are_found,
        control_is_asked_for,
        host_changes_reach_everybody,
        views_reach_everybody,
        remaps_reach_everybody,
        tables_are_forgotten,
        others_are_paused,
        vmfunc_is_noticed,
        long_calls_end,
        locks_are_clear,
    };
    char plan[16];

    c = with;
    lines = failures = 0;
    if (!platform_has_altp2m()) {
        c->say("1..0 # SKIP the processor has no altp2m");
        return 0;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(checks); i++) {
        checks[i]();
    }
    snprintf(plan, sizeof(plan), "1..%u", lines);
    c->say(plan);
    return failures;
}
