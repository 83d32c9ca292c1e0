/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Work that is too long for one stretch.
 *
 * An operation prepares as usual, makes its decision, and begins what follows from it: work_begin()
 * does a first piece at once, and mostly that is all. What is left is `pending`, and the physmap
 * unsettled: none of the domain's vCPUs runs guest code, and who called does not hear of the end,
 * before physmap_settle() has done the rest piece by piece, with the lock free between two. So
 * nobody sees it half done. Whoever takes the lock to change something finishes the rest first, all
 * of it; those who have time look before that, and do it politely. Who only looks an entry up
 * (view_lookup()) finds what held before or what holds afterwards.
 *
 * Caller holds the physmap lock.
 */
#include "remap.h"

enum {
    WORK_TABLES = 1,   /* private tables follow the host map or their view's default access */
    WORK_REMAPS = 2,   /* remaps follow the host map at their targets */
    WORK_VIEWS = 4,    /* views are being destroyed */
    WORK_SHADOWS = 8,  /* shadow pages are being forgotten */
    WORK_ISOLATE = 16, /* gfns are being isolated */
};

void work_begin(struct physmap *pm, uint32_t kind);

/* Each does a piece of one kind; false: all is done. */
bool view_follow_some(struct physmap *pm);
bool remap_follow_some(struct physmap *pm);
bool view_destroy_some(struct physmap *pm);
bool shadow_forget_some(struct physmap *pm);
bool isolate_some(struct physmap *pm);
