/* SPDX-License-Identifier: MIT */
/* xen_version: Facet answers as Xen 4.17, and says in words that it is Facet. */
#include "made.h"
#include <string.h>

static long copy_text(struct hypercall *h, const char *text, size_t size)
{
    char buffer[1024] = {0};

    memcpy(buffer, text, strlen(text) + 1);
    return copy_out(h, h->arg[1], buffer, size);
}

static long compile_info(struct hypercall *h)
{
    static const struct xen_compile_info info = {
        .compiler = "gcc",
        .compile_by = "facet",
        .compile_domain = "",
        .compile_date = "",
    };

    return copy_out(h, h->arg[1], &info, sizeof(info));
}

static long features(struct hypercall *h)
{
    struct xen_feature_info info;

    if (copy_in(h, &info, h->arg[1], sizeof(info)) != 0) {
        return -EFAULT;
    }
    if (info.submap_idx != 0) {
        return -EINVAL;
    }
    info.submap = 1u << XENFEAT_auto_translated_physmap | 1u << XENFEAT_hvm_callback_vector |
                  1u << XENFEAT_hvm_safe_pvclock | 1u << XENFEAT_memory_op_vnode_supported |
                  1u << XENFEAT_not_direct_mapped |
                  (h->v->domain->guest.hardware ? 1u << XENFEAT_dom0 : 0);
    return copy_out(h, h->arg[1], &info, sizeof(info));
}

/* The name of a domain for tools: as on Xen, any 16 bytes. Facet's are its domid. */
static long guest_handle(struct hypercall *h)
{
    uint8_t handle[16] = {0};

    handle[15] = (uint8_t)h->v->domain->id;
    if (h->v->domain->guest.made) {
        memcpy(handle, h->v->domain->guest.made->handle, sizeof(handle));
    }
    return copy_out(h, h->arg[1], handle, sizeof(handle));
}

long version_op(struct hypercall *h)
{
    switch ((uint32_t)h->arg[0]) {
    case XENVER_version:
        return GUEST_XEN_VERSION;
    case XENVER_extraversion:
        return copy_text(h, ".7-facet", sizeof(xen_extraversion_t));
    case XENVER_compile_info:
        return compile_info(h);
    case XENVER_capabilities:
        return copy_text(h, "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ",
                         sizeof(xen_capabilities_info_t));
    case XENVER_changeset:
        return copy_text(h, "facet", sizeof(xen_changeset_info_t));
    case XENVER_platform_parameters:
        return copy_out_long(h, h->arg[1], 0, 0);
    case XENVER_get_features:
        return features(h);
    case XENVER_pagesize:
        return h->arg[1] == 0 ? (long)PAGE_SIZE : -EINVAL;
    case XENVER_guest_handle:
        return guest_handle(h);
    case XENVER_commandline:
        return copy_text(h, "<denied>", sizeof(xen_commandline_t));
    case XENVER_build_id:
        return -EPERM;
    default:
        return -ENOSYS;
    }
}
