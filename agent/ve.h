/* SPDX-License-Identifier: MIT */
#pragma once

/* The #VE information area (SDM volume 3, 25.5.7.2): one page per vCPU, written by the processor.
 */
#include "altp2m.h"

AGENT_BEGIN_C

#define VE_VECTOR               20u
#define VE_REASON_EPT_VIOLATION 48u
#define VE_REASON_CR            28u /* a top table is to be loaded (facet/hvmop.h), gla: CR3 */

/* Bits of the qualification (SDM volume 3, table 28-7); 0..2 compare with enum altp2m_access. */
#define VE_READ         (1u << 0)
#define VE_WRITE        (1u << 1)
#define VE_FETCH        (1u << 2)
#define VE_ACCESS       (VE_READ | VE_WRITE | VE_FETCH)
#define VE_LINEAR_VALID (1u << 7)
#define VE_FINAL        (1u << 8) /* with that: it was no walk */

struct ve_info {
    uint32_t exit_reason;
    uint32_t busy; /* all ones from a #VE until the handler writes 0: violations exit meanwhile */
    uint64_t qualification;
    uint64_t gla; /* guest linear address */
    uint64_t gpa;
    /* Of the view. A hint at most: some processors report 0, and Bochs 2.7 the last VMFUNC's. */
    uint16_t eptp_index;
};
AGENT_ASSERT(offsetof(struct ve_info, busy) == 4, "SDM volume 3, table 25-1");
AGENT_ASSERT(offsetof(struct ve_info, qualification) == 8, "SDM volume 3, table 25-1");
AGENT_ASSERT(offsetof(struct ve_info, gla) == 16, "SDM volume 3, table 25-1");
AGENT_ASSERT(offsetof(struct ve_info, gpa) == 24, "SDM volume 3, table 25-1");
AGENT_ASSERT(offsetof(struct ve_info, eptp_index) == 32, "SDM volume 3, table 25-1");

/* Whether the page reports a #VE that nobody has handled: false for a bare `int $20`. */
static inline __attribute__((always_inline)) bool ve_pending(const volatile struct ve_info *info)
{
    return info->busy != 0 &&
           (info->exit_reason == VE_REASON_EPT_VIOLATION || info->exit_reason == VE_REASON_CR);
}

/* After everything of interest has been read: the next violation is a #VE again. */
static inline __attribute__((always_inline)) void ve_rearm(volatile struct ve_info *info)
{
    __asm__ volatile("" ::: "memory");
    info->busy = 0;
}

AGENT_END_C
