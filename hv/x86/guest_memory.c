/* SPDX-License-Identifier: MIT */
/* Guest page walks (SDM 3, chapter 4) and copies to and from guest linear addresses. */
#include <errno.h>
#include <string.h>
#include "domain.h"
#include "vcpu.h"
#include "vmx/vmx.h"
#include "x86/cpu.h"

#define PTE_P     1ULL
#define PTE_W     2ULL
#define PTE_LARGE (1ULL << 7)
#define PTE_ADDR  0x000ffffffffff000ULL

/* One table level of a walk. */
struct level {
    unsigned shift;     /* of the index in the linear address */
    unsigned bits;      /* of the index */
    bool large_allowed;
};

static const struct level long_levels[] = {
    {39, 9, false}, {30, 9, true}, {21, 9, true}, {12, 9, false}};
static const struct level pae_levels[] = {{30, 2, false}, {21, 9, true}, {12, 9, false}};
static const struct level legacy_levels[] = {{22, 10, true}, {12, 10, false}};

/*
 * domain_ram() with a memory: a copy to or from the guest reads up to five pages, the same ones call after call. Only
 * gfn to frame is kept, which guests cannot change behind the hypervisor's back; their page tables are always read.
 */
static void *ram(struct vcpu *v, uint64_t g)
{
    struct ram_slot *s = &v->ram[g % RAM_SLOTS];
    uint64_t generation = hostmap_generation(&v->domain->physmap);

    if (s->page && s->gfn == g && s->generation == generation) {
        return s->page;
    }
    *s = (struct ram_slot){g, generation, domain_ram(v->domain, gfn(g))};
    return s->page;
}

static bool read_entry(struct vcpu *v, uint64_t table, unsigned index, unsigned size, uint64_t *e)
{
    const uint8_t *page = ram(v, table >> PAGE_SHIFT);

    if (!page) {
        return false;
    }
    page += (table & ~PAGE_MASK) + (uint64_t)index * size;
    *e = size == 8 ? *(const volatile uint64_t *)page : *(const volatile uint32_t *)page;
    return true;
}

static bool walk(struct vcpu *v, const struct level *l, unsigned n, unsigned size, uint64_t table,
                 uint64_t address, unsigned rights, gpa_t *out)
{
    bool want_write = (rights & RIGHT_W) && (control_cr0(v) & X86_CR0_WP);

    for (unsigned i = 0; i < n; i++) {
        uint64_t e, mask = (1ULL << l[i].shift) - 1;
        bool pdpte = size == 8 && l[i].bits == 2; /* PAE's top entries have no R/W bit */

        if (!read_entry(v, table, (unsigned)(address >> l[i].shift) & ((1u << l[i].bits) - 1), size,
                        &e) ||
            !(e & PTE_P) || (want_write && !pdpte && !(e & PTE_W))) {
            return false;
        }
        if (i == n - 1 || (l[i].large_allowed && (e & PTE_LARGE))) {
            uint64_t base = e & PTE_ADDR;
            if (size == 4 && l[i].shift == 22) { /* PSE-36: address bits 39:32 in bits 20:13 */
                base = (e & 0xffc00000) | (e >> 13 & 0xff) << 32;
            }
            *out = gpa((base & ~mask) | (address & mask));
            return true;
        }
        table = e & PTE_ADDR;
    }
    return false;
}

bool vcpu_translate(struct vcpu *v, gva_t a, unsigned rights, gpa_t *out)
{
    uint64_t cr3 = vcpu_cr3(v), cr4 = control_cr4(v);

    if (!(control_cr0(v) & X86_CR0_PG)) {
        *out = gpa(a.v & 0xffffffff);
        return true;
    }
    if (vcpu_in_ia32e(v)) {
        if ((uint64_t)((int64_t)(a.v << 16) >> 16) != a.v) {
            return false; /* not canonical */
        }
        return walk(v, long_levels, 4, 8, cr3 & PTE_ADDR, a.v, rights, out);
    }
    if (cr4 & X86_CR4_PAE) {
        return walk(v, pae_levels, 3, 8, cr3 & 0xffffffe0, a.v & 0xffffffff, rights, out);
    }
    return walk(v, legacy_levels, 2, 4, cr3 & 0xfffff000, a.v & 0xffffffff, rights, out);
}

/* Calls for each page's part of [a, a + n): copies in or out. */
static int copy(struct vcpu *v, gva_t a, uint8_t *buffer, size_t n, bool to_guest)
{
    while (n) {
        size_t part = PAGE_SIZE - (a.v & ~PAGE_MASK);
        gpa_t at;
        uint8_t *page;

        part = part < n ? part : n;
        if (!vcpu_translate(v, a, to_guest ? RIGHT_W : RIGHT_R, &at) ||
            !(page = ram(v, at.v >> PAGE_SHIFT))) {
            return -EFAULT;
        }
        page += at.v & ~PAGE_MASK;
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

int vcpu_copy_from(struct vcpu *v, void *dst, gva_t src, size_t n)
{
    return copy(v, src, dst, n, false);
}

int vcpu_copy_to(struct vcpu *v, gva_t dst, const void *src, size_t n)
{
    /* copy() only reads the buffer when it writes to the guest. */
    return copy(v, dst, (uint8_t *)(uintptr_t)src, n, true);
}
