/* SPDX-License-Identifier: MIT */
#include "shield.h"
#include "tables.h"

#include "facet/hvmop.h"

#define EINVAL     22
#define EBUSY      16
#define ENOMEM     12
#define ENOSPC     28
#define EOPNOTSUPP 95
#define PAGE       4096u

/* The last range goes on where it can. */
static int note_range(struct guard_range r)
{
    struct guard_range *before = &guard.range[guard.ranges - 1];

    if (guard.ranges && before->last + 1 == r.first && before->kernel == r.kernel &&
        before->agent == r.agent && before->store == r.store) {
        before->last = r.last;
        return 0;
    }
    if (guard.ranges == GUARD_RANGES)
        return -ENOSPC;
    guard.range[guard.ranges++] = r;
    return 0;
}

/* Pages that are in a row in linear memory need not be so in frames. */
static int note_section(struct shield *s, const char *start, const char *end,
                        enum altp2m_access kernel, enum altp2m_access agent,
                        enum altp2m_access store)
{
    int rc = 0;

    for (const char *at = start; at < end && !rc; at += PAGE) {
        uint64_t gfn = s->hooks.gfn_of(s->hooks.context, at).v;

        rc = note_range((struct guard_range){gfn, gfn, kernel, agent, store});
    }
    return rc;
}

/* In the store view: what the kernel may do but execute; and what may be written there. */
static int note_protected(const struct shield_range *r)
{
    uint32_t store = r->access & ALTP2M_RW;

    if (r->may_store && !(store & ALTP2M_R))
        return -EINVAL;
    store |= r->may_store ? ALTP2M_W : 0;
    return note_range((struct guard_range){r->first.v, r->last.v, r->access, ALTP2M_RW, store});
}

static int note_all(struct shield *s, const struct shield_range *protect, unsigned int protects)
{
    int rc;

    guard.ranges = 0;
    rc = note_section(s, gate_page, gate_page_end, ALTP2M_RX, ALTP2M_RX, ALTP2M_RX);
    rc = rc ? rc : note_section(s, agent_store, agent_store_end, ALTP2M_R, ALTP2M_RX, ALTP2M_RX);
    rc = rc ? rc : note_section(s, agent_text, agent_text_end, ALTP2M_R, ALTP2M_RX, ALTP2M_R);
    rc = rc ? rc : note_section(s, agent_private, agent_private_end, ALTP2M_N, ALTP2M_RW, ALTP2M_N);
    rc = rc ? rc : note_section(s, agent_report, agent_report_end, ALTP2M_R, ALTP2M_RW, ALTP2M_R);
    if (!rc && s->entered)
        rc = note_section(s, agent_enter, agent_enter_end, ALTP2M_R, ALTP2M_RX, ALTP2M_R);
    for (unsigned int i = 0; i < s->vcpus && !rc; i++)
        rc = note_section(s, s->info[i], (char *)s->info[i] + PAGE, ALTP2M_R, ALTP2M_RW, ALTP2M_R);
    for (unsigned int i = 0; i < protects && !rc; i++)
        rc = note_protected(&protect[i]);
    for (uint64_t i = 0; guard_tables.on && i < guard_tables.pages && !rc; i++)
        rc = note_range((struct guard_range){guard_tables.page[i].gfn, guard_tables.page[i].gfn,
                                             ALTP2M_R, ALTP2M_RW, ALTP2M_R});
    return rc;
}

/* The agent's view or the store view: nothing is executable. */
static int make_data_view(const struct shield *s, altp2m_view_t *view,
                          const struct shield_range *ram, unsigned int rams)
{
    const struct altp2m *xen = &s->hooks.xen;
    int rc = altp2m_create(xen, ALTP2M_RW, view);

    for (unsigned int i = 0; i < rams && !rc; i++) {
        if (!altp2m_default_holds(xen, *view, ram[i].first, ALTP2M_RW))
            rc = altp2m_set_access_range(xen, *view, ram[i].first, ram[i].last, ALTP2M_RW);
        /* Holes inside a range are reported, and are no matter. */
        if (!rc)
            altp2m_set_ve_range(xen, *view, ram[i].first, ram[i].last, true, NULL);
    }
    return rc;
}

