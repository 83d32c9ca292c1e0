/* SPDX-License-Identifier: MIT */
/* Grants pages to grant-takes.c, looks at what it can do with them, and ends: before it or, with
 * ends=last on the command line, after it. */
#include <string.h>
#include "lib/grant.h"
#include "lib/test.h"

static grant_entry_v1_t *table;
static struct given *mailbox;
static uint64_t *read_only, *writable;
static domid_t taker;

static void wait_for(uint64_t step)
{
    while (mailbox->taken < step)
        sched_op(SCHEDOP_yield, NULL);
}

static void found(void)
{
    char how[8];

    table = grant_table(1);
    mailbox = page_alloc(1, 1);
    read_only = page_alloc(1, 1);
    writable = page_alloc(1, 1);
    memset(read_only, 0x11, PAGE);
    mailbox->magic = GIVEN_MAGIC + cmdline_get("ends", how, sizeof(how));
    for (domid_t d = 1; d <= GIVEN_DOMAINS; d++)
        grant_give(&table[GIVEN_MAILBOX(d)], d, mailbox, 0);
    wait_for(1);
    for (domid_t d = 1; d <= GIVEN_DOMAINS; d++) {
        if (table[GIVEN_MAILBOX(d)].flags & GTF_reading)
            taker = d;
    }
    need(taker != 0, "nobody has the mailbox mapped");
    expect(table[GIVEN_MAILBOX(taker)].flags, GTF_permit_access | GTF_reading | GTF_writing);
}

static void used(void)
{
    grant_give(&table[GIVEN_READ], taker, read_only, GTF_readonly);
    grant_give(&table[GIVEN_WRITE], taker, writable, 0);
    grant_give(&table[GIVEN_OTHERS], (domid_t)(taker + 1), writable, 0);
    mailbox->given = 1;
    wait_for(2); /* it has both mapped, and tried to write to both */
    expect(table[GIVEN_READ].flags, GTF_permit_access | GTF_readonly | GTF_reading);
    expect(table[GIVEN_WRITE].flags, GTF_permit_access | GTF_reading | GTF_writing);
    expect(table[GIVEN_OTHERS].flags, GTF_permit_access);
    expect(read_only[0], 0x1111111111111111);
    expect(writable[0], 0x1111111111111111); /* copied by it */
    expect(writable[511], 42);
    mailbox->given = 2;
    wait_for(3); /* it has unmapped them */
    expect(table[GIVEN_READ].flags, GTF_permit_access | GTF_readonly);
    expect(table[GIVEN_WRITE].flags, GTF_permit_access);
}

static void taken_back(void)
{
    table[GIVEN_WRITE].flags = 0;
    mailbox->given = 3;
    wait_for(4);
    expect(table[GIVEN_WRITE].flags, 0);
    expect(writable[1], 0x1111111111111111);
}

/* The other domain ends with the mailbox mapped: it is no longer in use then. */
static void ends(void)
{
    char how[8];

    table[GIVEN_READ].flags = 0;
    mailbox->given = 4;
    if (!cmdline_get("ends", how, sizeof(how)))
        return;
    while (((volatile grant_entry_v1_t *)table)[GIVEN_MAILBOX(taker)].flags & GTF_reading)
        sched_op(SCHEDOP_yield, NULL);
    expect(table[GIVEN_MAILBOX(taker)].flags, GTF_permit_access);
    expect(mailbox->taken, 5);
}

TEST_CASES(CASE(found), CASE(used), CASE(taken_back), CASE(ends))
