/* SPDX-License-Identifier: MIT */
/* Guest page walks (SDM 3, chapter 4) and copies to and from guest linear addresses. */
#include <errno.h>
#include <string.h>
#include "domain.h"
#include "guest/xen_abi.h"
#include "mm/frame.h"
#include "vcpu.h"
#include "vmx/vmx.h"
#include "x86/cpu.h"

#define PTE_P     1ULL
#define PTE_W     2ULL
#define PTE_U     4ULL
#define PTE_LARGE (1ULL << 7)
#define PTE_ADDR  0x000ffffffffff000ULL

/*
 * domain_ram() with a memory: a copy to or from the guest reads up to five pages, the same ones call after call. Only
 * gfn to frame is kept, which guests cannot change behind the hypervisor's back; their page tables are always read.
 */
static __attribute__((noinline)) void *ram_refill(struct vcpu *v, struct ram_slot *s, uint64_t g,
                                                  uint64_t generation)
{
    *s = (struct ram_slot){g, generation, domain_ram(v->domain, gfn(g))};
    return s->page;
}

static inline __attribute__((always_inline)) void *ram(struct vcpu *v, uint64_t g)
{
    struct ram_slot *s = &v->ram[g % RAM_SLOTS];
    uint64_t generation = hostmap_generation(&v->domain->physmap);

    if (s->gfn == g && s->generation == generation && s->page) {
        return s->page;
    }
    return ram_refill(v, s, g, generation);
}

/* What a walk found: the page's guest physical address, and PTE_W and PTE_U if every level has them. */
struct walked {
    uint64_t base; /* of the 4 KiB page */
    uint64_t rights;
};

/* One level's table for tables of 8-byte entries; false: not present or not in RAM. */
static inline bool read_entry(struct vcpu *v, uint64_t table, unsigned index, uint64_t *e)
{
    const volatile uint64_t *page = ram(v, table >> PAGE_SHIFT);

    if (!page) {
        return false;
    }
    *e = page[index];
    return *e & PTE_P;
}

static void set_large(struct walked *w, uint64_t e, unsigned shift, uint64_t a)
{
    uint64_t mask = (1ULL << shift) - 1;

    w->base = ((e & PTE_ADDR & ~mask) | (a & mask)) & PAGE_MASK;
}

/* Levels of 9 bits from `shift` down to 12; 1 GiB and 2 MiB pages (SDM 3, 4.4 and 4.5). */
static bool walk_64(struct vcpu *v, uint64_t table, unsigned shift, uint64_t a, struct walked *w)
{
    uint64_t rights = ~0ULL;

    for (;; shift -= PT_LEVEL_BITS) {
        uint64_t e;

        if (!read_entry(v, table, a >> shift & (PT_ENTRIES - 1), &e)) {
            return false;
        }
        rights &= e;
        if (shift == PAGE_SHIFT || ((e & PTE_LARGE) && shift < 39)) {
            w->rights = rights;
            set_large(w, e, shift, a);
            return true;
        }
        table = e & PTE_ADDR;
    }
}

/* PAE (4.4): four entries without rights first. */
static bool walk_pae(struct vcpu *v, uint64_t cr3, uint64_t a, struct walked *w)
{
    const uint8_t *page = ram(v, (cr3 & 0xffffffe0) >> PAGE_SHIFT);
    uint64_t e;

    if (!page) {
        return false;
    }
    e = *(const volatile uint64_t *)(page + (cr3 & 0xfe0) + (a >> 30) * 8);
    return (e & PTE_P) && walk_64(v, e & PTE_ADDR, 21, a, w);
}

/* 32-bit paging (4.3): two levels of 10 bits, 4 MiB pages with address bits 39:32 in bits 20:13. */
static bool walk_32(struct vcpu *v, uint64_t cr3, bool pse, uint64_t a, struct walked *w)
{
    const volatile uint32_t *page = ram(v, cr3 >> PAGE_SHIFT & 0xfffff);
    uint32_t e;

    if (!page || !((e = page[a >> 22]) & PTE_P)) {
        return false;
    }
    w->rights = e;
    if (pse && (e & PTE_LARGE)) {
        w->base = ((e & 0xffc00000) | (uint64_t)(e >> 13 & 0xff) << 32 | (a & 0x3fffff)) & PAGE_MASK;
        return true;
    }
    page = ram(v, e >> PAGE_SHIFT);
    if (!page || !((e = page[a >> 12 & 0x3ff]) & PTE_P)) {
        return false;
    }
    w->rights &= e;
    w->base = e & 0xfffff000;
    return true;
}

