/* SPDX-License-Identifier: MIT */
/* The list of domains, and how a domain begins and ends. */
#include "made.h"
#include "mm/frame.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum outcome {
    OUTCOME_NONE, /* runs, or was never there */
    OUTCOME_POWERED_OFF,
    OUTCOME_REBOOTED,
    OUTCOME_CRASHED,
    OUTCOME_COUNT,
};

/* One described domain; stays when the domain itself is gone. */
struct slot {
    bool described;
    bool made, destroy;         /* by a domain, at run time; which has it destroyed */
    bool reaped, end_said;      /* the domain's end was seen; was said */
    bool not_built;             /* when it was to start again */
    enum outcome outcome, last; /* of the slot; of the domain that ended last */
    enum domain_action action;  /* that follows it */
    struct domain_config config;
    struct domain *d; /* NULL: not built, or freed */
    uint64_t started; /* ns */
    unsigned quick_crashes;
    struct turn turn;   /* while it is taken apart and built again: see reap() */
    struct domain *old; /* being taken apart; nobody finds it any more */
    struct builder_ending ending;
    struct build *build;
};

/* A domain that crashes so soon after its start, so often in a row, is not started again. */
#define CRASH_SOON_NS 1000000000ULL
#define CRASHES_MOST  5u

static struct lock domains_lock = LOCK_INIT(LOCK_RANK_DOMAINS);
static struct slot slots[DOMAIN_MAX + 1];
static unsigned nr_running; /* or being started again */
static unsigned nr_dying;   /* ended, not yet reaped */
static unsigned ended[OUTCOME_COUNT];
static const struct boot_module *boot_modules;
static unsigned nr_boot_modules;
static bool interactive;

/* ---- finding ---- */

struct domain *domain_get(unsigned domid)
{
    struct domain *d = NULL;

    if (domid > DOMAIN_MAX) {
        return NULL;
    }
    lock_acquire(&domains_lock);
    d = slots[domid].d;
    d = d && !d->dying && (!d->guest.made || d->guest.made->whole) ? d : NULL;
    if (d) {
        d->guest.pins++;
    }
    lock_release(&domains_lock);
    return d;
}

struct domain *domain_get_any(unsigned domid)
{
    struct domain *d = domain_get(domid);

    if (d || domid > DOMAIN_MAX) {
        return d;
    }
    lock_acquire(&domains_lock);
    d = slots[domid].made ? slots[domid].d : NULL;
    if (d) {
        d->guest.pins++;
    }
    lock_release(&domains_lock);
    return d;
}

void domain_pin(struct domain *d)
{
    lock_acquire(&domains_lock);
    d->guest.pins++;
    lock_release(&domains_lock);
}

void domain_put(struct domain *d)
{
    lock_acquire(&domains_lock);
    CHECK(d->guest.pins > 0);
    d->guest.pins--;
    lock_release(&domains_lock);
}

int domain_check_self(struct vcpu *v, unsigned domid)
{
    struct domain *other;

    if (domid == DOMID_SELF || domid == v->domain->id) {
        return 0;
    }
    other = domain_get(domid);
    if (!other) {
        return -ESRCH;
    }
    domain_put(other);
    return -EPERM;
}

bool domain_may_control(const struct domain *by, const struct domain *target)
{
    const struct monitor_domain *m = &by->guest.monitor;

    if (by == target) {
        return false;
    }
    if (by->guest.control && target->guest.made && target->guest.made->maker == by->id) {
        return true;
    }
    for (unsigned i = 0; i < m->controls_size; i += (unsigned)strlen(m->controls + i) + 1) {
        if (strcmp(m->controls + i, target->name) == 0) {
            return true;
        }
    }
    return m->controls_all;
}

static int target(struct vcpu *v, struct domain *d, struct domain **out)
{
    if (!d) {
        return -ESRCH;
    }
    if (d != v->domain && !domain_may_control(v->domain, d)) {
        domain_put(d);
        return -EPERM;
    }
    *out = d;
    return 0;
}

int domain_target(struct vcpu *v, unsigned domid, struct domain **out)
{
    return target(v, domain_get(domid == DOMID_SELF ? v->domain->id : domid), out);
}

int domain_target_any(struct vcpu *v, unsigned domid, struct domain **out)
{
    return target(v, domain_get_any(domid == DOMID_SELF ? v->domain->id : domid), out);
}

/* ---- made at run time ---- */

static bool id_is_free(unsigned id)
{
    const struct slot *s = &slots[id];
    uint64_t held = 0;

    for (unsigned o = id; o < FRAME_OWNERS; o += FRAME_OWNER_STEP) {
        held += frame_owned((uint16_t)o);
    }
    return !s->described && !s->made && held == 0;
}

