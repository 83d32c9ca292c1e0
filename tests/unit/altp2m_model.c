/* SPDX-License-Identifier: MIT */
#include "altp2m_model.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "altp2m_watched.h"
#include "facet/hvmop.h"
#include "facet/types.h"

#define CALLER_DOMID 1u

static void fresh_view(struct model_view *v, uint8_t access)
{
    memset(v, 0, sizeof(*v));
    v->exists = v->visible = true;
    v->default_access = access;
    memset(v->access, access, sizeof(v->access));
    memset(v->suppress, 1, sizeof(v->suppress));
    for (uint64_t g = 0; g < MODEL_PAGES; g++)
        v->remap[g] = g;
}

void model_reset(struct model *m)
{
    memset(m, 0, sizeof(*m));
    m->version = (4 << 16) | 17;
    m->available = true;
    m->mode = XEN_ALTP2M_mixed;
    m->on = true;
    m->bad_access = 0xffff;
    m->refuse_gfn = ~0ULL;
    m->unfilled = ~0ULL;
    m->lists_ok = true;
    m->domctl_version = XEN_DOMCTL_INTERFACE_VERSION;
    fresh_view(&m->view[0], XENMEM_access_rwx);
    fresh_view(&m->view[1], XENMEM_access_rwx);
}

static struct model_view *get_view(struct model *m, uint16_t v)
{
    return v < MODEL_VIEWS && m->view[v].exists ? &m->view[v] : NULL;
}

static bool in_use(const struct model *m, uint16_t v)
{
    for (unsigned int i = 0; i < MODEL_VCPUS; i++)
        if (m->vcpu_view[i] == v)
            return true;
    return false;
}

#define NOT_ON_AMD (1u << XENMEM_access_w | 1u << XENMEM_access_x | 1u << XENMEM_access_wx)

static bool refused(const struct model *m, unsigned int access)
{
    return m->amd && !m->narrow && access <= XENMEM_access_default && (NOT_ON_AMD >> access & 1);
}

