/* SPDX-License-Identifier: MIT */
#include "shield.h"

#define EBUSY      16
#define ENOMEM     12
#define ENOSPC     28
#define EOPNOTSUPP 95
#define PAGE       4096u

extern const void *gate_deny;

static int note_range(altp2m_gfn_t first, altp2m_gfn_t last, enum altp2m_access kernel,
                      enum altp2m_access agent)
{
    if (guard.ranges == GUARD_RANGES)
        return -ENOSPC;
    guard.range[guard.ranges++] =
        (struct guard_range){.first = first.v, .last = last.v, .kernel = kernel, .agent = agent};
    return 0;
}

/* Pages that are in a row in linear memory need not be so in frames. */
static int note_section(struct shield *s, const char *start, const char *end,
                        enum altp2m_access kernel, enum altp2m_access agent)
{
    int rc = 0;

    for (const char *at = start; at < end && !rc; at += PAGE) {
        altp2m_gfn_t gfn = s->hooks.gfn_of(s->hooks.context, at);

        rc = note_range(gfn, gfn, kernel, agent);
    }
    return rc;
}

static int note_all(struct shield *s, const struct shield_range *protect, unsigned int protects)
{
    int rc = 0;

    guard.ranges = 0;
    rc = rc ? rc : note_section(s, gate_page, gate_page_end, ALTP2M_RX, ALTP2M_RX);
    rc = rc ? rc : note_section(s, agent_text, agent_text_end, ALTP2M_R, ALTP2M_RX);
    rc = rc ? rc : note_section(s, agent_private, agent_private_end, ALTP2M_N, ALTP2M_RW);
    rc = rc ? rc : note_section(s, agent_report, agent_report_end, ALTP2M_R, ALTP2M_RW);
    rc = rc ? rc : note_section(s, s->info, (char *)s->info + PAGE, ALTP2M_R, ALTP2M_RW);
    for (unsigned int i = 0; i < protects && !rc; i++)
        rc = note_range(protect[i].first, protect[i].last, protect[i].access, ALTP2M_RW);
    return rc;
}

static int make_agent_view(struct shield *s, const struct shield_range *ram, unsigned int rams)
{
    const struct altp2m *xen = &s->hooks.xen;
    int rc = altp2m_create(xen, ALTP2M_RW, &s->agent);

    for (unsigned int i = 0; i < rams && !rc; i++) {
        if (!altp2m_default_holds(xen, s->agent, ram[i].first, ALTP2M_RW))
            rc = altp2m_set_access_range(xen, s->agent, ram[i].first, ram[i].last, ALTP2M_RW);
        /* Holes inside a range are reported, and are no matter. */
        if (!rc)
            altp2m_set_ve_range(xen, s->agent, ram[i].first, ram[i].last, true, NULL);
    }
    return rc;
}

/* Applies the noted ranges to both views. */
static int restrict_views(struct shield *s)
{
    const struct altp2m *xen = &s->hooks.xen;
    int rc = 0;

    for (uint64_t i = 0; i < guard.ranges && !rc; i++) {
        const struct guard_range *r = &guard.range[i];
        altp2m_gfn_t first = {r->first}, last = {r->last};

        rc = altp2m_set_access_range(xen, s->kernel, first, last, (enum altp2m_access)r->kernel);
        rc = rc ? rc : altp2m_set_ve_range(xen, s->kernel, first, last, true, NULL);
        if (!rc && r->agent != ALTP2M_RW)
            rc = altp2m_set_access_range(xen, s->agent, first, last, (enum altp2m_access)r->agent);
    }
    return rc;
}

/* The last steps, after which violations come to the gate. */
static int engage(struct shield *s)
{
    const struct altp2m *xen = &s->hooks.xen;
    void *context = s->hooks.context;
    int rc = gate_set_views(s->kernel, s->agent, s->hooks.code_write, context);

    rc = rc ? rc : s->hooks.vector_set(context, gate_ve_entry);
    rc = rc ? rc : altp2m_enable_notify(xen, 0, s->hooks.gfn_of(context, s->info));
    if (!rc) {
        rc = altp2m_set_vmfunc(xen, 0, true);
        rc = rc == -EOPNOTSUPP ? 0 : rc;
    }
    rc = rc ? rc : altp2m_switch(xen, s->kernel);
    rc = rc ? rc : altp2m_set_visible(xen, ALTP2M_VIEW_0, false);
    return rc;
}

static void undo(struct shield *s)
{
    altp2m_set_visible(&s->hooks.xen, ALTP2M_VIEW_0, true);
    altp2m_set_state(&s->hooks.xen, false);
    s->hooks.vector_set(s->hooks.context, NULL);
    if (s->info)
        s->hooks.page_free(s->hooks.context, s->info);
    s->info = NULL;
}

int shield_raise(struct shield *s, const struct shield_hooks *hooks, const struct shield_range *ram,
                 unsigned int rams, const struct shield_range *protect, unsigned int protects,
                 const void *deny)
{
    bool on = false;
    int rc;

    *s = (struct shield){.hooks = *hooks};
    rc = altp2m_get_state(&s->hooks.xen, &on);
    if (rc || on)
        return rc ? rc : -EBUSY;
    s->info = hooks->page_alloc(hooks->context);
    if (!s->info)
        return -ENOMEM;
    gate_deny = deny;
    guard.info = s->info;
    rc = note_all(s, protect, protects);
    rc = rc ? rc : altp2m_set_state(&s->hooks.xen, true);
    rc = rc ? rc : altp2m_create(&s->hooks.xen, ALTP2M_RWX, &s->kernel);
    rc = rc ? rc : make_agent_view(s, ram, rams);
    rc = rc ? rc : restrict_views(s);
    rc = rc ? rc : engage(s);
    if (rc)
        undo(s);
    return rc;
}

int shield_lower(struct shield *s)
{
    int rc = altp2m_set_visible(&s->hooks.xen, ALTP2M_VIEW_0, true);

    rc = rc ? rc : altp2m_switch(&s->hooks.xen, ALTP2M_VIEW_0);
    if (!rc)
        undo(s);
    return rc;
}
