/* SPDX-License-Identifier: MIT */

/*
 * The table of sub-operations of HVMOP_altp2m: one row each, in order of their numbers. Everything
 * else is made from it and from what fields.h says of the arguments: dispatch, padding checks,
 * policy, copying back, listing, traces, the fuzzer's grammar, the names in configurations, client
 * stubs, docs/reference.md.
 *
 * SUBOP(number, name, since, arg, pads, out, out_size, flags, use, verdict, reason, test, summary)
 *   name      as in Xen's HVMOP_altp2m_*; the handler is subop_<name>
 *   since     first Xen release, major << 8 | minor; 0: Facet's own
 *   arg       bytes of `u` that it uses
 *   pads      bit n set: byte n of `u` must be 0, else -EINVAL
 *   out       offset and out_size of what goes back to the caller when it returns 0
 *   flags     INACTIVE  works while altp2m is off
 *             LIMITED   open to the guest itself in `limited` mode
 *             PARTIAL   `out` goes back with -ERESTART too: it holds the progress
 *             ALWAYS    `out` goes back whatever it returns
 *             ASKED     it changes something: whether `out` can go back is asked first
 *             ANYWHERE  a guest that has sealed itself may use it outside of its agent's view too
 *   use       what it does to the view in the first 16 bits of `u` (of switch_vcpu: the third):
 *             NO_VIEW   names none
 *             READS     a guest that is held to what it owns may name its own views and view 0
 *             ENTERS    and views that a monitor lets it enter: the handler sees to it
 *             EDITS     its own only
 *   verdict   of the audit (docs/audit.md), for callers inside the guest: UNAUDITED, SAFE,
 *             SAFE_WHEN_OWNED (if what owner.h says is enforced), UNSAFE
 *   reason    why; for UNAUDITED what the audit has to look at
 *   test      the test of tests/unit/ that backs the verdict
 *
 * To add one: docs/extending.md.
 */

SUBOP(1, get_domain_state, 0x0406, 1, 0, 0, 1, INACTIVE | ANYWHERE, NO_VIEW, SAFE_WHEN_OWNED,
      "tells whether views are in use; owned: only whether the guest itself turned them on",
      state_is_each_owners_own, "Reads whether altp2m is active.")
SUBOP(2, set_domain_state, 0x0406, 1, 0, 0, 0, INACTIVE, NO_VIEW, SAFE_WHEN_OWNED,
      "off destroys every view; owned: the guest's own, and altp2m stays on for a monitor",
      state_is_each_owners_own,
      "Turns altp2m on or off. Off frees all views and turns VMFUNC and #VE off.")
SUBOP(3, vcpu_enable_notify, 0x0406, 16, 0xf0, 0, 0, LIMITED, NO_VIEW, SAFE_WHEN_OWNED,
      "turns VMFUNC on, which user space may execute, and has the processor write to a gfn; "
      "owned: #VE only, and to writable memory only",
      notify_turns_on_ve_only,
      "Gives a vCPU its #VE information page, and turns #VE and VMFUNC on for it.")
SUBOP(4, create_p2m, 0x0406, 4, 0, 0, 2, 0, NO_VIEW, SAFE_WHEN_OWNED,
      "takes views and table pages; owned: within the guest's quota", creates_within_quota,
      "Creates a view that inherits all from the host map, narrowed by a default access.")
SUBOP(5, destroy_p2m, 0x0406, 4, 0, 0, 0, 0, EDITS, SAFE_WHEN_OWNED,
      "destroys a monitor's views; owned: they are absent", others_views_are_absent,
      "Destroys a view that no vCPU is on.")
SUBOP(6, switch_p2m, 0x0406, 4, 0, 0, 0, 0, ENTERS, SAFE_WHEN_OWNED,
      "enters and leaves a monitor's views; owned: enters what it was given, moves no vCPU "
      "that a monitor holds",
      enters_what_it_may, "Puts all vCPUs of the domain on a view.")
SUBOP(7, set_mem_access, 0x0406, 16, 0xf0, 0, 0, 0, EDITS, SAFE_WHEN_OWNED,
      "widens what the host map or a monitor restricts; owned: its own views, which only "
      "narrow",
      narrows_only, "Sets the access of one gfn in a view, or a view's default access (gfn ~0).")
