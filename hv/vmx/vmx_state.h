/* SPDX-License-Identifier: MIT */
#pragma once

/* What VMX keeps per vCPU. Only hv/vmx/ touches the members. */
#include <facet/types.h>

struct vmx_vcpu {
    void *vmcs;
    uint64_t eptp; /* as last loaded into the VMCS */
};
