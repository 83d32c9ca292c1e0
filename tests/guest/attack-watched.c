/* SPDX-License-Identifier: MIT */
/*
 * Attacks of a hostile kernel on what a monitor in another domain (attack-watch.c) has set up for
 * it: restrictions of the host map, views, #VE, shadow pages (docs/audit.md). The command line
 * names the policy. Under "open" each attack works; under "audited" it is refused, and what the
 * monitor set up does what it is for: the access that follows is reported. Under "grandfathered"
 * Xen's own sub-operations are as open as on Xen, and Facet's are refused.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/ask.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/inside.h"
#include "lib/page.h"
#include "lib/test.h"

enum { OPEN, GRANDFATHERED, AUDITED };

static const char *const policies[] = {"open", "grandfathered", "audited"};
static unsigned policy;
static struct mailbox *mail;
static uint8_t *page, *other; /* what the monitor restricts, and what the attacker has for itself */
static uint16_t theirs;       /* the monitor's view */

/* ---- asking the monitor ---- */

static long asked(enum ask what, uint64_t a, uint64_t b, uint64_t c, uint64_t *value)
{
    static uint32_t number;

    mail->data[ASK_WHAT] = what;
    mail->data[ASK_ARGUMENT] = a;
    mail->data[ASK_ARGUMENT + 1] = b;
    mail->data[ASK_ARGUMENT + 2] = c;
    mail->ready = ++number;
    while (mail->task != number)
        sched_op(SCHEDOP_yield, NULL);
    if (value)
        *value = mail->data[ASK_VALUE];
    return (long)mail->data[ASK_RESULT];
}

#define ask(what, a, b, c) expect(asked(what, a, b, c, NULL), 0)

static uint64_t told(enum ask what, uint64_t a, uint64_t b)
{
    uint64_t value = 0;

    expect(asked(what, a, b, 0, &value), 0);
    return value;
}

/* ---- what is wanted ---- */

/* Of Xen's sub-operations, and of Facet's. */
static long of_xen(long open, long audited)
{
    return policy == AUDITED ? audited : open;
}

static long of_facet(long open, long audited)
{
    return policy == OPEN ? open : policy == AUDITED ? audited : -XEN_EPERM;
}

/* A write to `p`, and how many of it the monitor is told of. */
static void write_reported(volatile uint8_t *p, unsigned times)
{
    *p = (uint8_t)(*p + 1);
    expect(told(ASK_EVENTS, 0, 0), times);
}

/* ---- the stage ---- */

static void begin(void)
{
    char name[16];

    need(cmdline_get("policy", name, sizeof(name)), "the command line names no policy");
    while (policy <= AUDITED && strcmp(policies[policy], name) != 0)
        policy++;
    need(policy <= AUDITED, "unknown policy %s", name);
    event_init();
    page = page_alloc(1, 1);
    other = page_alloc(2, 1);
    mail = page_alloc(1, 1);
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
    ask(ASK_STATE, 1, 0, 0);
}

/* The guest has altp2m on too; the monitor has a view of its own that makes `page` read-only. */
static void set_up(void)
{
    expect(altp2m_set_state(1), 0);
    ask(ASK_STATE, 1, 0, 0);
    theirs = (uint16_t)told(ASK_CREATE, 0, 0);
    ask(ASK_ACCESS, theirs, gfn_of(page), ACCESS_R);
}

static void tear_down(void)
{
    ask(ASK_SWITCH, 0, 0, 0);
    ask(ASK_DESTROY, theirs, 0, 0);
    ask(ASK_ACCESS, 0, gfn_of(page), ACCESS_RWX);
    told(ASK_EVENTS, 0, 0);
}

/* The same, and the monitor has put this vCPU on its view. */
static void set_up_held(void)
{
    set_up();
    ask(ASK_SWITCH, 0, theirs, 0);
}

