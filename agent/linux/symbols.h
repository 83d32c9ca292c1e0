/* SPDX-License-Identifier: MIT */
#pragma once

/* Addresses of the kernel's symbols, exported or not; shared by the agent and the attacker. */
#include <linux/kprobes.h>

typedef unsigned long symbols_lookup_fn(const char *name);

/* kallsyms_lookup_name() is not exported; a kprobe that is never armed tells its address. */
static inline symbols_lookup_fn *symbols_open(void)
{
    struct kprobe probe = {.symbol_name = "kallsyms_lookup_name", .flags = KPROBE_FLAG_DISABLED};
    symbols_lookup_fn *found = NULL;

    if (!register_kprobe(&probe)) {
        found = (symbols_lookup_fn *)probe.addr;
        unregister_kprobe(&probe);
    }
    return found;
}