SUBOP(8, change_gfn, 0x0406, 24, 0xfc, 0, 0, 0, EDITS, SAFE_WHEN_OWNED,
      "shows a frame at another gfn; owned: its own views, with no more than the host map "
      "gives at the frame's own gfn",
      remaps_narrow_too,
      "Lets a gfn show what is at another gfn, or (new gfn ~0) reverts all that was said of it.")
SUBOP(9, set_mem_access_multi, 0x040b, 32, 0x0c, 8, 8, ASKED, EDITS, SAFE_WHEN_OWNED,
      "as set_mem_access, for up to 2^32 - 1 gfns in slices", narrows_only,
      "Sets the access of each gfn of a list.")
SUBOP(10, set_suppress_ve, 0x040c, 16, 0xf8, 0, 0, 0, EDITS, SAFE_WHEN_OWNED,
      "turns a monitor's exits into #VEs; owned: where the host map restricts, exits stay",
      exits_stay_exits, "Sets whether a violation at a gfn exits (1) or becomes a #VE (0).")
SUBOP(11, get_suppress_ve, 0x040c, 16, 0xf8, 2, 1, 0, READS, SAFE_WHEN_OWNED,
      "tells how a monitor set up its views; owned: its own and the host map",
      others_views_are_absent, "Reads whether a violation at a gfn exits or becomes a #VE.")
SUBOP(12, get_mem_access, 0x040c, 16, 0xf0, 2, 2, 0, READS, SAFE_WHEN_OWNED,
      "tells how a monitor set up its views; owned: its own and the host map",
      others_views_are_absent,
      "Reads the access of a gfn in a view, or a view's default access (gfn ~0).")
SUBOP(13, vcpu_disable_notify, 0x040c, 4, 0, 0, 0, 0, NO_VIEW, SAFE_WHEN_OWNED,
      "blinds another agent on the vCPU; owned: not what a monitor turned on",
      notify_turns_on_ve_only, "Turns #VE off for a vCPU and lets its information page go.")
SUBOP(14, get_p2m_idx, 0x040d, 6, 0, 4, 2, ANYWHERE, NO_VIEW, SAFE_WHEN_OWNED,
      "tells where a monitor put the vCPU; owned: -EPERM while a monitor holds it",
      enters_what_it_may, "Reads which view a vCPU is on.")
SUBOP(15, set_suppress_ve_multi, 0x040e, 32, 0x08, 4, 28, PARTIAL | ASKED, EDITS, SAFE_WHEN_OWNED,
      "as set_suppress_ve, for a range in slices", exits_stay_exits,
      "Sets for a range of gfns whether violations exit or become #VEs.")
SUBOP(16, set_visibility, 0x040e, 4, 0x08, 0, 0, 0, EDITS, SAFE_WHEN_OWNED,
      "shows views that a monitor hid; owned: its own", others_views_are_absent,
      "Shows a view to VMFUNC and switch_p2m, or hides it.")
SUBOP(0x8000, query, 0, 64, 0xffff000000000000, 4, 50, INACTIVE | LIMITED | ALWAYS | ANYWHERE,
      NO_VIEW, SAFE, "tells what the caller may do and nothing of any view", query_says_why,
      "Lists the sub-operations, one a call.")
SUBOP(0x8001, usage, 0, 64, 0x200000000000000c, 4, 60, INACTIVE, EDITS, SAFE_WHEN_OWNED,
      "tells how many views a monitor has, and how large; owned: its own, and its quota",
      usage_tells_own, "Reads how much table memory a view or the domain uses.")
SUBOP(0x8002, change_gfn_range, 0, 40, 0xf0, 32, 8, ALWAYS | ASKED, EDITS, SAFE_WHEN_OWNED,
      "as change_gfn, for a range in slices", remaps_narrow_too,
      "Remaps or reverts a range of gfns.")
