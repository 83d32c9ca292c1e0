/* SPDX-License-Identifier: MIT */
/*
 * The core in another hypervisor: a program with one domain of 64 pages and one virtual processor,
 * whose MMU walks tables of a format of its own. docs/embedding.md goes through it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "core/abi.h"
#include "core/altp2m.h"
#include "core/platform.h"

/* ---- the machine: frames, the first of which are for tables ---- */

enum { TABLE_FRAMES = 96, RAM_FRAMES = 64, FRAMES = TABLE_FRAMES + RAM_FRAMES };
#define FIRST_MFN 0x1000u

static uint8_t memory[FRAMES][PAGE_SIZE] __attribute__((aligned(4096)));
static unsigned references[FRAMES]; /* 0: free */

static unsigned index_of(mfn_t m)
{
    return (unsigned)(m.v - FIRST_MFN);
}

void *platform_map(mfn_t m)
{
    return memory[index_of(m)];
}

bool platform_frame_get(struct physmap *pm, mfn_t m)
{
    (void)pm;
    if (index_of(m) < TABLE_FRAMES || index_of(m) >= FRAMES || references[index_of(m)] == 0) {
        return false; /* not RAM of the domain's */
    }
    references[index_of(m)]++;
    return true;
}

void platform_frame_put(struct physmap *pm, mfn_t m)
{
    (void)pm;
    references[index_of(m)]--;
}

/* ---- the table format ---- */

#define TOY_R (1ULL << 60)
#define TOY_W (1ULL << 61)
#define TOY_X (1ULL << 62)

static const struct table_format toy = {
    .name = "toy",
    .rights = {[ACCESS_R] = TOY_R,
               [ACCESS_W] = TOY_W,
               [ACCESS_RW] = TOY_R | TOY_W,
               [ACCESS_X] = TOY_X,
               [ACCESS_RX] = TOY_R | TOY_X,
               [ACCESS_WX] = TOY_W | TOY_X,
               [ACCESS_RWX] = TOY_R | TOY_W | TOY_X,
               [ACCESS_RX2RW] = TOY_R | TOY_X},
    .full = TOY_R | TOY_W | TOY_X,
    .large = 1ULL << 7,
    .valid = 1ULL << 0,
    .own_access = 1ULL << 1,
    .own_frame = 1ULL << 2,
    .own_ve = 1ULL << 3,
    .access_shift = 52,
    .type_shift = 56,
    .levels = 4,
};

/* ---- the processor: a root, and translations that it remembers ---- */

#define TLB_SIZE 16u

static struct physmap domain;
static struct {
    struct altp2m_vcpu altp2m;
    bool update; /* `root` is to be loaded before the guest runs */
    mfn_t root;
    struct {
        uint64_t gfn, leaf; /* leaf 0: empty */
    } tlb[TLB_SIZE];
    unsigned flushes;
} cpu;

void platform_flush(struct physmap *pm, mfn_t root)
{
    (void)pm;
    (void)root; /* one processor: forgetting everything is right, and more than was asked for */
    memset(cpu.tlb, 0, sizeof(cpu.tlb));
    cpu.flushes++;
}

void platform_vcpu_update(struct altp2m_vcpu *v)
{
    (void)v;
    cpu.update = true;
}

void platform_vcpu_sync(struct altp2m_vcpu *v)
{
    (void)v; /* no VMFUNC: views change only by calls, which the core knows of */
}

void platform_views_begin(struct physmap *pm)
{
    (void)pm; /* nor needs it to know what could be entered so */
}

void platform_view_enterable(struct physmap *pm, view_t v, mfn_t root)
{
    (void)pm;
    (void)v;
    (void)root;
}

static uint64_t walk(uint64_t gfn)
{
    uint64_t table = cpu.root.v, rights = toy.full, e = 0;

    for (unsigned level = toy.levels; level > 0; level--) {
        e = ((uint64_t *)platform_map(mfn(table)))[gfn >> 9 * (level - 1) & 511];
        rights &= e & toy.full;
        table = (e & FORMAT_ADDRESS_MASK) >> PAGE_SHIFT;
        if (level > 1 && (e & toy.large)) {
            e += (gfn & ((1ULL << 9 * (level - 1)) - 1)) << PAGE_SHIFT;
            break;
        }
    }
    return (e & ~toy.full) | rights;
}

static uint64_t translate(uint64_t gfn)
{
    unsigned slot = gfn % TLB_SIZE;

    if (cpu.tlb[slot].gfn != gfn || cpu.tlb[slot].leaf == 0) {
        cpu.tlb[slot].gfn = gfn;
        cpu.tlb[slot].leaf = walk(gfn);
    }
    return cpu.tlb[slot].leaf;
}

/* A long operation is decided, and the rest of it is done before the guest runs: nobody else could
 * be let in between here. */
void platform_unsettled(struct physmap *pm, bool unsettled)
{
    (void)pm;
    (void)unsettled;
}

