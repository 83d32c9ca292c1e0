/* SPDX-License-Identifier: MIT */
#include "gate.h"
#include <string.h>
#include "calls.h"
#include "core/physmap_private.h"
#include "property.h"
#include "vendor.h"

#define GPA(g)    ((uint64_t)(g) << PAGE_SHIFT)
#define CODE      GPA(GUEST_AGENT + 4)
#define STACK     GPA(GUEST_AGENT + 6) /* its end */
#define TABLES    GPA(GUEST_AGENT + 6)
#define HERE      (GPA(GUEST_CODE) + 0x800) /* where callers call */
#define DR7_NONE  0x400u
#define SECRET_AT (SECRET | 0xa000)

unsigned long gate_entered, gate_left;

/* What one vCPU is like, as far as the property goes. */
struct at {
    bool inside, on_agent; /* on_agent: its root is that of the agent's view */
    uint16_t view;
    struct vcpu_regs regs;
    uint64_t fields[VCPU_FIELDS];
};

static struct {
    struct facet_altp2m_enter entry[GUEST_VCPUS];
    bool registered[GUEST_VCPUS];
    struct at at[GUEST_VCPUS], caller[GUEST_VCPUS]; /* last looked at; when it called */
    bool moved[GUEST_VCPUS];                        /* a monitor acted since the call */
    bool gated, exists;
} gate;

/* ---- what there is ---- */

static void fill(struct domain *d)
{
    const uint64_t at = GPA(GUEST_AGENT);
    uint64_t page[512];

    for (unsigned i = 0; i < AGENT_PAGES; i++) {
        for (unsigned j = 0; j < 512; j++) {
            page[j] = i == 3   ? GPA(j) | 3
                      : i >= 4 ? SECRET_AT | j
                      : j == 0 ? (at + (i + 1) * PAGE_SIZE) | 3
                               : 0;
        }
        machine_poke_gpa(d, at + i * PAGE_SIZE, page, sizeof(page));
    }
}

void gate_registered(const struct facet_altp2m_enter *e)
{
    if (e->vcpu < GUEST_VCPUS) {
        gate.entry[e->vcpu] = *e;
        gate.registered[e->vcpu] = true;
    }
}

void gate_build(struct vcpu *v, uint16_t agent, const uint16_t *others, unsigned nr)
{
    memset(&gate, 0, sizeof(gate));
    fill(v->domain);
    for (unsigned i = 0; i < nr * AGENT_PAGES; i++) {
        EXPECT(call_set_access(v, DOMID_SELF, others[i / AGENT_PAGES],
                               GUEST_AGENT + i % AGENT_PAGES, ACCESS_N) == 0,
               "the agent's pages cannot be hidden");
    }
    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        struct facet_altp2m_enter e = {
            .view = agent,
            .vcpu = i,
            .rip = CODE + 0x10 * i,
            .rsp = STACK - 0x100 * i,
            .cr3 = GPA(GUEST_AGENT),
            .gdt = TABLES,
            .gdt_limit = 0x7f,
            .idt = TABLES + 0x800,
            .idt_limit = 0x1ff,
        };

        long rc = call_facet(v, DOMID_SELF, FACET_ALTP2M_enter, &e, sizeof(e));

        EXPECT(rc == 0, "no entry for vCPU %u: %ld", i, rc);
        gate_registered(&e);
    }
}

/* ---- looking ---- */

static struct physmap *physmap(void)
{
    return &machine_domain(1)->physmap;
}

static bool is_gated(void)
{
    return machine_domain(1) && physmap()->sealed && physmap()->gated;
}

static uint64_t agent_root(void)
{
    return physmap()->pool.first + physmap()->views[physmap()->agent_view.v].root;
}

static void look(struct at *a, const struct vcpu *v)
{
    a->inside = v->altp2m.inside;
    a->on_agent = is_gated() && v->altp2m.root.v == agent_root();
    a->view = v->altp2m.view.v;
    a->regs = v->regs;
    memcpy(a->fields, whole_of(v)->fields, sizeof(a->fields));
}

