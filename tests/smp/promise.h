/* SPDX-License-Identifier: MIT */
#pragma once

/* What calls have promised when they returned, for those who are in the guest to look at. */
#include <stdint.h>
#include "machine.h"

struct promise {
    uint32_t no_rights[VIEWS][GFNS]; /* RIGHT_* that the view does not give */
    bool hidden[VIEWS];              /* VMFUNC does not enter it */
    bool no_vmfunc[VCPUS], paused[VCPUS];
    bool woken[VCPUS];    /* comes out of the guest where it is there */
    uint64_t root[VCPUS]; /* where a vCPU without VMFUNC is; 0: not said */
    enum { NOT_SAID, NOTIFIED, NOT_NOTIFIED } notify[VCPUS]; /* by #VE, in a page of its own */
    bool settles; /* nobody runs before what is left of the last call is done */
};
extern struct promise promise;

/* In no order with anything: what is looked at is whether the hypervisor's own order is enough. */
#define PROMISED(what)         __atomic_load_n(&promise.what, __ATOMIC_RELAXED)
#define PROMISE(what, value)   __atomic_store_n(&promise.what, (value), __ATOMIC_RELAXED)
#define TAKE_BACK(what, value) __atomic_store_n(&promise.what, (value), __ATOMIC_RELAXED)
