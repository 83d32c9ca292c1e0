/* SPDX-License-Identifier: MIT */
#include "guestmem.h"

#include <string.h>

#define PAGE       4096u
#define CR0_PG     (1ULL << 31)
#define CR4_LA57   (1ULL << 12)
#define EFER_LMA   (1ULL << 10)
#define PTE_P      1ULL
#define PTE_PS     (1ULL << 7)
#define PTE_FRAME  0x000ffffffffff000ULL
#define INDEX_BITS 9u

void guestmem_drop(struct guestmem *m)
{
    for (unsigned int i = 0; i < GUESTMEM_PAGES; i++) {
        if (m->cache[i].page)
            m->t->hc->unmap(m->t->hc->ctx, m->cache[i].page);
        m->cache[i].page = NULL;
    }
}

const uint8_t *guestmem_page(struct guestmem *m, gfn_t g)
{
    void *page;

    for (unsigned int i = 0; i < GUESTMEM_PAGES; i++)
        if (m->cache[i].page && gfn_eq(m->cache[i].gfn, g))
            return m->cache[i].page;
    page = m->t->hc->map(m->t->hc->ctx, m->t->domid, g.v, false);
    if (!page)
        return NULL;
    if (m->cache[m->next].page)
        m->t->hc->unmap(m->t->hc->ctx, m->cache[m->next].page);
    m->cache[m->next].gfn = g;
    m->cache[m->next].page = page;
    m->next = (m->next + 1) % GUESTMEM_PAGES;
    return page;
}

static bool read_entry(struct guestmem *m, uint64_t at, uint64_t *entry)
{
    const uint8_t *page = guestmem_page(m, gfn(at / PAGE));

    if (!page)
        return false;
    memcpy(entry, page + at % PAGE, sizeof(*entry));
    return true;
}

/* SDM vol. 3A, 4.5: 4-level and 5-level paging. */
bool guestmem_walk(struct guestmem *m, const struct guestmem_paging *p, gva_t a, gpa_t *out)
{
    unsigned int level = p->cr4 & CR4_LA57 ? 5 : 4, shift;
    uint64_t entry = p->cr3;

    if (!(p->cr0 & CR0_PG)) {
        *out = gpa(a.v);
        return true;
    }
    if (!(p->efer & EFER_LMA))
        return false;
    for (; level > 0; level--) {
        shift = 12 + INDEX_BITS * (level - 1);
        if (!read_entry(m, (entry & PTE_FRAME) + (a.v >> shift & 511) * 8, &entry) ||
            !(entry & PTE_P))
            return false;
        if (level == 1 || (level <= 3 && (entry & PTE_PS))) {
            uint64_t mask = (1ULL << shift) - 1;

            *out = gpa((entry & PTE_FRAME & ~mask) | (a.v & mask));
            return true;
        }
    }
    return false;
}

size_t guestmem_read(struct guestmem *m, const struct guestmem_paging *p, gva_t a, void *buffer,
                     size_t size)
{
    size_t done = 0;

    while (done < size) {
        size_t part = PAGE - (a.v + done) % PAGE;
        const uint8_t *page;
        gpa_t at;

        part = part < size - done ? part : size - done;
        if (!guestmem_walk(m, p, gva(a.v + done), &at))
            break;
        page = guestmem_page(m, gfn(at.v / PAGE));
        if (!page)
            break;
        memcpy((char *)buffer + done, page + at.v % PAGE, part);
        done += part;
    }
    return done;
}
