/* SPDX-License-Identifier: MIT */
#include "guest_side.h"
#include <stdlib.h>
#include <string.h>
#include "core/format.h"
#include "core/physmap_private.h"
#include "promise.h"
#include "x86/smp.h"

#define STEPS 60u /* in the guest, if nobody wants it out of there */

static struct guest_side sides[VCPUS];

/* ---- tables: EPT's bits ---- */

const struct table_format *guest_side_format(void)
{
    static const struct table_format format = {
        .name = "EPT's",
        .rights = {[ACCESS_R] = 1,
                   [ACCESS_RW] = 3,
                   [ACCESS_X] = 4,
                   [ACCESS_RX] = 5,
                   [ACCESS_WX] = 4,
                   [ACCESS_RWX] = 7,
                   [ACCESS_RX2RW] = 5},
        .full = 7,
        .suppress_ve = 1ULL << 63,
        .leaf_ram = 6ULL << 3,
        .leaf_uncached = 1ULL << 6,
        .large = 1ULL << 7,
        .valid = 1ULL << 8,
        .own_access = 1ULL << 52,
        .own_frame = 1ULL << 53,
        .own_ve = 1ULL << 54,
        .access_shift = 55,
        .type_shift = 59,
        .levels = 4,
        .large_1g = true,
    };

    return &format;
}

/* ---- the processor's translations ---- */

#define TLB_SIZE 64u

/* Of vCPUs' own pages, by VPID, in whichever view. */
static struct {
    unsigned means;
    bool valid;
} linear[PROCESSORS_MAX][VCPUS][PAGES];

static struct translation {
    uint64_t root, gfn;
    unsigned rights;
    bool valid;
} tlbs[PROCESSORS_MAX][TLB_SIZE];

static unsigned slot(uint64_t root, uint64_t g)
{
    return (unsigned)((root * 31 + g) * 0x9e3779b97f4a7c15ULL >> 40) % TLB_SIZE;
}

/* The processor's own, which no compiler sees: others write entries meanwhile. */
__attribute__((no_sanitize("thread"))) static unsigned walk(const struct vcpu *v, uint64_t root,
                                                            uint64_t g)
{
    const struct pool *p = &v->altp2m.pm->pool;
    unsigned rights = 7;

    for (unsigned level = 4;; level--) {
        uint64_t i = root - p->first, e;

        machine_meet();
        if (i >= p->nr) {
            machine_fail("a table at frame %lx", (unsigned long)root);
        }
        if (p->page[i].kind != PAGE_VIEW && p->page[i].kind != PAGE_HOST &&
            p->page[i].kind != PAGE_LIMBO) { /* whose flush waits for this processor */
            machine_fail("vCPU %u walks a page of kind %u", v->id, p->page[i].kind);
        }
        e = ((const volatile uint64_t *)(root << PAGE_SHIFT))[g >> 9 * (level - 1) & 511];
        rights &= e & 7;
        if (rights == 0 || level == 1 || (e & 0x80)) {
            return rights;
        }
        root = (e & 0x000ffffffffff000ULL) >> PAGE_SHIFT;
    }
}

static unsigned translate(const struct vcpu *v, uint64_t root, uint64_t g)
{
    struct translation *t = &tlbs[machine_here()][slot(root, g)];

    if (!t->valid || t->root != root || t->gfn != g) {
        t->root = root;
        t->gfn = g;
        t->rights = walk(v, root, g);
        t->valid = t->rights != 0;
        machine_count()->walks++;
    }
    return t->rights;
}

void vmx_flush(struct vcpu *v, mfn_t root)
{
    struct translation *tlb = tlbs[machine_here()];

    for (unsigned i = 0; !v && i < TLB_SIZE; i++) {
        tlb[i].valid = tlb[i].valid && !mfn_eq(root, MFN_INVALID) && tlb[i].root != root.v;
    }
    for (unsigned i = 0; i < VCPUS; i++) {
        for (unsigned j = 0; (!v || v->id == i) && j < PAGES; j++) {
            linear[machine_here()][i][j].valid = false;
        }
    }
}

/* ---- in the guest ---- */

__attribute__((no_sanitize("thread"))) static unsigned view_of(const struct vcpu *v, uint64_t root)
{
    const struct physmap *pm = v->altp2m.pm;

    for (unsigned i = 0; i < VIEWS; i++) {
        if (pm->views[i].exists && pm->pool.first + pm->views[i].root == root) {
            return i;
        }
    }
    return VIEWS;
}