void gate_before(void)
{
    gate.exists = machine_domain(1);
    gate.gated = is_gated();
    for (unsigned i = 0; gate.exists && i < GUEST_VCPUS; i++) {
        look(&gate.at[i], machine_vcpu(1, i));
    }
}

void gate_begin(void)
{
    gate_before();
    memset(gate.moved, 0, sizeof(gate.moved));
}

/* ---- what must hold ---- */

static uint64_t field(const struct at *a, enum vcpu_field f)
{
    return a->fields[f];
}

#define IS(f, value)                                                                               \
    EXPECT(field(&now, f) == (value), "vCPU %u entered with " #f " %lx, not %lx", v->id,           \
           field(&now, f), (uint64_t)(value))

/* Where and with what it begins, and that nothing of the caller decides that. */
static void check_entered(const struct vcpu *v)
{
    const struct facet_altp2m_enter *e = &gate.entry[v->id];
    const struct at *was = &gate.caller[v->id];
    struct vcpu_regs regs = was->regs;
    struct at now;

    look(&now, v);
    EXPECT(gate.gated && gate.registered[v->id], "vCPU %u entered without an entry", v->id);
    EXPECT(was->view <= physmap()->guest_views || physmap()->views[was->view].shown,
           "vCPU %u entered from view %u, where a monitor holds it", v->id, was->view);
    EXPECT(now.on_agent && now.view == e->view, "vCPU %u entered on view %u", v->id, now.view);
    EXPECT(!v->altp2m.vmfunc, "vCPU %u entered, and may use VMFUNC", v->id);
    IS(VCPU_RIP, e->rip);
    IS(VCPU_RSP, e->rsp);
    IS(VCPU_CR3, e->cr3);
    IS(VCPU_GDTR_BASE, e->gdt);
    IS(VCPU_GDTR_LIMIT, e->gdt_limit);
    IS(VCPU_IDTR_BASE, e->idt);
    IS(VCPU_IDTR_LIMIT, e->idt_limit);
    IS(VCPU_RFLAGS, X86_EFLAGS_FIXED);
    IS(VCPU_DR7, DR7_NONE);
    IS(VCPU_CR0, field(was, VCPU_CR0) | X86_CR0_WP);
    IS(VCPU_EFER, field(was, VCPU_EFER) | EFER_NXE);
    IS(VCPU_PENDING_TRAP, 0u);
    EXPECT(!(field(&now, VCPU_BLOCKING) & (BLOCKING_STI | BLOCKING_MOVSS)) && !v->event.due,
           "vCPU %u entered with an event", v->id);
    regs.rax = 0;
    regs.rdi = field(was, VCPU_CR3);
    EXPECT(memcmp(&regs, &now.regs, sizeof(regs)) == 0, "vCPU %u entered with other registers",
           v->id);
    gate.moved[v->id] = false;
    gate_entered++;
}

/* It goes on behind its call, and what the agent may have had otherwise is as it was. */
static void check_left(const struct vcpu *v)
{
    const struct at *agent = &gate.at[v->id], *was = &gate.caller[v->id];
    struct vcpu_regs regs = agent->regs;
    uint16_t view;
    struct at now;

    look(&now, v);
    regs.rax = regs.rdx;
    EXPECT(memcmp(&regs, &now.regs, sizeof(regs)) == 0, "vCPU %u left with other registers", v->id);
    EXPECT(field(&now, VCPU_RIP) == field(was, VCPU_RIP) + 3, "vCPU %u left to %lx, not %lx", v->id,
           field(&now, VCPU_RIP), field(was, VCPU_RIP) + 3);
    for (unsigned f = VCPU_RSP; f < VCPU_FIELDS; f++) {
        bool its_own = f == VCPU_BLOCKING || f == VCPU_SLICE || f == VCPU_EXIT_LENGTH ||
                       f == VCPU_EXIT_DETAIL || f == VCPU_CR2;

        EXPECT(its_own || field(&now, f) == field(was, f),
               "vCPU %u left with field %u %lx, not %lx", v->id, f, field(&now, f), field(was, f));
    }
    /* Where no way leads back to it goes where all others are: a monitor had put it there. */
    view = was->view == 0 || was->on_agent ? physmap()->start_view.v : was->view;
    EXPECT(!gate.gated || gate.moved[v->id] || now.view == view,
           "vCPU %u left to view %u, and came from %u", v->id, now.view, was->view);
    gate_left++;
}