static bool walk(struct vcpu *v, uint64_t a, struct walked *w)
{
    uint64_t cr4;

    w->rights = ~0ULL;
    if (vcpu_in_ia32e(v)) {
        return (uint64_t)((int64_t)(a << 16) >> 16) == a && /* canonical */
               walk_64(v, vcpu_cr3(v) & PTE_ADDR, 39, a, w);
    }
    a &= 0xffffffff;
    if (!(control_cr0(v) & X86_CR0_PG)) {
        w->base = a & PAGE_MASK;
        return true;
    }
    cr4 = control_cr4(v);
    return cr4 & X86_CR4_PAE ? walk_pae(v, vcpu_cr3(v), a, w)
                             : walk_32(v, vcpu_cr3(v), cr4 & X86_CR4_PSE, a, w);
}

/* Read-only pages bind the kernel only while CR0.WP is set (4.6.1). */
static bool allowed(struct vcpu *v, const struct walked *w, unsigned rights)
{
    return !(rights & RIGHT_W) || (w->rights & PTE_W) || !(control_cr0(v) & X86_CR0_WP);
}

bool vcpu_translate(struct vcpu *v, gva_t a, unsigned rights, gpa_t *out)
{
    struct walked w;

    if (!walk(v, a.v, &w) || !allowed(v, &w, rights)) {
        return false;
    }
    *out = gpa(w.base | (a.v & ~PAGE_MASK));
    return true;
}

/* Codes 0 to 7 are sets of RIGHT_*; the converting ones count as what they give before they convert. */
static unsigned rights_of(access_t a)
{
    return a <= XENMEM_access_rwx ? a : a == XENMEM_access_rx2rw ? RIGHT_R | RIGHT_X : 0;
}

/*
 * The page that the vCPU's own view shows at gfn g, if the view grants the rights; NULL: nothing there, or not granted. An
 * instruction carried out here gets no more than it would by itself, and a restriction that nobody listens to is dropped
 * likewise. While a monitor lets the vCPU through everything is granted, in the host map.
 */
static uint8_t *view_page(struct vcpu *v, uint64_t g, unsigned rights)
{
    const struct fault f = {.gfn = gfn(g), .rights = rights};
    struct mapping m;

    for (unsigned tries = 0; tries < 2; tries++) {
        view_t at = v->altp2m.lifted ? VIEW_NONE : v->altp2m.view;

        if (!view_lookup(&v->domain->physmap, at, gfn(g), &m) || m.type != MAP_RAM) {
            return NULL;
        }
        if (v->altp2m.lifted || (rights & ~rights_of(m.access)) == 0) {
            return frame_virt(m.mfn);
        }
        if (altp2m_fault(&v->altp2m, &f, false) != FAULT_RETRY) {
            return NULL;
        }
    }
    return NULL;
}

bool vcpu_may_share(struct vcpu *v, gfn_t g)
{
    uint8_t *page;

    if (!physmap_confines(&v->domain->physmap)) {
        return true;
    }
    page = view_page(v, g.v, RIGHT_R | RIGHT_W);
    return page && page == domain_ram(v->domain, g); /* not one that the view only shows there */
}

static inline bool remembered(const struct linear_page *l, uint64_t a, uint64_t generation, unsigned rights)
{
    return l->page && l->address == (a & PAGE_MASK) && l->generation == generation &&
           (l->writable || !(rights & RIGHT_W));
}

/*
 * The RAM page behind a linear address: in the host map, as on Xen, or under the policy `audited` in
 * the vCPU's view. The last two answers are kept until the vCPU runs again: a call's argument is read and
 * then written, and one call sees one address space, as with a TLB.
 */
