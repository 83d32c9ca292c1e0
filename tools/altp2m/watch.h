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

#include "btf.h"
#include "command.h"
#include "expr.h"
#include "guestmem.h"
#include "ring.h"
#include "symbols.h"

#define WATCH_RANGES  64u
#define WATCH_BREAKS  256u
#define WATCH_ASKED   16u
#define WATCH_PLACES  128u
#define WATCH_SHOWN   8u
#define WATCH_SET     8u
#define WATCH_COLUMNS 60u
#define WATCH_ARGS    6u  /* those in registers */
#define WATCH_CALLS   64u /* functions that are inside at a time, with --result */
#define WATCH_LABEL   64u
#define WATCH_VALUES  16u /* bytes shown of a written place */
#define WATCH_NAME    128u
#define WATCH_ENTRY   "__x64_sys_" /* where a system call begins */
#define WATCH_COMM    16u          /* TASK_COMM_LEN */

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
    WATCH_SYSCALL,
    WATCH_USER,
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

/* What is watched by linear address, as it was asked for. */
struct watch_place {
    enum watch_kind kind; /* of its events; WATCH_READ for all accesses */
    unsigned int want;    /* of accesses */
    uint64_t pid;         /* of a process' own address */
    bool named;
    uint64_t offset; /* from the name; else the address */
    uint64_t length;
    char name[WATCH_NAME], label[WATCH_LABEL];
};

enum watch_arg_kind {
    WATCH_ARG_NUMBER, /* small or signed: decimal */
    WATCH_ARG_ADDRESS,
    WATCH_ARG_TEXT,
    WATCH_ARG_TEXTS, /* a list of strings */
};

/* What a function is called with. */
struct watch_proto {
    unsigned int nr;
    bool in_pt_regs; /* a system call's are where the first argument points to */
    bool result_signed;
    uint8_t result_size;
    struct {
        char name[32];
        enum watch_arg_kind kind;
        btf_id type; /* 0: not known */
        bool is_signed;
        uint8_t size;
    } arg[WATCH_ARGS];
};

struct watch_break {
    enum watch_kind kind;
    bool is_return; /* of a function that is watched with --result */
    bool found;     /* gfn and offset are known */
    uint64_t pid;   /* of WATCH_USER */
    gva_t address;
    gfn_t gfn;
    uint32_t offset;
    uint64_t hits;
    struct watch_proto proto;
    char name[WATCH_NAME], label[WATCH_LABEL];
};

/* Who runs. */
struct watch_process {
    bool known;
    uint64_t task; /* its struct task_struct */
    uint32_t pid, tid;
    char comm[WATCH_COMM + 1];
};

struct watch_value {
    enum watch_arg_kind kind;
    bool there, is_signed;
    uint64_t number;
    char text[EXPR_TEXT]; /* of WATCH_ARG_TEXTS, as it is printed */
};

/* A function that was called and has not returned. */
struct watch_call {
    bool used;
    unsigned int breakpoint;
    uint64_t task, rsp, to; /* the stack pointer before the return, and where it goes */
    vm_event_request_t request;
    struct watch_process who;
    struct watch_value arg[WATCH_ARGS];
};

/* What is known of the event that is being answered. */
struct watch_now {
    const vm_event_request_t *r;
    const struct watch_break *b; /* NULL for events of other kinds */
    struct watch_process who;
    bool args, returned;
    uint64_t result;
    struct watch_value arg[WATCH_ARGS];
};

/* The guest's Linux, by what it tells of itself (watch_kernel.c). */
struct watch_kernel {
    bool wanted, found;
    bool names; /* the symbols are from its memory, not from a file */
    struct guestmem_paging paging;
    uint64_t lstar;
    uint8_t *btf_bytes;
    struct btf btf;
    btf_id task_type;
    uint64_t current, current_member; /* per-CPU address; offset in pcpu_hot */
    int64_t pid, tgid, comm, tasks, mm, pgd;
};

/* The page that `view`, or else `executes`, shows in place of one with breakpoints. */
struct watch_copy {
    gfn_t gfn;
    gfn_t shows;
    view_t executes; /* with pairs; VIEW_NONE: the page is stepped through, and there is no copy */
    uint8_t *page;   /* mapped; NULL for a shadow page of Facet's */
};

