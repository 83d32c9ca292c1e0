/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * `altp2m watch`: what one run of it holds. watch_parse.c reads what is asked for, watch_view.c
 * makes the view, the hidden breakpoints and the event requests and takes them back, cmd_watch.c
 * answers events, watch_print.c tells of them.
 *
 * Everything that restricts the guest is in one view of its own, `view`, on which all vCPUs run.
 * What meets a restriction there is stepped over in view 0, which has none, and goes on in `view`.
 * Where no page can be executed and not read, pages with breakpoints have views of their own beside
 * it: watch_pair.c.
 */
#include <time.h>

#include "command.h"
#include "guestmem.h"
#include "ring.h"
#include "symbols.h"

#define WATCH_RANGES 64u
#define WATCH_BREAKS 256u
#define WATCH_ASKED  16u
#define WATCH_SHOWN  8u
#define WATCH_LABEL  64u
#define WATCH_VALUES 16u /* bytes shown of a written place */
#define WATCH_TEXT   48u /* characters of a guest's string */

#define WATCH_NOWHERE (~0ULL) /* no address of code */

/* Bits of watch_range.want, as in MEM_ACCESS_*. */
#define WATCH_R 1u
#define WATCH_W 2u
#define WATCH_X 4u

enum watch_kind {
    WATCH_READ,
    WATCH_WRITE,
    WATCH_EXEC,
    WATCH_BREAK,
    WATCH_OWN_BREAK, /* a breakpoint of the guest's own, given back to it */
    WATCH_CR0,
    WATCH_CR3,
    WATCH_CR4,
    WATCH_XCR0,
    WATCH_CPUID,
    WATCH_MSR,
    WATCH_DESCRIPTOR,
    WATCH_DEBUG,
    WATCH_REQUEST,
    WATCH_EXIT,
    WATCH_OTHER, /* restrictions that somebody else left in the host's map */
    WATCH_KINDS
};

/* By gfns, or by linear address: then it is a piece of one page. */
struct watch_range {
    unsigned int want;
    gfn_t first;
    uint64_t count;
    bool linear;
    gva_t address;
    uint32_t from, to; /* bytes of the page that count, `to` excluded */
    char label[WATCH_LABEL];
};

struct watch_break {
    gva_t address;
    gfn_t gfn;
    uint32_t offset;
    uint64_t hits;
    char label[WATCH_LABEL];
};

/* The page that `view`, or else `executes`, shows in place of one with breakpoints. */
struct watch_copy {
    gfn_t gfn;
    gfn_t shows;
    view_t executes; /* with pairs; VIEW_NONE: the page is stepped through, and there is no copy */
    uint8_t *page;   /* mapped; NULL for a shadow page of Facet's */
};

/* A register, or what is in memory at it, as a number or as a string. */
struct watch_shown {
    unsigned int reg; /* index in struct vm_event_regs_x86 */
    bool memory, string;
    uint64_t offset;
    char label[32];
};

/* What a vCPU is being stepped for, if its step is reported. */
struct watch_step {
    bool refresh, tell;
    bool descriptor; /* these events are off until the step is done */
    uint64_t fetch;  /* rip that last changed the view (watch_pair.c), or WATCH_NOWHERE */
    vm_event_request_t request;
    uint8_t before[WATCH_VALUES];
};

struct watch {
    struct session *s;
    const struct subop_target *t;
    struct guestmem memory;
    struct ring ring;
    struct symbols symbols;

    struct watch_range ranges[WATCH_RANGES];
    struct watch_break breaks[WATCH_BREAKS];
    struct xen_domctl_monitor_op asked[WATCH_ASKED];
    struct watch_shown shown[WATCH_SHOWN];
    unsigned int nr_ranges, nr_breaks, nr_asked, nr_shown;

    uint64_t count; /* 0: no end */
    double seconds; /* 0: no end */
    bool values, stats, returns, has_cr3, has_slide;
    uint64_t return_value, cr3;
    unsigned int only_kinds; /* bits by watch_kind */
    bool has_vcpu, has_gfns;
    uint64_t only_vcpu, gfn_count;
    gfn_t gfn_first;

    struct watch_copy *copies;
    unsigned int nr_copies;
    uint8_t *scratch;         /* a page from hc->alloc */
    struct watch_step *steps; /* one for each vCPU */
    uint32_t vcpus;
    uint64_t max_kib; /* to be restored; 0: not changed */
    view_t view;
    bool turned_on, gone;
    bool pairs, by_steps; /* no page is executed and not read; and none is executed as a copy */
    unsigned int stepped; /* pages that are stepped through */

    struct timespec start;
    double last_stats;
    uint64_t counts[WATCH_KINDS], told, hidden, last_told;
};

const char *watch_kind_name(enum watch_kind k);

/* watch_parse.c: COMMAND_OK, or what was said about a wrong word. */
enum command_status watch_parse(struct watch *w, char **argv, int argc);
/* Any page watched, or any breakpoint: a view is needed. */
bool watch_needs_view(const struct watch *w);

/*
 * watch_view.c. watch_begin: COMMAND_OK, or a refusal; watch_end takes back everything, also after
 * a watch_begin that was refused half-way.
 */
enum command_status watch_begin(struct watch *w);
void watch_end(struct watch *w);
/* Writes the copy anew from the page that it stands for. */
int watch_copy_refresh(struct watch *w, const struct watch_copy *c);
struct watch_copy *watch_copy_at(const struct watch *w, gfn_t g);
/* True once the domain does not run any more; sets w->gone if it is not there at all. */
bool watch_ended(struct watch *w);
struct guestmem_paging watch_paging(const vm_event_request_t *r);
/* CPUID's result is in the registers already: going on behind it is the listener's part. */
void watch_pass_cpuid(const vm_event_request_t *r, vm_event_response_t *a);
bool watch_stop_asked(void);

/* watch_pair.c: breakpoints where what can be executed can be read. Sets `pairs`. */
void watch_pair_ask(struct watch *w);
/* False: it is to be stepped through. */
bool watch_pair_view_made(struct watch *w, struct watch_copy *c);
/* What a view allows of a page where the ranges leave `allowed`. */
uint8_t watch_pair_access(const struct watch *w, view_t v, gfn_t g, uint8_t allowed);
bool watch_pair_is_ours(const struct watch *w, view_t v);
/* Where the page is executed; NULL: any page without a breakpoint. */
view_t watch_pair_view(const struct watch *w, const struct watch_copy *c);
/* A fetch was denied. True: it goes on in view `to`; false: it is to be stepped over. */
bool watch_pair_turns(struct watch *w, const vm_event_request_t *r, view_t *to);
/* The breakpoint that a denied fetch is about to reach, or NULL. */
struct watch_break *watch_pair_break(struct watch *w, const vm_event_request_t *r);
void watch_pair_drop(struct watch *w);

/* watch_print.c */
double watch_seconds(const struct watch *w);
void watch_hello(struct watch *w);
/* `after`: what is there now, with w->values; NULL otherwise. `label` may be NULL. */
void watch_tell(struct watch *w, enum watch_kind k, const vm_event_request_t *r, const char *label,
                const uint8_t *before, const uint8_t *after);
void watch_rates(struct watch *w);
void watch_summary(struct watch *w);
