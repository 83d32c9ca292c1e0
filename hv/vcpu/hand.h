/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * One hand in a guest's memory: the only code that makes a pointer of a gfn or an address which a
 * guest, a monitor or an answer named (tests/unit/check_hand.py finds any other). It is told in
 * whose name and what for, and it never lifts a restriction of its own accord. docs/audit.md lists
 * everything that comes by here.
 *
 * Two laws:
 * - For hypercalls (hand_copy_*), as on Xen: the host map's frames, no access asked. Under the
 *   policy `audited`: the frames and the access of the vCPU's view, page walks included; what it
 *   denies is -EFAULT.
 * - For instructions that the hypervisor carries out in the guest's place (hand_reach*), under
 *   every policy: what the processor would have done on the vCPU's view, walk, rights, SMAP,
 *   accessed and dirty bits. A restriction goes to who listens; where nobody does, the rule of
 *   altp2m_fault() for that holds. While a monitor lets the vCPU through (altp2m_lift()) everything
 *   is granted, in the host map.
 */
#include "domain.h"
#include "vcpu.h"

/*
 * What is kept of a look-up of RAM counts while this is the same: it moves with such a gfn's frame
 * and type; under `audited`, where access counts, with every loss of a right and with the view.
 */
static inline uint64_t hand_stamp(const struct physmap *pm, view_t now)
{
    return physmap_confines(pm) ? physmap_rights_generation(pm) << 16 | now.v
                                : hostmap_ram_generation(pm);
}

/* ---- hypercalls: linear addresses of the vCPU that is loaded, at CPL 0; U/S, A and D are not
 * touched ---- */

/* 0 or -EFAULT; a failed copy may have copied a part. */
int hand_copy_from(struct vcpu *v, void *dst, gva_t src, size_t n);
int hand_copy_to(struct vcpu *v, gva_t dst, const void *src, size_t n);
/* By guest physical address, as the processor loads PDPTEs: the view's frames, under `audited`
 * those that may be read; 0, or -EFAULT if any byte is none. */
int hand_copy_from_gpa(struct vcpu *v, void *dst, gpa_t src, size_t n);
/* One page of RAM that a call or an MSR names to be written; NULL: none, or it may not be. For the
 * call's duration. */
void *hand_page_to_fill(struct vcpu *v, gfn_t g);
/* The vCPU is about to run, or another address space is loaded: what its addresses
 * meant is forgotten. */
static inline void hand_forget(struct vcpu *v)
{
    v->runs++;
}

/* ---- instructions carried out here ---- */

enum hand_answer {
    HAND_DONE,
    HAND_FAULT,     /* nothing was done: the exception is due */
    HAND_DENIED,    /* nothing was done: a listener decides, and the instruction then runs again */
    HAND_CONVERTED, /* nothing was done: the listener is told, without waiting, and the access tried
                       again */
    HAND_RETRY, /* nothing was done: others change the page tables; the instruction runs again */
};

enum hand_name {
    HAND_AS_CODE,   /* by CPL and RFLAGS.AC */
    HAND_AS_SYSTEM, /* a supervisor's at every CPL: descriptor tables, task state (SDM 3, 4.6) */
};

struct hand_reach {
    /* Asked. */
    uint64_t linear;
    size_t n;        /* bytes: 1 to PAGE_SIZE */
    unsigned rights; /* RIGHT_R, or both: what will be written is also proved to be readable */
    enum hand_name name;
    /* HAND_DONE: where the bytes are. NULL: mapped, but no memory is there. Good until the vCPU or
     * another runs. */
    struct hand_part {
        uint8_t *at;
        size_t n;
    } part[2];
    /* HAND_FAULT */
    unsigned vector;
    uint32_t error;
    uint64_t address; /* of a #PF */
    /* HAND_DENIED, HAND_CONVERTED: as a violation of the nested tables tells them */
    gpa_t gpa;
    uint64_t gla;
    unsigned denied; /* RIGHT_*: what the access was */
    bool gla_valid, in_walk;
};

enum hand_answer hand_reach(struct vcpu *v, struct hand_reach *r);
/* The same for a guest physical address in one page, which is no linear one's: PDPTEs. */
enum hand_answer hand_reach_gpa(struct vcpu *v, gpa_t a, struct hand_reach *r);
/* Moves the bytes of a HAND_DONE. No memory: reads give all ones, writes vanish. */
void hand_read(const struct hand_reach *r, void *to);
void hand_write(const struct hand_reach *r, const void *from);

