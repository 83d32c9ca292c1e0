/* SPDX-License-Identifier: MIT */
/*
 * An instruction that the hypervisor carries out does with a restricted page what the guest's own
 * access to it does: whoever is told is told the same, and what is allowed afterwards is the same.
 * For each access, kind of instruction and size, across two pages too, in the host map and in a
 * monitor's view, under both policies, with a listener and without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "calls.h"
#include "core/physmap_private.h"
#include "core/policy.h"
#include "guest/guest.h"
#include "vendor.h"

#define PLAY       GUEST_PLAY
#define GPA(g)     ((uint64_t)(g) << PAGE_SHIFT)
#define HOLE       GPA(GUEST_HOLE)
#define NEED(call) EXPECT((call) == 0, "%s", #call)
#define ENDED      0xffu

/* ---- kinds ---- */

static void ins(struct vcpu *v, uint64_t at, unsigned size)
{
    machine_string_io(v, true, 0x80, size, 1, at);
}

static void outs(struct vcpu *v, uint64_t at, unsigned size)
{
    machine_string_io(v, false, 0x80, size, 1, at);
}

static void movs_to(struct vcpu *v, uint64_t at, unsigned size)
{
    machine_instruction(v, size == 1 ? CODE_MOVSB : CODE_MOVSQ, HOLE, at, HOLE);
}

static void movs_from(struct vcpu *v, uint64_t at, unsigned size)
{
    machine_instruction(v, size == 1 ? CODE_MOVSB : CODE_MOVSQ, at, HOLE, HOLE);
}

static void push(struct vcpu *v, uint64_t at, unsigned size)
{
    (void)size;
    machine_instruction(v, CODE_PUSH, HOLE, at, HOLE);
}

static void pop(struct vcpu *v, uint64_t at, unsigned size)
{
    (void)size;
    machine_instruction(v, CODE_POP, at, HOLE, HOLE);
}

static const struct kind {
    const char *name;
    void (*run)(struct vcpu *v, uint64_t at, unsigned size);
    unsigned size, rights;
} kinds[] = {
    {"INSB", ins, 1, RIGHT_R | RIGHT_W},
    {"INSW", ins, 2, RIGHT_R | RIGHT_W},
    {"INSD", ins, 4, RIGHT_R | RIGHT_W},
    {"OUTSB", outs, 1, RIGHT_R},
    {"OUTSW", outs, 2, RIGHT_R},
    {"OUTSD", outs, 4, RIGHT_R},
    {"MOVSB to", movs_to, 1, RIGHT_R | RIGHT_W},
    {"MOVSQ to", movs_to, 8, RIGHT_R | RIGHT_W},
    {"MOVSB from", movs_from, 1, RIGHT_R},
    {"MOVSQ from", movs_from, 8, RIGHT_R},
    {"PUSH", push, 8, RIGHT_R | RIGHT_W},
    {"POP", pop, 8, RIGHT_R},
};

/* ---- machines ---- */

static struct world {
    unsigned policy, access;
    bool in_view, listener;
} world;
static uint16_t view_id;

/* Two pages; the second is restricted. */
static void build(void)
{
    const struct machine_options o = {
        .policy = world.policy, .tables = 128, .guest_views = 3, .guest_tables = 24};
    struct vcpu *m;

    machine_start(&o);
    m = machine_vcpu(2, 0);
    if (world.listener) {
        EXPECT(call_ring(m, true) > 0, "the monitor gets no ring");
    }
    NEED(call_altp2m_state(m, 1, true));
    NEED(call_create(m, 1, ACCESS_RWX, &view_id));
    NEED(call_switch(m, 1, view_id));
    NEED(call_set_access(m, 1, world.in_view ? view_id : 0, PLAY + 1, world.access));
    machine_switch(machine_vcpu(1, 0));
    machine_keep();
}

/* What there is to be seen of it afterwards. */
struct outcome {
    unsigned told, paused, event;
    struct {
        uint64_t gfn, gla;
        uint32_t flags, request;
    } request[2];
    unsigned host[2], view[2]; /* access of both pages */
};

static void note_requests(const struct domain *d, struct outcome *o)
{
    o->told = d->guest.monitor.ring ? d->guest.monitor.req_prod : 0;
    for (unsigned i = 0; i < o->told && i < 2; i++) {
        const vm_event_request_t *r = (const void *)(d->guest.monitor.ring + 64 + i * sizeof(*r));

        o->request[i].gfn = r->u.mem_access.gfn;
        o->request[i].gla = r->u.mem_access.gla;
        o->request[i].flags = r->u.mem_access.flags;
        o->request[i].request = r->flags;
    }
}

