/* SPDX-License-Identifier: MIT */
#pragma once

/* The example agent: it keeps a key, signs with it, and lets two instructions write where nobody
 * else may. */
#include "guard.h"
#include "siphash.h"

enum vault_op {
    VAULT_SIGN,      /* a, b: two words; the result is their SipHash */
    VAULT_INTERRUPT, /* raises vector 2 inside of the agent, as an NMI; a: at the next store */
    VAULT_LOWER,     /* a: the code; ends the seal, so that the shield can be lowered */
    VAULT_PIN,       /* what shield_raise() was told stays as it is */
    VAULT_REFUSED,   /* writes of that so far */
    VAULT_WATCH,     /* page tables are watched on this vCPU */
    VAULT_REARM,     /* #VE again on this vCPU; 1 if somebody had left it pending */
};

/* Private once the shield is up. */
extern struct siphash_key vault_key;
extern uint64_t vault_code; /* what who lowers the shield has to know */
/* The addresses of a `mov %rax, (%rdi)` and a `rep movsb` that may write where `may_store` is. */
extern uint64_t vault_trusted_store, vault_trusted_copy;
