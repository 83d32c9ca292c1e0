/* SPDX-License-Identifier: MIT */
#include "vmfunc.h"

#define EOPNOTSUPP 95

extern const char vmfunc_at[], vmfunc_refused[];

bool vmfunc_fix_up(uint64_t *rip)
{
    if (*rip != (uint64_t)vmfunc_at)
        return false;
    *rip = (uint64_t)vmfunc_refused;
    return true;
}

int vmfunc_enter(const struct altp2m *a, uint32_t vcpu, altp2m_view_t view)
{
    int rc;

    if (!vmfunc_try(view))
        return 0;
    rc = altp2m_switch_vcpu(a, vcpu, view);
    return rc == -EOPNOTSUPP ? altp2m_switch(a, view) : rc;
}
