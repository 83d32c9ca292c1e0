/* SPDX-License-Identifier: MIT */
/* Guest page walks (SDM 3, chapter 4), copies for hypercalls, and accesses in an instruction's
 * place. The contract is in hand.h. */
#include "vcpu/hand.h"
#include <errno.h>
#include <string.h>
#include "domain.h"
#include "guest/xen_abi.h"
#include "mm/frame.h"
#include "monitor.h"
#include "x86/cpu.h"

#define PTE_P      1ULL
#define PTE_W      2ULL
#define PTE_U      4ULL
#define PTE_A      (1ULL << 5)
#define PTE_D      (1ULL << 6)
#define PTE_LARGE  (1ULL << 7)
#define PTE_ADDR   0x000ffffffffff000ULL
#define PTE_NX_BIT 63

#define PF_PRESENT  1u
#define PF_WRITE    2u
#define PF_USER     4u
#define PF_RESERVED 8u

/* ---- gfn to page ---- */

/*
 * The host map's RAM, remembered: a copy to or from the guest reads up to five pages, the same ones
 * call after call. Only gfn to frame is kept, which guests cannot change behind the hypervisor's
 * back; their page tables are always read.
 */
static __attribute__((noinline)) uint8_t *ram_refill(struct vcpu *v, struct ram_slot *s, uint64_t g,
                                                     uint64_t generation)
{
    struct mapping m;
    bool there = hostmap_lookup(&v->domain->physmap, gfn(g), &m) && m.type == MAP_RAM;

    *s = (struct ram_slot){g, generation, there ? frame_virt(m.mfn) : NULL};
    return s->page;
}

static inline __attribute__((always_inline)) uint8_t *ram(struct vcpu *v, uint64_t g)
{
    struct ram_slot *s = &v->ram[g % RAM_SLOTS];
    uint64_t generation = hostmap_generation(&v->domain->physmap);

    if (s->gfn == g && s->generation == generation && s->page) {
        return s->page;
    }
    return ram_refill(v, s, g, generation);
}

/* No processor writes what may not be read. */
static unsigned rights_of(access_t a)
{
    unsigned rights = access_rights(a);

    return rights & RIGHT_R ? rights : rights & RIGHT_X;
}

/* What shows at a gfn, to whom, and what for. */
static bool shown_refill(struct vcpu *v, struct shown_slot *s, view_t at, uint64_t g,
                         uint64_t generation)
{
    struct mapping m;

    *s = (struct shown_slot){.gfn = g, .generation = generation, .view = at};
    if (!view_lookup(&v->domain->physmap, at, gfn(g), &m) || m.type == MAP_MMIO) {
        return false;
    }
    s->page = frame_virt(m.mfn);
    s->rights = (uint8_t)rights_of(m.access);
    s->type = (uint8_t)m.type;
    return true;
}

/*
 * A page of the vCPU's view, or of the host map for one that is let through, if it gives the
 * rights; NULL else. What is remembered is good while no right is lost; rights that came since are
 * looked for.
 */
static uint8_t *shown_page(struct vcpu *v, uint64_t g, unsigned rights, bool in_walk)
{
    struct shown_slot *s = &v->shown[g % SHOWN_SLOTS];
    uint64_t generation = physmap_rights_generation(&v->domain->physmap);
    bool lifted = v->altp2m.lifted && (in_walk || !v->altp2m.lifted_walk);
    view_t at = lifted ? VIEW_NONE : v->altp2m.view;

    rights = lifted ? 0 : rights;
    if (s->page && s->gfn == g && s->generation == generation && view_eq(s->view, at) &&
        !(rights & ~(unsigned)s->rights)) {
        return s->page;
    }
    return shown_refill(v, s, at, g, generation) && !(rights & ~(unsigned)s->rights) ? s->page
                                                                                     : NULL;
}

/* The same, of the domain's own memory alone. */
static uint8_t *shown_ram(struct vcpu *v, uint64_t g, unsigned rights)
{
    uint8_t *page = shown_page(v, g, rights, false);

    return page && v->shown[g % SHOWN_SLOTS].type == MAP_RAM ? page : NULL;
}

/* ---- walks ---- */

/*
 * A walk for an instruction: the entries that it used, for their accessed and dirty bits, and the
 * paging structure that could not be read. NULL where a call's copy walks, which does without both.
 */