SUBOP(0x8003, change_gfn_list, 0, 24, 0x0c, 16, 8, ALWAYS | ASKED, EDITS, SAFE_WHEN_OWNED,
      "as change_gfn, for up to 2^32 - 1 pairs in slices", remaps_narrow_too,
      "Remaps or reverts each gfn of a list.")
SUBOP(0x8004, set_range, 0, 40, 0xf0, 24, 16, ALWAYS | ASKED, EDITS, SAFE_WHEN_OWNED,
      "as set_mem_access and set_suppress_ve, for a range in slices", narrows_only,
      "Sets the access, the #VE bit, or both together over a range of gfns.")
SUBOP(0x8005, switch_vcpu, 0, 8, 0xc0, 0, 0, 0, ENTERS, SAFE_WHEN_OWNED,
      "as switch_p2m, for one vCPU", enters_what_it_may, "Puts one vCPU of the domain on a view.")
SUBOP(0x8006, get_overrides, 0, 40, 0xf000000c, 16, 12, 0, EDITS, SAFE_WHEN_OWNED,
      "tells all that a monitor said of its views; owned: its own, not view 0",
      others_views_are_absent, "Reads what a view has of its own in a range, as runs of gfns.")
SUBOP(0x8007, shadow_create, 0, 16, 0, 8, 8, 0, NO_VIEW, UNSAFE,
      "names a page by its place in the pool, which tells what a monitor uses of it; where "
      "allowed all the same: within the quota, and only what the guest may read is copied",
      unsafe_is_denied, "Makes a page outside of the guest's map, a copy of a gfn or of zeroes.")
SUBOP(0x8008, shadow_destroy, 0, 8, 0, 0, 0, 0, NO_VIEW, SAFE_WHEN_OWNED,
      "frees a monitor's shadow pages; owned: they are absent", shadows_are_owned,
      "Frees a shadow page that no view shows.")
SUBOP(0x8009, shadow_copy, 0, 32, 0xfe000000, 0, 0, 0, NO_VIEW, SAFE_WHEN_OWNED,
      "reads and writes a monitor's shadow pages; owned: they are absent", shadows_are_owned,
      "Reads or writes the content of a shadow page.")
SUBOP(0x800a, isolate, 0, 32, 0xe0, 24, 8, ALWAYS | ASKED, EDITS, UNSAFE,
      "changes the host map, and what a monitor said in its views", unsafe_is_denied,
      "Gives gfns one access in a view and another in all others, at once.")
SUBOP(0x800b, host_changes, 0, 64, 0x0c, 4, 60, 0, EDITS, SAFE_WHEN_OWNED,
      "tells what a monitor overrides in its views; owned: its own", others_views_are_absent,
      "Reads which gfns of a view the host map changed under an override.")
SUBOP(0x800c, set_vmfunc, 0, 8, 0xe0, 0, 0, LIMITED, NO_VIEW, SAFE_WHEN_OWNED,
      "user space may execute VMFUNC; owned: its list holds only what the guest may enter, and "
      "none while a monitor holds the vCPU",
      vmfunc_is_asked_for, "Turns VMFUNC on or off for a vCPU.")
SUBOP(0x800d, seal, 0, 8, 0xf0, 0, 0, 0, EDITS, SAFE_WHEN_OWNED,
      "shuts the rest of the guest out of altp2m and view 0; owned: its own views and calls only, "
      "and a monitor undoes it",
      seals_itself_only,
      "Takes altp2m calls from one view of the guest only, or (all ones) from everywhere again.")
SUBOP(0x800e, enter, 0, 56, 0xf000000000000c, 0, 0, 0, EDITS, SAFE_WHEN_OWNED,
      "has the guest enter a view with registers that were given before; owned: its own, before "
      "it is sealed, and off no view that a monitor holds",
      enters_where_it_said, "Registers the one place where a vCPU enters a sealed guest's agent.")
SUBOP(0x800f, pin, 0, 40, 0xe0, 8, 32, ASKED, NO_VIEW, SAFE_WHEN_OWNED,
      "keeps registers as they are, against the guest's own kernel; owned: from the agent of a "
      "sealed guest only, and a monitor is not bound",
      pins_bind_the_guest_only,
      "Keeps registers of a vCPU as they are, whatever the guest's kernel writes.")
