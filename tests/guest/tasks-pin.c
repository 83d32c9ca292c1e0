/* SPDX-License-Identifier: MIT */
/* The monitor of tasks-pinned.c: pins what a switch of tasks loads, one after the other, then
 * nothing, each when the guest asks for it in its 32-bit mode. */
#include <string.h>
#include <facet/hvmop.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/monitor.h"
#include "lib/page.h"
#include "lib/test.h"

static struct facet_altp2m_pin last;

static long pin(domid_t of, bool on, uint64_t cr0, uint32_t registers)
{
    altp2m_op op = altp2m_new(FACET_ALTP2M_pin);
    long rc;

    last = (struct facet_altp2m_pin){.on = on, .cr0 = cr0, .registers = registers};
    op.domain = of;
    memcpy(&op.u, &last, sizeof(last));
    rc = altp2m_call(&op);
    memcpy(&last, &op.u, sizeof(last));
    return rc;
}

static void rounds(void)
{
    static const struct {
        uint64_t cr0;
        uint32_t registers;
    } pins[PIN_ROUNDS - 1] = {{0, FACET_ALTP2M_PIN_CR3},
                              {0, FACET_ALTP2M_PIN_TR},
                              {0, FACET_ALTP2M_PIN_LDTR},
                              {CR0_TS, 0}};
    struct altp2m_stub stub = altp2m_self;
    struct mailbox *mail;
    domid_t target;

    event_init();
    target = monitor_find();
    mail = monitor_mailbox(target);
    stub.domain = target;
    expect(altp2m_stub_set_domain_state(&stub, 1), 0);
    for (unsigned i = 0; i < PIN_ROUNDS; i++) {
        yield_until(mail->data[0] == i + 1);
        if (i > 0) {
            expect(pin(target, false, pins[i - 1].cr0, pins[i - 1].registers), 0);
            expect(last.refused, i); /* one each */
        }
        if (i + 1 < PIN_ROUNDS)
            expect(pin(target, true, pins[i].cr0, pins[i].registers), 0);
        mail->data[1] = i + 1;
    }
}

TEST_CASES(CASE(rounds))
