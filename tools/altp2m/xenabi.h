/* SPDX-License-Identifier: MIT */
#pragma once

/* Xen's public headers, in the order and with the switches they need in a hosted program. */
#include <stdint.h>

/* The header of saved states wants GNU C, which the compiler is, though asked for strict C. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#pragma GCC diagnostic ignored "-Wbuiltin-macro-redefined"
#undef __STRICT_ANSI__
#pragma GCC diagnostic pop

#ifndef __XEN_TOOLS__
#define __XEN_TOOLS__ 1
#endif
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/hvm/dm_op.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/version.h>
#include <xen/arch-x86/cpuid.h>
