/* SPDX-License-Identifier: MIT */
#pragma once

/* The Linux agent's part that runs in the agent's view: it keeps a key, and knows which writes to
 * the kernel's text are the kernel's own. */
#include "guard.h"
#include "siphash.h"

enum keeper_op {
    KEEPER_SIGN,     /* a, b: two words; the result is their SipHash under the key */
    KEEPER_PATCHING, /* a: 1 lets the kernel patch its own text, 0 forbids it for good */
    KEEPER_LOWER,    /* a: the code; overwrites the key and ends the seal */
    KEEPER_REARM,    /* #VE again on this vCPU; 1 if somebody had taken one and left it */
    KEEPER_PIN,      /* registers stay as they are from now on */
    KEEPER_REFUSED,  /* how many writes of them were refused */
};

/* Linear addresses first..last, both included. */
struct keeper_range {
    uint64_t first, last;
};

#define KEEPER_COPIES    3u
#define KEEPER_CALLERS   2u
#define KEEPER_COPY_MOST 512u

/* A memcpy(), and its instructions: at its address might be others by the time it is asked. */
struct keeper_copy {
    struct keeper_range at;
    uint8_t code[KEEPER_COPY_MOST + 8]; /* an instruction may lie across the end */
};

/*
 * How the kernel writes to its own text (6.1, text_poke_bp() and all that use it): memcpy(), called
 * by these functions, through a temporary mapping in an address space that is used for nothing
 * else.
 */
struct keeper_patching {
    uint64_t allowed;
    uint64_t text_first, text_last;             /* gfns */
    struct keeper_copy copy[KEEPER_COPIES];     /* memcpy() in its variants */
    struct keeper_range caller[KEEPER_CALLERS]; /* who calls it */
    uint64_t tables;                            /* gpa of the address space's top table */
};

/* Both are private once the shield is up. */
extern struct siphash_key keeper_key;
extern uint64_t keeper_code; /* who lowers the shield has to know it; 0: a sealed one stays */
extern struct keeper_patching keeper_patching;

/* agent_allow(), in the address space that cr3 names. */
bool keeper_allow(const struct gate_frame *f, const struct ve_info *ve, uint64_t cr3,
                  struct gate_store *store);
