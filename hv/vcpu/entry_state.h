/* SPDX-License-Identifier: MIT */
#pragma once

/* What an entry wants of the guest state that others than the processor wrote (SDM
 * 3, 26.3.1). Pure. */
#include "vcpu.h"

struct entry_state {
    uint64_t cr0, cr4, efer;
    uint64_t rip, rflags; /* as the entry will see them: no bit is masked here */
    struct segment segment[SEG_COUNT];
};

bool entry_state_valid(const struct entry_state *s);
/* What RIP and RFLAGS have to do with the rest. */
bool entry_rip_valid(uint64_t rip, bool long_mode_code);
bool entry_rflags_valid(uint64_t rflags, uint64_t cr0, uint64_t efer);