unsigned domain_free_id(unsigned wanted)
{
    static unsigned last;

    if (wanted) {
        return wanted <= DOMAIN_MAX && id_is_free(wanted) ? wanted : 0;
    }
    for (unsigned i = 0; i < DOMAIN_MAX; i++) {
        unsigned id = (last + i) % DOMAIN_MAX + 1;

        if (id_is_free(id)) {
            return last = id;
        }
    }
    return 0;
}

bool domain_ending(unsigned domid)
{
    bool ending = false;

    if (domid <= DOMAIN_MAX) {
        const struct slot *s = &slots[domid];

        lock_acquire(&domains_lock);
        ending = s->made && (s->destroy || s->old);
        lock_release(&domains_lock);
    }
    return ending;
}

bool domains_ending(void)
{
    for (unsigned i = 1; i <= DOMAIN_MAX; i++) {
        if (domain_ending(i)) {
            return true;
        }
    }
    return false;
}

unsigned domains_count(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i <= DOMAIN_MAX; i++) {
        n += slots[i].d != NULL;
    }
    return n;
}

struct domain_config *domain_config_of(const struct domain *d)
{
    return &slots[d->id].config;
}

void domain_add_made(struct domain *d)
{
    struct slot *s = &slots[d->id];

    lock_acquire(&domains_lock);
    s->d = d;
    s->made = true;
    s->destroy = s->reaped = s->end_said = false;
    s->started = time_now();
    lock_release(&domains_lock);
}

void domain_destroy(struct domain *d)
{
    struct slot *s = &slots[d->id];

    if (s->destroy) {
        return;
    }
    s->destroy = true;
    if (!d->dying) {
        domain_shutdown(d, DOMAIN_DESTROYED);
    } else if (s->reaped) { /* it ended, and stood there */
        s->reaped = false;
        __atomic_fetch_add(&nr_dying, 1, __ATOMIC_RELAXED);
    }
}

/* ---- beginning ---- */

static void slot_end(struct slot *s, enum outcome outcome)
{
    s->outcome = outcome;
    ended[outcome]++;
}

static void say_not_built(const struct slot *s, const char *error)
{
    say("d%u %s: crashed: cannot be built: %s", s->config.domid, s->config.name, error);
}

/* False, with a line on the console: there is no memory to begin with. */
static bool build_begin(struct slot *s)
{
    s->build = builder_begin(&s->config, boot_modules, nr_boot_modules,
                             interactive && s->config.domid == !slots[0].described);
    if (!s->build) {
        say_not_built(s, "the machine ran out of memory");
    }
    return s->build != NULL;
}

/* What was built runs; or, with a line on the console, is to be taken apart: then false. */
static bool build_end(struct slot *s)
{
    char error[160] = "";
    struct domain *d = builder_end(s->build, error, sizeof(error));

    s->build = NULL;
    if (error[0]) {
        say_not_built(s, error);
        s->old = d;
        s->ending = (struct builder_ending){0};
        return false;
    }
    lock_acquire(&domains_lock);
    s->d = d;
    s->reaped = s->end_said = false;
    s->started = time_now();
    lock_release(&domains_lock);
    sched_online(d->vcpus[0]);
    return true;
}

/* At boot, when nobody runs yet who could want the processor: all of it at once. */
static bool slot_start(struct slot *s)
{
    if (!build_begin(s)) {
        return false;
    }
    while (builder_more(s->build)) {
    }
    if (!build_end(s)) {
        while (builder_destroy_more(s->old, &s->ending)) {
        }
        s->old = NULL;
        return false;
    }
    nr_running++;
    return true;
}

static void describe(const struct dtree *t, int node)
{
    struct domain_config c;
    const char *error = dtree_domain(t, node, nr_boot_modules, DOMAIN_MAX, DOMAIN_VCPUS, &c);
    struct slot *s = &slots[c.domid];

    if (!c.numbered) {
        say("d? %s: crashed: cannot be built: %s", c.name, error);
        ended[OUTCOME_CRASHED]++;
        return;
    }
    if (s->described) {
        say("d%u %s: crashed: cannot be built: its domid is taken", c.domid, c.name);
        ended[OUTCOME_CRASHED]++;
        return;
    }
    s->described = true;
    s->config = c;
    if (error) {
        say("d%u %s: crashed: cannot be built: %s", c.domid, c.name, error);
        slot_end(s, OUTCOME_CRASHED);
    } else if (!slot_start(s)) {
        slot_end(s, OUTCOME_CRASHED);
    }
}

