/* SPDX-License-Identifier: MIT */
/* A walk through page tables that no vCPU runs on yet. The contract is in hand.h. */
#include <errno.h>
#include "domain.h"
#include "mm/frame.h"
#include "vcpu/hand.h"

#define PTE_P     1ULL
#define PTE_W     2ULL
#define PTE_U     4ULL
#define PTE_LARGE (1ULL << 7)
#define PTE_NX    (1ULL << 63)

static void note(struct entry_pages *pages, uint64_t g)
{
    for (unsigned i = 0; i < pages->nr; i++) {
        if (pages->gfn[i].v == g) {
            return;
        }
    }
    pages->gfn[pages->nr++] = gfn(g);
}

/* The domain's own memory at g, as view `at` shows it and with these rights. */
static int page_of(struct hand_walk *w, uint64_t g, unsigned rights, const uint64_t **page)
{
    struct mapping m;

    if (!view_lookup(&w->domain->physmap, w->view, gfn(g), &m) || m.type != MAP_RAM) {
        return -EFAULT;
    }
    if (w->pages.nr == ENTRY_PAGES) {
        return -EINVAL;
    }
    note(&w->pages, g);
    *page = frame_virt(m.mfn);
    return rights & ~access_rights(m.access) ? -EACCES : 0;
}

/* Of what the processor's own bits say: a supervisor's page with these rights. */
static bool entry_gives(uint64_t all, uint64_t any, unsigned rights)
{
    return !(all & PTE_U) && (!(rights & RIGHT_W) || (all & PTE_W)) &&
           (!(rights & RIGHT_X) || !(any & PTE_NX));
}

int hand_walk(struct hand_walk *w, uint64_t a, unsigned rights)
{
    uint64_t table = w->cr3 >> PAGE_SHIFT, all = ~0ULL, any = 0, e = 0;
    unsigned shift = 39;
    const uint64_t *page;

    if ((uint64_t)((int64_t)(a << 16) >> 16) != a || w->cr3 & ~FORMAT_ADDRESS_MASK) {
        return -EINVAL;
    }
    for (;; shift -= PT_LEVEL_BITS) {
        int rc = page_of(w, table, RIGHT_R | RIGHT_W, &page);

        if (rc != 0) {
            return rc;
        }
        e = __atomic_load_n(&page[a >> shift & (PT_ENTRIES - 1)], __ATOMIC_RELAXED);
        if (!(e & PTE_P) || ((e & PTE_LARGE) && shift == 39)) {
            return -EFAULT;
        }
        all &= e;
        any |= e;
        if (shift == PAGE_SHIFT || (e & PTE_LARGE)) {
            break;
        }
        table = (e & FORMAT_ADDRESS_MASK) >> PAGE_SHIFT;
    }
    e = (e & FORMAT_ADDRESS_MASK & ~((1ULL << shift) - 1)) | (a & ((1ULL << shift) - 1));
    return entry_gives(all, any, rights) ? page_of(w, e >> PAGE_SHIFT, rights, &page) : -EACCES;
}
