/* SPDX-License-Identifier: MIT */
/*
 * A guest's time: system time is the hypervisor's own, told as a formula over the TSC; wall time is
 * the machine's clock at start. Also the timers that raise VIRQ_TIMER, and how long vCPUs ran.
 */
#include "guest.h"
#include "x86/cpu.h"
#include <string.h>

#define NS_PER_SECOND 1000000000ULL
#define CMOS_INDEX    0x70
#define CMOS_DATA     0x71

static uint64_t wall_at_zero; /* ns since 1970 when system time was 0 */

/* ---- the machine's clock (MC146818 registers) ---- */

static uint8_t cmos_read(uint8_t index)
{
    outb(CMOS_INDEX, index);
    return inb(CMOS_DATA);
}

static unsigned from_bcd(unsigned v, bool bcd)
{
    return bcd ? (v >> 4) * 10 + (v & 15) : v;
}

/* Days since 1970-01-01 of a Gregorian date. */
static int64_t days_from_date(int64_t y, unsigned m, unsigned day)
{
    int64_t era, yoe, doy;

    y -= m <= 2;
    era = y / 400;
    yoe = y - era * 400;
    doy = (153 * (int64_t)(m + (m > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

struct clock {
    uint8_t second, minute, hour, day, month, year;
};

static struct clock clock_read(void)
{
    return (struct clock){cmos_read(0), cmos_read(2), cmos_read(4),
                          cmos_read(7), cmos_read(8), cmos_read(9)};
}

/* Seconds since 1970, or 0 if the machine has no clock. */
static uint64_t rtc_seconds(void)
{
    struct clock a, b;
    uint8_t b_register;
    unsigned tries = 0, hour;
    bool bcd;

    do { /* two equal readings: no update in between */
        a = clock_read();
        b = clock_read();
    } while (memcmp(&a, &b, sizeof(a)) != 0 && ++tries < 100);
    b_register = cmos_read(0x0b);
    bcd = !(b_register & 4);
    if (tries == 100 || a.month == 0xff) {
        return 0;
    }
    hour = from_bcd(a.hour & 0x7f, bcd);
    if (!(b_register & 2)) {
        hour = hour % 12 + (a.hour & 0x80 ? 12 : 0);
    }
    return (uint64_t)days_from_date(2000 + from_bcd(a.year, bcd), from_bcd(a.month, bcd),
                                    from_bcd(a.day, bcd)) *
               86400 +
           hour * 3600 + from_bcd(a.minute, bcd) * 60 + from_bcd(a.second, bcd);
}

void guest_time_init(void)
{
    uint64_t now = rtc_seconds() * NS_PER_SECOND;

    wall_at_zero = now > time_now() ? now - time_now() : 0;
}

/* wc_version, wc_sec, wc_nsec and the upper half of the seconds, where each layout has them (public
 * xen.h). */
#define WALL_NATIVE    offsetof(struct shared_info, wc_version)
#define WALL_COMPAT    (32 * 64 + 2 * 32 * 4)
#define WALL_HI_COMPAT (WALL_COMPAT + 12 + 6 * 4)
_Static_assert(offsetof(struct shared_info, evtchn_pending) == 32 * 64, "xen.h");
_Static_assert(offsetof(struct shared_info, wc_sec_hi) == WALL_NATIVE + 12, "xen.h");

void guest_time_init_domain(struct domain *d)
{
    uint8_t *page = (uint8_t *)d->guest.shared;
    bool compat = d->guest.compat_shared_info;
    uint64_t seconds = wall_at_zero / NS_PER_SECOND;
    const uint32_t wall[3] = {2, (uint32_t)seconds, (uint32_t)(wall_at_zero % NS_PER_SECOND)};
    uint32_t high = (uint32_t)(seconds >> 32);

    memcpy(page + (compat ? WALL_COMPAT : WALL_NATIVE), wall, sizeof(wall));
    memcpy(page + (compat ? WALL_HI_COMPAT : WALL_NATIVE + 12), &high, sizeof(high));
}

/* ---- registered areas ---- */

/* Bytes of an area from `from` on; false: it may not be written now. */
static bool area_write(struct vcpu *v, struct guest_area *a, size_t from, const void *bytes,
                       size_t n)
{
    size_t at = a->offset + from, first = at < PAGE_SIZE ? PAGE_SIZE - at : 0;
    uint8_t *page[2] = {hand_area_page(v->domain, v->altp2m.view, &a->page[0]), NULL};

    first = first < n ? first : n;
    if (first < n) {
        page[1] = hand_area_page(v->domain, v->altp2m.view, &a->page[1]);
    }
    if ((first > 0 && !page[0]) || (first < n && !page[1])) {
        return false;
    }
    if (first > 0) {
        memcpy(page[0] + at, bytes, first);
    }
    if (first < n) {
        memcpy(page[1] + (at + first - PAGE_SIZE), (const uint8_t *)bytes + first, n - first);
    }
    return true;
}

void guest_area_unbind(struct guest_area *a)
{
    hand_area_unbind(&a->page[0]);
    hand_area_unbind(&a->page[1]);
}

/* ---- vcpu_time_info ---- */

void guest_time_update(struct vcpu *v)
{
    volatile struct vcpu_time_info *t = &vcpu_info_of(v)->time;
    struct vcpu_time_info copy = {.version = (t->version | 1) + 1};
    uint64_t tsc = rdtsc();

    copy.tsc_timestamp = tsc;
    copy.system_time = time_from_tsc(tsc);
    time_pvclock_scale(&copy.tsc_to_system_mul, &copy.tsc_shift);
    copy.flags = XEN_PVCLOCK_TSC_STABLE_BIT;
    t->version |= 1; /* odd: readers wait */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    t->tsc_timestamp = copy.tsc_timestamp;
    t->system_time = copy.system_time;
    t->tsc_to_system_mul = copy.tsc_to_system_mul;
    t->tsc_shift = copy.tsc_shift;
    t->flags = copy.flags;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    t->version = copy.version;
    if (v->guest.time_area.registered) {
        area_write(v, &v->guest.time_area, 0, &copy, sizeof(copy));
    }
}

/* ---- runstate ---- */

void guest_runstate_read(const struct vcpu *v, struct vcpu_runstate_info *r)
{
    const struct guest_vcpu *g = &v->guest;

    memset(r, 0, sizeof(*r));
    r->state = (int)g->runstate;
    r->state_entry_time = g->runstate_since;
    memcpy(r->time, g->runstate_time, sizeof(r->time));
    r->time[g->runstate] += time_now() - g->runstate_since;
}

/* Copies the accounts to the guest; with the flag its readers can see a change under way. */
static void runstate_publish(struct vcpu *v)
{
    struct guest_area *a = &v->guest.runstate_area;
    struct vcpu_runstate_info r;
    size_t skip = a->compat ? 4 : 8;
    bool flag = v->domain->guest.runstate_flag;

    memset(&r, 0, sizeof(r));
    r.state = (int)v->guest.runstate;
    r.state_entry_time = v->guest.runstate_since | (flag ? XEN_RUNSTATE_UPDATE : 0);
    memcpy(r.time, v->guest.runstate_time, sizeof(r.time));
    if (flag && !area_write(v, a, skip, &r.state_entry_time, 8)) {
        return;
    }
    if (!area_write(v, a, 0, &r.state, 4) || !area_write(v, a, skip, &r.state_entry_time, 40)) {
        return;
    }
    if (flag) {
        r.state_entry_time &= ~XEN_RUNSTATE_UPDATE;
        area_write(v, a, skip, &r.state_entry_time, 8);
    }
}
_Static_assert(offsetof(struct vcpu_runstate_info, state_entry_time) == 8 &&
                   sizeof(struct vcpu_runstate_info) == 48,
               "vcpu.h");

void guest_runstate_set(struct vcpu *v, unsigned state)
{
    struct guest_vcpu *g = &v->guest;
    uint64_t now = time_now();

    g->runstate_time[g->runstate] += now - g->runstate_since;
    g->runstate = state;
    g->runstate_since = now;
    if (g->runstate_area.registered) {
        runstate_publish(v);
    }
}

void guest_vcpu_running(struct vcpu *v)
{
    guest_runstate_set(v, RUNSTATE_running);
}

void guest_vcpu_stopped(struct vcpu *v)
{
    guest_runstate_set(v, v->state == VCPU_RUNNABLE  ? RUNSTATE_runnable
                          : v->state == VCPU_BLOCKED ? RUNSTATE_blocked
                                                     : RUNSTATE_offline);
    if (v->state == VCPU_BLOCKED) {
        waits_blocked(v);
    }
}

/* ---- timers ---- */

static void singleshot_fire(struct timer *t)
{
    evtchn_raise_virq(container_of(t, struct vcpu, guest.singleshot), VIRQ_TIMER);
}

static void periodic_fire(struct timer *t)
{
    struct vcpu *v = container_of(t, struct vcpu, guest.periodic);
    uint64_t next = t->deadline + v->guest.period, now = time_now();

    if (v->guest.period == 0 || v->domain->dying) {
        return;
    }
    evtchn_raise_virq(v, VIRQ_TIMER);
    timer_set(t, next > now ? next : now + v->guest.period);
}

static void poll_fire(struct timer *t)
{
    struct vcpu *v = container_of(t, struct vcpu, guest.poll);

    if (v->guest.polling) {
        v->guest.polling = false;
        sched_wake(v);
    }
}

void guest_time_init_vcpu(struct vcpu *v)
{
    timer_init(&v->guest.singleshot, singleshot_fire);
    timer_init(&v->guest.periodic, periodic_fire);
    timer_init(&v->guest.poll, poll_fire);
    v->guest.runstate = RUNSTATE_offline;
    v->guest.runstate_since = time_now();
    guest_time_update(v);
}

void guest_time_stop_vcpu(struct vcpu *v)
{
    timer_cancel(&v->guest.singleshot);
    timer_cancel(&v->guest.periodic);
    timer_cancel(&v->guest.poll);
}
