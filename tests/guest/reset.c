/* SPDX-License-Identifier: MIT */
/* A hardware domain that resets its machine, as kernels do. */
#include "lib/cpu.h"
#include "lib/hypercall.h"
#include "lib/test.h"

static void resets(void)
{
    outb(0xcf9, 0x06);
    check(false, "the machine goes on");
}

TEST_CASES(CASE(resets))
