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

static inline long altp2m_stub_call(const struct altp2m_stub *s, uint32_t cmd, void *u,
                                    unsigned long size)
{
    struct xen_hvm_altp2m_op op = {
        .version = HVMOP_ALTP2M_INTERFACE_VERSION, .cmd = cmd, .domain = s->domain};
    long rc;

    __builtin_memcpy(&op.u, u, size);
    rc = s->hvm_op(s->context, HVMOP_altp2m, &op);
    __builtin_memcpy(u, &op.u, size);
    return rc;
}

/* Reads whether altp2m is active. */
static inline long altp2m_stub_get_domain_state(
    const struct altp2m_stub *s, uint8_t *state)
{
    struct xen_hvm_altp2m_domain_state u = {0};
    long rc;

    u.state = *state;
    rc = altp2m_stub_call(s, HVMOP_altp2m_get_domain_state, &u, sizeof(u));
    *state = u.state;
    return rc;
}

/* Turns altp2m on or off. Off frees all views and turns VMFUNC and #VE off. */
static inline long altp2m_stub_set_domain_state(
    const struct altp2m_stub *s, uint8_t state)
{
    struct xen_hvm_altp2m_domain_state u = {0};

    u.state = state;
    return altp2m_stub_call(s, HVMOP_altp2m_set_domain_state, &u, sizeof(u));
}

/* Gives a vCPU its #VE information page, and turns #VE and VMFUNC on for it. */
static inline long altp2m_stub_vcpu_enable_notify(
    const struct altp2m_stub *s, uint32_t vcpu_id, uint64_t gfn)
{
    struct xen_hvm_altp2m_vcpu_enable_notify u = {0};

    u.vcpu_id = vcpu_id;
    u.gfn = gfn;
    return altp2m_stub_call(s, HVMOP_altp2m_vcpu_enable_notify, &u, sizeof(u));
}

/* Creates a view that inherits all from the host map, narrowed by a default access. */
static inline long altp2m_stub_create_p2m(
    const struct altp2m_stub *s, uint16_t *view, uint16_t hvmmem_default_access)
{
    struct xen_hvm_altp2m_view u = {0};
    long rc;

    u.view = *view;
    u.hvmmem_default_access = hvmmem_default_access;
    rc = altp2m_stub_call(s, HVMOP_altp2m_create_p2m, &u, sizeof(u));
    *view = u.view;
    return rc;
}

/* Destroys a view that no vCPU is on. */
static inline long altp2m_stub_destroy_p2m(
    const struct altp2m_stub *s, uint16_t view)
{
    struct xen_hvm_altp2m_view u = {0};

    u.view = view;
    return altp2m_stub_call(s, HVMOP_altp2m_destroy_p2m, &u, sizeof(u));
}

/* Puts all vCPUs of the domain on a view. */
static inline long altp2m_stub_switch_p2m(
    const struct altp2m_stub *s, uint16_t view)
{
    struct xen_hvm_altp2m_view u = {0};

    u.view = view;
    return altp2m_stub_call(s, HVMOP_altp2m_switch_p2m, &u, sizeof(u));
}

/* Sets the access of one gfn in a view, or a view's default access (gfn ~0). */
static inline long altp2m_stub_set_mem_access(
    const struct altp2m_stub *s, uint16_t view, uint16_t access, uint64_t gfn)
{
    struct xen_hvm_altp2m_mem_access u = {0};

    u.view = view;
    u.access = access;
    u.gfn = gfn;
    return altp2m_stub_call(s, HVMOP_altp2m_set_mem_access, &u, sizeof(u));
}

/* Lets a gfn show what is at another gfn, or (new gfn ~0) reverts all that was said of it. */
static inline long altp2m_stub_change_gfn(
    const struct altp2m_stub *s, uint16_t view, uint64_t old_gfn, uint64_t new_gfn)
{
    struct xen_hvm_altp2m_change_gfn u = {0};

    u.view = view;
    u.old_gfn = old_gfn;
    u.new_gfn = new_gfn;
    return altp2m_stub_call(s, HVMOP_altp2m_change_gfn, &u, sizeof(u));
}

