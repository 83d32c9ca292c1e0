/* SPDX-License-Identifier: MIT */
/*
 * Local APIC: by MSR in x2APIC mode, in which it starts (SDM 3, 10.12), by a page of memory in
 * xAPIC mode (SDM 3, 10.4).
 */
#include "guest.h"
#include "host.h"
#include <string.h>
#include "vcpu/pins.h"

enum {
    REG_ID = 0x802,
    REG_VERSION = 0x803,
    REG_TPR = 0x808,
    REG_PPR = 0x80a,
    REG_EOI = 0x80b,
    REG_LDR = 0x80d,
    REG_DFR = 0x80e, /* xAPIC only */
    REG_SVR = 0x80f,
    REG_ISR = 0x810, /* eight MSRs each */
    REG_TMR = 0x818,
    REG_IRR = 0x820,
    REG_ESR = 0x828,
    REG_ICR = 0x830,
    REG_ICR2 = 0x831,      /* xAPIC only */
    REG_LVT_TIMER = 0x832, /* then thermal, performance, LINT0, LINT1, error */
    REG_LVT_LINT0 = 0x835,
    REG_LVT_LINT1 = 0x836,
    REG_LVT_ERROR = 0x837,
    REG_TIMER_INITIAL = 0x838,
    REG_TIMER_CURRENT = 0x839,
    REG_TIMER_DIVIDE = 0x83e,
    REG_SELF_IPI = 0x83f,
};

#define VERSION                     0x00050014u /* six LVT entries, integrated */
#define LVT_MASKED                  (1u << 16)
#define LVT_PERIODIC                (1u << 17)
#define SVR_ENABLED                 (1u << 8)
#define ESR_ILLEGAL_VECTOR_SENT     0x20u
#define ESR_ILLEGAL_VECTOR_RECEIVED 0x40u
#define TICK_NS                     10u /* a bus of 100 MHz, as Xen's */
#define PERIOD_MIN_NS               100000u
#define ICR_ALLOWED                 0xffffffff000ccfffULL
#define MSR_X2APIC                  0x800u /* the register at offset 0 */
#define BASE_ADDRESS                0xfee00000ULL
#define BASE_BSP                    (1ULL << 8)
#define BASE_MODE_SHIFT             10
#define BASE_MODE                   (3ULL << BASE_MODE_SHIFT)

#define MODE_FIXED   0u
#define MODE_LOWEST  1u
#define MODE_NMI     4u
#define MODE_INIT    5u
#define MODE_STARTUP 6u

/* ---- vectors ---- */

static void vector_set(struct vector_set *s, uint8_t v)
{
    __atomic_fetch_or(&s->word[v / 64], 1ULL << (v % 64), __ATOMIC_SEQ_CST);
}

static void vector_clear(struct vector_set *s, uint8_t v)
{
    __atomic_fetch_and(&s->word[v / 64], ~(1ULL << (v % 64)), __ATOMIC_SEQ_CST);
}

static bool vector_has(const struct vector_set *s, uint8_t v)
{
    return s->word[v / 64] >> v % 64 & 1;
}

static int vector_highest(const struct vector_set *s)
{
    for (int w = 3; w >= 0; w--) {
        if (s->word[w]) {
            return w * 64 + 63 - __builtin_clzll(s->word[w]);
        }
    }
    return -1;
}

static uint32_t vector_word(const struct vector_set *s, unsigned i)
{
    return (uint32_t)(s->word[i / 2] >> (i % 2 * 32));
}

/* Processor priority (SDM 3, 10.8.3.1). */
static uint32_t priority(const struct lapic *l)
{
    int isr = vector_highest(&l->isr);
    uint32_t in_service = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

    return (l->tpr & 0xf0) >= in_service ? l->tpr : in_service;
}

static __attribute__((noinline)) int highest_pending(const struct lapic *l)
{
    int v;

    if (!(l->svr & SVR_ENABLED)) {
        return -1;
    }
    v = vector_highest(&l->irr);
    return v >= 0 && ((uint32_t)v & 0xf0) > (priority(l) & 0xf0) ? v : -1;
}

/* Asked at each entry: most often there is none. */
int lapic_pending(const struct lapic *l)
{
    return l->irr_any ? highest_pending(l) : -1;
}

void lapic_accept(struct lapic *l, uint8_t vector)
{
    vector_clear(&l->irr, vector);
    vector_set(&l->isr, vector);
    l->irr_any = vector_highest(&l->irr) >= 0;
}

