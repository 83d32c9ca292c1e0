/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A virtual processor, vendor-free. Its hardware half is behind vcpu/vendor.h; what the guest
 * interface keeps for it is struct guest_vcpu (hv/guest/guest.h), what the handling of exits does
 * struct exit_vcpu (hv/exit/exit_state.h).
 *
 * Functions here that read or write guest registers work on the vCPU that is running on this
 * processor (between its exit and its next entry) or on one that is not running anywhere; both are
 * always true with the domain's lock held or the vCPU being current.
 */
#include <facet/types.h>
#include <sys/queue.h>
#include <facet/check.h>
#include "core/altp2m.h"
#include "exit/exit_state.h"
#include "guest/guest_state.h"
#include "vcpu/agent.h"
#include "vcpu/event.h"
#include "vcpu/state.h"
#include "vcpu/vendor.h"
#include "x86/cpu.h"

struct domain;
struct mirror;

/* General registers as saved by the exit stub, in this order (vcpu/entry_regs.S). */
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

/*
 * A page that a linear address led to lately, by which paging entries: good while they are the
 * same, and what `stamp` stands for. Until the vCPU runs again they are not looked at.
 */
struct linear_page {
    uint64_t address, stamp;
    uint8_t *page; /* NULL: none */
    uint64_t runs; /* v->runs when it was found good */
    bool writable;
    uint8_t nr; /* 0: not good when the vCPU has run */
    uint64_t cr3, efer;
    struct {
        const volatile uint64_t *at;
        uint64_t value;
    } used[4];     /* those beyond `nr` are like the last */
    uint64_t base; /* found[]: its guest physical address, and there need be no page */
};
#define LINEAR_PAGES 16u
#define CODE_PAGES   16u
#define FOUND_PAGES  4u

/* A place in the run queue: a vCPU's, or that of work which a domain has to wait for. */
struct turn {
    TAILQ_ENTRY(turn) link;
    bool queued, lent;       /* see hv/vcpu/sched.c */
    struct run_queue *queue; /* a processor's, on which it is, or was; NULL: none yet */
    /* NULL: a vCPU's. Else does a piece, far shorter than a slice; false: none is left, and the
     * turn may be gone. */
    bool (*work)(struct turn *);
};

/* What the vendor keeps per vCPU, in a form of its own. */
#define VENDOR_STATE 320u

struct vcpu {
    struct vcpu_regs regs; /* first: the entry stub addresses it from the vCPU pointer */
    struct domain *domain;
    unsigned id;
    enum vcpu_state state;
    unsigned paused; /* runs only while 0 */
    struct turn turn;
    struct cpu *on;    /* the processor on which it is current, or NULL */
    struct cpu *last;  /* where it was loaded last */
    uint64_t not_on;   /* a bit for each processor by number: it does not run there */
    bool exit_dropped; /* by who set its registers from outside */
    struct altp2m_vcpu altp2m;
    struct guest_vcpu guest;
    struct event event;    /* for the next entry */
    struct mirror *mirror; /* hv/vcpu/mirror.c; NULL: it walks its own page tables */
    bool mirror_flushed;   /* of all but global pages, at the next entry */
    bool altp2m_changed;   /* view, VMFUNC or #VE page: the vendor must follow */
    bool windows;          /* an exit was asked for when an interrupt or NMI can be taken */
    struct exit_vcpu exit;
    struct agent_vcpu agent;
    uint64_t vendor[VENDOR_STATE / sizeof(uint64_t)];
    void *fpu; /* XSAVE area */
    uint64_t xcr0;
    uint8_t breakpoints_met; /* hv/exit/breakpoint.h */
    /* What hv/vcpu/hand*.c found lately. */
    uint64_t runs;                           /* how often it ran */
    struct linear_page linear[LINEAR_PAGES]; /* for copies, by address */
    struct linear_page code[CODE_PAGES];     /* by view and address */
    struct linear_page found[FOUND_PAGES];   /* for hand_translate(), by address */
    struct ram_slot ram[RAM_SLOTS];
    struct shown_slot shown[SHOWN_SLOTS];
};

/* ---- in and out of the processor: hv/vcpu/load.c ---- */

