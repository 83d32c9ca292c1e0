/* SPDX-License-Identifier: MIT */

/*
 * The table of sub-operations of HVMOP_altp2m: one row each, in order of their numbers. Everything
 * else is made from it: dispatch, padding checks, policy, copying back, listing, the fuzzer's
 * grammar.
 *
 * SUBOP(number, name, since, arg, pads, out, out_size, flags, verdict, reason, summary)
 *   name      as in Xen's HVMOP_altp2m_*; the handler is subop_<name>
 *   since     first Xen release, major << 8 | minor; 0: Facet's own
 *   arg       bytes of `u` that it uses
 *   pads      bit n set: byte n of `u` must be 0, else -EINVAL
 *   out       offset and out_size of what goes back to the caller when it returns 0
 *   flags     INACTIVE  works while altp2m is off
 *             LIMITED   open to the guest itself in `limited` mode
 *             PARTIAL   `out` goes back with -ERESTART too: it holds the progress
 *             ALWAYS    `out` goes back whatever it returns
 *   verdict   of the audit, for callers inside the guest: UNAUDITED, SAFE, SAFE_WHEN_OWNED, UNSAFE
 *   reason    why; for UNAUDITED what the audit has to look at
 *
 * To add one: add the row, write the handler, write its tests.
 */

SUBOP(1, get_domain_state, 0x0406, 1, 0, 0, 1, INACTIVE, UNAUDITED,
      "tells a guest that views are in use",
      "Reads whether altp2m is active.")
SUBOP(2, set_domain_state, 0x0406, 1, 0, 0, 0, INACTIVE, UNAUDITED,
      "off destroys every view, a monitor's too; pauses all vCPUs",
      "Turns altp2m on or off. Off frees all views and turns VMFUNC and #VE off.")
SUBOP(3, vcpu_enable_notify, 0x0406, 16, 0xf0, 0, 0, LIMITED, UNAUDITED,
      "turns VMFUNC on, which user space may execute, with every visible view",
      "Gives a vCPU its #VE information page, and turns #VE and VMFUNC on for it.")
SUBOP(4, create_p2m, 0x0406, 4, 0, 0, 2, 0, UNAUDITED,
      "takes a table page and one of the domain's views",
      "Creates a view that inherits all from the host map, narrowed by a default access.")
SUBOP(5, destroy_p2m, 0x0406, 4, 0, 0, 0, 0, UNAUDITED,
      "reaches views of a monitor; pauses all vCPUs",
      "Destroys a view that no vCPU is on.")
SUBOP(6, switch_p2m, 0x0406, 4, 0, 0, 0, 0, UNAUDITED,
      "enters views of a monitor; pauses all vCPUs",
      "Puts all vCPUs of the domain on a view.")
SUBOP(7, set_mem_access, 0x0406, 16, 0xf0, 0, 0, 0, UNAUDITED,
      "view 0 is the host map; widens what the host or a monitor restricts",
      "Sets the access of one gfn in a view, or a view's default access (gfn ~0).")
SUBOP(8, change_gfn, 0x0406, 24, 0xfc, 0, 0, 0, UNAUDITED,
      "reaches views of a monitor; its access comes from the target, not from the place",
      "Lets a gfn show what is at another gfn, or (new gfn ~0) reverts all that was said of it.")
SUBOP(9, set_mem_access_multi, 0x040b, 32, 0x0c, 8, 8, 0, UNAUDITED,
      "as set_mem_access, for up to 2^32 - 1 gfns in slices",
      "Sets the access of each gfn of a list.")
SUBOP(10, set_suppress_ve, 0x040c, 16, 0xf8, 0, 0, 0, UNAUDITED,
      "view 0 is the host map; turns another's exits into #VEs",
      "Sets whether a violation at a gfn exits (1) or becomes a #VE (0).")
SUBOP(11, get_suppress_ve, 0x040c, 16, 0xf8, 2, 1, 0, UNAUDITED,
      "tells how a monitor set up its views",
      "Reads whether a violation at a gfn exits or becomes a #VE.")
