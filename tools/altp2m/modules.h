/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Symbols of the modules that a kernel has loaded: each keeps its own, which the kernel's table
 * does not have. Nothing there is trusted; a module that does not fit together is left out.
 */
#include "btf.h"
#include "kallsyms.h"

/* Adds to `s`, which has the kernel's. 0, -ENOENT if the kernel does not tell of modules, or
 * -ENOMEM. */
int modules_load(struct symbols *s, const struct kernel_memory *m, const struct btf *b);
