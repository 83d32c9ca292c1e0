/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What the conformance guests share. Each call gives one line that must be the same on Facet and on
 * real Xen, but for the differences that tests/recorded/deliberate.txt lists by id:
 *
 *     CONFORM id text: results
 *
 * With bits=32 on the command line calls come from a 32-bit code segment, and ids begin with "32.".
 */
#include "altp2m.h"
#include "test.h"

/* HVMOP_altp2m on the struct at `at`, in the caller's width. */
long conform_call(void *at);
bool conform_narrow(void);
/* Adds to what the next line shows behind the result. */
void give(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Prints the line of a call. */
void report(const char *id, const char *text, long rc);

/* Frames of the scene, by their distance from scene.g, the first of 512 of one 2 MiB region. */
enum {
    AT_RESTRICTED = 1, /* view 1: r */
    AT_REMAPPED = 2,   /* view 1: shows AT_SOURCE */
    AT_SOURCE = 3,
    AT_VE = 4,         /* view 1: suppress-#VE is off */
    AT_PLAIN = 8,      /* view 1: an entry like the host's */
    AT_OTHER = 9,      /* view 1: the same */
    AT_UNTOUCHED = 16, /* nothing was ever said of it */
    AT_NOTIFY = 24,
    AT_GONE = 30,   /* given back to the hypervisor */
    AT_SHARED = 31, /* the shared info page is mapped here */
};

enum {
    VIEW_USED = 1, /* holds what is said above */
    VIEW_FRESH = 2,
    VIEW_HIDDEN = 3,
    VIEW_DESTROYED = 4,
};

struct scene {
    uint8_t *page;
    uint64_t g;
};
extern struct scene scene;

/* Finds memory for the scene, writes to the first word of each page its number, and splits the
 * host map there into 4 KiB pages. Mode mixed only. */
void scene_init(void);
/* Builds the views anew: all that was said before is gone. */
void scene_reset(void);
/* The default access of each of views 0 to 9, as a digit; `-`: no such view. */
const char *scene_views(void);
/* How a view says a gfn is: access and suppress-#VE, or the errors of asking. */
const char *scene_entry(uint16_t view, uint64_t gfn);
