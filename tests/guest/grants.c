/* SPDX-License-Identifier: MIT */
/*
 * grant_table_op by a domain that grants pages to itself: mappings and copies, what the entries say
 * meanwhile, and every odd argument (xen/grant_table.h). Runs on Xen as well.
 */
#include <string.h>
#include "lib/altp2m.h"
#include "lib/cpu.h"
#include "lib/event.h"
#include "lib/grant.h"
#include "lib/test.h"

#define REF 8u /* the first that is not reserved */

static grant_entry_v1_t *table;
static domid_t self;
static uint64_t *page;

static bool audited(void)
{
    char policy[16];

    return cmdline_get("policy", policy, sizeof(policy));
}

static void sizes(void)
{
    struct gnttab_query_size q = {.dom = DOMID_SELF};
    struct xen_add_to_physmap a = {.domid = DOMID_SELF, .space = XENMAPSPACE_grant_table};

    expect(grant_op(GNTTABOP_query_size, &q, 1), 0);
    expect(q.status, GNTST_okay);
    check(q.nr_frames >= 1 && q.max_nr_frames >= 4, "%u frames of %u", q.nr_frames,
          q.max_nr_frames);
    a.idx = q.max_nr_frames;
    a.gpfn = gfn_of(page_alloc(1, 1));
    expect(memory_op(XENMEM_add_to_physmap, &a), -XEN_EINVAL);
    a.idx = 2; /* the table grows to that */
    expect(memory_op(XENMEM_add_to_physmap, &a), 0);
    expect(grant_op(GNTTABOP_query_size, &q, 1), 0);
    check(q.nr_frames >= 3, "%u frames", q.nr_frames);
    q.dom = 0x7e57;
    expect(grant_op(GNTTABOP_query_size, &q, 1), 0);
    expect(q.status, GNTST_bad_domain);
}

static void versions(void)
{
    struct gnttab_get_version g = {.dom = DOMID_SELF};
    struct gnttab_set_version s = {.version = 1};

    expect(grant_op(GNTTABOP_get_version, &g, 1), 0);
    expect(g.version, 1);
    expect(grant_op(GNTTABOP_set_version, &s, 1), 0);
    s.version = 3;
    expect(grant_op(GNTTABOP_set_version, &s, 1), -XEN_EINVAL);
    if (on_facet) {
        s.version = 2;
        expect(grant_op(GNTTABOP_set_version, &s, 1), -XEN_ENOSYS);
        expect(s.version, 1);
    }
}

static void begin(void)
{
    table = grant_table(2);
    self = grant_own_id();
    page = page_alloc(1, 1);
    memset(page, 0x5a, PAGE);
    page[0] = 0x1234;
}

static void mapped(void)
{
    volatile uint64_t *seen = grant_see(GRANT_GFN);
    grant_handle_t h;

    if (audited()) {
        grant_give(&table[REF], self, page, 0);
        expect(grant_map_at(self, REF, GNTMAP_host_map, GRANT_GFN, NULL), GNTST_permission_denied);
        return;
    }
    grant_give(&table[REF], self, page, 0);
    expect(grant_map_at(self, REF, GNTMAP_host_map, GRANT_GFN, &h), GNTST_okay);
    expect(table[REF].flags, GTF_permit_access | GTF_reading | GTF_writing);
    expect(seen[0], 0x1234);
    seen[1] = 99;
    expect(((volatile uint64_t *)page)[1], 99);
    expect(grant_unmap_at(GRANT_GFN, h + 1), GNTST_bad_handle);
    expect(grant_unmap_at(GRANT_GFN, h), GNTST_okay);
    expect(table[REF].flags, GTF_permit_access);
    expect(grant_unmap_at(GRANT_GFN, h), GNTST_bad_handle);
    tlb_flush(seen);
    expect(seen[0], -1);
}

