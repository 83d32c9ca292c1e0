/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The trampoline: the one page that is executable in the kernel's view and in the agent's view.
 *
 * VMFUNC can be executed anywhere, by anybody. It helps only where the next instruction can be
 * fetched in the view entered, and that is this page and the agent's own text. Each VMFUNC in it is
 * followed by a check that it was this one that was meant, against a number in the instruction, so
 * that a jump to the middle of the page ends where the whole path would have. Who maps one of these
 * pages behind his own and ends that with VMFUNC comes to its first byte: each begins with a way
 * back.
 */
#include "altp2m.h"

AGENT_BEGIN_C

/*
 * The agent's stacks. Each way in takes one that nobody has, so that vCPUs do not wait for each
 * other and none has to be told apart from another. While the agent runs, r14 holds the run's
 * cookie, which is nowhere else but in this struct, and r15 the gate's tag, by which gate_ve_entry
 * knows that what came in must not be written to a stack that is not the agent's. Code that runs
 * there must leave both alone (-ffixed-r14 -ffixed-r15) and needs no more than GATE_STACK bytes.
 */
#define GATE_SLOTS 32u /* by VMFUNC two for each vCPU: a #VE may come in on top of a call */
#define GATE_STACK 1792u

enum gate_run {
    GATE_RUN_CALL,      /* gate_call(); caller: its stack pointer */
    GATE_RUN_VIOLATION, /* of a #VE; caller: struct gate_saved on the stack that it came in on */
    GATE_RUN_NESTED,    /* what came in while the agent ran; outer: the interrupted run's cookie */
    GATE_RUN_SUPPLY,    /* entered: the bytes that an agreed store has to have */
    GATE_RUN_VALUE,     /* entered: the value that is to be written to a table */
};

struct gate_slot {
    uint64_t cookie; /* 0: nobody's */
    uint64_t caller; /* a number to give back, never an address to follow in the agent's view */
    uint64_t run;    /* enum gate_run */
    uint64_t outer;
    uint8_t rest[224];
    uint8_t stack[GATE_STACK];
};
AGENT_ASSERT(sizeof(struct gate_slot) == 2048, "gate_entry.S");
AGENT_ASSERT(offsetof(struct gate_slot, caller) == 8, "gate_entry.S");
AGENT_ASSERT(offsetof(struct gate_slot, run) == 16, "gate_entry.S");
AGENT_ASSERT(offsetof(struct gate_slot, outer) == 24, "gate_entry.S");
AGENT_ASSERT(GATE_RUN_CALL == 0 && GATE_RUN_VIOLATION == 1 && GATE_RUN_NESTED == 2, "gate_entry.S");

/* Private. */
extern struct gate_slot gate_slots[GATE_SLOTS];
extern uint32_t gate_free; /* a bit for each slot */
/* Secrets, to be set before the first call: cookies are their sum. The step must be odd. */
extern uint64_t gate_cookie, gate_cookie_step;

/*
 * What of the interrupted code the agent gets to see. All of it was read with that code's own
 * rights, in the view that it ran in, and came in registers: numbers that somebody may have made
 * up, and none of them an address to follow.
 */
struct gate_frame {
    uint64_t rax, rcx, rdx, rsi, rdi, r8, r9, r10, r11;
    uint64_t rip;
    uint64_t top; /* the word at rsp; 0 for user space */
    uint64_t cs;
};
AGENT_ASSERT(sizeof(struct gate_frame) == 12 * 8, "gate_entry.S");

/*
 * A write that the agent has agreed to. The gate does it, in the store view: there everything but
 * what agents may write for others has the kernel's rights at most, whatever mapping, size or
 * border the addresses have by then. Then the interrupted code goes on at `rip`.
 */
struct gate_store {
    uint64_t to;    /* linear, as all of the interrupted code's */
    uint64_t from;  /* 0: it is `value`; else as REP MOVSB, whose rdi, rsi and rcx come with it */
    uint64_t value; /* little-endian, in the lowest bytes; 4 and 8 are written at once */
    uint64_t bytes; /* of `value`: at most 8 */
    uint64_t rip;
    uint64_t unused;
};
AGENT_ASSERT(sizeof(struct gate_store) == 6 * 8, "gate_entry.S");

/* Entered by the hypervisor: what a violation's run gives back, in registers. */
struct gate_outcome {
    uint64_t rip;
    uint64_t rdi, rsi, rcx; /* if `moved`; GUARD_SUPPLY: rcx bytes from rsi are asked for */
    uint64_t moved;
    uint64_t unused;
};
AGENT_ASSERT(sizeof(struct gate_outcome) == 6 * 8, "gate_entry.S");
#define GATE_SUPPLY 16u /* bytes at a time */

/* Where the gate is to go on after a nested run. */
struct gate_end {
    uint64_t to;     /* one of gate_leave, gate_again, gate_refuse */
    uint64_t caller; /* the interrupted run's */
};
extern const char gate_leave[], gate_again[], gate_refuse[];
extern const char gate_store[]; /* what carries out a struct gate_store */

/*
 * Calls agent_service(op, a, b, c) in the agent's view, on the agent's stack, interrupts off, and
 * returns what it returns. Any number of vCPUs may call at the same time. -EBUSY: no stack is left.
 * -EINTR: something like an NMI came in between, the call had no result; call again. CPL 0 only.
 */
long gate_call(uint64_t op, uint64_t a, uint64_t b, uint64_t c);

/*
 * What the IDT's entry 20 points to: an interrupt gate with DPL 0 and no IST. Calls
 * guard_exception() in the agent's view, then either returns to the interrupted code or jumps to
 * the deny handler with the stack of a #GP(0) of that code.
 */
extern const char gate_ve_entry[];

/* The same where the hypervisor has one way in (enter.h): gate_call() goes by the first. */
extern const char gate_call_enter[], gate_ve_enter[];
/* Where it leads, in the agent's view, and where the agent's exceptions do. */
extern const char gate_entered[], gate_trapped[];

struct gate_views {
    altp2m_view_t kernel, agent, store;
};

/* Writes the views' numbers and the tag into the instructions. Before the views are used. */
int gate_set_views(const struct gate_views *views, uint64_t tag,
                   int (*code_write)(void *context, void *at, const void *from, size_t size),
                   void *context);

/* Entered: tables_decode(), for who watches page tables (tables.h). */
extern const void *gate_decode;

/* Where refusals go: a #GP handler. */
extern const void *gate_deny;

/* Bounds of what the linker script agent.lds gathers; all start and end at a page's border. */
extern char gate_page[], gate_page_end[];         /* executable in all views */
extern char agent_store[], agent_store_end[];     /* executable in the agent's and the store view */
extern char agent_text[], agent_text_end[];       /* executable in the agent's view */
extern char agent_enter[], agent_enter_end[];     /* executable in the agent's view, if entered */
extern char agent_private[], agent_private_end[]; /* accessible in the agent's view */
extern char agent_report[], agent_report_end[];   /* read-only in the kernel's view */

#define AGENT_TEXT    __attribute__((section(".agent.text"), noinline))
#define AGENT_ENTER   __attribute__((section(".agent.enter"), noinline))
#define AGENT_PRIVATE __attribute__((section(".agent.private")))
#define AGENT_REPORT  __attribute__((section(".agent.report")))

AGENT_END_C
