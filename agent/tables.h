/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The kernel's page tables, watched from inside: where linear addresses lead that were named, they
 * go on leading. Tables below the top are read-only in the kernel's view, and each write comes to
 * the agent as a #VE; a top table becomes read-only when it is first loaded, once its entries for
 * those addresses were found to be the kernel's. What does not concern these addresses the agent
 * writes as asked. It needs the one way in (enter.h) and CR3 pinned (GUARD_CR3).
 */
#include "guard.h"

AGENT_BEGIN_C

#define TABLES_ROOTS  16u
#define TABLES_PAGES  64u
#define TABLES_FRAMES (1u << 19) /* memory that top tables may lie in: 2 GiB */

/* An entry of top tables, and what has to stand there: in the kernel's, and in its twin. */
struct tables_root {
    uint64_t slot, value[2];
};

/* A lower table; a bit for each entry that leads to one of the addresses. */
struct tables_page {
    uint64_t gfn, fixed[8];
};

/* Private once the shield is up. */
struct tables {
    uint64_t on;
    uint64_t twin;   /* from a top table to that of user space, in bytes; 0: it has none */
    uint64_t master; /* gfn of the top table that all others are made of: always watched */
    uint64_t view;   /* the kernel's */
    uint64_t roots, pages;
    struct tables_root root[TABLES_ROOTS];
    struct tables_page page[TABLES_PAGES];
    uint32_t lock;
    uint64_t loaded[TABLES_FRAMES / 64]; /* gfns of top tables that are read-only */
};
extern struct tables guard_tables;

/* ---- in the agent's view, for guard.c ---- */

/* Whether a write of this frame is for tables_written() to judge. */
bool tables_know(uint64_t gfn);
/* A top table is to be loaded: 0, or -EPERM: it leads elsewhere. */
long tables_load(uint64_t cr3);
/* The processor wants to mark the entry at gpa accessed or dirty, in a walk: that is done for it.
 */
void tables_walked(uint64_t gpa);
/* GUARD_GO_ON: the frame is no table any more, GUARD_VALUE: which value is to be written? */
int tables_begin(uint64_t gpa, uint64_t cr3);
/* Writes it, with the old one in *old: GUARD_STORE. GUARD_REFUSE: it may not be. */
int tables_write(uint64_t gpa, uint64_t value, uint64_t kind, uint64_t *old);

/* ---- in the kernel's ---- */

/* Fills in `tables` from the tables themselves. -ENOSPC: there are more than that. */
struct shield_hooks;
int tables_find(const struct shield_hooks *hooks);

enum tables_kind { TABLES_UNKNOWN, TABLES_STORE, TABLES_EXCHANGE };

/* What gate_entry.S pushes. */
struct tables_regs {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t rip, cs, rflags, rsp, ss;
};
struct tables_value {
    uint64_t value, kind; /* enum tables_kind */
    uint64_t rip;         /* behind the instruction */
    uint64_t *exchanged;  /* where the old value goes, or NULL */
};
AGENT_ASSERT(sizeof(struct tables_value) == 32, "gate_entry.S");
/* What the interrupted instruction writes: 8 bytes by MOV or XCHG. */
void tables_decode(struct tables_regs *r, struct tables_value *v);

AGENT_END_C