static int restrict_view(const struct shield *s, altp2m_view_t view, const struct guard_range *r,
                         uint32_t access)
{
    if (access == ALTP2M_RW)
        return 0;
    return altp2m_set_access_range(&s->hooks.xen, view, (altp2m_gfn_t){r->first},
                                   (altp2m_gfn_t){r->last}, (enum altp2m_access)access);
}

/* Applies the noted ranges to the views. */
static int restrict_views(struct shield *s)
{
    const struct altp2m *xen = &s->hooks.xen;
    int rc = 0;

    for (uint64_t i = 0; i < guard.ranges && !rc; i++) {
        const struct guard_range *r = &guard.range[i];
        altp2m_gfn_t first = {r->first}, last = {r->last};

        rc = altp2m_set_access_range(xen, s->kernel, first, last, (enum altp2m_access)r->kernel);
        rc = rc ? rc : altp2m_set_ve_range(xen, s->kernel, first, last, true, NULL);
        rc = rc ? rc : restrict_view(s, s->agent, r, r->agent);
        if (!rc && !s->entered)
            rc = restrict_view(s, s->store, r, r->store);
    }
    return rc;
}

static void vcpu_of(const struct shield *s, unsigned int n, uint32_t *id, uint32_t *apic_id)
{
    *id = *apic_id = 0;
    if (s->hooks.vcpus)
        s->hooks.vcpu(s->hooks.context, n, id, apic_id);
}

/* #VE and VMFUNC of one vCPU. Facet's policy `audited` has VMFUNC only for who asks for it. */
static int engage_vcpu(struct shield *s, unsigned int n)
{
    const struct altp2m *xen = &s->hooks.xen;
    uint32_t id, apic_id;
    int rc;

    vcpu_of(s, n, &id, &apic_id);
    rc = altp2m_enable_notify(xen, id, s->hooks.gfn_of(s->hooks.context, s->info[n]));
    if (!rc && s->entered)
        return enter_register(s, n, id);
    if (!rc && altp2m_may(xen, FACET_ALTP2M_set_vmfunc))
        rc = altp2m_set_vmfunc(xen, id, true);
    return rc;
}

/* All vCPUs to the kernel's view, for good where that can be had. */
static int close_views(struct shield *s)
{
    const struct altp2m *xen = &s->hooks.xen;
    int rc = -EOPNOTSUPP;

    guard.sealed = altp2m_may(xen, FACET_ALTP2M_seal);
    if (guard.sealed)
        rc = altp2m_seal(xen, s->agent, s->kernel);
    if (rc != -EOPNOTSUPP) {
        s->sealed = !rc;
        return rc;
    }
    guard.sealed = 0; /* before the agent's memory is out of reach */
    rc = altp2m_switch(xen, s->kernel);
    return rc ? rc : altp2m_set_visible(xen, ALTP2M_VIEW_0, false);
}

static uint64_t random_word(void)
{
    uint32_t low, high;
    uint64_t word;
    bool good;

    /* Every processor with #VE has it (SDM volume 1, 7.3.17); it may run dry for a moment. */
    for (unsigned int i = 0; i < 64; i++) {
        __asm__ volatile("rdrand %0" : "=r"(word), "=@ccc"(good));
        if (good)
            return word;
    }
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return ((uint64_t)high << 32 | low) * 0x9e3779b97f4a7c15;
}

/* The last steps, after which violations come to the gate. */
static int engage(struct shield *s)
{
    const struct gate_views views = {.kernel = s->kernel, .agent = s->agent, .store = s->store};
    void *context = s->hooks.context;
    int rc = gate_set_views(&views, random_word(), s->hooks.code_write, context);

    if (!rc && s->entered)
        rc = enter_patch(s, true);
    rc = rc ? rc : s->hooks.vector_set(context, s->entered ? gate_ve_enter : gate_ve_entry);
    for (unsigned int i = 0; i < s->vcpus && !rc; i++)
        rc = engage_vcpu(s, i);
    return rc ? rc : close_views(s);
}

static void free_pages(struct shield *s)
{
    for (unsigned int i = 0; i < GUARD_VCPUS; i++) {
        if (s->info[i])
            s->hooks.page_free(s->hooks.context, s->info[i]);
        s->info[i] = NULL;
    }
}

