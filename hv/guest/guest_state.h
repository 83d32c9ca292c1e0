/* SPDX-License-Identifier: MIT */
#pragma once

/* What the guest interface keeps per domain and per vCPU. Only hv/guest/ touches the members. */
#include <facet/types.h>
#include "x86/timer.h"

struct guest_vcpu {
    struct timer singleshot;
};

struct guest_domain {
    unsigned shutdown_reason;
};
