/* SPDX-License-Identifier: MIT */
#pragma once

/* The table of sub-operations and their arguments (core/subops.h, core/fields.h), to be printed. */
#include <stdint.h>

enum { INACTIVE = 1, LIMITED = 2, PARTIAL = 4, ALWAYS = 8, ANYWHERE = 16, ASKED = 32 };
enum { NO_VIEW, READS, ENTERS, EDITS };
enum { IN = 1, OUT = 2, INOUT = 3 };
enum {
    VIEW,
    VCPU,
    GFN,
    ACCESS,
    SWITCH,
    FLAGS,
    COUNT,
    NUMBER,
    PROGRESS,
    ERROR,
    LIST,
    BUFFER,
    HANDLE,
    BYTES,
};

struct field {
    const char *of, *name; /* of: the sub-op's name */
    unsigned offset, size, way, kind;
};

struct row {
    uint32_t number;
    unsigned since, arg, out, out_size, flags, use;
    uint64_t pads;
    const char *name, *reason, *test, *summary, *verdict;
    const char *type;           /* of the argument */
    const struct field *fields; /* in the order of their offsets */
    unsigned nr_fields;
};

extern struct row rows[];
extern const unsigned nr_rows;

/* Fills in what the rows have of fields. */
void rows_init(void);
