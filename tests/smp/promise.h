/* SPDX-License-Identifier: MIT */
#pragma once

/* What calls have promised when they returned, for those who are in the guest to look at. */
#include <stdint.h>
#include "machine.h"

struct promise {
    uint32_t no_rights[VIEWS][GFNS]; /* RIGHT_* that the view does not give */
    bool hidden[VIEWS];              /* VMFUNC does not enter it */
    bool no_vmfunc[VCPUS], paused[VCPUS];
    uint64_t root[VCPUS]; /* where a vCPU without VMFUNC is; 0: not said */
};
extern struct promise promise;

#define PROMISED(what)         __atomic_load_n(&promise.what, __ATOMIC_ACQUIRE)
#define PROMISE(what, value)   __atomic_store_n(&promise.what, (value), __ATOMIC_RELEASE)
#define TAKE_BACK(what, value) __atomic_store_n(&promise.what, (value), __ATOMIC_SEQ_CST)
