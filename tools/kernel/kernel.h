/* SPDX-License-Identifier: MIT */
/* Turns a kernel file into a PVH ELF that the hypervisor can load. */
#pragma once

#include "unpack.h"

/*
 * Whether `data` is an ELF that can be loaded and entered as Xen's PVH guests are: i386 or
 * x86-64, sane program headers, an XEN_ELFNOTE_PHYS32_ENTRY note in a PT_NOTE segment and its
 * entry inside a loaded segment.
 * Returns 0, or -EINVAL with `*why` set to a reason in words, a static string.
 */
int kernel_check_elf(const uint8_t *data, size_t size, const char **why);

/*
 * Makes `elf` the checked ELF in `data`, which is an ELF or a Linux bzImage with one inside.
 * Returns 0 or a negative errno with `*why` set; the caller releases `elf` in any case.
 */
int kernel_to_elf(const uint8_t *data, size_t size, struct bytes *elf, const char **why);