/* Before the guest runs: what is left of long operations, and
 * what platform_vcpu_update() announced. */
static void enter(void)
{
    while (physmap_settle(&domain)) {
    }
    if (cpu.update) {
        cpu.root = cpu.altp2m.root;
        memset(cpu.tlb, 0, sizeof(cpu.tlb));
        cpu.update = false;
    }
}

/* The guest reads (RIGHT_R) or writes (RIGHT_R | RIGHT_W) a byte. The name of what came of it. */
static const char *access_byte(uint64_t gfn, unsigned rights, uint8_t *byte, bool listener)
{
    uint64_t need = (rights & RIGHT_R ? TOY_R : 0) | (rights & RIGHT_W ? TOY_W : 0);
    struct fault fault = {.gfn = (gfn_t){gfn}, .rights = rights};
    bool faulted = false;

    for (;; faulted = true) {
        enter();
        uint64_t leaf = translate(gfn);
        if ((leaf & need) == need) {
            uint8_t *page = platform_map(mfn((leaf & FORMAT_ADDRESS_MASK) >> PAGE_SHIFT));
            *(rights & RIGHT_W ? page : byte) = *(rights & RIGHT_W ? byte : page);
            return faulted ? "done, after a fault" : "done";
        }
        cpu.tlb[gfn % TLB_SIZE].leaf = 0; /* as EPT: a violation forgets the translation */
        switch (altp2m_fault(&cpu.altp2m, &fault, listener)) {
        case FAULT_RETRY:
        case FAULT_CONVERTED: /* the same, and a listener is to hear of it */
            break;
        case FAULT_UNMAPPED:
            return "nothing is there";
        case FAULT_REFUSED: /* a sealed guest's: here a hypervisor injects an exception */
            return "refused";
        default: /* FAULT_DENIED: here a hypervisor tells the listener, and pauses the vCPU */
            return "denied";
        }
    }
}

/* ---- what else the core asks for ---- */

static uint32_t ranks;

uint32_t *lock_held_ranks(void)
{
    return &ranks; /* of this processor; there is one */
}

void check_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: CHECK(%s)\n", file, line, condition);
    abort();
}

bool platform_pause_others(struct physmap *pm)
{
    (void)pm;
    return true;
}

void platform_unpause_others(struct physmap *pm)
{
    (void)pm;
}

/* The guest runs without paging: linear is physical. Never called with the lock, so it may look. */
static uint8_t *caller_byte(gva_t a)
{
    struct mapping m;

    if (!hostmap_lookup(&domain, gpa_to_gfn(gpa(a.v)), &m) || m.type != MAP_RAM) {
        return NULL;
    }
    return (uint8_t *)platform_map(m.mfn) + a.v % PAGE_SIZE;
}

int platform_copy_from_caller(const struct altp2m_caller *c, void *dst, gva_t src, size_t n)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        const uint8_t *from = caller_byte(gva(src.v + i));
        if (!from) {
            return -XEN_EFAULT;
        }
        ((uint8_t *)dst)[i] = *from;
    }
    return 0;
}

int platform_copy_to_caller(const struct altp2m_caller *c, gva_t dst, const void *src, size_t n)
{
    (void)c;
    for (size_t i = 0; i < n; i++) {
        uint8_t *to = caller_byte(gva(dst.v + i));
        if (!to) {
            return -XEN_EFAULT;
        }
        *to = ((const uint8_t *)src)[i];
    }
    return 0;
}

int platform_entry_set(struct altp2m_vcpu *v, view_t agent, const struct facet_altp2m_enter *e,
                       struct entry_pages *pages)
{
    (void)v, (void)agent, (void)e, (void)pages;
    return -95; /* EOPNOTSUPP: guests have no agents here */
}

int platform_pins_prepare(struct altp2m_vcpu *v, const struct pins *wanted)
{
    (void)v, (void)wanted;
    return -95; /* nor registers that they cannot write */
}

void platform_pins_update(struct altp2m_vcpu *v)
{
    (void)v;
}

gfn_t platform_top_table(struct altp2m_vcpu *v)
{
    (void)v;
    return GFN_INVALID;
}

bool platform_preempt_pending(void)
{
    return false;
}

struct physmap *platform_domain_get(uint16_t domid)
{
    return domid == 1 ? &domain : NULL;
}

void platform_domain_put(struct physmap *pm)
{
    (void)pm;
}

bool platform_may_control(const struct altp2m_caller *c, const struct physmap *target)
{
    (void)c;
    (void)target;
    return false;
}

void platform_trace(const struct altp2m_caller *c, const char *text)
{
    (void)c;
    puts(text);
}

bool platform_has_altp2m(void)
{
    return true;
}

bool platform_has_ve(void)
{
    return false; /* the sub-ops for #VE and VMFUNC answer -EOPNOTSUPP */
}

