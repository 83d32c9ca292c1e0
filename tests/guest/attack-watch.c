/* SPDX-License-Identifier: MIT */
/*
 * The monitor of a guest that attacks it (attack-watched.c). It restricts, makes views and counts
 * the accesses that it is told of, all as that guest asks: see there for what is tested.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/ask.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/page.h"
#include "lib/test.h"

#define MILLISECOND 1000000ULL
#define UNMAPPED    (~0ULL)

static domid_t target;
static struct mailbox *mail;
static struct monitor_ring ring;
static struct altp2m_stub stub;
static unsigned events;
static struct {
    uint16_t view;
    uint64_t gfn;
} restricted;

static long create(uint64_t *view)
{
    uint16_t v = VIEW_INVALID;
    long rc = altp2m_stub_create_p2m(&stub, &v, ACCESS_RWX);

    *view = v;
    return rc;
}

static long set_access(uint16_t view, uint64_t gfn, uint16_t access)
{
    restricted.view = view;
    restricted.gfn = gfn;
    return altp2m_stub_set_mem_access(&stub, view, access, gfn);
}

static long read_access(uint16_t view, uint64_t gfn, uint64_t *value)
{
    uint16_t access = 0xffff;
    long rc = altp2m_stub_get_mem_access(&stub, view, &access, gfn);

    *value = access;
    return rc;
}

static long read_ve(uint16_t view, uint64_t gfn, uint64_t *value)
{
    uint8_t suppress = 0xff;
    long rc = altp2m_stub_get_suppress_ve(&stub, view, &suppress, gfn);

    *value = suppress;
    return rc;
}

static long where(uint32_t vcpu, uint64_t *value)
{
    uint16_t view = VIEW_INVALID;
    long rc = altp2m_stub_get_p2m_idx(&stub, vcpu, &view);

    *value = view;
    return rc;
}

static long is_on(uint64_t *value)
{
    uint8_t on = 0xff;
    long rc = altp2m_stub_get_domain_state(&stub, &on);

    *value = on;
    return rc;
}

static long pin(uint32_t vcpu, uint64_t cr0, bool on)
{
    struct facet_altp2m_pin a = {.vcpu = vcpu, .on = on, .cr0 = cr0};

    return altp2m_stub_pin(&stub, &a);
}

static long serve(uint64_t what, const volatile uint64_t *a, uint64_t *value)
{
    switch ((enum ask)what) {
    case ASK_STATE:
        return altp2m_stub_set_domain_state(&stub, (uint8_t)a[0]);
    case ASK_ON:
        return is_on(value);
    case ASK_CREATE:
        return create(value);
    case ASK_DESTROY:
        return altp2m_stub_destroy_p2m(&stub, (uint16_t)a[0]);
    case ASK_ACCESS:
        return set_access((uint16_t)a[0], a[1], (uint16_t)a[2]);
    case ASK_READ:
        return read_access((uint16_t)a[0], a[1], value);
    case ASK_READ_VE:
        return read_ve((uint16_t)a[0], a[1], value);
    case ASK_REMAP:
        return altp2m_stub_change_gfn(&stub, (uint16_t)a[0], a[1], a[2]);
    case ASK_SWITCH:
        return altp2m_stub_switch_vcpu(&stub, (uint32_t)a[0], (uint16_t)a[1]);
    case ASK_WHERE:
        return where((uint32_t)a[0], value);
    case ASK_SHOW:
        return altp2m_stub_set_visibility(&stub, (uint16_t)a[0], (uint8_t)a[1]);
    case ASK_NOTIFY:
        return a[1] == UNMAPPED ? altp2m_stub_vcpu_disable_notify(&stub, (uint32_t)a[0])
                                : altp2m_stub_vcpu_enable_notify(&stub, (uint32_t)a[0], a[1]);
    case ASK_SHADOW:
        return altp2m_stub_shadow_create(&stub, a[0], value);
    case ASK_UNSHADOW:
        return altp2m_stub_shadow_destroy(&stub, a[0]);
    case ASK_EVENTS:
        *value = events;
        events = 0;
        return 0;
    case ASK_UNSEAL:
        return altp2m_stub_seal(&stub, FACET_ALTP2M_UNSEAL, FACET_ALTP2M_UNSEAL);
    case ASK_PIN:
        return pin((uint32_t)a[0], a[1], a[2] != 0);
    case ASK_END:
        return monitor_disable(target, &ring);
    }
    return -XEN_ENOSYS;
}

static void setup(void)
{
    event_init();
    target = monitor_find();
    stub = altp2m_self;
    stub.domain = target;
    mail = monitor_mailbox(target);
    expect(monitor_enable(target, &ring), 0);
}

/* An access that is reported is counted and then let through: what it ran into is lifted. */
static void answer(const vm_event_request_t *r)
{
    vm_event_response_t a = {
        .version = 7, .vcpu_id = r->vcpu_id, .reason = r->reason, .flags = r->flags};

    expect(r->reason, VM_EVENT_REASON_MEM_ACCESS);
    events++;
    expect(altp2m_stub_set_mem_access(&stub, restricted.view, ACCESS_RWX, restricted.gfn), 0);
    monitor_answer(&ring, &a, true);
}

static void serving(void)
{
    vm_event_request_t r;
    uint32_t served = 0;
    bool end = false;

    while (!end) {
        uint32_t ready = mail->ready;

        if (ready != served) {
            uint64_t value = 0;

            served = ready;
            end = mail->data[ASK_WHAT] == ASK_END;
            mail->data[ASK_RESULT] =
                (uint64_t)serve(mail->data[ASK_WHAT], &mail->data[ASK_ARGUMENT], &value);
            mail->data[ASK_VALUE] = value;
            mail->task = ready;
        } else if (monitor_next(&ring, &r, clock_now() + MILLISECOND / 4)) {
            answer(&r);
        }
    }
}

TEST_CASES(CASE(setup), CASE(serving))