struct path {
    struct used {
        uint8_t *at;
        gpa_t gpa;
        uint64_t value; /* of 8 bytes: as it was read */
        uint8_t size;
    } used[4];
    unsigned nr;
    bool stuck; /* at `gpa` */
    gpa_t gpa;
    bool reserved; /* a bit that is reserved is set, which comes before being stuck */
};

enum law { LAW_HOST, LAW_VIEW };

/* The entry at `a`: where it is, or NULL. */
static inline __attribute__((always_inline)) uint8_t *
entry_at(struct vcpu *v, enum law law, uint64_t a, uint8_t size, struct path *p)
{
    uint8_t *page =
        law == LAW_HOST ? ram(v, a >> PAGE_SHIFT) : shown_page(v, a >> PAGE_SHIFT, RIGHT_R, true);

    if (!page) {
        if (p) {
            p->stuck = true;
            p->gpa = gpa(a);
        }
        return NULL;
    }
    page += a & ~PAGE_MASK;
    if (p && size) {
        p->used[p->nr++] = (struct used){.at = page, .gpa = gpa(a), .size = size};
    }
    return page;
}

/* What a walk found: the page's guest physical address, and PTE_W and PTE_U if every
 * level has them. */
struct walked {
    uint64_t base; /* of the 4 KiB page */
    uint64_t rights;
};

/* One entry of 8 bytes; false: not present or not to be read. */
static inline __attribute__((always_inline)) bool
read_entry(struct vcpu *v, enum law law, uint64_t a, uint64_t *e, struct path *p)
{
    const volatile uint64_t *at = (const volatile uint64_t *)(void *)entry_at(v, law, a, 8, p);

    if (!at) {
        return false;
    }
    *e = *at;
    if (p) {
        p->used[p->nr - 1].value = *e;
    }
    return *e & PTE_P;
}

/* Address bits that the processor does not have: all until a walk has met one. */
static uint64_t beyond = PTE_ADDR;

/* What entries may not have besides (SDM 3, tables 4-9 to 4-19). */
static inline __attribute__((always_inline)) uint64_t reserved_bits(uint64_t efer)
{
    return beyond | (~efer >> EFER_NXE_BIT) << PTE_NX_BIT;
}

/* One was met, as far as is known. */
static __attribute__((noinline)) bool reserved_indeed(uint64_t met, uint64_t reserved)
{
    beyond = PTE_ADDR & ~((1ULL << cpuid_physical_bits()) - 1);
    return met & reserved & ~(PTE_ADDR & ~beyond);
}

static bool refuse(struct path *p, bool reserved)
{
    if (p && reserved) {
        p->reserved = true;
    }
    return false;
}

/* Bits between a large page's address and its PAT bit. */
#define LARGE_RESERVED(mask) ((mask) & ~0x1fffULL)

/* PML4 entries are no pages, and 1 GiB pages not everywhere. */
static __attribute__((noinline)) bool leaf_reserved(uint64_t e, unsigned shift, uint64_t any,
                                                    uint64_t reserved)
{
    return shift == 39 || (shift == 30 && !cpuid_gib_pages()) ||
           (e & LARGE_RESERVED((1ULL << shift) - 1)) ||
           ((any & reserved) && reserved_indeed(any, reserved));
}

/* Levels of 9 bits from `shift` down to 12; 1 GiB and 2 MiB pages (SDM 3, 4.4 and 4.5). */
static inline __attribute__((always_inline)) bool walk_64(struct vcpu *v, enum law law,
                                                          uint64_t table, unsigned shift,
                                                          uint64_t reserved, uint64_t a,
                                                          struct walked *w, struct path *p)
{
    uint64_t rights = ~0ULL, any = 0, e, mask;

    for (;; shift -= PT_LEVEL_BITS) {
        if (!read_entry(v, law, table + (a >> shift & (PT_ENTRIES - 1)) * 8, &e, p)) {
            return refuse(p, (any & reserved) && reserved_indeed(any, reserved));
        }
        rights &= e;
        any |= e;
        if (shift == PAGE_SHIFT || (e & PTE_LARGE)) {
            break;
        }
        table = e & PTE_ADDR;
    }
    mask = (1ULL << shift) - 1;
    if (((any & reserved) || (e & LARGE_RESERVED(mask)) || shift >= 30) &&
        leaf_reserved(e, shift, any, reserved)) {
        return refuse(p, true);
    }
    w->rights = rights;
    w->base = ((e & PTE_ADDR & ~mask) | (a & mask)) & PAGE_MASK;
    return true;
}

