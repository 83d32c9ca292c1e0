/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * How much of everything a boot image may ask for. The hypervisor holds to these, and the tools
 * refuse what it would refuse. The most views of a domain is VIEW_MAX in <facet/types.h>.
 */
#include <facet/types.h>

#define DOMAIN_MAX         64u /* domids 1..DOMAIN_MAX */
#define DOMAIN_VCPUS       32u /* vCPUs in one domain: Xen's shared page has vcpu_info for so many */
#define DOMAIN_NAME_MAX    63u   /* bytes */
#define DOMAIN_CMDLINE_MAX 2047u /* bytes: COMMAND_LINE_SIZE of Linux on x86, without the NUL */
#define DOMAIN_MEMORY_MAX  (1u << 20) /* MiB; the same for its tables. The least is 1 MiB */

#define PCI_HIDE_MAX 8u /* functions that a hardware domain is not to have */

/* The device tree, and a kernel and a ramdisk for each domain. */
#define BOOT_MODULES_MAX (2u * DOMAIN_MAX + 1u)
