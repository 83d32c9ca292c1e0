/* SPDX-License-Identifier: MIT */
#pragma once

/* What mon-regs.c, whose registers are looked at and set, and its monitor mon-context.c say to
 * each other. */
#include <stdint.h>
#include "monitor.h"

#define HELD_GPRS 15u /* rax rcx rdx rbx rbp rsi rdi r8 to r15 */

/* In the mailbox's page. `ready` is the round that the guest is in; `task` set to it lets
 * it go on. */
struct held {
    struct mailbox mail;
    volatile uint64_t loop, past_loop; /* addresses: where it waits, and the code after that */
    volatile uint64_t second, second_stack, second_ran;
    volatile uint32_t done; /* the round whose results are in `out` and below */
    volatile uint32_t monitor;
    uint64_t in[HELD_GPRS], out[HELD_GPRS + 1]; /* the last is RFLAGS */
    volatile uint64_t cr2, dr[4], lstar, star, fmask, shadow_gs, xmm[2], cr3;
};

/* What the guest puts there in round 1, and the monitor in round 3. */
#define HELD_GPR(i) (0x1111111111111111ULL * (i) + 0x1234)
#define HELD_LSTAR  0xffffffff81234567ULL
#define HELD_STAR   0x0023001000000000ULL
#define HELD_FMASK  0x00047700ULL
#define HELD_SHADOW 0xffff888012345000ULL
#define HELD_CR2    0x00007fff12345678ULL
#define HELD_DR0    0x0000000000403210ULL
#define HELD_XMM    0x0123456789abcdefULL
#define RFLAGS_ID   (1ULL << 21)
