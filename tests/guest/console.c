/* SPDX-License-Identifier: MIT */
/*
 * The PV console (xen/io/console.h): what is put into the ring comes out and the consumer index
 * follows, longer texts than the ring included. Indexes that make no sense end at worst this
 * console.
 */
#include <string.h>
#include <stdint.h>
#include <xen/io/console.h>
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/test.h"

#define VA 0x0000600000000000ULL

static volatile struct xencons_interface *ring;
static uint32_t port;

/* Another domain may do the consuming, so waiting gives the processor away, for a bounded while. */
static bool drained(void)
{
    uint64_t until = clock_now() + 10000000000ULL;

    while (ring->out_cons != ring->out_prod && clock_now() < until)
        sched_op(SCHEDOP_yield, NULL);
    return ring->out_cons == ring->out_prod;
}

static void put(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ring->out_prod - ring->out_cons >= sizeof(ring->out)) {
            event_send(port);
            if (!drained())
                return;
        }
        ring->out[ring->out_prod % sizeof(ring->out)] = text[i];
        __atomic_thread_fence(__ATOMIC_RELEASE);
        ring->out_prod++;
    }
    event_send(port);
}

static void setup(void)
{
    uint64_t pfn, channel;

    event_init();
    expect(hvm_param_get(HVM_PARAM_CONSOLE_PFN, &pfn), 0);
    expect(hvm_param_get(HVM_PARAM_CONSOLE_EVTCHN, &channel), 0);
    need(pfn && channel, "no PV console");
    page_map(VA, pfn * PAGE, PTE_RWX);
    ring = (volatile struct xencons_interface *)VA;
    port = (uint32_t)channel;
    expect(ring->out_prod, ring->out_cons);
}

static void line(void)
{
    static const char text[] = "console: by the ring\n";

    put(text, sizeof(text) - 1);
    check(drained(), "not consumed: %u of %u", ring->out_cons, ring->out_prod);
}

static void long_text(void)
{
    static char text[64];

    memset(text, '.', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\n';
    for (unsigned i = 0; i < 100; i++)
        put(text, sizeof(text));
    check(drained(), "not consumed: %u of %u", ring->out_cons, ring->out_prod);
}

static void absurd_indexes(void)
{
    static const uint32_t ahead[] = {0x7fffffff, 2049, 0xffffffff};

    for (unsigned i = 0; i < ARRAY_SIZE(ahead); i++) {
        uint32_t was = ring->out_cons;
        ring->out_prod = was + ahead[i];
        expect(event_send(port), 0);
        sched_op(SCHEDOP_yield, NULL);
        ring->out_prod = ring->out_cons;
        ring->in_cons = 0x12345678;
        expect(event_send(port), 0);
        ring->in_cons = ring->in_prod;
    }
}

TEST_CASES(CASE(setup), CASE(line), CASE(long_text), CASE(absurd_indexes))