/* What --show prints, as a number or as a string. */
struct watch_shown {
    struct expr expr;
    bool string;
    char label[48];
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
    struct watch_place places[WATCH_PLACES];
    struct watch_call calls[WATCH_CALLS];
    unsigned int nr_ranges, nr_breaks, nr_asked, nr_shown, nr_places, next_call;
    struct watch_kernel kernel;
    struct watch_now now;
    struct expr condition;
    bool has_condition, args, result;
    struct {
        size_t offset; /* in struct vm_event_regs_x86 */
        struct expr expr;
    } set[WATCH_SET];
    unsigned int nr_set;
    bool complained;
    uint64_t limit, limit_told; /* events told a second, 0: any number; in this one */
    double limit_start;

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

    uint64_t columns[WATCH_COLUMNS]; /* of --summary's chart: events in column_seconds each */
    unsigned int column_seconds;
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
 * watch_place.c. watch_places makes breakpoints and ranges of all places whose names are known:
 * with `last`, all of them must be. watch_protos tells the breakpoints what they are called with.
 */
enum command_status watch_places(struct watch *w, bool last);
enum command_status watch_protos(struct watch *w);
/* --if, --show and the like against the names and types that there are. */
enum command_status watch_check(struct watch *w);
/* Adds a breakpoint; NULL if there is no room. */
struct watch_break *watch_add_break(struct watch *w, enum watch_kind kind, uint64_t address);

/*
 * watch_kernel.c. watch_kernel_find: COMMAND_OK, or a refusal, if the kernel is wanted.
 */
enum command_status watch_kernel_find(struct watch *w);
void watch_kernel_free(struct watch *w);
/* Reads the kernel's own memory; returns how many bytes are there. */
size_t watch_kernel_read(void *watch, uint64_t address, void *to, size_t n);
/* Who runs on the event's vCPU. */
void watch_who(struct watch *w, const vm_event_request_t *r, struct watch_process *who);
/* The page tables of a process, or false if there is no such process, or it has none. */
bool watch_process_tables(struct watch *w, uint64_t pid, uint64_t *cr3);

/* watch_call.c: arguments and results. */
/* Reads at a linear address as the event's vCPU would; kernel addresses as the kernel. */
size_t watch_read(struct watch *w, const vm_event_request_t *r, uint64_t address, void *to,
                  size_t n);
void watch_args(struct watch *w, const vm_event_request_t *r, const struct watch_break *b,
                struct watch_value *arg);
/* A function begins whose result is to be told: false if that cannot be. */
bool watch_call_begins(struct watch *w, const vm_event_request_t *r, const struct watch_break *b);
/* What a function returned, by its type. */
uint64_t watch_result(const struct watch_break *b, uint64_t rax);
/* The call that ends at this event, or NULL; it is forgotten with `used`. */
struct watch_call *watch_call_ends(struct watch *w, const vm_event_request_t *r);

/* watch_act.c: True if the vCPU goes on at another place. */
bool watch_set_registers(struct watch *w, const vm_event_request_t *r, vm_event_response_t *a);
/* Runs the command with the event on its standard input, and waits for it. */
void watch_exec(struct watch *w, const char *command, const char *json, size_t size);

/* watch_expr.c */
/* The offset of a register that can be set, or SIZE_MAX. */
size_t watch_register(const char *name);
struct expr_env watch_env(struct watch *w, bool dry);
bool watch_condition(struct watch *w);
/* Notes whether the expression needs the kernel's types; returns a name that nobody knows, or NULL.
 */
const char *watch_wants(struct watch *w, const struct expr *e);

/*
 * watch_view.c. watch_begin: COMMAND_OK, or a refusal; watch_end takes back everything, also after
 * a watch_begin that was refused half-way.
 */
enum command_status watch_begin(struct watch *w);
void watch_end(struct watch *w);
/* Writes the copy anew from the page that it stands for. */
/* Puts a breakpoint in while the watch runs; its gfn is known. */
int watch_break_place(struct watch *w, const struct watch_break *b);
/* Where SYSCALL leads tells how far the kernel was moved from where its symbols are. */
void watch_find_slide(struct watch *w, uint64_t lstar);
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
/* The instruction whose fetch was denied begins in that page, not in the one before. */
bool watch_pair_begins(const vm_event_request_t *r);
void watch_pair_drop(struct watch *w);

/* watch_print.c */
double watch_seconds(const struct watch *w);
void watch_hello(struct watch *w);
/* `after`: what is there now, with w->values; NULL otherwise. `label` may be NULL. */
void watch_tell(struct watch *w, enum watch_kind k, const vm_event_request_t *r, const char *label,
                const uint8_t *before, const uint8_t *after);
void watch_rates(struct watch *w);
void watch_summary(struct watch *w);