/* PAE (4.4): four entries without rights, accessed or dirty bits first, whose reserved bits were
 * looked at when they were loaded. The others have no bits to be ignored. */
static bool walk_pae(struct vcpu *v, enum law law, uint64_t reserved, uint64_t a, struct walked *w,
                     struct path *p)
{
    uint64_t e;

    if (!read_entry(v, law, (vcpu_get(v, VCPU_CR3) & 0xffffffe0) + (a >> 30) * 8, &e, p)) {
        return false;
    }
    if (p) {
        p->nr = 0;
    }
    return walk_64(v, law, e & PTE_ADDR, 21, reserved | 0x7ffULL << 52, a, w, p);
}

/* Bits 21:13 of a 4 MiB page are address bits from 32 on, as far as there are some (table 4-4). */
static bool large_32_reserved(uint32_t e)
{
    unsigned bits = cpuid_physical_bits() < 40 ? cpuid_physical_bits() : 40;

    return e & 0x3fe000 & ~((1u << (bits - 32 + 13)) - 1);
}

/* 32-bit paging (4.3): two levels of 10 bits, 4 MiB pages with address bits 39:32 in bits 20:13. */
static bool walk_32(struct vcpu *v, enum law law, uint64_t cr3, bool pse, uint64_t a,
                    struct walked *w, struct path *p)
{
    const volatile uint32_t *at;
    uint32_t e;

    at = (const volatile uint32_t *)(void *)entry_at(v, law, (cr3 & 0xfffff000) + (a >> 22) * 4, 4,
                                                     p);
    if (!at || !((e = *at) & PTE_P)) {
        return false;
    }
    w->rights = e;
    if (pse && (e & PTE_LARGE)) {
        if (large_32_reserved(e)) {
            return refuse(p, true);
        }
        w->base =
            ((e & 0xffc00000) | (uint64_t)(e >> 13 & 0xff) << 32 | (a & 0x3fffff)) & PAGE_MASK;
        return true;
    }
    at = (const volatile uint32_t *)(void *)entry_at(
        v, law, (e & 0xfffff000) + (a >> 12 & 0x3ff) * 4, 4, p);
    if (!at || !((e = *at) & PTE_P)) {
        return false;
    }
    w->rights &= e;
    w->base = e & 0xfffff000;
    return true;
}

static bool canonical(uint64_t a)
{
    return (uint64_t)((int64_t)(a << 16) >> 16) == a;
}

static inline __attribute__((always_inline)) bool walk(struct vcpu *v, enum law law, uint64_t a,
                                                       struct walked *w, struct path *p)
{
    uint64_t efer = vcpu_get(v, VCPU_EFER), cr4;

    if (efer & EFER_LMA) {
        return canonical(a) &&
               walk_64(v, law, vcpu_get(v, VCPU_CR3) & PTE_ADDR, 39, reserved_bits(efer), a, w, p);
    }
    a &= 0xffffffff;
    if (!(vcpu_get(v, VCPU_CR0) & X86_CR0_PG)) {
        *w = (struct walked){a & PAGE_MASK, ~0ULL};
        return true;
    }
    cr4 = vcpu_get(v, VCPU_CR4);
    return cr4 & X86_CR4_PAE ? walk_pae(v, law, reserved_bits(efer), a, w, p)
                             : walk_32(v, law, vcpu_get(v, VCPU_CR3), cr4 & X86_CR4_PSE, a, w, p);
}

static __attribute__((noinline)) bool walk_host(struct vcpu *v, uint64_t a, struct walked *w)
{
    return walk(v, LAW_HOST, a, w, NULL);
}

static __attribute__((noinline)) bool walk_view(struct vcpu *v, uint64_t a, struct walked *w,
                                                struct path *p)
{
    return walk(v, LAW_VIEW, a, w, p);
}

/* ---- hypercalls ---- */