/* The same, but the monitor restricts the host map. */
static void set_up_host(void)
{
    set_up();
    ask(ASK_ACCESS, 0, gfn_of(page), ACCESS_R);
}

/* ---- state ---- */

static void sees_the_monitor(void)
{
    uint8_t on = 0xff;

    ask(ASK_STATE, 1, 0, 0);
    expect(altp2m_get_state(&on), 0);
    expect(on, of_xen(1, 0));
}

static void turns_off_the_monitor(void)
{
    set_up_held();
    expect(altp2m_set_state(0), 0);
    expect(told(ASK_ON, 0, 0), of_xen(0, 1));
    write_reported(page, (unsigned)of_xen(0, 1));
    set_up();
    tear_down();
}

static void takes_all_views(void)
{
    uint16_t views[16], n = 0;
    uint64_t v;

    set_up();
    while (n < 16 && altp2m_create(ACCESS_RWX, &views[n]) == 0)
        n++;
    check(n > 0, "no view at all");
    expect(asked(ASK_CREATE, 0, 0, 0, &v), of_xen(-XEN_EINVAL, 0));
    if (policy == AUDITED)
        ask(ASK_DESTROY, v, 0, 0);
    while (n > 0)
        expect(altp2m_destroy(views[--n]), 0);
    tear_down();
}

static void destroys_a_monitors_view(void)
{
    uint64_t access;

    set_up();
    expect(altp2m_destroy(theirs), of_xen(0, -XEN_EBUSY));
    expect(asked(ASK_READ, theirs, gfn_of(page), 0, &access), of_xen(-XEN_EINVAL, 0));
    if (policy != AUDITED)
        set_up();
    tear_down();
}

/* ---- views ---- */

static void leaves_a_monitors_view(void)
{
    set_up_held();
    expect(altp2m_switch(0), of_xen(0, -XEN_EPERM));
    expect(told(ASK_WHERE, 0, 0), of_xen(0, theirs));
    write_reported(page, (unsigned)of_xen(0, 1));
    tear_down();
}

static void leaves_with_one_vcpu(void)
{
    set_up_held();
    expect(altp2m_stub_switch_vcpu(&altp2m_self, 0, 0), of_facet(0, -XEN_EPERM));
    write_reported(page, (unsigned)of_facet(0, 1) != 0);
    tear_down();
}

static void enters_a_monitors_view(void)
{
    set_up();
    expect(altp2m_switch(theirs), of_xen(0, -XEN_EINVAL));
    expect(told(ASK_WHERE, 0, 0), of_xen(theirs, 0));
    tear_down();
}

static void shows_what_is_hidden(void)
{
    set_up();
    ask(ASK_SHOW, theirs, 0, 0);
    expect(altp2m_switch(theirs), -XEN_EINVAL);
    expect(altp2m_set_visibility(theirs, 1), of_xen(0, -XEN_EINVAL));
    expect(altp2m_switch(theirs), of_xen(0, -XEN_EINVAL));
    tear_down();
}

/* As set_up(), and this vCPU may use VMFUNC. False where it cannot: nothing is set up. */
static bool set_up_vmfunc(void)
{
    long rc;

    set_up();
    rc = altp2m_enable_notify(0, gfn_of(other + PAGE));
    if (rc == -XEN_EOPNOTSUPP) {
        tear_down();
        return false;
    }
    expect(rc, 0);
    if (policy == AUDITED)
        expect(altp2m_stub_set_vmfunc(&altp2m_self, 0, 1), 0);
    return true;
}

static void tear_down_vmfunc(void)
{
    expect(altp2m_disable_notify(0), 0);
    tear_down();
}

static uint64_t user_vmfunc(uint64_t view)
{
    return (uint64_t)try_vmfunc(0, (uint32_t)view);
}

static void user_enters_a_monitors_view(void)
{
    if (!set_up_vmfunc())
        skip("VMFUNC and #VE");
    expect(user_run(user_vmfunc, theirs), of_xen(VEC_NONE, VEC_UD));
    expect(told(ASK_WHERE, 0, 0), of_xen(theirs, 0));
    tear_down_vmfunc();
}

