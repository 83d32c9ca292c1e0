/* SPDX-License-Identifier: MIT */

/*
 * What the arguments of the sub-operations consist of. Offsets and sizes come from the structs.
 * From here come the union of arguments (subop.h), where the view stands that ownership is about
 * (altp2m.c), traces, the fuzzer's grammar, the client stubs and the tables of docs/reference.md.
 *
 * ARGUMENT(name, type)
 *   the struct that is the argument of the sub-op `name`
 * FIELD(name, member, way, kind)
 *   in order of their offsets; bytes of no field are padding
 *   way    IN, OUT, INOUT
 *   kind   VIEW      number of a view
 *          VCPU      number of a vCPU
 *          GFN       gfn, or what stands for one: a shadow page's name, all ones
 *          ACCESS    xenmem_access_t
 *          SWITCH    0 or 1, or FACET_ALTP2M_LEAVE
 *          FLAGS     bits
 *          COUNT     gfns, entries, bytes, pages
 *          NUMBER    any other number
 *          PROGRESS  0 at first; the sub-op's own
 *          ERROR     negative errno
 *          LIST      linear address of what the sub-op reads
 *          BUFFER    linear address of what it may write
 *          HANDLE    a LIST, in Xen's type for it
 *          BYTES     an array
 * VIEW_FIELD(name, member)
 *   a FIELD that is IN and a VIEW: the one that the row's `use` is about
 */
#ifndef ARGUMENT
#define ARGUMENT(name, type)
#endif
#ifndef FIELD
#define FIELD(name, member, way, kind)
#endif
#ifndef VIEW_FIELD
#define VIEW_FIELD(name, member) FIELD(name, member, IN, VIEW)
#endif

ARGUMENT(get_domain_state, struct xen_hvm_altp2m_domain_state)
FIELD(get_domain_state, state, OUT, SWITCH)

ARGUMENT(set_domain_state, struct xen_hvm_altp2m_domain_state)
FIELD(set_domain_state, state, IN, SWITCH)

ARGUMENT(vcpu_enable_notify, struct xen_hvm_altp2m_vcpu_enable_notify)
FIELD(vcpu_enable_notify, vcpu_id, IN, VCPU)
FIELD(vcpu_enable_notify, gfn, IN, GFN)

ARGUMENT(create_p2m, struct xen_hvm_altp2m_view)
FIELD(create_p2m, view, OUT, VIEW)
FIELD(create_p2m, hvmmem_default_access, IN, ACCESS)

ARGUMENT(destroy_p2m, struct xen_hvm_altp2m_view)
VIEW_FIELD(destroy_p2m, view)

ARGUMENT(switch_p2m, struct xen_hvm_altp2m_view)
VIEW_FIELD(switch_p2m, view)

ARGUMENT(set_mem_access, struct xen_hvm_altp2m_mem_access)
VIEW_FIELD(set_mem_access, view)
FIELD(set_mem_access, access, IN, ACCESS)
FIELD(set_mem_access, gfn, IN, GFN)

ARGUMENT(change_gfn, struct xen_hvm_altp2m_change_gfn)
VIEW_FIELD(change_gfn, view)
FIELD(change_gfn, old_gfn, IN, GFN)
FIELD(change_gfn, new_gfn, IN, GFN)

ARGUMENT(set_mem_access_multi, struct xen_hvm_altp2m_set_mem_access_multi)
VIEW_FIELD(set_mem_access_multi, view)
FIELD(set_mem_access_multi, nr, IN, COUNT)
FIELD(set_mem_access_multi, opaque, INOUT, PROGRESS)
FIELD(set_mem_access_multi, pfn_list, IN, HANDLE)
FIELD(set_mem_access_multi, access_list, IN, HANDLE)

ARGUMENT(set_suppress_ve, struct xen_hvm_altp2m_suppress_ve)
VIEW_FIELD(set_suppress_ve, view)
FIELD(set_suppress_ve, suppress_ve, IN, SWITCH)
FIELD(set_suppress_ve, gfn, IN, GFN)