/* Whatever its views say. */
static void read_only(void)
{
    volatile uint64_t *seen = grant_see(GRANT_GFN);
    grant_handle_t h;
    uint16_t view;

    if (audited())
        skip("a domain's own pages, to be mapped");
    grant_give(&table[REF], self, page, GTF_readonly);
    expect(grant_map_at(self, REF, GNTMAP_host_map, GRANT_GFN, NULL), GNTST_general_error);
    expect(table[REF].flags, GTF_permit_access | GTF_readonly);
    expect(grant_map_at(self, REF, GNTMAP_host_map | GNTMAP_readonly, GRANT_GFN, &h), GNTST_okay);
    expect(table[REF].flags, GTF_permit_access | GTF_readonly | GTF_reading);
    expect(seen[0], 0x1234);
    expect(try_write64(&seen[0], 7), VEC_GP);
    expect(page[0], 0x1234);
    if (altp2m_set_state(1) == 0) {
        expect(altp2m_create(ACCESS_RWX, &view), 0);
        altp2m_set_access(0, GRANT_GFN, ACCESS_RWX);
        altp2m_set_access(view, GRANT_GFN, ACCESS_RWX);
        expect(altp2m_switch(view), 0);
        expect(seen[0], 0x1234);
        expect(try_write64(&seen[0], 7), VEC_GP);
        expect(page[0], 0x1234);
        expect(altp2m_switch(0), 0);
        expect(try_write64(&seen[0], 7), VEC_GP);
        expect(altp2m_set_state(0), 0);
    }
    expect(grant_unmap_at(GRANT_GFN, h), GNTST_okay);
    expect(table[REF].flags, GTF_permit_access | GTF_readonly);
}

static void refused(void)
{
    const struct {
        uint16_t flags; /* of the entry */
        domid_t to, from;
        grant_ref_t ref;
        uint32_t map;
        int status;
    } rows[] = {
        {0, self, self, REF, GNTMAP_host_map, GNTST_general_error},
        {GTF_accept_transfer, self, self, REF, GNTMAP_host_map, GNTST_general_error},
        {GTF_transitive, self, self, REF, GNTMAP_host_map, GNTST_general_error},
        {GTF_permit_access | GTF_sub_page, self, self, REF, GNTMAP_host_map, GNTST_general_error},
        {GTF_permit_access, 0x7000, self, REF, GNTMAP_host_map, GNTST_general_error},
        {GTF_permit_access, self, 0x7e57, REF, GNTMAP_host_map, GNTST_bad_domain},
        {GTF_permit_access, self, DOMID_SELF, REF, GNTMAP_host_map, GNTST_bad_domain},
        {GTF_permit_access, self, self, 64 * GRANTS_PER_PAGE, GNTMAP_host_map, GNTST_bad_gntref},
        {GTF_permit_access, self, self, ~0U, GNTMAP_host_map, GNTST_bad_gntref},
        {GTF_permit_access, self, self, REF, 0, GNTST_bad_gntref},
        {GTF_permit_access, self, self, REF, GNTMAP_readonly, GNTST_bad_gntref},
        {GTF_permit_access, self, self, REF, GNTMAP_host_map | GNTMAP_device_map,
         GNTST_general_error},
        {GTF_permit_access, self, self, REF, GNTMAP_host_map | GNTMAP_application_map,
         GNTST_general_error},
        {GTF_permit_access, self, self, REF, GNTMAP_host_map | GNTMAP_contains_pte,
         GNTST_general_error},
    };

    if (audited())
        skip("a domain's own pages, to be mapped");
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        int status;

        table[REF].domid = rows[i].to;
        table[REF].frame = (uint32_t)gfn_of(page);
        table[REF].flags = rows[i].flags;
        status = grant_map_at(rows[i].from, rows[i].ref, rows[i].map, GRANT_GFN, NULL);
        check(status == rows[i].status, "row %u: %d, not %d", i, status, rows[i].status);
        expect(table[REF].flags, rows[i].flags);
    }
}

