/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

#include "pages.h"
#include "subop.h"

enum {
    PAGE_SALT,   /* the page that is remapped */
    PAGE_PEPPER, /* what it shows in the other view */
    PAGE_SECRET,
    PAGE_BLANK,
    PAGE_LEDGER, /* written under a restriction */
    PAGE_VE_INFO,
    PAGE_COUNT
};

struct stage {
    struct subop_target self;
    struct page page[PAGE_COUNT];
    view_t other;     /* the view that the demo makes */
    char secret[32];  /* what PAGE_SECRET holds, apart from that page */
    char result[160]; /* what the step that just ended has shown */
};

/* A step returns false, with report_fail called, if something is not as announced. */
struct step {
    const char *title;
    bool (*run)(struct stage *s);
};

extern const struct step steps[];
extern const unsigned int steps_count;

/* After a failed step: back to view 0 and off, so that the machine can go on. */
void steps_abandon(struct stage *s);
