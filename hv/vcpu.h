/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A virtual processor, vendor-free. Its hardware half is behind hv/vmx (later hv/svm too); what the
 * guest interface keeps for it is struct guest_vcpu (hv/guest/guest.h).
 *
 * Functions here that read or write guest registers work on the vCPU that is running on this
 * processor (between its exit and its next entry) or on one that is not running anywhere; both are
 * always true with the domain's lock held or the vCPU being current.
 */
#include <facet/types.h>
#include <sys/queue.h>
#include "core/altp2m.h"
#include "guest/guest_state.h"
#include "vcpu/state.h"
#include "vmx/vmx_state.h"

struct domain;

/* General registers as saved by the exit stub, in this order (offsets known to entry.S). */
struct vcpu_regs {
    uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
};

enum vcpu_state {
    VCPU_OFFLINE, /* never started, or taken down */
    VCPU_RUNNABLE,
    VCPU_BLOCKED, /* waits for an event: HLT, SCHEDOP_block, SCHEDOP_poll */
};

/* A page of guest RAM that this vCPU's page walks found lately; good while the host map's
 * generation is the same. */
struct ram_slot {
    uint64_t gfn, generation;
    uint8_t *page;
};
#define RAM_SLOTS 256u

/* A page as a view shows it, and what it gives there; good while no right
 * is lost (physmap_rights_generation()). */
struct shown_slot {
    uint64_t gfn, generation;
    uint8_t *page; /* NULL: none */
    view_t view;
    uint8_t rights, type;
};
#define SHOWN_SLOTS 64u

/* A linear page that a copy reached; forgotten when the vCPU runs. */
struct linear_page {
    uint64_t address, stamp;
    uint8_t *page;
    bool writable;
};

/* A place in the run queue: a vCPU's, or that of work which a domain has to wait for. */
struct turn {
    TAILQ_ENTRY(turn) link;
    bool queued, lent; /* see hv/x86/sched.c */
    /* NULL: a vCPU's. Else does a piece, far shorter than a slice; false: none is left, and the
     * turn may be gone. */
    bool (*work)(struct turn *);
};

struct vcpu {
    struct vcpu_regs regs; /* first: the entry stub addresses it from the vCPU pointer */
    struct domain *domain;
    unsigned id;
    enum vcpu_state state;
    unsigned paused; /* runs only while 0 */
    struct turn turn;
    struct altp2m_vcpu altp2m;
    struct guest_vcpu guest;
    struct vmx_vcpu vmx;
    struct ram_slot ram[RAM_SLOTS]; /* these four: hv/x86/hand.c */
    struct shown_slot shown[SHOWN_SLOTS];
    struct linear_page linear;        /* the last one */
    struct linear_page linear_before; /* the one before, if `linear` has a page */
    void *fpu;                        /* XSAVE area */
    uint64_t xcr0;
};

/* ---- registers and events: hv/vmx/vcpu.c ---- */

/* Allocates the hardware state. -ENOMEM. The vCPU is OFFLINE with undefined registers. */
int vcpu_create(struct vcpu *v, struct domain *d, unsigned id);
void vcpu_destroy(struct vcpu *v);

/* What can be set before a start; everything else gets the architectural reset value. */
struct vcpu_start {
    uint64_t rip, rsp, rflags, rax, rbx, rcx, rdx, rsi, rdi, rbp;
    uint64_t cr0, cr3, cr4, efer;
    struct segment cs, ds, es, ss, tr;
};
/* PVH start: 32-bit flat, paging off (Xen's public arch-x86/hvm/start_info.h). */
void vcpu_start_pvh(struct vcpu_start *s, uint32_t entry, uint32_t start_info);
/* Start after SIPI: real mode at vector << 12. */
void vcpu_start_sipi(struct vcpu_start *s, uint8_t sipi_vector);
/* Whether a vCPU could run from this (SDM 3, 26.3.1); CR3 is not looked at. */
bool vcpu_start_valid(const struct vcpu_start *s);
/* Sets all registers from s, which is valid; does not make it runnable. */
void vcpu_reset(struct vcpu *v, const struct vcpu_start *s);

unsigned vcpu_cpl(const struct vcpu *v);
bool vcpu_long_mode(const struct vcpu *v);          /* CS.L with EFER.LMA: 64-bit caller */
bool vcpu_in_ia32e(const struct vcpu *v);           /* EFER.LMA: 4-level paging */
uint64_t vcpu_cr4_allowed(void);                    /* bits of CR4 that a guest may set */
const struct table_format *vcpu_table_format(void); /* of the nested page tables on this machine */
bool vcpu_interrupts_enabled(const struct vcpu *v); /* RFLAGS.IF */

enum {
    EXC_DE = 0,
    EXC_DB = 1,
    EXC_NMI = 2,
    EXC_BP = 3,
    EXC_OF = 4,
    EXC_UD = 6,
    EXC_NM = 7,
    EXC_DF = 8,
    EXC_SS = 12,
    EXC_GP = 13,
    EXC_PF = 14,
    EXC_AC = 17,
    EXC_MC = 18,
    EXC_VE = 20
};
/* Raises an exception at the next entry, in place of completing the current instruction. */
void vcpu_inject(struct vcpu *v, unsigned vector);
void vcpu_inject_error(struct vcpu *v, unsigned vector, uint32_t error);
void vcpu_inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t error);

/* ---- scheduling: hv/x86/sched.c ---- */

void sched_wake(struct vcpu *v); /* BLOCKED -> RUNNABLE; OFFLINE stays */
/* v, which the current vCPU has just woken, runs in what that one leaves of its
 * slice, before others. */
void sched_lend(struct vcpu *v);
void sched_block(
    struct vcpu *v); /* current vCPU: RUNNABLE -> BLOCKED; takes effect when the exit is done */
void sched_yield(struct vcpu *v);   /* current vCPU: others first */
void sched_online(struct vcpu *v);  /* OFFLINE -> RUNNABLE */
void sched_offline(struct vcpu *v); /* any state -> OFFLINE */
void sched_pause(struct vcpu *v);
void sched_unpause(struct vcpu *v);
/* The same, and v runs next, in the current vCPU's slice; that one goes on with the slice
 * when v stops. */
void sched_unpause_now(struct vcpu *v);
/* Work gets a slice whenever its turn comes, like a vCPU, until it has none left. No vCPU is
 * current meanwhile. */
void sched_work(struct turn *t, bool (*work)(struct turn *));
/* The current vCPU's exit has lasted: whether its slice is over is looked at right after it. */
void sched_look(void);
struct vcpu *vcpu_current(void); /* the vCPU whose exit is being handled, or NULL */
/* Runs vCPUs until domains_all_ended(). Deferred domain work (domain_reap) is done
 * between vCPUs. */
void sched_run(void);
