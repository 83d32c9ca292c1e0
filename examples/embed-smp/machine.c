/* SPDX-License-Identifier: MIT */
/* Frames, processors, and the answers to core/platform.h that have to do with them. */
#include "machine.h"
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- frames ---- */

static uint8_t memory[FRAMES][PAGE_SIZE] __attribute__((aligned(4096)));
static atomic_uint references[FRAMES];

static unsigned index_of(mfn_t m)
{
    return (unsigned)(m.v - FIRST_MFN);
}

void *platform_map(mfn_t m)
{
    return memory[index_of(m)];
}

static bool is_ram(mfn_t m)
{
    return m.v >= RAM_MFN && m.v < OTHER_MFN;
}

void smp_frame_take(mfn_t m)
{
    atomic_fetch_add(&references[index_of(m)], 1);
}

unsigned smp_references(mfn_t m)
{
    return atomic_load(&references[index_of(m)]);
}

bool platform_frame_get(struct physmap *pm, mfn_t m)
{
    unsigned n;

    if (pm != &smp_domain || !is_ram(m)) {
        return false;
    }
    n = atomic_load(&references[index_of(m)]);
    while (n != 0) {
        if (atomic_compare_exchange_weak(&references[index_of(m)], &n, n + 1)) {
            return true;
        }
    }
    return false;
}

void platform_frame_put(struct physmap *pm, mfn_t m)
{
    (void)pm;
    atomic_fetch_sub(&references[index_of(m)], 1);
}

/* ---- the table format: a bit for each right, at the top ---- */

#define R  (1ULL << 60)
#define W  (1ULL << 61)
#define X  (1ULL << 62)
#define VE (1ULL << 4) /* set: a violation is no #VE */

const struct table_format smp_format = {
    .name = "smp",
    .rights = {[ACCESS_R] = R,
               [ACCESS_W] = W,
               [ACCESS_RW] = R | W,
               [ACCESS_X] = X,
               [ACCESS_RX] = R | X,
               [ACCESS_WX] = W | X,
               [ACCESS_RWX] = R | W | X,
               [ACCESS_RX2RW] = R | X},
    .full = R | W | X,
    .suppress_ve = VE,
    .large = 1ULL << 7,
    .valid = 1ULL << 0,
    .own_access = 1ULL << 1,
    .own_frame = 1ULL << 2,
    .own_ve = 1ULL << 3,
    .access_shift = 52,
    .type_shift = 56,
    .levels = 4,
};

/* ---- processors ---- */

#define TLB_SIZE 32u

enum order { ORDER_NONE, ORDER_ACCESS, ORDER_VMFUNC };

static struct processor {
    pthread_t thread;
    struct altp2m_vcpu altp2m;
    atomic_bool in_guest;
    atomic_bool kicked;
    atomic_ulong seen; /* the flush generation that its TLB is of */
    atomic_bool update;
    _Atomic(uint64_t) next_root, root; /* mfns; VMFUNC changes the second */
    atomic_bool vmfunc;
    atomic_ulong progress;
    struct {
        uint64_t root, gfn, leaf; /* leaf 0: empty */
    } tlb[TLB_SIZE];
    /* What the guest is to do, from smp_access() and smp_vmfunc(). */
    atomic_int order;
    gfn_t gfn;
    unsigned rights;
    view_t view;
    uint8_t byte;
    bool done;
} processors[PROCESSORS];

static atomic_ulong flushes;
static atomic_bool stopping;

static struct processor *processor_of(const struct altp2m_vcpu *v)
{
    for (unsigned n = 0; n < PROCESSORS; n++) {
        if (&processors[n].altp2m == v) {
            return &processors[n];
        }
    }
    return NULL;
}

static uint64_t entry(uint64_t table, unsigned i)
{
    return __atomic_load_n(&((uint64_t *)platform_map(mfn(table)))[i], __ATOMIC_ACQUIRE);
}

static uint64_t walk(uint64_t root, uint64_t g)
{
    uint64_t table = root, rights = smp_format.full, e = 0;

    for (unsigned level = smp_format.levels; level > 0 && rights; level--) {
        e = entry(table, g >> 9 * (level - 1) & 511);
        rights &= e & smp_format.full;
        table = (e & FORMAT_ADDRESS_MASK) >> PAGE_SHIFT;
        if (level > 1 && (e & smp_format.large)) {
            e += (g & ((1ULL << 9 * (level - 1)) - 1)) << PAGE_SHIFT;
            break;
        }
    }
    return (e & ~smp_format.full) | rights;
}

static uint64_t translate(struct processor *p, uint64_t g)
{
    uint64_t root = atomic_load(&p->root);
    unsigned slot = (unsigned)(g + root) % TLB_SIZE;

    if (p->tlb[slot].leaf == 0 || p->tlb[slot].gfn != g || p->tlb[slot].root != root) {
        p->tlb[slot].gfn = g;
        p->tlb[slot].root = root;
        p->tlb[slot].leaf = walk(root, g);
    }
    return p->tlb[slot].leaf;
}

