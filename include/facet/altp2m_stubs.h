/* SPDX-License-Identifier: MIT */
/* Made by `make stubs` from core/subops.h and core/fields.h. Do not edit. */
#pragma once

/*
 * One function per sub-operation of HVMOP_altp2m, Xen's and Facet's, for any caller that can make
 * hypercalls: no libc, no state. Include Xen's hvm/hvm_op.h and facet/hvmop.h first.
 *
 * Each returns what the hypercall returns: 0 or a negative errno. What a pointer leads to is sent
 * as it is and is afterwards what the hypervisor left there, whatever is returned. Addresses of
 * lists and buffers are linear addresses of the caller.
 */

struct altp2m_stub {
    /* Makes the hypercall hvm_op (34). */
    long (*hvm_op)(void *context, unsigned op, void *arg);
    void *context;
    uint16_t domain; /* whom calls are about: DOMID_SELF, or another */
};

union altp2m_stub_argument {
    uint8_t pad[64];
    struct xen_hvm_altp2m_domain_state get_domain_state;
    struct xen_hvm_altp2m_domain_state set_domain_state;
    struct xen_hvm_altp2m_vcpu_enable_notify vcpu_enable_notify;
    struct xen_hvm_altp2m_view create_p2m;
    struct xen_hvm_altp2m_view destroy_p2m;
    struct xen_hvm_altp2m_view switch_p2m;
    struct xen_hvm_altp2m_mem_access set_mem_access;
    struct xen_hvm_altp2m_change_gfn change_gfn;
    struct xen_hvm_altp2m_set_mem_access_multi set_mem_access_multi;
    struct xen_hvm_altp2m_suppress_ve set_suppress_ve;
    struct xen_hvm_altp2m_suppress_ve get_suppress_ve;
    struct xen_hvm_altp2m_mem_access get_mem_access;
    struct xen_hvm_altp2m_vcpu_disable_notify vcpu_disable_notify;
    struct xen_hvm_altp2m_get_vcpu_p2m_idx get_p2m_idx;
    struct xen_hvm_altp2m_suppress_ve_multi set_suppress_ve_multi;
    struct xen_hvm_altp2m_set_visibility set_visibility;
    struct facet_altp2m_query query;
    struct facet_altp2m_usage usage;
    struct facet_altp2m_change_gfn_range change_gfn_range;
    struct facet_altp2m_change_gfn_list change_gfn_list;
    struct facet_altp2m_set_range set_range;
    struct facet_altp2m_switch_vcpu switch_vcpu;
    struct facet_altp2m_get_overrides get_overrides;
    struct facet_altp2m_shadow_create shadow_create;
    struct facet_altp2m_shadow_destroy shadow_destroy;
    struct facet_altp2m_shadow_copy shadow_copy;
    struct facet_altp2m_isolate isolate;
    struct facet_altp2m_host_changes host_changes;
    struct facet_altp2m_set_vmfunc set_vmfunc;
    struct facet_altp2m_seal seal;
    struct facet_altp2m_enter enter;
    struct facet_altp2m_pin pin;
};

/* struct xen_hvm_altp2m_op with Facet's arguments. It is filled in where it is sent from: nothing is
 * copied, and no function of a library called. */
struct altp2m_stub_op {
    uint32_t version, cmd;
    uint16_t domain, pad1;
    uint32_t pad2;
    union altp2m_stub_argument u;
};
typedef char altp2m_stub_op_is_xens
    [sizeof(struct altp2m_stub_op) == sizeof(struct xen_hvm_altp2m_op) ? 1 : -1];

/* `cmd` and its argument are there. */
static inline long altp2m_stub_call(const struct altp2m_stub *s, struct altp2m_stub_op *op)
{
    op->version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op->domain = s->domain;
    return s->hvm_op(s->context, HVMOP_altp2m, op);
}

/* Reads whether altp2m is active. */
static inline long altp2m_stub_get_domain_state(
    const struct altp2m_stub *s, uint8_t *state)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = HVMOP_altp2m_get_domain_state;
    op.u.get_domain_state.state = *state;
    rc = altp2m_stub_call(s, &op);
    *state = op.u.get_domain_state.state;
    return rc;
}

/* Turns altp2m on or off. Off frees all views and turns VMFUNC and #VE off. */
static inline long altp2m_stub_set_domain_state(
    const struct altp2m_stub *s, uint8_t state)
{
    struct altp2m_stub_op op = {0};

    op.cmd = HVMOP_altp2m_set_domain_state;
    op.u.set_domain_state.state = state;
    return altp2m_stub_call(s, &op);
}