/*
 * Up to n bytes of code at a linear address, as the processor fetches them: from the view, which
 * need not let them be read. Tells how many could be had.
 */
size_t hand_fetch(struct vcpu *v, uint64_t linear, uint8_t *to, size_t n);
/* The page of code there, where a monitor lets the vCPU through; NULL: none. */
const void *hand_code_page(struct vcpu *v, gva_t a, gpa_t *at);
/* Whether a walk for the linear address reads the entry there, or would if it might. */
bool hand_walks_through(struct vcpu *v, gva_t a, gpa_t entry);
/* The page of a paging structure, as the vCPU's walks read it; NULL: they may not. */
const void *hand_walked_page(struct vcpu *v, gfn_t g);
/* The same as a call's copy would find it, to be written; false: not mapped so, or the
 * walk is denied. */
bool hand_translate_to_write(struct vcpu *v, gva_t a, gpa_t *out);
/* Linear to guest physical, for what a monitor is told. False: not mapped. */
bool hand_translate(struct vcpu *v, gva_t a, gpa_t *out);

/*
 * ---- a walk in the processor's place, as the vCPU's view lets it read its tables, for an access
 * that was a #PF (hv/exit/mirror.c) ----
 */
struct hand_look {
    uint64_t linear;
    bool marks; /* accessed and dirty bits are set also where the view lets nothing be written */
    uint32_t error; /* the fault's; HAND_FAULT: as the guest's own tables have it */
    /* HAND_DONE: the entry that stands for all levels, writable if the page is dirty by now; of the
     * level whose pages have 1 << shift bytes. */
    uint64_t entry;
    unsigned shift;
    bool global;
    bool guarded; /* a table on the way may not be written; not looked at with `marks` */
    /* HAND_DENIED: by the view */
    gpa_t gpa;
    unsigned denied; /* RIGHT_R: it is not to be read; with RIGHT_W: an accessed or dirty bit */
};
enum hand_answer hand_look(struct vcpu *v, struct hand_look *l);

/* ---- page tables that nobody runs on yet: hv/vcpu/hand_entry.c ---- */

/* Four levels from cr3, in a view; the pages that walks used, those found included. */
struct hand_walk {
    struct domain *domain;
    view_t view;
    uint64_t cr3;
    struct entry_pages pages;
};
/*
 * Whether the kernel has these rights at a linear address, by page tables and view: 0, -EINVAL (no
 * such address, or too many pages), -EFAULT (not mapped, or no RAM of the domain's), -EACCES.
 */
int hand_walk(struct hand_walk *w, uint64_t a, unsigned rights);

/* ---- frames and areas: hv/vcpu/hand_area.c ---- */

/*
 * A reference on the frame of d's own RAM that its host map has at g, for who controls d or was
 * granted the page, or for d to be built; its page, or NULL. frame_put() gives it back.
 */
void *hand_frame_get(struct domain *d, gfn_t g, mfn_t *frame);
/* Copies into a domain that is being built; -EFAULT if any byte is not RAM. */
int hand_build(struct domain *d, gpa_t dst, const void *src, size_t n);
void *hand_build_page(struct domain *d, gfn_t g);

/* struct hand_area: hv/vcpu/area.h */

/* -EINVAL: no RAM of the domain, or `by` may not write there. */
int hand_area_bind(struct vcpu *by, gfn_t g, struct hand_area *a);
/* The same for n bytes (at most a page) at a linear address of `by`: one or two areas. -EFAULT:
 * not mapped. */
int hand_area_bind_linear(struct vcpu *by, gva_t at, size_t n, struct hand_area a[2]);
/* For the hypervisor's own pages in the guest: bound in nobody's name. */
int hand_area_bind_host(struct domain *d, gfn_t g, struct hand_area *a);
void hand_area_unbind(struct hand_area *a);

void hand_area_look(struct domain *d, view_t now, struct hand_area *a);

/* The page to write to while the vCPU is on `now` (VIEW_NONE: no vCPU's), or NULL. */
static inline uint8_t *hand_area_page(struct domain *d, view_t now, struct hand_area *a)
{
    if (a->stamp != hand_stamp(&d->physmap, now)) {
        hand_area_look(d, now, a);
    }
    return a->held ? NULL : a->at;
}
