/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Goes before each source of the analysis altp2m: what Frama-C does not know of gcc, and the host
 * map's tables, which are any.
 */
#define __atomic_load_n(at, order)       (*(at))
#define __atomic_store_n(at, v, order)   (*(at) = (v))
#define __atomic_test_and_set(at, order) (*(at) ? true : (*(at) = true, false))
#define __atomic_clear(at, order)        (*(at) = false)
#define __builtin_ia32_pause()           ((void)0)
#define __builtin_memcpy                 memcpy

#include <string.h>
#include "core/hostmap.h"
#include "core/view.h"

struct host_entry any_walk(void);
uint64_t any_entry(void);
#define hostmap_walk(pm, g, stop) ((void)(g), any_walk())
#define hostmap_leaf(pm, g)       ((void)(g), any_entry())

/* A view that is found exists: its number is known to be below the number of views. */
bool any_bool(void);
#define view_get(pm, number)                                                                       \
    ({                                                                                             \
        uint16_t at_ = (number).v;                                                                 \
        at_ < (pm)->max_views &&any_bool() ? &(pm)->views[at_] : NULL;                             \
    })
