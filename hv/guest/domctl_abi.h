/* SPDX-License-Identifier: MIT */
#pragma once

/* Xen's public control interface. Its header of saved states wants GNU C, which the compiler is,
 * though asked for strict C. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wbuiltin-macro-redefined"
#undef __STRICT_ANSI__
#include "xen_abi.h"
#include <xen/domctl.h>
#include <xen/hvm/dm_op.h>
#include <xen/sysctl.h>
#pragma GCC diagnostic pop
