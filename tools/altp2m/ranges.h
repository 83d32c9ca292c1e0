/* SPDX-License-Identifier: MIT */
#pragma once

/* Long ranges of gfns: a progress line while they are worked on, and equal neighbours merged
   when they are printed. */
#include "command.h"

struct progress {
    FILE *f; /* NULL: silent */
    uint64_t total;
    unsigned int shown; /* percent */
};

/* Silent unless the session's stderr is a terminal and the range is long. */
struct progress progress_start(const struct session *s, uint64_t total);
void progress_at(struct progress *p, uint64_t done);
void progress_end(struct progress *p);

/* Prints runs of equal words as "first..last word" lines or as a JSON document. `word` must
   outlive the next call; NULL means that there is no page. */
struct runs {
    struct session *s;
    struct json j;
    const char *key;
    gfn_t first, last;
    const char *word;
    bool any;
};

struct runs runs_begin(struct session *s, view_t v, const char *key);
void runs_add(struct runs *r, gfn_t g, const char *word);
void runs_end(struct runs *r);