static void *linear_page(struct vcpu *v, uint64_t a, unsigned rights)
{
    struct linear_page *l = &v->linear, *before = &v->linear_before;
    uint64_t generation = hostmap_generation(&v->domain->physmap);
    struct linear_page was;
    struct walked w;

    if (remembered(l, a, generation, rights)) {
        return l->page;
    }
    if (l->page && remembered(before, a, generation, rights)) {
        was = *l;
        *l = *before;
        *before = was;
        return l->page;
    }
    if (!walk(v, a, &w) || !allowed(v, &w, rights)) {
        return NULL;
    }
    before->page = NULL;
    if (l->page) {
        *before = *l;
    }
    if (physmap_confines(&v->domain->physmap)) {
        *l = (struct linear_page){a & PAGE_MASK, generation,
                                  view_page(v, w.base >> PAGE_SHIFT, rights),
                                  (rights & RIGHT_W) != 0};
    } else {
        *l = (struct linear_page){a & PAGE_MASK, generation, ram(v, w.base >> PAGE_SHIFT),
                                  (w.rights & PTE_W) || (rights & RIGHT_W)};
    }
    return l->page;
}

/* Calls for each page's part of [a, a + n): copies in or out. */
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

#define PF_PRESENT 1u
#define PF_WRITE   2u
#define PF_USER    4u

/* Where byte `a` is, by the rights of the guest's CPL. */
static bool access_byte(struct vcpu *v, uint64_t a, bool write, uint64_t *at, uint32_t *error)
{
    bool user = vcpu_cpl(v) == 3;
    struct walked w;

    *error = (write ? PF_WRITE : 0) | (user ? PF_USER : 0);
    if (!walk(v, a, &w)) {
        return false;
    }
    if ((user && (!(w.rights & PTE_U) || (write && !(w.rights & PTE_W)))) ||
        !allowed(v, &w, write ? RIGHT_W : RIGHT_R)) {
        *error |= PF_PRESENT;
        return false;
    }
    *at = w.base | (a & ~PAGE_MASK);
    return true;
}

bool vcpu_access(struct vcpu *v, uint64_t linear, void *buffer, size_t n, bool write, uint32_t *error,
                 uint64_t *where)
{
    unsigned rights = write ? RIGHT_R | RIGHT_W : RIGHT_R;
    uint8_t *bytes = buffer;
    uint64_t at;

    /* Both ends first: an access that crosses into a bad page changes nothing. */
    for (size_t i = 0; i < n; i += n > 1 ? n - 1 : 1) {
        *where = linear + i;
        if (((linear ^ *where) & PAGE_MASK) != 0) {
            *where &= PAGE_MASK; /* the first byte that faults */
        }
        if (!access_byte(v, *where, write, &at, error)) {
            return false;
        }
    }
    for (size_t i = 0; i < n; i++) {
        bool there = access_byte(v, linear + i, write, &at, error);
        uint8_t *page = there ? view_page(v, at >> PAGE_SHIFT, rights) : NULL;

        if (page && write) {
            page[at & ~PAGE_MASK] = bytes[i];
        } else if (!write) {
            bytes[i] = page ? page[at & ~PAGE_MASK] : 0xff;
        }
    }
    return true;
}

static int copy_borrowed(struct vcpu *v, gva_t a, uint8_t *buffer, size_t n, bool to_guest)
{
    struct vcpu *before;
    int rc;

    if (this_cpu()->loaded == v) {
        return copy(v, a, buffer, n, to_guest);
    }
    before = vmx_borrow(v);
    v->linear.page = NULL; /* v is not in an exit: others may have changed its tables since */
    rc = copy(v, a, buffer, n, to_guest);
    v->linear.page = NULL;
    vmx_return(v, before);
    return rc;
}

int vcpu_copy_from(struct vcpu *v, void *dst, gva_t src, size_t n)
{
    return copy_borrowed(v, src, dst, n, false);
}

int vcpu_copy_to(struct vcpu *v, gva_t dst, const void *src, size_t n)
{
    /* copy() only reads the buffer when it writes to the guest. */
    return copy_borrowed(v, dst, (uint8_t *)(uintptr_t)src, n, true);
}
