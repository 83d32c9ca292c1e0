/* SPDX-License-Identifier: MIT */
#pragma once

/* Proves that guests run at all on this machine, and finds out whether the vendor's step() works.
 */
void exit_selftest(void);