/* Gives a vCPU its #VE information page, and turns #VE and VMFUNC on for it. */
static inline long altp2m_stub_vcpu_enable_notify(
    const struct altp2m_stub *s, uint32_t vcpu_id, uint64_t gfn)
{
    struct altp2m_stub_op op = {0};

    op.cmd = HVMOP_altp2m_vcpu_enable_notify;
    op.u.vcpu_enable_notify.vcpu_id = vcpu_id;
    op.u.vcpu_enable_notify.gfn = gfn;
    return altp2m_stub_call(s, &op);
}

/* Creates a view that inherits all from the host map, narrowed by a default access. */
static inline long altp2m_stub_create_p2m(
    const struct altp2m_stub *s, uint16_t *view, uint16_t hvmmem_default_access)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = HVMOP_altp2m_create_p2m;
    op.u.create_p2m.view = *view;
    op.u.create_p2m.hvmmem_default_access = hvmmem_default_access;
    rc = altp2m_stub_call(s, &op);
    *view = op.u.create_p2m.view;
    return rc;
}

/* Destroys a view that no vCPU is on. */
static inline long altp2m_stub_destroy_p2m(
    const struct altp2m_stub *s, uint16_t view)
{
    struct altp2m_stub_op op = {0};

    op.cmd = HVMOP_altp2m_destroy_p2m;
    op.u.destroy_p2m.view = view;
    return altp2m_stub_call(s, &op);
}

/* Puts all vCPUs of the domain on a view. */
static inline long altp2m_stub_switch_p2m(
    const struct altp2m_stub *s, uint16_t view)
{
    struct altp2m_stub_op op = {0};

    op.cmd = HVMOP_altp2m_switch_p2m;
    op.u.switch_p2m.view = view;
    return altp2m_stub_call(s, &op);
}

/* Sets the access of one gfn in a view, or a view's default access (gfn ~0). */
static inline long altp2m_stub_set_mem_access(
    const struct altp2m_stub *s, uint16_t view, uint16_t access, uint64_t gfn)
{
    struct altp2m_stub_op op = {0};

    op.cmd = HVMOP_altp2m_set_mem_access;
    op.u.set_mem_access.view = view;
    op.u.set_mem_access.access = access;
    op.u.set_mem_access.gfn = gfn;
    return altp2m_stub_call(s, &op);
}

/* Lets a gfn show what is at another gfn, or (new gfn ~0) reverts all that was said of it. */
static inline long altp2m_stub_change_gfn(
    const struct altp2m_stub *s, uint16_t view, uint64_t old_gfn, uint64_t new_gfn)
{
    struct altp2m_stub_op op = {0};

    op.cmd = HVMOP_altp2m_change_gfn;
    op.u.change_gfn.view = view;
    op.u.change_gfn.old_gfn = old_gfn;
    op.u.change_gfn.new_gfn = new_gfn;
    return altp2m_stub_call(s, &op);
}

/* Sets the access of each gfn of a list. */
static inline long altp2m_stub_set_mem_access_multi(
    const struct altp2m_stub *s, uint16_t view, uint32_t nr, uint64_t *opaque, const void *pfn_list,
    const void *access_list)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = HVMOP_altp2m_set_mem_access_multi;
    op.u.set_mem_access_multi.view = view;
    op.u.set_mem_access_multi.nr = nr;
    op.u.set_mem_access_multi.opaque = *opaque;
    set_xen_guest_handle(op.u.set_mem_access_multi.pfn_list, pfn_list);
    set_xen_guest_handle(op.u.set_mem_access_multi.access_list, access_list);
    rc = altp2m_stub_call(s, &op);
    *opaque = op.u.set_mem_access_multi.opaque;
    return rc;
}

/* Sets whether a violation at a gfn exits (1) or becomes a #VE (0). */
static inline long altp2m_stub_set_suppress_ve(
    const struct altp2m_stub *s, uint16_t view, uint8_t suppress_ve, uint64_t gfn)
{
    struct altp2m_stub_op op = {0};

    op.cmd = HVMOP_altp2m_set_suppress_ve;
    op.u.set_suppress_ve.view = view;
    op.u.set_suppress_ve.suppress_ve = suppress_ve;
    op.u.set_suppress_ve.gfn = gfn;
    return altp2m_stub_call(s, &op);
}

