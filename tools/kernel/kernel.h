/* SPDX-License-Identifier: MIT */
/* Turns a kernel file into a PVH ELF that the hypervisor can load. */
#pragma once

#include "unpack.h"

/*
 * Whether `data` is an ELF that the hypervisor loads and enters as Xen's PVH guests are; its own
 * check decides. Returns 0, or -EINVAL with `*why` set to a reason in words, a static string.
 */
int kernel_check_elf(const uint8_t *data, size_t size, const char **why);

/*
 * Makes `elf` the checked ELF in `data`, which is an ELF or a Linux bzImage with one inside, packed
 * by anything that unpack() knows or not. Of a 64-bit ELF only what is loaded is left. Returns 0 or
 * a negative errno with `*why` set; the caller releases `elf` in any case.
 */
int kernel_to_elf(const uint8_t *data, size_t size, struct bytes *elf, const char **why);