/* A violation forgets the translation, as EPT's do; then the processor looks once more
 * before it exits. */
static bool access_byte(struct processor *p, uint64_t g, unsigned rights, uint8_t *byte)
{
    uint64_t need = (rights & RIGHT_R ? R : 0) | (rights & RIGHT_W ? W : 0);
    uint64_t leaf = translate(p, g);
    uint8_t *page;

    if ((leaf & need) != need) {
        memset(p->tlb, 0, sizeof(p->tlb));
        leaf = translate(p, g);
    }
    if ((leaf & need) != need) {
        return false;
    }
    page = platform_map(mfn((leaf & FORMAT_ADDRESS_MASK) >> PAGE_SHIFT));
    if (rights & RIGHT_W) {
        __atomic_store_n(page, *byte, __ATOMIC_RELAXED);
    } else {
        *byte = __atomic_load_n(page, __ATOMIC_RELAXED);
    }
    return true;
}

/* One page of roots, as hardware would read it. All ones: no view there. */
static void list(struct physmap *pm, unsigned v, uint64_t e)
{
    __atomic_store_n(&((uint64_t *)platform_map(pm->list_page))[v], e, __ATOMIC_RELEASE);
}

void platform_views_begin(struct physmap *pm)
{
    for (unsigned v = 0; v < VIEW_MAX; v++) {
        list(pm, v, ~0ULL);
    }
}

void platform_view_enterable(struct physmap *pm, view_t v, mfn_t root)
{
    list(pm, v.v, mfn_eq(root, MFN_INVALID) ? ~0ULL : root.v << PAGE_SHIFT);
}

static bool switch_view(struct processor *p, view_t v)
{
    uint64_t e = ~0ULL;

    if (atomic_load(&p->vmfunc) && v.v < VIEW_MAX) {
        e = entry(smp_domain.list_page.v, v.v);
    }
    if (e == ~0ULL) {
        return false;
    }
    atomic_store(&p->root, e >> PAGE_SHIFT);
    return true;
}

static void guest(struct processor *p)
{
    int order;

    atomic_fetch_add(&p->progress, 1);
    sched_yield(); /* there are more processors than the computer has; and kicks come late, as on
                      real ones */
    order = atomic_load(&p->order);
    if (order == ORDER_NONE) {
        return;
    }
    p->done = order == ORDER_ACCESS ? access_byte(p, p->gfn.v, p->rights, &p->byte)
                                    : switch_view(p, p->view);
    atomic_store(&p->order, ORDER_NONE);
}

/* ---- in and out of the guest ---- */

static atomic_uint paused;
static atomic_bool unsettled; /* the domain is: nobody enters its guest */

/* Says that it is in the guest, then looks again whether it may be: who wants it out looks the
 * other way round. */
static void enter(struct processor *p)
{
    for (;;) {
        unsigned long generation;

        atomic_store(&p->in_guest, true);
        generation = atomic_load(&flushes);
        if (!atomic_load(&paused) && !atomic_load(&p->update) &&
            atomic_load(&p->seen) == generation && !atomic_load(&unsettled)) {
            return;
        }
        atomic_store(&p->in_guest, false);
        if (atomic_load(&unsettled)) {
            physmap_settle(&smp_domain); /* a piece of what a long operation left */
        }
        if (atomic_exchange(&p->update, false)) {
            atomic_store(&p->root, atomic_load(&p->next_root));
        }
        memset(p->tlb, 0, sizeof(p->tlb));
        atomic_store(&p->seen, generation);
        if (atomic_load(&paused)) {
            sched_yield();
        }
        if (atomic_load(&stopping)) {
            return;
        }
    }
}

void smp_enter(unsigned n)
{
    enter(&processors[n]);
}

void smp_leave(unsigned n)
{
    atomic_store(&processors[n].in_guest, false);
    atomic_store(&processors[n].kicked, false);
}

bool smp_wanted(unsigned n)
{
    return atomic_load(&processors[n].kicked);
}

bool smp_touch(unsigned n, gfn_t g, unsigned rights, uint8_t *byte)
{
    return access_byte(&processors[n], g.v, rights, byte);
}

bool smp_switch(unsigned n, view_t v)
{
    return switch_view(&processors[n], v);
}

struct altp2m_vcpu *smp_vcpu(unsigned n)
{
    return &processors[n].altp2m;
}

static void (*body_of_all)(unsigned n);

static void *run_body(void *argument)
{
    body_of_all((unsigned)((struct processor *)argument - processors));
    return NULL;
}

/* The guest that waits for orders. */
static void *run(void *argument)
{
    struct processor *p = argument;

    while (!atomic_load(&stopping)) {
        enter(p);
        while (!atomic_load(&p->kicked) && !atomic_load(&stopping)) {
            guest(p);
        }
        atomic_store(&p->in_guest, false);
        atomic_store(&p->kicked, false);
    }
    return NULL;
}

/* Returns when the processor is out of the guest, or has been since `why` came true. */
static void kick(struct processor *p, bool (*settled)(struct processor *p, unsigned long n),
                 unsigned long n)
{
    while (atomic_load(&p->in_guest) && !settled(p, n)) {
        atomic_store(&p->kicked, true);
        sched_yield();
    }
}

