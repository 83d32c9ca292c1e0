/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of machine.h share. */
#include "machine.h"

/* Where instruction i of enum machine_instruction stands; CODE_NR: any that needs no bytes. */
#define CODE_AT(i) (((uint64_t)GUEST_CODE << PAGE_SHIFT) + 32 * (i))

/* The translation of gfn g below `root` that the processor uses: one that it has cached, or walks
 * to and caches. */
struct machine_entry machine_translate(uint64_t root, uint64_t g);
/* The instructions that are carried out, in the guest's memory. */
void machine_lay_code(struct domain *d);
/* Both domains, with all their vCPUs online. */
void machine_create(const struct machine_options *o);
