/* SPDX-License-Identifier: MIT */
/* What runs in the agent's view, on pages that nobody else can read: an agent of yours begins here.
 */
#include "safe.h"

#define EPERM  1
#define EINVAL 22
#define TRIES  3

AGENT_PRIVATE uint64_t safe_pin = 0, safe_secret = 0;
static AGENT_PRIVATE uint64_t wrong = 0;

/* Arguments are numbers, never addresses to follow: who calls is not trusted. */
AGENT_TEXT long agent_service(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
    (void)b, (void)c;
    if (op != SAFE_OPEN && op != SAFE_LOWER) {
        return -EINVAL;
    }
    if (wrong >= TRIES || a != safe_pin) {
        wrong += wrong < TRIES;
        return -EPERM;
    }
    wrong = 0;
    return op == SAFE_OPEN ? (long)safe_secret : guard_unseal();
}

/* Nobody writes where the shield forbids it. */
AGENT_TEXT bool agent_allow(const struct gate_frame *f, const struct ve_info *ve,
                            struct gate_store *store)
{
    (void)f, (void)ve, (void)store;
    return false;
}
