/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of the hand share (hand.h): pages by gfn, and guest page walks. Nobody else
 * includes this. */
#include <string.h>
#include "domain.h"
#include "vcpu/hand.h"

#define PTE_P 1ULL
#define PTE_W 2ULL
#define PTE_U 4ULL
#define PTE_A (1ULL << 5)
#define PTE_D (1ULL << 6)

/* ---- hand_page.c: gfn to page ---- */

/* Looks again what hand_ram() remembers. */
uint8_t *hand_ram_refill(struct vcpu *v, struct ram_slot *s, uint64_t g, uint64_t generation);

/*
 * The host map's RAM, remembered: a copy to or from the guest reads up to five pages, the same ones
 * call after call. Only gfn to frame is kept, which guests cannot change behind the hypervisor's
 * back; their page tables are always read.
 */
static inline __attribute__((always_inline)) uint8_t *hand_ram(struct vcpu *v, uint64_t g)
{
    struct ram_slot *s = &v->ram[g % RAM_SLOTS];
    uint64_t generation = hostmap_ram_generation(&v->domain->physmap);

    if (s->gfn == g && s->generation == generation && s->page) {
        return s->page;
    }
    return hand_ram_refill(v, s, g, generation);
}

/*
 * A page of the vCPU's view, or of the host map for one that is let through, if it gives the
 * rights; NULL else. What is remembered is good while no right is lost; rights that came since are
 * looked for.
 */
uint8_t *hand_shown(struct vcpu *v, uint64_t g, unsigned rights, bool in_walk);
/* The same, of the domain's own memory alone. */
uint8_t *hand_shown_ram(struct vcpu *v, uint64_t g, unsigned rights);

/* ---- hand_walk.c ---- */

/*
 * What a walk used and met: the entries, for their accessed and dirty bits or to be compared later,
 * and the paging structure that could not be read. NULL where nobody wants to know.
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

/* What a walk found: the page's guest physical address, and PTE_W and PTE_U if every
 * level has them. */
struct walked {
    uint64_t base; /* of the 4 KiB page */
    uint64_t rights;
};

/* By the host map's frames. False: not mapped. */
bool hand_walk_host(struct vcpu *v, uint64_t a, struct walked *w, struct path *p);
/* By what the vCPU's view shows and lets be read. False: not mapped, or what *p tells. */
bool hand_walk_view(struct vcpu *v, uint64_t a, struct walked *w, struct path *p);

/* Read-only pages bind the kernel only while CR0.WP is set (4.6.1). */
static inline bool hand_kernel_may(struct vcpu *v, const struct walked *w, unsigned rights)
{
    return !(rights & RIGHT_W) || (w->rights & PTE_W) || !(vcpu_get(v, VCPU_CR0) & X86_CR0_WP);
}
