/* SPDX-License-Identifier: MIT */
#pragma once

/* Ends of the image and of its sections, from the linker script. */
/* What each processor does from then on: runs domains until all have ended, and ends the machine.
 */
_Noreturn void boot_work(void);

extern char image_start[], image_text_end[], image_rodata_end[], image_end[];
