/* SPDX-License-Identifier: MIT */
/* The guest around the agent: it puts the shield up, attacks what is behind it, and asks the agent.
 */
#include <shield.h>
#include "guest.h"
#include "safe.h"

#define PAGE   4096UL
#define MEMORY (16UL << 20) /* as agent.cfg says */
#define VE     20
#define PIN    4711
#define SECRET 42
#define EPERM  1

static unsigned char table[PAGE] __attribute__((aligned(4096))) = {7};
static char pages[GUARD_VCPUS][PAGE] __attribute__((aligned(4096)));
static unsigned used;

static altp2m_gfn_t frame(void *context, const void *at)
{
    (void)context;
    return gfn_of(at);
}

static void *page_alloc(void *context)
{
    (void)context;
    return used < GUARD_VCPUS ? pages[used++] : NULL;
}

static void page_free(void *context, void *page)
{
    (void)context, (void)page;
}

static int code_write(void *context, void *at, const void *from, size_t size)
{
    (void)context;
    for (size_t i = 0; i < size; i++) {
        ((volatile char *)at)[i] = ((const char *)from)[i];
    }
    return 0;
}

static int ve_set(void *context, const void *entry)
{
    (void)context;
    vector_set(VE, entry ? entry : on_gp);
    return 0;
}

static const struct shield_hooks hooks = {
    .xen = {.hvm_op = hvm_op},
    .gfn_of = frame,
    .page_alloc = page_alloc,
    .page_free = page_free,
    .code_write = code_write,
    .vector_set = ve_set,
};

static bool shield_up(struct shield *shield)
{
    const struct shield_range ram[] = {{.first = {0}, .last = {MEMORY / PAGE - 1}}};
    const struct shield_range protect[] = {{gfn_of(table), gfn_of(table), ALTP2M_R, false}};

    return shield_raise(shield, &hooks, ram, 1, protect, 1, on_gp) == 0;
}

void main(void)
{
    static struct shield shield;
    unsigned char seen;

    guest_begin();
    safe_pin = PIN;
    safe_secret = SECRET;
    test("agent.raise", shield_up(&shield), "the shield up");
    test("agent.sealed", shield.sealed, "a sealed guest: altp2m_policy");
    test("agent.table_is_read", try_read(table, &seen) && seen == 7, "what is in the table");
    test("agent.table_is_not_written", !try_write(table, 8) && table[0] == 7, "a #GP");
    test("agent.secret_is_not_read", !try_read(&safe_secret, &seen), "a #GP");
    test("agent.hypercalls_are_refused", altp2m_set_state(&hooks.xen, false) == -EPERM, "-EPERM");
    test("agent.wrong_pin", gate_call(SAFE_OPEN, PIN + 1, 0, 0) == -EPERM, "-EPERM");
    test("agent.pin", gate_call(SAFE_OPEN, PIN, 0, 0) == SECRET, "the secret");
    test("agent.lower", gate_call(SAFE_LOWER, PIN, 0, 0) == 0 && shield_lower(&shield) == 0,
         "the shield down");
    guest_end("agent");
}
