/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What accesses mean, in sets of rights, and what a processor reads from an entry's bits. Written
 * from the words of Xen's public memory.h and of the manuals; nothing here uses the core's code.
 */
#include <facet/types.h>
#include "core/format.h"
#include "core/physmap.h"

#define SPEC_ACCESSES 10u /* XENMEM_access_n to _n2rwx */

/* Before any fault: rx2rw is rx, n2rwx nothing. */
static inline unsigned spec_rights(unsigned access)
{
    switch (access) {
    case 1:
        return RIGHT_R;
    case 2:
        return RIGHT_W;
    case 3:
        return RIGHT_R | RIGHT_W;
    case 4:
        return RIGHT_X;
    case 5:
    case 8:
        return RIGHT_R | RIGHT_X;
    case 6:
        return RIGHT_W | RIGHT_X;
    case 7:
        return RIGHT_R | RIGHT_W | RIGHT_X;
    default:
        return 0;
    }
}

/* What a fault may turn it into. */
static inline unsigned spec_converted(unsigned access)
{
    return access == 8   ? RIGHT_R | RIGHT_W
           : access == 9 ? RIGHT_R | RIGHT_W | RIGHT_X
                         : spec_rights(access);
}

/* What is left of a right set on this format's hardware: SDM 3, 28.2.2 (EPT); APM 2,
 * 15.25 (NPT and its like). */
unsigned spec_hardware(unsigned format, unsigned rights);
/* What a processor gives by an entry's bits, and whether it would take them for
 * a mistake (28.2.3.1). */
unsigned spec_entry_rights(unsigned format, uint64_t e);
bool spec_misconfigured(unsigned format, uint64_t e, unsigned level);
