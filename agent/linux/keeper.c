/* SPDX-License-Identifier: MIT */
#include "keeper.h"

#include "copy.h"

#define EINVAL    22
#define EPERM     1
#define PAGE      4096u
#define PATCH_MAX 16u
#define CR3_FRAME 0x000ffffffffff000ULL

AGENT_PRIVATE struct siphash_key keeper_key = {0};
AGENT_PRIVATE uint64_t keeper_code = 0;
AGENT_PRIVATE struct keeper_patching keeper_patching = {0};

static AGENT_TEXT long lower(uint64_t code)
{
    if (keeper_code ? code != keeper_code : guard.sealed)
        return -EPERM;
    keeper_key.k0 = 0;
    keeper_key.k1 = 0;
    keeper_code = 0;
    return guard_unseal();
}

AGENT_TEXT long agent_service(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
    (void)c;
    switch (op) {
    case KEEPER_SIGN:
        return (long)siphash(&keeper_key, a, b);
    case KEEPER_PATCHING:
        if (a <= KEEPER_PATCH_ANY && a > keeper_patching.allowed)
            return -EPERM;
        keeper_patching.allowed = a <= KEEPER_PATCH_ANY ? a : keeper_patching.allowed;
        return (long)keeper_patching.allowed;
    case KEEPER_LOWER:
        return lower(a);
    case KEEPER_REARM:
        return guard_rearm();
    case KEEPER_PIN:
        return guard_pin();
    case KEEPER_REFUSED:
        return guard_refusals();
    case KEEPER_WATCH:
        return guard_watch();
    default:
        return -EINVAL;
    }
}

static AGENT_TEXT bool in_range(uint64_t at, const struct keeper_range *r)
{
    return at >= r->first && at <= r->last;
}

static AGENT_TEXT bool is_caller(uint64_t at)
{
    bool is = false;

    for (unsigned int i = 0; i < KEEPER_CALLERS; i++)
        is = is || in_range(at, &keeper_patching.caller[i]);
    return is;
}

/* memcpy() at this address as it was when the shield went up, or NULL. */
static AGENT_TEXT const uint8_t *copy_code(uint64_t rip)
{
    for (unsigned int i = 0; i < KEEPER_COPIES; i++) {
        const struct keeper_copy *c = &keeper_patching.copy[i];

        if (in_range(rip, &c->at) && rip - c->at.first < KEEPER_COPY_MOST)
            return &c->code[rip - c->at.first];
    }
    return NULL;
}

/* Whether it is called by the kernel's patching code, in its patching address space. */
static AGENT_TEXT bool is_patching(const struct gate_frame *f, uint64_t cr3)
{
    return !(f->cs & 3) && (cr3 & CR3_FRAME) == keeper_patching.tables && is_caller(f->top);
}

/* A patch is a few bytes. */
static AGENT_TEXT bool is_patch(const struct gate_frame *f, const struct copy_step *s)
{
    return s->whole <= PATCH_MAX && s->store.bytes <= s->whole &&
           s->store.to - f->rax <= s->whole - s->store.bytes;
}

/* Over a page's border the processor tells one of the two pages. */
static AGENT_TEXT bool is_target(const struct ve_info *ve, const struct gate_store *s)
{
    return ve->gla == s->to || (ve->gla % PAGE == 0 && ve->gla - s->to < s->bytes);
}

AGENT_TEXT bool keeper_allow(const struct gate_frame *f, const struct ve_info *ve, uint64_t cr3,
                             struct gate_store *store)
{
    const uint8_t *code = copy_code(f->rip);
    uint64_t gfn = ve->gpa / PAGE;
    struct copy_step step;

    if (!keeper_patching.allowed || !(ve->qualification & VE_WRITE) ||
        gfn < keeper_patching.text_first || gfn > keeper_patching.text_last ||
        !is_patching(f, cr3) || !code || !copy_decode(f, code, &step) ||
        !is_target(ve, &step.store) || !is_patch(f, &step))
        return false;
    *store = step.store;
    return true;
}

AGENT_TEXT bool agent_allow(const struct gate_frame *f, const struct ve_info *ve,
                            struct gate_store *store)
{
    return keeper_allow(f, ve, guard_cr3(), store);
}