static void user_leaves_a_monitors_view(void)
{
    if (!set_up_vmfunc())
        skip("VMFUNC and #VE");
    ask(ASK_SWITCH, 0, theirs, 0);
    expect(user_run(user_vmfunc, 0), of_xen(VEC_NONE, VEC_UD));
    write_reported(page, (unsigned)of_xen(0, 1));
    ask(ASK_SWITCH, 0, 0, 0);
    tear_down_vmfunc();
}

static void learns_where_it_is(void)
{
    uint16_t view;

    set_up_held();
    expect(altp2m_get_index(0, &view), of_xen(0, -XEN_EPERM));
    expect(view, of_xen(theirs, VIEW_INVALID));
    tear_down();
}

/* ---- restrictions ---- */

static void lifts_the_host_maps_access(void)
{
    set_up_host();
    expect(altp2m_set_access(0, gfn_of(page), ACCESS_RWX), of_xen(0, -XEN_EPERM));
    write_reported(page, (unsigned)of_xen(0, 1));
    tear_down();
}

static void lifts_a_views_access(void)
{
    set_up_held();
    expect(altp2m_set_access(theirs, gfn_of(page), ACCESS_RWX), of_xen(0, -XEN_EINVAL));
    write_reported(page, (unsigned)of_xen(0, 1));
    tear_down();
}

static void lifts_by_list(void)
{
    uint64_t gfn = gfn_of(page);
    uint8_t access = ACCESS_RWX;

    set_up_held();
    expect(altp2m_set_access_multi(theirs, 1, &gfn, &access), of_xen(0, -XEN_EINVAL));
    write_reported(page, (unsigned)of_xen(0, 1));
    tear_down();
}

static void lifts_by_range(void)
{
    uint64_t done = 0, skipped = 0;

    set_up_held();
    expect(altp2m_stub_set_range(&altp2m_self, theirs, ACCESS_RWX, FACET_ALTP2M_LEAVE, gfn_of(page),
                                 1, &done, &skipped),
           of_facet(0, -XEN_EINVAL));
    write_reported(page, (unsigned)of_facet(0, 1) != 0);
    tear_down();
}

/* In a view of its own the attacker gives itself what the host map denies. */
static void widens_in_its_own_view(void)
{
    uint16_t mine;

    set_up_host();
    expect(altp2m_create(ACCESS_RWX, &mine), 0);
    expect(altp2m_set_access(mine, gfn_of(page), ACCESS_RWX), 0);
    expect(altp2m_switch(mine), 0);
    write_reported(page, (unsigned)of_xen(0, 1));
    expect(altp2m_switch(0), 0);
    expect(altp2m_destroy(mine), 0);
    tear_down();
}

/* There it writes the frame through another gfn. */
static void writes_by_another_gfn(void)
{
    uint16_t mine;

    set_up_host();
    expect(altp2m_create(ACCESS_RWX, &mine), 0);
    expect(altp2m_set_access(mine, gfn_of(other), ACCESS_RWX), 0);
    expect(altp2m_change_gfn(mine, gfn_of(other), gfn_of(page)), 0);
    expect(altp2m_set_access(mine, gfn_of(other), ACCESS_RWX), 0);
    expect(altp2m_switch(mine), 0);
    write_reported(other, (unsigned)of_xen(0, 1));
    expect(altp2m_switch(0), 0);
    expect(altp2m_destroy(mine), 0);
    tear_down();
}

static void changes_what_a_view_shows(void)
{
    set_up();
    expect(altp2m_change_gfn(theirs, gfn_of(page), gfn_of(other)), of_xen(0, -XEN_EINVAL));
    tear_down();
}