void domains_create(const struct boot_module *modules, unsigned nr)
{
    struct dtree t;
    const char *error;

    if (nr == 0) {
        fatal("no device tree: the boot loader passed no modules");
    }
    error = dtree_open(&t, modules[0].start, modules[0].size);
    if (error) {
        fatal("%s", error);
    }
    boot_modules = modules;
    nr_boot_modules = nr;
    interactive = t.interactive;
    if (interactive) {
        console_raw_init();
    }
    guest_time_init();
    for (int node = dtree_first(&t); node >= 0; node = dtree_next(&t, node)) {
        describe(&t, node);
    }
}

/* ---- ending ---- */

void domain_shutdown(struct domain *d, unsigned reason)
{
    lock_acquire(&d->lock);
    if (d->dying) {
        lock_release(&d->lock);
        return;
    }
    d->dying = true;
    d->guest.shutdown_reason = reason;
    lock_release(&d->lock);
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        sched_pause(d->vcpus[i]);
    }
    __atomic_fetch_add(&nr_dying, 1, __ATOMIC_RELAXED);
}

void domain_crash(struct domain *d, const char *format, ...)
{
    va_list ap;

    if (d->dying) {
        return;
    }
    va_start(ap, format);
    vsnprintf(d->guest.crash_reason, sizeof(d->guest.crash_reason), format, ap);
    va_end(ap);
    domain_shutdown(d, SHUTDOWN_crash);
}

void guest_vcpu_down(struct vcpu *v)
{
    sched_offline(v);
    guest_all_down(v->domain);
}

void guest_all_down(struct domain *d)
{
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        if (d->vcpus[i]->state != VCPU_OFFLINE) {
            return;
        }
    }
    domain_shutdown(d, SHUTDOWN_poweroff);
}

static const char *crash_text(const struct domain *d)
{
    if (d->guest.crash_reason[0]) {
        return d->guest.crash_reason;
    }
    return d->guest.shutdown_reason == SHUTDOWN_watchdog ? "its watchdog expired"
                                                         : "the guest says so";
}

static enum outcome say_outcome(struct domain *d)
{
    switch (d->guest.shutdown_reason) {
    case SHUTDOWN_poweroff:
        domain_say(d, "d%u %s: powered off", d->id, d->name);
        return OUTCOME_POWERED_OFF;
    case DOMAIN_DESTROYED:
        domain_say(d, "d%u %s: destroyed", d->id, d->name);
        return OUTCOME_NONE;
    case SHUTDOWN_reboot:
        domain_say(d, "d%u %s: rebooted", d->id, d->name);
        return OUTCOME_REBOOTED;
    default:
        domain_say(d, "d%u %s: crashed: %s", d->id, d->name, crash_text(d));
        return OUTCOME_CRASHED;
    }
}

static enum domain_action action_for(const struct slot *s, unsigned reason)
{
    switch (reason) {
    case SHUTDOWN_poweroff:
        return s->config.on_poweroff;
    case SHUTDOWN_reboot:
        return s->config.on_reboot;
    case SHUTDOWN_watchdog:
        return s->config.on_watchdog;
    default:
        return s->config.on_crash;
    }
}

/* A domain ended: Xen's tools learn of it by this event, and look which one. */
static void tell_monitors(void)
{
    for (unsigned i = 0; i <= DOMAIN_MAX; i++) {
        struct domain *d = domain_get(i);

        if (d && (d->guest.control || d->guest.monitor.controls_all ||
                  d->guest.monitor.controls_size > 0)) {
            evtchn_raise_virq(d->vcpus[0], VIRQ_DOM_EXC);
        }
        if (d) {
            domain_put(d);
        }
    }
}

/* Restarting it would only go on for ever. */
static bool crashes_always(struct slot *s, enum outcome outcome)
{
    bool soon = outcome == OUTCOME_CRASHED && time_now() - s->started < CRASH_SOON_NS;

    s->quick_crashes = soon ? s->quick_crashes + 1 : 0;
    if (s->quick_crashes < CRASHES_MOST) {
        return false;
    }
    domain_say(s->d, "d%u %s: crashed %u times within a second of its start: not started again",
               s->config.domid, s->config.name, s->quick_crashes);
    return true;
}

/* Says how the domain ended and what follows; decides that. */
static void say_end(struct slot *s)
{
    s->end_said = true;
    s->last = say_outcome(s->d);
    if (s->made) {
        s->action = ACTION_PRESERVE; /* its maker decides */
        return;
    }
    s->action = action_for(s, s->d->guest.shutdown_reason);
    if (s->action == ACTION_RESTART && crashes_always(s, s->last)) {
        s->action = ACTION_DESTROY;
    }
    if (s->action == ACTION_RESTART) {
        domain_say(s->d, "d%u %s: starts again", s->config.domid, s->config.name);
    }
}

