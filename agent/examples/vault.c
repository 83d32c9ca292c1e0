/* SPDX-License-Identifier: MIT */
#include "vault.h"

#define STORE_LENGTH 3 /* 48 89 07 */
#define EINVAL       22
#define EPERM        1

AGENT_PRIVATE struct siphash_key vault_key = {0};
AGENT_PRIVATE uint64_t vault_code = 0;
AGENT_PRIVATE uint64_t vault_trusted_store = 0;

AGENT_TEXT long agent_service(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
    (void)c;
    switch (op) {
    case VAULT_SIGN:
        return (long)siphash(&vault_key, a, b);
    case VAULT_INTERRUPT:
        __asm__ volatile("int $2" ::: "memory");
        return -EINVAL;
    case VAULT_LOWER:
        return a == vault_code ? guard_unseal() : -EPERM;
    case VAULT_REARM:
        return guard_rearm();
    default:
        return -EINVAL;
    }
}

AGENT_TEXT bool agent_allow(struct gate_frame *f, const volatile struct ve_info *ve)
{
    (void)ve;
    if (f->rip != vault_trusted_store)
        return false;
    *(volatile uint64_t *)f->rdi = f->rax;
    f->rip += STORE_LENGTH;
    return true;
}