/* Of pages that are not there, or not the granter's own. */
static void bad_pages(void)
{
    grant_handle_t h;

    if (audited())
        skip("a domain's own pages, to be mapped");
    grant_give(&table[REF], self, (void *)0xd0000000UL, 0);
    expect(grant_map_at(self, REF, GNTMAP_host_map, GRANT_GFN, NULL), GNTST_bad_page);
    expect(table[REF].flags, GTF_permit_access);
    grant_give(&table[REF], self, page, 0);
    expect(grant_map_at(self, REF, GNTMAP_host_map, GRANT_GFN, &h), GNTST_okay);
    if (on_facet) {
        /* not granted on; nothing else is mapped there; it does not become the guest's own */
        grant_give(&table[REF + 1], self, (void *)(GRANT_GFN * PAGE), 0);
        expect(grant_map_at(self, REF + 1, GNTMAP_host_map, GRANT_GFN + 1, NULL), GNTST_bad_page);
        grant_give(&table[REF + 1], self, page, 0);
        expect(grant_map_at(self, REF + 1, GNTMAP_host_map, GRANT_GFN, NULL), GNTST_general_error);
        expect(grant_map_at(self, REF + 1, GNTMAP_host_map, gfn_of(page), NULL),
               GNTST_general_error);
        expect(grant_map_at(self, REF + 1, GNTMAP_host_map, 1ULL << 51, NULL), GNTST_general_error);
        expect(grant_unmap_at(GRANT_GFN + 1, h), GNTST_general_error);
        expect(page[0], 0x1234);
    }
    expect(grant_unmap_at(GRANT_GFN, h), GNTST_okay);
    expect(table[REF].flags, GTF_permit_access);
    expect(table[REF + 1].flags, on_facet ? GTF_permit_access : 0);
}

static long change(unsigned cmd, const void *at)
{
    xen_pfn_t g = gfn_of(at);
    struct xen_memory_reservation r = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(r.extent_start, &g);
    return memory_op(cmd, &r);
}

/* A page that its owner gives back lives on while it is mapped, and is nobody else's. */
static void kept(void)
{
    volatile uint64_t *seen = grant_see(GRANT_GFN), *mine;
    grant_handle_t h;

    if (audited())
        skip("a domain's own pages, to be mapped");
    mine = page_alloc(1, 1);
    page_split((void *)mine, 1);
    mine[0] = 0xabcd;
    grant_give(&table[REF], self, mine, 0);
    expect(grant_map_at(self, REF, GNTMAP_host_map, GRANT_GFN, &h), GNTST_okay);
    expect(change(XENMEM_decrease_reservation, (void *)mine), 1);
    expect(change(XENMEM_populate_physmap, (void *)mine), 1);
    mine[0] = 0x1111;
    expect(seen[0], 0xabcd);
    expect(mine[0], 0x1111);
    /* A second one shows what the first does. */
    if (on_facet) {
        grant_handle_t second;
        volatile uint64_t *again = grant_see(GRANT_GFN + 1);

        expect(grant_map_at(self, REF, GNTMAP_host_map, GRANT_GFN + 1, &second), GNTST_okay);
        expect(again[0], 0xabcd);
        expect(grant_unmap_at(GRANT_GFN, h), GNTST_okay);
        expect(table[REF].flags, GTF_permit_access | GTF_reading | GTF_writing);
        expect(grant_unmap_at(GRANT_GFN + 1, second), GNTST_okay);
    } else {
        expect(grant_unmap_at(GRANT_GFN, h), GNTST_okay);
    }
    expect(table[REF].flags, GTF_permit_access);
    expect(mine[0], 0x1111);
}

/* Taken away by memory_op: the handle goes, and says that something was wrong. */
static void taken_away(void)
{
    struct xen_remove_from_physmap r = {.domid = DOMID_SELF, .gpfn = GRANT_GFN};
    grant_handle_t h;

    if (audited() || !on_facet)
        skip("mappings that memory_op takes away");
    grant_give(&table[REF], self, page, 0);
    expect(grant_map_at(self, REF, GNTMAP_host_map, GRANT_GFN, &h), GNTST_okay);
    expect(memory_op(XENMEM_remove_from_physmap, &r), 0);
    expect(table[REF].flags, GTF_permit_access | GTF_reading | GTF_writing);
    expect(grant_unmap_at(GRANT_GFN, h), GNTST_general_error);
    expect(table[REF].flags, GTF_permit_access);
    expect(grant_unmap_at(GRANT_GFN, h), GNTST_bad_handle);
}

