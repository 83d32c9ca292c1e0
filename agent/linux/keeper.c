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
    return guard_unseal();
}

AGENT_TEXT long agent_service(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
    (void)c;
    switch (op) {
    case KEEPER_SIGN:
        return (long)siphash(&keeper_key, a, b);
    case KEEPER_PATCHING:
        if (a && !keeper_patching.allowed)
            return -EPERM;
        keeper_patching.allowed = a;
        return 0;
    case KEEPER_LOWER:
        return lower(a);
    case KEEPER_REARM:
        return guard_rearm();
    default:
        return -EINVAL;
    }
}

static AGENT_TEXT bool in_range(uint64_t at, const struct keeper_range *r)
{
    return at >= r->first && at <= r->last;
}

static AGENT_TEXT bool in_any(uint64_t at, const struct keeper_range *r, unsigned int count)
{
    bool in = false;

    for (unsigned int i = 0; i < count; i++)
        in = in || in_range(at, &r[i]);
    return in;
}

/* Whether it is the kernel's memcpy(), called by its patching code, in its patching address space.
 */
static AGENT_TEXT bool is_patching(const struct gate_frame *f, uint64_t cr3)
{
    if ((f->cs & 3) || !in_any(f->rip, keeper_patching.copy, KEEPER_COPIES) ||
        (cr3 & CR3_FRAME) != keeper_patching.tables)
        return false;
    return in_any(*(const volatile uint64_t *)f->rsp, keeper_patching.caller, KEEPER_CALLERS);
}

/* A patch is a few bytes on one page, and does not come from what the agent keeps. */
static AGENT_TEXT bool is_patch(const struct gate_frame *f, const struct copy_step *s)
{
    if (s->whole > PATCH_MAX || s->bytes > s->whole || s->to - f->rax > s->whole - s->bytes ||
        f->rax % PAGE + s->whole > PAGE)
        return false;
    return !s->from || s->from + s->bytes <= (uint64_t)agent_private ||
           s->from >= (uint64_t)agent_private_end;
}

AGENT_TEXT bool keeper_allow(struct gate_frame *f, const volatile struct ve_info *ve, uint64_t cr3)
{
    uint64_t gfn = ve->gpa / PAGE;
    struct copy_step step;

    if (!keeper_patching.allowed || !(ve->qualification & VE_WRITE) ||
        gfn < keeper_patching.text_first || gfn > keeper_patching.text_last ||
        !is_patching(f, cr3) || !copy_decode(f, &step) || step.to != ve->gla || !is_patch(f, &step))
        return false;
    copy_carry_out(f, &step);
    return true;
}

AGENT_TEXT bool agent_allow(struct gate_frame *f, const volatile struct ve_info *ve)
{
    uint64_t cr3;

    __asm__("mov %%cr3, %0" : "=r"(cr3));
    return keeper_allow(f, ve, cr3);
}