static void use(struct vcpu *v, struct guest_side *g)
{
    unsigned page = (unsigned)guest_side_random(g) % GFNS;
    unsigned at = view_of(v, g->root.v), rights;
    uint32_t no = at < VIEWS ? PROMISED(no_rights[at][page]) : 0;

    if (at == VIEWS) {
        machine_fail("vCPU %u is on a view that was destroyed", v->id);
    }
    rights = translate(v, g->root.v, machine_gfn(page).v);
    no &= PROMISED(no_rights[at][page]); /* else they were given meanwhile */
    if (rights & no) {
        machine_fail("vCPU %u has rights %u in view %u at page %u, of which %u were taken away",
                     v->id, rights, at, page, no);
    }
    machine_count()->uses++;
}

/* Where its own tables lead. */
static void use_own_page(const struct vcpu *v, struct guest_side *g)
{
    unsigned page = (unsigned)guest_side_random(g) % PAGES;

    if (!linear[machine_here()][v->id][page].valid) {
        linear[machine_here()][v->id][page].means = g->pages[page];
        linear[machine_here()][v->id][page].valid = true;
    }
    if (linear[machine_here()][v->id][page].means != g->pages[page]) {
        machine_fail("vCPU %u finds page %u of its own where it was before", v->id, page);
    }
}

/* And INVLPG, which is this processor's alone. */
static void move_own_page(const struct vcpu *v, struct guest_side *g)
{
    unsigned page = (unsigned)guest_side_random(g) % PAGES;

    g->pages[page]++;
    linear[machine_here()][v->id][page].valid = false;
}

__attribute__((no_sanitize("thread"))) static uint64_t listed(const struct guest_side *g,
                                                              unsigned i)
{
    return ((const volatile uint64_t *)(g->list.v << PAGE_SHIFT))[i];
}

static void vmfunc(struct vcpu *v, struct guest_side *g)
{
    unsigned to = (unsigned)guest_side_random(g) % VIEWS;
    bool hidden = PROMISED(hidden[to]), off = PROMISED(no_vmfunc[v->id]);
    uint64_t e;

    if (!g->vmfunc) {
        return;
    }
    if (off) {
        machine_fail("vCPU %u uses VMFUNC, which was turned off", v->id);
    }
    e = listed(g, to);
    if (e == ~0ULL) {
        return;
    }
    if (hidden) {
        machine_fail("vCPU %u enters view %u, which was hidden", v->id, to);
    }
    g->root = mfn(e >> PAGE_SHIFT);
    machine_count()->switches++;
}

__attribute__((no_sanitize("thread"))) static bool unsettled(const struct vcpu *v)
{
    return *(const volatile uint32_t *)&v->altp2m.pm->work.pending;
}

static void look_at_promises(const struct vcpu *v, const struct guest_side *g)
{
    uint64_t root = PROMISED(root[v->id]);
    int notify = PROMISED(notify[v->id]);

    if (PROMISED(paused[v->id])) {
        machine_fail("vCPU %u runs, and was paused", v->id);
    }
    if (root && root != g->root.v) {
        machine_fail("vCPU %u is on root %lx, and was put on %lx", v->id, (unsigned long)g->root.v,
                     (unsigned long)root);
    }
    if (notify && (notify == NOTIFIED) != g->notified) {
        machine_fail("vCPU %u is told of violations, or not, as it was before", v->id);
    }
    if (PROMISED(settles) && unsettled(v)) {
        machine_fail("vCPU %u sees what is half done", v->id);
    }
}

/* Somebody is there who may call, or waits for v to come out. */
__attribute__((no_sanitize("thread"))) static bool others_run(const struct vcpu *v)
{
    const struct domain *d = v->domain;

    for (unsigned i = 0; i < d->nr_vcpus; i++) {
        const struct vcpu *w = d->vcpus[i];

        if (w != v && *(const volatile enum vcpu_state *)&w->state == VCPU_RUNNABLE &&
            *(const volatile unsigned *)&w->paused == 0) {
            return true;
        }
    }
    return false;
}