static void lists(void)
{
    struct gnttab_map_grant_ref ops[3] = {
        {.host_addr = GRANT_GFN * PAGE, .flags = GNTMAP_host_map, .ref = REF, .dom = self},
        {.host_addr = (GRANT_GFN + 1) * PAGE, .flags = GNTMAP_host_map, .ref = 1, .dom = self},
        {.host_addr = (GRANT_GFN + 2) * PAGE, .flags = GNTMAP_host_map, .ref = REF, .dom = self}};

    grant_give(&table[REF], self, page, 0);
    expect(grant_op(GNTTABOP_map_grant_ref, ops, 0), 0);
    expect(grant_op(GNTTABOP_map_grant_ref, ops, 0x80000000u), -XEN_EINVAL);
    expect(grant_op(GNTTABOP_map_grant_ref, (void *)0x600000000000, 1), -XEN_EFAULT);
    expect(grant_op(GNTTABOP_unmap_grant_ref, (void *)0x600000000000, 1), -XEN_EFAULT);
    expect(grant_op(GNTTABOP_copy, (void *)0x600000000000, 1), -XEN_EFAULT);
    expect(grant_op(99, ops, 1), -XEN_ENOSYS);
    if (audited())
        skip("a domain's own pages, to be mapped");
    expect(grant_op(GNTTABOP_map_grant_ref, ops, 3), 0);
    expect(ops[0].status, GNTST_okay);
    expect(ops[1].status, GNTST_general_error);
    expect(ops[2].status, GNTST_okay);
    expect(grant_see(GRANT_GFN + 2)[0], 0x1234);
    expect(grant_unmap_at(GRANT_GFN, ops[0].handle), GNTST_okay);
    expect(grant_unmap_at(GRANT_GFN + 2, ops[2].handle), GNTST_okay);
}

#define MANY 1000u

static void many(void)
{
    static struct gnttab_map_grant_ref maps[MANY];
    static struct gnttab_unmap_grant_ref unmaps[MANY];

    if (audited())
        skip("a domain's own pages, to be mapped");
    for (unsigned round = 0; round < 2; round++) {
        unsigned bad = 0;

        for (unsigned i = 0; i < MANY; i++) {
            if (i < MANY - REF)
                grant_give(&table[REF + i], self, page, 0);
            maps[i] = (struct gnttab_map_grant_ref){.host_addr = (GRANT_GFN + i) * PAGE,
                                                    .flags = GNTMAP_host_map,
                                                    .ref = REF + i % (MANY - REF),
                                                    .dom = self};
        }
        expect(grant_op(GNTTABOP_map_grant_ref, maps, MANY), 0);
        for (unsigned i = 0; i < MANY; i++) {
            bad += maps[i].status != GNTST_okay;
            unmaps[i] = (struct gnttab_unmap_grant_ref){.host_addr = maps[i].host_addr,
                                                        .handle = maps[i].handle};
        }
        expect(bad, 0);
        expect(grant_see(GRANT_GFN + 777)[0], 0x1234);
        expect(grant_op(GNTTABOP_unmap_grant_ref, unmaps, MANY), 0);
        for (unsigned i = 0; i < MANY; i++)
            bad += unmaps[i].status != GNTST_okay || table[REF + i].flags & GTF_reading;
        expect(bad, 0);
    }
}

