/* SPDX-License-Identifier: MIT */

/*
 * Who gets what, sub-op by sub-op: written by hand and not computed, so that a slip in the table,
 * in a policy or in the order of checks shows. One line for each row of core/subops.h.
 *
 * MATRIX(name, open, grandfathered, audited, lists, off, sealed)
 *   open, grandfathered, audited
 *            for the modes disabled, mixed, external and limited, altp2m being on: what the guest
 *            itself gets, then another guest without control of it, then a monitor
 *   lists    policy audited, the guest itself: in altp2m_allow, in altp2m_deny, in both (mixed);
 *            named in altp2m_allow, in altp2m_deny (limited)
 *   off      altp2m is off, policies open and audited: the guest itself (mixed)
 *   sealed   policy audited: a guest that has sealed itself, outside of its agent's view (mixed)
 * y: let through, and what comes is the handler's; P: -EPERM; I: -EINVAL; O: -EOPNOTSUPP
 */
MATRIX(get_domain_state, "III yPy PPy PPy", "III yPy PPy PPy", "IPI yPy PPy PPy", "yPP PP", "yy",
       "y")
MATRIX(set_domain_state, "III yPy PPy PPy", "III yPy PPy PPy", "IPI yPy PPy PPy", "yPP PP", "yy",
       "P")
MATRIX(vcpu_enable_notify, "OOO yPy PPy yPy", "OOO yPy PPy yPy", "OPO yPy PPy yPy", "yPP yP", "OO",
       "P")
MATRIX(create_p2m, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(destroy_p2m, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(switch_p2m, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(set_mem_access, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(change_gfn, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(set_mem_access_multi, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP",
       "OO", "P")
MATRIX(set_suppress_ve, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO",
       "P")
MATRIX(get_suppress_ve, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO",
       "P")
MATRIX(get_mem_access, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(vcpu_disable_notify, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO",
       "P")
MATRIX(get_p2m_idx, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "y")
MATRIX(set_suppress_ve_multi, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP",
       "OO", "P")
MATRIX(set_visibility, "OOO yPy PPy PPy", "OOO yPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(query, "III yPy PPy yPy", "III yPy PPy yPy", "IPI yPy PPy yPy", "yPP yP", "yy", "y")
MATRIX(usage, "III yPy PPy PPy", "III PPy PPy PPy", "IPI yPy PPy PPy", "yPP PP", "yy", "P")
MATRIX(change_gfn_range, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO",
       "P")
MATRIX(change_gfn_list, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO",
       "P")
MATRIX(set_range, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(switch_vcpu, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(get_overrides, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(shadow_create, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO PPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(shadow_destroy, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(shadow_copy, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(isolate, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO PPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(host_changes, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(set_vmfunc, "OOO yPy PPy yPy", "OOO PPy PPy PPy", "OPO yPy PPy yPy", "yPP yP", "OO", "P")
MATRIX(seal, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(enter, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
MATRIX(pin, "OOO yPy PPy PPy", "OOO PPy PPy PPy", "OPO yPy PPy PPy", "yPP PP", "OO", "P")