static bool has_flushed(struct processor *p, unsigned long n)
{
    return atomic_load(&p->seen) >= n;
}

static bool has_updated(struct processor *p, unsigned long n)
{
    (void)n;
    return !atomic_load(&p->update);
}

static bool never(struct processor *p, unsigned long n)
{
    (void)p;
    (void)n;
    return false;
}

void platform_flush(struct physmap *pm, mfn_t root)
{
    unsigned long n = atomic_fetch_add(&flushes, 1) + 1;

    (void)root; /* everything: right, and more than was asked for */
    for (unsigned i = 0; pm == &smp_domain && i < PROCESSORS; i++) {
        kick(&processors[i], has_flushed, n);
    }
}

void platform_vcpu_update(struct altp2m_vcpu *v)
{
    struct processor *p = processor_of(v);

    if (p) {
        atomic_store(&p->vmfunc, v->vmfunc);
        atomic_store(&p->next_root, v->root.v);
        atomic_store(&p->update, true);
        kick(p, has_updated, 0);
    }
}

/* With the lock held: who is in the guest takes none there, and who is out does not come in. */
void platform_unsettled(struct physmap *pm, bool is)
{
    if (pm != &smp_domain) {
        return;
    }
    atomic_store(&unsettled, is);
    for (unsigned i = 0; is && i < PROCESSORS; i++) {
        kick(&processors[i], never, 0);
    }
}

/* An update that the processor has not taken yet is what it will have: then there is
 * nothing to learn. */
void platform_vcpu_sync(struct altp2m_vcpu *v)
{
    struct processor *p = processor_of(v);
    mfn_t root;

    if (!p || !v->vmfunc || atomic_load(&p->update)) {
        return;
    }
    root = mfn(atomic_load(&p->root));
    if (!mfn_eq(root, v->root)) {
        v->root = root;
        v->view = view_of_root(v->pm, root);
    }
}

/* ---- calls, and pauses ---- */

static atomic_uint calls; /* in flight */

long smp_call(const struct altp2m_caller *c, gva_t argument)
{
    long rc;

    for (;;) {
        atomic_fetch_add(&calls, 1);
        if (!atomic_load(&paused)) {
            break;
        }
        atomic_fetch_sub(&calls, 1);
        sched_yield();
    }
    rc = altp2m_hvmop(c, argument);
    while (physmap_settle(&smp_domain)) {
    }
    atomic_fetch_sub(&calls, 1);
    return rc;
}

/* One pauser at a time; another one's call answers that it is to be made again, so that this one's
 * can go on. */
bool platform_pause_others(struct physmap *pm)
{
    unsigned none = 0;

    if (pm != &smp_domain) {
        return true; /* no processor runs it */
    }
    if (!atomic_compare_exchange_strong(&paused, &none, 1)) {
        return false;
    }
    for (unsigned i = 0; i < PROCESSORS; i++) {
        kick(&processors[i], never, 0);
    }
    while (atomic_load(&calls) > 1) { /* the caller's own */
        sched_yield();
    }
    return true;
}

void platform_unpause_others(struct physmap *pm)
{
    if (pm == &smp_domain) {
        atomic_store(&paused, 0);
    }
}

/* ---- orders to a guest ---- */

static bool carry_out(struct processor *p, enum order order)
{
    atomic_store(&p->order, (int)order);
    while (atomic_load(&p->order) != ORDER_NONE) {
        sched_yield();
    }
    return p->done;
}

bool smp_access(unsigned n, gfn_t g, unsigned rights, uint8_t *byte)
{
    struct processor *p = &processors[n];
    bool done;

    p->gfn = g;
    p->rights = rights;
    p->byte = *byte;
    done = carry_out(p, ORDER_ACCESS);
    *byte = p->byte;
    return done;
}

bool smp_vmfunc(unsigned n, view_t v)
{
    processors[n].view = v;
    return carry_out(&processors[n], ORDER_VMFUNC);
}

unsigned long smp_progress(unsigned n)
{
    return atomic_load(&processors[n].progress);
}

void smp_start(void (*body)(unsigned n))
{
    body_of_all = body;
    for (unsigned n = 0; n < PROCESSORS; n++) {
        physmap_add_vcpu(&smp_domain, &processors[n].altp2m, n);
        platform_vcpu_update(&processors[n].altp2m);
    }
    physmap_add_vcpu(&smp_domain, &smp_callers_vcpu, PROCESSORS);
    for (unsigned n = 0; n < PROCESSORS; n++) {
        struct processor *p = &processors[n];

        if (pthread_create(&p->thread, NULL, body ? run_body : run, p) != 0) {
            perror("pthread_create");
            exit(1);
        }
    }
}

void smp_stop(void)
{
    atomic_store(&stopping, body_of_all == NULL);
    for (unsigned n = 0; n < PROCESSORS; n++) {
        pthread_join(processors[n].thread, NULL);
    }
}
