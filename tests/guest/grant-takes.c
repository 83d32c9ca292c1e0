/* SPDX-License-Identifier: MIT */
/* Maps and copies what grant-gives.c grants it, and ends after it or, with ends=first on the
 * command line, before it, with a page still mapped. */
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/grant.h"
#include "lib/test.h"

static volatile struct given *mailbox;
static domid_t giver;
static grant_handle_t handle;

static bool look_at(domid_t d, domid_t self)
{
    char how[8];

    if (d == self ||
        grant_map_at(d, GIVEN_MAILBOX(self), GNTMAP_host_map, GRANT_GFN, &handle) != GNTST_okay)
        return false;
    mailbox = (volatile struct given *)grant_see(GRANT_GFN);
    if (mailbox->magic == GIVEN_MAGIC + cmdline_get("ends", how, sizeof(how)) &&
        mailbox->taken == 0)
        return true;
    expect(grant_unmap_at(GRANT_GFN, handle), GNTST_okay);
    return false;
}

static void found(void)
{
    domid_t self = grant_own_id();

    while (giver == 0) {
        for (domid_t d = 1; d <= GIVEN_DOMAINS && giver == 0; d++)
            giver = look_at(d, self) ? d : 0;
        sched_op(SCHEDOP_yield, NULL);
    }
    mailbox->taken = 1;
}

static void wait_for(uint64_t step)
{
    while (mailbox->given < step)
        sched_op(SCHEDOP_yield, NULL);
}

static void copy(void)
{
    struct gnttab_copy op = {.source = {.u.ref = GIVEN_READ, .domid = giver},
                             .dest = {.u.ref = GIVEN_WRITE, .domid = giver},
                             .len = PAGE - 8,
                             .flags = GNTCOPY_source_gref | GNTCOPY_dest_gref};

    expect(grant_copy_one(&op), GNTST_okay);
    op.source.u.ref = GIVEN_OTHERS;
    expect(grant_copy_one(&op), GNTST_general_error);
    op.source.u.ref = GIVEN_WRITE;
    op.dest.u.ref = GIVEN_READ;
    expect(grant_copy_one(&op), GNTST_general_error);
}

static void used(void)
{
    volatile uint64_t *ro = grant_see(GRANT_GFN + 1), *rw = grant_see(GRANT_GFN + 2);
    grant_handle_t h[2];

    wait_for(1);
    expect(grant_map_at(giver, GIVEN_READ, GNTMAP_host_map, GRANT_GFN + 1, NULL),
           GNTST_general_error);
    expect(grant_map_at(giver, GIVEN_OTHERS, GNTMAP_host_map, GRANT_GFN + 1, NULL),
           GNTST_general_error);
    expect(grant_map_at(giver, GIVEN_READ, GNTMAP_host_map | GNTMAP_readonly, GRANT_GFN + 1, &h[0]),
           GNTST_okay);
    expect(grant_map_at(giver, GIVEN_WRITE, GNTMAP_host_map, GRANT_GFN + 2, &h[1]), GNTST_okay);
    expect(ro[5], 0x1111111111111111);
    expect(try_write64(&ro[0], 1), VEC_GP);
    copy();
    rw[511] = 42;
    expect(rw[0], 0x1111111111111111);
    mailbox->taken = 2;
    wait_for(2);
    expect(grant_unmap_at(GRANT_GFN + 1, h[0]), GNTST_okay);
    expect(grant_unmap_at(GRANT_GFN + 2, h[1]), GNTST_okay);
    mailbox->taken = 3;
}

/* What this domain's views say of the page holds, for it alone. */
static void views(void)
{
    volatile uint64_t *ro = grant_see(GRANT_GFN + 1);
    grant_handle_t h;
    uint16_t view, access;

    wait_for(3);
    expect(grant_map_at(giver, GIVEN_WRITE, GNTMAP_host_map, GRANT_GFN + 1, NULL),
           GNTST_general_error);
    expect(grant_map_at(giver, GIVEN_READ, GNTMAP_host_map | GNTMAP_readonly, GRANT_GFN + 1, &h),
           GNTST_okay);
    if (altp2m_set_state(1) == 0) {
        expect(altp2m_create(ACCESS_RWX, &view), 0);
        expect(altp2m_set_access(view, GRANT_GFN + 1, ACCESS_N), 0);
        expect(altp2m_get_access(view, GRANT_GFN + 1, &access), 0);
        expect(access, ACCESS_N);
        expect(altp2m_switch(view), 0);
        expect(try_write64(&ro[0], 1), VEC_GP);
        expect(ro[5], 0x1111111111111111); /* nobody listens: it is lifted as far as it goes */
        expect(try_write64(&ro[0], 1), VEC_GP);
        expect(altp2m_set_state(0), 0);
    }
    expect(grant_unmap_at(GRANT_GFN + 1, h), GNTST_okay);
    mailbox->taken = 4;
}

/* The other domain ends with its page mapped here: it stays. */
static void ends(void)
{
    char how[8];
    int status;

    wait_for(4);
    mailbox->taken = 5;
    if (cmdline_get("ends", how, sizeof(how)))
        return;
    do {
        status =
            grant_map_at(giver, GIVEN_READ, GNTMAP_host_map | GNTMAP_readonly, GRANT_GFN + 1, NULL);
    } while (status == GNTST_general_error && sched_op(SCHEDOP_yield, NULL) == 0);
    expect(status, GNTST_bad_domain);
    check(mailbox->magic == GIVEN_MAGIC, "the page is lost");
    expect(mailbox->taken, 5);
    expect(grant_unmap_at(GRANT_GFN, handle), GNTST_okay);
    tlb_flush((void *)mailbox);
    expect(mailbox->magic, -1);
}

TEST_CASES(CASE(found), CASE(used), CASE(views), CASE(ends))
