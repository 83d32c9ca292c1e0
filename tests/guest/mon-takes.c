/* SPDX-License-Identifier: MIT */
/*
 * A watched guest that reaches for what is its monitor's (mon-keeps.c): the ring's frame, the
 * tables and the memory that the monitor needs, a restriction by default.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/keep.h"
#include "lib/page.h"
#include "lib/target.h"
#include "lib/test.h"
#include <xen/vcpu.h>

#define RING_GFN (16 * 256 + 1 + 1) /* of a guest of 16 MiB: hv/guest/guest.h */
#define FAR(i)   ((xen_pfn_t)0x4000 + (xen_pfn_t)(i)*512)
#define FAR_MOST 400u

static struct mailbox *mail;
static volatile uint64_t *page;

static long reservation(unsigned cmd, xen_pfn_t g)
{
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &g);
    return memory_op(cmd, &r);
}

static long add(unsigned space, uint64_t index, uint64_t g)
{
    struct xen_add_to_physmap a = {
        .domid = DOMID_SELF, .space = (uint16_t)space, .idx = index, .gpfn = g};

    return memory_op(XENMEM_add_to_physmap, &a);
}

static long info_at(uint64_t g, uint32_t offset)
{
    struct vcpu_register_vcpu_info i = {.mfn = g, .offset = offset};

    return vcpu_op(VCPUOP_register_vcpu_info, 0, &i);
}

static void setup(void)
{
    event_init();
    mail = page_alloc(1, 1);
    page = page_alloc(1, 1);
    expect(hvm_param_set(MAILBOX_PARAM, gfn_of(mail)), 0);
}

/* Whatever it puts there it would have a hand in: by the hypervisor's writes for it, or its own. */
static void ring_first(void)
{
    uint8_t *spare = page_alloc(1, 1);

    expect(reservation(XENMEM_decrease_reservation, gfn_of(spare)), 1);
    expect(reservation(XENMEM_populate_physmap, RING_GFN), 0);
    expect(add(XENMAPSPACE_shared_info, 0, RING_GFN), -XEN_EPERM);
    expect(add(XENMAPSPACE_grant_table, 0, RING_GFN), -XEN_EPERM);
    expect(add(XENMAPSPACE_gmfn, gfn_of(page), RING_GFN), -XEN_EPERM);
    expect(info_at(RING_GFN, 64 + 16 - 8), -XEN_EINVAL);
    *page = 5; /* it is still there */
    expect(*page, 5);
    expect(reservation(XENMEM_populate_physmap, gfn_of(spare)), 1);
    target_begin(mail, KEEP_FIRST);
    target_end(mail);
}

static void bound(void)
{
    uint8_t *info = page_alloc(1, 1), *other = page_alloc(1, 1);

    expect(info_at(gfn_of(info), 128), 0);
    mail->data[0] = gfn_of(info);
    mail->data[1] = gfn_of(other);
    target_begin(mail, KEEP_BOUND);
    target_end(mail);
    expect(info_at(RING_GFN, 64 + 16 - 8), -XEN_EINVAL);
}

/* An event fires while it waits for the monitor's word: nothing of that reaches the ring. */
static void denied(void)
{
    struct vcpu_set_singleshot_timer t = {0};
    uint64_t before = read_cr4();

    expect(event_bind_virq(VIRQ_TIMER, 0) > 0, 1);
    target_begin(mail, KEEP_DENIED);
    t.timeout_abs_ns = clock_now() + 2000000;
    expect(vcpu_op(VCPUOP_set_singleshot_timer, 0, &t), 0);
    try_write_cr4(before ^ CR4_TSD);
    target_end(mail);
    expect(read_cr4(), before);
}

/* Memory that somebody still holds is still the guest's. */
static void pinned(void)
{
    xen_pfn_t g = 0x3000;

    while (reservation(XENMEM_populate_physmap, g) ==
           1) /* what pages of the hypervisor's replaced may be had again */
        g++;
    check(g < 0x3004, "%lu pages", g - 0x3000);
    for (unsigned i = 0; i < KEEP_ROUNDS; i++) {
        mail->data[0] = gfn_of(page);
        target_begin(mail, KEEP_PINNED); /* the monitor maps it */
        expect(reservation(XENMEM_decrease_reservation, gfn_of(page)), 1);
        expect(reservation(XENMEM_populate_physmap, gfn_of(page)), 0);
        target_end(mail);
        target_begin(mail, KEEP_PINNED); /* and lets it go */
        expect(reservation(XENMEM_populate_physmap, gfn_of(page)), 1);
        target_end(mail);
    }
}

/* Each page in a region of its own: each wants a table. Its monitor then does what needs many. */
static void sparse(void)
{
    uint8_t *many = page_alloc(FAR_MOST, 1);
    unsigned n = 0;
    long rc = 0;

    while (n < FAR_MOST && (rc = add(XENMAPSPACE_gmfn, gfn_of(many + n * PAGE), FAR(n))) == 0)
        n++;
    expect(rc, -XEN_ENOMEM);
    check(n >= 12 && n < FAR_MOST, "%u pages", n);
    many[n * PAGE] = 1; /* the one that was refused is where it was */
    target_begin(mail, KEEP_SPARSE);
    target_end(mail);
    for (unsigned round = 0; round < 2; round++) { /* what is given back can be had again */
        for (unsigned i = 0; i < n; i++)
            expect(add(XENMAPSPACE_gmfn, FAR(i), gfn_of(many + i * PAGE)), 0);
        for (unsigned i = 0; round == 0 && i < n; i++)
            expect(add(XENMAPSPACE_gmfn, gfn_of(many + i * PAGE), FAR(i)), 0);
    }
}

/* A view, its remaps and shadow pages of its own take all that they get. Its monitor then does
 * what needs many. */
static void views(void)
{
    uint16_t v;
    uint64_t name = 0;
    unsigned n = 0;

    expect(altp2m_set_state(1), 0);
    expect(altp2m_create(ACCESS_RWX, &v), 0);
    for (uint64_t g = 0; g < 16 * 256; g += 512)
        expect(altp2m_set_access(v, g + 300, ACCESS_R), 0);
    while (altp2m_stub_shadow_create(&altp2m_self, ~0ULL, &name) == 0)
        n++;
    check(n > 100, "%u shadow pages", n);
    expect(altp2m_stub_shadow_create(&altp2m_self, ~0ULL, &name), -XEN_ENOMEM);
    target_begin(mail, KEEP_SPARSE);
    target_end(mail);
    expect(altp2m_set_state(0), 0);
}

static void by_default(void)
{
    mail->data[0] = gfn_of(page);
    target_begin(mail, KEEP_DEFAULT);
    expect(reservation(XENMEM_decrease_reservation, gfn_of(page)), 1);
    expect(reservation(XENMEM_populate_physmap, gfn_of(page)), 1);
    target_end(mail);
    target_begin(mail, KEEP_DEFAULT_WRITES);
    *page = 7;
    target_end(mail);
    expect(*page, 7);
}

static void finish(void)
{
    target_finish(mail);
}

TEST_CASES(CASE(setup), CASE(ring_first), CASE(bound), CASE(denied), CASE(pinned), CASE(sparse),
           CASE(views), CASE(by_default), CASE(finish))
