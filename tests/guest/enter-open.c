/* SPDX-License-Identifier: MIT */
/* Under the policy `open` there is no way into an agent but VMFUNC: registering one is refused, and
 * so is the call. */
#include "lib/altp2m.h"
#include "lib/inside.h"
#include "lib/test.h"

static void refused(void)
{
    struct facet_altp2m_enter e;

    if (!on_facet)
        skip("enter");
    need(inside_prepare() == 0, "the agent cannot be made");
    e = inside_entry(0);
    expect(inside_register(&e), -XEN_EOPNOTSUPP);
    e.vcpu = 31;
    expect(inside_register(&e), -XEN_EOPNOTSUPP);
    expect(inside_call(INSIDE_EMPTY, 1, 0), -XEN_EOPNOTSUPP);
    expect(inside_seal(), -XEN_EOPNOTSUPP);
    altp2m_op op = altp2m_new(FACET_ALTP2M_pin);
    expect(altp2m_call(&op), -XEN_EOPNOTSUPP);
    expect(altp2m_switch(inside.agent), 0);
    expect(altp2m_switch(0), 0);
}

TEST_CASES(CASE(refused))