static void undo(struct shield *s)
{
    altp2m_set_visible(&s->hooks.xen, ALTP2M_VIEW_0, true);
    altp2m_set_state(&s->hooks.xen, false);
    s->hooks.vector_set(s->hooks.context, NULL);
    if (s->entered && s->call[0])
        enter_patch(s, false);
    free_pages(s);
}

/* What the agent must know, while its memory can still be written. */
static int prepare(struct shield *s, const void *deny)
{
    gate_deny = deny;
    gate_free = (uint32_t)((1ULL << GATE_SLOTS) - 1);
    gate_cookie = random_word();
    gate_cookie_step = random_word() | 1;
    guard.vcpus = s->vcpus;
    guard.pins = s->hooks.pins;
    for (unsigned int i = 0; i < s->vcpus; i++) {
        uint32_t id, apic_id;

        s->info[i] = s->hooks.page_alloc(s->hooks.context);
        if (!s->info[i])
            return -ENOMEM;
        vcpu_of(s, i, &id, &apic_id);
        guard.vcpu[i] =
            (struct guard_vcpu){.info = s->info[i], .id = id, .apic_id = apic_id & 0xff};
    }
    return 0;
}

/* Top tables may be anywhere. */
static int watch_tables(struct shield *s, const struct shield_range *ram, unsigned int rams)
{
    if (!s->hooks.tables)
        return 0;
    for (unsigned int i = 0; i < rams; i++)
        if (ram[i].last.v >= TABLES_FRAMES)
            return -EINVAL;
    gate_decode = tables_decode;
    guard.pins.registers |= GUARD_CR3;
    guard_tables.on = 1;
    return tables_find(&s->hooks);
}

/* By the hypervisor's way in where it has one, and tables are enough for all memory. */
static int begin(struct shield *s, const struct shield_range *ram, unsigned int rams,
                 const void *deny)
{
    int rc = -ENOSPC;

    guard_tables.on = 0;
    guard.entered = s->entered = !s->hooks.by_vmfunc && enter_possible(&s->hooks.xen);
    if (s->entered) {
        rc = prepare(s, deny);
        rc = rc ? rc : enter_build(s, ram, rams);
        rc = rc ? rc : watch_tables(s, ram, rams);
    }
    if (rc == -ENOSPC && s->hooks.by_enter) {
        rc = -EOPNOTSUPP;
    } else if (rc == -ENOSPC) {
        free_pages(s);
        guard.entered = s->entered = false;
        rc = prepare(s, deny);
    }
    return rc;
}

int shield_raise(struct shield *s, const struct shield_hooks *hooks, const struct shield_range *ram,
                 unsigned int rams, const struct shield_range *protect, unsigned int protects,
                 const void *deny)
{
    bool on = false;
    int rc;

    *s = (struct shield){.hooks = *hooks, .vcpus = hooks->vcpus ? hooks->vcpus : 1};
    if (s->vcpus > GUARD_VCPUS)
        return -EINVAL;
    rc = altp2m_get_state(&s->hooks.xen, &on);
    if (rc || on)
        return rc ? rc : -EBUSY;
    rc = altp2m_set_state(&s->hooks.xen, true);
    if (rc)
        return rc;
    rc = begin(s, ram, rams, deny);
    if (!rc && !s->entered && s->vcpus > GATE_SLOTS / 2)
        rc = -EINVAL;
    rc = rc ? rc : note_all(s, protect, protects);
    rc = rc ? rc : altp2m_create(&s->hooks.xen, ALTP2M_RWX, &s->kernel);
    guard_tables.view = s->kernel.v;
    rc = rc ? rc : make_data_view(s, &s->agent, ram, rams);
    if (!rc && !s->entered)
        rc = make_data_view(s, &s->store, ram, rams);
    rc = rc ? rc : restrict_views(s);
    rc = rc ? rc : engage(s);
    if (rc)
        undo(s);
    return rc;
}

int shield_lower(struct shield *s)
{
    int rc = s->sealed ? 0 : altp2m_set_visible(&s->hooks.xen, ALTP2M_VIEW_0, true);

    rc = rc ? rc : altp2m_switch(&s->hooks.xen, ALTP2M_VIEW_0);
    if (!rc)
        undo(s);
    return rc;
}