/* Allocates the hardware state. -ENOMEM. The vCPU is OFFLINE with undefined registers. */
int vcpu_create(struct vcpu *v, struct domain *d, unsigned id);
void vcpu_destroy(struct vcpu *v);
/* v's state comes into this processor, in the place of another's. */
void vcpu_load(struct vcpu *v);
void vcpu_unload(struct vcpu *v);
uint64_t vcpu_xcr0(struct vcpu *v); /* v->xcr0, which is behind where the guest sets it itself */
/* Loads v for a moment, perhaps in the middle of another's exit; vcpu_return() takes what
 * vcpu_borrow() gave. */
struct vcpu *vcpu_borrow(struct vcpu *v);
void vcpu_return(struct vcpu *v, struct vcpu *before);

/* ---- vCPUs that are current on other processors: hv/vcpu/remote.c ---- */

/* It is not in the guest when this returns, and not until the big lock is free. */
void vcpu_expel(struct vcpu *v);
/* The same, and its state is in memory, and not in another processor. */
void vcpu_take(struct vcpu *v);
/* The same, and what it last came out of the guest for is forgotten: its registers will be others.
 */
void vcpu_take_over(struct vcpu *v);
/* d's tables lost something: no processor uses that any more when this returns. Also for new ones.
 */
void remote_flush(struct domain *d);
/* No vCPU of d is in the guest, but on this processor. */
void remote_stop(struct domain *d);
bool remote_runs(const struct domain *d); /* one is current on some processor */
/* v is about to run here. */
void remote_enter(struct vcpu *v);

/* ---- registers: hv/vcpu/state.h names them ---- */

static inline __attribute__((always_inline)) uint64_t vcpu_get(const struct vcpu *v,
                                                               enum vcpu_field f)
{
    CHECK(cpu_loaded(v));
    return VENDOR(get, v, f);
}
static inline __attribute__((always_inline)) void vcpu_set(struct vcpu *v, enum vcpu_field f,
                                                           uint64_t value)
{
    CHECK(cpu_loaded(v));
    VENDOR(set, v, f, value);
}
/* General registers by ModRM numbering, with REX; 4 is RSP. */
uint64_t vcpu_gpr(struct vcpu *v, unsigned n);
void vcpu_set_gpr(struct vcpu *v, unsigned n, uint64_t value);
/* Where register n is in struct vcpu_regs; RSP is not. */
uint8_t vcpu_gpr_offset(unsigned n);
struct segment vcpu_segment(const struct vcpu *v, unsigned segment);
void vcpu_set_segment(struct vcpu *v, unsigned segment, const struct segment *s);
void vcpu_dump(struct vcpu *v); /* on the console */

/* ---- what is ordered of it, and carried out before its next entry (hv/exit/) ---- */

/* Runs one instruction and calls monitor_stepped(), again and again until turned off. Invisible to
 * the guest. */
static inline void vcpu_step(struct vcpu *v, bool on)
{
    v->exit.stepping = on;
    vcpu_expel(v); /* it is so when this returns */
}
static inline bool vcpu_stepping(const struct vcpu *v)
{
    return v->exit.stepping;
}
/* The exits that monitor_wants() asks for are brought up to date. */
static inline void vcpu_monitor_changed(struct vcpu *v)
{
    v->exit.watch_update = true;
    vcpu_expel(v);
}
/* Ends at once what emulate_begin() began (hv/exit/emulate.h); v need not be loaded.
 * hv/vcpu/patch.c */
void vcpu_emulate_stop(struct vcpu *v);

/* ---- maps of MSRs whose writes exit: hv/vcpu/msr_map.c ---- */

int vcpu_msr_init(void);                                /* makes the usual one, once. -ENOMEM */
void vcpu_msr_map_new(uint8_t *map);                    /* as usual */
void vcpu_msr_map(uint8_t *map, uint32_t msr, bool on); /* one more, or as usual */

/* ---- starts: hv/vcpu/start.c ---- */

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
/* Sets CR0, CR4 and EFER together, as given; values are valid, and CR3 is set. */
void vcpu_reset_control(struct vcpu *v, uint64_t cr0, uint64_t cr4, uint64_t efer);
/* Whether the processor would read the four entries of PAE paging (SDM 3, 4.4.1); and does so.
 * False: an entry is bad or not to be had, #GP. */
bool vcpu_keeps_pdptes(uint64_t cr0, uint64_t cr4, uint64_t efer);
bool vcpu_load_pdptes(struct vcpu *v, uint64_t cr0, uint64_t cr4, uint64_t efer);
uint64_t vcpu_cr4_allowed(void); /* bits of CR4 that a guest may set */

