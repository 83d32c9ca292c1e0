/* SPDX-License-Identifier: MIT */
#include "keeper.h"

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

/* Whether it is the kernel's memcpy(), called by its patching code, in its patching address space.
 */
static AGENT_TEXT bool is_patching(const struct gate_frame *f)
{
    uint64_t cr3, back;
    bool known = false;

    __asm__("mov %%cr3, %0" : "=r"(cr3));
    if ((f->cs & 3) || !in_range(f->rip, &keeper_patching.copy) ||
        (cr3 & CR3_FRAME) != keeper_patching.tables)
        return false;
    back = *(const volatile uint64_t *)f->rsp;
    for (unsigned int i = 0; i < KEEPER_CALLERS; i++)
        known = known || in_range(back, &keeper_patching.caller[i]);
    return known;
}

/* Bytes that the string move at f->rip still has to copy, and its length; 0 if it is none. */
static AGENT_TEXT uint64_t string_move(const struct gate_frame *f, unsigned int *length)
{
    const volatile uint8_t *code = (const volatile uint8_t *)f->rip;

    if (code[0] != 0xf3)
        return 0;
    if (code[1] == 0xa4) {
        *length = 2;
        return f->rcx;
    }
    if (code[1] == 0x48 && code[2] == 0xa5 && f->rcx <= PATCH_MAX / 8) {
        *length = 3;
        return f->rcx * 8;
    }
    return 0;
}

AGENT_TEXT bool agent_allow(struct gate_frame *f, const volatile struct ve_info *ve)
{
    uint64_t gfn = ve->gpa / PAGE, bytes;
    volatile uint8_t *to = (volatile uint8_t *)f->rdi;
    const volatile uint8_t *from = (const volatile uint8_t *)f->rsi;
    unsigned int length = 0;

    if (!keeper_patching.allowed || !(ve->qualification & VE_WRITE) ||
        gfn < keeper_patching.text_first || gfn > keeper_patching.text_last || !is_patching(f))
        return false;
    bytes = string_move(f, &length);
    /* A patch is a few bytes on one page, and does not come from what the agent keeps. */
    if (!bytes || bytes > PATCH_MAX || f->rdi != ve->gla || f->rdi % PAGE + bytes > PAGE ||
        (f->rsi + bytes > (uint64_t)agent_private && f->rsi < (uint64_t)agent_private_end))
        return false;
    for (uint64_t i = 0; i < bytes; i++)
        to[i] = from[i];
    f->rdi += bytes;
    f->rsi += bytes;
    f->rcx = 0;
    f->rip += length;
    return true;
}