void lapic_raise(struct vcpu *v, uint8_t vector)
{
    struct lapic *l = &v->guest.lapic;

    if (vector < 16 || !(l->svr & SVR_ENABLED)) {
        return;
    }
    vector_set(&l->irr, vector);
    l->irr_any = true;
    sched_wake(v);
}

/* ---- the timer ---- */

/* Divide configuration: bits 3, 1 and 0; 7 means by one (SDM 3, 10.5.4). */
static unsigned divide_shift(const struct lapic *l)
{
    return (((l->tdcr & 3) | (l->tdcr & 8) >> 1) + 1) & 7;
}

static uint64_t timer_period(const struct lapic *l)
{
    return ((uint64_t)l->tmict * TICK_NS) << divide_shift(l);
}

static void timer_start(struct lapic *l)
{
    if (l->tmict == 0) {
        l->timer_deadline = 0;
        timer_cancel(&l->timer);
        return;
    }
    l->timer_deadline = time_now() + timer_period(l);
    timer_set(&l->timer, l->timer_deadline);
}

static uint32_t timer_current(const struct lapic *l)
{
    uint64_t now = time_now();

    if (l->timer_deadline == 0 || l->timer_deadline <= now) {
        return 0;
    }
    return (uint32_t)(((l->timer_deadline - now) / TICK_NS) >> divide_shift(l));
}

static void timer_fire(struct timer *t)
{
    struct vcpu *v = container_of(t, struct vcpu, guest.lapic.timer);
    struct lapic *l = &v->guest.lapic;
    uint32_t lvt = l->lvt[0];
    uint64_t now = time_now(), period = timer_period(l);

    /* A period shorter than serving it takes would leave no time for anybody. */
    period = period && period < PERIOD_MIN_NS ? PERIOD_MIN_NS : period;
    if (v->domain->dying) {
        return;
    }
    if (!(lvt & LVT_MASKED)) {
        lapic_raise(v, (uint8_t)lvt);
    }
    if ((lvt & LVT_PERIODIC) && period) {
        l->timer_deadline += period;
        if (l->timer_deadline <= now) { /* ticks that were missed are lost */
            l->timer_deadline = now + period;
        }
        timer_set(t, l->timer_deadline);
    } else {
        l->timer_deadline = 0;
    }
}

/* ---- reset ---- */

static void reset(struct lapic *l)
{
    memset(&l->irr, 0, sizeof(l->irr));
    memset(&l->isr, 0, sizeof(l->isr));
    memset(&l->tmr, 0, sizeof(l->tmr));
    l->irr_any = false;
    l->tpr = l->esr = l->errors = l->tdcr = l->tmict = 0;
    l->ldr = 0;
    l->dfr = ~0u;
    l->nmi = false;
    l->icr = 0;
    l->svr = 0xff;
    for (unsigned i = 0; i < ARRAY_SIZE(l->lvt); i++) {
        l->lvt[i] = LVT_MASKED;
    }
    l->timer_deadline = 0;
    timer_cancel(&l->timer);
}

void lapic_init(struct vcpu *v)
{
    struct lapic *l = &v->guest.lapic;

    timer_init(&l->timer, timer_fire);
    l->mode = LAPIC_X2APIC;
    l->id = 2 * v->id; /* as Xen numbers them, and as the MADT says */
    l->wait_for_sipi = v->id != 0;
    reset(l);
}

void lapic_stop(struct vcpu *v)
{
    timer_cancel(&v->guest.lapic.timer);
}

/* ---- interrupts between processors ---- */

static uint32_t logical_id(const struct lapic *l)
{
    return (l->id >> 4) << 16 | 1u << (l->id & 15);
}

/* Flat: a bit each; clusters: a number and four bits (SDM 3, 10.6.2.2). */
static bool addressed_xapic(const struct lapic *l, uint32_t dest)
{
    uint32_t id = l->ldr >> 24;

    return l->dfr >> 28 == 0xf ? id & dest : id >> 4 == dest >> 4 && (id & dest & 0xf);
}

static bool addressed(const struct lapic *l, uint32_t dest, bool logical)
{
    if (l->mode == LAPIC_OFF) {
        return false;
    }
    if (dest == 0xffffffff) {
        return true;
    }
    if (!logical) {
        return dest == l->id;
    }
    if (l->mode == LAPIC_XAPIC) {
        return addressed_xapic(l, dest);
    }
    return dest >> 16 == logical_id(l) >> 16 && (dest & logical_id(l) & 0xffff);
}

