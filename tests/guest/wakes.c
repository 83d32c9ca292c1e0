/* SPDX-License-Identifier: MIT */
/*
 * Two vCPUs that wake each other by messages, while every processor has somebody who computes
 * (the same image with `computes`, a vCPU for each processor). Whom a message wakes must not wait
 * for a turn of its own each time: it runs in what is left of the sender's slice, wherever it was.
 */
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/smp.h"
#include "lib/test.h"

#define WATCH_NS    200000000UL
#define SETTLE_NS   30000000UL /* by then somebody computes on each: the other vCPU is apart */
#define COMPUTES_NS 300000000UL
#define LEAST       400u /* some 20 if each waits for a slice of 10 ms */

static evtchn_port_t to_other, to_first; /* the ends that the receivers wait for */
static evtchn_port_t from_first, from_other;
static volatile bool ending, ended;

/* A channel of the domain with itself, whose far end is of a vCPU. */
static void connect(unsigned vcpu, evtchn_port_t *near, evtchn_port_t *far)
{
    struct evtchn_bind_vcpu to = {.vcpu = vcpu};
    long port = event_alloc(DOMID_SELF);

    need(port > 0, "no port");
    *far = to.port = (evtchn_port_t)port;
    port = event_bind(DOMID_SELF, *far);
    need(port > 0, "not bound");
    *near = (evtchn_port_t)port;
    expect(event_channel_op(EVTCHNOP_bind_vcpu, &to), 0);
    event_mask(*far);
}

static void wait_for(evtchn_port_t port)
{
    struct sched_poll p = {.nr_ports = 1};

    set_xen_guest_handle(p.ports, &port);
    while (!event_pending(port))
        sched_op(SCHEDOP_poll, &p);
    event_clear(port);
}

static void answer(unsigned vcpu)
{
    (void)vcpu;
    while (!ending) {
        wait_for(to_other);
        event_send(from_other);
    }
    ended = true;
}

static void compute(unsigned vcpu)
{
    uint64_t end = clock_now() + COMPUTES_NS;

    (void)vcpu;
    while (clock_now() < end) {
    }
    __atomic_store_n(&ended, true, __ATOMIC_SEQ_CST);
}

static void messages(void)
{
    uint64_t end;
    unsigned n = 0;
    char text[4];

    event_init();
    if (cmdline_get("computes", text, sizeof(text)))
        return;
    connect(1, &from_first, &to_other);
    connect(0, &from_other, &to_first);
    for (end = clock_now() + SETTLE_NS; clock_now() < end;) {
    }
    expect(smp_start(1, answer), 0);
    for (end = clock_now() + WATCH_NS; clock_now() < end; n++) {
        event_send(from_first);
        wait_for(to_first);
    }
    ending = true;
    event_send(from_first);
    while (!ended)
        sched_op(SCHEDOP_yield, NULL);
    say("wakes: %u messages and answers in %lu ms\n", n, WATCH_NS / 1000000);
    check(n >= LEAST, "%u messages and answers in %lu ms", n, WATCH_NS / 1000000);
}

static void computing(void)
{
    char text[4];
    unsigned vcpus = 0;

    if (!cmdline_get("computes", text, sizeof(text)))
        return;
    for (const char *c = text; *c; c++)
        vcpus = vcpus * 10 + (unsigned)(*c - '0');
    for (unsigned i = 1; i < vcpus; i++)
        expect(smp_start(i, compute), 0);
    compute(0);
}

TEST_CASES(CASE(messages), CASE(computing))