static int do_create(struct model *m, struct xen_hvm_altp2m_view *a)
{
    uint16_t access_max = m->version >= ((4 << 16) | 20) ? 11 : XENMEM_access_default;

    if (a->hvmmem_default_access > access_max)
        return -EINVAL;
    if (refused(m, a->hvmmem_default_access))
        return -EOPNOTSUPP;
    for (uint16_t i = 0; i < MODEL_VIEWS; i++) {
        if (!m->view[i].exists) {
            fresh_view(&m->view[i], a->hvmmem_default_access >= 10
                                        ? XENMEM_access_rwx
                                        : (uint8_t)a->hvmmem_default_access);
            a->view = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int do_destroy(struct model *m, uint16_t v)
{
    if (v == 0 || !get_view(m, v) || in_use(m, v))
        return -EBUSY;
    m->view[v].exists = false;
    return 0;
}

static int do_switch(struct model *m, uint16_t v)
{
    if (!get_view(m, v) || !m->view[v].visible)
        return -EINVAL;
    for (unsigned int i = 0; i < MODEL_VCPUS; i++)
        m->vcpu_view[i] = v;
    return 0;
}

static int set_access(struct model *m, uint16_t view, uint64_t g, uint16_t access)
{
    struct model_view *v = get_view(m, view);

    if (!v || access > 11 || access == m->bad_access)
        return -EINVAL;
    if (refused(m, access))
        return -EOPNOTSUPP;
    if (g == m->refuse_gfn)
        return -ENOMEM;
    if (g < MODEL_PAGES)
        v->access[g] = access >= 10 ? v->default_access : (uint8_t)access;
    return 0;
}

static int do_set_access(struct model *m, const struct xen_hvm_altp2m_mem_access *a)
{
    return a->pad ? -EINVAL : set_access(m, a->view, a->gfn, a->access);
}

static int do_get_access(struct model *m, struct xen_hvm_altp2m_mem_access *a)
{
    struct model_view *v = get_view(m, a->view);

    if (a->pad || !v)
        return -EINVAL;
    if (a->gfn != ~0ULL && a->gfn >= MODEL_PAGES)
        return -ESRCH;
    if (a->view && a->gfn != ~0ULL && a->gfn == m->unfilled)
        return -ESRCH;
    a->access = a->gfn == ~0ULL ? v->default_access : v->access[a->gfn];
    return 0;
}

static int do_multi(struct model *m, const struct xen_hvm_altp2m_set_mem_access_multi *a)
{
    if (a->pad || a->opaque > a->nr || !get_view(m, a->view))
        return -EINVAL;
    m->last_first_gfn = (uint32_t)a->pfn_list.p[0];
    for (uint32_t i = 0; i < a->nr; i++) {
        int rc = set_access(m, a->view, a->pfn_list.p[i], a->access_list.p[i]);

        if (a->pfn_list.p[i] != a->pfn_list.p[0] + i)
            m->lists_ok = false;
        m->last_access = a->access_list.p[i];
        if (rc)
            return rc;
    }
    return 0;
}

static int do_change_gfn(struct model *m, const struct xen_hvm_altp2m_change_gfn *a)
{
    struct model_view *v = get_view(m, a->view);

    if (a->pad1 || a->pad2 || !v)
        return -EINVAL;
    if (a->new_gfn == ~0ULL) {
        if (a->old_gfn < MODEL_PAGES)
            v->remap[a->old_gfn] = a->old_gfn;
        return 0;
    }
    if (a->new_gfn - FACET_ALTP2M_SHADOW_BASE < MODEL_SHADOWS) {
        if (!m->shadow[a->new_gfn - FACET_ALTP2M_SHADOW_BASE])
            return -ESRCH;
    } else if (a->old_gfn >= MODEL_PAGES || a->new_gfn >= MODEL_PAGES) {
        return -ESRCH;
    }
    v->remap[a->old_gfn] = a->new_gfn;
    return 0;
}

static int do_suppress(struct model *m, struct xen_hvm_altp2m_suppress_ve *a, bool set)
{
    struct model_view *v = get_view(m, a->view);

    if (a->pad1 || a->pad2 || !v)
        return -EINVAL;
    if (a->gfn >= MODEL_PAGES)
        return -ESRCH;
    if (set)
        v->suppress[a->gfn] = a->suppress_ve;
    else
        a->suppress_ve = v->suppress[a->gfn];
    return 0;
}

static int do_suppress_multi(struct model *m, struct xen_hvm_altp2m_suppress_ve_multi *a)
{
    if (a->pad1 || a->first_gfn > a->last_gfn || !get_view(m, a->view))
        return -EINVAL;
    for (; a->first_gfn <= a->last_gfn; a->first_gfn++) {
        struct xen_hvm_altp2m_suppress_ve one = {a->view, a->suppress_ve, 0, 0, a->first_gfn};
        int rc = do_suppress(m, &one, true);

        if (rc && !a->first_error) {
            a->first_error = rc;
            a->first_error_gfn = a->first_gfn;
        }
    }
    return 0;
}

static int do_get_idx(struct model *m, struct xen_hvm_altp2m_get_vcpu_p2m_idx *a)
{
    if (a->vcpu_id >= MODEL_VCPUS)
        return -EINVAL;
    a->altp2m_idx = m->vcpu_view[a->vcpu_id];
    return 0;
}

static int do_visibility(struct model *m, const struct xen_hvm_altp2m_set_visibility *a)
{
    if (a->pad || !get_view(m, a->altp2m_idx))
        return -EINVAL;
    m->view[a->altp2m_idx].visible = a->visible;
    return 0;
}

static int dispatch(struct model *m, struct xen_hvm_altp2m_op *op)
{
    switch (op->cmd) {
    case HVMOP_altp2m_get_domain_state:
        op->u.domain_state.state = m->on;
        return 0;
    case HVMOP_altp2m_set_domain_state:
        m->on = op->u.domain_state.state;
        return 0;
    case HVMOP_altp2m_vcpu_enable_notify:
        return op->u.enable_notify.pad || op->u.enable_notify.vcpu_id >= MODEL_VCPUS ? -EINVAL : 0;
    case HVMOP_altp2m_create_p2m:
        return do_create(m, &op->u.view);
    case HVMOP_altp2m_destroy_p2m:
        return do_destroy(m, op->u.view.view);
    case HVMOP_altp2m_switch_p2m:
        return do_switch(m, op->u.view.view);
    case HVMOP_altp2m_set_mem_access:
        return do_set_access(m, &op->u.mem_access);
    case HVMOP_altp2m_change_gfn:
        return do_change_gfn(m, &op->u.change_gfn);
    case HVMOP_altp2m_set_mem_access_multi:
        return do_multi(m, &op->u.set_mem_access_multi);
    case HVMOP_altp2m_set_suppress_ve:
        return do_suppress(m, &op->u.suppress_ve, true);
    case HVMOP_altp2m_get_suppress_ve:
        return do_suppress(m, &op->u.suppress_ve, false);
    case HVMOP_altp2m_get_mem_access:
        return do_get_access(m, &op->u.mem_access);
    case HVMOP_altp2m_vcpu_disable_notify:
        return op->u.disable_notify.vcpu_id >= MODEL_VCPUS ? -EINVAL : 0;
    case HVMOP_altp2m_get_p2m_idx:
        return do_get_idx(m, &op->u.get_vcpu_p2m_idx);
    case HVMOP_altp2m_set_suppress_ve_multi:
        return do_suppress_multi(m, &op->u.suppress_ve_multi);
    default:
        return do_visibility(m, &op->u.set_visibility);
    }
}

static int own_change_range(struct model *m, struct facet_altp2m_change_gfn_range *a)
{
    if (!get_view(m, a->view) || (a->flags & ~FACET_ALTP2M_RANGE_SAME))
        return -EINVAL;
    for (; a->done < a->nr; a->done++) {
        uint64_t new = a->new_gfn == ~0ULL || a->flags ? a->new_gfn : a->new_gfn + a->done;
        struct xen_hvm_altp2m_change_gfn one = {
            .view = a->view, .old_gfn = a->old_gfn + a->done, .new_gfn = new};
        int rc = do_change_gfn(m, &one);

        if (rc)
            return rc;
    }
    return 0;
}

static int own_set_range(struct model *m, struct facet_altp2m_set_range *a)
{
    if (!get_view(m, a->view) || a->nr > MODEL_PAGES * 2 || a->first_gfn > MODEL_PAGES * 2)
        return -EINVAL;
    if (refused(m, a->access))
        return -EOPNOTSUPP;
    for (; a->done < a->nr; a->done++) {
        uint64_t g = a->first_gfn + a->done;

        if (g == m->refuse_gfn)
            return -ENOMEM;
        a->skipped += g >= MODEL_PAGES;
        if (g < MODEL_PAGES && a->access != FACET_ALTP2M_LEAVE)
            m->view[a->view].access[g] = a->access;
        if (g < MODEL_PAGES && a->suppress_ve != FACET_ALTP2M_LEAVE)
            m->view[a->view].suppress[g] = a->suppress_ve;
    }
    return 0;
}

static int own_isolate(struct model *m, struct facet_altp2m_isolate *a)
{
    if (a->view == 0 || !get_view(m, a->view))
        return -EINVAL;
    if (a->nr > FACET_ALTP2M_ISOLATE_MAX)
        return -E2BIG;
    for (uint16_t v = 0; v < MODEL_VIEWS; v++)
        for (uint64_t g = a->first_gfn; g < a->first_gfn + a->nr && g < MODEL_PAGES; g++)
            m->view[v].access[g] = v == a->view ? a->access : a->others;
    return 0;
}

static int own_switch_vcpu(struct model *m, const struct facet_altp2m_switch_vcpu *a)
{
    if (a->vcpu >= MODEL_VCPUS || !get_view(m, a->view) || !m->view[a->view].visible)
        return -EINVAL;
    m->vcpu_view[a->vcpu] = a->view;
    return 0;
}

/* Each gfn that differs from a fresh view is a run of its own. */
static int own_get_overrides(struct model *m, struct facet_altp2m_get_overrides *a)
{
    struct facet_altp2m_override_run *runs = (void *)(uintptr_t)a->list;
    const struct model_view *v = get_view(m, a->view);
    uint64_t g = a->first_gfn;

    if (!v)
        return -EINVAL;
    a->written = 0;
    for (; g <= a->last_gfn && g < MODEL_PAGES; g++) {
        bool access = v->access[g] != v->default_access, remap = v->remap[g] != g;

        if (!access && !remap && v->suppress[g])
            continue;
        if (a->written == a->nr || (m->runs_a_call && a->written == m->runs_a_call))
            break;
        runs[a->written++] = (struct facet_altp2m_override_run){
            .first_gfn = g,
            .target_gfn = v->remap[g],
            .count = 1,
            .access = v->access[g],
            .flags = (uint8_t)((access ? FACET_ALTP2M_OWN_ACCESS : 0) |
                               (remap ? FACET_ALTP2M_OWN_FRAME : 0) |
                               (v->suppress[g] ? FACET_ALTP2M_SUPPRESS_VE : FACET_ALTP2M_OWN_VE))};
    }
    a->first_gfn = g > a->last_gfn || g >= MODEL_PAGES ? ~0ULL : g;
    return 0;
}

static int own_shadow_create(struct model *m, struct facet_altp2m_shadow_create *a)
{
    if (a->source_gfn != ~0ULL && a->source_gfn >= MODEL_PAGES)
        return -ESRCH;
    for (unsigned int i = 0; i < MODEL_SHADOWS; i++) {
        if (!m->shadow[i]) {
            m->shadow[i] = true;
            memset(m->shadow_bytes[i], a->source_gfn == ~0ULL ? 0 : 0x11, 4096);
            a->gfn = FACET_ALTP2M_SHADOW_BASE + i;
            return 0;
        }
    }
    return -ENOMEM;
}

static int own_shadow(struct model *m, uint32_t cmd, const struct facet_altp2m_shadow_copy *a)
{
    uint64_t i = a->gfn - FACET_ALTP2M_SHADOW_BASE;
    void *buffer = (void *)(uintptr_t)a->buffer;

    if (i >= MODEL_SHADOWS || !m->shadow[i])
        return -ENOENT;
    if (cmd == FACET_ALTP2M_shadow_destroy) {
        for (unsigned int v = 0; v < MODEL_VIEWS; v++)
            for (uint64_t g = 0; m->view[v].exists && g < MODEL_PAGES; g++)
                if (m->view[v].remap[g] == a->gfn)
                    return -EBUSY;
        m->shadow[i] = false;
        return 0;
    }
    assert_true(a->offset + a->length <= 4096);
    memcpy(a->write ? &m->shadow_bytes[i][a->offset] : buffer,
           a->write ? buffer : &m->shadow_bytes[i][a->offset], a->length);
    return 0;
}

static int own_host_changes(struct model *m, struct facet_altp2m_host_changes *a)
{
    if (!get_view(m, a->view))
        return -EINVAL;
    memset(a->gfns, 0xff, sizeof(a->gfns));
    a->count = a->view == 1 ? 2 : 0;
    a->gfns[0] = a->view == 1 ? 7 : ~0ULL;
    a->gfns[1] = a->view == 1 ? 5 : ~0ULL;
    return 0;
}

static int own_change_list(struct model *m, struct facet_altp2m_change_gfn_list *a)
{
    const struct facet_altp2m_gfn_pair *list = (const void *)(uintptr_t)a->list;

    for (; a->done < a->nr; a->done++) {
        struct xen_hvm_altp2m_change_gfn one = {
            .view = a->view, .old_gfn = list[a->done].old_gfn, .new_gfn = list[a->done].new_gfn};
        int rc = do_change_gfn(m, &one);

        if (rc)
            return rc;
    }
    return 0;
}

static int own_op(struct model *m, struct xen_hvm_altp2m_op *op)
{
    void *u = &op->u;

    switch (op->cmd) {
    case FACET_ALTP2M_change_gfn_range:
        return own_change_range(m, u);
    case FACET_ALTP2M_change_gfn_list:
        return own_change_list(m, u);
    case FACET_ALTP2M_set_vmfunc:
    case FACET_ALTP2M_seal:
    case FACET_ALTP2M_enter:
    case FACET_ALTP2M_pin:
        return 0;
    case FACET_ALTP2M_set_range:
        return own_set_range(m, u);
    case FACET_ALTP2M_isolate:
        return own_isolate(m, u);
    case FACET_ALTP2M_switch_vcpu:
        return own_switch_vcpu(m, u);
    case FACET_ALTP2M_get_overrides:
        return own_get_overrides(m, u);
    case FACET_ALTP2M_shadow_create:
        return own_shadow_create(m, u);
    case FACET_ALTP2M_shadow_destroy:
    case FACET_ALTP2M_shadow_copy:
        return own_shadow(m, op->cmd, u);
    case FACET_ALTP2M_host_changes:
        return own_host_changes(m, u);
    default:
        return -EOPNOTSUPP;
    }
}

static int facet_op(const struct model *m, struct xen_hvm_altp2m_op *op)
{
    static const struct facet_altp2m_query rows[] = {
        {.cmd = 12, .flags = FACET_ALTP2M_QUERY_ALLOWED, .name = "get_mem_access"},
        {.cmd = FACET_ALTP2M_query, .flags = FACET_ALTP2M_QUERY_ALLOWED, .name = "query"},
        {.cmd = FACET_ALTP2M_usage, .why = FACET_ALTP2M_WHY_POLICY, .name = "usage"}};
    struct facet_altp2m_query *q = (void *)&op->u;
    struct facet_altp2m_usage *u = (void *)&op->u;

    if (op->cmd == FACET_ALTP2M_query) {
        if (q->index >= ARRAY_SIZE(rows))
            return -ENOENT;
        *q = rows[q->index];
        q->accesses = (uint16_t)(0x7ff & ~(m->amd && !m->narrow ? NOT_ON_AMD : 0));
        q->narrowed = m->amd && m->narrow ? NOT_ON_AMD : 0;
        return 0;
    }
    if (u->view != FACET_ALTP2M_ALL_VIEWS && (u->view >= MODEL_VIEWS || !m->view[u->view].exists))
        return -EINVAL;
    u->tables = 4;
    u->overrides = 3;
    u->remaps = 2;
    u->pool_pages = 100;
    u->pool_free = 60;
    u->pool_reserve = 10;
    u->views = 2;
    u->max_views = MODEL_VIEWS;
    u->visible = u->view < MODEL_VIEWS && m->view[u->view].visible;
    return 0;
}

static int altp2m_op(struct model *m, struct xen_hvm_altp2m_op *op)
{
    bool self = op->domain == DOMID_SELF;

    assert_true(m->calls < MODEL_CALLS);
    m->call[m->calls++] = *op;
    if (!m->available)
        return -EOPNOTSUPP;
    if (op->pad1 || op->pad2 || op->version != HVMOP_ALTP2M_INTERFACE_VERSION)
        return -EINVAL;
    if (m->facet && (op->cmd == FACET_ALTP2M_query || op->cmd == FACET_ALTP2M_usage))
        return facet_op(m, op);
    if (m->facet && m->on && op->cmd > FACET_ALTP2M_usage)
        return own_op(m, op);
    if (op->cmd < 1 || op->cmd > 16 || m->unknown[op->cmd])
        return -EOPNOTSUPP;
    if (!self && op->domain != CALLER_DOMID && !(m->watched && op->domain == WATCHED_DOMID))
        return -ESRCH;
    if (op->cmd > 2 && !m->on)
        return -EOPNOTSUPP;
    if (m->mode == XEN_ALTP2M_disabled)
        return -EINVAL;
    if (self && (m->mode == XEN_ALTP2M_external ||
                 (m->mode == XEN_ALTP2M_limited && op->cmd != HVMOP_altp2m_vcpu_enable_notify)))
        return -EPERM;
    return m->inject[op->cmd] ? m->inject[op->cmd] : dispatch(m, op);
}

static int model_hvm_op(void *ctx, unsigned int op, void *arg, size_t size)
{
    struct model *m = ctx;

    if (m->user_blocked)
        return -EPERM;
    if (op == HVMOP_get_param) {
        struct xen_hvm_param *p = arg;

        assert_int_equal(size, sizeof(*p));
        assert_true(p->index == HVM_PARAM_ALTP2M ||
                    (m->watched && p->index == HVM_PARAM_MONITOR_RING_PFN));
        p->value = p->index == HVM_PARAM_ALTP2M ? m->mode : WATCHED_RING;
        return 0;
    }
    assert_int_equal(op, HVMOP_altp2m);
    assert_int_equal(size, sizeof(struct xen_hvm_altp2m_op));
    return altp2m_op(m, arg);
}

static int model_version(void *ctx, unsigned int cmd, void *arg, size_t size)
{
    struct model *m = ctx;

    if (m->user_blocked)
        return -EPERM;
    if (cmd == XENVER_version)
        return m->version;
    assert_true(size >= 16);
    strcpy(arg, cmd == XENVER_extraversion ? ".7 \"model\"" : "hvm-3.0-x86_64 ");
    return 0;
}

static void *model_alloc(void *ctx, size_t size)
{
    struct model *m = ctx;

    m->allocated += (long)size;
    return calloc(1, size);
}

static void model_release(void *ctx, void *p, size_t size)
{
    struct model *m = ctx;

    m->allocated -= (long)size;
    free(p);
}

static int model_own_domid(void *ctx)
{
    (void)ctx;
    return (int)CALLER_DOMID;
}

struct hypercall model_hypercall(struct model *m)
{
    struct hypercall hc = {.ctx = m,
                           .hvm_op = model_hvm_op,
                           .version = model_version,
                           .alloc = model_alloc,
                           .release = model_release,
                           .own_domid = model_own_domid};

    if (m->watched)
        watched_offer(&hc);
    return hc;
}

const struct xen_hvm_altp2m_op *model_last(const struct model *m, uint32_t cmd)
{
    for (unsigned int i = m->calls; i > 0; i--)
        if (m->call[i - 1].cmd == cmd)
            return &m->call[i - 1];
    fail_msg("sub-operation %u was not called", cmd);
    return NULL;
}

unsigned int model_count(const struct model *m, uint32_t cmd)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < m->calls; i++)
        n += m->call[i].cmd == cmd;
    return n;
}
