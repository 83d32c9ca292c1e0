/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The trampoline: the one page that is executable in the kernel's view and in the agent's view.
 *
 * VMFUNC can be executed anywhere, by anybody. It helps only where the next instruction can be
 * fetched in the view entered, and that is this page and the agent's own text. Each VMFUNC in it is
 * followed by a check that it was this one that was meant, against a number in the instruction, so
 * that a jump to the middle of the page ends where the whole path would have.
 */
#include "altp2m.h"

/*
 * The agent's stacks. Each way in takes one that nobody has, so that vCPUs do not wait for each
 * other and none has to be told apart from another. The cookie is in r15 while the agent runs, in
 * this struct, and nowhere else: what has it comes from this stack's own run of the agent. Code
 * that runs there must leave r15 alone (-ffixed-r15) and needs no more than GATE_STACK bytes.
 */
#define GATE_SLOTS 16u /* two for each vCPU: a #VE may come in on top of a call */
#define GATE_STACK 1792u

struct gate_slot {
    uint64_t cookie; /* 0: nobody's */
    uint64_t caller; /* the stack pointer of who called */
    uint8_t rest[240];
    uint8_t stack[GATE_STACK];
};
_Static_assert(sizeof(struct gate_slot) == 2048, "gate_entry.S");
_Static_assert(offsetof(struct gate_slot, caller) == 8, "gate_entry.S");

/* Private. */
extern struct gate_slot gate_slots[GATE_SLOTS];
extern uint32_t gate_free; /* a bit for each slot */
/* Secrets, to be set before the first call: cookies are their sum. The step must be odd. */
extern uint64_t gate_cookie, gate_cookie_step;

/* What the processor and gate_ve_entry push. */
struct gate_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t rip, cs, rflags, rsp, ss;
};
_Static_assert(offsetof(struct gate_frame, r13) == 16, "gate_entry.S");
_Static_assert(offsetof(struct gate_frame, r12) == 24, "gate_entry.S");

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

/* Writes the numbers of the two views into the page's instructions. Before the views are used. */
int gate_set_views(altp2m_view_t kernel, altp2m_view_t agent,
                   int (*code_write)(void *context, void *at, const void *from, size_t size),
                   void *context);

/* Bounds of what the linker script agent.lds gathers; all start and end at a page's border. */
extern char gate_page[], gate_page_end[];         /* executable in both views */
extern char agent_text[], agent_text_end[];       /* executable in the agent's view */
extern char agent_private[], agent_private_end[]; /* accessible in the agent's view */
extern char agent_report[], agent_report_end[];   /* read-only in the kernel's view */

#define AGENT_TEXT    __attribute__((section(".agent.text"), noinline))
#define AGENT_PRIVATE __attribute__((section(".agent.private")))
#define AGENT_REPORT  __attribute__((section(".agent.report")))
