/* SPDX-License-Identifier: MIT */
#include "guest_fake.h"
#include "core/platform.h"
#include "guest/made.h"
#include "host.h"
#include "mm/frame.h"
#include "vcpu/pins.h"
#include <stdio.h>

uint64_t fake_now;
unsigned fake_wakes, fake_restarts;
unsigned fake_said;
char fake_say[200];
long fake_frames;
bool fake_copy_fails;

static struct domain *domains[4];
static LIST_HEAD(, timer) timers = LIST_HEAD_INITIALIZER(timers);

static void *zalloc(size_t size)
{
    void *p = aligned_alloc(PAGE_SIZE, (size + PAGE_SIZE - 1) & PAGE_MASK);

    assert_non_null(p);
    memset(p, 0, size);
    return p;
}

struct domain *fake_domain(uint16_t id)
{
    struct domain *d = zalloc(sizeof(*d));

    d->id = id;
    d->nr_vcpus = FAKE_VCPUS;
    lock_init(&d->lock, LOCK_RANK_DOMAIN);
    lock_init(&d->guest.evtchn_lock, LOCK_RANK_EVTCHN);
    d->guest.shared = zalloc(PAGE_SIZE);
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        struct vcpu *v = zalloc(sizeof(*v));

        v->domain = d;
        v->id = i;
        v->state = i == 0 ? VCPU_RUNNABLE : VCPU_OFFLINE;
        v->guest.info = &d->guest.shared->vcpu_info[i];
        d->vcpus[i] = v;
    }
    domains[id] = d;
    return d;
}

void fake_domain_free(struct domain *d)
{
    domains[d->id] = NULL;
    for (unsigned i = 0; i < FAKE_VCPUS; i++) {
        free(d->vcpus[i]);
    }
    free(d->guest.shared);
    free(d);
}

/* ---- what the sources under test call ---- */

uint8_t fake_ended; /* the vector whose end an I/O APIC was told of last */

void host_eoi(uint8_t vector)
{
    fake_ended = vector;
}
bool host_mmio_read(gpa_t a, unsigned size, uint64_t *value)
{
    (void)a, (void)size, (void)value;
    return false;
}
bool host_mmio_write(gpa_t a, unsigned size, uint64_t value)
{
    (void)a, (void)size, (void)value;
    return false;
}

uint64_t time_now(void)
{
    return fake_now;
}

void domain_say(struct domain *d, const char *format, ...)
{
    va_list ap;

    (void)d;
    va_start(ap, format);
    vsnprintf(fake_say, sizeof(fake_say), format, ap);
    va_end(ap);
    fake_said++;
}

void timer_init(struct timer *t, void (*fire)(struct timer *))
{
    *t = (struct timer){.fire = fire};
}

void timer_cancel(struct timer *t)
{
    if (t->armed) {
        t->armed = false;
        LIST_REMOVE(t, link);
    }
}

void timer_set(struct timer *t, uint64_t deadline)
{
    timer_cancel(t);
    t->deadline = deadline;
    t->armed = true;
    LIST_INSERT_HEAD(&timers, t, link);
}

void fake_run_timers(void)
{
    struct timer *t = LIST_FIRST(&timers);

    while (t) {
        struct timer *next = LIST_NEXT(t, link);

        if (t->deadline <= fake_now) {
            timer_cancel(t);
            t->fire(t);
            next = LIST_FIRST(&timers);
        }
        t = next;
    }
}

void sched_wake(struct vcpu *v)
{
    fake_wakes++;
    if (v->state == VCPU_BLOCKED) {
        v->state = VCPU_RUNNABLE;
    }
}

bool platform_preempt_pending(void)
{
    return false;
}

void sched_lend(struct vcpu *v)
{
    (void)v;
}

/* As hv/vcpu/agent.c; down: what is to come when it has left. */
bool agent_delays(struct vcpu *v)
{
    v->agent.down = v->agent.down || v->altp2m.inside;
    return v->altp2m.inside;
}

void guest_vcpu_down(struct vcpu *v)
{
    sched_offline(v);
}

void sched_online(struct vcpu *v)
{
    v->state = VCPU_RUNNABLE;
}

void sched_offline(struct vcpu *v)
{
    v->state = VCPU_OFFLINE;
}

void vcpu_start_sipi(struct vcpu_start *s, uint8_t vector)
{
    *s = (struct vcpu_start){.cs = {.base = (uint64_t)vector << 12}};
}

void vcpu_reset(struct vcpu *v, const struct vcpu_start *s)
{
    v->regs.rax = s->cs.base; /* for the test to look at */
}

/* No test takes a right away. */
void hand_area_look(struct domain *d, view_t now, struct hand_area *a)
{
    a->stamp = hand_stamp(&d->physmap, now);
}

mfn_t frame_alloc(uint16_t owner, unsigned order)
{
    (void)owner;
    fake_frames++;
    return mfn((uintptr_t)zalloc(PAGE_SIZE << order) >> PAGE_SHIFT);
}

void frame_put(mfn_t m)
{
    fake_frames--;
    free((void *)(m.v << PAGE_SHIFT));
}

struct domain *domain_get(unsigned domid)
{
    return domid < ARRAY_SIZE(domains) ? domains[domid] : NULL;
}

void domain_put(struct domain *d)
{
    (void)d;
}

int domain_check_self(struct vcpu *v, unsigned domid)
{
    if (domid == DOMID_SELF || domid == v->domain->id) {
        return 0;
    }
    return domain_get(domid) ? -EPERM : -ESRCH;
}

int domain_target_any(struct vcpu *v, unsigned domid, struct domain **out)
{
    *out = domid == DOMID_SELF ? v->domain : domain_get(domid);
    return domain_check_self(v, domid);
}

bool pins_any(const struct vcpu *v)
{
    (void)v;
    return false;
}

/* Guest memory is the test's own. */
int hand_copy_from(struct vcpu *v, void *dst, gva_t src, size_t n)
{
    (void)v;
    memcpy(dst, (const void *)src.v, n);
    return 0;
}

int hand_copy_to(struct vcpu *v, gva_t dst, const void *src, size_t n)
{
    (void)v;
    if (fake_copy_fails) {
        return -EFAULT;
    }
    memcpy((void *)dst.v, src, n);
    return 0;
}

void monitor_vcpu_restarts(struct vcpu *v)
{
    fake_restarts++;
    (void)v;
}