/* Read-only pages bind the kernel only while CR0.WP is set (4.6.1). */
static bool kernel_may(struct vcpu *v, const struct walked *w, unsigned rights)
{
    return !(rights & RIGHT_W) || (w->rights & PTE_W) || !(vcpu_get(v, VCPU_CR0) & X86_CR0_WP);
}

static inline bool remembered(const struct linear_page *l, uint64_t a, uint64_t stamp,
                              unsigned rights)
{
    return l->page && l->address == (a & PAGE_MASK) && l->stamp == stamp &&
           (l->writable || !(rights & RIGHT_W));
}

/* Confined: by the vCPU's view, walk included. NULL: not mapped, or denied. */
static __attribute__((noinline)) uint8_t *reach_confined(struct vcpu *v, uint64_t a,
                                                         unsigned rights)
{
    struct walked w;

    return walk_view(v, a, &w, NULL) && kernel_may(v, &w, rights)
               ? shown_ram(v, w.base >> PAGE_SHIFT, rights)
               : NULL;
}

/*
 * The page behind a linear address. The last two answers are kept until the vCPU runs again
 * (hand_forget()): a call's argument is read and then written, and one call sees one address space,
 * as with a TLB.
 */
static void *linear_page(struct vcpu *v, uint64_t a, unsigned rights)
{
    struct linear_page *l = &v->linear, *before = &v->linear_before;
    uint64_t stamp = hand_stamp(&v->domain->physmap, v->altp2m.view);
    struct linear_page was;
    struct walked w;

    if (remembered(l, a, stamp, rights)) {
        return l->page;
    }
    if (l->page && remembered(before, a, stamp, rights)) {
        was = *l;
        *l = *before;
        *before = was;
        return l->page;
    }
    *before = *l;
    if (physmap_confines(&v->domain->physmap)) {
        *l = (struct linear_page){a & PAGE_MASK, stamp, reach_confined(v, a, rights),
                                  rights & RIGHT_W};
        return l->page;
    }
    if (!walk_host(v, a, &w) || !kernel_may(v, &w, rights)) {
        return l->page = NULL;
    }
    *l = (struct linear_page){a & PAGE_MASK, stamp, ram(v, w.base >> PAGE_SHIFT),
                              (w.rights & PTE_W) || (rights & RIGHT_W)};
    return l->page;
}

/* Copies each page's part of [a, a + n), in or out. */
static int copy(struct vcpu *v, gva_t a, uint8_t *buffer, size_t n, bool to_guest)
{
    while (n) {
        size_t part = PAGE_SIZE - (a.v & ~PAGE_MASK);
        uint8_t *page = linear_page(v, a.v, to_guest ? RIGHT_W : RIGHT_R);

        part = part < n ? part : n;
        if (!page) {
            return -EFAULT;
        }
        page += a.v & ~PAGE_MASK;
        if (to_guest) {
            memcpy(page, buffer, part);
        } else {
            memcpy(buffer, page, part);
        }
        buffer += part;
        a.v += part;
        n -= part;
    }
    return 0;
}

int hand_copy_from(struct vcpu *v, void *dst, gva_t src, size_t n)
{
    CHECK(cpu_loaded(v));
    return copy(v, src, dst, n, false);
}

int hand_copy_to(struct vcpu *v, gva_t dst, const void *src, size_t n)
{
    CHECK(cpu_loaded(v));
    /* copy() only reads the buffer when it writes to the guest. */
    return copy(v, dst, (uint8_t *)(uintptr_t)src, n, true);
}

static uint8_t *call_page(struct vcpu *v, gfn_t g, unsigned rights)
{
    return physmap_confines(&v->domain->physmap) ? shown_ram(v, g.v, rights) : ram(v, g.v);
}

int hand_copy_from_gpa(struct vcpu *v, void *dst, gpa_t src, size_t n)
{
    uint8_t *to = dst;

    while (n) {
        size_t part = PAGE_SIZE - (src.v & ~PAGE_MASK);
        const uint8_t *page = call_page(v, gpa_to_gfn(src), RIGHT_R);

        if (!page) {
            return -EFAULT;
        }
        part = part < n ? part : n;
        memcpy(to, page + (src.v & ~PAGE_MASK), part);
        to += part;
        src.v += part;
        n -= part;
    }
    return 0;
}

void *hand_page_to_fill(struct vcpu *v, gfn_t g)
{
    return call_page(v, g, RIGHT_R | RIGHT_W);
}