/* Nobody else touches it while it is inside, or gets it out. */
static void check_alone(const struct vcpu *w)
{
    const struct at *was = &gate.at[w->id];
    struct at now;

    look(&now, w);
    EXPECT(memcmp(&was->regs, &now.regs, sizeof(now.regs)) == 0,
           "registers of vCPU %u were changed in the agent", w->id);
    for (unsigned f = 0; f < VCPU_FIELDS; f++) {
        EXPECT(f == VCPU_SLICE || field(was, f) == field(&now, f),
               "field %u of vCPU %u was changed in the agent, from %lx to %lx", f, w->id,
               field(was, f), field(&now, f));
    }
}

/* Of v, which is not known to have called. */
static void check_ways(const struct vcpu *w, bool entered)
{
    const struct at *was = &gate.at[w->id];
    bool on_agent = w->altp2m.root.v == agent_root();

    EXPECT(entered || !w->altp2m.inside || was->inside, "vCPU %u is inside by another way", w->id);
    EXPECT(entered || !on_agent || was->on_agent, "vCPU %u is on the agent's view by another way",
           w->id);
    EXPECT(!w->altp2m.inside || !w->altp2m.vmfunc, "vCPU %u is inside and may use VMFUNC", w->id);
}

static void check_list(void)
{
    uint64_t e;

    memcpy(&e, machine_frame(physmap()->list_page.v) + 8 * physmap()->agent_view.v, sizeof(e));
    EXPECT(e == ~0ULL, "VMFUNC enters the agent's view");
}

void gate_after(const struct vcpu *v, bool entering)
{
    if (!gate.exists || !machine_domain(1)) {
        return;
    }
    for (unsigned i = 0; i < GUEST_VCPUS; i++) {
        const struct vcpu *w = machine_vcpu(1, i);
        bool was = gate.at[i].inside, entered = w == v && entering && !was && w->altp2m.inside;

        if (entered) {
            check_entered(w);
        } else if (was && !w->altp2m.inside && w == v && entering) {
            check_left(w);
        } else if (was && v) {
            EXPECT(w->altp2m.inside, "vCPU %u was taken out of the agent", i);
            if (w != v) {
                check_alone(w);
            }
        }
        if (v && gate.gated && is_gated()) {
            check_ways(w, entered);
        }
        gate.moved[i] = gate.moved[i] || !v;
    }
    if (is_gated()) {
        check_list();
    }
}

/* ---- calls ---- */

static unsigned how_now;
static uint64_t saved_ss, seed;

static uint64_t some(void)
{
    return seed = seed * 0x5851f42d4c957f2dULL + 0x14057b7ef767814fULL;
}

