/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What `watch --if`, `--show` and `--set` are given: C's expressions over a guest's registers,
 * memory and process. Numbers have 64 bits; a value whose type is signed, or one that a minus made,
 * makes a comparison signed. A value that is not in memory makes every comparison false.
 */
#include "btf.h"

#define EXPR_NODES 128u
#define EXPR_TEXT  256u /* characters of a string, with its NUL */

enum expr_kind {
    EXPR_MISSING, /* not in memory now */
    EXPR_NUMBER,
    EXPR_STRING,
};

struct expr_value {
    enum expr_kind kind;
    bool is_signed;
    btf_id type; /* what the kernel calls it; 0: a number of 64 bits */
    /* The structure or array is at this address: `number` is it. */
    bool in_place;
    uint64_t number;
    char text[EXPR_TEXT];
};

/* Where values come from. */
struct expr_env {
    void *ctx;
    const struct btf *btf; /* NULL: without types */
    /* The value of a name, as rax, pid or args.filename (in one word); false: there is no such. */
    bool (*name)(void *ctx, const char *name, struct expr_value *v);
    /* NULL: only types are looked at, nothing is read. */
    size_t (*read)(void *ctx, uint64_t address, void *to, size_t n);
};

struct expr_node {
    uint8_t op;
    uint8_t size; /* of what is read */
    uint16_t left, right, text;
    uint64_t number;
};

struct expr {
    struct expr_node nodes[EXPR_NODES];
    unsigned int nr, texts; /* the last node is the root; bytes in use of text */
    char text[EXPR_TEXT];
};

/* What is wrong, for people. */
struct expr_trouble {
    char text[128];
};

/* Of a text that ends at `end` (or its NUL if that is NULL). False with *why. */
bool expr_parse(struct expr *e, const char *text, const char *end, struct expr_trouble *why);
/* Also in the dry run (env->read == NULL), which finds names and members that are not there. */
bool expr_eval(const struct expr *e, const struct expr_env *env, struct expr_value *v,
               struct expr_trouble *why);
bool expr_true(const struct expr_value *v);
/* Makes of an address the string that is there; of a value in place, the string in it. */
void expr_to_text(const struct expr_env *env, struct expr_value *v);
/* The expression's names, one after the other: *at is 0 at first. NULL after the last. */
const char *expr_name(const struct expr *e, unsigned int *at);
