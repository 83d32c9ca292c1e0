/* SPDX-License-Identifier: MIT */
#include "vault.h"

#define STORE_LENGTH 3 /* 48 89 07 */
#define COPY_LENGTH  2 /* f3 a4 */
#define EINVAL       22
#define EPERM        1

AGENT_PRIVATE struct siphash_key vault_key = {0};
AGENT_PRIVATE uint64_t vault_code = 0;
AGENT_PRIVATE uint64_t vault_trusted_store = 0;
AGENT_PRIVATE uint64_t vault_trusted_copy = 0;
static AGENT_PRIVATE uint64_t interrupt_store = 0;

static AGENT_TEXT void interrupt(void)
{
    __asm__ volatile("int $2" ::: "memory");
}

AGENT_TEXT long agent_service(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
    (void)c;
    switch (op) {
    case VAULT_SIGN:
        return (long)siphash(&vault_key, a, b);
    case VAULT_INTERRUPT:
        interrupt_store = a;
        if (!a)
            interrupt();
        return -EINVAL;
    case VAULT_LOWER:
        return a == vault_code ? guard_unseal() : -EPERM;
    case VAULT_PIN:
        return guard_pin();
    case VAULT_REFUSED:
        return guard_refusals();
    case VAULT_WATCH:
        return guard_watch();
    case VAULT_REARM:
        return guard_rearm();
    default:
        return -EINVAL;
    }
}

/*
 * The address counts for nothing here: whatever frame is behind it, what the store view does not
 * have writable stays as it is.
 */
AGENT_TEXT bool agent_allow(const struct gate_frame *f, const struct ve_info *ve,
                            struct gate_store *store)
{
    if (f->rdi != ve->gla)
        return false;
    if (interrupt_store) {
        interrupt_store = 0;
        interrupt();
    }
    if (f->rip == vault_trusted_store) {
        *store = (struct gate_store){
            .to = f->rdi, .value = f->rax, .bytes = 8, .rip = f->rip + STORE_LENGTH};
        return true;
    }
    *store = (struct gate_store){
        .to = f->rdi, .from = f->rsi, .bytes = f->rcx, .rip = f->rip + COPY_LENGTH};
    return f->rip == vault_trusted_copy && f->rsi && f->rcx;
}