static void changes_it_by_range(void)
{
    struct facet_altp2m_gfn_pair pair = {gfn_of(page), gfn_of(other)};
    uint64_t done = 0;

    set_up();
    expect(altp2m_stub_change_gfn_range(&altp2m_self, theirs, 0, gfn_of(page), gfn_of(other), 1,
                                        &done),
           of_facet(0, -XEN_EINVAL));
    done = 0;
    expect(altp2m_stub_change_gfn_list(&altp2m_self, theirs, 1, &pair, &done),
           of_facet(0, -XEN_EINVAL));
    tear_down();
}

static void isolates_what_is_restricted(void)
{
    uint64_t skipped = 0;
    uint16_t mine;

    set_up_held();
    expect(altp2m_create(ACCESS_RWX, &mine), 0);
    expect(altp2m_stub_isolate(&altp2m_self, mine, ACCESS_RWX, ACCESS_RWX, FACET_ALTP2M_LEAVE,
                               gfn_of(page), 1, &skipped),
           of_facet(0, -XEN_EPERM));
    write_reported(page, (unsigned)of_facet(0, 1) != 0);
    tear_down();
    expect(altp2m_destroy(mine), 0);
}

/* ---- #VE ---- */

static volatile struct ve_info *info;
static volatile unsigned ves;

/* Only seen; so that the write goes through, its restriction goes away. */
static void on_ve(struct regs *r)
{
    (void)r;
    ves++;
    info->busy = 0;
    altp2m_set_access(0, gfn_of(page), ACCESS_RWX);
}

/* The same for a restriction of the guest's own, of another page: the view with it is left. */
static void on_ve_elsewhere(struct regs *r)
{
    (void)r;
    ves++;
    altp2m_switch(0);
}

/* Violations that the monitor waits for become this guest's own. */
static void blinds(long (*turn)(void), long refused)
{
    long rc;

    set_up_host();
    info = (volatile struct ve_info *)(other + PAGE);
    memset(other + PAGE, 0, PAGE);
    ves = 0;
    trap_handle(VEC_VE, on_ve);
    rc = altp2m_enable_notify(0, gfn_of(other + PAGE));
    if (rc == -XEN_EOPNOTSUPP) {
        tear_down();
        skip("#VE");
    }
    expect(rc, 0);
    expect(turn(), of_xen(0, refused));
    expect(told(ASK_READ_VE, 0, gfn_of(page)), of_xen(0, 1));
    write_reported(page, (unsigned)of_xen(0, 1));
    expect(ves, of_xen(1, 0));
    expect(altp2m_set_suppress_ve(0, gfn_of(page), 1), of_xen(0, -XEN_EPERM));
    expect(altp2m_disable_notify(0), 0);
    tear_down();
}

static long turn_one(void)
{
    return altp2m_set_suppress_ve(0, gfn_of(page), 0);
}

static long turn_range(void)
{
    int32_t first_error = 0;
    uint64_t first = gfn_of(page), last = first, where = 0;

    return altp2m_stub_set_suppress_ve_multi(&altp2m_self, 0, 0, &first_error, &first, &last,
                                             &where);
}

static void blinds_the_monitor(void)
{
    blinds(turn_one, -XEN_EPERM);
}

static void blinds_it_by_range(void)
{
    blinds(turn_range, -XEN_EPERM);
}

static void takes_away_a_monitors_ve(void)
{
    set_up();
    if (asked(ASK_NOTIFY, 0, gfn_of(other + PAGE), 0, NULL) == -XEN_EOPNOTSUPP) {
        tear_down();
        skip("#VE");
    }
    expect(altp2m_disable_notify(0), of_xen(0, -XEN_EPERM));
    ask(ASK_NOTIFY, 0, ~0ULL, 0);
    tear_down();
}