ARGUMENT(get_suppress_ve, struct xen_hvm_altp2m_suppress_ve)
VIEW_FIELD(get_suppress_ve, view)
FIELD(get_suppress_ve, suppress_ve, OUT, SWITCH)
FIELD(get_suppress_ve, gfn, IN, GFN)

ARGUMENT(get_mem_access, struct xen_hvm_altp2m_mem_access)
VIEW_FIELD(get_mem_access, view)
FIELD(get_mem_access, access, OUT, ACCESS)
FIELD(get_mem_access, gfn, IN, GFN)

ARGUMENT(vcpu_disable_notify, struct xen_hvm_altp2m_vcpu_disable_notify)
FIELD(vcpu_disable_notify, vcpu_id, IN, VCPU)

ARGUMENT(get_p2m_idx, struct xen_hvm_altp2m_get_vcpu_p2m_idx)
FIELD(get_p2m_idx, vcpu_id, IN, VCPU)
FIELD(get_p2m_idx, altp2m_idx, OUT, VIEW)

ARGUMENT(set_suppress_ve_multi, struct xen_hvm_altp2m_suppress_ve_multi)
VIEW_FIELD(set_suppress_ve_multi, view)
FIELD(set_suppress_ve_multi, suppress_ve, IN, SWITCH)
FIELD(set_suppress_ve_multi, first_error, OUT, ERROR)
FIELD(set_suppress_ve_multi, first_gfn, INOUT, GFN)
FIELD(set_suppress_ve_multi, last_gfn, INOUT, GFN)
FIELD(set_suppress_ve_multi, first_error_gfn, OUT, GFN)

ARGUMENT(set_visibility, struct xen_hvm_altp2m_set_visibility)
VIEW_FIELD(set_visibility, altp2m_idx)
FIELD(set_visibility, visible, IN, SWITCH)

ARGUMENT(query, struct facet_altp2m_query)
FIELD(query, index, IN, NUMBER)
FIELD(query, number, OUT, COUNT)
FIELD(query, cmd, OUT, NUMBER)
FIELD(query, flags, OUT, FLAGS)
FIELD(query, verdict, OUT, NUMBER)
FIELD(query, since, OUT, NUMBER)
FIELD(query, name, OUT, BYTES)
FIELD(query, why, OUT, NUMBER)
FIELD(query, accesses, OUT, FLAGS)
FIELD(query, narrowed, OUT, FLAGS)

ARGUMENT(usage, struct facet_altp2m_usage)
VIEW_FIELD(usage, view)
FIELD(usage, tables, OUT, COUNT)
FIELD(usage, overrides, OUT, COUNT)
FIELD(usage, remaps, OUT, COUNT)
FIELD(usage, quota, OUT, COUNT)
FIELD(usage, pool_pages, OUT, COUNT)
FIELD(usage, pool_free, OUT, COUNT)
FIELD(usage, pool_reserve, OUT, COUNT)
FIELD(usage, pool_fixed, OUT, COUNT)
FIELD(usage, host_tables, OUT, COUNT)
FIELD(usage, host_changes, OUT, COUNT)
FIELD(usage, lost, OUT, COUNT)
FIELD(usage, default_access, OUT, ACCESS)
FIELD(usage, vcpus, OUT, COUNT)
FIELD(usage, views, OUT, COUNT)
FIELD(usage, max_views, OUT, COUNT)
FIELD(usage, relaxed, OUT, COUNT)
FIELD(usage, visible, OUT, SWITCH)
FIELD(usage, lent, OUT, COUNT)

ARGUMENT(change_gfn_range, struct facet_altp2m_change_gfn_range)
VIEW_FIELD(change_gfn_range, view)
FIELD(change_gfn_range, flags, IN, FLAGS)
FIELD(change_gfn_range, old_gfn, IN, GFN)
FIELD(change_gfn_range, new_gfn, IN, GFN)
FIELD(change_gfn_range, nr, IN, COUNT)
FIELD(change_gfn_range, done, INOUT, PROGRESS)

ARGUMENT(change_gfn_list, struct facet_altp2m_change_gfn_list)
VIEW_FIELD(change_gfn_list, view)
FIELD(change_gfn_list, nr, IN, COUNT)
FIELD(change_gfn_list, list, IN, LIST)
FIELD(change_gfn_list, done, INOUT, PROGRESS)

