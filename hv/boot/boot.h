/* SPDX-License-Identifier: MIT */
#pragma once

/* Ends of the image and of its sections, from the linker script. */
extern char image_start[], image_text_end[], image_rodata_end[], image_end[];
