/* SPDX-License-Identifier: MIT */
/* Accesses in an instruction's place (hand.h). */
#include "monitor.h"
#include "vcpu/hand_private.h"

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
    case FAULT_NARROW: /* fetches alone, which are not asked for here */
        return HAND_DONE;
    case FAULT_UNMAPPED:
        *hole = true;
        return HAND_DONE;
    case FAULT_CONVERTED:
        return HAND_CONVERTED;
    case FAULT_DENIED:
        return HAND_DENIED;
    case FAULT_REFUSED:
    case FAULT_VE: /* not asked for, as the next: an instruction that is carried out raises none */
    case FAULT_WALK:
    case FAULT_STUCK: /* of what a processor walks to, not this */
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

        *at = hand_shown(v, a.v >> PAGE_SHIFT, rights, in_walk);
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
    return hand_kernel_may(v, w, r->rights);
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
        if (hand_walk_view(v, a, w, p)) {
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