/* Reads whether a violation at a gfn exits or becomes a #VE. */
static inline long altp2m_stub_get_suppress_ve(
    const struct altp2m_stub *s, uint16_t view, uint8_t *suppress_ve, uint64_t gfn)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = HVMOP_altp2m_get_suppress_ve;
    op.u.get_suppress_ve.view = view;
    op.u.get_suppress_ve.suppress_ve = *suppress_ve;
    op.u.get_suppress_ve.gfn = gfn;
    rc = altp2m_stub_call(s, &op);
    *suppress_ve = op.u.get_suppress_ve.suppress_ve;
    return rc;
}

/* Reads the access of a gfn in a view, or a view's default access (gfn ~0). */
static inline long altp2m_stub_get_mem_access(
    const struct altp2m_stub *s, uint16_t view, uint16_t *access, uint64_t gfn)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = HVMOP_altp2m_get_mem_access;
    op.u.get_mem_access.view = view;
    op.u.get_mem_access.access = *access;
    op.u.get_mem_access.gfn = gfn;
    rc = altp2m_stub_call(s, &op);
    *access = op.u.get_mem_access.access;
    return rc;
}

/* Turns #VE off for a vCPU and lets its information page go. */
static inline long altp2m_stub_vcpu_disable_notify(
    const struct altp2m_stub *s, uint32_t vcpu_id)
{
    struct altp2m_stub_op op = {0};

    op.cmd = HVMOP_altp2m_vcpu_disable_notify;
    op.u.vcpu_disable_notify.vcpu_id = vcpu_id;
    return altp2m_stub_call(s, &op);
}

/* Reads which view a vCPU is on. */
static inline long altp2m_stub_get_p2m_idx(
    const struct altp2m_stub *s, uint32_t vcpu_id, uint16_t *altp2m_idx)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = HVMOP_altp2m_get_p2m_idx;
    op.u.get_p2m_idx.vcpu_id = vcpu_id;
    op.u.get_p2m_idx.altp2m_idx = *altp2m_idx;
    rc = altp2m_stub_call(s, &op);
    *altp2m_idx = op.u.get_p2m_idx.altp2m_idx;
    return rc;
}

/* Sets for a range of gfns whether violations exit or become #VEs. */
static inline long altp2m_stub_set_suppress_ve_multi(
    const struct altp2m_stub *s, uint16_t view, uint8_t suppress_ve, int32_t *first_error,
    uint64_t *first_gfn, uint64_t *last_gfn, uint64_t *first_error_gfn)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = HVMOP_altp2m_set_suppress_ve_multi;
    op.u.set_suppress_ve_multi.view = view;
    op.u.set_suppress_ve_multi.suppress_ve = suppress_ve;
    op.u.set_suppress_ve_multi.first_error = *first_error;
    op.u.set_suppress_ve_multi.first_gfn = *first_gfn;
    op.u.set_suppress_ve_multi.last_gfn = *last_gfn;
    op.u.set_suppress_ve_multi.first_error_gfn = *first_error_gfn;
    rc = altp2m_stub_call(s, &op);
    *first_error = op.u.set_suppress_ve_multi.first_error;
    *first_gfn = op.u.set_suppress_ve_multi.first_gfn;
    *last_gfn = op.u.set_suppress_ve_multi.last_gfn;
    *first_error_gfn = op.u.set_suppress_ve_multi.first_error_gfn;
    return rc;
}

/* Shows a view to VMFUNC and switch_p2m, or hides it. */
static inline long altp2m_stub_set_visibility(
    const struct altp2m_stub *s, uint16_t altp2m_idx, uint8_t visible)
{
    struct altp2m_stub_op op = {0};

    op.cmd = HVMOP_altp2m_set_visibility;
    op.u.set_visibility.altp2m_idx = altp2m_idx;
    op.u.set_visibility.visible = visible;
    return altp2m_stub_call(s, &op);
}

/* Lists the sub-operations, one a call. */
static inline long altp2m_stub_query(
    const struct altp2m_stub *s, struct facet_altp2m_query *u)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = FACET_ALTP2M_query;
    op.u.query = *u;
    rc = altp2m_stub_call(s, &op);
    *u = op.u.query;
    return rc;
}