static void receive_init(struct vcpu *v)
{
    if (agent_delays(v)) {
        v->guest.lapic.init_waits = true;
        return;
    }
    v->guest.lapic.init_waits = false;
    sched_offline(v);
    reset(&v->guest.lapic);
    v->guest.lapic.wait_for_sipi = true;
}

void lapic_agent_left(struct vcpu *v)
{
    if (v->guest.lapic.init_waits) {
        receive_init(v);
    } else {
        guest_vcpu_down(v);
    }
}

static void receive_startup(struct vcpu *v, uint8_t vector)
{
    struct vcpu_start start;

    if (!v->guest.lapic.wait_for_sipi || v->state != VCPU_OFFLINE || pins_any(v)) {
        return;
    }
    v->guest.lapic.wait_for_sipi = false;
    v->guest.initialised = true;
    vcpu_start_sipi(&start, vector);
    monitor_vcpu_restarts(v);
    vcpu_reset(v, &start);
    sched_online(v);
}

/* The interrupt for errors, whose vector may be one itself, is tried once. */
static void error(struct vcpu *v, uint32_t bit)
{
    struct lapic *l = &v->guest.lapic;
    uint32_t lvt = l->lvt[REG_LVT_ERROR - REG_LVT_TIMER];

    l->errors |= bit;
    if (lvt & LVT_MASKED) {
        return;
    }
    if ((lvt & 0xff) < 16) {
        l->errors |= ESR_ILLEGAL_VECTOR_RECEIVED;
    } else {
        lapic_raise(v, (uint8_t)lvt);
    }
}

/* SMIs between vCPUs are not delivered; INIT to oneself is ignored, as with level 0. */
static void deliver(struct vcpu *from, struct vcpu *to, uint32_t icr)
{
    switch (icr >> 8 & 7) {
    case MODE_FIXED:
    case MODE_LOWEST:
        lapic_raise(to, (uint8_t)icr);
        break;
    case MODE_NMI:
        __atomic_store_n(&to->guest.lapic.nmi, true, __ATOMIC_SEQ_CST);
        sched_wake(to);
        break;
    case MODE_INIT:
        if (to != from && (icr & 1u << 14)) {
            receive_init(to);
        }
        break;
    case MODE_STARTUP:
        receive_startup(to, (uint8_t)icr);
        break;
    default:
        break;
    }
}

static void send_ipi(struct vcpu *v, uint64_t icr)
{
    struct domain *d = v->domain;
    unsigned shorthand = icr >> 18 & 3;
    uint32_t dest = (uint32_t)(icr >> 32);

    if ((icr >> 8 & 7) <= MODE_LOWEST && (icr & 0xff) < 16) {
        error(v, ESR_ILLEGAL_VECTOR_SENT);
        return;
    }
    if (v->guest.lapic.mode == LAPIC_XAPIC && dest == 0xff) {
        dest = 0xffffffff;
    }
    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        struct vcpu *to = d->vcpus[i];
        bool hit = shorthand == 0   ? addressed(&to->guest.lapic, dest, icr >> 11 & 1)
                   : shorthand == 1 ? to == v
                   : shorthand == 2 ? true
                                    : to != v;

        if (hit) {
            deliver(v, to, (uint32_t)icr);
        }
    }
}

bool lapic_deliver(struct domain *d, const struct lapic_message *m)
{
    uint32_t dest = m->dest == 0xff ? 0xffffffff : m->dest;
    bool any = false;

    for (unsigned i = 0; i < d->nr_vcpus && !(any && m->lowest); i++) {
        struct vcpu *to = d->vcpus[i];
        struct lapic *l = &to->guest.lapic;

        if (m->vector >= 16 && (l->svr & SVR_ENABLED) && addressed(l, dest, m->logical)) {
            (m->level ? vector_set : vector_clear)(&l->tmr, m->vector);
            lapic_raise(to, m->vector);
            any = true;
        }
    }
    return any;
}

/* ---- registers ---- */

