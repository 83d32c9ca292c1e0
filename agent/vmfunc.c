/* SPDX-License-Identifier: MIT */
#include "vmfunc.h"

extern const char vmfunc_at[], vmfunc_refused[];

bool vmfunc_fix_up(uint64_t *rip)
{
    if (*rip != (uint64_t)vmfunc_at)
        return false;
    *rip = (uint64_t)vmfunc_refused;
    return true;
}

int vmfunc_enter(const struct altp2m *a, altp2m_view_t view)
{
    return vmfunc_try(view) ? altp2m_switch(a, view) : 0;
}