/* Reads how much table memory a view or the domain uses. */
static inline long altp2m_stub_usage(
    const struct altp2m_stub *s, struct facet_altp2m_usage *u)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = FACET_ALTP2M_usage;
    op.u.usage = *u;
    rc = altp2m_stub_call(s, &op);
    *u = op.u.usage;
    return rc;
}

/* Remaps or reverts a range of gfns. */
static inline long altp2m_stub_change_gfn_range(
    const struct altp2m_stub *s, uint16_t view, uint16_t flags, uint64_t old_gfn, uint64_t new_gfn,
    uint64_t nr, uint64_t *done)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = FACET_ALTP2M_change_gfn_range;
    op.u.change_gfn_range.view = view;
    op.u.change_gfn_range.flags = flags;
    op.u.change_gfn_range.old_gfn = old_gfn;
    op.u.change_gfn_range.new_gfn = new_gfn;
    op.u.change_gfn_range.nr = nr;
    op.u.change_gfn_range.done = *done;
    rc = altp2m_stub_call(s, &op);
    *done = op.u.change_gfn_range.done;
    return rc;
}

/* Remaps or reverts each gfn of a list. */
static inline long altp2m_stub_change_gfn_list(
    const struct altp2m_stub *s, uint16_t view, uint32_t nr, const void *list, uint64_t *done)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = FACET_ALTP2M_change_gfn_list;
    op.u.change_gfn_list.view = view;
    op.u.change_gfn_list.nr = nr;
    op.u.change_gfn_list.list = (uint64_t)(uintptr_t)list;
    op.u.change_gfn_list.done = *done;
    rc = altp2m_stub_call(s, &op);
    *done = op.u.change_gfn_list.done;
    return rc;
}

/* Sets the access, the #VE bit, or both together over a range of gfns. */
static inline long altp2m_stub_set_range(
    const struct altp2m_stub *s, uint16_t view, uint8_t access, uint8_t suppress_ve,
    uint64_t first_gfn, uint64_t nr, uint64_t *done, uint64_t *skipped)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = FACET_ALTP2M_set_range;
    op.u.set_range.view = view;
    op.u.set_range.access = access;
    op.u.set_range.suppress_ve = suppress_ve;
    op.u.set_range.first_gfn = first_gfn;
    op.u.set_range.nr = nr;
    op.u.set_range.done = *done;
    op.u.set_range.skipped = *skipped;
    rc = altp2m_stub_call(s, &op);
    *done = op.u.set_range.done;
    *skipped = op.u.set_range.skipped;
    return rc;
}

/* Puts one vCPU of the domain on a view. */
static inline long altp2m_stub_switch_vcpu(
    const struct altp2m_stub *s, uint32_t vcpu, uint16_t view)
{
    struct altp2m_stub_op op = {0};

    op.cmd = FACET_ALTP2M_switch_vcpu;
    op.u.switch_vcpu.vcpu = vcpu;
    op.u.switch_vcpu.view = view;
    return altp2m_stub_call(s, &op);
}

/* Reads what a view has of its own in a range, as runs of gfns. */
static inline long altp2m_stub_get_overrides(
    const struct altp2m_stub *s, uint16_t view, uint32_t nr, void *list, uint64_t *first_gfn,
    uint32_t *written, uint64_t last_gfn)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = FACET_ALTP2M_get_overrides;
    op.u.get_overrides.view = view;
    op.u.get_overrides.nr = nr;
    op.u.get_overrides.list = (uint64_t)(uintptr_t)list;
    op.u.get_overrides.first_gfn = *first_gfn;
    op.u.get_overrides.written = *written;
    op.u.get_overrides.last_gfn = last_gfn;
    rc = altp2m_stub_call(s, &op);
    *first_gfn = op.u.get_overrides.first_gfn;
    *written = op.u.get_overrides.written;
    return rc;
}

/* Makes a page outside of the guest's map, a copy of a gfn or of zeroes. */
static inline long altp2m_stub_shadow_create(
    const struct altp2m_stub *s, uint64_t source_gfn, uint64_t *gfn)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = FACET_ALTP2M_shadow_create;
    op.u.shadow_create.source_gfn = source_gfn;
    op.u.shadow_create.gfn = *gfn;
    rc = altp2m_stub_call(s, &op);
    *gfn = op.u.shadow_create.gfn;
    return rc;
}

