/* SPDX-License-Identifier: MIT */
/*
 * The other end of a guest's PV console (Xen's public io/console.h). The ring is the guest's
 * memory: its indices may hold anything and are read once.
 */
#include "guest.h"

/* How often COM2 is looked at: at 115200 baud its 16-byte FIFO fills in 1.4 ms. */
#define POLL_NS 1000000ULL

#define RAW_PIECE 16u /* characters: COM2 is a UART, too */

/* The ring, for who writes to it; NULL once the right to its page is gone. */
static volatile struct xencons_interface *ring(struct domain *d, const struct vcpu *v)
{
    view_t now = v && v->domain == d ? v->altp2m.view : VIEW_NONE;

    return (volatile struct xencons_interface *)(void *)hand_area_page(d, now, &d->guest.ring);
}

/* What both sides count may differ by at most the ring's size; else the guest broke it. */
static bool sane(uint32_t producer, uint32_t consumer, size_t size)
{
    return producer - consumer <= size;
}

/* No vCPU of d runs guest code before all that it said, and had the hypervisor say, is out: see
 * guest_console_more(). */
static void hold(struct domain *d)
{
    bool on = d->line.whole || d->guest.console_rest || console_notes_any(&d->notes);

    if (d->guest.console_held != on) {
        d->guest.console_held = on;
        guest_unsettled += on ? 1 : -1u;
    }
}

size_t guest_console_write(struct domain *d, const char *text, size_t n)
{
    size_t taken = console_guest_write(d->id, &d->line, text, n);

    hold(d);
    return taken;
}

void domain_say(struct domain *d, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    console_note(&d->notes, format, ap);
    va_end(ap);
    hold(d);
}

/* How much it took. */
static size_t write_text(struct domain *d, const char *text, size_t n)
{
    if (!d->guest.interactive) {
        return guest_console_write(d, text, n);
    }
    for (size_t i = 0; i < n; i++) {
        console_raw_putc(text[i]);
    }
    return n;
}

/* Linux takes number 0 for Xen's first domain, and does not look for a ring. */
static bool by_call(const struct domain *d)
{
    return d->guest.interactive && d->id == 0;
}

size_t guest_console_call(struct domain *d, const char *text, size_t n)
{
    return by_call(d) ? write_text(d, text, n < RAW_PIECE ? n : RAW_PIECE)
                      : guest_console_write(d, text, n);
}

size_t guest_console_read(struct domain *d, char *text, size_t n)
{
    size_t i = 0;
    int c;

    while (by_call(d) && i < n && (c = console_raw_getc()) >= 0) {
        text[i++] = (char)c;
    }
    return i;
}

/* Takes a piece of what is in the output ring. */
static void output(struct domain *d)
{
    volatile struct xencons_interface *r = ring(d, vcpu_current());
    uint32_t consumer, producer;
    char chunk[RAW_PIECE];
    size_t n = 0;

    d->guest.console_rest = false;
    if (!r) {
        return;
    }
    consumer = r->out_cons;
    producer = r->out_prod;
    if (!sane(producer, consumer, sizeof(r->out))) {
        r->out_cons = producer;
        return;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    for (; n < sizeof(chunk) && consumer + n != producer; n++) {
        chunk[n] = r->out[MASK_XENCONS_IDX(consumer + n, r->out)];
    }
    consumer += (uint32_t)write_text(d, chunk, n);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    r->out_cons = consumer;
    d->guest.console_rest = consumer != producer;
    if (consumer == producer) {
        evtchn_notify(d, d->guest.console_port);
    }
}

/* The guest notified. */
static void notified(struct domain *d)
{
    output(d);
    hold(d);
}

bool guest_console_more(struct domain *d)
{
    if (!d->guest.console_held) {
        return false;
    }
    if (d->line.whole) {
        console_guest_more(d->id, &d->line);
    } else if (console_notes_any(&d->notes)) {
        console_notes_more(&d->notes);
    } else {
        output(d);
    }
    hold(d);
    return d->guest.console_held;
}

bool guest_console_waits(const struct domain *d)
{
    return d->line.whole ? console_guest_waits(&d->line) : console_notes_wait(&d->notes);
}

bool guest_console_end(struct domain *d)
{
    if (guest_console_more(d)) {
        return true;
    }
    console_guest_end(&d->line);
    hold(d);
    return d->guest.console_held;
}

/* Moves what waits at COM2 into the input ring, as far as there is room. False: there is no ring.
 */
static bool input_ring(struct domain *d)
{
    volatile struct xencons_interface *r = ring(d, NULL);
    uint32_t consumer, producer;
    bool any = false;
    int c;

    if (!r) {
        return false;
    }
    consumer = r->in_cons;
    producer = r->in_prod;
    while (sane(producer, consumer, sizeof(r->in) - 1) && (c = console_raw_getc()) >= 0) {
        r->in[MASK_XENCONS_IDX(producer, r->in)] = (char)c;
        producer++;
        any = true;
    }
    if (any) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        r->in_prod = producer;
        evtchn_notify(d, d->guest.console_port);
    }
    return true;
}

static void input(struct timer *t)
{
    struct domain *d = container_of(t, struct domain, guest.console_poll);

    if (d->dying || (!by_call(d) && !input_ring(d))) {
        return;
    }
    if (by_call(d) && console_raw_waits()) {
        evtchn_raise_virq(d->vcpus[0], VIRQ_CONSOLE);
    }
    timer_set(t, time_now() + POLL_NS);
}

void guest_console_init(struct domain *d)
{
    struct guest_domain *g = &d->guest;
    uint64_t page = guest_special_gfn(d, GUEST_CONSOLE_PAGE);

    CHECK(hand_area_bind_host(d, gfn(page), &g->ring) == 0);
    if (evtchn_create_internal(d, notified, &g->console_port) == 0) {
        g->params[HVM_PARAM_CONSOLE_PFN] = page;
        g->params[HVM_PARAM_CONSOLE_EVTCHN] = g->console_port;
    }
    timer_init(&g->console_poll, input);
    if (g->interactive) {
        timer_set(&g->console_poll, time_now() + POLL_NS);
    }
}

void guest_console_destroy(struct domain *d)
{
    if (d->guest.console_poll.fire) {
        timer_cancel(&d->guest.console_poll);
    }
    hand_area_unbind(&d->guest.ring);
}