/* The processor writes #VE information to a page, whatever the host map says of it. */
static void has_the_processor_write(void)
{
    uint16_t mine;
    long rc;

    set_up_host();
    info = (volatile struct ve_info *)page;
    rc = altp2m_enable_notify(0, gfn_of(page));
    if (rc == -XEN_EOPNOTSUPP) {
        tear_down();
        skip("#VE");
    }
    expect(rc, of_xen(0, -XEN_EINVAL));
    if (rc == 0) {
        memset(other, 0, PAGE);
        trap_handle(VEC_VE, on_ve_elsewhere);
        expect(altp2m_create(ACCESS_RWX, &mine), 0);
        expect(altp2m_set_access(mine, gfn_of(other), ACCESS_R), 0);
        expect(altp2m_set_suppress_ve(mine, gfn_of(other), 0), 0);
        expect(altp2m_switch(mine), 0);
        ves = 0;
        write_reported(other, 0);
        expect(ves, 1);
        expect(info->gpa, (uint64_t)other); /* written to a page that may only be read */
        expect(altp2m_disable_notify(0), 0);
        expect(altp2m_switch(0), 0);
        expect(altp2m_destroy(mine), 0);
    }
    tear_down();
}

/* ---- what it can read ---- */

static void reads_a_monitors_view(void)
{
    uint16_t access;
    uint8_t suppress;

    set_up();
    expect(altp2m_get_access(theirs, gfn_of(page), &access), of_xen(0, -XEN_EINVAL));
    expect(access, of_xen(ACCESS_R, 0xffff));
    expect(altp2m_get_suppress_ve(theirs, gfn_of(page), &suppress), of_xen(0, -XEN_EINVAL));
    tear_down();
}

static void counts_a_monitors_tables(void)
{
    struct facet_altp2m_usage u = {.pad = 0};

    set_up();
    u.view = theirs;
    expect(altp2m_stub_usage(&altp2m_self, &u), of_facet(0, -XEN_EINVAL));
    expect(u.tables > 1, policy == OPEN);
    tear_down();
}

static void reads_a_monitors_overrides(void)
{
    struct facet_altp2m_override_run runs[4];
    struct facet_altp2m_host_changes changes = {.pad = {0}};
    uint64_t first = 0;
    uint32_t written = 0;

    set_up();
    changes.view = theirs;
    expect(altp2m_stub_get_overrides(&altp2m_self, theirs, 4, runs, &first, &written, GFN_ALL_ONES),
           of_facet(0, -XEN_EINVAL));
    expect(written, of_facet(1, 0) > 0);
    if (written == 1)
        expect(runs[0].first_gfn, gfn_of(page));
    expect(altp2m_stub_host_changes(&altp2m_self, &changes), of_facet(0, -XEN_EINVAL));
    tear_down();
}

/* What the host map does not let it read it has copied. */
static void copies_what_it_may_not_read(void)
{
    uint64_t secret = 0x5ec4e7, name = 0, seen = 0;

    set_up();
    memcpy(page, &secret, sizeof(secret));
    ask(ASK_ACCESS, 0, gfn_of(page), ACCESS_N);
    expect(altp2m_stub_shadow_create(&altp2m_self, gfn_of(page), &name), of_facet(0, -XEN_EPERM));
    if (policy == OPEN) {
        expect(altp2m_stub_shadow_copy(&altp2m_self, name, &seen, 0, sizeof(seen), 0), 0);
        expect(seen, secret);
        expect(altp2m_stub_shadow_destroy(&altp2m_self, name), 0);
    }
    tear_down();
}

static void reads_and_frees_a_monitors_shadow(void)
{
    uint64_t secret = 0x5ec4e7, seen = 0, name;

    set_up();
    memcpy(page, &secret, sizeof(secret));
    name = told(ASK_SHADOW, gfn_of(page), 0);
    expect(altp2m_stub_shadow_copy(&altp2m_self, name, &seen, 0, sizeof(seen), 0),
           of_facet(0, -XEN_ENOENT));
    expect(seen, of_facet(1, 0) > 0 ? secret : 0);
    expect(altp2m_stub_shadow_destroy(&altp2m_self, name), of_facet(0, -XEN_ENOENT));
    if (policy != OPEN)
        ask(ASK_UNSHADOW, name, 0, 0);
    tear_down();
}

