/* SPDX-License-Identifier: MIT */
#pragma once

/* Xen's public interface, as far as the core speaks it: structs, error numbers, modes. */
#include <stddef.h>
#include <stdint.h>

#ifndef __XEN_INTERFACE_VERSION__
#define __XEN_INTERFACE_VERSION__ 0x00040e00
#endif
#include <xen/errno.h>
#include <xen/xen.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
