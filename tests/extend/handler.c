
static uint64_t shown(const struct physmap *pm, const struct view_state *vs, uint64_t g)
{
    return vs == &pm->views[0] ? hostmap_leaf(pm, g) : override_leaf(pm, vs, g);
}

long subop_same_frame(struct subop_call *call)
{
    struct facet_altp2m_same_frame *a = &call->op->facet.u.same_frame;
    struct physmap *pm = call->pm;
    const struct view_state *vs;
    int rc = -XEN_EINVAL;

    physmap_lock(pm);
    vs = view_get(pm, view(a->view));
    if (vs && a->first_gfn <= pm->max_gfn && a->second_gfn <= pm->max_gfn) {
        uint64_t first = shown(pm, vs, a->first_gfn), second = shown(pm, vs, a->second_gfn);

        rc = entry_valid(pm, first) && entry_valid(pm, second) ? 0 : -XEN_ESRCH;
        a->same = rc == 0 && entry_mfn(first) == entry_mfn(second);
    }
    physmap_unlock(pm);
    return rc;
}
