/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Three vCPUs on three processors, each in and out of the guest: each takes rights away and gives
 * them back, hides views and shows them, moves pages of the host map, makes and destroys views,
 * switches by calls and by VMFUNC, while the others use all of it. An access, a switch or a frame
 * that is used after the call that took it away has returned is wrong. Prints what was seen;
 * returns how much of it was wrong.
 */
unsigned race_run(unsigned long seed);