static bool slot_over(struct slot *s, enum outcome outcome)
{
    if (s->made) {
        return false;
    }
    slot_end(s, outcome);
    nr_running--;
    return false;
}

/* The domain is taken apart: the next one is begun, or that was all. */
static bool after_ending(struct slot *s)
{
    if (s->made) {
        tell_monitors();
        lock_acquire(&domains_lock);
        s->old = NULL;
        s->made = false; /* the number is free, and who waits for that goes on */
        lock_release(&domains_lock);
        return false;
    }
    s->old = NULL;
    if (s->not_built) {
        return slot_over(s, OUTCOME_CRASHED);
    }
    tell_monitors();
    if (s->action != ACTION_RESTART) {
        return slot_over(s, s->last);
    }
    return build_begin(s) || slot_over(s, OUTCOME_CRASHED);
}

/* The domain, which has said all, is gone for others; false: there is no more to be done. */
static bool part(struct slot *s)
{
    struct domain *d = s->d;

    monitor_domain_gone(d);
    if (s->action == ACTION_PRESERVE && !s->destroy) {
        tell_monitors();
        return slot_over(s, s->last);
    }
    lock_acquire(&domains_lock);
    s->d = NULL;
    s->old = d;
    lock_release(&domains_lock);
    s->ending = (struct builder_ending){0};
    return true;
}

/* A piece of a domain's last words, and of what is said of its end; false: all is out. */
static bool last_words(struct slot *s)
{
    if (guest_console_end(s->d)) {
        return true;
    }
    if (!s->end_said) {
        say_end(s);
    }
    return s->d->guest.console_held;
}

/* A piece of the work of ending a domain, taking it apart and starting it again. */
static bool slot_work(struct turn *t)
{
    struct slot *s = container_of(t, struct slot, turn);

    if (s->d) {
        if (!last_words(s)) {
            return part(s);
        }
        if (guest_console_waits(s->d)) {
            sched_yield_work();
        }
        return true;
    }
    if (s->old) {
        return builder_destroy_more(s->old, &s->ending) || after_ending(s);
    }
    if (builder_more(s->build)) {
        return true;
    }
    s->not_built = !build_end(s);
    return s->not_built;
}

/* What takes long is left to slot_work(), which gets its slices as the domain's vCPUs did. */
static void reap(struct slot *s)
{
    if (last_words(s) || part(s)) {
        sched_work(&s->turn, slot_work);
    }
}

/* None of its vCPUs can print what it has to say. */
static bool stands_still(const struct domain *d)
{
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        if (d->vcpus[i]->state == VCPU_RUNNABLE && d->vcpus[i]->paused == 0) {
            return false;
        }
    }
    return true;
}

static void reap_dying(void)
{
    for (unsigned i = 0; i <= DOMAIN_MAX; i++) {
        struct slot *s = &slots[i];

        if (s->d && !s->reaped && s->d->dying && s->d->guest.pins == 0 && !remote_runs(s->d)) {
            s->reaped = true;
            __atomic_fetch_sub(&nr_dying, 1, __ATOMIC_RELAXED);
            reap(s);
        }
    }
}

/* Prints a piece of what domains have to say that stand still. True: there is more. */
static bool speak_for_others(void)
{
    static unsigned last; /* who spoke; the others come first */
    unsigned from = last;

    for (unsigned i = 0; i <= DOMAIN_MAX; i++) {
        struct domain *d = slots[(from + i) % (DOMAIN_MAX + 1)].d;

        if (d && d->guest.console_held && !d->dying && stands_still(d)) {
            last = d->id + 1u;
            guest_console_more(d);
            return true;
        }
    }
    return false;
}

bool domains_wait_for_reaping(void)
{
    return __atomic_load_n(&nr_dying, __ATOMIC_RELAXED) > 0;
}

bool domains_reap(void)
{
    if (domains_wait_for_reaping()) {
        reap_dying();
    }
    return guest_unsettled > 0 && speak_for_others();
}

bool domains_all_ended(void)
{
    return nr_running == 0;
}

bool domains_report(void)
{
    say("all domains ended: %u powered off, %u rebooted, %u crashed", ended[OUTCOME_POWERED_OFF],
        ended[OUTCOME_REBOOTED], ended[OUTCOME_CRASHED]);
    return slots[0].config.hardware && slots[0].outcome == OUTCOME_REBOOTED;
}