/* One end, or both, are granted. */
static void copies(void)
{
    uint8_t *from = page_alloc(1, 1), *to = page_alloc(1, 1);

    for (unsigned i = 0; i < PAGE; i++)
        from[i] = (uint8_t)(i * 7);
    for (unsigned how = 0; how < 4; how++) {
        struct gnttab_copy op = {.flags = (uint16_t)how, .len = 300};

        memset(to, 0, PAGE);
        grant_give(&table[REF], self, from, GTF_readonly);
        grant_give(&table[REF + 1], self, to, 0);
        op.source.domid = how & GNTCOPY_source_gref ? self : DOMID_SELF;
        op.dest.domid = how & GNTCOPY_dest_gref ? self : DOMID_SELF;
        op.source.offset = 100;
        op.dest.offset = 3000;
        op.source.u.gmfn = gfn_of(from);
        op.dest.u.gmfn = gfn_of(to);
        if (how & GNTCOPY_source_gref)
            op.source.u.ref = REF;
        if (how & GNTCOPY_dest_gref)
            op.dest.u.ref = REF + 1;
        expect(grant_copy_one(&op), GNTST_okay);
        check(memcmp(to + 3000, from + 100, 300) == 0, "copy %u is wrong", how);
        check(to[2999] == 0 && to[3300] == 0, "copy %u wrote beside", how);
        expect(table[REF].flags, GTF_permit_access | GTF_readonly);
        expect(table[REF + 1].flags, GTF_permit_access);
    }
}

static void bad_copies(void)
{
    uint8_t *to = page_alloc(1, 1);
    const struct {
        domid_t from, to;
        uint64_t source, dest;
        uint16_t source_offset, dest_offset, len, flags;
        int status;
    } rows[] = {
        {self, DOMID_SELF, REF, gfn_of(to), 4000, 0, 97, 1, GNTST_bad_copy_arg},
        {self, DOMID_SELF, REF, gfn_of(to), 0, 4095, 2, 1, GNTST_bad_copy_arg},
        {self, DOMID_SELF, REF, gfn_of(to), 0, 0, 0xffff, 1, GNTST_bad_copy_arg},
        {self, DOMID_SELF, REF, gfn_of(to), 4096, 0, 0, 1, GNTST_okay},
        {0x7e57, DOMID_SELF, REF, gfn_of(to), 0, 0, 1, 1, GNTST_bad_domain},
        {DOMID_SELF, 0x7e57, gfn_of(page), REF, 0, 0, 1, 2, GNTST_bad_domain},
        {self, DOMID_SELF, gfn_of(page), gfn_of(to), 0, 0, 1, 0, GNTST_permission_denied},
        {DOMID_SELF, self, gfn_of(page), gfn_of(to), 0, 0, 1, 0, GNTST_permission_denied},
        {self, DOMID_SELF, 1, gfn_of(to), 0, 0, 1, 1, GNTST_general_error},
        {self, DOMID_SELF, 64 * GRANTS_PER_PAGE, gfn_of(to), 0, 0, 1, 1, GNTST_bad_gntref},
        {DOMID_SELF, self, gfn_of(page), REF, 0, 0, 1, 2, GNTST_general_error}, /* read-only */
        {DOMID_SELF, DOMID_SELF, 0xd0000, gfn_of(to), 0, 0, 1, 0, GNTST_bad_page},
        {DOMID_SELF, DOMID_SELF, gfn_of(page), 0xd0000, 0, 0, 1, 0, GNTST_bad_page},
    };

    grant_give(&table[REF], self, page, GTF_readonly);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct gnttab_copy op = {.len = rows[i].len, .flags = rows[i].flags};
        int status;

        op.source.domid = rows[i].from;
        op.dest.domid = rows[i].to;
        op.source.u.gmfn = rows[i].source;
        op.dest.u.gmfn = rows[i].dest;
        op.source.offset = rows[i].source_offset;
        op.dest.offset = rows[i].dest_offset;
        status = grant_copy_one(&op);
        check(status == rows[i].status, "row %u: %d, not %d", i, status, rows[i].status);
        expect(table[REF].flags, GTF_permit_access | GTF_readonly);
    }
    expect(*to, 0);
}

TEST_CASES(CASE(begin), CASE(sizes), CASE(versions), CASE(mapped), CASE(read_only), CASE(refused),
           CASE(bad_pages), CASE(kept), CASE(taken_away), CASE(lists), CASE(many), CASE(copies),
           CASE(bad_copies))
