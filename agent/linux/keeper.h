/* SPDX-License-Identifier: MIT */
#pragma once

/* The Linux agent's part that runs in the agent's view: it keeps a key, and knows which writes to
 * the kernel's text are the kernel's own. */
#include "guard.h"
#include "siphash.h"

enum keeper_op {
    KEEPER_SIGN,     /* a, b: two words; the result is their SipHash under the key */
    KEEPER_PATCHING, /* a: enum keeper_patch, no more than it is; the result is what it is then */
    KEEPER_LOWER,    /* a: the code; overwrites the key and ends the seal */
    KEEPER_REARM,    /* #VE again on this vCPU; 1 if somebody had taken one and left it */
    KEEPER_PIN,      /* registers stay as they are from now on */
    KEEPER_REFUSED,  /* how many writes of them were refused */
    KEEPER_WATCH,    /* this vCPU's page tables are looked at */
};

/* What the kernel may write to its own text. */
enum keeper_patch {
    KEEPER_PATCH_NONE,
    KEEPER_PATCH_LISTED, /* at sites of its list of jump labels, what that says (sites.c) */
    KEEPER_PATCH_ANY,    /* what its patching function is asked for */
};

/* Linear addresses first..last, both included. */
struct keeper_range {
    uint64_t first, last;
};

#define KEEPER_COPIES    3u
#define KEEPER_CALLERS   2u
#define KEEPER_COPY_MOST 512u
#define KEEPER_SITES     8192u

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
    uint64_t allowed;                           /* enum keeper_patch */
    uint64_t text_first, text_last;             /* gfns */
    struct keeper_copy copy[KEEPER_COPIES];     /* memcpy() in its variants */
    struct keeper_range caller[KEEPER_CALLERS]; /* who calls it */
    uint64_t text;                              /* linear address of text_first */
    uint64_t sites, sites_gpa, nr_sites;        /* the list: its linear address, and entries */
    uint64_t wide[KEEPER_SITES / 64];           /* which of them have five bytes, not two */
    uint64_t tables;                            /* gpa of the address space's top table */
};

/* Both are private once the shield is up. */
extern struct siphash_key keeper_key;
extern uint64_t keeper_code; /* who lowers the shield has to know it; 0: a sealed one stays */
extern struct keeper_patching keeper_patching;

/* agent_allow(), in the address space that cr3 names. */
bool keeper_allow(const struct gate_frame *f, const struct ve_info *ve, uint64_t cr3,
                  struct gate_store *store);

/* By the list: whether these bytes may be written at gpa, which is in one page of the text. */
bool keeper_listed(uint64_t gpa, const uint64_t value[2], uint64_t bytes);