/* Sets the access of each gfn of a list. */
static inline long altp2m_stub_set_mem_access_multi(
    const struct altp2m_stub *s, uint16_t view, uint32_t nr, uint64_t *opaque, const void *pfn_list,
    const void *access_list)
{
    struct xen_hvm_altp2m_set_mem_access_multi u = {0};
    long rc;

    u.view = view;
    u.nr = nr;
    u.opaque = *opaque;
    set_xen_guest_handle(u.pfn_list, pfn_list);
    set_xen_guest_handle(u.access_list, access_list);
    rc = altp2m_stub_call(s, HVMOP_altp2m_set_mem_access_multi, &u, sizeof(u));
    *opaque = u.opaque;
    return rc;
}

/* Sets whether a violation at a gfn exits (1) or becomes a #VE (0). */
static inline long altp2m_stub_set_suppress_ve(
    const struct altp2m_stub *s, uint16_t view, uint8_t suppress_ve, uint64_t gfn)
{
    struct xen_hvm_altp2m_suppress_ve u = {0};

    u.view = view;
    u.suppress_ve = suppress_ve;
    u.gfn = gfn;
    return altp2m_stub_call(s, HVMOP_altp2m_set_suppress_ve, &u, sizeof(u));
}

/* Reads whether a violation at a gfn exits or becomes a #VE. */
static inline long altp2m_stub_get_suppress_ve(
    const struct altp2m_stub *s, uint16_t view, uint8_t *suppress_ve, uint64_t gfn)
{
    struct xen_hvm_altp2m_suppress_ve u = {0};
    long rc;

    u.view = view;
    u.suppress_ve = *suppress_ve;
    u.gfn = gfn;
    rc = altp2m_stub_call(s, HVMOP_altp2m_get_suppress_ve, &u, sizeof(u));
    *suppress_ve = u.suppress_ve;
    return rc;
}

/* Reads the access of a gfn in a view, or a view's default access (gfn ~0). */
static inline long altp2m_stub_get_mem_access(
    const struct altp2m_stub *s, uint16_t view, uint16_t *access, uint64_t gfn)
{
    struct xen_hvm_altp2m_mem_access u = {0};
    long rc;

    u.view = view;
    u.access = *access;
    u.gfn = gfn;
    rc = altp2m_stub_call(s, HVMOP_altp2m_get_mem_access, &u, sizeof(u));
    *access = u.access;
    return rc;
}

/* Turns #VE off for a vCPU and lets its information page go. */
static inline long altp2m_stub_vcpu_disable_notify(
    const struct altp2m_stub *s, uint32_t vcpu_id)
{
    struct xen_hvm_altp2m_vcpu_disable_notify u = {0};

    u.vcpu_id = vcpu_id;
    return altp2m_stub_call(s, HVMOP_altp2m_vcpu_disable_notify, &u, sizeof(u));
}

/* Reads which view a vCPU is on. */
static inline long altp2m_stub_get_p2m_idx(
    const struct altp2m_stub *s, uint32_t vcpu_id, uint16_t *altp2m_idx)
{
    struct xen_hvm_altp2m_get_vcpu_p2m_idx u = {0};
    long rc;

    u.vcpu_id = vcpu_id;
    u.altp2m_idx = *altp2m_idx;
    rc = altp2m_stub_call(s, HVMOP_altp2m_get_p2m_idx, &u, sizeof(u));
    *altp2m_idx = u.altp2m_idx;
    return rc;
}

/* Sets for a range of gfns whether violations exit or become #VEs. */
static inline long altp2m_stub_set_suppress_ve_multi(
    const struct altp2m_stub *s, uint16_t view, uint8_t suppress_ve, int32_t *first_error,
    uint64_t *first_gfn, uint64_t *last_gfn, uint64_t *first_error_gfn)
{
    struct xen_hvm_altp2m_suppress_ve_multi u = {0};
    long rc;

    u.view = view;
    u.suppress_ve = suppress_ve;
    u.first_error = *first_error;
    u.first_gfn = *first_gfn;
    u.last_gfn = *last_gfn;
    u.first_error_gfn = *first_error_gfn;
    rc = altp2m_stub_call(s, HVMOP_altp2m_set_suppress_ve_multi, &u, sizeof(u));
    *first_error = u.first_error;
    *first_gfn = u.first_gfn;
    *last_gfn = u.last_gfn;
    *first_error_gfn = u.first_error_gfn;
    return rc;
}