static void note(struct outcome *o)
{
    struct domain *d = machine_domain(1);

    memset(o, 0, sizeof(*o));
    if (!d) {
        o->event = ENDED;
        return;
    }
    note_requests(d, o);
    o->paused = d->vcpus[0]->paused;
    o->event = d->vcpus[0]->event.due ? d->vcpus[0]->event.vector : 0;
    for (unsigned i = 0; i < 2; i++) {
        struct mapping m;

        EXPECT(hostmap_lookup(&d->physmap, gfn(PLAY + i), &m), "a page is gone");
        o->host[i] = m.access;
        EXPECT(view_lookup(&d->physmap, view(view_id), gfn(PLAY + i), &m), "a page is gone");
        o->view[i] = m.access;
    }
}

/* The guest's own access to the second page, until it is done or waits. */
static void by_itself(const struct kind *k, bool crosses, struct outcome *o)
{
    uint8_t bytes[8] = {0};

    machine_restore();
    for (unsigned i = 0; i < 4; i++) {
        struct vcpu *v = machine_vcpu(1, 0);

        if (!v || v->paused || v->event.due) {
            break;
        }
        machine_access(v, GPA(PLAY + 1) + (crosses ? 0 : 256), k->rights, bytes, 1);
    }
    note(o);
}

static void carried_out(const struct kind *k, bool crosses, struct outcome *o)
{
    uint64_t at = crosses ? GPA(PLAY + 1) - k->size / 2 : GPA(PLAY + 1) + 256;
    uint8_t first[8];
    const uint8_t *page;

    machine_restore();
    page = machine_page(machine_domain(1), PLAY) + PAGE_SIZE - sizeof(first);
    memcpy(first, page, sizeof(first));
    k->run(machine_vcpu(1, 0), at, k->size);
    note(o);
    EXPECT(o->event == ENDED || (!o->paused && !o->event) ||
               memcmp(first, page, sizeof(first)) == 0,
           "%s: the first page was written before the second could be", k->name);
}

static void describe(char *text, size_t size, const struct outcome *o)
{
    snprintf(text, size,
             "told %u (gfn %lx gla %lx flags %x, request %x), paused %u, event %u, host %u %u, "
             "view %u %u",
             o->told, o->request[0].gfn, o->request[0].gla, o->request[0].flags,
             o->request[0].request, o->paused, o->event, o->host[0], o->host[1], o->view[0],
             o->view[1]);
}

static void compare(const struct kind *k, bool crosses)
{
    struct outcome own, other;
    char a[200], b[200];

    by_itself(k, crosses, &own);
    carried_out(k, crosses, &other);
    describe(a, sizeof(a), &own);
    describe(b, sizeof(b), &other);
    EXPECT(memcmp(&own, &other, sizeof(own)) == 0,
           "policy %u, access %u in %s, %s%s%s: by itself %s; carried out %s", world.policy,
           world.access, world.in_view ? "a view" : "the host map", k->name,
           crosses ? " across pages" : "", world.listener ? ", a listener" : "", a, b);
}

static void compare_all(void)
{
    static const unsigned accesses[] = {ACCESS_N,  ACCESS_R,   ACCESS_W,     ACCESS_RW,   ACCESS_X,
                                        ACCESS_RX, ACCESS_RWX, ACCESS_RX2RW, ACCESS_N2RWX};

    for (unsigned i = 0; i < ARRAY_SIZE(accesses); i++) {
        world.access = accesses[i];
        build();
        for (unsigned j = 0; j < ARRAY_SIZE(kinds); j++) {
            compare(&kinds[j], false);
            if (kinds[j].size > 1) {
                compare(&kinds[j], true);
            }
        }
    }
}

static void test_kinds(void **state)
{
    jmp_buf trap;

    world = *(const struct world *)*state;
    if (setjmp(trap)) {
        machine_trap = NULL;
        fail_msg("%s", machine_message);
    }
    machine_trap = &trap;
    compare_all();
    machine_trap = NULL;
}

static struct world worlds[8];

int main(void)
{
    struct CMUnitTest tests[ARRAY_SIZE(worlds)];

    for (unsigned i = 0; i < ARRAY_SIZE(worlds); i++) {
        static const char *const names[] = {
            "open",    "open_in_a_view",    "open_told",    "open_told_in_a_view",
            "audited", "audited_in_a_view", "audited_told", "audited_told_in_a_view",
        };

        worlds[i] = (struct world){
            .policy = i & 4 ? POLICY_AUDITED : POLICY_OPEN, .listener = i & 2, .in_view = i & 1};
        tests[i] = (struct CMUnitTest){names[i], test_kinds, NULL, NULL, &worlds[i]};
    }
    return _cmocka_run_group_tests("whole: as its own accesses", tests, ARRAY_SIZE(tests), NULL,
                                   NULL);
}
