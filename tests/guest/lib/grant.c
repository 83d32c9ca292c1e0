/* SPDX-License-Identifier: MIT */
#include "grant.h"
#include "event.h"
#include "test.h"

#define WINDOW 0x4000000000UL /* linear addresses for what is above RAM */

grant_entry_v1_t *grant_table(unsigned frames)
{
    grant_entry_v1_t *table = page_alloc(frames, 1);

    for (unsigned i = 0; i < frames; i++) {
        struct xen_add_to_physmap a = {.domid = DOMID_SELF,
                                       .space = XENMAPSPACE_grant_table,
                                       .idx = i,
                                       .gpfn = gfn_of(table) + i};

        need(memory_op(XENMEM_add_to_physmap, &a) == 0, "frame %u of the grant table", i);
    }
    return table;
}

domid_t grant_own_id(void)
{
    for (domid_t id = 0; id < 128; id++) {
        struct evtchn_status s = {.dom = id, .port = 1};
        struct evtchn_alloc_unbound a = {.dom = id, .remote_dom = DOMID_SELF};

        if (event_channel_op(EVTCHNOP_status, &s) == 0 &&
            event_channel_op(EVTCHNOP_alloc_unbound, &a) == 0) {
            event_close(a.port);
            return id;
        }
    }
    need(false, "no number is this domain's");
    return 0;
}

int grant_map_at(domid_t from, grant_ref_t ref, uint32_t flags, uint64_t gfn,
                 grant_handle_t *handle)
{
    struct gnttab_map_grant_ref op = {.host_addr = gfn * PAGE,
                                      .flags = flags,
                                      .ref = ref,
                                      .dom = from,
                                      .status = 77,
                                      .handle = ~0U};

    expect(grant_op(GNTTABOP_map_grant_ref, &op, 1), 0);
    if (handle) {
        *handle = op.handle;
    }
    return op.status;
}

int grant_unmap_at(uint64_t gfn, grant_handle_t handle)
{
    struct gnttab_unmap_grant_ref op = {.host_addr = gfn * PAGE, .handle = handle, .status = 77};

    expect(grant_op(GNTTABOP_unmap_grant_ref, &op, 1), 0);
    return op.status;
}

int grant_copy_one(struct gnttab_copy *op)
{
    op->status = 77;
    expect(grant_op(GNTTABOP_copy, op, 1), 0);
    return op->status;
}

volatile uint64_t *grant_see(uint64_t gfn)
{
    uint64_t at = WINDOW + gfn % 512 * PAGE;

    page_map(at, gfn * PAGE, PTE_RWX);
    return (volatile uint64_t *)at;
}