ARGUMENT(set_range, struct facet_altp2m_set_range)
VIEW_FIELD(set_range, view)
FIELD(set_range, access, IN, ACCESS)
FIELD(set_range, suppress_ve, IN, SWITCH)
FIELD(set_range, first_gfn, IN, GFN)
FIELD(set_range, nr, IN, COUNT)
FIELD(set_range, done, INOUT, PROGRESS)
FIELD(set_range, skipped, INOUT, PROGRESS)

ARGUMENT(switch_vcpu, struct facet_altp2m_switch_vcpu)
FIELD(switch_vcpu, vcpu, IN, VCPU)
VIEW_FIELD(switch_vcpu, view)

ARGUMENT(get_overrides, struct facet_altp2m_get_overrides)
VIEW_FIELD(get_overrides, view)
FIELD(get_overrides, nr, IN, COUNT)
FIELD(get_overrides, list, IN, BUFFER)
FIELD(get_overrides, first_gfn, INOUT, GFN)
FIELD(get_overrides, written, OUT, COUNT)
FIELD(get_overrides, last_gfn, IN, GFN)

ARGUMENT(shadow_create, struct facet_altp2m_shadow_create)
FIELD(shadow_create, source_gfn, IN, GFN)
FIELD(shadow_create, gfn, OUT, GFN)

ARGUMENT(shadow_destroy, struct facet_altp2m_shadow_destroy)
FIELD(shadow_destroy, gfn, IN, GFN)

ARGUMENT(shadow_copy, struct facet_altp2m_shadow_copy)
FIELD(shadow_copy, gfn, IN, GFN)
FIELD(shadow_copy, buffer, IN, BUFFER)
FIELD(shadow_copy, offset, IN, NUMBER)
FIELD(shadow_copy, length, IN, COUNT)
FIELD(shadow_copy, write, IN, SWITCH)

ARGUMENT(isolate, struct facet_altp2m_isolate)
VIEW_FIELD(isolate, view)
FIELD(isolate, access, IN, ACCESS)
FIELD(isolate, others, IN, ACCESS)
FIELD(isolate, suppress_ve, IN, SWITCH)
FIELD(isolate, first_gfn, IN, GFN)
FIELD(isolate, nr, IN, COUNT)
FIELD(isolate, skipped, OUT, COUNT)

ARGUMENT(host_changes, struct facet_altp2m_host_changes)
VIEW_FIELD(host_changes, view)
FIELD(host_changes, count, OUT, COUNT)
FIELD(host_changes, gfns, OUT, BYTES)

ARGUMENT(set_vmfunc, struct facet_altp2m_set_vmfunc)
FIELD(set_vmfunc, vcpu, IN, VCPU)
FIELD(set_vmfunc, on, IN, SWITCH)

ARGUMENT(seal, struct facet_altp2m_seal)
VIEW_FIELD(seal, agent_view)
FIELD(seal, start_view, IN, VIEW)

ARGUMENT(enter, struct facet_altp2m_enter)
VIEW_FIELD(enter, view)
FIELD(enter, vcpu, IN, VCPU)
FIELD(enter, rip, IN, NUMBER)
FIELD(enter, rsp, IN, NUMBER)
FIELD(enter, cr3, IN, NUMBER)
FIELD(enter, gdt, IN, NUMBER)
FIELD(enter, idt, IN, NUMBER)
FIELD(enter, gdt_limit, IN, NUMBER)
FIELD(enter, idt_limit, IN, NUMBER)

ARGUMENT(pin, struct facet_altp2m_pin)
FIELD(pin, vcpu, IN, VCPU)
FIELD(pin, on, IN, SWITCH)
FIELD(pin, cr0, INOUT, FLAGS)
FIELD(pin, cr4, INOUT, FLAGS)
FIELD(pin, efer, INOUT, FLAGS)
FIELD(pin, registers, INOUT, FLAGS)
FIELD(pin, refused, OUT, COUNT)

#undef ARGUMENT
#undef FIELD
#undef VIEW_FIELD