/* Not an attack on a monitor's view but on all of them: only the monitor's own calls are left. */
static void seals_out_the_monitor(void)
{
    uint16_t a, b;

    set_up();
    expect(altp2m_create(ACCESS_RWX, &a), 0);
    expect(altp2m_create(ACCESS_RWX, &b), 0);
    expect(altp2m_stub_seal(&altp2m_self, a, b), of_facet(-XEN_EOPNOTSUPP, 0));
    if (policy == AUDITED)
        ask(ASK_UNSEAL, 0, 0, 0); /* works, and all is as before */
    ask(ASK_SWITCH, 0, 0, 0);
    expect(altp2m_destroy(a), 0);
    expect(altp2m_destroy(b), 0);
    tear_down();
}

/*
 * An entry into the agent is no way off a monitor's view, and no way back to where one came from
 * when the monitor has moved the vCPU meanwhile.
 */
static void leaves_by_its_agent(void)
{
    struct facet_altp2m_enter e;

    set_up();
    expect(inside_prepare(), 0);
    e = inside_entry(0);
    expect(inside_register(&e), of_facet(-XEN_EOPNOTSUPP, 0));
    if (policy == AUDITED) {
        expect(inside_seal(), 0);
        ask(ASK_SWITCH, 0, theirs, 0);
        expect(inside_call(INSIDE_EMPTY, 1, 0), -XEN_EPERM);
        write_reported(page, 1);
        ask(ASK_SWITCH, 0, inside.kernel, 0);
        ask(ASK_ACCESS, theirs, gfn_of(page), ACCESS_R);
        mail->data[ASK_WHAT] = ASK_SWITCH;
        mail->data[ASK_ARGUMENT] = 0;
        mail->data[ASK_ARGUMENT + 1] = theirs;
        expect(inside_call(INSIDE_TELL, (uint64_t)&mail->ready,
                           (mail->ready + 1000) |
                               (uint64_t)((uint8_t *)&mail->task - (uint8_t *)&mail->ready) << 32),
               (long)&mail->ready + 1);
        expect(told(ASK_WHERE, 0, 0), theirs);
        write_reported(page, 1);
        ask(ASK_UNSEAL, 0, 0, 0);
    }
    tear_down();
    expect(altp2m_destroy(inside.agent), 0);
    expect(altp2m_destroy(inside.kernel), 0);
    expect(altp2m_destroy(inside.other), 0);
}

/*
 * What a monitor pinned the guest cannot let go of, not even as the agent of its own seal; where it
 * may turn altp2m off that is the end of it.
 */
static void undoes_a_monitors_pin(void)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_pin);
    const struct facet_altp2m_pin off = {.cr0 = CR0_WP};
    uint64_t cr0 = read_cr0();

    if (!on_facet)
        skip("pin");
    set_up();
    ask(ASK_PIN, 0, CR0_WP, 1);
    expect(try_write_cr0(cr0 ^ CR0_WP), VEC_GP);
    memcpy(&op.u, &off, sizeof(off));
    expect(altp2m_call(&op), of_facet(-XEN_EOPNOTSUPP, -XEN_ENXIO));
    if (policy == AUDITED) {
        struct facet_altp2m_enter e;

        expect(inside_prepare(), 0);
        e = inside_entry(0);
        expect(inside_register(&e), 0);
        expect(inside_seal(), 0);
        expect(inside_altp2m(&op), -XEN_ENOENT);
        expect(inside_unseal(), 0);
        expect(altp2m_switch(0), 0);
    }
    expect(try_write_cr0(cr0 ^ CR0_WP), VEC_GP);
    expect(altp2m_set_state(0), 0);
    expect(try_write_cr0(cr0 ^ CR0_WP), of_facet(VEC_NONE, VEC_GP));
    if (policy == AUDITED)
        ask(ASK_PIN, 0, CR0_WP, 0);
    expect(try_write_cr0(cr0), VEC_NONE);
    set_up();
    tear_down();
}

