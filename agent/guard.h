/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The part of the agent that decides: it runs in the agent's view, on private memory, and calls
 * nothing outside of .agent.text. Its embedder supplies agent_service() and agent_allow(), also
 * AGENT_TEXT; both run with interrupts off, on several vCPUs at a time, and must return.
 */
#include "gate.h"
#include "ve.h"

AGENT_BEGIN_C

enum guard_kind {
    GUARD_DENIED = 1,  /* the kernel's view forbids it, and so does the embedder */
    GUARD_ALLOWED,     /* forbidden there, but agent_allow() did it */
    GUARD_STRAY,       /* VMFUNC into the agent's view from outside of the gate */
    GUARD_SPURIOUS,    /* vector 20 without a violation: a bare INT, or a jump */
    GUARD_INTERRUPTED, /* an exception in the agent's view; handled in the kernel's if it can be */
    GUARD_TABLE,       /* a write of watched page tables that is as it should be */
    GUARD_KINDS
};

struct guard_event {
    uint64_t number; /* 1..; written last */
    uint64_t rip, gla, gpa;
    uint32_t access; /* VE_READ, VE_WRITE, VE_FETCH; 0: page tables were to be loaded, gla is CR3 */
    uint32_t kind;   /* enum guard_kind */
};

#define GUARD_EVENTS 64u

/* In .agent.report: everybody may read it, the agent alone can write it. */
struct guard_report {
    uint64_t count[GUARD_KINDS];
    uint64_t events; /* number of the last one; event n is at (n - 1) % GUARD_EVENTS */
    struct guard_event event[GUARD_EVENTS];
};
extern struct guard_report guard_report;

/* Runs in the agent's view on behalf of gate_call(). Arguments are numbers, never addresses to
 * follow: who calls is not trusted. */
long agent_service(uint64_t op, uint64_t a, uint64_t b, uint64_t c);

/*
 * Whether a violation of the kernel's view is legitimate: then true, and *store says what the gate
 * is to write and where the code goes on. It writes only in ranges with `may_store`, and reads only
 * what the kernel may. *f are numbers that the caller may have made up; *ve is the processor's
 * word.
 */
bool agent_allow(const struct gate_frame *f, const struct ve_info *ve, struct gate_store *store);

/*
 * Entered: the bytes of such a write, before they are written, of one page at a time; low bytes
 * first, at most 16. AGENT_ENTER; an embedder need not supply it.
 */
bool agent_may_write(uint64_t gpa, const uint64_t value[2], uint64_t bytes);

/*
 * For agent_service(), which has to be sure of who asks. guard_unseal() ends the seal (by the
 * hypercall that counts as the agent's: made in its view); 0 if there was none. guard_rearm() lets
 * violations of this vCPU be #VEs again, for when somebody else has taken one and left it; true if
 * it was so. Whatever is left on the agent's stacks is gone with the seal.
 */
long guard_unseal(void);
bool guard_rearm(void);

/* What the gate is to do after guard_exception(); the numbers are known to gate_entry.S. */
enum guard_verdict {
    GUARD_GO_ON = 0,  /* return to the interrupted code */
    GUARD_REFUSE = 1, /* the deny handler, with the stack of a #GP(0) */
    GUARD_STORE = 2,  /* carry out *store; entered: it is done, and here is where to go on */
    GUARD_SUPPLY = 3, /* entered: the bytes for it first */
    GUARD_VALUE = 4,  /* entered: the value for a table first */
};
int guard_exception(const struct gate_frame *f, struct gate_store *store);

/*
 * Entered by the hypervisor (enter.h): a violation; the bytes that it was asked for; and what a run
 * gives that met an exception of its own.
 */
int guard_entered(const struct gate_frame *f, struct gate_outcome *out);
int guard_supplied(uint64_t low, uint64_t high, struct gate_outcome *out);
long guard_trapped(void);
int guard_valued(uint64_t value, uint64_t kind, struct gate_outcome *out);

/*
 * For agent_service(), where page tables are watched (shield_hooks.tables): on each vCPU, after
 * guard_pin(). What it has loaded by now is looked at as what is loaded from then on. -EPERM: that
 * leads elsewhere; -EOPNOTSUPP: they are not watched.
 */
long guard_watch(void);

/* CR3 of who was interrupted, for agent_allow(); in the processor there may be the agent's own. */
uint64_t guard_cr3(void);

/* After guard_interrupted(): where to go on. */
enum guard_ending {
    GUARD_DIRECT = 0,      /* at *end */
    GUARD_HANDLER = 1,     /* in the handler of what came in, from where it returns to *end */
    GUARD_NOT_THE_RUN = 2, /* nowhere: who came in only looks like the agent; refuse that */
};
/* Something came in on a stack pointer `rsp` while the run with this cookie was the vCPU's. */
int guard_interrupted(uint64_t rsp, uint64_t cookie, struct gate_end *end);

/* Registers that are to stay as they are: bits of the first three, and a set of the others. */
enum guard_register {
    GUARD_IDTR = 0x1,
    GUARD_GDTR = 0x2,
    GUARD_LDTR = 0x4,
    GUARD_TR = 0x8,
    GUARD_XCR0 = 0x10,
    GUARD_CR3 = 0x20, /* with shield_hooks.tables, and by itself then */
    GUARD_STAR = 0x100,
    GUARD_LSTAR = 0x200,
    GUARD_CSTAR = 0x400,
    GUARD_FMASK = 0x800,
    GUARD_SYSENTER_CS = 0x1000,
    GUARD_SYSENTER_ESP = 0x2000,
    GUARD_SYSENTER_EIP = 0x4000,
    GUARD_PAT = 0x8000,
    GUARD_TSC_AUX = 0x10000,
    GUARD_APIC_BASE = 0x20000,
};
struct guard_pins {
    uint64_t cr0, cr4, efer;
    uint32_t registers; /* enum guard_register */
};
/*
 * For agent_service(), once the guest is sealed: has the hypervisor refuse each vCPU's writes of
 * what the embedder named to shield_raise(), from now until the seal ends. What the processor
 * cannot tell of is left out. -EOPNOTSUPP where there is no such thing, and by VMFUNC. Does nothing
 * where it is done already.
 */
long guard_pin(void);
/* How many such writes were refused so far, on all vCPUs. */
long guard_refusals(void);

/* For shield.c, before there is an agent's view. */
#define GUARD_RANGES 224u
struct guard_range {
    uint64_t first, last; /* gfns */
    uint32_t kernel;      /* enum altp2m_access in the kernel's view */
    uint32_t agent;       /* in the agent's */
    uint32_t store;       /* in the store view */
};
#define GUARD_VCPUS GATE_SLOTS
struct guard_vcpu {
    volatile struct ve_info *info;
    uint64_t id;      /* for hypercalls */
    uint64_t apic_id; /* initial APIC ID, CPUID.1:EBX[31:24] */
};
struct guard {
    uint64_t
        entered; /* by the hypervisor: slot n is that of vcpu[n]; `info` and all memory are at: */
    uint64_t memory; /* linear address of guest-physical 0 */
    struct guard_vcpu vcpu[GUARD_VCPUS];
    uint64_t vcpus;
    uint64_t sealed;
    struct guard_pins pins;
    uint64_t ranges;
    struct guard_range range[GUARD_RANGES];
};
extern struct guard guard;

AGENT_END_C