/* One vCPU often stays until it is wanted, so that a kick that is lost shows. */
static enum vcpu_exit_kind guest(struct vcpu *v, struct guest_side *g)
{
    bool stays = v->id == 1 && guest_side_random(g) % 4 == 0;

    for (unsigned i = 0; i < STEPS || (stays && others_run(v)); i++) {
        unsigned what = (unsigned)guest_side_random(g) % (stays ? 15 : 16);
        bool woken = PROMISED(woken[v->id]);

        if (machine_interrupted()) {
            return VCPU_EXIT_INTERRUPT;
        }
        if (woken) {
            machine_fail("vCPU %u was woken, and stays in the guest", v->id);
        }
        g->fields[VCPU_RIP]++;
        g->memory++;
        machine_meet();
        look_at_promises(v, g);
        if (what < 9) {
            use(v, g);
        } else if (what < 12) {
            vmfunc(v, g);
        } else if (what < 13) {
            machine_pause();
        } else if (what < 14) {
            use_own_page(v, g);
        } else if (what < 15) {
            move_own_page(v, g);
        } else {
            g->came_out_at = g->fields[VCPU_RIP];
            return VCPU_EXIT_HYPERCALL;
        }
    }
    this_cpu()->timer_fired = guest_side_random(g) % 4 == 0;
    return VCPU_EXIT_SLICE;
}

/* ---- entries and exits: as hv/vmx/exit.c and vcpu.c ---- */

static void sync_view(struct vcpu *v)
{
    struct guest_side *g = guest_side(v);

    if (!mfn_eq(g->root, g->followed) && !v->altp2m_changed) {
        g->followed = g->root;
        v->altp2m.root = g->root;
        v->altp2m.view = view_of_root(v->altp2m.pm, g->root);
        if (view_eq(v->altp2m.view, VIEW_NONE)) {
            machine_fail("vCPU %u comes out of a view that is none", v->id);
        }
    }
}

static void follow(struct vcpu *v)
{
    struct guest_side *g = guest_side(v);

    g->root = g->followed = v->altp2m.root;
    g->vmfunc = v->altp2m.vmfunc;
    g->notified = !mfn_eq(v->altp2m.ve_info, MFN_INVALID);
    g->list = v->altp2m.pm->list_page;
    v->altp2m_changed = false;
}

void vmx_run(struct vcpu *v, struct vcpu_exit *e)
{
    struct guest_side *g = guest_side(v);
    enum vcpu_exit_kind kind;
    enum smp_exit how;

    if (v->altp2m_changed) {
        follow(v);
    }
    remote_enter(v);
    TAKE_BACK(woken[v->id], false); /* it has looked */
    smp_leave();
    kind = guest(v, g);
    how = smp_back();
    if (g->vmfunc) {
        sync_view(v);
    }
    if (how == SMP_EXIT_DROPPED) {
        machine_count()->dropped++;
    }
    e->kind = how == SMP_EXIT_DROPPED || (how != SMP_EXIT && vcpu_exit_again(kind))
                  ? VCPU_EXIT_WINDOW
                  : kind;
}

int vcpu_msr_init(void)
{
    return 0;
}

int vmx_create(struct vcpu *v)
{
    memset(&sides[v->id], 0, sizeof(sides[v->id]));
    v->vendor[0] = (uint64_t)&sides[v->id];
    return 0;
}

void vmx_destroy(struct vcpu *v)
{
    (void)v;
}

void vmx_load(struct vcpu *v)
{
    if (guest_side(v)->in) {
        machine_fail("vCPU %u is loaded, and is in a processor already", v->id);
    }
    machine_count()->moves += guest_side(v)->last != this_cpu();
    guest_side(v)->in = guest_side(v)->last = this_cpu();
}

void vmx_unload(struct vcpu *v)
{
    guest_side(v)->in = NULL;
    if (guest_side(v)->vmfunc) {
        sync_view(v);
    }
}

static void must_be_loaded(const struct vcpu *v)
{
    if (!cpu_loaded(v)) {
        machine_fail("vCPU %u is not loaded here", v->id);
    }
}

uint64_t vmx_get(const struct vcpu *v, enum vcpu_field f)
{
    must_be_loaded(v);
    return guest_side(v)->fields[f];
}

void vmx_set(struct vcpu *v, enum vcpu_field f, uint64_t value)
{
    must_be_loaded(v);
    guest_side(v)->fields[f] = value;
}
