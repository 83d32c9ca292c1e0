/* SPDX-License-Identifier: MIT */
/* Has memory that a device of the hardware domain's (hardware.c) looks for; dma=finds or dma=fails
 * says whether it may get there. */
#include <string.h>
#include "lib/cpu.h"
#include "lib/dma.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/test.h"

#define FIRST (16ULL << 20) /* this guest itself lies below */
#define END   (96ULL << 20)

static void is_it_reached(void)
{
    struct sched_poll poll = {.nr_ports = 1};
    evtchn_port_t wanted;
    unsigned hits = 0;
    char want[8];
    long port;

    need(cmdline_get("dma", want, sizeof(want)), "what is to be?");
    for (uint64_t a = FIRST; a < END; a += PAGE)
        *(volatile uint64_t *)a = PREY_MAGIC;
    event_init();
    port = event_alloc(0);
    need(port > 0, "no channel: %ld", port);
    event_mask((uint32_t)port);
    wanted = (evtchn_port_t)port;
    set_xen_guest_handle(poll.ports, &wanted);
    while (!event_pending(wanted))
        expect(sched_op(SCHEDOP_poll, &poll), 0);
    for (uint64_t a = FIRST; a < END; a += PAGE) {
        uint64_t is = *(volatile uint64_t *)a;

        check(is == PREY_MAGIC || is == PREY_HIT, "%lx at %lx", (unsigned long)is,
              (unsigned long)a);
        hits += is == PREY_HIT;
    }
    say("%u pages were written to\n", hits);
    expect(hits > 0, strcmp(want, "finds") == 0);
}

TEST_CASES(CASE(is_it_reached))