SUBOP(12, get_mem_access, 0x040c, 16, 0xf0, 2, 2, 0, UNAUDITED,
      "tells how a monitor set up its views",
      "Reads the access of a gfn in a view, or a view's default access (gfn ~0).")
SUBOP(13, vcpu_disable_notify, 0x040c, 4, 0, 0, 0, 0, UNAUDITED,
      "blinds another agent on the same vCPU",
      "Turns #VE off for a vCPU and lets its information page go.")
SUBOP(14, get_p2m_idx, 0x040d, 6, 0, 4, 2, 0, UNAUDITED,
      "tells that a monitor moved the vCPU",
      "Reads which view a vCPU is on.")
SUBOP(15, set_suppress_ve_multi, 0x040e, 32, 0x08, 4, 28, PARTIAL, UNAUDITED,
      "as set_suppress_ve; one table page for each 2 MiB named",
      "Sets for a range of gfns whether violations exit or become #VEs.")
SUBOP(16, set_visibility, 0x040e, 4, 0x08, 0, 0, 0, UNAUDITED,
      "shows views that a monitor hid",
      "Shows a view to VMFUNC and switch_p2m, or hides it.")
SUBOP(0x8000, query, 0, 64, 0xffff000000000000, 4, 44, INACTIVE | LIMITED | ALWAYS, UNAUDITED,
      "tells what the caller may do; nothing of any view",
      "Lists the sub-operations, one a call.")
SUBOP(0x8001, usage, 0, 64, 0xe00000000000000c, 4, 57, INACTIVE, UNAUDITED,
      "tells how many views a monitor has, and how large",
      "Reads how much table memory a view or the domain uses.")
SUBOP(0x8002, change_gfn_range, 0, 40, 0xf0, 32, 8, ALWAYS, UNAUDITED,
      "as change_gfn, for a range in slices",
      "Remaps or reverts a range of gfns.")
SUBOP(0x8003, change_gfn_list, 0, 24, 0x0c, 16, 8, ALWAYS, UNAUDITED,
      "as change_gfn, for up to 2^32 - 1 pairs in slices",
      "Remaps or reverts each gfn of a list.")
SUBOP(0x8004, set_range, 0, 40, 0xf0, 24, 16, ALWAYS, UNAUDITED,
      "as set_mem_access and set_suppress_ve, for a range in slices",
      "Sets the access, the #VE bit, or both together over a range of gfns.")
SUBOP(0x8005, switch_vcpu, 0, 8, 0xc0, 0, 0, 0, UNAUDITED,
      "as switch_p2m, and moves the vCPUs of other agents one by one",
      "Puts one vCPU of the domain on a view.")
SUBOP(0x8006, get_overrides, 0, 40, 0xf000000c, 16, 12, 0, UNAUDITED,
      "tells all that a monitor said of its views",
      "Reads what a view has of its own in a range, as runs of gfns.")
SUBOP(0x8007, shadow_create, 0, 16, 0, 8, 8, 0, UNAUDITED,
      "takes a page of the pool; copies what another agent's view may hide",
      "Makes a page outside of the guest's map, a copy of a gfn or of zeroes.")
SUBOP(0x8008, shadow_destroy, 0, 8, 0, 0, 0, 0, UNAUDITED,
      "reaches a monitor's shadow pages",
      "Frees a shadow page that no view shows.")
SUBOP(0x8009, shadow_copy, 0, 32, 0xfe000000, 0, 0, 0, UNAUDITED,
      "reads and writes a monitor's shadow pages",
      "Reads or writes the content of a shadow page.")
SUBOP(0x800a, isolate, 0, 32, 0xe0, 24, 8, ALWAYS, UNAUDITED,
      "changes every view, a monitor's too, and the host map; pauses all vCPUs",
      "Gives gfns one access in a view and another in all others, at once.")
SUBOP(0x800b, host_changes, 0, 64, 0x0c, 4, 60, 0, UNAUDITED,
      "tells where a monitor has overrides",
      "Reads which gfns of a view the host map changed under an override.")