/* Shows a view to VMFUNC and switch_p2m, or hides it. */
static inline long altp2m_stub_set_visibility(
    const struct altp2m_stub *s, uint16_t altp2m_idx, uint8_t visible)
{
    struct xen_hvm_altp2m_set_visibility u = {0};

    u.altp2m_idx = altp2m_idx;
    u.visible = visible;
    return altp2m_stub_call(s, HVMOP_altp2m_set_visibility, &u, sizeof(u));
}

/* Lists the sub-operations, one a call. */
static inline long altp2m_stub_query(
    const struct altp2m_stub *s, struct facet_altp2m_query *u)
{
    return altp2m_stub_call(s, FACET_ALTP2M_query, u, sizeof(*u));
}

/* Reads how much table memory a view or the domain uses. */
static inline long altp2m_stub_usage(
    const struct altp2m_stub *s, struct facet_altp2m_usage *u)
{
    return altp2m_stub_call(s, FACET_ALTP2M_usage, u, sizeof(*u));
}

/* Remaps or reverts a range of gfns. */
static inline long altp2m_stub_change_gfn_range(
    const struct altp2m_stub *s, uint16_t view, uint16_t flags, uint64_t old_gfn, uint64_t new_gfn,
    uint64_t nr, uint64_t *done)
{
    struct facet_altp2m_change_gfn_range u = {0};
    long rc;

    u.view = view;
    u.flags = flags;
    u.old_gfn = old_gfn;
    u.new_gfn = new_gfn;
    u.nr = nr;
    u.done = *done;
    rc = altp2m_stub_call(s, FACET_ALTP2M_change_gfn_range, &u, sizeof(u));
    *done = u.done;
    return rc;
}

/* Remaps or reverts each gfn of a list. */
static inline long altp2m_stub_change_gfn_list(
    const struct altp2m_stub *s, uint16_t view, uint32_t nr, const void *list, uint64_t *done)
{
    struct facet_altp2m_change_gfn_list u = {0};
    long rc;

    u.view = view;
    u.nr = nr;
    u.list = (uint64_t)(uintptr_t)list;
    u.done = *done;
    rc = altp2m_stub_call(s, FACET_ALTP2M_change_gfn_list, &u, sizeof(u));
    *done = u.done;
    return rc;
}

/* Sets the access, the #VE bit, or both together over a range of gfns. */
static inline long altp2m_stub_set_range(
    const struct altp2m_stub *s, uint16_t view, uint8_t access, uint8_t suppress_ve,
    uint64_t first_gfn, uint64_t nr, uint64_t *done, uint64_t *skipped)
{
    struct facet_altp2m_set_range u = {0};
    long rc;

    u.view = view;
    u.access = access;
    u.suppress_ve = suppress_ve;
    u.first_gfn = first_gfn;
    u.nr = nr;
    u.done = *done;
    u.skipped = *skipped;
    rc = altp2m_stub_call(s, FACET_ALTP2M_set_range, &u, sizeof(u));
    *done = u.done;
    *skipped = u.skipped;
    return rc;
}

/* Puts one vCPU of the domain on a view. */
static inline long altp2m_stub_switch_vcpu(
    const struct altp2m_stub *s, uint32_t vcpu, uint16_t view)
{
    struct facet_altp2m_switch_vcpu u = {0};

    u.vcpu = vcpu;
    u.view = view;
    return altp2m_stub_call(s, FACET_ALTP2M_switch_vcpu, &u, sizeof(u));
}

