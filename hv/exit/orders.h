/* SPDX-License-Identifier: MIT */
#pragma once

struct vcpu;

/* Carries out what a monitor ordered of v, which is loaded. Left over is an emulation that has to
 * wait for another vCPU's. */
void orders_carry_out(struct vcpu *v);