static inline unsigned vcpu_cpl(const struct vcpu *v)
{
    return (unsigned)vcpu_get(v, VCPU_CPL);
}
static inline gfn_t vcpu_top_table(uint64_t cr3)
{
    return gfn((cr3 & FORMAT_ADDRESS_MASK) >> PAGE_SHIFT);
}

static inline bool vcpu_long_mode(const struct vcpu *v) /* CS.L with EFER.LMA: 64-bit caller */
{
    return vcpu_get(v, VCPU_CODE_64);
}
static inline uint64_t vcpu_linear_rip(const struct vcpu *v)
{
    uint64_t rip = vcpu_get(v, VCPU_RIP);

    return vcpu_long_mode(v)
               ? rip
               : (vcpu_get(v, vcpu_segment_field(VCPU_BASE, SEG_CS)) + rip) & 0xffffffff;
}
static inline bool vcpu_in_ia32e(const struct vcpu *v) /* EFER.LMA: 4-level paging */
{
    return vcpu_get(v, VCPU_EFER) & EFER_LMA;
}
/* By four levels, with rights that bind the kernel, too, and not in the agent's place. */
static inline bool vcpu_can_mirror(const struct vcpu *v)
{
    return vcpu_in_ia32e(v) && (vcpu_get(v, VCPU_CR0) & X86_CR0_WP) && !v->altp2m.inside;
}
static inline bool vcpu_interrupts_enabled(const struct vcpu *v) /* RFLAGS.IF */
{
    return vcpu_get(v, VCPU_RFLAGS) & X86_EFLAGS_IF;
}
/* The vCPU's linear addresses mean something else from now on. */
static inline void vcpu_flush(struct vcpu *v)
{
    v->mirror_flushed = true;
    VENDOR(flush, v, MFN_INVALID);
}

/* ---- events: hv/vcpu/inject.c ---- */

enum {
    EXC_DE = 0,
    EXC_DB = 1,
    EXC_NMI = 2,
    EXC_BP = 3,
    EXC_OF = 4,
    EXC_UD = 6,
    EXC_NM = 7,
    EXC_DF = 8,
    EXC_TS = 10,
    EXC_NP = 11,
    EXC_SS = 12,
    EXC_GP = 13,
    EXC_PF = 14,
    EXC_AC = 17,
    EXC_MC = 18,
    EXC_VE = 20
};
/* Whether the frame of an exception has an error code, outside of real mode. */
static inline bool vcpu_pushes_error(unsigned vector)
{
    static const uint32_t those = 1u << EXC_DF | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS |
                                  1u << EXC_GP | 1u << EXC_PF | 1u << EXC_AC;

    return vector < 32 && (those >> vector & 1);
}
/* Raises an exception at the next entry, in place of completing the current instruction. */
void vcpu_inject(struct vcpu *v, unsigned vector);
void vcpu_inject_error(struct vcpu *v, unsigned vector, uint32_t error);
void vcpu_inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t error);
/* Delivers an event that an exit took from the guest, as if it had not. */
void vcpu_pass_on(struct vcpu *v, const struct event *e);
/* Whether an entry may inject an interrupt. */
bool vcpu_can_take_interrupt(struct vcpu *v);

/* ---- in and out of the agent: hv/vcpu/agent.c ---- */

/* The call that enters the agent or leaves it, by a 64-bit caller at CPL 0. -ERESTART: done, and
 * nothing of the registers is to be touched; else refused. */
long agent_call(struct vcpu *v);
/* What takes the vCPU down waits while it is in the agent: true, and agent_lets_down() tells, once,
 * that it has left. */
bool agent_delays(struct vcpu *v);
bool agent_lets_down(struct vcpu *v);
/* platform_entry_set() */
struct facet_altp2m_enter;
int agent_register(struct vcpu *v, view_t at, const struct facet_altp2m_enter *e,
                   struct entry_pages *pages);

/* ---- scheduling: hv/vcpu/sched.c, and hv/exit/run.c for sched_run() ---- */

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
/* From work(): the rest of the slice is of no use. */
void sched_yield_work(void);
/*
 * Lets the timer's interrupt in, which otherwise waits until a guest runs: who calls the hypervisor
 * all the time, or for long, does that too rarely for either timer of its slice to end it. True if
 * it came: whether the slice is over is looked at right after the current vCPU's exit.
 */
bool sched_look(void);
struct vcpu *vcpu_current(void); /* the vCPU whose exit is being handled, or NULL */
/* Runs vCPUs until domains_all_ended(). Deferred domain work (domain_reap) is done
 * between vCPUs. */
void sched_run(void);