static bool read_register(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    struct lapic *l = &v->guest.lapic;

    switch (msr) {
    case REG_ID:
        *value = l->id;
        return true;
    case REG_VERSION:
        *value = VERSION;
        return true;
    case REG_TPR:
        *value = l->tpr;
        return true;
    case REG_PPR:
        *value = priority(l);
        return true;
    case REG_LDR:
        *value = logical_id(l);
        return true;
    case REG_SVR:
        *value = l->svr;
        return true;
    case REG_ISR ... REG_ISR + 7:
        *value = vector_word(&l->isr, msr - REG_ISR);
        return true;
    case REG_TMR ... REG_TMR + 7:
        *value = vector_word(&l->tmr, msr - REG_TMR);
        return true;
    case REG_IRR ... REG_IRR + 7:
        *value = vector_word(&l->irr, msr - REG_IRR);
        return true;
    case REG_ESR:
        *value = l->esr;
        return true;
    case REG_ICR:
        *value = l->icr;
        return true;
    case REG_LVT_TIMER ... REG_LVT_ERROR:
        *value = l->lvt[msr - REG_LVT_TIMER];
        return true;
    case REG_TIMER_INITIAL:
        *value = l->tmict;
        return true;
    case REG_TIMER_CURRENT:
        *value = timer_current(l);
        return true;
    case REG_TIMER_DIVIDE:
        *value = l->tdcr;
        return true;
    default:
        return false;
    }
}

/* Bits that may be written: others fault by MSR (SDM 3, 10.12.1.2) and vanish by memory; 0: all. */
static uint64_t writable(uint32_t msr)
{
    switch (msr) {
    case REG_TPR:
    case REG_SELF_IPI:
        return 0xff;
    case REG_SVR:
        return 0x3ff;
    case REG_ICR:
        return ICR_ALLOWED;
    case REG_LVT_TIMER:
        return 0x300ff;
    case REG_LVT_LINT0:
    case REG_LVT_LINT1:
        return 0x1a7ff;
    case REG_LVT_ERROR:
        return 0x100ff;
    case REG_LVT_TIMER + 1 ... REG_LVT_LINT0 - 1:
        return 0x107ff;
    case REG_TIMER_INITIAL:
        return 0xffffffff;
    case REG_TIMER_DIVIDE:
        return 0xb;
    default:
        return 0;
    }
}

/* Bits that only the APIC writes, delivery status and remote IRR: a write neither changes them nor
 * faults (SDM 3, 10.5.1). */
static uint64_t read_only(uint32_t msr)
{
    bool pin = msr == REG_LVT_LINT0 || msr == REG_LVT_LINT1;

    return msr < REG_LVT_TIMER || msr > REG_LVT_ERROR ? 0 : pin ? 0x5000 : 0x1000;
}

static void write_lvt(struct lapic *l, uint32_t msr, uint64_t value)
{
    if (!(l->svr & SVR_ENABLED)) {
        value |= LVT_MASKED;
    }
    l->lvt[msr - REG_LVT_TIMER] = (uint32_t)value;
}

static void write_svr(struct lapic *l, uint64_t value)
{
    l->svr = (uint32_t)value;
    if (!(value & SVR_ENABLED)) {
        for (unsigned i = 0; i < ARRAY_SIZE(l->lvt); i++) {
            l->lvt[i] |= LVT_MASKED;
        }
    }
}

static void write_eoi(struct lapic *l)
{
    int v = vector_highest(&l->isr);

    if (v < 0) {
        return;
    }
    vector_clear(&l->isr, (uint8_t)v);
    if (vector_has(&l->tmr, (uint8_t)v)) {
        host_eoi((uint8_t)v);
    }
}

/* False: there is no such register to write. The value has no bits but the writable ones. */
static bool write_register(struct vcpu *v, uint32_t msr, uint64_t value)
{
    struct lapic *l = &v->guest.lapic;

    switch (msr) {
    case REG_TPR:
        l->tpr = (uint32_t)value;
        return true;
    case REG_EOI:
        write_eoi(l);
        return true;
    case REG_SVR:
        write_svr(l, value);
        return true;
    case REG_ESR: /* shows what went wrong since the last time (SDM 3, 10.5.3) */
        l->esr = l->errors;
        l->errors = 0;
        return true;
    case REG_ICR:
        l->icr = value;
        send_ipi(v, value);
        return true;
    case REG_LVT_TIMER ... REG_LVT_ERROR:
        write_lvt(l, msr, value);
        return true;
    case REG_TIMER_INITIAL:
        l->tmict = (uint32_t)value;
        timer_start(l);
        return true;
    case REG_TIMER_DIVIDE:
        l->tdcr = (uint32_t)value;
        return true;
    case REG_SELF_IPI:
        send_ipi(v, 1ULL << 18 | value);
        return true;
    default:
        return false;
    }
}