/* Reads what a view has of its own in a range, as runs of gfns. */
static inline long altp2m_stub_get_overrides(
    const struct altp2m_stub *s, uint16_t view, uint32_t nr, void *list, uint64_t *first_gfn,
    uint32_t *written, uint64_t last_gfn)
{
    struct facet_altp2m_get_overrides u = {0};
    long rc;

    u.view = view;
    u.nr = nr;
    u.list = (uint64_t)(uintptr_t)list;
    u.first_gfn = *first_gfn;
    u.written = *written;
    u.last_gfn = last_gfn;
    rc = altp2m_stub_call(s, FACET_ALTP2M_get_overrides, &u, sizeof(u));
    *first_gfn = u.first_gfn;
    *written = u.written;
    return rc;
}

/* Makes a page outside of the guest's map, a copy of a gfn or of zeroes. */
static inline long altp2m_stub_shadow_create(
    const struct altp2m_stub *s, uint64_t source_gfn, uint64_t *gfn)
{
    struct facet_altp2m_shadow_create u = {0};
    long rc;

    u.source_gfn = source_gfn;
    u.gfn = *gfn;
    rc = altp2m_stub_call(s, FACET_ALTP2M_shadow_create, &u, sizeof(u));
    *gfn = u.gfn;
    return rc;
}

/* Frees a shadow page that no view shows. */
static inline long altp2m_stub_shadow_destroy(
    const struct altp2m_stub *s, uint64_t gfn)
{
    struct facet_altp2m_shadow_destroy u = {0};

    u.gfn = gfn;
    return altp2m_stub_call(s, FACET_ALTP2M_shadow_destroy, &u, sizeof(u));
}

/* Reads or writes the content of a shadow page. */
static inline long altp2m_stub_shadow_copy(
    const struct altp2m_stub *s, uint64_t gfn, void *buffer, uint32_t offset, uint32_t length,
    uint8_t write)
{
    struct facet_altp2m_shadow_copy u = {0};

    u.gfn = gfn;
    u.buffer = (uint64_t)(uintptr_t)buffer;
    u.offset = offset;
    u.length = length;
    u.write = write;
    return altp2m_stub_call(s, FACET_ALTP2M_shadow_copy, &u, sizeof(u));
}

/* Gives gfns one access in a view and another in all others, at once. */
static inline long altp2m_stub_isolate(
    const struct altp2m_stub *s, uint16_t view, uint8_t access, uint8_t others, uint8_t suppress_ve,
    uint64_t first_gfn, uint64_t nr, uint64_t *skipped)
{
    struct facet_altp2m_isolate u = {0};
    long rc;

    u.view = view;
    u.access = access;
    u.others = others;
    u.suppress_ve = suppress_ve;
    u.first_gfn = first_gfn;
    u.nr = nr;
    u.skipped = *skipped;
    rc = altp2m_stub_call(s, FACET_ALTP2M_isolate, &u, sizeof(u));
    *skipped = u.skipped;
    return rc;
}

/* Reads which gfns of a view the host map changed under an override. */
static inline long altp2m_stub_host_changes(
    const struct altp2m_stub *s, struct facet_altp2m_host_changes *u)
{
    return altp2m_stub_call(s, FACET_ALTP2M_host_changes, u, sizeof(*u));
}

/* Turns VMFUNC on or off for a vCPU. */
static inline long altp2m_stub_set_vmfunc(
    const struct altp2m_stub *s, uint32_t vcpu, uint8_t on)
{
    struct facet_altp2m_set_vmfunc u = {0};

    u.vcpu = vcpu;
    u.on = on;
    return altp2m_stub_call(s, FACET_ALTP2M_set_vmfunc, &u, sizeof(u));
}

/* Takes altp2m calls from one view of the guest only, or (all ones) from everywhere again. */
static inline long altp2m_stub_seal(
    const struct altp2m_stub *s, uint16_t agent_view, uint16_t start_view)
{
    struct facet_altp2m_seal u = {0};

    u.agent_view = agent_view;
    u.start_view = start_view;
    return altp2m_stub_call(s, FACET_ALTP2M_seal, &u, sizeof(u));
}
