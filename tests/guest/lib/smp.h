/* SPDX-License-Identifier: MIT */
#pragma once

/* Further vCPUs. Link lib/smp.o (guest.mk). */
#include "hypercall.h"
#include <xen/hvm/hvm_vcpu.h>

#define SMP_MAX 32u /* vCPUs, the first included */

/* What a vCPU runs on a stack of its own, traps loaded, told its number. Returning, it halts. */
typedef void smp_main(unsigned vcpu);

/* For VCPUOP_initialise of vCPU 1 to SMP_MAX - 1: in 64-bit mode, on the guest's page tables. */
struct vcpu_hvm_context smp_context(unsigned vcpu, smp_main *run);
/* Initialises the vCPU and brings it up; the hypercall's error, or 0. */
long smp_start(unsigned vcpu, smp_main *run);

/* A main that carries out tasks, one at a time, for ever. For one vCPU. */
void smp_work(unsigned vcpu);
/* Hands it a task; the one before must have ended. */
void smp_begin(void (*task)(void));
/* Waits until the task has ended. */
void smp_wait(void);
/* Both. */
void smp_run(void (*task)(void));
