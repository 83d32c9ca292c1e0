/* SPDX-License-Identifier: MIT */
#pragma once

/* Between monitor-prey.c, a guest of two vCPUs, and the monitors that mistreat it. */
#include "monitor.h"

struct prey {
    struct mailbox mail;
    volatile uint64_t counter;     /* vCPU 1 counts while it has nothing to do */
    volatile uint64_t page_gfn[2]; /* each vCPU writes its own page */
    volatile uint64_t wrote[2];    /* writes done */
    volatile uint64_t shared_gfn;  /* a page that is not RAM of the guest's */
    volatile uint64_t gfn, result; /* of PREY_GIVE */
    volatile uint64_t second;      /* between its two monitors */
};

/* Tasks; 0 again when vCPU 0 has begun. */
enum { PREY_WRITE_0 = 1, PREY_WRITE_1, PREY_WRITE_BOTH, PREY_GIVE };
