/* SPDX-License-Identifier: MIT */
/* fatal() and failed CHECKs are failures of the test. */
#include "machine.h"
#define __asm__                                                                                    \
    machine_fail("the hypervisor stopped");                                                        \
    if (0)                                                                                         \
    __asm__
#include "hv/lib/console.c"
