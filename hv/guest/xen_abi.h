/* SPDX-License-Identifier: MIT */
#pragma once

/* Xen's public interface (libxen-dev), always with its newest names. */
#include <stddef.h>
#include <stdint.h>
#ifndef __XEN_TOOLS__
#define __XEN_TOOLS__ 1
#endif
#include <xen/xen.h>
#include <xen/arch-x86/cpuid.h>
#include <xen/arch-x86/hvm/start_info.h>
#include <xen/elfnote.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/params.h>
#include <xen/io/console.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>
#include <xen/vm_event.h>
#include <errno.h>

/* Xen's number (public errno.h); some C libraries hide theirs. */
#ifndef ERESTART
#define ERESTART 85
#endif