/* Frees a shadow page that no view shows. */
static inline long altp2m_stub_shadow_destroy(
    const struct altp2m_stub *s, uint64_t gfn)
{
    struct altp2m_stub_op op = {0};

    op.cmd = FACET_ALTP2M_shadow_destroy;
    op.u.shadow_destroy.gfn = gfn;
    return altp2m_stub_call(s, &op);
}

/* Reads or writes the content of a shadow page. */
static inline long altp2m_stub_shadow_copy(
    const struct altp2m_stub *s, uint64_t gfn, void *buffer, uint32_t offset, uint32_t length,
    uint8_t write)
{
    struct altp2m_stub_op op = {0};

    op.cmd = FACET_ALTP2M_shadow_copy;
    op.u.shadow_copy.gfn = gfn;
    op.u.shadow_copy.buffer = (uint64_t)(uintptr_t)buffer;
    op.u.shadow_copy.offset = offset;
    op.u.shadow_copy.length = length;
    op.u.shadow_copy.write = write;
    return altp2m_stub_call(s, &op);
}

/* Gives gfns one access in a view and another in all others, at once. */
static inline long altp2m_stub_isolate(
    const struct altp2m_stub *s, uint16_t view, uint8_t access, uint8_t others, uint8_t suppress_ve,
    uint64_t first_gfn, uint64_t nr, uint64_t *skipped)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = FACET_ALTP2M_isolate;
    op.u.isolate.view = view;
    op.u.isolate.access = access;
    op.u.isolate.others = others;
    op.u.isolate.suppress_ve = suppress_ve;
    op.u.isolate.first_gfn = first_gfn;
    op.u.isolate.nr = nr;
    op.u.isolate.skipped = *skipped;
    rc = altp2m_stub_call(s, &op);
    *skipped = op.u.isolate.skipped;
    return rc;
}

/* Reads which gfns of a view the host map changed under an override. */
static inline long altp2m_stub_host_changes(
    const struct altp2m_stub *s, struct facet_altp2m_host_changes *u)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = FACET_ALTP2M_host_changes;
    op.u.host_changes = *u;
    rc = altp2m_stub_call(s, &op);
    *u = op.u.host_changes;
    return rc;
}

/* Turns VMFUNC on or off for a vCPU. */
static inline long altp2m_stub_set_vmfunc(
    const struct altp2m_stub *s, uint32_t vcpu, uint8_t on)
{
    struct altp2m_stub_op op = {0};

    op.cmd = FACET_ALTP2M_set_vmfunc;
    op.u.set_vmfunc.vcpu = vcpu;
    op.u.set_vmfunc.on = on;
    return altp2m_stub_call(s, &op);
}

/* Takes altp2m calls from one view of the guest only, or (all ones) from everywhere again. */
static inline long altp2m_stub_seal(
    const struct altp2m_stub *s, uint16_t agent_view, uint16_t start_view)
{
    struct altp2m_stub_op op = {0};

    op.cmd = FACET_ALTP2M_seal;
    op.u.seal.agent_view = agent_view;
    op.u.seal.start_view = start_view;
    return altp2m_stub_call(s, &op);
}

/* Registers the one place where a vCPU enters a sealed guest's agent. */
static inline long altp2m_stub_enter(
    const struct altp2m_stub *s, uint16_t view, uint32_t vcpu, uint64_t rip, uint64_t rsp,
    uint64_t cr3, uint64_t gdt, uint64_t idt, uint16_t gdt_limit, uint16_t idt_limit)
{
    struct altp2m_stub_op op = {0};

    op.cmd = FACET_ALTP2M_enter;
    op.u.enter.view = view;
    op.u.enter.vcpu = vcpu;
    op.u.enter.rip = rip;
    op.u.enter.rsp = rsp;
    op.u.enter.cr3 = cr3;
    op.u.enter.gdt = gdt;
    op.u.enter.idt = idt;
    op.u.enter.gdt_limit = gdt_limit;
    op.u.enter.idt_limit = idt_limit;
    return altp2m_stub_call(s, &op);
}

/* Keeps registers of a vCPU as they are, whatever the guest's kernel writes. */
static inline long altp2m_stub_pin(
    const struct altp2m_stub *s, struct facet_altp2m_pin *u)
{
    struct altp2m_stub_op op = {0};
    long rc;

    op.cmd = FACET_ALTP2M_pin;
    op.u.pin = *u;
    rc = altp2m_stub_call(s, &op);
    *u = op.u.pin;
    return rc;
}
