/* SPDX-License-Identifier: MIT */
/* INVEPT and INVVPID go to the modelled TLB. */
#include "machine.h"
#define __asm__                                                                                    \
    bad = machine_invalidate(&descriptor);                                                         \
    if (0)                                                                                         \
    __asm__
#include "hv/vmx/ept.c"