/* ---- a registered area ---- */

/* An event for this vCPU, and how many upcalls it got of it. */
static unsigned event_comes(long port)
{
    unsigned before = upcalls;

    expect(event_send((uint32_t)port), 0);
    sched_op(SCHEDOP_yield, NULL);
    return upcalls - before;
}

/*
 * Not an attack: vcpu_info in a page that the monitor takes away while events come. While only its
 * view denies the page they wait, and are there afterwards; once the host map denies it nothing is
 * written there any more. Last of all: an area cannot be moved again.
 */
static void has_its_events_written(void)
{
    uint8_t *held = page_alloc(1, 1);
    struct vcpu_register_vcpu_info r = {.mfn = gfn_of(held)};
    long port = event_bind_ipi(0);
    unsigned before;

    set_up();
    check(port > 0, "no port: %ld", port);
    expect(vcpu_op(VCPUOP_register_vcpu_info, 0, &r), 0);
    vcpu_info = (struct vcpu_info *)held;
    event_unmask((uint32_t)port);
    interrupts_on();
    expect(event_comes(port), 1);

    ask(ASK_ACCESS, theirs, gfn_of(held), ACCESS_R);
    ask(ASK_SWITCH, 0, theirs, 0);
    expect(event_comes(port), policy != AUDITED);
    expect(event_pending((uint32_t)port), policy == AUDITED);
    expect(vcpu_info->evtchn_upcall_pending, 0);
    before = upcalls;
    ask(ASK_SWITCH, 0, 0, 0);
    expect(upcalls - before, policy == AUDITED);
    expect(event_pending((uint32_t)port), 0);

    ask(ASK_SWITCH, 0, theirs, 0);
    ask(ASK_ACCESS, theirs, gfn_of(held), ACCESS_R);
    event_comes(port);
    ask(ASK_ACCESS, 0, gfn_of(held), ACCESS_R);
    ask(ASK_SWITCH, 0, 0, 0);
    before = upcalls;
    event_comes(port);
    ask(ASK_ACCESS, 0, gfn_of(held), ACCESS_RWX);
    expect(event_comes(port) > 0, policy != AUDITED);
    expect(upcalls - before > 0, policy != AUDITED);
    expect(vcpu_info->evtchn_upcall_pending, 0);
    tear_down();
}

static void finish(void)
{
    ask(ASK_END, 0, 0, 0);
}

TEST_CASES(CASE(begin), CASE(sees_the_monitor), CASE(turns_off_the_monitor), CASE(takes_all_views),
           CASE(destroys_a_monitors_view), CASE(leaves_a_monitors_view), CASE(leaves_with_one_vcpu),
           CASE(enters_a_monitors_view), CASE(shows_what_is_hidden),
           CASE(user_enters_a_monitors_view), CASE(user_leaves_a_monitors_view),
           CASE(learns_where_it_is), CASE(lifts_the_host_maps_access), CASE(lifts_a_views_access),
           CASE(lifts_by_list), CASE(lifts_by_range), CASE(widens_in_its_own_view),
           CASE(writes_by_another_gfn), CASE(changes_what_a_view_shows), CASE(changes_it_by_range),
           CASE(isolates_what_is_restricted), CASE(blinds_the_monitor), CASE(blinds_it_by_range),
           CASE(takes_away_a_monitors_ve), CASE(has_the_processor_write),
           CASE(reads_a_monitors_view), CASE(counts_a_monitors_tables),
           CASE(reads_a_monitors_overrides), CASE(copies_what_it_may_not_read),
           CASE(reads_and_frees_a_monitors_shadow), CASE(seals_out_the_monitor),
           CASE(leaves_by_its_agent), CASE(undoes_a_monitors_pin), CASE(has_its_events_written),
           CASE(finish))
