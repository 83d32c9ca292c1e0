/* SPDX-License-Identifier: MIT */
#pragma once

/* What monitor-soak.c does and monitor-count.c counts. Every event carries its number, of its
 * vCPU, in r12. */
#include "monitor.h"

#define SOAK_VCPUS 3u

enum soak_kind { SOAK_WRITE, SOAK_BREAKPOINT, SOAK_CPUID, SOAK_REQUEST, SOAK_CR3, SOAK_KINDS };

struct soak {
    struct mailbox mail; /* data[0]: gfn of the pages written, one for each vCPU */
    volatile uint64_t did[SOAK_VCPUS][SOAK_KINDS];
};

#define SOAK_LEAF 0x40000000u /* CPUID leaf that is asked */