/* ---- instructions ---- */

#define TRIES 8u /* others may change tables while they are walked */

static enum hand_answer page_fault(struct hand_reach *r, uint64_t address, uint32_t error)
{
    r->vector = EXC_PF;
    r->error = error;
    r->address = address;
    return HAND_FAULT;
}

/*
 * The view does not give what is needed at `a`, in a page walk or by the access itself. HAND_DONE:
 * it does now (nobody listens, or somebody else lifted it). *hole: no memory is there.
 */
static enum hand_answer ask(struct vcpu *v, struct hand_reach *r, gpa_t a, uint64_t gla,
                            unsigned rights, bool in_walk, bool *hole)
{
    const struct fault f = {.gfn = gpa_to_gfn(a), .rights = rights, .walk = in_walk};

    r->gpa = a;
    r->gla = gla;
    r->denied = rights;
    r->in_walk = in_walk;
    *hole = false;
    switch (altp2m_fault(&v->altp2m, &f, monitor_listens(v->domain))) {
    case FAULT_RETRY:
        return HAND_DONE;
    case FAULT_UNMAPPED:
        *hole = true;
        return HAND_DONE;
    case FAULT_CONVERTED:
        return HAND_CONVERTED;
    case FAULT_DENIED:
        return HAND_DENIED;
    case FAULT_REFUSED:
    case FAULT_VE: /* not asked for: an instruction that is carried out raises none */
        break;
    }
    r->vector = EXC_GP;
    r->error = 0;
    return HAND_FAULT;
}

/* A page by its guest physical address; *at is NULL if no memory is there. */
static enum hand_answer reach_page(struct vcpu *v, struct hand_reach *r, gpa_t a, uint64_t gla,
                                   unsigned rights, bool in_walk, uint8_t **at)
{
    for (unsigned tries = 0; tries < TRIES; tries++) {
        enum hand_answer answer;
        bool hole;

        *at = shown_page(v, a.v >> PAGE_SHIFT, rights, in_walk);
        if (*at) {
            *at += a.v & ~PAGE_MASK;
            return HAND_DONE;
        }
        answer = ask(v, r, a, gla, rights, in_walk, &hole);
        if (answer != HAND_DONE || hole) {
            return answer;
        }
    }
    return HAND_RETRY;
}

/* SDM 3, 4.6.1, for data. */
static bool paging_allows(struct vcpu *v, const struct hand_reach *r, const struct walked *w)
{
    bool write = r->rights & RIGHT_W, paging = vcpu_get(v, VCPU_CR0) & X86_CR0_PG;

    if (!paging) {
        return true;
    }
    if (r->name == HAND_AS_CODE && vcpu_cpl(v) == 3) {
        return (w->rights & PTE_U) && (!write || (w->rights & PTE_W));
    }
    if ((vcpu_get(v, VCPU_CR4) & X86_CR4_SMAP) && (w->rights & PTE_U) &&
        (r->name == HAND_AS_SYSTEM || !(vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_AC))) {
        return false;
    }
    return kernel_may(v, w, r->rights);
}

static enum hand_answer walk_to(struct vcpu *v, struct hand_reach *r, uint64_t a, struct walked *w,
                                struct path *p)
{
    uint32_t error = (r->rights & RIGHT_W ? PF_WRITE : 0) |
                     (r->name == HAND_AS_CODE && vcpu_cpl(v) == 3 ? PF_USER : 0);

    for (unsigned tries = 0; tries < TRIES; tries++) {
        enum hand_answer answer;
        uint8_t *unused;

        *p = (struct path){0};
        if (walk_view(v, a, w, p)) {
            return paging_allows(v, r, w) ? HAND_DONE : page_fault(r, a, error | PF_PRESENT);
        }
        if (p->reserved) {
            return page_fault(r, a, error | PF_PRESENT | PF_RESERVED);
        }
        if (!p->stuck) {
            return page_fault(r, a, error);
        }
        answer = reach_page(v, r, p->gpa, a, RIGHT_R, true, &unused);
        if (answer != HAND_DONE) {
            return answer;
        }
        if (!unused) { /* all ones are read there: every reserved bit is set */
            return page_fault(r, a, error | PF_PRESENT | PF_RESERVED);
        }
    }
    return HAND_RETRY;
}

