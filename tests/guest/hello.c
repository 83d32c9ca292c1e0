/* SPDX-License-Identifier: MIT */
/* The least a guest can do: it starts, finds the hypervisor, prints, and powers off. */
#include "lib/hypercall.h"
#include "lib/test.h"

static void greet(void)
{
    long v = xen_version(XENVER_version, NULL);

    say("hello from a PVH guest on version %ld.%ld%s\n", v >> 16, v & 0xffff,
        on_facet ? " (Facet)" : "");
    expect(v, 4 << 16 | 17);
}

TEST_CASES(CASE(greet))