/* What a caller may have otherwise; each is a bit of `how`. */
static void choose_state(struct vcpu *v)
{
    uint64_t *cr0 = whole_field(v, VCPU_CR0), *efer = whole_field(v, VCPU_EFER);

    *whole_field(v, VCPU_RFLAGS) = X86_EFLAGS_FIXED | (how_now & 1 ? X86_EFLAGS_TF : 0) |
                                   (how_now & 2 ? X86_EFLAGS_RF : 0) |
                                   (how_now & 4 ? X86_EFLAGS_IF : 0);
    *whole_field(v, VCPU_DR7) = how_now & 8 ? DR7_NONE | 0x55 : DR7_NONE;
    *cr0 = how_now & 16 ? *cr0 & ~(uint64_t)X86_CR0_WP : *cr0 | X86_CR0_WP;
    *efer = how_now & 32 ? *efer & ~(uint64_t)EFER_NXE : *efer | EFER_NXE;
    *whole_field(v, VCPU_BLOCKING) = how_now & 64 ? BLOCKING_STI : 0;
    *whole_field(v, VCPU_PENDING_TRAP) = (how_now & 9) == 9 ? TRAP_BS : 0;
}

void gate_tidy(struct vcpu *v)
{
    if (!v->altp2m.inside) {
        how_now = 0;
        choose_state(v);
    }
}

static void do_enter(struct vcpu *v)
{
    uint64_t *general = &v->regs.rax;

    seed = how_now;
    for (unsigned i = 0; i < sizeof(v->regs) / 8; i++) {
        general[i] = some() & 0xffffffff;
    }
    *whole_field(v, VCPU_RIP) = HERE;
    choose_state(v);
    v->regs.rax = __HYPERVISOR_hvm_op;
    v->regs.rdi = FACET_ALTP2M_enter;
    if (how_now & 128) {
        *whole_field(v, vcpu_segment_field(VCPU_AR, SEG_SS)) |= 3u << 5;
    }
    whole_says(VCPU_EXIT_HYPERCALL, 3);
    look(&gate.caller[v->id], v);
}

long gate_enter(struct vcpu *v, unsigned how)
{
    bool ran;

    how_now = how;
    saved_ss = *whole_field(v, vcpu_segment_field(VCPU_AR, SEG_SS));
    ran = machine_enter(v, do_enter);
    if (!ran || !machine_domain(1)) {
        return MACHINE_NOT_RUN;
    }
    *whole_field(v, vcpu_segment_field(VCPU_AR, SEG_SS)) = saved_ss;
    EXPECT(!(how & 128) || !v->altp2m.inside, "user space entered the agent");
    return v->altp2m.inside ? 0 : (long)v->regs.rax;
}

/* Its own registers, of which it leaves no more outside than it chooses. */
static void do_run(struct vcpu *v)
{
    uint64_t *general = &v->regs.rax;

    seed = how_now * 3 + 1;
    for (unsigned i = 0; i < sizeof(v->regs) / 8; i++) {
        general[i] = some() & 0xffffffff;
    }
    *whole_field(v, VCPU_RIP) = CODE + (how_now & 0xff0);
    *whole_field(v, VCPU_RSP) -= 8 * (how_now & 7);
    *whole_field(v, VCPU_CR3) = GPA(GUEST_AGENT);
    *whole_field(v, VCPU_IDTR_LIMIT) = 0xff;
    *whole_field(v, VCPU_GDTR_BASE) = TABLES + 8;
    *whole_field(v, VCPU_RFLAGS) = X86_EFLAGS_FIXED | 0x8d5;
    *whole_field(v, VCPU_DR7) = DR7_NONE | (how_now & 2);
    *whole_field(v, VCPU_PENDING_TRAP) = 0;
}

void gate_agent_runs(struct vcpu *v, unsigned how)
{
    how_now = how;
    machine_enter(v, do_run);
}

static void do_leave(struct vcpu *v)
{
    do_run(v);
    *whole_field(v, VCPU_DR7) = DR7_NONE;
    v->regs.rax = __HYPERVISOR_hvm_op;
    v->regs.rdi = FACET_ALTP2M_enter;
    whole_says(VCPU_EXIT_HYPERCALL, 3);
    look(&gate.at[v->id], v);
}

bool gate_leave(struct vcpu *v, unsigned how)
{
    how_now = how;
    return machine_enter(v, do_leave) && machine_domain(1);
}
