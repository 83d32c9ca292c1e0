/* SPDX-License-Identifier: MIT */
#include "race.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <facet/hvmop.h>
#include "machine.h"

enum { ROUNDS = 1500, INSIDE = 12 };

/*
 * What processor n owns: view n + 1 and in it the access of page PAGE(n); view n + 4, hidden or
 * not; page MOVED(n) of the host map. Each has a word: an even number while it may be used, or may
 * soon; odd from when the call that took it away has returned until the owner is about to give it
 * back. Who reads the same odd number before and after a use that was let through has used what was
 * gone.
 */
#define PAGE(n)  gfn(10 + (n))
#define MOVED(n) gfn(20 + (n))
#define VIEW(n)  view((uint16_t)(1 + (n)))
#define SHOWN(n) view((uint16_t)(1 + PROCESSORS + (n)))

static atomic_ulong written[PROCESSORS], shown[PROCESSORS], moved[PROCESSORS];
static atomic_uint wrong;
static atomic_ulong uses, refusals, calls_made;
static unsigned long seed_of_all;

static _Thread_local uint64_t dice;

static unsigned roll(unsigned sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (unsigned)(dice >> 33) % sides;
}

static void was_gone(const char *what, unsigned n, unsigned owner)
{
    printf("processor %u used %s of %u that was gone\n", n, what, owner);
    atomic_fetch_add(&wrong, 1);
}

static void take(atomic_ulong *word)
{
    atomic_fetch_add(word, atomic_load(word) % 2 == 0);
}

static void give(atomic_ulong *word)
{
    atomic_fetch_add(word, atomic_load(word) % 2 == 1);
}

/* Judges one use between two looks at the word. */
static void judge(bool let_through, unsigned long before, const atomic_ulong *word,
                  const char *what, unsigned n, unsigned owner)
{
    atomic_fetch_add(let_through ? &uses : &refusals, 1);
    if (let_through && before % 2 == 1 && atomic_load(word) == before) {
        was_gone(what, n, owner);
    }
}

/* ---- calls ---- */

/* Each processor has a page of the guest's memory for its arguments. */
static long call(unsigned n, uint32_t cmd, struct xen_hvm_altp2m_op *op)
{
    const struct altp2m_caller c = {.self = &smp_domain, .vcpu = smp_vcpu(n)};
    gva_t at = gva((40 + n) * PAGE_SIZE);
    long rc;

    op->version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op->cmd = cmd;
    op->domain = DOMID_SELF;
    if (platform_copy_to_caller(&c, at, op, sizeof(*op)) != 0) {
        abort();
    }
    do {
        rc = smp_call(&c, at);
    } while (rc == -XEN_ERESTART);
    if (platform_copy_from_caller(&c, op, at, sizeof(*op)) != 0) {
        abort();
    }
    atomic_fetch_add(&calls_made, 1);
    return rc;
}

static void must(long rc, const char *what)
{
    if (rc != 0) {
        printf("%s: %ld\n", what, rc);
        atomic_fetch_add(&wrong, 1);
    }
}

static void set_access(unsigned n, access_t a)
{
    struct xen_hvm_altp2m_op op = {
        .u.mem_access = {.view = VIEW(n).v, .access = a, .gfn = PAGE(n).v}};

    must(call(n, HVMOP_altp2m_set_mem_access, &op), "set_mem_access");
}

static void set_visible(unsigned n, bool on)
{
    struct xen_hvm_altp2m_op op = {.u.set_visibility = {.altp2m_idx = SHOWN(n).v, .visible = on}};

    must(call(n, HVMOP_altp2m_set_visibility, &op), "set_visibility");
}

static void toggle_access(unsigned n)
{
    if (atomic_load(&written[n]) % 2 == 0) {
        set_access(n, roll(2) ? ACCESS_R : ACCESS_N);
        take(&written[n]);
    } else {
        give(&written[n]);
        set_access(n, roll(2) ? ACCESS_RWX : ACCESS_DEFAULT);
    }
}

static void toggle_visible(unsigned n)
{
    if (atomic_load(&shown[n]) % 2 == 0) {
        set_visible(n, false);
        take(&shown[n]);
    } else {
        give(&shown[n]);
        set_visible(n, true);
    }
}

/* A frame that left the host map is its owner's alone: nobody's write may reach it. */
static void toggle_page(unsigned n)
{
    mfn_t m = mfn(RAM_MFN + MOVED(n).v);
    uint8_t *page = platform_map(m);

    if (atomic_load(&moved[n]) % 2 == 0) {
        must(hostmap_unmap(&smp_domain, MOVED(n), ORDER_4K), "hostmap_unmap");
        take(&moved[n]);
        __atomic_store_n(page, 0xee, __ATOMIC_SEQ_CST);
    } else {
        if (__atomic_load_n(page, __ATOMIC_SEQ_CST) != 0xee) {
            was_gone("a frame", n, n);
        }
        give(&moved[n]);
        must(hostmap_map(&smp_domain, MOVED(n), m, ORDER_4K, MAP_RAM, ACCESS_RWX), "hostmap_map");
    }
}

