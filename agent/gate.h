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

/* What the processor and gate_ve_entry push. */
struct gate_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t rip, cs, rflags, rsp, ss;
};

/*
 * Calls agent_service(op, a, b, c) in the agent's view, on the agent's stack, interrupts off, and
 * returns what it returns. -EBUSY: from within the agent. -EINTR: something like an NMI came in
 * between, the call had no result; call again. CPL 0 only.
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
