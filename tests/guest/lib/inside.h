/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A small agent that is entered by FACET_ALTP2M_enter: one page of code, page tables, GDT, IDT, a
 * stack for each vCPU and a page of data, all out of the kernel's reach once it is sealed. Link
 * lib/inside.o (guest.mk).
 */
#include <stdbool.h>
#include <stdint.h>
#include <facet/hvmop.h>
#include "altp2m.h"

#define INSIDE_VCPUS 32u

/* What the agent does for who calls; anything else gives a + 1 and touches nothing. */
enum inside_op {
    INSIDE_EMPTY,
    INSIDE_PEEK,   /* word a of its data */
    INSIDE_POKE,   /* b to word a */
    INSIDE_REG,    /* enum inside_reg a, as it is there */
    INSIDE_FAULT,  /* enum inside_fault a */
    INSIDE_NMI,    /* sends its own vCPU an NMI and vector a; the word b of its data */
    INSIDE_WAIT,   /* notes in word a that it is there, goes on when word b is not 0, and notes that
                    */
    INSIDE_HVM,    /* hvm_op(HVMOP_altp2m, word a of its data) */
    INSIDE_VMFUNC, /* to view a */
    INSIDE_TOUCH,  /* writes b to linear address a */
    INSIDE_TELL,   /* writes b's low half at a, and waits for it b's high half behind that */
    INSIDE_SERVICES
};
enum inside_reg {
    REG_CR0,
    REG_CR3,
    REG_CR4,
    REG_RFLAGS,
    REG_RSP,
    REG_DR7,
    REG_IDT,
    REG_GDT,
    REG_EFER
};
enum inside_fault { FAULT_UD, FAULT_PF, FAULT_DE, FAULT_FETCH };

#define INSIDE_FAULTED (-14L) /* what a call gives that met an exception */
/* Words of its data that are not for tests. */
#define INSIDE_OP_WORDS 64u /* from here: an argument of HVMOP_altp2m */

struct inside {
    uint16_t agent, kernel, other; /* views */
};
extern struct inside inside;

/* altp2m on and the views made, nothing registered; what is left to do when it is not 0 is told. */
long inside_prepare(void);
/* The entry of a vCPU as it should be, and its registration. */
struct facet_altp2m_enter inside_entry(unsigned vcpu);
long inside_register(const struct facet_altp2m_enter *e);
long inside_seal(void);
/* Enters; -errno if that was refused. */
long inside_call(uint64_t op, uint64_t a, uint64_t b);
/* A call of HVMOP_altp2m that the agent makes; what it leaves in *op is there afterwards. */
long inside_altp2m(altp2m_op *op);
/* The one that ends the seal; its result. */
long inside_unseal(void);

extern uint8_t inside_code[];
extern uint64_t inside_data[512], inside_pml4[512];
extern uint8_t inside_stacks[INSIDE_VCPUS][4096];