/* A view that comes and goes: with an override, a remap, and whoever finds its number in
 * the list. */
static void churn(unsigned n)
{
    struct xen_hvm_altp2m_op op = {.u.view.hvmmem_default_access = ACCESS_RWX};
    uint16_t v;
    long rc;

    if (call(n, HVMOP_altp2m_create_p2m, &op) != 0) {
        return; /* no view or no page left: others have them */
    }
    v = op.u.view.view;
    op = (struct xen_hvm_altp2m_op){
        .u.change_gfn = {.view = v, .old_gfn = PAGE(n).v, .new_gfn = PAGE((n + 1) % PROCESSORS).v}};
    rc = call(n, HVMOP_altp2m_change_gfn, &op);
    must(rc == -XEN_ENOMEM ? 0 : rc, "change_gfn");
    do { /* until nobody is on it */
        op = (struct xen_hvm_altp2m_op){.u.view.view = v};
        rc = call(n, HVMOP_altp2m_destroy_p2m, &op);
        if (rc == -XEN_EBUSY) {
            struct facet_altp2m_switch_vcpu s = {.vcpu = roll(PROCESSORS), .view = 0};

            op = (struct xen_hvm_altp2m_op){.cmd = 0};
            memcpy(&op.u, &s, sizeof(s));
            must(call(n, FACET_ALTP2M_switch_vcpu, &op), "switch_vcpu");
        }
    } while (rc == -XEN_EBUSY);
    must(rc, "destroy_p2m");
}

/* ---- in the guest ---- */

/* Goes to a view by VMFUNC and uses what there is; nobody moves it from there but by a call, which
 * has it leave the guest. */
static void use(unsigned n)
{
    unsigned owner = roll(PROCESSORS);
    unsigned long before;
    uint8_t byte = (uint8_t)n;

    switch (roll(4)) {
    case 0:
        before = atomic_load(&shown[owner]);
        judge(smp_switch(n, SHOWN(owner)), before, &shown[owner], "a view", n, owner);
        break;
    case 1:
        before = atomic_load(&moved[owner]);
        judge(smp_touch(n, MOVED(owner), RIGHT_R | RIGHT_W, &byte), before, &moved[owner], "a page",
              n, owner);
        break;
    case 2:
        smp_switch(n, view((uint16_t)roll(10)));
        break;
    default:
        if (smp_switch(n, VIEW(owner))) {
            before = atomic_load(&written[owner]);
            judge(smp_touch(n, PAGE(owner), RIGHT_R | RIGHT_W, &byte), before, &written[owner],
                  "a right", n, owner);
        }
    }
}

static void body(unsigned n)
{
    static void (*const what[])(unsigned) = {toggle_access, toggle_visible, toggle_page, churn};

    dice = (seed_of_all * PROCESSORS + n + 1) * 0x9e3779b97f4a7c15ULL;
    for (unsigned round = 0; round < ROUNDS; round++) {
        smp_enter(n);
        for (unsigned i = 0; i < INSIDE && !smp_wanted(n); i++) {
            if (roll(2)) {
                sched_yield(); /* others call meanwhile, and a kick comes late */
            }
            use(n);
        }
        smp_leave(n);
        what[roll(16) < 15 ? roll(3) : 3](n);
    }
}

static void prepare(void)
{
    struct xen_hvm_altp2m_op op = {.u.domain_state.state = 1};

    must(call(0, HVMOP_altp2m_set_domain_state, &op), "set_domain_state");
    for (unsigned v = 0; v < 2 * PROCESSORS; v++) {
        op = (struct xen_hvm_altp2m_op){.u.view.hvmmem_default_access = ACCESS_RWX};
        must(call(0, HVMOP_altp2m_create_p2m, &op), "create_p2m");
    }
    for (unsigned n = 0; n < PROCESSORS; n++) {
        op = (struct xen_hvm_altp2m_op){.u.enable_notify = {.vcpu_id = n, .gfn = 50 + n}};
        must(call(n, HVMOP_altp2m_vcpu_enable_notify, &op), "vcpu_enable_notify");
    }
}

static void body_after(unsigned n)
{
    static atomic_uint ready;

    if (n == 0) {
        prepare();
        atomic_store(&ready, 1);
    }
    while (!atomic_load(&ready)) {
    }
    body(n);
}

unsigned race_run(unsigned long seed)
{
    seed_of_all = seed;
    smp_start(body_after);
    smp_stop();
    printf("race, seed %lu: %lu uses let through, %lu refused, %lu calls, %u wrong\n", seed, uses,
           refusals, calls_made, atomic_load(&wrong));
    return wrong;
}