/* Sets a flag in an entry as it was read; false: it is another one by now. */
static bool set_flags(uint8_t *at, uint8_t size, uint64_t flags, bool *had)
{
    if (size == 8) {
        uint64_t e = __atomic_load_n((uint64_t *)(void *)at, __ATOMIC_RELAXED);

        *had = (e & flags) == flags;
        return *had || ((e & PTE_P) &&
                        __atomic_compare_exchange_n((uint64_t *)(void *)at, &e, e | flags, false,
                                                    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    }
    uint32_t e = __atomic_load_n((uint32_t *)(void *)at, __ATOMIC_RELAXED);

    *had = (e & flags) == flags;
    return *had || ((e & PTE_P) &&
                    __atomic_compare_exchange_n((uint32_t *)(void *)at, &e, e | (uint32_t)flags,
                                                false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

/* Accessed and dirty bits as the processor sets them, which needs the right to write there (SDM 3,
 * 4.8 and 28.3.3.2). */
static enum hand_answer mark(struct vcpu *v, struct hand_reach *r, uint64_t a, const struct path *p)
{
    for (unsigned i = 0; i < p->nr; i++) {
        const struct used *u = &p->used[i];
        uint64_t flags = PTE_A | (i + 1 == p->nr && (r->rights & RIGHT_W) ? PTE_D : 0);
        uint32_t low = __atomic_load_n((uint32_t *)(void *)u->at, __ATOMIC_RELAXED);
        enum hand_answer answer;
        uint8_t *at;
        bool had;

        if ((low & flags) == flags) {
            continue;
        }
        answer = reach_page(v, r, u->gpa, a, RIGHT_R | RIGHT_W, true, &at);
        if (answer != HAND_DONE) {
            return answer;
        }
        if (at != u->at || !set_flags(at, u->size, flags, &had)) {
            return HAND_RETRY;
        }
    }
    return HAND_DONE;
}

static enum hand_answer reach_part(struct vcpu *v, struct hand_reach *r, uint64_t a,
                                   struct hand_part *part, struct path *p)
{
    struct walked w;
    enum hand_answer answer = walk_to(v, r, a, &w, p);

    return answer != HAND_DONE
               ? answer
               : reach_page(v, r, gpa(w.base | (a & ~PAGE_MASK)), a, r->rights, false, &part->at);
}

enum hand_answer hand_reach(struct vcpu *v, struct hand_reach *r)
{
    uint64_t wrap = vcpu_in_ia32e(v) ? ~0ULL : 0xffffffff, a = r->linear & wrap;
    size_t first = PAGE_SIZE - (a & ~PAGE_MASK);
    struct path path[2];
    unsigned parts = 1;
    enum hand_answer answer;

    r->gla_valid = true;
    r->part[0].n = r->n <= first ? r->n : first;
    r->part[1] = (struct hand_part){NULL, r->n - r->part[0].n};
    answer = reach_part(v, r, a, &r->part[0], &path[0]);
    if (answer == HAND_DONE && r->part[1].n > 0) {
        parts = 2;
        answer = reach_part(v, r, (a + first) & wrap, &r->part[1], &path[1]);
    }
    for (unsigned i = 0; answer == HAND_DONE && i < parts; i++) {
        answer = mark(v, r, i == 0 ? a : (a + first) & wrap, &path[i]);
    }
    return answer;
}

enum hand_answer hand_reach_gpa(struct vcpu *v, gpa_t a, struct hand_reach *r)
{
    r->gla_valid = false;
    r->part[0].n = r->n;
    r->part[1] = (struct hand_part){NULL, 0};
    return reach_page(v, r, a, 0, r->rights, true, &r->part[0].at);
}

void hand_read(const struct hand_reach *r, void *to)
{
    uint8_t *bytes = to;

    for (unsigned i = 0; i < 2; i++) {
        if (r->part[i].at) {
            memcpy(bytes, r->part[i].at, r->part[i].n);
        } else {
            memset(bytes, 0xff, r->part[i].n);
        }
        bytes += r->part[i].n;
    }
}

void hand_write(const struct hand_reach *r, const void *from)
{
    const uint8_t *bytes = from;

    for (unsigned i = 0; i < 2; i++) {
        if (r->part[i].at) {
            memcpy(r->part[i].at, bytes, r->part[i].n);
        }
        bytes += r->part[i].n;
    }
}

/* ---- code ---- */

size_t hand_fetch(struct vcpu *v, uint64_t linear, uint8_t *to, size_t n)
{
    size_t done = 0;

    while (done < n) {
        uint64_t a = linear + done;
        size_t part = PAGE_SIZE - (a & ~PAGE_MASK);
        const uint8_t *page;
        struct walked w;

        if (!walk_view(v, a, &w, NULL)) {
            break;
        }
        page = shown_page(v, w.base >> PAGE_SHIFT, RIGHT_X, false);
        if (!page) {
            break;
        }
        part = part < n - done ? part : n - done;
        memcpy(to + done, page + (a & ~PAGE_MASK), part);
        done += part;
    }
    return done;
}

const void *hand_code_page(struct vcpu *v, gva_t a, gpa_t *at)
{
    struct walked w;

    CHECK(v->altp2m.lifted);
    if (!walk_view(v, a.v, &w, NULL)) {
        return NULL;
    }
    *at = gpa(w.base | (a.v & ~PAGE_MASK));
    return shown_page(v, w.base >> PAGE_SHIFT, RIGHT_X, false);
}

bool hand_translate_to_write(struct vcpu *v, gva_t a, gpa_t *out)
{
    struct walked w;

    if (!(physmap_confines(&v->domain->physmap) ? walk_view(v, a.v, &w, NULL)
                                                : walk_host(v, a.v, &w)) ||
        !kernel_may(v, &w, RIGHT_W)) {
        return false;
    }
    *out = gpa(w.base | (a.v & ~PAGE_MASK));
    return true;
}

bool hand_translate(struct vcpu *v, gva_t a, gpa_t *out)
{
    struct walked w;

    if (!walk_host(v, a.v, &w)) {
        return false;
    }
    *out = gpa(w.base | (a.v & ~PAGE_MASK));
    return true;
}

static bool same_path(const struct code_path *c)
{
    for (unsigned i = 0; i < c->nr; i++) {
        if (*c->used[i].at != c->used[i].value) {
            return false;
        }
    }
    return true;
}

static __attribute__((noinline)) const uint8_t *code_refill(struct vcpu *v, struct code_path *c,
                                                            uint64_t a)
{
    struct path p = {.nr = 0};
    struct walked w;

    *c = (struct code_path){.address = a & PAGE_MASK,
                            .cr3 = vcpu_get(v, VCPU_CR3),
                            .generation = physmap_rights_generation(&v->domain->physmap),
                            .view = v->altp2m.view};
    if (!walk_view(v, a, &w, &p)) {
        return NULL;
    }
    c->nr = p.nr;
    for (unsigned i = 0; i < p.nr; i++) {
        c->used[i].at = (const volatile uint64_t *)(void *)p.used[i].at;
        c->used[i].value = p.used[i].value;
    }
    return c->page = shown_page(v, w.base >> PAGE_SHIFT, RIGHT_X, false);
}

/*
 * The page of 64-bit code at `a`. What is remembered is compared with the paging entries, so that
 * the answer is a walk's. One place for each view: a change between two is what is most often
 * looked for.
 */
static const uint8_t *code_page(struct vcpu *v, uint64_t a)
{
    struct code_path *c = &v->code[v->altp2m.view.v % CODE_PATHS];

    if (c->page && c->address == (a & PAGE_MASK) && view_eq(c->view, v->altp2m.view) &&
        c->cr3 == vcpu_get(v, VCPU_CR3) &&
        c->generation == physmap_rights_generation(&v->domain->physmap) && same_path(c)) {
        return c->page;
    }
    return code_refill(v, c, a);
}

size_t vcpu_code(struct vcpu *v, uint8_t *to, size_t n)
{
    uint64_t linear = vcpu_linear_rip(v);
    const uint8_t *page;

    if (!vcpu_long_mode(v) || (linear & ~PAGE_MASK) + n > PAGE_SIZE || v->altp2m.lifted) {
        return hand_fetch(v, linear, to, n);
    }
    page = code_page(v, linear);
    if (page) {
        memcpy(to, page + (linear & ~PAGE_MASK), n);
    }
    return page ? n : 0;
}