bool lapic_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    return v->guest.lapic.mode == LAPIC_X2APIC && read_register(v, msr, value);
}

bool lapic_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    return v->guest.lapic.mode == LAPIC_X2APIC && !(value & ~(writable(msr) | read_only(msr))) &&
           write_register(v, msr, value & writable(msr));
}

/* ---- the page of xAPIC mode: 32-bit registers, 16 bytes apart ---- */

static uint32_t page_read(struct vcpu *v, uint32_t msr)
{
    const struct lapic *l = &v->guest.lapic;
    uint64_t value;

    switch (msr) {
    case REG_ID:
        return l->id << 24;
    case REG_LDR:
        return l->ldr;
    case REG_DFR:
        return l->dfr;
    case REG_ICR2:
        return (uint32_t)(l->icr >> 32) << 24;
    default:
        return read_register(v, msr, &value) ? (uint32_t)value : 0;
    }
}

static void page_write(struct vcpu *v, uint32_t msr, uint32_t value)
{
    struct lapic *l = &v->guest.lapic;

    switch (msr) {
    case REG_LDR:
        l->ldr = value & 0xff000000;
        break;
    case REG_DFR:
        l->dfr = value | 0x0fffffff;
        break;
    case REG_ICR2:
        l->icr = (l->icr & 0xffffffff) | (uint64_t)(value >> 24) << 32;
        break;
    case REG_ICR:
        (void)write_register(v, msr, (l->icr & ~0xffffffffULL) | (value & writable(msr)));
        break;
    case REG_SELF_IPI:
        break;
    default:
        (void)write_register(v, msr, value & writable(msr));
        break;
    }
}

/* The number of the register that an access lies in, as its MSR would be; 0: it is not the page. */
static uint32_t page_register(const struct vcpu *v, gpa_t a)
{
    return v->guest.lapic.mode == LAPIC_XAPIC && a.v - BASE_ADDRESS < PAGE_SIZE
               ? (uint32_t)(MSR_X2APIC + (a.v - BASE_ADDRESS) / 16)
               : 0;
}

/* What reaches beyond a register reads zeros (undefined: SDM 3, 10.4.1). */
bool guest_mmio_read(struct vcpu *v, gpa_t a, unsigned size, uint64_t *value)
{
    uint32_t msr = page_register(v, a);
    unsigned at = a.v % 16;

    if (msr == 0) {
        return v->domain->guest.hardware && host_mmio_read(a, size, value);
    }
    *value = 0;
    if (at + size <= 4) {
        *value = page_read(v, msr) >> (8 * at) & (~0u >> (32 - 8 * size));
    }
    return true;
}

/* Only writes of a whole register count. */
bool guest_mmio_write(struct vcpu *v, gpa_t a, unsigned size, uint64_t value)
{
    uint32_t msr = page_register(v, a);

    if (msr == 0) {
        return v->domain->guest.hardware && host_mmio_write(a, size, value);
    }
    if (a.v % 16 == 0 && size == 4) {
        page_write(v, msr, (uint32_t)value);
    }
    return true;
}

/* ---- modes ---- */

uint64_t lapic_base(const struct vcpu *v)
{
    return BASE_ADDRESS | (uint64_t)v->guest.lapic.mode << BASE_MODE_SHIFT |
           (v->id == 0 ? BASE_BSP : 0);
}

/* From x2APIC mode only off, into it only from xAPIC mode (SDM 3, figure 10-27). */
static bool mode_reachable(unsigned from, unsigned to)
{
    return to == from || to == LAPIC_OFF || (to == LAPIC_XAPIC && from == LAPIC_OFF) ||
           (to == LAPIC_X2APIC && from == LAPIC_XAPIC);
}

bool lapic_write_base(struct vcpu *v, uint64_t value)
{
    struct lapic *l = &v->guest.lapic;
    unsigned to = (value & BASE_MODE) >> BASE_MODE_SHIFT;

    if (((value ^ lapic_base(v)) & ~BASE_MODE) || !mode_reachable(l->mode, to)) {
        return false;
    }
    if (to == LAPIC_OFF) {
        reset(l);
    }
    if (to == LAPIC_X2APIC && l->mode == LAPIC_XAPIC) {
        l->icr &= 0xffffffff; /* SDM 3, 10.12.5 */
    }
    l->mode = (enum lapic_mode)to;
    return true;
}