/* ---- the domain ---- */

static void need(int rc, const char *what)
{
    if (rc) {
        fprintf(stderr, "%s: %d\n", what, rc);
        exit(1);
    }
}

static void create(void)
{
    const struct physmap_config config = {
        .domid = 1,
        .address_bits = 36,
        .max_views = 4,
        .altp2m_mode = XEN_ALTP2M_mixed,
        .host_reserve = 8,
        .format = &toy,
    };

    need(physmap_init(&domain, &config, mfn(FIRST_MFN), TABLE_FRAMES), "physmap_init");
    physmap_add_vcpu(&domain, &cpu.altp2m, 0);
    for (unsigned i = 0; i < RAM_FRAMES; i++) {
        mfn_t m = mfn(FIRST_MFN + TABLE_FRAMES + i);
        references[index_of(m)] = 1;
        memset(platform_map(m), 'A' + i % 26, PAGE_SIZE);
        need(hostmap_map(&domain, (gfn_t){i}, m, ORDER_4K, MAP_RAM, ACCESS_RWX), "hostmap_map");
    }
    cpu.update = true;
}

/* The guest takes a page out of its memory: the frame is free only when no view can reach it. */
static void give_back(uint64_t g)
{
    struct mapping m;

    if (hostmap_lookup(&domain, (gfn_t){g}, &m)) {
        need(hostmap_unmap(&domain, (gfn_t){g}, ORDER_4K), "hostmap_unmap");
        platform_frame_put(&domain, m.mfn);
    }
}

/* ---- the guest ---- */

#define ARGUMENT 0x20000u /* in page 32 of the guest */

static long call(uint32_t cmd, struct xen_hvm_altp2m_op *op)
{
    const struct altp2m_caller caller = {.self = &domain, .vcpu = &cpu.altp2m};
    long rc;

    op->version = HVMOP_ALTP2M_INTERFACE_VERSION;
    op->cmd = cmd;
    op->domain = DOMID_SELF;
    need(platform_copy_to_caller(&caller, gva(ARGUMENT), op, sizeof(*op)), "argument");
    do {
        rc = altp2m_hvmop(&caller, gva(ARGUMENT));
    } while (rc == -XEN_ERESTART);
    need(platform_copy_from_caller(&caller, op, gva(ARGUMENT), sizeof(*op)), "result");
    return rc;
}

static long create_view(uint16_t *number)
{
    struct xen_hvm_altp2m_op op = {.u.view.hvmmem_default_access = ACCESS_RWX};
    long rc = call(HVMOP_altp2m_create_p2m, &op);

    *number = op.u.view.view;
    return rc;
}

static long switch_to(uint16_t number)
{
    struct xen_hvm_altp2m_op op = {.u.view.view = number};

    return call(HVMOP_altp2m_switch_p2m, &op);
}

static void show(const char *what, uint64_t gfn, bool listener)
{
    uint8_t byte = '-';
    const char *read = access_byte(gfn, RIGHT_R, &byte, listener);
    uint8_t mark = '!';

    printf("%s: page %u reads '%c' (%s)", what, (unsigned)gfn, byte, read);
    printf(", write: %s\n", access_byte(gfn, RIGHT_R | RIGHT_W, &mark, listener));
}

static void guest(void)
{
    struct xen_hvm_altp2m_op on = {.u.domain_state.state = 1}, op;
    uint16_t number = 0;

    printf("altp2m on: %ld\n", call(HVMOP_altp2m_set_domain_state, &on));
    printf("create: %ld", create_view(&number));
    printf(", view %u\n", number);
    op = (struct xen_hvm_altp2m_op){.u.mem_access = {.view = number, .access = ACCESS_R, .gfn = 5}};
    printf("page 5 read-only there: %ld\n", call(HVMOP_altp2m_set_mem_access, &op));
    op = (struct xen_hvm_altp2m_op){.u.change_gfn = {.view = number, .old_gfn = 7, .new_gfn = 8}};
    printf("page 7 shows page 8 there: %ld\n", call(HVMOP_altp2m_change_gfn, &op));
    show("host map", 7, false);
    printf("switch: %ld\n", switch_to(number));
    show("view", 7, false);
    show("view, with a listener", 5, true);
    show("view, without", 5, false);
    give_back(8);
    show("view, page 8 given back", 7, false);
    show("view, page 8 given back", 8, false);
    op = (struct xen_hvm_altp2m_op){.u.enable_notify = {.vcpu_id = 0, .gfn = 9}};
    printf("#VE: %ld\n", call(HVMOP_altp2m_vcpu_enable_notify, &op));
}

int main(void)
{
    unsigned taken = 0;

    create();
    guest();
    physmap_destroy(&domain);
    for (unsigned i = 0; i < FRAMES; i++) {
        taken += references[i];
    }
    printf("frames of the guest: %u\n", taken);
    return 0;
}
