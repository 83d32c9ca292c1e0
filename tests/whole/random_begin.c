/* SPDX-License-Identifier: MIT */
/* The machines that random runs begin with. */
#include <string.h>
#include "calls.h"
#include "core/policy.h"
#include "gate.h"
#include "property.h"
#include "random_private.h"

/* Of page i as page tables in the blind world: present, and leading to what the guest has. */
static uint64_t entry(unsigned i, unsigned j)
{
    return (j == 0 ? GPA(GUEST_TABLES + 2 + i) : GPA(GUEST_RAM + j % 8)) | 7;
}

static void fill(const struct random_options *o, uint64_t g, unsigned i)
{
    uint64_t word[512];

    for (unsigned j = 0; j < 512; j++) {
        word[j] = !o->blind ? SECRET | j : o->other ? entry(i, j) : 2 * j; /* not present */
    }
    machine_poke_gpa(machine_domain(1), GPA(g), word, sizeof(word));
}

static void restrict_pages(const struct random_options *o, struct vcpu *m)
{
    static const uint8_t accesses[] = {ACCESS_N, ACCESS_N,     ACCESS_R,    ACCESS_RX,
                                       ACCESS_X, ACCESS_N2RWX, ACCESS_RX2RW};
    bool ring = o->listener || o->open;

    for (unsigned i = 0; i < sizeof(accesses); i++) {
        if (!o->blind || accesses[i] == ACCESS_N) {
            long rc = o->listener && ring ? call_access_op(m, PLAY + i, accesses[i])
                                          : call_set_access(m, 1, 0, PLAY + i, accesses[i]);
            EXPECT(rc == 0, "page %u cannot be restricted: %ld", i, rc);
        }
    }
}

static void make_views(const struct random_options *o, struct vcpu *v)
{
    uint16_t n;

    for (unsigned i = 1; i <= 3; i++) {
        EXPECT(call_create(v, DOMID_SELF, i == 3 ? ACCESS_RX : ACCESS_RWX, &n) == 0, "no view");
    }
    EXPECT(call_set_access(v, DOMID_SELF, 2, PLAY + 8, ACCESS_N) == 0 &&
               call_set_access(v, DOMID_SELF, 2, PLAY + 9, ACCESS_R) == 0 &&
               call_set_access(v, DOMID_SELF, 1, PLAY + 10, ACCESS_R) == 0,
           "the guest's views cannot be restricted");
    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        EXPECT(call_vmfunc(v, i, true) == 0, "no VMFUNC");
    }
    if (o->gated) {
        gate_build(v, 1, (const uint16_t[]){2, 3}, 2);
    }
    if (o->sealed) {
        EXPECT(call_switch(v, DOMID_SELF, 2) == 0 && call_seal(v, 1, 2) == 0, "it is not sealed");
    }
}

static uint32_t build(const struct random_options *o)
{
    const struct machine_options machine = {
        .policy = o->open ? POLICY_OPEN : POLICY_AUDITED,
        .tables = o->scarce ? 48 : 160,
        .guest_views = 3,
        .guest_tables = 24,
        .allow = o->open ? NULL : "shadow_create",
    };
    uint32_t ring_port = 0;
    struct vcpu *v, *m;

    machine_start(&machine);
    v = machine_vcpu(1, 0);
    m = machine_vcpu(2, 0);
    if (o->listener) {
        long port = call_ring(m, true);

        EXPECT(port > 0, "no ring: %ld", port);
        ring_port = (uint32_t)port;
    }
    EXPECT(call_altp2m_state(m, 1, true) == 0 && call_altp2m_state(v, DOMID_SELF, true) == 0,
           "altp2m cannot be turned on");
    make_views(o, v);
    EXPECT(call_add_to_physmap(v, XENMAPSPACE_grant_table, 0, FAR + 7) == 0, "no grant table");
    fill(o, PLAY, 0);
    fill(o, PLAY + 1, 1);
    if (o->sealed) { /* the agent's own */
        fill(o, PLAY + 8, 8);
    }
    restrict_pages(o, m);
    return ring_port;
}

/* One of the last few, as it was built. */
uint32_t random_begin(const struct random_options *o)
{
    static struct random_options kept;
    static uint32_t kept_port;
    static bool any;

    if (any && memcmp(&kept, o, sizeof(kept)) == 0) {
        machine_restore();
    } else {
        any = false;
        kept_port = build(o);
        machine_keep();
        kept = *o;
        any = true;
    }
    property_begin(!o->open);
    property.sealed = o->sealed;
    property.nr_extra = o->gated ? 8 + AGENT_PAGES : 8;
    for (unsigned i = 0; i < property.nr_extra; i++) {
        property.extra[i] = i < 8 ? FAR + i : GUEST_AGENT + (i - 8);
    }
    property_accept();
    return kept_port;
}
